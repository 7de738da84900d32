"""Making a release file: a pure function of received files, ledger facts and protocol; no clock, no environment.

The room above (tui.pipeline) hands in how to parse a file and how to analyse; this module stages, resolves, identifies,
stores in order, and asks for derived tables and results.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from store.accounting import FileCounts, count_rows
from store.digest import compute_release_digest
from store.facts import Facts, SourceFact
from store.identify import (
    BY_DEVICE,
    assign_subjects,
    create_devices,
    quarantine_unknown_devices,
    quarantine_unknown_subjects,
)
from store.protocol import Protocol as TrialProtocol
from store.protocol_file import RecordedProtocol
from store.received import ParsedFile, Received, ReceivedTable, stage_received
from store.received_cache import CachedRows
from store.release_frames import KeepFrame, ReadFrame, insert_frame, keeping_frames, read_frames
from store.release_tables import (
    insert_build_info,
    insert_ledger,
    insert_protocol_tables,
    insert_source_files,
)
from store.resolve import create_file_rank, resolve_table
from store.schema import (
    PROVENANCE_NAMES,
    create_table_sql,
    create_types,
    history_table,
    write_comments,
)
from store.site_time import create_zone_days, utc_columns, zone_joins
from store.statement_progress import Progress, quiet
from store.tables import TABLES
from store.views import create_views

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from store.ledger_chain import LedgerRow

STORAGE_VERSION = "v1.4.0"
"""Files that DuckDB 1.4, 1.5 and 2 open."""

MEMORY_LIMIT = "2000MB"
"""Of DuckDB while rows are stored: sorting seven million doses within 1,400 MB spills, a third more time."""

ANALYSIS_MEMORY_LIMIT = "900MB"
"""Of DuckDB beside the analysis, which holds the doses too: together they stay under 2.5 GB."""

QUARANTINE_WORDS = {
    "unknown_subject": "no such subject in the enrolment data; the row is taken up when the subject arrives",
    "unknown_device": "the device is not in the trial's device list; the row is taken up when it is registered",
    "unassigned_device": "no subject, or several, had this device that day; the row is taken up with an assignment",
    "key_conflict": "two rows of the file have the same key and different values; neither is used",
}


class Analyst(Protocol):
    """What the build asks of the analysis: derived tables, in parts and in order, to ``keep``; and the result table."""

    def analyse(self, frames: ReadFrame, protocol: TrialProtocol, keep: KeepFrame) -> pl.DataFrame: ...


@dataclass(frozen=True)
class BuildInputs:
    """Everything a release is a function of, beside the files themselves."""

    facts: Facts
    protocol: RecordedProtocol
    ledger_rows: list[LedgerRow]
    release: int
    program_version: str
    built_utc: dt.datetime
    analyst: Analyst


@dataclass(frozen=True)
class Built:
    """A finished release file: digest of its tables and the accounting of every source."""

    digest: str
    tables: dict[str, str]
    counts: dict[str, FileCounts]


def connect_build(path: Path) -> duckdb.DuckDBPyConnection:
    """A read-write connection to a new release file, spilling into its own folder, extensions off."""
    import duckdb

    con = duckdb.connect(
        str(path),
        config={
            "storage_compatibility_version": STORAGE_VERSION,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(path.parent / "spill"),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    return con


class ReleaseBuilder:
    """One release file in the making: open it, let importers stage rows in ``con``, then ``finish`` once.

    Leaving the context closes the file; what is then in it counts only once it is published.
    """

    def __init__(self, path: Path, progress: Progress = quiet) -> None:
        self._path = path
        self._progress = progress
        self.con = connect_build(path)

    def __enter__(self) -> ReleaseBuilder:
        _create_schema(self.con)
        return self

    def __exit__(self, *exception: object) -> None:
        self.con.close()

    def finish(
        self,
        inputs: BuildInputs,
        files: Sequence[tuple[SourceFact, ParsedFile]],
        cached: CachedRows | None = None,
        staged: Callable[[Received], None] = lambda received: None,
    ) -> Built:
        """Resolve, store, analyse and checkpoint; ``files`` and ``cached`` are the rows of exactly the sources in
        ``inputs.facts``. ``staged`` is called while the rows of the files stand in temporary tables."""
        con, protocol = self.con, inputs.protocol.protocol
        received = stage_received(con, files, cached)
        staged(received)
        create_file_rank(con, inputs.facts.sources)
        insert_protocol_tables(con, protocol)
        _store_received(con, received, protocol, self._progress)
        counts = count_rows(con, received)
        insert_source_files(con, inputs.facts, counts, inputs.program_version)
        _drop_staging(con, received)
        self._progress("computing results")
        con.execute("SET preserve_insertion_order = true")
        con.execute(f"SET memory_limit = '{ANALYSIS_MEMORY_LIMIT}'")
        with keeping_frames(con) as keep:
            result = inputs.analyst.analyse(read_frames(con), protocol, self._counting(keep))
        insert_frame(con, TABLES["result"], result)
        insert_ledger(con, inputs.ledger_rows)
        self._progress("writing the release")
        digest, tables = compute_release_digest(con, _catalog(con))
        insert_build_info(con, inputs)
        con.execute("CHECKPOINT")
        return Built(digest, tables, counts)

    def _counting(self, keep: KeepFrame) -> KeepFrame:
        """``keep`` that says how many rows are derived so far."""
        kept = 0

        def counted(name: str, rows: pl.DataFrame) -> None:
            nonlocal kept
            kept += rows.height
            self._progress("computing results", kept)
            keep(name, rows)

        return counted


def _catalog(con: duckdb.DuckDBPyConnection) -> str:
    row = con.execute("SELECT current_database()").fetchone()
    assert row is not None
    return str(row[0])


def _create_schema(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("BEGIN")
    create_types(con)
    con.execute("CREATE SCHEMA history")
    for table in TABLES.values():
        con.execute(create_table_sql(table))
        if table.origin == "received":
            con.execute(create_table_sql(history_table(table), constraints=False))
    write_comments(con)
    create_views(con)
    con.execute("COMMIT")


def _store_received(
    con: duckdb.DuckDBPyConnection,
    received: Received,
    protocol: TrialProtocol,
    progress: Progress,
) -> None:
    """Resolve and store every received table: subjects first, then devices, then what refers to them."""
    first = ("subject", "device_property", "device_assignment_recorded")
    order = [
        *(name for name in first if name in received.tables),
        *(n for n in received.tables if n not in first),
    ]
    devices_known = False
    _create_places(con)
    for name in order:
        table = received.tables[name]
        if name not in first and not devices_known:
            _insert_sites(con)
            create_devices(con, protocol, received)
            devices_known = True
        progress(f"storing {name}")
        resolve_table(con, table)
        if name in BY_DEVICE:
            assign_subjects(con, table)
        quarantine_unknown_subjects(con, table)
        quarantine_unknown_devices(con, table)
        row = con.execute(f"SELECT count(*) FROM exc_{name}").fetchone()
        exceptions = bool(row and row[0])
        _insert_current(con, table, exceptions=exceptions)
        if exceptions:
            _insert_history(con, table)
            _insert_quarantined(con, table)
        if name == "subject":
            _create_places(con)
    if not devices_known:
        _insert_sites(con)
        create_devices(con, protocol, received)
    con.execute(
        "INSERT INTO quarantine SELECT source_id, line, table_name, CAST(reason AS quarantine_reason), field, value, "
        "message, subject_id, device_id, raw FROM recv_rejected "
        "ORDER BY source_id, line, reason, field, table_name, value"
    )


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


def _with_subject_and_utc(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> tuple[str, tuple[str, ...]]:
    """Rows with the subject of their device; doses also with UTC from the site's zone where only local time is known.

    A local time that does not exist or exists twice (DST) is marked uncertain: its UTC is one of two.
    Returns the relation and the columns it adds.
    """
    name = received.table.name
    computed: dict[str, str] = {}
    joins = ""
    subject = "s.subject_id"
    if con.execute(f"SELECT 1 FROM assigned_{name} LIMIT 1").fetchall():
        joins += f" LEFT JOIN assigned_{name} a USING (source_id, line, part)"
        subject = "coalesce(s.subject_id, a.subject_id)" if "subject_id" in received.columns else "a.subject_id"
        computed["subject_id"] = subject
    elif "subject_id" not in received.columns:
        subject = "NULL"
    if name == "dose_event" and create_zone_days(con, received):
        joins += zone_joins(received, subject)
        computed |= utc_columns(received)
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
        }.get(reason)
        value = f'r."{field_name}"' if field_name in has else "NULL"
        con.execute(
            f"INSERT INTO quarantine SELECT r.source_id, r.line, '{name}', '{reason}', ?, {value}, ?, "
            f"{'r.subject_id' if 'subject_id' in has else 'NULL'}, {'r.device_id' if 'device_id' in has else 'NULL'}, "
            "CAST(to_json(r.body) AS VARCHAR) "
            f"FROM (SELECT *, struct_pack({_pack(columns)}) AS body FROM {received.view}) r "
            f"JOIN exc_{name} e USING (source_id, line, part) "
            f"ANTI JOIN (FROM quarantine WHERE reason = '{reason}') q USING (source_id, line) "
            f"WHERE e.disposition = '{reason}' "
            "QUALIFY row_number() OVER (PARTITION BY r.source_id, r.line ORDER BY r.part) = 1 ORDER BY 1, 2",
            [field_name, words],
        )


def _pack(columns: str) -> str:
    return ", ".join(f"{column} := {column}" for column in columns.split(", "))


def _drop_staging(con: duckdb.DuckDBPyConnection, received: Received) -> None:
    """Free temporary tables before the analysis: they are as large as the study's doses."""
    for name in received.tables:
        con.execute(f"DROP VIEW IF EXISTS recv_{name}")
        con.execute(f"DROP TABLE IF EXISTS exc_{name}")
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE temporary AND "
        "regexp_matches(table_name, '^(stage|frames|recv|dup)_')"
    ).fetchall()
    for (name,) in rows:
        con.execute(f'DROP TABLE IF EXISTS "{name}"')
