"""Five coordinators at work while an import runs: nothing is lost, and of two who decide on one thing one is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from studies import query, trial_file

from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild

PEOPLE = 5
PROTOCOL = """\
[study]
id = "MANY"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""

PERSON = """
import json, sys
from pathlib import Path
from store.errors import DosetrailError
from store.deviations import Deviation
from store.study import open_study
from store.undoing import undo_entry
from tui.deviation_state import record_deviation
from tui.device_state import check_undo
from tui.quarantine_state import record_decision
from tui.query_state import record_step

study, number, own, shared, problem = open_study(Path(sys.argv[1])), *sys.argv[2:]
done, refused = [], []

def attempt(name, act):
    try:
        done.append((name, act()))
    except DosetrailError as error:
        refused.append((name, error.message))

def undo_last():
    seq = done[-1][1]
    entry = undo_entry(seq, study.ledger.read(), "mine")
    return study.ledger.append([entry], before_commit=lambda: check_undo(study, seq)).seq

print("ready", flush=True)
sys.stdin.readline()
attempt("answer", lambda: record_step(study, "answer_query", own, f"answer of {number}")[1].seq)
attempt("close", lambda: record_step(study, "close_query", shared, f"closed by {number}")[1].seq)
attempt("decide", lambda: record_decision(study, "reject_rows", problem, f"decided by {number}")[2].seq)
made = Deviation("", "S1", f"seen by {number}", None, "minor", None, None, "recorded", "")
attempt("deviation", lambda: record_deviation(study, made, "x")[1].seq)
attempt("undo", undo_last)
print(json.dumps({"done": done, "refused": refused}), flush=True)
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "people.csv").write_text("subject_id,site_id,arm_code\nS1,01,A\n")
    events = "".join(f"S1,{number},fall,,N,RELATED,2026-03-05\n" for number in range(1, PEOPLE + 2))
    (tmp_path / "events.csv").write_text(f"subject_id,event_seq,term,severity,serious,causality,start_text\n{events}")
    (tmp_path / "pens1.csv").write_text("subject_id,start_local,delivered_amount\nS9,2026-03-01 08:00,5\n")
    names = [str(tmp_path / name) for name in ("people.csv", "events.csv", "pens1.csv")]
    assert run(["import", "--study", str(folder), *names]) == 3
    return open_study(folder)


def test_five_at_once_and_an_import_lose_nothing(study: Study, tmp_path: Path) -> None:
    names = [row[0] for row in query(trial_file(study), "SELECT query_id FROM query ORDER BY 1")]
    capture = json.loads(_printed("quarantine", "--study", str(study.root), "--json"))
    problem = capture["rows"][0]["problem_id"]
    (tmp_path / "pens2.csv").write_text("subject_id,start_local,delivered_amount\nS1,2026-03-02 08:00,5\n")
    people = [
        subprocess.Popen(
            [sys.executable, "-c", PERSON, str(study.root), str(number), names[number], names[PEOPLE], problem],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for number in range(PEOPLE)
    ]
    for person in people:
        assert person.stdout is not None and person.stdout.readline() == "ready\n"
    before = len(study.ledger.read())
    for person in people:
        assert person.stdin is not None
        person.stdin.write("\n")
        person.stdin.flush()
    assert run(["import", "--study", str(study.root), str(tmp_path / "pens2.csv")]) == 0
    told: list[dict[str, Any]] = [json.loads(person.communicate(timeout=120)[0]) for person in people]

    done = [(name, seq) for one in told for name, seq in one["done"]]
    refused = [(name, message) for one in told for name, message in one["refused"]]
    by_name = {name: [other for other, _ in done].count(name) for name, _ in done}
    assert by_name == {"answer": PEOPLE, "close": 1, "decide": 1, "deviation": PEOPLE, "undo": PEOPLE}
    assert len(refused) == 2 * (PEOPLE - 1)
    assert all("closed" in message or "decided on" in message for _, message in refused)
    # Everything that was said to be recorded stands in the ledger, whose chain is whole, and nothing else.
    rows = study.ledger.read()
    study.ledger.verify_chain()
    of_people = [row for row in rows[before:] if row.action not in ("import_source", "make_release")]
    assert sorted(row.seq for row in of_people) == sorted(seq for _, seq in done)

    assert run(["release", "--study", str(study.root)]) == 0
    answers = query(trial_file(study), "SELECT query_id, answer FROM query WHERE state = 'answered' ORDER BY 1")
    assert answers == [(names[number], f"answer of {number}") for number in range(PEOPLE)]
    assert query(trial_file(study), "SELECT decision FROM quarantine") == [("rejected",)]
    assert query(trial_file(study), "SELECT count(*) FROM deviation_recorded") == [(0,)]
    assert query(trial_file(study), "SELECT count(*) FROM dose_event") == [(1,)]
    assert rebuild(study).differing == []


def _printed(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from tui.cli import main; main()", *words],
        capture_output=True, text=True, cwd=Path(__file__).parents[1], env={**os.environ}, check=True,
    ).stdout  # fmt: skip
