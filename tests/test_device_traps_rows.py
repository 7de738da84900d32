"""Traps 35-40 of device logs: rows that look like a dose and are none, and doses that must not be taken as written."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pump_logs import parse, rows
from read_log import counted, read_log, source, table

from importers import fhir, nightscout
from importers.base import Parsed

ADHERETECH = (
    "Patient_UID,Device_UID,Site,Medication,Reminder_Sent,Status,Deadline_UTC,Dose_Date_UTC,Time_Recorded_UTC,"
    "Patient_Timezone,Deadline_Patient_Timezone,Dose_Date_Patient_Timezone,Time_Recorded_Patient_Timezone\n"
)
ECAP = "Index,Patient ID,ECM ID,Dose #,Dose Timestamp,Dose Timestamp UTC\n"


def cap(folder: Path, text: str, name: str = "caps.csv", **keys: Any) -> Parsed:
    path = folder / name
    path.write_text(text)
    return read_log(path, "adherence_caps", source(**keys) if keys else None)


@pytest.mark.external
def test_trap_35_the_states_of_a_real_file(shared: Path) -> None:
    """AdhereTech: 533 on time, 136 late and 33 early are openings; 124 missed, 76 paused and 21 pending are none.
    MEMS: 117 openings beside 39 placeholders.
    """
    folder = shared / "data/devices/eamd_oncmap"
    parsed = read_log(folder / "test_adheretech_2.csv", "adherence_caps")
    assert table(parsed).height == 533 + 136 + 33
    assert table(parsed, "device_event").height == 76
    assert (counted(parsed, "(MISSED)"), counted(parsed, "(PENDING)")) == (124, 21)
    mems = read_log(folder / "test_mems2.csv", "adherence_caps")
    assert (table(mems).height, counted(mems, "days without an opening")) == (117, 39)


def test_trap_35_a_pause_with_a_time_is_no_opening(tmp_path: Path) -> None:
    row = "1,A,S,M,X,{},12:30,2/9/2023,{},America/New_York,7:30,2/9/2023,{}\n"
    states = [("ONTIME", "7:19"), ("PAUSED", "7:20"), ("PENDING", ""), ("MISSED", "")]
    lines = [
        row.format(state, clock and f"2/9/2023 1{clock[-4:]}", clock and f"2/9/2023 {clock}") for state, clock in states
    ]
    parsed = cap(tmp_path, ADHERETECH + "".join(lines))
    assert table(parsed)["line"].to_list() == [2]
    assert table(parsed, "device_event")["event"].to_list() == ["not_monitored"]


@pytest.mark.external
def test_trap_36_the_hour_a_day_begins_changes_the_count(shared: Path) -> None:
    """Openings between midnight and three belong to the day before (the published counts need that)."""
    events = table(read_log(shared / "data/devices/mems_cleanadh/E_Simulated_Eventlist.xlsx", "adherence_caps"))
    at = events["start_local"]
    moved = (at - dt.timedelta(hours=3)).dt.date() != at.dt.date()
    assert (events.height, moved.sum() > 0) == (756, True)
    assert set(events["start_precision"]) <= {"second", "minute"}


def test_trap_37_a_lid_that_bounces_was_opened_once(tmp_path: Path) -> None:
    start = dt.datetime(2026, 1, 6, 16, 17)
    marks = [(0, 1), (20, 0), (35, 1), (50, 0), (100, 1), (130, 0), (3600, 1), (3630, 0)]
    lines = [f"{start + dt.timedelta(seconds=at):%Y-%m-%dT%H:%M:%S}.000000Z,{state},0" for at, state in reversed(marks)]
    parsed = cap(tmp_path, "Measurement Time,Primary Value,Secondary Value\n" + "\n".join(lines) + "\n")
    openings = table(parsed).sort("start_local")
    assert openings["start_local"].to_list() == [start, start + dt.timedelta(hours=1)]
    assert openings["end_local"].to_list()[0] == start + dt.timedelta(seconds=130)


def test_trap_38_an_id_stands_for_the_rows_below_it_and_no_further(tmp_path: Path) -> None:
    parsed = cap(
        tmp_path,
        ECAP + "1,0001,P1,1,2023-11-08T15:15:00-04:00,2023-11-08T19:15:00+00:00\n"
        ",,,2,2023-11-09T15:15:00-04:00,2023-11-09T19:15:00+00:00\n"
        "2,0002,P2,1,2023-11-08T15:15:00-04:00,2023-11-08T19:15:00+00:00\n"
        ",,,2,2023-11-09T15:15:00-04:00,2023-11-09T19:15:00+00:00\n",
        columns={"subject_id": "Patient ID"},
    )
    found = table(parsed).sort("line")
    assert found["subject_id"].to_list() == ["0001", "0001", "0002", "0002"]
    assert found["device_id"].n_unique() == 2
    assert found.group_by("device_id").agg(pl.col("native_key").n_unique())["native_key"].to_list() == [2, 2]


def test_trap_39_what_was_taken_back_still_carries_an_amount(tmp_path: Path) -> None:
    given = {
        "resourceType": "MedicationAdministration", "id": "m", "status": "entered-in-error",
        "effectiveDateTime": "2024-05-01T08:00:00Z", "dosage": {"dose": {"value": 5, "unit": "mg"}},
    }  # fmt: skip
    (error,) = rows(parse(fhir.IMPORTER, tmp_path, json.dumps(given), name="m.json"))
    record = {"identifier": "x", "eventType": "Meal Bolus", "created_at": "2024-05-01T08:00:00Z", "insulin": 4}
    temp = {
        "identifier": "y",
        "eventType": "Temp Basal",
        "created_at": "2024-05-01T08:00:00Z",
        "rate": 2,
        "duration": 30,
    }
    deleted = rows(
        parse(
            nightscout.IMPORTER,
            tmp_path,
            json.dumps([{**record, "isValid": False}, {**temp, "isValid": False}, {**temp, "identifier": "z"}]),
            name="t.json",
        ),
        status="voided",
    )
    assert [error["status"], *(row["status"] for row in deleted)] == ["voided"] * 3
    assert {row["delivered_amount"] for row in (error, *deleted)} == {Decimal(5), Decimal(4), Decimal(1)}


def test_trap_40_a_dose_per_weight_has_no_amount_and_minutes_are_no_rate(tmp_path: Path) -> None:
    given = {
        "resourceType": "MedicationAdministration", "id": "m", "status": "completed",
        "effectiveDateTime": "2024-05-01T08:00:00Z",
        "dosage": {"dose": {"value": 1.8, "unit": "mg/kg"},
                   "rateQuantity": {"value": 20, "unit": "min", "code": "min"}},
    }  # fmt: skip
    parsed = parse(fhir.IMPORTER, tmp_path, json.dumps(given), name="m.json")
    (dose,) = rows(parsed)
    assert (dose["delivered_amount"], dose["amount_unit"]) == (Decimal("1.8"), "mg/kg")
    assert (dose["delivered_rate"], dose["programmed_duration_s"]) == (None, 1200)
    assert any("no weight is assumed" in note for note in parsed.notes)
