"""Nightscout JSON as servers and apps write it: treatments (Loop, AAPS, Trio and iAPS, xDrip+, OpenAPS) and glucose.

``eventType`` is free text and every app has its own, so what a record is follows from its members first: insulin is
a bolus, a temporary basal rate with a duration is a basal segment that ends where the next one starts. The amount a
pump was told is known from Loop only. Records marked as deleted stay visible as voided doses. Texts of people
(notes, enteredBy) are never taken over.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record, head_records, read_records
from importers.moments import Moment, at_offset, in_zone, read_epoch, read_iso, stated_zone
from importers.row_buffer import RowBuffer
from importers.vendor_text import SIX_PLACES, glucose_unit, read_amount

FORMAT = "nightscout"
MEMBERS = ("treatments", "result", "entries")

_TIMES = ("created_at", "mills", "date", "timestamp", "srvCreated")
_SUSPENDS = ("EMULATED_PUMP_SUSPEND", "PUMP_SUSPEND")
_EVENTS = {
    "suspend pump": "suspend",
    "resume pump": "resume",
    "site change": "site_change",
    "pump site change": "site_change",
    "insulin change": "reservoir_change",
    "insulin cartridge change": "reservoir_change",
    "pump battery change": "battery_change",
    "sensor start": "sensor_start",
    "sensor change": "sensor_change",
    "sensor stop": "sensor_stop",
    "profile switch": "profile_switch",
    "temporary target": "mode_change",
    "temporary override": "mode_change",
    "openaps offline": "mode_change",
}
_LOOPS = ("loop://", "openaps", "freeaps", "trio", "iaps", "loop", "aaps")


def record_kind(record: Record) -> str | None:
    """``treatments``, ``entries`` or ``profile``; None when the record is none of Nightscout's."""
    if record.get("resourceType") or "deviceTime" in record:
        return None
    if "defaultProfile" in record and "store" in record:
        return "profile"
    if "eventType" in record and any(name in record for name in _TIMES):
        return "treatments"
    return "entries" if {"sgv", "mbg"} & set(record) and {"date", "dateString"} & set(record) else None


def record_moment(record: Record) -> Moment | None:
    """When it happened: the device's own time where there is one, because a server fills a missing ``created_at`` with
    its own clock; then ``created_at``."""
    own = (read_iso(record.get("timestamp")), read_epoch(record.get("timestamp")))
    numbers = (read_epoch(record.get("date")), read_epoch(record.get("mills")))
    texts = (read_iso(record.get("created_at")), read_iso(record.get("dateString")))
    moment = next((found for found in (*own, *numbers, *texts) if found is not None), None)
    offset: Any = record.get("utcOffset")
    if moment is None or moment.offset_min is not None:
        return moment
    stated = next((text for text in texts if text is not None and text.offset_min is not None), None)
    if stated is not None:
        return at_offset(moment, stated.offset_min)
    if isinstance(offset, int | Decimal) and abs(float(offset)) > 1440:
        offset = float(offset) / 60_000
    # A server that was handed UTC stores the offset 0, which says nothing about the local time.
    return at_offset(moment, offset) if offset else moment


def native_key(record: Record) -> str | None:
    """The record's own id, with what it numbers; None when it has none."""
    for name in ("identifier", "syncIdentifier", "_id", "uuid", "id"):
        value = record.get(name)
        if isinstance(value, dict):
            value = value.get("$oid")
        if isinstance(value, str | int) and str(value).strip():
            return f"{name.strip('_').lower()}-{value}"
    return f"pump-{record['pumpId']}" if record.get("pumpId") else None


