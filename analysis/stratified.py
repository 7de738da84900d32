"""Two groups compared within strata (site, region): Cochran-Mantel-Haenszel and stratified differences and
ratios.

Counts come as equally long sequences, one value per stratum: x1 events of n1 subjects (or of time1) in
group 1, x2 of n2 (time2) in group 2. A stratum with an empty group carries no information about a
difference and has weight 0; without any informative stratum the result is `None`s.

References: Mantel, Haenszel, JNCI 1959;22:719-748; Robins, Breslow, Greenland, Biometrics 1986;42:311-323;
Greenland, Robins, Biometrics 1985;41:55-68; Miettinen, Nurminen, Stat Med 1985;4:213-226; Lu, Stat Biopharm
Res 2008; Laud, Pharm Stat 2017;16:334-348.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.interval import (
    Comparison,
    TestResult,
    check_count,
    check_events,
    find_root,
    normal_quantile,
    not_comparable,
    squashed,
    two_sided_p,
)
from analysis.rates import check_time
from analysis.restricted_likelihood import restricted_proportions

Stratum = tuple[int, int, int, int]


def _strata(x1: Sequence[int], n1: Sequence[int], x2: Sequence[int], n2: Sequence[int]) -> list[Stratum]:
    if not len(x1) == len(n1) == len(x2) == len(n2):
        raise ValueError("x1, n1, x2 and n2 must have one value per stratum")
    rows = zip(x1, n1, x2, n2, strict=True)
    return [(*check_events(a, m, "1"), *check_events(b, n, "2")) for a, m, b, n in rows]


def cmh_test(
    x1: Sequence[int], n1: Sequence[int], x2: Sequence[int], n2: Sequence[int], continuity: bool = False
) -> TestResult:
    """Cochran-Mantel-Haenszel test that the event has the same odds in both groups within every stratum.

    Chi-square = (|sum(x1 - E)| - c)² / sum(V) on 1 degree of freedom with the hypergeometric mean and
    variance in each stratum; c is 0, or min(1/2, |sum(x1 - E)|) with `continuity`. Strata with fewer than
    two subjects are dropped.

    >>> result = cmh_test([512, 353], [825, 560], [89, 17], [108, 25])
    >>> round(result.statistic, 3), round(result.p_value, 6)
    (15.468, 8.4e-05)
    """
    method = "cmh_continuity" if continuity else "cmh"
    difference = variance = 0.0
    for a, m, b, n in _strata(x1, n1, x2, n2):
        total, events = m + n, a + b
        if total < 2:
            continue
        difference += a - m * events / total
        variance += m * n * events * (total - events) / (total * total * (total - 1.0))
    if variance == 0.0:
        return TestResult(None, None, method, 1)
    correction = min(0.5, abs(difference)) if continuity else 0.0
    statistic = (abs(difference) - correction) ** 2 / variance
    return TestResult(statistic, two_sided_p(math.sqrt(statistic)), method, 1)


def mantel_haenszel_odds_ratio(
    x1: Sequence[int], n1: Sequence[int], x2: Sequence[int], n2: Sequence[int], level: float = 0.95
) -> Comparison:
    """Common odds ratio of Mantel and Haenszel with the Robins-Breslow-Greenland interval.

    `p_value` is that of the same log odds ratio and standard error, close to but not that of `cmh_test`. A
    ratio of 0 or infinity has limits 0 and infinity.

    >>> result = mantel_haenszel_odds_ratio([512, 353], [825, 560], [89, 17], [108, 25])
    >>> round(result.estimate, 4), round(result.lower, 4), round(result.upper, 4)
    (0.4252, 0.2746, 0.6584)
    """
    r = s = pr = psqr = qs = 0.0
    for a, m, b, n in _strata(x1, n1, x2, n2):
        total = m + n
        if total == 0:
            continue
        r_k, s_k = a * (n - b) / total, b * (m - a) / total
        p_k, q_k = (a + n - b) / total, (b + m - a) / total
        r, s = r + r_k, s + s_k
        pr, psqr, qs = pr + p_k * r_k, psqr + p_k * s_k + q_k * r_k, qs + q_k * s_k
    variance = None if r == 0.0 or s == 0.0 else pr / (2 * r * r) + psqr / (2 * r * s) + qs / (2 * s * s)
    return _log_ratio(r, s, variance, level, "mantel_haenszel_odds_ratio")


def mantel_haenszel_risk_ratio(
    x1: Sequence[int], n1: Sequence[int], x2: Sequence[int], n2: Sequence[int], level: float = 0.95
) -> Comparison:
    """Common risk ratio of Mantel and Haenszel with the Greenland-Robins interval and its p value.

    >>> result = mantel_haenszel_risk_ratio([7, 3], [34, 20], [1, 2], [34, 22])
    >>> round(result.estimate, 3), round(result.lower, 3)
    (3.492, 0.999)
    """
    r = s = numerator = 0.0
    for a, m, b, n in _strata(x1, n1, x2, n2):
        total = m + n
        if total == 0:
            continue
        r, s = r + a * n / total, s + b * m / total
        numerator += (m * n * (a + b) - a * b * total) / (total * total)
    variance = None if r == 0.0 or s == 0.0 else numerator / (r * s)
    return _log_ratio(r, s, variance, level, "mantel_haenszel_risk_ratio")


def mantel_haenszel_rate_ratio(
    x1: Sequence[int], time1: Sequence[float], x2: Sequence[int], time2: Sequence[float], level: float = 0.95
) -> Comparison:
    """Common rate ratio of Mantel and Haenszel with the Greenland-Robins interval and its p value.

    >>> result = mantel_haenszel_rate_ratio([7, 3], [34.0, 20.0], [1, 2], [34.0, 22.0])
    >>> round(result.estimate, 3)
    3.492
    """
    r = s = numerator = 0.0
    for a, t, b, u in _timed_strata(x1, time1, x2, time2):
        r, s = r + a * u / (t + u), s + b * t / (t + u)
        numerator += (a + b) * t * u / (t + u) ** 2
    variance = None if r == 0.0 or s == 0.0 else numerator / (r * s)
    return _log_ratio(r, s, variance, level, "mantel_haenszel_rate_ratio")


def mantel_haenszel_rate_difference(
    x1: Sequence[int], time1: Sequence[float], x2: Sequence[int], time2: Sequence[float], level: float = 0.95
) -> Comparison:
    """Rate difference weighted by time1 time2 / (time1 + time2), with a Wald interval and its p value.

    Without events it has no width and no p value.

    >>> result = mantel_haenszel_rate_difference([7, 3], [34.0, 20.0], [1, 2], [34.0, 22.0])
    >>> round(result.estimate, 4)
    0.1317
    """
    method = "mantel_haenszel_rate_difference"
    z = normal_quantile(level)
    weights = total = variance = 0.0
    for a, t, b, u in _timed_strata(x1, time1, x2, time2):
        weight = t * u / (t + u)
        weights += weight
        total += weight * (a / t - b / u)
        variance += weight**2 * (a / t**2 + b / u**2)
    if weights == 0.0:
        return not_comparable(level, method)
    difference, standard_error = total / weights, math.sqrt(variance) / weights
    p_value = two_sided_p(difference / standard_error) if standard_error > 0.0 else None
    half_width = z * standard_error
    return Comparison(difference, difference - half_width, difference + half_width, level, method, p_value)


def _timed_strata(
    x1: Sequence[int], time1: Sequence[float], x2: Sequence[int], time2: Sequence[float]
) -> list[tuple[int, float, int, float]]:
    """Strata in which both groups were observed."""
    if not len(x1) == len(time1) == len(x2) == len(time2):
        raise ValueError("x1, time1, x2 and time2 must have one value per stratum")
    rows = zip(x1, time1, x2, time2, strict=True)
    checked = [
        (check_count(a, "x1"), check_time(t, "time1"), check_count(b, "x2"), check_time(u, "time2"))
        for a, t, b, u in rows
    ]
    return [row for row in checked if row[1] > 0.0 and row[3] > 0.0]


def _log_ratio(r: float, s: float, variance: float | None, level: float, method: str) -> Comparison:
    z = normal_quantile(level)
    if r == 0.0 and s == 0.0:
        return not_comparable(level, method)
    if variance is None:
        return Comparison(0.0 if r == 0.0 else math.inf, 0.0, math.inf, level, method)
    ratio, standard_error = r / s, math.sqrt(variance)
    spread = math.exp(z * standard_error)
    p_value = two_sided_p(math.log(ratio) / standard_error) if standard_error > 0.0 else None
    return Comparison(ratio, ratio / spread, ratio * spread, level, method, p_value)


def stratified_risk_difference(
    x1: Sequence[int],
    n1: Sequence[int],
    x2: Sequence[int],
    n2: Sequence[int],
    level: float = 0.95,
    weights: str = "mantel_haenszel",
    skewness: bool = False,
) -> Comparison:
    """Stratified Miettinen-Nurminen interval of the risk difference.

    z(d) = sum w (p1 - p2 - d) / sqrt(sum w² V(d)), V the variance of each stratum at its maximum likelihood
    estimates under d with the stratum's factor N/(N-1). `weights` is "mantel_haenszel", n1 n2 / (n1 + n2),
    with which z(0)² is the statistic of `cmh_test`; or "inverse_variance", 1/V(d). `skewness` adds the
    third-moment correction of Gart and Nam (Laud 2017, SCAS). The estimate is the d with z(d) = 0, the
    weighted mean difference when uncorrected.

    >>> result = stratified_risk_difference([1, 3, 2], [15, 10, 25], [3, 4, 18], [5, 10, 35])
    >>> round(result.estimate, 4), round(result.lower, 4), round(result.upper, 4)
    (-0.3786, -0.5381, -0.1963)
    """
    if weights not in ("mantel_haenszel", "inverse_variance"):
        raise ValueError(f"unknown weights {weights!r}; known: mantel_haenszel, inverse_variance")
    method = "stratified_scas" if skewness else "stratified_miettinen_nurminen"
    z = normal_quantile(level)
    strata = [row for row in _strata(x1, n1, x2, n2) if row[1] > 0 and row[3] > 0]
    if not strata:
        return not_comparable(level, method)

    def score(d: float) -> float:
        excess = variance = third = total = 0.0
        for a, m, b, n in strata:
            p1, p2 = restricted_proportions(a, m, b, n, d)
            v1, v2 = p1 * (1.0 - p1), p2 * (1.0 - p2)
            v = (v1 / m + v2 / n) * (m + n) / (m + n - 1.0)
            weight = m * n / (m + n) if weights == "mantel_haenszel" else 1.0 / max(v, 1e-12)
            total += weight
            excess += weight * (a / m - b / n - d)
            variance += weight**2 * v
            third += weight**3 * (v1 * (1.0 - 2.0 * p1) / m**2 - v2 * (1.0 - 2.0 * p2) / n**2)
        if variance <= 0.0:
            return 0.0 if abs(excess) < 1e-14 * total else math.copysign(math.inf, excess)
        raw = excess / math.sqrt(variance)
        return _without_skewness(raw, third / (6.0 * variance**1.5)) if skewness else raw

    target = squashed(z)
    estimate = find_root(lambda d: squashed(score(d)), -1.0, 1.0)
    lower = find_root(lambda d: squashed(score(d)) - target, -1.0, estimate)
    upper = find_root(lambda d: squashed(score(d)) + target, estimate, 1.0)
    return Comparison(estimate, lower, upper, level, method, two_sided_p(score(0.0)))


def _without_skewness(z: float, skew: float) -> float:
    """The corrected statistic c with z = c + skew (c² - 1), the root that tends to z without skewness."""
    if abs(skew) < 1e-12:
        return z
    return 2.0 * (z + skew) / (1.0 + math.sqrt(max(0.0, 1.0 + 4.0 * skew * (z + skew))))
