"""Moments of app exports: ISO 8601 texts and epoch numbers -> local time as shown, UTC, offset, precision."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from importers.base import ReadContext
from importers.device_log import DeviceLog

_ISO = re.compile(
    r"\s*(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?)?)?"
    r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?\s*"
)
_WHOLE = len("2024-05-01T08:00:00")
_EPOCH = dt.datetime(1970, 1, 1)
_MS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they lie after the year 5000."""
_FURTHEST_MIN = 14 * 60
UTC_NOTE = (
    "Times of the file are UTC without a local offset; they stand as shown. "
    "Give time_zone in a [[source]] of protocol.toml for local days."
)


@dataclass(frozen=True)
class Moment:
    """``utc`` and ``offset_min`` are None where the text does not give them."""

    local: dt.datetime
    utc: dt.datetime | None = None
    offset_min: int | None = None
    offset_source: str = "none"
    precision: str = "second"

    def columns(self) -> dict[str, Any]:
        """The time columns of a dose that starts here."""
        return {
            "start_local": self.local,
            "start_utc": self.utc,
            "start_precision": self.precision,
            "utc_offset_min": self.offset_min,
            "offset_source": self.offset_source,
        }

    def later(self, span: dt.timedelta) -> dict[str, Any]:
        """The end columns of what lasts ``span`` from here."""
        return {"end_local": self.local + span, "end_utc": self.utc + span if self.utc else None}


def read_iso(text: Any) -> Moment | None:
    """One ISO 8601 text, partial dates and missing offsets allowed; ``Z`` gives UTC and no local offset."""
    if not isinstance(text, str):
        return None
    if len(text) >= _WHOLE and (found := _read_whole(text)) is not None:
        return found
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    precision = ("year", "month", "date", "minute", "second")[
        sum(part is not None for part in (month, day, hour, second))
    ]
    try:
        micro = int((fraction or "0").ljust(6, "0")[:6])
        parts = (int(part or default) for part, default in ((month, 1), (day, 1), (hour, 0), (minute, 0), (second, 0)))
        month_no, day_no, hour_no, minute_no, second_no = parts
        shown = dt.datetime(int(year), month_no, day_no, hour_no, minute_no, second_no, micro)
        if zone is None:
            return Moment(shown, precision=precision)
        if zone in ("Z", "UTC"):
            return Moment(shown, shown, precision=precision)
        digits = zone.replace(":", "")
        minutes = (-1 if digits[0] == "-" else 1) * (int(digits[1:3]) * 60 + int(digits[3:5]))
        return Moment(shown, shown - dt.timedelta(minutes=minutes), minutes, "file", precision)
    except (ValueError, OverflowError):
        return None


def _read_whole(text: str) -> Moment | None:
    """A text that names its second, five times as fast; None where Python's own reader does not take it."""
    try:
        stated = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    shown = stated.replace(tzinfo=None)
    if stated.tzinfo is None:
        return Moment(shown) if text[13:14] == ":" else None
    if text[-1] == "Z":
        return Moment(shown, shown)
    offset = stated.utcoffset() or dt.timedelta()
    return Moment(shown, shown - offset, round(offset.total_seconds() / 60), "file")


def read_epoch(number: Any) -> Moment | None:
    """Seconds or milliseconds since 1970 (UTC)."""
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal) or number <= 0:
        return None
    seconds = float(number) / 1000 if number >= _MS_FROM else float(number)
    try:
        shown = _EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError:
        return None
    return Moment(shown, shown)


def at_offset(moment: Moment, minutes: Any, source: str = "file") -> Moment:
    """The local time of a moment in UTC whose offset stands beside it; unchanged where either is missing."""
    if moment.utc is None or isinstance(minutes, bool) or not isinstance(minutes, int | float | Decimal):
        return moment
    offset = int(minutes)
    if abs(offset) > _FURTHEST_MIN:
        return moment
    return Moment(moment.utc + dt.timedelta(minutes=offset), moment.utc, offset, source, moment.precision)


def stated_zone(context: ReadContext) -> str | None:
    """The IANA zone the [[source]] of the file states; None where it states none."""
    zone = context.source.time_zone if context.source else "site"
    return None if zone in ("site", "utc", "offset") else zone


def in_zone(moment: Moment, log: DeviceLog, zone: str | None) -> Moment:
    """Local time of a moment known in UTC only, in the [[source]]'s IANA zone; without one UTC stands as shown."""
    if moment.utc is None or moment.offset_min is not None:
        return moment
    if zone is None:
        log.note(UTC_NOTE)
        return moment
    offset = moment.utc.replace(tzinfo=dt.UTC).astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
    minutes = round((offset or dt.timedelta()).total_seconds() / 60)
    return at_offset(moment, minutes, "coordinator")
