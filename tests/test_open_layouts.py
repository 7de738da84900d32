"""Open layouts: every example file is recognised, gives its expected totals, and feeds the measures of its class."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from generic_files import read, source
from studies import query, trial_file

from importers.base import Recognised, UnreadableFile
from importers.layout_rows import IMPORTERS, LAYOUTS
from importers.registry import FORMATS, importer_of
from store.study import Study, open_study
from store.tables import TABLES
from tui.cli import run
from tui.rebuilding import rebuild

EXAMPLES = Path(__file__).resolve().parents[1] / "sample_data" / "open_layouts"
EXPECTED: dict[str, dict[str, Any]] = json.loads((EXAMPLES / "expected.json").read_text())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("layouts") / "study"
    assert run(["init", str(folder)]) == 0
    shutil.copy(EXAMPLES / "protocol.toml", folder)
    assert run(["import", "--study", str(folder), str(EXAMPLES)]) == 0
    return open_study(folder)


def ask(study: Study, sql: str) -> list[tuple[Any, ...]]:
    return query(trial_file(study), sql)


def test_every_layout_has_an_example_and_fills_columns_that_exist() -> None:
    assert [layout.name for layout in LAYOUTS] == list(EXPECTED)
    for layout in LAYOUTS:
        for output in layout.outputs:
            assert set(output.columns) <= set(TABLES[output.table].content), layout.name


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_gives_its_expected_totals(name: str, tmp_path: Path) -> None:
    data = (EXAMPLES / f"{name}.csv").read_bytes()
    recognised = [one.format for one in FORMATS if isinstance(one.recognise("x.csv", data), Recognised)]
    assert recognised == [name]
    got = read(tmp_path, data, importer=importer_of(name), name="x.csv")
    expected = dict(EXPECTED[name])
    assert (got.parsed.rows_read, got.reasons()) == (expected.pop("rows"), [])
    assert set(got.tables) == set(expected)
    for table, totals in expected.items():
        assert got.tables[table].height == totals.pop("rows")
        for column, total in totals.items():
            assert sum(got.tables[table][column].drop_nulls(), Decimal(0)) == Decimal(total), column


def test_all_examples_together_are_one_study(study: Study) -> None:
    assert ask(study, "SELECT count(*) FROM quarantine") == [(0,)]
    # The device alone is named: the assignment list says whose it was.
    assert query(
        trial_file(study), "SELECT DISTINCT subject_id FROM dose_event WHERE device_id IN ('AI-1', 'PN-1')"
    ) == [("L-003",)]
    versions = "SELECT value FROM device_history WHERE device_id = 'PI-1' AND property = 'firmware'"
    assert ask(study, f"{versions} AND basis = 'device list'") == [("2.1",), ("2.2",)]
    assert ask(study, "SELECT firmware FROM device WHERE device_id = 'PI-1'") == [("2.2",)]
    # The clock of the implant was put 30 s forward on the fifth.
    assert ask(study, "SELECT DISTINCT clock_correction_s FROM dose_event WHERE device_id = 'PI-1'") == [(30,)]


def test_what_nothing_could_see_is_unmonitored_and_never_missed(study: Study) -> None:
    rows = ask(
        study, "SELECT drug, status, count(*) FROM dose_match WHERE drug IN ('parathyrin', 'aripiprazole') "
        "GROUP BY ALL ORDER BY ALL",
    )  # fmt: skip
    assert rows == [
        ("aripiprazole", "taken", 4),
        ("aripiprazole", "unmonitored", 1),
        ("parathyrin", "taken", 3),
        ("parathyrin", "missed", 1),
        ("parathyrin", "unmonitored", 1),
    ]


MEASURED = {
    ("programmable_implant", "releases_done", "share"): (3 / 4, 3, 4),
    ("programmable_implant", "releases_with_telemetry", "share"): (4 / 5, 4, 5),
    # 24 h between the first two plans, 23:59:59 between the releases; 48 h and 49:29:56 to the fourth.
    ("programmable_implant", "release_interval_error_h", "mean"): (
        (-1 / 3600 + 1 + 29 / 60 + 56 / 3600) / 2,
        None,
        None,
    ),
    ("dual_implant", "both_channels_done", "share"): (2 / 3, 2, 3),
    ("dual_implant", "both_channels_conforming", "share"): (1 / 3, 1, 3),
    ("ai_implant", "recommendations_within_bounds", "share"): (4 / 5, 4, 5),
    ("ai_implant", "decisions_recorded", "share"): (4 / 5, 4, 5),
    ("ai_implant", "recommendations_accepted", "share"): (2 / 4, 2, 4),
    ("refillable_reservoir", "reservoir_ratio", "mean"): (((20 - 5.2) / 14.7 + (20 - 1.1) / 18.5) / 2, None, None),
    ("refillable_reservoir", "refills_in_time", "share"): (1 / 2, 1, 2),
    ("depot", "administered_error_pct", "mean"): (100 * (70 - 74.2) / 74.2 / 2, None, None),
    ("depot", "readministered_in_window", "share"): (1.0, 1, 1),
    ("ingestible", "detection_sensitivity", "share"): (2 / 3, 2, 3),
    ("ingestible", "detection_latency_s", "mean"): ((100 + 180) / 2, None, None),
    ("ingestible", "detected_planned", "share"): (3 / 5, 3, 5),
    ("ingestible", "detected_planned_corrected", "share"): (0.6 / (2 / 3), 0.6 / (2 / 3) * 5, 5),
    ("patch_injector", "sessions_complete", "share"): (1 / 2, 1, 2),
    ("patch_injector", "sessions_with_end_record", "share"): (2 / 3, 2, 3),
    ("patch_injector", "session_volume_error_pct", "mean"): (100 * (1.4 - 3.5) / 3.5 / 2, None, None),
    ("transdermal_patch", "replaced_in_window", "share"): (2 / 2, 2, 2),
    ("transdermal_patch", "released_amount_by_assay", "mean"): (9.6, None, None),
}
"""Class, parameter, statistic -> value, numerator, denominator: worked out by hand from the example files."""


@pytest.mark.parametrize("key", MEASURED, ids="-".join)
def test_measures_of_a_class(study: Study, key: tuple[str, str, str]) -> None:
    found = ask(
        study,
        "SELECT value, numerator, denominator FROM result WHERE arm = 'ALL' AND population = 'safety' "
        f"AND device_class = '{key[0]}' AND parameter = '{key[1]}' AND statistic = '{key[2]}'",
    )
    assert len(found) == 1
    assert found[0] == pytest.approx(MEASURED[key])


def test_a_rebuild_makes_the_same_release(study: Study) -> None:
    assert rebuild(study, compare=True).same


def test_columns_under_other_names_are_mapped(tmp_path: Path) -> None:
    mapped = source(
        "patch_injector",
        date_order="DMY",
        decimal=",",
        columns={
            "device_id": "Gerät", "started_local": "Beginn", "ended_local": "Ende", "filled_volume": "Füllung",
            "delivered_volume": "Abgabe",
        },
        constants={"volume_unit": "mL", "drug": "evolocumab"},
    )  # fmt: skip
    text = "Gerät;Beginn;Ende;Füllung;Abgabe\nPJ-1;02.02.2026 20:00;02.02.2026 20:09;3,5;3,4\n"
    got = read(tmp_path, text, mapped, importer=importer_of("patch_injector"), name="sitzungen.csv")
    (row,) = got.tables["dose_event"].rows(named=True)
    assert (row["programmed_amount"], row["delivered_amount"]) == (Decimal("3.5"), Decimal("3.4"))
    assert (row["status"], row["drug"], row["amount_unit"]) == ("partial", "evolocumab", "mL")


def test_an_amount_without_a_unit_is_refused_with_the_line_to_add(tmp_path: Path) -> None:
    text = "device_id,injected_local,dialled_amount\nPN-1,2026-02-03 08:00,4\n"
    with pytest.raises(UnreadableFile, match="amount_unit") as caught:
        read(tmp_path, text, importer=importer_of("pen_session"))
    assert "constants.amount_unit" in str(caught.value.remedy)


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda importer: importer.format)
def test_bad_cells_are_rejected_row_by_row(importer: Any, tmp_path: Path) -> None:
    layout = next(one for one in LAYOUTS if one.name == importer.format)
    lines = (EXAMPLES / f"{layout.name}.csv").read_text().splitlines()
    header = lines[0].split(",")
    timed = next((name for name in header if name.endswith(("_local", "_date"))), None)
    assert timed is not None
    good = next(line.split(",") for line in lines[1:] if line.split(",")[header.index(timed)])
    bad = ["no day" if name == timed else cell for name, cell in zip(header, good, strict=True)]
    got = read(tmp_path, "\n".join([*lines, ",".join(bad)]) + "\n", importer=importer)
    assert got.reasons() == [(len(lines) + 1, "bad_date", timed)]
    assert got.parsed.rows_read == len(lines)


def test_the_dictionary_is_printed_and_the_example_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layouts", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["layouts"]
    assert [one["layout"] for one in listed] == list(EXPECTED)
    assert run(["layouts", "depot", "--example"]) == 0
    assert capsys.readouterr().out == (EXAMPLES / "depot.csv").read_text()
    assert run(["layouts", "no_such"]) == 2
