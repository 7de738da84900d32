"""Canonical tables in memory, for tests: frames with the schema's columns and types, in the declared order."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from store.schema import Table
from store.tables import TABLES

POLARS_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BIGINT": pl.Int64(),
    "INTEGER": pl.Int32(),
    "SMALLINT": pl.Int16(),
    "DOUBLE": pl.Float64(),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
    "DECIMAL(18,6)": pl.Decimal(18, 6),
}


def polars_type(duckdb_type: str) -> pl.DataType:
    """The polars type of a declared column; vocabularies are text."""
    return POLARS_TYPES.get(duckdb_type, pl.String())


def canonical(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with every column of `table` (missing ones NULL), cast and sorted as declared."""
    columns = [
        (pl.col(column.name) if column.name in frame.columns else pl.lit(None, dtype=pl.String))
        .cast(polars_type(column.type), strict=True)
        .alias(column.name)
        for column in table.columns
    ]
    whole = frame.select(columns) if frame.width else pl.DataFrame(schema=empty(table).schema)
    return whole.sort(list(table.sort), nulls_last=True) if table.sort else whole


def empty(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema={column.name: polars_type(column.type) for column in table.columns})


class CanonicalFrames:
    """A study in memory, as analyses see one: tables that were not given are empty."""

    def __init__(self, **tables: pl.DataFrame) -> None:
        self.tables = {name: canonical(TABLES[name], frame) for name, frame in tables.items()}

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        frame = self.tables.get(table)
        if frame is None:
            frame = empty(TABLES[table])
        return frame if columns is None else frame.select(columns)

    def with_tables(self, **tables: pl.DataFrame) -> CanonicalFrames:
        new = CanonicalFrames(**tables)
        new.tables = {**self.tables, **new.tables}
        return new

    def shuffled(self, seed: int) -> CanonicalFrames:
        """The same rows in a random order: what the declared order protects against."""
        new = CanonicalFrames()
        new.tables = {
            name: frame.sample(fraction=1.0, shuffle=True, seed=seed + position)
            for position, (name, frame) in enumerate(self.tables.items())
        }
        return new
