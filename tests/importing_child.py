"""A process that imports when told to, so that a test can kill it, interrupt it or take its disk away meanwhile.

It reads one line of JSON, {"study": ..., "files": [...], "file_size": bytes or null}, says "started", imports as the
command line does, and ends with its exit code. What takes long to load is loaded before it says "ready".
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def start_child(**environment: str) -> subprocess.Popen[str]:
    """A child that is about to be ready."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def begin(child: subprocess.Popen[str], study: Path, files: list[Path], file_size: int | None = None) -> None:
    """Let it import; returns when the import has started."""
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write(json.dumps({"study": str(study), "files": list(map(str, files)), "file_size": file_size}) + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "started\n"


def end_after(child: subprocess.Popen[str], seconds: float, how: signal.Signals) -> int:
    """Send the signal after so many seconds unless the import has ended before; returns the exit code."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(how)
    child.communicate()
    return child.returncode


def main() -> int:
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    import analysis.derive  # noqa: F401
    import analysis.results  # noqa: F401
    import tui.commands.data  # noqa: F401
    import tui.pipeline  # noqa: F401
    from tui.cli import run

    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    if order["file_size"] is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], hard))
    print("started", flush=True)
    return run(["import", "--json", "--study", order["study"], *order["files"]])


if __name__ == "__main__":
    sys.exit(main())
