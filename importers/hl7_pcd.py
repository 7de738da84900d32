"""Hospital infusion pumps over HL7 v2, IHE PCD: status (PCD-01), orders (-03), alarms (-04), infusion events (-10).

A dose is what was given between a start and the stop or completion that follows: the volume of that segment, as the
stop states it. A start is an event; its program (volume to be infused) is the programmed amount of the stop in the
same file, its order (PCD-03, by the placer's number) the planned one. Amounts are those of the drug where the message
states them or a concentration, else volumes. The patient's names and numbers are not read; ``columns.subject_id =
"PID-3"`` of a [[source]] takes the patient number as the trial's id.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_identity import Device, register_device
from importers.device_log import DeviceLog
from importers.hl7_segments import Message, Metric, read_messages, read_time, read_unit
from importers.moments import Moment
from importers.row_buffer import RowBuffer
from importers.vendor_text import SIX_PLACES, read_amount

FORMAT = "hl7_pcd"

_KINDS = {"ORU^R01": "PCD-01", "RGV^O15": "PCD-03", "ORU^R40": "PCD-04", "ORU^R42": "PCD-10"}
_REASONS = (("occl", "occlusion"), ("empty", "empty"), ("power", "power"), ("paus", "user"), ("user", "user"))
_FIRST_SOURCE = "Primary"

Metrics = dict[str, Metric]
_NOT_STARTED: tuple[Moment | None, Metrics] = (None, {})


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class _Pumps:
    """The messages of one file on their way into the log."""

    def __init__(self, log: DeviceLog) -> None:
        self.log, self.rows = log, RowBuffer(log)
        self.by_patient = (log.source_column("subject_id") or "").upper() == "PID-3"
        self.started: dict[tuple[str, str], list[tuple[Moment, Metrics]]] = {}
        self.ordered: dict[str, tuple[Decimal, str | None]] = {}

    def read(self, message: Message) -> None:
        profile = _KINDS.get(message.kind)
        if profile is None:
            self.log.reject(message.line, "bad_value", "a message of another kind", field="MSH-9", value=message.kind)
            return
        head, request = message.first("MSH"), message.first("OBR")
        text = (request.field(7) if request else "") or (head.field(7) if head else "")
        moment = read_time(text)
        if moment is None:
            self.log.reject(message.line, "bad_date", "no time of the event", field="OBR-7", value=text or None)
            return
        metrics = message.metrics()
        device = self._device(message, metrics)
        if device is None:
            words = "no number of the pump (OBX-18 or system id); the sending gateway is no pump"
            self.log.reject(message.line, "unknown_device", words, field="OBX-18")
            return
        base = {"line": message.line, "device_id": device, "subject_id": self._subject(message)}
        control = head.field(10) if head else ""
        base["native_key"] = f"control-{control}" if control else None
        if profile == "PCD-10":
            placer = request.component(2, 1) if request else ""
            self._infusion(base, moment, metrics, self.ordered.get(placer))
        elif profile == "PCD-04":
            self._alarm(base, moment, metrics, message)
        elif profile == "PCD-03":
            self._order(base, moment, message)
        else:
            self._status(base, moment, metrics)

    def _subject(self, message: Message) -> str | None:
        patient = message.first("PID")
        return (patient.component(3, 1) or None) if self.by_patient and patient else None

    def _device(self, message: Message, metrics: dict[str, Metrics]) -> str | None:
        head, equipment = message.first("MSH"), message.equipment()
        roles = {role: metric.text for found in metrics.values() for role, metric in found.items()}
        number, maker = equipment if equipment else (roles.get("system_id"), None)
        if not number:
            return None
        properties = (("MODEL", roles.get("model")), ("FIRMWARE", roles.get("firmware")))
        stated = tuple((name, value) for name, value in properties if value)
        maker = maker or (head.component(4, 1) if head else "") or "unstated"
        return register_device(self.log, Device(maker, None, number, message.line, stated))

    def _event(self, base: dict[str, Any], moment: Moment, event: str, **more: Any) -> None:
        row = {**base, "event": event, "start_local": moment.local, "start_utc": moment.utc, **more}
        self.rows.add("device_event", row)

    def _infusion(
        self,
        base: dict[str, Any],
        moment: Moment,
        metrics: dict[str, Metrics],
        order: tuple[Decimal, str | None] | None,
    ) -> None:
        roles = {role: metric for found in metrics.values() for role, metric in found.items()}
        condition = roles["condition"].text.upper() if "condition" in roles else ""
        named = roles["event_source"].text if "event_source" in roles else ""
        source = ".".join(named.split(".")[:3])
        channel = metrics.get(source) or next((one for one in metrics.values() if "label" in one), {})
        label = channel["label"].text if "label" in channel else _FIRST_SOURCE
        slot = (str(base["device_id"]), label)
        if "DELIV_START" in condition:
            self.started.setdefault(slot, []).append((moment, channel))
            shown = {role: f"{one.text} {one.unit}" for role, one in channel.items() if one.unit}
            self._event(base, moment, "delivery_start", code="MDC_EVT_PUMP_DELIV_START", detail=json.dumps(shown))
            return
        if "DELIV_STOP" not in condition and "DELIV_COMP" not in condition:
            self._event(base, moment, "pump_event", code=condition.rpartition("^")[0].rpartition("^")[2] or None)
            return
        start, program = self._start_of(slot, moment)
        given = _amounts(channel, program)
        if given is None:
            words = "the end of an infusion without the volume given"
            self.log.reject(base["line"], "missing_value", words, field="MDC_VOL_FLUID_DELIV_SEGMENT")
            return
        begin = start or moment
        if begin.local > moment.local:
            self.log.reject(base["line"], "impossible_time", "the infusion ends before it starts", field="OBR-7")
            return
        is_complete = "DELIV_COMP" in condition
        reason = roles["not_delivering"].text.lower() if "not_delivering" in roles else ""
        stop = next((word for mark, word in _REASONS if mark in reason), "unknown")
        nothing = given["delivered_amount"] == 0
        dose = {
            **base,
            **begin.columns(),
            **given,
            "planned_amount": order[0] if order is not None and order[1] == given["amount_unit"] else None,
            "kind": "infusion_segment",
            "shape": "continuous",
            "channel": None if label == _FIRST_SOURCE else label,
            "drug": channel["drug"].text if "drug" in channel else program["drug"].text if "drug" in program else None,
            "end_local": moment.local,
            "end_utc": moment.utc,
            "time_anchor": "start" if start else "end",
            "delivered_duration_s": int((moment.local - start.local).total_seconds()) if start else None,
            "status": "completed" if is_complete else "none_delivered" if nothing else "partial",
            "stop_reason": None if is_complete else stop,
        }
        self.rows.add("dose_event", dose)

    def _start_of(self, slot: tuple[str, str], end: Moment) -> tuple[Moment | None, Metrics]:
        """The start an end belongs to: the newest, unless that is the next segment's, which begins in the same second
        (a change of rate is a stop and a start).
        """
        open_ones = self.started.pop(slot, [])
        if len(open_ones) > 1 and open_ones[-1][0].local == end.local:
            self.started[slot] = [open_ones.pop()]
        return open_ones[-1] if open_ones else _NOT_STARTED

    def _alarm(self, base: dict[str, Any], moment: Moment, metrics: dict[str, Metrics], message: Message) -> None:
        roles = {role: metric for found in metrics.values() for role, metric in found.items()}
        code = roles["alarm"].text.split("^") if "alarm" in roles else [""]
        phase = roles["phase"].text if "phase" in roles else "start"
        event = "occlusion" if code[0].strip() == "196940" or "OCCL" in "".join(code[1:2]).upper() else "alarm"
        request = message.first("OBR")
        parent = request.field(29).split("^")[-1].split("&")[0] if request else ""
        if parent:
            base = base | {"native_key": f"alert-{parent}:{phase}"}
        state = roles["state"].text if "state" in roles else None
        shown = event if phase in ("start", "tpoint") else f"{event}_{phase}"
        self._event(base, moment, shown, code="^".join(part.strip() for part in code[:2]), detail=state)

    def _order(self, base: dict[str, Any], moment: Moment, message: Message) -> None:
        give = message.first("RXG")
        if give is None:
            self.log.reject(base["line"], "missing_value", "an order without RXG", field="RXG")
            return
        amount, rate = read_amount(give.field(5)), read_amount(give.field(15))
        unit, rate_unit = read_unit(give.components(7)), read_unit(give.components(16))
        drug = give.component(4, 2) or give.component(4, 1) or None
        head = message.first("ORC")
        if amount is not None and head is not None and head.component(2, 1):
            self.ordered[head.component(2, 1)] = (amount, unit)
        if base["subject_id"]:
            planned = {"planned_amount": amount, "amount_unit": unit, "rate": rate, "rate_unit": rate_unit}
            row = {"line": base["line"], "subject_id": base["subject_id"], "drug": drug, "start_at": moment.local}
            self.rows.add("prescription", row | planned)
            return
        told = {"amount": str(amount), "unit": unit, "rate": str(rate), "rate_unit": rate_unit, "drug": drug}
        self._event(base, moment, "order", detail=json.dumps(told))

    def _status(self, base: dict[str, Any], moment: Moment, metrics: dict[str, Metrics]) -> None:
        roles = {role: metric for found in metrics.values() for role, metric in found.items()}
        code = roles["delivery_status"].text if "delivery_status" in roles else None
        reason = roles["not_delivering"].text if "not_delivering" in roles else None
        self._event(base, moment, "pump_status", code=code, detail=reason)

    def finish(self) -> None:
        if self.started:
            self.log.note(
                f"{sum(map(len, self.started.values()))} infusions start and do not end in this file; "
                "their doses come with the message that ends them."
            )
        self.rows.flush()


def _amounts(end: Metrics, start: Metrics) -> dict[str, Any] | None:
    """Amounts of one segment: the drug's where it is stated, else volume times concentration, else the volume."""
    volume = _of(end, "segment")
    if volume is None and "total" in end and end["total"].value is not None:
        before = _of(start, "total")
        volume = end["total"].value - before if before is not None and before <= end["total"].value else None
    planned = _of(start, "to_infuse") if start else _of(end, "to_infuse")
    dose = end.get("dose_delivered")
    shown = {"volume": volume, "volume_unit": _unit(end, start)}
    rate = start.get("flow_programmed") or end.get("flow_programmed")
    if rate is not None and rate.value is not None:
        shown |= {"programmed_rate": rate.value, "rate_unit": rate.unit}
    if dose is not None and dose.value is not None:
        told = start.get("dose_to_infuse") or end.get("dose_to_infuse")
        programmed = told.value if told is not None and told.unit == dose.unit else None
        return shown | _stated(programmed, dose.value, dose.unit, "reported")
    if volume is None:
        return None
    strength = end.get("concentration") or start.get("concentration")
    if strength is not None and strength.value and strength.unit and strength.unit.lower().endswith("/ml"):
        drug = (volume * strength.value).quantize(SIX_PLACES)
        programmed = (planned * strength.value).quantize(SIX_PLACES) if planned is not None else None
        known = {"concentration": strength.value, "concentration_unit": strength.unit}
        return shown | known | _stated(programmed, drug, strength.unit[:-3], "volume_x_conc")
    return shown | _stated(planned, volume, _unit(end, start), "reported")


