"""Files of a blinded trial that would give an arm away: closed to the study's group, open to the unblinded one.

protocol.toml (arms, drugs, amounts), every archived source, and releases made while the trial was open. The group is
that of the unblinded ledger; where none was named, only the owner reads them.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from store.permissions import set_mode
from store.publish import TRIAL_FILE, UNBLINDED_FILE, release_numbers
from store.study import Study


def close_sources(study: Study) -> None:
    """Close protocol.toml and all sources, and make the unblinded ledger if there is none.

    Every run of a blinded trial does this: an editor that replaces a file gives it an open mode again.
    """
    if not study.has_unblinded_ledger:
        study.create_unblinded_ledger()
    gid, mode = study.unblinded_file_access()
    _close([study.protocol_path], gid, mode | stat.S_IWUSR)
    _close(study.sources_dir.glob("??/*.zst"), gid, mode)


def close_open_releases(study: Study) -> list[int]:
    """Close the releases on disk that were made while the trial was open; returns their numbers."""
    gid, mode = study.unblinded_file_access()
    folders = {number: study.releases_dir / f"{number:06d}" for number in release_numbers(study)}
    closed = [number for number, folder in folders.items() if not (folder / UNBLINDED_FILE).exists()]
    _close((folders[number] / TRIAL_FILE for number in closed), gid, mode)
    return closed


def _close(paths: Iterable[Path], gid: int, mode: int) -> None:
    for path in paths:
        state = path.stat()
        if (state.st_gid, stat.S_IMODE(state.st_mode)) != (gid, mode):
            set_mode(path, mode, gid)
