"""SAS transport files, version 5 (Library of Congress fdd000466, SAS technical note TS-140).

The header is read here, because it alone tells the data set's name, when it was written, and where rows
end: a file cut short still reads without an error in pyreadstat, one row short. pyreadstat then decodes the
rows.
"""

from __future__ import annotations

import datetime as dt
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from importers.base import UnreadableFile
from importers.data_set import LINE, DataSet, DataSetHead, level_number, level_text

if TYPE_CHECKING:
    import polars as pl

RECORD = 80
_LIBRARY = b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!"
_LIBRARY_V8 = b"HEADER RECORD*******LIBV8   HEADER RECORD!!!!!!!"
_MEMBER = b"HEADER RECORD*******MEMBER  HEADER RECORD!!!!!!!"
_OBSERVATIONS = b"HEADER RECORD*******OBS     HEADER RECORD!!!!!!!"
_HEADER_RECORDS = 8
_SAS_EPOCH = dt.datetime(1960, 1, 1)
_DATE_FORMATS = (
    "DATE",
    "YYMMDD",
    "MMDDYY",
    "DDMMYY",
    "E8601DA",
    "B8601DA",
    "IS8601DA",
    "JULIAN",
    "WEEKDATE",
    "WORDDATE",
)
_DATETIME_FORMATS = ("DATETIME", "DATEAMPM", "E8601DT", "B8601DT", "IS8601DT", "E8601DN")
_TIME_FORMATS = ("TIME", "E8601TM", "B8601TM", "IS8601TM", "HHMM", "TOD")


@dataclass(frozen=True)
class _Variable:
    name: str
    is_number: bool
    position: int
    length: int
    format: str


@dataclass(frozen=True)
class _Header:
    name: str
    label: str
    written: dt.datetime | None
    variables: tuple[_Variable, ...]
    data_start: int

    @property
    def row_bytes(self) -> int:
        return sum(variable.length for variable in self.variables)


def is_xpt(head: bytes) -> bool:
    """Whether the bytes start a SAS transport file (version 5 or 8)."""
    return head.startswith((_LIBRARY, _LIBRARY_V8))


def read_head(head: bytes) -> DataSetHead | None:
    """Data set name, variables and first DOMAIN from a file's first bytes; None without a whole header."""
    try:
        header = _parse_header(head)
    except UnreadableFile:
        return None
    return DataSetHead(header.name, tuple(variable.name for variable in header.variables), _first_domain(head, header))


def read_data_set(path: Path, name: str) -> DataSet:
    """Read a transport file; ``name`` is the file's name for messages.

    Dates and datetimes with a SAS format become ISO 8601 text; numbers keep 15 digits; blank and missing
    are NULL. Raises ``UnreadableFile`` when the file is cut short, holds several data sets, is of version
    8, or cannot be decoded.
    """
    with path.open("rb") as stream:
        start = stream.read(RECORD * _HEADER_RECORDS)
        count = _variable_count(start)
        start += stream.read(count * 140 + 2 * RECORD)
    header = _parse_header(start)
    _check_length(path, name, header)
    frame, notes = _decode(path, name, header)
    return DataSet(
        name=header.name,
        label=header.label,
        columns=tuple(column for column in frame.columns if column != LINE),
        frame=frame,
        exported_utc=header.written,
        notes=notes,
    )


def _variable_count(head: bytes) -> int:
    try:
        return int(head[7 * RECORD + 54 : 7 * RECORD + 58])
    except ValueError:
        return 0


def _parse_header(head: bytes) -> _Header:
    if head.startswith(_LIBRARY_V8):
        raise UnreadableFile(
            "The file is a SAS transport file of version 8.",
            remedy="Export it as version 5 (the version of submissions) or as Dataset-JSON 1.1.",
        )
    if not head.startswith(_LIBRARY) or head[3 * RECORD : 3 * RECORD + len(_MEMBER)] != _MEMBER:
        raise _broken("its header is not that of a SAS transport file of version 5")
    try:
        descriptor_bytes = int(head[3 * RECORD + 74 : 3 * RECORD + 78])
    except ValueError:
        raise _broken("its header does not say how its variables are described") from None
    count = _variable_count(head)
    table = head[_HEADER_RECORDS * RECORD :]
    if descriptor_bytes not in (136, 140) or count < 1 or len(table) < count * descriptor_bytes:
        raise _broken("its list of variables is incomplete")
    variables = tuple(_variable(table[index * descriptor_bytes :]) for index in range(count))
    if any(variable.length < 1 for variable in variables):
        raise _broken("a variable has no length")
    listed = count * descriptor_bytes
    marker = _HEADER_RECORDS * RECORD + listed + (-listed) % RECORD
    if head[marker : marker + len(_OBSERVATIONS)] != _OBSERVATIONS:
        raise _broken("its header of observations is missing")
    return _Header(
        name=_ascii(head[5 * RECORD + 8 : 5 * RECORD + 16]).upper(),
        label=_ascii(head[6 * RECORD + 32 : 6 * RECORD + 72]),
        written=_sas_time(head[6 * RECORD : 6 * RECORD + 16]) or _sas_time(head[5 * RECORD + 64 : 6 * RECORD]),
        variables=variables,
        data_start=marker + RECORD,
    )


