"""The places one works in: worklist, queries, quarantine, with answers that go to the ledger and can be undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk_study import copy_desk_study, drive, rows_of
from studies import query, trial_file
from tui_driver import Driver

from store.study import Study
from tui.cli import run
from tui.query_state import record_step


@pytest.fixture
def study(desk_study_made: Path, tmp_path: Path) -> Study:
    return copy_desk_study(desk_study_made, tmp_path / "study")


def test_a_query_is_answered_with_a_standard_answer_in_three_keys(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("3")
        assert lines[0].startswith(" 3 QUERIES")
        assert sorted(row.lstrip(">").split()[1:3] for row in rows_of(lines)) == [
            ["S1", "open"],
            ["S2", "open"],
            ["S2", "open"],
        ]
        first = rows_of(lines)[0].split()[0].lstrip(">")
        lines = await driver.press("a", "1", "enter")
        assert f"{first} is answered" in lines[-2]
        # The cursor stands on the next open one.
        assert rows_of(lines)[0].startswith(">") and first not in rows_of(lines)[0]
        lines = await driver.press("z")
        assert "Undone: answer query" in lines[-2]
        assert not any("*" in row for row in rows_of(lines))

    drive(study, script)
    answered = [row for row in study.ledger.read() if row.action == "answer_query"]
    assert [row.new_value["text"] for row in answered] == ["Checked against the source: correct as recorded"]


def test_a_patient_names_the_queries_to_answer_apart_from_their_text(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = [line.split() for line in await driver.press("2", "home", "enter")]
        assert ["To", "answer", "1", "open", "query"] in lines
        asked = query(trial_file(study), "SELECT query_id FROM query WHERE subject_id = 'S1'")
        assert [line[1] for line in lines if line[:1] == ["!"]] == [name for (name,) in asked]

    drive(study, script)


def test_a_list_says_what_a_check_found_before_it_asks(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("3")
        assert any("rash: The adver" in row for row in rows_of(lines))
        assert any("rash: The adver" in row for row in rows_of(await driver.press("1")))

    drive(study, script)
    assert run(["queries", "--study", str(study.root)]) == 0
    assert "rash: The adverse" in capsys.readouterr().out


def test_a_row_in_quarantine_shows_what_it_says_and_not_what_it_lacks(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("i", "tab", "enter")
        shown = [line.split() for line in lines]
        assert ["THE", "ROW", "AS", "IT", "WAS", "READ"] in shown and ["delivered", "amount", "5.0"] in shown
        assert not any("null" in line for line in lines)

    drive(study, script)


def test_a_device_whose_first_day_is_not_stated_says_so(study: Study, tmp_path: Path) -> None:
    listed = tmp_path / "devices.csv"
    listed.write_text(
        "device_id,subject_id,assigned_from_date,assigned_to_date\nP7,S1,,\nP8,S2,2026-03-01,2026-03-09\n"
    )
    assert run(["import", str(listed), "--study", str(study.root)]) in (0, 3)

    async def script(driver: Driver) -> None:
        assert any("start of the study to now" in line for line in await driver.press("2", "home", "enter"))
        assert any("2026-03-01 to 2026-03-09" in line for line in await driver.press("n"))

    drive(study, script)


def test_an_answer_is_typed_closed_and_reopened(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("3", "a")
        lines = await driver.type("mild")
        assert lines[1].startswith(" answer: mild_")
        lines = await driver.press("enter", "end")
        assert "answered*" in rows_of(lines)[-1]
        await driver.press("c")
        await driver.type("ok")
        lines = await driver.press("enter")
        assert any("closed*" in row for row in rows_of(lines))
        lines = await driver.press("end", "a", "2", "enter")
        assert "is closed by" in lines[-2] and "Nothing was recorded" not in lines[1]
        lines = await driver.press("end", "enter")
        assert any("QUERY, PENDING" in line for line in lines)

    drive(study, script)
    actions = [row.action for row in study.ledger.read() if row.action.endswith("_query")]
    assert actions == ["answer_query", "close_query"]


def test_escape_leaves_a_draft_unrecorded(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("3", "a")
        await driver.type("half an ans")
        lines = await driver.press("escape")
        assert "Nothing was recorded" in lines[-2]
        assert lines[1].startswith(" / state:open")

    drive(study, script)
    assert [row for row in study.ledger.read() if row.action == "answer_query"] == []


def test_the_worklist_opens_what_it_lists(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("1")
        assert lines[0].startswith(" 1 WORKLIST")
        assert {row.lstrip("> !").split()[0] for row in rows_of(lines)} == {"query", "quarantine"}
        lines = await driver.press("a", "3", "enter")
        assert any(row.lstrip("> !").startswith("answer ") for row in rows_of(lines))
        lines = await driver.press("end", "enter")
        assert any("unknown_subject" in line for line in lines), lines
        lines = await driver.press("q", "home", "enter", "end")
        assert any("WHAT THE CHECK FOUND" in line for line in lines)
        assert not any("\x1b" in line for line in lines)

    drive(study, script)


def test_quarantine_is_one_row_a_problem(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("4")
        (row,) = rows_of(lines)
        assert row.split()[:4] == [">", "2", "unknown", "subject"] and "S9" in row
        lines = await driver.press("enter")
        assert any("unknown_subject" in line for line in lines)

    drive(study, script)


def test_a_problem_is_decided_on_with_a_preview_and_undone(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("4")
        assert " e edit" in lines[-1] and " a accept" not in lines[-1]
        lines = await driver.press("e", "S", "8", "enter")
        assert "no subject S8" in lines[-2] and "waits" in rows_of(lines)[0]
        lines = await driver.press("e", "S", "2", "enter")
        assert "2 rows (2 doses, 1 subject): subject id S9 becomes S2" in lines[-2]
        await driver.type("typing error")
        lines = await driver.press("enter")
        assert "corrected*" in rows_of(lines)[0]
        lines = await driver.press("z")
        assert "Undone: correct rows" in lines[-2] and "waits" in rows_of(lines)[0]
        lines = await driver.press("l")
        assert "2 rows (2 doses, 1 subject) will be excluded" in lines[-2]
        lines = await driver.press("escape")
        assert "Nothing was recorded" in lines[-2]
        lines = await driver.press("d", "x", "enter")
        assert "rejected*" in rows_of(lines)[0] and " e edit" not in lines[-1]

    drive(study, script)
    assert [row.action for row in study.ledger.read()][-3:] == ["correct_rows", "undo", "reject_rows"]


def test_without_actions_nothing_can_be_written(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("3")
        assert " a answer" not in lines[-1]
        lines = await driver.press("a")
        assert "a does nothing here" in lines[-2]

    drive(study, script, writes=False)


def test_another_session_s_step_is_seen_and_wins(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("3")
        name = rows_of(lines)[0].split()[0].lstrip(">")
        record_step(study, "waive_query", name, "known")
        lines = await driver.press("a", "1", "enter")
        assert f"Query {name} is cancelled" in lines[-2]

    drive(study, script)
    assert query(trial_file(study), "SELECT count(*) FROM query WHERE state = 'open'") == [(3,)]
