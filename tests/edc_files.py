"""Files of data capture systems in tests: reading one with a mapping, and what became of its rows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from importers.base import Importer, Parsed, ReadContext, Recognised, SourceFile
from store.protocol import Protocol, Source, StudySection


def source(importer: Importer, columns: dict[str, str], **keys: Any) -> Source:
    entry = {"name": "edc", "pattern": "*", "format": importer.format, "columns": columns, **keys}
    return Source.model_validate(entry)


def read(importer: Importer, path: Path, columns: dict[str, str] | None, **keys: Any) -> Parsed:
    """The file as the importer reads it; without columns, as where the protocol has no [[source]] for it."""
    file = SourceFile(path, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    mapping = source(importer, columns, **keys) if columns is not None else None
    context = ReadContext(Protocol(study=StudySection(id="S")), mapping, duckdb.connect())
    return importer.parse(file, Recognised(importer.format, "edc"), context)


def rows(parsed: Parsed, table: str, *columns: str) -> list[tuple[Any, ...]]:
    frame = parsed.tables[table]
    assert isinstance(frame, pl.DataFrame)
    return list(frame.select(*columns).iter_rows())


def columns_of(parsed: Parsed, table: str) -> list[str]:
    frame = parsed.tables[table]
    assert isinstance(frame, pl.DataFrame)
    return frame.columns


def rejected(parsed: Parsed) -> list[dict[str, Any]]:
    """Rejected rows by column name; none is an empty list."""
    if parsed.rejected is None:
        return []
    assert isinstance(parsed.rejected, pl.DataFrame)
    return list(parsed.rejected.iter_rows(named=True))


def check_account(parsed: Parsed) -> None:
    """No line stands in a table and among the rejected, and both together are the rows read."""
    kept = {line for table in parsed.tables for (line,) in rows(parsed, table, "line")}
    refused = {row["line"] for row in rejected(parsed)}
    assert not kept & refused
    assert parsed.rows_read == len(kept | refused)
