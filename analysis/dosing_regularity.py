"""Regularity of dosing from the recorded doses of one subject: correct days, intervals, holidays, coverage.

Times are numbers in any one unit (hours, or days from the first dose), sorted or not. Time without data is
the caller's to leave out: give monitored days, and intervals that do not span a gap in the data.

Terms: Vrijens et al., Br J Clin Pharmacol 2012;73:691-705.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DosingDays:
    """Shares (0-1) of the monitored days with exactly, and with at least, the expected number of doses."""

    monitored_days: int
    exact: float | None
    at_least: float | None


def correct_dosing_days(doses_per_day: Sequence[int], expected_per_day: Sequence[int] | int) -> DosingDays:
    """Days dosed as prescribed; one count per monitored day, expected as one number or one per day.

    >>> correct_dosing_days([1, 1, 0, 2], 1)
    DosingDays(monitored_days=4, exact=0.5, at_least=0.75)
    """
    if isinstance(expected_per_day, int):
        expected_per_day = [expected_per_day] * len(doses_per_day)
    days = list(zip(doses_per_day, expected_per_day, strict=True))
    if not days:
        return DosingDays(0, None, None)
    exact, enough = sum(d == e for d, e in days), sum(d >= e for d, e in days)
    return DosingDays(len(days), exact / len(days), enough / len(days))


def intervals_on_time(intervals: Sequence[float], nominal: float, tolerance: float | None = None) -> float | None:
    """Share of the dosing intervals within nominal ± tolerance, the ends included; `None` without intervals.

    The tolerance is a quarter of the nominal interval unless given (24 h: ± 6 h).

    >>> intervals_on_time([24.0, 30.0, 31.0, 18.0], nominal=24.0)
    0.75
    """
    if not nominal > 0.0:
        raise ValueError(f"the nominal interval must be positive, got {nominal!r}")
    width = nominal / 4.0 if tolerance is None else tolerance
    if not intervals:
        return None
    return sum(abs(i - nominal) <= width + 1e-9 for i in intervals) / len(intervals)


def drug_holidays(doses_per_day: Sequence[int], least_days: int = 3) -> list[tuple[int, int]]:
    """Runs of at least `least_days` monitored days without a dose, as (index of the first day, length).

    >>> drug_holidays([1, 0, 0, 0, 1, 0, 0, 1])
    [(1, 3)]
    """
    if least_days < 1:
        raise ValueError(f"a holiday has at least one day, got {least_days!r}")
    holidays, run = [], 0
    for day, doses in enumerate([*doses_per_day, 1]):
        if doses == 0:
            run += 1
            continue
        if run >= least_days:
            holidays.append((day - run, run))
        run = 0
    return holidays


def therapeutic_coverage(times: Sequence[float], duration: float, start: float, end: float) -> float | None:
    """Share of the monitored time [start, end] within `duration` after a dose; overlaps count once.

    `duration` is how long one dose acts (its forgiveness), in the unit of the times; doses before `start`
    that still act count. `None` for an empty period.

    >>> therapeutic_coverage([0.0, 24.0, 60.0], duration=30.0, start=0.0, end=96.0)
    0.875
    """
    if not duration > 0.0:
        raise ValueError(f"the duration of action must be positive, got {duration!r}")
    if not end > start:
        return None
    covered, reached = 0.0, start
    for time in sorted(times):
        begin, stop = max(time, reached), min(time + duration, end)
        if stop > begin:
            covered += stop - begin
            reached = stop
    return covered / (end - start)


def persistence_time(times: Sequence[float]) -> float | None:
    """Time from the first to the last dose; `None` without a dose.

    >>> persistence_time([2.0, 0.0, 9.0])
    9.0
    """
    return math.fsum((max(times), -min(times))) if times else None
