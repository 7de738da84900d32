"""Delimited text as vendors' clouds write it: byte order marks, sections, short and long rows, with physical line
numbers.

A section is read by polars in one go when the separators of every line say that its row is whole; only
otherwise row by row (20 times slower), so that a broken row is named by its line instead of being padded or cut
in silence.
"""

from __future__ import annotations

import csv
import io
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import LINE_LIMIT, UnreadableFile

if TYPE_CHECKING:
    import polars as pl

_MARKS = (b"\xef\xbb\xbf", b"\xc3\xaf\xc2\xbb\xc2\xbf")
"""A byte order mark, and one that was taken for Windows-1252 and encoded once more."""


@dataclass
class VendorText:
    """The bytes of a file as UTF-8 with LF or CRLF line ends, and what had to be assumed to get there."""

    data: bytes
    notes: list[str] = field(default_factory=list)

    def lines(self, limit: int) -> list[tuple[int, int, str]]:
        """The first ``limit`` lines: line number, offset, text without its end."""
        found: list[tuple[int, int, str]] = []
        offset = 0
        for number in range(1, limit + 1):
            if offset >= len(self.data):
                break
            end = self.data.find(b"\n", offset)
            end = len(self.data) if end < 0 else end
            found.append((number, offset, self.data[offset:end].decode("utf-8", "replace").rstrip("\r")))
            offset = end + 1
        return found


@dataclass
class SectionRows:
    """Rows of one section. ``frame``: line (Int64) and the wanted columns as text, empty text NULL. ``broken``:
    line, reason, message of rows that have too few or too many fields.
    """

    frame: pl.DataFrame
    broken: list[tuple[int, str, str]] = field(default_factory=list)


def read_text(path: Path) -> VendorText:
    """A whole file as text; raises ``UnreadableFile`` when it is empty, no text or has a line over ``LINE_LIMIT``."""
    return decode_text(_read_lines(path))


def _read_lines(path: Path) -> bytes:
    """The bytes of a file, not even read where a line is too long to be one of a table."""
    if not path.stat().st_size:
        return b""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start, size = 0, len(data)
        while size - start > LINE_LIMIT:
            end = data.rfind(b"\n", start, start + LINE_LIMIT + 1)
            if end < 0:
                line = data[:start].count(b"\n") + 1
                raise UnreadableFile(
                    f"Line {line} is longer than {LINE_LIMIT >> 20} MB, so this is no table.",
                    remedy="Check what the file is; nothing of it was taken.",
                    line=line,
                )
            start = end + 1
        return data[:]


def decode_text(data: bytes) -> VendorText:
    """Bytes to ``VendorText``: marks removed, UTF-16 and Windows-1252 turned into UTF-8, lone CR into LF."""
    notes: list[str] = []
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    for mark in _MARKS:
        data = data.removeprefix(mark)
    if b"\x00" in data[:4096] or not data.strip():
        raise UnreadableFile("The file is empty or no text.", remedy="Export it again; nothing of it was taken.")
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            data = data.decode("cp1252", "replace").encode()
            notes.append("The file is not UTF-8; it was read as Windows-1252.")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return VendorText(data, notes)


def split_line(text: str, separator: str) -> list[str]:
    """Fields of one line, without blanks around them and without marks that survived in the first."""
    csv.field_size_limit(LINE_LIMIT)
    # A return inside a line is no line end, and would break the reader off.
    fields = next(csv.reader([text.replace("\r", " ")], delimiter=separator), [])
    return [value.strip().strip('"\u00ef\u00bb\u00bf\ufeff').strip() for value in fields]


