"""Storing what was received: each table resolved, identified, its clocks put right, then inserted in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.clocks import clock_columns, create_clock_epochs, create_clock_rows, quarantine_lost_clocks
from store.consents import AFTER, BEFORE, CONSENT_DAY, create_consent_spans, quarantine_without_consent
from store.corrections import correct_devices, correct_subjects, insert_decisions
from store.facts import Facts
from store.identify import (
    BY_DEVICE,
    assign_subjects,
    create_devices,
    quarantine_unknown_devices,
    quarantine_unknown_subjects,
)
from store.protocol import Protocol as TrialProtocol
from store.received import Received, ReceivedTable
from store.resolve import resolve_table
from store.row_decisions import LOST_CLOCK
from store.schema import PROVENANCE_NAMES
from store.site_time import create_fold_rows, create_subject_zones, create_zone_days, utc_columns, zone_joins
from store.statement_progress import Progress
from store.timed_tables import TIMED

if TYPE_CHECKING:
    import duckdb

QUARANTINE_WORDS = {
    "unknown_subject": "no such subject in the enrolment data; the row is taken up when the subject arrives",
    "unknown_device": "the device is not in the trial's device list; the row is taken up when it is registered",
    "unassigned_device": "no subject, or several, had this device that day; the row is taken up with an assignment",
    "impossible_time": LOST_CLOCK,
    BEFORE: "the subject had not consented yet; the row is taken up when a form with an earlier day arrives",
    AFTER: "the subject had withdrawn the consent; the row is kept and not used",
    "key_conflict": "two rows of the file have the same key and different values; neither is used",
}


def store_received(
    con: duckdb.DuckDBPyConnection,
    received: Received,
    facts: Facts,
    protocol: TrialProtocol,
    progress: Progress,
) -> None:
    """Resolve and store every received table: subjects first, then devices, then what refers to them."""
    first = ("subject", "device_property", "device_assignment_recorded", "consent")
    before = (*first, "device_event")  # what clocks were set is known before their times are read
    order = [
        *(name for name in before if name in received.tables),
        *(name for name in received.tables if name not in before),
    ]
    devices_known = False
    _create_places(con)
    create_consent_spans(con)
    for name in order:
        table = received.tables[name]
        if name not in first and not devices_known:
            _insert_sites(con)
            create_devices(con, protocol, received, facts)
            correct_devices(con, received, facts.decisions)
            create_subject_zones(con)
            devices_known = True
        progress(f"storing {name}")
        resolve_table(con, table)
        if name in BY_DEVICE:
            assign_subjects(con, table, facts.decisions)
        quarantine_unknown_subjects(con, table)
        quarantine_unknown_devices(con, table)
        if name == "device_event":
            create_clock_epochs(con, received)
        quarantine_without_consent(con, table, *_subject_of(con, table) if name in BY_DEVICE else ("s.subject_id", ""))
        if name in TIMED:
            create_clock_rows(con, table, facts.decisions, *_subject_of(con, table))
            quarantine_lost_clocks(con, table)
        row = con.execute(f"SELECT count(*) FROM exc_{name}").fetchone()
        exceptions = bool(row and row[0])
        _insert_current(con, table, exceptions=exceptions)
        if exceptions:
            _insert_history(con, table)
            _insert_quarantined(con, table)
        if name == "subject":
            _create_places(con)
            correct_subjects(con, received, facts.decisions)
        if name == "consent":
            create_consent_spans(con)
    if not devices_known:
        _insert_sites(con)
        create_devices(con, protocol, received, facts)
    con.execute(
        "INSERT INTO quarantine SELECT source_id, line, table_name, CAST(reason AS quarantine_reason), field, value, "
        "message, subject_id, device_id, raw, NULL FROM recv_rejected "
        "ORDER BY source_id, line, reason, field, table_name, value"
    )
    insert_decisions(con, facts.decisions)


def _insert_sites(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "INSERT INTO site SELECT DISTINCT site_id, NULL, NULL, NULL FROM subject "
        "WHERE site_id IS NOT NULL AND site_id NOT IN (SELECT site_id FROM site) ORDER BY 1"
    )


def _insert_current(con: duckdb.DuckDBPyConnection, received: ReceivedTable, *, exceptions: bool) -> None:
    """Insert the rows that are current, in the table's order.

    Only columns that any file filled pass through the sort: carrying 30 empty ones costs 4 s in 7 million rows.
    DuckDB would build the hash table of a join on the many rows and not on the few, at 1.3 s for two million.
    """
    name = received.table.name
    source = f"(FROM {received.view})"
    added: tuple[str, ...] = ()
    if name in BY_DEVICE:
        source, added = _with_subject_and_utc(con, received)
    anti = f"ANTI JOIN exc_{name} e USING (source_id, line, part)" if exceptions else ""
    present = {*received.columns, *added, *PROVENANCE_NAMES}
    columns = ", ".join(f'"{column}"' for column in received.table.column_names if column in present)
    ranks, order = _sort_keys(received, present)
    con.execute("SET disabled_optimizers = 'build_side_probe_side'")
    con.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {source} r {anti}{ranks} ORDER BY {order}")
    con.execute("SET disabled_optimizers = ''")


def _create_places(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary tables ``subject_place`` and ``source_place``: the place of each subject and file in text order."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE subject_place AS "
        "SELECT subject_id, CAST(row_number() OVER (ORDER BY subject_id) AS INTEGER) AS place FROM subject"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE source_place AS "
        "SELECT source_id, CAST(row_number() OVER (ORDER BY source_id) AS INTEGER) AS place FROM file_rank"
    )


def _sort_keys(received: ReceivedTable, present: set[str]) -> tuple[str, str]:
    """Joins and ORDER BY terms that give the table's order: the place of a subject or file instead of its text, and
    no key that every row has the same. Short keys halve the cost of sorting (7 million doses: 15 s to 8 s of CPU).
    """
    joins, terms = "", []
    for column in received.table.sort:
        if column == "subject_id" and column in present and received.table.name != "subject":
            joins += " LEFT JOIN subject_place USING (subject_id)"
            terms.append("subject_place.place")
        elif column == "source_id":
            if len(received.source_ids) > 1:
                joins += " JOIN source_place USING (source_id)"
                terms.append("source_place.place")
        elif column == "part":
            if received.has_parts:
                terms.append("r.part")
        elif column in present:
            terms.append(f'r."{column}"')
    return joins, ", ".join(terms)


def _subject_of(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> tuple[str, str]:
    """SQL of a row's subject, stated or by its device, over the view ``s`` and the joins that are returned too."""
    name = received.table.name
    if con.execute(f"SELECT 1 FROM assigned_{name} LIMIT 1").fetchall():
        subject = "coalesce(s.subject_id, a.subject_id)" if "subject_id" in received.columns else "a.subject_id"
        return subject, f" LEFT JOIN assigned_{name} a USING (source_id, line, part)"
    return ("s.subject_id" if "subject_id" in received.columns else "CAST(NULL AS VARCHAR)"), ""


