"""Smart pens of Novo Nordisk: the raw trace of an NFC reading (ISO/IEEE 11073), and the CSV apps make of it.

A pen counts seconds and knows no time of day: the time of a dose is the time of the reading minus what the pen's
clock counted since. A trace does not hold the time of the reading; ``exported_at`` of the [[source]] takes it from
the file's name. Amounts are tenths of a unit. Doses of at most 2.0 U followed by another within 60 s are air shots
by assumption (rule 1); they stay visible as excluded doses.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.export_time import read_export_time
from importers.moments import Moment, in_zone, read_epoch, read_iso, stated_zone
from importers.vendor_csv import decode_text, split_line
from importers.vendor_text import read_amount

FORMAT = "novopen"
AIR_SHOT = Decimal("2.0")
AIR_SHOT_WITHIN = dt.timedelta(seconds=60)
VALID = 0x0800_0000

_HEX_LINE = re.compile(r"0x[0-9A-Fa-f]{8}((?: [0-9A-Fa-f]{2}){1,16})(?:\s|$)")
_SEGMENT_DATA = b"\x0d\x21"
_RELATIVE_TIME = b"\x09\x8f\x00\x04"
_SERIAL = re.compile(rb"\x00\x01\x00\x01\x00([\x01-\x20])")
_CSV = ["serial", "timestamp", "time", "value"]


@dataclass(frozen=True)
class PenDose:
    """One record of a pen's log: seconds on its clock, tenths of a unit, flags."""

    line: int
    at_s: int
    tenths: int
    flags: int


@dataclass(frozen=True)
class Trace:
    """What a trace says: serial number, the pen's clock at the reading, its doses."""

    serial: str | None
    now_s: int | None
    doses: tuple[PenDose, ...]


def answers(text: str) -> Iterator[bytes]:
    """The pen's answers of a hexadecimal dump; a blank line parts them."""
    found = b""
    for line in [*text.splitlines(), ""]:
        match = _HEX_LINE.match(line)
        if match is not None:
            found += bytes.fromhex(match[1])
        elif found:
            yield found
            found = b""


def read_trace(text: str) -> Trace:
    """Doses of a raw trace. Long answers come in parts, so all are read as one stream without their status words."""
    stream = b"".join(answer.removesuffix(b"\x90\x00") for answer in answers(text))
    place = stream.find(_RELATIVE_TIME)
    now = int.from_bytes(stream[place + 4 : place + 8], "big") if place >= 0 else None
    found = _SERIAL.search(stream, max(place, 0))
    serial = stream[found.end() : found.end() + found[1][0]].decode("ascii", "replace").strip() if found else None
    doses: list[PenDose] = []
    place = stream.find(_SEGMENT_DATA)
    while place >= 0:
        # Length, segment, first entry, count, status, length of the entries; then 12 bytes for each.
        count = int.from_bytes(stream[place + 10 : place + 14], "big")
        size = int.from_bytes(stream[place + 16 : place + 18], "big")
        if size == count * 12 and 0 < count:
            if len(stream) < place + 18 + size:
                raise UnreadableFile(
                    "The reading of the pen is cut off.", remedy="Read the pen again; nothing was taken."
                )
            for start in range(place + 18, place + 18 + size, 12):
                entry = stream[start : start + 12]
                at, flags = int.from_bytes(entry[:4], "big"), int.from_bytes(entry[8:], "big")
                doses.append(PenDose(len(doses) + 1, at, int.from_bytes(entry[5:8], "big"), flags))
        place = stream.find(_SEGMENT_DATA, place + 2)
    return Trace(serial, now, tuple(doses))


def _is_trace(text: str) -> bool:
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    return bool(lines) and all(_HEX_LINE.match(line) for line in lines[:-1]) and "PHD" in text


def _is_csv(text: str) -> bool:
    return [name.lower() for name in split_line(text.split("\n", 1)[0], ";")] == _CSV


