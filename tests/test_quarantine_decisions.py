"""Decisions about rows in quarantine: corrected, rejected or excluded, all alike rows at once, undone and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desk_study import drive
from studies import current_digest, query, trial_file
from tui_driver import Driver

from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild

Capture = pytest.CaptureFixture[str]

PROTOCOL = """\
[study]
id = "HELD"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[drug]]
name = "D"
unit = "mg"
[[dosing]]
drug = "D"
amount = 5
unit = "mg"
at = [08:00:00]
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", drug = "D" }
"""
HEADER = "subject_id,device_id,native_key,device_seq,start_local,delivered_amount,amount_unit\n"


def log(*rows: str) -> str:
    return HEADER + "".join(f"{row}\n" for row in rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects; doses of a subject typed wrongly, a device typed wrongly, an odd unit, a bad date, a lost clock."""
    folder = tmp_path_factory.mktemp("held")
    assert run(["init", str(folder / "study")]) == 0
    (folder / "study" / "protocol.toml").write_text(PROTOCOL)
    (folder / "people.csv").write_text(
        "subject_id,site_id,arm_code,reference_start\n701-004,01,A,2026-03-01\n701-005,01,A,2026-03-01\n"
    )
    (folder / "devices.csv").write_text(
        "device_id,subject_id,assigned_from_date,assigned_to_date\nPEN-1,701-005,2026-02-01,\n"
    )
    (folder / "pens1.csv").write_text(
        log(
            "701-004,,a1,,2026-03-01 08:00,5,mg",
            "701-4,,a2,,2026-03-02 08:00,5,mg",
            "701-4,,a3,,2026-03-03 08:00,5,mg",
            ",PEN-l,b1,1,2026-03-01 08:00,5,mg",
            "701-004,,a4,,2026-03-04 08:00,5,MGS",
            "701-004,,a5,,31/02/2026 08:00,5,mg",
            ",PEN-1,c1,1,2000-01-01 00:10,5,mg",
            ",PEN-1,c2,2,2000-01-02 00:10,5,mg",
            "TEST,,t1,,2026-03-02 08:00,9,mg",
        )
    )
    names = [str(folder / name) for name in ("people.csv", "devices.csv", "pens1.csv")]
    assert run(["import", "--study", str(folder / "study"), *names]) == 3
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


def problem(study: Study, capsys: Capture, about: str) -> dict[str, Any]:
    rows = say(study, capsys, "quarantine")["rows"]
    return next(row for row in rows if about in (row["about"], row["reason"]))


def doses(study: Study) -> list[tuple[Any, ...]]:
    return query(
        trial_file(study), "SELECT subject_id, strftime(start_local, '%m-%d'), native_key FROM dose_event ORDER BY 3"
    )


def test_every_problem_says_what_can_be_done(study: Study, capsys: Capture) -> None:
    rows = say(study, capsys, "quarantine")["rows"]
    told = {(row["reason"], row["about"]): (row["rows"], row["corrects"], row["proposal"]) for row in rows}
    assert told == {
        ("unknown_subject", "701-4"): (2, "subject_id", "701-004"),
        ("unknown_subject", "TEST"): (1, "subject_id", None),
        ("unassigned_device", "PEN-l"): (1, "device_id", "PEN-1"),
        ("unknown_unit", "MGS"): (1, "amount_unit", "mg"),
        ("bad_date", "701-004"): (1, "start_local", None),
        ("impossible_time", "PEN-1"): (2, "clock", None),
    }


