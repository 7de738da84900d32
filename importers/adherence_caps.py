"""Caps and boxes that record openings: MEMS, eCAP, AdhereTech, CleverCap, SimpleMed, PatchCap, and plain event lists.

An opening is a dose event without amounts. Placeholders for days without an opening, expected doses that were
missed and reminders are none. Where a vendor leaves a patient or package out on the rows that follow the first, the
value of the row before holds (for the same device only). The patient column of a file is used only where
``columns.subject_id`` of the [[source]] names it; else the device's assignment says whose the openings are.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.cap_tables import CapTable, read_tables, recognise_table
from importers.device_identity import Device, register_device
from importers.device_log import DeviceLog
from importers.vendor_dates import find_order, read_clock, read_day, read_moment

FORMAT = "adherence_caps"
BOUNCE = dt.timedelta(seconds=60)
"""A lid opened again within this time after it was closed is the same opening (lid sensors bounce)."""
NOT_MONITORED = "not_monitored"

_DEVICES = {
    "mems": ("AARDEX", "MEMS", None),
    "ecap": ("IMC", "eCAP", ("package id", "ecm id")),
    "adheretech": ("AdhereTech", "cap", ("device_uid",)),
    "simplemed": ("Vaica", "SimpleMed", ("device sn",)),
    "clevercap": ("CMT", "CleverCap", ("cleverkey",)),
    "patchcap": ("PatchCap", None, None),
    "event list": ("unstated", "monitor", ("monitor",)),
    "non-monitored": ("unstated", "monitor", ("monitor",)),
    "added openings": ("unstated", "monitor", ("monitor",)),
}
"""Manufacturer, model and the columns that hold the serial number."""
_PATIENT = (
    "patient id",
    "patient",
    "subject id",
    "patient_uid",
    "patientnumber",
    "identification number",
    "patientcode",
)
_TIME = {
    "mems": "date",
    "ecap": "dose timestamp",
    "adheretech": "time_recorded_patient_timezone",
    "simplemed": "create time",
    "clevercap": "datestamp",
    "patchcap": "measurement time",
    "event list": "date",
    "non-monitored": "startdate",
    "added openings": "date",
}
_OFFSET = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")
_MONTHS = {
    name: f"{number:02d}" for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_NAMED_MONTH = re.compile(r"(\d{4})-([A-Z][a-z]{2})-")


def read_stamp(text: str, order: Any) -> tuple[dt.datetime, int | None, str] | None:
    """Local time, offset from UTC in minutes where the text has one, and precision; None when it is no time."""
    plain = _NAMED_MONTH.sub(lambda found: f"{found[1]}-{_MONTHS.get(found[2], '?')}-", text.strip())
    offset: int | None = None
    if "T" in plain and (found := _OFFSET.search(plain)):
        plain = plain[: found.start()]
        digits = found[1].replace(":", "")
        sign = -1 if digits[0] == "-" else 1
        offset = 0 if digits == "Z" else sign * (int(digits[1:3]) * 60 + int(digits[3:5]))
    moment = read_moment(plain, order)
    colons = plain.count(":")
    return None if moment is None else (moment, offset, ("date", "minute")[colons] if colons < 2 else "second")


class _Reader:
    """One table on its way into the log."""

    def __init__(self, table: CapTable, log: DeviceLog) -> None:
        self.table, self.log = table, log
        self.dialect = table.dialect or ""
        texts = [row[_TIME[self.dialect]] for _, row in table.rows if _TIME[self.dialect] in row]
        self.order = find_order(texts, stated=log.stated_order(), default="MDY")
        self.subject_column = (log.source_column("subject_id") or "").strip().lower()
        self.optional = {name: (log.source_column(name) or "").strip().lower() for name in ("channel", "drug", "lot")}

    def read(self) -> None:
        log, dialect = self.log, self.dialect
        log.reject_broken(self.table.broken)
        doses: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for line, row in self._filled():
            stamp = self._event_stamp(row)
            if dialect == "mems" and row.get("intakestatusdisplayresource", "").lower() == "missing day":
                log.count(1, "stand for days without an opening and are no openings")
                continue
            if dialect == "adheretech" and row.get("status", "").upper() in ("MISSED", "PENDING"):
                log.count(1, f"are expected doses without an opening ({row['status'].upper()})")
                continue
            if stamp is None:
                given = row.get(_TIME[dialect])
                reason, words = ("bad_date", "no date and time") if given else ("missing_value", "the time is missing")
                log.reject(line, reason, f"{_TIME[dialect]}: {words}", field=_TIME[dialect], value=given)
                continue
            if dialect == "added openings" and not re.fullmatch(r"-?[1-9]\d?", row.get("addedopenings", "")):
                given = row.get("addedopenings")
                log.reject(
                    line, "bad_number", "AddedOpenings: no number of openings", field="AddedOpenings", value=given
                )
                continue
            base = {"line": line, "row": row, "stamp": stamp}
            (events if self._is_event(row) else doses).append(base)
        if dialect == "patchcap":
            doses = self._joined(doses)
        log.add_rows("dose_event", [dose for base in doses for dose in self._openings(base)])
        log.add_rows("device_event", [self._event(base) for base in events])

    def _filled(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Rows with device and patient carried down within a block."""
        carried: dict[str, str] = {}
        serials = _DEVICES[self.dialect][2] or ()
        columns = {*serials, *_PATIENT, self.subject_column} - {""}
        for line, row in self.table.rows:
            own = {name: row[name] for name in columns if name in row}
            same = all(carried.get(name) == row[name] for name in serials if name in row)
            carried = {**carried, **own} if same else own
            yield line, {**carried, **row}

    def _device(self, line: int, row: dict[str, str]) -> str:
        manufacturer, model, columns = _DEVICES[self.dialect]
        serial = next((row[name] for name in columns or () if name in row), None)
        return register_device(self.log, Device(manufacturer, model, serial, line))

    def _event_stamp(self, row: dict[str, str]) -> tuple[dt.datetime, int | None, str] | None:
        if self.dialect == "adheretech" and row.get("status", "").upper() == "PAUSED":
            day = read_day(row.get("dose_date_patient_timezone", ""), self.order)
            clock = read_clock(row.get("deadline_patient_timezone", "").split(" ")[-1])
            return (
                (dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=clock or 0), None, "minute")
                if day
                else None
            )
        return read_stamp(row.get(_TIME[self.dialect], ""), self.order)

    def _is_event(self, row: dict[str, str]) -> bool:
        match self.dialect:
            case "adheretech":
                return row.get("status", "").upper() == "PAUSED"
            case "simplemed":
                return row.get("event type", "").lower() != "pill was taken"
            case "clevercap":
                return row.get("eventtype", "").lower() != "taken"
            case "non-monitored":
                return True
            case "added openings":
                return row.get("addedopenings", "").startswith("-")
        return False

    def _subject(self, row: dict[str, str]) -> str | None:
        return row.get(self.subject_column) if self.subject_column else None

    def _openings(self, base: dict[str, Any]) -> list[dict[str, Any]]:
        row: dict[str, str] = base["row"]
        start, offset, precision = base["stamp"]
        dose: dict[str, Any] = {
            "line": base["line"],
            "subject_id": self._subject(row),
            "device_id": self._device(base["line"], row),
            "native_key": self._native_key(row),
            "kind": "opening",
            "start_local": start,
            "end_local": base.get("end"),
            "start_precision": precision,
            "time_anchor": "start" if self.dialect == "patchcap" else "point",
            "programmed_basis": "none",
            "delivered_basis": "none",
            **{name: row.get(column) for name, column in self.optional.items() if column},
        }
        if row.get("type", "").upper() == "PRN":
            dose["intent"] = "as_needed"
        if self.dialect == "adheretech":
            offset = self._adheretech_offset(row, start)
        if offset is not None:
            dose |= {
                "start_utc": start - dt.timedelta(minutes=offset),
                "end_utc": base["end"] - dt.timedelta(minutes=offset) if base.get("end") else None,
                "utc_offset_min": offset,
                "offset_source": "file",
            }
            if self.dialect == "ecap" and self._utc_differs(row, dose["start_utc"]):
                dose["time_uncertain"] = True
        if self.dialect == "added openings":
            return [dose] * int(row["addedopenings"])
        return [dose]

    def _native_key(self, row: dict[str, str]) -> str | None:
        if self.dialect == "simplemed" and "event id" in row:
            return f"event-{row['event id']}"
        for heading, word in (("dose index", "dose"), ("dose #", "dose"), ("patient dose index", "patient_dose")):
            if self.dialect == "ecap" and heading in row:
                return f"{word}-{row[heading]}"
        return None

    def _adheretech_offset(self, row: dict[str, str], local: dt.datetime) -> int | None:
        """Minutes between the two times a row states; None when they are no offset a zone can have."""
        stated = read_stamp(row.get("time_recorded_utc", ""), self.order)
        minutes = round((local - stated[0]).total_seconds() / 60) if stated else 1
        return minutes if minutes % 15 == 0 and abs(minutes) <= 14 * 60 else None

    def _utc_differs(self, row: dict[str, str], utc: dt.datetime) -> bool:
        stated = read_stamp(row.get("dose timestamp utc", ""), self.order)
        differs = stated is None or abs(stated[0] - utc) > dt.timedelta(minutes=1)
        if differs and "dose timestamp utc" in row:
            words = "state a UTC time that is damaged or differs from their local time and offset; the latter are used"
            self.log.count(1, f"{words}, and their time is marked uncertain")
        return differs and "dose timestamp utc" in row

    def _joined(self, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Lid readings (1 open, 0 closed) -> openings, with what bounces within ``BOUNCE`` as one."""
        openings: list[dict[str, Any]] = []
        closed: dt.datetime | None = None
        for reading in sorted(readings, key=lambda base: base["stamp"][0]):
            at = reading["stamp"][0]
            if reading["row"].get("primary value") == "1":
                last = closed or (openings[-1]["stamp"][0] if openings else None)
                if last is not None and at - last <= BOUNCE:
                    self.log.count(
                        1, f"open a lid again within {BOUNCE.seconds} s after it was closed: one opening each time"
                    )
                    openings[-1].pop("end", None)
                else:
                    openings.append(reading)
                closed = None
                continue
            self.log.count(1, "state that a lid was closed; they end the opening before")
            closed = at
            if openings:
                openings[-1]["end"] = at
        return openings

    def _event(self, base: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, str] = base["row"]
        event, code, end = NOT_MONITORED, None, None
        if self.dialect == "adheretech":
            code = "PAUSED"
        elif self.dialect == "added openings":
            event, code = "opening_disregarded", row["addedopenings"]
        elif self.dialect in ("simplemed", "clevercap"):
            code = row.get("event type") or row.get("eventtype")
            event = re.sub(r"[^a-z0-9]+", "_", (code or "other").lower()).strip("_")
            self.log.count(1, f"are no openings but kept as device events ({code})")
        else:
            last = read_day(row.get("enddate", ""), self.order)
            end = dt.datetime.combine(last, dt.time(23, 59, 59)) if last else None
        detail = row.get("comments") if self.dialect in ("non-monitored", "added openings") else None
        if self.dialect == "adheretech" and "time_recorded_patient_timezone" in row:
            detail = f"opened {row['time_recorded_patient_timezone']}"
        return {
            "line": base["line"],
            "subject_id": self._subject(row),
            "device_id": self._device(base["line"], row),
            "native_key": self._native_key(row),
            "event": event,
            "code": code,
            "start_local": base["stamp"][0],
            "end_local": end,
            "detail": detail,
        }


def _refuse_mixed(table: CapTable, log: DeviceLog) -> None:
    """Openings of several patients without a device to tell them apart would become one person's."""
    patients = {row[name] for _, row in table.rows for name in _PATIENT if name in row}
    mapped = log.source_column("subject_id") or "subject_id" in log.constants
    if _DEVICES[table.dialect or ""][2] is None and len(patients) > 1 and not mapped:
        raise UnreadableFile(
            f"The file holds openings of {len(patients)} patients and names no device.",
            remedy='Add columns.subject_id = "<the patient column>" to its [[source]] in protocol.toml.',
        )


class AdherenceCapImporter:
    """Importer of adherence caps."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        found = recognise_table(head)
        if found == "results":
            return Ignored("daily results computed from openings, no openings")
        return Recognised(FORMAT, f"{FORMAT} {found}") if found else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Openings and non-monitored periods of one file; raises ``UnreadableFile``."""
        log = DeviceLog(file, recognised, context)
        tables = read_tables(file.path)
        for table in tables:
            if table.dialect in _DEVICES:
                _refuse_mixed(table, log)
                _Reader(table, log).read()
            elif table.rows:
                log.count(len(table.rows), f"of the sheet {table.sheet} hold no openings and are not read")
        if any(table.dialect == "patchcap" for table in tables):
            log.note("Times of the file are UTC and stand as shown; the site's zone gives the local day.")
        return log.parsed()


IMPORTER = AdherenceCapImporter()
