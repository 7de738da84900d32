"""Time to event: Kaplan-Meier with quantiles, Nelson-Aalen, log-rank test.

Times are numbers in any one unit from each subject's start; `events` says whether the subject had the event
at that time (1, True) or was last observed then (0, False). Censorings at an event time come after it.
Other causes that end observation, such as death, are censored here: where they compete, use
`analysis.competing_risks`.

References: Kaplan, Meier, JASA 1958;53:457-481; Brookmeyer, Crowley, Biometrics 1982;38:29-41; Kalbfleisch,
Prentice, The Statistical Analysis of Failure Time Data, 2002. Conventions are those of R's survival
package.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from analysis.interval import Interval, TestResult, normal_quantile, not_estimable

CONFIDENCE_TYPES = ("log-log", "log", "plain")


def check_times(times: Sequence[float], events: Sequence[int | bool]) -> list[tuple[float, bool]]:
    """Pairs sorted by time; ValueError for unequal lengths, a negative or missing time, or a flag not 0 or
    1."""
    if len(times) != len(events):
        raise ValueError(f"{len(times)} times but {len(events)} event flags")
    if any(not 0.0 <= t < math.inf for t in times):
        raise ValueError("times must be finite numbers of at least 0")
    if any(e not in (0, 1) for e in events):
        raise ValueError("event flags must be 0 (censored) or 1 (event)")
    return sorted((float(t), bool(e)) for t, e in zip(times, events, strict=True))


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """A survival curve at every observed time: subjects at risk just before it, events and censorings at it.

    `survival` holds just after each time; `lower` and `upper` are pointwise limits, `None` where survival
    is 0; `log_se` is Greenwood's standard error of log survival.
    """

    times: tuple[float, ...]
    at_risk: tuple[int, ...]
    events: tuple[int, ...]
    censored: tuple[int, ...]
    survival: tuple[float, ...]
    log_se: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    level: float
    confidence_type: str

    def survival_at(self, time: float) -> Interval:
        """Survival at `time` with its limits; `None`s beyond the last observed time.

        >>> curve = kaplan_meier([1, 2, 3, 4], [1, 0, 1, 0])
        >>> curve.survival_at(3).estimate, curve.survival_at(5).estimate
        (0.375, None)
        """
        if not self.times or time > self.times[-1]:
            return not_estimable(self.level, self.confidence_type)
        i = bisect_right(self.times, time) - 1
        if i < 0:
            return Interval(1.0, 1.0, 1.0, self.level, self.confidence_type)
        return Interval(self.survival[i], self.lower[i], self.upper[i], self.level, self.confidence_type)

    def at_risk_at(self, time: float) -> int:
        """Subjects still under observation just before `time`.

        >>> kaplan_meier([1, 2, 2, 4], [1, 0, 1, 0]).at_risk_at(2)
        3
        """
        return sum(
            events + censored
            for t, events, censored in zip(self.times, self.events, self.censored, strict=True)
            if t >= time
        )

    def quantile(self, share: float = 0.5) -> Interval:
        """Time by which a share of the subjects had the event (0.5: the median), after Brookmeyer and
        Crowley.

        The first time at which survival is at or below 1 - share; where it equals that, the middle of the
        flat stretch. The limits are the times at which the pointwise band crosses 1 - share. `None` where
        not reached.

        >>> kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1]).quantile(0.5).estimate
        2.5
        """
        if not 0.0 < share < 1.0:
            raise ValueError(f"a quantile's share must be between 0 and 1, got {share!r}")
        return Interval(
            _crossing(self.times, self.survival, 1.0 - share),
            _crossing(self.times, self.lower, 1.0 - share),
            _crossing(self.times, self.upper, 1.0 - share),
            self.level,
            f"brookmeyer_crowley {self.confidence_type}",
        )

    def median(self) -> Interval:
        """`quantile(0.5)`."""
        return self.quantile(0.5)


def _crossing(times: Sequence[float], curve: Sequence[float | None], height: float) -> float | None:
    """Where a falling step curve passes `height`: R's rule, with the middle of a stretch lying on it."""
    tolerance = 1.5e-8  # R's sqrt(machine epsilon)
    for i, value in enumerate(curve):
        if value is None or value > height + tolerance:
            continue
        if value < height - tolerance:
            return times[i]
        below = (times[j] for j in range(i + 1, len(times)) if _lower_than(curve[j], height - tolerance))
        return (times[i] + next(below, times[-1])) / 2.0
    return None


def _lower_than(value: float | None, height: float) -> bool:
    return value is not None and value < height


def kaplan_meier(
    times: Sequence[float],
    events: Sequence[int | bool],
    level: float = 0.95,
    confidence_type: str = "log-log",
) -> KaplanMeier:
    """Product-limit estimate S(t) = product of (1 - d/n) over event times up to t, with pointwise limits.

    With s the Greenwood standard error of log S, sqrt(sum of d/(n(n-d))):
    "log-log": S^exp(± z s / log S) (the default of SAS); "log": S exp(± z s) (the default of R);
    "plain": S (1 ± z s). All are cut to [0, 1]; at S = 0 there are none. Without subjects the curve is empty.

    >>> curve = kaplan_meier([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0])
    >>> curve.median()
    Interval(estimate=31.0, lower=13.0, upper=None, level=0.95, method='brookmeyer_crowley log-log')
    """
    if confidence_type not in CONFIDENCE_TYPES:
        raise ValueError(f"unknown confidence type {confidence_type!r}; known: {', '.join(CONFIDENCE_TYPES)}")
    z = normal_quantile(level)
    rows = _risk_table(check_times(times, events))
    survival, log_se, lower, upper = [], [], [], []
    product, greenwood = 1.0, 0.0
    for _, n, d, _ in rows:
        product *= (n - d) / n
        greenwood += d / (n * (n - d)) if n > d else math.inf
        survival.append(product)
        log_se.append(math.sqrt(greenwood))
        low, high = _band(product, math.sqrt(greenwood), z, confidence_type)
        lower.append(low)
        upper.append(high)
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return KaplanMeier(
        tuple(columns[0]),
        tuple(int(n) for n in columns[1]),
        tuple(int(d) for d in columns[2]),
        tuple(int(c) for c in columns[3]),
        tuple(survival),
        tuple(log_se),
        tuple(lower),
        tuple(upper),
        level,
        confidence_type,
    )


