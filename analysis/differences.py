"""Risk difference p1 - p2 of two independent proportions, and Fisher's exact test.

Every interval takes x1 events of n1 subjects and x2 of n2 and returns a `Comparison` in fractions (-1 to 1).
An empty arm gives a comparison of `None`s. Zero or all events in an arm are ordinary input.
`p_value` belongs to the same statistic as the limits; methods that define no test leave it `None`.

References: Miettinen, Nurminen, Stat Med 1985;4:213-226; Newcombe, Stat Med 1998;17:873-890;
Fagerland, Lydersen, Laake, Stat Methods Med Res 2015;24:224-254.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from analysis.interval import (
    Comparison,
    check_count,
    check_events,
    find_root,
    normal_quantile,
    not_comparable,
    squashed,
    two_sided_p,
)
from analysis.proportions import wilson, wilson_cc
from analysis.restricted_likelihood import restricted_proportions


def miettinen_nurminen(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Asymptotic score interval with the variance factor N/(N-1); the default for a risk difference.

    The limits are the differences d for which |z(d)| equals the normal quantile, with
    z(d) = (x1/n1 - x2/n2 - d) / sqrt((p1 q1/n1 + p2 q2/n2) N/(N-1)) and p1, p2 the maximum likelihood
    estimates under p1 - p2 = d (closed form of a cubic). `p_value` is that of z(0). Costs about 0.1 ms.

    >>> result = miettinen_nurminen(56, 70, 48, 80)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.0528, 0.3382)
    >>> miettinen_nurminen(10, 10, 0, 10).upper
    1.0
    """
    return _score(x1, n1, x2, n2, level, "miettinen_nurminen")


