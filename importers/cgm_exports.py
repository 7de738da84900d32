"""Glucose sensors' own exports: Dexcom Clarity and LibreView CSV.

Glucose becomes observations. Insulin in these files was entered by the person, so it stands as excluded doses
(manual_entry) and never mixes with what a device gave. Rows about the person (names, birth date) and the name of
who made the export are not read. The local time stands as shown; neither format states an offset.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from importers.base import LINE_LIMIT, Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.row_buffer import RowBuffer
from importers.vendor_csv import VendorText, decode_text, read_text, split_line
from importers.vendor_dates import Order, find_order, read_moment
from importers.vendor_text import glucose_unit, read_amount, split_heading

FORMAT = "cgm_exports"

_CLARITY = frozenset({"event type", "event subtype", "source device id", "glucose value"})
_LIBRE = frozenset({"device", "serial number", "device timestamp", "record type"})
_SEARCHED = 5
_SENSOR = re.compile(r"^(historic|scan|strip) glucose")
_INSULIN = ("rapid-acting insulin", "long-acting insulin", "long-acting insulin value")
_CLARITY_GLUCOSE = {"egv": "glucose", "calibration": "glucose_meter"}

Row = dict[str, str]


def _find_header(text: VendorText) -> tuple[str, int, int, str] | None:
    """Kind, line number, offset and separator of the header."""
    for number, offset, line in text.lines(_SEARCHED):
        for separator in ",;\t":
            names = {split_heading(name)[0] for name in split_line(line, separator)}
            if names >= _CLARITY:
                return "clarity", number, offset, separator
            if names >= _LIBRE:
                return "libreview", number, offset, separator
    return None


def _rows(
    text: VendorText, number: int, offset: int, separator: str, log: DeviceLog
) -> tuple[list[str], list[tuple[int, Row]]]:
    """Headings in lower case with their units, and rows by heading with empty cells left out."""
    csv.field_size_limit(LINE_LIMIT)
    reader = csv.reader(io.StringIO(text.data[offset:].decode("utf-8"), newline=""), delimiter=separator)
    headings: list[str] = []
    rows: list[tuple[int, Row]] = []
    for line, fields in _numbered(reader, number):
        cells = [cell.strip() for cell in fields]
        if not headings:
            headings = [cell.strip('"\ufeff\u00ef\u00bb\u00bf ').lower() for cell in cells]
        elif any(cells[len(headings) :]):
            message = f"the row has {len(cells)} fields where its table has {len(headings)}"
            log.reject(line, "too_many_columns", message, table="observation")
        elif any(cells):
            rows.append((line, {name: cell for name, cell in zip(headings, cells, strict=False) if cell}))
    return headings, rows


def _numbered(reader: Any, first: int) -> Iterator[tuple[int, list[str]]]:
    line = first
    try:
        for fields in reader:
            yield line, fields
            line = first + reader.line_num
    except csv.Error as error:
        raise UnreadableFile(
            f"Line {line} cannot be taken apart: {error}.", remedy="Export the file again; nothing of it was taken."
        ) from None


class _Sensor:
    """One export on its way into the log."""

    def __init__(self, log: DeviceLog, headings: list[str], order: Order | None, stamp: str) -> None:
        self.log, self.headings, self.order, self.stamp = log, headings, order, stamp
        self.rows = RowBuffer(log)

    def moment(self, line: int, row: Row) -> Any:
        text = row.get(self.stamp)
        found = read_moment(text, self.order) if text else None
        if found is None:
            reason, words = ("bad_date", "no date and time") if text else ("missing_value", "the time is missing")
            self.log.reject(line, reason, f"time: {words}", field=self.stamp, value=text, table="observation")
        return found

    def glucose(self, line: int, device: Device, at: Any, heading: str, text: str, code: str) -> None:
        value = read_amount(text)
        outside = {"low": "below range", "high": "above range", "lo": "below range", "hi": "above range"}
        limit = outside.get(text.lower())
        if value is None and limit is None:
            self.log.reject(line, "bad_number", f"{heading}: no number", field=heading, value=text, table="observation")
            return
        unit = "mmol/L" if code == "ketone" else glucose_unit(heading)
        shown = {"line": line, "device_id": register_device(self.log, device), "code": code, "observed_at": at}
        measured = {"value": float(value) if value is not None else None, "value_text": limit, "unit": unit}
        self.rows.add("observation", shown | measured)

    def insulin(self, line: int, device: Device, at: Any, heading: str, text: str, precision: str) -> None:
        amount = read_amount(text)
        if amount is None or amount < 0:
            self.log.reject(line, "bad_number", f"{heading}: no amount", field=heading, value=text)
            return
        self.log.count(1, "are insulin the person entered; kept as excluded doses (manual_entry)")
        dose = {
            "line": line,
            "device_id": register_device(self.log, device),
            "kind": "injection",
            "trigger": "user",
            "start_local": at,
            "start_precision": precision,
            "time_anchor": "point",
            "delivered_amount": amount,
            "delivered_basis": "reported",
            "programmed_basis": "none",
            "amount_unit": INSULIN_UNIT,
            "exclude_reason": "manual_entry",
        }
        self.rows.add("dose_event", dose)

    def carbohydrates(self, line: int, device: Device, at: Any, heading: str, text: str) -> None:
        value = read_amount(text)
        if value is None or value < 0:
            self.log.reject(line, "bad_number", f"{heading}: no number", field=heading, value=text, table="observation")
            return
        shown = {"line": line, "device_id": register_device(self.log, device), "observed_at": at}
        self.rows.add("observation", shown | {"code": "carbohydrates", "value": float(value), "unit": "g"})


def _read_clarity(rows: list[tuple[int, Row]], sensor: _Sensor) -> None:
    log = sensor.log
    value = next(name for name in sensor.headings if name.startswith("glucose value"))
    insulin = next((name for name in sensor.headings if name.startswith("insulin value")), "")
    carbs = next((name for name in sensor.headings if name.startswith("carb value")), "")
    for line, row in rows:
        kind = row.get("event type", "").lower()
        if kind not in _CLARITY_GLUCOSE and kind not in ("insulin", "carbs"):
            if kind in ("", "egv") and sensor.stamp in row:
                log.reject(line, "missing_value", "the event type is missing", field="Event Type", table="observation")
            else:
                log.count(1, "are settings, data of the person or activity and hold no dose")
            continue
        at = sensor.moment(line, row)
        if at is None:
            continue
        serial = row.get("transmitter id")
        device = Device("Dexcom", None, serial, line)
        wanted = {"insulin": insulin, "carbs": carbs}.get(kind, value)
        if wanted not in row:
            table = "dose_event" if kind == "insulin" else "observation"
            log.reject(line, "missing_value", f"{wanted}: the value is missing", field=wanted, table=table)
        elif kind == "insulin":
            sensor.insulin(line, device, at, wanted, row[wanted], "second")
        elif kind == "carbs":
            sensor.carbohydrates(line, device, at, wanted, row[wanted])
        else:
            sensor.glucose(line, device, at, wanted, row[wanted], _CLARITY_GLUCOSE[kind])


def _read_libre(rows: list[tuple[int, Row]], sensor: _Sensor) -> None:
    glucose = [name for name in sensor.headings if _SENSOR.match(name)]
    ketone = [name for name in sensor.headings if name.startswith("ketone")]
    insulin = [name for name in sensor.headings if split_heading(name)[0] in _INSULIN]
    carbs = [name for name in sensor.headings if name.startswith("carbohydrates (gram")]
    for line, row in rows:
        found = [name for name in (*glucose, *ketone, *insulin, *carbs) if name in row]
        if not found:
            sensor.log.count(1, f"of record type {row.get('record type', 'unknown')} hold no value")
            continue
        at = sensor.moment(line, row)
        if at is None:
            continue
        device = Device("Abbott", row.get("device"), row.get("serial number"), line)
        for name in found:
            if name in insulin:
                sensor.insulin(line, device, at, name, row[name], "minute")
            elif name in carbs:
                sensor.carbohydrates(line, device, at, name, row[name])
            else:
                code = "ketone" if name in ketone else "glucose_meter" if name.startswith("strip") else "glucose"
                code = "glucose_scan" if name.startswith("scan") else code
                sensor.glucose(line, device, at, name, row[name], code)


class CgmExportImporter:
    """Importer of Dexcom Clarity and LibreView."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        try:
            found = _find_header(decode_text(head))
        except (UnreadableFile, csv.Error):
            return None
        return Recognised(FORMAT, f"{FORMAT} {found[0]}") if found else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Glucose and entered insulin of one export; raises ``UnreadableFile`` when its dates cannot be told."""
        log = DeviceLog(file, recognised, context)
        text = read_text(file.path)
        log.notes.extend(text.notes)
        header = _find_header(text)
        if header is None:
            raise UnreadableFile(
                "The file has no table of glucose.", remedy="Export it again; nothing of it was taken."
            )
        kind, number, offset, separator = header
        headings, rows = _rows(text, number, offset, separator, log)
        is_clarity = kind == "clarity"
        stamp = (
            next((name for name in headings if name.startswith("timestamp")), "") if is_clarity else "device timestamp"
        )
        stamps = {row[stamp] for _, row in rows if stamp in row}
        sensor = _Sensor(log, headings, find_order(stamps, stated=log.stated_order(), default=None), stamp)
        (_read_clarity if is_clarity else _read_libre)(rows, sensor)
        sensor.rows.flush()
        return log.parsed()


IMPORTER = CgmExportImporter()
