"""Zip archives (workbooks are some) are looked at before anything unpacks them: by their table of contents alone."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from importers.base import UnreadableFile

UNPACKED_LIMIT = 1 << 30
"""Bytes the members may unpack to together."""
UNPACKED_FREE = 64 << 20
"""Bytes below which the ratio does not count."""
UNPACKED_RATIO = 200
"""Unpacked over packed size: exports of years of identical doses stay below it."""
MEMBERS = 10_000
_ZIP = b"PK\x03\x04"
_NESTED = (".zip", ".gz", ".7z", ".rar", ".xz", ".bz2", ".zst")


def check_archive(path: Path, name: str) -> None:
    """Raise ``UnreadableFile`` for a zip that unpacks beyond the limits, holds archives or links, or names a place
    outside; anything else passes, damaged archives too: their reader says what is wrong."""
    with path.open("rb") as stream:
        if stream.read(4) != _ZIP:
            return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError):
        return
    size, packed = sum(member.file_size for member in members), path.stat().st_size
    problem = None
    if len(members) > MEMBERS:
        problem = f"holds {len(members):,} files"
    elif size > UNPACKED_LIMIT or size > max(UNPACKED_FREE, UNPACKED_RATIO * packed):
        problem = f"unpacks from {packed:,} bytes to {size >> 20:,} MB"
    else:
        problem = next(filter(None, map(_fault, members)), None)
    if problem is not None:
        raise UnreadableFile(
            f"{name} {problem}; no export does that. Nothing of it was unpacked.",
            remedy="Check where it comes from; if it is meant, unpack it by hand and import what it holds.",
        )


def _fault(member: zipfile.ZipInfo) -> str | None:
    # orig_filename still has what Python cuts off at a NUL.
    given = member.orig_filename
    if "\0" in given or given.startswith(("/", "\\")) or ".." in given.replace("\\", "/").split("/"):
        return "holds a file whose name leads out of it"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "holds a link"
    if given.lower().endswith(_NESTED):
        return "holds another archive"
    return None