def mee(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Score interval as Miettinen-Nurminen, without the factor N/(N-1) (Mee, Biometrics 1984;40:1175-1176).

    >>> result = mee(5, 56, 0, 29)
    >>> round(result.lower, 4), round(result.upper, 4)
    (-0.0313, 0.1926)
    """
    return _score(x1, n1, x2, n2, level, "mee")


def _score(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, method)
    difference = x1 / n1 - x2 / n2
    total = n1 + n2
    factor = total / (total - 1.0) if method == "miettinen_nurminen" else 1.0

    def score(d: float) -> float:
        p1, p2 = restricted_proportions(x1, n1, x2, n2, d)
        variance = (p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2) * factor
        excess = difference - d
        if variance > 0.0:
            return excess / math.sqrt(variance)
        return 0.0 if excess == 0.0 else math.copysign(math.inf, excess)

    target = squashed(z)
    lower = find_root(lambda d: squashed(score(d)) - target, -1.0, difference)
    upper = find_root(lambda d: squashed(score(d)) + target, difference, 1.0)
    return Comparison(difference, lower, upper, level, method, two_sided_p(score(0.0)))


def newcombe(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Hybrid score interval: the Wilson limits of each arm squared and added (Newcombe 1998, method 10).

    Defines no test, so `p_value` is `None`.

    >>> result = newcombe(10, 10, 0, 10)
    >>> round(result.lower, 4), result.upper
    (0.6075, 1.0)
    """
    return _hybrid(x1, n1, x2, n2, level, "newcombe")


def newcombe_cc(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Hybrid score interval from continuity-corrected Wilson limits (Newcombe 1998, method 11).

    >>> result = newcombe_cc(56, 70, 48, 80)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.0428, 0.3422)
    """
    return _hybrid(x1, n1, x2, n2, level, "newcombe_cc")


def _hybrid(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    one_arm = wilson_cc if method == "newcombe_cc" else wilson
    first, second = one_arm(x1, n1, level), one_arm(x2, n2, level)
    p1, l1, u1 = first.estimate, first.lower, first.upper
    p2, l2, u2 = second.estimate, second.lower, second.upper
    if p1 is None or p2 is None or l1 is None or l2 is None or u1 is None or u2 is None:
        return not_comparable(level, method)
    difference = p1 - p2
    lower = difference - math.hypot(p1 - l1, u2 - p2)
    upper = difference + math.hypot(u1 - p1, p2 - l2)
    return Comparison(difference, max(-1.0, lower), min(1.0, upper), level, method)


def wald(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Normal approximation with unpooled variance p1 q1/n1 + p2 q2/n2, cut to [-1, 1].

    >>> result = wald(10, 10, 0, 20)  # no width: why it is not the default
    >>> result.lower, result.upper
    (1.0, 1.0)
    """
    return _normal(x1, n1, x2, n2, level, "wald")


def wald_cc(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval widened by (1/n1 + 1/n2)/2 on each side, cut to [-1, 1].

    >>> result = wald_cc(9, 10, 3, 10)
    >>> round(result.lower, 4), result.upper
    (0.1605, 1.0)
    """
    return _normal(x1, n1, x2, n2, level, "wald_cc")


def hauck_anderson(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval with n-1 in the variances and correction 1/(2 min(n1, n2)), cut to [-1, 1].

    Hauck, Anderson, Am Stat 1986;40:318-322. An arm of one subject has no variance: not estimable.

    >>> result = hauck_anderson(84, 101, 89, 105)
    >>> round(result.lower, 4), round(result.upper, 4)
    (-0.1216, 0.0898)
    """
    return _normal(x1, n1, x2, n2, level, "hauck_anderson")


def _normal(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    lost = 1 if method == "hauck_anderson" else 0
    if n1 <= lost or n2 <= lost:
        return not_comparable(level, method)
    p1, p2 = x1 / n1, x2 / n2
    standard_error = math.sqrt(p1 * (1.0 - p1) / (n1 - lost) + p2 * (1.0 - p2) / (n2 - lost))
    correction = {
        "wald": 0.0,
        "wald_cc": (1.0 / n1 + 1.0 / n2) / 2.0,
        "hauck_anderson": 1.0 / (2.0 * min(n1, n2)),
    }[method]
    return _around(p1 - p2, p1 - p2, standard_error, correction, z, level, method)


def _around(
    estimate: float,
    centre: float,
    standard_error: float,
    correction: float,
    z: float,
    level: float,
    method: str,
) -> Comparison:
    half_width = z * standard_error + correction
    distance = max(0.0, abs(centre) - correction)
    if standard_error > 0.0:
        p_value: float | None = two_sided_p(distance / standard_error)
    else:
        p_value = None
    return Comparison(estimate, max(-1.0, centre - half_width), min(1.0, centre + half_width), level, method, p_value)


def agresti_caffo(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval after one event and one non-event are added to each arm, cut to [-1, 1].

    Agresti, Caffo, Am Stat 2000;54:280-288. The estimate stays x1/n1 - x2/n2.

    >>> result = agresti_caffo(56, 70, 48, 80)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.0525, 0.3358)
    """
    return _augmented(x1, n1, x2, n2, level, "agresti_caffo")


def brown_li_jeffreys(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Wald interval around the proportions with half an event and half a non-event added, cut to [-1, 1].

    Brown, Li, J Stat Plan Inference 2005;130:359-375.

    >>> result = brown_li_jeffreys(9, 10, 3, 10)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.1869, 0.904)
    """
    return _augmented(x1, n1, x2, n2, level, "brown_li_jeffreys")


def _augmented(x1: int, n1: int, x2: int, n2: int, level: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z = normal_quantile(level)
    if n1 == 0 or n2 == 0:
        return not_comparable(level, method)
    added = 1.0 if method == "agresti_caffo" else 0.5
    p1, p2 = (x1 + added) / (n1 + 2.0 * added), (x2 + added) / (n2 + 2.0 * added)
    # Brown and Li keep the true sizes in the variance, Agresti and Caffo use the enlarged ones.
    m1, m2 = (n1 + 2.0, n2 + 2.0) if method == "agresti_caffo" else (float(n1), float(n2))
    standard_error = math.sqrt(p1 * (1.0 - p1) / m1 + p2 * (1.0 - p2) / m2)
    return _around(x1 / n1 - x2 / n2, p1 - p2, standard_error, 0.0, z, level, method)


def haldane(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Beal's interval with the Haldane prior for the sum of the proportions, cut to [-1, 1].

    Beal, Biometrics 1987;43:941-950. Defines no test here.

    >>> result = haldane(56, 70, 48, 80)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.0535, 0.3351)
    """
    return _beal(x1, n1, x2, n2, level, 0.0, "haldane")


def jeffreys_perks(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> Comparison:
    """Beal's interval with the Jeffreys-Perks prior: half an event and non-event added for the sum.

    >>> result = jeffreys_perks(9, 10, 3, 10)
    >>> round(result.lower, 4), round(result.upper, 4)
    (0.176, 0.8306)
    """
    return _beal(x1, n1, x2, n2, level, 0.5, "jeffreys_perks")


def _beal(x1: int, n1: int, x2: int, n2: int, level: float, added: float, method: str) -> Comparison:
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    z2 = normal_quantile(level) ** 2
    if n1 == 0 or n2 == 0:
        return not_comparable(level, method)
    difference = x1 / n1 - x2 / n2
    p1 = (x1 + added) / (n1 + 2.0 * added)
    p2 = (x2 + added) / (n2 + 2.0 * added)
    half_sum = (p1 + p2) / 2.0
    u = (1.0 / n1 + 1.0 / n2) / 4.0
    v = (1.0 / n1 - 1.0 / n2) / 4.0
    centre = (difference + z2 * v * (1.0 - 2.0 * half_sum)) / (1.0 + z2 * u)
    inside = (
        u * (4.0 * half_sum * (1.0 - half_sum) - difference**2)
        + 2.0 * v * (1.0 - 2.0 * half_sum) * difference
        + 4.0 * z2 * u * u * half_sum * (1.0 - half_sum)
        + z2 * v * v * (1.0 - 2.0 * half_sum) ** 2
    )
    half_width = math.sqrt(z2 * max(inside, 0.0)) / (1.0 + z2 * u)
    return Comparison(difference, max(-1.0, centre - half_width), min(1.0, centre + half_width), level, method)


METHODS: dict[str, Callable[[int, int, int, int, float], Comparison]] = {
    "miettinen_nurminen": miettinen_nurminen,
    "mee": mee,
    "newcombe": newcombe,
    "newcombe_cc": newcombe_cc,
    "agresti_caffo": agresti_caffo,
    "brown_li_jeffreys": brown_li_jeffreys,
    "haldane": haldane,
    "jeffreys_perks": jeffreys_perks,
    "hauck_anderson": hauck_anderson,
    "wald": wald,
    "wald_cc": wald_cc,
}


def risk_difference(
    x1: int, n1: int, x2: int, n2: int, level: float = 0.95, method: str = "miettinen_nurminen"
) -> Comparison:
    """Risk difference by the name of a method (a key of `METHODS`).

    Raises ValueError for an unknown method, counts outside 0 <= x <= n or a level outside (0, 1).

    >>> risk_difference(0, 10, 0, 0).estimate is None
    True
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} for a risk difference; known: {', '.join(METHODS)}")
    return METHODS[method](x1, n1, x2, n2, level)


def fisher_exact(x1: int, n1: int, x2: int, n2: int) -> float | None:
    """Two-sided p value of Fisher's exact test: the tables no more likely than the observed one.

    P = sum of the hypergeometric probabilities p <= p_observed (1 + 1e-7), R's rule for ties. An empty arm
    gives `None`; no events or all events in both arms give 1.

    >>> round(fisher_exact(3, 4, 1, 4), 7)
    0.4857143
    """
    x1, n1 = check_events(x1, n1, "1")
    x2, n2 = check_events(x2, n2, "2")
    if n1 == 0 or n2 == 0:
        return None
    events = x1 + x2
    first = np.arange(max(0, events - n2), min(n1, events) + 1, dtype=np.float64)
    second = events - first
    log_weight = -(
        gammaln(first + 1.0) + gammaln(n1 - first + 1.0) + gammaln(second + 1.0) + gammaln(n2 - second + 1.0)
    )
    weight = np.exp(log_weight - log_weight.max())
    observed = weight[x1 - int(first[0])]
    extreme = weight[weight <= observed * (1.0 + 1e-7)]
    return min(1.0, float(extreme.sum() / weight.sum()))


def fisher_exact_table(table: tuple[tuple[int, int], tuple[int, int]]) -> float | None:
    """Fisher's test for a 2 x 2 table ((a, b), (c, d)): a, b are events and non-events of the first row.

    >>> round(fisher_exact_table(((2, 10), (15, 3))), 7)
    0.0005367
    """
    (a, b), (c, d) = ((check_count(v, "cell") for v in row) for row in table)
    return fisher_exact(a, a + b, c, c + d)
