"""Tandem CSV: t:connect Therapy Timeline (until 2024) and Tandem Source (since): sections in any order, each with
its header.

Headers are not quoted, values are, and rows end in a comma. In t:connect's bolus section every row holds one
value more than the header names, just after IsQuickBolus (the DeclinedCorrection of the XML), so the names after
it are not used.

t:connect: programmed = ActualTotalBolusRequested (FoodBolusSize + CorrectionBolusSize is the advice:
recommendation); delivered = InsulinDelivered and BolexInsulinDelivered; start and end are stated; the extended
part is a row of its own (shape dual_later). Tandem Source dropped the requested amount and time: programmed is
not reported, the one time is the end. Basal rows are commanded rates (absent under Control-IQ); suspensions are
not in this export. The serial number stands on sensor rows only and names the pump when there is just one.

No data of the study, counted in the notes: insulin on board, worked out by the pump. Patient name, birth date and
notes are not read. Format: t:connect web application 2021, Tandem Source 2024 to 2026.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from importers.vendor_csv import VendorText, decode_text, read_section, read_text, split_line
from importers.vendor_dates import Order, find_order, read_moment
from importers.vendor_text import glucose_unit, read_amount, split_heading

if TYPE_CHECKING:
    import polars as pl

FORMAT = "tandem_csv"

_HIDDEN_AFTER = "IsQuickBolus"
_FIRST_NAMES = ("DeviceType", "Type")
_SENSOR, _BOLUS, _BASAL, _IOB = "sensor", "bolus", "basal", "insulin on board"
_SEARCHED = 60


@dataclass(frozen=True)
class _Section:
    kind: str
    names: tuple[str, ...]
    first_line: int
    body: bytes


def _kind(names: list[str]) -> str | None:
    plain = {split_heading(name)[0] for name in names}
    if names[0] not in _FIRST_NAMES:
        return None
    if "devicetype" in plain and "serialnumber" in plain:
        return _SENSOR
    if {"insulindelivered", "completiondatetime"} <= plain:
        return _BOLUS
    if "basalrate" in plain:
        return _BASAL
    return _IOB if {"eventid", "iob"} <= plain else None


def _sections(text: VendorText) -> list[_Section]:
    """Sections by their header lines; a section ends where the next header starts."""
    starts: list[tuple[int, int, int, str, tuple[str, ...]]] = []
    offset, number = 0, 0
    for raw in text.data.split(b"\n"):
        number += 1
        begin = raw.lstrip(b'"\xef\xbb\xbf')
        if begin.startswith((b"DeviceType", b"Type,", b'Type","')):
            names = split_line(raw.decode("utf-8", "replace").rstrip("\r"), ",")
            kind = _kind(names)
            if kind is not None:
                starts.append((offset, offset + len(raw) + 1, number, kind, tuple(names)))
        offset += len(raw) + 1
    ends = [start[0] for start in starts[1:]] + [len(text.data)] * bool(starts)
    return [
        _Section(kind, _with_hidden(names), line + 1, text.data[begin:end])
        for (_, begin, line, kind, names), end in zip(starts, ends, strict=True)
    ]


def _with_hidden(names: tuple[str, ...]) -> tuple[str, ...]:
    while names and not names[-1]:
        names = names[:-1]
    if _HIDDEN_AFTER not in names:
        return names
    place = names.index(_HIDDEN_AFTER) + 1
    return (*names[:place], "DeclinedCorrection", *names[place:])


class TandemCsvImporter:
    """Importer of Tandem CSV exports."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        try:
            text = decode_text(head)
        except UnreadableFile:
            return None
        lines = [split_line(line, ",") for _, _, line in text.lines(_SEARCHED) if "," in line]
        found = any(_kind(fields) in (_SENSOR, _BOLUS) for fields in lines if fields and fields[0] in _FIRST_NAMES)
        return Recognised(FORMAT, FORMAT) if found else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one export; raises ``UnreadableFile`` when it has no section that is known."""
        text = read_text(file.path)
        log = DeviceLog(file, recognised, context)
        log.notes.extend(text.notes)
        sections = _sections(text)
        if not sections:
            raise UnreadableFile(
                "The file has no section of a Tandem export.", remedy="Export it again; nothing of it was taken."
            )
        _Timeline(text, sections, log).add_all()
        log.date_by_newest_row()
        return log.parsed()


class _Timeline:
    """One export: sensor rows first, because only they name the pump."""

    def __init__(self, text: VendorText, sections: list[_Section], log: DeviceLog) -> None:
        self.log = log
        self.sections = sections
        self.rows = [(section, self._read(section)) for section in sections]
        moments = [
            text_of
            for _, frame in self.rows
            for column in frame.columns
            if column.endswith("DateTime")
            for text_of in frame[column].drop_nulls().head(5_000).to_list()
        ]
        self.order: Order | None = find_order(moments, stated=log.stated_order(), default="MDY")
        self.device_id = ""
        self.keys: dict[str, int] = {}
        log.exported_utc = _generated(text, self.order)

    def _read(self, section: _Section) -> pl.DataFrame:
        wanted = {name: place for place, name in enumerate(section.names) if name and name not in ("Note", "NoteID")}
        found = read_section(section.body, section.first_line, len(section.names), ",", wanted, may_end_empty=True)
        self.log.reject_broken(found.broken)
        return found.frame

    def add_all(self) -> None:
        readings = [(section, frame) for section, frame in self.rows if section.kind == _SENSOR]
        self.device_id = self._pump([frame for _, frame in readings])
        for section, frame in readings:
            self._add_readings(section, frame)
        for section, frame in self.rows:
            if section.kind == _BOLUS:
                self._add_boluses(section, frame)
            elif section.kind == _BASAL:
                self._add_basal(frame)
            elif section.kind == _IOB:
                self.log.count(frame.height, "give insulin on board, which the pump works out")

    def _pump(self, frames: list[pl.DataFrame]) -> str:
        pumps: dict[str, tuple[str, int]] = {}
        for frame in frames:
            for line, model, serial in frame.select("line", "DeviceType", "SerialNumber").iter_rows():
                if serial and "pump" in (model or "").lower():
                    pumps.setdefault(serial, (model, line))
        for section, frame in self.rows:
            if section.kind == _BOLUS and "SerialNumber" in frame.columns:
                for line, serial in frame.select("line", "SerialNumber").iter_rows():
                    if serial:
                        pumps.setdefault(serial, ("", line))
        is_loop = any(
            "auto" in str(word).lower()
            for section, frame in self.rows
            if section.kind == _BOLUS
            for column in ("BolusType", "Description", "BolusDeliveryMethod")
            if column in frame.columns
            for word in frame[column].unique().to_list()
        )
        if len(pumps) == 1:
            serial, (model, line) = next(iter(pumps.items()))
            return register_device(self.log, pump_device(model, serial, line, is_loop=is_loop))
        if pumps:
            self.log.note(
                "Sensor rows name several pumps; doses name none: they belong to no pump until a [[source]] says which."
            )
        return register_device(self.log, pump_device(None, None, self.sections[0].first_line - 1, is_loop=is_loop))

    def _moment(self, row: Mapping[str, Any], name: str) -> dt.datetime | None:
        return read_moment(row[name], self.order) if row.get(name) else None

    def _refuse(self, row: Mapping[str, Any], name: str, reason: str, message: str, table: str = "dose_event") -> None:
        value = row.get(name)
        self.log.reject(
            row["line"],
            reason,
            message,
            field=name,
            value=value,
            raw={name: value},
            table=table,
            device_id=self.device_id,
        )

    def _add_readings(self, section: _Section, frame: pl.DataFrame) -> None:
        heading = next((name for name in section.names if name.startswith("Readings")), None) or "BG"
        numbers = {row["line"]: read_amount(row.get(heading)) for row in frame.iter_rows(named=True)}
        known = [float(number) for number in numbers.values() if number is not None]
        unit = glucose_unit(heading) or unstated_glucose_unit(known, self.log)
        devices: dict[tuple[str, str], str] = {}
        rows = []
        for row in frame.iter_rows(named=True):
            at = self._moment(row, "EventDateTime")
            value, text = numbers[row["line"]], row.get(heading)
            if at is None:
                self._refuse(row, "EventDateTime", "bad_date", "EventDateTime names no moment", "observation")
                continue
            if value is None and (text or "").lower() not in ("high", "low", "hi", "lo"):
                self._refuse(row, heading, "bad_number", "the reading is no number", "observation")
                continue
            named = (row.get("DeviceType") or "", row.get("SerialNumber") or "")
            if named not in devices:
                devices[named] = self._reader(named, row["line"])
            rows.append(
                {
                    "line": row["line"],
                    "device_id": devices[named],
                    "code": "glucose" if (row.get("Description") or "EGV") == "EGV" else "blood_glucose",
                    "observed_at": at,
                    "value": float(value) if value is not None else None,
                    "value_text": None if value is not None else text,
                    "unit": unit,
                }
            )
        self.log.add_rows("observation", rows)

    def _reader(self, named: tuple[str, str], line: int) -> str:
        model, serial = named
        if serial and (is_pump(model) or not model):
            return device_id(MANUFACTURER, pump_device(model, serial, line).model, serial)
        return register_device(self.log, reader_device(model, serial or None, line)) if model else self.device_id

    def _key(self, name: str) -> str:
        seen = self.keys[name] = self.keys.get(name, 0) + 1
        return name if seen == 1 else f"{name}#{seen}"

    def _add_boluses(self, section: _Section, frame: pl.DataFrame) -> None:
        read: Callable[[Mapping[str, Any]], TandemBolus | None]
        read = self._timeline_bolus if "RequestDateTime" in section.names else self._source_bolus
        rows: list[dict[str, Any]] = []
        advice: list[dict[str, Any]] = []
        carbs: list[dict[str, Any]] = []
        for row in frame.iter_rows(named=True):
            bolus = read(row)
            if bolus is None:
                continue
            rows.extend(bolus_rows(bolus))
            sizes = [read_amount(row.get(name)) for name in ("FoodBolusSize", "CorrectionBolusSize")]
            taken = read_amount(row.get("ActualTotalBolusRequested"))
            advice.extend(advice_row(bolus, sizes[0], sizes[1], taken, row.get("UserOverride")))
            carbs.extend(carb_row(bolus, read_amount(row.get("CarbSize"))))
        self.log.add_rows("dose_event", rows)
        self.log.add_rows("recommendation", advice)
        self.log.add_rows("observation", carbs)

    def _timeline_bolus(self, row: Mapping[str, Any]) -> TandemBolus | None:
        start = self._moment(row, "RequestDateTime") or self._moment(row, "EventDateTime")
        total, given = read_amount(row.get("ActualTotalBolusRequested")), read_amount(row.get("InsulinDelivered"))
        if start is None:
            self._refuse(row, "RequestDateTime", "bad_date", "RequestDateTime names no moment")
            return None
        for name, amount in (("ActualTotalBolusRequested", total), ("InsulinDelivered", given)):
            if row.get(name) and (amount is None or amount < 0):
                self._refuse(row, name, "bad_number", f"{name} is no amount")
                return None
        later = read_amount(row.get("BolexSize"))
        share = read_amount(row.get("StandardPercent"))
        is_extended = later is not None or "extended" in (row.get("BolusRequestOptions") or "").lower()
        if is_extended and later is None and total is not None and share is not None:
            later = (total * (100 - share) / 100).quantize(total)
        number = (row.get("BolusRequestID") or "").split(".")[0]
        minutes = read_amount(row.get("Duration"))
        return TandemBolus(
            line=row["line"],
            device_id=self.device_id,
            key=f"{number or '?'}@{start.isoformat()}",
            start=start,
            anchor="start",
            end=self._moment(row, "CompletionDateTime"),
            programmed=total - later if is_extended and total is not None and later is not None else total,
            delivered=given,
            ended=row.get("CompletionStatusDesc"),
            trigger=_trigger(row),
            is_extended=is_extended,
            later_start=self._moment(row, "BolexStartDateTime"),
            later_end=self._moment(row, "BolexCompletionDateTime"),
            later_programmed=later,
            later_delivered=read_amount(row.get("BolexInsulinDelivered")),
            later_ended=row.get("BolexCompletionStatusDesc"),
            later_duration_s=int(minutes * 60) if is_extended and minutes else None,
        )

    def _source_bolus(self, row: Mapping[str, Any]) -> TandemBolus | None:
        end, given = self._moment(row, "CompletionDateTime"), read_amount(row.get("InsulinDelivered"))
        if end is None:
            self._refuse(row, "CompletionDateTime", "bad_date", "CompletionDateTime names no moment")
            return None
        if row.get("InsulinDelivered") and (given is None or given < 0):
            self._refuse(row, "InsulinDelivered", "bad_number", "InsulinDelivered is no amount")
            return None
        later_given = read_amount(row.get("BolexInsulinDelivered"))
        minutes = read_amount(row.get("Duration (mins)"))
        is_extended = later_given is not None or bool(row.get("BolexStartDateTime"))
        return TandemBolus(
            line=row["line"],
            device_id=self.device_id,
            key=self._key(f"{row.get('BolusType') or '?'}@{end.isoformat()}"),
            start=end,
            anchor="end",
            end=end,
            delivered=given,
            ended=row.get("CompletionStatusDesc"),
            trigger=_trigger(row),
            is_extended=is_extended,
            later_start=self._moment(row, "BolexStartDateTime"),
            later_end=self._moment(row, "BolexCompletionDateTime"),
            later_delivered=later_given,
            later_ended=row.get("BolexCompletionStatusDesc"),
            later_duration_s=int(minutes * 60) if is_extended and minutes else None,
        )

    def _add_basal(self, frame: pl.DataFrame) -> None:
        rows = []
        for seq, row in enumerate(frame.iter_rows(named=True)):
            at, rate = self._moment(row, "EventDateTime"), read_amount(row.get("BasalRate"))
            if at is None:
                self._refuse(row, "EventDateTime", "bad_date", "EventDateTime names no moment")
            elif rate is None or rate < 0:
                self._refuse(row, "BasalRate", "bad_number", "BasalRate is no rate")
            else:
                rows.append({"line": row["line"], "seq": seq, "at": at, "rate": float(rate)})
        add_commanded_basal(self.log, rows, self.device_id)


def _trigger(row: Mapping[str, Any]) -> str:
    words = " ".join(row.get(name) or "" for name in ("BolusType", "Description", "BolusDeliveryMethod")).lower()
    if "auto" in words:
        return "algorithm"
    if row.get("IsQuickBolus") == "1" or row.get("UserOverride") == "1" or "override" in words:
        return "user"
    return "calculator" if any(word in words for word in ("carb", "food", "correction")) else "unknown"


def _generated(text: VendorText, order: Order | None) -> dt.datetime | None:
    for _, _, line in text.lines(12):
        if line.lower().startswith("report generated on"):
            return read_moment(line.partition(",")[2].strip(), order or "MDY")
    return None


IMPORTER = TandemCsvImporter()
