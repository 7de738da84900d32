"""Row by row from an SDTM data set to canonical tables: typed access to variables, and where each row ends.

A mapping yields the canonical rows of one source row, or raises ``Rejection`` with the variable at fault; a
source row is therefore in the tables or among the rejected, never in both and never in neither.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from importers.base import REJECTED_COLUMNS, UnreadableFile
from importers.data_set import LINE, DataSet, raw_row
from importers.sdtm_dates import BadDate, Moment, parse_moment
from store.schema import Table
from store.tables import TABLES

if TYPE_CHECKING:
    import polars as pl

SIX_PLACES = Decimal("0.000001")
_AMOUNT_LIMIT = Decimal(10) ** 12
_INTEGER_LIMIT = 2**31
_CHUNK_ROWS = 20_000

TableRow = tuple[str, dict[str, Any]]
"""Canonical table name and values by column."""


class Rejection(Exception):
    """A source row cannot be used: reason of ``QUARANTINE_REASONS``, variable, value found, sentence."""

    def __init__(self, reason: str, name: str, value: str | None, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.name = name
        self.value = value
        self.message = message


@dataclass
class Tally:
    """What one file's mapping wants a person to know, counted; and what it has seen so far."""

    notes: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[str | None, ...]] = field(default_factory=set)


@dataclass
class Row:
    """One source row by variable name. Absent variables read as missing."""

    values: Mapping[str, str | None]
    tally: Tally

    def text(self, *names: str) -> str | None:
        """First of the variables that is not missing."""
        return next((value for name in names if (value := self.values.get(name)) is not None), None)

    def required(self, *names: str) -> str:
        value = self.text(*names)
        if value is None:
            raise Rejection("missing_value", names[0], None, f"{names[0]} is missing")
        return value

    def code(self, name: str) -> str:
        """Upper-case text for comparison with controlled terms; empty when missing."""
        return (self.text(name) or "").upper()

    def flag(self, name: str) -> bool | None:
        """Y and N as true and false; missing and U (unknown) are NULL."""
        value = self.code(name)
        if value in ("", "U"):
            return None
        if value in ("Y", "N"):
            return value == "Y"
        raise Rejection("bad_value", name, self.text(name), f"{name} must be Y or N")

    def sequence(self, *names: str) -> str | None:
        """A sequence number as text; 1.0 and 1 are the same."""
        value = self.text(*names)
        if value is None:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        whole = number.is_finite() and number == number.to_integral_value()
        return format(number.to_integral_value(), "f") if whole else value

    def required_sequence(self, name: str) -> str:
        self.required(name)
        return self.sequence(name) or ""

    def number(self, name: str) -> Decimal | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise Rejection("bad_number", name, value, f"{name} is not a number") from None
        if not number.is_finite():
            raise Rejection("bad_number", name, value, f"{name} is not a finite number")
        return number

    def integer(self, name: str) -> int | None:
        number = self.number(name)
        if number is None:
            return None
        if number != number.to_integral_value() or abs(number) >= _INTEGER_LIMIT:
            raise Rejection("bad_number", name, self.text(name), f"{name} is not a whole number")
        return int(number)

    def amount(self, name: str) -> Decimal | None:
        """An amount, zero or more, exact to six decimal places; further places are rounded and counted."""
        number = self.number(name)
        if number is None:
            return None
        if number < 0:
            raise Rejection("bad_value", name, self.text(name), f"{name} is negative")
        return self.six_places(number, name)

    def six_places(self, number: Decimal, name: str) -> Decimal:
        if number >= _AMOUNT_LIMIT:
            raise Rejection("bad_number", name, self.text(name), f"{name} is too large for an amount")
        rounded = number.quantize(SIX_PLACES, rounding=ROUND_HALF_EVEN)
        if rounded != number:
            self.tally.notes[f"values of {name} have more than six decimal places and were rounded to six"] += 1
        return rounded

    def moment(self, *names: str) -> Moment | None:
        """First of the --DTC variables that is not missing; None also when it names no year."""
        name = next((name for name in names if self.values.get(name) is not None), None)
        if name is None:
            return None
        value = self.values[name] or ""
        try:
            return parse_moment(value)
        except BadDate as problem:
            raise Rejection("bad_date", name, value, f"{name} {problem}") from None

    def day(self, *names: str) -> dt.date | None:
        """A day; NULL when missing or when only its month or year is stated."""
        moment = self.moment(*names)
        return moment.day if moment else None

    def required_day(self, *names: str) -> dt.date:
        self.required(*names)
        day = self.day(*names)
        if day is None:
            raise Rejection("bad_date", names[0], self.text(*names), f"{names[0]} does not name a day")
        return day

    def required_moment(self, *names: str) -> Moment:
        self.required(*names)
        moment = self.moment(*names)
        if moment is None:
            raise Rejection("bad_date", names[0], self.text(*names), f"{names[0]} does not name a year")
        return moment

    def date_text(self, name: str) -> str | None:
        """A date kept as recorded, partial or not; raises ``Rejection`` for an impossible one."""
        self.moment(name)
        return self.text(name)


