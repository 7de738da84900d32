"""CareLink Personal CSV of Paradigm pumps: Raw-Type and Raw-Values, profiles, temporary basals and suspensions."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import assert_accounted, everything, parse, parse_file, rejected, rows, stored, total

from importers.base import Parsed
from importers.carelink import IMPORTER

COLUMNS = (
    "Index", "Date", "Time", "Timestamp", "New Device Time", "BG Reading (mg/dL)", "Linked BG Meter ID",
    "Temp Basal Amount (U/h)", "Temp Basal Type", "Temp Basal Duration (hh:mm:ss)", "Bolus Type",
    "Bolus Volume Selected (U)", "Bolus Volume Delivered (U)", "Programmed Bolus Duration (hh:mm:ss)", "Prime Type",
    "Prime Volume Delivered (U)", "Suspend", "Rewind", "BWZ Estimate (U)", "BWZ Target High BG (mg/dL)",
    "BWZ Target Low BG (mg/dL)", "BWZ Carb Ratio (grams)", "BWZ Insulin Sensitivity (mg/dL)", "BWZ Carb Input (grams)",
    "BWZ BG Input (mg/dL)", "BWZ Correction Estimate (U)", "BWZ Food Estimate (U)", "BWZ Active Insulin (U)", "Alarm",
    "Sensor Calibration BG (mg/dL)", "Sensor Glucose (mg/dL)", "ISIG Value", "Daily Insulin Total (U)", "Raw-Type",
    "Raw-Values", "Raw-ID", "Raw-Upload ID", "Raw-Seq Num", "Raw-Device Type",
)  # fmt: skip
PREAMBLE = """\
Medtronic Diabetes CareLink Personal Data Export File (v1.0.1)
PATIENT INFO
Name,Paula Testperson
Report Range,4/11/15,to,4/12/15
DEVICE INFO
Meter:,Paradigm System,#783436,
Pump:,Paradigm Revel - 523,#736868,
Sensor:,In use," ",
Data Exported on,4/12/15 8:21 PM
DEVICE DATA (635 records)
Data Range,4/12/15 00:00:00,to,4/11/15 23:59:59
"""


def raw(when: str, kind: str, values: str, **cells: Any) -> dict[str, Any]:
    day, _, clock = when.partition(" ")
    return {
        "Date": day, "Time": clock, "Raw-Type": kind, "Raw-Values": values, "Raw-Device Type": "Paradigm Revel - 523",
        "Raw-Upload ID": 1, **cells,
    }  # fmt: skip


def table(log: list[dict[str, Any]], columns: tuple[str, ...] = COLUMNS) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for place, row in enumerate(log):
        values = {"Index": place, "Raw-ID": 9000 + place, "Raw-Seq Num": 500 - place, **row}
        writer.writerow([values.get(name, "") for name in COLUMNS])
    return PREAMBLE + out.getvalue()


def read(folder: Path, log: list[dict[str, Any]]) -> Parsed:
    parsed = parse(IMPORTER, folder, table(log))
    assert_accounted(parsed)
    return parsed


def dose(when: str, told: float, given: float, kind: str = "Normal", ms: int | None = None) -> dict[str, Any]:
    values = (
        f"AMOUNT={given}, CONCENTRATION=null, PROGRAMMED_AMOUNT={told}, DURATION={ms if ms is not None else 'null'}"
    )
    cells = {"Bolus Type": kind, "Bolus Volume Selected (U)": told, "Bolus Volume Delivered (U)": given}
    return raw(when, "BolusSquare" if "Square" in kind else "BolusNormal", values, **cells)


def test_one_row_holds_programmed_and_delivered(tmp_path: Path) -> None:
    log = [dose("4/11/15 08:00:00", 5.4, 5.4), dose("4/11/15 12:00:00", 2.3, 1.7, "Square", 3_600_000)]
    first, square = rows(read(tmp_path, log))
    assert (first["programmed_amount"], first["delivered_amount"], first["time_anchor"]) == (
        Decimal("5.4"),
        Decimal("5.4"),
        "start",
    )
    assert (square["shape"], square["status"], square["programmed_duration_s"]) == ("extended", "partial", 3600)
    assert (square["programmed_amount"], square["delivered_amount"]) == (Decimal("2.3"), Decimal("1.7"))


def test_dual_bolus_and_its_empty_echo(tmp_path: Path) -> None:
    log = [
        dose("4/11/15 08:00:00", 3.6, 3.6, "Dual/Normal"),
        dose("4/11/15 08:02:00", 2.0, 2.0, "Dual/Square", 3_600_000),
        dose("4/11/15 12:00:00", 1.0, 1.0, "Dual/Normal"),
        dose("4/11/15 12:00:30", 0.0, 0.0, "Dual/Square", 0) | {"Programmed Bolus Duration (hh:mm:ss)": "00:00:00"},
    ]
    parsed = read(tmp_path, log)
    assert [row["shape"] for row in rows(parsed)] == ["dual_now", "dual_later", "dual_now"]
    assert "1 rows are square halves of 0 U in 0 s, the pump's echo of a dual bolus." in parsed.notes


def test_trap_8_preamble_names_the_pump_and_no_person(tmp_path: Path) -> None:
    parsed = read(tmp_path, [dose("4/11/15 08:00:00", 5.4, 5.4)])
    (row,) = rows(parsed)
    assert (row["device_id"], row["line"]) == ("medtronic-paradigm_revel_523-736868", 13)
    assert parsed.exported_utc == dt.datetime(2015, 4, 12, 20, 21)
    assert "Testperson" not in everything(parsed)
    found = {entry["property"]: entry["value"] for entry in rows(parsed, "device_property")}
    assert (found["SERIAL"], found["CLASS"]) == ("736868", "pump")


def test_trap_25_two_pumps_in_one_table(tmp_path: Path) -> None:
    other = dose("4/11/15 09:00:00", 1.0, 1.0) | {"Raw-Device Type": "Paradigm Veo - 754"}
    parsed = read(tmp_path, [dose("4/11/15 08:00:00", 5.4, 5.4), other])
    assert len({row["device_id"] for row in rows(parsed)}) == 2


def test_trap_26_same_raw_id_seconds_later_is_one_entry(tmp_path: Path) -> None:
    suspended = raw("4/11/15 08:00:00", "ChangeSuspendEnable", "ENABLE=user_suspend", Suspend="Suspended") | {
        "Raw-ID": 77
    }
    again = suspended | {"Time": "08:00:02", "Raw-Seq Num": 480}
    later = suspended | {"Time": "20:00:00"}
    parsed = read(tmp_path, [suspended, again, later])
    keys = [row["native_key"] for row in rows(parsed, "device_event")]
    assert keys == ["ChangeSuspendEnable:77", "ChangeSuspendEnable:77@2015-04-11T20:00:00"]
    assert "1 rows are entries uploaded twice, joined to the first." in parsed.notes


def test_basal_of_a_profile_with_steps(tmp_path: Path) -> None:
    log = [
        raw("4/11/15 00:00:00", "BasalProfileStart", "PATTERN_NAME=standard, PROFILE_INDEX=0, RATE=0.8, START_TIME=0"),
        raw("4/11/15 05:00:00", "ChangeTempBasalPercent", "PERCENT_OF_RATE=50, DURATION=7200000"),
        raw("4/11/15 07:30:00", "ChangeSuspendEnable", "ENABLE=low_suspend_mode_1", Suspend="Suspend (Low Glucose)"),
        raw("4/11/15 08:00:00", "ChangeSuspendEnable", "ENABLE=normal_pumping", Suspend="Resume"),
        raw("4/11/15 18:00:00", "CurrentActiveBasalProfilePattern", "PATTERN_NAME=standard"),
        raw("4/11/15 18:00:00", "CurrentBasalProfilePattern", "PATTERN_NAME=standard, NUM_PROFILES=2") | {"Raw-ID": 70},
        raw("4/11/15 18:00:00", "CurrentBasalProfile", "PATTERN_DATUM=70, PROFILE_INDEX=0, RATE=0.8, START_TIME=0"),
        raw(
            "4/11/15 18:00:00",
            "CurrentBasalProfile",
            "PATTERN_DATUM=70, PROFILE_INDEX=1, RATE=1.0, START_TIME=21600000",
        ),
    ]
    shown = [
        (
            row["start_local"].strftime("%H:%M"),
            row["delivered_duration_s"],
            row["programmed_rate"],
            row["delivered_amount"],
        )
        for row in rows(read(tmp_path, log), kind="basal_segment")
    ]
    assert shown == [
        ("00:00", 18_000, Decimal("0.8"), Decimal(4)),
        ("05:00", 3_600, Decimal("0.4"), Decimal("0.4")),
        # The percentage is of the step it covers, which the pump did not log.
        ("06:00", 3_600, Decimal("0.5"), Decimal("0.5")),
        ("07:00", 1_800, Decimal("1"), Decimal("0.5")),
        ("07:30", 1_800, Decimal("1"), Decimal(0)),
        ("08:00", 36_000, Decimal("1"), Decimal(10)),
    ]


def test_trap_32_step_without_its_row_is_not_claimed(tmp_path: Path) -> None:
    settings = [
        raw("4/13/15 18:00:00", "CurrentBasalProfilePattern", "PATTERN_NAME=standard, NUM_PROFILES=2") | {"Raw-ID": 70},
        raw("4/13/15 18:00:00", "CurrentBasalProfile", "PATTERN_DATUM=70, PROFILE_INDEX=0, RATE=0.8, START_TIME=0"),
        raw(
            "4/13/15 18:00:00",
            "CurrentBasalProfile",
            "PATTERN_DATUM=70, PROFILE_INDEX=1, RATE=1.0, START_TIME=21600000",
        ),
    ]
    start = raw(
        "4/11/15 00:00:00", "BasalProfileStart", "PATTERN_NAME=standard, PROFILE_INDEX=0, RATE=0.8, START_TIME=0"
    )
    (segment,) = rows(read(tmp_path, [start, *settings]), kind="basal_segment")
    assert segment["delivered_duration_s"] == 6 * 3600


def test_daily_total_fill_clock_and_glucose(tmp_path: Path) -> None:
    log = [
        raw("4/11/15 00:00:00", "ResultDailyTotal", "AMOUNT=31.2", **{"Daily Insulin Total (U)": 31.2}),
        raw("4/11/15 09:00:00", "Prime", "AMOUNT=7.7", **{"Prime Type": "Manual", "Prime Volume Delivered (U)": 7.7}),
        raw("4/11/15 10:00:00", "ChangeTime", "NEW_TIME=1", **{"New Device Time": "4/11/15 11:00:00"}),
        raw("4/11/15 11:30:00", "GlucoseSensorData", "AMOUNT=120, ISIG=16.54", **{"Sensor Glucose (mg/dL)": 120}),
        raw("4/11/15 11:40:00", "AlarmPump", "RAW_TYPE=4", Alarm="No Delivery (4)"),
    ]
    parsed = read(tmp_path, log)
    assert total(parsed) == 0
    assert [(row["total_date"], row["reported_total"]) for row in rows(parsed, "control_total")] == [
        (dt.date(2015, 4, 11), Decimal("31.2"))
    ]
    change, blocked = rows(parsed, "device_event")
    assert json.loads(change["detail"]) == {"old_local": "2015-04-11T10:00:00", "new_local": "2015-04-11T11:00:00"}
    assert blocked["event"] == "occlusion"
    assert rows(parsed, "observation")[0]["value"] == 120


def test_trap_15_translated_headings_are_read_by_position(tmp_path: Path) -> None:
    columns = (
        "Index",
        *(f"Kolom {place}" for place in range(1, 12)),
        "Afgegeven bolusvolume (E)",
        *(f"Kolom {place}" for place in range(13, 39)),
    )
    parsed = parse(IMPORTER, tmp_path, table([dose("4/11/15 08:00:00", 5.4, 5.3)], columns))
    assert (total(parsed), rows(parsed)[0]["programmed_amount"]) == (Decimal("5.3"), Decimal("5.4"))
    assert any("read by their position" in note for note in parsed.notes)


def test_unknown_table_is_not_taken() -> None:
    text = table([dose("4/11/15 08:00:00", 5.4, 5.3)], ("Index", *(f"Kolom {place}" for place in range(1, 39))))
    assert IMPORTER.recognise("export.csv", text.encode()) is None


@pytest.mark.parametrize(("day", "expected"), [("4/11/15", (4, 11)), ("04-11-2015", (11, 4)), ("13/11/15", (11, 13))])
def test_trap_18_order_of_day_and_month(tmp_path: Path, day: str, expected: tuple[int, int]) -> None:
    (row,) = rows(read(tmp_path, [dose(f"{day} 08:00:00", 1.0, 1.0)]))
    assert (row["start_local"].month, row["start_local"].day) == expected


LEGACY = "data/devices/carelink_legacy/indigestion_{}_{}"


def expected(shared: Path, name: str) -> list[dict[str, Any]]:
    path = shared / LEGACY.format(name, "expected_output.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


@pytest.mark.external
@pytest.mark.parametrize("name", ["withSettingsChanges", "withoutSettingsChanges"])
def test_expected_boluses_of_another_project(shared: Path, name: str) -> None:
    parsed = parse_file(IMPORTER, shared / LEGACY.format(name, "input.csv"))
    assert_accounted(parsed)
    assert rejected(parsed) == []
    doses = {row["start_local"].isoformat(): row for row in rows(parsed, kind="bolus")}
    for event in (event for event in expected(shared, name) if event["type"] == "bolus"):
        own = doses[event["deviceTime"]]
        assert float(own["delivered_amount"]) == event["normal"]
        if event["subType"] == "dual/square":
            (later,) = (row for row in doses.values() if row["shape"] == "dual_later")
            assert float(later["delivered_amount"]) == event["extended"]
            assert float(later["programmed_amount"]) == event["expectedExtended"]
            assert later["programmed_duration_s"] * 1000 == event["expectedDuration"]
    assert total(parsed, kind="bolus") == Decimal("10.7")
    con, (counts,) = stored([parsed])
    assert (counts.duplicate, counts.superseded, counts.quarantined) == (0, 0, 0)


@pytest.mark.external
def test_expected_basal_of_another_project(shared: Path) -> None:
    """Rates, starts and lengths of the day whose settings are in the file, cut where the other project overlaps."""
    parsed = parse_file(IMPORTER, shared / LEGACY.format("withSettingsChanges", "input.csv"))
    found = {
        row["start_local"].isoformat(): (float(row["delivered_rate"]), row["delivered_duration_s"])
        for row in rows(parsed, kind="basal_segment")
        if row["start_local"] >= dt.datetime(2014, 3, 14)
    }
    events = [event for event in expected(shared, "withSettingsChanges") if event["type"] == "basal"]
    scheduled = {
        event["deviceTime"]: event for event in events if event["deliveryType"] == "scheduled" and "duration" in event
    }
    assert len(scheduled) == 4
    for when, event in scheduled.items():
        rate, seconds = found[when]
        assert rate == event["rate"]
        # The suspension of 03:32:32 and the pattern change of 11:51:05 end two of them earlier.
        cut = {"2014-03-14T03:29:15": 197, "2014-03-14T09:00:00": 10_265}
        assert seconds == cut.get(when, event["duration"] // 1000)
    for event in events:
        if event["deliveryType"] == "temp" and "suppressed" in event:
            rate, _ = found[event["deviceTime"]]
            assert rate == pytest.approx(event["percent"] * event["suppressed"]["rate"])
    held = [
        event for event in events if event["deliveryType"] == "suspend" and event["deviceTime"] == "2014-03-14T03:32:32"
    ]
    suspended = [row for row in rows(parsed, kind="basal_segment") if row["status"] == "none_delivered"]
    assert (
        sum(row["delivered_duration_s"] for row in suspended if row["start_local"].day == 14)
        == held[0]["duration"] // 1000
    )


@pytest.mark.external
def test_expected_static_basal_of_another_project(shared: Path) -> None:
    """One rate all day: the same insulin to the minute of the upload; the other project draws it on to midnight."""
    parsed = parse_file(IMPORTER, shared / LEGACY.format("staticBasal", "input.csv"))
    upload = dt.datetime(2014, 3, 15, 22, 21, 19)
    seconds = 0
    for event in (event for event in expected(shared, "staticBasal") if event["type"] == "basal"):
        start = dt.datetime.fromisoformat(event["deviceTime"])
        seconds += int((min(start + dt.timedelta(milliseconds=event["duration"]), upload) - start).total_seconds())
    (segment,) = rows(parsed)
    assert segment["delivered_duration_s"] == seconds
    assert segment["delivered_amount"] == (Decimal("0.8") * seconds / 3600).quantize(Decimal("0.000001"))
