"""Rows made in Python, put into a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def insert_rows(con: duckdb.DuckDBPyConnection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows whose values stand in the order of the table's columns; no row changes nothing.

    One statement with a list for each column: `executemany` takes about 2 ms a row, which for the 22,000 findings of a
    large trial was half of an import. A column's values are brought to one type among themselves before the table's.

    Raises ``duckdb.ConversionException`` for a value the table cannot hold, and ``ValueError`` for rows of different
    lengths; nothing is stored then.
    """
    columns = [list(values) for values in zip(*rows, strict=True)]
    if columns:
        con.execute(f"INSERT INTO {table} SELECT {', '.join('unnest(?)' for _ in columns)}", columns)
