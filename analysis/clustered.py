"""Means and spreads of values that cluster in subjects or devices: two-stage means, variance components,
bootstrap.

Values are plain numbers in any one unit, with one cluster label (subject, device) per value. Sums run in
the given order with `math.fsum`, so results do not depend on threads.

References: Searle, Casella, McCulloch, Variance Components, 1992; Welch, Biometrika 1947;34:28-35; Davison,
Hinkley, Bootstrap Methods and their Application, 1997.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.interval import Comparison, Interval, check_level, not_comparable, not_estimable

Label = str | int


def mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation with divisor n-1; `None` for no value, for the deviation below two.

    >>> mean_and_sd([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    n = len(values)
    if n == 0:
        return None, None
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))


def t_quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's t: 2.093 for level 0.95 and 19 degrees of freedom."""
    return float(stdtrit(df, 1.0 - (1.0 - check_level(level)) / 2.0))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean with the t interval, for independent values; one value has no interval.

    >>> interval = mean_interval([9.0, 10.0, 11.0])
    >>> round(interval.lower, 3), round(interval.upper, 3)
    (7.516, 12.484)
    """
    check_level(level)
    mean, sd = mean_and_sd(values)
    if mean is None:
        return not_estimable(level, "t")
    if sd is None:
        return Interval(mean, None, None, level, "t")
    half_width = t_quantile(level, len(values) - 1) * sd / math.sqrt(len(values))
    return Interval(mean, mean - half_width, mean + half_width, level, "t")


def cluster_means(values: Sequence[float], clusters: Sequence[Label]) -> dict[Label, float]:
    """Mean of each cluster, clusters in their order of appearance; ValueError for unequal lengths."""
    return {label: math.fsum(group) / len(group) for label, group in _grouped(values, clusters).items()}


def _grouped(values: Sequence[float], clusters: Sequence[Label]) -> dict[Label, list[float]]:
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster labels")
    groups: dict[Label, list[float]] = {}
    for value, label in zip(values, clusters, strict=True):
        groups.setdefault(label, []).append(float(value))
    return groups


def two_stage_mean(values: Sequence[float], clusters: Sequence[Label], level: float = 0.95) -> Interval:
    """Mean of the cluster means with their t interval: the default for dose errors, which cluster in
    subjects.

    SE = sd(cluster means) / sqrt(clusters), clusters - 1 degrees of freedom. Every subject counts once,
    whatever its number of doses; with equal numbers this is the mixed model's answer. One cluster: estimate
    without limits.

    >>> two_stage_mean([1.0, 1.0, 1.0, 3.0], ["a", "a", "a", "b"]).estimate
    2.0
    """
    result = mean_interval(list(cluster_means(values, clusters).values()), level)
    return Interval(result.estimate, result.lower, result.upper, level, "two_stage_t")


def welch_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Comparison:
    """Difference of two means (first - second) with Welch's t interval and p value.

    For clustered data give the cluster means. A group without values: `None`s; with a single value or
    without any spread: the estimate alone.

    >>> result = welch_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    >>> result.estimate, round(result.p_value, 3)
    (2.0, 0.07)
    """
    check_level(level)
    (m1, s1), (m2, s2) = mean_and_sd(first), mean_and_sd(second)
    if m1 is None or m2 is None:
        return not_comparable(level, "welch")
    difference = m1 - m2
    if s1 is None or s2 is None or s1 == s2 == 0.0:
        return Comparison(difference, None, None, level, "welch")
    v1, v2 = s1**2 / len(first), s2**2 / len(second)
    df = (v1 + v2) ** 2 / (v1**2 / (len(first) - 1) + v2**2 / (len(second) - 1))
    standard_error = math.sqrt(v1 + v2)
    half_width = t_quantile(level, df) * standard_error
    p_value = 2.0 * float(stdtr(df, -abs(difference) / standard_error))
    return Comparison(difference, difference - half_width, difference + half_width, level, "welch", p_value)


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variance between and within clusters (`between`, `within`, in squared units) by analysis of variance.

    `between` = max(0, (MSB - MSW) / n0) with n0 the effective cluster size; `None` with fewer than two
    clusters or no cluster of two values. `sum_of_squared_shares` is the sum of (n_i / n)².
    """

    n: int
    clusters: int
    mean: float | None
    between: float | None
    within: float | None
    ms_between: float | None
    ms_within: float | None
    n0: float
    sum_of_squared_shares: float

    @property
    def total_sd(self) -> float | None:
        """Standard deviation of a single value of a random cluster."""
        if self.between is None or self.within is None:
            return None
        return math.sqrt(self.between + self.within)


