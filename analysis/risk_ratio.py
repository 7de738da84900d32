"""Risk ratio p1 / p2 of two independent proportions.

Takes x1 events of n1 subjects and x2 of n2, returns a `Comparison` of the ratio. Without events in arm 2 the
estimate and the upper limit are infinite, without events in arm 1 the estimate and the lower limit are 0;
without any event the estimate is `None` and the limits are 0 and infinity. An empty arm gives `None`s.

References: Miettinen, Nurminen, Stat Med 1985;4:213-226; Koopman, Biometrics 1984;40:513-517;
Katz et al., Biometrics 1978;34:469-474.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from analysis.interval import (
    Comparison,
    check_events,
    find_root,
    normal_quantile,
    not_comparable,
    squashed,
    two_sided_p,
)


def miettinen_nurminen(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Asymptotic score interval with the variance factor N/(N-1); the default for a risk ratio.

    The limits are the ratios r with |z(r)| = normal quantile, where z(r) = (x1/n1 - r x2/n2) /
    sqrt((p1 q1/n1 + r² p2 q2/n2) N/(N-1)) and p1 = r p2 are the maximum likelihood estimates under r.
    `p_value` is that of z(1).

    >>> result = miettinen_nurminen(24, 73, 53, 65)
    >>> round(result.lower, 3), round(result.upper, 3)
    (0.28, 0.56)
    """
    return _score(x1, n1, x2, n2, level, "miettinen_nurminen")


def koopman(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Score interval without the factor N/(N-1) (Koopman 1984).

    >>> result = koopman(7, 34, 1, 34)
    >>> round(result.lower, 5), round(result.upper, 5)
    (1.22085, 42.57572)
    """
    return _score(x1, n1, x2, n2, level, "koopman")


def _score(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, method)
    total = n1 + n2
    factor = total / (total - 1.0) if method == "miettinen_nurminen" else 1.0
    phat1, phat2 = x1 / n1, x2 / n2

    def score(ratio: float) -> float:
        p2 = restricted_proportion(x1, n1, x2, n2, ratio)
        p1 = min(1.0, ratio * p2)
        variance = (p1 * (1.0 - p1) / n1 + ratio * ratio * p2 * (1.0 - p2) / n2) * factor
        excess = phat1 - ratio * phat2
        if variance > 0.0:
            return excess / math.sqrt(variance)
        return 0.0 if excess == 0.0 else math.copysign(math.inf, excess)

    estimate, lower, upper = ratio_limits(score, z, phat1, phat2)
    p_value = 1.0 if estimate is None else two_sided_p(score(1.0))
    return Comparison(estimate, lower, upper, level, method, p_value)


def ratio_limits(
    score: Callable[[float], float], z: float, numerator: float, denominator: float
) -> tuple[float | None, float, float]:
    """Estimate and limits of a ratio from its score statistic (positive below the estimate).

    Searches u = r / (1 + r) on (0, 1), so that an infinite ratio is an ordinary end of the interval.
    """
    if numerator == 0.0 and denominator == 0.0:
        return None, 0.0, math.inf
    target = squashed(z)
    edge = 1e-12
    centre = numerator / (numerator + denominator)
    lower, upper = 0.0, math.inf
    if numerator > 0.0:
        u = find_root(lambda u: squashed(score(u / (1.0 - u))) - target, edge, min(centre, 1.0 - edge))
        lower = u / (1.0 - u)
    if denominator > 0.0:
        # The mirrored variable 1 / (1 + r) keeps full precision for a large upper limit.
        v = find_root(lambda v: squashed(score((1.0 - v) / v)) + target, edge, min(1.0 - centre, 1.0 - edge))
        upper = (1.0 - v) / v
    estimate = math.inf if denominator == 0.0 else numerator / denominator
    return estimate, lower, upper


def restricted_proportion(x1: int, n1: int, x2: int, n2: int, ratio: float) -> float:
    """Maximum likelihood estimate of p2 under p1 = `ratio` p2 (smaller root of the likelihood quadratic).

    >>> restricted_proportion(3, 10, 5, 10, 1.0)
    0.4
    """
    a = (n1 + n2) * ratio
    b = n1 * ratio + x1 + n2 + x2 * ratio
    c = float(x1 + x2)
    # 2c / (b + root) is the smaller root without the cancellation of (b - root) / 2a.
    root = math.sqrt(max(b * b - 4.0 * a * c, 0.0))
    return min(1.0, 2.0 * c / (b + root))


def katz_log(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval on the log scale: SE² = 1/x1 - 1/n1 + 1/x2 - 1/n2 (Katz 1978).

    Without events in an arm it says nothing: limits 0 and infinity, `p_value` `None`.

    >>> result = katz_log(7, 34, 1, 34)
    >>> round(result.lower, 3), round(result.upper, 3)
    (0.91, 53.87)
    """
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, "katz_log")
    if x1 == 0 or x2 == 0:
        estimate = None if x1 == x2 else (0.0 if x1 == 0 else math.inf)
        return Comparison(estimate, 0.0, math.inf, level, "katz_log")
    ratio = (x1 / n1) / (x2 / n2)
    standard_error = math.sqrt(max(0.0, 1.0 / x1 - 1.0 / n1 + 1.0 / x2 - 1.0 / n2))
    spread = math.exp(z * standard_error)
    p_value = two_sided_p(math.log(ratio) / standard_error) if standard_error > 0.0 else None
    return Comparison(ratio, ratio / spread, ratio * spread, level, "katz_log", p_value)


METHODS: dict[str, Callable[[int, int, int, int, float], Comparison]] = {
    "miettinen_nurminen": miettinen_nurminen,
    "koopman": koopman,
    "katz_log": katz_log,
}


def risk_ratio(
    x1: int, n1: int, x2: int, n2: int, level: float = 0.95, method: str = "miettinen_nurminen"
) -> Comparison:
    """Risk ratio by the name of a method (a key of `METHODS`); ValueError for an unknown one.

    >>> risk_ratio(0, 10, 0, 12).limits
    (0.0, inf)
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} for a risk ratio; known: {', '.join(METHODS)}")
    return METHODS[method](x1, n1, x2, n2, level)
