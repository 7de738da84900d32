"""Accounting for every row of every file: read = new + duplicate + superseded + quarantined."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.python_rows import insert_rows

if TYPE_CHECKING:
    import duckdb

    from store.received import Received


@dataclass(frozen=True)
class FileCounts:
    """What became of one file's rows: read = new + duplicate + superseded + quarantined."""

    read: int
    new: int
    duplicate: int
    superseded: int
    quarantined: int
    first_event: dt.datetime | None
    last_event: dt.datetime | None


EVENT_TIME = {
    "dose_event": "start_local",
    "planned_dose_recorded": "planned_at",
    "exposure": "start_date",
    "adverse_event": "start_text",
    "visit": "start_date",
    "disposition": "disposition_date",
    "subject": "reference_start",
    "subject_element": "start_date",
    "device_event": "start_local",
    "observation": "observed_at",
    "finding_about": "finding_date",
}
"""Column that says when a row's event happened, for first and last event of a file."""


def count_rows(con: duckdb.DuckDBPyConnection, received: Received) -> dict[str, FileCounts]:
    """Account for every row of every file.

    A row that feeds several canonical rows counts once: quarantined beats new beats superseded beats duplicate.
    Raises ``ValueError`` where an importer lost a row: its rows and rejections are fewer than it says to have read.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE line_fate (source_id VARCHAR, fate VARCHAR, n BIGINT)")
    con.execute(
        "INSERT INTO line_fate SELECT source_id, 'quarantined', count(DISTINCT line) FROM recv_rejected GROUP BY ALL"
    )
    shared = _create_shared_file(con, received)
    con.execute("CREATE OR REPLACE TEMP TABLE shared_line (source_id VARCHAR, line BIGINT, fate INTEGER)")
    for name, table in received.tables.items():
        fate = (
            "CASE WHEN e.disposition IN ('superseded', 'no_longer_in_source') THEN 'superseded' "
            "WHEN e.disposition = 'duplicate' THEN 'duplicate' ELSE 'quarantined' END"
        )
        con.execute(
            f"INSERT INTO line_fate SELECT source_id, {fate}, count(*) FROM exc_{name} e "
            "WHERE source_id NOT IN (FROM shared_file) GROUP BY ALL"
        )
        if shared:
            rank = (
                "CASE WHEN e.disposition IS NULL THEN 3 "
                "WHEN e.disposition IN ('superseded', 'no_longer_in_source') THEN 2 "
                "WHEN e.disposition = 'duplicate' THEN 1 ELSE 4 END"
            )
            con.execute(
                f"INSERT INTO shared_line SELECT r.source_id, r.line, {rank} FROM {table.view} r "
                f"LEFT JOIN exc_{name} e USING (source_id, line, part) WHERE r.source_id IN (FROM shared_file)"
            )
    con.execute(
        "INSERT INTO line_fate SELECT source_id, CASE max_fate WHEN 4 THEN 'quarantined' WHEN 3 THEN 'new' "
        "WHEN 2 THEN 'superseded' ELSE 'duplicate' END, count(*) FROM "
        "(SELECT source_id, line, max(fate) AS max_fate FROM shared_line GROUP BY ALL) GROUP BY ALL"
    )
    fates: dict[str, dict[str, int]] = {}
    for source_id, fate, n in con.execute("SELECT source_id, fate, sum(n) FROM line_fate GROUP BY ALL").fetchall():
        fates.setdefault(source_id, {})[fate] = int(n)
    spans = _event_spans(con, received)
    counts: dict[str, FileCounts] = {}
    for source_id, read in received.rows_read.items():
        fate_of = fates.get(source_id, {})
        others = sum(fate_of.get(name, 0) for name in ("duplicate", "superseded", "quarantined"))
        first, last = spans.get(source_id, (None, None))
        counts[source_id] = FileCounts(
            read=read,
            new=read - others,
            duplicate=fate_of.get("duplicate", 0),
            superseded=fate_of.get("superseded", 0),
            quarantined=fate_of.get("quarantined", 0),
            first_event=first,
            last_event=last,
        )
    return counts


def _create_shared_file(con: duckdb.DuckDBPyConnection, received: Received) -> bool:
    """Create ``shared_file``: the files of which some line feeds more than one row; returns whether there is any."""
    con.execute("CREATE OR REPLACE TEMP TABLE shared_file (source_id VARCHAR)")
    found = {source_id: int(n) for source_id, n in con.execute("SELECT source_id, n FROM line_fate").fetchall()}
    for table in received.tables.values():
        for source_id, n in con.execute(f"SELECT source_id, count(*) FROM {table.view} GROUP BY ALL").fetchall():
            found[source_id] = found.get(source_id, 0) + int(n)
    for source_id, read in received.rows_read.items():
        if found.get(source_id, 0) < read:
            raise ValueError(f"source {source_id}: {read} rows were read and {found.get(source_id, 0)} arrived")
    shared = [source_id for source_id, n in found.items() if n > received.rows_read[source_id]]
    insert_rows(con, "shared_file", [(source_id,) for source_id in shared])
    return bool(shared)


def _event_spans(con: duckdb.DuckDBPyConnection, received: Received) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    spans: dict[str, tuple[dt.datetime, dt.datetime]] = {}
    for name, column in EVENT_TIME.items():
        table = received.tables.get(name)
        if table is None or column not in table.columns:
            continue
        rows = con.execute(
            f'SELECT source_id, min(TRY_CAST("{column}" AS TIMESTAMP)), max(TRY_CAST("{column}" AS TIMESTAMP)) '
            f"FROM {table.view} GROUP BY source_id"
        ).fetchall()
        for source_id, first, last in rows:
            if first is None:
                continue
            known = spans.get(source_id)
            spans[source_id] = (min(first, known[0]), max(last, known[1])) if known else (first, last)
    return spans
