"""Lists of JSON records as apps export them: an array, one object per line, or an object that holds the list."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from importers.base import UnreadableFile
from importers.dataset_json import DOCUMENT_LIMIT, top_level

EMPTY_LIMIT = 10_000
"""Entries of one list that may be empty or no objects."""
_HEAD_RECORDS = 25

Record = dict[str, Any]


def head_records(head: bytes, members: Iterable[str] = ()) -> list[Record]:
    """The first complete records of a file's first bytes; empty when they start no list of records.

    ``members``: names under which an object may hold the list.
    """
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")):
        return []
    text = head.decode(json.detect_encoding(head), errors="replace").lstrip("\ufeff \t\r\n")
    if text.startswith("{"):
        whole = top_level(head)
        for member in members:
            held = whole.get(member)
            if isinstance(held, list):
                return [item for item in held[:_HEAD_RECORDS] if isinstance(item, dict)]
            if f'"{member}"' in text[:2000]:
                _, _, text = text.partition(f'"{member}"')
                text = text.lstrip(" \t\r\n:")
                break
        else:
            return _records(text)
    return _records(text[1:]) if text.startswith("[") else []


def _records(text: str) -> list[Record]:
    decoder, position, found = json.JSONDecoder(), 0, list[Record]()
    while len(found) < _HEAD_RECORDS:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            item, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return found
        if not isinstance(item, dict):
            return found
        found.append(item)
    return found


def read_document(path: Path) -> Any:
    """A whole JSON document, or the list of objects of a file with one per line; raises ``UnreadableFile``.

    Numbers with a decimal point stay text-exact (``decimal.Decimal``).
    """
    if path.stat().st_size > DOCUMENT_LIMIT:
        raise UnreadableFile(
            f"The file is one JSON document of more than {DOCUMENT_LIMIT // 1024**2} MB.",
            remedy="Export a shorter range of dates; nothing of it was taken.",
        )
    data = path.read_bytes()
    text = data.decode(json.detect_encoding(data), errors="replace").lstrip("\ufeff")
    try:
        document = load_json(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise _damaged() from error
    else:
        if isinstance(document, list):
            _check_entries(document)
        return document
    found, empty = [], 0
    for line in lines:
        try:
            found.append(load_json(line))
        except (ValueError, RecursionError) as error:
            raise _damaged() from error
        if not isinstance(found[-1], dict) or not found[-1]:
            empty += 1
            refuse_empty(empty)
    return found


def _check_entries(entries: list[Any]) -> None:
    refuse_empty(sum(1 for entry in entries if not isinstance(entry, dict) or not entry))


def refuse_empty(count: int) -> None:
    """Raise ``UnreadableFile`` where more entries of a list say nothing than any export holds: each would be a row in
    quarantine, and a megabyte holds half a million of them."""
    if count > EMPTY_LIMIT:
        raise UnreadableFile(
            f"More than {EMPTY_LIMIT:,} entries of the file are empty or no records.",
            remedy="Export it again; nothing of it was taken.",
        )


def load_json(text: str) -> Any:
    """A JSON text, numbers with a decimal point as ``decimal.Decimal``; half of a surrogate pair, which JSON can spell
    and no text can hold, becomes a question mark. Raises ``ValueError`` or ``RecursionError``."""
    from decimal import Decimal

    value = json.loads(text, parse_float=Decimal)
    return _without_halves(value) if "\\ud" in text or "\\uD" in text else value


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_halves(item) for item in value]
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(item) for name, item in value.items()}
    return value


def _damaged() -> UnreadableFile:
    return UnreadableFile(
        "The JSON of the file is damaged or cut off.", remedy="Export it again; nothing of it was taken."
    )


def read_records(path: Path, members: Iterable[str] = ()) -> list[tuple[int, Any]]:
    """Number (from 1) and record of every item of the list; raises ``UnreadableFile``."""
    document = read_document(path)
    if isinstance(document, dict):
        document = next((document[name] for name in members if isinstance(document.get(name), list)), [document])
    if not isinstance(document, list):
        raise _damaged()
    _check_entries(document)
    return list(enumerate(document, 1))
