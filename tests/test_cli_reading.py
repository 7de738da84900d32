"""The commands that read a release: summary, patients, patient, sql, status; what they print and how they
refuse.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_release import make_release_file, make_small_study

from store.study import Study
from tui.cli import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_small_study(tmp_path_factory.mktemp("reading") / "small trial")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("DOSETRAIL_STUDY", raising=False)


def committed(study: Study) -> str:
    """The ledger row that committed the release, as an anchor."""
    [row] = study.ledger.read(actions=("make_release",))
    return f"{row.hash}@{row.seq}"


def ask(capsys: Capture, *words: str, code: int = 0) -> str:
    assert run(words) == code
    out = capsys.readouterr()
    assert out.err == ""
    return out.out


def ask_json(capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    text = ask(capsys, *words, "--json", code=code)
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


def refused(capsys: Capture, *words: str, code: int) -> list[str]:
    """The three lines of a refusal; nothing on stdout."""
    assert run(words) == code
    out = capsys.readouterr()
    assert out.out == ""
    lines = out.err.splitlines()
    assert len(lines) == 3, lines
    return lines


def test_summary_shows_counts_share_interval_and_difference(study: Study, capsys: Capture) -> None:
    text = ask(capsys, "summary", "--study", str(study.root))
    squeezed = " ".join(text.split())
    assert "as recorded 2/2 100% 3/4 75.0% interval (15.8 to 100) (19.4 to 99.4)" in squeezed
    assert "diff. to PBO -25.0 (-70.0 to 50.0)" in squeezed
    assert "not assessable: fill in [[dosing]] amount of arm ACT" in squeezed
    assert "descriptive, not adjusted" in squeezed
    assert f"Ledger head {committed(study)}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_summary_json_is_the_result_table(study: Study, capsys: Capture) -> None:
    from store.tables import TABLES

    document = ask_json(capsys, "summary", "--study", str(study.root))
    assert (document["release"], document["ledger_head"], document["data_cut"]) == (1, committed(study), None)
    assert len(document["rows"]) == 4
    for row in document["rows"]:
        assert list(row) == list(TABLES["result"].column_names)
    taken = next(row for row in document["rows"] if row["arm"] == "ACT" and row["statistic"] == "share")
    assert (taken["numerator"], taken["denominator"], taken["value"], taken["lower"]) == (3, 4, 0.75, 0.194)


def test_summary_of_one_family_and_population(study: Study, capsys: Capture) -> None:
    rows = ask_json(capsys, "summary", "compliance", "--study", str(study.root))["rows"]
    assert {row["analysis"] for row in rows} == {"compliance"}
    rows = ask_json(capsys, "summary", "--population", "accuracy_evaluable", "--study", str(study.root))["rows"]
    assert [row["parameter"] for row in rows] == ["dose_conformity"]
    lines = refused(capsys, "summary", "--population", "fas", "--study", str(study.root), code=2)
    assert lines[2] == "There are: accuracy_evaluable, safety."


def test_patients_are_listed_and_filtered_with_the_words_of_the_app(study: Study, capsys: Capture) -> None:
    rows = ask_json(capsys, "patients", "--study", str(study.root))["rows"]
    assert [(row["subject"], row["status"], row["comp"]) for row in rows] == [
        ("S07-001", "enrolled", 100.0),
        ("S07-002", "enrolled", 100.0),
        ("S08-003", "died", 50.0),
    ]
    words = ("patients", "--filter", "comp<80 site:s08", "--study", str(study.root))
    assert [row["subject"] for row in ask_json(capsys, *words)["rows"]] == ["S08-003"]
    text = ask(capsys, *words)
    assert text.startswith("1 of 3 patients match 'comp<80 site:s08'.")
    lines = refused(capsys, "patients", "--filter", "colour:red", "--study", str(study.root), code=2)
    assert "no word colour: here" in lines[0]


def test_patient_shows_each_row_with_file_and_line(study: Study, capsys: Capture) -> None:
    text = ask(capsys, "patient", "S08-003", "--study", str(study.root))
    dose = next(line for line in text.splitlines() if line.startswith("2014-01-03"))
    assert dose.split()[-2:] == ["ec\\x1b[31m.csv", "5"]
    assert any(line.split() == ["2014-01-04", "missed"] for line in text.splitlines())
    document = ask_json(capsys, "patient", "S08-003", "--study", str(study.root))
    assert [row["state"] for row in document["doses"]] == ["taken", "missed"]
    assert document["doses"][0]["line"] == 5
    assert document["adverse_events"][0]["term"] == "rash \x1b[2J[bold]"


def test_unknown_patient_is_told_the_nearest(study: Study, capsys: Capture) -> None:
    lines = refused(capsys, "patient", "S08-03", "--study", str(study.root), code=2)
    assert lines[0] == "There is no patient S08-03 in release 1."
    assert "S08-003" in lines[2]


@pytest.mark.parametrize(
    "words",
    [
        ("summary",),
        ("patients",),
        ("patient", "S08-003"),
        ("patient", "S07-002"),
        ("status",),
        ("sql", "FROM adverse_event"),
    ],
)
def test_no_escape_sequence_reaches_the_terminal(words: tuple[str, ...], study: Study, capsys: Capture) -> None:
    for more in ((), ("--json",)):
        text = ask(capsys, *words, "--study", str(study.root), *more)
        assert all(char == "\n" or char.isprintable() for char in text)


def test_sql_answers_as_table_json_and_csv(study: Study, capsys: Capture) -> None:
    query = (
        "SELECT status, count(*) AS n, 0.5::DECIMAL(4,2) AS half FROM dose_match GROUP BY ALL ORDER BY n DESC, status"
    )
    where = ("--study", str(study.root))
    assert [line.split() for line in ask(capsys, "sql", query, *where).splitlines()[2:]] == [
        ["taken", "4", "0.5"],
        ["late", "1", "0.5"],
        ["missed", "1", "0.5"],
    ]
    document = ask_json(capsys, "sql", query, *where)
    assert [column["name"] for column in document["columns"]] == ["status", "n", "half"]
    assert document["rows"][0] == {"status": "taken", "n": 4, "half": 0.5}
    assert ask(capsys, "sql", query, "--csv", *where).splitlines()[:2] == ["status,n,half", "taken,4,0.50"]


def test_sql_csv_neutralises_formulas(study: Study, capsys: Capture) -> None:
    text = ask(capsys, "sql", "SELECT term FROM adverse_event ORDER BY line", "--csv", "--study", str(study.root))
    assert text.splitlines()[1].startswith("\"'=HYPERLINK")


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO subject SELECT * FROM subject",
        "CREATE TABLE mine (a INTEGER)",
        "DROP TABLE subject",
        "UPDATE subject SET sex = 'F'",
        "COPY subject TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "SET enable_external_access = true",
        "PRAGMA disable_checkpoint_on_shutdown",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "SELECT 1; DROP TABLE subject",
        "",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('protocol.toml')",
        "SELECT * FROM glob('*')",
        "SELEC 1",
        "SELECT no_such_column FROM subject",
        "SELECT * FROM no_such_table",
        "SELECT 'x'::INTEGER",
    ],
)
def test_sql_refuses_everything_but_reading_the_release(
    query: str, study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = refused(capsys, "sql", query, "--study", str(study.root), code=2)
    assert lines[1] == "Nothing was changed."
    assert not list(tmp_path.iterdir())
    error = ask_json(capsys, "sql", query, "--study", str(study.root), code=2)
    assert error["error"] == "UsageProblem"


def test_sql_json_is_whole_or_an_error(study: Study, capsys: Capture) -> None:
    """A row that fails after thousands of good ones must not leave half a document."""
    query = "SELECT CASE WHEN i = 29999 THEN error('late') ELSE i END AS i FROM range(30000) t(i)"
    error = ask_json(capsys, "sql", query, "--study", str(study.root), code=2)
    assert "late" in error["message"]


def test_long_sql_results_say_that_there_is_more(study: Study, capsys: Capture) -> None:
    assert run(["sql", "SELECT i FROM range(1000) t(i)", "--study", str(study.root)]) == 0
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 202
    assert "--all" in out.err
    assert (
        len(ask(capsys, "sql", "SELECT i FROM range(1000) t(i)", "--all", "--study", str(study.root)).splitlines())
        == 1002
    )


def test_status_says_what_is_current_and_what_is_in_quarantine(study: Study, capsys: Capture) -> None:
    document = ask_json(capsys, "status", "--study", str(study.root))
    assert document["release"] == 1
    assert document["release_ledger_head"] == committed(study)
    assert document["ledger_head"] == str(study.ledger.head())
    assert document["quarantine"][0]["reason"] == "unknown_subject"
    assert [entry["rows_read"] for entry in document["files"]] == [3, 6]
    text = ask(capsys, "status", "--study", str(study.root))
    assert "unknown subject" in text
    assert "protocol.toml was changed since the release" in " ".join(text.split())


def test_a_study_without_release_says_what_to_do(tmp_path: Path, capsys: Capture) -> None:
    from store.study import create_study

    create_study(tmp_path / "new")
    lines = refused(capsys, "summary", "--study", str(tmp_path / "new"), code=2)
    assert "no release yet" in lines[0]
    assert "dosetrail import" in lines[2]
    assert ask_json(capsys, "status", "--study", str(tmp_path / "new"))["release"] is None


def test_the_study_is_found_by_option_variable_or_folder(
    study: Study, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = refused(capsys, "patients", code=10)
    assert lines[0].endswith("holds no study.")
    assert "3 of 3 patients" in ask(capsys, "--study", str(study.root), "patients")
    monkeypatch.setenv("DOSETRAIL_STUDY", str(study.root))
    assert "3 of 3 patients" in ask(capsys, "patients")
    refused(capsys, "patients", "--study", str(tmp_path), code=10)
    monkeypatch.delenv("DOSETRAIL_STUDY")
    monkeypatch.chdir(study.root)
    assert "3 of 3 patients" in ask(capsys, "patients")


def test_damaged_release_is_an_integrity_failure(tmp_path: Path, capsys: Capture) -> None:
    broken = make_small_study(tmp_path / "broken")
    file = broken.releases_dir / "000001" / "trial.duckdb"
    file.chmod(0o644)
    file.write_bytes(b"not a database")
    lines = refused(capsys, "summary", "--study", str(broken.root), code=14)
    assert "dosetrail rebuild" in lines[2]
    assert ask_json(capsys, "patients", "--study", str(broken.root), code=14)["exit_code"] == 14


def test_an_earlier_release_can_be_read_by_its_number(study: Study, capsys: Capture) -> None:
    assert ask_json(capsys, "summary", "--as-of", "1", "--study", str(study.root))["release"] == 1
    lines = refused(capsys, "summary", "--as-of", "9", "--study", str(study.root), code=2)
    assert lines[2] == "Kept are: 1."


def test_blinded_release_prints_no_arm_anywhere(tmp_path: Path, capsys: Capture) -> None:
    blinded = make_small_study(tmp_path / "blinded")
    file = blinded.releases_dir / "000001" / "trial.duckdb"
    file.unlink()
    arms = {
        "arm": [],
        "result": ["arm", "comparator"],
        "subject": ["arm_code", "actual_arm_code"],
        "treatment_period": ["arm_code"],
        "dose_event": ["delivered_amount", "amount_unit", "planned_amount", "drug"],
        "dose_match": ["planned_amount", "delivered_amount", "amount_unit", "drug", "programmed_amount"],
    }
    make_release_file(file, state="blinded", withheld=arms)
    where = ("--study", str(blinded.root))
    for words in (("summary",), ("patients",), ("patient", "S07-002"), ("patient", "S07-001"), ("status",)):
        text = re.sub("[0-9a-f]{64}", "", ask(capsys, *words, *where))
        assert "blinded" in text
        for word in ("PBO", "ACT", "Placebo", "Active", "54"):
            assert word not in text, (words, word)
    assert "pooled over all arms" in " ".join(ask(capsys, "summary", *where).split())
    document = ask_json(capsys, "summary", *where)
    assert document["blinding"] == "blinded"
    assert {row["arm"] for row in document["rows"]} == {None}
    assert refused(capsys, "summary", "--unblinded", *where, code=2)[0].startswith("Release 1 has no unblinded part")
    assert "blinded release" in refused(capsys, "summary", "--cutoff", "2014-01-02", *where, code=2)[0]
