"""What every screen of one session shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tui.glyphs import Glyphs
from tui.pages import Pages
from tui.personal import Personal

T = TypeVar("T")

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
    """Reverses this user's last step on a query or decision on a problem; returns what to say."""
    problems: Callable[[], list[tuple[Any, ...]]]
    """Problems in quarantine as they stand now, as rows of ``tui.desk_rows.PROBLEM_COLUMNS``."""
    preview: Callable[[str, str, str], str]
    """Action, problem and correction (empty: the proposed one); returns what would change."""
    decide: Callable[[str, str, str, str], str]
    """Action, problem, correction and reason; returns what to say."""
    decide_deviation: Callable[[str, str, str], str]
    """Action, deviation and reason; returns what to say."""
    decided_deviations: Callable[[], list[tuple[Any, ...]]]
    """Proposed deviations that were decided on since the release, one id each."""
    raise_query: Callable[[str, str | None], str]
    """Question and subject; returns what to say."""
    history: Callable[[str], list[tuple[Any, ...]]]
    """The ledger's entries about a subject, as rows of seq, UTC, user, action, record, words."""


@dataclass(frozen=True)
class Program:
    """The command line as the app may run it."""

    start: tuple[str, ...]
    """Its first words, the study named."""
    words: Callable[[], dict[str, tuple[str, ...]]]
    """What may follow: of no word the commands, of a command its subcommands and options."""


@dataclass(frozen=True)
class Watch:
    """What may change while the app is open; both are asked every few seconds and read no data."""

    release: Callable[[], Path]
    """The release file to read now. Raises OSError or ActionRefused where there is none."""
    ledger: Callable[[], object]
    """Something that differs once an entry was added, by whomever."""


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
    watch: Watch | None = None
    """None: the app stays with the release it was opened on."""
    program: Program | None = None
    """None: the command line of the app knows the places only."""
    personal: Personal = field(default_factory=Personal)
    """What the program keeps for this user."""
    left: list[Pages] = field(default_factory=list)
    """Releases that were open before this one."""
    edition: int = 0
    """Counts releases taken up and entries seen; a screen made at an earlier one reads again before it is shown."""

    def replace_pages(self, pages: Pages) -> None:
        """Work with a newer release; the old one stays open for the rows that are still shown of it."""
        self.left.append(self.pages)
        self.pages = pages
        self.edition += 1

    def close(self) -> None:
        """Let every release file go."""
        for pages in (*self.left, self.pages):
            pages.close()
        self.left.clear()

    async def run(self, job: Callable[[], T]) -> T:
        """Do `job` on a thread of the release that is open."""
        return await self.pages.run(job)

    @property
    def release_label(self) -> str:
        """Release number and, in a blinded trial, which of its two files this is."""
        state = "" if self.pages.state == "open" else "  BLINDED" if self.pages.blinded else "  UNBLINDED"
        return f"release {self.pages.release}{state}"