RowMapper = Callable[[Row], Iterator[TableRow]]


@dataclass(frozen=True)
class DomainMapping:
    """An SDTM domain that is read: variables its data set must have, and what one of its rows becomes."""

    domain: str
    table: str
    """Table most rows go to: named in rejected rows."""
    needs: tuple[str, ...]
    rows: RowMapper


def map_data_set(
    data: DataSet, mapping: DomainMapping, name: str
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame | None, list[str]]:
    """Canonical tables, rejected rows and notes of a data set.

    Raises ``UnreadableFile`` when a variable the domain cannot do without is not among the columns.
    """
    absent = [variable for variable in mapping.needs if variable not in data.columns]
    if absent:
        raise UnreadableFile(
            f"{name}: the {mapping.domain} data set has no column {', '.join(absent)}.",
            remedy="Export the data set with its required SDTM variables; nothing of it was taken.",
            missing=", ".join(absent),
        )
    tally = Tally()
    gathered: dict[str, _TableRows] = {}
    rejected: dict[str, list[Any]] = {column: [] for column in REJECTED_COLUMNS}
    for problem in data.problems:
        _reject(rejected, problem.line, mapping.table, problem.reason, None, None, problem.message, {}, problem.raw)
    for values in data.rows():
        line: Any = values[LINE]
        try:
            rows = list(mapping.rows(Row(values, tally)))
        except Rejection as why:
            raw = raw_row(values)
            _reject(rejected, line, mapping.table, why.reason, why.name, why.value, why.message, values, raw)
            continue
        for table, cells in rows:
            if table not in gathered:
                gathered[table] = _TableRows(TABLES[table])
            gathered[table].add(line, cells)
    tables = {table: rows.frame() for table, rows in gathered.items()}
    notes = [f"{name}: {count:,} {text}" for text, count in tally.notes.items()]
    return tables, _rejected_frame(rejected), notes


def _reject(
    rejected: dict[str, list[Any]],
    line: int,
    table: str,
    reason: str,
    field_name: str | None,
    value: str | None,
    message: str,
    values: Mapping[str, str | None],
    raw: str | None,
) -> None:
    row = (line, table, reason, field_name, value, message, values.get("USUBJID"), values.get("SPDEVID"), raw)
    for column, cell in zip(REJECTED_COLUMNS, row, strict=True):
        rejected[column].append(cell)


def _rejected_frame(rejected: dict[str, list[Any]]) -> pl.DataFrame | None:
    import polars as pl

    if not rejected["line"]:
        return None
    schema = {column: pl.Int64 if column == "line" else pl.String for column in REJECTED_COLUMNS}
    return pl.DataFrame(rejected, schema=schema).sort("line", maintain_order=True)


class _TableRows:
    """Rows of one canonical table, turned into frames in chunks: as Python objects they take ten times the memory."""

    def __init__(self, table: Table) -> None:
        self._names = table.content
        self._schema = _polars_schema(table)
        self._pending: list[tuple[Any, ...]] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, line: int, cells: Mapping[str, Any]) -> None:
        self._pending.append((line, *map(cells.get, self._names)))
        if len(self._pending) == _CHUNK_ROWS:
            self._flush()

    def frame(self) -> pl.DataFrame:
        import polars as pl

        if self._pending:
            self._flush()
        return pl.concat(self._frames)

    def _flush(self) -> None:
        import polars as pl

        columns = dict(zip(self._schema, zip(*self._pending, strict=True), strict=True))
        self._frames.append(pl.DataFrame(columns, schema=self._schema))
        self._pending = []


def _polars_schema(table: Table) -> dict[str, Any]:
    import polars as pl

    types: dict[str, Any] = {
        "INTEGER": pl.Int64,
        "SMALLINT": pl.Int64,
        "BIGINT": pl.Int64,
        "DOUBLE": pl.Float64,
        "BOOLEAN": pl.Boolean,
        "DATE": pl.Date,
        "TIMESTAMP": pl.Datetime("us"),
        "DECIMAL(18,6)": pl.Decimal(18, 6),
    }
    return {"line": pl.Int64, **{name: types.get(table.column(name).type, pl.String) for name in table.content}}
