"""How each canonical column of a file is computed, checked and converted: the [[source]] entry met with the header.

The plan that comes out is SQL over the file's columns ``f0``, ``f1``, ... as text; ``importers.staging`` runs it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from importers.base import UnreadableFile
from importers.cells import (
    Cell,
    Check,
    amount_cell,
    constant_amount,
    float_cell,
    list_cell,
    quote,
    text_cell,
    trimmed_sql,
)
from importers.form_dates import date_cell, partial_date_cell
from importers.times import TimeReading, find_shape, time_cell
from importers.units import COMMON, SPELLINGS, ucum_unit
from store.schema import AMOUNT
from store.vocabulary import VOCABULARIES

if TYPE_CHECKING:
    from store.protocol import Source
    from store.schema import Table

FLAGS = {
    **dict.fromkeys(("Y", "y", "YES", "yes", "TRUE", "true", "1", "x", "X"), "true"),
    **dict.fromkeys(("N", "n", "NO", "no", "FALSE", "false", "0"), "false"),
}


@dataclass(frozen=True)
class Reading:
    """The reading keys of a source, with their defaults where a file has no [[source]]."""

    label: str
    """How messages name what is mapped: ``source pens`` or ``this file``."""
    columns: Mapping[str, str] | None
    """Canonical column = column in the file; None where the file uses the canonical names itself."""
    constants: Mapping[str, str]
    units: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    decimal: str
    thousands: str | None
    null_values: tuple[str, ...]
    time: TimeReading

    @property
    def is_mapped(self) -> bool:
        return self.columns is not None


def reading_of(source: Source | None, time: TimeReading) -> Reading:
    """The reading keys of ``source``; ``time`` holds its time keys with the file's limits."""
    if source is None:
        return Reading("this file", None, {}, {}, {}, ".", None, ("",), time)
    _check_time_keys(source, time)
    return Reading(
        f"source {source.name}",
        source.columns or None,
        source.constants,
        source.units,
        source.values,
        source.decimal,
        source.thousands,
        source.null_values,
        time,
    )


_SPECIFIER = re.compile(r"%(-?[aAwudbhBmyYHIpMSgfnzjUWcxX]|%)")
"""Codes of datetime_format that DuckDB's strptime reads."""


def _check_time_keys(source: Source, time: TimeReading) -> None:
    shape = time.datetime_format
    if shape is None:
        return
    wrong = None
    if "%" in _SPECIFIER.sub("", shape) or "%" not in shape:
        wrong = "holds a code that is not known, or none"
        remedy = 'Write for example datetime_format = "%d-%b-%Y %H:%M".'
    elif "%z" in shape and time.zone not in ("utc", "offset"):
        wrong = "reads an offset from UTC (%z), which the other keys give no meaning"
        remedy = 'Set time_zone = "offset" where offsets stand on the times of a dose log.'
    elif "%z" not in shape and time.zone == "offset":
        wrong = 'reads no offset from UTC, where time_zone = "offset" says that one stands on every time'
        remedy = "Add %z where the offset stands."
    if wrong is not None:
        raise UnreadableFile(
            f"datetime_format = {shape!r} of source {source.name} {wrong}.", remedy=remedy, key="datetime_format"
        )


