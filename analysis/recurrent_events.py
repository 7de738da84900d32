"""Events that recur in a subject: the mean cumulative function with a robust standard error.

The mean number of events per subject by time t, for subjects observed for different lengths of time. Unlike
counts per patient-year it does not assume a constant rate; unlike Kaplan-Meier it counts every event. Death
ends observation here and is not modelled.

References: Nelson, J Qual Technol 1995;27:147-157; Lawless, Nadeau, Technometrics 1995;37:158-168.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.interval import Interval, normal_quantile, not_estimable


@dataclass(frozen=True, slots=True)
class MeanCumulativeFunction:
    """Mean number of events per subject after each end of a row; `se` is robust to dependence within
    subjects."""

    times: tuple[float, ...]
    at_risk: tuple[int, ...]
    mean: tuple[float, ...]
    se: tuple[float, ...]
    level: float

    def at(self, time: float) -> Interval:
        """Mean number by `time` with limits on the log scale; `None`s beyond the last observed time.

        Without events so far the mean is 0 and has no limits.
        """
        if not self.times or time > self.times[-1]:
            return not_estimable(self.level, "robust_log")
        i = bisect_right(self.times, time) - 1
        if i < 0 or self.mean[i] == 0.0:
            return Interval(0.0, None, None, self.level, "robust_log")
        mean, spread = self.mean[i], math.exp(normal_quantile(self.level) * self.se[i] / self.mean[i])
        return Interval(mean, mean / spread, mean * spread, self.level, "robust_log")


def mean_cumulative_function(
    subjects: Sequence[str | int],
    starts: Sequence[float],
    stops: Sequence[float],
    events: Sequence[int | bool],
    level: float = 0.95,
) -> MeanCumulativeFunction:
    """Sum of d/n over event times, n the subjects under observation, from rows (start, stop] of each subject.

    `events` says whether a row ended with an event. Variance(t) = sum over subjects of the square of the
    sum up to t of (1/n)(dN - d/n) while observed.

    >>> rows = [1, 1, 2], [0, 4, 0], [4, 6, 5], [1, 0, 1]
    >>> mean_cumulative_function(*rows).mean
    (0.5, 1.0, 1.0)
    """
    if not len(subjects) == len(starts) == len(stops) == len(events):
        raise ValueError("subjects, starts, stops and events must have the same length")
    if any(not a < b for a, b in zip(starts, stops, strict=True)):
        raise ValueError("every row must end after it starts")
    names = {name: i for i, name in enumerate(dict.fromkeys(subjects))}
    own = np.asarray([names[s] for s in subjects], dtype=np.intp)
    start, stop = np.asarray(starts, dtype=np.float64), np.asarray(stops, dtype=np.float64)
    event = np.asarray(events, dtype=np.bool_)
    influence = np.zeros(len(names))
    mean = 0.0
    rows = []
    for t in np.unique(stop):
        observed = np.zeros(len(names))
        observed[own[(start < t) & (t <= stop)]] = 1.0
        happened = np.bincount(own[event & (stop == t)], minlength=len(names)).astype(np.float64)
        n, d = observed.sum(), happened.sum()
        mean += d / n
        influence += observed / n * (happened - d / n)
        rows.append((float(t), int(n), float(mean), math.sqrt(float((influence**2).sum()))))
    at, risk, means, errors = zip(*rows, strict=True) if rows else ((), (), (), ())
    return MeanCumulativeFunction(tuple(at), tuple(risk), tuple(means), tuple(errors), level)
