"""Whose row is it: subjects and devices are checked against the trial's own lists, and devices get their subjects.

A row of an unknown subject, of a device outside the register, or of a device nobody had that day waits in quarantine;
every build asks again, so it is taken up by itself when the enrolment or the assignment arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.corrections import corrected_time
from store.device_actions import Assignment, apply_returns
from store.python_rows import insert_rows
from store.tables_subject import START_UNKNOWN
from store.timed_tables import LOST, TIMED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from store.facts import Facts
    from store.protocol import Protocol
    from store.received import Received, ReceivedTable
    from store.row_decisions import Decision

STATED_IN = {
    "dose_event": "start_local",
    "exposure": "start_date",
    "wear_interval": "start_local",
    "reservoir_fill": "filled_at",
    "recommendation": "recommended_at",
}
"""Tables whose rows may state a device and a subject together, and the column of the day."""


def quarantine_unknown_subjects(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Mark rows of ``received`` whose subject is not in table ``subject`` as unknown_subject."""
    if "subject_id" not in received.columns or received.table.name == "subject":
        return
    name = received.table.name
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE unknown_subject AS SELECT DISTINCT subject_id FROM {received.view} "
        "WHERE subject_id IS NOT NULL AND subject_id NOT IN (SELECT subject_id FROM subject)"
    )
    if not _any(con, "unknown_subject"):
        return
    con.execute(
        f"INSERT INTO exc_{name} SELECT source_id, line, part, 'unknown_subject', NULL FROM {received.view} "
        "WHERE subject_id IN (SELECT subject_id FROM unknown_subject) "
        f"AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM exc_{name})"
    )


def create_devices(con: duckdb.DuckDBPyConnection, protocol: Protocol, received: Received, facts: Facts) -> None:
    """Fill ``device`` and ``device_assignment`` from the register, recorded assignments, what dose rows state, and what
    coordinators recorded in the ledger."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE coordinator_assignment "
        "(device_id VARCHAR, subject_id VARCHAR, start_date DATE, end_date DATE)"
    )
    insert_rows(
        con,
        "coordinator_assignment",
        [(entry.device_id, entry.subject_id, entry.start_date, entry.end_date) for entry in facts.assignments],
    )
    stated = [
        received.tables[name]
        for name in STATED_IN
        if name in received.tables and {"subject_id", "device_id"} <= set(received.tables[name].columns)
    ]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE stated_device "
        "(device_id VARCHAR, subject_id VARCHAR, start_date DATE, end_date DATE)"
    )
    for table in stated:
        day = STATED_IN[table.table.name]
        con.execute(
            "INSERT INTO stated_device "
            f"SELECT device_id, subject_id, CAST(min({day}) AS DATE), CAST(max({day}) AS DATE) "
            f"FROM {table.view} WHERE device_id IS NOT NULL AND subject_id IS NOT NULL "
            "AND subject_id IN (SELECT subject_id FROM subject) GROUP BY ALL"
        )
    con.execute("CREATE OR REPLACE TEMP TABLE device_class_map (type VARCHAR, class VARCHAR)")
    insert_rows(con, "device_class_map", [(entry.type.upper(), entry.class_) for entry in protocol.device])
    con.execute(
        """
        INSERT INTO device
        WITH stated AS (
            -- The newest export that states a property wins, in it the latest day, then the last line.
            SELECT d.device_id, upper(d.property) AS property, d.value,
                (f.prec, coalesce(d.start_date, DATE '1900-01-01'), d.line) AS rank
            FROM device_property d JOIN file_rank f USING (source_id)
        ), registered AS (
            SELECT device_id,
                arg_max(value, rank) FILTER (property IN ('DEVTYPE', 'TYPE')) AS device_type,
                arg_max(value, rank) FILTER (property IN ('MANUF', 'MANUFACTURER')) AS manufacturer,
                arg_max(value, rank) FILTER (property = 'MODEL') AS model,
                arg_max(value, rank) FILTER (property = 'SERIAL') AS serial,
                arg_max(value, rank) FILTER (property IN ('SFTWRVER', 'FIRMWARE')) AS firmware,
                arg_max(value, rank) FILTER (property IN ('LOT', 'BATCH')) AS lot,
                arg_max(value, rank) FILTER (property IN ('FDAUDI', 'UDI')) AS udi,
                arg_max(value, rank) FILTER (property = 'CLASS') AS class
            FROM stated GROUP BY device_id
        ), everything AS (
            SELECT *, 'registered' AS basis FROM registered
            UNION ALL
            SELECT device_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'stated_in_data'
            FROM (SELECT device_id FROM stated_device WHERE NOT EXISTS (SELECT 1 FROM registered)
                  UNION SELECT device_id FROM device_assignment_recorded
                  UNION SELECT device_id FROM coordinator_assignment) d
            WHERE device_id NOT IN (SELECT device_id FROM registered)
        )
        SELECT e.device_id,
            coalesce(
                TRY_CAST(lower(e.class) AS device_class),
                (SELECT CAST(min(m.class) AS device_class) FROM device_class_map m
                 WHERE m.type IN (upper(e.device_type), upper(e.model))),
                (SELECT CASE WHEN count(*) = 1 THEN CAST(min(class) AS device_class) END FROM device_class_map
                 WHERE e.device_type IS NULL AND e.model IS NULL)),
            e.device_type, e.manufacturer, e.model, e.serial, e.firmware, e.lot, e.udi, e.basis
        FROM everything e ORDER BY device_id
        """
    )
    con.execute(
        f"""
        INSERT INTO device_assignment
        SELECT device_id, subject_id, coalesce(start_date, {START_UNKNOWN}), end_date, 'enrolment'
        FROM device_assignment_recorded
        UNION ALL
        SELECT device_id, subject_id, start_date, end_date, 'coordinator' FROM coordinator_assignment
        UNION ALL
        SELECT s.device_id, s.subject_id, min(s.start_date), max(s.end_date), 'stated_in_data'
        FROM stated_device s
        WHERE s.device_id IN (SELECT device_id FROM device)
          AND NOT EXISTS (SELECT 1 FROM device_assignment_recorded r
                          WHERE r.device_id = s.device_id AND r.subject_id = s.subject_id)
        GROUP BY s.device_id, s.subject_id
        ORDER BY 1, 3, 2
        """
    )
    _end_returned(con, facts)


def _end_returned(con: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Give assignments their last day where the device was returned."""
    if not facts.returns:
        return
    rows = con.execute(
        "SELECT device_id, start_date, subject_id, end_date FROM device_assignment WHERE basis <> 'stated_in_data'"
    ).fetchall()
    held = [Assignment(*row) for row in rows]
    for before, after in zip(held, apply_returns(held, facts.returns), strict=True):
        if after != before:
            con.execute(
                "UPDATE device_assignment SET end_date = ? WHERE device_id = ? AND start_date = ? AND subject_id = ? "
                "AND end_date IS NOT DISTINCT FROM CAST(? AS DATE) AND basis <> 'stated_in_data'",
                [after.end_date, before.device_id, before.start_date, before.subject_id, before.end_date],
            )