@dataclass
class RowPlan:
    """Everything that is computed from one row of a file, for one canonical table."""

    table: str
    null_values: tuple[str, ...] = ("",)
    """Cells that hold nothing; the carrier hands them over as NULL."""
    zone: str = "site"
    """What the source says of its times (``TimeReading.zone``)."""
    raw: list[tuple[str, str]] = field(default_factory=list)
    """Text as it stands: (alias ``r_<column>``, SQL over the file's columns)."""
    cells: list[Cell] = field(default_factory=list)
    constants: list[tuple[str, str]] = field(default_factory=list)
    """(canonical column, SQL literal) of what the protocol states for every row."""
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    header: tuple[str, ...] = ()
    """Names of the file's columns as they stand."""
    places: frozenset[int] = frozenset()
    """Positions of the file's columns that are read."""

    @property
    def columns(self) -> frozenset[str]:
        """Canonical columns the plan fills from cells or constants, before defaults."""
        return self.cell_names | {name for name, _ in self.constants}

    @property
    def cell_names(self) -> frozenset[str]:
        return frozenset(cell.name for cell in self.cells)

    def shown(self) -> list[tuple[str, str]]:
        """(canonical column, SQL over stored aliases) in the order of the plan."""
        return [pair for cell in self.cells for pair in cell.shown] + self.constants

    def all_checks(self) -> list[Check]:
        """Checks of the cells first: a text that is no time is a bad date, not a missing one."""
        return [check for cell in self.cells for check in (*cell.failures, *cell.checks)] + self.checks

    def require(self, name: str, words: str) -> None:
        """Reject rows whose cell for ``name`` is empty."""
        self.checks.append(Check(name, "missing_value", words, f"v_{name} IS NULL"))


def lacking(reading: Reading, header: Sequence[str], what: str, line: str) -> UnreadableFile:
    """The refusal of a file that lacks what every row needs; ``line`` is what to add to its [[source]]."""
    return UnreadableFile(
        f"Neither a column nor a constant gives {what}. Columns found: {', '.join(name for name in header if name)}.",
        remedy=f"Add to the [[source]] of {reading.label} in protocol.toml: {line}.",
        missing=what,
    )


def require_units(plan: RowPlan, unit_of: Mapping[str, str], reading: Reading, header: Sequence[str]) -> None:
    """Reject rows with an amount and no unit; raises ``UnreadableFile`` where the file has amounts and no units.

    ``unit_of``: column of an amount -> column of its unit.
    """
    given, cells = plan.columns, plan.cell_names
    for amount, unit in unit_of.items():
        if amount in given and unit not in given:
            line = f'constants.{unit} = "mg", or columns.{unit} = "..."'
            raise lacking(reading, header, f"{unit}, the unit of {amount}", line)
        if amount in cells and unit in cells:
            condition = f"v_{amount} IS NOT NULL AND v_{unit} IS NULL"
            plan.checks.append(Check(unit, "missing_value", f"an amount without {unit}", condition))


def plan_rows(
    table: Table,
    accepted: Sequence[str],
    reading: Reading,
    header: Sequence[str],
    sample: Sequence[Sequence[str]],
) -> RowPlan:
    """Plan the columns of ``table`` that the mapping or the header names.

    ``accepted``: canonical columns a file may fill. ``sample``: the first rows, which only help to find the shape
    of times.
    Raises ``UnreadableFile`` when a mapped column is absent, two columns have one name, or a constant, a value or a
    unit of the mapping is not valid.
    """
    _check_keys(reading, accepted)
    found = match_columns(reading, accepted, header)
    plan = RowPlan(table.name, reading.null_values, reading.time.zone, header=tuple(header))
    for name, index in found.items():
        label = header[index].strip()
        mapped = {} if _is_listed(table, name) else reading.values.get(name, {})
        plan.raw.append((f"r_{name}", _replaced(f"f{index}", mapped, reading.null_values)))
        values = [row[index] if index < len(row) else None for row in sample]
        plan.cells.append(_cell(table, name, label, reading, values))
    for name, text in reading.constants.items():
        plan.constants.append((name, _constant(table, name, text, reading)))
    plan.places = used = frozenset(found.values())
    unused = [header[index] for index in range(len(header)) if index not in used and header[index].strip()]
    if unused:
        plan.notes.append(f"columns that are not mapped and not read: {', '.join(unused)}")
    return plan


