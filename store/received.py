"""The rows all files delivered, laid side by side per canonical table, before anything is decided about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from store.received_cache import CachedPart, CachedRows
from store.schema import PROVENANCE_NAMES, Table, column_type, text_literal
from store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import duckdb
    import polars as pl

    from store.facts import SourceFact


class StagedRows(Protocol):
    """Rows an importer has put into a temporary table of the build's connection: at most one on a line."""

    @property
    def table(self) -> str: ...


class ParsedFile(Protocol):
    """What the build needs of a read file (importers.base.Parsed)."""

    @property
    def rows_read(self) -> int: ...
    @property
    def tables(self) -> Mapping[str, pl.DataFrame | StagedRows]: ...
    @property
    def rejected(self) -> pl.DataFrame | StagedRows | None: ...


@dataclass
class ReceivedTable:
    """One canonical table's received rows: temporary view ``recv_<table>`` with the columns any file filled."""

    table: Table
    columns: tuple[str, ...]
    """Content columns at least one file filled, in schema order; all others are NULL for every row."""
    source_ids: tuple[str, ...]
    has_parts: bool
    """Whether one line may have given several rows."""

    @property
    def view(self) -> str:
        return f"recv_{self.table.name}"

    def select_list(self) -> str:
        """All columns of the canonical table, in order, with NULLs for what no file filled."""
        present = {*self.columns, *PROVENANCE_NAMES}
        return ", ".join(
            f'"{column.name}"' if column.name in present else f'CAST(NULL AS {column_type(column)}) AS "{column.name}"'
            for column in self.table.columns
        )


@dataclass
class Received:
    """All received rows of one build."""

    tables: dict[str, ReceivedTable] = field(default_factory=dict)
    rows_read: dict[str, int] = field(default_factory=dict)
    staged: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Table -> (source id, temporary table) of rows that an importer staged itself."""

    def selects(self, con: duckdb.DuckDBPyConnection, source_ids: Collection[str]) -> dict[str, list[str]]:
        """SELECTs that give all rows of files read in this build, by table, for the cache: provenance and content."""
        named = ", ".join(map(text_literal, sorted(source_ids)))
        found: dict[str, list[str]] = {}
        for name in [*self.tables, "rejected"]:
            gathered = "recv_rejected" if name == "rejected" else f"frames_{name}"
            if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [gathered]).fetchall():
                found[name] = [f'SELECT * FROM "{gathered}" WHERE source_id IN ({named})']
            if name != "rejected":
                found.setdefault(name, []).extend(
                    f'SELECT *, {text_literal(source_id)} AS source_id, CAST(1 AS SMALLINT) AS part FROM "{table}"'
                    for source_id, table in self.staged.get(name, ())
                    if source_id in source_ids
                )
        return {name: selects for name, selects in found.items() if selects}


def stage_received(
    con: duckdb.DuckDBPyConnection,
    files: Sequence[tuple[SourceFact, ParsedFile]],
    cached: CachedRows | None = None,
) -> Received:
    """Create ``recv_<table>`` for every fed table and ``recv_rejected``, of the files read now and of ``cached`` rows.

    Frames of all files are gathered into one temporary table (thousands of small files cost one insert each table);
    rows an importer staged itself, and cached ones, are used in place.
    """
    cached = cached or CachedRows()
    received = Received(rows_read=dict(cached.rows_read))
    frames: dict[str, list[tuple[str, pl.DataFrame]]] = {}
    staged = received.staged
    for fact, parsed in files:
        received.rows_read[fact.source_id] = parsed.rows_read
        for name, rows in parsed.tables.items():
            _add(name, fact.source_id, rows, frames, staged)
        if parsed.rejected is not None:
            _add("rejected", fact.source_id, parsed.rejected, frames, staged)
    for name in sorted({*frames, *staged, *(part.table for part in cached.parts)}):
        if name == "rejected":
            continue
        received.tables[name] = _create_view(
            con, TABLES[name], frames.get(name, []), staged.get(name, []), _parts_of(cached, name)
        )
    _create_rejected(con, frames.get("rejected", []), staged.get("rejected", []), _parts_of(cached, "rejected"))
    return received


def _parts_of(cached: CachedRows, table: str) -> list[CachedPart]:
    return [part for part in cached.parts if part.table == table]


def _add(
    name: str,
    source_id: str,
    rows: pl.DataFrame | StagedRows,
    frames: dict[str, list[tuple[str, pl.DataFrame]]],
    staged: dict[str, list[tuple[str, str]]],
) -> None:
    table = getattr(rows, "table", None)
    if isinstance(table, str):
        staged.setdefault(name, []).append((source_id, table))
    else:
        frames.setdefault(name, []).append((source_id, rows))  # type: ignore[arg-type]


def _columns(con: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    return [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]


def _create_view(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    frames: list[tuple[str, pl.DataFrame]],
    staged: list[tuple[str, str]],
    cached: list[CachedPart],
) -> ReceivedTable:
    present: set[str] = set()
    for _, frame in frames:
        present.update(frame.columns)
    in_place: list[tuple[str | None, str]] = [(source_id, f'"{name}"') for source_id, name in staged]
    in_place += [(None, part.relation) for part in cached]
    columns = {relation: _columns(con, relation) for _, relation in in_place}
    for names in columns.values():
        present.update(names)
    unknown = present - set(table.column_names)
    if unknown:
        raise ValueError(f"an importer filled unknown columns of {table.name}: {', '.join(sorted(unknown))}")
    content = tuple(name for name in table.content if name in present)
    parts: list[str] = []
    if frames:
        _gather(con, table, frames)
        gathered = f'"frames_{table.name}"'
        parts.append(_part(table, content, gathered, set(_columns(con, gathered)), None))
    for source_id, relation in in_place:
        parts.append(_part(table, content, relation, set(columns[relation]), source_id))
    con.execute(f"CREATE OR REPLACE TEMP VIEW recv_{table.name} AS " + " UNION ALL ".join(parts))
    source_ids = {source_id for source_id, _ in (*frames, *staged)}.union(*(part.source_ids for part in cached))
    return ReceivedTable(table, content, tuple(sorted(source_ids)), has_parts=bool(frames or cached))


def _gather(con: duckdb.DuckDBPyConnection, table: Table, frames: list[tuple[str, pl.DataFrame]]) -> None:
    import polars as pl

    gathered = pl.concat(
        [_number_parts(frame).with_columns(source_id=pl.lit(source_id)) for source_id, frame in frames],
        how="diagonal_relaxed",
    )
    con.register("gathered", gathered)
    try:
        casts = ", ".join(
            f'CAST("{name}" AS {column_type(table.column(name))}) AS "{name}"' for name in gathered.columns
        )
        con.execute(f"CREATE OR REPLACE TEMP TABLE frames_{table.name} AS SELECT {casts} FROM gathered")
    finally:
        con.unregister("gathered")


def _number_parts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with ``part``: 1, 2, ... among the rows of one line, in the importer's order."""
    import polars as pl

    if frame.get_column("line").is_unique().all():
        return frame.with_columns(part=pl.lit(1, pl.Int16))
    return frame.with_columns(part=pl.int_range(1, pl.len() + 1, dtype=pl.Int16).over("line"))


