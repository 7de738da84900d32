"""Ratio and difference of two Poisson rates: x1 events in time1 against x2 in time2 (same unit of
person-time).

Every function returns a `Comparison`; `p_value` and limits come from one statistic, so p < 1 - level
exactly when the limits exclude "no difference". Zero events are ordinary input: without events in group 2 a
ratio's estimate and upper limit are infinite, without any event its limits are 0 and infinity. Zero time in
a group gives `None`s.

References: Przyborowski, Wilenski, Biometrika 1940;31:313-323; Miettinen, Nurminen, Stat Med 1985;4:213-226;
Gu, Ng, Tang, Schucany, Biom J 2008;50:283-298; Li, Tang, Wong, Comput Stat 2014;29:869-889;
Fay, Biostatistics 2010;11:373-374 (why a central interval needs a central p value).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import bdtr

from analysis.interval import (
    Comparison,
    Interval,
    TestResult,
    check_count,
    find_root,
    normal_quantile,
    not_comparable,
    two_sided_p,
)
from analysis.proportions import clopper_pearson, wilson
from analysis.proportions import mid_p as binomial_mid_p
from analysis.rates import check_time, score


def exact_conditional(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Exact central interval and p value of a rate ratio, given the total count; the default.

    x1 of x1 + x2 is binomial with p = r time1 / (r time1 + time2): the limits are those of Clopper-Pearson
    for p, the p value twice the smaller tail at r = 1.

    >>> result = exact_conditional(2, 17877, 10, 20000)
    >>> round(result.lower, 4), round(result.upper, 4), round(result.p_value, 4)
    (0.0238, 1.05, 0.0606)
    """
    return _conditional(x1, time1, x2, time2, level, "exact_conditional")


