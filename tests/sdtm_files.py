"""Small SDTM data sets for tests: written as Dataset-JSON, read the way an import reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

from importers.base import HEAD_BYTES, Parsed, ReadContext, Recognised, SourceFile
from importers.sdtm import IMPORTER
from store.protocol import Protocol, Source, StudySection

CREATED = "2024-03-01T10:00:00"


def metadata(name: str, columns: dict[str, str], records: int) -> dict[str, Any]:
    """Dataset-JSON metadata; ``columns``: variable -> dataType."""
    return {
        "datasetJSONCreationDateTime": CREATED,
        "datasetJSONVersion": "1.1.0",
        "itemGroupOID": f"IG.{name}",
        "records": records,
        "name": name,
        "label": name,
        "columns": [
            {"itemOID": f"IT.{column}", "name": column, "label": column, "dataType": kind}
            for column, kind in columns.items()
        ],
    }


def write_rows(path: Path, name: str, rows: list[dict[str, Any]], *, numbers: tuple[str, ...] = ()) -> Path:
    """Write rows as NDJSON; every variable is text but those in ``numbers``. STUDYID and DOMAIN are added."""
    columns = {"STUDYID": "string"}
    if not name.startswith(("SUPP", "REL")):
        columns["DOMAIN"] = "string"
    for row in rows:
        columns |= {column: "decimal" if column in numbers else "string" for column in row}
    head = json.dumps(metadata(name, columns, len(rows)))
    full = [{"STUDYID": "S1", "DOMAIN": name, **row} for row in rows]
    lines = [json.dumps([row.get(column) for column in columns]) for row in full]
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def recognise(path: Path) -> Any:
    with path.open("rb") as stream:
        return IMPORTER.recognise(path.name, stream.read(HEAD_BYTES))


def read(path: Path, source: Source | None = None) -> Parsed:
    """Recognise and parse one file."""
    recognised = recognise(path)
    assert isinstance(recognised, Recognised), recognised
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with duckdb.connect() as con:
        context = ReadContext(Protocol(study=StudySection(id="S1")), source, con)
        return IMPORTER.parse(SourceFile(path, path.name, sha256), recognised, context)


def rejected(parsed: Parsed) -> list[tuple[int, str, str | None]]:
    """(line, reason, field) of the rejected rows."""
    if parsed.rejected is None:
        return []
    import polars as pl

    assert isinstance(parsed.rejected, pl.DataFrame)
    return parsed.rejected.select("line", "reason", "field").rows()


def table(parsed: Parsed, name: str) -> list[dict[str, Any]]:
    """Rows of a canonical table as dictionaries."""
    import polars as pl

    frame = parsed.tables.get(name)
    if frame is None:
        return []
    assert isinstance(frame, pl.DataFrame)
    return list(frame.iter_rows(named=True))
