"""Deviations: proposed by a check, decided by a person, with their effect on the per-protocol population."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desk_study import drive
from studies import query, trial_file
from tui_driver import Driver

from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild

Capture = pytest.CaptureFixture[str]

PROTOCOL = """\
[study]
id = "STRAY"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[drug]]
name = "D"
unit = "mg"
[[check]]
id = "HIGH_DOSE"
table = "dose_event"
where = "delivered_amount > 8"
text = "The dose is above what the protocol allows."
[checks.deviations.HIGH_DOSE]
category = "dosing"
importance = "major"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stray")
    assert run(["init", str(folder / "study")]) == 0
    (folder / "study" / "protocol.toml").write_text(PROTOCOL)
    (folder / "people.csv").write_text("subject_id,site_id,arm_code\nS1,01,A\nS2,01,A\nS3,01,A\n")
    (folder / "pens.csv").write_text(
        "subject_id,native_key,start_local,delivered_amount\n"
        "S1,1,2026-03-01 08:00,9\nS2,2,2026-03-01 08:00,5\nS3,3,2026-03-01 08:00,12\n"
    )
    names = [str(folder / name) for name in ("people.csv", "pens.csv")]
    assert run(["import", "--study", str(folder / "study"), *names]) == 0
    return folder / "study"


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Study:
    import shutil

    return open_study(Path(shutil.copytree(made, tmp_path / "study", symlinks=True)))


def say(study: Study, capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--study", str(study.root), "--json"]) == code
    printed = capsys.readouterr()
    return json.loads(printed.out or printed.err)  # type: ignore[no-any-return]


def per_protocol(study: Study) -> list[str]:
    rows = query(trial_file(study), "SELECT subject_id FROM population WHERE population = 'per_protocol' AND member")
    return sorted(row[0] for row in rows)


def proposed(study: Study, capsys: Capture) -> dict[str, str]:
    rows = say(study, capsys, "deviations", "--state", "proposed")["rows"]
    return {row["subject_id"]: row["deviation_id"] for row in rows}


def test_a_check_proposes_and_a_person_decides(study: Study, capsys: Capture) -> None:
    waiting = proposed(study, capsys)
    assert sorted(waiting) == ["S1", "S3"] and per_protocol(study) == ["S1", "S2", "S3"]
    confirmed = say(study, capsys, "deviation", "confirm", waiting["S1"], "--reason", "diary agrees")
    assert (confirmed["state"], confirmed["importance"], confirmed["found_by"]) == ("confirmed", "major", "HIGH_DOSE")
    say(study, capsys, "deviation", "dismiss", waiting["S3"], "--reason", "allowed by amendment 2")
    again = say(study, capsys, "deviation", "dismiss", waiting["S1"], "--reason", "x", code=2)
    assert "is confirmed by" in again["message"]
    say(
        study, capsys, "deviation", "record", "S2", "visit 4 left out", "--excludes", "per_protocol",
        "--on", "2026-03-09", "--category", "visit", "--reason", "monitoring visit 3",
    )  # fmt: skip
    assert per_protocol(study) == ["S1", "S2", "S3"], "numbers never change inside a release"
    assert not proposed(study, capsys)
    assert not any(row["what"] == "deviation" for row in say(study, capsys, "worklist")["rows"])
    say(study, capsys, "release")
    assert per_protocol(study) == ["S3"]
    assert query(
        trial_file(study),
        "SELECT subject_id, state, category, importance, excludes_from FROM deviation_recorded ORDER BY 1",
    ) == [
        ("S1", "confirmed", "dosing", "major", None), ("S2", "recorded", "visit", "minor", "per_protocol"),
        ("S3", "dismissed", "dosing", "major", None),
    ]  # fmt: skip
    assert rebuild(study).differing == []
    # The finding still raises its query: a deviation is none.
    assert len(say(study, capsys, "queries", "--check", "HIGH_DOSE")["rows"]) == 2
    say(study, capsys, "undo", str(confirmed["ledger_seq"]), "--reason", "wrong subject")
    assert sorted(proposed(study, capsys)) == ["S1"]
    say(study, capsys, "release")
    assert per_protocol(study) == ["S1", "S3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "S9", "x"), "no subject S9"),
        (("record", "S1", " "), "says what happened"),
        (("record", "S1", "x", "--importance", "huge"), "no importance"),
        (("record", "S1", "x", "--excludes", "safety"), "No deviation excludes from safety"),
        (("confirm", "D-nothing"), "no deviation D-nothing"),
    ],
)
def test_what_is_no_deviation_is_refused(study: Study, capsys: Capture, words: tuple[str, ...], said: str) -> None:
    head = study.ledger.head()
    assert said in say(study, capsys, "deviation", *words, "--reason", "x", code=2)["message"]
    assert study.ledger.head() == head


def test_the_app_confirms_from_the_worklist(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("1", "slash")
        await driver.type("what:deviation")
        lines = await driver.press("enter")
        assert sum("deviation" in line for line in lines[3:-2]) == 2
        lines = await driver.press("c")
        await driver.type("diary agrees")
        lines = await driver.press("enter")
        assert "is confirmed" in lines[-2] and sum(" deviation " in line for line in lines[3:-2]) == 1
        lines = await driver.press("z")
        assert "Undone: confirm deviation" in lines[-2]

    drive(study, script)
    assert [row.action for row in study.ledger.read()][-2:] == ["confirm_deviation", "undo"]
