"""Records of data capture systems (REDCap, CDISC ODM, Castor) -> canonical rows, by the ``columns`` of one [[source]].

A column is read only if it is mapped: names, birth dates and addresses beside it stay in the archived file.

A record gives a row of a table when a column mapped to that table holds something. All records of a subject make one
subject row, records of one event that do not contradict each other make one visit; a record that only adds to such a
row is counted in the notes. A record that fails for one table is rejected for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from importers.base import REJECTED_COLUMNS, ReadContext, SourceFile
from importers.doubts import refuse_doubtful
from importers.edc_mapping import JOIN, REQUIRED, Carrier, TableMap, reading_over
from importers.mapping import plan_rows
from importers.rejects import create_rejected
from importers.staging import stage_relation
from store.tables import TABLES

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class EdcRecord:
    """One record of a file: ``line`` is unique in it, ``cells`` hold the mapped columns that are not blank."""

    line: int
    cells: Mapping[str, str]
    event: str | None = None
    """Records of a subject with the same event are one visit; None: the record stands alone."""
    parent: int | None = None
    """Line of the record around it, whose cells it shares (a form around its repeated groups)."""


@dataclass(frozen=True)
class Mapped:
    """Canonical rows of one file, its rejected rows, and how many of its records stand in either."""

    tables: dict[str, pl.DataFrame]
    rejected: pl.DataFrame | None
    rows_read: int
    notes: list[str]


def map_records(
    file: SourceFile,
    context: ReadContext,
    maps: Sequence[TableMap],
    carrier: Carrier,
    records: Sequence[EdcRecord],
    faults: Sequence[tuple[int, str, str]] = (),
) -> Mapped:
    """Canonical rows of the records; ``faults``: (line, reason, message) of records that could not be split.

    Raises ``UnreadableFile`` where most dates do not fit the order the source states.
    """
    import polars as pl

    cells = {record.line: record.cells for record in records}
    rejected: dict[str, list[Any]] = {name: [] for name in REJECTED_COLUMNS}
    subject_column = maps[0].columns["subject_id"]

    def reject(line: int, table: str, reason: str, name: str | None, value: str | None, message: str) -> None:
        own = cells.get(line, {})
        raw = json.dumps(dict(own), ensure_ascii=False) if own else None
        row = (line, table, reason, name, value, message, own.get(subject_column), None, raw)
        for column, cell in zip(REJECTED_COLUMNS, row, strict=True):
            rejected[column].append(cell)

    for line, reason, message in faults:
        reject(line, maps[0].table, reason, None, None, message)
    accepted: dict[str, pl.DataFrame] = {}
    for one in maps:
        rows = list(_rows(one, carrier, records))
        accepted[one.table], problems = _typed(file, context, one, rows)
        for line, reason, name, value, message in problems:
            reject(line, one.table, reason, name, value, message)
    notes: list[str] = []
    if "subject" in accepted:
        rows_in = accepted["subject"].filter(~pl.col("line").is_in(rejected["line"]))
        accepted["subject"], conflicts = _merged(rows_in, [("subject_id",)] * rows_in.height, separate=False)
        for line, name, message in conflicts:
            reject(line, "subject", "key_conflict", name, None, message)
    tables = {name: rows.filter(~pl.col("line").is_in(rejected["line"])) for name, rows in accepted.items()}
    if "visit" in tables:
        events = {record.line: record.event for record in records}
        rows_in = tables["visit"]
        keys = [("subject_id", events[line] or line) for line in rows_in.get_column("line")]
        tables["visit"], _ = _merged(rows_in, keys, separate=True)
    tables = {name: rows for name, rows in tables.items() if rows.height}
    lines = {line for rows in tables.values() for line in rows.get_column("line")} | set(rejected["line"])
    added = len(records) + len(faults) - len(lines)
    if added:
        notes.append(
            f"{added:,} of {len(records) + len(faults):,} records add to another row or hold nothing that is mapped"
        )
    if not records and not faults:
        notes.append("the file holds no records")
    schema = {name: pl.Int64 if name == "line" else pl.String for name in REJECTED_COLUMNS}
    frame = pl.DataFrame(rejected, schema=schema).sort("line", maintain_order=True) if rejected["line"] else None
    return Mapped(tables, frame, len(lines), notes)


def _rows(one: TableMap, carrier: Carrier, records: Sequence[EdcRecord]) -> Iterator[tuple[int, list[str | None]]]:
    """(line, text per canonical column) of every record that gives a row of the table."""
    makes_none = carrier.structure - (carrier.event_columns if one.table == "visit" else frozenset())
    own = [column for column in one.columns.values() if column not in makes_none]
    own = [column for column in own if column != one.columns["subject_id"]]
    holding = [record for record in records if one.table == "subject" or any(map(record.cells.get, own))]
    around = {record.parent for record in holding if record.parent is not None and one.table != "subject"}
    cells = {record.line: record.cells for record in records}
    for record in holding:
        if record.line in around:
            continue
        shared = cells[record.parent] if record.parent is not None else {}
        whole = {**shared, **record.cells}
        yield record.line, [_text(one, carrier, canonical, whole) for canonical in one.columns]


def _text(one: TableMap, carrier: Carrier, canonical: str, cells: Mapping[str, str]) -> str | None:
    column = one.columns[canonical]
    text = cells.get(column, "").strip()
    if not text or text in one.reading.null_values:
        return None
    values, decodes = one.reading.values.get(canonical, {}), carrier.decodes.get(column, {})
    if column in carrier.joined and JOIN in text:
        return JOIN.join(values.get(code) or decodes.get(code, code) for code in text.split(JOIN))
    coded = column in carrier.structure and canonical in ("arm_code", "actual_arm_code")
    return text if coded or text in values else decodes.get(text, text)


Problem = tuple[int, str, str | None, str | None, str]


def _typed(
    file: SourceFile, context: ReadContext, one: TableMap, rows: list[tuple[int, list[str | None]]]
) -> tuple[pl.DataFrame, list[Problem]]:
    import polars as pl

    con, prefix = context.con, f"stage_{file.source_id}_{one.table}"
    labels = _labels(one)
    reading = reading_over(
        one.reading, dict(zip(one.columns, labels, strict=True)), one.reading.constants, one.reading.values
    )
    plan = plan_rows(TABLES[one.table], TABLES[one.table].content, reading, labels, ())
    plan.require("subject_id", "the subject is missing")
    for name in REQUIRED.get(one.table, ()):
        plan.require(name, f"{one.columns[name]}: missing; every {one.table} needs it")
    names = ["__line", "__last", *(f"f{index}" for index in range(len(labels)))]
    schema = {name: pl.Int64 if name.startswith("__") else pl.String for name in names}
    frame = pl.DataFrame([(line, line, *texts) for line, texts in rows], schema=schema, orient="row")
    con.register("edc_rows", frame)
    try:
        staged = stage_relation(con, prefix, "edc_rows", plan, len(labels), numbered=True)
        try:
            refuse_doubtful(staged, one.reading, file.name, ("age",))
            staged.create_view(f"{prefix}_rows", plan.shown())
            typed = con.sql(f'SELECT * FROM "{prefix}_rows" ORDER BY line').pl()
            con.execute(f'DROP VIEW "{prefix}_rows"')
            table = create_rejected(staged)
            found = con.sql(f'SELECT line, reason, field, value, message FROM "{table}"').fetchall() if table else []
        finally:
            staged.drop()
    finally:
        con.unregister("edc_rows")
    problems: list[Problem] = list(found)
    if "visit_number" in typed.columns:
        number = pl.col("visit_number").cast(pl.Float64, strict=False)
        bad = typed.filter(pl.col("visit_number").is_not_null() & number.is_null())
        for line, value in bad.select("line", "visit_number").iter_rows():
            problems.append((line, "bad_number", "visit_number", value, f"{one.columns['visit_number']}: no number"))
        typed = typed.join(bad.select("line"), on="line", how="anti").with_columns(visit_number=number)
    return typed, problems


def _labels(one: TableMap) -> list[str]:
    """Names for messages: the file's column, told apart where one column fills two."""
    columns = list(one.columns.values())
    return [name if columns.count(name) == 1 else f"{name} ({key})" for key, name in one.columns.items()]


