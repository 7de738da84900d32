"""Tandem t:connect XML (GetTherapyData): boluses with requested and delivered amounts, commanded basal rates,
glucose.

A bolus is a Standard element (the part at once) and, for an extended one, a Bolex element; each gives a dose row
with its own line. Programmed is InsulinRequested, delivered InsulinDelivered; FoodBolusSize + CorrectionBolusSize
is the pump's advice. Text nodes start with line breaks, completion states are 3 in one place and 3.00 in another:
the words beside them are read. Basal events come in pairs (Interactive 0 and 1) at the same second; both state
the rate that was commanded, temporary rates included. Suspensions are not in this export. Serial numbers stand on
glucose rows only.

No data of the study, counted in the notes: insulin on board. Notes and descriptions of the person are not read.
The parser refuses entities and external references (defusedxml). Format: t:connect, 2014.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_identity import device_id, register_device
from importers.device_log import DeviceLog
from importers.tandem import (
    MANUFACTURER,
    TandemBolus,
    add_commanded_basal,
    advice_row,
    bolus_rows,
    carb_row,
    is_pump,
    pump_device,
    reader_device,
    unstated_glucose_unit,
)
from importers.vendor_dates import read_moment
from importers.vendor_text import read_amount

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "tandem_xml"

_ROOT = b"<GetTherapyData"
_LINE = "__line"


class TandemXmlImporter:
    """Importer of t:connect XML exports."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        return Recognised(FORMAT, FORMAT) if _ROOT in head[:4096] else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one export; raises ``UnreadableFile`` when it is no well-formed XML."""
        log = DeviceLog(file, recognised, context)
        root = read_tree(file.path)
        _Therapy(root, log).add_all()
        log.date_by_newest_row()
        return log.parsed()


