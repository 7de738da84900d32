"""Parquet as a carrier of the generic dose log: its columns as text, in the conventions of the [[source]].

Typed columns are written as the source says its text is written (decimal sign, order of dates), so that one mapping
serves both carriers. A row's line is its number in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import UnreadableFile
from importers.cells import null_sql, quote

if TYPE_CHECKING:
    import duckdb

    from importers.mapping import Reading

MAGIC = b"PAR1"
_DATES = {"YMD": "%Y-%m-%d", "DMY": "%d-%m-%Y", "MDY": "%m-%d-%Y"}
_FLOATS = ("DOUBLE", "FLOAT", "DECIMAL")


def is_parquet(head: bytes) -> bool:
    return head.startswith(MAGIC)


def open_parquet(
    con: duckdb.DuckDBPyConnection, path: Path, name: str, reading: Reading
) -> tuple[tuple[str, ...], str]:
    """Column names and a relation with the columns f0, f1, ... as text; raises ``UnreadableFile`` when damaged."""
    import duckdb

    file = f"read_parquet({quote(str(path))})"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
    except duckdb.Error as error:
        raise UnreadableFile(
            f"{name} cannot be read as Parquet: it is truncated or damaged.",
            remedy="Transfer or export it again.",
            cause=str(error),
        ) from error
    columns = [(str(row[0]), str(row[1])) for row in described]
    texts = ", ".join(
        f"{null_sql(_as_text(_quoted(column), kind, reading), reading.null_values)} AS f{index}"
        for index, (column, kind) in enumerate(columns)
    )
    return tuple(column for column, _ in columns), f"(SELECT {texts} FROM {file})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_text(column: str, kind: str, reading: Reading) -> str:
    day = _DATES[reading.time.order]
    moment = quote(reading.time.datetime_format or f"{day} %H:%M:%S.%f")
    if kind.startswith("TIMESTAMP WITH"):
        return f"strftime(timezone('UTC', {column}), {quote(f'{day} %H:%M:%S.%f')}) || '+00:00'"
    if kind.startswith("TIMESTAMP"):
        return f"strftime(CAST({column} AS TIMESTAMP), {moment})"
    if kind == "DATE":
        return f"strftime({column}, {quote(reading.time.datetime_format or day)})"
    if kind.startswith(_FLOATS) and reading.decimal != ".":
        return f"replace(CAST({column} AS VARCHAR), '.', {quote(reading.decimal)})"
    return f"CAST({column} AS VARCHAR)"
