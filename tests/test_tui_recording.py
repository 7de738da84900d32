"""What can be recorded about a patient, from the key u to the ledger."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest
from desk_study import copy_desk_study, drive
from studies import trial_file
from tui_driver import Driver

from store.ledger_chain import LedgerRow
from store.study import Study
from tui.cli import run
from tui.pages import Pages
from tui.recording import REASON, Blank, Entry, entries_about


@pytest.fixture
def study(desk_study_made: Path, tmp_path: Path) -> Study:
    return copy_desk_study(desk_study_made, tmp_path / "study")


async def choose(driver: Driver, meaning: str) -> list[str]:
    """Open the list about the patient under the cursor and choose a line; the first question is then asked."""
    lines = await driver.press("u")
    place = next(number for number, line in enumerate(lines[2:]) if meaning in line)
    return await driver.press(*["down"] * place, "enter")


async def fill(driver: Driver, *answers: str) -> list[str]:
    """Answer the questions: in place of what is proposed, or with it where the answer is empty."""
    for answer in answers:
        proposed = driver.lines()[-2].rpartition(": ")[2].partition("_")[0]
        keys = [{" ": "space", "-": "minus"}.get(sign, sign) for sign in answer]
        lines = await driver.press(*["backspace"] * (len(proposed) if answer else 0), *keys, "enter")
    return lines


def last(study: Study) -> LedgerRow:
    return study.ledger.read()[-1]


def test_a_deviation_is_recorded_and_the_command_is_said(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("2", "home")
        lines = await choose(driver, "A protocol deviation")
        assert lines[-2].startswith(" what happened: ") and "1 of 4" in lines[-1]
        lines = await fill(driver, "-5 mg missing", "", "major", "diary")
        assert lines[0].startswith(" dosetrail deviation record --on=") and "ended with 0" in lines[0]
        assert any("D-" in line and "is recorded (major)" in line for line in lines)
        lines = await driver.press("escape")
        assert lines[0].startswith(" 2 PATIENTS")

    drive(study, script)
    row = last(study)
    assert (row.action, row.reason) == ("record_deviation", "diary")
    assert (row.new_value["subject_id"], row.new_value["term"]) == ("S1", "-5 mg missing")


def test_a_withdrawal_and_a_shipment_go_to_the_ledger(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("2", "end", "enter")
        await choose(driver, "consent is withdrawn")
        lines = await fill(driver, "2026-03-09", "keep", "letter")
        assert "ended with 0" in lines[0]
        await driver.press("escape")
        await choose(driver, "sent to site 01")
        assert "ended with 0" in (await fill(driver, "PEN-9", "2026-03-10", "shipment 3"))[0]

    drive(study, script)
    withdrawn, shipped = study.ledger.read()[-2:]
    assert (withdrawn.action, withdrawn.record, withdrawn.reason) == ("withdraw_consent", "subject/S2", "letter")
    assert (shipped.action, shipped.record, shipped.reason) == ("ship_device", "device/PEN-9", "shipment 3")


def test_escape_at_any_question_records_nothing(study: Study) -> None:
    head = study.ledger.head()

    async def script(driver: Driver) -> None:
        await driver.press("2", "home")
        await choose(driver, "consent is withdrawn")
        await fill(driver, "2026-03-09", "keep")
        lines = await driver.press("x", "escape")
        assert lines[0].startswith(" 2 PATIENTS")
        # What is wrong is said by the command, which records nothing.
        await choose(driver, "consent is withdrawn")
        lines = await fill(driver, "yesterday", "keep", "letter")
        assert "ended with 2" in lines[0]

    drive(study, script)
    assert study.ledger.head() == head


def test_what_a_command_says_of_an_arm_is_not_copied(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("colon", *"status", "enter")
        assert "ended with 0" in lines[0] and "Y copy" in lines[-1]
        await driver.press(
            "escape", "colon", *"unblind", "space", "S", "1", "space", *["minus"] * 2, *"reason", "space"
        )
        lines = await driver.press("x", "enter")
        assert "ended with" in lines[0] and "Y copy" not in lines[-1]

    drive(study, script)


def test_every_report_of_an_event_is_submitted_under_its_own_rule(study: Study) -> None:
    protocol = study.protocol_path.read_text()
    rule = '[[safety_rule]]\nid = "{}"\nsend_to = "authority"\nhours = 24\n'
    study.protocol_path.write_text(protocol + rule.format("early") + rule.format("late"))
    assert run(["release", "--study", str(study.root)]) in (0, 3)
    with closing(Pages(trial_file(study))) as pages:
        entries = pages.run_now(lambda: entries_about(pages, "S2", dt.date(2026, 3, 9)))
    words = {entry.meaning: entry.words(dict.fromkeys(entry.blanks, "x")) for entry in entries}
    assert words["Reported by rule early: event 1, [bold]fall"][-3:] == ["S2", "1", "early"]
    assert words["Reported by rule late: event 1, [bold]fall"][-3:] == ["S2", "1", "late"]
    assert len({tuple(line) for line in words.values()}) == len(entries)


def test_what_is_typed_is_never_an_option() -> None:
    blank = Blank("device")
    entry = Entry("", ("device", "lose"), {"on": "2026-01-01", "reason": REASON}, (blank,))
    assert entry.words({blank: "-x", REASON: "--force"}) == [
        "device", "lose", "--on=2026-01-01", "--reason=--force", "--", "-x",
    ]  # fmt: skip