def read_tree(path: Path) -> Element:
    """The document, every element with its line in attribute ``__line``."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    class LineBuilder(TreeBuilder):
        def start(self, tag: str, attrs: dict[str, str]) -> Element:
            element = super().start(tag, attrs)
            element.set(_LINE, str(parser.parser.CurrentLineNumber))
            return element

    parser = DefusedXMLParser(target=LineBuilder(), forbid_dtd=True)
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                parser.feed(block)
        found: Element = parser.close()
    except (ParseError, DefusedXmlException) as error:
        raise UnreadableFile(
            f"The file breaks off or is no XML that may be read ({type(error).__name__}).",
            remedy="Export it again; nothing of it was taken.",
        ) from None
    return found


class _Therapy:
    def __init__(self, root: Element, log: DeviceLog) -> None:
        self.log = log
        self.events = list(root.iter("Event"))
        self.device_id = self._pump()

    def _of(self, kind: str) -> Iterator[Element]:
        return (event for event in self.events if event.get("Type") == kind)

    def _pump(self) -> str:
        pumps = {
            event.get("SerialNumber"): event
            for event in self.events
            if event.get("SerialNumber") and is_pump(event.get("DeviceType"))
        }
        is_loop = any("auto" in (_text(event, "BolusType") or "").lower() for event in self._of("Bolus"))
        if len(pumps) == 1:
            serial, event = next(iter(pumps.items()))
            return register_device(
                self.log, pump_device(event.get("DeviceType"), serial, _line(event), is_loop=is_loop)
            )
        if pumps:
            self.log.note(
                "Glucose rows name several pumps, doses none: they belong to no pump until a [[source]] says which."
            )
        return register_device(self.log, pump_device(None, None, 1, is_loop=is_loop))

    def add_all(self) -> None:
        self._add_boluses()
        self._add_basal()
        self._add_glucose()
        self.log.count(sum(1 for _ in self._of("IOB")), "give insulin on board, which the pump works out")
        known = {"Bolus", "Basal", "IOB", "BG", "CGM", "EGV"}
        others = [event for event in self.events if event.get("Type") not in known]
        self.log.add_rows("device_event", [row for row in map(self._other, others) if row])

    def _refuse(self, event: Element, field: str, reason: str, message: str, table: str = "dose_event") -> None:
        value = _text(event, field)
        self.log.reject(
            _line(event), reason, message, field=field, value=value,
            raw={"Type": event.get("Type"), field: value}, table=table, device_id=self.device_id,
        )  # fmt: skip

    def _add_boluses(self) -> None:
        rows: list[dict[str, Any]] = []
        advice: list[dict[str, Any]] = []
        carbs: list[dict[str, Any]] = []
        for event in self._of("Bolus"):
            bolus = self._bolus(event)
            if bolus is None:
                continue
            rows.extend(bolus_rows(bolus))
            sizes = [read_amount(_text(event, name)) for name in ("FoodBolusSize", "CorrectionBolusSize")]
            taken = read_amount(_text(event, "ActualTotalBolusRequested"))
            advice.extend(advice_row(bolus, sizes[0], sizes[1], taken, _text(event, "UserOverride")))
            carbs.extend(carb_row(bolus, read_amount(_text(event, "CarbSize"))))
        self.log.add_rows("dose_event", rows)
        self.log.add_rows("recommendation", advice)
        self.log.add_rows("observation", carbs)

    def _bolus(self, event: Element) -> TandemBolus | None:
        start = _moment(event, "RequestDateTime") or _moment(event, "EventDateTime")
        if start is None:
            self._refuse(event, "RequestDateTime", "bad_date", "RequestDateTime names no moment")
            return None
        standard, later = event.find("Standard"), event.find("Bolex")
        total = read_amount(_text(event, "ActualTotalBolusRequested"))
        told = read_amount(_text(standard, "InsulinRequested")) if standard is not None else None
        given = read_amount(_text(standard, "InsulinDelivered")) if standard is not None else None
        if total is None and told is None and given is None:
            self._refuse(event, "ActualTotalBolusRequested", "bad_number", "the bolus has no readable amount")
            return None
        number = (standard.get("BolusRequestID") if standard is not None else None) or event.get("SourceRecID") or "?"
        minutes = read_amount(_text(event, "Duration"))
        is_extended = later is not None or "extended" in (_text(event, "BolusRequestOptions") or "").lower()
        later_told = None
        if later is not None:
            later_told = read_amount(_text(later, "InsulinRequested")) or read_amount(_text(later, "Size"))
        elif is_extended and total is not None and told is not None:
            later_told = total - told
        return TandemBolus(
            line=_line(event),
            device_id=self.device_id,
            key=f"{number.split('.')[0]}@{start.isoformat()}",
            start=start,
            anchor="start",
            end=_completed(standard),
            programmed=told if told is not None or is_extended else total,
            delivered=given,
            ended=_text(standard, "CompletionStatusDesc") if standard is not None else None,
            trigger=_trigger(event),
            is_extended=is_extended,
            later_line=_line(later) if later is not None else None,
            later_start=_moment(later, "BolexStartDateTime") if later is not None else None,
            later_end=_completed(later),
            later_programmed=later_told,
            later_delivered=read_amount(_text(later, "InsulinDelivered")) if later is not None else None,
            later_ended=_text(later, "CompletionStatusDesc") if later is not None else None,
            later_duration_s=int(minutes * 60) if is_extended and minutes else None,
        )

    def _add_basal(self) -> None:
        rows = []
        for event in self._of("Basal"):
            at, rate = _moment(event, "EventDateTime"), read_amount(_text(event, "BasalRate"))
            if at is None:
                self._refuse(event, "EventDateTime", "bad_date", "EventDateTime names no moment")
            elif rate is None or rate < 0:
                self._refuse(event, "BasalRate", "bad_number", "BasalRate is no rate")
            else:
                shown = int(event.get("Interactive") == "1")
                rows.append({"line": _line(event), "seq": shown, "at": at, "rate": float(rate)})
        add_commanded_basal(self.log, rows, self.device_id)

    def _add_glucose(self) -> None:
        rows: list[dict[str, Any]] = []
        found = [(event, name) for name in ("BG", "CGM", "EGV") for event in self._of(name)]
        for event, kind in found:
            at = _moment(event, "EventDateTime")
            value = read_amount(_text(event, kind) or _text(event, "BG") or _text(event, "Value"))
            if at is None:
                self._refuse(event, "EventDateTime", "bad_date", "EventDateTime names no moment", "observation")
            elif value is None:
                self._refuse(event, kind, "bad_number", "the reading is no number", "observation")
            else:
                rows.append(
                    {
                        "line": _line(event),
                        "device_id": self._reader(event),
                        "code": "blood_glucose" if kind == "BG" else "glucose",
                        "observed_at": at,
                        "value": float(value),
                    }
                )
        unit = unstated_glucose_unit([row["value"] for row in rows], self.log)
        self.log.add_rows("observation", [{**row, "unit": unit} for row in rows])

    def _reader(self, event: Element) -> str:
        model, serial = event.get("DeviceType") or "", event.get("SerialNumber")
        if is_pump(model) and serial:
            return device_id(MANUFACTURER, pump_device(model, serial, 1).model, serial)
        return register_device(self.log, reader_device(model, serial, _line(event))) if model else self.device_id

    def _other(self, event: Element) -> dict[str, Any] | None:
        at, kind = _moment(event, "EventDateTime"), event.get("Type") or "?"
        if at is None:
            self._refuse(event, "EventDateTime", "bad_date", "EventDateTime names no moment", "device_event")
            return None
        words = kind.lower()
        event_code = next((code for word, code in _OTHERS if word in words), "alarm")
        return {
            "line": _line(event),
            "device_id": self.device_id,
            "native_key": f"{kind}:{event.get('SourceRecID') or ''}@{at.isoformat()}",
            "event": event_code,
            "code": kind,
            "start_local": at,
        }


_OTHERS = (
    ("suspend", "suspend"),
    ("resume", "resume"),
    ("cartridge", "refill"),
    ("alarm", "alarm"),
    ("alert", "alarm"),
)


def _text(element: Element | None, name: str) -> str | None:
    """Text of a child without the line breaks around it; None where absent or empty."""
    child = element.find(name) if element is not None else None
    return (child.text or "").strip() or None if child is not None else None


def _line(element: Element) -> int:
    return int(element.get(_LINE, "1"))


def _moment(element: Element, name: str) -> dt.datetime | None:
    text = _text(element, name)
    return read_moment(text, "MDY") if text else None


def _completed(part: Element | None) -> dt.datetime | None:
    child = part.find("InsulinDelivered") if part is not None else None
    text = child.get("CompletionDateTime") if child is not None else None
    return read_moment(text, "MDY") if text else None


def _trigger(event: Element) -> str:
    words = " ".join((_text(event, "BolusType") or "", event.get("Description") or "")).lower()
    if "auto" in words:
        return "algorithm"
    if _text(event, "IsQuickBolus") == "1" or _text(event, "UserOverride") == "1":
        return "user"
    return "calculator" if "carb" in words or "correction" in words else "unknown"


IMPORTER = TandemXmlImporter()
