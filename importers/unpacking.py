"""The bytes of a text file in UTF-8, in blocks of bounded size: from gzip and zstd, and any encoding Python knows."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import zstandard

from importers.base import UnreadableFile

BLOCK = 1 << 17
UNPACKED_LIMIT = 64 << 30
"""Bytes a packed file may unpack to."""
UNPACKED_RATIO = 2_000
"""Unpacked over packed size from which a file is no table: a year of one repeated dose packs 200 to 1."""
UNPACKED_FREE = 64 << 20
"""Bytes below which the ratio does not count."""
_ZSTD_STEP = 1 << 10
"""Bytes handed to zstd at once: it unpacks all of them, and 4 bytes can hold 128 KB, so at most 32 MB."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of the old kind",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a SQLite database",
}
_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def is_packed(head: bytes) -> bool:
    return head.startswith((GZIP, ZSTD))


def find_codec(declared: str, name: str) -> str:
    """Python's name of the encoding a [[source]] declares; raises ``UnreadableFile`` for an unknown one."""
    try:
        codec = codecs.lookup(declared).name
    except LookupError:
        raise UnreadableFile(
            f"The encoding {declared!r} declared for {name} is not known.",
            remedy='Write for example encoding = "utf-8" or encoding = "cp1252" in its [[source]].',
            encoding=declared,
        ) from None
    return "utf-8" if codec in ("utf-8", "utf-8-sig", "ascii", "utf_8_sig") else codec


def read_blocks(path: Path, name: str) -> Iterator[bytes]:
    """Blocks of at most 128 KB of the unpacked bytes.

    Raises ``UnreadableFile``: empty, truncated or damaged, packed beyond the limits, or no text at all.
    """
    total = 0
    with path.open("rb") as stream:
        head = stream.read(16)
        stream.seek(0)
        _refuse_foreign(head, name)
        packed_size = path.stat().st_size
        limit = min(UNPACKED_LIMIT, max(UNPACKED_FREE, packed_size * UNPACKED_RATIO))
        try:
            for block in _unpacked(stream, head):
                if not total and is_packed(head):
                    _refuse_foreign(block, name)
                total += len(block)
                if is_packed(head) and total > limit:
                    raise UnreadableFile(
                        f"{name} unpacks from {packed_size:,} bytes to more than {limit >> 20} MB; no table does that.",
                        remedy="Check the file; if it is meant, unpack it by hand and import the text.",
                    )
                yield block
        except (EOFError, zlib.error, zstandard.ZstdError) as error:
            raise UnreadableFile(
                f"{name} cannot be unpacked: it is truncated or damaged.",
                remedy="Transfer or export it again.",
                cause=str(error),
            ) from error
    if total == 0:
        raise UnreadableFile(f"{name} is empty.", remedy="Export it again.")


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, words in _FOREIGN.items():
        if head.startswith(magic):
            raise UnreadableFile(
                f"{name} is {words}, not delimited text.", remedy="Export the table as CSV, plain, .gz or .zst."
            )


def _unpacked(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    if head.startswith(GZIP):
        yield from _gunzip(stream)
    elif head.startswith(ZSTD):
        yield from _unzstd(stream)
    else:
        while block := stream.read(BLOCK):
            yield block


def _gunzip(stream: IO[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    while packed := stream.read(BLOCK):
        while packed:
            if member.eof:
                packed = packed.lstrip(b"\0")  # padding some writers leave behind
                if not packed:
                    break
                member = zlib.decompressobj(wbits=31)
            if block := member.decompress(packed, BLOCK):
                yield block
            packed = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof and (block := member.decompress(b"", BLOCK)):
        yield block
    if not member.eof:
        raise EOFError("the packed data end in the middle")


def _unzstd(stream: IO[bytes]) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    finished = True
    while packed := stream.read(_ZSTD_STEP):
        while packed:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked = frame.decompress(packed)
            for start in range(0, len(unpacked), BLOCK):
                yield unpacked[start : start + BLOCK]
            finished = frame.eof
            packed = frame.unused_data if finished else b""
    if not finished:
        raise EOFError("the packed data end in the middle")


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    """Bytes a code page leaves undefined stay as the control character of their number (as browsers read cp1252)."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error("dosetrail_keep_bytes", _keep_bytes)


def recode(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Blocks of at most 128 KB in UTF-8; UTF-8 itself passes as it is, so that bad bytes are found in their lines."""
    if encoding == "utf-8":
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("dosetrail_keep_bytes")
    for block in blocks:
        # A third of a block: no character takes more than three times its bytes in UTF-8.
        for start in range(0, len(block), BLOCK // 3):
            yield decoder.decode(block[start : start + BLOCK // 3]).encode()
    yield decoder.decode(b"", True).encode()


def bom_encoding(head: bytes) -> str | None:
    """The encoding a byte order mark states; None without one (that of UTF-8 changes nothing)."""
    return next((encoding for bom, encoding in _BOMS.items() if head.startswith(bom)), None)


def unpack_head(head: bytes) -> bytes:
    """The first bytes of a text in UTF-8, unpacked as far as they reach; empty where they are no text."""
    try:
        if head.startswith(GZIP):
            head = zlib.decompressobj(wbits=31).decompress(head, BLOCK)
        elif head.startswith(ZSTD):
            head = zstandard.ZstdDecompressor().decompressobj().decompress(head[: 4 * _ZSTD_STEP])
    except (zlib.error, zstandard.ZstdError):
        return b""
    if any(head.startswith(magic) for magic in _FOREIGN):
        return b""
    if bom_encoding(head):
        head = head.decode("utf-16", "replace").encode()
    return head
