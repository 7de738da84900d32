"""Files of the generic formats as an import reads them: bytes in, rows of canonical tables and rejected rows out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from importers.base import Importer, Parsed, ReadContext, Recognised, SourceFile, Staged
from importers.dose_log import IMPORTER as DOSE_LOG
from store.protocol import Protocol, Source
from store.tables import TABLES
from store.vocabulary import QUARANTINE_REASONS, VOCABULARIES

PROTOCOL = Protocol.model_validate({"study": {"id": "TEST"}})
COLUMNS = {"subject_id": "Subject", "start_local": "Time", "delivered_amount": "Dose"}
CONSTANTS = {"kind": "injection", "amount_unit": "mg"}


@dataclass(frozen=True)
class Read:
    """A parsed file with its staged rows as frames, in line order."""

    parsed: Parsed
    tables: dict[str, pl.DataFrame]
    rejected: pl.DataFrame

    @property
    def events(self) -> pl.DataFrame:
        return self.tables["dose_event"]

    def reasons(self) -> list[tuple[int, str, str | None]]:
        """(line, reason, field) of every rejected row."""
        return self.rejected.select("line", "reason", "field").rows()


def source(format: str = "dose_log", **keys: Any) -> Source:
    return Source.model_validate({"name": "pens", "pattern": "*", "format": format, **keys})


def mapped(**keys: Any) -> Source:
    """A source that maps Subject, Time and Dose, with kind and unit as constants."""
    return source(**{"columns": COLUMNS, "constants": CONSTANTS, **keys})


def read(
    folder: Path,
    data: bytes | str,
    stated: Source | None = None,
    *,
    importer: Importer = DOSE_LOG,
    name: str = "log.csv",
) -> Read:
    """Write the bytes to a file, parse it, and check what holds for every parsed file."""
    content = data.encode() if isinstance(data, str) else data
    path = folder / name
    path.write_bytes(content)
    file = SourceFile(path, name, hashlib.sha256(content).hexdigest())
    # As the build has it: rows may come in any order unless an importer asks for the file's.
    with duckdb.connect(config={"preserve_insertion_order": "false"}) as con:
        parsed = importer.parse(file, Recognised(importer.format, "pens"), ReadContext(PROTOCOL, stated, con))
        result = Read(
            parsed,
            {table: _frame(con, rows).sort("line") for table, rows in parsed.tables.items()},
            pl.DataFrame(schema={"line": pl.Int64, "reason": pl.String, "field": pl.String, "raw": pl.String})
            if parsed.rejected is None
            else _frame(con, parsed.rejected).sort("line"),
        )
    check_read(result)
    assert not [left for left in folder.iterdir() if left.name.startswith("reading-")]
    return result


def _frame(con: duckdb.DuckDBPyConnection, rows: pl.DataFrame | Staged) -> pl.DataFrame:
    return con.sql(f'FROM "{rows.table}"').pl() if isinstance(rows, Staged) else rows


def check_read(result: Read) -> None:
    """Every row stands in one place, known columns only, required ones filled, vocabularies kept."""
    lines: set[int] = set()
    for name, frame in result.tables.items():
        table = TABLES[name]
        lines |= set(frame["line"].to_list())
        for column in frame.columns:
            declared = table.column(column)
            if declared.required and (name, column) != ("dose_event", "subject_id"):
                assert frame[column].null_count() == 0, (name, column)
            if declared.type in VOCABULARIES:
                assert set(frame[column].drop_nulls().to_list()) <= set(VOCABULARIES[declared.type])
    refused = result.rejected["line"].to_list()
    assert len(set(refused)) == len(refused)
    assert not lines & set(refused)
    assert result.parsed.rows_read == len(lines) + len(refused)
    assert set(result.rejected["reason"].to_list()) <= set(QUARANTINE_REASONS)
