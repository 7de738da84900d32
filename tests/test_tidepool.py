"""Tidepool JSON: doses cut short, clocks that were wrong, devices that are told apart."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from read_log import counted, everything, read_log, table

from importers.base import Parsed

FORMAT = "tidepool"
COMMON = {
    "deviceId": "tandemCIQ100123",
    "uploadId": "up1",
    "time": "2024-03-01T12:00:00.000Z",
    "deviceTime": "2024-03-01T07:00:00",
    "timezoneOffset": -300,
    "conversionOffset": 0,
}


def read(folder: Path, *records: dict[str, Any]) -> Parsed:
    path = folder / "export.json"
    path.write_text(json.dumps([{**COMMON, **record} for record in records]))
    return read_log(path, FORMAT)


def test_programmed_and_delivered(tmp_path: Path) -> None:
    bolus = {"type": "bolus", "subType": "normal"}
    doses = table(
        read(
            tmp_path,
            {**bolus, "id": "1", "normal": 2.5},
            {**bolus, "id": "2", "normal": 1.0, "expectedNormal": 2.5},
            {**bolus, "id": "3", "normal": 0, "expectedNormal": 2.5},
        )
    )
    assert doses["programmed_amount"].to_list() == [Decimal("2.5")] * 3
    assert doses["delivered_amount"].to_list() == [Decimal("2.5"), Decimal(1), Decimal(0)]
    assert doses["status"].to_list() == ["completed", "partial", "none_delivered"]
    assert set(doses["programmed_basis"]) == {"reported"}
    first = doses.row(0, named=True)
    assert first["start_local"] == dt.datetime(2024, 3, 1, 7)
    assert (first["start_utc"], first["utc_offset_min"]) == (dt.datetime(2024, 3, 1, 12), -300)
    assert first["device_id"] == "tidepool-device-tandemciq100123"


def test_an_interrupted_dual_bolus_has_durations_in_milliseconds(tmp_path: Path) -> None:
    dual = {"type": "bolus", "subType": "dual/square", "normal": 1.1675, "extended": 1.1675, "expectedExtended": 3.5025}
    now, later = table(read(tmp_path, {**dual, "id": "1", "duration": 457000, "expectedDuration": 1800000})).to_dicts()
    assert (now["shape"], now["delivered_amount"], now["status"]) == ("dual_now", Decimal("1.1675"), "completed")
    assert (later["shape"], later["programmed_amount"], later["status"]) == ("dual_later", Decimal("3.5025"), "partial")
    assert (later["delivered_duration_s"], later["programmed_duration_s"]) == (457, 1800)
    assert now["native_key"] == "id-1" and later["native_key"] == "id-1:extended"


def test_the_clocks_error_stands_beside_the_time_it_showed(tmp_path: Path) -> None:
    shown = {"deviceTime": "2024-03-01T07:10:00", "conversionOffset": 600000, "clockDriftOffset": 9000}
    [dose] = table(read(tmp_path, {"type": "bolus", "id": "1", "normal": 1, **shown})).to_dicts()
    assert (dose["start_local"], dose["start_utc"]) == (dt.datetime(2024, 3, 1, 7, 10), dt.datetime(2024, 3, 1, 12))
    assert dose["clock_correction_s"] == -600


def test_basal_segments_and_suspension(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        {"type": "basal", "id": "1", "deliveryType": "automated", "rate": 0.8, "duration": 900000},
        {"type": "basal", "id": "2", "deliveryType": "suspend", "duration": 1800000, "suppressed": {"rate": 0.6}},
        {
            "type": "basal",
            "id": "3",
            "deliveryType": "scheduled",
            "rate": 0.6,
            "duration": 0,
            "annotations": [{"code": "basal/unknown-duration"}],
        },
    )
    automated, suspended, unknown = table(parsed).to_dicts()
    assert (automated["delivered_amount"], automated["trigger"]) == (Decimal("0.2"), "algorithm")
    assert (suspended["delivered_amount"], suspended["programmed_amount"]) == (Decimal(0), Decimal("0.3"))
    assert (unknown["delivered_amount"], unknown["delivered_basis"]) == (None, "none")
    assert counted(parsed, "unknown duration") == 1


def test_device_events(tmp_path: Path) -> None:
    event = {"type": "deviceEvent"}
    parsed = read(
        tmp_path,
        {**event, "id": "1", "subType": "alarm", "alarmType": "occlusion"},
        {**event, "id": "2", "subType": "status", "status": "suspended", "reason": {"suspended": "manual"}},
        {
            **event,
            "id": "3",
            "subType": "timeChange",
            "from": {"time": "2024-03-01T07:00:00"},
            "to": {"time": "2024-03-01T08:00:00"},
        },
        {**event, "id": "4", "subType": "prime", "primeTarget": "cannula", "volume": 0.3},
        {"type": "pumpSettings", "id": "5"},
    )
    found = table(parsed, "device_event")
    assert found["event"].to_list() == ["occlusion", "suspend", "clock_change"]
    assert json.loads(found["detail"][2]) == {"old_local": "2024-03-01T07:00:00", "new_local": "2024-03-01T08:00:00"}
    [prime] = table(parsed).to_dicts()
    assert (prime["kind"], prime["exclude_reason"], prime["delivered_amount"]) == ("prime", "prime", Decimal("0.3"))
    assert counted(parsed, "pumpSettings") == 1


def test_trap_25_devices_are_told_apart_and_named_by_their_upload(tmp_path: Path) -> None:
    upload = {"type": "upload", "deviceId": "A1", "deviceManufacturers": ["Tandem"], "deviceModel": "X2"}
    bolus = {"type": "bolus", "normal": 1}
    doses = table(
        read(
            tmp_path,
            {**bolus, "id": "1", "deviceId": "A1"},
            {**bolus, "id": "2", "deviceId": "B2"},
            {**upload, "deviceSerialNumber": "4711", "id": "u"},
        )
    )
    assert doses["device_id"].to_list() == ["tandem-x2-4711", "tidepool-device-b2"]


def test_glucose_has_its_stated_unit_and_what_is_broken_is_rejected(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        {"type": "cbg", "id": "1", "value": 5.5, "units": "mmol/L"},
        {"type": "smbg", "id": "5", "value": 134},
        {"type": "bolus", "id": "2", "normal": "much"},
        {"type": "bolus", "id": "3"},
        {"type": "bolus", "id": "4", "normal": 1, "time": "soon"},
    )
    assert table(parsed, "observation").select("value", "unit").rows() == [(5.5, "mmol/L"), (134.0, None)]
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected["reason"].to_list() == ["bad_number", "missing_value", "bad_date"]


def test_trap_34_and_41_hand_entries_are_excluded_and_names_hidden(tmp_path: Path) -> None:
    entry = {"type": "insulin", "id": "1", "dose": {"total": 4}, "deviceId": "iPhone of Anna Muster"}
    parsed = read(tmp_path, entry)
    [dose] = table(parsed).to_dicts()
    assert (dose["exclude_reason"], dose["delivered_amount"]) == ("manual_entry", Decimal(4))
    assert "Muster" not in everything(parsed) and "muster" not in everything(parsed)


@pytest.mark.external
def test_doses_of_an_older_data_model_are_rejected_and_not_guessed(shared: Path) -> None:
    parsed = read_log(shared / "data/devices/tandem_tconnect_xml/expected_output.json", FORMAT)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.group_by("field").len().sort("field").rows() == [("normal", 10), ("rate", 16)]
    squares = table(parsed)
    assert squares["shape"].to_list() == ["extended"] * 2
    assert squares["delivered_amount"].to_list() == [Decimal("4.02"), Decimal("0.94")]
    assert table(parsed, "observation")["unit"].null_count() == 4
