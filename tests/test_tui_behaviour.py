"""What happens when keys are pressed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from tui_driver import Driver, drive
from tui_release import subject_id

from tui.desk import ExportRefused, ExportWish, PastExports


def row_under_cursor(lines: list[str]) -> str:
    return next(line for line in lines if line.startswith(">"))


def test_a_patient_is_found_in_seven_keys() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("slash", *"1037", "enter", "enter")
        assert lines[0].startswith(f" {subject_id(37)}")
        assert lines[0].endswith("patient 1 of 1")

    drive(script)


def test_filter_words_narrow_the_list_while_typing() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("slash")
        lines = await driver.type("site:702")
        assert lines[1] == " / site:702_"
        assert lines[-2].startswith(" 20 of 60 patients")
        lines = await driver.type(" ae:")
        assert lines[-2].startswith(" 5 of 60 patients")
        lines = await driver.type(" zzz")
        assert "  No patients match site:702 ae: zzz" in lines
        assert any("Esc clears" in line for line in lines)
        lines = await driver.press("escape")
        assert lines[-2].startswith(" 60 patients")

    drive(script)


def test_an_unknown_word_says_which_words_there_are() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("slash")
        lines = await driver.type("foo:1")
        assert lines[-2].startswith(" no word foo: here; words are subject: status: day<")
        assert "  No patients match foo" in lines  # still the rows of the last filter that was understood

    drive(script)


def test_tab_completes_a_filter_word() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("slash")
        lines = await driver.press(*"si", "tab", *"703")
        assert lines[1] == " / site:703_"
        assert lines[-2].startswith(" 20 of 60")

    drive(script)


def test_the_cursor_stays_on_its_patient_when_the_order_changes() -> None:
    async def script(driver: Driver) -> None:
        before = row_under_cursor(await driver.press(*["down"] * 7)).split()[0]
        lines = await driver.press("s", "c")
        assert row_under_cursor(lines).split()[0] == before
        assert "comp%^" in lines[2]
        lines = await driver.press("s", "c")
        assert row_under_cursor(lines).split()[0] == before
        assert "comp%v" in lines[2]
        assert lines[-2].startswith(" 60 patients, sorted by comp%, reversed")
        lines = await driver.press("slash", *"70", "enter")
        assert row_under_cursor(lines).split()[0] == before

    drive(script)


@pytest.mark.parametrize("letter", list("satdceli"))
def test_every_column_sorts_both_ways(letter: str) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("s", letter)
        ascending = [line[1:] for line in (await driver.press("home"))[3:20]]
        await driver.press("s", letter)
        descending = [line[1:] for line in (await driver.press("home"))[3:20]]
        assert ascending != descending

    drive(script)


def test_a_letter_without_a_column_changes_nothing() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("s", "z")
        assert lines[-2].startswith(" No column has the letter z")
        lines = await driver.press("s", "escape", "down")
        assert lines[-2].startswith(" 60 patients ")

    drive(script)


def test_n_and_p_walk_the_filtered_list() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("slash", *"site", "colon", *"701", "enter", "enter")
        lines = await driver.press("n", "n")
        assert lines[0].split()[0] == subject_id(9)
        assert lines[0].endswith("patient 3 of 20")
        lines = await driver.press("p", "escape")
        assert row_under_cursor(lines).split()[0] == f">{subject_id(6)}"
        assert "2 of 20" in lines[-2]

    drive(script)


def test_tabs_keep_their_place_while_walking() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("enter", "tab")
        assert "[Doses 10]" in lines[1]
        lines = await driver.press("n")
        assert "[Doses 10]" in lines[1]
        lines = await driver.press("shift+tab", "shift+tab")
        assert "[History]" in lines[1]

    drive(script)


def test_missed_doses_are_filtered_and_every_row_names_file_and_line() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("enter", "tab", "slash")
        lines = await driver.type("state:taken")
        shown = [line for line in lines if " taken " in line and "2025" in line]
        assert shown and all(line.split()[-2] == "doses.csv" and line.split()[-1].isdigit() for line in shown)
        await driver.press("escape", "slash")
        lines = await driver.type("state:missed")
        assert lines[-2].startswith(" 1 of 10 doses")
        lines = await driver.press("enter", "enter")
        assert " WHAT BECAME OF IT" in lines and any("missed" in line for line in lines)

    drive(script)


def test_keys_typed_ahead_are_not_lost() -> None:
    async def script(driver: Driver) -> None:
        # All in the queue before the first one is handled, as on a slow line.
        for key in ["slash", *"1012", "enter", "enter", "tab", "tab", "escape", "5", "tab"]:
            driver.app.simulate_key(key)
        lines = await driver.press("tab")
        assert lines[0].startswith(" 5 ARMS")
        assert "[Adverse events]" in lines[1]
        lines = await driver.press("2")
        assert lines[1] == " / 1012"

    drive(script)


def test_places_keep_their_state() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("slash", *"70", "enter", "s", "l", "down", "down")
        before = driver.lines()
        await driver.press("5", "i", "tab", "6")
        assert await driver.press("2") == before

    drive(script)


@pytest.mark.parametrize(("key", "heading"), [("1", "1 WORKLIST"), ("3", "3 QUERIES"), ("4", "4 QUARANTINE")])
def test_places_of_work_open_with_one_key_and_keep_their_place(key: str, heading: str) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press(key)
        assert lines[0].startswith(f" {heading}")
        there = await driver.press("end")
        await driver.press("2")
        assert await driver.press(key) == there

    drive(script)


def test_a_key_that_does_nothing_says_where_to_look() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("w")
        assert lines[-2].startswith(" w does nothing here; ? lists the keys that do")
        lines = await driver.press("down")
        assert lines[-2].startswith(" 60 patients")

    drive(script)


def test_help_lists_valid_keys_finds_and_runs_them() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("question_mark")
        assert not any("Next tab" in line for line in lines)
        lines = await driver.press(*"results")
        assert lines[3] == ">5          Results by arm"
        lines = await driver.press("enter")
        assert lines[0].startswith(" 5 ARMS")
        lines = await driver.press("question_mark")
        assert any("Next family of results" in line for line in lines)
        lines = await driver.press("escape")
        assert lines[0].startswith(" 5 ARMS")

    drive(script)


def test_q_leaves_a_record_and_quits_only_from_a_place() -> None:
    async def script(driver: Driver) -> None:
        await driver.press("enter")
        lines = await driver.press("q")
        assert lines[0].startswith(" 2 PATIENTS")
        await driver.press("escape", "escape")
        assert driver.app.is_running
        await driver.pilot.press("q")
        assert driver.app.return_code == 0

    drive(script)


def test_blinded_lists_have_no_arm_to_filter_or_sort_by() -> None:
    async def script(driver: Driver) -> None:
        assert "BLINDED" in driver.lines()[0]
        lines = await driver.press("s", "a")
        assert lines[-2].startswith(" No column has the letter a")
        lines = await driver.press("5", "tab")
        assert "blinded, so pooled over all arms" in lines[-2]
        assert "all arms" in lines[3]

    drive(script, kind="blinded")


def test_the_unblinded_file_of_a_blinded_trial_shows_arms_and_says_so() -> None:
    async def script(driver: Driver) -> None:
        lines = driver.lines()
        assert lines[0].endswith("release 7  UNBLINDED")
        assert " PBO " in lines[3]

    drive(script, kind="unblinded")


def test_results_stand_with_denominators_differences_and_sentences() -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("5", "tab")
        assert lines[3].split() == ["PBO", "LOW", "HIGH"]
        assert lines[4].split()[-6:] == ["177/200", "88.5%", "168/200", "84.0%", "159/200", "79.5%"]
        assert "diff. to PBO" in lines[5] and "-4.5 (-11.6,2.4)" in lines[5]
        assert " wear: not assessable: no wear intervals were recorded" in lines

    drive(script)


def test_exports_are_written_by_what_the_app_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[ExportWish] = []

    def exporter(wish: ExportWish) -> str:
        asked.append(wish)
        return f"60 rows written to {wish.target.name}"

    async def script(driver: Driver) -> None:
        await driver.press("slash", *"lo", "enter", "x", "f")
        lines = await driver.press("enter")
        assert lines[-2].startswith(" 60 rows written to patients-release7.xlsx")
        assert asked == [ExportWish("patients", "xlsx", tmp_path / "patients-release7.xlsx", "lo")]
        await driver.press("t", *["backspace"] * 200, *"other", "enter", "enter")
        assert asked[1].target == Path("other")
        assert driver.app.last_export == Path("other")

    drive(script, exporter=exporter)


def test_the_view_is_exported_in_two_keys_and_identity_is_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[ExportWish] = []

    def exporter(wish: ExportWish) -> str:
        asked.append(wish)
        return "written"

    async def script(driver: Driver) -> None:
        await driver.press("x", "enter")
        lines = await driver.press("i")
        assert any(line.startswith(" Identity    as-is   [deidentified]") for line in lines)
        await driver.press("enter")
        assert [wish.identity for wish in asked] == ["as-is", "deidentified"]
        assert [wish.target.name for wish in asked] == ["patients-release7.csv", "patients-release7-deid.csv"]

    drive(script, exporter=exporter)


def test_past_exports_are_listed_and_made_again() -> None:
    row = ("12", "2026-11-27", "doses", "de-id.", "38,940", "0123abcd", "changed", "d\x1b[31m.csv")
    again: list[str] = []

    def make(number: str) -> str:
        again.append(number)
        return "made again"

    async def script(driver: Driver) -> None:
        driver.app.desk = replace(driver.app.desk, past_exports=PastExports(lambda: [row], make))
        lines = await driver.press("6", "tab")
        assert any("12  " in line and "changed" in line for line in lines)
        assert any(line.startswith(" Command    dosetrail export again 12") for line in lines)
        lines = await driver.press("enter")
        assert again == ["12"] and lines[-2].startswith(" made again")
        lines = await driver.press("tab")
        assert any("All results" in line for line in lines)

    drive(script, exporter=lambda wish: "written")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ExportRefused("The file holds something else. Choose another path."), "The file holds something else"),
        (PermissionError(13, "Permission denied"), "Not written: Permission denied"),
    ],
)
def test_an_export_that_fails_says_why(problem: Exception, said: str) -> None:
    def exporter(wish: ExportWish) -> str:
        raise problem

    async def script(driver: Driver) -> None:
        lines = await driver.press("x", "enter")
        assert lines[-2].startswith(f" {said}")

    drive(script, exporter=exporter)


def test_pasted_text_goes_where_one_types() -> None:
    async def script(driver: Driver) -> None:
        from textual.events import Paste

        driver.app.post_message(Paste("ignored: nothing is being typed"))
        await driver.press("slash")
        driver.app.post_message(Paste("site:702\n\x1b[31m"))
        lines = await driver.press("backspace")
        assert lines[1].startswith(" / site:702")
        assert all(line.isprintable() for line in lines)

    drive(script)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["hostile", "blinded"])
def test_any_sequence_of_keys_is_survived(seed: int, kind: str) -> None:
    keys = ["down", "up", "pagedown", "pageup", "home", "end", "enter", "escape", "tab", "shift+tab", "backspace"]
    keys += [
        "slash",
        "question_mark",
        *"ajknprsxit123456ftclvmyY",
        "equals_sign",
        "grave_accent",
        "plus",
        "space",
        "colon",
        "left",
        "right",
        "delete",
    ]
    chosen = random.Random(seed)

    async def script(driver: Driver) -> None:
        for _ in range(60):
            lines = await driver.press(chosen.choice(keys))
            assert all(len(line) <= 80 and line.isprintable() for line in lines)

    drive(script, kind=kind)


def test_no_key_means_two_things_on_one_screen() -> None:
    from tui.keymap import SCREENS, keys_of

    for screen in SCREENS:
        names = [name for key in keys_of(screen) for name in key.press if key.action != "back"]
        assert len(names) == len(set(names)), screen
