"""The logical digest of a release: equal digests mean equal tables, whatever the file's bytes or build time.

Per table: the number of rows and the 128-bit sum of the MD5 of every row's text form, then SHA-256 over those
lines in table order. A sum needs no sort, so a 7-million-row table costs one scan instead of an ordered export. MD5
is no protection here against an adversary: alteration is found by the SHA-256 of the release file in the ledger.
``build_info`` and ``ledger`` are left out: they say when and by whom, not what.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from store.schema import Table, history_table
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

NOT_LOGICAL = frozenset({"build_info", "ledger"})


def compute_table_digest(con: duckdb.DuckDBPyConnection, table: Table, *, relation: str) -> str:
    """``<rows>:<sum of the two MD5 halves>`` of a relation that has the table's columns.

    Text form of a row: for each column that is not NULL throughout, ``name=value`` joined by U+001F; NULL is U+0000.
    Decimals, dates and timestamps are DuckDB's own text form, doubles are rounded to 12 significant digits.
    """
    if con.execute(f"SELECT 1 FROM {relation} LIMIT 1").fetchone() is None:
        return "0:0:0"
    counts = ", ".join(f'count("{name}")' for name in table.column_names)
    row = con.execute(f"SELECT count(*), {counts} FROM {relation}").fetchone()
    assert row is not None
    filled = [column for column, count in zip(table.columns, row[1:], strict=True) if count]
    texts = ", ".join(f"'{column.name}=' || coalesce({_text(column.name, column.type)}, chr(0))" for column in filled)
    sums = con.execute(
        "SELECT sum(md5_number_lower(t)), sum(md5_number_upper(t)) "
        f"FROM (SELECT concat_ws(chr(31), {texts}) AS t FROM {relation})"
    ).fetchone()
    assert sums is not None
    return f"{row[0]}:{int(sums[0])}:{int(sums[1])}"


def _text(name: str, kind: str) -> str:
    if kind == "DOUBLE":
        return f"printf('%.12g', \"{name}\")"
    return f'CAST("{name}" AS VARCHAR)'


def compute_release_digest(con: duckdb.DuckDBPyConnection, catalog: str) -> tuple[str, dict[str, str]]:
    """SHA-256 over all logical tables of an attached release, and each table's own digest.

    Columns a release does not hold are left out, so that a release of an older schema can still be checked.
    """
    stored: dict[str, set[str]] = {}
    for schema, name, column in con.execute(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = ?", [catalog]
    ).fetchall():
        stored.setdefault(f"{schema}.{name}", set()).add(column)
    tables: dict[str, str] = {}
    for table in TABLES.values():
        if table.name in NOT_LOGICAL:
            continue
        twins = [(f"main.{table.name}", table.name, table)]
        if table.origin == "received":
            twins.append((f"history.{table.name}", f"history.{table.name}", history_table(table)))
        for qualified, label, declared in twins:
            if qualified in stored:
                columns = tuple(column for column in declared.columns if column.name in stored[qualified])
                present = replace(declared, columns=columns)
                tables[label] = compute_table_digest(con, present, relation=f'"{catalog}".{qualified}')
    text = "\n".join(f"{name} {digest}" for name, digest in tables.items())
    return hashlib.sha256(text.encode()).hexdigest(), tables