class _Treatments:
    """The treatments of one file on their way into the log."""

    def __init__(self, log: DeviceLog, zone: str | None) -> None:
        self.log, self.zone = log, zone
        self.rows = RowBuffer(log)
        self.temporary: list[dict[str, Any]] = []

    def read(self, line: int, record: Record) -> None:
        moment = record_moment(record)
        if moment is None:
            found = next((name for name in _TIMES if record.get(name)), "created_at")
            value = record.get(found)
            reason = "bad_date" if value else "missing_value"
            self.log.reject(line, reason, f"{found}: no time", field=found, value=str(value) if value else None)
            return
        moment = in_zone(moment, self.log, self.zone)
        kind = str(record.get("eventType") or "").strip()
        for name in ("insulin", "rate", "absolute", "duration", "programmed", "enteredinsulin"):
            value = record.get(name)
            amount = read_amount(value) if value not in (None, "") else Decimal(0)
            if isinstance(value, bool) or amount is None or amount < 0:
                self.log.reject(line, "bad_number", f"{name}: no amount", field=name, value=str(value))
                return
        if kind.lower().startswith("temp basal"):
            self._temp_basal(line, record, moment)
        elif _amount(record, "insulin") is not None and not _is_food(record) or _extended(record):
            self._bolus(line, record, moment)
        elif kind.lower() in _EVENTS:
            event = _EVENTS[kind.lower()]
            self.rows.add("device_event", self._event(line, record, moment, event))
        else:
            words = "are carbohydrates" if record.get("carbs") else "are notes, checks or announcements"
            self.log.count(1, f"{words} and hold no dose")

    def _device(self, line: int, record: Record) -> str:
        model, serial = record.get("pumpType"), record.get("pumpSerial")
        device = Device("nightscout", str(model) if model else None, str(serial) if serial else None, line)
        return register_device(self.log, device)

    def _event(self, line: int, record: Record, moment: Moment, event: str) -> dict[str, Any]:
        minutes = _amount(record, "duration")
        return {
            "line": line,
            "device_id": self._device(line, record),
            "native_key": native_key(record),
            "event": event,
            "code": str(record.get("eventType")),
            "start_local": moment.local,
            "start_utc": moment.utc,
            "end_local": moment.local + _minutes(minutes) if minutes else None,
        }

    def _base(self, line: int, record: Record, moment: Moment) -> dict[str, Any]:
        return {
            "line": line,
            "device_id": self._device(line, record),
            "native_key": native_key(record),
            "time_anchor": "start",
            "amount_unit": INSULIN_UNIT,
            "trigger": _trigger(record),
            **moment.columns(),
        }

    def _bolus(self, line: int, record: Record, moment: Moment) -> None:
        delivered, programmed = _amount(record, "insulin"), _amount(record, "programmed")
        dose = {
            **self._base(line, record, moment),
            "kind": "bolus",
            "shape": "micro" if _is_micro(record) else "immediate",
            "programmed_amount": programmed,
            "programmed_basis": "none" if programmed is None else "reported",
            "delivered_amount": delivered,
            "delivered_basis": "none" if delivered is None else "reported",
            "status": _status(record, programmed, delivered),
        }
        if str(record.get("type")).upper() == "PRIMING":
            dose |= {"kind": "prime", "exclude_reason": "prime", "shape": None}
        elif _is_manual(record):
            dose["exclude_reason"] = "manual_entry"
            self.log.count(1, "are insulin a person entered by hand; kept as excluded doses (manual_entry)")
        extended = _extended(record)
        if extended is None:
            self.rows.add("dose_event", dose)
            return
        amount, minutes = extended
        later = {
            **dose,
            "shape": "dual_later" if delivered else "extended",
            "native_key": f"{dose['native_key']}:later" if dose["native_key"] and delivered else dose["native_key"],
            "programmed_amount": amount,
            "programmed_basis": "reported",
            "delivered_amount": amount,
            "delivered_basis": "inferred_equal",
            "programmed_duration_s": int(minutes * 60),
            "status": "voided" if record.get("isValid") is False else "unknown",
            **moment.later(_minutes(minutes)),
        }
        self.rows.add("dose_event", *([{**dose, "shape": "dual_now"}, later] if delivered else [later]))

    def _temp_basal(self, line: int, record: Record, moment: Moment) -> None:
        emulated = record.get("extendedEmulated")
        if str(record.get("type")).upper() == "FAKE_EXTENDED" and isinstance(emulated, dict):
            shown = {**record, **emulated, "insulin": None, "splitNow": 0, "splitExt": 100, "type": None}
            self._bolus(line, {**shown, "eventType": "Combo Bolus", "isValid": record.get("isValid")}, moment)
            return
        rate = next((found for name in ("absolute", "rate") if (found := _amount(record, name)) is not None), None)
        percent = record.get("percent")
        if rate is None and isinstance(percent, int | Decimal) and percent <= -100:
            rate = Decimal(0)
        entry = {"record": record, "moment": moment, "rate": rate, "base": self._base(line, record, moment)}
        self.temporary.append({**entry, "minutes": _amount(record, "duration") or Decimal(0)})
        is_suspend = str(record.get("reason")).lower() == "suspend" or str(record.get("type")).upper() in _SUSPENDS
        if is_suspend and rate == 0:
            self.rows.add("device_event", self._event(line, record, moment, "suspend"))

    def end_segments(self) -> None:
        """Temporary rates end at the next one of their device, whatever their planned duration."""
        valid = [one for one in self.temporary if one["record"].get("isValid") is not False]
        ordered = sorted(valid, key=lambda one: (one["base"]["device_id"], one["moment"].local))
        ends: dict[int, dt.datetime] = {}
        for one, after in zip(ordered, ordered[1:], strict=False):
            if one["base"]["device_id"] == after["base"]["device_id"]:
                ends[one["base"]["line"]] = after["moment"].local
        rows = [self._segment(one, ends.get(one["base"]["line"])) for one in self.temporary]
        self.rows.add("dose_event", *(row for row in rows if row is not None))
        for one, row in zip(self.temporary, rows, strict=True):
            if row is None:
                event = self._event(one["base"]["line"], one["record"], one["moment"], "temp_basal_end")
                self.rows.add("device_event", event)
        self.rows.flush()

    def _segment(self, one: dict[str, Any], end: dt.datetime | None) -> dict[str, Any] | None:
        moment, rate, minutes = one["moment"], one["rate"], one["minutes"]
        if minutes == 0:
            return None
        planned = _minutes(minutes)
        lasted = min(planned, end - moment.local) if end is not None else planned
        seconds = int(lasted.total_seconds())
        stated = _amount(one["record"], "amount")
        amount = None if rate is None else (rate * seconds / 3600).quantize(SIX_PLACES)
        if rate is None:
            self.log.count(1, "are temporary rates in per cent of a profile; their amounts are not known")
        basis = "none" if amount is None else "rate_x_time"
        voided = one["record"].get("isValid") is False
        return {
            **one["base"],
            **moment.later(lasted),
            "kind": "basal_segment",
            "shape": "continuous",
            "programmed_amount": amount,
            "programmed_basis": basis,
            "delivered_amount": stated if stated is not None else amount,
            "delivered_basis": "reported" if stated is not None else basis,
            "programmed_rate": rate,
            "delivered_rate": rate,
            "rate_unit": INSULIN_RATE if rate is not None else None,
            "programmed_duration_s": int(planned.total_seconds()),
            "delivered_duration_s": seconds,
            "status": "voided" if voided else "completed",
            "stop_reason": "superseded" if lasted < planned else None,
        }


