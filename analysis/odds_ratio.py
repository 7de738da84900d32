"""Odds ratio of two independent proportions.

Takes x1 events of n1 subjects and x2 of n2, returns a `Comparison` of (x1 (n2-x2)) / (x2 (n1-x1)). Where a
margin is empty (no event at all, or only events) the estimate is `None` and the limits are 0 and infinity;
one empty cell makes one limit 0 or infinite. An empty arm gives `None`s.

References: Miettinen, Nurminen, Stat Med 1985;4:213-226; Cornfield, Proc Third Berkeley Symposium
1956;4:135-148; Woolf, Ann Hum Genet 1955;19:251-253.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from analysis.interval import (
    Comparison,
    check_events,
    check_level,
    find_root,
    normal_quantile,
    not_comparable,
    two_sided_p,
)
from analysis.risk_ratio import ratio_limits


def miettinen_nurminen(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Asymptotic score interval with the factor N/(N-1); the default for an odds ratio.

    The limits are the odds ratios r with |z(r)| = normal quantile, where z(r) = (x1 - n1 p1)
    sqrt((1/(n1 p1 q1) + 1/(n2 p2 q2)) (N-1)/N) and p1, p2 are the maximum likelihood estimates under r.
    `p_value` is that of z(1).

    >>> result = miettinen_nurminen(24, 73, 53, 65)
    >>> round(result.lower, 3), round(result.upper, 3)
    (0.05, 0.245)
    """
    return _score(x1, n1, x2, n2, level, "miettinen_nurminen")


def cornfield(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Score interval without the factor (N-1)/N and without continuity correction (Cornfield 1956).

    >>> result = cornfield(7, 18, 1, 18)
    >>> result.lower < 1.5 < result.upper
    True
    """
    return _score(x1, n1, x2, n2, level, "cornfield")


def _score(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, method)
    total = n1 + n2
    factor = (total - 1.0) / total if method == "miettinen_nurminen" else 1.0

    def score(odds_ratio: float) -> float:
        # With the arms exchanged where the ratio is below 1, q2 is never small and nothing cancels.
        if odds_ratio >= 1.0:
            excess, information1, information2 = _excess(x1, n1, x2, n2, odds_ratio)
        else:
            excess, information2, information1 = _excess(x2, n2, x1, n1, 1.0 / odds_ratio)
            excess = -excess
        if information1 > 0.0 and information2 > 0.0:
            return excess * math.sqrt((1.0 / information1 + 1.0 / information2) * factor)
        return 0.0 if excess == 0.0 else math.copysign(math.inf, excess)

    estimate, lower, upper = ratio_limits(score, z, float(x1 * (n2 - x2)), float(x2 * (n1 - x1)))
    p_value = 1.0 if x1 + x2 in (0, total) else two_sided_p(score(1.0))
    return Comparison(estimate, lower, upper, level, method, p_value)


def _excess(x1: int, n1: int, x2: int, n2: int, odds_ratio: float) -> tuple[float, float, float]:
    """x1 - n1 p1 with n1 p1 q1 and n2 p2 q2, at the maximum likelihood estimates under an odds ratio >= 1."""
    events = x1 + x2
    a = n2 * (odds_ratio - 1.0)
    b = n1 * odds_ratio + n2 - events * (odds_ratio - 1.0)
    root = math.sqrt(b * b + 4.0 * a * events)
    # Of the two equal forms of the root, the one that adds numbers of one sign.
    p2 = 2.0 * events / (b + root) if b > 0.0 else (root - b) / (2.0 * a)
    q2 = max(0.0, 1.0 - p2)
    spread = 1.0 + p2 * (odds_ratio - 1.0)
    p1, q1 = odds_ratio * p2 / spread, q2 / spread
    excess = x1 - n1 * p1 if p1 < q1 else n1 * q1 - (n1 - x1)
    return excess, n1 * p1 * q1, n2 * p2 * q2


def woolf_log(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval on the log scale: SE² = the sum of the reciprocals of the four cells (Woolf 1955).

    With an empty cell it says nothing: limits 0 and infinity, `p_value` `None`.

    >>> result = woolf_log(7, 34, 1, 34)
    >>> round(result.estimate, 4), round(result.lower, 4)
    (8.5556, 0.9905)
    """
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, "woolf_log")
    numerator, denominator = x1 * (n2 - x2), x2 * (n1 - x1)
    if numerator == 0 or denominator == 0:
        estimate = None if numerator == denominator else (0.0 if numerator == 0 else math.inf)
        return Comparison(estimate, 0.0, math.inf, level, "woolf_log")
    ratio = numerator / denominator
    standard_error = math.sqrt(1.0 / x1 + 1.0 / (n1 - x1) + 1.0 / x2 + 1.0 / (n2 - x2))
    spread = math.exp(z * standard_error)
    p_value = two_sided_p(math.log(ratio) / standard_error)
    return Comparison(ratio, ratio / spread, ratio * spread, level, "woolf_log", p_value)


