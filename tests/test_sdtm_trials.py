"""The two sample trials, file by file: every row is accounted for and the counts are those of the published data."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest
from sdtm_files import read

from importers.base import Parsed
from importers.discover import find_inputs
from store.schema import create_all

AUTOINJECTOR = {
    "AE": (74, {"adverse_event": 74}),
    "DD": (3, {"finding_about": 3}),
    "DI": (34, {"device_property": 34}),
    "DM": (18, {"subject": 18}),
    "DS": (53, {"disposition": 53, "consent": 18}),
    "EC": (1590, {"planned_dose_recorded": 1590, "dose_event": 1583}),
    "EX": (1583, {"exposure": 1583}),
    "FA": (78, {"finding_about": 78}),
    "RELREC": (6, {"relation": 6}),
    "SE": (43, {"subject_element": 43}),
    "SUPPDM": (3, {"supplemental": 3}),
    "SUPPEC": (7, {"supplemental": 7}),
    "SV": (164, {"visit": 164}),
}
PILOT = {
    "AE": (961, {"adverse_event": 961}),
    "DM": (306, {"subject": 306}),
    "DS": (596, {"disposition": 596}),
    "EX": (591, {"exposure": 591}),
    "SE": (752, {"subject_element": 752}),
    "SUPPAE": (961, {"supplemental": 961}),
    "SUPPDM": (1197, {"supplemental": 1197}),
    "SV": (3559, {"visit": 3559}),
}


def read_folder(folder: Path) -> dict[str, Parsed]:
    inputs = find_inputs([folder])
    assert [found.error for found in inputs if found.error] == []
    parsed = [read(found.path) for found in inputs if found.importer]
    return {one.dataset: one for one in parsed}


@pytest.fixture(scope="module")
def autoinjector(autoinjector_dir: Path) -> dict[str, Parsed]:
    return read_folder(autoinjector_dir)


@pytest.fixture(scope="module")
def pilot(pilot_dir: Path) -> dict[str, Parsed]:
    return read_folder(pilot_dir)


def frame(parsed: dict[str, Parsed], dataset: str, table: str) -> pl.DataFrame:
    found = parsed[dataset].tables[table]
    assert isinstance(found, pl.DataFrame)
    return found


@pytest.mark.parametrize(("trial", "expected"), [("autoinjector", AUTOINJECTOR), ("pilot", PILOT)])
def test_every_row_of_the_trial_is_in_a_table(
    trial: str, expected: dict[str, tuple[int, dict[str, int]]], request: pytest.FixtureRequest
) -> None:
    parsed: dict[str, Parsed] = request.getfixturevalue(trial)
    assert {name: one.rows_read for name, one in parsed.items()} == {name: rows for name, (rows, _) in expected.items()}
    for name, (rows, tables) in expected.items():
        assert {table: frame(parsed, name, table).height for table in parsed[name].tables} == tables
        assert parsed[name].rejected is None
        lines = {line for table in tables for line in frame(parsed, name, table).get_column("line")}
        assert lines == set(range(1, rows + 1))


@pytest.mark.parametrize("trial", ["autoinjector", "pilot"])
def test_rows_meet_every_constraint_of_the_schema(trial: str, request: pytest.FixtureRequest) -> None:
    parsed: dict[str, Parsed] = request.getfixturevalue(trial)
    with duckdb.connect() as con:
        create_all(con)
        for name, one in parsed.items():
            for table, rows in one.tables.items():
                con.register("incoming", rows)
                con.execute(f"INSERT INTO {table} BY NAME SELECT *, '{name}' AS source_id FROM incoming")
                con.unregister("incoming")
        assert con.execute("SELECT count(*) FROM subject").fetchone() == (parsed["DM"].rows_read,)


def test_recorded_compliance_of_the_autoinjector_trial(autoinjector: dict[str, Parsed]) -> None:
    arms = frame(autoinjector, "DM", "subject").select("subject_id", "arm_code")
    planned = frame(autoinjector, "EC", "planned_dose_recorded").join(arms, on="subject_id")
    counts = planned.group_by("arm_code").agg(pl.col("occurred").sum().alias("taken"), pl.len().alias("planned"))
    assert sorted(counts.rows()) == [("PLACEBO", 677, 684), ("ZAN_HIGH", 558, 558), ("ZAN_LOW", 348, 348)]
    assert planned.get_column("planned_amount").null_count() == planned.height, "EC says what was given, not the plan"


def test_volume_times_strength_is_the_dose_of_ex(autoinjector: dict[str, Parsed]) -> None:
    given = frame(autoinjector, "EC", "dose_event").with_columns(day=pl.col("start_local").dt.date())
    exposure = frame(autoinjector, "EX", "exposure")
    both = given.join(exposure, left_on=["subject_id", "day"], right_on=["subject_id", "start_date"])
    assert both.height == 1583
    assert both.filter(pl.col("delivered_amount") != pl.col("amount")).height == 0
    assert both.filter(pl.col("amount_unit") != pl.col("amount_unit_right")).height == 0
    assert given.get_column("delivered_basis").unique().to_list() == ["volume_x_conc"]
    assert given.get_column("kind").unique().to_list() == ["injection"]
    assert given.get_column("device_id").n_unique() == 17


def test_screen_failures_have_no_arm_in_either_version_of_sdtm(
    autoinjector: dict[str, Parsed], pilot: dict[str, Parsed]
) -> None:
    new = frame(autoinjector, "DM", "subject").filter(pl.col("arm_code").is_null())
    assert new.select("subject_id", "actual_arm_code", "not_randomised_reason", "status").rows() == [
        ("CDISC015", None, "SCREEN FAILURE", "screen_failure")
    ]
    old = frame(pilot, "DM", "subject").filter(pl.col("arm_code").is_null())
    assert old.height == 52
    assert old.get_column("actual_arm_code").null_count() == 52
    assert old.get_column("not_randomised_reason").unique().to_list() == ["Screen Failure"]
    randomised = frame(pilot, "DM", "subject").filter(pl.col("arm_code").is_not_null())
    assert randomised.height == 254
    assert randomised.filter(pl.col("arm_code") != pl.col("actual_arm_code")).height == 12


def test_what_the_pilot_does_not_record_stays_null(pilot: dict[str, Parsed]) -> None:
    exposure = frame(pilot, "EX", "exposure")
    assert exposure.filter(pl.col("end_date").is_null()).get_column("subject_id").sort().to_list() == [
        "01-704-1233", "01-705-1018", "01-705-1031", "01-705-1303", "01-705-1377", "01-705-1382",
    ]  # fmt: skip
    events = frame(pilot, "AE", "adverse_event")
    partial = events.filter(pl.col("start_text").str.len_chars() < 10)
    assert partial.height == 24
    assert {"2003", "2012-02"} <= set(partial.get_column("start_text"))
    assert events.get_column("causality").null_count() == 4
    assert events.get_column("action_taken").null_count() == 961
    assert events.filter(pl.col("results_in_death") & ~pl.col("serious")).height == 3


def test_trial_design_and_unused_domains_are_ignored_with_a_reason(autoinjector_dir: Path, pilot_dir: Path) -> None:
    ignored = {found.name: found.ignored for found in find_inputs([autoinjector_dir, pilot_dir]) if found.ignored}
    assert ignored["ta.ndjson"] == ignored["ts.xpt"] == "trial design: read by dosetrail init"
    assert ignored["mh.ndjson"] == "medical history is not used"
    assert ignored["adsl.xpt"] == ignored["adtte.xpt"] == "ADaM data sets serve comparison only"


@pytest.mark.external
def test_device_domains_of_a_glucose_meter_trial(shared: Path) -> None:
    found = {one.name: one for one in find_inputs([shared / "data/devices/sdtm_device_xpt"])}
    parsed = {name: read(one.path) for name, one in found.items() if one.importer}
    assert {name: one.rows_read for name, one in parsed.items()} == {
        "di_domain.xpt": 180, "do_domain.xpt": 46, "du_domain.xpt": 46, "dx_domain.xpt": 585,
    }  # fmt: skip
    assert all(one.rejected is None for one in parsed.values())
    thresholds = frame(parsed, "du_domain.xpt", "observation")
    assert thresholds.unique(["subject_id", "device_id", "code", "observed_at"]).height == 46
    assert thresholds.row(0, named=True)["code"] == "GLUCALTH HIGH"
    assert thresholds.row(0, named=True)["value"] == 240.0
    assert frame(parsed, "dx_domain.xpt", "observation").height == 585
    assert found["di_defs.xpt"].ignored == "describes a data set, holds none"