def test_decisions_become_doses_that_are_analysed_and_can_be_undone(
    study: Study, tmp_path: Path, capsys: Capture
) -> None:
    before, digest = doses(study), current_digest(study)
    wrong = problem(study, capsys, "701-4")["problem_id"]
    shown = say(study, capsys, "quarantine", "accept", wrong, "--reason", "typing error", "--dry-run")
    assert not shown["recorded"] and shown["changes"] == "2 rows (2 doses, 1 subject): subject id 701-4 becomes 701-004"
    say(study, capsys, "quarantine", "accept", wrong, "--reason", "typing error")
    device = problem(study, capsys, "PEN-l")["problem_id"]
    say(study, capsys, "quarantine", "accept", device, "--reason", "l for 1")
    unit = problem(study, capsys, "MGS")["problem_id"]
    say(study, capsys, "quarantine", "edit", unit, "mg", "--reason", "as on the label")
    date = problem(study, capsys, "bad_date")["problem_id"]
    say(study, capsys, "quarantine", "edit", date, "31/02/2026 08:00 = 2026-03-05 08:00", "--reason", "diary")
    clock = problem(study, capsys, "PEN-1")["problem_id"]
    say(study, capsys, "quarantine", "edit", clock, "2000-01-01 00:00 = 2026-03-06 08:00", "--reason", "seen at visit")
    say(
        study, capsys, "quarantine", "exclude", problem(study, capsys, "TEST")["problem_id"], "--reason", "training pen"
    )
    assert doses(study) == before, "numbers never change inside a release"
    assert {(row["state"], row["pending"]) for row in say(study, capsys, "quarantine")["rows"]} == {
        ("corrected", True), ("excluded", True),
    }  # fmt: skip
    say(study, capsys, "release")
    assert doses(study) == [
        ("701-004", "03-01", "a1"), ("701-004", "03-02", "a2"), ("701-004", "03-03", "a3"), ("701-004", "03-04", "a4"),
        ("701-004", "03-05", "a5"), ("701-005", "03-01", "b1"), ("701-005", "01-01", "c1"), ("701-005", "01-02", "c2"),
    ]  # fmt: skip
    # What the clock showed stays; when it was stands beside it, with who moved it.
    assert query(
        trial_file(study),
        "SELECT start_utc::VARCHAR, clock_rule, utc_offset_min FROM dose_event WHERE native_key LIKE 'c%' ORDER BY 1",
    ) == [("2026-03-06 07:10:00", "person", 60), ("2026-03-07 07:10:00", "person", 60)]
    taken = "SELECT subject_id, count(*) FROM dose_match WHERE status = 'taken' GROUP BY 1 ORDER BY 1"
    assert query(trial_file(study), taken) == [("701-004", 5), ("701-005", 3)]
    assert query(trial_file(study), "SELECT reason, decision FROM quarantine") == [("unknown_subject", "excluded")]
    assert query(trial_file(study), "SELECT old_value, new_value FROM row_correction WHERE line = 3") == [
        ("701-4", "701-004")
    ]
    assert query(
        trial_file(study), "SELECT rows_read, rows_new, rows_quarantined FROM source_file WHERE rows_read = 9"
    ) == [(9, 8, 1)]
    assert rebuild(study).differing == []
    assert not any(row["what"] == "quarantine" for row in say(study, capsys, "worklist")["rows"])

    # The next export of the same log, with one more dose of the same wrong subject: the decision holds.
    old = study.root.parent / "pens2.csv"
    old.write_text(
        log(
            "701-4,,a2,,2026-03-02 08:00,5,mg",
            "701-4,,a9,,2026-03-09 08:00,5,mg",
            "701-004,,a8,,2026-03-08 08:00,5,MGS",
        )
    )
    say(study, capsys, "import", str(old))
    assert [row for row in doses(study) if row[2] in ("a2", "a8", "a9")] == [
        ("701-004", "03-02", "a2"), ("701-004", "03-08", "a8"), ("701-004", "03-09", "a9"),
    ]  # fmt: skip
    for row in [row for row in study.ledger.read() if row.action in ("correct_rows", "exclude_rows")]:
        say(study, capsys, "undo", str(row.seq), "--reason", "on second thought")
    source = next(row for row in reversed(study.ledger.read()) if row.action == "import_source")
    say(study, capsys, "undo", str(source.seq), "--reason", "not yet")
    say(study, capsys, "release")
    assert current_digest(study) == digest and doses(study) == before


