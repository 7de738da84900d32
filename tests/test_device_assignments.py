"""A device changes hands: rows wait until somebody records whose it was, and move in one audited step."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from studies import current_digest, query, trial_file

from store.device_actions import Assignment, Return, apply_returns
from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild

PROTOCOL = """\
[study]
id = "SWAP"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[drug]]
name = "D"
unit = "mg"
[[device]]
type = "PEN"
class = "pen"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""
DAYS = [f"2026-03-{day:02d}" for day in range(1, 11)]


@pytest.fixture
def study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Study:
    """Two subjects, and ten days of a pen nobody was given."""
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "enrolment.csv").write_text("subject_id,site_id,arm_code\nS1,01,A\nS2,01,A\n")
    doses = [f"PEN-1,{number},{day} 08:00,5" for number, day in enumerate(DAYS)]
    (tmp_path / "pens.csv").write_text("\n".join(["device_id,native_key,start_local,delivered_amount", *doses]) + "\n")
    assert run(["import", "--study", str(folder), str(tmp_path / "enrolment.csv"), str(tmp_path / "pens.csv")]) == 3
    capsys.readouterr()
    return open_study(folder)


def say(study: Study, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert run([*words, "--study", str(study.root), "--json"]) == code
    out = capsys.readouterr().out
    return json.loads(out) if out else {}


def doses(study: Study) -> dict[str, list[str]]:
    """Subject -> days of the doses the newest release gives them."""
    rows = query(trial_file(study), "SELECT subject_id, strftime(start_local, '%d') FROM dose_event ORDER BY ALL")
    return {subject: [day for _, day in group] for subject, group in itertools.groupby(rows, key=lambda row: row[0])}


def test_trap_25_a_swap_is_recorded_back_dated_previewed_and_undone(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = current_digest(study)
    first = ("device", "assign", "PEN-1", "S1", "--from", "2026-03-01", "--reason", "handed out")
    preview = say(study, capsys, *first, "--to", "2026-03-04", "--dry-run")
    assert (preview["recorded"], sum(row["rows"] for row in preview["rows_moved"])) == (False, 4)
    say(study, capsys, *first)
    say(study, capsys, "device", "return", "PEN-1", "--on", "2026-03-04", "--reason", "broken cap")
    second = ("device", "assign", "PEN-1", "S2", "--from", "2026-03-06", "--reason", "lent while hers was away")
    recorded = say(study, capsys, *second)
    assert doses(study) == {}, "numbers never change inside a release"
    assert say(study, capsys, "status")["ledger_rows_since_release"] == 3
    say(study, capsys, "release")
    assert doses(study) == {"S1": ["01", "02", "03", "04"], "S2": ["06", "07", "08", "09", "10"]}
    assert query(trial_file(study), "SELECT reason, count(*) FROM quarantine GROUP BY ALL") == [
        ("unassigned_device", 1)
    ]
    assert rebuild(study).differing == []
    told = say(study, capsys, "device", "history", "PEN-1")
    assert [(entry["action"], entry["stands"]) for entry in told["ledger"]] == [
        ("assign device", True), ("return device", True), ("assign device", True),
    ]  # fmt: skip
    say(study, capsys, "undo", str(recorded["ledger_seq"]), "--reason", "it was another pen")
    say(study, capsys, "release")
    assert doses(study) == {"S1": ["01", "02", "03", "04"]}
    for entry in told["ledger"][:2]:
        say(study, capsys, "undo", str(entry["seq"]), "--reason", "wrong serial typed")
    say(study, capsys, "release")
    assert current_digest(study) == empty and len(study.ledger.read()) > 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("assign", "PEN-1", "S2", "--from", "2026-03-05", "--reason", "x"), "subject S2 cannot have it on the same"),
        (("assign", "PEN-1", "S9", "--from", "2026-03-05", "--reason", "x"), "no subject S9"),
        (("assign", "PEN-1", "S1", "--from", "yesterday", "--reason", "x"), "yesterday is no date"),
        (("assign", "PEN-1", "S1", "--from", "2026-03-01", "--reason", " "), "A reason is needed"),
        (("return", "PEN-1", "--on", "2026-02-01", "--reason", "x"), "Nobody had device PEN-1"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    study: Study, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    say(study, capsys, "device", "assign", "PEN-1", "S1", "--from", "2026-03-01", "--reason", "handed out")
    before = len(study.ledger.read())
    assert run(["device", *words, "--study", str(study.root)]) == 2
    assert told in " ".join(capsys.readouterr().err.split()) and len(study.ledger.read()) == before


def test_returns_end_the_assignment_of_their_day_in_any_order() -> None:
    day = dt.date.fromisoformat
    held = [Assignment("P", day("2026-01-01"), "S1"), Assignment("P", day("2026-03-01"), "S1")]
    back = [
        Return("P", "S1", day("2026-01-20")),
        Return("P", "S1", day("2026-03-05")),
        Return("P", "S2", day("2026-01-03")),
    ]
    for order in itertools.permutations(back):
        assert [entry.end_date for entry in apply_returns(held, order)] == [day("2026-01-20"), day("2026-03-05")]


def test_what_a_subject_who_left_has_not_given_back_is_work(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say(study, capsys, "device", "ship", "PEN-1", "01", "--on", "2026-02-20", "--reason", "shipment 12")
    say(study, capsys, "device", "assign", "PEN-1", "S1", "--from", "2026-03-01", "--reason", "handed out")
    (tmp_path / "later.csv").write_text(
        "subject_id,site_id,arm_code,participation_end,status\nS1,01,A,2026-03-11,discontinued\nS2,01,A,,on_treatment\n"
    )
    say(study, capsys, "import", str(tmp_path / "later.csv"))
    (row,) = say(study, capsys, "device", "list", "--not-returned")["rows"]
    assert (row["device_id"], row["state"], row["subject_id"], row["site_id"], row["due_since"]) == (
        "PEN-1", "with subject", "S1", "01", "2026-03-11",
    )  # fmt: skip
    assert [item["ref"] for item in say(study, capsys, "worklist")["rows"] if item["what"] == "return"] == ["PEN-1"]
    lost = say(study, capsys, "device", "lose", "PEN-1", "--on", "2026-03-12", "--reason", "left on a train")
    say(study, capsys, "release")
    (row,) = say(study, capsys, "device", "list")["rows"]
    assert (row["state"], row["lost_date"], row["not_returned"]) == ("lost", "2026-03-12", "N")
    assert not any(item["what"] == "return" for item in say(study, capsys, "worklist")["rows"])
    assert rebuild(study).differing == []
    say(study, capsys, "undo", str(lost["ledger_seq"]), "--reason", "found again")
    say(study, capsys, "device", "return", "PEN-1", "--on", "2026-03-13", "--reason", "brought back")
    say(study, capsys, "release")
    assert [row["state"] for row in say(study, capsys, "device", "list")["rows"]] == ["returned"]
    assert say(study, capsys, "device", "history", "PEN-1")["ledger"][-1]["action"] == "return device"
    refused = ("device", "ship", "PEN-1", "99", "--on", "2026-03-01", "--reason", "x")
    assert run([*refused, "--study", str(study.root)]) == 2 and "no site 99" in capsys.readouterr().err
