"""Pieces of making a release that a first build and a rebuild share."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import Parsed, ReadContext, Recognised, SourceFile
from importers.registry import importer_of
from store.blinding import Withheld, write_blinded_file
from store.protocol_file import RecordedProtocol, parse_protocol
from store.publish import TRIAL_FILE, UNBLINDED_FILE, finish_interrupted, sweep

if TYPE_CHECKING:
    import duckdb

    from store.facts import SourceFact
    from store.sources import SourceArchive
    from store.study import Study


def read_archived(
    study: Study,
    archive: SourceArchive,
    fact: SourceFact,
    current: RecordedProtocol,
    con: duckdb.DuckDBPyConnection,
    folder: Path,
) -> Parsed:
    """Read a file again from the archive, under the protocol whose reading keys are pinned to it."""
    protocol = current
    if fact.protocol_sha256 != current.sha256:
        with archive.open(fact.protocol_sha256) as stream:
            protocol = parse_protocol(stream.read().decode(), study.protocol_path)
    source = next((entry for entry in protocol.protocol.source if entry.name == fact.source_name), None)
    copy = folder / f"source-{fact.source_id}{''.join(Path(fact.name).suffixes)}"
    try:
        with archive.open(fact.sha256) as stream, copy.open("wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)
        file = SourceFile(copy, fact.name, fact.sha256)
        recognised = Recognised(fact.format, fact.dataset)
        return importer_of(fact.format).parse(file, recognised, ReadContext(protocol.protocol, source, con))
    finally:
        copy.unlink(missing_ok=True)


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