def _merged(
    rows: pl.DataFrame, keys: Sequence[tuple[Any, ...]], *, separate: bool
) -> tuple[pl.DataFrame, list[tuple[int, str, str]]]:
    """Rows of one subject (and one key) laid over each other, the first line's number kept.

    Rows that state different values of a column: ``separate`` keeps them apart, else the later one is a conflict
    (line, column, message).
    """
    import polars as pl

    gathered: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    conflicts: list[tuple[int, str, str]] = []
    for row, key in zip(rows.iter_rows(named=True), keys, strict=True):
        found = gathered.setdefault((row["subject_id"], *key[1:]), [])
        differing = None
        for known in found:
            differing = next(
                (
                    name
                    for name in row
                    if name != "line" and None not in (row[name], known[name]) and row[name] != known[name]
                ),
                None,
            )
            if differing is None:
                known.update({name: value for name, value in row.items() if known[name] is None})
                break
        else:
            if not found or separate:
                found.append(dict(row))
            elif differing is not None:
                line = found[0]["line"]
                conflicts.append(
                    (row["line"], differing, f"{differing} differs from that of the same subject in line {line}")
                )
    merged = [row for group in gathered.values() for row in group]
    return pl.DataFrame(merged, schema=rows.schema, orient="row").sort("line"), conflicts
