"""Tandem Source event JSON: the pump's own log, decoded (tconnectsync and similar readers of the Tandem Source
service).

A list of events, or an API capture that holds events and pump metadata. The event number says what it is (LID):
20 and 21 completed boluses with requested and delivered amount (the row of the dose), 55, 59, 64, 65, 66 and 280
their start, size and duration, joined by BolusID; 3 and 279 commanded basal rates (279 and 280 in thousandths);
11 and 12 suspension with its reason and resumption; 13 and 14 clock changes; 33 cartridge, 61 cannula and 63
tubing fills (exclude_reason fill); 4, 5, 6 alerts and alarms; 16 and 256, 372, 399, 480, 198 glucose (mg/dL, as
the dictionary states); 48 carbohydrates; 229 and 230 modes; 53 the pump was switched off, which stops its clock.

``seq`` orders events across clock changes and is the native key of events; boluses are keyed by BolusID (two
bytes, years of boluses). Event 20 rounds to 0.01 U what event 280 asked in thousandths, so half a step is no
difference. Times are local to the pump. A stated offset of zero is not believed, readers stamp local time with
it; another offset, or ``estimatedDateTime`` beside ``pumpDateTime``, gives UTC. Persons in an API capture are not
read.

No data of the study, counted in the notes: running totals, connections, settings, log housekeeping. Rows are
numbered as the events stand in the file. Dictionary: tconnectsync events.json.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_log import DeviceLog
from importers.json_records import read_document
from importers.tandem_source_columns import read_event_columns
from importers.tandem_source_rows import SINGLY, add_events
from importers.vendor_text import read_amount

FORMAT = "tandem_source"

_SIGNS = (b'"LID_', b'"tconnectDeviceId"', b'"pumpDateTime"', b'"pump_event_metadata_response"')
_DECODED = (b'"event_id"', b'"event_name"', b'"seq"', b'"timestamp"')
"""Members of every event as a reader of the service decodes it."""
_DICTIONARY = re.compile(rb'"events"\s*:\s*\{\s*"\d+"\s*:\s*\{\s*"name"\s*:\s*"LID_')
_PERSONS = ("patientName", "pumper", "firstName", "account", "jwt")


@dataclass(slots=True)
class PumpEvent:
    """One event: its place in the file, number, order, times and its values by plain lower-case name."""

    line: int
    number: int
    seq: int
    at: dt.datetime
    values: Mapping[str, Any]
    utc: dt.datetime | None = None
    offset_min: int | None = None

    def number_of(self, *names: str) -> Decimal | None:
        """First of the values that is a number, six places."""
        for name in names:
            value = self.values.get(name)
            if value is not None and (found := read_amount(value)) is not None:
                return found
        return None

    def text_of(self, *names: str) -> str | None:
        for name in names:
            value = self.values.get(name)
            if value is not None and value != "":
                return str(value)
        return None


class TandemSourceImporter:
    """Importer of Tandem Source events."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        decoded = all(sign in head for sign in _DECODED)
        if start not in (b"{", b"[") or not (decoded or any(sign in head for sign in _SIGNS)):
            return None
        if _DICTIONARY.search(head):
            return Ignored("describes pump events, holds none")
        return Recognised(FORMAT, FORMAT)

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one file; raises ``UnreadableFile`` when it is no JSON or holds no events."""
        log = DeviceLog(file, recognised, context)
        columns = read_event_columns(file.path, SINGLY)
        if columns is not None:
            events = [event for line, raw in columns.rest if (event := _read_event(line, raw, log))]
            add_events(events, [], log, columns)
            log.date_by_newest_row()
            return log.parsed()
        data = read_document(file.path)
        found = list(_find_events(data))
        if not found:
            raise UnreadableFile("The file holds no pump events.", remedy="Export the events; nothing of it was taken.")
        events = [event for line, raw in enumerate(found, start=1) if (event := _read_event(line, raw, log))]
        add_events(events, _metadata(data), log)
        log.date_by_newest_row()
        return log.parsed()


def _find_events(data: Any) -> Iterator[Mapping[str, Any]]:
    """Every event, wherever it stands: in a list, or by name in a capture. Branches about persons are not entered."""
    if isinstance(data, list):
        for entry in data:
            if isinstance(entry, dict) and _is_event(entry):
                yield entry
            elif isinstance(entry, dict | list):
                yield from _find_events(entry)
    elif isinstance(data, dict):
        if _is_event(data):
            yield data
            return
        for key, value in data.items():
            if not str(key).startswith(_PERSONS) and isinstance(value, (dict, list)):
                yield from _find_events(value)


def _is_event(data: Mapping[str, Any]) -> bool:
    return _shape(tuple(data)).is_event


@dataclass(frozen=True)
class _Shape:
    """What the names of a record say; the events of one kind have the same names, so each shape is looked at once."""

    names: tuple[str, ...]
    """As every reader of the log would spell them."""
    is_event: bool
    number: str | None
    seq: str | None
    stamps: tuple[str, ...]


@cache
def _shape(names: tuple[str, ...]) -> _Shape:
    timed = any(name in names for name in ("timestamp", "event_timestamp", "pumpDateTime", "raw_event"))
    numbered = any(name in names for name in ("event_id", "ID", "id", "eventId", "NAME"))
    seq = next((name for name in ("seq", "sequenceNumber", "seqNum") if name in names), None)
    return _Shape(
        tuple(re.sub(r"[^a-z0-9]", "", name.lower()) for name in names),
        timed and numbered,
        next((name for name in ("ID", "event_id", "eventId", "id") if name in names), None),
        "event_id" if seq is None and "ID" in names and "event_id" in names else seq,
        tuple(name for name in ("pumpDateTime", "event_timestamp", "timestamp") if name in names),
    )


def _read_event(line: int, raw: Mapping[str, Any], log: DeviceLog) -> PumpEvent | None:
    shape = _shape(tuple(raw))
    values = dict(zip(shape.names, raw.values(), strict=True))
    inside = raw.get("data") or raw.get("eventProperties")
    if isinstance(inside, dict):
        values |= zip(_shape(tuple(inside)).names, inside.values(), strict=True)
    inner = raw.get("raw_event") or {}
    number = raw[shape.number] if shape.number else inner.get("id")
    seq = raw[shape.seq] if shape.seq else inner.get("seqNum")
    stamp: Any = None
    for name in shape.stamps:
        stamp = raw[name]
        if stamp:
            break
    try:
        moment = dt.datetime.fromisoformat(str(stamp or inner.get("timestamp")))
    except ValueError:
        log.reject(
            line,
            "bad_date",
            "the event has no readable time",
            field="timestamp",
            value=str(stamp),
            raw={"id": number, "seq": seq},
        )
        return None
    if type(number) is not int or type(seq) is not int:
        if not str(number).isdigit() or not str(seq).isdigit():
            log.reject(
                line,
                "missing_value",
                "the event has no number or no sequence number",
                field="id",
                raw={"id": number, "seq": seq},
            )
            return None
        number, seq = int(str(number)), int(str(seq))
    elif number < 0 or seq < 0:
        log.reject(line, "bad_value", "the event has a negative number", field="id", raw={"id": number, "seq": seq})
        return None
    estimated = raw.get("estimatedDateTime")
    if estimated is None and moment.tzinfo is None:
        return PumpEvent(line, number, seq, moment, values)
    local, utc, offset = _times(moment, estimated, log)
    return PumpEvent(line, number, seq, local, values, utc, offset)


def _times(moment: dt.datetime, estimated: Any, log: DeviceLog) -> tuple[dt.datetime, dt.datetime | None, int | None]:
    local = moment.replace(tzinfo=None)
    if estimated:
        try:
            utc = dt.datetime.fromisoformat(str(estimated)).astimezone(dt.UTC).replace(tzinfo=None)
        except ValueError:
            return local, None, None
        return local, utc, round((local - utc).total_seconds() / 60)
    offset = moment.utcoffset()
    if offset is None:
        return local, None, None
    if not offset:
        log.note("Times are stamped with an offset of zero; they are taken as the pump's local time.")
        return local, None, None
    return local, local - offset, int(offset.total_seconds() // 60)


def _metadata(data: Any) -> list[dict[str, str]]:
    """Serial number and model of each pump the capture describes."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    stack = [data]
    while stack:
        entry = stack.pop()
        if isinstance(entry, list):
            # A list of events, however long, describes no pump.
            stack.extend(entry if not entry or not isinstance(entry[0], dict) or not _is_event(entry[0]) else ())
        elif isinstance(entry, dict):
            serial = entry.get("serialNumber")
            if isinstance(serial, str) and serial:
                for key in ("modelName", "modelNumber", "softwareVersion", "partNumber"):
                    if isinstance(entry.get(key), str):
                        found[serial].setdefault(key, entry[key])
                found[serial]["serialNumber"] = serial
            if not _is_event(entry):
                stack.extend(value for value in entry.values() if isinstance(value, (dict, list)))
    return list(found.values())


IMPORTER = TandemSourceImporter()