def _stated(programmed: Decimal | None, delivered: Decimal, unit: str | None, basis: str) -> dict[str, Any]:
    return {
        "programmed_amount": programmed,
        "programmed_basis": "none" if programmed is None else basis,
        "delivered_amount": delivered,
        "delivered_basis": basis,
        "amount_unit": unit,
    }


def _of(metrics: Metrics, role: str) -> Decimal | None:
    return metrics[role].value if role in metrics else None


def _unit(*found: Metrics) -> str | None:
    roles = ("segment", "total", "to_infuse")
    return next((one[role].unit for one in found for role in roles if role in one and one[role].unit), None)


class Hl7PcdImporter:
    """Importer of IHE PCD messages."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        start = head.lstrip(b"\xef\xbb\xbf\x0b \t\r\n")
        # A batch has a head of its own before its first message.
        if not start.startswith((b"MSH|", b"FHS|", b"BHS|")):
            return None
        kinds = {message.kind for message in read_messages(_text(start))}
        if kinds & set(_KINDS) and (b"MDC" in start or b"IHE_PCD" in start):
            return Recognised(FORMAT, FORMAT)
        return Ignored("HL7 messages of no infusion pump")

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and orders of one file of messages; raises ``UnreadableFile`` when it holds none."""
        log = DeviceLog(file, recognised, context)
        text = _text(file.path.read_bytes())
        messages = read_messages(text)
        if not messages:
            raise UnreadableFile("The file holds no HL7 message.", remedy="Export it again; nothing of it was taken.")
        ends = ("\r", "\n", "\x1c")
        if text.rstrip(" \t\0\x1a")[-1:] not in ends and any(end in text for end in ends):
            # Every segment ends in a carriage return (a file may have lost all of them): a last one without may lack a
            # digit of its number.
            log.reject(messages.pop().line, "unreadable", "the file ends inside this message, which may have been cut")
        pumps = _Pumps(log)
        ordered = [(read_time(_when(message)), message) for message in messages]
        # Ends are matched with the starts before them, in the order of the events and not of the file.
        for _, message in sorted(ordered, key=lambda one: one[0].local if one[0] else dt.datetime.min):
            pumps.read(message)
        pumps.finish()
        return log.parsed()


def _when(message: Message) -> str:
    request = message.first("OBR")
    return request.field(7) if request else ""


IMPORTER = Hl7PcdImporter()