def mid_p(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """As `exact_conditional`, with half the probability of the observed count in each tail.

    >>> mid_p(2, 17877, 10, 20000).upper < 1
    True
    """
    return _conditional(x1, time1, x2, time2, level, "mid_p")


def _conditional(x1: int, time1: float, x2: int, time2: float, level: float, method: str) -> Comparison:
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    share = clopper_pearson if method == "exact_conditional" else binomial_mid_p
    total = x1 + x2
    interval = share(x1, total, level)
    if time1 == 0.0 or time2 == 0.0:
        return not_comparable(level, method)
    if total == 0:
        return Comparison(None, 0.0, math.inf, level, method, 1.0)
    null = time1 / (time1 + time2)
    up_to = float(bdtr(x1, total, null))
    below = float(bdtr(x1 - 1, total, null)) if x1 > 0 else 0.0
    if method == "mid_p":
        lower_tail = upper_tail = (up_to + below) / 2.0
        upper_tail = 1.0 - upper_tail
    else:
        # The upper tail is the lower tail of the other group's count: 1 - below would lose a tiny p value.
        lower_tail, upper_tail = up_to, float(bdtr(x2, total, 1.0 - null))
    p_value = min(1.0, 2.0 * min(lower_tail, upper_tail))
    return _from_share(interval, x1, time1, x2, time2, method, p_value)


def _from_share(
    share: Interval, x1: int, time1: float, x2: int, time2: float, method: str, p_value: float
) -> Comparison:
    """A rate ratio from an interval for the share of group 1 in the events."""
    if share.lower is None or share.upper is None:
        return Comparison(None, 0.0, math.inf, share.level, method, p_value)
    lower = share.lower / (1.0 - share.lower) * time2 / time1 if x1 > 0 else 0.0
    upper = share.upper / (1.0 - share.upper) * time2 / time1 if x2 > 0 else math.inf
    return Comparison(_ratio(x1, time1, x2, time2), lower, upper, share.level, method, p_value)


def _ratio(x1: int, time1: float, x2: int, time2: float) -> float | None:
    if x2 == 0:
        return None if x1 == 0 else math.inf
    return (x1 / time1) / (x2 / time2)


def score_ratio(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Score interval of a rate ratio: |x1 time2 - r x2 time1| = z sqrt(r (x1 + x2) time1 time2).

    In closed form: the Wilson limits of x1 among x1 + x2.

    >>> result = score_ratio(41, 28010, 15, 19017)
    >>> round(result.lower, 4), round(result.upper, 4)
    (1.0358, 3.3249)
    """
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    share = wilson(x1, x1 + x2, level)
    if time1 == 0.0 or time2 == 0.0:
        return not_comparable(level, "score_ratio")
    if x1 + x2 == 0:
        return Comparison(None, 0.0, math.inf, level, "score_ratio", 1.0)
    z = (x1 * time2 - x2 * time1) / math.sqrt((x1 + x2) * time1 * time2)
    return _from_share(share, x1, time1, x2, time2, "score_ratio", two_sided_p(z))


def wald_log_ratio(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Interval on the log scale: SE² = 1/x1 + 1/x2. Without events in a group it says nothing (0 to
    infinity).

    >>> round(wald_log_ratio(60, 51477.5, 30, 54308.7).p_value, 5)
    0.00084
    """
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    z = normal_quantile(level)
    if time1 == 0.0 or time2 == 0.0:
        return not_comparable(level, "wald_log_ratio")
    ratio = _ratio(x1, time1, x2, time2)
    if ratio is None or x1 == 0 or x2 == 0:
        return Comparison(ratio, 0.0, math.inf, level, "wald_log_ratio")
    standard_error = math.sqrt(1.0 / x1 + 1.0 / x2)
    spread = math.exp(z * standard_error)
    p_value = two_sided_p(math.log(ratio) / standard_error)
    return Comparison(ratio, ratio / spread, ratio * spread, level, "wald_log_ratio", p_value)


def mover_ratio(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Ratio from the score limits of each rate (method of variance estimates recovery; Li, Tang, Wong 2014).

    Defines no test, so `p_value` is `None`.

    >>> result = mover_ratio(60, 51477.5, 30, 54308.7, level=0.9)
    >>> 1.45 < result.lower < 1.48 and 3.0 < result.upper < 3.1
    True
    """
    first, second = score(x1, time1, level), score(x2, time2, level)
    r1, l1, u1 = first.estimate, first.lower, first.upper
    r2, l2, u2 = second.estimate, second.lower, second.upper
    if r1 is None or r2 is None or l1 is None or l2 is None or u1 is None or u2 is None:
        return not_comparable(level, "mover_ratio")
    product = r1 * r2
    lower, upper = 0.0, math.inf
    if r1 > 0.0:
        divisor = u2 * (2.0 * r2 - u2)
        root = math.sqrt(product**2 - l1 * (2.0 * r1 - l1) * divisor)
        lower = l1 * (2.0 * r1 - l1) / (product + root)
    if r2 > 0.0:
        divisor = l2 * (2.0 * r2 - l2)
        root = math.sqrt(product**2 - u1 * (2.0 * r1 - u1) * divisor)
        upper = (product + root) / divisor
    return Comparison(_ratio(x1, time1, x2, time2), lower, upper, level, "mover_ratio")


def score_difference(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Score interval of a rate difference (Miettinen, Nurminen 1985); the default.

    z(d) = (x1/time1 - x2/time2 - d) / sqrt(m1/time1 + m2/time2), m1 and m2 the maximum likelihood rates under
    m1 - m2 = d (root of a quadratic). Finite for zero events in both groups.

    >>> result = score_difference(0, 100, 0, 120)
    >>> round(result.lower, 4), round(result.upper, 4)
    (-0.032, 0.0384)
    """
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    z = normal_quantile(level)
    if time1 == 0.0 or time2 == 0.0:
        return not_comparable(level, "score_difference")
    difference = x1 / time1 - x2 / time2

    def statistic(d: float) -> float:
        m1, m2 = _restricted_rates(x1, time1, x2, time2, d)
        variance = m1 / time1 + m2 / time2
        excess = difference - d
        if variance > 0.0:
            return excess / math.sqrt(variance)
        return 0.0 if excess == 0.0 else math.copysign(math.inf, excess)

    lower = find_root(lambda d: statistic(d) - z, _beyond(statistic, difference, -z, z), difference)
    upper = find_root(lambda d: statistic(d) + z, difference, _beyond(statistic, difference, z, z))
    return Comparison(difference, lower, upper, level, "score_difference", two_sided_p(statistic(0.0)))


def _beyond(statistic: Callable[[float], float], estimate: float, sign: float, z: float) -> float:
    """A difference on one side of the estimate at which the statistic exceeds z."""
    step = max(abs(estimate), 1e-9)
    while abs(statistic(estimate + math.copysign(step, sign))) < z:
        step *= 2.0
    return estimate + math.copysign(step, sign)


def _restricted_rates(x1: int, time1: float, x2: int, time2: float, d: float) -> tuple[float, float]:
    total = time1 + time2
    b = d * total - x1 - x2
    root = math.sqrt(b * b + 4.0 * total * x2 * d) if d > 0.0 or b * b > -4.0 * total * x2 * d else 0.0
    # Of the two equal forms of the larger root, the one that adds numbers of one sign.
    m2 = 2.0 * x2 * d / (b + root) if b > 0.0 else (root - b) / (2.0 * total)
    m2 = max(m2, 0.0, -d)
    return max(m2 + d, 0.0), m2


def wald_difference(x1: int, time1: float, x2: int, time2: float, level: float = 0.95) -> Comparison:
    """Wald interval: SE² = x1/time1² + x2/time2². Without events it has no width and no p value.

    >>> round(wald_difference(60, 51477.5, 30, 54308.7).lower, 6)
    0.000258
    """
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    z = normal_quantile(level)
    if time1 == 0.0 or time2 == 0.0:
        return not_comparable(level, "wald_difference")
    difference = x1 / time1 - x2 / time2
    standard_error = math.sqrt(x1 / time1**2 + x2 / time2**2)
    p_value = two_sided_p(difference / standard_error) if standard_error > 0.0 else None
    half_width = z * standard_error
    return Comparison(difference, difference - half_width, difference + half_width, level, "wald_difference", p_value)


def _wald_statistic(x1: int, x2: int, d: float) -> float:
    return (x1 - x2 * d) / math.sqrt(x1 + x2 * d * d)


def _score_statistic(x1: int, x2: int, d: float) -> float:
    return (x1 - x2 * d) / math.sqrt((x1 + x2) * d)


def _wald_log_statistic(x1: int, x2: int, d: float) -> float:
    return math.log(x1 / (x2 * d)) / math.sqrt(1.0 / x1 + 1.0 / x2)


def _score_log_statistic(x1: int, x2: int, d: float) -> float:
    return math.log(x1 / (x2 * d)) / math.sqrt((2.0 + d + 1.0 / d) / (x1 + x2))


def _sqrt_statistic(x1: int, x2: int, d: float) -> float:
    return 2.0 * (math.sqrt(x1 + 0.375) - math.sqrt((x2 + 0.375) * d)) / math.sqrt(1.0 + d)


RATIO_TESTS: dict[str, Callable[[int, int, float], float]] = {
    "wald": _wald_statistic,
    "score": _score_statistic,
    "wald_log": _wald_log_statistic,
    "score_log": _score_log_statistic,
    "sqrt": _sqrt_statistic,
}


def rate_ratio_test(
    x1: int, time1: float, x2: int, time2: float, null_ratio: float = 1.0, method: str = "score"
) -> TestResult:
    """Asymptotic test of a rate ratio against `null_ratio` (Gu 2008), d = null_ratio time1 / time2.

    - wald: (x1 - x2 d) / sqrt(x1 + x2 d²)
    - score: (x1 - x2 d) / sqrt((x1 + x2) d)
    - wald_log: log(x1 / (x2 d)) / sqrt(1/x1 + 1/x2)
    - score_log: log(x1 / (x2 d)) / sqrt((2 + d + 1/d) / (x1 + x2))
    - sqrt: 2 (sqrt(x1 + 3/8) - sqrt((x2 + 3/8) d)) / sqrt(1 + d)

    `None` without events, for the logarithms also without events in one group, and with zero time in a
    group. These are for comparison with the literature; a p value that goes with an interval comes from
    `rate_ratio`.

    >>> round(rate_ratio_test(60, 51477.5, 30, 54308.7, method="sqrt").p_value, 5)
    0.00057
    """
    if method not in RATIO_TESTS:
        raise ValueError(f"unknown test {method!r} of a rate ratio; known: {', '.join(RATIO_TESTS)}")
    x1, x2 = check_count(x1, "x1"), check_count(x2, "x2")
    time1, time2 = check_time(time1, "time1"), check_time(time2, "time2")
    too_few = (x1 == 0 or x2 == 0) if method.endswith("_log") else x1 + x2 == 0
    if time1 == 0.0 or time2 == 0.0 or too_few:
        return TestResult(None, None, method)
    z = RATIO_TESTS[method](x1, x2, null_ratio * time1 / time2)
    return TestResult(z, two_sided_p(z), method)


RATIO_METHODS: dict[str, Callable[[int, float, int, float, float], Comparison]] = {
    "exact_conditional": exact_conditional,
    "mid_p": mid_p,
    "score": score_ratio,
    "mover": mover_ratio,
    "wald_log": wald_log_ratio,
}

DIFFERENCE_METHODS: dict[str, Callable[[int, float, int, float, float], Comparison]] = {
    "score": score_difference,
    "wald": wald_difference,
}


def rate_ratio(
    x1: int, time1: float, x2: int, time2: float, level: float = 0.95, method: str = "exact_conditional"
) -> Comparison:
    """Rate ratio by the name of a method (a key of `RATIO_METHODS`); ValueError for an unknown one.

    >>> rate_ratio(0, 100, 0, 120).limits
    (0.0, inf)
    """
    if method not in RATIO_METHODS:
        raise ValueError(f"unknown method {method!r} for a rate ratio; known: {', '.join(RATIO_METHODS)}")
    return RATIO_METHODS[method](x1, time1, x2, time2, level)


def rate_difference(
    x1: int, time1: float, x2: int, time2: float, level: float = 0.95, method: str = "score"
) -> Comparison:
    """Rate difference by the name of a method (a key of `DIFFERENCE_METHODS`); ValueError for an unknown one.

    >>> rate_difference(3, 0, 1, 10).estimate is None
    True
    """
    if method not in DIFFERENCE_METHODS:
        known = ", ".join(DIFFERENCE_METHODS)
        raise ValueError(f"unknown method {method!r} for a rate difference; known: {known}")
    return DIFFERENCE_METHODS[method](x1, time1, x2, time2, level)
