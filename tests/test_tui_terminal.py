"""The app in a real pseudo-terminal: bytes over the wire, hostile data, and what it takes to start and to leave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from ptyscreen import QUIET, PtyScreen, app_command
from tui_release import release

START, ROW, PAGE, SWITCH = 16_000, 450, 3_500, 9_000
"""Bytes: at 64 kbit/s a page takes less than half a second."""

# What the app itself may send besides text: cursor moves, text attributes, modes of the terminal, its title.
ALLOWED = re.compile(
    rb"\x1b\[\d+;\d+H|\x1b\[[\d;]*m|\x1b\[\?\d+[hl]|\x1b\[\?\d+\$p|\x1b\[[<>]\d*u|\x1b\]22;default\x07|\r|\n"
)


def control_bytes(sent: bytes) -> set[bytes]:
    """Control bytes that are none of the app's own sequences."""
    rest = ALLOWED.sub(b"", sent)
    text = rest.decode("utf-8")
    return {char.encode() for char in text if ord(char) < 32 or 127 <= ord(char) < 160 or 0x2028 <= ord(char) <= 0x202E}


PLACES = {
    "2": ("2 PATIENTS", ("Down", "Up"), ("PgDn", "End", "Home")),
    "3": ("3 QUERIES", (), ()),
    "4": ("4 QUARANTINE", (), ()),
    "5": ("5 ARMS", ("Down", "Up"), ("PgDn", "Home")),
    "i": ("IMPORTS", ("Down", "Up"), ()),
    "1": ("1 WORKLIST", ("Down", "Up"), ()),
    "6": ("6 EXPORTS", (), ("Down", "Up", "PgDn")),  # another row there is another form below the list
}
"""Title of each place, keys there that move by a row, keys that show another page; each of them paints something."""


def test_bytes_stay_within_their_budgets_on_every_place() -> None:
    with PtyScreen(app_command(str(release()), "cp437")) as app:
        app.wait_for("4 items")
        assert app.lines[0].startswith(" 1 WORKLIST")
        assert len(app.sent) <= START

        def measure(key: str, most: int) -> None:
            app.send(key)
            sent = app.settle(quiet_s=0.3, first_s=5.0)
            assert sent <= most, f"{key} on {app.lines[0]}: {sent} bytes"

        for place, (heading, row_keys, page_keys) in PLACES.items():
            app.send(place)
            assert app.wait_for(heading) <= SWITCH, heading
            for key in row_keys:
                measure(key, ROW)
            for key in page_keys:
                measure(key, PAGE)
        app.send("2")
        app.wait_for("60 patients")
        for key, most in (("/", ROW), ("7", PAGE), ("Esc", PAGE), ("s", ROW), ("c", PAGE)):
            measure(key, most)
        for key in ("Enter", "Tab", "Tab", "n", "Tab", "Tab", "Tab", "v", "Esc", "Esc", "m", "Esc", "?", "Esc", "`"):
            measure(key, SWITCH)
        for key in (":", "p", "Tab", "Esc"):
            measure(key, ROW)
        assert app.settle(quiet_s=2.0) == 0
        assert app.press("\x1b[O") == 0  # the window loses the focus
        assert app.press("\x1b[I") == 0


def open_patients(app: PtyScreen) -> None:
    app.wait_for("items")
    app.press("2")
    app.wait_for("60 patients")


def test_the_app_opens_on_what_waits_and_else_on_the_patients() -> None:
    with PtyScreen(app_command(str(release()))) as app:
        app.wait_for("4 items")
        assert app.lines[0].startswith(" 1 WORKLIST")
        app.press("Esc", "2", "Enter", "1")
        assert app.lines[0].startswith(" 1 WORKLIST")
    with PtyScreen(app_command(str(release("empty")))) as app:
        app.wait_for("This release holds no patient.")
        assert app.lines[0].startswith(" 2 PATIENTS")
        app.press("1")
        app.wait_for("Nothing waits for you")


def test_hostile_data_never_reach_the_terminal() -> None:
    with PtyScreen(app_command(str(release("hostile")), "unicode", "\x1b]0;title\x07[/]\x9b31m")) as app:
        open_patients(app)
        for key in [
            "Enter",
            "Tab",
            "Enter",
            "Esc",
            "Tab",
            "Enter",
            "q",
            "q",
            "i",
            "Enter",
            "q",
            "Tab",
            "Enter",
            "5",
            "6",
        ]:
            app.press(key)
        assert "[/] [red]x[/blue]" in app.sent.decode("utf-8")
        app.press("2", "q")
        assert app.finish() == 0
        assert control_bytes(app.sent) == set()


def test_no_color_sends_no_colour() -> None:
    with PtyScreen(app_command(str(release())), environ={"NO_COLOR": "1"}) as app:
        open_patients(app)
        app.press("Down")
        attributes = {code for codes in re.findall(rb"\x1b\[([\d;]*)m", app.sent) for code in codes.split(b";")}
        assert attributes <= {b"", b"0", b"1", b"7", b"39", b"49"}


