"""CareLink Connect JSON: the last 24 hours of a 700-series pump as the follower's app shows them.

``markers`` of type INSULIN hold programmed and delivered amounts as text, AUTO_BASAL_DELIVERY one amount with the
noise of a 32-bit float; ``sgs`` are sensor values. Whether a stamp is the start or the end of a delivery is not
documented (time_anchor point). Times are local to the pump whatever ends them; the only zone named is the
phone's. Rows are numbered through markers, sgs and notifications in the order of the file. Nothing of the person,
the phone or the follower is read. No data of the study: current state (reservoir, battery, limits), which is not
in any list.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from importers.base import UnreadableFile
from importers.device_clock import CLOCK_CHANGE, clock_detail
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT
from importers.vendor_text import read_amount

if TYPE_CHECKING:
    from importers.device_log import DeviceLog

_LOST_CLOCK_BEFORE = 2017
"""The service began in 2018; its known fault is a bolus of 2000-12-31."""
_TRIGGERS = {
    "AUTOCORRECTION": "algorithm",
    "AUTO_CORRECTION": "algorithm",
    "RECOMMENDED": "calculator",
    "MANUAL": "user",
}
_UNITS = {"MGDL": "mg/dL", "MG_DL": "mg/dL", "MMOLL": "mmol/L", "MMOL_L": "mmol/L"}
_STILL_RUNNING = dt.timedelta(hours=8)


def import_carelink_connect(document: object, log: DeviceLog) -> None:
    """Fill ``log`` from the JSON document; raises ``UnreadableFile`` when it holds no markers."""
    data: Any = document
    data = data.get("patientData", data) if isinstance(data, dict) else {}
    if not isinstance(data, dict) or not isinstance(data.get("markers"), list):
        raise UnreadableFile(
            "The file holds no markers.", remedy="Save it again from CareLink; nothing of it was taken."
        )
    _Connect(data, log).add_all()


class _Connect:
    def __init__(self, data: Mapping[str, Any], log: DeviceLog) -> None:
        self.log = log
        self.data = data
        self.unit = _UNITS.get(str(data.get("bgUnits", "")).upper())
        self.device_id = register_device(log, _device(data))
        self.now = read_stamp(data.get("lastConduitDateTime"))
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.keys: dict[str, int] = {}
        served = data.get("currentServerTime")
        if isinstance(served, int) and served > 0:
            self.log.exported_utc = dt.datetime.fromtimestamp(served / 1000, dt.UTC).replace(tzinfo=None, microsecond=0)

    def add_all(self) -> None:
        markers, glucose = list(_items(self.data, "markers")), list(_items(self.data, "sgs"))
        for line, marker in enumerate(markers, start=1):
            self._marker(line, marker)
        for line, entry in enumerate(glucose, start=len(markers) + 1):
            self._glucose(line, entry)
        notes = self.data.get("notificationHistory") or {}
        both = [*_items(notes, "activeNotifications"), *_items(notes, "clearedNotifications")]
        for line, entry in enumerate(both, start=len(markers) + len(glucose) + 1):
            self._notification(line, entry)
        for table, rows in self.rows.items():
            self.log.add_rows(table, rows)

    def _row(self, table: str, line: int, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"line": line, "device_id": self.device_id, **values})

    def _key(self, name: str, at: dt.datetime) -> str:
        key = f"{name}@{at.isoformat()}"
        seen = self.keys[key] = self.keys.get(key, 0) + 1
        return key if seen == 1 else f"{key}#{seen}"

    def _marker(self, line: int, marker: Mapping[str, Any]) -> None:
        kind = str(marker.get("type", ""))
        values = (marker.get("data") or {}).get("dataValues") or marker
        at = read_stamp(marker.get("displayTime") or marker.get("timestamp") or marker.get("dateTime"))
        if at is None:
            shown = {"type": kind, "timestamp": marker.get("timestamp") or marker.get("dateTime")}
            self.log.reject(
                line, "bad_date", "the marker has no readable time", field="timestamp",
                value=str(shown["timestamp"]), raw=shown, device_id=self.device_id,
            )  # fmt: skip
        elif kind == "INSULIN":
            self._bolus(line, at, values)
        elif kind == "AUTO_BASAL_DELIVERY":
            self._micro(line, at, values)
        elif kind == "MEAL":
            self._observe(line, at, "carbohydrates", values.get("amount"), "g")
        elif kind in ("BG_READING", "BG"):
            self._observe(line, at, "blood_glucose", values.get("unitValue", values.get("value")), self.unit)
        elif kind == "CALIBRATION":
            self._observe(line, at, "calibration_glucose", values.get("unitValue", values.get("value")), self.unit)
        elif kind == "TIME_CHANGE":
            old = read_stamp(values.get("previousDateTime"))
            self._event(line, at, CLOCK_CHANGE, kind, detail=clock_detail(old, at))
        elif kind == "LOW_GLUCOSE_SUSPENDED":
            self._event(line, at, "suspend", kind)
        else:
            self._event(line, at, "mode_change", kind)

    def _bolus(self, line: int, at: dt.datetime, values: Mapping[str, Any]) -> None:
        activation = str(values.get("activationType", "")).upper()
        parts = [
            ("immediate", "programmedFastAmount", "deliveredFastAmount"),
            ("extended", "programmedExtendedAmount", "deliveredExtendedAmount"),
        ]
        stated = [
            (shape, read_amount(values.get(told)), read_amount(values.get(given))) for shape, told, given in parts
        ]
        stated = [part for part in stated if part[1:] != (None, None)]
        # The other part of a plain bolus is stated as 0 of 0.
        amounts = [part for part in stated if part[1] or part[2]] or stated[:1]
        if not amounts:
            self.log.reject(
                line, "bad_number", "the bolus has no readable amount", field="programmedFastAmount",
                value=str(values.get("programmedFastAmount")), device_id=self.device_id,
            )  # fmt: skip
            return
        dual = len(amounts) == 2
        for shape, told, given in amounts:
            named = {"immediate": "dual_now", "extended": "dual_later"}[shape] if dual else shape
            length = read_amount(values.get("programmedDuration")) if shape == "extended" else None
            self._row(
                "dose_event",
                line,
                native_key=self._key(f"insulin:{named}", at),
                kind="bolus",
                shape=named,
                trigger=_TRIGGERS.get(activation, "unknown"),
                intent="algorithm" if _TRIGGERS.get(activation) == "algorithm" else "as_needed",
                programmed_amount=told,
                delivered_amount=given,
                programmed_basis="reported" if told is not None else "none",
                delivered_basis="reported" if given is not None else "none",
                programmed_duration_s=int(length * 60) if length else None,
                status=self._status(at, told, given, values.get("completed")),
                **_moment(at),
            )

    def _status(self, at: dt.datetime, told: Decimal | None, given: Decimal | None, completed: object) -> str:
        if given is None:
            return "unknown"
        if completed is False and self.now is not None and self.now - at < _STILL_RUNNING and told and given < told:
            return "in_progress"
        if told is not None and given < told:
            return "partial" if given else "none_delivered"
        return "completed"

    def _micro(self, line: int, at: dt.datetime, values: Mapping[str, Any]) -> None:
        given = read_amount(values.get("bolusAmount"))
        if given is None or given < 0:
            self.log.reject(
                line, "bad_number", "the automatic delivery has no readable amount", field="bolusAmount",
                value=str(values.get("bolusAmount")), device_id=self.device_id,
            )  # fmt: skip
            return
        self._row(
            "dose_event",
            line,
            native_key=self._key("auto_basal", at),
            kind="bolus",
            shape="micro",
            trigger="algorithm",
            intent="algorithm",
            delivered_amount=given,
            programmed_basis="none",
            delivered_basis="reported",
            status="completed",
            **_moment(at),
        )

    def _glucose(self, line: int, entry: Mapping[str, Any]) -> None:
        at = read_stamp(entry.get("timestamp") or entry.get("datetime"))
        if at is None:
            self.log.count(1, "are places of sensor values without a time")
            return
        value, state = entry.get("sg"), str(entry.get("sensorState") or "")
        usable = isinstance(value, (int, Decimal)) and value > 0
        self._row(
            "observation",
            line,
            code="glucose",
            observed_at=at,
            value=float(value) if usable and value is not None else None,
            value_text=None if usable else state or None,
            unit=self.unit,
            valid=usable,
        )

    def _observe(self, line: int, at: dt.datetime, code: str, value: object, unit: str | None) -> None:
        number = read_amount(value if isinstance(value, (str, int, Decimal)) else None)
        if number is None:
            self.log.reject(
                line, "bad_number", f"the {code} marker has no readable value", field="value", value=str(value),
                table="observation", device_id=self.device_id,
            )  # fmt: skip
            return
        self._row("observation", line, code=code, observed_at=at, value=float(number), unit=unit)

    def _event(self, line: int, at: dt.datetime, event: str, code: str, detail: str | None = None) -> None:
        self._row(
            "device_event",
            line,
            native_key=self._key(f"{event}:{code}", at),
            event=event,
            code=code,
            start_local=at,
            detail=detail,
        )

    def _notification(self, line: int, entry: Mapping[str, Any]) -> None:
        at = read_stamp(entry.get("triggeredDateTime") or entry.get("dateTime"))
        if at is None:
            self.log.reject(
                line, "bad_date", "the notification has no readable time", table="device_event",
                field="triggeredDateTime", value=str(entry.get("triggeredDateTime")), device_id=self.device_id,
            )  # fmt: skip
            return
        guid = entry.get("referenceGUID") or entry.get("GUID")
        code = f"{entry.get('type', 'ALERT')} {entry.get('faultId', '?')}"
        self._row(
            "device_event",
            line,
            native_key=f"notification:{guid}" if guid else self._key(f"notification:{code}", at),
            event="alarm",
            code=code,
            start_local=at,
        )


def _moment(at: dt.datetime) -> dict[str, Any]:
    return {
        "start_local": at,
        "start_precision": "second",
        "time_anchor": "point",
        "amount_unit": INSULIN_UNIT,
        "time_uncertain": True if at.year < _LOST_CLOCK_BEFORE else None,
    }


def _device(data: Mapping[str, Any]) -> Device:
    found = data.get("medicalDeviceInformation") or {}
    named = {key: str(found[key]).strip() for key in found if found[key]}
    automatic = "therapyAlgorithmState" in data or any(
        marker.get("type") == "AUTO_BASAL_DELIVERY" for marker in _items(data, "markers")
    )
    sensor = str((data.get("cgmInfo") or {}).get("sensorProductModel") or "").strip()
    properties = [
        ("FIRMWARE", named.get("firmwareRevision", "")),
        ("HARDWARE", named.get("hardwareRevision", "")),
        ("SOFTWARE", named.get("softwareRevision", "")),
        ("SENSOR", sensor),
        ("CLASS", "closed_loop" if automatic else "pump"),
    ]
    return Device(
        named.get("manufacturer", "Medtronic"),
        named.get("modelNumber") or data.get("pumpModelNumber"),
        named.get("deviceSerialNumber") or data.get("medicalDeviceSerialNumber"),
        1,
        tuple((name, value) for name, value in properties if value),
    )


def _items(data: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    yield from (entry for entry in data.get(key) or () if isinstance(entry, dict))


def read_stamp(text: object) -> dt.datetime | None:
    """A local time of the pump: what follows the seconds (fractions, Z, an offset) is no zone of the pump and is
    cut.
    """
    try:
        return dt.datetime.fromisoformat(str(text)[:19]) if text else None
    except ValueError:
        return None
