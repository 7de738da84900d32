"""The inference test of a blinded release: which values give an arm away without naming it.

A value that two or more subjects hold, all of one arm (planned or actual), is a leak: who knows one of them knows the
others. Superseded versions of a row count too, because a blinded release shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.schema import Table, history_table

if TYPE_CHECKING:
    import duckdb

SHOWN_PROPERTIES = ("DEVTYPE", "TYPE", "CLASS", "SERIAL", "MANUF", "MANUFACTURER")
"""Properties of a device that a blinded release may hold; never a lot, a UDI, a model or a firmware version."""

SHOWN_DOMAINS = ("DM", "AE", "CE", "DS", "DV", "MH", "SV")
"""Domains whose supplemental qualifiers a blinded release may hold: none that records treatment or devices."""

ROWS_SHOWN = {
    "device_property": f"upper(property) IN {SHOWN_PROPERTIES}",
    "supplemental": f"upper(domain) IN {SHOWN_DOMAINS}",
}
"""Condition on the rows of a table that a blinded release may hold."""

IDENTICAL = frozenset({("device", "model"), ("device", "firmware"), ("dose_event", "firmware")})
"""Columns shown only where every row has the same value."""


class Inference:
    """Tests values of the full release attached as ``full`` against the arms of their subjects.

    Makes temporary table ``arm_of`` in the connection. A trial with one arm has nothing to give away.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, full: str) -> None:
        self._con = con
        self._full = full
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE arm_of AS
            WITH known AS (
                SELECT 'planned' AS kind, subject_id, arm_code AS arm FROM {full}.subject
                UNION ALL SELECT 'actual', subject_id, actual_arm_code FROM {full}.subject
            )
            SELECT * FROM known WHERE arm IS NOT NULL QUALIFY count(DISTINCT arm) OVER (PARTITION BY kind) > 1
            """
        )

    def count_telling(self, table: Table, column: str) -> int:
        """How many values of the column are leaks (0: it may be shown).

        A column without any link to subjects cannot be tested and counts as one leak.
        """
        holders = self._holders(table, column)
        if not holders:
            return 1
        if (table.name, column) in IDENTICAL:
            different = self._number(f"SELECT count(DISTINCT v) FROM ({holders})")
            if different > 1:
                return different
        return self._count(holders)

    def count_telling_assessability(self) -> int:
        """Leaks by whether a subject's doses could be judged at all, whatever the judgement."""
        return self._count(
            "SELECT bool_or(within_limits IS NOT NULL) AS v, subject_id "
            f"FROM {self._full}.dose_match WHERE status IN ('taken', 'late', 'extra') GROUP BY subject_id"
        )

    def _holders(self, table: Table, column: str) -> str:
        """Query of (v, subject_id); empty for a table that knows neither subject nor device."""
        shown = ROWS_SHOWN.get(table.name, "true")
        relations = [f"{self._full}.{table.name}"]
        if table.origin == "received":
            relations.append(f"{self._full}.{history_table(table).name}")
        parts = []
        for relation in relations:
            by_subject = "subject_id" in table.column_names
            if by_subject:
                parts.append(
                    f'SELECT "{column}" AS v, subject_id FROM {relation} WHERE subject_id IS NOT NULL AND {shown}'
                )
            if "device_id" in table.column_names:
                without = "AND t.subject_id IS NULL" if by_subject else ""
                parts.append(
                    f'SELECT t."{column}" AS v, a.subject_id FROM {relation} t '
                    f"JOIN {self._full}.device_assignment a ON a.device_id = t.device_id WHERE {shown} {without}"
                )
        return " UNION ALL ".join(parts)

    def _count(self, holders: str) -> int:
        return self._number(
            "SELECT count(DISTINCT v) FROM (SELECT v FROM (SELECT DISTINCT v, subject_id FROM "
            f"({holders}) WHERE v IS NOT NULL) JOIN arm_of USING (subject_id) "
            "GROUP BY kind, v HAVING count(*) >= 2 AND count(DISTINCT arm) = 1)"
        )

    def _number(self, query: str) -> int:
        row = self._con.execute(query).fetchone()
        return int(row[0]) if row else 0
