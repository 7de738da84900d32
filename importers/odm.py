"""CDISC ODM 1.3 with ClinicalData (REDCap project.xml, OpenClinica, Medidata Rave and others), read as a stream.

SubjectData > StudyEventData > FormData > ItemGroupData > ItemData becomes one record per form, and one per repetition
of a repeating item group, which shares the form's other items. [source.columns] (importers.edc_records) names items as
``ItemOID`` or ``FormOID.ItemOID``, and what stands on the elements around them as ``Element.Attribute`` without prefix:
``SubjectData.StudySubjectID``, ``StudyEventData.StudyEventOID``, ``StudyEventData.StartDate``,
``FormData.FormRepeatKey``, ``SiteRef.LocationOID``, ``ClinicalData.StudyOID``; ``record_key`` is all keys of a record.
The subject is ``SubjectData.SubjectKey`` unless mapped. Codes are shown as their code list decodes them, unless
[source.values] maps the code itself.

Transactions within a file are carried out in order (Insert, Update, Upsert, Remove, Context). Of a transactional file
only forms that it inserts whole give rows: a change to a form that is not in the file cannot be told from a whole
record with empty items, so it is rejected. Audit records, signatures and annotations are passed over.

The line of a row is the number of the record in the file, because XML need not have lines.
Format: CDISC ODM 1.3.2, section 3.1.4 (ClinicalData).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax import SAXParseException
from xml.sax.handler import feature_namespaces

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.edc_mapping import RECORD_KEY, Carrier, table_maps, time_reading, unmapped
from importers.edc_records import EdcRecord, map_records
from importers.export_time import latest_time, read_export_time, received_time
from importers.odm_stream import Form, OdmStream
from importers.unpacking import read_blocks, unpack_head

FORMAT = "odm"
SUBJECT_KEY = "SubjectData.SubjectKey"
_ROOT = re.compile(rb"<(?:\w+:)?ODM\b[^>]*cdisc\.org/ns/odm/v1\.[^>]*>")
_ARM = re.compile(r"_arm_\d+[a-z]?$")


class OdmImporter:
    """Importer of CDISC ODM files."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """An ODM 1.x root; Define-XML is not meant, and a whole file without ClinicalData holds no records."""
        text = unpack_head(head)
        root = _ROOT.search(text)
        if root is None or b"cdisc.org/ns/def/" in root[0]:
            return None
        if b"ClinicalData" not in text and text.rstrip().endswith(b"ODM>"):
            return Ignored("describes a study (ODM metadata), holds no records")
        return Recognised(FORMAT, FORMAT)

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one file.

        Raises ``UnreadableFile``: damaged XML, a document type or entities, no ClinicalData, no mapping in the
        protocol, or a mapped item the file does not know.
        """
        source = context.source
        stream = read_stream(file, source.columns.values() if source else ())
        if source is None or not source.columns:
            what = f"{file.name} is a CDISC ODM file, and no [[source]] of the protocol says what its items mean"
            raise unmapped(
                source.name if source else None, FORMAT, sorted(stream.own_items), what, {"subject_id": SUBJECT_KEY}
            )
        fields = [*sorted(stream.items), *sorted(stream.attributes), RECORD_KEY]
        exported, note = read_export_time(file.name, source)
        exported = exported or _export_time(stream.root)
        structure = frozenset((*stream.attributes, RECORD_KEY))
        carrier = Carrier(structure, stream.decodes(), SUBJECT_KEY, _event_columns(stream))
        maps = table_maps(source, fields, carrier, time_reading(source, latest_time(exported, received_time(context))))
        records, faults = _records(stream)
        mapped = map_records(file, context, maps, carrier, records, faults)
        mode = source.effective_mode
        if stream.is_transactional and source.mode is None:
            mode = "increment"
        return Parsed(
            format=FORMAT,
            dataset=recognised.dataset,
            mode=mode,
            rows_read=mapped.rows_read,
            tables=mapped.tables,
            rejected=mapped.rejected,
            exported_utc=exported,
            notes=[*([note] if note else []), *stream.notes(), *mapped.notes],
        )


