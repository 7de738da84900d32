"""Nightscout JSON as servers and apps write it: treatments (Loop, AAPS, Trio and iAPS, xDrip+, OpenAPS) and glucose.

``eventType`` is free text and every app has its own, so what a record is follows from its members first: insulin is
a bolus, a temporary basal rate with a duration is a basal segment that ends where the next one starts. The amount a
pump was told is known from Loop and OpenAPS only. Records marked as deleted stay visible as voided doses. Texts of
people (notes, enteredBy) are never taken over. The rows: importers.nightscout_rows; the CSV: importers.nightscout_csv.
"""

from __future__ import annotations

from importers.base import HEAD_BYTES, Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.device_log import DeviceLog
from importers.json_records import Record, head_records
from importers.json_rows import LINE, JsonRows, read_rows
from importers.moments import stated_zone
from importers.nightscout_csv import import_nightscout_csv, is_nightscout_csv
from importers.nightscout_rows import NESTED, NUMBERS, TIMES, WANTED, add_glucose, add_treatments
from importers.vendor_csv import read_text

FORMAT = "nightscout"
MEMBERS = ("treatments", "result", "entries")


def record_kind(record: Record) -> str | None:
    """``treatments``, ``entries`` or ``profile``; None when the record is none of Nightscout's."""
    if record.get("resourceType") or "deviceTime" in record:
        return None
    if "defaultProfile" in record and "store" in record:
        return "profile"
    if "eventType" in record and any(name in record for name in TIMES):
        return "treatments"
    return "entries" if {"sgv", "mbg"} & set(record) and {"date", "dateString"} & set(record) else None


class NightscoutImporter:
    """Importer of Nightscout JSON."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        if is_nightscout_csv(head):
            return Recognised(FORMAT, f"{FORMAT} csv")
        kinds = [record_kind(record) for record in head_records(head, MEMBERS)]
        if not kinds or None in kinds:
            return None
        if kinds[0] == "profile":
            return Ignored("profiles of an app, no doses")
        return Recognised(FORMAT, f"{FORMAT} {kinds[0]}")

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and glucose of one export; raises ``UnreadableFile`` when the JSON is damaged."""
        import polars as pl

        log, zone = DeviceLog(file, recognised, context), stated_zone(context)
        with file.path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if is_nightscout_csv(head):
            text = read_text(file.path)
            log.notes.extend(text.notes)
            import_nightscout_csv(text, log)
            log.date_by_newest_row()
            return log.parsed()
        rows = read_rows(file.path, MEMBERS, WANTED, NUMBERS, NESTED)
        for line in rows.broken:
            _refuse(log, line)
        profile = rows.given("defaultProfile") & rows.given("store")
        entry = ~profile & (rows.given("sgv") | rows.given("mbg")) & ~rows.given("eventType")
        dated = pl.any_horizontal(rows.given(name) for name in TIMES)
        treatment = ~profile & ~entry & (rows.given("eventType") | (dated & pl.lit(rows.has("eventType"))))
        kind = pl.when(profile).then(pl.lit("profile")).when(entry).then(pl.lit("entry"))
        kinds = rows.column(kind.when(treatment).then(pl.lit("treatment")))
        for line in rows.frame.filter(kinds.is_null())[LINE].to_list():
            _refuse(log, line)
        log.count(rows.frame.filter((kinds == "profile").fill_null(False)).height, "are profiles and hold no dose")
        for name, add in (("treatment", add_treatments), ("entry", add_glucose)):
            own = (kinds == name).fill_null(False)
            if own.any():
                add(rows if own.all() else JsonRows(rows.frame.filter(own)), log, zone)
        return log.parsed()


def _refuse(log: DeviceLog, line: int) -> None:
    log.reject(line, "missing_value", "the record is no treatment and no glucose value", field="eventType")


IMPORTER = NightscoutImporter()