def _variable(descriptor: bytes) -> _Variable:
    """One NAMESTR: type, hash, length, number, name, label, format ..., position of the value in the row."""
    kind, _, length = struct.unpack(">hhh", descriptor[:6])
    (position,) = struct.unpack(">l", descriptor[84:88])
    return _Variable(
        name=_ascii(descriptor[8:16]).upper(),
        is_number=kind == 1,
        position=position,
        length=length,
        format=_ascii(descriptor[56:64]).upper(),
    )


def _ascii(value: bytes) -> str:
    return value.decode("ascii", errors="replace").strip(" \x00")


def _sas_time(value: bytes) -> dt.datetime | None:
    """``21AUG20:09:14:26``; the format knows no zone, so the time is taken as UTC."""
    try:
        return dt.datetime.strptime(_ascii(value).title(), "%d%b%y:%H:%M:%S")
    except ValueError:
        return None


def _first_domain(head: bytes, header: _Header) -> str | None:
    for variable in header.variables:
        if variable.name in ("DOMAIN", "RDOMAIN"):
            start = header.data_start + variable.position
            value = head[start : start + variable.length]
            return _ascii(value).upper() or None if len(value) == variable.length else None
    return None


def _check_length(path: Path, name: str, header: _Header) -> None:
    """A whole file is a multiple of 80 bytes: rows, then blanks up to the next record."""
    size = path.stat().st_size
    whole, rest = divmod(size - header.data_start, header.row_bytes)
    with path.open("rb") as stream:
        stream.seek(header.data_start)
        _refuse_second_member(stream, name)
        stream.seek(size - rest)
        padding = stream.read(rest)
    if size % RECORD or padding.strip(b" "):
        raise UnreadableFile(
            f"{name} is cut short: it ends inside row {whole + 1:,} ({size:,} bytes).",
            remedy="Copy or export the file again; nothing of it was taken.",
            rows_complete=whole,
        )


def _refuse_second_member(stream: BinaryIO, name: str) -> None:
    before = b""
    while block := stream.read(RECORD * 8192):
        if _MEMBER in before + block:
            raise UnreadableFile(
                f"{name} holds more than one data set.",
                remedy="Export one data set per file, as submissions require.",
            )
        before = block[-len(_MEMBER) :]


def _decode(path: Path, name: str, header: _Header) -> tuple[pl.DataFrame, list[str]]:
    import pyreadstat

    # Dates stay numbers here: pyreadstat's own conversion fails the whole file for one impossible date.
    read = partial(pyreadstat.read_xport, str(path), output_format="polars", disable_datetime_conversion=True)
    notes: list[str] = []
    try:
        try:
            frame, _ = read()
        except UnicodeDecodeError as error:
            frame, _ = read(encoding="windows-1252")
            byte = error.object[error.start]
            notes.append(f"{name}: text is not UTF-8 (byte 0x{byte:02X}); read as windows-1252")
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError) as error:
        raise _broken(f"its rows cannot be decoded: {error}") from None
    return _level(frame, header), notes


def _level(frame: pl.DataFrame, header: _Header) -> pl.DataFrame:
    import polars as pl

    names = [variable.name for variable in header.variables]
    if len(names) != frame.width or len(set(names)) != len(names) or "" in names:
        raise _broken("its variables are not named, or two have the same name")
    columns = [pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE)]
    for variable, series in zip(header.variables, frame.iter_columns(), strict=True):
        name = variable.name
        if series.dtype == pl.String:
            levelled = [None if value is None else level_text(value) for value in series]
        elif series.dtype == pl.Null:
            levelled = [None] * series.len()
        else:
            levelled = [None if value is None else _number_text(value, variable.format) for value in series]
        columns.append(pl.Series(name, levelled, dtype=pl.String))  # type: ignore[arg-type]
    return frame.select(columns)


def _number_text(value: float, sas_format: str) -> str | None:
    """A SAS number as text: days or seconds since 1960 by its format, else (or out of range) the number."""
    try:
        if sas_format.startswith(_DATETIME_FORMATS):
            return (_SAS_EPOCH + dt.timedelta(seconds=value)).isoformat(timespec="seconds")
        if sas_format.startswith(_TIME_FORMATS):
            return (_SAS_EPOCH + dt.timedelta(seconds=value)).time().isoformat()
        if sas_format.startswith(_DATE_FORMATS):
            return (_SAS_EPOCH + dt.timedelta(days=int(value))).date().isoformat()
    except OverflowError:
        return level_number(value)
    return level_number(value)


def _broken(what: str) -> UnreadableFile:
    return UnreadableFile(
        f"The SAS transport file cannot be read: {what}.",
        remedy="Export the data set again as version 5; nothing of it was taken.",
    )