def read_stream(file: SourceFile, wanted: Any) -> OdmStream:
    """The metadata and the wanted items of a file; raises ``UnreadableFile``."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.sax import make_parser

    stream = OdmStream(wanted)
    parser = make_parser()
    parser.forbid_dtd = True
    parser.setFeature(feature_namespaces, True)
    parser.setContentHandler(stream)
    try:
        for block in read_blocks(file.path, file.name):
            parser.feed(block)
        parser.close()
    except DefusedXmlException:
        raise UnreadableFile(
            f"{file.name} declares a document type or entities, which no ODM export needs; it was not read.",
            remedy="Export it again, or remove the declaration after checking where the file comes from.",
        ) from None
    except SAXParseException as error:
        raise UnreadableFile(
            f"{file.name} is damaged or incomplete XML (line {error.getLineNumber()}).",
            remedy="Export it again; nothing of it was taken.",
            line=error.getLineNumber(),
        ) from None
    if not stream.has_clinical_data:
        raise UnreadableFile(
            f"{file.name} describes a study and holds no ClinicalData.",
            remedy="Export it with its data (in REDCap: metadata and data).",
        )
    return stream


def _export_time(root: Mapping[str, str]) -> dt.datetime | None:
    """When the data were exported (naive UTC); a time without offset counts as UTC."""
    text = root.get("AsOfDateTime") or root.get("CreationDateTime") or ""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _event_columns(stream: OdmStream) -> frozenset[str]:
    keys = {"StudyEventData.StudyEventOID", "StudyEventData.StudyEventRepeatKey", "StudyEventData.TransactionType"}
    return frozenset(name for name in stream.attributes if name.startswith("StudyEventData.")) - keys


def _records(stream: OdmStream) -> tuple[list[EdcRecord], list[tuple[int, str, str]]]:
    records: list[EdcRecord] = []
    faults: list[tuple[int, str, str]] = []
    number = 0
    for form in stream.forms.values():
        for record in _of_form(form, stream, number + 1):
            number = record.line
            if form.is_whole or not stream.is_transactional:
                records.append(record)
            elif any(form.groups.values()):
                message = "changes a form that this file does not insert whole; import a snapshot of the study"
                faults.append((record.line, "missing_value", message))
    for words in stream.lost_removals:
        number += 1
        faults.append((number, "bad_value", words))
    return records, faults


def _of_form(form: Form, stream: OdmStream, number: int) -> Iterator[EdcRecord]:
    """The form's record, then those of its repeated groups, in the order of the file."""
    counts: dict[str, int] = {}
    for oid, _ in form.groups:
        counts[oid] = counts.get(oid, 0) + 1
    repeated = {oid for oid in counts if stream.group_repeats.get(oid, counts[oid] > 1)}
    shared = dict(form.attributes)
    around = form.key_text(_ARM)
    repetitions: dict[str, dict[str, str]] = {}
    for (oid, repeat), items in form.groups.items():
        if oid in repeated:
            repetitions.setdefault(repeat, {}).update(items)
        else:
            shared.update(items)
    event = f"{form.event}[{form.event_repeat}]" if form.event else None
    yield EdcRecord(number, _kept(shared, RECORD_KEY, around, stream), event)
    for offset, (repeat, items) in enumerate(repetitions.items(), 1):
        own = {**form.attributes, **items, "ItemGroupData.ItemGroupRepeatKey": repeat}
        key = f"{around}/{repeat or 1}"
        yield EdcRecord(number + offset, _kept(own, RECORD_KEY, key, stream), event, number)


def _kept(cells: Mapping[str, str], name: str, key: str, stream: OdmStream) -> dict[str, str]:
    kept = {column: text for column, text in cells.items() if text and stream.is_wanted(column)}
    return {**kept, name: key}


IMPORTER = OdmImporter()
