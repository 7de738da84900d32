"""Partial dates of SDTM completed with a flag; study days; durations.

A date text is ISO 8601 as in SDTM: "2019-07-18", "2019-07", "2019", with missing parts in the middle as
hyphens ("2019---07", "--07-18"), and an optional time, which is ignored here. What was completed is always
flagged: "D" the day, "M" month and day, "Y" the year and all below it.

Conventions: pharmaverse admiral (impute_dtc_dt, compute_duration), CDISC ADaM 1.3 for the flags and study
days.
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

PARTS = re.compile(
    r"(?P<year>\d{4}|-)"
    r"(?:-(?P<month>\d{2}|-)(?:-(?P<day>\d{2}|-))?)?"
    r"(?:T.*)?"
)


@dataclass(frozen=True, slots=True)
class ImputedDate:
    """A date with the flag of what was completed: `None` for a complete date (and for no date), else D, M
    or Y."""

    value: date | None
    flag: str | None


def parse_partial_date(text: str | None) -> tuple[int | None, int | None, int | None]:
    """Year, month and day of a date text, `None` for each missing part; ValueError for anything else.

    >>> parse_partial_date("2019---07"), parse_partial_date("--07-18")
    ((2019, None, 7), (None, 7, 18))
    """
    stripped = (text or "").strip()
    if not stripped:
        return None, None, None
    match = PARTS.fullmatch(stripped)
    if match is None:
        raise ValueError(f"{stripped!r} is not a date like 2019-07-18, 2019-07, 2019 or 2019---07")
    year, month, day = (
        int(part) if (part := match[name]) and part != "-" else None for name in ("year", "month", "day")
    )
    if month is not None and not 1 <= month <= 12:
        raise ValueError(f"{stripped!r} has no such month")
    if day is not None and not 1 <= day <= _days_in(year or 2000, month or 1):
        raise ValueError(f"{stripped!r} has no such day")
    return year, month, day


def _days_in(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def impute_date(
    text: str | None,
    highest: str | None = "M",
    position: str = "first",
    not_before: Sequence[date | None] = (),
    not_after: Sequence[date | None] = (),
    preserve_day: bool = False,
) -> ImputedDate:
    """Complete a partial date.

    - `highest`: the highest part that may be completed: "D", "M", "Y", or `None` to keep complete dates
    only. - `position`: "first" or "last" day of what is possible, or "mid" (the 15th; June 30th without a
    month). - `not_before`, `not_after`: dates the result is raised or lowered to, each only where it is
    itself possible under
      the known parts, so that those never change.
    - `preserve_day`: keep a known day below a missing month ("2019---07" becomes 2019-12-07).

    A date without a year is completed only with highest "Y", and only where a bound gives one.

    >>> impute_date("2019-07", position="last")
    ImputedDate(value=datetime.date(2019, 7, 31), flag='D')
    >>> impute_date("2019", not_before=[date(2019, 7, 6)])
    ImputedDate(value=datetime.date(2019, 7, 6), flag='M')
    """
    if highest not in (None, "D", "M", "Y"):
        raise ValueError(f"unknown highest part {highest!r}; known: None, D, M, Y")
    if position not in ("first", "mid", "last"):
        raise ValueError(f"unknown position {position!r}; known: first, mid, last")
    year, month, day = parse_partial_date(text)
    if year is not None and month is not None and day is not None:
        return ImputedDate(date(year, month, day), None)
    flag = "Y" if year is None else "M" if month is None else "D"
    if highest is None or "DMY".index(flag) > "DMY".index(highest):
        return ImputedDate(None, None)
    if flag == "Y":
        month = day = None
    if flag == "M" and not preserve_day:
        day = None
    earliest, latest = _complete(year, month, day, "first"), _complete(year, month, day, "last")
    value = _complete(year, month, day, position)
    lower = [d for d in map(_as_date, not_before) if d is not None and earliest <= d <= latest]
    upper = [d for d in map(_as_date, not_after) if d is not None and earliest <= d <= latest]
    if flag == "Y" and not (lower if position == "first" else upper):
        return ImputedDate(None, None)
    return ImputedDate(min([max([value, *lower]), *upper]), flag)


def _as_date(value: date | None) -> date | None:
    return value.date() if isinstance(value, datetime) else value


def _complete(year: int | None, month: int | None, day: int | None, position: str) -> date:
    if year is None:
        return date.max if position == "last" else date.min
    if month is None:
        month = {"first": 1, "mid": 6, "last": 12}[position]
        if day is None:
            day = {"first": 1, "mid": 30, "last": 31}[position]
    if day is None:
        day = {"first": 1, "mid": 15, "last": 31}[position]
    return date(year, month, min(day, _days_in(year, month)))


def impute_start(text: str | None, first_dose: date | None) -> ImputedDate:
    """Start of an event: first possible day, raised to the first dose where the known parts allow it.

    So an event in the month of the first dose counts as treatment-emergent, the cautious choice for safety.

    >>> impute_start("2019-07", date(2019, 7, 10)).value
    datetime.date(2019, 7, 10)
    """
    return impute_date(text, "M", "first", not_before=[first_dose])


def impute_end(text: str | None, last_possible: Sequence[date | None] = ()) -> ImputedDate:
    """End of an event: last possible day, lowered to death or data cut where the known parts allow it.

    >>> impute_end("2019-07", [date(2019, 7, 20)]).value
    datetime.date(2019, 7, 20)
    """
    return impute_date(text, "M", "last", not_after=last_possible)


def study_day(day: date, reference: date) -> int:
    """Day relative to a reference day, which is day 1; the day before it is day -1, there is no day 0.

    >>> study_day(date(2020, 1, 1), date(2020, 1, 1)), study_day(date(2019, 12, 31), date(2020, 1, 1))
    (1, -1)
    """
    difference = day.toordinal() - reference.toordinal()
    return difference + 1 if difference >= 0 else difference


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _moment(day: date) -> datetime:
    return day if isinstance(day, datetime) else _midnight(day)


SECONDS = {
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86400.0,
    "weeks": 7 * 86400.0,
    "months": 365.25 / 12 * 86400.0,
    "years": 365.25 * 86400.0,
}


def duration(
    start: date,
    end: date,
    unit: str = "days",
    whole_days: bool = True,
    inclusive: bool = True,
    truncate: bool = False,
    by_calendar: bool = False,
) -> float:
    """Time from start to end in `unit` (a key of `SECONDS`); by default the number of days, both ends
    counted.

    `whole_days` drops times of day first; `inclusive` adds one to a duration that is not negative;
    `truncate` cuts to a whole number (age). Months and years are 365.25 / 12 and 365.25 days, or counted on
    the calendar with `by_calendar`. Times must both have a zone or both have none.

    >>> duration(date(2020, 12, 6), date(2020, 12, 24))
    19.0
    >>> duration(date(1984, 9, 6), date(2020, 2, 24), "years", inclusive=False, truncate=True)
    35.0
    """
    if unit not in SECONDS:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(SECONDS)}")
    first, last = (_midnight(start), _midnight(end)) if whole_days else (_moment(start), _moment(end))
    if by_calendar and unit in ("months", "years"):
        value = _calendar_months(first, last) / (12.0 if unit == "years" else 1.0)
    else:
        value = (last - first).total_seconds() / SECONDS[unit]
    if inclusive and value >= 0.0:
        value += 1.0
    return float(math.trunc(value)) if truncate else value


def _calendar_months(first: datetime, last: datetime) -> float:
    """Whole calendar months, plus the elapsed fraction of the month after them."""
    if last < first:
        return -_calendar_months(last, first)
    whole = (last.year - first.year) * 12 + last.month - first.month
    if _add_months(first, whole) > last:
        whole -= 1
    begin, finish = _add_months(first, whole), _add_months(first, whole + 1)
    return whole + (last - begin) / (finish - begin)


def _add_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, _days_in(year, month + 1)))
