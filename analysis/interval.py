"""The result types every statistic returns, and the two numerical tools they share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from scipy.special import ndtri


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with its confidence limits.

    `None` means not estimable (an empty arm, zero exposure); an unbounded limit is `float("inf")`.
    `level` is the confidence level as a fraction (0.95), `method` the name of the method used.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    level: float
    method: str

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Lower and upper limit as a pair."""
        return self.lower, self.upper

    def scaled(self, factor: float) -> Self:
        """Estimate and limits times a positive factor, such as 100 for percent; all else unchanged.

        >>> Interval(0.25, 0.1, None, 0.95, "wilson").scaled(100)
        Interval(estimate=25.0, lower=10.0, upper=None, level=0.95, method='wilson')
        """
        if not factor > 0.0:
            raise ValueError(f"a factor must be positive, got {factor!r}")
        numbers = (self.estimate, self.lower, self.upper)
        estimate, lower, upper = (None if v is None else v * factor for v in numbers)
        return replace(self, estimate=estimate, lower=lower, upper=upper)


@dataclass(frozen=True, slots=True)
class Comparison(Interval):
    """An interval for a contrast of two groups, with the two-sided p value of the *same* method.

    `p_value` tests "no difference" (difference 0, ratio 1). It is `None` where the method defines no test
    or nothing can be tested.
    """

    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class TestResult:
    """A test statistic with its two-sided p value (both `None` when nothing can be tested)."""

    __test__ = False  # the name starts with "Test"; it is not a pytest class

    statistic: float | None
    p_value: float | None
    method: str
    degrees_of_freedom: int | None = None


def not_estimable(level: float, method: str) -> Interval:
    """The interval of something without data: estimate and limits are `None`."""
    return Interval(None, None, None, level, method)


def not_comparable(level: float, method: str) -> Comparison:
    """The comparison of groups of which one has no data: everything is `None`."""
    return Comparison(None, None, None, level, method)


def check_level(level: float) -> float:
    """Return `level`; raise ValueError unless it is a fraction strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"confidence level must be between 0 and 1 (such as 0.95), got {level!r}")
    return level


def check_count(value: float, name: str) -> int:
    """Return `value` as int; raise ValueError for a negative or fractional count."""
    if not float(value).is_integer():
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    return int(value)


def check_events(events: int, total: int, suffix: str = "") -> tuple[int, int]:
    """Return both counts; raise ValueError unless 0 <= events <= total."""
    x, n = check_count(events, f"x{suffix}"), check_count(total, f"n{suffix}")
    if x > n:
        raise ValueError(f"x{suffix}={x} events cannot exceed n{suffix}={n}")
    return x, n


def normal_quantile(level: float) -> float:
    """The two-sided standard normal quantile of a confidence level: 1.959964 for 0.95."""
    return float(ndtri(1.0 - (1.0 - check_level(level)) / 2.0))


def two_sided_p(z: float) -> float:
    """Two-sided p value of a standard normal statistic, accurate far out in the tail."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def squashed(z: float) -> float:
    """A score statistic mapped to [-1, 1], so that root finding meets no infinity at the edges."""
    return math.copysign(1.0, z) if math.isinf(z) else z / math.sqrt(1.0 + z * z)


def find_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a monotone function on [low, high]; the nearer end when the sign does not change inside."""
    f_low, f_high = function(low), function(high)
    if f_low == 0.0:
        return low
    if f_high == 0.0:
        return high
    if (f_low > 0.0) == (f_high > 0.0):
        return low if abs(f_low) < abs(f_high) else high
    return _chandrupatla(function, low, f_low, high, f_high)


def _chandrupatla(function: Callable[[float], float], low: float, f_low: float, high: float, f_high: float) -> float:
    """Chandrupatla's bracketing method (Adv Eng Softw 1997;28:145-149).

    Written out because scipy.optimize costs a further 0.1 s of import and this keeps a limit at about 10
    calls.
    """
    b, fb, a, fa = low, f_low, high, f_high
    c, fc = a, fa
    t = 0.5
    for _ in range(200):
        x = a + t * (b - a)
        fx = function(x)
        if (fx > 0.0) == (fa > 0.0):
            c, fc = a, fa
        else:
            c, fc, b, fb = b, fb, a, fa
        a, fa = x, fx
        best, f_best = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        tolerance = 4.0 * 2.220446049250313e-16 * abs(best) + 1e-300
        width = abs(b - a)
        if f_best == 0.0 or width <= 2.0 * tolerance:
            return best
        xi = (a - b) / (c - b)
        phi = (fa - fb) / (fc - fb)
        if phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        else:
            t = 0.5
        t_min = tolerance / width
        t = min(max(t, t_min), 1.0 - t_min)
    return best