def match_columns(reading: Reading, names: Sequence[str], header: Sequence[str]) -> dict[str, int]:
    """Canonical column -> position in the file: the exact name, else the same name but for case and blanks."""
    check_header(header)
    exact = {name: index for index, name in enumerate(header) if name.strip()}
    alike: dict[str, list[int]] = {}
    for name, index in exact.items():
        alike.setdefault(_folded(name), []).append(index)
    wanted = reading.columns if reading.columns is not None else {name: name for name in names}
    found: dict[str, int] = {}
    for canonical, column in wanted.items():
        positions = [exact[column]] if column in exact else alike.get(_folded(column), [])
        if len(positions) > 1:
            same = ", ".join(repr(header[index]) for index in positions)
            raise UnreadableFile(
                f"The column {column!r} for {canonical} could be any of {same}.",
                remedy="Write the name in protocol.toml exactly as it stands in the file.",
                column=column,
            )
        if positions:
            found[canonical] = positions[0]
        elif reading.is_mapped:
            _missing_column(reading, canonical, column, header)
    return found


def check_header(header: Sequence[str]) -> None:
    """Raise ``UnreadableFile`` where two columns have one name; columns without a name are allowed, and not read."""
    named = [name.strip() for name in header if name.strip()]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise UnreadableFile(
            f"Two columns have the name {', '.join(map(repr, twice))}, so it is not clear which one is meant.",
            remedy="Rename or remove one of them where the file is exported.",
            columns=", ".join(twice),
        )


def _missing_column(reading: Reading, canonical: str, column: str, header: Sequence[str]) -> NoReturn:
    folded = {_folded(name): name for name in header}
    near = difflib.get_close_matches(_folded(column), folded, n=1, cutoff=0.5)
    hint = f" The nearest name is {folded[near[0]]!r}." if near else ""
    raise UnreadableFile(
        f"The column {column!r}, which {reading.label} maps to {canonical}, is not in the file. "
        f"Columns found: {', '.join(name for name in header if name.strip())}.{hint}",
        remedy="Correct [source.columns] in protocol.toml, or export the file with that column.",
        column=column,
        canonical=canonical,
        nearest=folded[near[0]] if near else None,
    )


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def _check_keys(reading: Reading, names: Sequence[str]) -> None:
    """Every canonical name a mapping uses must be one a file may fill, and only one of column and constant."""
    for key, used in (("columns", reading.columns or {}), ("constants", reading.constants), ("values", reading.values)):
        unknown = [name for name in used if name not in names]
        if unknown:
            near = difflib.get_close_matches(unknown[0], names, n=1)
            raise UnreadableFile(
                f"{reading.label} maps {key}.{unknown[0]}, which is no column this format fills."
                + (f" Did you mean {near[0]}?" if near else ""),
                remedy=f"Valid names: {', '.join(names)}.",
                key=f"{key}.{unknown[0]}",
            )
    both = [name for name in reading.constants if name in (reading.columns or {})]
    if both:
        raise UnreadableFile(
            f"{reading.label} gives {both[0]} both a column and a constant.",
            remedy=f"Remove {both[0]} from [source.columns] or from [source.constants] in protocol.toml.",
            key=f"constants.{both[0]}",
        )


def _replaced(cell: str, values: Mapping[str, str], null_values: Sequence[str]) -> str:
    if not values:
        return cell
    text = trimmed_sql(cell, null_values)
    arms = " ".join(f"WHEN {quote(key)} THEN {quote(value) if value else 'NULL'}" for key, value in values.items())
    return f"CASE {text} {arms} ELSE {text} END"


def _is_listed(table: Table, name: str) -> bool:
    return any(column.name == name and column.type in VOCABULARIES for column in table.columns)


def _is_unit(name: str) -> bool:
    return name.endswith("_unit") and name != "age_unit"


