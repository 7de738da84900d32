"""The coordinator's day: checks raise queries, sites answer, data managers close, clocks run, and data mend."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import query, trial_file

from store.checks import BUILT_IN
from store.protocol_desk import SafetyRule
from store.safety_reports import due_at
from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild
from tui.roles import role_for

Capture = pytest.CaptureFixture[str]

PROTOCOL = """\
[study]
id = "DESK"
data_cut = 2026-04-30
[[site]]
id = "01"
time_zone = "America/New_York"
[[arm]]
code = "A"
[[arm.period]]
order = 1
element = "TRT"
duration_days = 90
[[drug]]
name = "D"
unit = "mg"
[[dosing]]
drug = "D"
amount = 5
unit = "mg"
at = [08:00:00]
amount_max = 10
[[visit]]
number = 1
name = "Week 2"
day = 15
window_before_d = 2
window_after_d = 2
[[visit]]
number = 2
name = "Week 4"
day = 29
[[safety_rule]]
id = "sponsor"
send_to = "sponsor"
hours = 24
[[safety_rule]]
id = "authority"
send_to = "authority"
working_days = 7
[[check]]
id = "LOW_AGE"
table = "subject"
where = "age < 18"
text = "The subject is younger than 18."
priority = "high"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""


def doses(subject: str, days: range, amount: str = "5", device: str = "P1") -> list[str]:
    first = dt.date(2026, 3, 1)
    return [f"{subject},{device},{device}-{day},{first + dt.timedelta(days=day)} 08:00:00,{amount}" for day in days]


def write_doses(path: Path, *groups: list[str]) -> None:
    rows = [row for group in groups for row in group]
    path.write_text("\n".join(["subject_id,device_id,native_key,start_local,delivered_amount", *rows]) + "\n")


@pytest.fixture
def study(tmp_path: Path, capsys: Capture) -> Study:
    """Four subjects with one fault each, or two."""
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "enrolment.csv").write_text(
        "subject_id,site_id,arm_code,age,consent_date,reference_start,participation_end,status\n"
        "S1,01,A,40,2026-02-01,2026-03-01,,on_treatment\n"
        "S2,01,A,16,2026-03-03,2026-03-01,,on_treatment\n"
        "S3,01,A,50,2026-02-01,2026-03-01,2026-03-20,discontinued\n"
        "S4,01,A,60,2026-02-01,2026-03-01,,on_treatment\n"
    )
    (tmp_path / "devices.csv").write_text(
        "device_id,subject_id,assigned_from_date,assigned_to_date\nP1,S1,2026-03-01,\nP9,S3,2026-03-01,\nP9,S4,2026-03-10,\n"
    )
    write_doses(
        tmp_path / "pens1.csv",
        doses("S1", range(60)), doses("S1", range(60, 61), "12"), doses("S2", range(60), device="P2"),
        doses("S3", range(25), device="P3"), doses("S4", [*range(20), *range(26, 61)], device="P4"),  # type: ignore[arg-type]
    )  # fmt: skip
    (tmp_path / "events.csv").write_text(
        "subject_id,event_seq,term,severity,serious,causality,start_text,end_text\n"
        "S1,1,headache,,N,NOT RELATED,2026-03-05,2026-03-04\n"
        "S2,1,fall,SEVERE,Y,,2026-03-06,\n"
    )
    (tmp_path / "visits.csv").write_text("subject_id,visit_number,visit,visit_date\nS1,1,Week 2,2026-03-14\n")
    files = [str(tmp_path / f"{name}.csv") for name in ("enrolment", "devices", "pens1", "events", "visits")]
    assert run(["import", "--study", str(folder), *files]) == 0
    capsys.readouterr()
    return open_study(folder)


def ask(study: Study, sql: str) -> list[tuple[Any, ...]]:
    return query(trial_file(study), sql)


