"""Tables of adherence caps, from text or a workbook: which vendor's a table is, and its rows with their line numbers.

Lines of a workbook run on over its sheets: the first row of the second sheet follows the last of the first.
"""

from __future__ import annotations

import csv
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from importers.base import LINE_LIMIT, UnreadableFile
from importers.vendor_csv import decode_text, split_line

_SIGNS: dict[str, frozenset[str]] = {
    "mems": frozenset({"date", "intakestatusdisplayresource"}),
    "ecap package": frozenset({"dose timestamp", "dose timestamp utc", "package id"}),
    "ecap monitor": frozenset({"dose timestamp", "dose timestamp utc", "ecm id"}),
    "adheretech": frozenset({"device_uid", "status", "time_recorded_utc", "time_recorded_patient_timezone"}),
    "simplemed": frozenset({"event id", "device sn", "event type", "create time"}),
    "clevercap": frozenset({"datestamp", "eventtype", "cleverkey"}),
    "patchcap": frozenset({"measurement time", "primary value", "secondary value"}),
    "event list": frozenset({"patientcode", "monitor", "date"}),
    "non-monitored": frozenset({"patientcode", "monitor", "startdate", "enddate"}),
    "added openings": frozenset({"patientcode", "monitor", "date", "addedopenings"}),
}
"""Headings by which a table is known."""
_RESULTS = frozenset({"recordedopenings", "correctedopenings", "implementation"})
_SHEETS = {"nonmonitoredperiods": "non-monitored", "addedopenings": "added openings"}
_BY_SHEET = frozenset(_SHEETS.values())
_SEARCHED = 10
_SEPARATORS = ",;\t|"
_ENTRY_LIMIT = 1 << 20
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
NO_VALUE = frozenset({"", "--"})


@dataclass
class CapTable:
    """One table. ``rows``: line, and heading (lower case) -> text, empty cells left out; ``broken``: line, reason,
    message of rows with more fields than headings."""

    dialect: str | None
    sheet: str | None = None
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    broken: list[tuple[int, str, str]] = field(default_factory=list)


def dialect_of(headings: list[str]) -> str | None:
    """The vendor of a table by its headings; None when it is none of a cap. ``results``: figures computed by others."""
    names = {heading.strip().lower() for heading in headings}
    if _RESULTS & names and "patientcode" in names:
        return "results"
    found = (dialect for dialect, sign in _SIGNS.items() if sign <= names and dialect not in _BY_SHEET)
    dialect = next(found, None)
    if dialect == "event list" and names - {"", *_SIGNS["event list"]}:
        return "added openings" if _SIGNS["added openings"] <= names else None
    return dialect.split()[0] if dialect and dialect.startswith("ecap") else dialect


def recognise_table(head: bytes) -> str | None:
    """The vendor of a file by its first bytes; None when it is no cap's."""
    if head.startswith((ZIP, OLE)):
        return _recognise_workbook(head)
    try:
        lines = decode_text(head).lines(_SEARCHED)
    except UnreadableFile:
        return None
    return next((found for _, _, text in lines for found in [_heading(text)[0]] if found), None)


def _heading(text: str) -> tuple[str | None, str]:
    for separator in _SEPARATORS:
        if separator in text:
            try:
                dialect = dialect_of(split_line(text, separator))
            except csv.Error:
                continue
            if dialect is not None:
                return dialect, separator
    return None, ""


def _recognise_workbook(head: bytes) -> str | None:
    # Sheet names and headings stand in the text of the parts; what lies behind the first bytes is not seen.
    text = (_parts(head) if head.startswith(ZIP) else head.replace(b"\x00", b"")).lower()
    if b"recordedopenings" in text and b"implementation" in text:
        return "results"
    if b'name="nonmonitoredperiods"' in text or b'name="addedopenings"' in text:
        return "auxiliary"
    exact = head.startswith(ZIP)
    for dialect, sign in _SIGNS.items():
        marks = [f">{name}<".encode() if exact else name.encode() for name in sign]
        if dialect not in _BY_SHEET and all(mark in text for mark in marks):
            return dialect.split()[0] if dialect.startswith("ecap") else dialect
    return None


