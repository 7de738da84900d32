"""Confidence intervals for one proportion: x subjects with an event among n.

Every function takes whole counts and returns an `Interval` whose estimate is x / n (a fraction, 0-1).
n = 0 gives an interval of `None`s; x = 0 has a lower limit of exactly 0 and x = n an upper limit of exactly 1
(except where a docstring says otherwise). Subjects are taken to be independent: for doses, which cluster in
subjects, use `analysis.clustered`.

References: Newcombe RG, Stat Med 1998;17:857-872; Brown, Cai, DasGupta, Statist Sci 2001;16:101-133.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import bdtr, betaincinv

from analysis.interval import (
    Interval,
    check_events,
    check_level,
    find_root,
    normal_quantile,
    not_estimable,
)


def clopper_pearson(x: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval from the binomial distribution (Clopper, Pearson, Biometrika 1934;26:404-413).

    Lower = Beta(a/2; x, n-x+1), upper = Beta(1-a/2; x+1, n-x) quantiles. Never covers less than `level`,
    at the price of width. The default for incidence.

    >>> clopper_pearson(0, 20)
    Interval(estimate=0.0, lower=0.0, upper=0.1684334..., level=0.95, method='clopper_pearson')
    """
    x, n = check_events(x, n)
    alpha = 1.0 - check_level(level)
    if n == 0:
        return not_estimable(level, "clopper_pearson")
    lower = 0.0 if x == 0 else float(betaincinv(x, n - x + 1, alpha / 2.0))
    upper = 1.0 if x == n else float(betaincinv(x + 1, n - x, 1.0 - alpha / 2.0))
    return Interval(x / n, lower, upper, level, "clopper_pearson")


def mid_p(x: int, n: int, level: float = 0.95) -> Interval:
    """Mid-p interval: as Clopper-Pearson, but only half the probability of the observed x counts as a tail.

    Limits solve P(X > x) + P(X = x)/2 = a/2 and its mirror image. Covers `level` on average, not at every p.

    >>> interval = mid_p(1, 29)
    >>> round(interval.lower, 4), round(interval.upper, 4)
    (0.0017, 0.1585)
    """
    x, n = check_events(x, n)
    alpha = 1.0 - check_level(level)
    if n == 0:
        return not_estimable(level, "mid_p")

    def upper_tail(p: float) -> float:
        """P(X > x) + P(X = x) / 2 under p."""
        up_to = float(bdtr(x, n, p))
        below = float(bdtr(x - 1, n, p)) if x > 0 else 0.0
        return 1.0 - (up_to + below) / 2.0

    lower = 0.0 if x == 0 else find_root(lambda p: upper_tail(p) - alpha / 2.0, 0.0, 1.0)
    upper = 1.0 if x == n else find_root(lambda p: upper_tail(p) - 1.0 + alpha / 2.0, 0.0, 1.0)
    return Interval(x / n, lower, upper, level, "mid_p")


def wilson(x: int, n: int, level: float = 0.95) -> Interval:
    """Score interval (Wilson, JASA 1927;22:209-212): the p for which |x/n - p| = z sqrt(p(1-p)/n).

    >>> interval = wilson(32, 32)
    >>> round(interval.lower, 7), interval.upper
    (0.8928208, 1.0)
    """
    x, n = check_events(x, n)
    z = normal_quantile(level)
    if n == 0:
        return not_estimable(level, "wilson")
    lower, upper = _wilson_limits(x, n, z)
    return Interval(x / n, lower, upper, level, "wilson")


def _wilson_limits(x: int, n: int, z: float) -> tuple[float, float]:
    centre = x + z * z / 2.0
    half_width = z * math.sqrt(x * (n - x) / n + z * z / 4.0)
    denominator = n + z * z
    lower = 0.0 if x == 0 else (centre - half_width) / denominator
    upper = 1.0 if x == n else (centre + half_width) / denominator
    return lower, upper


def wilson_cc(x: int, n: int, level: float = 0.95) -> Interval:
    """Score interval with continuity correction 1/(2n) (Newcombe 1998, method 4).

    >>> interval = wilson_cc(15, 148)
    >>> round(interval.lower, 4), round(interval.upper, 4)
    (0.0598, 0.1644)
    """
    x, n = check_events(x, n)
    z = normal_quantile(level)
    if n == 0:
        return not_estimable(level, "wilson_cc")
    lower, upper = _wilson_cc_limits(x, n, z)
    return Interval(x / n, lower, upper, level, "wilson_cc")


