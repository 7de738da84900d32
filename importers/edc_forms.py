"""Forms of a data capture system as tables: Castor study exports (CSV, Excel) and workbooks with one sheet per form.

The protocol's [[source]] says which column means what (importers.edc_records). A column is named as its header has it,
or with its sheet in front where sheets share a name (``Adverse events.Term``); ``sheet`` in the [[source]] takes that
sheet alone. A sheet without the column of the subject (field options, variable lists) is passed over with a note.
``record_key`` is the sheet and the number of the subject's row in it, in the order of the file.

The line of a row is its line in a CSV file; in a workbook, the number of its row in all sheets read, and ``sheet`` and
``row`` stand in the raw text of a rejected one. Days that a workbook holds as dates need no ``date_order``.
Nothing is recognised by content: such tables look like any other, so the format must be declared.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.delimited import open_delimited
from importers.edc_mapping import RECORD_KEY, Carrier, mapped_columns, table_maps, time_reading, unmapped
from importers.edc_records import EdcRecord, map_records
from importers.export_time import latest_time, read_export_time, received_time
from importers.mapping import check_header
from importers.records import read_lines, read_records
from importers.scratch import scratch_folder
from importers.workbook import is_workbook

FORMAT = "edc_forms"
SHEET, ROW = "sheet", "row"
_DAY = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.0+)?", re.ASCII)


@dataclass
class FormTable:
    """One form: its columns and the texts of its rows, each with the row's own number in file or sheet."""

    name: str
    header: tuple[str, ...]
    rows: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    first_line: int = 0
    """What to add to a row's number, so that no two rows of a workbook have the same line."""

    def names(self, column: str) -> tuple[str, str]:
        return column, f"{self.name}.{column}"


class EdcFormsImporter:
    """Importer of forms as tables."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """Never: a table of a form looks like any other; the protocol has to name the format."""
        return None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one file.

        Raises ``UnreadableFile``: no mapping in the protocol, a mapped column or sheet that is absent, a column name
        twice, or a file that cannot be read at all.
        """
        source = context.source
        exported, note = read_export_time(file.name, source)
        with file.path.open("rb") as stream:
            in_sheets = is_workbook(stream.read(8))
        forms = _read_workbook(file, context) if in_sheets else [_read_text(file, context)]
        fields = list(
            dict.fromkeys(name for form in forms for column in form.header if column for name in form.names(column))
        )
        if source is None or not source.columns:
            what = f"{file.name} holds forms, and no [[source]] of the protocol says what their columns mean"
            raise unmapped(source.name if source else None, FORMAT, fields, what)
        time = time_reading(source, latest_time(exported, received_time(context)))
        carrier = Carrier(frozenset({RECORD_KEY, SHEET, ROW}))
        maps = table_maps(source, [*fields, RECORD_KEY], carrier, time)
        columns, subject = mapped_columns(maps), maps[0].columns["subject_id"]
        used = [form for form in forms if any(subject in form.names(column) for column in form.header)]
        notes = [note] if note else []
        if len(used) < len(forms):
            passed = ", ".join(form.name for form in forms if form not in used)
            notes.append(f"sheets without the column {subject} were not read: {passed}")
        if any(one.columns.get("event_seq") == RECORD_KEY for one in maps):
            notes.append("no column gives event_seq; events are numbered in the order of the subject's rows")
        records = [record for form in used for record in _records(form, columns, subject, in_sheets=in_sheets)]
        faults = [fault for form in used for fault in form.faults]
        mapped = map_records(file, context, maps, carrier, records, faults)
        return Parsed(
            format=FORMAT,
            dataset=recognised.dataset,
            mode=source.effective_mode,
            rows_read=mapped.rows_read,
            tables=mapped.tables,
            rejected=mapped.rejected,
            exported_utc=exported,
            notes=[*notes, *mapped.notes],
        )


def _records(form: FormTable, columns: frozenset[str], subject: str, *, in_sheets: bool) -> Iterator[EdcRecord]:
    seen: dict[str, int] = {}
    for number, cells in form.rows:
        found = {
            name: _plain(cell) if in_sheets else cell.strip()
            for column, cell in zip(form.header, cells, strict=True)
            for name in (form.names(column) if column else ())
            if name in columns and cell.strip()
        }
        whose = found.get(subject, "")
        seen[whose] = seen.get(whose, 0) + 1
        if RECORD_KEY in columns:
            found[RECORD_KEY] = f"{form.name}/{seen[whose]}"
        if in_sheets:
            found |= {SHEET: form.name, ROW: str(number)}
        yield EdcRecord(form.first_line + number, found)


def _plain(cell: str) -> str:
    """A date of a workbook as ISO 8601: it must not be taken for one in the order of the file's texts."""
    found = _DAY.fullmatch(cell.strip())
    if found is None:
        return cell.strip()
    return found[1] if found[2] == "00:00:00" else f"{found[1]}T{found[2]}"


def _read_text(file: SourceFile, context: ReadContext) -> FormTable:
    with (
        scratch_folder(context.con) as scratch,
        open_delimited(file.path, file.name, context.source, scratch) as text,
    ):
        check_header(text.header)
        # The name of the file would change from export to export, so a form in a file of its own is "form".
        form = FormTable("form", text.header)
        lines = itertools.islice(read_lines(text.blocks(), text.name), text.header_end, None)
        for record in read_records(lines, text.delimiter, len(text.header), first_line=text.header_end + 1):
            if record.fault is not None:
                form.faults.append((record.first, record.fault, record.message))
            else:
                form.rows.append((record.first, record.texts()))
        return form


def _read_workbook(file: SourceFile, context: ReadContext) -> list[FormTable]:
    from importers.apart import read_sheets

    forms: list[FormTable] = []
    first_line = 0
    for name, frame in read_sheets(file.path, file.name, context.source.sheet if context.source else None).items():
        form = _sheet(name, [tuple(cell or "" for cell in row) for row in frame.iter_rows()], first_line)
        first_line += frame.height
        if form is not None:
            forms.append(form)
    if not forms:
        raise UnreadableFile(f"{file.name} holds nothing but empty sheets.", remedy="Export it again.")
    return forms


def _sheet(name: str, rows: list[tuple[str, ...]], first_line: int) -> FormTable | None:
    """A sheet whose first row that is not blank holds the column names; None for an empty one."""
    start = next((number for number, row in enumerate(rows) if any(map(str.strip, row))), None)
    if start is None:
        return None
    header = tuple(cell.strip() for cell in rows[start])
    check_header(header)
    filled = ((number, row) for number, row in enumerate(rows[start + 1 :], start + 2) if any(map(str.strip, row)))
    return FormTable(name, header, list(filled), first_line=first_line)


IMPORTER = EdcFormsImporter()
