"""Publishing a release: build aside, commit in the ledger, rename, switch `current`.

The ledger transaction is the commit. Killed before it, nothing happened and `sweep` removes the leftovers; killed
after it, the release is complete on disk and `finish_interrupted` renames and switches. Everything is synced before
the step that relies on it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from store.errors import ImportRunning, IntegrityFailure, UsageProblem, write_error
from store.facts import MAKE_RELEASE, RESTORE_RELEASE
from store.interruption import checkpoint as checkpoint
from store.interruption import signals_held
from store.ledger import Entry
from store.ledger_chain import Head
from store.locking import holds_import_lock, import_lock
from store.permissions import set_mode, sync_folder
from store.sources import TEMPORARY_PREFIX
from store.study import Study

PUBLISH_STEPS = (
    "build_started",
    "release_built",
    "release_synced",
    "ledger_written",
    "committed",
    "renamed",
    "switched",
    "published",
)
"""Named moments of a publish, in order. "ledger_written" is inside the transaction, "committed" right after it."""

TRIAL_FILE = "trial.duckdb"
UNBLINDED_FILE = "unblinded.duckdb"

_BUILD = ".build-"
_SEALED = ".sealed-"  # complete and synced, named by its number: what a killed commit may have left to be finished
_PRUNE = ".prune-"


@contextmanager
def building_folder(study: Study) -> Iterator[Path]:
    """An empty folder for a release in the making, mode 0700, beside the releases so that publishing is a rename.

    Holds the import lock for the block, or a sweep would take the folder for a leftover. What was not published when
    the block ends (an error, Ctrl-C, a comparison only) is removed.
    """
    with import_lock(study):
        try:
            folder = Path(tempfile.mkdtemp(prefix=_BUILD, dir=study.releases_dir))
        except OSError as error:
            raise write_error(error, "The new release") from error
        checkpoint("build_started")
        try:
            yield folder
        finally:
            # An error during COMMIT does not tell whether the rows are in, so the ledger decides about a sealed one.
            for leftover in [folder, *_sealed_uncommitted(study)]:
                if leftover.exists():
                    shutil.rmtree(leftover)


def publish(
    study: Study,
    folder: Path,
    number: int,
    entries: Sequence[Entry],
    *,
    role: str | None = None,
    unblinded_entries: Sequence[Entry] = (),
) -> Head:
    """Commit the release in `folder` as `number` and switch to it; returns the ledger's head at the commit.

    `folder` comes from `building_folder` and holds trial.duckdb (and unblinded.duckdb), checkpointed and closed;
    anything else in it is scratch and is removed. `entries` are everything the commit records, in one transaction:
    the files with their counts, and the release itself (action make_release, record release/NNNNNN).
    `unblinded_entries` go to the unblinded ledger just before; they count only if the release they belong to is in
    the main ledger.

    Raises IntegrityFailure for a `.wal` in the study folder or a release of that number unknown to the ledger,
    DiskFull, WriteFailed. Before the commit nothing has changed then; after it the error says so and the next run
    finishes. Ctrl-C and SIGTERM wait for the few milliseconds from commit to switch; a Ctrl-C in that time is dropped,
    because the run is done.
    """
    if not holds_import_lock(study):
        raise RuntimeError("publish needs the import lock")
    if (MAKE_RELEASE, f"release/{number:06d}") not in {(entry.action, entry.record) for entry in entries}:
        raise ValueError(f"the entries do not record release {number}")
    checkpoint("release_built")
    _refuse_foreign_files(study, folder, number)
    _seal(study, folder, number)
    checkpoint("release_synced")
    if unblinded_entries:
        study.unblinded_ledger.append(unblinded_entries, role=role)
    with ExitStack() as held:

        def before_commit() -> None:
            held.enter_context(signals_held())
            checkpoint("ledger_written")

        head = study.ledger.append(entries, role=role, before_commit=before_commit)
        checkpoint("committed")
        _switch(study, number)
    checkpoint("published")
    return head


def restore(study: Study, folder: Path, entry: Entry) -> Head:
    """Put a rebuilt release back in the place of one whose folder is gone; `entry` records its files' new hashes.

    The tables are those of the release that was committed (the caller compared the digests); only the newest release
    becomes `current`. Raises UsageProblem where the folder is still there.
    """
    number = int(entry.record.removeprefix("release/"))
    if _final(study, number).exists():
        raise UsageProblem(
            f"Release {number} is on the disk.",
            remedy="Nothing needs to be restored; dosetrail rebuild --compare compares it with a new build.",
        )
    _seal(study, folder, number)
    head = study.ledger.append([entry])
    if number == _committed_numbers(study)[-1]:
        _switch(study, number)
    else:
        _name_finally(study, number)
    return head


def finish_interrupted(study: Study) -> int | None:
    """Finish what a killed run had committed; returns the number of the release that became current by it.

    Every command that may write calls this. Does nothing, and returns None, where there is nothing to finish, for a
    user other than the owner, while another import is running (it finishes by itself), and for a committed release
    whose folder is gone (`rebuild` makes it again).
    """
    if not study.owned_by_me or (pending_switch(study) is None and not _sealed_folders(study)):
        return None
    try:
        with import_lock(study):
            number = pending_switch(study)
            for sealed in set(_sealed_folders(study)) - set(_sealed_uncommitted(study)):
                _name_finally(study, _number(sealed))
            if number is None or not _final(study, number).is_dir():
                return None
            _switch(study, number)
            return number
    except ImportRunning:
        return None


def pending_switch(study: Study) -> int | None:
    """The number of the newest committed release if `current` is not there yet: `status` reports it."""
    numbers = _committed_numbers(study)
    if not numbers or _current_number(study) == numbers[-1]:
        return None
    return numbers[-1]


def sweep(study: Study) -> list[Path]:
    """Remove what killed runs left: unfinished builds, half-removed releases, temporary sources and links.

    Returns what was removed. Leaves everything alone while another import is running, and a committed release until
    it is finished. Not to be called inside `building_folder`.
    """
    if not study.owned_by_me:
        return []
    try:
        with import_lock(study):
            leftovers = [
                *study.releases_dir.glob(f"{_BUILD}*"),
                *_sealed_uncommitted(study),
                *study.releases_dir.glob(f"{_PRUNE}*"),
                *study.sources_dir.glob(f"{TEMPORARY_PREFIX}*"),
                *(link for link in map(_new_link, (study.current_link, study.trial_link)) if link.is_symlink()),
            ]
            for path in leftovers:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            return leftovers
    except ImportRunning:
        return []


def find_wal(study: Study) -> list[Path]:
    """Write-ahead logs in the study folder: somebody opened a release for writing. `verify` reports them."""
    return sorted([*study.root.glob("*.wal"), *study.releases_dir.glob("[0-9]*/*.wal")])


def release_numbers(study: Study) -> list[int]:
    """Numbers of the releases on disk, ascending."""
    return sorted(int(entry.name) for entry in study.releases_dir.iterdir() if entry.name.isdigit())


def remove_release(study: Study, number: int) -> None:
    """Remove one release folder: gone for new readers at once, kept by the system for those who have it open."""
    aside = study.releases_dir / f"{_PRUNE}{number:06d}"
    try:
        os.rename(_final(study, number), aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise write_error(
            error, f"The removal of release {number}", effect="The other releases are as they were."
        ) from error


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _final(study: Study, number: int) -> Path:
    return study.releases_dir / f"{number:06d}"


def _sealed(study: Study, number: int) -> Path:
    return study.releases_dir / f"{_SEALED}{number:06d}"


def _number(sealed: Path) -> int:
    return int(sealed.name.removeprefix(_SEALED))


def _sealed_folders(study: Study) -> list[Path]:
    return sorted(study.releases_dir.glob(f"{_SEALED}*"))


def _sealed_uncommitted(study: Study) -> list[Path]:
    """Sealed releases that the ledger does not know, or knows with other files (a restore killed before its entry)."""
    found = _sealed_folders(study)
    if not found:
        return []
    recorded: dict[int, Mapping[str, str] | None] = {}
    for row in study.ledger.read(actions=(MAKE_RELEASE, RESTORE_RELEASE)):
        recorded[int(row.record.removeprefix("release/"))] = row.new_value.get("file_sha256")
    return [
        folder
        for folder in found
        if _number(folder) not in recorded
        or recorded[_number(folder)] not in (None, {path.name: hash_file(path) for path in folder.iterdir()})
    ]


def _committed_numbers(study: Study) -> list[int]:
    """Releases the ledger knows, in the order of their commits."""
    return [int(row.record.removeprefix("release/")) for row in study.ledger.read(actions=(MAKE_RELEASE,))]


def _current_number(study: Study) -> int | None:
    try:
        release = study.current_release()
    except IntegrityFailure:
        return None  # points at nothing: to be switched
    return release.number if release else None


def _refuse_foreign_files(study: Study, folder: Path, number: int) -> None:
    nothing = "Nothing was changed; the new release was not published."
    logs = [*find_wal(study), *folder.glob("*.wal")]
    if logs:
        raise IntegrityFailure(
            f"{logs[0]} lies in the study folder: a program has a release open for writing, or left it unfinished.",
            effect=nothing,
            remedy="Close that program and remove the file. Open releases read-only (duckdb -readonly).",
            path=logs[0],
        )
    for link in (study.current_link, study.trial_link):
        if link.exists() and not link.is_symlink():
            raise IntegrityFailure(
                f"{link} is not the link that dosetrail made but a file or folder of its own.",
                effect=nothing,
                remedy=f"Move {link.name} out of the study folder.",
                path=link,
            )
    if _final(study, number).exists():
        raise IntegrityFailure(
            f"Release {number} is on the disk, but the ledger does not know it: the ledger is older than the releases.",
            effect=nothing,
            remedy="Run dosetrail verify --anchor with the last head printed, and bring back the newest ledger.",
            path=_final(study, number),
        )
    if not (folder / TRIAL_FILE).is_file():
        raise IntegrityFailure(
            f"The new release {number} holds no {TRIAL_FILE}.",
            effect=nothing,
            remedy="Run the command again; if it stays so, report it as an error of the program.",
            path=folder,
        )


def _seal(study: Study, folder: Path, number: int) -> None:
    """Give a build its final modes, bring it to the disk, and give it the name a later run can finish it by."""
    modes = study.modes
    gid = study.gid if study.shared else None
    try:
        for path in folder.iterdir():
            if path.name == UNBLINDED_FILE:
                unblinded_gid, mode = study.unblinded_file_access()
                set_mode(path, mode, unblinded_gid)
            elif path.name == TRIAL_FILE:
                set_mode(path, modes.release_file, gid)
            elif path.is_dir():
                shutil.rmtree(path)
                continue
            else:
                path.unlink()
                continue
            _sync_file(path)
        set_mode(folder, modes.releases, gid)
        sync_folder(folder)
        sealed = _sealed(study, number)
        if sealed.exists():
            shutil.rmtree(sealed)
        os.rename(folder, sealed)
        sync_folder(study.releases_dir)
    except OSError as error:
        raise write_error(error, "The new release") from error


def _switch(study: Study, number: int) -> None:
    """Give a sealed release its name and point `current` at it. Every step may have been done before."""
    try:
        _name_finally(study, number)
        checkpoint("renamed")
        _point(study.trial_link, f"current/{TRIAL_FILE}")
        # Last: whoever finds `current` at the newest release takes the switch for done.
        _point(study.current_link, f"releases/{number:06d}")
        checkpoint("switched")
        sync_folder(study.root)
    except OSError as error:
        raise write_error(
            error,
            f"The switch to release {number}",
            effect=f"Release {number} is committed and complete; readers keep the one before until the switch is done.",
        ) from error


def _name_finally(study: Study, number: int) -> None:
    if not _final(study, number).exists():
        os.rename(_sealed(study, number), _final(study, number))
        sync_folder(study.releases_dir)


def _point(link: Path, target: str) -> None:
    if link.is_symlink() and os.readlink(link) == target:
        return
    new = _new_link(link)
    new.unlink(missing_ok=True)
    os.symlink(target, new)
    os.replace(new, link)


def _new_link(link: Path) -> Path:
    return link.with_name(f".{link.name}.new")


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
