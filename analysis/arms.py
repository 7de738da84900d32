"""Who is in which arm and population: what every table of results is laid out by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.cut import effective_cut
from analysis.dose_counts import DoseCounts
from analysis.dose_log import DoseLog
from analysis.frames import Frames
from analysis.result_rows import ALL_ARMS
from store.protocol import Protocol

PLANNED_ARM = "planned arm"
ACTUAL_ARM = "actual arm"


@dataclass(frozen=True)
class Layout:
    """Arms in protocol order with the subjects of each, under one assignment (planned or actual arm)."""

    assignment: str
    arms: tuple[str, ...]
    reference: str | None
    arm_of: dict[str, str]

    def groups(self, members: Iterable[str]) -> list[tuple[str, list[str]]]:
        """(arm, its members in subject order) for every arm, then ALL (without any arm: everybody)."""
        chosen = sorted(member for member in members if member in self.arm_of or not self.arms)
        per_arm = {arm: [member for member in chosen if self.arm_of[member] == arm] for arm in self.arms}
        return [*per_arm.items(), (ALL_ARMS, chosen)]

    def comparators(self) -> list[tuple[str, str]]:
        """(arm, reference arm) for every other arm; none without a reference or where arms are not to be compared."""
        return [(arm, self.reference) for arm in self.arms if self.reference and arm != self.reference]


@dataclass(frozen=True)
class StudyView:
    """A study as its results are computed: cut frames, protocol, the course of each subject, arms, populations."""

    frames: Frames
    protocol: Protocol
    cut: dt.date | None
    log: DoseLog
    counts: DoseCounts
    course: pl.DataFrame
    people: dict[str, dict[str, Any]]
    layouts: tuple[Layout, ...]
    """The assignment the protocol names first; the other only where it differs for somebody."""
    populations: dict[str, frozenset[str]]
    rules: dict[str, str]

    @property
    def layout(self) -> Layout:
        return self.layouts[0]

    def members(self, population: str) -> frozenset[str]:
        return self.populations.get(population, frozenset())


def study_view(
    frames: Frames, protocol: Protocol, cutoff: dt.date | None, course: pl.DataFrame, log: DoseLog, counts: DoseCounts
) -> StudyView:
    """Gather what results share. ``frames`` is cut already and holds the small derived tables."""
    membership = frames("population", ["population", "subject_id", "member", "rule"]).sort("population", "subject_id")
    populations: dict[str, set[str]] = {}
    rules: dict[str, str] = {}
    for name, subject_id, member, rule in membership.iter_rows():
        rules[name] = rule
        group = populations.setdefault(name, set())
        if member:
            group.add(subject_id)
    return StudyView(
        frames=frames,
        protocol=protocol,
        cut=effective_cut(protocol, cutoff),
        log=log,
        counts=counts,
        course=course,
        people={row["subject_id"]: row for row in course.iter_rows(named=True)},
        layouts=_layouts(protocol, course),
        populations={name: frozenset(group) for name, group in populations.items()},
        rules=rules,
    )


def arm_column(protocol: Protocol) -> str:
    """Column of the course that holds the arm tables are laid out by."""
    return "arm_code" if protocol.study.arm_assignment == "planned" else "actual_arm_code"


def _layouts(protocol: Protocol, course: pl.DataFrame) -> tuple[Layout, ...]:
    planned = _layout(protocol, course, PLANNED_ARM, "arm_code")
    actual = _layout(protocol, course, ACTUAL_ARM, "actual_arm_code")
    first, second = (planned, actual) if protocol.study.arm_assignment == "planned" else (actual, planned)
    # A source that knows of no actual arms does not say that nobody was treated.
    return (first, second) if second.arm_of and second.arm_of != first.arm_of else (first,)


def _layout(protocol: Protocol, course: pl.DataFrame, assignment: str, column: str) -> Layout:
    arm_of = {subject_id: arm for subject_id, arm in course.select("subject_id", column).iter_rows() if arm is not None}
    named = [arm.code for arm in protocol.arm]
    arms = tuple(dict.fromkeys([*named, *sorted(set(arm_of.values()))]))
    # In a crossover an arm is a sequence and each subject their own control; in a cluster trial subjects are not
    # independent. The methods here would be wrong for both, so no arm is compared (see compute_results).
    comparable = protocol.study.design in ("parallel", "single_arm")
    return Layout(assignment, arms, protocol.study.reference_arm if comparable else None, arm_of)
