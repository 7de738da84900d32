"""Continuous medication availability (CMA1-CMA9) of electronically monitored doses, for thousands of subjects.

The measures of analysis.adherence on the doses of a study: each dose supplies the time to the next planned day. The
recursions "used one after the other" and "carried over" are running maxima, so that a subject with a thousand doses
costs a few array operations; tests hold them against analysis.adherence dose by dose.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def availability(day: Floats, supply: Floats, length: float) -> list[float | None]:
    """CMA1 to CMA9 of one subject, from the first dose (day 0) to ``length`` days after it.

    ``day``: days of doses from 0, ascending; ``supply``: days each lasts. Shares; CMA1 and CMA2 may exceed 1. `None`
    where a measure is not defined (one dose, no time). Nothing is carried in: day 0 is the first dose ever.

    >>> availability(np.array([0.0, 1.0, 3.0]), np.ones(3), 4.0)[:4]
    [0.6666666666666666, 0.75, 0.6666666666666666, 0.75]
    """
    inside = day <= length
    day, supply = day[inside], supply[inside]
    if not day.size or length <= 0.0:
        return [None] * 9
    to_last, whole = float(day[-1] - day[0]), length - float(day[0])
    used_up = np.maximum.accumulate(day - np.r_[0.0, np.cumsum(supply)[:-1]]) + np.cumsum(supply)
    begin = used_up - supply

    def covered(end: float) -> float:
        return float(np.maximum(0.0, np.minimum(used_up, end) - np.minimum(begin, end)).sum())

    cma1 = float(supply[:-1].sum()) / to_last if to_last > 0 else None
    cma2 = float(supply.sum()) / whole if whole > 0 else None
    cma5 = covered(float(day[-1])) / to_last if to_last > 0 else None
    cma7 = covered(length) / whole if whole > 0 else None
    interval = np.diff(np.r_[day, length])
    balance = np.cumsum(supply - interval)
    left = balance - np.minimum(0.0, np.minimum.accumulate(balance))
    available = np.r_[0.0, left[:-1]] + supply
    shares = np.minimum(1.0, np.divide(available, interval, out=np.zeros_like(available), where=interval > 0))
    cma9 = float((shares * interval).sum()) / length
    # Without older supplies CMA6 and CMA8 are CMA7.
    return [cma1, cma2, _capped(cma1), _capped(cma2), cma5, cma7, cma7, cma7, cma9]


def _capped(share: float | None) -> float | None:
    return None if share is None else min(1.0, share)


def supply_days(planned_day: Floats, planned: Floats, day: Floats, doses: Floats) -> Floats:
    """Days that the doses of each dosed day last: doses times the planned time per dose of the newest planned day.

    The doses planned for a day share the days to the next planned day; those of the last one, the gap before it.
    """
    if not planned_day.size:
        return doses.astype(np.float64)
    gaps = np.diff(planned_day)
    per_dose = np.r_[gaps, gaps[-1] if gaps.size else 1.0] / planned
    newest = np.maximum(np.searchsorted(planned_day, day, side="right") - 1, 0)
    return np.asarray(doses * per_dose[newest])


def longest_runs(flags: npt.NDArray[np.bool_], day: Floats, least: int) -> list[tuple[int, int]]:
    """(first position, days) of runs of flagged days, one after the other in the calendar, of at least ``least`` days.

    >>> longest_runs(np.array([True, True, True, False, True]), np.arange(5.0), 3)
    [(0, 3)]
    """
    if not flags.size:
        return []
    new = np.r_[True, (flags[1:] != flags[:-1]) | (day[1:] != day[:-1] + 1)]
    starts = np.flatnonzero(new)
    lengths = np.diff(np.r_[starts, flags.size])
    return [(int(a), int(n)) for a, n in zip(starts, lengths, strict=True) if flags[a] and n >= least]
