"""Corrections people made, laid over the received rows: another subject, another device, a clock that was lost.

A correction holds only while the row lacks the fact: an enrolment that arrives later wins over it. Every corrected row
stands in table ``row_correction`` with what the source said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from store.python_rows import insert_rows
from store.row_decisions import CLOCK, CORRECT, EXCLUDE, PROBLEM_SQL, REJECT, WORDS, Decision, decision_rows
from store.schema import text_literal
from store.timed_tables import LOST, TIMED

if TYPE_CHECKING:
    import duckdb

    from store.received import Received, ReceivedTable


def correct_subjects(con: duckdb.DuckDBPyConnection, received: Received, decisions: Iterable[Decision]) -> None:
    """Rows of subjects nobody enrolled get the subject a person named; called once table ``subject`` is filled."""
    for decision in decisions:
        if decision.action == CORRECT and decision.field == "subject_id":
            for table in received.tables.values():
                if table.table.name != "subject" and "subject_id" in table.columns:
                    unknown = "subject_id = ? AND subject_id NOT IN (SELECT subject_id FROM subject)"
                    _lay_over(con, table, decision, unknown)


def correct_devices(con: duckdb.DuckDBPyConnection, received: Received, decisions: Iterable[Decision]) -> None:
    """Rows of devices that are not registered, or that nobody ever had, get the device a person named; called once
    tables ``device`` and ``device_assignment`` are filled."""
    for decision in decisions:
        if decision.action != CORRECT or decision.field != "device_id":
            continue
        for table in received.tables.values():
            if "device_id" not in table.columns or table.table.name in _LISTS:
                continue
            lacking = "device_id = ? AND device_id NOT IN (SELECT device_id FROM device_assignment)"
            if decision.kind == "unknown_device":
                lacking = "device_id = ? AND device_id NOT IN (SELECT device_id FROM device)"
            elif "subject_id" in table.columns:
                lacking += " AND subject_id IS NULL"
            _lay_over(con, table, decision, lacking)


_LISTS = ("device_property", "device_assignment_recorded")


def _lay_over(con: duckdb.DuckDBPyConnection, table: ReceivedTable, decision: Decision, condition: str) -> None:
    assert decision.field is not None
    name, column = table.table.name, decision.field
    con.execute(
        f"INSERT INTO row_correction SELECT source_id, line, part, '{name}', '{column}', {column}, ?, ? "
        f"FROM {table.view} WHERE {condition}",
        [decision.new, decision.seq, decision.about],
    )
    found = con.execute(
        "SELECT 1 FROM row_correction WHERE ledger_seq = ? AND table_name = ? LIMIT 1", [decision.seq, name]
    ).fetchall()
    if not found:
        return
    before = f"{table.view}_{decision.seq}"
    made = f"(FROM row_correction WHERE ledger_seq = {decision.seq} AND table_name = '{name}')"
    con.execute(f"ALTER VIEW {table.view} RENAME TO {before}")
    con.execute(
        f"CREATE TEMP VIEW {table.view} AS SELECT r.* REPLACE (coalesce(c.new_value, r.{column}) AS {column}) "
        f"FROM {before} r LEFT JOIN {made} c "
        "USING (source_id, line, part)"
    )


def corrected_time(received: ReceivedTable, decisions: Iterable[Decision], column: str) -> str:
    """SQL of a row's time over ``r``, where its clock was lost by what a person saw."""
    time = f"r.{column}"
    if received.table.name not in TIMED or not {"device_id", "device_seq"} <= set(received.columns):
        return time
    arms = "".join(
        f"WHEN r.device_id = {text_literal(decision.about)} THEN {time} + to_seconds({_seconds(decision)}) "
        for decision in _clocks(decisions)
        if decision.about is not None
    )
    return (
        f"CASE WHEN {time} < {LOST} AND r.device_seq IS NOT NULL THEN CASE {arms}END ELSE {time} END" if arms else time
    )


def correct_clocks(
    con: duckdb.DuckDBPyConnection, received: ReceivedTable, decisions: Iterable[Decision], subject: str, joins: str
) -> None:
    """Rows of a lost clock, that nothing else sets right, get the time by what a person saw: added to ``clock_row``.

    ``subject``: SQL of a row's subject over the view ``s`` and ``joins``.
    """
    name = received.table.name
    start = TIMED[name].start
    if "device_seq" not in received.columns:
        return
    for decision in _clocks(decisions):
        moved = f"s.{start} + to_seconds({_seconds(decision)})"
        utc = f"timezone('UTC', timezone(z.time_zone, {moved}))"
        con.execute(
            f"""
            INSERT INTO clock_row
            SELECT s.source_id, s.line, s.part, {utc}, NULL,
                CAST(date_diff('minute', {utc}, {moved}) AS SMALLINT), {_seconds(decision)}, 'person', NULL
            FROM {received.view} s {joins} LEFT JOIN subject_zone z ON z.subject_id = {subject}
            WHERE s.device_id = ? AND s.{start} < {LOST} AND s.device_seq IS NOT NULL
                AND (s.source_id, s.line, s.part) NOT IN (SELECT source_id, line, part FROM clock_row)
            """,
            [decision.about],
        )
        con.execute(
            f"INSERT INTO row_correction SELECT s.source_id, s.line, s.part, '{name}', '{CLOCK}', "
            f"CAST(s.{start} AS VARCHAR), CAST({moved} AS VARCHAR), ? FROM {received.view} s "
            "JOIN clock_row k USING (source_id, line, part) WHERE s.device_id = ? AND k.clock_rule = 'person'",
            [decision.seq, decision.about],
        )


def _clocks(decisions: Iterable[Decision]) -> list[Decision]:
    return [made for made in decisions if made.action == CORRECT and made.shift is not None]


def _seconds(decision: Decision) -> int:
    assert decision.shift is not None
    return round(decision.shift.total_seconds())


def insert_decisions(con: duckdb.DuckDBPyConnection, decisions: Iterable[Decision]) -> None:
    """Fill table quarantine_decision, and say on rows in quarantine that they were rejected or excluded."""
    made = list(decisions)
    insert_rows(con, "quarantine_decision", decision_rows(made))
    for decision in made:
        if decision.action in (REJECT, EXCLUDE):
            con.execute(
                "UPDATE quarantine SET decision = ? WHERE (source_id, line, reason, coalesce(field, '')) IN "
                f"(SELECT (source_id, line, reason, coalesce(field, '')) FROM ({PROBLEM_SQL}) WHERE problem_id = ?)",
                [WORDS[decision.action], decision.problem_id],
            )
