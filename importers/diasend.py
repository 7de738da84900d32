"""Diasend exports: an Excel workbook (.xls, .xlsx) or its sheets as CSV.

Sheets: ``Name and glucose`` (patient, range of days, then Time and glucose in the unit of its heading), ``CGM``,
``Insulin use and carbs``, ``Insulin pump settings`` (serial number and model in its first cells). Of the
patient's cells none is read. Times are DD/MM/YYYY HH:MM, local, to the minute. Only what was delivered is there:
programmed is not reported. The basal column is the rate from its time on, suspensions and temporary rates
included. A bolus and its carbohydrates are two rows. A Combination bolus without its two volumes has lost its
split and gives one row without a shape. Rows have no number of their own: boluses are identified by content. Rows
of a workbook are numbered on through its sheets.

No data of the study, counted in the notes: pump settings. Notes are not read. Format: diasend.com, 2014 to 2020.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from importers.basal import derive_segments, segment_rows, silence_events
from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_identity import UNSTATED, Device, register_device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.vendor_csv import decode_text, split_line
from importers.vendor_dates import Order, find_order, read_moment
from importers.vendor_text import find_columns, glucose_unit, read_amount

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "diasend"

_OLE = b"\xd0\xcf\x11\xe0"
_ZIP = b"PK\x03\x04"
_SHEET_NAMES = ("Insulin use and carbs", "Name and glucose")
_SETTINGS = "Insulin pump settings for Serial number"
_PUMP = re.compile(r"\s*(.+?)\s*\((.+)\)\s*$")
_SEARCHED = 12

HEADINGS: dict[str, tuple[str, ...]] = {
    "at": ("time",),
    "basal": ("basal amount",),
    "bolus_type": ("bolus type",),
    "volume": ("bolus volume",),
    "immediate": ("immediate volume",),
    "extended": ("extended volume",),
    "duration": ("duration",),
    "carbs": ("carbs",),
    "serial": ("serial number",),
    "total": ("total daily dose",),
    "total_basal": ("total daily basal",),
}

Cells = Sequence[str | None]


@dataclass(frozen=True)
class _Sheet:
    name: str
    first_line: int
    rows: list[Cells]


class DiasendImporter:
    """Importer of Diasend exports."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        if head.startswith(_OLE):
            found = all(sheet.encode() in head or sheet.encode("utf-16-le") in head for sheet in _SHEET_NAMES)
            return Recognised(FORMAT, FORMAT) if found else None
        if head.startswith(_ZIP):
            book = _workbook_part(head)
            return Recognised(FORMAT, FORMAT) if all(sheet.encode() in book for sheet in _SHEET_NAMES) else None
        try:
            text = decode_text(head)
        except UnreadableFile:
            return None
        rows = [split_line(line, ",") for _, _, line in text.lines(_SEARCHED)]
        return Recognised(FORMAT, FORMAT) if _kind(rows) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of a workbook or one sheet; raises ``UnreadableFile`` when it cannot be read as a whole."""
        log = DeviceLog(file, recognised, context)
        sheets = _read_sheets(file.path)
        if not any(_kind(sheet.rows) for sheet in sheets):
            raise UnreadableFile("The file holds no Diasend table.", remedy="Export it again; nothing of it was taken.")
        _Diasend(sheets, log).add_all()
        log.date_by_newest_row()
        return log.parsed()


def _kind(rows: Sequence[Cells]) -> str | None:
    """settings, insulin or glucose, from the first rows; None for anything else."""
    for number, cells in enumerate(rows[:_SEARCHED]):
        first = (cells[0] or "").strip() if cells else ""
        if number == 0 and first.startswith(_SETTINGS):
            return "settings"
        if first.lower() != "time" or len(cells) < 2:
            continue
        roles = find_columns([cell or "" for cell in cells], HEADINGS)
        if "basal" in roles and "volume" in roles:
            return "insulin"
        dated = any((above[0] or "").strip().lower() == "date" for above in rows[:number] if above)
        if glucose_unit(cells[1] or "") and (dated or number == 0):
            return "glucose"
    return None


def _workbook_part(head: bytes) -> bytes:
    """xl/workbook.xml, which names the sheets, from the first bytes of an .xlsx; empty when it starts later."""
    place = head.find(_ZIP)
    while 0 <= place <= len(head) - 30:
        name_length = int.from_bytes(head[place + 26 : place + 28], "little")
        extra = int.from_bytes(head[place + 28 : place + 30], "little")
        begin = place + 30 + name_length
        if head[place + 30 : begin] == b"xl/workbook.xml":
            try:
                return zlib.decompressobj(-15).decompress(head[begin + extra :], 1 << 20)
            except zlib.error:
                return b""
        place = head.find(_ZIP, place + 4)
    return b""


def _read_sheets(path: Path) -> list[_Sheet]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start not in (_OLE, _ZIP):
        text = decode_text(path.read_bytes())
        count = text.data.count(b"\n") + 1
        rows: list[Cells] = [[cell or None for cell in split_line(line, ",")] for _, _, line in text.lines(count)]
        return [_Sheet("", 1, rows)]
    import fastexcel

    try:
        book = fastexcel.read_excel(str(path))
        sheets: list[_Sheet] = []
        line = 1
        for name in book.sheet_names:
            frame = book.load_sheet(name, header_row=None, dtypes="string", skip_whitespace_tail_rows=False).to_polars()
            sheets.append(_Sheet(name, line, list(frame.iter_rows())))
            line += frame.height
    except fastexcel.FastExcelError as error:
        raise UnreadableFile(
            f"The workbook is damaged ({type(error).__name__}).", remedy="Export it again; nothing of it was taken."
        ) from None
    return sheets


class _Diasend:
    def __init__(self, sheets: list[_Sheet], log: DeviceLog) -> None:
        self.log = log
        self.sheets = sheets
        self.order: Order | None = find_order(self._dates(), stated=log.stated_order(), default="DMY")
        self.device_id = self._pump()

    def _dates(self) -> Iterator[str]:
        return (cells[0] for sheet in self.sheets for cells in sheet.rows if cells and cells[0])

    def _pump(self) -> str:
        for sheet in self.sheets:
            first = sheet.rows[0] if sheet.rows else ()
            if first and (first[0] or "").startswith(_SETTINGS) and len(first) > 1 and first[1]:
                match = _PUMP.fullmatch(first[1])
                serial, model = (match[1], match[2]) if match else (first[1].strip(), None)
                described = (("EXPORT", "Diasend"), ("CLASS", "pump"))
                return register_device(self.log, Device(UNSTATED, model, serial, sheet.first_line, described))
        return register_device(self.log, Device(UNSTATED, None, None, 1, (("EXPORT", "Diasend"),)))

    def add_all(self) -> None:
        for sheet in self.sheets:
            kind = _kind(sheet.rows)
            if kind == "settings":
                filled = sum(any(cells) for cells in sheet.rows[1:])
                self.log.count(filled, "are settings of the pump")
            elif kind == "glucose":
                self._add_glucose(sheet)
            elif kind == "insulin":
                self._add_insulin(sheet)

    def _table(self, sheet: _Sheet) -> tuple[Cells, list[tuple[int, Cells]]]:
        """Header and numbered rows below it."""
        for number, cells in enumerate(sheet.rows):
            if cells and (cells[0] or "").strip().lower() == "time":
                first = sheet.first_line + number + 1
                return cells, [(first + place, row) for place, row in enumerate(sheet.rows[number + 1 :]) if any(row)]
        return (), []

    def _moment(self, line: int, text: str | None, table: str) -> dt.datetime | None:
        at = read_moment(text, self.order) if text else None
        if at is None:
            self.log.reject(
                line,
                "bad_date",
                "Time names no moment",
                field="Time",
                value=text,
                table=table,
                device_id=self.device_id,
            )
        return at

    def _refuse(self, line: int, role: str, value: str | None, table: str = "dose_event") -> None:
        self.log.reject(
            line, "bad_number", f"{HEADINGS[role][0].capitalize()} is no amount", field=role, value=value,
            raw={role: value}, table=table, device_id=self.device_id,
        )  # fmt: skip

    def _add_glucose(self, sheet: _Sheet) -> None:
        header, rows = self._table(sheet)
        unit = glucose_unit(header[1] or "") if len(header) > 1 else None
        code = "glucose" if "cgm" in sheet.name.lower() else "blood_glucose"
        found = []
        for line, cells in rows:
            at = self._moment(line, cells[0], "observation")
            text = cells[1] if len(cells) > 1 else None
            value = read_amount(text)
            if at is None:
                continue
            if value is None:
                self.log.reject(
                    line, "bad_number", "the glucose value is no number", field="glucose", value=text,
                    table="observation", device_id=self.device_id,
                )  # fmt: skip
                continue
            found.append(
                {
                    "line": line,
                    "device_id": self.device_id,
                    "code": code,
                    "observed_at": at,
                    "value": float(value),
                    "unit": unit,
                }
            )
        self.log.add_rows("observation", found)

    def _add_insulin(self, sheet: _Sheet) -> None:
        header, rows = self._table(sheet)
        roles = find_columns([cell or "" for cell in header], HEADINGS)
        doses: list[dict[str, Any]] = []
        carbs: list[dict[str, Any]] = []
        totals: list[dict[str, Any]] = []
        rates: list[dict[str, Any]] = []
        for line, cells in rows:
            row = {role: cells[place] for role, place in roles.items() if place < len(cells)}
            at = self._moment(line, row.get("at"), "dose_event")
            if at is None:
                continue
            numbers = self._numbers(line, row)
            if numbers is None:
                continue
            common = {"line": line, "device_id": self.device_id}
            if numbers.get("basal") is not None:
                rates.append({"line": line, "seq": line, "at": at, "rate": float(numbers["basal"])})
            if numbers.get("volume") is not None:
                doses.extend({**common, **dose} for dose in _bolus(at, row, numbers))
            if numbers.get("carbs"):
                carbs.append(
                    {
                        **common,
                        "code": "carbohydrates",
                        "observed_at": at,
                        "value": float(numbers["carbs"]),
                        "unit": "g",
                    }
                )
            for role, measure in (("total", "all"), ("total_basal", "basal")):
                if numbers.get(role) is not None:
                    totals.append(
                        {
                            **common,
                            "total_date": at.date(),
                            "measure": measure,
                            "reported_total": numbers[role],
                            "amount_unit": INSULIN_UNIT,
                        }
                    )
            if not any(numbers.get(role) is not None for role in ("basal", "volume", "carbs", "total", "total_basal")):
                self.log.count(1, "hold a time and nothing else that is read")
        self.log.add_rows("dose_event", doses)
        self.log.add_rows("observation", carbs)
        self.log.add_rows("control_total", totals)
        self._add_basal(rates)

    def _numbers(self, line: int, row: Mapping[str, str | None]) -> dict[str, Decimal] | None:
        found: dict[str, Decimal] = {}
        for role, text in row.items():
            if role in ("at", "bolus_type", "serial") or not text:
                continue
            number = read_amount(text)
            if number is None or number < 0:
                self._refuse(line, role, text)
                return None
            found[role] = number
        return found

    def _add_basal(self, rates: list[dict[str, Any]]) -> None:
        import polars as pl

        if not rates:
            return
        events = pl.DataFrame(rates).with_columns(
            running=pl.col("at"),
            suspended=pl.lit(None, dtype=pl.Boolean),
            automatic=pl.lit(None, dtype=pl.Boolean),
            reason=pl.lit(None, dtype=pl.String),
        )
        whole = pl.concat([events, silence_events(events)], how="diagonal")
        segments = segment_rows(derive_segments(whole), self.device_id)
        if segments.is_empty():
            return
        self.log.add(
            "dose_event",
            segments.drop("programmed_amount", "programmed_rate").with_columns(
                programmed_basis=pl.lit("none"), start_precision=pl.lit("minute")
            ),
        )
        self.log.count(events.height - segments.height, "state a basal rate that starts no time of its own")


def _bolus(at: dt.datetime, row: Mapping[str, str | None], numbers: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    kind = (row.get("bolus_type") or "").strip().lower()
    now, later = numbers.get("immediate"), numbers.get("extended")
    minutes = numbers.get("duration")
    combined = kind not in ("", "normal")
    common = {
        "kind": "bolus",
        "trigger": "user",
        "intent": "as_needed",
        "start_local": at,
        "start_precision": "minute",
        "time_anchor": "point",
        "amount_unit": INSULIN_UNIT,
        "programmed_basis": "none",
        "delivered_basis": "reported",
        "status": "completed",
    }
    length = int(minutes * 60) if combined and minutes else None
    parts = (now or Decimal(0)) + (later or Decimal(0))
    if combined and later and abs(parts - numbers["volume"]) <= Decimal("0.01"):
        extended = {**common, "delivered_amount": later, "programmed_duration_s": length}
        if not now:
            return [{**extended, "shape": "extended"}]
        return [{**common, "shape": "dual_now", "delivered_amount": now}, {**extended, "shape": "dual_later"}]
    shape = None if combined else "immediate"
    return [{**common, "shape": shape, "delivered_amount": numbers["volume"], "programmed_duration_s": length}]


IMPORTER = DiasendImporter()
