"""Glooko exports: tables of every kind in three languages, alone and in the zip."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import assert_accounted, everything, parse, parse_file, rejected, rows, source, stored, total

from importers.base import Parsed, Recognised, UnreadableFile
from importers.glooko import IMPORTER

META = "Name:Paula Testperson,Date Range:2026-01-01 - 2026-01-02\n"
BOLUS = (
    "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
    "Initial Delivery (U),Extended Delivery (U),Serial Number\n"
)
BASAL = "Timestamp,Insulin type,Duration (minutes),Percentage (%),Rate,Insulin delivered (U),Serial number\n"
ALARMS = "Timestamp,Alarm/Event,Serial number\n"


def read(folder: Path, text: str | bytes, name: str = "bolus_data_1.csv", **keys: Any) -> Parsed:
    parsed = parse(IMPORTER, folder, text, name=name, **keys)
    assert_accounted(parsed)
    return parsed


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"Paula Testperson/Insulin data/{name}.csv", text)
    return out.getvalue()


def test_bolus_has_no_programmed_amount(tmp_path: Path) -> None:
    parsed = read(tmp_path, META + BOLUS + "2026-01-01 08:10,Normal,120.0,30.0,15.0,2.0,,,SERIAL123\n")
    (dose,) = rows(parsed)
    assert (dose["delivered_amount"], dose["delivered_basis"]) == (Decimal(2), "reported")
    assert (dose["programmed_amount"] if "programmed_amount" in dose else None, dose["programmed_basis"]) == (
        None,
        "none",
    )
    assert (dose["start_precision"], dose["time_anchor"], dose["line"]) == ("minute", "point", 3)
    assert dose["device_id"] == "unstated-unstated-serial123"
    assert rows(parsed, "observation")[0]["value"] == 30


def test_extended_bolus(tmp_path: Path) -> None:
    text = BOLUS + (
        "2026-01-01 08:10:00,Combo,,30,15,5.0,2.0,3.0,S\n"
        "2026-01-01 09:10:00,Extended,,0,15,3.0,0,3.0,S\n"
        "2026-01-01 10:10:00,Normal,,0,15,4.0,4.0,0,S\n"
        "2026-01-01 11:10:00,Combo,,0,15,9.0,2.0,3.0,S\n"
    )
    parsed = read(tmp_path, text)
    assert [(row["shape"], row["delivered_amount"]) for row in rows(parsed)] == [
        ("dual_now", Decimal(2)),
        ("dual_later", Decimal(3)),
        ("extended", Decimal(3)),
        ("immediate", Decimal(4)),
        ("immediate", Decimal(9)),
    ]
    assert total(parsed) == 21
    assert any("do not add up" in note for note in parsed.notes)


def test_two_boluses_in_one_minute_are_two(tmp_path: Path) -> None:
    line = "2026-01-01 08:10,Normal,,,,1.0,,,S\n"
    parsed = read(tmp_path, META + BOLUS + line * 2)
    con, (counts,) = stored([parsed])
    assert con.execute("SELECT count(*), sum(delivered_amount) FROM current_dose_event").fetchone() == (2, Decimal(2))
    again = read(tmp_path, META + BOLUS + line * 3, name="again/bolus_data_1.csv")
    con, counts_of = stored([parsed, again])
    assert con.execute("SELECT sum(delivered_amount) FROM current_dose_event").fetchone() == (Decimal(3),)


def test_trap_6_daily_totals_are_no_doses(tmp_path: Path) -> None:
    text = (
        META
        + "Timestamp,Total Bolus (U),Total Insulin (U),Total Basal (U),Serial Number\n2026-01-01 23:59,2.5,10.5,8.0,S\n"
    )
    parsed = read(tmp_path, text, "insulin_data_1.csv")
    assert rows(parsed) == []
    assert {(row["measure"], row["reported_total"]) for row in rows(parsed, "control_total")} == {
        ("bolus", Decimal("2.5")),
        ("all", Decimal("10.5")),
        ("basal", Decimal(8)),
    }


def test_basal_cut_by_suspensions_of_the_same_zip(tmp_path: Path) -> None:
    data = zipped(
        alarms_data_1=META + ALARMS
        + "2026-01-01 01:00,Insulin Delivery Suspended,S\n2026-01-01 01:30,Insulin Delivery Suspension Ended,S\n",
        basal_data_1=META + BASAL
        + "2026-01-01 00:00,Scheduled,120,,1.0,,S\n2026-01-01 02:00,Automated,5,,,0.35,S\n"
        + "2026-01-01 02:05,Automated pause,30,,,,S\n",
        bolus_data_1=META + BOLUS + "2026-01-01 08:10,Normal,,,,2.0,,,S\n",
        food_data_1=META + "Timestamp,Name,Carbs (g)\n2026-01-01 08:00,Soup of Paula,20\n",
        notes_data_1=META + "Timestamp,Value\n",
    )  # fmt: skip
    parsed = read(tmp_path, data, "Paula Testperson.zip")
    scheduled, automated, paused = rows(parsed, kind="basal_segment")
    assert (scheduled["programmed_amount"], scheduled["delivered_amount"], scheduled["status"]) == (
        Decimal(2),
        Decimal("1.5"),
        "partial",
    )
    assert (automated["delivered_amount"], automated["delivered_basis"], automated["trigger"]) == (
        Decimal("0.35"),
        "reported",
        "algorithm",
    )
    assert (paused["delivered_amount"], paused["delivered_basis"]) == (Decimal(0), "reported")
    assert len({row["line"] for row in rows(parsed)}) == 4
    assert [row["event"] for row in rows(parsed, "device_event")] == ["suspend", "resume"]
    text = everything(parsed)
    assert "Paula" not in text
    assert "Soup" not in text


def test_scheduled_basal_alone_says_that_suspensions_are_unknown(tmp_path: Path) -> None:
    parsed = read(tmp_path, BASAL + "2026-01-01 00:00,Scheduled,120,,0.8,,S\n", "basal_data_1.csv")
    assert total(parsed) == Decimal("1.6")
    assert any("no suspension is known" in note for note in parsed.notes)


def test_trap_15_and_16_german_export(tmp_path: Path) -> None:
    text = (
        "Name:Paula Testperson,Datumsbereich:17.08.2026 - 30.08.2026\n"
        "Zeitstempel,Insulin-Typ,Blutzuckereingabe (mmol/l),Kohlenhydrataufnahme (g),Abgegebenes Insulin (E),"
        "Anf\u00e4ngliche Abgabe (E),Verz\u00f6gerte Abgabe (E)\n"
        '17.08.2026 08:50,Normal,"5,5","46,2","3,25",,\n'
    )
    parsed = read(tmp_path, text)
    (dose,) = rows(parsed)
    assert (dose["delivered_amount"], dose["start_local"]) == (Decimal("3.25"), dt.datetime(2026, 8, 17, 8, 50))
    assert rows(parsed, "observation")[0]["value"] == 46.2


def test_unknown_language_is_read_by_position(tmp_path: Path) -> None:
    header = "Tijdstempel,Soort,BG,KH,Verhouding,Gegeven (E),Nu,Later,Nummer\n"
    parsed = read(tmp_path, META + header + "2026-01-01 08:10,Normaal,,,,2.5,,,S\n")
    assert (total(parsed), rows(parsed)[0]["device_id"]) == (Decimal("2.5"), "unstated-unstated-s")


def test_trap_18_the_range_of_days_decides_the_order(tmp_path: Path) -> None:
    header = "Name:A,Date Range:2025-01-01 - 2025-01-07\nTimestamp,CGM Glucose Value (mg/dl),Serial Number\n"
    parsed = read(tmp_path, header + "1/2/2025 0:05,97,S\n", "cgm_data_1.csv")
    assert rows(parsed, "observation")[0]["observed_at"] == dt.datetime(2025, 1, 2, 0, 5)
    without = "Timestamp,CGM Glucose Value (mg/dl),Serial Number\n1/2/2025 0:05,97,S\n"
    with pytest.raises(UnreadableFile, match="nothing in it decides"):
        read(tmp_path, without, "cgm_data_1.csv")
    stated = read(tmp_path, without, "cgm_data_1.csv", source=source(date_order="DMY"))
    assert rows(stated, "observation")[0]["observed_at"] == dt.datetime(2025, 2, 1, 0, 5)


def test_trap_21_z_on_a_local_time(tmp_path: Path) -> None:
    parsed = read(tmp_path, BOLUS + "2026-01-01T08:10:00Z,Normal,,,,2.0,,,S\n")
    (dose,) = rows(parsed)
    assert (dose["start_local"], dose.get("start_utc")) == (dt.datetime(2026, 1, 1, 8, 10), None)


def test_trap_34_entered_insulin_is_kept_apart(tmp_path: Path) -> None:
    text = META + "Timestamp,Name,Value,Insulin Type\n2026-01-01 22:00,Lantus,18,Long acting\n"
    parsed = read(tmp_path, text, "manual_insulin_data_1.csv")
    (dose,) = rows(parsed)
    assert (dose["kind"], dose["exclude_reason"], dose["delivered_amount"]) == (
        "injection",
        "manual_entry",
        Decimal(18),
    )
    assert total(parsed) == 0


def test_tab_separated_demo_export(tmp_path: Path) -> None:
    text = (
        META.replace(",", "\t")
        + "Timestamp\tBolus Type\tDose (units)\tCarbs (g)\tNotes\n2026-01-01 09:17:50\tNormal\t4.8\t45\tPaula\n"
    )
    parsed = read(tmp_path, text)
    assert (total(parsed), rows(parsed)[0]["start_precision"]) == (Decimal("4.8"), "second")
    assert "Paula" not in everything(parsed)


def test_what_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    text = (
        BOLUS
        + "2026-01-01 08:10,Normal,,,,much,,,S\nsoon,Normal,,,,1,,,S\n"
        + "2026-01-01 08:12,Normal,,,,-1,,,S\n2026-01-01 08:13,Normal\n"
    )
    parsed = read(tmp_path, text)
    assert [(row["line"], row["reason"]) for row in rejected(parsed)] == [
        (2, "bad_number"),
        (3, "bad_date"),
        (4, "bad_value"),
        (5, "missing_columns"),
    ]


def test_empty_table_and_damaged_zip(tmp_path: Path) -> None:
    assert read(tmp_path, META + BOLUS).rows_read == 0
    data = zipped(bolus_data_1=META + BOLUS + "2026-01-01 08:10,Normal,,,,2.0,,,S\n" * 50)
    with pytest.raises(UnreadableFile, match="damaged or encrypted"):
        read(tmp_path, data[:-40], "export.zip")


def test_other_tables_with_a_time_stamp_are_not_taken() -> None:
    assert IMPORTER.recognise("log.csv", b"Timestamp,Dose,Subject\n2026-01-01 08:10,2.0,S-1\n") is None
    assert IMPORTER.recognise("x.zip", b"PK\x03\x04" + bytes(22) + b"\x05\x00\x00\x00a.txt") is None


@pytest.mark.external
def test_files_of_another_project(shared: Path) -> None:
    folder = shared / "data/devices/glooko_csv"
    found = {path.name: parse_file(IMPORTER, path) for path in sorted(folder.iterdir())}
    for parsed in found.values():
        assert_accounted(parsed)
        assert rejected(parsed) == []
    insulin = found["insulin_data_1.csv"]
    assert (insulin.rows_read, total(insulin, kind="bolus"), total(insulin, kind="basal_segment")) == (
        76,
        Decimal("92.5"),
        Decimal("74.6"),
    )
    assert len(rows(found["cgm_data_1.csv"], "observation")) == 288
    assert rows(found["bg_data_1.csv"], "observation")[-1]["observed_at"] < dt.datetime(2025, 1, 8)
    assert len(rows(found["alarms_data_1.csv"], "device_event")) == 14
    recognised = IMPORTER.recognise("carbs_data_1.csv", (folder / "carbs_data_1.csv").read_bytes())
    assert recognised == Recognised("glooko", "glooko carbs")


def test_the_api_has_local_times_programmed_amounts_and_primes(tmp_path: Path) -> None:
    """Trap 21: Z on a local time; 27: seconds; 33: suspected primes; 39: deleted records."""
    at = {"pumpTimestamp": "2026-01-01T08:10:00.000Z", "pumpTimestampUtcOffset": "-04:00", "serialNumber": "S1"}
    pen = {"timestamp": "2026-01-01T09:00:00.000Z", "timestampUtcOffset": "-04:00", "units": "units", "value": 2}
    document = {
        "normalBoluses": [
            {**at, "guid": "a", "insulinDelivered": 2.5, "insulinProgrammed": 4, "type": "suggested"},
            {
                **at,
                "guid": "b",
                "insulinDelivered": 1,
                "insulinProgrammed": 1,
                "type": "automatic",
                "softDeleted": True,
            },
            {**at, "guid": "c", "insulinDelivered": "much"},
        ],
        "scheduledBasals": [{**at, "guid": "d", "rate": 0.8, "duration": 1800}],
        "insulins": [
            {**pen, "guid": "e", "suspectedPrime": True},
            {**pen, "guid": "f", "suspectedPrime": True, "acceptedPrime": False, "deviceDelivered": True},
            {**pen, "guid": "g", "suspectedPrime": False, "deviceDelivered": False},
        ],
        "events": [{**at, "guid": "h", "type": "insulin_suspended"}],
    }
    parsed = read(tmp_path, json.dumps(document), "api.json")
    cut, deleted = rows(parsed, kind="bolus")
    assert (cut["programmed_amount"], cut["delivered_amount"], cut["status"]) == (Decimal(4), Decimal("2.5"), "partial")
    assert (cut["start_local"], cut["start_utc"]) == (dt.datetime(2026, 1, 1, 8, 10), dt.datetime(2026, 1, 1, 12, 10))
    assert (cut["trigger"], deleted["trigger"], deleted["status"]) == ("calculator", "algorithm", "voided")
    (segment,) = rows(parsed, kind="basal_segment")
    assert (segment["delivered_amount"], segment["delivered_duration_s"]) == (Decimal("0.4"), 1800)
    pens = [row["exclude_reason"] for row in rows(parsed) if row["kind"] in ("prime", "injection")]
    assert pens == ["air_shot", None, "manual_entry"]
    assert [row["event"] for row in rows(parsed, "device_event")] == ["suspend"]
    assert [row["line"] for row in rejected(parsed)] == [3]
