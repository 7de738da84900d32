"""Rows before a consent or after its withdrawal wait in quarantine, are taken up by a form, and never analysed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from studies import query, trial_file

from store.study import Study, open_study
from tui.cli import run
from tui.rebuilding import rebuild

PROTOCOL = """\
[study]
id = "CONSENT"
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
FORMS = "subject_id,consent_version,signed_date,withdrawn_date,effect\n"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Ten doses each of three subjects; S1 named by the device alone, S3 without any form."""
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "people.csv").write_text("subject_id,site_id,arm_code,device_id\nS1,01,A,P1\nS2,01,A,P2\nS3,01,A,P3\n")
    days = [f"2026-03-{day:02d} 08:00" for day in range(1, 11)]
    rows = [f"{who},{pen},{day},5" for who, pen in (("", "P1"), ("S2", "P2"), ("S3", "P3")) for day in days]
    (tmp_path / "pens.csv").write_text("\n".join(["subject_id,device_id,start_local,delivered_amount", *rows]) + "\n")
    (tmp_path / "events.csv").write_text(
        "subject_id,event_seq,term,severity,causality,start_text\nS2,1,rash,MILD,RELATED,2026-02-01\n"
    )
    add(folder, tmp_path, "people.csv", "pens.csv", "events.csv", code=0)
    return open_study(folder)


def add(study: Path, folder: Path, *names: str, code: int) -> None:
    assert run(["import", "--study", str(study), *(str(folder / name) for name in names)]) == code


def doses(study: Study) -> dict[str, int]:
    return dict(query(trial_file(study), "SELECT subject_id, count(*) FROM dose_event GROUP BY 1"))


def waiting(study: Study) -> list[tuple[str, str, int]]:
    return query(
        trial_file(study),
        "SELECT CAST(reason AS VARCHAR), subject_id, count(*) FROM quarantine GROUP BY 1, 2 ORDER BY 1, 2",
    )


def test_rows_wait_for_the_form_and_are_taken_up(study: Study, tmp_path: Path) -> None:
    assert doses(study) == {"S1": 10, "S2": 10, "S3": 10}
    (tmp_path / "forms1.csv").write_text(f"{FORMS}S1,1,2026-03-04,,\nS2,1,2026-03-01,2026-03-07,stop\n")
    add(study.root, tmp_path, "forms1.csv", code=0)
    # The day of signing and that of the withdrawal count; who has no form is not judged.
    assert doses(study) == {"S1": 7, "S2": 7, "S3": 10}
    assert [(reason, count) for reason, _, count in waiting(study)] == [("after_withdrawal", 3), ("before_consent", 3)]
    counted = "SELECT rows_read, rows_new + rows_duplicate + rows_superseded + rows_quarantined, rows_quarantined"
    assert query(trial_file(study), f"{counted} FROM source_file WHERE format = 'dose_log'") == [(30, 30, 6)]
    # Safety data are kept whatever the consent says.
    assert query(trial_file(study), "SELECT count(*) FROM adverse_event") == [(1,)]
    assert rebuild(study, compare=True).same
    (tmp_path / "forms2.csv").write_text(
        f"{FORMS}S1,1,2026-03-01,,\nS2,1,2026-03-01,2026-03-07,stop\nS2,2,2026-03-09,,\n"
    )
    add(study.root, tmp_path, "forms2.csv", code=0)
    assert doses(study) == {"S1": 10, "S2": 9, "S3": 10}
    assert waiting(study) == [("after_withdrawal", "S2", 1)]
    assert rebuild(study, compare=True).same


CASES = {
    "the newer version withdrawn": ("N,1,2026-02-01,,\nN,2,2026-03-04,2026-03-07,stop", 7),
    "a withdrawal on a row of its own": ("N,1,2026-02-01,,\nN,2,,2026-03-07,stop", 7),
    "a withdrawn form with no day of signing": ("N,1,,2026-03-07,stop", 7),
    "a withdrawal without an effect": ("N,1,2026-02-01,2026-03-07,", 7),
    "a form replaced on the day": ("N,1,2026-02-01,2026-03-05,stop\nN,2,2026-03-05,,", 10),
    "withdrawn, and again after a new form": ("N,1,2026-02-01,2026-03-05,stop\nN,2,2026-03-08,2026-03-09,stop", 7),
    "signed and withdrawn on one day": ("N,1,2026-03-03,2026-03-03,stop", 1),
    "a withdrawal that keeps the data": ("N,1,2026-02-01,2026-03-05,keep", 10),
}
"""Forms of a subject N, and how many of its doses of 1 to 10 March they cover."""


@pytest.mark.slow
def test_who_stops_stops_for_every_version_until_a_later_form(study: Study, tmp_path: Path) -> None:
    names = {f"N{number}": case for number, case in enumerate(CASES.values(), 1)}
    people = [*(f"S{n},01,A,P{n}" for n in (1, 2, 3)), *(f"{name},01,A,Q{name}" for name in names)]
    rows = [f"{name},Q{name},2026-03-{day:02d} 08:00,5" for name in names for day in range(1, 11)]
    forms = [line.replace("N,", f"{name},", 1) for name, (text, _) in names.items() for line in text.splitlines()]
    (tmp_path / "more.csv").write_text("\n".join(["subject_id,site_id,arm_code,device_id", *people]) + "\n")
    (tmp_path / "pens2.csv").write_text("\n".join(["subject_id,device_id,start_local,delivered_amount", *rows]) + "\n")
    (tmp_path / "forms.csv").write_text(FORMS + "\n".join(forms) + "\n")
    add(study.root, tmp_path, "more.csv", "pens2.csv", "forms.csv", code=3)
    kept = doses(study)
    assert {case: kept[name] for case, name in zip(CASES, names, strict=True)} == {
        case: count for case, (_, count) in CASES.items()
    }
    assert sum(count for _, _, count in waiting(study)) == sum(10 - count for _, count in CASES.values())


def test_a_request_to_delete_stops_the_rows_and_is_work_until_answered(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*words, "--study", str(study.root), "--json"]) == code
        printed = capsys.readouterr()
        return dict(json.loads(printed.out or printed.err))

    def requests() -> list[str]:
        return [row["subject_id"] for row in say("worklist")["rows"] if row["what"] == "deletion"]

    words = ("consent", "withdraw", "S3", "--on", "2026-03-05", "--effect")
    assert "no effect" in say(*words, "erase", "--reason", "letter", code=2)["message"]
    told = say(*words, "delete_request", "--reason", "letter of 6 March")
    assert "not deleted" in " ".join(told["does"].split()) and doses(study)["S3"] == 10
    say("release")
    assert doses(study) == {"S1": 10, "S2": 10, "S3": 5} and requests() == ["S3"]
    assert waiting(study) == [("after_withdrawal", "S3", 5)]
    assert rebuild(study, compare=True).same
    say("consent", "answer", "S3", "--reason", "kept by law, letter of 2 May")
    say("undo", str(told["ledger_seq"]), "--reason", "it was another subject")
    say("release")
    assert doses(study)["S3"] == 10 and requests() == []
