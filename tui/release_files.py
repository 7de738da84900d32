"""Pieces of making a release that a first build and a rebuild share."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from importers import apart
from importers.base import HEAD_BYTES, Parsed, ReadContext, Recognised, SourceFile
from importers.registry import importer_of
from store.blinding import Withheld, write_blinded_file
from store.errors import DiskFull, is_disk_full
from store.protocol import Source
from store.protocol_file import RecordedProtocol, parse_protocol
from store.publish import TRIAL_FILE, UNBLINDED_FILE, finish_interrupted, sweep
from store.received_cache import ReceivedCache, program_fingerprint
from store.row_decisions import Decision, replaced_texts

if TYPE_CHECKING:
    import duckdb

    from store.facts import SourceFact
    from store.ledger_chain import LedgerRow
    from store.sources import SourceArchive
    from store.study import Study


def read_archived(
    study: Study,
    archive: SourceArchive,
    fact: SourceFact,
    current: RecordedProtocol,
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    decisions: Sequence[Decision],
) -> Parsed:
    """Read a file again from the archive, under the protocol whose reading keys are pinned to it and the corrections
    of its texts."""
    protocol = current
    if fact.protocol_sha256 != current.sha256:
        with archive.open(fact.protocol_sha256) as stream:
            protocol = parse_protocol(stream.read().decode(), study.protocol_path)
    source = next((entry for entry in protocol.protocol.source if entry.name == fact.source_name), None)
    source = corrected_source(source, fact.stream, decisions)
    copy = folder / f"source-{fact.blinded_name}"
    try:
        with archive.open(fact.sha256) as stream, copy.open("wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)
        file = SourceFile(copy, fact.name, fact.sha256)
        recognised = Recognised(fact.format, fact.dataset)
        return apart.parse(importer_of(fact.format), file, recognised, ReadContext(protocol.protocol, source, con))
    finally:
        copy.unlink(missing_ok=True)


def corrected_source(source: Source | None, stream: tuple[str, str], decisions: Iterable[Decision]) -> Source | None:
    """The reading keys of a file with what people said its texts mean; a file without a [[source]] gets one where it
    needs it."""
    texts = replaced_texts(decisions, stream)
    if not texts:
        return source
    read = source or Source.model_validate({"name": stream[1], "pattern": "*", "format": stream[0]})
    values = {name: {**read.values.get(name, {}), **texts.get(name, {})} for name in {**read.values, **texts}}
    return read.model_copy(update={"values": values})


def is_mapped(format: str) -> bool:
    """Whether files of the format are read by the reading keys of a [[source]], so that a text can be corrected."""
    return type(importer_of(format)).__module__.rpartition(".")[2] in apart.STAGED_MODULES


def received_cache(study: Study, decisions: Sequence[Decision] = ()) -> ReceivedCache:
    """The study's cache of rows read before, as this program reads them."""
    import importers
    import store

    packages = tuple(Path(package.__path__[0]) for package in (importers, store))
    return ReceivedCache(study, program_fingerprint(packages), decisions)


def estimate_rows(path: Path) -> int:
    """About how many lines a file has, to three digits, by the length of its first ones; 0 where it is no text."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    lines = head.count(b"\n")
    if not lines or b"\0" in head:
        return 0
    return int(float(f"{path.stat().st_size * lines / len(head):.3g}"))


def storable_name(path: Path) -> str:
    """The name of a received file without its folder; bytes that are no UTF-8 are spelt out, as no table can hold
    them."""
    return path.name.encode("utf-8", "backslashreplace").decode("utf-8")


def split_release(folder: Path) -> list[Withheld]:
    """Turn the full release file into the pair: unblinded.duckdb as built, trial.duckdb with what may be shown."""
    (folder / TRIAL_FILE).rename(folder / UNBLINDED_FILE)
    return write_blinded_file(folder / UNBLINDED_FILE, folder / TRIAL_FILE)


def tidy_study(study: Study) -> list[str]:
    """Finish what a killed run committed, remove what it did not."""
    messages = []
    finished = finish_interrupted(study)
    if finished is not None:
        messages.append(f"Release {finished} had been committed by a run that was interrupted; it is now current.")
    sweep(study)
    return messages


def hash_release_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each database file of a release folder, by name."""
    hashes = {}
    for path in sorted(folder.glob("*.duckdb")):
        with path.open("rb") as stream:
            hashes[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes


def read_unblinded_rows(study: Study) -> list[LedgerRow]:
    """The unblinded ledger; empty for a trial that never was blinded."""
    return study.unblinded_ledger.read() if study.has_unblinded_ledger else []


def changed_keys(archive: SourceArchive, old_sha256: str, text: str) -> list[str]:
    """Keys of protocol.toml, dotted, that were added, removed or given another value since the recorded one."""
    with archive.open(old_sha256) as stream:
        old = _flat("", tomllib.loads(stream.read().decode()))
    new = _flat("", tomllib.loads(text))
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else key, child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(f"{prefix}[{number}]", child) for number, child in enumerate(value, start=1)]
    else:
        return {prefix: value}
    return {key: leaf for name, child in items for key, leaf in _flat(name, child).items()}


@contextlib.contextmanager
def explained_full_disk() -> Iterator[None]:
    """``DiskFull`` for what DuckDB and plain writes of a build say, each in its own words, when there is no room."""
    import duckdb

    try:
        yield
    except (OSError, duckdb.Error) as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            "The new release could not be written: no room left (disk full, quota used up or file-size limit).",
            remedy="Free space (df -h, quota and ulimit -f show which limit it is), then run it again.",
            cause=str(error),
        ) from error
