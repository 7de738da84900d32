"""Agreement of two ways of measuring a dose: Bland-Altman limits and intraclass correlation.

Values are plain numbers in any one unit.

References: Bland, Altman, Lancet 1986;i:307-310 and Stat Methods Med Res 1999;8:135-160; Shrout, Fleiss,
Psychol Bull 1979;86:420-428.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.clustered import Label, VarianceComponents, mean_and_sd, t_quantile, variance_components
from analysis.interval import Interval, normal_quantile, not_estimable


@dataclass(frozen=True, slots=True)
class LimitsOfAgreement:
    """Bland-Altman: bias and limits with their intervals, in the unit of the values.

    `lower` and `upper` are the limits of agreement as intervals; `sd` is that of a single difference;
    `se_limit` the standard error of a limit. `None` where not estimable.
    """

    n: int
    subjects: int
    bias: Interval
    sd: float | None
    lower: Interval
    upper: Interval
    se_limit: float | None


def bland_altman(differences: Sequence[float], level: float = 0.95, z: float | None = None) -> LimitsOfAgreement:
    """Limits of agreement bias ± z s of independent paired differences (one pair per subject).

    z is the normal quantile of `level` unless given (Bland and Altman used 1.96 and, in 1986, 2). The
    limits' standard error is sqrt(3 s²/n); bias and limits carry t intervals with n-1 degrees of freedom.
    Needs three differences.

    >>> result = bland_altman([2.0, -1.0, 0.5, 1.5, -0.5])
    >>> round(result.bias.estimate, 2), round(result.lower.estimate, 2), round(result.upper.estimate, 2)
    (0.5, -2.0, 3.0)
    """
    mean, sd = mean_and_sd(differences)
    n = len(differences)
    factor = normal_quantile(level) if z is None else z
    if mean is None or sd is None or n < 3:
        return _no_limits(n, n, mean, level)
    se_limit = math.sqrt(3.0 * sd * sd / n)
    return _limits(n, n, mean, sd, sd / math.sqrt(n), se_limit, t_quantile(level, n - 1), factor, level)


def bland_altman_repeated(
    differences: Sequence[float], subjects: Sequence[Label], level: float = 0.95, z: float | None = None
) -> LimitsOfAgreement:
    """Limits of agreement with several pairs per subject and a true value that varies (Bland, Altman 1999).

    s² = s_B² + s_W² by analysis of variance of the differences on subjects; the limits' variance adds that
    of the bias and, by Satterthwaite, that of s. Intervals use t with subjects - 1 degrees of freedom.
    Needs three subjects, one of them with two pairs.

    >>> pairs = [0.1, 0.3, -0.2, 0.0, 0.5, 0.4]
    >>> result = bland_altman_repeated(pairs, ["a", "a", "b", "b", "c", "c"])
    >>> round(result.sd, 3)
    0.289
    """
    return limits_of_components(variance_components(differences, subjects), level, z)


def limits_of_components(parts: VarianceComponents, level: float = 0.95, z: float | None = None) -> LimitsOfAgreement:
    """`bland_altman_repeated` from the variance components of the differences."""
    factor = normal_quantile(level) if z is None else z
    mean, between, within = parts.mean, parts.between, parts.within
    if mean is None or between is None or within is None or parts.ms_between is None or parts.clusters < 3:
        return _no_limits(parts.n, parts.clusters, mean, level)
    variance = between + within
    variance_of_mean = between * parts.sum_of_squared_shares + within / parts.n
    # Var(s_T²) from the mean squares; Var(s_T) = Var(s_T²) / (4 s_T²).
    first = parts.ms_between / parts.n0
    second = within * (1.0 - 1.0 / parts.n0)
    spread = 2.0 * (first**2 / (parts.clusters - 1) + second**2 / (parts.n - parts.clusters))
    variance_of_sd = spread / (4.0 * variance) if variance > 0.0 else 0.0
    se_limit = math.sqrt(variance_of_mean + factor**2 * variance_of_sd)
    t = t_quantile(level, parts.clusters - 1)
    sd, se_bias = math.sqrt(variance), math.sqrt(variance_of_mean)
    return _limits(parts.n, parts.clusters, mean, sd, se_bias, se_limit, t, factor, level)


def _limits(
    n: int,
    subjects: int,
    mean: float,
    sd: float,
    se_bias: float,
    se_limit: float,
    t: float,
    factor: float,
    level: float,
) -> LimitsOfAgreement:
    def around(centre: float, standard_error: float) -> Interval:
        return Interval(centre, centre - t * standard_error, centre + t * standard_error, level, "t")

    lower, upper = mean - factor * sd, mean + factor * sd
    return LimitsOfAgreement(
        n,
        subjects,
        around(mean, se_bias),
        sd,
        around(lower, se_limit),
        around(upper, se_limit),
        se_limit,
    )


def _no_limits(n: int, subjects: int, mean: float | None, level: float) -> LimitsOfAgreement:
    nothing = not_estimable(level, "t")
    return LimitsOfAgreement(n, subjects, Interval(mean, None, None, level, "t"), None, nothing, nothing, None)


@dataclass(frozen=True, slots=True)
class IntraclassCorrelations:
    """The six coefficients of Shrout and Fleiss; a negative estimate is kept, an indeterminate one is
    `None`."""

    icc_1_1: float | None
    icc_2_1: float | None
    icc_3_1: float | None
    icc_1_k: float | None
    icc_2_k: float | None
    icc_3_k: float | None


def intraclass_correlation(ratings: Sequence[Sequence[float]]) -> IntraclassCorrelations:
    """Intraclass correlations of a complete table: one row per target, one column per rater or device.

    ICC(2,1), two-way random with absolute agreement, is the default to report. Fewer than two targets or
    raters give `None`s; rows of unequal length raise ValueError.

    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(intraclass_correlation(ratings).icc_2_1, 2)
    0.29
    """
    if len({len(row) for row in ratings}) > 1:
        raise ValueError("every target needs a value of every rater")
    n, k = len(ratings), len(ratings[0]) if ratings else 0
    if n < 2 or k < 2:
        return IntraclassCorrelations(None, None, None, None, None, None)
    table = np.asarray(ratings, dtype=np.float64)
    grand = float(table.mean())
    ss_rows = k * float(((table.mean(axis=1) - grand) ** 2).sum())
    ss_columns = n * float(((table.mean(axis=0) - grand) ** 2).sum())
    ss_total = float(((table - grand) ** 2).sum())
    rows = ss_rows / (n - 1)
    columns = ss_columns / (k - 1)
    within = (ss_total - ss_rows) / (n * (k - 1))
    error = max(0.0, ss_total - ss_rows - ss_columns) / ((n - 1) * (k - 1))

    def ratio(numerator: float, denominator: float) -> float | None:
        return numerator / denominator if denominator != 0.0 else None

    return IntraclassCorrelations(
        ratio(rows - within, rows + (k - 1) * within),
        ratio(rows - error, rows + (k - 1) * error + k * (columns - error) / n),
        ratio(rows - error, rows + (k - 1) * error),
        ratio(rows - within, rows),
        ratio(rows - error, rows + (columns - error) / n),
        ratio(rows - error, rows),
    )