def say(study: Study, capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    assert run([*words, "--study", str(study.root), "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_every_planted_fault_is_found_once(study: Study) -> None:
    found = ask(study, "SELECT check_id, subject_id, count(*) FROM finding GROUP BY ALL ORDER BY ALL")
    assert found == [
        ("AE_END_BEFORE_START", "S1", 1),
        ("AE_NO_CAUSALITY", "S2", 1),
        ("AE_NO_SEVERITY", "S1", 1),
        ("DEVICE_TWO_SUBJECTS", "S3", 1),
        ("DOSE_ABOVE_LIMIT", "S1", 1),
        ("DOSE_AFTER_END", "S3", 5),
        ("DOSE_BEFORE_CONSENT", "S2", 2),
        ("LOW_AGE", "S2", 1),
        ("NO_DOSE_DAYS", "S4", 1),
        ("VISIT_MISSED", "S3", 1),
    ]
    assert ask(study, "SELECT detail FROM finding WHERE check_id = 'NO_DOSE_DAYS'") == [("2026-03-21 to 2026-03-26",)]
    # Each is a query with a question and a day; what was found stands in the detail alone.
    assert ask(study, "SELECT count(*), count(DISTINCT q.query_id) FROM query q JOIN finding f "
               "ON f.finding_id = q.query_id WHERE q.state = 'open' AND q.text = f.text") == [(15, 15)]  # fmt: skip
    assert ask(study, "SELECT DISTINCT due_date - CAST(opened_utc AS DATE), priority FROM query ORDER BY 1") == [
        (7, "high"),
        (14, "medium"),
    ]


def test_visits_are_matched_one_to_one_and_a_list_says_what_is_new(
    study: Study, tmp_path: Path, capsys: Capture
) -> None:
    first = say(study, capsys, "queries")
    assert first["compared_with"] is None and first["resolved"] == []
    (tmp_path / "visits2.csv").write_text(
        "subject_id,visit_number,visit,visit_date\nS1,1,Week 2,2026-03-14\nS1,1,Week 2,2026-03-16\n"
        "S1,2,Week 4,2026-04-20\nS2,1,Week 2,2026-03-25\nS3,1,Week 2,2026-03-12\nS4,2,Week 4,2026-03-29\n"
    )
    say(study, capsys, "import", str(tmp_path / "visits2.csv"))
    columns = "subject_id, visit_number::INT, state, days_off"
    assert ask(study, f"SELECT {columns} FROM visit_check WHERE state <> 'not yet' ORDER BY ALL") == [
        ("S1", 1, "extra", 1), ("S1", 1, "in window", -1), ("S1", 2, "done", 22), ("S2", 1, "late", 10),
        ("S3", 1, "early", -3), ("S3", 2, "not expected", None), ("S4", 1, "missed", None), ("S4", 2, "done", 0),
    ]  # fmt: skip
    told = say(study, capsys, "queries")
    assert told["compared_with"] == 1 and len(told["resolved"]) == 1  # the visit of S3 is no longer missed
    assert sorted((row["check_id"], row["subject_id"]) for row in told["rows"] if row["is_new"]) == [
        ("VISIT_MISSED", "S4"), ("VISIT_OUT_OF_WINDOW", "S2"), ("VISIT_OUT_OF_WINDOW", "S3"), ("VISIT_TWICE", "S1"),
    ]  # fmt: skip
    assert sum(not row["is_new"] for row in told["rows"]) == len(first["rows"]) - 1


def test_built_in_checks_ask_without_values() -> None:
    assert len({check.id for check in BUILT_IN}) == len(BUILT_IN)
    for check in BUILT_IN:
        assert "{" not in check.text and not any(char.isdigit() for char in check.text)


def first_of(study: Study, check: str) -> str:
    return str(ask(study, f"SELECT query_id FROM query WHERE check_id = '{check}' ORDER BY 1")[0][0])


def test_mended_data_close_the_query_and_the_check_opens_it_again(
    study: Study, tmp_path: Path, capsys: Capture
) -> None:
    severity, name = first_of(study, "AE_NO_SEVERITY"), first_of(study, "AE_NO_CAUSALITY")
    say(study, capsys, "query", "answer", name, "the site asks the investigator")
    events = (tmp_path / "events.csv").read_text()
    mended = events.replace("headache,,", "headache,MILD,").replace("SEVERE,Y,,", "SEVERE,Y,RELATED,")
    (tmp_path / "events2.csv").write_text(mended)
    say(study, capsys, "import", str(tmp_path / "events2.csv"))
    # Nobody had touched the first: it is gone with the finding. The second was answered: it is closed, by the data.
    assert ask(study, f"SELECT state, closed_by FROM query WHERE query_id = '{severity}'") == []
    assert ask(study, f"SELECT state, closed_by, answer FROM query WHERE query_id = '{name}'") == [
        ("closed", "data", "the site asks the investigator")
    ]
    assert rebuild(study, compare=True).same
    (tmp_path / "events3.csv").write_text(events.replace("headache", "head ache"))
    say(study, capsys, "import", str(tmp_path / "events3.csv"))
    states = dict(ask(study, f"SELECT query_id, state FROM query WHERE query_id IN ('{severity}', '{name}')"))
    assert states == {severity: "open", name: "answered"}


def test_what_a_person_waived_or_closed_stays_so(study: Study, capsys: Capture) -> None:
    waived, closed = first_of(study, "LOW_AGE"), first_of(study, "DOSE_ABOVE_LIMIT")
    say(study, capsys, "query", "waive", waived, "--reason", "approved by the ethics committee")
    told = say(study, capsys, "query", "close", closed, "--reason", "double dose was ordered")
    say(study, capsys, "release")
    assert ask(study, f"SELECT state, reason FROM query WHERE query_id IN ('{waived}', '{closed}') ORDER BY 1") == [
        ("closed", "double dose was ordered"),
        ("cancelled", "approved by the ethics committee"),
    ]
    # Undone, it is open again; nothing is erased.
    say(study, capsys, "undo", str(told["ledger_seq"]), "--reason", "the wrong query")
    say(study, capsys, "release")
    assert ask(study, f"SELECT state FROM query WHERE query_id = '{closed}'") == [("open",)]
    shown = say(study, capsys, "query", "show", closed)
    assert [step["step"] for step in shown["history"]] == ["close_query"]


def test_a_query_of_a_person_goes_its_way(study: Study, capsys: Capture) -> None:
    told = say(study, capsys, "query", "raise", "S1", "Dose of 3 March: \x1b[31mtwice?", "--field", "delivered_amount")
    name = told["query_id"]
    assert name == f"Q-{told['ledger_seq']:04d}"
    listed = {row["query_id"]: row for row in say(study, capsys, "queries", "--subject", "S1")["rows"]}
    assert (listed[name]["state"], listed[name]["pending"]) == ("open", True)
    say(study, capsys, "query", "answer", name, "once; see the source")
    say(study, capsys, "query", "reopen", name, "--reason", "which source?")
    say(study, capsys, "query", "answer", name, "diary, page 4")
    say(study, capsys, "query", "close", name, "--reason", "accepted")
    for words in (
        ("answer", name, "late"),
        ("close", name, "--reason", "again"),
        ("close", "Q-9999", "--reason", "x"),
        ("raise", "S99", "who?"),
        ("raise", "S1", " "),
    ):
        assert "error" in say(study, capsys, "query", *words, code=2)
    say(study, capsys, "release")
    row = ask(study, f"SELECT state, answer, closed_by IS NOT NULL, check_id FROM query WHERE query_id = '{name}'")
    assert row == [("closed", "diary, page 4", True, None)]
    # Escape sequences of a question do not reach the terminal.
    assert run(["query", "show", name, "--study", str(study.root)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_worklist_by_time_left(study: Study, capsys: Capture) -> None:
    told = say(study, capsys, "worklist", "--at", "2026-04-01 03:00")
    rows = told["rows"]
    # At three o'clock UTC it is still the last of March in New York.
    visits = [
        (row["subject_id"], row["problem"], row["overdue"], row["days_left"]) for row in rows if row["what"] == "visit"
    ]
    assert visits == [
        ("S2", "Week 2: window has passed", True, -14),
        ("S4", "Week 2: window has passed", True, -14),
        ("S1", "Week 4: window has passed", True, -2),
        ("S2", "Week 4: window has passed", True, -2),
        ("S4", "Week 4: window has passed", True, -2),
    ]
    assert [row["what"] for row in rows[:5]] == ["visit"] * 5
    assert {row["what"] for row in rows} == {"visit", "query", "report"}
    assert [row["overdue"] for row in rows] == sorted((row["overdue"] for row in rows), reverse=True)
    answered = first_of(study, "AE_NO_SEVERITY")
    say(study, capsys, "query", "answer", answered, "it was mild")
    (item,) = [row for row in say(study, capsys, "worklist")["rows"] if row["ref"] == answered]
    assert (item["what"], item["problem"]) == ("answer", "answered: it was mild (pending)")


def test_reporting_clocks_run_from_awareness_to_submission(study: Study, capsys: Capture) -> None:
    basis = "SELECT rule_id, aware_basis, submitted_utc IS NULL FROM safety_report ORDER BY 1"
    assert ask(study, basis) == [
        ("authority", "first receipt (assumed)", True),
        ("sponsor", "first receipt (assumed)", True),
    ]
    say(study, capsys, "safety", "aware", "S2", "1", "--at", "2026-03-06 09:00", "--reason", "call")
    say(study, capsys, "safety", "submit", "S2", "1", "sponsor", "--at", "2026-03-06 20:00", "--reason", "mail")
    assert "error" in say(study, capsys, "safety", "aware", "S2", "7", "--at", "2026-03-06", "--reason", "x", code=2)
    say(study, capsys, "release")
    assert ask(study, "SELECT rule_id, aware_basis, due_utc, submitted_utc FROM safety_report ORDER BY 1") == [
        ("authority", "recorded", dt.datetime(2026, 3, 17, 23, 59, 59), None),
        ("sponsor", "recorded", dt.datetime(2026, 3, 7, 9), dt.datetime(2026, 3, 6, 20)),
    ]
    (item,) = [
        row for row in say(study, capsys, "worklist", "--at", "2026-03-18 12:00")["rows"] if row["what"] == "report"
    ]
    assert (item["ref"], item["overdue"]) == ("authority/1", True)


@given(st.dates(dt.date(2026, 1, 1), dt.date(2027, 1, 1)), st.integers(1, 30))
def test_working_days_are_never_weekends_and_never_fewer(day: dt.date, count: int) -> None:
    rule = SafetyRule(id="r", send_to="x", working_days=count)
    due = due_at(rule, dt.datetime.combine(day, dt.time(9)))
    between = [day + dt.timedelta(days=n) for n in range(1, (due.date() - day).days + 1)]
    assert due.date().weekday() < 5
    assert sum(one.weekday() < 5 for one in between) == count


def test_holidays_move_the_day() -> None:
    rule = SafetyRule(id="r", send_to="x", working_days=1, holidays=(dt.date(2026, 12, 25),))
    assert due_at(rule, dt.datetime(2026, 12, 24, 9)).date() == dt.date(2026, 12, 28)


def test_roles_say_who_may(study: Study, capsys: Capture) -> None:
    import os

    from store.errors import NotAllowed
    from store.permissions import user_name

    me = user_name(os.geteuid())
    assert role_for([], "close_query") is None
    assert role_for([("data_manager", me, None)], "close_query") == "data_manager"
    with pytest.raises(NotAllowed, match="close query is for data_manager"):
        role_for([("coordinator", me, None)], "close_query")
    protocol = study.protocol_path.read_text()
    study.protocol_path.write_text(f'{protocol}\n[[role]]\nname = "coordinator"\nusers = ["{me}"]\n')
    say(study, capsys, "release")
    name = first_of(study, "LOW_AGE")
    assert "NotAllowed" in say(study, capsys, "query", "close", name, "--reason", "x", code=2)["error"]
    refused = say(study, capsys, "cut", "interim", "--date", "2026-03-01", "--reason", "x", code=2)
    assert "name cut is for data_manager or statistician" in refused["message"]
    say(study, capsys, "query", "answer", name, "consent of the parents is there")
    say(study, capsys, "release")
    assert ask(study, "SELECT role FROM ledger WHERE action = 'answer_query'") == [("coordinator",)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[[check]]\nid = "BAD_ONE"\ntable = "no_table"\nwhere = "true"\ntext = "x"\n', "no table with subjects"),
        ('[[check]]\nid = "BAD_TWO"\ntable = "subject"\nwhere = "agee < 3"\ntext = "x"\n', "is not understood"),
        ('[[safety_rule]]\nid = "x"\nsend_to = "y"\nhours = 1\nwhere = "nonsense ="\n', "is not understood"),
    ],
)
def test_a_rule_that_cannot_be_run_changes_nothing(study: Study, capsys: Capture, lines: str, said: str) -> None:
    before = study.protocol_path.read_text()
    study.protocol_path.write_text(f"{before}\n{lines}")
    told = say(study, capsys, "release", code=2)
    assert said in told["message"]
    assert ask(study, "SELECT release FROM build_info") == [(1,)]


def test_quarantine_is_grouped_with_what_takes_it_up(study: Study, tmp_path: Path, capsys: Capture) -> None:
    write_doses(tmp_path / "pens2.csv", doses("S77", range(3)), doses("", range(10, 11), device="P9"))
    say(study, capsys, "import", str(tmp_path / "pens2.csv"), code=3)
    groups = say(study, capsys, "quarantine")["rows"]
    assert [(group["reason"], group["about"], group["rows"], group["remedy"]) for group in groups] == [
        ("unknown_subject", "S77", 3, "the enrolment of subject S77"),
        ("unassigned_device", "P9", 1, "dosetrail device assign P9 SUBJECT --from DATE --reason ..."),
    ]


def test_as_of_shows_what_a_release_knew(study: Study, capsys: Capture, tmp_path: Path) -> None:
    """A query answered and an event mended after release 1: its lists stay as they were, and so does their export."""

    def export(out: Path) -> None:
        assert run(["export", "queries", "--as-of", "1", "--out", str(out), "--study", str(study.root)]) == 0
        capsys.readouterr()

    before = {what: say(study, capsys, what) for what in ("queries", "quarantine")}
    work = say(study, capsys, "worklist", "--as-of", "1")
    export(tmp_path / "1.json")
    [query_id] = {row["query_id"] for row in before["queries"]["rows"] if row["check_id"] == "LOW_AGE"}
    say(study, capsys, "query", "answer", query_id, "born in 2010, as entered")
    assert {row["state"] for row in say(study, capsys, "queries")["rows"]} == {"open", "answered"}
    assert say(study, capsys, "queries", "--as-of", "1") == before["queries"]
    (tmp_path / "more.csv").write_text((tmp_path / "events.csv").read_text().replace("2026-03-04", "2026-03-08"))
    write_doses(tmp_path / "pens2.csv", doses("NOBODY", range(3), device="P7"))
    assert run(["import", "--study", str(study.root), str(tmp_path / "more.csv"), str(tmp_path / "pens2.csv")]) == 3
    capsys.readouterr()
    assert say(study, capsys, "quarantine") != before["quarantine"]
    assert say(study, capsys, "quarantine", "--as-of", "1") == before["quarantine"]
    assert say(study, capsys, "queries")["rows"] != before["queries"]["rows"]
    assert say(study, capsys, "queries", "--as-of", "1") == before["queries"]
    assert say(study, capsys, "worklist", "--as-of", "1") == work
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "1.json"
    export(again)
    assert again.read_bytes() == (tmp_path / "1.json").read_bytes()
    capsys.readouterr()
    for what in (("summary",), ("patients",), ("patient", "S1"), ("queries",), ("quarantine",), ("worklist",)):
        assert run([*what, "--as-of", "9", "--study", str(study.root)]) == 2
        assert "9" in capsys.readouterr().err
