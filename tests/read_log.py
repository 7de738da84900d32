"""Read one device log as an import does: recognise it among all formats, parse it, check what every format keeps."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import polars as pl

from importers.base import HEAD_BYTES, Parsed, ReadContext, Recognised, SourceFile
from importers.registry import FORMATS
from store.protocol import Protocol, Source
from store.tables import TABLES
from store.vocabulary import QUARANTINE_REASONS, VOCABULARIES

PROTOCOL = Protocol.model_validate({"study": {"id": "TEST"}})


_LATER = {("dose_event", "subject_id"), ("observation", "subject_id")}


def source(**keys: Any) -> Source:
    return Source.model_validate({"name": "log", "pattern": "*", "format": "dose_log", **keys})


def read_log(path: Path, format: str, stated: Source | None = None) -> Parsed:
    """Parse a file that exactly one format must claim, and check what holds for every format."""
    data = path.read_bytes()
    claims = [(one, one.recognise(path.name, data[:HEAD_BYTES])) for one in FORMATS]
    readers = [(one, verdict) for one, verdict in claims if isinstance(verdict, Recognised)]
    assert [verdict.format for _, verdict in readers] == [format]
    importer, verdict = readers[0]
    con: Any = None
    file = SourceFile(path, path.name, hashlib.sha256(data).hexdigest())
    parsed = importer.parse(file, verdict, ReadContext(PROTOCOL, stated, con))
    check_parsed(parsed)
    return parsed


def check_parsed(parsed: Parsed) -> None:
    """Every row stands in one place, known columns only, required ones filled, vocabularies kept."""
    lines: set[int] = set()
    for name, frame in parsed.tables.items():
        assert isinstance(frame, pl.DataFrame)
        lines |= set(frame["line"].to_list())
        for column in frame.columns:
            if column == "line":
                continue
            declared = TABLES[name].column(column)
            # The subject may follow from the assignment of its device.
            if declared.required and (name, column) not in _LATER:
                assert frame[column].null_count() == 0, (name, column)
            if declared.type in VOCABULARIES:
                assert set(frame[column].drop_nulls().to_list()) <= set(VOCABULARIES[declared.type])
    rejected = parsed.rejected
    assert rejected is None or isinstance(rejected, pl.DataFrame)
    refused = set(rejected["line"].to_list()) if rejected is not None else set()
    assert not lines & refused
    assert parsed.rows_read == len(lines) + len(refused)
    if rejected is not None:
        assert set(rejected["reason"].to_list()) <= set(QUARANTINE_REASONS)


def table(parsed: Parsed, name: str = "dose_event") -> pl.DataFrame:
    found = parsed.tables[name]
    assert isinstance(found, pl.DataFrame)
    return found


def everything(parsed: Parsed) -> str:
    """All that leaves an importer, as one text: no name or birth date of a person may stand in it."""
    frames = [frame.write_csv() for frame in parsed.tables.values() if isinstance(frame, pl.DataFrame)]
    if isinstance(parsed.rejected, pl.DataFrame):
        frames.append(parsed.rejected.write_csv())
    return "\n".join([*frames, *parsed.notes])


def counted(parsed: Parsed, words: str) -> int:
    """The number a note states for rows described by ``words``."""
    found = [re.match(r"([\d,]+) rows ", note) for note in parsed.notes if words in note]
    return sum(int(match[1].replace(",", "")) for match in found if match)
