"""REDCap exports as CSV: raw or label, classic, longitudinal, repeating instruments, checkboxes, data access groups.

The protocol's [[source]] says which field means what (importers.edc_records). Besides the fields of the file it can
name ``redcap_arm_num`` (the arm's number, from the event), ``record_key`` (event, instrument and instance) and a
checkbox field without its code (``race`` for ``race___1``, ``race___2``: the checked codes, joined by "; ").
Missing-data codes of the project belong into ``null_values``. Checkboxes and form status alone make no row, because
REDCap writes 0 where nothing was entered. An event's arm (``visit_1_arm_2``) is cut off wherever it is not mapped to
an arm column: it would tell the arm in a blinded trial.

Format: REDCap "Export Records" (CSV), REDCap data dictionary; a label export repeats "Complete?" once a form, every
other repeated column name is refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.delimited import Delimited, head_names, open_delimited
from importers.edc_mapping import JOIN, RECORD_KEY, Carrier, mapped_columns, table_maps, time_reading, unmapped
from importers.edc_records import EdcRecord, map_records
from importers.export_time import latest_time, read_export_time, received_time
from importers.mapping import check_header
from importers.records import read_lines, read_records
from importers.scratch import scratch_folder

FORMAT = "redcap"

EVENT = ("redcap_event_name", "Event Name")
INSTRUMENT = ("redcap_repeat_instrument", "Repeat Instrument")
INSTANCE = ("redcap_repeat_instance", "Repeat Instance")
GROUP = ("redcap_data_access_group", "Data Access Group")
SURVEY = ("redcap_survey_identifier", "Survey Identifier")
"""Name in a raw header, name in a header of labels."""
ARM_NUMBER = "redcap_arm_num"
STRUCTURE = frozenset((*EVENT, *INSTRUMENT, *INSTANCE, *GROUP, *SURVEY, ARM_NUMBER, RECORD_KEY))
STATUS = "Complete?"

_ARM = re.compile(r"(?P<raw>_arm_(\d+)[a-z]?)$|(?P<label> \(Arm (\d+)(?::.*)?\))$")
_CHECKBOX = re.compile(r"(?P<raw>.+?)___(?P<code>.+)|(?P<label>.+) \(choice=(?P<choice>.*)\)", re.DOTALL)
_CHECKED = {"Checked": "1", "Unchecked": "0"}
_DESCRIPTIONS = {
    "a REDCap data dictionary: it describes fields and codes, holds no records": (
        {"variable / field name", "form name", "field type"},
        {"field_name", "form_name", "field_type"},
    ),
    "a list of REDCap events: it holds no records": ({"unique_event_name", "event_name", "arm_num"},),
    "a list of REDCap instruments per event: it holds no records": ({"arm_num", "unique_event_name", "form"},),
}


class RedcapImporter:
    """Importer of REDCap record exports."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """A header with REDCap's own columns; dictionaries and lists of events and arms hold no records."""
        header = head_names(head)
        names = {column.lower() for column in header}
        for reason, shapes in _DESCRIPTIONS.items():
            if any(shape <= names for shape in shapes):
                return Ignored(reason)
        if names == {"arm_num", "name"}:
            return Ignored("a list of REDCap arms: it holds no records")
        raw = {EVENT[0], INSTRUMENT[0], GROUP[0], SURVEY[0]}
        labels = {EVENT[1], INSTRUMENT[1], GROUP[1]}
        if names & raw or (STATUS in header and labels & set(header)):
            return Recognised(FORMAT, FORMAT)
        return None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one export.

        Raises ``UnreadableFile``: no mapping in the protocol, a mapped field that is absent, a column name twice, or
        text that cannot be read at all.
        """
        source = context.source
        exported, note = read_export_time(file.name, source)
        with (
            scratch_folder(context.con) as scratch,
            open_delimited(file.path, file.name, source, scratch) as text,
        ):
            header = tuple("" if name == STATUS else name for name in text.header)
            check_header(header)
            if source is None or not source.columns:
                what = f"{file.name} is a REDCap export, and no [[source]] of the protocol says what its fields mean"
                raise unmapped(source.name if source else None, FORMAT, header, what, _proposal(header))
            groups = _checkbox_groups(header)
            fields = [*header, *(name for name in groups if name not in header), ARM_NUMBER, RECORD_KEY]
            status = {name for name in header if name.endswith("_complete")}
            boxes = {column for group in groups.values() for _, column in group}
            time = time_reading(source, latest_time(exported, received_time(context)))
            carrier = Carrier(STRUCTURE | status | boxes, joined=frozenset(groups))
            maps = table_maps(source, fields, carrier, time)
            columns = mapped_columns(maps)
            records: list[EdcRecord] = []
            faults: list[tuple[int, str, str]] = []
            for found in _read(text, header, columns, groups):
                if isinstance(found, EdcRecord):
                    records.append(found)
                else:
                    faults.append(found)
        event = next((name for name in EVENT if name in columns), None)
        decodes = {event: _without_arms(records, event)} if event else {}
        carrier = Carrier(carrier.structure, decodes, joined=carrier.joined)
        mapped = map_records(file, context, maps, carrier, records, faults)
        unread = [name for name in header if name and name not in columns | boxes | status | STRUCTURE]
        notes = [note] if note else []
        if unread:
            notes.append(f"{len(unread):,} fields are not mapped and not read")
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


def _proposal(header: Sequence[str]) -> dict[str, str]:
    """Keys that follow from the shape of an export: its first field is the record, its group the site."""
    keys = {"subject_id": next((name for name in header if name), "")}
    for key, names in (("site_id", GROUP), ("visit.visit", EVENT)):
        found = next((name for name in names if name in header), None)
        if found is not None:
            keys[key] = found
    return keys


def _checkbox_groups(header: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Checkbox field -> (code, column) of its boxes, in the order of the file."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for column in header:
        found = _CHECKBOX.fullmatch(column)
        if found:
            groups.setdefault(found["raw"] or found["label"], []).append((found["code"] or found["choice"], column))
    return groups


def _read(
    text: Delimited, header: Sequence[str], columns: frozenset[str], groups: Mapping[str, list[tuple[str, str]]]
) -> Iterator[EdcRecord | tuple[int, str, str]]:
    """Records with their mapped cells only, and (line, reason, message) of lines that could not be split."""
    place = {name: index for index, name in enumerate(header) if name}
    kept = [name for name in columns if name in place]
    boxes = {column for group in groups.values() for _, column in group}
    wanted_groups = {name: group for name, group in groups.items() if name in columns and name not in place}
    lines = itertools.islice(read_lines(text.blocks(), text.name), text.header_end, None)
    for record in read_records(lines, text.delimiter, len(header), first_line=text.header_end + 1):
        if record.fault is not None:
            yield record.first, record.fault, record.message
            continue
        cells = record.texts()
        found = {name: cells[place[name]].strip() for name in kept}
        found = {name: _CHECKED.get(cell, cell) if name in boxes else cell for name, cell in found.items() if cell}
        for name, group in wanted_groups.items():
            found[name] = JOIN.join(code for code, column in group if cells[place[column]].strip() in ("1", "Checked"))
        where = [
            next((cells[place[name]].strip() for name in names if name in place), "")
            for names in (EVENT, INSTRUMENT, INSTANCE)
        ]
        arm = _ARM.search(where[0])
        if arm:
            found[ARM_NUMBER] = arm[2] or arm[4]
        found[RECORD_KEY] = "/".join(part for part in (_ARM.sub("", where[0]), *where[1:]) if part) or "1"
        yield EdcRecord(record.first, {name: cell for name, cell in found.items() if cell and name in columns})


def _without_arms(records: Iterable[EdcRecord], event: str) -> dict[str, str]:
    names = {record.cells.get(event, "") for record in records}
    return {name: _ARM.sub("", name) for name in names if _ARM.search(name)}


IMPORTER = RedcapImporter()
