"""Forms as tables: Castor exports and workbooks with one sheet per form."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path
from typing import Any

import edc_files
import pytest
import xlsxwriter
from edc_files import check_account, rejected, rows

from importers.base import Recognised, UnreadableFile
from importers.discover import find_inputs
from importers.edc_forms import IMPORTER

PEOPLE = ("Dale Quinn", "quinn@example.org")
CASTOR = {
    "subject_id": "Participant Id",
    "site_id": "Site Abbreviation",
    "arm_code": "Randomization Group",
    "enrolled_date": "Participant Creation Date",
    "sex": "pat_sex",
}


read = partial(edc_files.read, IMPORTER)


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = xlsxwriter.Workbook(str(path))
    day = book.add_format({"num_format": "dd-mm-yyyy"})
    for name, table in sheets.items():
        sheet = book.add_worksheet(name.replace("_", " "))
        for number, row in enumerate(table):
            for place, cell in enumerate(row):
                if isinstance(cell, dt.datetime):
                    sheet.write_datetime(number, place, cell, day)
                elif cell is not None:
                    sheet.write(number, place, cell)
    book.close()
    return path


def test_a_castor_study_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text(
        "Participant Id;Participant Status;Site Abbreviation;Randomization Group;Participant Creation Date;"
        "pat_name;pat_sex\n"
        f"110001;Not Set;AMS;A;03-04-2024 09:10:11;{PEOPLE[0]};0\n"
        f"110002;Not Set;AMS;;28-04-2024 10:00:00;{PEOPLE[1]};1\n"
        f"110003;Not Set;AMS;;31-04-2024 10:00:00;{PEOPLE[1]};-99\n"
    )
    keys: dict[str, Any] = {"date_order": "DMY", "null_values": ["", "-99"], "values": {"sex": {"0": "M", "1": "F"}}}
    parsed = read(path, CASTOR, **keys)
    assert rows(parsed, "subject", "subject_id", "site_id", "arm_code", "enrolled_date", "sex", "line") == [
        ("110001", "AMS", "A", dt.date(2024, 4, 3), "M", 2),
        ("110002", "AMS", None, dt.date(2024, 4, 28), "F", 3),
    ]
    (bad,) = rejected(parsed)
    assert (bad["line"], bad["reason"], bad["subject_id"]) == (4, "bad_date", "110003")
    assert not [word for word in PEOPLE if word in f"{bad}{parsed.notes}"]
    found = find_inputs([path], [edc_files.source(IMPORTER, CASTOR)])[0]
    assert found.recognised == Recognised("edc_forms", "edc")


def study(path: Path) -> Path:
    return workbook(
        path,
        Study_results=[
            ["Participant Id", "Name", "Sex", "Consent signed"],
            ["001", PEOPLE[0], "F", dt.datetime(2024, 5, 6)],
            ["002", PEOPLE[1], "M", "07-05-2024"],
        ],
        Adverse_events=[
            [None, None, None],
            ["Participant Id", "Term", "Start"],
            ["001", "Rash", dt.datetime(2024, 6, 1, 8, 30)],
            [None, None, None],
            ["001", "Fever", "UNK-06-2024"],
            ["002", "Cough", "soon"],
        ],
        Field_options=[["Option", "Value"], ["Sex", 1]],
        Empty=[],
    )


EVENTS = {
    "subject_id": "Participant Id",
    "sex": "Study results.Sex",
    "signed_date": "Consent signed",
    "term": "Adverse events.Term",
    "adverse_event.start_text": "Start",
}


def test_every_sheet_is_a_form(tmp_path: Path) -> None:
    parsed = read(study(tmp_path / "study.xlsx"), EVENTS, date_order="DMY", null_values=["", "UNK-06-2024"])
    assert rows(parsed, "consent", "subject_id", "signed_date") == [
        ("001", dt.date(2024, 5, 6)),
        ("002", dt.date(2024, 5, 7)),
    ]
    assert rows(parsed, "subject", "subject_id", "sex") == [("001", "F"), ("002", "M")]
    assert rows(parsed, "adverse_event", "event_seq", "term", "start_text") == [
        ("Adverse events/1", "Rash", "2024-06-01T08:30:00"),
        ("Adverse events/2", "Fever", None),
    ]
    (bad,) = rejected(parsed)
    assert (bad["reason"], bad["value"]) == ("bad_date", "soon")
    assert '"sheet": "Adverse events"' in bad["raw"] and '"row": "6"' in bad["raw"]
    assert "sheets without the column Participant Id were not read: Field options" in parsed.notes
    assert parsed.rows_read == 5
    check_account(parsed)
    assert not [word for word in PEOPLE if word in f"{parsed}{bad}"]


def test_one_sheet_alone(tmp_path: Path) -> None:
    path = study(tmp_path / "study.xlsx")
    parsed = read(path, {"subject_id": "Participant Id", "sex": "Sex"}, sheet="Study results")
    assert set(parsed.tables) == {"subject"} and parsed.rows_read == 2
    with pytest.raises(UnreadableFile, match="no sheet 'Study'. Sheets found: Study results, Adverse events"):
        read(path, {"subject_id": "Participant Id"}, sheet="Study")


def test_files_that_are_refused(tmp_path: Path) -> None:
    path = study(tmp_path / "study.xlsx")
    with pytest.raises(UnreadableFile, match="The nearest name is 'Sex'"):
        read(path, {"subject_id": "Participant Id", "sex": "Sexe"})
    with pytest.raises(UnreadableFile) as caught:
        read(path, {})
    assert "Adverse events.Term" in caught.value.message and not [
        word for word in PEOPLE if word in caught.value.message
    ]
    cut = tmp_path / "cut.xlsx"
    cut.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(UnreadableFile, match="cannot be read as a workbook"):
        read(cut, {"subject_id": "Participant Id"})
    twice = workbook(tmp_path / "twice.xlsx", A=[["Id", "Day", "Day"], ["1", "2", "3"]])
    with pytest.raises(UnreadableFile, match="Two columns have the name 'Day'"):
        read(twice, {"subject_id": "Id"})
