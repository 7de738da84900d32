"""Diasend workbooks and their sheets as CSV: delivered only, to the minute."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import pytest
from pump_logs import assert_accounted, everything, parse, parse_file, rejected, rows, stored, total

from importers.base import Parsed, UnreadableFile
from importers.diasend import IMPORTER

INSULIN = (
    "Time,Basal Amount (U/h),Bolus Type,Bolus Volume (U),Immediate Volume (U),Extended Volume (U),Duration (min),"
    "Carbs(g),Notes\n"
)
GLUCOSE = "Patient ID,\nName,Paula Testperson\n,\nDate,05/11/2013 to 03/02/2014\nTime,mmol/l\n05/11/2013 00:17,6.8\n"


def read(folder: Path, text: str | bytes, name: str = "export.csv") -> Parsed:
    parsed = parse(IMPORTER, folder, text, name=name)
    assert_accounted(parsed)
    return parsed


def workbook() -> bytes:
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        for name, lines in (
            ("Name and glucose", GLUCOSE),
            ("Insulin use and carbs", INSULIN + "05/11/2013 04:00,,Normal,0.4,,,,,\n"),
            (
                "Insulin pump settings",
                "Insulin pump settings for Serial number:,XX-YYYYY-ZZ (OneTouch Ping)\nMax Bolus,2.5 U\n",
            ),
        ):
            sheet = book.add_worksheet(name)
            for place, line in enumerate(lines.splitlines()):
                sheet.write_row(place, 0, line.split(","))
    return out.getvalue()


def test_boluses_carbs_and_basal(tmp_path: Path) -> None:
    text = INSULIN + (
        "05/11/2013 00:00,0.6,,,,,,,\n"
        "05/11/2013 07:44,,,,,,,12,\n"
        "05/11/2013 07:44,,Combination,0.9,0.4,0.5,60,,\n"
        "05/11/2013 08:07,,Normal,0.35,,,,,Paula called\n"
        "05/11/2013 10:00,0,,,,,,,\n"
        "05/11/2013 11:00,0.5,,,,,,,\n"
        "05/11/2013 13:00,,Normal,1,,,,,\n"
        "05/11/2013 14:00,0.5,,,,,,,\n"
    )
    parsed = read(tmp_path, text)
    now, later, plain, last = rows(parsed, kind="bolus")
    assert [(row["shape"], row["delivered_amount"]) for row in (now, later)] == [
        ("dual_now", Decimal("0.4")),
        ("dual_later", Decimal("0.5")),
    ]
    assert (later["programmed_duration_s"], plain["shape"], plain["start_precision"]) == (3600, "immediate", "minute")
    assert (last["programmed_basis"], last["start_local"]) == ("none", dt.datetime(2013, 11, 5, 13))
    assert [row["delivered_amount"] for row in rows(parsed, kind="basal_segment")] == [
        Decimal(6),
        Decimal(0),
        Decimal("1.5"),
    ]
    assert {row["programmed_basis"] for row in rows(parsed, kind="basal_segment")} == {"none"}
    assert rows(parsed, "observation")[0]["value"] == 12
    assert "Paula" not in everything(parsed)


def test_combination_without_parts_keeps_its_total(tmp_path: Path) -> None:
    (dose,) = rows(read(tmp_path, INSULIN + "05/11/2013 07:44,,Combination,0.9,,,60,,Combination unknown\n"))
    assert (dose["shape"], dose["delivered_amount"], dose["programmed_duration_s"]) == (None, Decimal("0.9"), 3600)


def test_daily_totals_of_newer_exports(tmp_path: Path) -> None:
    header = INSULIN.replace("Notes", "Notes,Total daily dose,Total daily basal")
    parsed = read(tmp_path, header + "05/11/2013 23:59,,,,,,,,,31.5,12\n")
    assert rows(parsed) == []
    assert [(row["measure"], row["reported_total"]) for row in rows(parsed, "control_total")] == [
        ("all", Decimal("31.5")),
        ("basal", Decimal(12)),
    ]


def test_trap_16_and_41_glucose_in_its_unit_without_the_patient(tmp_path: Path) -> None:
    parsed = read(tmp_path, GLUCOSE)
    (value,) = rows(parsed, "observation")
    assert (value["value"], value["unit"], value["code"], value["line"]) == (6.8, "mmol/L", "blood_glucose", 6)
    assert "Paula" not in everything(parsed)


def test_trap_27_durations_are_minutes(tmp_path: Path) -> None:
    (dose,) = rows(read(tmp_path, INSULIN + "05/11/2013 07:44,,Extended,2,0,2,90,,\n"))
    assert (dose["shape"], dose["programmed_duration_s"]) == ("extended", 5400)


def test_workbook(tmp_path: Path) -> None:
    parsed = read(tmp_path, workbook(), "export.xlsx")
    (dose,) = rows(parsed)
    assert (dose["delivered_amount"], dose["device_id"]) == (Decimal("0.4"), "unstated-onetouch_ping-xx_yyyyy_zz")
    assert dose["line"] == 6 + 2
    found = {row["property"]: row["value"] for row in rows(parsed, "device_property")}
    assert found == {"MODEL": "OneTouch Ping", "SERIAL": "XX-YYYYY-ZZ", "EXPORT": "Diasend", "CLASS": "pump"}
    assert "Paula" not in everything(parsed)


def test_damaged_workbook_and_bad_rows(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="damaged"):
        read(tmp_path, workbook()[:-300], "export.xlsx")
    parsed = read(tmp_path, INSULIN + "05/11/2013 07:44,,Normal,much,,,,,\n31/02/2013 07:44,,Normal,1,,,,,\n")
    assert [(row["line"], row["reason"]) for row in rejected(parsed)] == [(2, "bad_number"), (3, "bad_date")]


@pytest.mark.external
def test_real_export(shared: Path) -> None:
    folder = shared / "data/devices/diasend"
    book = parse_file(IMPORTER, folder / "anonymous-diasend.xls")
    table = parse_file(IMPORTER, folder / "Insulin-use-and-carbs.csv")
    for parsed in (book, table):
        assert_accounted(parsed)
        assert rejected(parsed) == []
        assert len(rows(parsed, kind="bolus")) == 252
        assert sum(row["value"] for row in rows(parsed, "observation", code="carbohydrates")) == 2230
        assert total(parsed, kind="basal_segment") == Decimal("71.352617")
    # The CSV rounds to thousandths what the workbook holds in full.
    assert (total(book, kind="bolus"), total(table, kind="bolus")) == (Decimal("152.6086"), Decimal("152.611"))
    assert len(rows(book, "observation", code="blood_glucose")) == 228
    assert rows(book)[0]["device_id"] == "unstated-onetouch_ping-xx_yyyyy_zz"
    _, (counts,) = stored([book])
    assert (counts.read, counts.quarantined) == (972, 0)