def _parts(head: bytes) -> bytes:
    found, position = b"", head.find(ZIP)
    while position >= 0:
        name_length = int.from_bytes(head[position + 26 : position + 28], "little")
        start = position + 30 + name_length + int.from_bytes(head[position + 28 : position + 30], "little")
        name = head[position + 30 : position + 30 + name_length]
        if name.endswith(b".xml") and int.from_bytes(head[position + 8 : position + 10], "little") == 8:
            try:
                found += zlib.decompressobj(-15).decompress(head[start:], _ENTRY_LIMIT)
            except zlib.error:
                pass
        position = head.find(ZIP, start)
    return found


def read_tables(path: Path) -> list[CapTable]:
    """Every table of a file; raises ``UnreadableFile`` when it is damaged or holds none."""
    data = path.read_bytes()
    tables = _read_workbook(data) if data.startswith((ZIP, OLE)) else [_read_text(data)]
    if not any(table.dialect for table in tables):
        raise UnreadableFile(
            "The file has no table of an adherence cap.", remedy="Export it again; nothing of it was taken."
        )
    return tables


def _read_text(data: bytes) -> CapTable:
    text = decode_text(data)
    for number, offset, line in text.lines(_SEARCHED):
        dialect, separator = _heading(line)
        if dialect is not None:
            csv.field_size_limit(LINE_LIMIT)
            body = io.StringIO(text.data[offset:].decode("utf-8"), newline="")
            reader = csv.reader(body, delimiter=separator)
            records: list[tuple[int, list[str]]] = []
            line_number = number
            try:
                for fields in reader:
                    records.append((line_number, fields))
                    line_number = number + reader.line_num
            except csv.Error as error:
                raise UnreadableFile(
                    f"Line {line_number} cannot be taken apart: {error}.",
                    remedy="Export the file again; nothing of it was taken.",
                    line=line_number,
                ) from None
            return _table(dialect, None, records)
    return CapTable(None)


def _read_workbook(data: bytes) -> list[CapTable]:
    import fastexcel

    try:
        book = fastexcel.read_excel(data)
        sheets = [
            (name, book.load_sheet(name, header_row=None, dtypes="string").to_polars().rows())
            for name in book.sheet_names
        ]
    except fastexcel.FastExcelError as error:
        raise UnreadableFile(
            "The workbook cannot be read; it is damaged or locked with a password.",
            remedy="Save it again without a password; nothing of it was taken.",
        ) from error
    tables: list[CapTable] = []
    line = 1
    for name, rows in sheets:
        records = [(line + index, [str(cell or "") for cell in row]) for index, row in enumerate(rows)]
        line += len(rows)
        tables.append(_sheet(name, records))
    return tables


def _sheet(name: str, records: list[tuple[int, list[str]]]) -> CapTable:
    stated = _SHEETS.get(name.strip().lower())
    if stated and records and _SIGNS[stated] <= {cell.strip().lower() for cell in records[0][1]}:
        return _table(stated, name, records)
    for index, (_, fields) in enumerate(records[:_SEARCHED]):
        dialect = dialect_of(fields)
        if dialect is not None:
            return _table(dialect, name, records[index:])
    return CapTable(None, name, [(line, {}) for line, _ in records[1:]])


def _table(dialect: str, sheet: str | None, records: list[tuple[int, list[str]]]) -> CapTable:
    table = CapTable(dialect, sheet)
    headings = [cell.strip().strip('"\ufeff').lower() for cell in records[0][1]]
    rows = records[1:]
    if dialect == "ecap":
        headings = _shifted(headings, rows)
    for line, fields in rows:
        cells = [cell.strip() for cell in fields]
        if not any(cells):
            continue
        if any(cells[len(headings) :]):
            message = f"the row has {len(cells)} fields where its table has {len(headings)}"
            table.broken.append((line, "too_many_columns", message))
            continue
        named = zip(headings, cells, strict=False)
        table.rows.append((line, {name: cell for name, cell in named if name and cell not in NO_VALUE}))
    return table


def _shifted(headings: list[str], rows: list[tuple[int, list[str]]]) -> list[str]:
    """One version of the eCAP export lacks the headings of its first two columns: every value stands two columns left
    of its name. It shows where no time stands under Dose Timestamp, but two columns to the right."""
    if headings[:2] != ["site id", "subject id"] or "dose timestamp" not in headings:
        return headings
    place = headings.index("dose timestamp")
    values = [(fields[place : place + 1], fields[place + 2 : place + 3]) for _, fields in rows if any(fields)]
    moved = sum("T" not in "".join(here) and "T" in "".join(there) for here, there in values)
    return ["package index", "study id", *headings[:-2]] if values and moved * 2 > len(values) else headings
