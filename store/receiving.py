"""Reading a received file once: hash, compressor and line measure see the same blocks, and a change is noticed."""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

from store.errors import FileRefused

BLOCK = 1 << 20
LARGE = 8 << 20
"""From this size on, in bytes, threads and a look before compressing save more than they cost."""

_LEVEL = 3


class Content(NamedTuple):
    """What was read: SHA-256 in hex, size in bytes, and the longest line in bytes without its end.

    The longest line is exact where it is longer than a block and a lower bound otherwise: enough to refuse an endless
    line before a parser meets it. Of a compressed file it says nothing.
    """

    sha256: str
    size: int
    longest_line: int


@contextmanager
def open_received(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """The file as an unbuffered stream, and its state before anything was read; FileRefused if it is no such file."""
    try:
        # O_NONBLOCK: opening a named pipe nobody writes to would wait forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileRefused(
            f"{path} cannot be read: {error.strerror}.",
            remedy="Check the name and the permissions of the file.",
            path=path,
        ) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise FileRefused(f"{path} is not a regular file.", remedy="Name files, or a folder of files.", path=path)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        yield stream, before


@contextmanager
def compressing(target: BinaryIO, size: int) -> Iterator[zstandard.ZstdCompressionWriter]:
    """A writer of one zstd frame that announces `size` bytes; ZstdError where another number of bytes was written."""
    threads = min(os.cpu_count() or 1, 4) if size >= LARGE else 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=threads, write_checksum=True)
    writer = compressor.stream_writer(target, size=size, closefd=False)
    yield writer
    # Only after success: closing an unfinished frame raises an error of its own over the one that matters.
    writer.flush(zstandard.FLUSH_FRAME)


def copy_hashed(source: BinaryIO, target: zstandard.ZstdCompressionWriter | None, path: Path | None) -> Content:
    """Read all of `source` and write it to `target`, if there is one.

    Raises FileRefused, naming `path`, where the source cannot be read to its end.
    """
    digest = hashlib.sha256()
    size = longest = open_line = 0
    # Hashing releases the interpreter lock: in a thread of its own it runs beside the compressor.
    with ThreadPoolExecutor(max_workers=1) as pool:
        hashing: Future[None] | None = None
        while block := _read_block(source, path):
            if hashing is not None:
                hashing.result()
            if len(block) == BLOCK:
                hashing = pool.submit(digest.update, block)
            else:  # the last block, or the only one: not worth a thread
                digest.update(block)
                hashing = None
            size += len(block)
            # Two searches a block, not one a line: lines inside one block are shorter than the block.
            first = block.find(b"\n")
            if first < 0:
                open_line += len(block)
            else:
                longest = max(longest, open_line + first)
                open_line = len(block) - block.rfind(b"\n") - 1
            if target is not None:
                target.write(block)
        if hashing is not None:
            hashing.result()
    return Content(digest.hexdigest(), size, max(longest, open_line))


def _read_block(source: BinaryIO, path: Path | None) -> bytes:
    try:
        return source.read(BLOCK)
    except OSError as error:
        raise FileRefused(
            f"{path} cannot be read to its end: {error.strerror}.",
            effect="Nothing of it was taken.",
            remedy="Check the disk or network folder it is on, then import it again.",
            path=path,
        ) from error


def check_unchanged(path: Path, before: os.stat_result, stream: BinaryIO, content: Content) -> None:
    """Raise FileRefused unless the file is as it was `before` and `content` is all of it."""
    after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns, content.size) != (after.st_size, after.st_mtime_ns, after.st_size):
        raise changed_error(path, before, stream)


def changed_error(path: Path, before: os.stat_result, stream: BinaryIO) -> FileRefused:
    after = os.fstat(stream.fileno())
    return FileRefused(
        f"{path} changed while it was read ({before.st_size} bytes before, {after.st_size} after).",
        effect="Nothing of it was taken.",
        remedy="Import it again when it is complete.",
        path=path,
    )


def sync_files(files: list[Path]) -> None:
    """Bring `files`, all on one file system, to the disk: one call where Linux offers it, else one by one."""
    if not files:
        return
    if sys.platform == "linux":
        descriptor = os.open(files[0], os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) == 0:
                return
        except AttributeError:
            pass  # a C library without syncfs
        finally:
            os.close(descriptor)
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
