"""Canonical tables as polars frames, out of a release and into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from store.schema import Table, column_type
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb
    import polars as pl


KeepFrame = Callable[[str, "pl.DataFrame"], None]
"""Takes (table, rows): one part of a derived table, parts in the table's order."""


class ReadFrame(Protocol):
    """Canonical tables by name, as polars frames."""

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The current rows of ``table`` in its sort order; ``columns`` limits what is read."""


def read_frames(con: duckdb.DuckDBPyConnection, prefix: str = "") -> ReadFrame:
    """Canonical tables of a connection as polars frames, in the table's sort order."""

    def frame(table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        declared = TABLES[table]
        names = ", ".join(f'"{name}"' for name in (columns or declared.column_names))
        rows: pl.DataFrame = con.sql(f"SELECT {names} FROM {prefix}{table}").pl()
        return rows

    return frame


@contextmanager
def keeping_frames(con: duckdb.DuckDBPyConnection) -> Iterator[KeepFrame]:
    """A ``keep`` that inserts beside the analysis: parts of a table in their order, one part of a table waiting at
    most. An insert that failed is raised by the next part of its table or when the block ends.

    Seven million planned doses and their matches take as long to store as to derive, so each table has a hand of its
    own.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        writing: dict[str, Future[None]] = {}

        def keep(name: str, rows: pl.DataFrame) -> None:
            if name in writing:
                writing[name].result()
            writing[name] = pool.submit(_insert_apart, con, TABLES[name], rows)

        yield keep
        for insert in writing.values():
            insert.result()


def _insert_apart(con: duckdb.DuckDBPyConnection, table: Table, frame: pl.DataFrame) -> None:
    with con.cursor() as own:
        insert_frame(own, table, frame)


def insert_frame(con: duckdb.DuckDBPyConnection, table: Table, frame: pl.DataFrame) -> None:
    """Insert a frame by column name with the declared types, in its own order, which must be the table's sort order.

    The connection must preserve insertion order. Sorting here would hold every wide row of a large table at once.
    """
    if frame.height == 0:
        return
    con.register("derived_rows", frame)
    try:
        present = set(frame.columns)
        columns = ", ".join(
            f'CAST("{column.name}" AS {column_type(column)})' if column.name in present else "NULL"
            for column in table.columns
        )
        con.execute(f"INSERT INTO {table.name} SELECT {columns} FROM derived_rows")
    finally:
        con.unregister("derived_rows")
