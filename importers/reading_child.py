"""The process that reads files from outside: started by ``importers.apart``, confined, one file after the other.

Requests come from the parent (pickled, trusted); answers go back as JSON and Arrow, so that a child taken over by a
file cannot make its parent run anything.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from importers.confinement import confine, limit_memory, limit_time

if TYPE_CHECKING:
    import polars as pl

    from importers.base import Importer, ReadContext, Recognised, SourceFile, Staged

FRAME = struct.Struct("<Q")


def write_message(stream: IO[bytes], *parts: bytes) -> None:
    """A message: number of parts, their lengths, the parts."""
    stream.write(b"".join(map(FRAME.pack, (len(parts), *map(len, parts)))))
    for part in parts:
        stream.write(part)
    stream.flush()


def serve(memory_file: int, packages: list[str]) -> None:
    """Answer requests on standard input until it ends; the file to read is ``memory_file``."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    held = confine([Path(package) for package in packages])
    import polars  # noqa: F401

    import importers.registry  # noqa: F401

    limit_memory()
    write_message(answers, json.dumps(held).encode())
    protocol = None
    path = Path(f"/proc/self/fd/{memory_file}")
    while head := requests.read(FRAME.size):
        request = pickle.loads(requests.read(FRAME.unpack(head)[0]))
        protocol = request.get("protocol") or protocol
        limit_time(request["size"])
        answer = _sheets(request, path) if "sheets" in request else _answer(request, protocol, path)
        write_message(answers, *answer)


def _answer(request: dict[str, Any], protocol: Any, path: Path) -> list[bytes]:
    from importers.base import ReadContext, SourceFile
    from importers.registry import importer_of

    file = SourceFile(path, request["name"], request["sha256"])
    source = None if request["source"] is None else protocol.source[request["source"]]
    # None of the formats read here stages rows in a database.
    context = ReadContext(protocol, source, None)  # type: ignore[arg-type]
    return _guarded(lambda: _read(importer_of(request["recognised"].format), file, request["recognised"], context))


def _sheets(request: dict[str, Any], path: Path) -> list[bytes]:
    from importers.workbook import load_sheets

    def read() -> list[bytes]:
        frames = load_sheets(path.read_bytes(), request["name"], request["sheets"])
        return [json.dumps({"tables": list(frames)}).encode(), *map(_arrow, frames.values())]

    return _guarded(read)


def _read(importer: Importer, file: SourceFile, recognised: Recognised, context: ReadContext) -> list[bytes]:
    parsed = importer.parse(file, recognised, context)
    frames = dict(parsed.tables)
    if parsed.rejected is not None:
        frames[""] = parsed.rejected
    told = {
        "format": parsed.format,
        "dataset": parsed.dataset,
        "mode": parsed.mode,
        "rows_read": parsed.rows_read,
        "exported_utc": parsed.exported_utc.isoformat() if parsed.exported_utc else None,
        "notes": parsed.notes,
        "layout": parsed.layout,
        "tables": list(frames),
    }
    return [json.dumps(told).encode(), *map(_arrow, frames.values())]


def _arrow(frame: pl.DataFrame | Staged) -> bytes:
    import polars as pl

    assert isinstance(frame, pl.DataFrame)
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def _guarded(read: Callable[[], list[bytes]]) -> list[bytes]:
    """The answer, or in its place why there is none."""
    from store.errors import DosetrailError

    try:
        return read()
    except DosetrailError as error:
        told = {**error.attrs(), "effect": error.effect}
        return [json.dumps({"refused": told}).encode()]
    except MemoryError:
        return [json.dumps({"limit": "memory"}).encode()]
    except Exception as error:  # noqa: BLE001 - a defect of a parser must not end the run; the parent says so
        return [json.dumps({"defect": type(error).__name__}).encode()]
