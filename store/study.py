"""The study folder: where everything is, who owns it, and the mode of every file in it."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from store.errors import IntegrityFailure, NoStudy, NotAllowed, UsageProblem, write_error
from store.ledger import Ledger
from store.permissions import group_id, set_mode, sync_folder, user_name


@dataclass(frozen=True, slots=True)
class Modes:
    """Permission bits of a study folder's parts."""

    study: int
    ledger_dir: int
    ledger_file: int
    releases: int
    sources: int
    source_file: int
    cache: int
    cache_file: int = 0o600
    protocol: int = 0o644
    release_file: int = 0o444
    unblinded_release_file: int = 0o440


# The set-group-id bit (2xxx) makes new files belong to the study's group, whoever writes them.
SHARED = Modes(
    study=0o2755, ledger_dir=0o2770, ledger_file=0o660, releases=0o2755, sources=0o2750, source_file=0o440, cache=0o2700
)
PRIVATE = Modes(
    study=0o755, ledger_dir=0o700, ledger_file=0o600, releases=0o755, sources=0o700, source_file=0o400, cache=0o700
)


@dataclass(frozen=True, slots=True)
class Release:
    """One release, as real paths: what was resolved once stays valid when `current` moves on."""

    number: int
    folder: Path

    @property
    def trial(self) -> Path:
        return self.folder / "trial.duckdb"

    @property
    def unblinded(self) -> Path:
        """Exists for blinded trials only."""
        return self.folder / "unblinded.duckdb"


@dataclass(frozen=True, slots=True)
class Study:
    """Resolved paths of a study folder. Make one with `create_study` or `open_study`."""

    root: Path

    @property
    def protocol_path(self) -> Path:
        return self.root / "protocol.toml"

    @property
    def sources_dir(self) -> Path:
        return self.root / "sources"

    @property
    def ledger_dir(self) -> Path:
        return self.root / "ledger"

    @property
    def ledger_path(self) -> Path:
        return self.ledger_dir / "ledger.sqlite"

    @property
    def unblinded_ledger_path(self) -> Path:
        return self.ledger_dir / "unblinded.sqlite"

    @property
    def releases_dir(self) -> Path:
        return self.root / "releases"

    @property
    def cache_dir(self) -> Path:
        """Rows read before; may be deleted at any time."""
        return self.root / "cache"

    @property
    def current_link(self) -> Path:
        return self.root / "current"

    @property
    def trial_link(self) -> Path:
        return self.root / "trial.duckdb"

    @property
    def lock_path(self) -> Path:
        return self.root / ".import.lock"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.ledger_path)

    @property
    def unblinded_ledger(self) -> Ledger:
        """The ledger of entries that would give an arm away; only blinded trials have the file."""
        return Ledger(self.unblinded_ledger_path)

    @property
    def has_unblinded_ledger(self) -> bool:
        """False also for a user who may not look into the ledger folder."""
        try:
            return self.unblinded_ledger_path.exists()
        except PermissionError:
            return False

    @property
    def shared(self) -> bool:
        """Whether the study was made with `--group`."""
        return bool(self.ledger_dir.stat().st_mode & stat.S_ISGID)

    @property
    def modes(self) -> Modes:
        return SHARED if self.shared else PRIVATE

    @property
    def gid(self) -> int:
        """The group the study's files belong to."""
        return self.ledger_dir.stat().st_gid

    @property
    def unblinded_gid(self) -> int:
        """The group of unblinding files: the one named at creation, else the one of the unblinded ledger's
        maker.
        """
        return self.unblinded_ledger_path.stat().st_gid if self.has_unblinded_ledger else os.getegid()

    @property
    def owner_uid(self) -> int:
        return self.root.stat().st_uid

    @property
    def owned_by_me(self) -> bool:
        return os.geteuid() == self.owner_uid

    def require_owner(self, action: str) -> None:
        """Refuse what only the study's owner may do. `action` completes "only the owner may", e.g. "make
        releases".

        Root is refused too: what it wrote would lock out the owner's next import.
        """
        if not self.owned_by_me:
            owner = user_name(self.owner_uid)
            raise NotAllowed(
                f"Only the owner of this study ({owner}) may {action}; you are {user_name(os.geteuid())}.",
                remedy=f"Ask {owner}, or run it as that account: sudo -u {owner} dosetrail ...",
                study=self.root,
                owner=owner,
            )

    def current_release(self) -> Release | None:
        """The published release, with `current` resolved once; None before the first one.

        Raises IntegrityFailure where `current` points at nothing or at something else than a release.
        """
        try:
            folder = Path(os.path.realpath(self.current_link, strict=True))
        except FileNotFoundError:
            if not self.current_link.is_symlink():
                return None
            folder = Path(os.path.realpath(self.current_link))
        if folder.parent != self.releases_dir or not folder.name.isdigit() or not folder.is_dir():
            raise IntegrityFailure(
                f"`current` points at {folder}, which is not a release of this study.",
                effect="Sources and ledger are not touched; no release can be read.",
                remedy="Make the release again from sources and ledger: dosetrail rebuild",
                study=self.root,
            )
        return Release(int(folder.name), folder)

    def unblinded_file_access(self) -> tuple[int, int]:
        """(gid, mode) of a file that would give an arm away: readable by the unblinded group, never by the
        study's.

        Where no group was named for the unblinded ledger, or where that is the study's group, with the owner alone.
        """
        gid = self.unblinded_gid
        private = self.has_unblinded_ledger and not self.unblinded_ledger_path.stat().st_mode & stat.S_IRGRP
        if private or (self.shared and gid == self.gid):
            return gid, 0o400
        return gid, self.modes.unblinded_release_file

    def create_unblinded_ledger(self, group: str | None = None) -> Ledger:
        """Make `ledger/unblinded.sqlite`, readable and writable by `group` (and by nobody else's group)."""
        self.require_owner("set up blinding")
        gid = group_id(group) if group else os.getegid()
        readable_by_study = self.shared and gid == self.gid
        mode = 0o660 if group and not readable_by_study else 0o600
        return Ledger.create(self.unblinded_ledger_path, mode=mode, gid=gid)


