"""A folder files arrive in: which of them are complete, and where they go when they are taken.

Complete is what has a marker `NAME.done`, what a manifest (`*.sha256`, as sha256sum writes it) lists with the right
checksum, and what nobody has written to for a while. Only what is in the archive is moved; what nothing recognises
stays where it is and is reported every night until somebody looks.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from store.statement_progress import Progress, quiet
from tui.pipeline import import_paths
from tui.report import FileReport, ImportReport

if TYPE_CHECKING:
    from store.study import Study

MARKER = ".done"
MANIFEST = ".sha256"
TAKEN, REFUSED = "done", "failed"
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".download", ".swp")
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


@dataclass(frozen=True)
class Inbox:
    """A folder, how long a file must have been unchanged (seconds), and whether files stay where they are."""

    folder: Path
    settle_s: float = 60.0
    keep: bool = False


@dataclass
class Arrived:
    """What stands in the inbox: complete files, files still growing, and files that are not what a manifest says."""

    complete: list[Path] = field(default_factory=list)
    growing: list[Path] = field(default_factory=list)
    wrong: dict[Path, str] = field(default_factory=dict)


def import_inbox(
    study: Study, inbox: Inbox, progress: Progress = quiet, *, wait_s: float = 0.0, dry_run: bool = False
) -> ImportReport:
    """Import the complete files of an inbox and publish one release for all of them; move what is in the archive.

    Raises ``DosetrailError`` as ``import_paths`` does, then nothing has been moved. A file whose checksum is not the
    manifest's is reported as failed and stays.
    """
    from store.errors import UsageProblem

    if not inbox.folder.is_dir():
        raise UsageProblem(f"There is no folder {inbox.folder}.", remedy="Make it, or give the right --inbox DIR.")
    arrived = look_into(inbox)
    report = import_paths(study, arrived.complete, progress, wait_s=wait_s, dry_run=dry_run)
    report.files += [
        FileReport(path=str(path), status="failed", reason=reason, code=1) for path, reason in arrived.wrong.items()
    ]
    if arrived.growing:
        names = ", ".join(path.name for path in arrived.growing[:5])
        report.messages.append(f"{len(arrived.growing):,} files are not complete yet and wait: {names}.")
    if not arrived.complete and not arrived.wrong:
        report.messages.append(f"Nothing came: {inbox.folder} holds no complete file.")
    if not dry_run and not inbox.keep:
        moved = {path.resolve(): file for path, file in zip(arrived.complete, report.files, strict=False)}
        for path, file in moved.items():
            _move(inbox, path, file)
    return report


def look_into(inbox: Inbox, now: float | None = None) -> Arrived:
    """Sort the files of an inbox, in name order. ``now``: seconds since 1970 (the clock's without it)."""
    now = time.time() if now is None else now
    arrived = Arrived()
    files = list(_files(inbox.folder))
    listed: dict[Path, str] = {}
    for manifest in (path for path in files if path.suffix == MANIFEST):
        listed |= _read_manifest(manifest)
    markers = {path for path in files if path.suffix == MARKER}
    for path in files:
        if path in markers or path.suffix == MANIFEST:
            continue
        if path in listed:
            if _sha256(path) == listed[path]:
                arrived.complete.append(path)
            else:
                arrived.wrong[path] = "its checksum is not the one in the manifest; it stays in the inbox"
        elif path.with_name(path.name + MARKER) in markers or _settled(path, inbox.settle_s, now):
            arrived.complete.append(path)
        else:
            arrived.growing.append(path)
    for path in sorted(set(listed) - set(files)):
        arrived.wrong[path] = "the manifest lists it and it has not come"
    return arrived


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (parent, name) not in _own(folder))
        for name in sorted(names):
            path = Path(parent, name)
            hidden = name.startswith((".", "~$")) or path.suffix in UNFINISHED
            if not hidden and path.is_file() and not path.is_symlink():
                yield path


def _own(folder: Path) -> set[tuple[str, str]]:
    """The folders files are moved to, which are not looked into again."""
    return {(str(folder), TAKEN), (str(folder), REFUSED)}


def _settled(path: Path, settle_s: float, now: float) -> bool:
    state = path.stat()
    # Of a time in the future (a clock that jumped) the distance counts as well.
    return min(abs(now - state.st_mtime), abs(now - state.st_ctime)) >= settle_s


def _read_manifest(manifest: Path) -> dict[Path, str]:
    found = {}
    for line in manifest.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.fullmatch(line.strip())
        name = match[2] if match else ""
        if match and ".." not in Path(name).parts and not Path(name).is_absolute():
            found[manifest.parent / name] = match[1].lower()
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move(inbox: Inbox, path: Path, file: FileReport) -> None:
    """Move a file that is in the archive to done/DAY or failed/DAY, with its marker; never over another one."""
    if file.sha256 is None:
        return
    word = REFUSED if file.status == "failed" else TAKEN
    folder = inbox.folder / word / f"{datetime.now(UTC):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    if target.exists():
        target = folder / f"{file.sha256[:12]}-{path.name}"
    path.rename(target)
    if word == REFUSED:
        target.with_name(f"{target.name}.reason.txt").write_text(f"{file.reason}\n", encoding="utf-8")
    path.with_name(path.name + MARKER).unlink(missing_ok=True)
