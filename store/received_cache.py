"""Rows read before, kept as Parquet so that a night does not parse every file ever received again.

The cache is no part of the study: a release is a function of sources, ledger and protocols, `rebuild` never looks
here, and the folder may be deleted at any time. A segment holds what one run read; a source in it counts only while
everything its rows depend on is as it was (its bytes, what the ledger says of it, the protocol pinned to it, the
program), and a file only with the SHA-256 it was written with: a half-written or damaged one is read again from the
archive. Rows of a blinded trial would give arms away, so the folder is the owner's alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from store.permissions import set_mode
from store.publish import hash_file
from store.row_decisions import replaced_texts
from store.schema import text_literal

if TYPE_CHECKING:
    import duckdb

    from store.facts import SourceFact
    from store.row_decisions import Decision
    from store.study import Study

MANIFEST = "manifest.json"
MOST_SEGMENTS = 24
"""Segments from which on the small ones are joined: a year of nights stays a few dozen files."""

_NEW = ".new-"


@dataclass(frozen=True)
class CachedPart:
    """The rows of some sources in one Parquet file of a segment."""

    table: str
    """Canonical table, or ``rejected``."""
    path: Path
    source_ids: tuple[str, ...]
    whole: bool
    """Whether these are all sources of the file."""

    @property
    def relation(self) -> str:
        rows = f"read_parquet({text_literal(str(self.path))})"
        if self.whole:
            return rows
        return f"(FROM {rows} WHERE source_id IN ({', '.join(map(text_literal, self.source_ids))}))"


@dataclass(frozen=True)
class CachedRows:
    """What the cache has of the sources asked for."""

    parts: tuple[CachedPart, ...] = ()
    rows_read: Mapping[str, int] = field(default_factory=dict)
    """Source id -> data rows in the file; its keys are the sources found."""


@dataclass(frozen=True)
class _Segment:
    folder: Path
    keys: Mapping[str, str]
    rows_read: Mapping[str, int]
    files: Mapping[str, str]
    """Table -> SHA-256 of its Parquet file."""

    @property
    def size(self) -> int:
        return sum((self.folder / f"{table}.parquet").stat().st_size for table in self.files)


class ReceivedCache:
    """The cache of one study; ``fingerprint`` names the program that reads files (``program_fingerprint``),
    ``decisions`` are the corrections under which they are read."""

    def __init__(self, study: Study, fingerprint: str, decisions: Sequence[Decision] = ()) -> None:
        self._decisions = decisions
        self._study = study
        self._folder = study.cache_dir
        self._fingerprint = fingerprint

    def find(self, facts: Iterable[SourceFact]) -> CachedRows:
        """The rows of those sources that the cache holds as they would be read now."""
        wanted = {fact.source_id: self._key(fact) for fact in facts}
        found: dict[str, int] = {}
        parts: list[CachedPart] = []
        for segment in self._segments():
            usable = [name for name, key in segment.keys.items() if wanted.get(name) == key and name not in found]
            if not usable or not _is_intact(segment):
                continue
            found.update({name: segment.rows_read[name] for name in usable})
            whole = len(usable) == len(segment.keys)
            parts += [
                CachedPart(table, segment.folder / f"{table}.parquet", tuple(usable), whole) for table in segment.files
            ]
        return CachedRows(tuple(parts), found)

    def add(
        self,
        con: duckdb.DuckDBPyConnection,
        read: Mapping[SourceFact, int],
        tables: Mapping[str, Sequence[str]],
    ) -> None:
        """Keep what a run read: ``read`` gives the data rows of each source, ``tables`` the SELECTs whose rows, with
        source_id, line and part, are the sources' rows of each canonical table and of ``rejected``.
        """
        if not read:
            return
        self._write(
            con,
            {fact.source_id: self._key(fact) for fact in read},
            {fact.source_id: rows for fact, rows in read.items()},
            tables,
        )

    def tidy(self, facts: Iterable[SourceFact]) -> None:
        """Remove segments of which nothing is used any more, and join small ones where there are many.

        Not while a build reads the rows that ``find`` gave it.
        """
        import duckdb

        valid = {(fact.source_id, self._key(fact)) for fact in facts}
        kept = []
        for segment in self._segments():
            if valid.isdisjoint(segment.keys.items()):
                shutil.rmtree(segment.folder)
            else:
                kept.append(segment)
        if len(kept) <= MOST_SEGMENTS:
            return
        small = sorted(kept, key=lambda segment: segment.size)[: len(kept) - MOST_SEGMENTS // 2]
        with duckdb.connect() as con:
            self._join(con, [segment for segment in small if _is_intact(segment)])
        for segment in small:
            shutil.rmtree(segment.folder)

    def _join(self, con: duckdb.DuckDBPyConnection, segments: Sequence[_Segment]) -> None:
        tables: dict[str, list[str]] = {}
        keys: dict[str, str] = {}
        rows_read: dict[str, int] = {}
        for segment in segments:
            own = tuple(name for name in segment.keys if name not in keys)
            keys.update({name: segment.keys[name] for name in own})
            rows_read.update({name: segment.rows_read[name] for name in own})
            for table in segment.files:
                part = CachedPart(table, segment.folder / f"{table}.parquet", own, len(own) == len(segment.keys))
                tables.setdefault(table, []).append(f"FROM {part.relation}")
        if keys:
            self._write(con, keys, rows_read, tables)

    def _write(
        self,
        con: duckdb.DuckDBPyConnection,
        keys: Mapping[str, str],
        rows_read: Mapping[str, int],
        tables: Mapping[str, Sequence[str]],
    ) -> None:
        self._folder.mkdir(exist_ok=True)
        modes, gid = self._study.modes, self._study.gid if self._study.shared else None
        set_mode(self._folder, modes.cache, gid)
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._folder))
        set_mode(new, modes.cache, gid)
        try:
            files = {}
            for table, selects in tables.items():
                path = new / f"{table}.parquet"
                con.execute(
                    f"COPY ({' UNION ALL BY NAME '.join(selects)}) TO {text_literal(str(path))} "
                    "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
                )
                set_mode(path, modes.cache_file, gid)
                files[table] = hash_file(path)
            manifest = {"keys": dict(keys), "rows_read": dict(rows_read), "files": files}
            text = json.dumps(manifest, sort_keys=True)
            (new / MANIFEST).write_text(text)
            set_mode(new / MANIFEST, modes.cache_file, gid)
            final = self._folder / hashlib.sha256(text.encode()).hexdigest()[:16]
            if final.exists():
                shutil.rmtree(final)
            new.rename(final)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _segments(self) -> list[_Segment]:
        if not self._folder.is_dir():
            return []
        segments = []
        for folder in sorted(self._folder.iterdir()):
            try:
                if folder.name.startswith(_NEW):
                    raise ValueError("never finished")
                manifest = json.loads((folder / MANIFEST).read_text())
                segments.append(_Segment(folder, manifest["keys"], manifest["rows_read"], manifest["files"]))
            except (OSError, ValueError, KeyError):
                # Left by a run that was killed while it wrote: whatever it held is read again.
                shutil.rmtree(folder, ignore_errors=True)
        return segments

    def _key(self, fact: SourceFact) -> str:
        texts = replaced_texts(self._decisions, fact.stream)
        depends = json.dumps(
            [self._fingerprint, fact.sha256, fact.to_json(), *([texts] if texts else [])], sort_keys=True
        )
        return hashlib.sha256(depends.encode()).hexdigest()


def _is_intact(segment: _Segment) -> bool:
    try:
        return all(hash_file(segment.folder / f"{table}.parquet") == sha for table, sha in segment.files.items())
    except OSError:
        return False


@cache
def program_fingerprint(packages: tuple[Path, ...]) -> str:
    """SHA-256 over the Python files of ``packages`` and the versions of what they read files with: whatever may
    change the rows of a file makes the cache forget it. 10 ms for 120 files.
    """
    from importlib.metadata import version

    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            digest.update(f"{path.relative_to(package.parent)}\0".encode())
            digest.update(path.read_bytes())
    for name in ("duckdb", "polars", "pyarrow", "fastexcel", "pyreadstat", "hl7", "defusedxml", "tzdata"):
        digest.update(f"{name} {version(name)}\0".encode())
    return digest.hexdigest()
