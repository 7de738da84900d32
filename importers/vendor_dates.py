"""Dates and times of vendor exports: many spellings in one file, both orders, Excel's rewriting of them.

A log of 23,000 rows holds some hundred different dates, so each different text is read once, with the evidence of
all others: the order of day and month is what the dates that leave no choice say (13/04 is day-first, 04/13
month-first). Excel under another locale rewrites only the dates it could misread (02-12-2018 beside 12/13/2017 in
one file); the unread ones then tell the order of both. A file whose dates contradict each other, or leave the
order open, is not guessed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from importers.base import UnreadableFile
from importers.vendor_text import mapped_expr

if TYPE_CHECKING:
    import polars as pl

Order = Literal["DMY", "MDY"]

_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(?:\s*([AaPp])\.?[Mm]\.?)?")
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_EXCEL_EPOCH = dt.date(1899, 12, 30)
_DAY_S = 86_400


def split_moment(text: str) -> tuple[str, str]:
    """Date part and clock part of one text; the clock part is empty where there is none."""
    head, _, tail = text.strip().replace("T", " ", 1).partition(" ")
    return head.rstrip(","), tail.strip()


def find_order(
    texts: Iterable[str], *, stated: str | None, default: Order | None, span: tuple[dt.date, dt.date] | None = None
) -> Order | None:
    """The order of day and month in all dates of a file; None when no date needs one.

    ``stated``: what the protocol says, which wins. ``span``: first and last day the file says it covers.
    ``default``: the order a vendor always uses. Raises ``UnreadableFile`` where the dates contradict each other
    or leave the order open.
    """
    parts = [(int(m[1]), int(m[2]), m[3]) for m in (_YEAR_LAST.fullmatch(split_moment(text)[0]) for text in texts) if m]
    if not parts:
        return None
    if stated in ("DMY", "MDY"):
        return "DMY" if stated == "DMY" else "MDY"
    day_first = any(first > 12 for first, _, _ in parts)
    month_first = any(second > 12 for _, second, _ in parts)
    if day_first and month_first:
        raise UnreadableFile(
            "Some dates of the file are day-first, others month-first.",
            remedy="Export it again and open it in no spreadsheet before; nothing of it was taken.",
        )
    if day_first or month_first:
        return "DMY" if day_first else "MDY"
    if span is not None:
        fits = [order for order in ("DMY", "MDY") if all(_within(part, order, span) for part in parts)]
        if len(fits) == 1:
            return "DMY" if fits[0] == "DMY" else "MDY"
    if default is not None:
        return default
    if all(first == second for first, second, _ in parts):
        return "DMY"
    raise UnreadableFile(
        "The dates of the file can be read day-first and month-first, and nothing in it decides.",
        remedy='Add a [[source]] for it to protocol.toml with date_order = "DMY" or "MDY"; nothing of it was taken.',
    )


def _within(part: tuple[int, int, str], order: str, span: tuple[dt.date, dt.date]) -> bool:
    first, second, year = part
    month, day = (second, first) if order == "DMY" else (first, second)
    try:
        found = dt.date(_full_year(year), month, day)
    except ValueError:
        return False
    return span[0] <= found <= span[1]


def _full_year(text: str) -> int:
    year = int(text)
    return year if len(text) == 4 else 2000 + year


def read_day(text: str, order: Order | None) -> dt.date | None:
    """One date: year-first, year-last in ``order``, or a day number of Excel; None when it is none of them."""
    head = split_moment(text)[0]
    match = _YEAR_FIRST.fullmatch(head)
    try:
        if match is not None:
            return dt.date(int(match[1]), int(match[2]), int(match[3]))
        match = _YEAR_LAST.fullmatch(head)
        if match is not None and order is not None:
            month, day = (match[2], match[1]) if order == "DMY" else (match[1], match[2])
            return dt.date(_full_year(match[3]), int(month), int(day))
    except ValueError:
        return None
    if _SERIAL.fullmatch(head):
        return _EXCEL_EPOCH + dt.timedelta(days=int(float(head.replace(",", "."))))
    return None


def read_clock(text: str) -> int | None:
    """Seconds since midnight of a clock time (08:30, 8:30:05, 8:30:05 PM) or a fraction of a day; None otherwise."""
    match = _CLOCK.fullmatch(text.strip())
    if match is not None:
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        if match[4]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if match[4] in "Pp" else 0)
        return hour * 3600 + minute * 60 + second if hour < 24 and minute < 60 and second < 60 else None
    if re.fullmatch(r"0[.,]\d+", text.strip()):
        return round(float(text.replace(",", ".")) * _DAY_S) % _DAY_S
    return None


def read_moment(text: str, order: Order | None) -> dt.datetime | None:
    """A date with its clock time in one text; a missing clock time is midnight (some vendors leave 00:00:00 out)."""
    head, tail = split_moment(text)
    day = read_day(head, order)
    if day is None:
        return None
    seconds = read_clock(tail) if tail else _serial_seconds(head)
    return None if seconds is None else dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=seconds)


def _serial_seconds(head: str) -> int:
    if not _SERIAL.fullmatch(head):
        return 0
    return round(float(head.replace(",", ".")) % 1 * _DAY_S)


def day_expr(column: str, values: pl.Series, order: Order | None) -> pl.Expr:
    """The days of a text column; NULL where the text is no date."""
    import polars as pl

    return mapped_expr(column, values, lambda text: read_day(text, order), pl.Date)


def clock_expr(column: str, values: pl.Series) -> pl.Expr:
    """Seconds since midnight of a text column; NULL where the text is no clock time."""
    import polars as pl

    return mapped_expr(column, values, read_clock, pl.Int64)


def moment_expr(column: str, values: pl.Series, order: Order | None) -> pl.Expr:
    """Date and time in one text column; NULL where the text is neither."""
    import polars as pl

    return mapped_expr(column, values, lambda text: read_moment(text, order), pl.Datetime("us"))


def minute_expr(column: str, values: pl.Series) -> pl.Expr:
    """start_precision of clock times in a text column: minute where a text has no seconds, else second."""
    import polars as pl

    return mapped_expr(column, values, lambda text: "minute" if text.count(":") == 1 else "second", pl.String)
