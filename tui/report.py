"""What an import or a release tells the person and the script that started it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.accounting import FileCounts

PRECEDENCE = (14, 13, 130, 16, 15, 11, 10, 2, 1, 3, 4, 0)
"""Exit codes, the first that applies wins (one run, one code)."""


def first_code(codes: set[int]) -> int:
    """The exit code of a run in which all of ``codes`` apply."""
    return next((code for code in PRECEDENCE if code in codes), 0)


@dataclass
class FileReport:
    """One file of a run: status imported, duplicate_file, failed or ignored, and the fate of its rows."""

    path: str
    status: str
    sha256: str | None = None
    format: str | None = None
    dataset: str | None = None
    reason: str | None = None
    read: int = 0
    new: int = 0
    duplicate: int = 0
    superseded: int = 0
    quarantined: int = 0
    first_event: dt.datetime | None = None
    last_event: dt.datetime | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    code: int = 0
    """Exit code the file alone asks for: 1 failed, 15 its layout changed."""

    def count(self, counts: FileCounts) -> None:
        """Take over the fate of the file's rows."""
        self.new, self.duplicate = counts.new, counts.duplicate
        self.superseded, self.quarantined = counts.superseded, counts.quarantined
        self.first_event, self.last_event = counts.first_event, counts.last_event

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "first_event": self.first_event.isoformat() if self.first_event else None,
            "last_event": self.last_event.isoformat() if self.last_event else None,
            "seconds": round(self.seconds, 3),
        }


@dataclass
class ImportReport:
    """A whole run: files, the release they became part of (None: no release was made), the ledger's head as anchor."""

    files: list[FileReport]
    release: int | None
    ledger_head: str
    ledger_seq: int
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)
    dry_run: bool = False
    """Only a preview: nothing was archived, recorded or published."""
    silent: list[dict[str, Any]] = field(default_factory=list)
    """Devices without data for longer than their class's upload interval and tolerance."""

    @property
    def exit_code(self) -> int:
        codes = {0} | {file.code or 1 for file in self.files if file.status == "failed"}
        if any(file.quarantined for file in self.files if file.status == "imported"):
            codes.add(3)
        if self.release is None and not self.dry_run:
            codes.add(4)
        return first_code(codes)

    def to_json(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "release": self.release,
            "ledger_head": f"{self.ledger_head}@{self.ledger_seq}",
            "seconds": round(self.seconds, 3),
            "messages": self.messages,
            "dry_run": self.dry_run,
            "silent": self.silent,
            "files": [file.to_json() for file in self.files],
        }


@dataclass
class RebuildReport:
    """What a rebuild found: the digest recorded at the commit and the one made now, and which tables differ."""

    release: int
    recorded_digest: str
    digest: str
    recorded_version: str
    version: str
    differing: list[str]
    restored: bool

    @property
    def same(self) -> bool:
        return self.digest == self.recorded_digest

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "same": self.same}
