"""Traps 8-19 of device logs: where the table is, how its text is written, which day a date means."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import CARELINK_600, bolus, carelink_table, entry, parse, parse_file, rejected, rows, source, total

from importers import carelink, cgm_exports, diasend, glooko, jaeb, nightscout, tandem_csv
from importers.base import Parsed, UnreadableFile

MICRO = "CLOSED_LOOP_MICRO_BOLUS"
LOG = [
    bolus("2018-01-01 08:00:00", 1, 1.5, 1.5, source=MICRO),
    bolus("2018-01-01 09:00:00", 2, 2.0, 2.0, source=MICRO),
    entry("2018-01-01 10:00:00", sg=120),
]
BOLUS_HEAD = (
    "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
    "Initial Delivery (U),Extended Delivery (U),Serial Number\n"
)


def read(folder: Path, text: str | bytes, **keys: Any) -> Parsed:
    return parse(carelink.IMPORTER, folder, text, **keys)


@pytest.mark.parametrize("lines", [0, 1, 6, 10, 11, 40])
def test_trap_8_the_header_is_searched(tmp_path: Path, lines: int) -> None:
    preamble = "".join(f"Line {number},of the preamble,\n" for number in range(lines))
    parsed = read(tmp_path, preamble + carelink_table(LOG))
    assert (total(parsed), rejected(parsed)) == (Decimal("3.5"), [])
    assert sorted(row["line"] for row in rows(parsed)) == [lines + 3, lines + 4]


def test_trap_9_sections_repeat_and_come_in_any_order(tmp_path: Path) -> None:
    marker = "\n-------,MiniMed 780G MMT-1886,{},NG1,-------\n"
    pump = marker.format("Pump") + carelink_table(LOG[:2])
    sensor = marker.format("Sensor") + carelink_table(LOG[2:], first_index=2)
    again = marker.format("Pump") + carelink_table([bolus("2018-01-02 08:00:00", 3, 1, 1, source=MICRO)], first_index=3)
    for parts in itertools.permutations((pump, sensor, again)):
        parsed = read(tmp_path, "Last Name,First Name\n" + "".join(parts))
        assert (total(parsed), len(rows(parsed, "observation")), rejected(parsed)) == (Decimal("4.5"), 1, [])


@pytest.mark.external
def test_trap_10_a_shifted_table_of_tconnect(shared: Path) -> None:
    """The values from IsQuickBolus on stand one column right of their names; none of the last five is used."""
    parsed = parse_file(tandem_csv.IMPORTER, shared / "data/devices/tconnect_therapy_timeline.csv")
    told = [(row["programmed_amount"], row["delivered_amount"]) for row in rows(parsed, kind="bolus")]
    assert told and all(programmed == delivered for programmed, delivered in told)
    assert rejected(parsed) == []
    assert "CF 1:30" not in str(parsed.tables)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\xc3\xaf\xc2\xbb\xc2\xbf"], ids=["none", "once", "twice"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_trap_11_marks_and_line_ends(tmp_path: Path, mark: bytes, end: bytes) -> None:
    parsed = read(tmp_path, mark + carelink_table(LOG).encode().replace(b"\n", end))
    assert (total(parsed), rejected(parsed)) == (Decimal("3.5"), [])
    text = (BOLUS_HEAD + "2026-01-01 08:10,Normal,,,,2.0,,,S\u2122\n").encode().replace(b"\n", end)
    assert total(parse(glooko.IMPORTER, tmp_path, mark + text, name="bolus_data_1.csv")) == 2


def test_trap_11_utf_16_and_a_mark_before_json(tmp_path: Path) -> None:
    assert total(read(tmp_path, carelink_table(LOG).encode("utf-16"))) == Decimal("3.5")
    record = '[{"_id":"1","eventType":"SMB","created_at":"2024-05-01T08:00:00Z","insulin":0.5}]'
    for data in (record.encode("utf-8-sig"), record.encode("utf-16")):
        assert total(parse(nightscout.IMPORTER, tmp_path, data, name="t.json")) == Decimal("0.5")


def european(number: float) -> str:
    return str(number).replace(".", ",")


def test_trap_12_decimal_comma_beside_iso_dates_and_local_ones_above(tmp_path: Path) -> None:
    log = [row | {"Bolus Volume Delivered (U)": european(row["Bolus Volume Delivered (U)"])} for row in LOG[:2]]
    log = [row | {"Bolus Volume Selected (U)": european(row["Bolus Volume Selected (U)"])} for row in log]
    preamble = "Name;;;Start Date;End Date\n;;;01.12.2017;31.01.2018\n"
    parsed = read(tmp_path, preamble + carelink_table(log, separator=";"))
    assert total(parsed) == Decimal("3.5")
    assert {row["start_local"].date() for row in rows(parsed)} == {dt.date(2018, 1, 1)}


@pytest.mark.parametrize("index", ["{},00000", '"{},00000"'])
def test_trap_13_an_index_with_a_comma_in_a_comma_file(tmp_path: Path, index: str) -> None:
    head, *lines = carelink_table(LOG).rstrip("\n").split("\n")
    shown = [line.replace(f"{number},", index.format(number) + ",", 1) for number, line in enumerate(lines)]
    parsed = read(tmp_path, "\n".join([head, *shown]) + "\n")
    assert (total(parsed), rejected(parsed)) == (Decimal("3.5"), [])


@pytest.mark.external
def test_trap_14_decimal_comma_inside_text(shared: Path) -> None:
    """387 entries ``Insulin: N,NN`` of the real export, none of them with a bolus column."""
    parsed = parse_file(carelink.IMPORTER, shared / "data/devices/carelink_guardian_eu/export.csv")
    entered = rows(parsed, kind="injection")
    assert len(entered) == 387
    assert all(row["delivered_amount"] % Decimal("0.5") == 0 for row in entered)


def test_trap_15_other_languages(tmp_path: Path) -> None:
    dutch = {
        "Date": "Datum", "Time": "Tijd", "Bolus Type": "Bolustype",
        "Bolus Volume Selected (U)": "Geselecteerd bolusvolume (E)",
        "Bolus Volume Delivered (U)": "Afgegeven bolusvolume (E)",
    }  # fmt: skip
    columns = [dutch.get(name, name) for name in CARELINK_600]
    log = [{dutch.get(name, name): value for name, value in row.items()} for row in LOG]
    assert total(read(tmp_path, carelink_table(log, columns=columns))) == Decimal("3.5")
    german = BOLUS_HEAD.replace("Timestamp", "Zeitstempel").replace("Insulin Delivered (U)", "Abgegebenes Insulin (E)")
    parsed = parse(glooko.IMPORTER, tmp_path, german + '17.08.2026 08:50,Normal,,,,"3,25",,,\n', name="b_data_1.csv")
    assert (total(parsed), rows(parsed)[0]["amount_unit"]) == (Decimal("3.25"), "[iU]")


@pytest.mark.parametrize(
    ("heading", "unit"),
    [("(mg/dL)", "mg/dL"), ("(mg/dl)", "mg/dL"), ("(mmol/L)", "mmol/L"), ("(mmol/l)", "mmol/L")],
)
def test_trap_16_the_unit_is_that_of_the_heading(tmp_path: Path, heading: str, unit: str) -> None:
    columns = [name.replace("(mg/dL)", heading) for name in CARELINK_600]
    log = [{name.replace("(mg/dL)", heading): value for name, value in row.items()} for row in LOG]
    assert {row["unit"] for row in rows(read(tmp_path, carelink_table(log, columns=columns)), "observation")} == {unit}
    table = f"Timestamp,CGM Glucose Value {heading},Serial Number\n2026-01-01 08:10,6,S\n"
    assert rows(parse(glooko.IMPORTER, tmp_path, table, name="cgm_data_1.csv"), "observation")[0]["unit"] == unit
    sheet = f"Patient ID,\nName,A\n,\nDate,05/11/2013 to 03/02/2014\nTime,{heading.strip('()')}\n05/11/2013 07:44,6\n"
    assert rows(parse(diasend.IMPORTER, tmp_path, sheet, name="Name-and-glucose.csv"), "observation")[0]["unit"] == unit


def test_trap_17_a_spreadsheet_was_here(tmp_path: Path) -> None:
    """02-12-2018 beside 12/13/2017, serial days, dates with a midnight, 191.0 for 191."""
    log = [dict(row) for row in LOG[:2]]
    log[0] |= {"Date": "02-12-2018", "Bolus Number": "191.0"}
    log[1] |= {"Date": "12/13/2017"}
    parsed = read(tmp_path, carelink_table(log))
    assert sorted(row["start_local"].date() for row in rows(parsed)) == [dt.date(2017, 12, 13), dt.date(2018, 2, 12)]
    assert any(":191:" in row["native_key"] for row in rows(parsed))
    log[0] |= {"Date": "43166", "Time": "0.5"}
    log[1] |= {"Date": "2018-01-31 00:00:00"}
    assert [row["start_local"] for row in rows(read(tmp_path, carelink_table(log)))] == [
        dt.datetime(2018, 1, 31, 9),
        dt.datetime(2018, 3, 7, 12),
    ]


def test_trap_18_each_file_decides_for_itself_and_never_guesses(tmp_path: Path) -> None:
    def dated(*days: str) -> str:
        return carelink_table(row | {"Date": day} for row, day in zip(LOG[:2], days, strict=True))

    month_first, day_first = (
        rows(read(tmp_path, dated("01/02/2018", other))) for other in ("01/13/2018", "13/02/2018")
    )
    assert month_first[0]["start_local"].date() == dt.date(2018, 1, 2)
    assert day_first[0]["start_local"].date() == dt.date(2018, 2, 1)
    for days in (("01/02/2018", "02/03/2018"), ("13/02/2018", "02/13/2018")):
        with pytest.raises(UnreadableFile):
            read(tmp_path, dated(*days))
    stated = read(tmp_path, dated("01/02/2018", "02/03/2018"), source=source(date_order="DMY"))
    assert rows(stated)[0]["start_local"].date() == dt.date(2018, 2, 1)
    libre = "Glucose Data,Generated on,12-04-2021 09:40 UTC,Generated by,A\n" + ",".join((
        "Device", "Serial Number", "Device Timestamp", "Record Type", "Historic Glucose mg/dL", "Scan Glucose mg/dL",
    ))  # fmt: skip
    with pytest.raises(UnreadableFile):
        parse(cgm_exports.IMPORTER, tmp_path, libre + "\nLibre,S,03-04-2021 08:00,0,90,\n", name="libre.csv")


@pytest.mark.parametrize(
    "head",
    [
        "PtID|DeviceDtTm|BolusDelivPrev|MealBolusDelivPrev|BasalDelivPrev|CGMVal\n1|{}|0.5|0|0.1|120\n",
        "PtID|DeviceDtTm|BolusAmount|BolusType\n1|{}|0.5|Standard\n",
    ],
    ids=["iLet", "Tandem"],
)
def test_trap_19_midnight_has_no_time(tmp_path: Path, head: str) -> None:
    ends = rows(parse(jaeb.IMPORTER, tmp_path, head.format("01/02/2023"), name="table.txt"))
    assert {row["end_local"] for row in ends} == {dt.datetime(2023, 1, 2)}
