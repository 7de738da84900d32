"""Statistical tolerance intervals: limits that hold a share of a population with a given confidence.

For dose accuracy: mean ± k s of n independent doses, to be compared with the limits of the device. Doses of
one subject or device are not independent: on trial data a tolerance interval is a report per device or lot,
or `clustered_tolerance_interval`, which uses the variance between subjects as well.

`share` (P) and `confidence` (C) are fractions, such as 0.975 and 0.95; n is a count of at least 2; amounts
may have any unit.

References: Odeh, Owen, Tables for Normal Tolerance Limits, 1980; Howe, JASA 1969;64:610-620; Natrella, NBS
Handbook 91, 1963; Mee, Technometrics 1984;26:251-253; Wilks, Ann Math Stat 1941;12:91-96.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import bdtr, chdtri, chndtrix, gammaincc, nctdtrit, ndtri

from analysis.clustered import VarianceComponents, mean_and_sd, variance_components
from analysis.interval import check_count, check_level, find_root


@dataclass(frozen=True, slots=True)
class ToleranceInterval:
    """Mean ± k s. `None` throughout where n < 2 or the data cannot support it; infinite for an open side.

    `degenerate` marks data without any spread (s = 0): the limits equal the mean and say nothing about a
    population.
    """

    mean: float | None
    sd: float | None
    k: float | None
    lower: float | None
    upper: float | None
    share: float
    confidence: float
    n: int
    method: str

    @property
    def degenerate(self) -> bool:
        """Whether all values were equal."""
        return self.sd == 0.0


def _check(n: int, share: float, confidence: float) -> int:
    check_level(share)
    check_level(confidence)
    return check_count(n, "n")


def k_one_sided(n: int, share: float, confidence: float) -> float | None:
    """Exact one-sided factor: the confidence quantile of noncentral t with n-1 df and shift z_P sqrt(n), /
    sqrt(n).

    >>> round(k_one_sided(43, 0.90, 0.99), 4)
    1.874
    """
    if _check(n, share, confidence) < 2:
        return None
    root = math.sqrt(n)
    return float(nctdtrit(n - 1, float(ndtri(share)) * root, confidence)) / root


def k_one_sided_natrella(n: int, share: float, confidence: float) -> float | None:
    """Natrella's approximation of the one-sided factor; `None` for small n, where it has no real value.

    >>> round(k_one_sided_natrella(43, 0.90, 0.99), 7)
    1.8751896
    """
    if _check(n, share, confidence) < 2:
        return None
    z_p, z_c = float(ndtri(share)), float(ndtri(confidence))
    a = 1.0 - z_c**2 / (2.0 * (n - 1))
    b = z_p**2 - z_c**2 / n
    inside = z_p**2 - a * b
    return (z_p + math.sqrt(inside)) / a if a > 0.0 and inside >= 0.0 else None


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(160)


@cache
def k_two_sided(n: int, share: float, confidence: float) -> float | None:
    """Exact two-sided factor k of mean ± k s.

    Solves E[P(chi²(n-1) > (n-1) r(u)² / k²)] = C over the error u ~ N(0, 1/n) of the mean, where r(u) is
    the half-width around u that holds the share P of a standard normal. 160-point Gauss-Legendre: agrees
    with R's tolerance::K.factor(method = "EXACT") to about 1e-9.

    >>> round(k_two_sided(60, 0.975, 0.95), 4)
    2.6701
    """
    if _check(n, share, confidence) < 2:
        return None
    nodes, weights = _gauss_legendre()
    z = 4.0 * (nodes + 1.0)  # (0, 8): beyond 8 the normal density adds nothing
    density = weights * 4.0 * 2.0 * np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    r_squared = chndtrix(share, 1.0, z * z / n)

    def excess(log_k: float) -> float:
        tail = gammaincc((n - 1) / 2.0, (n - 1) * r_squared / (2.0 * math.exp(2.0 * log_k)))
        return float((density * tail).sum()) - confidence

    return math.exp(find_root(excess, math.log(1e-6), math.log(1e9)))


def k_two_sided_howe(n: int, share: float, confidence: float) -> float | None:
    """Howe's approximation: z_(1+P)/2 sqrt((n-1)(1 + 1/n) / chi²), chi² the 1-C quantile with n-1 df.

    Off by 0.06 at n = 4 and by 0.01 at n = 10 (P = C = 0.95).

    >>> round(k_two_sided_howe(43, 0.90, 0.99), 7)
    2.2173159
    """
    if _check(n, share, confidence) < 2:
        return None
    return _howe(n - 1, float(n), share, confidence)


def _howe(df: float, n_mean: float, share: float, confidence: float) -> float:
    chi_squared = float(chdtri(df, confidence))  # chdtri takes the upper tail
    return float(ndtri((1.0 + share) / 2.0)) * math.sqrt(df * (1.0 + 1.0 / n_mean) / chi_squared)


TWO_SIDED: dict[str, Callable[[int, float, float], float | None]] = {
    "exact": k_two_sided,
    "howe": k_two_sided_howe,
}
ONE_SIDED: dict[str, Callable[[int, float, float], float | None]] = {
    "exact": k_one_sided,
    "natrella": k_one_sided_natrella,
}


def tolerance_interval_of_moments(
    mean: float,
    sd: float,
    n: int,
    share: float = 0.975,
    confidence: float = 0.95,
    side: str = "two-sided",
    method: str = "exact",
) -> ToleranceInterval:
    """Normal tolerance interval from mean, standard deviation (divisor n-1) and n.

    `side` is "two-sided", "upper" or "lower" (the other limit is then infinite); `method` "exact", or "howe"
    (two-sided) or "natrella" (one-sided). Raises ValueError for another name or a negative deviation.

    >>> interval = tolerance_interval_of_moments(97.07, 0.0268, 43, 0.90, 0.99, method="howe")
    >>> round(interval.lower, 6), round(interval.upper, 6)
    (97.010576, 97.129424)
    """
    if side not in ("two-sided", "upper", "lower"):
        raise ValueError(f"unknown side {side!r}; known: two-sided, upper, lower")
    factors = TWO_SIDED if side == "two-sided" else ONE_SIDED
    if method not in factors:
        raise ValueError(f"unknown method {method!r} for a {side} interval; known: {', '.join(factors)}")
    if not sd >= 0.0:
        raise ValueError(f"a standard deviation must not be negative, got {sd!r}")
    k = factors[method](n, share, confidence)
    name = f"{side} {method}"
    if k is None:
        return ToleranceInterval(None, None, None, None, None, share, confidence, n, name)
    lower = -math.inf if side == "upper" else mean - k * sd
    upper = math.inf if side == "lower" else mean + k * sd
    return ToleranceInterval(mean, sd, k, lower, upper, share, confidence, n, name)


def tolerance_interval(
    values: Sequence[float],
    share: float = 0.975,
    confidence: float = 0.95,
    side: str = "two-sided",
    method: str = "exact",
) -> ToleranceInterval:
    """Normal tolerance interval of independent values; see `tolerance_interval_of_moments`.

    >>> tolerance_interval([10.0, 10.0, 10.0]).degenerate
    True
    >>> tolerance_interval([10.0]).lower is None
    True
    """
    mean, sd = mean_and_sd(values)
    return tolerance_interval_of_moments(
        0.0 if mean is None else mean, sd or 0.0, len(values), share, confidence, side, method
    )


def clustered_tolerance_interval(
    values: Sequence[float],
    clusters: Sequence[str | int],
    share: float = 0.975,
    confidence: float = 0.95,
) -> ToleranceInterval:
    """Two-sided tolerance interval for values that cluster (doses in subjects), after Mee (1984).

    Mean of all values ± k s_T with s_T² = s_B² + s_W² from the analysis of variance, Satterthwaite's
    degrees of freedom of s_T² and the effective number s_T² / Var(mean) in Howe's factor. `sd` is s_T.
    Needs two clusters and one with two values, otherwise `None`s.

    >>> doses = [9.9, 10.1, 10.4, 10.6, 9.5, 9.7]
    >>> interval = clustered_tolerance_interval(doses, ["a", "a", "b", "b", "c", "c"])
    >>> round(interval.lower, 1), round(interval.upper, 1)
    (5.3, 14.7)
    """
    return tolerance_interval_of_components(variance_components(values, clusters), share, confidence)


def tolerance_interval_of_components(
    parts: VarianceComponents, share: float = 0.975, confidence: float = 0.95
) -> ToleranceInterval:
    """`clustered_tolerance_interval` from the variance components of the values."""
    check_level(share)
    check_level(confidence)
    name = "two-sided satterthwaite"
    if parts.between is None or parts.within is None or parts.ms_between is None or parts.ms_within is None:
        return ToleranceInterval(None, None, None, None, None, share, confidence, parts.n, name)
    variance = parts.between + parts.within
    if variance == 0.0:
        return ToleranceInterval(parts.mean, 0.0, None, parts.mean, parts.mean, share, confidence, parts.n, name)
    # s_T² = MSB / n0 + MSW (1 - 1 / n0): independent mean squares, unless the between part was cut at 0.
    if parts.between > 0.0:
        first, second = parts.ms_between / parts.n0, parts.ms_within * (1.0 - 1.0 / parts.n0)
        df = variance**2 / (first**2 / (parts.clusters - 1) + second**2 / (parts.n - parts.clusters))
    else:
        df = float(parts.n - 1)
    variance_of_mean = parts.between * parts.sum_of_squared_shares + parts.within / parts.n
    k = _howe(df, variance / variance_of_mean, share, confidence)
    mean, sd = parts.mean, math.sqrt(variance)
    assert mean is not None  # two clusters were counted above
    return ToleranceInterval(mean, sd, k, mean - k * sd, mean + k * sd, share, confidence, parts.n, name)


def distribution_free_sample_size(share: float, confidence: float, side: str = "two-sided") -> int:
    """Smallest n at which the extremes of a sample are a tolerance interval without assuming a distribution
    (Wilks).

    One-sided ("upper", "lower"): 1 - P^n >= C. Two-sided, from smallest to largest: 1 - n P^(n-1) + (n-1)
    P^n >= C.

    >>> distribution_free_sample_size(0.95, 0.95, "upper"), distribution_free_sample_size(0.95, 0.95)
    (59, 93)
    """
    check_level(share)
    check_level(confidence)
    # The doubling then bisection keeps a share of 0.9999 as cheap as one of 0.9.
    outside = 1 if side != "two-sided" else 2
    high = outside
    while _coverage_confidence(high, outside, share) < confidence:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if _coverage_confidence(middle, outside, share) < confidence:
            low = middle
        else:
            high = middle
    return high


def _coverage_confidence(n: int, outside: int, share: float) -> float:
    """Confidence that the interval leaving `outside` spacings of n + 1 out holds the share."""
    return float(bdtr(n - outside, n, share)) if n >= outside else 0.0


def distribution_free_interval(
    values: Sequence[float], share: float = 0.95, confidence: float = 0.95
) -> ToleranceInterval:
    """Two-sided interval between order statistics, the same number left out at both ends (Wilks).

    `mean`, `sd` and `k` are `None`; so are the limits where there are too few values. `confidence` is what
    was asked: the interval's own is at least that.

    >>> interval = distribution_free_interval(range(1, 101))
    >>> interval.lower, interval.upper
    (1.0, 100.0)
    """
    check_level(share)
    check_level(confidence)
    ordered = sorted(float(value) for value in values)
    rank = 0
    while _coverage_confidence(len(ordered), 2 * (rank + 1), share) >= confidence:
        rank += 1
    lower, upper = (ordered[rank - 1], ordered[-rank]) if rank else (None, None)
    return ToleranceInterval(None, None, None, lower, upper, share, confidence, len(ordered), "distribution-free")