def test_a_subject_who_is_enrolled_after_all_gets_the_rows(study: Study, tmp_path: Path, capsys: Capture) -> None:
    wrong = problem(study, capsys, "701-4")["problem_id"]
    say(study, capsys, "quarantine", "accept", wrong, "--reason", "typing error")
    (tmp_path / "more.csv").write_text(
        "subject_id,site_id,arm_code,reference_start\n701-004,01,A,2026-03-01\n701-005,01,A,2026-03-01\n701-4,01,A,2026-03-01\n"
    )
    say(study, capsys, "import", str(tmp_path / "more.csv"))
    assert [row[0] for row in doses(study)] == ["701-004", "701-4", "701-4"]


@pytest.mark.parametrize(
    ("about", "words", "said"),
    [
        ("701-4", ("edit", "701-009"), "no subject 701-009"),
        ("TEST", ("accept",), "No fix is proposed"),
        ("MGS", ("edit", "spoons"), "spoons is no unit"),
        ("PEN-1", ("edit", "2026-03-06 08:00"), "not clear which time"),
        ("701-4", ("exclude", "--reason", " "), "A reason is needed"),
    ],
)
def test_what_cannot_be_decided_is_said_and_nothing_recorded(
    study: Study, capsys: Capture, about: str, words: tuple[str, ...], said: str
) -> None:
    name, head = problem(study, capsys, about)["problem_id"], study.ledger.head()
    given = words if "--reason" in words else (*words, "--reason", "x")
    told = say(study, capsys, "quarantine", given[0], name, *given[1:], code=2)
    assert said in told["message"] and study.ledger.head() == head


def test_a_second_decision_names_the_first(study: Study, capsys: Capture) -> None:
    name = problem(study, capsys, "701-4")["problem_id"]
    first = say(study, capsys, "quarantine", "reject", name, "--reason", "wrong trial")
    told = say(study, capsys, "quarantine", "accept", name, "--reason", "typing error", code=2)
    assert "decided on" in told["message"] and f"undo {first['ledger_seq']}" in told["remedy"]
    assert (
        "No row in quarantine" in say(study, capsys, "quarantine", "reject", "P-0", "--reason", "x", code=2)["message"]
    )


def test_an_amount_is_never_edited(study: Study, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "pens3.csv").write_text(log("701-004,,a7,,2026-03-07 08:00,five,mg"))
    say(study, capsys, "import", str(tmp_path / "pens3.csv"), code=3)
    name = problem(study, capsys, "bad_number")["problem_id"]
    told = say(study, capsys, "quarantine", "edit", name, "5", "--reason", "it was five", code=2)
    assert "what a device said is not edited" in told["message"]
    say(study, capsys, "quarantine", "exclude", name, "--reason", "not readable")
    say(study, capsys, "release")
    assert query(trial_file(study), "SELECT decision FROM quarantine WHERE reason = 'bad_number'") == [("excluded",)]


def test_the_app_hands_a_device_to_a_subject_and_accepts_a_fix(study: Study) -> None:
    async def script(driver: Driver) -> None:
        await driver.press("4", "slash")
        await driver.type("PEN-l")
        lines = await driver.press("enter")
        assert " a accept" in lines[-1]
        await driver.press("h")
        await driver.type("701-005 2026-02-01")
        lines = await driver.press("enter")
        assert "1 waiting row moves: device PEN-l at subject 701-005" in lines[-2]
        await driver.type("label is PEN-l")
        await driver.press("enter")
        lines = await driver.press("z")
        assert "Undone: assign device of PEN-l" in lines[-2]
        lines = await driver.press("a")
        assert "device id PEN-l becomes PEN-1" in lines[-2]
        await driver.type("l for 1")
        lines = await driver.press("enter")
        assert any("corrected*" in line for line in lines)

    drive(study, script)
    assert [row.action for row in study.ledger.read()][-3:] == ["assign_device", "undo", "correct_rows"]
