"""Nightscout treatments in the dialects of the apps that write them."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_log import counted, everything, read_log, source, table

from importers.base import Parsed
from importers.moments import read_iso

FORMAT = "nightscout"
AT = "2024-05-01T08:00:00.000Z"


def read(folder: Path, *records: dict[str, Any]) -> Parsed:
    path = folder / "treatments.json"
    path.write_text(json.dumps(list(records)))
    return read_log(path, FORMAT)


def doses(folder: Path, *records: dict[str, Any]) -> list[dict[str, Any]]:
    return table(read(folder, *records)).to_dicts()


@pytest.mark.external
def test_a_real_export(shared: Path) -> None:
    parsed = read_log(shared / "data/devices/nightscout/glupredkit_nightscout_treatments.json", FORMAT)
    events = table(parsed)
    boluses = events.filter(kind="bolus")
    assert (boluses.height, boluses["delivered_amount"].sum()) == (7, Decimal("19.5"))
    assert set(boluses["programmed_basis"]) == {"none"}
    segments = events.filter(kind="basal_segment").sort("start_local")
    assert segments["delivered_basis"].to_list().count("none") == 3
    assert segments.filter(pl.col("programmed_rate") == Decimal("0.8"))["delivered_amount"].to_list() == [
        Decimal("0.6")
    ]
    assert (counted(parsed, "carbohydrates"), counted(parsed, "per cent")) == (2, 3)
    assert parsed.rejected is None


@pytest.mark.external
def test_glucose_entries(shared: Path) -> None:
    parsed = read_log(shared / "data/devices/nightscout/glupredkit_nightscout_entries.json", FORMAT)
    values = table(parsed, "observation")
    assert (values.height, values["unit"].unique().to_list(), values["value"][0]) == (576, ["mg/dL"], 107.6)


@pytest.mark.parametrize(
    "dialect",
    [
        {"eventType": "SMB", "enteredBy": "iAPS"},
        {"eventType": "Correction Bolus", "isSMB": True, "enteredBy": "openaps://AndroidAPS"},
        {"eventType": "Correction Bolus", "type": "SMB", "pumpType": "DANA_I", "pumpSerial": "X1", "pumpId": 4},
    ],
)
def test_a_micro_bolus_of_every_app(tmp_path: Path, dialect: dict[str, Any]) -> None:
    [dose] = doses(tmp_path, {"created_at": AT, "insulin": 0.1, "carbs": None, **dialect})
    assert (dose["kind"], dose["shape"], dose["trigger"]) == ("bolus", "micro", "algorithm")
    assert (dose["delivered_amount"], dose["programmed_amount"]) == (Decimal("0.1"), None)
    assert dose["device_id"].startswith("nightscout-dana_i-x1" if "pumpSerial" in dialect else "nightscout-")


def test_loop_states_what_the_pump_was_told(tmp_path: Path) -> None:
    shared = {"created_at": AT, "eventType": "Correction Bolus", "automatic": True}
    cut, none = doses(
        tmp_path,
        {**shared, "insulin": 0.35, "programmed": 0.5, "syncIdentifier": "ab12"},
        {**shared, "insulin": 0, "programmed": 0.5, "syncIdentifier": "ab13"},
    )
    assert (cut["programmed_amount"], cut["delivered_amount"], cut["status"]) == (
        Decimal("0.5"),
        Decimal("0.35"),
        "partial",
    )
    assert (cut["native_key"], cut["trigger"]) == ("syncidentifier-ab12", "algorithm")
    assert (none["delivered_amount"], none["status"]) == (Decimal(0), "none_delivered")


def test_xdrip_writes_no_event_type(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        {"created_at": AT, "eventType": "", "insulin": 4, "carbs": 0, "uuid": "u1", "enteredBy": "xdrip pos:1"},
        {"created_at": AT, "eventType": "", "insulin": 0, "carbs": 30, "uuid": "u2", "enteredBy": "xdrip pos:2"},
    )
    [dose] = table(parsed).to_dicts()
    assert (dose["delivered_amount"], dose["exclude_reason"], dose["native_key"]) == (
        Decimal(4),
        "manual_entry",
        "uuid-u1",
    )
    assert counted(parsed, "carbohydrates") == 1


def test_combination_boluses(tmp_path: Path) -> None:
    now, later, whole = doses(
        tmp_path,
        {
            "_id": "a",
            "created_at": AT,
            "eventType": "Combo Bolus",
            "insulin": 1.5,
            "enteredinsulin": "5",
            "splitNow": "30",
            "splitExt": "70",
            "duration": 120,
        },
        {"_id": "b", "created_at": AT, "eventType": "Combo Bolus", "insulin": 2.0, "enteredBy": "Pump (tconnectsync)"},
    )
    assert (now["shape"], now["delivered_amount"]) == ("dual_now", Decimal("1.5"))
    assert (later["shape"], later["programmed_amount"], later["programmed_duration_s"]) == (
        "dual_later",
        Decimal("3.5"),
        7200,
    )
    assert later["delivered_basis"] == "inferred_equal"
    assert (whole["shape"], whole["delivered_amount"]) == ("immediate", Decimal(2))
    assert len({now["native_key"], later["native_key"], whole["native_key"]}) == 3


def test_temporary_rates_end_at_the_next(tmp_path: Path) -> None:
    rate = {"eventType": "Temp Basal", "duration": 30, "enteredBy": "openaps://AndroidAPS"}
    parsed = read(
        tmp_path,
        {**rate, "_id": "1", "created_at": "2024-05-01T08:00:00Z", "rate": 1.2, "absolute": 1.2},
        {**rate, "_id": "2", "created_at": "2024-05-01T08:05:00Z", "rate": 0, "type": "EMULATED_PUMP_SUSPEND"},
        {**rate, "_id": "3", "created_at": "2024-05-01T08:20:00Z", "duration": 0, "rate": 0},
    )
    first, suspended = table(parsed).sort("start_local").to_dicts()
    assert (first["delivered_duration_s"], first["programmed_duration_s"]) == (300, 1800)
    assert (first["delivered_amount"], first["stop_reason"]) == (Decimal("0.1"), "superseded")
    assert (suspended["delivered_amount"], suspended["delivered_duration_s"]) == (Decimal(0), 900)
    assert table(parsed, "device_event")["event"].to_list() == ["suspend", "temp_basal_end"]


def test_trap_31_relative_percent(tmp_path: Path) -> None:
    off, half = doses(
        tmp_path,
        {"_id": "1", "eventType": "Temp Basal", "created_at": AT, "duration": 60, "percent": -100},
        {"_id": "2", "eventType": "Temp Basal", "created_at": "2024-05-01T10:00:00Z", "duration": 60, "percent": -50},
    )
    assert (off["programmed_rate"], off["delivered_amount"]) == (Decimal(0), Decimal(0))
    assert (half["programmed_rate"], half["delivered_amount"], half["delivered_basis"]) == (None, None, "none")


def test_an_extended_bolus_disguised_as_temporary_rate(tmp_path: Path) -> None:
    emulated = {"enteredinsulin": 2.5, "duration": 60, "eventType": "Combo Bolus"}
    fake = {
        "_id": "1",
        "eventType": "Temp Basal",
        "created_at": AT,
        "duration": 60,
        "rate": 3.3,
        "type": "FAKE_EXTENDED",
    }
    [dose] = doses(tmp_path, {**fake, "extendedEmulated": emulated})
    assert (dose["kind"], dose["shape"], dose["delivered_amount"]) == ("bolus", "extended", Decimal("2.5"))


def test_trap_22_the_servers_clock_is_no_time_of_a_dose(tmp_path: Path) -> None:
    at = dt.datetime(2024, 5, 1, 8)
    mills = int(at.replace(tzinfo=dt.UTC).timestamp() * 1000)
    record = {"eventType": "Meal Bolus", "insulin": 3}
    parsed = read(
        tmp_path,
        {**record, "_id": "1", "date": mills, "created_at": "2024-06-01T00:00:00Z", "utcOffset": 120},
        {**record, "_id": "2", "created_at": None},
        {**record, "_id": "3", "created_at": "yesterday"},
    )
    [dose] = table(parsed).to_dicts()
    assert (dose["start_utc"], dose["start_local"], dose["utc_offset_min"]) == (at, at + dt.timedelta(hours=2), 120)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [(2, "missing_value"), (3, "bad_date")]


def test_trap_26_two_boluses_of_one_type_in_one_second_stay_two(tmp_path: Path) -> None:
    record = {"eventType": "Correction Bolus", "created_at": AT, "insulin": 0.2}
    found = doses(tmp_path, {**record, "_id": "1"}, {**record, "_id": "2"})
    assert [dose["native_key"] for dose in found] == ["id-1", "id-2"]


def test_trap_33_priming_is_no_dose(tmp_path: Path) -> None:
    [dose] = doses(tmp_path, {"_id": "1", "eventType": "Bolus", "created_at": AT, "insulin": 0.5, "type": "PRIMING"})
    assert (dose["kind"], dose["exclude_reason"]) == ("prime", "prime")


def test_trap_39_a_deleted_record_is_voided(tmp_path: Path) -> None:
    [dose] = doses(
        tmp_path, {"identifier": "x", "eventType": "Meal Bolus", "created_at": AT, "insulin": 4, "isValid": False}
    )
    assert (dose["status"], dose["native_key"]) == ("voided", "identifier-x")


def test_trap_41_what_people_wrote_stays_out(tmp_path: Path) -> None:
    person = {"enteredBy": "Anna Muster", "notes": "Anna Muster called", "created_at": AT}
    parsed = read(tmp_path, {**person, "eventType": "Meal Bolus", "insulin": -1}, {**person, "eventType": "Note"})
    assert "Muster" not in everything(parsed)
    assert isinstance(parsed.rejected, pl.DataFrame) and parsed.rejected.height == 1


def test_the_zone_of_the_source_gives_local_days(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps([{"_id": "1", "eventType": "Meal Bolus", "created_at": "2024-07-01T23:30:00Z", "insulin": 1}])
    )
    [dose] = table(read_log(path, FORMAT, source(time_zone="Europe/Berlin"))).to_dicts()
    assert dose["start_local"] == dt.datetime(2024, 7, 2, 1, 30)
    assert (dose["utc_offset_min"], dose["offset_source"]) == (120, "coordinator")


@settings(max_examples=50)
@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2090, 1, 1)), st.integers(-840, 840))
def test_iso_texts_with_an_offset_give_their_moment(local: dt.datetime, minutes: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    found = read_iso(local.replace(tzinfo=zone).isoformat())
    assert found is not None and found.local == local
    assert found.utc == local - dt.timedelta(minutes=minutes)


@pytest.mark.external
def test_the_csv_of_a_real_server(shared: Path) -> None:
    """101 glucose values and 100 treatments; a blank insulin is not reported, no zero is made of it."""
    parsed = read_log(shared / "data/devices/nightscout/nightscout-data-with-treatments.csv", FORMAT)
    doses = table(parsed)
    assert doses["delivered_amount"].null_count() == 0 and doses["delivered_amount"].min() > 0  # type: ignore[operator]
    assert set(doses["trigger"]) <= {"algorithm", "user"}
    values = table(parsed, "observation").filter(code="glucose")
    assert (values["unit"].unique().to_list(), values["value"][0]) == (["mg/dL"], 129.0)
    assert set(doses["start_local"].dt.date()) == {dt.date(2026, 4, 6), dt.date(2026, 4, 7)}
    rates, others = counted(parsed, "without their rate"), counted(parsed, "notes, checks")
    lines = (shared / "data/devices/nightscout/nightscout-data-with-treatments.csv").read_text().splitlines()
    data = [line for line in lines if line.startswith('"')]
    assert parsed.rows_read + rates + others == len(data)


def test_ids_of_the_csv_are_those_of_the_json(tmp_path: Path) -> None:
    path = tmp_path / "ns.csv"
    path.write_text(
        "# TREATMENTS (Insulin, Carbs, Exercise)\nDate,Time,Event Type,Insulin (U),Carbs (g),Notes,ID\n"
        '"4/7/2026","7:20:22 PM","SMB","0.1","","Anna called","69d5"\n'
        '"4/7/2026","7:30:28 PM","Temp Basal","","","","70"\n'
        '"4/7/2026","7:40:28 PM","Meal Bolus","many","20","","71"\n'
    )
    parsed = read_log(path, FORMAT)
    assert table(parsed)["native_key"].to_list() == ["id-69d5"]
    assert "Anna" not in everything(parsed)
    assert isinstance(parsed.rejected, pl.DataFrame) and parsed.rejected["line"].to_list() == [5]
