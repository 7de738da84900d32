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
from store.desk_rows import insert_desk, insert_desk_settings, insert_deviations, insert_withdrawals
from store.digest import compute_release_digest
from store.empty_release import open_empty_release
from store.facts import Facts, SourceFact
from store.protocol import Protocol as TrialProtocol
from store.protocol_file import RecordedProtocol
from store.received import ParsedFile, Received, stage_received
from store.received_cache import CachedRows
from store.release_frames import KeepFrame, ReadFrame, insert_frame, keeping_frames, read_frames
from store.release_tables import (
    insert_build_info,
    insert_ledger,
    insert_protocol_tables,
    insert_source_files,
)
from store.resolve import create_file_rank
from store.statement_progress import Progress, quiet
from store.storing import store_received
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from store.ledger_chain import LedgerRow

ANALYSIS_MEMORY_LIMIT = "900MB"
"""Of DuckDB beside the analysis, which holds the doses too: together they stay under 2.5 GB."""


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


class ReleaseBuilder:
    """One release file in the making: open it, let importers stage rows in ``con``, then ``finish`` once.

    Leaving the context closes the file; what is then in it counts only once it is published.
    """

    def __init__(self, path: Path, progress: Progress = quiet) -> None:
        self._path = path
        self._progress = progress
        self.con = open_empty_release(path)

    def __enter__(self) -> ReleaseBuilder:
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
        insert_desk_settings(con, protocol)
        insert_withdrawals(con, inputs)
        store_received(con, received, inputs.facts, protocol, self._progress)
        counts = count_rows(con, received)
        insert_source_files(con, inputs.facts, counts, inputs.program_version)
        _drop_staging(con, received)
        self._progress("computing results")
        con.execute("SET preserve_insertion_order = true")
        con.execute(f"SET memory_limit = '{ANALYSIS_MEMORY_LIMIT}'")
        insert_deviations(con, inputs)
        with keeping_frames(con) as keep:
            result = inputs.analyst.analyse(read_frames(con), protocol, self._counting(keep))
        insert_frame(con, TABLES["result"], result)
        insert_ledger(con, inputs.ledger_rows)
        insert_desk(con, inputs)
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


def _drop_staging(con: duckdb.DuckDBPyConnection, received: Received) -> None:
    """Free temporary tables before the analysis: they are as large as the study's doses."""
    for name in received.tables:
        con.execute(f"DROP VIEW IF EXISTS recv_{name}")
        con.execute(f"DROP TABLE IF EXISTS exc_{name}")
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE temporary AND "
        "regexp_matches(table_name, '^(stage|frames|recv|dup|assigned|clock|fold)_')"
    ).fetchall()
    for (name,) in rows:
        con.execute(f'DROP TABLE IF EXISTS "{name}"')
