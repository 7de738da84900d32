"""Numbers, durations and column headings of vendor exports: either decimal sign, units in the heading, translated
headings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

SIX_PLACES = Decimal("0.000001")
_LIMIT = Decimal(10) ** 12
_HEADING = re.compile(r"\s*(.*?)\s*(?:\(([^()]*)\))?\s*")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_NUMBER = r"^[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?$"

GLUCOSE_UNITS = {"mg/dl": "mg/dL", "mmol/l": "mmol/L", "mgdl": "mg/dL", "mmoll": "mmol/L"}
INSULIN_WORDS = frozenset({"u", "e", "ie", "ui", "iu", "units", "unit", "eh", "einh"})


def split_heading(text: str) -> tuple[str, str | None]:
    """A column heading as lower-case name and unit.

    >>> split_heading("BG Reading (mmol/L)")
    ('bg reading', 'mmol/L')
    """
    match = _HEADING.fullmatch(text)
    if match is None:
        return text.strip().lower(), None
    return " ".join(match[1].lower().split()), match[2]


def find_columns(header: Iterable[str], names: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Position of each role whose heading is in the header; ``names``: role -> headings (lower case, without
    unit).
    """
    role_of = {heading: role for role, headings in names.items() for heading in headings}
    found: dict[str, int] = {}
    for position, text in enumerate(header):
        heading, unit = split_heading(text)
        role = role_of.get(text.strip().lower()) or role_of.get(heading)
        if role is not None and role not in found:
            found[role] = position
    return found


def glucose_unit(heading: str) -> str | None:
    """UCUM unit of glucose that a heading names in its brackets or anywhere else; None when it names none."""
    text = heading.lower().replace(" ", "")
    return next((unit for word, unit in GLUCOSE_UNITS.items() if word in text), None)


def amount_expr(column: str) -> pl.Expr:
    """Exact amount of a text column, six places, half-even; NULL where it is no finite number or stands empty.

    A comma is a decimal sign: insulin amounts are never written with separators of thousands, and a text with both
    signs is no number.
    """
    import polars as pl

    return _plain(column).cast(pl.Decimal(18, 6), strict=False)


def number_expr(column: str) -> pl.Expr:
    """The same as a double, for observations."""
    import polars as pl

    return _plain(column).cast(pl.Float64, strict=False)


def _plain(column: str) -> pl.Expr:
    import polars as pl

    text = pl.col(column).str.strip_chars()
    return pl.when(text.str.contains(_NUMBER)).then(text.str.replace(",", ".", literal=True))


def read_amount(text: str | float | Decimal | None) -> Decimal | None:
    """One amount, exact to six places; None for nothing or no number."""
    if text is None:
        return None
    if type(text) is int:
        return Decimal(text) if abs(text) < _LIMIT else None
    if type(text) is Decimal:
        fits = text.is_finite() and abs(text) < _LIMIT
        return text.quantize(SIX_PLACES, rounding=ROUND_HALF_EVEN) if fits else None
    plain = str(text).strip()
    if _COMMA.fullmatch(plain):
        plain = plain.replace(",", ".")
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) >= _LIMIT:
        return None
    return number.quantize(SIX_PLACES, rounding=ROUND_HALF_EVEN)


def mapped_expr(column: str, values: pl.Series, read: Callable[[str], Any], dtype: Any) -> pl.Expr:
    """A text column read by a function of one text, called once for each different text."""
    import polars as pl

    texts = values.unique().drop_nulls().to_list()
    found = pl.Series([read(text) for text in texts], dtype=dtype)
    return pl.col(column).replace_strict(pl.Series(texts, dtype=pl.String), found, default=None, return_dtype=dtype)


def integer_text_expr(column: str, values: pl.Series) -> pl.Expr:
    """A counter as plain digits: spreadsheets and pandas write 191 as 191.0."""
    import polars as pl

    return mapped_expr(column, values, lambda text: re.sub(r"[.,]0+$", "", text.strip()), pl.String)


def read_duration(text: str | None) -> int | None:
    """Seconds of h:mm:ss, hh:mm or a fraction of a day as Excel stores it; None otherwise."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+):(\d{2})(?::(\d{2}))?", text.strip())
    if match is not None:
        return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)
    if re.fullmatch(r"0?[.,]\d+|0", text.strip()):
        return round(float(text.replace(",", ".")) * 86_400)
    return None


def duration_expr(column: str, values: pl.Series) -> pl.Expr:
    """Seconds of a text column of durations; NULL where the text is none."""
    import polars as pl

    return mapped_expr(column, values, read_duration, pl.Int64)