def _cell(table: Table, name: str, label: str, reading: Reading, values: Sequence[str | None]) -> Cell:
    kind, nulls = table.column(name).type, reading.null_values
    if kind in VOCABULARIES:
        words = VOCABULARIES[kind]
        spellings = {word: word for word in words} | _valid_values(reading, name, words)
        return list_cell(name, label, spellings, nulls, valid=", ".join(words))
    if _is_unit(name):
        valid = f"{COMMON}, and the spellings under [source.units] in protocol.toml"
        spellings = SPELLINGS | _valid_units(reading)
        return list_cell(name, label, spellings, nulls, reason="unknown_unit", valid=valid, any_case=False)
    if kind == "BOOLEAN":
        return list_cell(name, label, FLAGS, nulls, valid="Y, N, yes, no, true, false, 1, 0", result="BOOLEAN")
    if kind == AMOUNT or kind in WHOLE_NUMBERS:
        whole = kind in WHOLE_NUMBERS
        return amount_cell(name, label, nulls, decimal=reading.decimal, thousands=reading.thousands, whole=whole)
    if kind == "DOUBLE":
        return float_cell(name, label, nulls, decimal=reading.decimal, thousands=reading.thousands)
    time = replace(reading.time, latest=None) if name in MAY_LIE_AHEAD else reading.time
    if kind == "TIMESTAMP":
        return time_cell(name, label, time, find_shape(values, time.order), nulls)
    if kind == "DATE":
        return date_cell(name, label, time, nulls)
    if name in PARTIAL_DATES:
        return partial_date_cell(name, label, reading.time.order, nulls)
    return text_cell(name, nulls)


MAY_LIE_AHEAD = frozenset(
    {
        "scheduled_local", "planned_local", "planned_removal_local", "planned_off_local", "nominal_end_local",
        "low_reservoir_local", "valid_from_local", "valid_to_local", "assigned_from_date", "assigned_to_date",
    }
)  # fmt: skip
"""Times that are planned or foretold: after the export they are no mistake."""
WHOLE_NUMBERS = ("INTEGER", "SMALLINT", "BIGINT")
PARTIAL_DATES = frozenset({"start_text", "end_text", "reported_text"})
"""Text columns that hold dates as a form states them, possibly partial."""


def _valid_values(reading: Reading, name: str, words: Sequence[str]) -> dict[str, str]:
    mapped = dict(reading.values.get(name, {}))
    wrong = [value for value in mapped.values() if value not in words]
    if wrong:
        raise UnreadableFile(
            f"{reading.label} maps a value of {name} to {wrong[0]!r}, which is not in its list.",
            remedy=f"Valid for {name}: {', '.join(words)}.",
            key=f"values.{name}",
        )
    return mapped


def _valid_units(reading: Reading) -> dict[str, str]:
    mapped: dict[str, str] = {}
    for word, unit in reading.units.items():
        known = ucum_unit(unit)
        if known is None:
            raise UnreadableFile(
                f"{reading.label} maps the unit {word!r} to {unit!r}, which is no unit that is known.",
                remedy=f"Write a UCUM unit such as {COMMON}.",
                key=f"units.{word}",
            )
        mapped[word] = known
    return mapped


def _constant(table: Table, name: str, text: str, reading: Reading) -> str:
    kind = table.column(name).type
    valid: Iterable[str] = ()
    if kind in VOCABULARIES:
        valid = VOCABULARIES[kind]
        if text in valid:
            return quote(text)
    elif _is_unit(name):
        unit = _valid_units(reading).get(text) or ucum_unit(text)
        valid = (COMMON,)
        if unit is not None:
            return quote(unit)
    elif kind == AMOUNT:
        valid = ("a number of at most six decimals, with a point",)
        amount = constant_amount(text)
        if amount is not None:
            return amount
    elif kind == "BOOLEAN":
        valid = ("true", "false")
        if text in FLAGS:
            return FLAGS[text]
    elif kind == "VARCHAR" and text:
        return quote(text)
    else:
        valid = (f"{name} differs from row to row and needs a column",)
    raise UnreadableFile(
        f"{reading.label} gives {name} the constant {text!r}, which it cannot have.",
        remedy=f"Valid: {', '.join(valid)}.",
        key=f"constants.{name}",
    )