def _wilson_cc_limits(x: int, n: int, z: float) -> tuple[float, float]:
    p, q = x / n, (n - x) / n
    denominator = 2.0 * (n + z * z)
    lower = upper = 0.0
    if x > 0:
        root = math.sqrt(z * z - 2.0 - 1.0 / n + 4.0 * p * (n * q + 1.0))
        lower = max(0.0, (2.0 * x + z * z - 1.0 - z * root) / denominator)
    if x < n:
        root = math.sqrt(z * z + 2.0 - 1.0 / n + 4.0 * p * (n * q - 1.0))
        upper = min(1.0, (2.0 * x + z * z + 1.0 + z * root) / denominator)
    return lower, (1.0 if x == n else upper)


def agresti_coull(x: int, n: int, level: float = 0.95) -> Interval:
    """Wald interval after adding z²/2 events and z²/2 non-events, cut to [0, 1].

    Agresti, Coull, Am Stat 1998;52:119-126. Its limits, not its estimate, use the added observations; at x
    = 0 the lower limit is 0 by the cut.

    >>> interval = agresti_coull(5, 10)
    >>> round(interval.lower, 7), round(interval.upper, 7)
    (0.2365931, 0.7634069)
    """
    x, n = check_events(x, n)
    z = normal_quantile(level)
    if n == 0:
        return not_estimable(level, "agresti_coull")
    total = n + z * z
    centre = (x + z * z / 2.0) / total
    half_width = z * math.sqrt(centre * (1.0 - centre) / total)
    return Interval(x / n, max(0.0, centre - half_width), min(1.0, centre + half_width), level, "agresti_coull")


def jeffreys(x: int, n: int, level: float = 0.95) -> Interval:
    """Equal-tailed posterior interval under the Jeffreys prior Beta(1/2, 1/2).

    The lower limit is 0 at x = 0 and the upper 1 at x = n (Brown, Cai, DasGupta 2001, section 3.1).

    >>> interval = jeffreys(4, 4)
    >>> round(interval.lower, 7), interval.upper
    (0.5552374, 1.0)
    """
    x, n = check_events(x, n)
    alpha = 1.0 - check_level(level)
    if n == 0:
        return not_estimable(level, "jeffreys")
    lower = 0.0 if x == 0 else float(betaincinv(x + 0.5, n - x + 0.5, alpha / 2.0))
    upper = 1.0 if x == n else float(betaincinv(x + 0.5, n - x + 0.5, 1.0 - alpha / 2.0))
    return Interval(x / n, lower, upper, level, "jeffreys")


def wald(x: int, n: int, level: float = 0.95) -> Interval:
    """Normal approximation p ± z sqrt(p(1-p)/n), cut to [0, 1].

    For comparison with tables that used it: at 0 of n and n of n it has no width, and covers too little below
    about 5 events.

    >>> wald(0, 20).upper
    0.0
    """
    return _wald(x, n, level, 0.0, "wald")


def wald_cc(x: int, n: int, level: float = 0.95) -> Interval:
    """Normal approximation with continuity correction: p ± (z sqrt(p(1-p)/n) + 1/(2n)), cut to [0, 1].

    >>> round(wald_cc(1, 29).upper, 4)
    0.1181
    """
    return _wald(x, n, level, 0.5, "wald_cc")


def _wald(x: int, n: int, level: float, correction: float, method: str) -> Interval:
    x, n = check_events(x, n)
    z = normal_quantile(level)
    if n == 0:
        return not_estimable(level, method)
    p = x / n
    half_width = z * math.sqrt(p * (1.0 - p) / n) + correction / n
    return Interval(p, max(0.0, p - half_width), min(1.0, p + half_width), level, method)


METHODS: dict[str, Callable[[int, int, float], Interval]] = {
    "clopper_pearson": clopper_pearson,
    "mid_p": mid_p,
    "wilson": wilson,
    "wilson_cc": wilson_cc,
    "agresti_coull": agresti_coull,
    "jeffreys": jeffreys,
    "wald": wald,
    "wald_cc": wald_cc,
}


def proportion_interval(x: int, n: int, level: float = 0.95, method: str = "clopper_pearson") -> Interval:
    """Interval for x of n by the name of a method (a key of `METHODS`).

    Raises ValueError for an unknown method, counts outside 0 <= x <= n or a level outside (0, 1).

    >>> proportion_interval(0, 0).upper is None
    True
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} for a proportion; known: {', '.join(METHODS)}")
    return METHODS[method](x, n, level)
