"""What the program keeps for one user and one study, outside the study: drafts, saved views, the last thing copied.

Everything is small and written whole at every change, so a dropped connection or a killed program loses at most the
key being pressed. Nothing here is data of the trial: it can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRAFTS, VIEWS, CLIP = "drafts.json", "views.json", "clip.txt"


@dataclass(frozen=True)
class SavedView:
    """A filter and an order of one list."""

    place: str
    filter: str = ""
    sort: str = ""
    descending: bool = False


class Personal:
    """Drafts and views of one user for one study; without a folder they live as long as the program."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: dict[str, dict[str, Any]] = {}

    @property
    def clip_file(self) -> Path | None:
        """The file that holds what was copied last; None where nothing can be kept."""
        return self._folder / CLIP if self._folder else None

    def drafts(self) -> dict[str, str]:
        """What was typed and not sent, by what it was typed for."""
        return {str(key): str(text) for key, text in self._read(DRAFTS).items()}

    def keep_draft(self, key: str, text: str) -> None:
        """Remember what is being typed; an empty text forgets it."""
        drafts = self.drafts()
        if drafts.pop(key, "") == text:
            return
        if text:
            drafts[key] = text
        self._write(DRAFTS, drafts)

    def views(self) -> dict[str, SavedView]:
        """Saved views by name."""
        found = {}
        for name, parts in self._read(VIEWS).items():
            with contextlib.suppress(TypeError):
                found[str(name)] = SavedView(**parts)
        return found

    def save_view(self, name: str, view: SavedView | None) -> None:
        """Save a view under a name, in place of the one that had it; None forgets it."""
        views: dict[str, Any] = {key: vars(value) for key, value in self.views().items() if key != name}
        if view is not None:
            views[name] = vars(view)
        self._write(VIEWS, views)

    def copy(self, text: str) -> Path | None:
        """Put `text` into the file of what was copied last and return its path; None where it cannot be written."""
        if self._folder is None:
            return None
        try:
            return self._replace(CLIP, text + "\n")
        except OSError:
            return None

    def _read(self, name: str) -> dict[str, Any]:
        if self._folder is not None and name not in self._held:
            try:
                read = json.loads((self._folder / name).read_text("utf-8"))
            except (OSError, ValueError):
                read = {}
            # Not remembered: another session of the same user writes the same file.
            return read if isinstance(read, dict) else {}
        return dict(self._held.get(name, {}))

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            try:
                self._replace(name, json.dumps(content, indent=1, sort_keys=True))
            except OSError:
                pass  # no home, no room: kept for this session
            else:
                self._held.pop(name, None)
                return
        self._held[name] = dict(content)

    def _replace(self, name: str, text: str) -> Path:
        assert self._folder is not None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, new = self._folder / name, self._folder / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        new.replace(file)
        return file


def personal_of(study: Path, environ: Mapping[str, str]) -> Personal:
    """Of the user whose environment this is: ``$XDG_STATE_HOME/dosetrail`` (``~/.local/state``), a folder a study."""
    home = environ.get("HOME")
    state = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else "")
    if not state.startswith("/"):
        return Personal()
    mark = hashlib.sha256(os.fsencode(study.resolve())).hexdigest()[:8]
    return Personal(Path(state) / "dosetrail" / f"{study.resolve().name}-{mark}")
