"""Records of delimited text (RFC 4180), line by line with their physical line numbers.

This is the exact reader: slower than DuckDB's, but it knows the line of every record. It reads heads of files, and
whole files where a record is not simply a line: quoted line breaks, blank lines, stray quotes, bad bytes. A quoted cell
may span lines only where the record it makes is well formed; otherwise its first line is rejected and reading goes on
with the next line, so that one stray quote cannot swallow the rest of a file.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from importers.base import LINE_LIMIT, UnreadableFile

CELL_LIMIT = 1 << 20
"""Bytes of one cell; no value of a log or a form is longer."""
SPAN_LIMIT = 2_000
"""Lines a quoted cell may span."""

Fault = Literal["missing_columns", "too_many_columns", "too_long", "bad_encoding", "unreadable"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record or one faulty line: ``first`` to ``last`` are its physical lines, 1-based."""

    first: int
    last: int
    raw: bytes
    cells: tuple[bytes, ...] = ()
    fault: Fault | None = None
    message: str = ""

    def texts(self) -> tuple[str, ...]:
        return tuple(cell.decode("utf-8", "backslashreplace") for cell in self.cells)


def read_lines(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Physical lines without their line feed; raises ``UnreadableFile`` for one over ``LINE_LIMIT``."""
    parts: list[bytes] = []
    size = number = 0
    for block in blocks:
        *whole, rest = block.split(b"\n")
        for line in whole:
            number += 1
            if parts:
                parts.append(line)
                line = b"".join(parts)
                parts, size = [], 0
            if len(line) > LINE_LIMIT:
                raise line_too_long(name, number)
            yield line
        if rest:
            parts.append(rest)
            size += len(rest)
            if size > LINE_LIMIT:
                raise line_too_long(name, number + 1)
    if parts:
        yield b"".join(parts)


def line_too_long(name: str, line: int) -> UnreadableFile:
    return UnreadableFile(
        f"{name}: line {line} is longer than {LINE_LIMIT >> 20} MB, so this is no table with one row on a line.",
        remedy="Check how the file was exported; its line ends may have been lost.",
        line=line,
    )


class NumberedLines:
    """Lines with their physical numbers, which can be put back."""

    def __init__(self, lines: Iterable[bytes], first_line: int = 1) -> None:
        self._numbered = enumerate(lines, first_line)
        self._waiting: deque[tuple[int, bytes]] = deque()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return self._waiting.popleft() if self._waiting else next(self._numbered)

    def put_back(self, items: list[tuple[int, bytes]]) -> None:
        self._waiting.extendleft(reversed(items))


def read_records(lines: Iterable[bytes], delimiter: str, width: int | None, *, first_line: int = 1) -> Iterator[Record]:
    """Records and faulty lines in order; blank lines are none of them.

    ``width``: cells a record must have; None accepts any number (heads of files).
    """
    numbered = NumberedLines(lines, first_line)
    for number, line in numbered:
        record = read_record(number, line, numbered, delimiter.encode(), width)
        if record is not None:
            yield record


def read_record(number: int, line: bytes, following: NumberedLines, sign: bytes, width: int | None) -> Record | None:
    """The record that starts with this line, with as many of the following lines as it needs; None for a blank line."""
    text = line[:-1] if line.endswith(b"\r") else line
    if not text:
        return None
    if b'"' not in text:
        return _judge(number, number, text, tuple(text.split(sign)), width)
    cells = split_cells(text, sign)
    if cells == "open":
        taken = [(number, line)]
        cells = _continue(taken, following, sign, width)
        if isinstance(cells, tuple):
            raw = b"\n".join(part for _, part in taken).removesuffix(b"\r")
            return _judge(number, taken[-1][0], raw, cells, width)
        following.put_back(taken[1:])
    if isinstance(cells, tuple):
        return _judge(number, number, text, cells, width)
    return Record(number, number, text, fault="unreadable", message=_UNREADABLE[cells])


_UNREADABLE = {
    "open": "a quote is opened and never closed",
    "broken": "text follows a closing quote",
}


def _continue(
    taken: list[tuple[int, bytes]], following: NumberedLines, sign: bytes, width: int | None
) -> tuple[bytes, ...] | Literal["open", "broken"]:
    """Add lines to an open record until it closes; ``taken`` starts with its first line and receives the others."""
    size = len(taken[0][1])
    parts = [taken[0][1]]
    while len(taken) <= SPAN_LIMIT and size <= CELL_LIMIT:
        item = next(following, None)
        if item is None:
            return "open"
        taken.append(item)
        parts.append(item[1])
        size += len(item[1]) + 1
        if b'"' not in item[1]:
            continue
        cells = split_cells(b"\n".join(parts).removesuffix(b"\r"), sign)
        if cells == "open":
            continue
        if isinstance(cells, tuple) and width is not None and len(cells) != width:
            return "open"
        return cells
    return "open"


def split_cells(text: bytes, sign: bytes) -> tuple[bytes, ...] | Literal["open", "broken"]:
    """Cells of a record that holds quotes; ``open``: its last quote is not closed; ``broken``: text after one."""
    cells: list[bytes] = []
    at = 0
    while True:
        start = at
        while text[start : start + 1] == b" ":
            start += 1
        if text[start : start + 1] != b'"':
            end = text.find(sign, at)
            if end < 0:
                cells.append(text[at:])
                return tuple(cells)
            cells.append(text[at:end])
            at = end + len(sign)
            continue
        close = _closing_quote(text, start + 1)
        if close < 0:
            return "open"
        cells.append(text[start + 1 : close].replace(b'""', b'"'))
        end = close + 1
        while text[end : end + 1] == b" ":
            end += 1
        if end == len(text):
            return tuple(cells)
        if not text.startswith(sign, end):
            return "broken"
        at = end + len(sign)


def _closing_quote(text: bytes, at: int) -> int:
    while True:
        close = text.find(b'"', at)
        if close < 0 or text[close + 1 : close + 2] != b'"':
            return close
        at = close + 2


def _judge(first: int, last: int, raw: bytes, cells: tuple[bytes, ...], width: int | None) -> Record:
    if width is not None and len(cells) != width:
        fault: Fault = "missing_columns" if len(cells) < width else "too_many_columns"
        return Record(first, last, raw, cells, fault, count_message(len(cells), width))
    if not raw.isascii() and not _is_utf8(raw):
        return Record(first, last, raw, cells, "bad_encoding", "bytes that are not UTF-8; declare the encoding")
    if len(raw) > CELL_LIMIT and max(map(len, cells)) > CELL_LIMIT:
        return Record(first, last, raw, cells, "too_long", f"a cell is longer than {CELL_LIMIT >> 20} MB")
    return Record(first, last, raw, cells)


def count_message(found: int, expected: int) -> str:
    return f"{found} cell{'s' if found != 1 else ''} where the header has {expected} columns"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def joined(cells: Iterable[bytes], sign: bytes) -> bytes:
    """A record with every cell in quotes, for a reader that must not trip over what the cells hold."""
    return sign.join(b'"' + cell.replace(b'"', b'""') + b'"' for cell in cells)


class LineIndex:
    """Where lines are in a file: for every 32 KB, how many line feeds stand before. 1 MB for a file of 2 GB."""

    STEP = 1 << 15

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._before: list[int] = []
        self.size = 0
        self.newlines = 0

    def add(self, block: bytes) -> int:
        """Take in the next bytes of the file; returns how many line feeds they hold."""
        found = 0
        for start in range(0, len(block), self.STEP):
            self._offsets.append(self.size + start)
            self._before.append(self.newlines + found)
            found += block.count(b"\n", start, start + self.STEP)
        self.size += len(block)
        self.newlines += found
        return found

    def fetch(self, path: Path, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """The raw text of lines: for each (first, last) of ``spans``, in ascending order, the first and its bytes."""
        base, lines, at_end, held = 0, [b""], False, -1
        with path.open("rb", buffering=0) as stream:
            for first, last in spans:
                # The step before the line's own: a line may start in one step and end in the next.
                step = max(bisect.bisect_right(self._before, max(first - 2, 0)) - 1, 0)
                if step != held:
                    stream.seek(self._offsets[step])
                    base, held = self._before[step], step
                    data = stream.read(self.STEP)
                    lines, at_end = data.split(b"\n"), not data
                while base + len(lines) <= last and not at_end:
                    data = stream.read(self.STEP)
                    at_end = not data
                    rest = (lines.pop() + data).split(b"\n")
                    lines += rest
                yield first, b"\n".join(lines[first - base - 1 : last - base]).removesuffix(b"\r")
