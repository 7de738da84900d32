"""Notices that a newer release is current, or that somebody recorded something, and opens it beside the old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tui.desk import ActionRefused, Desk, Watch
from tui.pages import Pages, ReleaseUnreadable

LOOK_EVERY_S = 3.0
"""A link is read and a file's time of change is asked for: no data, and not a byte to the terminal."""


class ReleaseNews:
    """What was seen last of a study that others change."""

    def __init__(self, desk: Desk, watch: Watch) -> None:
        self._desk = desk
        self._watch = watch
        self._ledger = watch.ledger()
        self._refused = ""

    def seen(self) -> None:
        """What the ledger holds now is known."""
        self._ledger = self._watch.ledger()

    async def look(self) -> str | None:
        """None when nothing is new. Else `Desk.pages` is the newest release, and the text is what to say of it."""
        try:
            file = self._watch.release()
        except (OSError, ActionRefused):
            return None  # between two releases, or no right to look: what is open stays readable
        if file != self._desk.pages.file and str(file) != self._refused:
            return await self._take_up(file)
        ledger = self._watch.ledger()
        if ledger == self._ledger:
            return None
        self._ledger = ledger
        self._desk.edition += 1
        return ""

    async def _take_up(self, file: Path) -> str:
        old = self._desk.pages
        try:
            pages = await asyncio.to_thread(Pages, file)
        except ReleaseUnreadable as problem:
            self._refused = str(file)
            return f"A newer release cannot be read, this is still release {old.release}: {problem}"
        # Rows read from the old one are shown until each screen has read its own again, so it stays open.
        self._desk.replace_pages(pages)
        self._ledger = self._watch.ledger()
        return f"Release {pages.release} was published and is shown now, in place of release {old.release}"
