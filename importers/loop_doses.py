"""Dose history of the Loop app: lists of its dose entries, and its issue report.

``amount`` of a temporary basal rate is what the pump was told, in U/h; ``delivered`` is what reached the body, in
pulses of the pump. Without ``delivered`` the entry is not reconciled yet and rate times time stands in its place.
Suspensions are events; an entry normalised against the schedule may be negative and is no dose.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.dataset_json import top_level
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record, head_records, read_document
from importers.moments import Moment, at_offset, in_zone, read_iso, stated_zone
from importers.row_buffer import RowBuffer
from importers.vendor_text import SIX_PLACES, read_amount

FORMAT = "loop_doses"

_ENTRY = frozenset({"start_at", "end_at", "type", "unit"})
_REPORT = "get_normalized_dose_entries"
_EVENTS = {"pumpsuspend": "suspend", "suspend": "suspend", "pumpresume": "resume", "resume": "resume"}


def _is_entry(record: Record) -> bool:
    return set(record) >= _ENTRY


def _of_report(entry: Record) -> Record:
    """An entry of an issue report, whose texts come from a debug printout, with the names of the dose history."""
    texts = {name.strip(): str(value).strip() for name, value in entry.items()}
    rate = "perhour" in texts.get("unit", "").lower()
    sync = re.search(r"[0-9A-Fa-f]{16,}", texts.get("syncIdentifier", ""))
    return {
        "type": texts.get("type", "").rpartition(".")[2],
        "start_at": re.sub(r" (?=[+-]\d{4}$)", "", texts.get("startDate", "")),
        "end_at": re.sub(r" (?=[+-]\d{4}$)", "", texts.get("endDate", "")),
        "amount": texts.get("value"),
        "unit": "U/hour" if rate else "U",
        "syncIdentifier": sync[0] if sync else None,
    }


class _Entries:
    def __init__(self, log: DeviceLog, zone: str | None, offset: int | None) -> None:
        self.log, self.zone, self.offset = log, zone, offset
        self.rows = RowBuffer(log)

    def _moment(self, text: Any) -> Moment | None:
        found = read_iso(text)
        if found is None or found.utc is None:
            return found
        if found.offset_min == 0:
            found = Moment(found.utc, found.utc, precision=found.precision)
        return in_zone(at_offset(found, self.offset), self.log, self.zone)

    def read(self, line: int, record: Record) -> None:
        start, end = self._moment(record.get("start_at")), self._moment(record.get("end_at"))
        amount, delivered = read_amount(record.get("amount")), read_amount(record.get("delivered"))
        kind = str(record.get("type")).lower()
        if start is None or end is None:
            field = "start_at" if start is None else "end_at"
            self.log.reject(line, "bad_date", f"{field}: no time", field=field, value=str(record.get(field)))
            return
        if end.local < start.local:
            self.log.reject(line, "impossible_time", "the dose ends before it starts", field="end_at")
            return
        is_basal = "basal" in kind and str(record.get("unit")).lower() in ("u/hour", "u/h")
        if kind not in _EVENTS and kind != "bolus" and not is_basal:
            message = "type and unit are no dose that is known"
            self.log.reject(line, "bad_value", message, field="type", value=str(record.get("type")))
            return
        if amount is None or amount < 0 or (delivered is not None and delivered < 0):
            words = "no amount; entries normalised against the schedule are no doses"
            self.log.reject(line, "bad_number", f"amount: {words}", field="amount", value=str(record.get("amount")))
            return
        sync = record.get("syncIdentifier")
        device = register_device(self.log, Device("loop", None, None, line))
        base = {"line": line, "device_id": device, "native_key": f"sync-{sync}" if sync else None}
        if kind in _EVENTS:
            event = {**base, "event": _EVENTS[kind], "code": str(record.get("type"))}
            self.rows.add("device_event", {**event, "start_local": start.local, "start_utc": start.utc})
            return
        seconds = int((end.local - start.local).total_seconds())
        dose = {
            **base,
            **start.columns(),
            "end_local": end.local,
            "end_utc": end.utc,
            "time_anchor": "start",
            "amount_unit": INSULIN_UNIT,
            "delivered_duration_s": seconds,
            "status": "completed",
        }
        given = self._basal(kind, amount, delivered, seconds) if is_basal else self._bolus(amount, delivered)
        self.rows.add("dose_event", dose | given)

    def _bolus(self, amount: Decimal, delivered: Decimal | None) -> dict[str, Any]:
        given = amount if delivered is None else delivered
        status = "completed" if given >= amount else "partial" if given else "none_delivered"
        return {
            "kind": "bolus",
            "shape": "immediate",
            "trigger": "unknown",
            "programmed_amount": amount,
            "programmed_basis": "reported",
            "delivered_amount": given,
            "delivered_basis": "inferred_equal" if delivered is None else "reported",
            "status": status,
        }

    def _basal(self, kind: str, rate: Decimal, delivered: Decimal | None, seconds: int) -> dict[str, Any]:
        told = (rate * seconds / 3600).quantize(SIX_PLACES)
        return {
            "kind": "basal_segment",
            "shape": "continuous",
            "trigger": "algorithm" if kind == "tempbasal" else "unknown",
            "programmed_amount": told,
            "programmed_basis": "rate_x_time",
            "delivered_amount": told if delivered is None else delivered,
            "delivered_basis": "rate_x_time" if delivered is None else "reported",
            "programmed_rate": rate,
            "rate_unit": INSULIN_RATE,
        }


class LoopDoseImporter:
    """Importer of Loop dose histories."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        records = head_records(head)
        if records and all(_is_entry(record) for record in records):
            return Recognised(FORMAT, FORMAT)
        if records and all(set(record) <= {"date", "amount", "value", "unit"} for record in records):
            if all("date" in record and record.get("unit") == "U" for record in records):
                return Ignored("reservoir levels or insulin on board, no doses")
        held = set(top_level(head))
        return (
            Recognised(FORMAT, f"{FORMAT} report") if {"cached_dose_entries", "basal_rate_schedule"} <= held else None
        )

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses of one history or issue report; raises ``UnreadableFile`` when the JSON is damaged."""
        log = DeviceLog(file, recognised, context)
        document = read_document(file.path)
        offset: int | None = None
        if isinstance(document, dict) and "cached_dose_entries" in document:
            seconds = document.get("basal_rate_timeZone")
            offset = round(seconds / 60) if isinstance(seconds, int) else None
            items: list[Any] = [_of_report(one) for one in document.get(_REPORT) or document["cached_dose_entries"]]
        else:
            items = document if isinstance(document, list) else [document]
        if not any(isinstance(one, dict) and one.get("syncIdentifier") for one in items):
            log.note("The entries have no ids; a dose is known again by its whole content.")
        entries = _Entries(log, stated_zone(context), offset)
        for line, record in enumerate(items, 1):
            if isinstance(record, dict) and _is_entry(record):
                entries.read(line, record)
            else:
                log.reject(line, "missing_value", "the record is no dose entry", field="type")
        entries.rows.flush()
        return log.parsed()


IMPORTER = LoopDoseImporter()
