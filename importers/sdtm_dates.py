"""Dates and times of SDTM --DTC variables: ISO 8601, parts may be missing (SDTMIG 3.4, 4.4.1)."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Precision = Literal["year", "month", "date", "minute", "second"]

_DTC = re.compile(
    r"""(?P<year>\d{4}|-)
        (?:-(?P<month>\d{2}|-)
           (?:-(?P<day>\d{2}|-)
              (?:T(?P<hour>\d{2}|-)
                 (?::(?P<minute>\d{2}|-)
                    (?::(?P<second>\d{2}(?:[.,]\d+)?|-))?
                 )?
                 (?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?
              )?
           )?
        )?""",
    re.VERBOSE | re.ASCII,
)


class BadDate(ValueError):
    """The text is no date at all, or a day or time that does not exist."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A --DTC value: ``local`` is the first moment it can mean, ``precision`` how much of it was stated."""

    local: dt.datetime
    precision: Precision
    offset_min: int | None = None
    """Offset from UTC as the text states it; NULL when it states none."""

    @property
    def day(self) -> dt.date | None:
        """The day, None when the text names only a month or a year."""
        return None if self.precision in ("year", "month") else self.local.date()

    @property
    def has_time(self) -> bool:
        return self.precision in ("minute", "second")

    @property
    def utc(self) -> dt.datetime | None:
        if self.offset_min is None or not self.has_time:
            return None
        return self.local - dt.timedelta(minutes=self.offset_min)


@lru_cache(maxsize=65_536)
def parse_moment(text: str) -> Moment | None:
    """Read a --DTC text; None when it is well formed but names no year (``--12-15``).

    Missing parts may be left out at the end (``2003-12``) or written as a hyphen (``2003---15``); what
    follows a missing part does not count. An hour without minutes counts as the date only. Raises
    ``BadDate``.
    """
    match = _DTC.fullmatch(text)
    if match is None:
        raise BadDate("is no ISO 8601 date such as 2014-03-09 or 2014-03-09T08:30")
    stated = match.groupdict()
    _check_parts(stated)
    parts: list[int] = []
    for name in ("year", "month", "day", "hour", "minute"):
        value = stated[name]
        if value is None or value == "-":
            break
        parts.append(int(value))
    if not parts:
        return None
    try:
        if len(parts) < 5:
            local = dt.datetime(*(parts[:3] + [1] * (3 - len(parts))))  # type: ignore[arg-type]
            precision: Precision = ("year", "month", "date")[min(len(parts), 3) - 1]
            return Moment(local, precision)
        local = dt.datetime(*parts)  # type: ignore[arg-type]
        second = stated["second"]
        if second is None or second == "-":
            return Moment(local, "minute", _offset(stated["zone"]))
        local += dt.timedelta(microseconds=round(float(second.replace(",", ".")) * 1_000_000))
        return Moment(local, "second", _offset(stated["zone"]))
    except (ValueError, OverflowError):
        raise BadDate("is a date or time that does not exist") from None


def _check_parts(stated: dict[str, str | None]) -> None:
    """Parts after a missing one are not used, but 2003---45 is still no date."""
    limits = (("year", 1, 9999), ("month", 1, 12), ("day", 1, 31), ("hour", 0, 23), ("minute", 0, 59))
    for name, low, high in limits:
        value = stated[name]
        if value not in (None, "-") and not low <= int(value or "") <= high:
            raise BadDate("is a date or time that does not exist")
    second = stated["second"]
    if second not in (None, "-") and float((second or "").replace(",", ".")) >= 60:
        raise BadDate("is a date or time that does not exist")


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if minutes > 15 * 60 or int(digits[2:]) > 59:
        raise BadDate("has an offset from UTC that does not exist")
    return sign * minutes
