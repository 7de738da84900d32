"""The command line as a whole: speed of help, exit codes, errors in three lines, one JSON document, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_release import make_small_study

from store.errors import DiskFull, ImportRunning, IntegrityFailure, LayoutChanged, LockedData
from store.study import Study
from tui.cli import run
from tui.commands import assemble
from tui.glyphs import GLYPHS
from tui.tables import Column, table_lines

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    "view",
    "cut",
    "deviations",
    "unblind",
    "undo",
    "layouts",
    "undo-import",
    "worklist",
    "report",
    "simulate",
    "queries",
    "quarantine",
    "approve-layout",
    "init",
    "import",
    "release",
    "status",
    "summary",
    "patients",
    "patient",
    "sql",
    "export",
    "exports",
    "verify",
    "rebuild",
    "demo",
    "tui",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_small_study(tmp_path_factory.mktemp("cli") / "small")


def program(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-c", "from tui.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "80", **more},
        cwd=Path(__file__).parents[1],
    )


def test_help_names_every_command_and_the_exit_codes() -> None:
    answer = program("--help")
    assert answer.returncode == 0
    for command in (*COMMANDS, "protocol"):
        assert re.search(rf"^  {command} ", answer.stdout, re.MULTILINE), command
    assert "130 interrupted" in " ".join(answer.stdout.split())
    assert max(map(len, answer.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", [*COMMANDS, "protocol check"])
def test_help_of_every_command_has_an_example(command: str, capsys: Capture) -> None:
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: dosetrail {command}" in text
    if command != "tui":
        assert "--json" in text
    if command not in ("init", "demo", "layouts", "simulate"):
        assert "--study" in text


def test_help_loads_no_engine() -> None:
    heavy = ["duckdb", "polars", "textual", "pydantic", "numpy", "rich", "xlsxwriter"]
    question = (
        "import sys\nfrom tui.cli import run\ncode = run(['--help'])\n"
        f"print('loaded:', *(set({heavy!r}) & set(sys.modules)), file=sys.stderr)\nsys.exit(code)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert answer.returncode == 0
    assert answer.stderr.split() == ["loaded:"]


def test_version(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dosetrail ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["summary", "--nonsense"],
        ["summary", "nonsense"],
        ["patient"],
        ["summary", "--cutoff", "2014-02-30"],
    ],
)
def test_usage_mistakes_are_three_lines_and_code_2(words: list[str], capsys: Capture) -> None:
    assert run(words) == 2
    out = capsys.readouterr()
    assert out.out == ""
    lines = out.err.splitlines()
    assert lines[1:] == ["Nothing was changed.", lines[2]]
    assert lines[2].startswith("See: dosetrail")
    assert run([*words, "--json"]) == 2
    out = capsys.readouterr()
    assert out.err == ""
    assert json.loads(out.out)["exit_code"] == 2


def test_without_command_and_terminal_the_app_is_refused(study: Study, capsys: Capture) -> None:
    assert run(["--study", str(study.root)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert "needs a terminal" in out.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DiskFull("No room.", remedy="Free space."), 13),
        (OSError(28, "No space left on device"), 13),
        (IntegrityFailure("Altered.", remedy="Restore."), 14),
        (ImportRunning("Another import.", remedy="Wait.", pid=7), 11),
        (LayoutChanged("New columns.", remedy="Approve."), 15),
        (LockedData("Locked.", remedy="Unlock."), 16),
        (KeyboardInterrupt(), 130),
        (RuntimeError("Query interrupted"), 130),
    ],
)
def test_every_failure_has_its_code(
    error: BaseException, code: int, study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Study) -> None:
        raise error

    monkeypatch.setattr("tui.study_status.read_status", fail)
    assert run(["status", "--study", str(study.root)]) == code
    out = capsys.readouterr()
    assert out.out == ""
    assert 1 <= len(out.err.splitlines()) <= 3
    assert "Traceback" not in out.err
    if code == 130:
        assert out.err == "Interrupted, nothing changed.\n"
    assert run(["status", "--study", str(study.root), "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert {"error", "message", "effect", "remedy"} <= document.keys()


def test_a_defect_leaves_a_code_and_no_data(
    study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: Study) -> None:
        secret = "S07-001 has 54 mg"
        raise ValueError(secret)

    monkeypatch.setattr("tui.study_status.read_status", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["status", "--study", str(study.root)]) == 1
    out = capsys.readouterr()
    [line] = out.err.splitlines()
    code = re.search(r"\[(E-[0-9A-F]{6})\]", line)
    assert code
    [details] = tmp_path.glob("dosetrail-*.txt")
    assert str(details) in line
    text = details.read_text()
    assert code[1] in text
    assert "ValueError" in text
    assert "54 mg" not in line + text
    assert str(study.root) not in text
    assert details.stat().st_mode & 0o077 == 0


def test_debugging_shows_the_traceback_and_keeps_the_code(
    study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOSETRAIL_DEBUG", "1")
    assert run(["patients", "--study", str(study.root), "--filter", "x:y"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_stops_a_long_query(study: Study) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range % 7 = b.range % 11"
    running = subprocess.Popen(
        [sys.executable, "-c", "from tui.cli import main; main()", "sql", endless, "--study", str(study.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    # The process may still be starting: Ctrl-C is pressed again until it is heard.
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        try:
            running.wait(2)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert running.returncode == 130
    assert out == ""
    assert err == "Interrupted, nothing changed.\n"


def test_a_closed_pipe_is_no_error(study: Study) -> None:
    command = (
        f"{shlex.quote(sys.executable)} -c 'from tui.cli import main; main()' sql 'FROM range(200000)' --csv "
        f"--study '{study.root}' | true; echo ${{PIPESTATUS[0]}}"
    )
    answer = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[1]
    )
    assert answer.stdout == "141\n"
    assert answer.stderr == ""


def test_output_on_a_full_disk_is_said(study: Study) -> None:
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-c", "from tui.cli import main; main()", "patients", "--study", str(study.root)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    assert answer.returncode == 1
    assert "only its output is missing" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_ascii_terminal_gets_ascii(study: Study) -> None:
    answer = program("patients", "--study", str(study.root), PYTHONIOENCODING="ascii")
    assert answer.returncode == 0
    assert answer.stdout.isascii()
    assert "S08-003" in answer.stdout


def test_assembling_the_commands_twice_is_harmless() -> None:
    again = assemble()
    assert len(again.registered_commands) + 1 == len(COMMANDS)  # quarantine is a group, of which the bare word lists
    assert "quarantine" in {group.name for group in again.registered_groups}


def test_an_indented_cell_keeps_its_indent_where_it_wraps() -> None:
    lines = table_lines(
        [Column("dose", gives_way=True), Column("n", ">")], [["  2 Zanomaline 54 mg", 7]], GLYPHS["ascii"], 18
    )
    assert [line[:14].rstrip() for line in lines[2:]] == ["  2 Zanomaline", "  54 mg"]
