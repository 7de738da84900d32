"""What changes while the app is open: a newer release, another user's answers, a connection that drops."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest
from desk_study import copy_desk_study, drive, rows_of
from ptyscreen import PtyScreen, study_command
from studies import trial_file
from tui_driver import Driver

from store.study import Study
from tui.query_state import record_step


@pytest.fixture
def study(desk_study_made: Path, tmp_path: Path) -> Study:
    return copy_desk_study(desk_study_made, tmp_path / "study")


def under_cursor(lines: list[str]) -> str:
    """The row under the cursor."""
    return next(line for line in lines if line.startswith(">")).removeprefix(">").strip()


async def publish(study: Study, file: Path) -> None:
    """As another user's session does, while this one runs."""
    program = await asyncio.create_subprocess_exec(
        *study_command(study, "import", str(file)), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await program.communicate()
    assert program.returncode in (0, 3), said


def test_a_newer_release_is_taken_up_on_every_place_without_losing_it(study: Study, tmp_path: Path) -> None:
    more = tmp_path / "people-more.csv"
    # S0 sorts before the others, so every row number moves; S9 gets known, so its doses leave quarantine.
    more.write_text("subject_id,site_id,arm_code\nS0,01,A\nS1,01,A\nS2,01,A\nS9,01,A\n")

    async def script(driver: Driver) -> None:
        before = {}
        for place in ("1", "3", "2", "5", "i"):
            await driver.press(place)
            if place in "23":
                await driver.press("slash", "s", "2", "enter")
            before[place] = await driver.press("end")
        await driver.press("3", "a")
        answered = under_cursor(await driver.press("1", "enter", "home"))
        assert "answered*" in " ".join(rows_of(driver.lines()))
        await driver.press("2", "enter", "tab", "tab", "down")
        shown = driver.lines()
        await publish(study, more)
        await driver.press("down")
        assert driver.lines()[0] == shown[0]  # nothing changes under one's hands before it is noticed
        await driver.app.look_for_news()
        lines = await driver.press()
        assert lines[-2].startswith(" Release 2 was published and is shown now, in place of release 1")
        # The same patient and tab and row, though her number in the list is another one.
        assert lines[0].startswith(" S2") and lines[1] == shown[1]
        assert under_cursor(lines) == under_cursor(shown)
        lines = await driver.press("escape")
        assert lines[0].endswith("release 2") and lines[1] == before["2"][1] == " / s2"
        assert under_cursor(lines) == under_cursor(before["2"])
        lines = await driver.press("escape")
        assert lines[-2].startswith(" 4 patients") and under_cursor(lines) == under_cursor(before["2"])
        lines = await driver.press("3")
        assert lines[0].endswith("release 2") and lines[1] == " / s2"
        assert under_cursor(lines).split()[0] == answered.split()[0]
        assert any(" answered " in row for row in rows_of(lines)), "what was pending is in the release now"
        for place in "1i":
            lines = await driver.press(place)
            assert lines[0].endswith("release 2")
            if "quarantine" not in under_cursor(before[place]):
                assert under_cursor(lines).split()[0] == under_cursor(before[place]).split()[0]
        lines = await driver.press("4")
        assert any("No row is in quarantine" in line for line in lines)
        assert (await driver.press("5"))[0].endswith("release 2")
        assert "release2" in " ".join(await driver.press("6"))

    drive(study, script)


def test_two_looks_at_once_open_the_newer_release_once(study: Study) -> None:
    async def script(driver: Driver) -> None:
        again = shutil.copytree(trial_file(study).parent, study.releases_dir / "2")
        study.current_link.unlink()
        study.current_link.symlink_to(again)
        await asyncio.gather(driver.app.look_for_news(), driver.app.look_for_news())
        assert len(driver.app.desk.left) == 1  # the release that was open before

    drive(study, script)


def test_text_being_typed_outlives_a_release_and_lands_on_its_query(study: Study) -> None:
    async def script(driver: Driver) -> None:
        name = under_cursor(await driver.press("3", "end")).split()[0]
        await driver.press("a")
        await driver.type("on the")
        again = shutil.copytree(trial_file(study).parent, study.releases_dir / "2")
        study.current_link.unlink()
        study.current_link.symlink_to(again)
        await driver.app.look_for_news()
        assert (await driver.press())[-2].startswith(" Release 1 was published and is shown now")
        lines = await driver.type(" diary")
        assert lines[1] == " answer: on the diary_"
        lines = await driver.press("enter")
        assert f"{name} is answered" in lines[-2]

    drive(study, script)
    (row,) = [row for row in study.ledger.read() if row.action == "answer_query"]
    assert row.new_value["text"] == "on the diary"


def test_answers_of_others_appear_as_pending_without_a_key(study: Study) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press("3")
        name = under_cursor(lines).split()[0]
        at = under_cursor(await driver.press("end"))
        record_step(study, "answer_query", name, "seen")
        await driver.app.look_for_news()
        lines = await driver.press()
        assert any(name in row and "answered*" in row for row in rows_of(lines))
        assert under_cursor(lines) == at  # though its number is another one now
        before = driver.app.desk.edition
        await driver.app.look_for_news()
        assert driver.app.desk.edition == before  # nothing new: nothing is read again

    drive(study, script)


def test_a_release_that_cannot_be_read_leaves_the_old_one_on_the_screen(study: Study) -> None:
    async def script(driver: Driver) -> None:
        before = rows_of(await driver.press("3"))
        broken = study.releases_dir / "9"
        broken.mkdir()
        (broken / "trial.duckdb").write_bytes(b"no database")
        study.current_link.unlink()
        study.current_link.symlink_to(broken)
        await driver.app.look_for_news()
        lines = await driver.press()
        assert lines[-2].startswith(" A newer release cannot be read, this is still release 1")
        assert rows_of(lines) == before
        await driver.app.look_for_news()
        assert rows_of(await driver.press("2", "3")) == before

    drive(study, script)


def test_a_terminal_that_is_gone_ends_the_app_though_nobody_sends_a_signal(study: Study) -> None:
    with PtyScreen(study_command(study)) as app:
        app.wait_for("items")
        assert app.hang_up() == -signal.SIGHUP


def test_a_draft_survives_a_dropped_connection_and_is_offered_again(study: Study, tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with PtyScreen(study_command(study), environ=environ) as app:
        app.wait_for("4 items")
        app.send("3", "a", *"half a rea")
        app.wait_for(" answer: half a rea_")
        name = under_cursor(app.lines).split()[0]
        app.kill(signal.SIGHUP)
        assert app.finish() != 0
    with PtyScreen(study_command(study), environ=environ) as app:
        app.wait_for(f"Unsent draft for {name}")
        app.send("3", "a")
        app.wait_for(" answer: half a rea_")
        assert "Your unsent draft" in app.lines[-2]
        app.send(*"son", "Enter")
        app.wait_for(f"{name} is answered")
        app.send("1")
        app.wait_for(" 1 WORKLIST")
        assert not any("Unsent draft" in line for line in app.lines)
    (row,) = [row for row in study.ledger.read() if row.action == "answer_query"]
    assert row.new_value["text"] == "half a reason"
    # It is the user's, and not in the study.
    (drafts,) = tmp_path.glob("state/dosetrail/study-*/drafts.json")
    assert drafts.read_text() == "{}" and drafts.stat().st_mode & 0o077 == 0


def test_a_draft_left_with_escape_is_kept_for_its_query_alone(study: Study, tmp_path: Path) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("3", "c")
        await driver.type("why")
        lines = await driver.press("escape")
        assert "Nothing was recorded; the draft is kept" in lines[-2]
        assert (await driver.press("a"))[1] == " answer: _"
        await driver.press("escape", "down")
        assert (await driver.press("c"))[1] == " reason to close: _"
        await driver.press("escape", "up")
        assert (await driver.press("c"))[1] == " reason to close: why_"
        await driver.press(*["backspace"] * 3, "escape")
        assert (await driver.press("c"))[1] == " reason to close: _"

    drive(study, script, personal=tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["drafts.json"]