def _part(table: Table, content: tuple[str, ...], relation: str, present: set[str], source_id: str | None) -> str:
    columns = [
        f'"{name}"' if name in present else f'CAST(NULL AS {column_type(table.column(name))}) AS "{name}"'
        for name in content
    ]
    columns.append("source_id" if source_id is None else f"'{source_id}' AS source_id")
    columns.append("line")
    columns.append("part" if "part" in present else "CAST(1 AS SMALLINT) AS part")
    return f"SELECT {', '.join(columns)} FROM {relation}"


REJECTED: dict[str, str] = {
    "line": "BIGINT",
    "table_name": "VARCHAR",
    "reason": "VARCHAR",
    "field": "VARCHAR",
    "value": "VARCHAR",
    "message": "VARCHAR",
    "subject_id": "VARCHAR",
    "device_id": "VARCHAR",
    "raw": "VARCHAR",
}


def _create_rejected(
    con: duckdb.DuckDBPyConnection,
    frames: list[tuple[str, pl.DataFrame]],
    staged: list[tuple[str, str]],
    cached: list[CachedPart],
) -> None:
    definition = ", ".join(f'"{name}" {kind}' for name, kind in REJECTED.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE recv_rejected ({definition}, source_id VARCHAR)")
    for source_id, frame in frames:
        con.register("rejected_rows", frame)
        try:
            _insert_rejected(con, "rejected_rows", set(frame.columns), text_literal(source_id))
        finally:
            con.unregister("rejected_rows")
    for source_id, name in staged:
        _insert_rejected(con, f'"{name}"', set(_columns(con, f'"{name}"')), text_literal(source_id))
    for part in cached:
        _insert_rejected(con, part.relation, set(REJECTED), "source_id")


def _insert_rejected(con: duckdb.DuckDBPyConnection, relation: str, present: set[str], source_id: str) -> None:
    columns: list[Any] = [f'CAST("{name}" AS {kind})' if name in present else "NULL" for name, kind in REJECTED.items()]
    con.execute(f"INSERT INTO recv_rejected SELECT {', '.join(columns)}, {source_id} FROM {relation}")
