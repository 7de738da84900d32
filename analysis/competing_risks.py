"""Cumulative incidence when several kinds of event end observation (death before the adverse event).

1 - Kaplan-Meier of one cause overstates its incidence: it treats subjects who died as if they could still
have the event. The Aalen-Johansen estimate counts them as no longer at risk. Ties are exact.

References: Aalen, Johansen, Scand J Stat 1978;5:141-150; Marubini, Valsecchi, Analysing Survival Data, 1995.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.interval import Interval, normal_quantile, not_estimable


@dataclass(frozen=True, slots=True)
class CumulativeIncidence:
    """Incidence of one cause at every time with an event of any cause, and the share free of all events."""

    times: tuple[float, ...]
    incidence: tuple[float, ...]
    se: tuple[float, ...]
    event_free: tuple[float, ...]
    last_time: float | None
    level: float

    def at(self, time: float) -> Interval:
        """Incidence at `time`, limits on the complementary log-log scale; `None`s beyond the last observed
        time.

        >>> curve = cumulative_incidence([1, 2, 3, 4], [1, 2, 1, 0], cause=1)
        >>> curve.at(3).estimate
        0.5
        """
        if self.last_time is None or time > self.last_time:
            return not_estimable(self.level, "aalen_johansen")
        i = bisect_right(self.times, time) - 1
        if i < 0 or self.incidence[i] == 0.0:
            return Interval(0.0, None, None, self.level, "aalen_johansen")
        f, se = self.incidence[i], self.se[i]
        if f >= 1.0 or se == 0.0:
            return Interval(f, None, None, self.level, "aalen_johansen")
        # On the scale log(-log(1 - F)).
        survival = 1.0 - f
        exponent = normal_quantile(self.level) * se / (survival * -math.log(survival))
        lower, upper = 1.0 - survival ** math.exp(-exponent), 1.0 - survival ** math.exp(exponent)
        return Interval(f, lower, upper, self.level, "aalen_johansen")

    def event_free_at(self, time: float) -> float | None:
        """Share without an event of any cause at `time`."""
        if self.last_time is None or time > self.last_time:
            return None
        i = bisect_right(self.times, time) - 1
        return self.event_free[i] if i >= 0 else 1.0


def cumulative_incidence(
    times: Sequence[float], causes: Sequence[int], cause: int, level: float = 0.95
) -> CumulativeIncidence:
    """Aalen-Johansen incidence of `cause` for subjects followed from time 0.

    `causes` is 0 for a censored subject and a positive number for the kind of event at its time. F(t) = sum
    of S(before) d_cause / n; the standard error is the delta-method (Greenwood-type) one.

    >>> curve = cumulative_incidence([1, 2, 3, 4], [1, 2, 1, 0], cause=1)
    >>> curve.incidence, curve.event_free
    ((0.25, 0.25, 0.5), (0.75, 0.5, 0.25))
    """
    if len(times) != len(causes):
        raise ValueError(f"{len(times)} times but {len(causes)} causes")
    if any(not 0.0 <= t < math.inf for t in times):
        raise ValueError("times must be finite numbers of at least 0")
    if any(c < 0 for c in causes) or cause < 1:
        raise ValueError("causes are 0 (censored) or positive numbers")
    time = np.asarray(times, dtype=np.float64)
    kind = np.asarray(causes, dtype=np.intp)
    at = np.unique(time[kind > 0])
    n = np.array([(time >= t).sum() for t in at], dtype=np.float64)
    d = np.array([((time == t) & (kind > 0)).sum() for t in at], dtype=np.float64)
    own = np.array([((time == t) & (kind == cause)).sum() for t in at], dtype=np.float64)
    free = np.cumprod(1.0 - d / n) if len(at) else np.zeros(0)
    before = np.concatenate(([1.0], free[:-1])) if len(at) else np.zeros(0)
    incidence = np.cumsum(before * own / n)
    se = np.sqrt([_variance(i, n, d, own, before, incidence) for i in range(len(at))])
    return CumulativeIncidence(
        tuple(at.tolist()),
        tuple(incidence.tolist()),
        tuple(se.tolist()),
        tuple(free.tolist()),
        float(time.max()) if len(time) else None,
        level,
    )


def _variance(
    i: int,
    n: NDArray[np.float64],
    d: NDArray[np.float64],
    own: NDArray[np.float64],
    before: NDArray[np.float64],
    incidence: NDArray[np.float64],
) -> float:
    """Variance of the incidence at the i-th event time (Marubini, Valsecchi 1995, p. 341)."""
    upto = slice(0, i + 1)
    gain = incidence[i] - incidence[upto]
    # Where everybody left at risk had an event, the gain after it is 0 and so is its term.
    survivors = np.where(n[upto] > d[upto], n[upto] - d[upto], 1.0)
    first = (gain**2 * d[upto] / (n[upto] * survivors)).sum()
    second = (before[upto] ** 2 * (n[upto] - own[upto]) * own[upto] / n[upto] ** 3).sum()
    third = (gain * before[upto] * own[upto] / n[upto] ** 2).sum()
    return max(0.0, float(first + second - 2.0 * third))


@dataclass(frozen=True, slots=True)
class StateProbabilities:
    """Probability of each state after every transition or end of observation; one row per time."""

    times: tuple[float, ...]
    states: tuple[str | int, ...]
    probability: tuple[tuple[float, ...], ...]


def state_probabilities(
    subjects: Sequence[str | int],
    starts: Sequence[float],
    stops: Sequence[float],
    states: Sequence[str | int],
    initial: str | int = "entry",
    censored: str | int = 0,
) -> StateProbabilities:
    """Aalen-Johansen probabilities of a multi-state history given in rows (start, stop] per subject.

    `states` is the state entered at `stop`, or `censored` where none is. A subject is in `initial` until
    its first transition; late entry is allowed. Everybody starts in `initial`. At each time the
    probabilities are multiplied by the matrix of d(from, to) / at risk in from.

    >>> result = state_probabilities([1, 2, 2], [0, 0, 3], [5, 3, 6], ["ill", "ill", 0])
    >>> result.times, result.probability
    ((3.0, 5.0, 6.0), ((0.5, 0.5), (0.0, 1.0), (0.0, 1.0)))
    """
    if not len(subjects) == len(starts) == len(stops) == len(states):
        raise ValueError("subjects, starts, stops and states must have the same length")
    if any(not a < b for a, b in zip(starts, stops, strict=True)):
        raise ValueError("every row must end after it starts")
    names = [initial, *sorted({s for s in states if s not in (censored, initial)}, key=str)]
    index = {name: i for i, name in enumerate(names)}
    current: dict[str | int, int] = {}
    rows = []
    order = sorted(range(len(subjects)), key=lambda i: (str(subjects[i]), starts[i]))
    for i in order:
        source = current.get(subjects[i], 0)
        target = source if states[i] == censored else index[states[i]]
        current[subjects[i]] = target
        rows.append((float(starts[i]), float(stops[i]), source, target))
    probability = np.zeros(len(names))
    probability[0] = 1.0
    times = sorted({stop for _, stop, _, _ in rows})
    result = []
    for t in times:
        transition = np.zeros((len(names), len(names)))
        at_risk = np.zeros(len(names))
        for start, stop, source, target in rows:
            if start < t <= stop:
                at_risk[source] += 1.0
                if stop == t:
                    transition[source, target] += 1.0
                else:
                    transition[source, source] += 1.0
        step = np.eye(len(names))
        occupied = at_risk > 0.0
        step[occupied] = transition[occupied] / at_risk[occupied, None]
        probability = probability @ step
        result.append(tuple(probability.tolist()))
    return StateProbabilities(tuple(times), tuple(names), tuple(result))