def _amount(record: Record, name: str) -> Decimal | None:
    value = record.get(name)
    return None if value in (None, "") or isinstance(value, bool) else read_amount(value)


def _minutes(number: Decimal | int) -> dt.timedelta:
    return dt.timedelta(seconds=float(number) * 60)


def _is_food(record: Record) -> bool:
    """Apps fill insulin with 0 on meals without a bolus."""
    return _amount(record, "insulin") == 0 and bool(record.get("carbs")) and not _extended(record)


def _is_micro(record: Record) -> bool:
    return record.get("eventType") == "SMB" or record.get("isSMB") is True or str(record.get("type")).upper() == "SMB"


def _extended(record: Record) -> tuple[Decimal, Decimal] | None:
    """Amount and minutes of the extended part of a combination bolus; None without one."""
    total, part, minutes = (_amount(record, name) for name in ("enteredinsulin", "splitExt", "duration"))
    if not total or not part or not minutes:
        return None
    return (total * part / 100).quantize(SIX_PLACES), minutes


def _is_manual(record: Record) -> bool:
    by = str(record.get("enteredBy") or "").lower()
    stated = record.get("manuallyEntered") is True or str(record.get("eventType")).lower() == "external insulin"
    return stated or (not record.get("pumpId") and ("careportal" in by or by.startswith("xdrip")))


def _trigger(record: Record) -> str:
    by, kind = str(record.get("enteredBy") or "").lower(), str(record.get("eventType")).lower()
    if _is_micro(record) or record.get("automatic") is True:
        return "algorithm"
    if kind.startswith("temp basal"):
        return "algorithm" if by.startswith(_LOOPS) and record.get("automatic") is not False else "unknown"
    return "calculator" if kind == "bolus wizard" else "user"


def _status(record: Record, programmed: Decimal | None, delivered: Decimal | None) -> str:
    if record.get("isValid") is False:
        return "voided"
    if delivered == 0:
        return "none_delivered"
    return "partial" if programmed is not None and delivered is not None and delivered < programmed else "completed"


def _add_glucose(rows: RowBuffer, log: DeviceLog, zone: str | None, line: int, record: Record) -> None:
    moment, value = record_moment(record), read_amount(record.get("sgv", record.get("mbg")))
    if moment is None or value is None:
        reason, field = ("bad_date", "dateString") if moment is None else ("bad_number", "sgv")
        log.reject(line, reason, f"{field}: no value", field=field, value=str(record.get(field)), table="observation")
        return
    moment = in_zone(moment, log, zone)
    row = {
        "line": line,
        "device_id": register_device(log, Device("nightscout", "cgm", None, line)),
        "code": "glucose",
        "observed_at": moment.local,
        "observed_utc": moment.utc,
        "value": float(value),
        "unit": glucose_unit(str(record.get("units") or "")) or "mg/dL",
    }
    rows.add("observation", row)


class NightscoutImporter:
    """Importer of Nightscout JSON."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        kinds = [record_kind(record) for record in head_records(head, MEMBERS)]
        if not kinds or None in kinds:
            return None
        if kinds[0] == "profile":
            return Ignored("profiles of an app, no doses")
        return Recognised(FORMAT, f"{FORMAT} {kinds[0]}")

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and glucose of one export; raises ``UnreadableFile`` when the JSON is damaged."""
        log, zone = DeviceLog(file, recognised, context), stated_zone(context)
        treatments = _Treatments(log, zone)
        for line, record in read_records(file.path, MEMBERS):
            kind = record_kind(record) if isinstance(record, dict) else None
            if kind == "treatments":
                treatments.read(line, record)
            elif kind == "entries":
                _add_glucose(treatments.rows, log, zone, line, record)
            elif kind == "profile":
                log.count(1, "are profiles and hold no dose")
            else:
                log.reject(line, "missing_value", "the record is no treatment and no glucose value", field="eventType")
        treatments.end_segments()
        return log.parsed()


IMPORTER = NightscoutImporter()
