"""What a [[source]] says about the columns of a data capture system's file, table by table.

One file holds several canonical tables. A key of ``columns``, ``constants`` or ``values`` is a canonical column
(``sex``), with its table in front where more than one has it (``"visit.start_date"``); ``subject_id`` counts for all.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from importers.base import UnreadableFile
from importers.form_dates import EARLIEST_RECORD
from importers.mapping import Reading, match_columns, reading_of
from importers.times import TimeReading
from store.tables import TABLES

if TYPE_CHECKING:
    from store.protocol import Source

TABLE_NAMES = ("subject", "consent", "visit", "adverse_event", "device_assignment_recorded")
REQUIRED = {"adverse_event": ("event_seq", "term"), "device_assignment_recorded": ("device_id",)}
RECORD_KEY = "record_key"
"""Column every carrier provides: which event, form and repetition a record is; the default sequence of an event."""
JOIN = "; "


@dataclass(frozen=True)
class Carrier:
    """What the kind of file says about its columns."""

    structure: frozenset[str]
    """Columns that say where a record stands; alone they make no row."""
    decodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Column -> (code = label), for values that [source.values] does not map."""
    subject_column: str | None = None
    """Column of the subject where the source maps none."""
    event_columns: frozenset[str] = frozenset()
    """Columns of the structure that make a visit of a record (its date on the event itself)."""
    joined: frozenset[str] = frozenset()
    """Columns that hold several codes, with ``JOIN`` between them (checkboxes)."""


@dataclass(frozen=True)
class TableMap:
    """The part of a [[source]] that fills one canonical table."""

    table: str
    reading: Reading
    columns: Mapping[str, str]
    """Canonical column -> column in the file."""


def table_maps(source: Source, fields: Sequence[str], carrier: Carrier, time: TimeReading) -> list[TableMap]:
    """The tables a source fills, with file columns as the file writes them.

    ``fields``: columns of the file. Raises ``UnreadableFile`` for a key that is no canonical column or could be one of
    several tables, a mapped column that is not in the file, and a table without a column it needs.
    """
    reading = reading_of(source, time)
    columns = _by_table(source, "columns", source.columns)
    constants = _by_table(source, "constants", source.constants)
    values = _by_table(source, "values", source.values)
    if "subject_id" in source.constants:
        raise UnreadableFile(
            f"{reading.label} gives subject_id a constant, so all records would be one subject's.",
            remedy="Write the column that holds the subject under [source.columns] in protocol.toml.",
        )
    subject = columns["subject"].get("subject_id") or carrier.subject_column
    if subject is None:
        raise unmapped(source.name, source.format, fields, f"{reading.label} maps no column to subject_id")
    active = [name for name in TABLE_NAMES if set(columns[name]) - {"subject_id"}] or ["subject"]
    return [
        _table_map(name, reading, {"subject_id": subject} | columns[name], constants[name], values[name], fields)
        for name in active
    ]


def _table_map(
    name: str,
    reading: Reading,
    columns: dict[str, str],
    constants: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]],
    fields: Sequence[str],
) -> TableMap:
    if "event_seq" in REQUIRED.get(name, ()):
        columns.setdefault("event_seq", RECORD_KEY)
    missing = [column for column in REQUIRED.get(name, ()) if column not in columns]
    if missing:
        raise UnreadableFile(
            f"{reading.label} maps columns to {name}, but none to {missing[0]}, which every {name} needs.",
            remedy=f'Add to [source.columns] in protocol.toml: {missing[0]} = "...".',
            missing=missing[0],
        )
    wanted = reading_over(reading, columns, constants, {key: found for key, found in values.items() if key in columns})
    found = match_columns(wanted, TABLES[name].content, fields)
    return TableMap(name, wanted, {canonical: fields[index] for canonical, index in found.items()})


def reading_over(
    reading: Reading,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    values: Mapping[str, Mapping[str, str]],
) -> Reading:
    """The same reading with the columns, constants and values of one table."""
    return Reading(
        reading.label, dict(columns), constants, reading.units, values,
        reading.decimal, reading.thousands, reading.null_values, reading.time,
    )  # fmt: skip


def _by_table(source: Source, key: str, entries: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {name: {} for name in TABLE_NAMES}
    for name, entry in entries.items():
        for table, column in _meant(source, key, name):
            found[table][column] = entry
    return found


def _meant(source: Source, key: str, name: str) -> list[tuple[str, str]]:
    if name == "subject_id":
        return [(table, name) for table in TABLE_NAMES]
    table, dot, column = name.partition(".")
    tables = [table] if dot else list(TABLE_NAMES)
    column = column if dot else name
    holding = [one for one in tables if one in TABLE_NAMES and column in TABLES[one].content]
    if len(holding) == 1:
        return [(holding[0], column)]
    if holding:
        choices = " or ".join(f'"{one}.{column}"' for one in holding)
        raise UnreadableFile(
            f"source {source.name} maps {key}.{name}, a column of more than one table.",
            remedy=f"Write {choices} (with the quotes) in protocol.toml.",
            key=f"{key}.{name}",
        )
    known = [column for one in TABLE_NAMES for column in TABLES[one].content]
    near = difflib.get_close_matches(column, known, n=1)
    raise UnreadableFile(
        f"source {source.name} maps {key}.{name}, which is no column this format fills."
        + (f" Did you mean {near[0]}?" if near else ""),
        remedy=f"Tables: {', '.join(TABLE_NAMES)}; their columns stand in the data dictionary.",
        key=f"{key}.{name}",
    )


def unmapped(
    name: str | None, format: str, fields: Sequence[str], what: str, proposal: Mapping[str, str] | None = None
) -> UnreadableFile:
    """The error for a file whose meaning the protocol does not state, with the keys to add and the fields found."""
    lines = {"subject_id": "..."} | dict(proposal or {})
    keys = ", ".join(f"{json.dumps(key) if '.' in key else key} = {json.dumps(value)}" for key, value in lines.items())
    where = f"source {name}" if name else f"a [[source]] with the file's pattern and format = {json.dumps(format)}"
    return UnreadableFile(
        f"{what}, so nothing of the file was read. Fields found: {', '.join(one for one in fields if one)}.",
        remedy=f"Add to {where} in protocol.toml, under [source.columns]: {keys}; and what else is meant, such as "
        'sex, site_id, signed_date (consent), "visit.start_date", term (adverse event), '
        '"device_assignment_recorded.device_id".',
    )


def mapped_columns(maps: Iterable[TableMap]) -> frozenset[str]:
    """The columns of the file that may be read."""
    return frozenset(column for one in maps for column in one.columns.values())


def time_reading(source: Source, latest: dt.datetime | None) -> TimeReading:
    """The time keys of a source, with the limits of records on forms."""
    return TimeReading(source.date_order, source.datetime_format, source.time_zone, EARLIEST_RECORD, latest)
