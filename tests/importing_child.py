"""A process that runs a command when told to, so that a test can kill it, interrupt it or take its disk away meanwhile.

It reads one line of JSON, {"arguments": [...], "file_size": bytes or null, "kill_at": step or null}, says "started",
and runs the command line. What takes long to load is loaded before it says "ready".
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOADED = ("duckdb", "polars", "pyarrow", "analysis.derive", "analysis.results", "tui.commands.data", "tui.rebuilding")


class Children:
    """One child is always loading while the test looks at what the one before it left."""

    def __init__(self) -> None:
        self._next = _start()

    def begin(
        self, study: Path, files: list[Path], *, file_size: int | None = None, kill_at: str | None = None
    ) -> subprocess.Popen[str]:
        """A child that has just started to import the files."""
        return self.run("import", "--json", "--study", study, *files, file_size=file_size, kill_at=kill_at)

    def run(
        self, *arguments: str | Path, file_size: int | None = None, kill_at: str | None = None
    ) -> subprocess.Popen[str]:
        """A child that has just started the command."""
        child, self._next = self._next, _start()
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        order = {"arguments": list(map(str, arguments)), "file_size": file_size, "kill_at": kill_at}
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "started\n"
        return child

    def close(self) -> None:
        self._next.kill()
        self._next.communicate()


@contextmanager
def children() -> Iterator[Children]:
    made = Children()
    try:
        yield made
    finally:
        made.close()


def end_after(child: subprocess.Popen[str], seconds: float, how: signal.Signals) -> tuple[int, str, str]:
    """Send the signal after so many seconds unless the child has ended before; returns exit code, stdout, stderr."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(how)
    said, complained = child.communicate()
    return child.returncode, said, complained


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def main() -> None:
    for name in LOADED:
        importlib.import_module(name)
    from tui import cli

    print("ready", flush=True)
    order = json.loads(sys.stdin.readline())
    if order["kill_at"]:
        os.environ["DOSETRAIL_KILL_AT"] = order["kill_at"]
    if order["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.argv[1:] = order["arguments"]
    print("started", flush=True)
    cli.main()


if __name__ == "__main__":
    main()
