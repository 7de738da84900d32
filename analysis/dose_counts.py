"""Everything results need from the dose tables, counted once while a release is made or from the stored tables.

The dose tables can hold millions of rows; what stays of them here is a few numbers per subject (and, for medians,
8 bytes per dose and pair).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from analysis.accuracy_cells import TraitsOfPart, count_by_traits
from analysis.compliance_cells import MATCH_COLUMNS as COMPLIANCE_COLUMNS
from analysis.compliance_cells import ComplianceCell, count_doses
from analysis.compliance_days import DayCounts
from analysis.dose_log import DoseLog, Int32, categories, codes, encoded
from analysis.dose_pairs import MATCH_COLUMNS, PAIRS, DoseRows, PairCounts, SubjectFacts, logged_rows
from analysis.dose_traits import DeviceFacts
from analysis.frames import Frames
from store.protocol import Protocol

PART_ROWS = 500_000
"""Rows of dose_match or of the dose log counted at a time where the whole of it is given."""


@dataclass
class DoseCounts:
    """Compliance cells and, by pair of amounts, accuracy cells of all subjects."""

    compliance: list[ComplianceCell] = field(default_factory=list)
    pairs: dict[str, PairCounts] = field(default_factory=dict)
    days: list[DayCounts] = field(default_factory=list)
    """Doses by dosing day, in parts of whole subjects."""

    @property
    def evaluable_for_compliance(self) -> set[str]:
        """Subjects with a monitored expected dose."""
        return {cell.subject_id for cell in self.compliance if cell.given + cell.missed}

    @property
    def evaluable_for_accuracy(self) -> set[str]:
        """Subjects with a dose of which two amounts can be compared."""
        return {cell.subject_id for counts in self.pairs.values() for cell in counts.cells if cell.assessable}


class DoseCounter:
    """Counts parts of dose_match as they come (a subject is never split between parts), then the log."""

    def __init__(
        self,
        protocol: Protocol,
        course: dict[str, dict[str, Any]],
        facts: SubjectFacts,
        devices: DeviceFacts,
        log: DoseLog,
    ) -> None:
        self._protocol = protocol
        self._course = course
        self._facts = facts
        # Decided by the whole log: a part without a programmed amount still holds doses that are not assessable.
        self._reported = {
            name for name in ("planned_amount", "programmed_amount", "delivered_amount") if not log.is_blank(name)
        }
        self._counts = DoseCounts(pairs={pair.name: PairCounts() for pair in PAIRS})
        self._matched_doses = 0
        self._devices = devices

    def add(self, matched: pl.DataFrame, log: DoseLog) -> None:
        """Take in rows of dose_match and the part of the log with the same subjects."""
        self._counts.compliance += count_doses(matched, self._course, self._counts.days)
        doses = matched.select(MATCH_COLUMNS).filter(matched["source_id"].is_not_null())
        parts = TraitsOfPart(log, self._devices)
        if doses.height:
            self._matched_doses += doses.height
            self._count(DoseRows(self._facts, doses), parts, from_plan=True)
        if log.height:
            self._count(logged_rows(self._facts, log), parts, from_plan=False)

    def finish(self, log: DoseLog) -> DoseCounts:
        """Everything counted. Without a plan anywhere, the amounts the records themselves state as planned count."""
        if "planned_amount" in self._reported and not self._matched_doses:
            self._count(logged_rows(self._facts, log), TraitsOfPart(log, self._devices), from_plan=True)
            for pair in PAIRS:
                self._counts.pairs[pair.name].plan_in_records = pair.from_plan
        self._counts.pairs["delivered/programmed"].excluded = int((log.given & log.cancelled).sum())
        self._counts.compliance.sort(key=lambda cell: (cell.subject_id, cell.drug or "", cell.channel or ""))
        for counts in self._counts.pairs.values():
            counts.in_order()
        return self._counts

    def _count(self, rows: DoseRows, traits: TraitsOfPart, *, from_plan: bool) -> None:
        for pair in PAIRS:
            # A volume can stand for the delivered amount where the plan is a volume.
            needed = {pair.compared, pair.reference} - ({"delivered_amount", "planned_amount"} if from_plan else set())
            if pair.from_plan == from_plan and needed <= self._reported:
                rows.count(pair, self._protocol, self._counts.pairs[pair.name])
                self._counts.pairs[pair.name].breakdowns.append(
                    count_by_traits(rows, pair, traits, self._protocol.accuracy)
                )


def subject_facts(frames: Frames, course: pl.DataFrame, arm_column: str) -> SubjectFacts:
    """Arm, device class and source format as counting looks them up."""
    arms = course.select("subject_id", arm_column).drop_nulls()
    return SubjectFacts(
        dict(arms.iter_rows()),
        dict(course.select("subject_id", "device_class").iter_rows()),
        dict(frames("source_file", ["source_id", "format"]).iter_rows()),
    )


def stored_parts(frames: Frames, log: DoseLog) -> Iterator[tuple[pl.DataFrame, DoseLog]]:
    """Table dose_match in parts of whole subjects, by subject, each with the part of the log of its subjects."""
    columns = list(dict.fromkeys([*COMPLIANCE_COLUMNS, *MATCH_COLUMNS]))
    whole = frames("dose_match", columns)
    rows = pl.DataFrame([encoded(column) for column in whole.iter_columns()], schema=columns)
    # One numbering of subjects for both: their names in order.
    names = sorted({*categories(rows["subject_id"]), *categories(log.events["subject_id"])})
    own, logged = _renumbered(rows["subject_id"], names), _renumbered(log.events["subject_id"], names)
    if bool((own[1:] < own[:-1]).any()):
        order = np.lexsort(
            (
                rows["line"].fill_null(-1).to_numpy(),
                codes(rows["source_id"]),
                rows["dose_date"].to_physical().to_numpy(),
                own,
            )
        )
        rows, own = rows[order], own[order]
    first = 0
    while first < len(names):
        # Subjects whose rows, matched and logged, make up one part; at least one subject.
        at = np.searchsorted(own, first) + PART_ROWS
        last = max(first + 1, int(own[at]) if at < own.size else len(names))
        part, of_log = (slice(*np.searchsorted(number, [first, last]).tolist()) for number in (own, logged))
        yield rows[part], log.part(of_log)
        first = last


def _renumbered(values: pl.Series, names: list[str]) -> Int32:
    position = {name: number for number, name in enumerate(names)}
    return np.array([*(position[name] for name in categories(values)), -1], dtype=np.int32)[codes(values)]
