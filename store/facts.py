"""What the ledger says a release is a function of: the files received, the protocol each was read under, and the
protocol that gives meaning."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from store.ledger_chain import LedgerRow

IMPORT_SOURCE = "import_source"
RECORD_PROTOCOL = "record_protocol"
MAKE_RELEASE = "make_release"
RESTORE_RELEASE = "restore_release"


@dataclass(frozen=True)
class SourceFact:
    """One file received: everything that decides how its rows are read and which version wins. Times are naive UTC."""

    sha256: str
    name: str
    size: int
    format: str
    dataset: str
    mode: Literal["increment", "snapshot"]
    source_name: str | None
    """Name of the protocol's [[source]] entry that mapped it; None when content alone decided."""
    protocol_sha256: str
    """Protocol whose reading keys are pinned to the file."""
    exported_utc: dt.datetime | None
    received_utc: dt.datetime

    @property
    def source_id(self) -> str:
        return self.sha256[:12]

    @property
    def precedence(self) -> tuple[dt.datetime, str]:
        """Later wins: the export time, else the time of receipt; the hash breaks ties, never the order of arrival."""
        return (self.exported_utc or self.received_utc, self.sha256)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size": self.size,
            "format": self.format,
            "dataset": self.dataset,
            "mode": self.mode,
            "source": self.source_name,
            "protocol_sha256": self.protocol_sha256,
            "exported_utc": self.exported_utc.isoformat() if self.exported_utc else None,
            "received_utc": self.received_utc.isoformat(),
        }

    @classmethod
    def from_json(cls, sha256: str, value: dict[str, Any]) -> SourceFact:
        exported = value["exported_utc"]
        return cls(
            sha256=sha256,
            name=value["name"],
            size=value["size"],
            format=value["format"],
            dataset=value["dataset"],
            mode=value["mode"],
            source_name=value["source"],
            protocol_sha256=value["protocol_sha256"],
            exported_utc=dt.datetime.fromisoformat(exported) if exported else None,
            received_utc=dt.datetime.fromisoformat(value["received_utc"]),
        )


@dataclass(frozen=True)
class ReleaseFact:
    """One release as its commit recorded it."""

    number: int
    built_from_seq: int
    protocol_sha256: str
    digest: str
    file_sha256: dict[str, str]
    """SHA-256 of each file of the release (trial.duckdb, unblinded.duckdb)."""
    program_version: str
    seq: int
    """Ledger row of the commit."""


@dataclass(frozen=True)
class Facts:
    """The facts a release is made from: files and protocol, and the ledger row up to which they were read."""

    sources: tuple[SourceFact, ...]
    protocol_sha256: str | None
    seq: int
    head: str

    def source(self, sha256: str) -> SourceFact | None:
        return next((fact for fact in self.sources if fact.sha256 == sha256), None)

    def with_sources(self, more: Iterable[SourceFact], protocol_sha256: str) -> Facts:
        """These facts and the files of the run that is being committed, in order of precedence."""
        ordered = sorted((*self.sources, *more), key=lambda fact: fact.precedence)
        return replace(self, sources=tuple(ordered), protocol_sha256=protocol_sha256)


def read_facts(rows: Iterable[LedgerRow]) -> Facts:
    """Fold ledger rows into facts; the order of imports does not matter, only their set and the newest protocol."""
    sources: dict[str, SourceFact] = {}
    protocol: str | None = None
    seq, head = 0, ""
    for row in rows:
        seq, head = row.seq, row.hash
        if row.action == IMPORT_SOURCE:
            sha256 = row.record.removeprefix("source/")
            sources.setdefault(sha256, SourceFact.from_json(sha256, row.new_value))
        elif row.action == RECORD_PROTOCOL:
            protocol = row.record.removeprefix("protocol/")
    ordered = sorted(sources.values(), key=lambda fact: fact.precedence)
    return Facts(tuple(ordered), protocol, seq, head)


def read_releases(rows: Iterable[LedgerRow]) -> list[ReleaseFact]:
    """Every release committed, oldest first; a restored one with the hashes of the files it has now."""
    releases: list[ReleaseFact] = []
    for row in rows:
        if row.action == MAKE_RELEASE:
            value = row.new_value
            releases.append(
                ReleaseFact(
                    number=value["release"],
                    built_from_seq=value["built_from_seq"],
                    protocol_sha256=value["protocol_sha256"],
                    digest=value["digest"],
                    file_sha256=value["file_sha256"],
                    program_version=value["program_version"],
                    seq=row.seq,
                )
            )
        elif row.action == RESTORE_RELEASE:
            releases = [
                replace(release, file_sha256=row.new_value["file_sha256"])
                if row.record == f"release/{release.number:06d}"
                else release
                for release in releases
            ]
    return releases


def facts_of_release(rows: list[LedgerRow], release: ReleaseFact) -> Facts:
    """The facts a past release was made from: all rows up to ``built_from_seq`` and the files its own commit
    brought."""
    before = [row for row in rows if row.seq <= release.built_from_seq]
    base = read_facts(before)
    brought = [
        SourceFact.from_json(row.record.removeprefix("source/"), row.new_value)
        for row in rows
        if row.action == IMPORT_SOURCE
        and row.seq > release.built_from_seq
        and row.new_value["release"] == release.number
    ]
    return base.with_sources(brought, release.protocol_sha256)
