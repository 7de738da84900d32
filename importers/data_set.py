"""One data set as a carrier hands it over: every cell as text, the same text from every carrier.

Integers that one carrier writes as 5 and another as 5.0, empty text and null, padding blanks: all of these
differ between files of the same data set and mean nothing. They are levelled here, once, so that mapping
never sees where a row came from.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LINE = "__line"
"""Column of the row number (1 = first row); no SDTM variable starts with an underscore."""

_CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class DataSetHead:
    """What the first bytes say: data set name, variables, DOMAIN (RDOMAIN) of the first row if in reach."""

    name: str
    columns: tuple[str, ...]
    domain: str | None = None


@dataclass(frozen=True)
class CellProblem:
    """A row the carrier could not read: number, reason of ``QUARANTINE_REASONS``, sentence, raw text."""

    line: int
    reason: str
    message: str
    raw: str | None = None


@dataclass
class DataSet:
    """A whole data set. ``frame``: ``LINE`` (Int64) and every variable as text; missing and blank are NULL."""

    name: str
    label: str
    columns: tuple[str, ...]
    frame: pl.DataFrame
    exported_utc: dt.datetime | None
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows_read(self) -> int:
        return self.frame.height + len(self.problems)

    def rows(self) -> Iterator[dict[str, str | None]]:
        """Rows as dictionaries by variable name; ``LINE`` holds the row number."""
        return self.frame.iter_rows(named=True)

    def first_value(self, column: str) -> str | None:
        """First value of a variable that is not missing."""
        if column not in self.columns:
            return None
        present = self.frame.get_column(column).drop_nulls()
        return str(present[0]) if present.len() else None


def level_text(value: str) -> str | None:
    """Text without padding; blank text is missing. Half a surrogate pair, which no text can hold, becomes a question
    mark."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.strip(" \t\r\n\x00") or None


def level_number(value: float | int | str | Decimal) -> str | None:
    """A number in plain decimal notation without trailing zeros (5.0 and 5 are both ``5``); NaN is missing.

    Doubles keep 15 significant digits, as many as SAS and JSON both carry; decimals written as text keep
    all of theirs. Text that is no number comes back as it is, for the mapping to refuse with its field
    name.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return str(value)
        return level_number(Decimal(format(value, ".15g")))
    if isinstance(value, str):
        text = level_text(value)
        if text is None:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        if number.is_nan():
            return None
        return level_number(number) if number.is_finite() and abs(number.adjusted()) < 100 else text
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    return format(value.normalize(), "f")


def raw_row(row: Mapping[str, object]) -> str:
    """A row as received, for quarantine: JSON of its values that are not missing."""
    shown = {name: value for name, value in row.items() if name != LINE and value is not None}
    return json.dumps(shown, ensure_ascii=False)


def text_frame(columns: Sequence[str], rows: Iterable[tuple[int, Sequence[str | None]]]) -> pl.DataFrame:
    """Frame of ``LINE`` and text columns; built in chunks, because Python strings take ten times their bytes."""
    import polars as pl

    schema = {LINE: pl.Int64, **dict.fromkeys(columns, pl.String)}
    frames: list[pl.DataFrame] = []
    chunk: list[tuple[int | str | None, ...]] = []
    for line, cells in rows:
        chunk.append((line, *cells))
        if len(chunk) == _CHUNK_ROWS:
            frames.append(pl.DataFrame(chunk, schema=schema, orient="row"))
            chunk = []
    frames.append(pl.DataFrame(chunk, schema=schema, orient="row"))
    return pl.concat(frames)
