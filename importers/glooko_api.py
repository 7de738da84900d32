"""Glooko's API as apps save it: JSON with lists of boluses, basal rates, pen doses and pump events.

Beside the delivered amount it has what was programmed, which the CSV lacks. ``pumpTimestamp`` ends in Z but is the
pump's local time; its offset stands beside it (``pumpTimestampUtcOffset``). Basal durations are seconds. A pen dose
that Glooko suspects to be a prime is one unless the person refused that; deleted records stay visible as voided doses.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record
from importers.moments import Moment, read_iso
from importers.row_buffer import RowBuffer
from importers.vendor_text import SIX_PLACES, read_amount

_TIMES = ("pumpTimestamp", "timestamp")
_SERIALS = ("serialNumber", "pumpSerialNumber", "deviceSerialNumber", "deviceSerial")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_AMOUNTS = ("insulinDelivered", "insulinProgrammed", "initialDelivery", "extendedDelivery", "rate", "value", "duration")


def is_glooko_api(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start in (b"{", b"[") and (b'"pumpTimestamp"' in head or b'"suspectedPrime"' in head)


def import_glooko_api(document: Any, log: DeviceLog) -> None:
    """Every record of the document, wherever its list stands; records are numbered in their order."""
    reader = _Reader(log)
    for line, record in enumerate(_records(document), 1):
        reader.read(line, record)
    reader.rows.flush()


def _records(data: Any) -> Iterator[Record]:
    if isinstance(data, list):
        for entry in data:
            yield from _records(entry)
    elif isinstance(data, dict):
        if any(name in data for name in _TIMES):
            yield data
            return
        for value in data.values():
            yield from _records(value)


class _Reader:
    def __init__(self, log: DeviceLog) -> None:
        self.log, self.rows = log, RowBuffer(log)

    def read(self, line: int, record: Record) -> None:
        moment = _moment(record)
        if moment is None:
            name = next(name for name in _TIMES if name in record)
            value = record.get(name)
            reason = "bad_date" if value else "missing_value"
            self.log.reject(line, reason, f"{name}: no time", field=name, value=str(value) if value else None)
            return
        for name in _AMOUNTS:
            value = record.get(name)
            amount = read_amount(value) if value is not None else Decimal(0)
            if isinstance(value, bool) or amount is None or amount < 0:
                self.log.reject(line, "bad_number", f"{name}: no amount", field=name, value=str(value))
                return
        if "insulinDelivered" in record and "rate" not in record:
            self._bolus(line, record, moment)
        elif "rate" in record and "duration" in record:
            self._basal(line, record, moment)
        elif "value" in record and {"suspectedPrime", "acceptedPrime", "deviceDelivered"} & set(record):
            self._pen(line, record, moment)
        else:
            self._event(line, record, moment)

    def _base(self, line: int, record: Record, moment: Moment) -> dict[str, Any]:
        serial = next((str(record[name]) for name in _SERIALS if record.get(name)), None)
        guid = record.get("guid")
        return {
            "line": line,
            "device_id": register_device(self.log, Device("unstated", None, serial, line, (("EXPORT", "Glooko"),))),
            "native_key": f"guid-{guid}" if guid else None,
            "amount_unit": INSULIN_UNIT,
            "time_anchor": "start",
            **moment.columns(),
        }

    def _bolus(self, line: int, record: Record, moment: Moment) -> None:
        told, given = read_amount(record.get("insulinProgrammed")), read_amount(record.get("insulinDelivered"))
        how = str(record.get("type") or "").lower()
        dose = {
            **self._base(line, record, moment),
            "kind": "bolus",
            "trigger": "algorithm" if "auto" in how else "calculator" if "suggest" in how else "user",
            "status": _status(record, told, given),
        }
        now, later = (read_amount(record.get(name)) for name in ("initialDelivery", "extendedDelivery"))
        if now and later and given is not None and now + later == given:
            # What was programmed is told for both parts together.
            for shape, amount in (("dual_now", now), ("dual_later", later)):
                key = {"native_key": f"{dose['native_key']}:{shape}"} if dose["native_key"] else {}
                self.rows.add("dose_event", dose | key | {"shape": shape} | _amounts(None, amount))
            return
        self.rows.add("dose_event", dose | {"shape": "extended" if later else "immediate"} | _amounts(told, given))

    def _basal(self, line: int, record: Record, moment: Moment) -> None:
        rate, seconds = read_amount(record.get("rate")), read_amount(record.get("duration"))
        amount = (rate * seconds / 3600).quantize(SIX_PLACES) if rate is not None and seconds is not None else None
        basis = "none" if amount is None else "rate_x_time"
        ends = moment.later(dt.timedelta(seconds=float(seconds))) if seconds is not None else {}
        row = {
            **self._base(line, record, moment),
            **ends,
            "kind": "basal_segment",
            "shape": "continuous",
            "trigger": "schedule" if "sched" in str(record.get("type") or "scheduled").lower() else "unknown",
            "programmed_amount": amount,
            "programmed_basis": basis,
            "delivered_amount": amount,
            "delivered_basis": basis,
            "programmed_rate": rate,
            "rate_unit": INSULIN_RATE,
            "delivered_duration_s": int(seconds) if seconds is not None else None,
            "status": "voided" if record.get("softDeleted") is True else "completed",
        }
        self.rows.add("dose_event", row)

    def _pen(self, line: int, record: Record, moment: Moment) -> None:
        accepted = record.get("acceptedPrime")
        is_prime = accepted is True or (record.get("suspectedPrime") is True and accepted is not False)
        if is_prime and accepted is not True:
            self.log.count(1, "are pen doses Glooko suspects to be air shots; kept as excluded doses (air_shot)")
        by_hand = record.get("deviceDelivered") is False
        row = {
            **self._base(line, record, moment),
            **_amounts(None, read_amount(record.get("value"))),
            "kind": "prime" if is_prime else "injection",
            "trigger": "user",
            "exclude_reason": "air_shot" if is_prime else "manual_entry" if by_hand else None,
            "status": "voided" if record.get("softDeleted") is True
            else "unknown" if record.get("incomplete") is True else "completed",
        }  # fmt: skip
        self.rows.add("dose_event", row)

    def _event(self, line: int, record: Record, moment: Moment) -> None:
        code = next(
            (str(record[name]) for name in ("eventType", "alarmType", "type", "code") if record.get(name)), None
        )
        if code is None or record.get("softDeleted") is True:
            self.log.count(1, "hold neither insulin nor an event that is known")
            return
        words = code.lower()
        event = "suspend" if "suspended" in words else "resume" if "resumed" in words else "alarm"
        event = "occlusion" if "occlusion" in words else event
        base = {name: value for name, value in self._base(line, record, moment).items() if name in _EVENT_COLUMNS}
        self.rows.add("device_event", base | {"event": event, "code": code})


_EVENT_COLUMNS = frozenset({"line", "device_id", "native_key", "start_local", "start_utc"})


def _moment(record: Record) -> Moment | None:
    """Local time, whatever the Z at its end says, with the offset that stands beside it."""
    name = next((name for name in _TIMES if record.get(name)), None)
    text = str(record[name]).removesuffix("Z") if name else ""
    found = read_iso(text)
    match = _OFFSET.fullmatch(str(record.get(f"{name}UtcOffset") or ""))
    if found is None or found.utc is not None or match is None:
        return found
    minutes = (-1 if match[1] == "-" else 1) * (int(match[2]) * 60 + int(match[3]))
    return Moment(found.local, found.local - dt.timedelta(minutes=minutes), minutes, "file", found.precision)


def _amounts(told: Decimal | None, given: Decimal | None) -> dict[str, Any]:
    return {
        "programmed_amount": told,
        "programmed_basis": "none" if told is None else "reported",
        "delivered_amount": given,
        "delivered_basis": "none" if given is None else "reported",
    }


def _status(record: Record, told: Decimal | None, given: Decimal | None) -> str:
    if record.get("softDeleted") is True:
        return "voided"
    if given is None:
        return "unknown"
    if not given:
        return "none_delivered"
    return "partial" if told is not None and given < told else "completed"