def test_keys_typed_before_the_first_screen_are_obeyed() -> None:
    with PtyScreen(app_command(str(release()))) as app:
        open_patients(app)
        app.press("/", "1", "0", "3", "7", "Enter", "Enter", "Tab")
        assert app.lines[0].startswith(" DT-702-1037")
        assert "[Doses 10]" in app.lines[1]


def test_leaving_gives_the_terminal_back() -> None:
    with PtyScreen(app_command(str(release()))) as app:
        open_patients(app)
        app.press("q")
        assert app.finish() == 0
        assert app.sent.rstrip().endswith((b"\x1b[?1004l", b"\x1b[?25h")), app.sent[-200:]


def test_a_defect_ends_in_words_and_not_in_a_traceback() -> None:
    defect = "def fail(self): raise RuntimeError(chr(27) + ']52;c;ZXZpbA==' + chr(7))\n"
    program = app_command(str(release()))
    program[-1] = (
        f"from tui.screens.patients import PatientsScreen\n{defect}PatientsScreen.action_reset = fail\n{program[-1]}"
    )
    with PtyScreen(program) as app:
        open_patients(app)
        app.press("r")
        assert app.finish() == 1
        assert b"a defect in dosetrail (RuntimeError). Nothing was changed" in app.sent
        assert b"Traceback" not in app.sent
        assert control_bytes(app.sent) <= {b"\x07"}  # the bell, by Textual


def run_redirected(release_file: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = app_command(release_file)
    return subprocess.run(program, capture_output=True, text=True, env={**os.environ, **environ}, check=False)


def test_a_terminal_that_cannot_move_its_cursor_is_pointed_to_the_commands() -> None:
    with PtyScreen(app_command(str(release())), environ={"TERM": "dumb"}) as app:
        assert app.finish() != 0
        assert b"dosetrail summary" in app.sent
        assert b"\x1b" not in app.sent


def test_a_redirected_screen_is_refused() -> None:
    done = run_redirected(str(release()), {"TERM": "xterm"})
    assert done.returncode != 0
    assert "needs a terminal" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_damaged_release_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    from tui.pages import Pages, ReleaseUnreadable

    file = tmp_path / "trial.duckdb"
    file.write_bytes(content)
    with pytest.raises(ReleaseUnreadable, match="Nothing was changed"):
        Pages(file)
    with pytest.raises(ReleaseUnreadable, match="Nothing was changed"):
        Pages(tmp_path / "absent.duckdb")


def test_the_app_loads_neither_polars_nor_pyarrow() -> None:
    question = (
        "import sys, asyncio; sys.path.insert(0, 'tests'); from tui_driver import drive\n"
        "async def script(driver):\n"
        "    for key in ['enter', 'tab', '5', 'i', '6', 'question_mark']: await driver.press(key)\n"
        "drive(script); print(*{'polars', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


MILLION = """
INSERT INTO quarantine (source_id, line, table_name, reason, field, value, message, subject_id)
SELECT 'aa0000000002', i, 'dose_event', ['unknown_subject', 'bad_number'][i % 2 + 1]::quarantine_reason, 'subject_id',
       'S' || i, 'no such subject', printf('S%03d-%07d', i % 1000, i) FROM range(1000000) AS t(i)
"""


def million(folder: Path) -> Path:
    """A release with a million rows in quarantine."""
    file = folder / "trial.duckdb"
    file.write_bytes(release().read_bytes())
    con = duckdb.connect(str(file))
    con.execute("DELETE FROM quarantine")
    con.execute(MILLION)
    con.close()
    return file


def test_a_million_rows_take_little_memory_and_few_bytes(tmp_path: Path) -> None:
    with PtyScreen(app_command(str(million(tmp_path)))) as app:
        open_patients(app)
        app.press("i")
        app.press("Tab")
        app.wait_for("1,000,000 rows")
        assert app.press("Down") <= ROW
        assert app.press("End") <= PAGE
        assert "1,000,000 of 1,000,000" in app.lines[-2]
        assert app.press("PgUp") <= PAGE
        browsed = app.memory_mb()
        app.press("/", "0", "3", "1", "8")
        app.wait_for(" of 1,000,000 rows")
        app.press("Enter", "s", "v")
        app.wait_for("sorted by found")
        print(f"{browsed:.0f} MB browsed, {app.memory_mb():.0f} MB filtered and sorted")
        assert browsed <= 120
        assert app.memory_mb() <= 135


@pytest.mark.slow
def test_a_million_rows_answer_in_time(tmp_path: Path) -> None:
    file = str(million(tmp_path))
    started = time.monotonic()
    with PtyScreen(app_command(file)) as app:
        app.wait_for("500000 rows")
        assert time.monotonic() - started - QUIET <= 1.5
        for keys in (["i"], ["Tab"], ["Down"], ["End"], ["/"], ["0"], ["3"], ["1"], ["8"]):
            began = time.monotonic()
            app.press(*keys)
            took = time.monotonic() - began - QUIET
            print(f"{keys[0]:5} {1000 * took:.0f} ms")
            assert took <= 0.5