def quarantine_unknown_devices(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Mark rows of ``received`` whose device is not in table ``device`` as unknown_device."""
    if "device_id" not in received.columns or received.table.name in (
        "device_property",
        "device_assignment_recorded",
    ):
        return
    name = received.table.name
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE unknown_device AS SELECT DISTINCT device_id FROM {received.view} "
        "WHERE device_id IS NOT NULL AND device_id NOT IN (SELECT device_id FROM device)"
    )
    if _any(con, "unknown_device"):
        con.execute(
            f"INSERT INTO exc_{name} SELECT source_id, line, part, 'unknown_device', NULL FROM {received.view} "
            "WHERE device_id IN (SELECT device_id FROM unknown_device) "
            f"AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM exc_{name})"
        )


BY_DEVICE = {
    "dose_event": "start_local",
    "device_event": "start_local",
    "wear_interval": "start_local",
    "reservoir_fill": "filled_at",
    "recommendation": "recommended_at",
    "reference_measurement": "measured_at",
    "observation": "observed_at",
    "control_total": "total_date",
    "planned_dose_recorded": "planned_at",
}
"""Tables whose rows may name only a device, and the column that says on which day it had to be somebody's."""


def assign_subjects(con: duckdb.DuckDBPyConnection, received: ReceivedTable, decisions: Iterable[Decision]) -> None:
    """Create ``assigned_<table>(source_id, line, part, subject_id)`` for rows that name a device and no subject.

    Exactly one subject must have had the device on the row's day. A row of a table that needs a subject is otherwise
    quarantined as unassigned_device (as impossible_time where its clock was lost, so that the day says nothing); alarms
    and control totals stay with their device.
    """
    name = received.table.name
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE assigned_{name} "
        "(source_id VARCHAR, line BIGINT, part SMALLINT, subject_id VARCHAR)"
    )
    subject = "r.subject_id" if "subject_id" in received.columns else "CAST(NULL AS VARCHAR)"
    if "device_id" in received.columns:
        day = f"CAST({corrected_time(received, decisions, BY_DEVICE[name])} AS DATE)"
        con.execute(
            f"""
            INSERT INTO assigned_{name}
            SELECT r.source_id, r.line, r.part, min(a.subject_id)
            FROM {received.view} r JOIN device_assignment a
              ON a.device_id = r.device_id AND {day} >= a.start_date AND (a.end_date IS NULL OR {day} <= a.end_date)
            WHERE {subject} IS NULL AND a.basis <> 'stated_in_data' AND a.subject_id IN (SELECT subject_id FROM subject)
            GROUP BY r.source_id, r.line, r.part HAVING count(DISTINCT a.subject_id) = 1
            """
        )
    if received.table.column("subject_id").required:
        reason = "'unassigned_device'"
        if name in TIMED and {"device_id", "device_seq"} <= set(received.columns):
            lost = f"r.{TIMED[name].start} < {LOST} AND r.device_seq IS NOT NULL"
            reason = f"CASE WHEN {lost} THEN 'impossible_time' ELSE {reason} END"
        con.execute(
            f"""
            INSERT INTO exc_{name}
            SELECT source_id, line, part, {reason}, NULL FROM {received.view} r
            WHERE {subject} IS NULL
              AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM assigned_{name})
              AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM exc_{name})
            """
        )


def _any(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return bool(row and row[0])
