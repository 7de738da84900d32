"""Which received rows are current: new, duplicate, superseded, no longer in their source, or quarantined.

A row's disposition depends on the set of files, never on the order they arrived in. Identity is the source's native
key, else the row's content and its occurrence number in its file; never a time window (two real boluses fall in one
minute). Only rows that share a 64-bit hash with another row are looked at exactly, so a large log without duplicates
costs one hash aggregation (0.9 s for 7 million rows) instead of a window over every row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.hub_copies import resolve_hub_copies
from store.python_rows import insert_rows

if TYPE_CHECKING:
    import duckdb

    from store.facts import SourceFact
    from store.received import ReceivedTable


def create_file_rank(con: duckdb.DuckDBPyConnection, facts: tuple[SourceFact, ...]) -> None:
    """Temporary table ``file_rank``: precedence of each file, and of the newest file of its data set."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE file_rank "
        "(source_id VARCHAR, prec INTEGER, dataset VARCHAR, is_snapshot BOOLEAN, newest_prec INTEGER, format VARCHAR)"
    )
    ordered = sorted(facts, key=lambda fact: fact.precedence)
    newest = {(fact.format, fact.dataset): rank for rank, fact in enumerate(ordered)}
    rows = [
        (fact.source_id, rank, fact.dataset, fact.mode == "snapshot", newest[fact.format, fact.dataset], fact.format)
        for rank, fact in enumerate(ordered)
    ]
    insert_rows(con, "file_rank", rows)


def resolve_table(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Create ``exc_<table>(source_id, line, part, disposition, replaced_by)``: every row that is not simply
    new and current.

    Dispositions: duplicate, superseded, no_longer_in_source, key_conflict (quarantined).
    """
    name = received.table.name
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE exc_{name} "
        "(source_id VARCHAR, line BIGINT, part SMALLINT, disposition VARCHAR, replaced_by VARCHAR)"
    )
    native_column = received.table.identity[-1] if received.table.identity else None
    has_native = native_column in received.columns if native_column else False
    content = ", ".join(f'"{column}"' for column in received.columns)
    present_identity = [column for column in received.table.identity if column in received.columns]
    identity = ", ".join(f'"{column}"' for column in present_identity)
    content_hash = f"hash({content})"
    row_hash = (
        f'CASE WHEN "{native_column}" IS NOT NULL THEN hash({identity}) ELSE {content_hash} END'
        if has_native
        else content_hash
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE dup_hash AS SELECT h FROM (SELECT {row_hash} AS h FROM {received.view}) "
        "GROUP BY h HAVING count(*) > 1"
    )
    if _count(con, "dup_hash"):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE dup_{name} AS "
            f"SELECT r.*, {content_hash} AS hc, f.prec, f.is_snapshot, f.newest_prec "
            f"FROM {received.view} r JOIN file_rank f USING (source_id) WHERE {row_hash} IN (SELECT h FROM dup_hash)"
        )
        if has_native:
            _resolve_native(con, name, identity, f'"{native_column}" IS NOT NULL')
        _resolve_content(con, name, content, f'"{native_column}" IS NULL' if has_native else "true")
        unshared = f"AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM dup_{name})"
    else:
        unshared = ""
    older_snapshots = con.execute("SELECT count(*) FROM file_rank WHERE is_snapshot AND prec < newest_prec").fetchone()
    if older_snapshots and older_snapshots[0]:
        con.execute(
            f"INSERT INTO exc_{name} SELECT source_id, line, part, 'no_longer_in_source', NULL "
            f"FROM {received.view} JOIN file_rank USING (source_id) WHERE is_snapshot AND prec < newest_prec {unshared}"
        )
    con.execute(f"DROP TABLE IF EXISTS dup_{name}")
    if name == "dose_event":
        resolve_hub_copies(con, received)


def _resolve_native(con: duckdb.DuckDBPyConnection, name: str, identity: str, condition: str) -> None:
    con.execute(
        f"INSERT INTO exc_{name} "
        f"SELECT source_id, line, part, 'key_conflict', NULL FROM dup_{name} WHERE {condition} "
        f"QUALIFY min(hc) OVER (PARTITION BY {identity}, source_id) "
        f"<> max(hc) OVER (PARTITION BY {identity}, source_id)"
    )
    con.execute(
        f"""
        INSERT INTO exc_{name}
        WITH versions AS (
            SELECT *,
                row_number() OVER (PARTITION BY {identity}, hc ORDER BY prec, source_id, line, part) AS rn,
                max(prec) OVER (PARTITION BY {identity}, hc) AS content_prec,
                max(prec) OVER (PARTITION BY {identity}) AS key_prec
            FROM dup_{name}
            WHERE {condition} AND (source_id, line, part) NOT IN (
                SELECT source_id, line, part FROM exc_{name} WHERE disposition = 'key_conflict')
        ), judged AS (
            SELECT source_id, line, part,
                CASE WHEN rn > 1 THEN 'duplicate'
                     WHEN content_prec < key_prec THEN 'superseded'
                     WHEN is_snapshot AND key_prec < newest_prec THEN 'no_longer_in_source' END AS disposition,
                first_value(concat_ws(':', source_id, line, part))
                    OVER (PARTITION BY {identity} ORDER BY content_prec DESC, rn) AS current_row
            FROM versions
        )
        SELECT source_id, line, part, disposition,
               CASE WHEN disposition IN ('duplicate', 'superseded') THEN current_row END
        FROM judged WHERE disposition IS NOT NULL
        """
    )


def _resolve_content(con: duckdb.DuckDBPyConnection, name: str, content: str, condition: str) -> None:
    con.execute(
        f"""
        INSERT INTO exc_{name}
        WITH occurrences AS (
            SELECT *, row_number() OVER (PARTITION BY {content}, source_id ORDER BY line, part) AS occurrence
            FROM dup_{name} WHERE {condition}
        ), versions AS (
            SELECT *,
                row_number() OVER (PARTITION BY {content}, occurrence ORDER BY prec, source_id) AS rn,
                first_value(concat_ws(':', source_id, line, part))
                    OVER (PARTITION BY {content}, occurrence ORDER BY prec, source_id) AS first_row,
                max(prec) OVER (PARTITION BY {content}, occurrence) AS key_prec
            FROM occurrences
        ), judged AS (
            SELECT source_id, line, part, first_row,
                CASE WHEN rn > 1 THEN 'duplicate'
                     WHEN is_snapshot AND key_prec < newest_prec THEN 'no_longer_in_source' END AS disposition
            FROM versions
        )
        SELECT source_id, line, part, disposition, CASE WHEN disposition = 'duplicate' THEN first_row END
        FROM judged WHERE disposition IS NOT NULL
        """
    )


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
