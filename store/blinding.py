"""The blinded half of a release pair: what a blinded trial's coordinators may see, made from the full release.

Columns say by declaration whether they may be shown (``store.schema.Column.blinding``); a withheld column is NULL
throughout, so that every query still runs. ``infer`` columns pass the inference test first: a value that two or more
subjects hold, all of one arm, gives the arm away without naming it. Results are those pooled over all arms, of at least
``SUPPRESS_UNDER`` subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.build import connect_build
from store.schema import Column, Table, create_table_sql, create_types, history_table, write_comments
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

SUPPRESS_UNDER = 5
"""Pooled statistics over fewer subjects are not shown to blinded users."""

POOLED_ANALYSES = ("enrolment", "compliance", "adverse_events", "accuracy")
"""Families of results a blinded release may hold; exposure is amounts throughout."""

ACCURACY_SHOWN = ("conforming_share", "assessable_share", "within_limits_share")
"""Accuracy statistics that say yes or no to limits; amounts, bias and percent errors stay unblinded."""


@dataclass(frozen=True)
class Withheld:
    """A column withheld by the inference test, for the unblinded role to know; ``values`` counts the telling values."""

    table: str
    column: str
    values: int


def write_blinded_file(full: Path, blinded: Path) -> list[Withheld]:
    """Write the blinded half of a release pair next to the full one; returns what the inference test withheld."""
    con = connect_build(blinded)
    try:
        con.execute(f"ATTACH '{str(full).replace(chr(39), chr(39) * 2)}' AS full_release (READ_ONLY)")
        withheld = write_blinded(con, "full_release")
        con.execute("DETACH full_release")
        con.execute("CHECKPOINT")
    finally:
        con.close()
    return withheld


def write_blinded(con: duckdb.DuckDBPyConnection, full: str) -> list[Withheld]:
    """Fill the connection's current (empty) database with the blinded copy of attached catalog ``full``.

    Returns the columns the inference test withheld.
    """
    create_types(con)
    con.execute("CREATE SCHEMA history")
    withheld: list[Withheld] = []
    for table in TABLES.values():
        con.execute(create_table_sql(table, constraints=False))
        columns = _shown(con, full, table, withheld)
        if not table.withheld:
            con.execute(f"INSERT INTO {table.name} SELECT {columns} FROM {full}.{table.name}{_row_filter(table)}")
        if table.origin == "received":
            twin = history_table(table)
            con.execute(create_table_sql(twin, constraints=False))
            if not table.withheld:
                con.execute(f"INSERT INTO {twin.name} SELECT {columns}, row_state, replaced_by FROM {full}.{twin.name}")
    write_comments(con)
    return withheld


def _shown(con: duckdb.DuckDBPyConnection, full: str, table: Table, withheld: list[Withheld]) -> str:
    parts = []
    for column in table.columns:
        hidden = column.blinding == "never"
        if column.blinding == "infer" and not table.withheld:
            telling = count_telling_values(con, full, table, column)
            if telling:
                withheld.append(Withheld(table.name, column.name, telling))
                hidden = True
        parts.append(f'NULL AS "{column.name}"' if hidden else f'"{column.name}"')
    return ", ".join(parts)


def count_telling_values(con: duckdb.DuckDBPyConnection, full: str, table: Table, column: Column) -> int:
    """How many values of the column are held by two or more subjects all of one arm (0: the column may be shown).

    A column without any link to subjects cannot be tested and counts as one telling value.
    """
    if "subject_id" in table.column_names:
        holders = f'SELECT "{column.name}" AS v, subject_id FROM {full}.{table.name}'
    elif "device_id" in table.column_names:
        holders = (
            f'SELECT t."{column.name}" AS v, a.subject_id FROM {full}.{table.name} t '
            f"JOIN {full}.device_assignment a USING (device_id)"
        )
    else:
        return 1
    row = con.execute(
        f"SELECT count(*) FROM (SELECT v FROM ({holders}) h JOIN {full}.subject s USING (subject_id) "
        "WHERE v IS NOT NULL AND s.arm_code IS NOT NULL GROUP BY v "
        "HAVING count(DISTINCT subject_id) >= 2 AND count(DISTINCT s.arm_code) = 1 "
        f"AND (SELECT count(DISTINCT arm_code) FROM {full}.subject) > 1)"
    ).fetchone()
    return int(row[0]) if row else 0


def _row_filter(table: Table) -> str:
    if table.name != "result":
        return ""
    analyses = ", ".join(f"'{name}'" for name in POOLED_ANALYSES)
    accuracy = ", ".join(f"'{name}'" for name in ACCURACY_SHOWN)
    return (
        " WHERE (arm IS NULL OR arm = 'ALL') AND comparator IS NULL AND period IS NULL "
        f"AND analysis IN ({analyses}) AND (analysis <> 'accuracy' OR statistic IN ({accuracy})) "
        "AND (\"by\" IS NULL OR \"by\" NOT IN ('arm', 'drug', 'lot', 'model', 'firmware')) "
        f"AND (subjects >= {SUPPRESS_UNDER} OR not_assessable IS NOT NULL)"
    )