def create_study(path: Path | str, group: str | None = None) -> Study:
    """Make an empty study folder with an empty ledger.

    `group`: name or number of the group that shares the study; without one it is the owner's alone, except
    for what is released. protocol.toml is the caller's to write (`set_mode(study.protocol_path,
    study.modes.protocol)`).

    Raises UsageProblem where a study or another non-empty folder is already there, and for an unknown group.
    """
    root = Path(path).expanduser().resolve()
    gid = group_id(group) if group is not None else None
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageProblem(
            f"{root} already exists and is not an empty folder.",
            remedy="Choose another name, or remove the folder if it is not needed.",
            study=root,
        )
    study = Study(root)
    was_there = root.exists()
    try:
        _make_folders(study, PRIVATE if gid is None else SHARED, gid)
    except BaseException as error:
        # Half a study would be taken for one.
        for leftover in root.iterdir() if was_there else [root]:
            shutil.rmtree(leftover, ignore_errors=True)
        if isinstance(error, OSError):
            raise write_error(error, f"The study folder {root}") from error
        raise
    return study


def _make_folders(study: Study, modes: Modes, gid: int | None) -> None:
    study.root.mkdir(parents=True, exist_ok=True)
    set_mode(study.root, modes.study, gid)
    for folder, mode in (
        (study.sources_dir, modes.sources),
        (study.releases_dir, modes.releases),
        (study.ledger_dir, modes.ledger_dir),
    ):
        folder.mkdir()
        set_mode(folder, mode, gid)
    Ledger.create(study.ledger_path, mode=modes.ledger_file, gid=gid)
    sync_folder(study.root)
    sync_folder(study.root.parent)


def open_study(path: Path | str) -> Study:
    """The study in folder `path`; raises NoStudy where there is none."""
    root = Path(path).expanduser().resolve()
    study = Study(root)
    if not (study.ledger_dir.is_dir() and study.releases_dir.is_dir() and study.sources_dir.is_dir()):
        there = "holds no study" if root.is_dir() else "does not exist"
        raise NoStudy(
            f"{root} {there}.",
            remedy="Name the folder with --study or DOSETRAIL_STUDY, or make one: dosetrail init FOLDER",
            study=root,
        )
    return study