def read_section(
    data: bytes,
    first_line: int,
    width: int,
    separator: str,
    wanted: Mapping[str, int],
    *,
    may_end_empty: bool = False,
) -> SectionRows:
    """Rows of a section whose lines start at ``first_line`` and have ``width`` fields.

    ``wanted``: column name -> position. ``may_end_empty``: one more, empty field at the end of a row is no fault.
    """
    begin = _skip(data, 0, 1)
    first_line += data.count(b"\n", 0, begin)
    body = data[begin : _skip(data, len(data) - 1, -1) + 1]
    if not body.strip():
        return SectionRows(_frame([], wanted))
    fast = None if may_end_empty else _read_whole(body, first_line, width, separator, wanted)
    return (
        SectionRows(fast)
        if fast is not None
        else _read_row_by_row(body, first_line, width, separator, wanted, may_end_empty)
    )


def _skip(data: bytes, place: int, step: int) -> int:
    """The next place, from one on, that is no line end."""
    while 0 <= place < len(data) and data[place] in b"\r\n":
        place += step
    return place


def _read_whole(
    body: bytes, first_line: int, width: int, separator: str, wanted: Mapping[str, int]
) -> pl.DataFrame | None:
    """All rows at once; None unless every line is one row of exactly ``width`` fields."""
    import polars as pl

    rows = body.count(b"\n") + 1
    mark = separator.encode()
    bare = _quoted_fields(mark).sub(b"x", body) if b'"' in body else body
    # polars pads rows that are too short and cuts those that are too long, so every line is counted before.
    if b'"' in bare or set(map(methodcaller("count", mark), io.BytesIO(bare))) != {width - 1}:
        return None
    names = {position: name for name, position in wanted.items()}
    try:
        frame = pl.read_csv(
            body,
            has_header=False,
            separator=separator,
            schema={f"c{position}": pl.String for position in range(width)},
            columns=sorted(names),
            quote_char='"' if b'"' in body else None,
        )
    except pl.exceptions.PolarsError:
        return None
    if frame.height != rows:
        return None
    frame = frame.select(pl.col(f"c{position}").alias(name) for position, name in sorted(names.items()))
    if b'""' in body:
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    # In one piece: polars 2.1 breaks off in str.format of filtered frames whose columns are cut at different places.
    return frame.with_row_index("line", offset=first_line).cast({"line": pl.Int64}).rechunk()


def _quoted_fields(mark: bytes) -> re.Pattern[bytes]:
    """Whole fields in quotes that stay on one line; a quote left beside them is one the vendor meant otherwise."""
    return re.compile(rb'"(?<![^%b\n]")(?:[^"\n]|"")*"(?=[%b\r\n]|\Z)' % (mark, mark))


def _read_row_by_row(
    body: bytes, first_line: int, width: int, separator: str, wanted: Mapping[str, int], may_end_empty: bool
) -> SectionRows:
    rows: list[tuple[int | str | None, ...]] = []
    broken: list[tuple[int, str, str]] = []
    positions = list(wanted.values())
    for line, fields in _csv_rows(body, first_line, separator):
        if len(fields) == width + 1 and may_end_empty and not fields[-1].strip():
            fields.pop()
        if not any(value.strip() for value in fields):
            continue
        if len(fields) != width:
            reason = "too_many_columns" if len(fields) > width else "missing_columns"
            broken.append((line, reason, f"the row has {len(fields)} fields where its table has {width}"))
            continue
        rows.append((line, *(fields[position].strip() or None for position in positions)))
    return SectionRows(_frame(rows, wanted), broken)


def _csv_rows(body: bytes, first_line: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LINE_LIMIT)
    reader = csv.reader(io.StringIO(body.decode("utf-8"), newline=""), delimiter=separator)
    while True:
        line = first_line + reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnreadableFile(
                f"Line {line} cannot be taken apart: {error}.",
                remedy="Export the file again; nothing of it was taken.",
                line=line,
            ) from None
        yield line, fields


def _frame(rows: Sequence[tuple[int | str | None, ...]], wanted: Mapping[str, int]) -> pl.DataFrame:
    import polars as pl

    schema = {"line": pl.Int64, **dict.fromkeys(wanted, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")
