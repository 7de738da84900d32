"""Damaged files of every format: refused, or read with every row in one place; never a traceback, a hang or a row that
the whole file does not hold.

`make fuzz` tries thousands of damages a file; the seed of a failure is in the name of its test.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from personal_files import FILES, LAYOUT_EXAMPLES, PROTOCOL

import sample_data
from importers import apart
from importers.base import Parsed, ReadContext, SourceFile, Staged
from importers.discover import find_inputs
from store.errors import DosetrailError
from store.protocol import Protocol
from store.protocol_file import parse_protocol
from store.vocabulary import QUARANTINE_REASONS

TRIES = int(os.environ.get("DOSETRAIL_FUZZ", "2"))
"""Damages of each file."""
SECONDS = 5.0
"""That one small file may take, on a busy machine."""

Rows = set[tuple[Any, ...]]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system that cannot hand a file to a child: a refusal costs a child half a second."""
    monkeypatch.delattr(os, "memfd_create")


@cache
def protocol() -> Protocol:
    book = '[[source]]\nname = "book"\npattern = "people.xlsx"\nformat = "enrolment"\n'
    return parse_protocol(PROTOCOL + book, Path("protocol.toml")).protocol


@cache
def corpus() -> dict[str, bytes]:
    """Name -> bytes of a whole file of every format."""
    files = {name: make() for name, make in FILES.items()}
    files |= {path.name: path.read_bytes() for path in sorted(LAYOUT_EXAMPLES.glob("*.csv"))}
    formats = sample_data.path("autoinjector_formats")
    files |= {f"sdtm {path.name}": path.read_bytes() for path in sorted(formats.iterdir()) if path.stem == "dm"}
    book = io.BytesIO()
    pl.DataFrame({"subject_id": ["S1", "S2"], "site_id": ["B", "B"]}).write_excel(book)
    files["people.xlsx"] = book.getvalue()
    files["ds.ndjson"] = (sample_data.path("autoinjector") / "ds.ndjson").read_bytes()
    return files


def read(folder: Path, name: str, data: bytes) -> tuple[Parsed, Rows] | None:
    """A file as an import reads it: what it holds, and its rows with their table; None where it is refused."""
    path = folder / name
    path.write_bytes(data)
    [found] = find_inputs([path], protocol().source)
    if found.importer is None or found.recognised is None:
        assert found.error or found.ignored
        return None
    file = SourceFile(path, name, hashlib.sha256(data).hexdigest())
    started = time.monotonic()
    with duckdb.connect() as con:
        try:
            parsed = apart.parse(found.importer, file, found.recognised, ReadContext(protocol(), found.source, con))
        except DosetrailError as error:
            assert error.message and error.remedy
            return None
        finally:
            assert time.monotonic() - started < SECONDS
        tables = {table: _frame(con, rows) for table, rows in parsed.tables.items()}
        refused = None if parsed.rejected is None else _frame(con, parsed.rejected)
    lines: set[int] = set()
    rows: Rows = set()
    for table, frame in tables.items():
        lines |= set(frame["line"].to_list())
        filled = [column for column in sorted(frame.columns) if frame[column].dtype != pl.Null]
        for row in frame.select(filled).iter_rows(named=True):
            # A device that the file does not name is called after the file.
            texts = (
                (key, str(value).replace(file.source_id, "FILE")) for key, value in row.items() if value is not None
            )
            rows.add((table, *texts))
    waiting = set() if refused is None else set(refused["line"].to_list())
    assert not lines & waiting
    assert parsed.rows_read == len(lines | waiting)
    if refused is not None:
        assert set(refused["reason"].to_list()) <= set(QUARANTINE_REASONS)
    return parsed, rows


def _frame(con: duckdb.DuckDBPyConnection, rows: pl.DataFrame | Staged) -> pl.DataFrame:
    return con.sql(f'FROM "{rows.table}"').pl() if isinstance(rows, Staged) else rows


def damages(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """Bytes flipped, cut out, doubled or put elsewhere, lines swapped, cells emptied, bytes of other encodings."""
    while True:
        broken = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 5))):
            place, length = chance.randrange(len(broken) + 1), chance.choice((1, 1, 3, 20, 200))
            match chance.randrange(8):
                case 0:
                    broken[place : place + 1] = bytes([chance.randrange(256)])
                case 1:
                    del broken[place : place + length]
                case 2:
                    broken[place:place] = broken[place : place + length]
                case 3:
                    broken[place:place] = chance.choice(
                        (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b'"', b"'", b"\r", b"\x1b[2J")
                    )
                case 4:
                    broken[place : place + 1] = chance.choice(
                        (b",", b";", b"\t", b"|", b"\n", b"-", b"9" * 40, b"1e999")
                    )
                case 5:
                    lines = bytes(broken).split(b"\n")
                    chance.shuffle(lines)
                    broken = bytearray(b"\n".join(lines))
                case 6:
                    other = chance.randrange(len(broken) + 1)
                    broken[other:other] = broken[place : place + length]
                case 7:
                    for sign in b"0123456789":
                        if chance.random() < 0.2:
                            broken = broken.replace(bytes([sign]), chance.choice((b"", b"x", b"-1", b"1e9")), 3)
            broken = broken or bytearray(b"x")
        yield bytes(broken)


@pytest.mark.parametrize("name", sorted(corpus()))
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    found = read(tmp_path, name, corpus()[name])
    assert found is not None and found[1]


@pytest.mark.parametrize("name", sorted(corpus()))
def test_damaged_files_are_refused_or_accounted_for(name: str, tmp_path: Path) -> None:
    data = corpus()[name]
    for seed in range(TRIES):
        broken = next(damages(data, random.Random(f"{name} {seed}")))
        try:
            read(tmp_path, name, broken)
        except Exception as error:
            raise AssertionError(f"seed {seed} of {name}: {broken[:3000]!r}") from error


EVERY_LENGTH = ("doses.csv", "patch_injector.csv", next(name for name in FILES if name.startswith("loop")))


def cuts(name: str) -> list[int]:
    """Every length of three of the files (here every 19th, and near the end); of the others, some lengths."""
    data = corpus()[name]
    size, chance = len(data), random.Random(name)
    if name in EVERY_LENGTH:
        return [*range(1, size, 1 if TRIES > 2 else 19), size - 2, size - 1]
    chosen = sorted({*(chance.randrange(1, size) for _ in range(2 * TRIES)), size - 1, size - 2})
    # HL7 has no mark for the end of a message: one cut between two segments looks whole.
    return [length for length in chosen if not (name.endswith(".hl7") and data[length - 1] in b"\r\n")]


@pytest.mark.parametrize("name", sorted(corpus()))
def test_a_file_cut_short_holds_no_row_that_the_whole_does_not(name: str, tmp_path: Path) -> None:
    data = corpus()[name]
    whole = read(tmp_path, name, data)
    assert whole is not None
    for length in cuts(name):
        found = read(tmp_path, name, data[:length])
        if found is not None:
            # What a device is, and whether its last basal rate goes on, may follow from a row that comes later.
            more = {
                row
                for row in found[1] - whole[1]
                if row[0] != "device_property" and ("status", "in_progress") not in row
            }
            assert not more, length
