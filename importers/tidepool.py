"""Tidepool JSON: boluses, basal segments, device events and glucose of a person's devices.

``normal`` and ``extended`` are delivered amounts. ``expectedNormal``, ``expectedExtended`` and ``expectedDuration``
stand only where a dose was cut short; by Tidepool's data model their absence says that all that was programmed was
given. ``time`` is UTC, ``deviceTime`` what the device showed; they differ by ``timezoneOffset`` and by
``conversionOffset``, the error of the device's clock. Durations are milliseconds. Glucose has the unit
``units`` states.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.device_clock import CLOCK_CHANGE, clock_detail
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record, head_records, read_records
from importers.moments import Moment, at_offset, in_zone, read_iso, stated_zone
from importers.row_buffer import RowBuffer
from importers.vendor_text import SIX_PLACES, glucose_unit, read_amount

FORMAT = "tidepool"
MEMBERS = ("data", "deviceData")

_TYPES = frozenset(
    "bolus basal cbg smbg bloodKetone deviceEvent wizard food upload pumpSettings cgmSettings insulin reportedState "
    "physicalActivity controllerSettings controllerStatus pumpStatus dosingDecision alert water".split()
)
_OWN = frozenset({"deviceId", "uploadId", "guid", "deviceTime", "timezoneOffset", "conversionOffset"})
_PLAIN_ID = re.compile(r"[\w.:/+-]{1,80}")
_ALARMS = {"occlusion": "occlusion", "no_delivery": "occlusion"}
_KEPT = {"reservoirChange": "refill", "calibration": "calibration", "pumpSettingsOverride": "mode_change"}
_UNKNOWN_DURATION = "basal/unknown-duration"


def _amount(record: Record, name: str) -> Decimal | None:
    value = record.get(name)
    return None if value is None or isinstance(value, bool) else read_amount(value)


def _span(record: Record, name: str) -> dt.timedelta | None:
    value = record.get(name)
    return dt.timedelta(milliseconds=float(value)) if isinstance(value, int | Decimal) and value >= 0 else None


def _seconds(span: dt.timedelta | None) -> int | None:
    return None if span is None else round(span.total_seconds())


def _is_tidepool(record: Record) -> bool:
    return str(record.get("type")) in _TYPES and "time" in record and bool(_OWN & set(record))


def _annotations(record: Record) -> list[str]:
    notes = record.get("annotations")
    return [str(one.get("code")) for one in notes if isinstance(one, dict)] if isinstance(notes, list) else []


class _Data:
    """The records of one file on their way into the log."""

    def __init__(self, log: DeviceLog, zone: str | None) -> None:
        self.log, self.zone = log, zone
        self.rows = RowBuffer(log)
        self.devices: dict[str, Device] = {}
        self.left: Counter[str] = Counter()

    def learn(self, record: Record) -> None:
        """What an upload says of its device."""
        makers, serial = record.get("deviceManufacturers"), record.get("deviceSerialNumber")
        if record.get("type") == "upload" and record.get("deviceId") and isinstance(makers, list) and makers and serial:
            model = record.get("deviceModel")
            device = Device(str(makers[0]), str(model) if model else None, str(serial))
            self.devices[str(record["deviceId"])] = device

    def read(self, line: int, record: Record) -> None:
        kind, moment = str(record.get("type")), read_iso(record.get("time"))
        if kind in ("bolus", "basal", "insulin", "deviceEvent", "cbg", "smbg"):
            if moment is None or moment.utc is None:
                value = record.get("time")
                reason = "bad_date" if value else "missing_value"
                self.log.reject(line, reason, "time: no time in UTC", field="time", value=str(value) if value else None)
                return
            getattr(self, f"_{'glucose' if kind in ('cbg', 'smbg') else kind.lower()}")(line, record, moment)
        else:
            self.left[kind] += 1

    def finish(self) -> None:
        for kind, number in sorted(self.left.items()):
            self.log.count(number, f"of type {kind} hold no dose")
        self.rows.flush()

    def _device(self, line: int, record: Record) -> str:
        stated = str(record.get("deviceId") or "")
        known = self.devices.get(stated)
        if known is not None:
            return register_device(self.log, Device(known.manufacturer, known.model, known.serial, line))
        if stated and not _PLAIN_ID.fullmatch(stated):
            # Apps put the name a person gave a telephone into the id.
            stated = hashlib.sha256(stated.encode()).hexdigest()[:12]
        return register_device(self.log, Device(FORMAT, "device", stated or None, line))

    def _base(self, line: int, record: Record, moment: Moment) -> dict[str, Any]:
        assert moment.utc is not None
        offset, shown = record.get("timezoneOffset"), read_iso(record.get("deviceTime"))
        placed = in_zone(at_offset(moment, offset, "device"), self.log, self.zone)
        columns = placed.columns()
        if shown is not None:
            error = round((placed.local - shown.local).total_seconds())
            columns["start_local"] = shown.local
            if error and placed.offset_min is not None:
                columns |= {"clock_correction_s": error, "clock_rule": "conversionOffset of Tidepool"}
        key = record.get("id") or record.get("guid")
        return {
            "line": line,
            "device_id": self._device(line, record),
            "native_key": f"{'id' if record.get('id') else 'guid'}-{key}" if key else None,
            **columns,
        }

    def _dose(self, line: int, record: Record, moment: Moment) -> dict[str, Any]:
        return {**self._base(line, record, moment), "time_anchor": "start", "amount_unit": INSULIN_UNIT}

    def _refused(self, line: int, record: Record, *names: str) -> bool:
        for name in names:
            value = record.get(name)
            amount = _amount(record, name)
            if value is not None and (amount is None or amount < 0):
                self.log.reject(line, "bad_number", f"{name}: no amount", field=name, value=str(value))
                return True
        return False

    def _bolus(self, line: int, record: Record, moment: Moment) -> None:
        if self._refused(line, record, "normal", "expectedNormal", "extended", "expectedExtended"):
            return
        parts = [name for name in ("normal", "extended") if _amount(record, name) is not None]
        if len(parts) < (2 if record.get("subType") == "dual/square" else 1):
            field = "extended" if "normal" in parts else "normal"
            self.log.reject(line, "missing_value", "the bolus lacks an amount", field=field)
            return
        automated = record.get("subType") == "automated"
        for name in parts:
            delivered, expected = _amount(record, name), _amount(record, f"expected{name.capitalize()}")
            programmed = expected if expected is not None else delivered
            assert delivered is not None and programmed is not None
            dose = self._dose(line, record, moment)
            if len(parts) == 2 and name == "extended" and dose["native_key"]:
                dose["native_key"] += ":extended"
            dose |= {
                "kind": "bolus",
                "trigger": "algorithm" if automated or record.get("deliveryContext") == "algorithm" else "user",
                "shape": "immediate" if len(parts) == 1 else "dual_now",
                "programmed_amount": programmed,
                "programmed_basis": "reported",
                "delivered_amount": delivered,
                "delivered_basis": "reported",
                "status": "none_delivered" if delivered == 0 < programmed else "completed",
            }
            if 0 < delivered < programmed:
                dose["status"] = "partial"
            if name == "extended":
                dose["shape"] = "extended" if len(parts) == 1 else "dual_later"
                lasted = _span(record, "duration")
                planned = _span(record, "expectedDuration") or lasted
                dose |= {"delivered_duration_s": _seconds(lasted), "programmed_duration_s": _seconds(planned)}
                if lasted is not None:
                    dose |= {"end_local": dose["start_local"] + lasted, "end_utc": dose["start_utc"] + lasted}
            self.rows.add("dose_event", dose)

    def _basal(self, line: int, record: Record, moment: Moment) -> None:
        if self._refused(line, record, "rate"):
            return
        how, rate, lasted = record.get("deliveryType"), _amount(record, "rate"), _span(record, "duration")
        suspended = how == "suspend"
        if rate is None and not suspended:
            self.log.reject(line, "missing_value", "the basal segment has no rate", field="rate")
            return
        unknown = lasted is None or (not lasted and _UNKNOWN_DURATION in _annotations(record))
        instead = record.get("suppressed")
        meant = _amount(instead, "rate") if suspended and isinstance(instead, dict) else rate
        given = Decimal(0) if suspended else rate
        if unknown:
            self.log.count(1, "are basal segments of unknown duration; their amounts are not known")
        known = not unknown and lasted is not None

        def amount(per_hour: Decimal | None) -> Decimal | None:
            if per_hour is None or not known or lasted is None:
                return None
            return (per_hour * Decimal(round(lasted.total_seconds() * 1000)) / 3_600_000).quantize(SIX_PLACES)

        programmed, delivered = amount(meant), amount(given)
        dose = self._dose(line, record, moment) | {
            "kind": "basal_segment",
            "shape": "continuous",
            "trigger": {"automated": "algorithm", "scheduled": "schedule", "temp": "user"}.get(str(how), "unknown"),
            "programmed_amount": programmed,
            "programmed_basis": "none" if programmed is None else "rate_x_time",
            "delivered_amount": delivered,
            "delivered_basis": "none" if delivered is None else "rate_x_time",
            "programmed_rate": meant,
            "delivered_rate": given,
            "rate_unit": INSULIN_RATE,
            "delivered_duration_s": _seconds(lasted) if known else None,
            "status": "unknown" if unknown else "none_delivered" if suspended and meant else "completed",
        }
        if known and lasted is not None:
            dose |= {"end_local": dose["start_local"] + lasted, "end_utc": dose["start_utc"] + lasted}
        self.rows.add("dose_event", dose)

    def _insulin(self, line: int, record: Record, moment: Moment) -> None:
        dose = record.get("dose")
        amount = _amount(dose, "total") if isinstance(dose, dict) else None
        if amount is None or amount < 0:
            self.log.reject(line, "bad_number", "dose.total: no amount", field="dose.total")
            return
        self.log.count(1, "are insulin a person entered by hand; kept as excluded doses (manual_entry)")
        entry = {"kind": "injection", "delivered_amount": amount, "delivered_basis": "reported"}
        base = self._dose(line, record, moment)
        self.rows.add("dose_event", base | entry | {"programmed_basis": "none", "exclude_reason": "manual_entry"})

    def _deviceevent(self, line: int, record: Record, moment: Moment) -> None:
        kind = str(record.get("subType"))
        base, lasted = self._base(line, record, moment), _span(record, "duration")
        if kind == "prime":
            volume = _amount(record, "volume")
            prime = {"kind": "prime", "exclude_reason": "prime", "time_anchor": "start", "amount_unit": INSULIN_UNIT}
            basis = {"delivered_basis": "none" if volume is None else "reported", "programmed_basis": "none"}
            self.rows.add("dose_event", base | prime | basis | {"delivered_amount": volume})
            return
        event, code, detail = _KEPT.get(kind, kind), kind, None
        if kind == "alarm":
            code = str(record.get("alarmType"))
            event = _ALARMS.get(code, "alarm")
        elif kind == "status":
            code = str(record.get("status"))
            event = {"suspended": "suspend", "resumed": "resume"}.get(code, "status")
            reason = record.get("reason")
            detail = ", ".join(f"{key}: {reason[key]}" for key in sorted(reason)) if isinstance(reason, dict) else None
        elif kind == "timeChange":
            event = CLOCK_CHANGE
            change = record.get("change") if isinstance(record.get("change"), dict) else record
            old, new = (read_iso(_clock_text(change, name)) for name in ("from", "to"))
            detail = clock_detail(old.local if old else None, new.local if new else None)
        row = {name: base[name] for name in ("line", "device_id", "native_key", "start_local", "start_utc")}
        end = row["start_local"] + lasted if lasted else None
        self.rows.add("device_event", row | {"event": event, "code": code, "detail": detail, "end_local": end})

    def _glucose(self, line: int, record: Record, moment: Moment) -> None:
        value = _amount(record, "value")
        if value is None:
            shown = str(record.get("value"))
            self.log.reject(line, "bad_number", "value: no number", field="value", value=shown, table="observation")
            return
        base = self._base(line, record, moment)
        self.rows.add(
            "observation",
            {
                "line": line,
                "device_id": base["device_id"],
                "code": "glucose" if record["type"] == "cbg" else "glucose_meter",
                "observed_at": base["start_local"],
                "observed_utc": base["start_utc"],
                "value": float(value),
                "unit": glucose_unit(str(record.get("units") or "")),
            },
        )


def _clock_text(change: Any, name: str) -> Any:
    value = change.get(name)
    return value.get("time") if isinstance(value, dict) else value


class TidepoolImporter:
    """Importer of Tidepool JSON."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        records = head_records(head, MEMBERS)
        return Recognised(FORMAT, FORMAT) if records and all(map(_is_tidepool, records)) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and glucose of one export; raises ``UnreadableFile`` when the JSON is damaged."""
        log = DeviceLog(file, recognised, context)
        data = _Data(log, stated_zone(context))
        records = read_records(file.path, MEMBERS)
        for _, record in records:
            if isinstance(record, dict):
                data.learn(record)
        for line, record in records:
            if isinstance(record, dict) and "type" in record:
                data.read(line, record)
            else:
                log.reject(line, "missing_value", "the record has no type", field="type")
        data.finish()
        return log.parsed()


IMPORTER = TidepoolImporter()