def _air_shots(doses: list[dict[str, Any]], log: DeviceLog) -> None:
    ordered = sorted(doses, key=lambda dose: (dose["device_id"], dose["start_local"]))
    for dose, after in zip(ordered, ordered[1:], strict=False):
        soon = after["start_local"] - dose["start_local"] <= AIR_SHOT_WITHIN
        if soon and dose["device_id"] == after["device_id"] and dose["delivered_amount"] <= AIR_SHOT:
            dose["exclude_reason"] = "air_shot"
            log.count(1, "are air shots by assumption (at most 2.0 U, another dose within 60 s; rule 1)")


class NovopenImporter:
    """Importer of NovoPen readings."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        try:
            text = decode_text(head).data.decode("utf-8", "replace")
        except UnreadableFile:
            return None
        return Recognised(FORMAT, FORMAT) if _is_trace(text) or _is_csv(text) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses of one reading; raises ``UnreadableFile`` when its time is not known or it holds no doses."""
        log = DeviceLog(file, recognised, context)
        text = decode_text(file.path.read_bytes()).data.decode("utf-8")
        doses = _from_csv(text, log) if _is_csv(text) else _from_trace(text, file.name, log, context)
        _air_shots(doses, log)
        log.add_rows("dose_event", doses)
        return log.parsed()


def _from_trace(text: str, name: str, log: DeviceLog, context: ReadContext) -> list[dict[str, Any]]:
    trace = read_trace(text)
    exported, _ = read_export_time(name, context.source)
    if exported is None:
        raise UnreadableFile(
            "The reading of a pen holds no time of day, so its doses cannot be dated.",
            remedy='Add exported_at = "pen_{%Y%m%d-%H%M}.txt" (time of the reading) to a [[source]] in protocol.toml.',
        )
    if trace.now_s is None:
        raise UnreadableFile("The reading does not hold the pen's clock.", remedy="Read the pen again.")
    log.exported_utc = exported
    found: list[dict[str, Any]] = []
    for dose in trace.doses:
        if dose.flags != VALID:
            log.reject(
                dose.line, "bad_value", "the pen marks the dose as invalid", field="flags", value=f"{dose.flags:#010x}"
            )
        elif dose.at_s > trace.now_s:
            log.reject(dose.line, "impossible_time", "the dose is later than the reading", field="relative time")
        else:
            utc = exported - dt.timedelta(seconds=trace.now_s - dose.at_s)
            moment = in_zone(Moment(utc, utc), log, stated_zone(context))
            row = _dose(log, dose.line, trace.serial, moment, dose.tenths)
            found.append(row | {"native_key": f"relative-{dose.at_s}", "clock_rule": "time of reading minus pen time"})
    return found


def _from_csv(text: str, log: DeviceLog) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line, content in enumerate(text.split("\n")[1:], 2):
        if not content.strip():
            continue
        cells = split_line(content, ";")
        if len(cells) != len(_CSV):
            reason = "too_many_columns" if len(cells) > len(_CSV) else "missing_columns"
            log.reject(line, reason, f"the row has {len(cells)} fields where its table has {len(_CSV)}")
            continue
        stamp = read_amount(cells[1])
        moment = read_iso(cells[2]) if cells[2] else read_epoch(stamp)
        tenths = read_amount(cells[3])
        if moment is None:
            log.reject(line, "bad_date", "Time: no time", field="Time", value=cells[2])
        elif tenths is None or tenths < 0 or tenths != int(tenths):
            log.reject(line, "bad_number", "Value: no whole number of tenths", field="Value", value=cells[3])
        else:
            row = _dose(log, line, cells[0], moment, int(tenths))
            found.append(row | {"native_key": f"timestamp-{cells[1]}" if cells[1] else None})
    return found


def _dose(log: DeviceLog, line: int, serial: str | None, moment: Moment, tenths: int) -> dict[str, Any]:
    return {
        "line": line,
        "device_id": register_device(log, Device("Novo Nordisk", "NovoPen", serial, line)),
        "kind": "injection",
        "shape": "immediate",
        "trigger": "user",
        **moment.columns(),
        "time_anchor": "point",
        "delivered_amount": Decimal(tenths) / 10,
        "delivered_basis": "reported",
        "programmed_basis": "none",
        "amount_unit": INSULIN_UNIT,
        "status": "completed" if tenths else "none_delivered",
    }


IMPORTER = NovopenImporter()
