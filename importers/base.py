"""What an importer is: it says what it recognises and turns one file into rows of canonical tables plus rejected rows.

Importers never guess silently, never drop a row and know nothing of the store beyond its schema and protocol models.
Every data row of a file ends in exactly one place: a row (or several, sharing its ``line``) of ``Parsed.tables``, or
``Parsed.rejected``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from store.errors import DosetrailError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from store.protocol import Protocol as TrialProtocol
    from store.protocol import Source

HEAD_BYTES = 65_536
"""Bytes of a file that recognition may look at."""

LINE_LIMIT = 16 * 1024 * 1024
"""No line longer than this reaches a parser: 2 GB in one line drove a reader to 4.4 GB of memory."""


class UnreadableFile(DosetrailError):
    """The file as a whole cannot be read (truncated, wrong columns, no data); the run goes on with the others."""

    exit_code = 1


@dataclass(frozen=True)
class SourceFile:
    """One file to read: where its bytes are, its name as received, its SHA-256."""

    path: Path
    name: str
    sha256: str

    @property
    def source_id(self) -> str:
        """First 12 hex digits of the SHA-256: the id every row of the file carries."""
        return self.sha256[:12]


@dataclass(frozen=True)
class Recognised:
    """The importer reads this file. ``dataset`` names the stream it belongs to (SDTM domain, protocol source)."""

    format: str
    dataset: str


@dataclass(frozen=True)
class Ignored:
    """The file is known and holds nothing the study uses (a licence, a schema, an unused domain)."""

    reason: str


@dataclass(frozen=True)
class Staged:
    """Rows that stand already in a temporary table of the staging connection (large delimited files): at most one on
    a line."""

    table: str


@dataclass
class Parsed:
    """One file, read.

    ``tables``: canonical table name -> rows: a polars frame, or ``Staged``. Columns are a subset of the table's columns
    (missing ones are NULL) and always ``line``; never ``source_id`` and ``part`` (the build adds them: rows of one line
    are numbered in their order here). Types must cast to the
    declared ones without loss: text for VARCHAR and vocabularies, Date, naive Datetime, Decimal or integers for
    amounts.
    ``rejected``: columns of ``REJECTED_COLUMNS``; one row per rejected source row (the first problem; more may follow
    with the same line).
    ``rows_read``: data rows in the file: distinct lines of tables + distinct lines rejected.
    """

    format: str
    dataset: str
    mode: Literal["increment", "snapshot"]
    rows_read: int
    tables: Mapping[str, pl.DataFrame | Staged]
    rejected: pl.DataFrame | Staged | None = None
    exported_utc: dt.datetime | None = None
    """When the file was exported (naive UTC), from its content or its name; None when neither says."""
    notes: list[str] = field(default_factory=list)
    """Assumptions a person should see in the import report."""
    layout: tuple[str, ...] = ()
    """Names of the columns as they stand in the file, where a change of them must be approved."""

    @property
    def is_staged(self) -> bool:
        """Whether some of its rows stand in temporary tables."""
        return any(isinstance(rows, Staged) for rows in (*self.tables.values(), self.rejected))


REJECTED_COLUMNS: tuple[str, ...] = (
    "line",
    "table_name",
    "reason",
    "field",
    "value",
    "message",
    "subject_id",
    "device_id",
    "raw",
)
"""Columns of a rejected row; ``reason`` is one of store.vocabulary.QUARANTINE_REASONS."""


@dataclass(frozen=True)
class ReadContext:
    """What parsing may depend on: the protocol entry pinned to the file, and a DuckDB connection for staging."""

    protocol: TrialProtocol
    source: Source | None
    con: duckdb.DuckDBPyConnection
    """In-memory or temporary; an importer may create TEMP tables named ``stage_<source_id>_...`` in it."""


class Importer(Protocol):
    """A format: one module with an object of this shape, one line in importers.registry."""

    format: str
    version: int
    """Raised when the same bytes would give other rows; a release names it."""

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """Decide from the file's name and its first ``HEAD_BYTES``; None when the file is not of this format."""

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Read the file; raises ``UnreadableFile`` when it cannot be read as a whole."""
