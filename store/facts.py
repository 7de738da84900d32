"""What the ledger says a release is a function of: the files received, the protocol each was read under, and the
protocol that gives meaning.

In a blinded trial the name of a file, its data set and its [[source]] may give an arm away: the ordinary ledger holds
the source id in the place of the name and nothing for the other two, the unblinded ledger the three of them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

from store.cuts import NAME_CUT
from store.device_actions import Assignment, Return, read_assignments
from store.errors import IntegrityFailure
from store.ledger_chain import LedgerRow
from store.row_decisions import Decision, read_decisions
from store.undoing import standing

IMPORT_SOURCE = "import_source"
NAME_SOURCE = "name_source"
"""Unblinded ledger only: what a blinded import_source withholds."""
RECORD_PROTOCOL = "record_protocol"
MAKE_RELEASE = "make_release"
RESTORE_RELEASE = "restore_release"

NOTHING_TO_BUILD = (MAKE_RELEASE, RESTORE_RELEASE, "export", NAME_CUT)
"""Actions after which a release would be the same again."""

APPROVE_LAYOUT = "approve_layout"

_CLOCK_STEP = dt.timedelta(minutes=1)
"""That a clock may be put back without a word."""

WITHHELD = ("name", "dataset", "source", "layout")
"""Facts of a file that a blinded trial keeps in its unblinded ledger."""

PLAIN_SUFFIXES = frozenset(
    ".csv .tsv .txt .psv .dat .xpt .json .ndjson .dsjc .xlsx .xls .parquet .gz .zst .zip .xml .hl7".split()
)
"""Suffixes that name a format and nothing else; any other part of a file's name may name an arm."""


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
    layout: tuple[str, ...] = ()
    """Names of the file's columns, where its [[source]] or its header maps them."""

    @property
    def stream(self) -> tuple[str, str]:
        """What the file is one of: its format, and its [[source]] or data set."""
        return self.format, self.source_name or self.dataset

    @property
    def source_id(self) -> str:
        return self.sha256[:12]

    @property
    def precedence(self) -> tuple[dt.datetime, str]:
        """Later wins: the export time, else the time of receipt; the hash breaks ties, never the order of arrival."""
        return (self.exported_utc or self.received_utc, self.sha256)

    @property
    def blinded_name(self) -> str:
        """The source id with the suffixes that say the format."""
        suffixes = (suffix.lower() for suffix in PurePath(self.name).suffixes)
        return self.source_id + "".join(suffix for suffix in suffixes if suffix in PLAIN_SUFFIXES)

    def to_blinded_json(self) -> dict[str, Any]:
        """As ``to_json``, without what would give an arm away."""
        return {**self.to_json(), "name": self.blinded_name, "dataset": None, "source": None, "layout": None}

    def to_withheld_json(self) -> dict[str, Any]:
        """What ``to_blinded_json`` leaves out."""
        return {name: value for name, value in self.to_json().items() if name in WITHHELD}

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
            "layout": list(self.layout) or None,
        }

    @classmethod
    def from_json(cls, sha256: str, value: dict[str, Any]) -> SourceFact:
        exported = value["exported_utc"]
        return cls(
            sha256=sha256,
            name=value["name"],
            size=value["size"],
            format=value["format"],
            dataset=value["dataset"] or "",
            mode=value["mode"],
            source_name=value["source"],
            protocol_sha256=value["protocol_sha256"],
            exported_utc=dt.datetime.fromisoformat(exported) if exported else None,
            received_utc=dt.datetime.fromisoformat(value["received_utc"]),
            layout=tuple(value.get("layout") or ()),
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
    assignments: tuple[Assignment, ...] = ()
    """Devices given to subjects, as people recorded it."""
    returns: tuple[Return, ...] = ()
    decisions: tuple[Decision, ...] = ()
    """What people decided about rows in quarantine."""

    def source(self, sha256: str) -> SourceFact | None:
        return next((fact for fact in self.sources if fact.sha256 == sha256), None)

    def with_sources(self, more: Iterable[SourceFact], protocol_sha256: str) -> Facts:
        """These facts and the files of the run that is being committed, in order of precedence."""
        ordered = sorted((*self.sources, *more), key=lambda fact: fact.precedence)
        return replace(self, sources=tuple(ordered), protocol_sha256=protocol_sha256)


def receipt_time(sources: Iterable[SourceFact]) -> tuple[dt.datetime, list[str]]:
    """When files of a run that begins now are received (naive UTC), and what is to say of the machine's clock.

    Never before an earlier run: of files that state no export time the one received later wins, so a clock that was put
    back would let an old snapshot win over the new one.
    """
    now = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=time.time_ns() // 1000)
    last = max((fact.received_utc for fact in sources), default=dt.datetime.min)
    if now > last:
        return now, []
    said = f"The clock of this machine says {now:%Y-%m-%d %H:%M} UTC; files were received until {last:%Y-%m-%d %H:%M}. "
    advice = "Files of this run count as received right after those. Check the clock."
    return last + dt.timedelta(microseconds=1), [said + advice] if last - now > _CLOCK_STEP else []


def read_facts(rows: Iterable[LedgerRow], unblinded: Iterable[LedgerRow] | None = None) -> Facts:
    """Fold ledger rows into facts; the order of imports does not matter, only their set and the newest protocol.

    ``unblinded``: rows of the unblinded ledger. Without them the files of a blinded trial have their source id for a
    name and no data set, which is enough to check them but not to read them again. With them, raises
    ``IntegrityFailure`` for a file that they do not name.
    """
    withheld = None if unblinded is None else _read_withheld(unblinded)
    sources: dict[str, SourceFact] = {}
    protocol: str | None = None
    seq, head = 0, ""
    kept = list(rows)
    for row in standing(kept, (IMPORT_SOURCE,)):
        fact = _read_source(row, withheld)
        sources.setdefault(fact.sha256, fact)
    for row in kept:
        seq, head = row.seq, row.hash
        if row.action == RECORD_PROTOCOL:
            protocol = row.record.removeprefix("protocol/")
    ordered = sorted(sources.values(), key=lambda fact: fact.precedence)
    return Facts(tuple(ordered), protocol, seq, head, *read_assignments(kept), read_decisions(kept))


def withholds_name(row: LedgerRow) -> bool:
    """Whether the row records a file whose name is in the unblinded ledger."""
    return row.action == IMPORT_SOURCE and row.new_value["dataset"] is None


Withheld = dict[tuple[str, int], dict[str, Any]]
"""(SHA-256, release) -> the withheld facts of a file."""


def _read_withheld(rows: Iterable[LedgerRow]) -> Withheld:
    # Of several entries for one release the last counts: those before it belong to runs killed before their commit.
    return {
        (row.record.removeprefix("source/"), row.new_value["release"]): row.new_value
        for row in rows
        if row.action == NAME_SOURCE
    }


def _read_source(row: LedgerRow, withheld: Withheld | None) -> SourceFact:
    sha256, value = row.record.removeprefix("source/"), row.new_value
    if withholds_name(row) and withheld is not None:
        named = withheld.get((sha256, value["release"]))
        if named is None:
            raise IntegrityFailure(
                f"The unblinded ledger does not name source {sha256[:12]}, which release {value['release']} took in.",
                remedy="Bring ledger/unblinded.sqlite back from the backup.",
                sha256=sha256,
            )
        value = {**value, **{name: named.get(name) for name in WITHHELD}}
    return SourceFact.from_json(sha256, value)


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


def facts_of_release(
    rows: list[LedgerRow], release: ReleaseFact, unblinded: Iterable[LedgerRow] | None = None
) -> Facts:
    """The facts a past release was made from: all rows up to ``built_from_seq`` and the files its own commit
    brought. ``unblinded`` as in ``read_facts``.
    """
    named = None if unblinded is None else list(unblinded)
    before = [row for row in rows if row.seq <= release.built_from_seq]
    brought = [
        row
        for row in rows
        if row.action == IMPORT_SOURCE
        and row.seq > release.built_from_seq
        and row.new_value["release"] == release.number
    ]
    return read_facts(before, named).with_sources(read_facts(brought, named).sources, release.protocol_sha256)
