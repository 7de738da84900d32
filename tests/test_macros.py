"""Table macros of a release: the rows `dosetrail summary` is made of, and nothing computed anew."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from trial_releases import AUTOINJECTOR, PILOT, release_file

from analysis.json_text import json_document
from store.macros import MACROS, PUBLISHED_TABLES
from store.macros_day import DAY_MACROS
from tui.cli import run

FAMILIES = {macro.name: macro.analysis for macro in MACROS}
TRIALS = (AUTOINJECTOR, PILOT)


def records(trial: str, sql: str) -> list[dict[str, Any]]:
    """Rows as `summary --json` writes them, from a bare read-only connection."""
    with duckdb.connect(str(release_file(trial).resolve()), read_only=True) as con:
        result = con.execute(sql)
        names = [column[0] for column in result.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    written: list[dict[str, Any]] = json.loads(json_document({"rows": found}))["rows"]
    return written


def summary(trial: str, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    study = release_file(trial).parents[1]
    assert run(("summary", *words, "--study", str(study), "--json")) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("macro", FAMILIES)
def test_a_macro_gives_the_rows_of_the_summary(trial: str, macro: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = summary(trial, capsys, FAMILIES[macro].replace("_", "-"))
    assert records(trial, f"FROM {macro}(by := 'ALL')") == printed
    overall = [row for row in printed if row["by"] is None]
    assert records(trial, f"FROM {macro}()") == overall and overall


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("macro", FAMILIES)
def test_a_macro_selects_by_population_and_breakdown(
    trial: str, macro: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = summary(trial, capsys, FAMILIES[macro].replace("_", "-"))
    for population in {row["population"] for row in printed}:
        of_population = [row for row in printed if row["population"] == population]
        call = f"FROM {macro}(population := '{population}', by := "
        assert records(trial, f"{call} 'ALL')") == of_population
        for by in {row["by"] for row in of_population}:
            name = "NULL" if by is None else "'" + by.replace("'", "''") + "'"
            chosen = [row for row in of_population if row["by"] == by]
            assert records(trial, f"{call} {name})") == chosen
            if macro == "dose_accuracy" and by is not None:
                words = ("accuracy", "--population", population, "--by", by)
                assert summary(trial, capsys, *words) == chosen


def test_what_is_not_there_gives_no_rows() -> None:
    assert records(AUTOINJECTOR, "FROM dose_accuracy(population := 'safety', by := 'firmware')") == []
    assert records(AUTOINJECTOR, "FROM compliance('nobody')") == []


@pytest.mark.parametrize("trial", TRIALS)
def test_inclusion_rules_are_columns_and_their_counts_stand_in_the_results(trial: str) -> None:
    counted = records(trial, "SELECT by_value, numerator, denominator FROM dose_accuracy(by := 'inclusion') "
                             "WHERE arm = 'ALL'")  # fmt: skip
    for row in counted:
        [found] = records(trial, f"SELECT count(*) AS n, count(*) FILTER ({row['by_value']}) AS x FROM dose_inclusion "
                                 "WHERE subject_id IN (SELECT subject_id FROM population WHERE population = 'safety' "
                                 "AND member)")  # fmt: skip
        assert (found["x"], found["n"]) == (row["numerator"], row["denominator"])
    assert bool(counted) == (trial == AUTOINJECTOR)


def test_every_macro_says_what_it_gives() -> None:
    with duckdb.connect(str(release_file(PILOT).resolve()), read_only=True) as con:
        found = dict(
            con.execute(
                "SELECT function_name, comment FROM duckdb_functions() WHERE function_type = 'table_macro' "
                "AND NOT internal"
            ).fetchall()
        )
    expected = {macro.name: macro.comment for macro in MACROS}
    assert found.pop("published_table").startswith("A published table reproduced on request")
    assert found == expected | {name: comment for name, (_, comment) in DAY_MACROS.items()}


@pytest.mark.parametrize("name", PUBLISHED_TABLES)
def test_a_published_table_is_the_macro_of_its_name(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = records(PILOT, f"FROM published_table('{name}')")
    assert summary(PILOT, capsys, "--table", name) == rows
    assert {row["statistic"] for row in rows} == {"incidence", "events", "p_value"}
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    study = release_file(PILOT).parents[1]
    assert run(["summary", "--table", name, "--study", str(study)]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    line = next(line for line in printed.splitlines() if line.startswith("any event")).split()[2:]
    assert (
        line
        == {
            "teae": ["65", "75.6%", "[220]", "76", "90.5%", "[359]", "77", "91.7%", "[331]", "0.014", "0.007"],
            "teae_serious": ["0", "0.0%", "[0]", "2", "2.4%", "[2]", "1", "1.2%", "[1]", "0.243", "0.494"],
        }[name]
    )