def _band(s: float, log_se: float, z: float, confidence_type: str) -> tuple[float | None, float | None]:
    if s == 0.0:
        return None, None
    if log_se == 0.0:
        return s, s
    if confidence_type == "log-log":
        exponent = z * log_se / math.log(s)
        return s ** math.exp(-exponent), s ** math.exp(exponent)
    if confidence_type == "log":
        return s * math.exp(-z * log_se), min(1.0, s * math.exp(z * log_se))
    return max(0.0, s * (1.0 - z * log_se)), min(1.0, s * (1.0 + z * log_se))


def _risk_table(pairs: list[tuple[float, bool]]) -> list[tuple[float, int, int, int]]:
    """(time, at risk, events, censored) for each distinct time."""
    table: list[tuple[float, int, int, int]] = []
    remaining = len(pairs)
    i = 0
    while i < len(pairs):
        time, j, d = pairs[i][0], i, 0
        while j < len(pairs) and pairs[j][0] == time:
            d += pairs[j][1]
            j += 1
        table.append((time, remaining, d, j - i - d))
        remaining -= j - i
        i = j
    return table


@dataclass(frozen=True, slots=True)
class CumulativeHazard:
    """A step curve with its standard error at each event time."""

    times: tuple[float, ...]
    hazard: tuple[float, ...]
    se: tuple[float, ...]

    def at(self, time: float) -> float:
        """Value of the curve at `time`; 0 before the first event."""
        i = bisect_right(self.times, time)
        return self.hazard[i - 1] if i else 0.0


def nelson_aalen(times: Sequence[float], events: Sequence[int | bool]) -> CumulativeHazard:
    """Cumulative hazard: sum of d/n over event times, variance sum of d/n².

    >>> nelson_aalen([1, 2, 3, 4], [1, 0, 1, 0]).hazard
    (0.25, 0.75)
    """
    hazard = variance = 0.0
    rows = []
    for time, n, d, _ in _risk_table(check_times(times, events)):
        if d:
            hazard += d / n
            variance += d / n**2
            rows.append((time, hazard, math.sqrt(variance)))
    at, values, errors = zip(*rows, strict=True) if rows else ((), (), ())
    return CumulativeHazard(tuple(at), tuple(values), tuple(errors))


def log_rank(
    times: Sequence[float],
    events: Sequence[int | bool],
    groups: Sequence[str | int],
    strata: Sequence[str | int] | None = None,
) -> TestResult:
    """Log-rank test that two or more groups have the same hazard, on groups - 1 degrees of freedom.

    Chi-square = U' V⁻ U from observed minus expected events and the hypergeometric covariance, summed
    over `strata` where given. `None` with fewer than two groups or without an informative event time.

    >>> result = log_rank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 1], ["a", "a", "a", "b", "b", "b"])
    >>> round(result.statistic, 3), round(result.p_value, 3)
    (5.052, 0.025)
    """
    if len(groups) != len(times) or (strata is not None and len(strata) != len(times)):
        raise ValueError("times, groups and strata must have the same length")
    check_times(times, events)
    labels = sorted(set(groups), key=str)
    index = {label: i for i, label in enumerate(labels)}
    k = len(labels)
    difference, covariance = np.zeros(k), np.zeros((k, k))
    time = np.asarray(times, dtype=np.float64)
    event = np.asarray(events, dtype=np.bool_)
    group = np.asarray([index[g] for g in groups], dtype=np.intp)
    layer = np.zeros(len(time), dtype=np.intp)
    if strata is not None:
        layers = {label: i for i, label in enumerate(dict.fromkeys(strata))}
        layer = np.asarray([layers[s] for s in strata], dtype=np.intp)
    for stratum in range(int(layer.max()) + 1 if len(layer) else 0):
        own = layer == stratum
        for t in np.unique(time[own & event]):
            at_risk = np.bincount(group[own & (time >= t)], minlength=k).astype(np.float64)
            observed = np.bincount(group[own & event & (time == t)], minlength=k).astype(np.float64)
            n, d = at_risk.sum(), observed.sum()
            share = at_risk / n
            difference += observed - d * share
            if n > 1:
                factor = d * (n - d) / (n - 1.0)
                covariance += factor * (np.diag(share) - np.outer(share, share))
    # Groups that never share a risk set leave a singular covariance: its rank is what can be compared.
    rank = int(np.linalg.matrix_rank(covariance, tol=1e-9, hermitian=True)) if k else 0
    if rank == 0:
        return TestResult(None, None, "log_rank", max(k - 1, 0))
    statistic = float(difference @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ difference)
    return TestResult(statistic, float(chdtrc(rank, statistic)), "log_rank", rank)
