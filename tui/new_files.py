"""The files a run has read and not yet published, and whether those of one data set can be used together."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from importers.agreement import check_agreement
from importers.base import Parsed
from store.facts import SourceFact
from tui.report import FileReport


class NewFile(NamedTuple):
    """One file of the run: what the ledger will say of it, its rows, and its line in the report."""

    fact: SourceFact
    parsed: Parsed
    report: FileReport


def refuse_disagreeing(new_files: list[NewFile]) -> list[NewFile]:
    """The files that can be used; the others are reported as failed.

    Files of one snapshot data set must agree, unless they say that they were exported at different times (then the
    later one wins). Carriers of one transfer (dm.xpt beside dm.ndjson) must agree whenever they were written. Where two
    do not, none of the data set's new files is used.
    """
    by_dataset: dict[tuple[str, str], list[NewFile]] = {}
    for file in new_files:
        if file.fact.mode == "snapshot":
            by_dataset.setdefault((file.fact.format, file.fact.dataset), []).append(file)
    refused: set[str] = set()
    for files in by_dataset.values():
        sentence = _disagreement(files)
        if sentence is not None:
            for file in files:
                file.report.status, file.report.reason = "failed", sentence
                refused.add(file.fact.sha256)
    return [file for file in new_files if file.fact.sha256 not in refused]


def _disagreement(files: list[NewFile]) -> str | None:
    """The first two files that must agree and do not, as a sentence."""
    for index, later in enumerate(files):
        for earlier in files[:index]:
            if _must_agree(earlier, later):
                sentence = check_agreement(earlier.fact.name, earlier.parsed, later.fact.name, later.parsed)
                if sentence is not None:
                    return sentence
                break
    return None


def _must_agree(one: NewFile, other: NewFile) -> bool:
    times = {one.fact.exported_utc, other.fact.exported_utc}
    carriers = len({Path(file.report.path).with_suffix("") for file in (one, other)}) == 1
    return carriers or None in times or len(times) == 1
