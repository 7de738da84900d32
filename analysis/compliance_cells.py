"""Planned doses and days counted per subject and series: the small table compliance is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analysis.compliance_days import DayCounts
from analysis.dose_log import Int32, Int64, Mask, categories, codes, day_number, encoded
from analysis.dose_tables import EXTRA, HELD, LATE, MISSED, STATUS, TAKEN, UNMONITORED

MATCH_COLUMNS = ("subject_id", "status", "dose_date", "drug", "channel")
"""Columns of dose_match that counting needs."""


@dataclass(frozen=True)
class ComplianceCell:
    """Counts of one series in one subject, whole, first to last dose, and first dose to end of treatment."""

    subject_id: str
    drug: str | None
    channel: str | None
    taken: int
    late: int
    missed: int
    held: int
    unmonitored: int
    extra: int
    implemented: int
    implementation_expected: int
    on_treatment: int
    on_treatment_expected: int
    on_treatment_unmonitored: int
    days: int
    """Monitored days with expected doses."""
    days_at_least: int
    days_exact: int

    @property
    def given(self) -> int:
        """Planned doses that were given, in their window or late."""
        return self.taken + self.late

    @property
    def expected(self) -> int:
        """Planned doses the investigator did not withhold, monitored or not."""
        return self.given + self.missed + self.unmonitored


def count_doses(
    matched: pl.DataFrame, course: dict[str, dict[str, Any]], days: list[DayCounts] | None = None
) -> list[ComplianceCell]:
    """Count rows of dose_match (whole subjects) per subject and series, by subject, drug and channel.

    ``course``: subject -> course of the subject. Days are dosing days: a day counts when at least one dose was
    expected and all of it was monitored; the doses of the day are those given for its plans plus its extra ones.
    ``days`` takes the days themselves.
    """
    if not matched.height:
        return []
    rows = pl.DataFrame([encoded(matched[name]) for name in MATCH_COLUMNS])
    subject, day = codes(rows["subject_id"]), rows["dose_date"].to_physical().to_numpy().astype(np.int64)
    drugs, channels = categories(rows["drug"]), categories(rows["channel"])
    series = (codes(rows["drug"]) + 1) * (len(channels) + 1) + codes(rows["channel"]) + 1
    of_category = np.array([STATUS.index(name) for name in categories(rows["status"])], dtype=np.int64)
    status = of_category[codes(rows["status"])]
    if _unsorted(subject, series, day):
        order = np.lexsort((day, series, subject))
        subject, series, day, status = subject[order], series[order], day[order], status[order]
    names = categories(rows["subject_id"])
    cells: list[ComplianceCell] = []
    per_day = _Days(subject, series, day, status)
    owners = []
    for number, kind, counts in _count(per_day, _bounds(course, names, subject)):
        drug, channel = divmod(kind, len(channels) + 1)
        owner = names[number], drugs[drug - 1] if drug else None, channels[channel - 1] if channel else None
        owners.append(owner)
        cells.append(ComplianceCell(*owner, *counts))
    if days is not None:
        given = per_day.counts[:, TAKEN] + per_day.counts[:, LATE]
        others = (per_day.counts[:, which].astype(np.int16) for which in (MISSED, HELD, UNMONITORED, EXTRA))
        days.append(
            DayCounts(per_day.heads.tolist(), owners, per_day.day.astype(np.int32), given.astype(np.int16), *others)
        )
    return cells


class _Days:
    """Rows in subject, series and day order, counted by day: counts per status, and where each series begins."""

    def __init__(self, subject: Int32, series: Int32, day: Int64, status: Int64) -> None:
        new_cell = np.r_[True, (subject[1:] != subject[:-1]) | (series[1:] != series[:-1])]
        new_day = new_cell | np.r_[True, day[1:] != day[:-1]]
        first_row = np.flatnonzero(new_day)
        self.counts: Int64 = np.bincount((np.cumsum(new_day) - 1) * 6 + status, minlength=first_row.size * 6).reshape(
            -1, 6
        )
        self.day, self.subject, self.series = day[first_row], subject[first_row], series[first_row]
        self.heads = np.flatnonzero(new_cell[first_row])


def _unsorted(subject: Int32, series: Int32, day: Int64) -> bool:
    tied = np.ones(subject.size - 1, dtype=np.bool_)
    for key in (subject, series, day):
        if bool((tied & (key[1:] < key[:-1])).any()):
            return True
        tied &= key[1:] == key[:-1]
    return False


def _bounds(course: dict[str, dict[str, Any]], names: list[str], subject: Int32) -> Int64:
    """First dose, last dose and last followed day of the subjects with rows, as days since 1970."""
    bounds = np.zeros((len(names), 3), dtype=np.int64)
    for number in subject[np.r_[True, subject[1:] != subject[:-1]]].tolist():
        person = course.get(names[number])
        if person is None or person["first_dose"] is None or person["followed_to"] is None:
            bounds[number] = (1, 0, 0)
            continue
        last = person["last_at"].date() if person["last_at"] is not None else person["last_dose"]
        bounds[number] = tuple(day_number(day) for day in (person["first_dose"], last, person["followed_to"]))
    return bounds


def _count(days: _Days, bounds: Int64) -> list[tuple[int, int, tuple[int, ...]]]:
    """(subject, series, counts in the order of ComplianceCell) of a block of whole subjects."""
    per_day, date, who, cell_of_day = days.counts, days.day, days.subject, days.heads
    first, last, until = bounds[who].T
    given = per_day[:, TAKEN] + per_day[:, LATE]
    expected = given + per_day[:, MISSED]
    unmonitored = per_day[:, UNMONITORED]
    implementing = (date >= first) & (date <= last)
    treated = (date >= first) & (date <= until)
    counted = treated & (expected > 0) & (unmonitored == 0)
    doses = given + per_day[:, EXTRA]

    def total(values: Int64, where: Mask | None = None) -> Int64:
        return np.add.reduceat(values if where is None else np.where(where, values, 0), cell_of_day)

    ones = np.ones_like(given)
    columns = [
        *(total(per_day[:, which]) for which in (TAKEN, LATE, MISSED, HELD, UNMONITORED, EXTRA)),
        total(given, implementing),
        total(expected, implementing),
        total(given, treated),
        total(expected, treated),
        total(unmonitored, treated),
        total(ones, counted),
        total(ones, counted & (doses >= expected)),
        total(ones, counted & (doses == expected)),
    ]
    return [
        (int(number), int(kind), tuple(int(value) for value in values))
        for number, kind, *values in zip(who[cell_of_day], days.series[cell_of_day], *columns, strict=True)
    ]
