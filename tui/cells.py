"""How values of a release are written in a cell: dates, numbers, gauges. Missing is blank, zero is 0."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tui.glyphs import Glyphs


def show_day(value: date | datetime | None, glyphs: Glyphs) -> str:
    """The day, YYYY-MM-DD."""
    return value.strftime("%Y-%m-%d") if value else ""


def show_minute(value: datetime | date | None, glyphs: Glyphs) -> str:
    """Day and minute; a midnight of a date-only record shows the day alone."""
    if value is None:
        return ""
    if isinstance(value, datetime) and (value.hour or value.minute or value.second):
        return value.strftime("%Y-%m-%d %H:%M")
    return value.strftime("%Y-%m-%d")


def show_delay(value: int | None, glyphs: Glyphs) -> str:
    """Hours and minutes after (+) or before (-) the due time; whole hours from 10 h on."""
    if value is None:
        return ""
    sign, minutes = ("-" if value < 0 else "+"), abs(int(value)) // 60
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h" if hours > 9 else f"{sign}{hours}:{minutes:02}"


def show_percent(value: float | None, glyphs: Glyphs) -> str:
    """One decimal, without the sign: the column says what it is."""
    return "" if value is None else f"{value:.1f}"


def show_gauge(value: float | None, glyphs: Glyphs) -> str:
    """A bar of eight cells for 0-100 %."""
    return glyphs.gauge(value, 8)


def show_count(value: int | None, glyphs: Glyphs) -> str:
    """Thousands are separated; none is blank."""
    return f"{value:,}" if value else ""


def show_amount(value: Decimal | None, glyphs: Glyphs) -> str:
    """An exact amount without trailing zeros."""
    return "" if value is None else format_decimal(value)


def show_flag(value: bool | None, glyphs: Glyphs) -> str:
    """yes, no, or blank when it was not recorded."""
    return "" if value is None else "yes" if value else "no"


def show_words(value: str | None, glyphs: Glyphs) -> str:
    """A code of the schema in words: on_treatment as on treatment."""
    return (value or "").replace("_", " ")


def format_decimal(value: Decimal) -> str:
    """`value` without trailing zeros and without an exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def describe(value: Any) -> str:
    """Any value of a record as text, for lists of fields."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)
