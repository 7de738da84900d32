"""The logical digest of a release: equal digests mean equal tables, whatever the file's bytes or build time.

Per table, in stored (= declared sort) order: SHA-256 of each column's values, folded with its name and the number of
rows; then SHA-256 over the tables. Whole columns are hashed in their binary form, because a text of every row costs six
seconds for seven million doses and this one. ``build_info``, ``ledger`` and the program's version are left out: they
say when, by whom and with what, not what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.schema import Column, Table, history_table
from store.tables import TABLES
from store.vocabulary import VOCABULARIES

if TYPE_CHECKING:
    import duckdb

NOT_LOGICAL = frozenset({"build_info", "ledger", "query", "safety_report"})

NOT_LOGICAL_COLUMNS = frozenset({("source_file", "importer_version")})
"""Otherwise a newer program could not put back a release whose tables it makes just the same."""

SMALL_TABLE = 100_000
"""Rows up to which a table is fetched in one query."""

ROUNDED = 12
"""Significant digits of a double that count."""


def compute_table_digest(
    con: duckdb.DuckDBPyConnection, table: Table, *, relation: str, rows: int | None = None
) -> str:
    """``<rows>:<hash>`` of a relation that has the table's columns, in its stored order.

    A column that is NULL throughout does not count, so a release made before the column existed has the same digest.
    ``rows``: how many it has, where that is known.
    """
    if rows is None:
        ((rows,),) = con.execute(f"SELECT count(*) FROM {relation}").fetchall()
    if rows == 0:
        return "0:"
    con.execute("SET preserve_insertion_order = true")
    if rows <= SMALL_TABLE:
        hashes = _hash_columns(con, table.columns, relation)
    else:
        # A large table does not fit into memory at once; two columns at a time use both cores, for hashing is done
        # outside the interpreter.
        counts = ", ".join(f'count("{name}")' for name in table.column_names)
        (filled,) = con.execute(f"SELECT {counts} FROM {relation}").fetchall()
        columns = [column for column, count in zip(table.columns, filled, strict=True) if count]
        with ThreadPoolExecutor(2) as pool:
            parts = pool.map(lambda column: _hash_columns(con.cursor(), [column], relation), columns)
            hashes = [value for part in parts for value in part]
    folded = hashlib.sha256(str(rows).encode())
    for name, value in hashes:
        folded.update(f"\x1f{name}\x1f{value}".encode())
    return f"{rows}:{folded.hexdigest()}"


def _hash_columns(con: duckdb.DuckDBPyConnection, columns: Sequence[Column], relation: str) -> list[tuple[str, str]]:
    """Name and hash of each of the columns that has a value."""
    selected = ", ".join(_binary(column.name, column.type) for column in columns)
    values = con.sql(f"SELECT {selected} FROM {relation}").to_arrow_table()
    found = [(column.name, values.column(place)) for place, column in enumerate(columns)]
    return [(name, hash_values(column)) for name, column in found if column.null_count < len(column)]


def _binary(name: str, kind: str) -> str:
    if kind == "DOUBLE":
        return f"printf('%.{ROUNDED}g', \"{name}\")"
    if kind in VOCABULARIES:
        # The place in the vocabulary, a tenth of the bytes of its word; vocabularies grow only at their end.
        return f'CAST(enum_code("{name}") AS UTINYINT)'
    return f'"{name}"'


def hash_values(values: Any) -> str:
    """SHA-256 of an Arrow column: one byte for every row that says whether it is NULL (if any is), then its values.

    Text counts as 64-bit end positions and UTF-8 bytes, numbers and times as their fixed-width binary values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    if pa.types.is_string(values.type):
        values = values.cast(pa.large_string())
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    text = pa.types.is_large_string(values.type)
    if values.null_count:
        digest.update(_fixed_width(pa.concat_arrays(pc.is_null(values).cast(pa.uint8()).chunks)))
        values = values.drop_null()
    array = pa.concat_arrays(values.chunks)
    if text:
        ends = memoryview(array.buffers()[1]).cast("q")[array.offset : array.offset + len(array) + 1]
        if ends[0]:
            raise ValueError("text of a concatenated column does not start at zero")
        digest.update(ends)
        digest.update(memoryview(array.buffers()[2])[: ends[-1]])
    else:
        digest.update(_fixed_width(array))
    return digest.hexdigest()


def _fixed_width(array: Any) -> memoryview:
    """The bytes of the values and nothing else: buffers may be padded or shared."""
    width = array.type.bit_width // 8
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]


def digest_release_file(path: Path) -> tuple[str, dict[str, str]]:
    """Digest of a release file on disk, opened read-only beside whoever else reads it."""
    import duckdb

    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    try:
        quoted = str(path).replace("'", "''")
        con.execute(f"ATTACH '{quoted}' AS release (READ_ONLY)")
        return compute_release_digest(con, "release")
    finally:
        con.close()


def compute_release_digest(con: duckdb.DuckDBPyConnection, catalog: str) -> tuple[str, dict[str, str]]:
    """SHA-256 over all logical tables of an attached release, and each table's own digest.

    Columns a release does not hold are left out, so that a release of an older schema can still be checked.
    """
    listed = con.execute(
        "SELECT schema_name || '.' || table_name, list(column_name) FROM duckdb_columns() "
        "WHERE database_name = ? GROUP BY ALL",
        [catalog],
    ).fetchall()
    stored = {name: set(columns) for name, columns in listed}
    present: list[tuple[str, Table, str]] = []
    for table in TABLES.values():
        if table.name in NOT_LOGICAL:
            continue
        twins = [(f"main.{table.name}", table.name, table)]
        if table.origin == "received":
            twins.append((f"history.{table.name}", f"history.{table.name}", history_table(table)))
        for qualified, label, declared in twins:
            if qualified in stored:
                columns = tuple(
                    column
                    for column in declared.columns
                    if column.name in stored[qualified] and (label, column.name) not in NOT_LOGICAL_COLUMNS
                )
                present.append((label, replace(declared, columns=columns), f'"{catalog}".{qualified}'))
    # Two thirds of the tables of a study are empty, and a question for each of them took a quarter of a small digest.
    counted = " UNION ALL ".join(f"SELECT {place}, count(*) FROM {name}" for place, (_, _, name) in enumerate(present))
    counts = dict(con.execute(counted).fetchall())
    tables = {
        label: compute_table_digest(con, table, relation=relation, rows=counts[place])
        for place, (label, table, relation) in enumerate(present)
    }
    text = "\n".join(f"{name} {digest}" for name, digest in tables.items())
    return hashlib.sha256(text.encode()).hexdigest(), tables
