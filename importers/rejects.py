"""The rejected rows of a staged file: reason, field and value of the first fault, and the row as the file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.base import REJECTED_COLUMNS
from importers.cells import quote
from importers.personal_columns import hides_persons, without_persons
from importers.staging import StagedFile

if TYPE_CHECKING:
    import duckdb

RAW_LIMIT = 65_536
"""Bytes of a rejected row that are kept as raw text; the file itself is archived."""
_BATCH = 50_000


def create_rejected(staged: StagedFile, subject: str = "NULL", device: str = "NULL") -> str | None:
    """Create ``<prefix>_rejected`` with the columns of REJECTED_COLUMNS; returns its name, None where none is rejected.

    ``subject`` and ``device`` are SQL over stored aliases.
    """
    con, prefix, plan = staged.con, staged.prefix, staged.plan
    checks = plan.all_checks()
    if not staged.faults and not staged.count("problem IS NOT NULL"):
        return None
    listed = ", ".join(
        f"({number}, {quote(check.reason)}, {quote(check.field)}, {quote(check.message)})"
        for number, check in enumerate(checks, 1)
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE "{prefix}_found" AS
        SELECT {staged.line} AS line, {staged.last} AS last_line, CAST(c.reason AS VARCHAR) AS reason, c.field,
            left(r.bad_value, {RAW_LIMIT}) AS value, c.message,
            CAST({subject} AS VARCHAR) AS subject_id, CAST({device} AS VARCHAR) AS device_id
        FROM {staged.source} JOIN (VALUES {listed}) c(id, reason, field, message) ON c.id = r.problem
        WHERE r.problem IS NOT NULL
        """
    )
    _insert_faults(staged)
    _create_raw(staged)
    columns = {"table_name": quote(plan.table), "raw": "w.raw"}
    selected = ", ".join(f"{columns.get(name, f'f.{name}')} AS {name}" for name in REJECTED_COLUMNS)
    con.execute(
        f'CREATE OR REPLACE TEMP TABLE "{prefix}_rejected" AS SELECT {selected} FROM "{prefix}_found" f '
        f'LEFT JOIN "{prefix}_raw" w ON w.line = f.line ORDER BY f.line'
    )
    for name in ("found", "raw"):
        con.execute(f'DROP TABLE "{prefix}_{name}"')
    return f"{prefix}_rejected"


def _insert_faults(staged: StagedFile) -> None:
    if not staged.faults:
        return
    import polars as pl

    frame = pl.DataFrame(
        [(fault.line, fault.last, fault.reason, fault.message) for fault in staged.faults],
        schema={"line": pl.Int64, "last_line": pl.Int64, "reason": pl.String, "message": pl.String},
        orient="row",
    )
    staged.con.register("faulty_lines", frame)
    try:
        staged.con.execute(f'INSERT INTO "{staged.prefix}_found" (line, last_line, reason, message) FROM faulty_lines')
    finally:
        staged.con.unregister("faulty_lines")


def _create_raw(staged: StagedFile) -> None:
    """``<prefix>_raw(line, raw)``: the physical lines of every rejected row as they stand in the file; where columns
    nobody maps say who a person is, their mapped cells only.
    """
    con, table = staged.con, f"{staged.prefix}_raw"
    if staged.text is None:
        con.execute(
            f'CREATE OR REPLACE TEMP TABLE "{table}" AS '
            f"SELECT {staged.line} AS line, left(r.whole_row, {RAW_LIMIT}) AS raw "
            f"FROM {staged.source} WHERE r.problem IS NOT NULL"
        )
        return
    con.execute(f'CREATE OR REPLACE TEMP TABLE "{table}" (line BIGINT, raw VARCHAR)')
    used = staged.plan.places
    text = staged.text
    hidden = hides_persons(text.header, used)
    spans = con.sql(f'SELECT DISTINCT line, last_line FROM "{staged.prefix}_found" ORDER BY line').pl()
    batch: list[tuple[int, str]] = []
    for line, raw in text.fetch(spans.iter_rows()):
        if hidden:
            shown = without_persons(raw, text.delimiter, len(text.header), used)
            if shown is None:
                continue
            raw = shown
        batch.append((line, _raw_text(raw)))
        if len(batch) == _BATCH:
            _insert_raw(con, table, batch)
            batch = []
    if batch:
        _insert_raw(con, table, batch)


def _insert_raw(con: duckdb.DuckDBPyConnection, table: str, batch: list[tuple[int, str]]) -> None:
    import polars as pl

    con.register("raw_lines", pl.DataFrame(batch, schema={"line": pl.Int64, "raw": pl.String}, orient="row"))
    try:
        con.execute(f'INSERT INTO "{table}" FROM raw_lines')
    finally:
        con.unregister("raw_lines")


def _raw_text(raw: bytes) -> str:
    text = raw[:RAW_LIMIT].decode("utf-8", "backslashreplace")
    return text if len(raw) <= RAW_LIMIT else f"{text}... ({len(raw):,} bytes)"
