"""Files of vendors are read in a confined child process: what a file does to its reader stays there.

One child at a time, kept between files (about a second to start, half a millisecond to ask it), and replaced after a
refusal, a limit or 500 files. Text that is staged in DuckDB is read in this process, with DuckDB's own limits; the
sheets of a workbook are read by the child whatever becomes of them.
"""

from __future__ import annotations

import atexit
import datetime as dt
import io
import json
import os
import pickle
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from importers.archives import check_archive
from importers.base import Importer, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.confinement import MEMORY, allowed_seconds
from importers.reading_child import FRAME
from importers.registry import FORMATS
from importers.unfinished import cut_off, whole_lines, with_unfinished
from importers.workbook import load_sheets
from store.errors import IntegrityFailure

if TYPE_CHECKING:
    import polars as pl

STAGED_MODULES = ("dose_log", "tabular", "redcap", "odm", "edc_forms", "layout_rows")
"""Modules whose importers stage rows in the connection of the run."""
FILES_PER_CHILD = 500
SIZE_LIMIT = 2 << 30
"""Bytes of a file read apart: the child gets it as memory."""


def parse(importer: Importer, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
    """As ``importer.parse``; raises ``UnreadableFile`` also for a file that exceeds the limits or breaks its reader."""
    check_archive(file.path, file.name)
    with whole_lines(file, context.con) as (readable, unfinished):
        if unfinished is None:
            return _parse(importer, readable, recognised, context)
        try:
            parsed = _parse(importer, readable, recognised, context)
        except UnreadableFile as error:
            raise cut_off(file.name, unfinished, error) from error
    return with_unfinished(parsed, unfinished, context.con)


def _parse(importer: Importer, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
    staged = type(importer).__module__.rpartition(".")[2] in STAGED_MODULES
    if staged or importer not in FORMATS or not hasattr(os, "memfd_create"):
        return importer.parse(file, recognised, context)
    return _POOL.parse(file, recognised, context)


def read_sheets(content: Path | bytes, name: str, wanted: str | None) -> dict[str, pl.DataFrame]:
    """As ``workbook.load_sheets``: sheet -> its cells as text; raises ``UnreadableFile`` also for a workbook that
    exceeds the limits, such as one whose only cell lies in the last row of the last column."""
    if not hasattr(os, "memfd_create"):
        return load_sheets(content if isinstance(content, bytes) else content.read_bytes(), name, wanted)
    return _POOL.read_sheets(content, name, wanted)


class _Child:
    """A running child and the memory through which it gets its files."""

    def __init__(self) -> None:
        import importers
        import store

        packages = [package.__path__[0] for package in (importers, store)]
        self._memory = os.memfd_create("dosetrail-file")
        command = f"from importers.reading_child import serve; serve({self._memory}, {packages!r})"
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._memory],
            env={"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC", "POLARS_MAX_THREADS": "2"},
            cwd="/",
            start_new_session=True,  # Ctrl-C is the parent's to answer
        )
        self._protocol: object = None
        self.files = 0
        self.measures: list[str] | None = None

    def ask(self, content: Path | bytes, request: dict[str, Any], protocol: object = None) -> list[bytes]:
        """The child's answer about a file; raises ``EOFError`` where it ended, ``TimeoutError`` where it takes too
        long."""
        self.files += 1
        os.ftruncate(self._memory, 0)
        with os.fdopen(os.dup(self._memory), "wb") as target:
            target.seek(0)
            if isinstance(content, bytes):
                target.write(content)
            else:
                with content.open("rb") as stream:
                    shutil.copyfileobj(stream, target, 1 << 20)
            size = target.tell()
        if protocol is not None and self._protocol is not protocol:
            request = {**request, "protocol": protocol}
            self._protocol = protocol
        body = pickle.dumps({**request, "size": size})
        if self.measures is None:
            try:
                self.measures = json.loads(self._receive(time.monotonic() + 120)[0])
            except (EOFError, TimeoutError) as error:
                raise IntegrityFailure(
                    "The process that reads files did not start: this installation of dosetrail is damaged.",
                    effect="No file was read, nothing was changed.",
                    remedy="Install dosetrail again into an environment of its own.",
                ) from error
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(FRAME.pack(len(body)) + body)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        return self._receive(time.monotonic() + 10 * allowed_seconds(size))

    def _receive(self, deadline: float) -> list[bytes]:
        (count,) = FRAME.unpack(self._read(FRAME.size, deadline))
        if count > 1_000:
            raise EOFError
        lengths = [FRAME.unpack(self._read(FRAME.size, deadline))[0] for _ in range(count)]
        if sum(lengths) > MEMORY:
            raise EOFError
        return [self._read(length, deadline) for length in lengths]

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, parts, left = self._process.stdout.fileno(), [], size
        while left:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            part = os.read(descriptor, min(left, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        os.close(self._memory)


class _Pool:
    """The child at work, started when the first file needs it."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._pid = os.getpid()

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        if file.path.stat().st_size > SIZE_LIMIT:
            raise UnreadableFile(
                f"{file.name} is larger than {SIZE_LIMIT >> 30} GB.", remedy="Export a shorter time in each file."
            )
        number = None
        if context.source is not None:
            number = next(n for n, entry in enumerate(context.protocol.source) if entry == context.source)
        request = {"name": file.name, "sha256": file.sha256, "recognised": recognised, "source": number}
        told, frames = self._ask(file.name, file.path, request, context.protocol)
        if "tables" not in told:
            self.close()
            raise _refusal(file.name, told)
        return _parsed(told, frames)

    def read_sheets(self, content: Path | bytes, name: str, wanted: str | None) -> dict[str, pl.DataFrame]:
        told, frames = self._ask(name, content, {"name": name, "sheets": wanted})
        if "tables" not in told:
            raise _refusal(name, told)
        return _frames(told, frames)

    def _ask(
        self, name: str, content: Path | bytes, request: dict[str, Any], protocol: object = None
    ) -> tuple[dict[str, Any], list[bytes]]:
        if self._pid != os.getpid():
            # A forked copy of the process that started it: two would talk over each other on its pipes.
            self._child, self._pid = None, os.getpid()
        if self._child is None or self._child.files >= FILES_PER_CHILD:
            self.close()
            self._child = _Child()
        try:
            parts = self._child.ask(content, request, protocol)
            return json.loads(parts[0]), parts[1:]
        except TimeoutError:
            self.close()
            raise _refusal(name, {"limit": "time"}) from None
        except EOFError:
            self.close()
            raise _refusal(name, {"limit": "memory or processor time"}) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._child is not None and self._pid == os.getpid():
            child, self._child = self._child, None
            child.close()


def _frames(told: dict[str, Any], frames: list[bytes]) -> dict[str, pl.DataFrame]:
    import polars as pl

    return {name: pl.read_ipc(io.BytesIO(frame)) for name, frame in zip(told["tables"], frames, strict=True)}


def _parsed(told: dict[str, Any], frames: list[bytes]) -> Parsed:
    read = _frames(told, frames)
    rejected = read.pop("", None)
    exported = dt.datetime.fromisoformat(told["exported_utc"]) if told["exported_utc"] else None
    return Parsed(
        told["format"], told["dataset"], told["mode"], told["rows_read"], read, rejected, exported,
        told["notes"], tuple(told["layout"]),
    )  # fmt: skip


def _refusal(name: str, told: dict[str, Any]) -> UnreadableFile:
    if refused := told.get("refused"):
        known = ("error", "exit_code", "message", "effect", "remedy")
        facts = {key: value for key, value in refused.items() if key not in known}
        return UnreadableFile(refused["message"], effect=refused["effect"], remedy=refused["remedy"], **facts)
    if limit := told.get("limit"):
        return UnreadableFile(
            f"{name} was given up: reading it took more {limit} than a file may take.",
            remedy="Check the file; if it is meant, export a shorter time in each file.",
        )
    return UnreadableFile(
        f"{name} cannot be read: its content broke the reader ({told.get('defect')}).",
        remedy="Export it again; if that does not help, report it as a defect of dosetrail with the kind of export.",
    )


_POOL = _Pool()
atexit.register(_POOL.close)
