"""Hazard ratio of two groups from the proportional hazards model, with Efron's handling of ties.

Assumes that the ratio of the hazards does not change with time; where curves cross, it has no simple meaning.

References: Cox, J R Stat Soc B 1972;34:187-220; Efron, JASA 1977;72:557-565.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.interval import Comparison, normal_quantile, not_comparable, two_sided_p
from analysis.survival import check_times


def hazard_ratio(
    times: Sequence[float],
    events: Sequence[int | bool],
    treated: Sequence[int | bool],
    strata: Sequence[str | int] | None = None,
    level: float = 0.95,
) -> Comparison:
    """Hazard ratio of treated (1) to untreated (0) subjects with Wald limits and p value on the log scale.

    With `strata` each has its own baseline hazard. Events in one group only: estimate 0 or infinite, limits
    0 and infinity, no p value (use the log-rank test). No event while both groups are at risk: `None`s.

    >>> result = hazard_ratio([1, 2, 3, 4, 5, 6], [1, 1, 0, 1, 1, 0], [1, 0, 1, 1, 0, 0])
    >>> round(result.estimate, 3), round(result.lower, 3), round(result.upper, 3)
    (2.924, 0.26, 32.934)
    """
    if len(treated) != len(times) or (strata is not None and len(strata) != len(times)):
        raise ValueError("times, groups and strata must have the same length")
    if any(g not in (0, 1) for g in treated):
        raise ValueError("a group must be 0 or 1")
    check_times(times, events)
    z = normal_quantile(level)
    table = _tie_table(times, events, treated, strata)
    if not table:
        return not_comparable(level, "cox_efron")
    first = sum(d1 for _, _, _, d1 in table)
    total = sum(d for _, _, d, _ in table)
    if first in (0, total):
        return Comparison(0.0 if first == 0 else math.inf, 0.0, math.inf, level, "cox_efron")
    beta = 0.0
    for _ in range(100):
        score, information = _score(table, beta)
        step = score / information
        step = math.copysign(min(abs(step), 2.0), step)
        beta += step
        if abs(step) < 1e-12 * max(1.0, abs(beta)):
            break
    _, information = _score(table, beta)
    standard_error = 1.0 / math.sqrt(information)
    return Comparison(
        math.exp(beta),
        math.exp(beta - z * standard_error),
        math.exp(beta + z * standard_error),
        level,
        "cox_efron",
        two_sided_p(beta / standard_error),
    )


Tie = tuple[int, int, int, int]


def _tie_table(
    times: Sequence[float],
    events: Sequence[int | bool],
    treated: Sequence[int | bool],
    strata: Sequence[str | int] | None,
) -> list[Tie]:
    """(untreated at risk, treated at risk, events, treated events) at event times with both groups at
    risk."""
    time, event = np.asarray(times, dtype=np.float64), np.asarray(events, dtype=np.bool_)
    group = np.asarray(treated, dtype=np.bool_)
    layers = {label: i for i, label in enumerate(dict.fromkeys(strata or [0]))}
    layer = np.asarray([layers[s] for s in strata] if strata else [0] * len(time), dtype=np.intp)
    table = []
    for stratum in range(len(layers)):
        own = layer == stratum
        for t in np.unique(time[own & event]):
            at_risk, failed = own & (time >= t), own & event & (time == t)
            n1, n0 = int((at_risk & group).sum()), int((at_risk & ~group).sum())
            if n0 and n1:
                table.append((n0, n1, int(failed.sum()), int((failed & group).sum())))
    return table


def _score(table: list[Tie], beta: float) -> tuple[float, float]:
    """First derivative and information of Efron's log partial likelihood."""
    ratio = math.exp(beta)
    score = information = 0.0
    for n0, n1, d, d1 in table:
        score += d1
        for tied in range(d):
            out = tied / d
            treated = (n1 - out * d1) * ratio
            share = treated / (treated + n0 - out * (d - d1))
            score -= share
            information += share * (1.0 - share)
    return score, information
