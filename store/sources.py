"""The source archive: every file ever received, byte for byte, under the name of its SHA-256, compressed with
zstd.

A file is read once: each block goes to the hash, to the compressor and to the line measure, so what was
hashed is what is stored. It is written under a temporary name, synced, and renamed; a killed run leaves only
`.tmp-*` files.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from store.errors import FileRefused, IntegrityFailure, NotAllowed, write_error
from store.permissions import set_mode, sync_folder, user_name
from store.receiving import (
    BLOCK,
    LARGE,
    Content,
    changed_error,
    check_unchanged,
    compressing,
    copy_hashed,
    open_received,
    sync_files,
)
from store.study import Study

TEMPORARY_PREFIX = ".tmp-"
_FRAME_HEADER = 18  # the longest a zstd frame header can be, RFC 8878


@dataclass(frozen=True, slots=True)
class Archived:
    """A file in the archive.

    `size` and `longest_line` are in bytes as received (see `store.receiving.Content`), `mtime_ns` is when the file was
    last changed. `new` is False where the archive already held the content.
    """

    sha256: str
    size: int
    longest_line: int
    mtime_ns: int | None
    stored_path: Path
    new: bool

    def require_unchanged(self, path: Path) -> None:
        """Raise FileRefused if the file at `path` is no longer what was archived (by size and time of change).

        To be called after a parser has read `path` itself instead of the archive.
        """
        try:
            now = path.stat()
        except OSError:
            now = None
        if now is None or (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise FileRefused(
                f"{path} changed while it was imported.",
                effect="Nothing of it was taken into the release; what was first read is in the archive.",
                remedy="Import it again when it is complete.",
                path=path,
            )


@dataclass(slots=True)
class _Temporary:
    """A file being written; removed in the end unless `keep` is set."""

    path: Path
    stream: BinaryIO
    keep: bool = False


@dataclass(frozen=True, slots=True)
class _Pending:
    temporary: Path
    final: Path


class SourceArchive:
    """The `sources/` folder of a study. Only the study's owner archives; its group may read."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._modes = study.modes
        self._gid = study.sources_dir.stat().st_gid
        self._batch: dict[str, _Pending] | None = None

    def path_of(self, sha256: str) -> Path:
        """Where the content of this hash is, or would be, stored."""
        return self._study.sources_dir / sha256[:2] / f"{sha256}.zst"

    def holds(self, sha256: str) -> bool:
        return self._location(sha256).exists()

    def archive(self, path: Path | str, *, unblinding: bool = False, known_sizes: Collection[int] = ()) -> Archived:
        """Store the file at `path`; the same content again changes nothing.

        `unblinding`: the file would give an arm away, and is stored readable by the unblinded group only.
        `known_sizes`: sizes in bytes of files archived before; a large file of such a size is hashed before
        it is compressed, which makes the same file again three times cheaper.

        Raises FileRefused (no regular file, not readable, changed while it was read), DiskFull, WriteFailed.
        In all cases the archive is as it was.
        """
        source = Path(path)
        with open_received(source) as (stream, before):
            if before.st_size in known_sizes and before.st_size >= LARGE:
                content = copy_hashed(stream, None, source)
                check_unchanged(source, before, stream, content)
                if self.holds(content.sha256):
                    return self._known(content, before.st_mtime_ns, unblinding)
                stream.seek(0)
            with self._temporary() as temporary:
                try:
                    with compressing(temporary.stream, before.st_size) as target:
                        content = copy_hashed(stream, target, source)
                except zstandard.ZstdError as error:
                    # The frame was announced with the size at the start: the file grew or shrank since.
                    raise changed_error(source, before, stream) from error
                check_unchanged(source, before, stream, content)
                return self._store(temporary, content, before.st_mtime_ns, unblinding)

    def measure(self, path: Path | str) -> Archived:
        """What ``archive`` would say of the file, without storing it. Raises as ``archive`` does."""
        source = Path(path)
        with open_received(source) as (stream, before):
            content = copy_hashed(stream, None, source)
            check_unchanged(source, before, stream, content)
        return Archived(
            content.sha256,
            content.size,
            content.longest_line,
            before.st_mtime_ns,
            self.path_of(content.sha256),
            not self.holds(content.sha256),
        )

    def archive_bytes(self, content: bytes, *, unblinding: bool = False) -> Archived:
        """Store content that is already in memory, such as the protocol of an import."""
        with self._temporary() as temporary:
            with compressing(temporary.stream, len(content)) as target:
                copied = copy_hashed(io.BytesIO(content), target, None)
            return self._store(temporary, copied, None, unblinding)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Archive many files with one sync instead of one for each.

        Inside, new files have temporary names (and are found by `open` and `check`); they get their own when
        the block ends, after everything has reached the disk. Where the block raises, none of them is kept.
        """
        if self._batch is not None:
            raise RuntimeError("batches of sources do not nest")
        pending: dict[str, _Pending] = {}
        self._batch = pending
        try:
            yield
            self._finish_batch(pending)
        finally:
            self._batch = None
            for item in pending.values():
                item.temporary.unlink(missing_ok=True)

    def open(self, sha256: str) -> BinaryIO:
        """The content as it was received, as a binary stream.

        Raises IntegrityFailure where the archive does not hold it, and while reading where the stored file is
        damaged or ends early.
        """
        location = self._location(sha256)
        try:
            raw = location.open("rb")
        except FileNotFoundError as error:
            raise _missing(sha256, location) from error
        except PermissionError as error:
            raise NotAllowed(
                f"{user_name(os.geteuid())} may not read the source {location}.",
                remedy="Ask the study's owner: sources are for its group, unblinding ones for the unblinded group.",
                path=location,
            ) from error
        return io.BufferedReader(_Stored(raw, location, sha256), buffer_size=BLOCK)

    def check(self, sha256: str) -> int:
        """Read the stored content and compare it with its hash; returns its size in bytes as received.

        Raises IntegrityFailure where it is missing, damaged or altered.
        """
        digest = hashlib.sha256()
        size = 0
        with self.open(sha256) as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                size += len(block)
        if digest.hexdigest() != sha256:
            raise _damaged(sha256, self._location(sha256), f"its content has the hash {digest.hexdigest()}")
        return size

    def _location(self, sha256: str) -> Path:
        pending = self._batch.get(sha256) if self._batch else None
        return pending.temporary if pending else self.path_of(sha256)

    def _known(self, content: Content, mtime_ns: int | None, unblinding: bool) -> Archived:
        if unblinding:
            # Received before as an ordinary file: what is now known to unblind is closed to the others.
            gid, mode = self._study.unblinded_file_access()
            set_mode(self._location(content.sha256), mode, gid)
        return Archived(*content, mtime_ns, self.path_of(content.sha256), new=False)

    @contextmanager
    def _temporary(self) -> Iterator[_Temporary]:
        self._study.require_owner("archive sources")
        try:
            descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=self._study.sources_dir)
        except OSError as error:
            raise write_error(error, "The source archive") from error
        temporary = _Temporary(Path(name), os.fdopen(descriptor, "wb"))
        try:
            with temporary.stream:
                yield temporary
        except OSError as error:
            raise write_error(error, "The source archive") from error
        finally:
            if not temporary.keep:
                temporary.path.unlink(missing_ok=True)

    def _store(self, temporary: _Temporary, content: Content, mtime_ns: int | None, unblinding: bool) -> Archived:
        if self.holds(content.sha256):
            return self._known(content, mtime_ns, unblinding)
        temporary.stream.flush()
        gid, mode = self._gid, self._modes.source_file
        if unblinding:
            gid, mode = self._study.unblinded_file_access()
        set_mode(temporary.path, mode, gid)
        final = self.path_of(content.sha256)
        if self._batch is not None:
            self._batch[content.sha256] = _Pending(temporary.path, final)
            temporary.keep = True
        else:
            os.fsync(temporary.stream.fileno())
            self._make_folder(final.parent)
            os.rename(temporary.path, final)
            temporary.keep = True
            sync_folder(final.parent)
        return Archived(*content, mtime_ns, final, new=True)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir()
        except FileExistsError:
            return
        set_mode(folder, self._modes.sources, self._gid)
        sync_folder(folder.parent)

    def _finish_batch(self, pending: dict[str, _Pending]) -> None:
        try:
            sync_files([item.temporary for item in pending.values()])
            for item in pending.values():
                self._make_folder(item.final.parent)
                os.rename(item.temporary, item.final)
            for folder in {item.final.parent for item in pending.values()}:
                sync_folder(folder)
        except OSError as error:
            raise write_error(error, "The source archive") from error


class _Stored(io.RawIOBase):
    """What an archived file holds, as a raw stream.

    zstandard's own reader takes a file that ends in the middle for its regular end; here the size announced
    in the frame has to be reached, so that a damaged archive is never read as a shorter file.
    """

    def __init__(self, raw: BinaryIO, location: Path, sha256: str) -> None:
        self._raw = raw
        self._stream = zstandard.ZstdDecompressor().stream_reader(raw, read_size=BLOCK)
        self._location = location
        self._sha256 = sha256
        self._left: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            if self._left is None:
                header = self._raw.read(_FRAME_HEADER)
                self._raw.seek(0)
                self._left = zstandard.get_frame_parameters(header).content_size
            count = self._stream.readinto(buffer)
        except zstandard.ZstdError as error:
            raise _damaged(self._sha256, self._location, str(error)) from error
        self._left -= count
        if count == 0 and self._left != 0:
            raise _damaged(self._sha256, self._location, f"it ends {self._left} bytes early")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _damaged(sha256: str, location: Path, finding: str) -> IntegrityFailure:
    return IntegrityFailure(
        f"The archived source {location} is damaged: {finding}.",
        effect="Nothing was changed; releases made from it are not affected, but cannot be made again.",
        remedy="Bring it back from the backup of sources/, or remove it and import the original file again.",
        path=location,
        sha256=sha256,
    )


def _missing(sha256: str, location: Path) -> IntegrityFailure:
    return IntegrityFailure(
        f"The source {location} is missing from the archive.",
        effect="Nothing was changed; releases made from it are not affected, but cannot be made again.",
        remedy="Bring sources/ back from the backup, or import the original file again.",
        path=location,
        sha256=sha256,
    )
