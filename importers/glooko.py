"""Glooko exports: one CSV per kind of data (bolus_data_1.csv ...), alone or in the zip as it is downloaded; JSON of its
API (importers.glooko_api).

The first line may be ``Name:<patient>,Date Range:<day> - <day>``: only the range is read, as evidence for the
order of day and month. Comma, tab or semicolon; headings in English, German or Dutch, else by position where the
file's name says what it is. Each row has at most a serial number to say which device it is of. Rows of a zip are
numbered on through its files.

Only delivered amounts exist: programmed is not reported. A bolus with an initial and an extended part gives two
rows. Basal: Scheduled rows hold a rate (amount = rate x time), Automated rows the amount that was given, pauses
nothing; where the alarms of the same zip hold suspensions, they cut the scheduled rows. Daily totals
(insulin_data with Total Bolus, Total Basal) are control totals, never doses. Insulin a person entered
(manual_insulin_data) is kept apart (exclude_reason manual_entry). Rows have no number of their own: they are
identified by content.

No data of the study, counted in the notes: food, exercise, medication, notes. Free text is not read.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

from importers.base import HEAD_BYTES, Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_log import DeviceLog
from importers.glooko_api import import_glooko_api, is_glooko_api
from importers.glooko_rows import GlookoTable, add_tables
from importers.glooko_tables import file_kind, find_kind, find_roles, is_metadata, read_range
from importers.json_records import read_document
from importers.vendor_csv import VendorText, decode_text, read_section, split_line

FORMAT = "glooko"

_SEPARATORS = (",", "\t", ";")
_LOCAL_HEADER = b"PK\x03\x04"
_MEMBER_BYTES = 512 * 1024 * 1024
_MEMBERS = 500


class GlookoImporter:
    """Importer of Glooko exports."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        if head.startswith(_LOCAL_HEADER):
            return Recognised(FORMAT, FORMAT) if any(file_kind(found) for found in _names_in(head)) else None
        if is_glooko_api(head):
            return Recognised(FORMAT, f"{FORMAT} api")
        try:
            text = decode_text(head)
        except UnreadableFile:
            return None
        found = _header(text)
        if found is None:
            return None
        number, separator, names = found
        kind = find_kind(names)
        named = file_kind(name)
        first = text.lines(1)[0][2]
        sure = is_metadata(first, separator) or named is not None
        if kind is None and not (sure and named):
            return None
        return Recognised(FORMAT, f"{FORMAT} {kind or named}") if sure or _is_distinct(kind) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one CSV or one zip; raises ``UnreadableFile`` when it cannot be read as a whole."""
        log = DeviceLog(file, recognised, context)
        with file.path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if is_glooko_api(head):
            import_glooko_api(read_document(file.path), log)
            log.date_by_newest_row()
            return log.parsed()
        zipped = head.startswith(_LOCAL_HEADER)
        if zipped:
            tables = _read_zip(file.path.read_bytes(), log)
        else:
            found = _read_table(file.path.read_bytes(), file.name, 0, log)
            tables = [found] if found else []
        if not tables:
            raise UnreadableFile("The file holds no Glooko table.", remedy="Export it again; nothing of it was taken.")
        add_tables(tables, log)
        log.date_by_newest_row()
        return log.parsed()


def _is_distinct(kind: str | None) -> bool:
    """Kinds whose headings no other vendor's CSV has."""
    return kind in ("bolus", "basal", "daily")


def _names_in(head: bytes) -> Iterator[str]:
    """File names in the local headers within the first bytes of a zip."""
    place = head.find(_LOCAL_HEADER)
    while 0 <= place <= len(head) - 30:
        length = int.from_bytes(head[place + 26 : place + 28], "little")
        yield head[place + 30 : place + 30 + length].decode("utf-8", "replace")
        place = head.find(_LOCAL_HEADER, place + 4)


def _header(text: VendorText) -> tuple[int, str, list[str]] | None:
    """Line, separator and headings of the header: the first of three lines that starts with a word for time stamp."""
    for number, _, line in text.lines(3):
        for separator in _SEPARATORS:
            names = split_line(line, separator)
            if len(names) > 1 and "at" in find_roles(names[:1]):
                return number, separator, names
    return None


def _read_zip(data: bytes, log: DeviceLog) -> list[GlookoTable]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
        if len(members) > _MEMBERS:
            raise UnreadableFile(
                f"The zip holds {len(members):,} files; a Glooko export holds some twenty.",
                remedy="Give the files themselves; nothing of it was taken.",
            )
        tables: list[GlookoTable] = []
        line = 0
        for info in members:
            if not info.filename.lower().endswith(".csv") or "__MACOSX" in info.filename:
                continue
            with archive.open(info) as stream:
                content = stream.read(_MEMBER_BYTES + 1)
            if len(content) > _MEMBER_BYTES:
                raise UnreadableFile(
                    "A file in the zip is larger than 512 MB.", remedy="Export a shorter time; nothing of it was taken."
                )
            table = _read_table(content, info.filename, line, log) if content.strip() else None
            if table is not None:
                tables.append(table)
            line += content.count(b"\n") + 1
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UnreadableFile(
            f"The zip is damaged or encrypted ({type(error).__name__}).",
            remedy="Download it again; nothing of it was taken.",
        ) from None
    return tables


def _read_table(data: bytes, name: str, lines_before: int, log: DeviceLog) -> GlookoTable | None:
    text = decode_text(data)
    for note in text.notes:
        log.note(note)
    found = _header(text)
    if found is None:
        log.note("A file of the export has no header that is known; it was left out.")
        return None
    number, separator, names = found
    kind = find_kind(names) or file_kind(name)
    if kind is None:
        log.note(f"A table with the columns {', '.join(names)} is not known; it was left out.")
        return None
    roles = find_roles(names, kind)
    if kind not in ("other",) and len(roles) < 2:
        raise UnreadableFile(
            f"The columns of the {kind} table are not known: {', '.join(names)}.",
            remedy="Set the language of the Glooko account to English and export again; nothing of it was taken.",
        )
    offset = next(start for line, start, _ in text.lines(number + 1) if line == number)
    end = text.data.find(b"\n", offset)
    body = text.data[end + 1 :] if end >= 0 else b""
    rows = read_section(body, lines_before + number + 1, len(names), separator, roles, may_end_empty=True)
    span = read_range(text.lines(1)[0][2]) if number > 1 else None
    log.reject_broken(rows.broken)
    return GlookoTable(kind, names, rows.frame, span)


IMPORTER = GlookoImporter()
