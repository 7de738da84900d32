"""Enrolment and adverse events from CSV and Excel: mapping, partial dates, devices handed out, sheets."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter
from generic_files import Read, read, source

from importers.base import Ignored, Recognised, UnreadableFile
from importers.tabular import ADVERSE_EVENT_IMPORTER, ENROLMENT_IMPORTER

ENROLMENT = "subject_id,site_id,arm_code,sex,age,enrolled_date,died,status\n"
EVENTS = "subject_id,event_seq,term,severity,serious,causality,start_text,end_text\n"


def enrol(folder: Path, data: bytes | str, stated: Any = None, name: str = "enrol.csv") -> Read:
    return read(folder, data, stated, importer=ENROLMENT_IMPORTER, name=name)


def events(folder: Path, data: bytes | str, stated: Any = None, name: str = "ae.csv") -> Read:
    return read(folder, data, stated, importer=ADVERSE_EVENT_IMPORTER, name=name)


def workbook(folder: Path, sheets: dict[str, list[list[object]]], *, first_row: int = 0) -> bytes:
    path = folder / "made.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        day = book.add_format({"num_format": "dd/mm/yyyy"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows, first_row):
                for column, value in enumerate(row):
                    if isinstance(value, dt.date):
                        sheet.write_datetime(number, column, value, day)
                    elif value is not None:
                        sheet.write(number, column, value)
    return path.read_bytes()


def test_enrolment_with_canonical_names(tmp_path: Path) -> None:
    lst = enrol(tmp_path, ENROLMENT + "S1,01,A,F,34,2024-01-05,N,enrolled\nS2,02,B,M,,2024-01-06,y,Died\n")
    assert lst.tables["subject"].rows(named=True) == [
        {"subject_id": "S1", "site_id": "01", "sex": "F", "age": 34, "arm_code": "A",
         "enrolled_date": dt.date(2024, 1, 5), "died": False, "status": "enrolled", "line": 2},
        {"subject_id": "S2", "site_id": "02", "sex": "M", "age": None, "arm_code": "B",
         "enrolled_date": dt.date(2024, 1, 6), "died": True, "status": "died", "line": 3},
    ]  # fmt: skip
    assert lst.parsed.mode == "snapshot"
    assert list(lst.tables) == ["subject"]


def test_enrolment_mapped_with_constants_and_values(tmp_path: Path) -> None:
    stated = source(
        "enrolment",
        columns={"subject_id": "Pat-Nr", "arm_code": "Gruppe", "consent_date": "Einwilligung", "sex": "Geschlecht"},
        constants={"site_id": "07", "age_unit": "YEARS"},
        values={"arm_code": {"0": "PLACEBO", "1": "ACTIVE", "-": ""}, "sex": {"w": "F", "m": "M"}},
        date_order="DMY",
    )
    text = (
        "Pat-Nr;Gruppe;Einwilligung;Geschlecht\nP1;0;5.1.2024;w\nP2;1;06.01.2024;m\n"
        "P3;-;;d\n;1;07.01.2024;w\nP5;1;32.01.2024;w\n"
    )
    lst = enrol(tmp_path, text, stated)
    columns = ["subject_id", "arm_code", "consent_date", "sex", "site_id", "age_unit"]
    assert lst.tables["subject"].select(columns).rows() == [
        ("P1", "PLACEBO", dt.date(2024, 1, 5), "F", "07", "YEARS"),
        ("P2", "ACTIVE", dt.date(2024, 1, 6), "M", "07", "YEARS"),
        ("P3", None, None, "d", "07", "YEARS"),
    ]
    assert lst.reasons() == [(5, "missing_value", "subject_id"), (6, "bad_date", "consent_date")]


def test_bad_cells_of_an_enrolment_list(tmp_path: Path) -> None:
    rows = [
        "S1,01,A,F,x,,,",
        "S2,01,A,F,-1,,,",
        "S3,01,A,F,34.5,,,",
        "S4,01,A,F,,1850-01-01,,",
        "S5,01,A,F,,,maybe,",
        "S6,01,A,F,,,,gone",
    ]
    lst = enrol(tmp_path, ENROLMENT + "\n".join(rows) + "\nS7,01,A,F,40,2024-01-01,,\n")
    assert lst.reasons() == [
        (2, "bad_number", "age"),
        (3, "bad_value", "age"),
        (4, "bad_number", "age"),
        (5, "impossible_time", "enrolled_date"),
        (6, "bad_value", "died"),
        (7, "bad_value", "status"),
    ]
    assert lst.rejected["subject_id"].to_list() == [f"S{number}" for number in range(1, 7)]
    assert lst.rejected["raw"][0] == rows[0]


def test_devices_handed_out_are_recorded_assignments(tmp_path: Path) -> None:
    text = (
        "subject_id,arm_code,device_id,device_start_date,device_end_date\n"
        "S1,A,PEN-1,2024-01-05,2024-02-01\nS1,A,PEN-2,2024-02-01,\nS2,B,,,\n"
    )
    lst = enrol(tmp_path, text)
    columns = ["device_id", "subject_id", "start_date", "end_date", "line"]
    assert lst.tables["device_assignment_recorded"].select(columns).rows() == [
        ("PEN-1", "S1", dt.date(2024, 1, 5), dt.date(2024, 2, 1), 2),
        ("PEN-2", "S1", dt.date(2024, 2, 1), None, 3),
    ]
    assert lst.tables["subject"]["subject_id"].to_list() == ["S1", "S1", "S2"]


def test_adverse_events(tmp_path: Path) -> None:
    text = EVENTS + 'S1,1,HEADACHE,MILD,N,NONE,2024-01-05,\nS1,2,"PAIN, BACK",SEVERE,Y,,2024-02,2024\nS1,3,,MILD,N,,,\n'
    lst = events(tmp_path, text)
    assert lst.tables["adverse_event"].rows(named=True) == [
        {"subject_id": "S1", "event_seq": "1", "term": "HEADACHE", "severity": "MILD", "serious": False,
         "causality": "NONE", "start_text": "2024-01-05", "end_text": None, "line": 2},
        {"subject_id": "S1", "event_seq": "2", "term": "PAIN, BACK", "severity": "SEVERE", "serious": True,
         "causality": None, "start_text": "2024-02", "end_text": "2024", "line": 3},
    ]  # fmt: skip
    assert lst.reasons() == [(4, "missing_value", "term")]


def test_events_without_number_are_numbered_within_the_subject(tmp_path: Path) -> None:
    lst = events(tmp_path, "subject_id,term\nS1,A\nS2,B\nS1,C\n")
    assert lst.tables["adverse_event"].select("subject_id", "event_seq", "term").rows() == [
        ("S1", "1", "A"), ("S2", "1", "B"), ("S1", "2", "C"),
    ]  # fmt: skip
    assert any("event_seq" in note for note in lst.parsed.notes)


@pytest.mark.parametrize(
    ("order", "text", "iso"),
    [
        ("YMD", "2024-03-09", "2024-03-09"), ("YMD", "2024/3/9", "2024-03-09"), ("YMD", "2024-03", "2024-03"),
        ("YMD", "2024", "2024"), ("YMD", "2024-03-09T08:30", "2024-03-09T08:30"), ("YMD", "2024---09", "2024---09"),
        ("YMD", "2024-03-09 00:00:00", "2024-03-09"), ("DMY", "09.03.2024", "2024-03-09"),
        ("DMY", "9/3/2024 8:05", "2024-03-09T08:05"), ("DMY", "03.2024", "2024-03"), ("DMY", "3/2024", "2024-03"),
        ("MDY", "03/09/2024", "2024-03-09"), ("MDY", "03/2024", "2024-03"), ("DMY", "09-MAR-2024", "2024-03-09"),
        ("MDY", "9 mar 2024", "2024-03-09"), ("DMY", "09MAR2024", "2024-03-09"), ("DMY", "UN-MAR-2024", "2024-03"),
        ("DMY", "Mar 2024", "2024-03"), ("DMY", "UNK-UNK-2024", "2024"), ("DMY", "09-UNK-2024", "2024---09"),
        ("DMY", "2024-03-09", "2024-03-09"), ("DMY", " 2024 ", "2024"),
    ],
)  # fmt: skip
def test_partial_dates_become_iso(tmp_path: Path, order: str, text: str, iso: str) -> None:
    stated = source("adverse_events", columns={"subject_id": "S", "term": "T", "start_text": "D"}, date_order=order)
    lst = events(tmp_path, f"S;T;D\nS1;X;{text}\n", stated)
    assert lst.tables["adverse_event"]["start_text"].to_list() == [iso]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ("YMD", "2024-02-30"), ("YMD", "2024-13"), ("DMY", "30.02.2024"), ("DMY", "13/13/2024"), ("DMY", "05.24"),
        ("DMY", "31-FEB-2024"), ("DMY", "09-XYZ-2024"), ("DMY", "yesterday"), ("DMY", "45000"), ("MDY", "13/2024"),
    ],
)  # fmt: skip
def test_what_is_no_date_is_rejected(tmp_path: Path, order: str, text: str) -> None:
    stated = source("adverse_events", columns={"subject_id": "S", "term": "T", "start_text": "D"}, date_order=order)
    assert events(tmp_path, f"S;T;D\nS1;X;{text}\n", stated).reasons() == [(2, "bad_date", "start_text")]


def test_excel_gives_what_csv_gives(tmp_path: Path) -> None:
    text = ENROLMENT + "S1,01,A,F,34,2024-01-05,N,enrolled\nS2,02,B,M,191,2024-01-06,Y,\nS3,02,B,M,x,,,\n"
    rows: list[list[object]] = [
        ENROLMENT.strip().split(","),
        ["S1", "01", "A", "F", 34, dt.date(2024, 1, 5), "N", "enrolled"],
        ["S2", "02", "B", "M", 191, dt.date(2024, 1, 6), True, None],
        ["S3", "02", "B", "M", "x"],
    ]
    csv = enrol(tmp_path, text)
    excel = enrol(tmp_path, workbook(tmp_path, {"Subjects": rows, "Empty": []}), name="enrol.xlsx")
    assert excel.tables["subject"].equals(csv.tables["subject"])
    assert excel.reasons() == csv.reasons() == [(4, "bad_number", "age")]
    assert excel.rejected["raw"].to_list() == ["S3 | 02 | B | M | x"]


def test_rows_of_a_sheet_keep_their_numbers(tmp_path: Path) -> None:
    rows: list[list[object]] = [["S", "T"], [], ["S1", "A"], [None, None], ["S2", None], ["S3", " B "]]
    stated = source("adverse_events", columns={"subject_id": "s", "term": "t"}, sheet="AE", null_values=["-"])
    data = workbook(tmp_path, {"Cover": [["x"]], "AE": rows}, first_row=2)
    lst = events(tmp_path, data, stated, name="ae.xlsx")
    assert lst.tables["adverse_event"].select("line", "term").rows() == [(5, "A"), (8, "B")]
    assert lst.reasons() == [(7, "missing_value", "term")]


def test_long_numbers_and_ids_of_a_sheet(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["subject_id", "arm_code", "device_id"],
        [10012345, "A", 900000000001],
        ["0007", "B", 1.5],
    ]
    lst = enrol(tmp_path, workbook(tmp_path, {"S": rows}), name="e.xlsx")
    assert lst.tables["subject"]["subject_id"].to_list() == ["10012345", "0007"]
    assert lst.tables["device_assignment_recorded"]["device_id"].to_list() == ["900000000001", "1.5"]


def test_sheets_that_cannot_be_read(tmp_path: Path) -> None:
    two = workbook(tmp_path, {"A": [["subject_id", "arm_code"], ["S", "A"]], "B": [["x"]]})
    empty = workbook(tmp_path, {"A": []})
    for data, stated, words in (
        (two, None, "several sheets with content: A, B"),
        (two, source("enrolment", sheet="C"), "no sheet 'C'"),
        (empty, None, "is empty"),
        (two[:1500], None, "truncated, damaged"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), None, "truncated, damaged"),
    ):
        with pytest.raises(UnreadableFile, match=words):
            enrol(tmp_path, data, stated, name="e.xlsx")


def test_a_column_every_row_needs_must_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No column gives term"):
        events(tmp_path, "S;T\nS1;X\n", source("adverse_events", columns={"subject_id": "S"}))
    with pytest.raises(UnreadableFile, match=r"columns\.start_local"):
        enrol(tmp_path, "S;T\nS1;X\n", source("enrolment", columns={"subject_id": "S", "start_local": "T"}))


def test_recognised_by_their_headers(tmp_path: Path) -> None:
    def verdicts(header: str | bytes) -> list[Recognised | Ignored | None]:
        data = header if isinstance(header, bytes) else header.encode()
        return [importer.recognise("x", data) for importer in (ENROLMENT_IMPORTER, ADVERSE_EVENT_IMPORTER)]

    enrolment, adverse = Recognised("enrolment", "enrolment"), Recognised("adverse_events", "adverse_events")
    assert verdicts(ENROLMENT) == [enrolment, None]
    assert verdicts("Subject_ID;Site_ID\n") == [enrolment, None]
    assert verdicts(EVENTS) == [None, adverse]
    assert verdicts(workbook(tmp_path, {"S": [["subject_id", "arm_code"], ["S1", "A"]]})) == [enrolment, None]
    assert verdicts("subject_id,sex\n") == [None, None]
    assert verdicts("subject_id,site_id,start_local,kind\n") == [None, None]
    # A mapped log may name its subjects and sites like that.
    assert verdicts("subject_id,site_id,date,dose\n") == [None, None]


def test_frames_cast_to_the_schema(tmp_path: Path) -> None:
    lst = enrol(tmp_path, ENROLMENT + "S1,01,A,F,34,2024-01-05,N,enrolled\n")
    assert dict(lst.tables["subject"].schema) == {
        "subject_id": pl.String, "site_id": pl.String, "arm_code": pl.String, "sex": pl.String, "age": pl.Int32,
        "enrolled_date": pl.Date, "died": pl.Boolean, "status": pl.String, "line": pl.Int64,
    }  # fmt: skip