def variance_components(values: Sequence[float], clusters: Sequence[Label]) -> VarianceComponents:
    """One-way random effects by analysis of variance; equals REML for equal cluster sizes and MSB >= MSW.

    >>> parts = variance_components([9.9, 10.1, 10.4, 10.6, 9.5, 9.7], ["a", "a", "b", "b", "c", "c"])
    >>> round(parts.between, 4), round(parts.within, 4)
    (0.1933, 0.02)
    """
    groups = _grouped(values, clusters)
    means = cluster_means(values, clusters)
    squares = math.fsum((value - means[label]) ** 2 for label, group in groups.items() for value in group)
    return variance_components_of_moments([len(g) for g in groups.values()], list(means.values()), squares)


def variance_components_of_moments(
    counts: Sequence[int], means: Sequence[float], squares_within: float
) -> VarianceComponents:
    """As `variance_components`, from each cluster's count and mean and the total sum of squares within clusters.

    For millions of doses: the three come from one group-by in polars.

    >>> variance_components_of_moments([2, 2], [1.0, 3.0], 0.5).within
    0.25
    """
    if len(counts) != len(means):
        raise ValueError(f"{len(counts)} counts but {len(means)} means")
    n, k = sum(counts), len(counts)
    if n == 0:
        return VarianceComponents(0, 0, None, None, None, None, None, 0.0, 0.0)
    mean = math.fsum(c * m for c, m in zip(counts, means, strict=True)) / n
    shares = math.fsum((count / n) ** 2 for count in counts)
    if k < 2:
        return VarianceComponents(n, k, mean, None, None, None, None, 0.0, shares)
    ms_between = math.fsum(c * (m - mean) ** 2 for c, m in zip(counts, means, strict=True)) / (k - 1)
    n0 = n * (1.0 - shares) / (k - 1)
    if n == k:
        return VarianceComponents(n, k, mean, None, None, ms_between, None, n0, shares)
    ms_within = squares_within / (n - k)
    between = max(0.0, (ms_between - ms_within) / n0)
    return VarianceComponents(n, k, mean, between, ms_within, ms_between, ms_within, n0, shares)


def cluster_bootstrap(
    numerators: Sequence[float],
    denominators: Sequence[float],
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile interval of a pooled ratio from resampling whole clusters; store the seed beside the result.

    One numerator and denominator per cluster: doses within limits and doses, for a share; sum of errors and doses,
    for a mean. The estimate is sum / sum, `None` for a denominator of 0. Fewer than two clusters give the estimate
    alone; below about ten the interval is too narrow. NumPy's PCG64 makes the same draws on every machine.

    >>> result = cluster_bootstrap([1, 2, 2], [2, 2, 2], seed=7)
    >>> round(result.estimate, 3), result.lower, result.upper
    (0.833, 0.5, 1.0)
    """
    check_level(level)
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} numerators but {len(denominators)} denominators")
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if math.fsum(bottom) == 0.0:
        return not_estimable(level, "cluster_bootstrap")
    estimate = math.fsum(top) / math.fsum(bottom)
    if len(top) < 2:
        return Interval(estimate, None, None, level, "cluster_bootstrap")
    generator = np.random.Generator(np.random.PCG64(seed))
    # The same draws as one resample after the other, in blocks that stay in the cache.
    block = max(1, 100_000 // len(top))
    ratios = np.full(resamples, math.nan)
    for first in range(0, resamples, block):
        part = ratios[first : first + block]
        draws = generator.integers(0, len(top), (len(part), len(top)))
        totals = bottom[draws].sum(axis=1)
        np.divide(top[draws].sum(axis=1), totals, out=part, where=totals != 0.0)
    lower, upper = np.nanquantile(ratios, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(estimate, float(lower), float(upper), level, "cluster_bootstrap")