def exact_conditional(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Conditional maximum likelihood estimate with exact central limits (given the total of events).

    Each limit puts (1 - level)/2 into one tail of Fisher's noncentral hypergeometric distribution, and
    `p_value` is twice the smaller tail at odds ratio 1, so it is below 1 - level exactly when the limits
    exclude 1. It is not the p value of `fisher_exact`, which orders tables by their probability.

    >>> result = exact_conditional(3, 4, 1, 4)
    >>> round(result.estimate, 4), round(result.lower, 4), round(result.upper, 2)
    (6.4083, 0.2117, 626.24)
    """
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    alpha = 1.0 - check_level(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, "exact_conditional")
    events = x1 + x2
    support = np.arange(max(0, events - n2), min(n1, events) + 1, dtype=np.float64)
    if len(support) == 1:
        return Comparison(None, 0.0, math.inf, level, "exact_conditional", 1.0)
    log_weight = -(
        gammaln(support + 1.0)
        + gammaln(n1 - support + 1.0)
        + gammaln(events - support + 1.0)
        + gammaln(n2 - events + support + 1.0)
    )

    def distribution(log_ratio: float) -> NDArray[np.float64]:
        exponent = log_weight + support * log_ratio
        weight = np.exp(exponent - exponent.max())
        normalised: NDArray[np.float64] = weight / weight.sum()
        return normalised

    at = x1 - int(support[0])
    first, last = x1 == support[0], x1 == support[-1]

    def upper_tail(log_ratio: float) -> float:
        return float(distribution(log_ratio)[at:].sum())

    def lower_tail(log_ratio: float) -> float:
        return float(distribution(log_ratio)[: at + 1].sum())

    def mean(log_ratio: float) -> float:
        return float((distribution(log_ratio) * support).sum())

    # A log odds ratio beyond 700 leaves the range of floating point numbers.
    lower = 0.0 if first else math.exp(find_root(lambda t: upper_tail(t) - alpha / 2.0, -700.0, 700.0))
    upper = math.inf if last else math.exp(find_root(lambda t: lower_tail(t) - alpha / 2.0, -700.0, 700.0))
    if first or last:
        estimate = 0.0 if first else math.inf
    else:
        estimate = math.exp(find_root(lambda t: mean(t) - x1, -700.0, 700.0))
    p_value = min(1.0, 2.0 * min(upper_tail(0.0), lower_tail(0.0)))
    return Comparison(estimate, lower, upper, level, "exact_conditional", p_value)


METHODS: dict[str, Callable[[int, int, int, int, float], Comparison]] = {
    "miettinen_nurminen": miettinen_nurminen,
    "cornfield": cornfield,
    "woolf_log": woolf_log,
    "exact_conditional": exact_conditional,
}


def odds_ratio(
    x1: int, n1: int, x2: int, n2: int, level: float = 0.95, method: str = "miettinen_nurminen"
) -> Comparison:
    """Odds ratio by the name of a method (a key of `METHODS`); ValueError for an unknown one.

    >>> odds_ratio(0, 10, 3, 12).lower
    0.0
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} for an odds ratio; known: {', '.join(METHODS)}")
    return METHODS[method](x1, n1, x2, n2, level)
