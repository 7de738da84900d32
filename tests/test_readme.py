"""README.md is true: what it shows is what the program prints, and every snippet of it runs."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import REPOSITORY
from ptyscreen import PtyScreen
from trial_releases import AUTOINJECTOR, release_file
from typer.main import get_command

from tui.cli import run
from tui.commands import assemble

Capture = pytest.CaptureFixture[str]

README = (REPOSITORY / "README.md").read_text()


def blocks() -> list[str]:
    """The indented blocks, without their indent."""
    found, block = [], list[str]()
    for line in [*README.splitlines(), "end"]:
        if line.startswith("    ") or (block and not line):
            block.append(line[4:])
        elif block:
            found.append("\n".join(block).strip("\n"))
            block = []
    return found


def the_block(start: str) -> str:
    [found] = [block for block in blocks() if block.startswith(start)]
    return found


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `demo-study` in it, which is the current one."""
    (tmp_path / "demo-study").symlink_to(release_file(AUTOINJECTOR).parents[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "demo-study"


def assert_shown_in_order(shown: list[str], printed: list[str]) -> None:
    rest = iter(printed)
    for line in shown:
        assert any(line == other for other in rest), f"not printed, or not there: {line}"


def test_the_summary_is_what_is_printed(demo: Path, capsys: Capture) -> None:
    command, *shown = the_block("$ dosetrail summary").splitlines()
    assert run(shlex.split(command)[2:]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert_shown_in_order([line for line in shown if line], printed)


def test_the_screen_is_what_the_app_shows(demo: Path) -> None:
    shown = next(block for block in blocks() if " 2 PATIENTS " in block).splitlines()
    command = [sys.executable, "-c", "from tui.cli import main; main()", "--study", "demo-study"]
    with PtyScreen(command) as screen:
        screen.wait_for("item")
        screen.press("2")
        screen.wait_for("18 patients")
        assert len(shown) < 24 and max(map(len, shown)) <= 80
        assert_shown_in_order([line.rstrip() for line in shown if line.strip() != "..."], screen.lines)


def sql_with_output() -> list[tuple[str, str]]:
    text = "\n".join(block for block in blocks() if re.search("^D ", block, re.MULTILINE))
    return re.findall(r"^D ([^;]*);\n((?:[┌│├└].*\n?)+)", text, re.MULTILINE)


@pytest.mark.parametrize(("sql", "output"), sql_with_output())
def test_sql_gives_the_table_beside_it(sql: str, output: str) -> None:
    with duckdb.connect(str(release_file(AUTOINJECTOR).resolve()), read_only=True) as con:
        assert str(con.sql(sql)).strip() == output.strip()


def test_there_is_sql() -> None:
    assert len(sql_with_output()) == len(re.findall("^    D ", README, re.MULTILINE)) == 4


def test_python_runs(demo: Path, capsys: Capture) -> None:
    code = the_block("import duckdb")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rsplit("# ", 1)[1]


def test_sql_of_r_runs(demo: Path) -> None:
    code = the_block("library(duckdb)")
    [file] = re.findall(r'duckdb\(\), "(.*?)"', code)
    asked = re.findall(r'dbGetQuery\(con, "(.*?)"\)', code)
    with duckdb.connect(file, read_only=True) as con:
        columns = [[column[0] for column in con.execute(sql).description or ()] for sql in asked]
        assert all(con.execute(sql).fetchall() for sql in asked) and len(asked) == 2
    # What the model line uses was selected.
    assert {"AVAL", "CNSR", "TRTP"} <= set(columns[1])


def command_lines() -> list[str]:
    lines = [line for block in blocks() for line in block.splitlines()]
    found = [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?dosetrail ", line)]
    found += re.findall(r"`(dosetrail [a-z][^`]*)`", README.replace("\n", " "))
    return sorted({re.split(r"\s+#|[|>]", line)[0].strip() for line in found})


@pytest.mark.parametrize("line", command_lines())
def test_every_command_exists_with_its_options(line: str) -> None:
    """Parsed, not run: `...`, N and the like stand for what a person fills in."""
    command: Any = get_command(assemble())
    rest = shlex.split(line)[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} - {"..."} <= known


def test_every_view_and_macro_it_names_is_there() -> None:
    with duckdb.connect(str(release_file(AUTOINJECTOR).resolve()), read_only=True) as con:
        there = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        there |= {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        there |= {name for (name,) in con.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}
    named = set(re.findall(r"`(ad[a-z]{2,3}|sdtm_\w+|dose_\w+|\w+_summary|\w+_incidence|control_total_check)`", README))
    assert len(named) > 15 and named <= there
