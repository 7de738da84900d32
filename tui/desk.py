"""What every screen of one session shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui.glyphs import Glyphs
from tui.pages import Pages

AS_IS, DEIDENTIFIED = "as-is", "deidentified"
IDENTITIES = (AS_IS, DEIDENTIFIED)
"""How subjects appear in an export."""


@dataclass(frozen=True)
class ExportWish:
    """What the export screen asks for."""

    what: str
    """Name of the export as `dosetrail export` takes it."""
    format: str
    """csv, xlsx, parquet, json or markdown."""
    target: Path
    filter: str = ""
    """Words of the patients' filter line; empty for all of them."""
    identity: str = AS_IS
    """One of IDENTITIES."""


Exporter = Callable[[ExportWish], str]
"""Writes an export and returns a sentence that says what was written where.

Raises ExportRefused, or OSError when the file cannot be written."""


@dataclass(frozen=True)
class PastExports:
    """What the ledger knows of exports. Both raise ExportRefused."""

    read: Callable[[], list[tuple[str, ...]]]
    """Rows of number, day, what, identity, rows, checksum, state of the file, file; the newest first."""
    again: Callable[[str], str]
    """Writes the export with this number again; returns what to say."""


class ExportRefused(Exception):
    """The export was not written; the text says why and what to do."""


class ActionRefused(Exception):
    """Nothing was recorded; the text says why and what to do."""


@dataclass(frozen=True)
class DeskActions:
    """What the app may record in the ledger. Each raises ActionRefused."""

    pending: Callable[[], list[tuple[Any, ...]]]
    """Queries with steps newer than the release, as rows of ``tui.desk_rows.PENDING_COLUMNS``."""
    step: Callable[[str, str, str], str]
    """Action, query and text; returns what to say."""
    undo: Callable[[], str]
    """Reverses this user's last step on a query; returns what to say."""


@dataclass
class Desk:
    """The open release, the signs the terminal can draw, and what the app may do besides reading."""

    pages: Pages
    glyphs: Glyphs
    study: str
    """Name of the study as printed in titles."""
    folder: Path
    """The study folder, for the command lines shown."""
    exporter: Exporter | None = None
    """None: exports are shown as a command line only."""
    actions: DeskActions | None = None
    """None: queries are shown and not worked on."""
    trouble: str = ""
    """Why what was done since the release is not shown; empty when it is."""

    past_exports: PastExports | None = None
    """None: exports that were made are not listed."""

    @property
    def release_label(self) -> str:
        """Release number and, in a blinded trial, which of its two files this is."""
        state = "" if self.pages.state == "open" else "  BLINDED" if self.pages.blinded else "  UNBLINDED"
        return f"release {self.pages.release}{state}"
