"""A coordinator's tasks, each within its number of keys; and what one types after `:`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from desk_study import copy_desk_study, drive, rows_of
from tui_driver import Driver

from store.study import Study
from tui.cli import run
from tui.clipboard import clipboard_sequence


@pytest.fixture
def study(desk_study_made: Path, tmp_path: Path) -> Study:
    return copy_desk_study(desk_study_made, tmp_path / "study")


def under_cursor(lines: list[str]) -> str:
    """The row under the cursor."""
    return next((line for line in lines if line.startswith(">")), "").removeprefix(">").strip()


def says(*parts: str) -> Callable[[list[str]], bool]:
    """All of these stand on the screen."""
    return lambda lines: all(any(part in line for line in lines) for part in parts)


TASKS: dict[str, tuple[list[str], list[str], int, Callable[[list[str]], bool]]] = {
    # What was pressed before; what the task takes; how many keys it may take; what must be on the screen then.
    "what needs me today": ([], [], 0, says(" 1 WORKLIST", "4 items")),
    "open the most urgent": ([], ["enter"], 1, says(" QUERY  DESK")),
    "answer with a standard reason, go to the next": (
        ["3"], ["a", "3", "enter"], 3, lambda lines: "answered" in lines[-2] and " open " in under_cursor(lines),
    ),
    "find a patient by number": (["2"], ["slash", *"s2", "enter", "enter"], 7, says(" S2  A  enrolled")),
    "patients of a site, by words": (
        ["2"], ["slash", *"si", "tab", *"01", "enter"], 12, says(" / site:01", " 2 of 2 patients"),
    ),
    "doses of a patient": (["2", "enter"], ["tab"], 2, says("[Doses")),
    "adverse events of a patient": (["2", "enter"], ["tab", "tab"], 2, says("[AEs")),
    "queries of a patient": (
        ["2", "enter"], ["shift+tab", "shift+tab"], 2, says("[Queries", "The adverse event has", " 1 query "),
    ),
    "next patient of the list": (["2", "home", "enter"], ["n"], 1, says(" S2  A", "patient 2 of 2")),
    "compare arms": ([], ["5"], 1, says(" 5 ARMS")),
    "copy a subject": (["2", "home"], ["y"], 1, says("Sent to the terminal's clipboard: S1")),
    "undo the last answer": (["3", "a", "1", "enter"], ["z"], 3, says("Undone: answer query")),
    "back to where I was": (["2", "slash", *"s2", "enter", "3"], ["grave_accent"], 1, says(" 2 PATIENTS", " / s2")),
    "ask about a device alarm or any row": (
        ["2", "enter", "tab"], ["plus", *"pump?", "enter"], 10, says("is raised (ledger"),
    ),
    "only rows like this one": (["3"], ["equals_sign", "s"], 2, says(" / subject=S")),
    "how many of each": (["3"], ["f", "t"], 2, says("COUNTS  state, 4 rows", "answered*")),
    "the command behind a view": (["2", "slash", *"s2", "enter"], ["v"], 1, says("view patients --filter s2")),
    "any key, found and run": ([], ["question_mark", *"arm", "enter"], 5, says(" 5 ARMS")),
}  # fmt: skip


def test_every_task_within_its_number_of_keys(study: Study, tmp_path: Path) -> None:
    """One study and one session for all: each task starts from place 1 with nothing filtered."""

    async def script(driver: Driver) -> None:
        for task, (before, keys, most, done) in TASKS.items():
            assert len(keys) <= most, task
            await driver.press(*before)
            lines = await driver.press(*keys)
            assert done(lines), f"{task}:\n" + "\n".join(lines)
            while driver.app.place.is_record:
                await driver.press("escape")
            for place in ("2", "3"):
                await driver.press(place, "r")
            await driver.press("home", "1", "home")

    drive(study, script, personal=tmp_path / "mine")


def test_export_of_the_view_takes_two_keys(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.exporting import exporter_for

    monkeypatch.chdir(tmp_path)

    async def script(driver: Driver) -> None:
        driver.app.desk.exporter = exporter_for(study, unblinded=False)
        await driver.press("2", "slash", *"s2", "enter")
        lines = await driver.press("x", "enter")
        assert "written" in lines[-2], lines

    drive(study, script)
    (file,) = tmp_path.glob("patients-release1.csv")
    assert [line.split(",")[0] for line in file.read_text().splitlines() if line.startswith("S")] == ["S2"]


def test_the_command_line_jumps_filters_opens_and_runs(study: Study) -> None:
    async def line(driver: Driver, text: str) -> list[str]:
        await driver.press("colon")
        await driver.type(text)
        return await driver.press("enter")

    async def script(driver: Driver) -> None:
        assert says(" 2 PATIENTS", " / s2")(await line(driver, "patients s2"))
        assert (await line(driver, "patient S1"))[0].startswith(" S1  A")  # though the filter hides it
        assert says("No patient is called S7")(await line(driver, "patient S7"))
        await driver.press("colon")
        lines = await driver.type("quar")
        assert lines[-2].startswith(" :quar_")
        lines = await driver.press("tab")
        assert lines[-2].startswith(" :quarantine _")
        await driver.press("enter")
        assert driver.lines()[0].startswith(" 4 QUARANTINE")
        await driver.press("colon")
        await driver.type("query cl")
        lines = await driver.press("tab")
        assert lines[-2].startswith(" :query close _")
        await driver.press("escape")
        lines = await line(driver, "view queries --filter state:open")
        assert "ended with 0" in lines[0] and says("subject  state")(lines)
        assert says("3 rows.")(await driver.press("end"))
        lines = await line(driver, "dosetrail query answer Q-9999 ok")
        assert "ended with 2" in lines[0] and says("There is no query Q-9999")(lines)
        lines = await line(driver, "frobnicate")
        assert "No command is called frobnicate" in lines[-2]
        lines = await line(driver, 'patients "half')
        assert "quotation mark is not closed" in lines[-2]

    drive(study, script)


def test_views_are_saved_for_the_user_and_not_in_the_study(study: Study, tmp_path: Path) -> None:
    before = sorted(path.name for path in study.root.iterdir())

    async def first(driver: Driver) -> None:
        await driver.press("3", "slash", *"s2", "enter", "s", "n", "colon")
        await driver.type("save mine")
        assert "Saved as mine" in (await driver.press("enter"))[-2]

    async def later(driver: Driver) -> None:
        lines = await driver.press("m")
        assert under_cursor(lines).split() == ["mine", "queries", "s2", "question"]
        lines = await driver.press("enter")
        assert says(" 3 QUERIES", " / s2", "sorted by question")(lines)
        await driver.press("r", "colon")
        await driver.type("view mine")
        assert says(" / s2")(await driver.press("enter"))
        await driver.press("colon")
        await driver.type("forget mine")
        await driver.press("enter")
        assert says("No view is saved yet.", ":save NAME")(await driver.press("m"))

    drive(study, first, personal=tmp_path / "mine")
    drive(study, later, personal=tmp_path / "mine")
    assert sorted(path.name for path in study.root.iterdir()) == before


def test_the_command_of_a_view_prints_its_rows(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    words = []

    async def script(driver: Driver) -> None:
        await driver.press("3", "slash", *"s2", "enter", "s", "n", "s", "n")
        words.append([under_cursor([f">{row.lstrip('>')}"]) for row in rows_of(driver.lines())])
        text = " ".join(line.strip() for line in await driver.press("v"))
        words.append(re.search(r"(view queries .*?--reverse) ", text)[1].split())  # type: ignore[index]

    drive(study, script)
    shown, command = words
    capfd.readouterr()
    assert run([*command, "--study", str(study.root), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [row["query"] for row in document["rows"]] == [row.split()[0] for row in shown]
    assert document["filter"] == "s2" and document["release"] == 1


def test_history_of_a_patient_shows_who_did_what(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("3", "end", "a", "1", "enter", "z", "2")
        lines = await driver.press("slash", *"s2", "enter", "enter", "shift+tab")
        assert [row.lstrip(">").split()[3] for row in rows_of(lines)[1:]] == ["undo", "answer"]
        assert says("Checked against", "undone in the app")(lines)

    drive(study, script)


@pytest.mark.parametrize(
    ("environ", "wrapped"),
    [
        ({}, ["\x1b]52;c;{}\x07"]),
        ({"TMUX": "/tmp/x"}, ["\x1b]52;c;{}\x07", "\x1bPtmux;\x1b\x1b]52;c;{}\x07\x1b\\"]),
        ({"STY": "1.x"}, ["\x1bP\x1b]52;c;{}\x07\x1b\\"]),
    ],
    ids=["plain", "tmux", "screen"],
)
def test_the_clipboard_sequence_fits_where_it_passes(environ: dict[str, str], wrapped: list[str]) -> None:
    sent = clipboard_sequence("S1\t\u00b5", environ)
    coded = base64.b64encode("S1\t\u00b5".encode()).decode()
    assert sent == "".join(part.format(coded) for part in wrapped)


def test_what_is_copied_always_lies_in_a_file_too_and_holds_no_control_byte(study: Study, tmp_path: Path) -> None:
    async def script(driver: Driver) -> None:
        sent: list[str] = []
        driver.app.send = sent.append  # type: ignore[method-assign]
        await driver.press("2", "enter", "tab", "tab", "Y")
        text = base64.b64decode(re.search(r";c;([^\x07]*)\x07", sent[0])[1]).decode()  # type: ignore[index]
        assert "ache" in text and text.replace("\t", "").isprintable()
        assert (tmp_path / "mine" / "clip.txt").read_text() == text + "\n"

    drive(study, script, personal=tmp_path / "mine")
