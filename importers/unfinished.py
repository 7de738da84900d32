"""A table that ends inside a line: whether the line was cut cannot be seen from its cells, so it waits in quarantine.

``12`` may be all of a dose or the beginning of ``12.5``. Every row before it is read; the last one is taken up by the
next export that holds it whole. JSON, XML, HL7 and binary carriers say themselves where they end.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from importers.base import REJECTED_COLUMNS, Parsed, SourceFile, Staged, UnreadableFile
from importers.scratch import scratch_folder
from importers.unpacking import is_packed, read_blocks, unpack_head
from store.errors import write_error

if TYPE_CHECKING:
    import duckdb

_HEAD = 4_096
_OTHER_CARRIERS = (b"{", b"[", b"<", b"MSH|", b"FHS|", b"BHS|", b"HEADER RECORD")
_BLANK = b' \t\r\n,;|"\0\x1a\xa0'
"""What may follow the last line end without being a row: separators of empty cells, a DOS end of file."""
_MESSAGE = (
    "the file ends inside this line, which may have been cut; it is read from an export that goes on, or that has a "
    "line end here"
)


@dataclass(frozen=True)
class Unfinished:
    """The line in which a file ends, 1-based, and the (unpacked) bytes before it."""

    line: int
    before: int


@contextmanager
def whole_lines(file: SourceFile, con: duckdb.DuckDBPyConnection) -> Iterator[tuple[SourceFile, Unfinished | None]]:
    """The file, or where it is a table that ends inside a line, a copy of the lines before it."""
    found = find_unfinished(file.path, file.name)
    if found is None:
        yield file, None
        return
    with scratch_folder(con) as scratch:
        copy = scratch / "whole-lines.txt"
        left = found.before
        try:
            with copy.open("wb") as target:
                for block in read_blocks(file.path, file.name):
                    target.write(block[:left])
                    left -= min(left, len(block))
                    if not left:
                        break
        except OSError as error:
            raise write_error(error, f"The text of {file.name}") from error
        yield replace(file, path=copy), found


def find_unfinished(path: Path, name: str) -> Unfinished | None:
    """Where a delimited text ends inside a line; None for other carriers, and for a single line."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        stream.seek(-min(2, path.stat().st_size), 2)
        end = stream.read()
    packed = is_packed(head)
    start = unpack_head(head) if packed else head
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not text or text.startswith(_OTHER_CARRIERS) or (b"\0" in start and not wide):
        return None
    if not packed and end.rstrip(b"\0")[-1:] in (b"\n", b"\r"):
        return None
    return _measure(read_blocks(path, name), wide=wide)


def _measure(blocks: Iterator[bytes], *, wide: bool) -> Unfinished | None:
    feeds = returns = size = after_feed = after_return = 0
    rest = b""
    for block in blocks:
        feeds, returns = feeds + block.count(b"\n"), returns + block.count(b"\r")
        last_feed, last_return = block.rfind(b"\n"), block.rfind(b"\r")
        after_feed = after_feed if last_feed < 0 else size + last_feed + 1
        after_return = after_return if last_return < 0 else size + last_return + 1
        rest = rest + block if max(last_feed, last_return) < 0 else block[max(last_feed, last_return) + 1 :]
        size += len(block)
    ends, before = (feeds, after_feed) if feeds else (returns, after_return)
    if not ends or not rest.strip(_BLANK):
        return None
    return Unfinished(ends + 1, before + 1 if wide and before % 2 else before)


def with_unfinished(parsed: Parsed, found: Unfinished, con: duckdb.DuckDBPyConnection) -> Parsed:
    """The file as read, and its last line rejected."""
    values = {"line": found.line, "table_name": next(iter(parsed.tables), None), "reason": "unreadable",
              "message": _MESSAGE}  # fmt: skip
    row = pl.DataFrame(
        [[values.get(name) for name in REJECTED_COLUMNS]],
        schema={name: pl.Int64 if name == "line" else pl.String for name in REJECTED_COLUMNS},
        orient="row",
    )
    rejected = parsed.rejected
    if isinstance(rejected, Staged):
        con.register("unfinished_row", row)
        con.execute(f'INSERT INTO "{rejected.table}" BY NAME FROM unfinished_row')
        con.unregister("unfinished_row")
    elif rejected is None:
        rejected = row
    else:
        rejected = pl.concat([rejected, row], how="diagonal_relaxed")
    return replace(parsed, rejected=rejected, rows_read=parsed.rows_read + 1)


def cut_off(name: str, found: Unfinished, error: UnreadableFile) -> UnreadableFile:
    """Nothing can be read of what stands before the line in which a file ends."""
    return UnreadableFile(
        f"{name} ends inside its line {found.line}. Without that line: {error.message}",
        effect=error.effect,
        remedy="Export it again, to its end; where its writer leaves out the last line end, add it.",
        line=found.line,
    )
