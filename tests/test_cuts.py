"""A data cut has a name that means one day everywhere; what is read at it knows nothing that happened later."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from studies import PROTOCOL, few_files, new_study, query, trial_file

from store.study import Study
from tui.cli import run
from tui.pipeline import import_paths

DAY = "2013-06-30"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Six subjects of the auto-injector trial, and the cut interim-1 named in its ledger."""
    folder = tmp_path_factory.mktemp("cuts")
    made = new_study(folder / "study")
    import_paths(made, few_files(folder / "files", 120))
    assert run(["cut", "interim-1", "--date", DAY, "--reason", "first look", "--study", str(made.root)]) == 0
    return made


def ask(capsys: Capture, study: Study, *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--study", str(study.root), "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_named_cut_is_its_day_and_what_a_protocol_with_that_data_cut_gives(
    study: Study, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ask(capsys, study, "summary", "--cutoff", "interim-1")
    assert (named["data_cut"], named["cut_name"]) == (DAY, "interim-1")
    assert named["rows"] == ask(capsys, study, "summary", "--cutoff", DAY)["rows"]
    assert named["rows"] != ask(capsys, study, "summary")["rows"]
    stated = new_study(tmp_path / "stated", PROTOCOL.read_text().replace("[study]", f"[study]\ndata_cut = {DAY}", 1))
    import_paths(stated, few_files(tmp_path / "files", 120))
    assert named["rows"] == ask(capsys, stated, "summary")["rows"]
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["summary", "compliance", "--cutoff", "interim-1", "--study", str(study.root)]) == 0
    assert f"data cut {DAY} (interim-1)" in capsys.readouterr().out


def test_lists_and_exports_at_a_cut_hold_nothing_later(study: Study, tmp_path: Path, capsys: Capture) -> None:
    first, last = query(trial_file(study), "SELECT min(start_local)::DATE, max(start_local)::DATE FROM dose_event")[0]
    assert str(first) < DAY < str(last)
    by_day = query(trial_file(study), f"SELECT count(*) FROM dose_event WHERE start_local::DATE <= '{DAY}'")[0][0]
    out = tmp_path / "doses.csv"
    assert ask(capsys, study, "export", "dose_event", "--cutoff", "interim-1", "--out", str(out))["rows"] == by_day
    with out.open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert len(rows) == by_day and max(row["start_local"] for row in rows)[:10] <= DAY
    view = tmp_path / "adsl.csv"
    ask(capsys, study, "export", "ADSL", "--cutoff", DAY, "--out", str(view))
    with view.open(newline="") as file:
        ends = [row["TRTEDT"] for row in csv.DictReader(line for line in file if not line.startswith("#"))]
    assert ends and max(ends) <= DAY
    patients = ask(capsys, study, "patients", "--cutoff", "interim-1")
    assert patients["rows"] and all((row["last"] or "")[:10] <= DAY for row in patients["rows"])
    report = tmp_path / "report.md"
    ask(capsys, study, "report", "--cutoff", "interim-1", "--out", str(report))
    assert f"--cutoff {DAY}" in report.read_text()


@pytest.mark.slow
def test_export_at_a_cut_comes_out_the_same_when_the_name_is_taken_back(tmp_path: Path, capsys: Capture) -> None:
    made = new_study(tmp_path / "study")
    import_paths(made, few_files(tmp_path / "files", 120))
    named = ask(capsys, made, "cut", "soon", "--date", DAY, "--reason", "a look")
    out = tmp_path / "summary.json"
    ask(capsys, made, "export", "summary", "--cutoff", "soon", "--out", str(out))
    number = ask(capsys, made, "exports")["exports"][0]["number"]
    ask(capsys, made, "undo", str(named["ledger_seq"]), "--reason", "mistyped")
    assert ask(capsys, made, "cut")["cuts"] == []
    assert "no data cut soon" in ask(capsys, made, "summary", "--cutoff", "soon", code=2)["message"]
    again = ask(capsys, made, "export", "again", number, "--out", str(tmp_path / "summary.json"))
    assert again["same_as_before"]
    # The name is free again.
    ask(capsys, made, "cut", "soon", "--date", "2013-07-31", "--reason", "a later look")
    assert ask(capsys, made, "cut")["cuts"][0]["date"] == "2013-07-31"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("interim-1", "--date", "2014-01-01", "--reason", "again"), f"is {DAY} already"),
        (("2014-01-01", "--date", "2014-01-01", "--reason", "x"), "cannot name a data cut"),
        (("interim-2", "--date", "tomorrow", "--reason", "x"), "is no date"),
        (("interim-2", "--date", "2014-01-01"), "A day and a reason are needed"),
        (("interim-2", "--date", "2014-01-01", "--reason", " "), "A day and a reason are needed"),
    ],
)
def test_a_cut_is_named_once_with_a_day_and_a_reason(
    study: Study, capsys: Capture, words: tuple[str, ...], said: str
) -> None:
    assert said in ask(capsys, study, "cut", *words, code=2)["message"]
    assert [cut["cut"] for cut in ask(capsys, study, "cut")["cuts"]] == ["interim-1"]