def _with_subject_and_utc(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> tuple[str, tuple[str, ...]]:
    """Rows with the subject of their device, and with UTC where only local time is known: by the epoch of a clock that
    was set, else from the site's zone.

    A local time that does not exist or exists twice (DST) is marked uncertain: its UTC is one of two.
    Returns the relation and the columns it adds.
    """
    computed: dict[str, str] = {}
    subject, joins = _subject_of(con, received)
    if joins:
        computed["subject_id"] = subject
    if received.table.name in TIMED:
        if create_zone_days(con, received):
            create_fold_rows(con, received, subject, joins)
            joins += zone_joins(received, subject)
            computed |= utc_columns(received)
        if con.execute("SELECT 1 FROM clock_row LIMIT 1").fetchall():
            joins += " LEFT JOIN clock_row k USING (source_id, line, part)"
            computed |= clock_columns(received, computed)
    if not computed:
        return f"(FROM {received.view})", ()
    replaced = ", ".join(f"{value} AS {name}" for name, value in computed.items() if name in received.columns)
    added = ", ".join(f"{value} AS {name}" for name, value in computed.items() if name not in received.columns)
    star = f"s.* REPLACE ({replaced})" if replaced else "s.*"
    return f"(SELECT {star}{', ' + added if added else ''} FROM {received.view} s{joins})", tuple(computed)


def _insert_history(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    name = received.table.name
    con.execute(
        f"INSERT INTO history.{name} SELECT r.*, CAST(e.disposition AS row_state), e.replaced_by "
        f"FROM (SELECT {received.select_list()} FROM {received.view}) r "
        f"JOIN exc_{name} e USING (source_id, line, part) "
        "WHERE e.disposition IN ('superseded', 'no_longer_in_source') ORDER BY source_id, line, part"
    )


def _insert_quarantined(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Rows the build itself could not place; ``raw`` is the canonical row as JSON (its text is in the source file).

    A line that feeds several tables waits once for each reason, not once for each table.
    """
    name = received.table.name
    has = set(received.columns)
    columns = ", ".join(f'"{column}"' for column in received.columns)
    for reason, words in QUARANTINE_WORDS.items():
        field_name = {
            "unknown_subject": "subject_id",
            "unknown_device": "device_id",
            "unassigned_device": "device_id",
            "impossible_time": TIMED[name].start if name in TIMED else None,
            BEFORE: CONSENT_DAY.get(name),
            AFTER: CONSENT_DAY.get(name),
        }.get(reason)
        value = f'CAST(r."{field_name}" AS VARCHAR)' if field_name in has else "NULL"
        con.execute(
            f"INSERT INTO quarantine SELECT r.source_id, r.line, '{name}', '{reason}', ?, {value}, ?, "
            f"{'r.subject_id' if 'subject_id' in has else 'NULL'}, {'r.device_id' if 'device_id' in has else 'NULL'}, "
            "CAST(to_json(r.body) AS VARCHAR), NULL "
            f"FROM (SELECT *, struct_pack({_pack(columns)}) AS body FROM {received.view}) r "
            f"JOIN exc_{name} e USING (source_id, line, part) "
            f"ANTI JOIN (FROM quarantine WHERE reason = '{reason}') q USING (source_id, line) "
            f"WHERE e.disposition = '{reason}' "
            "QUALIFY row_number() OVER (PARTITION BY r.source_id, r.line ORDER BY r.part) = 1 ORDER BY 1, 2",
            [field_name, words],
        )


def _pack(columns: str) -> str:
    return ", ".join(f"{column} := {column}" for column in columns.split(", "))
