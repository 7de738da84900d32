"""CDISC Dataset-JSON 1.1 (specification of 2024-12-05): ``.json``, ``.ndjson`` and ``.dsjc``.

Read as files are, not as they should be: compressed files that are gzip where the specification says zlib,
creation times without seconds, ``[]`` for empty, numbers as text. A count of records that disagrees with
the rows is an error.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from importers.base import LINE_LIMIT, UnreadableFile
from importers.data_set import CellProblem, DataSet, DataSetHead, level_number, level_text, text_frame

DOCUMENT_LIMIT = 256 * 1024 * 1024
"""A ``.json`` document is held in memory as a whole, ten times its size; larger data sets come as NDJSON."""

_NUMBER_TYPES = frozenset({"integer", "decimal", "float", "double"})
_GZIP = b"\x1f\x8b"
_BLOCK = 1024 * 1024
_HEAD_LIMIT = 1024 * 1024


def read_head(head: bytes) -> DataSetHead | None:
    """Data set name and variables from a file's first bytes; None when they start no Dataset-JSON file."""
    members = top_level(_inflated_head(head))
    if not isinstance(members.get("datasetJSONVersion"), str):
        return None
    name = _data_set_name(members)
    if name is None:
        return None
    columns = members.get("columns")
    names = tuple(_column_name(column) for column in columns) if isinstance(columns, list) else ()
    return DataSetHead(name, names)


def is_dataset_json(head: bytes) -> bool:
    """Whether the bytes start a Dataset-JSON file, readable or not."""
    return "datasetJSONVersion" in top_level(_inflated_head(head))


def top_level(head: bytes) -> dict[str, Any]:
    """Members of the JSON object that starts the bytes, as far as they are complete.

    A member cut off by the end of the bytes is left out, so that a document can be judged from its first
    part.
    """
    text = head.decode(json.detect_encoding(head), errors="replace")
    decoder = json.JSONDecoder()
    members: dict[str, Any] = {}
    position = _skip_blanks(text, 0)
    if not text.startswith("{", position):
        return members
    position += 1
    while True:
        position = _skip_blanks(text, position)
        try:
            key, position = decoder.raw_decode(text, position)
            position = _skip_blanks(text, position)
            if not isinstance(key, str) or not text.startswith(":", position):
                return members
            value, position = decoder.raw_decode(text, _skip_blanks(text, position + 1))
        except (ValueError, RecursionError):
            return members
        members[key] = value
        position = _skip_blanks(text, position)
        if not text.startswith(",", position):
            return members
        position += 1


def read_data_set(path: Path, name: str) -> DataSet:
    """Read a Dataset-JSON file of any of its three forms; ``name`` is the file's name for messages.

    A row that cannot be read (broken JSON, other number of cells, nested values, over ``LINE_LIMIT``)
    becomes a ``CellProblem``. Raises ``UnreadableFile`` when the file cannot be read as a whole or holds
    another number of rows than it declares.
    """
    lines = _lines(path, name)
    first = next(lines, b"")
    if first is None:
        raise _too_long(name)
    header = _object(first)
    if header is None or "rows" in header:
        header, rows = _document(first, lines, name)
    else:
        rows = _rows_of_lines(lines)
    return _data_set(header, rows, name)


def _data_set(header: dict[str, Any], rows: Iterator[tuple[str | None, Any]], name: str) -> DataSet:
    data_set_name = _data_set_name(header)
    columns = header.get("columns")
    if "datasetJSONVersion" not in header or data_set_name is None or not isinstance(columns, list) or not columns:
        raise _broken(name, "its metadata lack datasetJSONVersion, name or columns")
    names = tuple(_column_name(column) for column in columns)
    if "" in names or len(set(names)) != len(names):
        raise _broken(name, "its columns are not named, or two have the same name")
    is_number = [isinstance(column, dict) and column.get("dataType") in _NUMBER_TYPES for column in columns]
    problems: list[CellProblem] = []
    count = 0

    def levelled() -> Iterator[tuple[int, list[str | None]]]:
        nonlocal count
        for count, (raw, cells) in enumerate(rows, start=1):
            problem = _row_problem(cells, len(names))
            if problem is not None:
                problems.append(CellProblem(count, *problem, raw))
                continue
            yield count, [_text(cell, number) for cell, number in zip(cells, is_number, strict=True)]

    frame = text_frame(names, levelled())
    declared = header.get("records")
    if isinstance(declared, int) and declared != count:
        raise UnreadableFile(
            f"{name} declares {declared:,} records and holds {count:,} rows.",
            remedy="Copy or export the file again; nothing of it was taken.",
            declared=declared,
            found=count,
        )
    exported, notes = _exported(header, name)
    if not isinstance(declared, int):
        notes.append(f"{name}: states no number of records, so missing rows could not be noticed")
    label = header.get("label")
    return DataSet(
        name=data_set_name,
        label=label if isinstance(label, str) else "",
        columns=names,
        frame=frame,
        exported_utc=exported,
        problems=problems,
        notes=notes,
    )


def _row_problem(cells: Any, width: int) -> tuple[str, str] | None:
    if isinstance(cells, _Unread):
        return cells.reason, cells.message
    if not isinstance(cells, list):
        return "unreadable", "the row is not a list of values"
    if len(cells) != width:
        reason = "missing_columns" if len(cells) < width else "too_many_columns"
        return reason, f"the row has {len(cells)} values, the data set {width} columns"
    for cell in cells:
        if isinstance(cell, dict) or (isinstance(cell, list) and cell):
            return "bad_value", "a value is itself a list or an object"
        if isinstance(cell, str) and not cell.isascii() and any("\ud800" <= char <= "\udfff" for char in cell):
            return "bad_encoding", "a value holds half of a character (a lone surrogate)"
    return None


