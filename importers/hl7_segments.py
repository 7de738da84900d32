"""HL7 v2 messages of infusion pumps as segments, fields and components, and the quantities of their OBX segments.

Segments end with CR; files also come with LF, in the frames of the network protocol, or with the ends lost in
capture. Fields, components, repetitions and escapes are those of the library hl7. Metrics of ISO/IEEE 11073 are known
by name where the number is 0 (pending), and by their containment path: the same metric appears once per channel.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from importers.moments import Moment
from importers.vendor_text import read_amount

_LOST_END = re.compile(
    r"(?<=[^\r])(?=(?:PID\|\d*\|\||OBR\|\d+\||OBX\|\d+\||PV1\|\d*\||ORC\|[A-Z]{2}\||RXG\|\d+\||RXR\||TQ1\|\d*\|))"
)
_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(?:(\d{2})(?:\.\d+)?)?)?([+-]\d{4})?")
_ROLES = {
    "157784": "flow_programmed",
    "mdc_flow_fluid_pump": "flow_programmed",
    "158014": "flow_current",
    "mdc_flow_fluid_pump_current": "flow_current",
    "157884": "to_infuse",
    "mdc_vol_fluid_tbi": "to_infuse",
    "157993": "total",
    "mdc_vol_fluid_deliv_total": "total",
    "157992": "segment",
    "mdc_vol_fluid_deliv_segment": "segment",
    "157999": "dose_to_infuse",
    "mdc_dose_drug_tbi": "dose_to_infuse",
    "158001": "dose_delivered",
    "mdc_dose_drug_deliv_total": "dose_delivered",
    "157924": "dose_rate",
    "mdc_rate_dose": "dose_rate",
    "157760": "concentration",
    "mdc_conc_drug": "concentration",
    "184514": "drug",
    "mdc_drug_name_label": "drug",
    "67880": "model",
    "mdc_attr_id_model": "model",
    "67972": "system_id",
    "mdc_attr_sys_id": "system_id",
    "531976": "firmware",
    "mdc_id_prod_spec_fw_rev": "firmware",
    "158005": "delivery_status",
    "mdc_pump_current_delivery_status": "delivery_status",
    "mdc_dev_pump_current_delivery_status": "delivery_status",
    "158006": "not_delivering",
    "mdc_pump_not_delivering_reason": "not_delivering",
    "158012": "label",
    "mdc_pump_source_channel_label": "label",
    "mdc_dev_pump_source_channel_label": "label",
    "mdc_attr_evt_cond": "condition",
    "mdcx_attr_evt_cond": "condition",
    "mdc_attr_evt_source": "event_source",
    "mdcx_attr_evt_source": "event_source",
    "196616": "alarm",
    "mdc_evt_alarm": "alarm",
    "68481": "phase",
    "mdc_attr_event_phase": "phase",
    "68482": "state",
    "mdc_attr_alarm_state": "state",
}


@dataclass(frozen=True)
class Segment:
    """One segment; fields count from 1 as the standard does, in MSH the separator itself is field 1."""

    name: str
    data: Any
    """The segment as the library hl7 has parsed it."""
    unescape: Callable[[str], str]

    def field(self, number: int) -> str:
        """The whole field as text, escapes resolved where nothing separates its parts."""
        text = str(self.data[number]).strip() if number < len(self.data) else ""
        return self.unescape(text) if "\\" in text and "^" not in text and self.name != "MSH" else text

    def components(self, number: int) -> list[str]:
        """Components of the first repetition of a field, escapes resolved."""
        if number >= len(self.data) or not len(self.data[number]):
            return [""]
        first = self.data[number][0]
        parts = [first] if isinstance(first, str) else list(first)
        return [self.unescape(str(part)).strip() for part in parts]

    def component(self, number: int, place: int) -> str:
        parts = self.components(number)
        return parts[place - 1] if place <= len(parts) else ""


@dataclass(frozen=True)
class Metric:
    """One OBX: its role, text or number, UCUM unit."""

    text: str
    value: Decimal | None
    unit: str | None


@dataclass
class Message:
    """One message. ``line``: number of its first segment in the file."""

    line: int
    segments: list[Segment] = field(default_factory=list)

    def first(self, name: str) -> Segment | None:
        return next((one for one in self.segments if one.name == name), None)

    @property
    def kind(self) -> str:
        head = self.first("MSH")
        return "^".join(head.components(9)[:2]) if head else ""

    def metrics(self) -> dict[str, dict[str, Metric]]:
        """Path of the channel (``1.1.2``) -> role -> metric."""
        found: dict[str, dict[str, Metric]] = {}
        for one in self.segments:
            if one.name != "OBX":
                continue
            role = _ROLES.get(one.component(3, 2).lower()) or _ROLES.get(one.component(3, 1))
            if role is None:
                continue
            channel = ".".join(one.field(4).split(".")[:3])
            parts = [part for part in one.components(5) if part]
            text = parts[-1] if role in ("delivery_status", "not_delivering") and parts else one.field(5)
            metric = Metric(text, read_amount(one.field(5)), read_unit(one.components(6)))
            found.setdefault(channel, {}).setdefault(role, metric)
        return found

    def equipment(self) -> tuple[str, str | None] | None:
        """The device's own number and, where it is named, its maker (OBX-18); never the gateway of MSH-3."""
        for one in self.segments:
            if one.name == "OBX" and one.field(18):
                parts = one.components(18)
                number = parts[0] or (parts[2] if len(parts) > 2 else "")
                maker = parts[3] if len(parts) > 3 and parts[3] not in ("EUI-64", "ISO") else None
                # An EUI-64 whose last ten digits are zero names a company, no device.
                if number and not number.endswith("0" * 10):
                    return number, maker
        return None


def read_messages(text: str) -> list[Message]:
    """Every message of a file; one that is damaged has no segments, its place in the file stays."""
    plain = re.sub(r"[\x0b\x1c]", "\r", text.lstrip("\ufeff")).replace("\r\n", "\r").replace("\n", "\r")
    starts: list[int] = []
    lines: list[list[str]] = []
    for number, line in enumerate(_LOST_END.sub("\r", plain).split("\r"), 1):
        name, _, rest = line.strip().partition("|")
        if name == "MSH":
            starts.append(number)
            lines.append([])
        if lines and len(name) == 3 and rest:
            lines[-1].append(line.strip())
    return [Message(number, _segments(own)) for number, own in zip(starts, lines, strict=True)]


def _segments(lines: list[str]) -> list[Segment]:
    import hl7

    try:
        message = hl7.parse("\r".join(lines))
        return [Segment(str(one[0]), one, message.unescape) for one in message]
    except (hl7.HL7Exception, ValueError, IndexError, KeyError):
        return []


def read_unit(parts: list[str]) -> str | None:
    """UCUM unit of a coded unit; MDC and UCUM come in either order, and some senders number the UCUM code."""
    if "UCUM" not in parts:
        return parts[0] or None if len(parts) == 1 else None
    place = parts.index("UCUM")
    before = [part for part in parts[max(place - 2, 0) : place] if part and not re.fullmatch(r"[\d ]+", part)]
    return before[0] if before else None


def read_time(text: str) -> Moment | None:
    """A time stamp of HL7; the offset is optional."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        local = dt.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    precision = "second" if second else "minute" if hour else "date"
    if zone is None:
        return Moment(local, precision=precision)
    minutes = (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[3:5]))
    return Moment(local, local - dt.timedelta(minutes=minutes), minutes, "file", precision)
