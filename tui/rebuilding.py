"""Making a past release again, and saying whether it is the same."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from store.build import BuildInputs, Built, ReleaseBuilder
from store.digest import digest_release_file
from store.errors import UsageProblem
from store.facts import RESTORE_RELEASE, ReleaseFact, facts_of_release, read_releases
from store.interruption import interruptible, signals_held
from store.ledger import Entry
from store.locking import import_lock
from store.protocol_file import parse_protocol
from store.publish import TRIAL_FILE, UNBLINDED_FILE, building_folder, restore
from store.sources import SourceArchive
from store.statement_progress import Progress, quiet
from tui.analyst import ANALYST
from tui.release_files import (
    explained_full_disk,
    hash_release_files,
    read_archived,
    read_unblinded_rows,
    split_release,
    tidy_study,
)
from tui.report import RebuildReport
from tui.version import program_version

if TYPE_CHECKING:
    from store.ledger_chain import LedgerRow
    from store.study import Study


def rebuild(
    study: Study, number: int | None = None, *, compare: bool = False, progress: Progress = quiet
) -> RebuildReport:
    """Build a release again from sources, ledger and recorded protocol (the newest without ``number``).

    A release whose folder is gone is put back if its tables are the ones committed. Otherwise, and with ``compare``,
    nothing is changed: the report says whether today's program makes the same tables, and which differ.
    Raises ``DosetrailError``.
    """
    study.require_owner("rebuild")
    with import_lock(study), explained_full_disk(), interruptible():
        tidy_study(study)
        rows = study.ledger.read()
        release = next((fact for fact in reversed(read_releases(rows)) if number in (None, fact.number)), None)
        if release is None:
            raise UsageProblem(
                f"There is no release {number}." if number else "No release was made yet.",
                remedy="dosetrail status lists the releases; dosetrail import makes one.",
            )
        with building_folder(study) as folder:
            built = _build_again(study, rows, release, folder, progress)
            stored = study.releases_dir / f"{release.number:06d}"
            report = RebuildReport(
                release=release.number,
                recorded_digest=release.digest,
                digest=built.digest,
                recorded_version=release.program_version,
                version=program_version(),
                differing=_differing_tables(stored, built) if built.digest != release.digest else [],
                restored=False,
            )
            if report.same and not compare and not stored.exists():
                files = {"file_sha256": hash_release_files(folder)}
                with signals_held():
                    restore(study, folder, Entry(RESTORE_RELEASE, f"release/{release.number:06d}", new=files))
                report.restored = True
    return report


def _build_again(study: Study, rows: list[LedgerRow], release: ReleaseFact, folder: Path, progress: Progress) -> Built:
    archive = SourceArchive(study)
    with archive.open(release.protocol_sha256) as stream:
        protocol = parse_protocol(stream.read().decode(), study.protocol_path)
    facts = facts_of_release(rows, release, read_unblinded_rows(study))
    with ReleaseBuilder(folder / TRIAL_FILE, progress) as builder:
        files = [
            (fact, read_archived(study, archive, fact, protocol, builder.con, folder, facts.decisions))
            for fact in facts.sources
        ]
        inputs = BuildInputs(
            facts,
            protocol,
            [row for row in rows if row.seq <= release.built_from_seq],
            release.number,
            program_version(),
            dt.datetime.now(dt.UTC).replace(tzinfo=None),
            ANALYST,
        )
        built = builder.finish(inputs, files)
    shutil.rmtree(folder / "spill", ignore_errors=True)
    if protocol.protocol.study.state == "blinded":
        split_release(folder)
    return built


def _differing_tables(stored: Path, built: Built) -> list[str]:
    """Tables whose digest differs from the release on disk; empty when that release is gone or not readable."""
    path = stored / UNBLINDED_FILE if (stored / UNBLINDED_FILE).exists() else stored / TRIAL_FILE
    if not path.exists():
        return []
    recorded = digest_release_file(path)[1]
    return sorted(name for name in {*recorded, *built.tables} if recorded.get(name) != built.tables.get(name))