def _text(cell: Any, is_number: bool) -> str | None:
    if cell is None or isinstance(cell, list):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return level_number(cell) if is_number else level_text(cell)
    return level_number(cell)


class _Unread:
    """Stands for a row that never became a list: reason code and sentence."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message


def _rows_of_lines(lines: Iterator[bytes | None]) -> Iterator[tuple[str | None, Any]]:
    for line in lines:
        if line is None:
            yield None, _Unread("too_long", f"the line is longer than {LINE_LIMIT // 1024**2} MB")
            continue
        if not line.strip():
            continue
        try:
            yield line.decode("utf-8", errors="replace").strip(), json.loads(line)
        except UnicodeDecodeError:
            yield line.decode("utf-8", errors="replace"), _Unread("bad_encoding", "the line is not UTF-8")
        except (ValueError, RecursionError):
            yield line.decode("utf-8", errors="replace"), _Unread("unreadable", "the line is no JSON")


def _document(
    first: bytes, lines: Iterator[bytes | None], name: str
) -> tuple[dict[str, Any], Iterator[tuple[str | None, Any]]]:
    parts = [first]
    size = len(first)
    for line in lines:
        if line is None:
            raise _too_long(name)
        size += len(line)
        if size > DOCUMENT_LIMIT:
            raise UnreadableFile(
                f"{name} is one JSON document of more than {DOCUMENT_LIMIT // 1024**2} MB.",
                remedy="Export it as NDJSON (one row per line), which is read row by row.",
            )
        parts.append(line)
    document = _object(b"".join(parts))
    if document is None:
        raise _broken(name, "it is not one complete JSON object (perhaps cut short)")
    rows = document.pop("rows", [])
    if not isinstance(rows, list):
        raise _broken(name, "its rows are not a list")
    return document, ((None if isinstance(row, list) else json.dumps(row), row) for row in rows)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _data_set_name(members: dict[str, Any]) -> str | None:
    for value in (members.get("name"), str(members.get("itemGroupOID", "")).rpartition(".")[2]):
        if isinstance(value, str) and value.strip():
            return value.strip().upper()
    return None


def _column_name(column: Any) -> str:
    name = column.get("name") if isinstance(column, dict) else None
    return (level_text(name) or "").upper() if isinstance(name, str) else ""


def _exported(header: dict[str, Any], name: str) -> tuple[dt.datetime | None, list[str]]:
    """Creation time as naive UTC; a time without offset is taken as UTC."""
    text = header.get("datasetJSONCreationDateTime")
    try:
        moment = dt.datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is not None and moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        moment = None
    return moment, [] if moment else [f"{name}: states no readable creation time"]


def _lines(path: Path, name: str) -> Iterator[bytes | None]:
    """Lines of the plain or compressed file with their ends; None for one longer than ``LINE_LIMIT``."""
    pending: list[bytes] = []
    size = 0
    for block in _blocks(path, name):
        # Not splitlines(): it also ends lines at carriage returns inside a value.
        for piece in _split_at_newline(block):
            size += len(piece)
            if size <= LINE_LIMIT:
                pending.append(piece)
            if piece.endswith(b"\n"):
                yield b"".join(pending) if size <= LINE_LIMIT else None
                pending, size = [], 0
    if size:
        yield b"".join(pending) if size <= LINE_LIMIT else None


def _split_at_newline(block: bytes) -> list[bytes]:
    parts = block.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _blocks(path: Path, name: str) -> Iterator[bytes]:
    with path.open("rb") as stream:
        start = stream.read(2)
        stream.seek(0)
        if start == _GZIP:
            try:
                with gzip.GzipFile(fileobj=stream) as unzipped:
                    while block := unzipped.read(_BLOCK):
                        yield block
            except (OSError, EOFError, zlib.error) as error:
                raise _broken(name, f"its compressed content is damaged or cut short ({error})") from None
        elif _is_zlib(start):
            yield from _zlib_blocks(stream, name)
        else:
            while block := stream.read(_BLOCK):
                yield block


def _zlib_blocks(stream: Any, name: str) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    try:
        while compressed := stream.read(_BLOCK):
            while compressed and not inflater.eof:
                yield inflater.decompress(compressed, _BLOCK)
                compressed = inflater.unconsumed_tail
    except zlib.error as error:
        raise _broken(name, f"its compressed content is damaged ({error})") from None
    if not inflater.eof:
        raise _broken(name, "its compressed content is cut short")


def _is_zlib(start: bytes) -> bool:
    """A zlib header (RFC 1950): deflate with a 32 kB window; its two bytes are a multiple of 31."""
    return len(start) == 2 and start[0] == 0x78 and int.from_bytes(start, "big") % 31 == 0


def _inflated_head(head: bytes) -> bytes:
    if not head.startswith(_GZIP) and not _is_zlib(head[:2]):
        return head
    try:
        return zlib.decompressobj(47).decompress(head, _HEAD_LIMIT)
    except zlib.error:
        return b""


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _too_long(name: str) -> UnreadableFile:
    return UnreadableFile(
        f"{name} has a line longer than {LINE_LIMIT // 1024**2} MB.",
        remedy="Export it as NDJSON, one row per line, or as a document with line breaks.",
    )


def _broken(name: str, what: str) -> UnreadableFile:
    return UnreadableFile(
        f"{name} cannot be read as Dataset-JSON: {what}.",
        remedy="Copy or export the file again; nothing of it was taken.",
    )
