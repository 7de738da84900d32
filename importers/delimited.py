"""Delimited text as a carrier: what is in the bytes before any cell is given a meaning.

A file is read once for what decides how it can be parsed: compression, encoding, length of its lines, quotes, how many
lines there are (0.4 s for 700 MB). Plain UTF-8 is then parsed where it lies; anything else is first written out as
plain UTF-8. No line over ``LINE_LIMIT`` and no endless decompression reaches a parser.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import LINE_LIMIT, UnreadableFile
from importers.records import (
    CELL_LIMIT,
    LineIndex,
    NumberedLines,
    Record,
    count_message,
    joined,
    line_too_long,
    read_lines,
    read_record,
    read_records,
)
from importers.unpacking import (
    bom_encoding,
    find_codec,
    is_packed,
    read_blocks,
    recode,
    unpack_head,
)
from store.errors import write_error

if TYPE_CHECKING:
    from store.protocol import Source

SAMPLE_ROWS = 1_000
FAULTS_ALLOWED = 100_000
"""Rows with the wrong number of cells up to which their share does not matter."""
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Delimited:
    """A delimited file, ready to be parsed: plain text in UTF-8 (with bad bytes where ``is_utf8`` is false)."""

    path: Path
    name: str
    """Name as received, for messages."""
    header: tuple[str, ...]
    delimiter: str
    header_end: int
    """Last line of the header; data start on the next."""
    lines: int
    """Physical lines, without blank ones at the end."""
    longest: int
    """Bytes of the longest line; a lower bound under 1 MB."""
    has_quotes: bool
    is_utf8: bool
    index: LineIndex
    sample: tuple[tuple[str, ...], ...]
    """The first rows with the right number of cells, as text."""

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the plain text."""
        return read_blocks(self.path, self.name)

    def fetch(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """The first line and the raw bytes of each (first line, last line) of ``spans``, which ascend."""
        return self.index.fetch(self.path, spans)


@contextmanager
def open_delimited(path: Path, name: str, source: Source | None, scratch: Path) -> Iterator[Delimited]:
    """The delimited text in ``path``; what must be unpacked or recoded is written to ``scratch`` meanwhile.

    Raises ``UnreadableFile``: empty, truncated, packed beyond the limits, no text, unknown encoding, a line over the
    limit, no row with as many cells as the header; DiskFull or WriteFailed where ``scratch`` takes no more.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    encoding = bom_encoding(head) or find_codec(source.encoding if source else "utf-8", name)
    if not is_packed(head) and encoding == "utf-8":
        measure = _measure(read_blocks(path, name), name)
        if not measure.ends_in_returns:
            yield _describe(path, name, source, measure)
            return
    copy = scratch / "plain.txt"
    try:
        measure = _write_plain(path, copy, name, encoding, returns=False)
        if measure.ends_in_returns:
            measure = _write_plain(path, copy, name, encoding, returns=True)
        yield _describe(copy, name, source, measure)
    finally:
        copy.unlink(missing_ok=True)


def head_names(head: bytes) -> tuple[str, ...]:
    """Column names in the first bytes of a file; empty where they are no delimited text."""
    text = unpack_head(head)
    if b"\0" in text[:1_000]:
        return ()
    lines = text.removeprefix(codecs.BOM_UTF8).splitlines()
    found = _find_header(lines, None)
    return tuple(cell.strip() for cell in found[0].texts()) if found else ()


def find_delimiter(header: str) -> str:
    """The delimiter that occurs most often in a header outside quotes; a comma where none does."""
    bare = "".join(part for index, part in enumerate(header.split('"')) if index % 2 == 0)
    return max(DELIMITERS, key=bare.count)


@dataclass
class _Measure:
    """What one pass over the bytes finds."""

    lines: int = 0
    longest: int = 0
    has_quotes: bool = False
    ends_in_returns: bool = False
    """Lines end in a carriage return alone (Mac OS 9, some instruments)."""
    is_utf8: bool = True
    index: LineIndex = field(default_factory=LineIndex)


def _measure(blocks: Iterable[bytes], name: str) -> _Measure:
    found = _Measure()
    blank_end = open_line = 0
    returns = ascii_only = True
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blocks:
        count = found.index.add(block)
        # Lines inside one block are shorter than a cell may be, so only those that cross its edges are measured.
        end = block.rfind(b"\n") if count or not returns else block.rfind(b"\r")
        first = end if end < 0 else block.find(b"\n" if count or not returns else b"\r")
        found.longest = max(found.longest, open_line + (len(block) if end < 0 else first))
        open_line = open_line + len(block) if end < 0 else len(block) - end - 1
        if max(found.longest, open_line) > LINE_LIMIT:
            raise line_too_long(name, found.index.newlines - count + 1)
        returns = returns and not count
        content = block.rstrip(b"\r\n")
        blank_end = block.count(b"\n", len(content)) + (0 if content else blank_end)
        found.has_quotes = found.has_quotes or b'"' in block
        found.ends_in_returns = found.ends_in_returns or (returns and b"\r" in block)
        if found.is_utf8 and not (ascii_only and block.isascii()):
            ascii_only = False
            found.is_utf8 = _decodes(decoder, block)
    found.is_utf8 = found.is_utf8 and _decodes(decoder, b"", final=True)
    found.lines = found.index.newlines - blank_end + 1
    found.ends_in_returns = found.ends_in_returns and not found.index.newlines
    return found


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _write_plain(path: Path, copy: Path, name: str, encoding: str, *, returns: bool) -> _Measure:
    def written() -> Iterator[bytes]:
        for block in recode(read_blocks(path, name), encoding):
            if returns:
                block = block.replace(b"\r", b"\n")
            target.write(block)
            yield block

    try:
        with copy.open("wb") as target:
            return _measure(written(), name)
    except OSError as error:
        raise write_error(error, f"The unpacked text of {name}") from error


def _describe(path: Path, name: str, source: Source | None, measure: _Measure) -> Delimited:
    declared = source.delimiter if source else None
    if declared is not None and len(declared) != 1:
        raise UnreadableFile(
            f"The delimiter {declared!r} declared for {name} is not one character.",
            remedy='Write for example delimiter = ";" in its [[source]], or leave it out.',
            delimiter=declared,
        )
    lines = list(itertools.islice(read_lines(read_blocks(path, name), name), SAMPLE_ROWS + 20))
    lines[0] = lines[0].removeprefix(codecs.BOM_UTF8).removeprefix(codecs.BOM_UTF8)
    found = _find_header(lines, declared)
    if found is None:
        raise UnreadableFile(f"{name} holds nothing but blank lines.", remedy="Export it again.")
    record, delimiter = found
    header = tuple(cell.strip() for cell in record.texts())
    head = Delimited(
        path, name, header, delimiter, record.last, measure.lines, measure.longest, measure.has_quotes,
        measure.is_utf8, measure.index, (),
    )  # fmt: skip
    rows = list(read_records(lines[record.last :], delimiter, len(header), first_line=record.last + 1))
    _check_width(name, rows, header)
    return replace(head, sample=tuple(row.texts() for row in rows if row.fault is None))


def _find_header(lines: list[bytes], delimiter: str | None) -> tuple[Record, str] | None:
    """The first record that is not blank, and the delimiter."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return None
    delimiter = delimiter or find_delimiter(first.decode("utf-8", "replace"))
    record = next((r for r in read_records(lines, delimiter, None) if r.raw.strip()), None)
    if record is None or not record.cells:
        return None
    return record, delimiter


def _check_width(name: str, rows: list[Record], header: tuple[str, ...]) -> None:
    """Refuse a file none of whose first rows fits its header: all of them would be rejected one by one."""
    counts = {len(row.cells) for row in rows}
    if len(rows) >= 20 and len(counts) == 1 and len(header) not in counts:
        found = counts.pop()
        raise UnreadableFile(
            f"{name}: every row has {count_message(found, len(header))}.",
            remedy="Check the delimiter in its [[source]], and whether its rows end in a delimiter the header lacks.",
            found=found,
            expected=len(header),
        )


def needs_exact_reader(text: Delimited) -> bool:
    """Whether lines may be longer than the fast reader takes; all else is found out by counting."""
    return text.longest > CELL_LIMIT


def check_faults(text: Delimited, count: int) -> None:
    """Refuse a file most of whose rows are no rows: each would be kept in quarantine with its text."""
    if count > FAULTS_ALLOWED and count * 2 > text.lines:
        raise UnreadableFile(
            f"{text.name}: more than half of its {text.lines:,} lines do not have the {len(text.header)} cells of its "
            "header.",
            remedy="Check the delimiter in its [[source]] and how the file was exported.",
            rows=count,
        )


def write_exact(text: Delimited, copy: Path) -> tuple[int, list[Record]]:
    """Rewrite the data rows for the fast reader, each with its first and last line in front; no header.

    Every cell that holds a quote, a line break or a return is quoted anew, so nothing is left to interpret. Returns
    the number of rows written and the faulty records. Takes about 1 s for a million rows.
    """
    sign, width = text.delimiter.encode(), len(text.header)
    rest = itertools.islice(read_lines(text.blocks(), text.name), text.header_end, None)
    lines = NumberedLines(rest, text.header_end + 1)
    faulty: list[Record] = []
    rows = 0
    try:
        with copy.open("wb") as target:
            for number, line in lines:
                bare = line[:-1] if line[-1:] == b"\r" else line
                simple = bare.count(sign) == width - 1 and b'"' not in bare and b"\r" not in bare and width > 1
                if simple and len(bare) < CELL_LIMIT and (text.is_utf8 or bare.isascii()):
                    target.write(b"%d%b%d%b%b\n" % (number, sign, number, sign, bare))
                    rows += 1
                    continue
                record = read_record(number, line, lines, sign, width)
                if record is None:
                    continue
                if record.fault is not None:
                    faulty.append(replace(record, raw=b"", cells=()))
                    check_faults(text, len(faulty))
                    continue
                rows += 1
                target.write(b"%d%b%d%b%b\n" % (record.first, sign, record.last, sign, joined(record.cells, sign)))
    except OSError as error:
        raise write_error(error, f"The text of {text.name}") from error
    return rows, faulty
