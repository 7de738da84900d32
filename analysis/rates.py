"""Rates of events per person-time: intervals for one rate, and per-subject summaries.

`x` is a count of events, `time` the person-time at risk in any unit; rates are per that unit times `per`
(time in years and per=100: per 100 patient-years). Time 0 gives an interval of `None`s, also where events
were counted in it: such a pair is an error in the data, which the caller should report.

The count is taken as Poisson, so subjects and their events as independent. For events that recur in a subject
use `event_rate`, which adds an interval robust to clustering.

References: Garwood, Biometrika 1936;28:437-442; Rothman, Boice 1979 (Byar); Liddell, J Epidemiol Community
Health 1984;38:85-88.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.special import gammaincinv, pdtr

from analysis.interval import (
    Interval,
    check_count,
    check_level,
    find_root,
    normal_quantile,
    not_estimable,
)

DAYS_PER_YEAR = 365.25


def person_years(duration: float, unit: str) -> float:
    """A duration in years: days / 365.25, weeks x 7 / 365.25, months / 12; ValueError for another unit.

    >>> person_years(18.0, "months")
    1.5
    """
    in_a_year = {"days": DAYS_PER_YEAR, "weeks": DAYS_PER_YEAR / 7.0, "months": 12.0, "years": 1.0}
    if unit not in in_a_year:
        raise ValueError(f"unknown unit of time {unit!r}; known: {', '.join(in_a_year)}")
    return duration / in_a_year[unit]


def check_time(time: float, name: str = "time") -> float:
    """Return person-time as float; raise ValueError when negative, infinite or not a number."""
    if not 0.0 <= time < math.inf:
        raise ValueError(f"{name} at risk must be a number of at least 0, got {time!r}")
    return float(time)


def garwood(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Exact interval: the rates at which the two Poisson tails of x are (1 - level)/2. The default.

    Lower = Gamma quantile(a/2; x) / time (0 at x = 0), upper = Gamma quantile(1 - a/2; x + 1) / time.

    >>> interval = garwood(0, 35.7, per=100)
    >>> interval.lower, round(interval.upper, 2)
    (0.0, 10.33)
    """
    x, alpha = check_count(x, "x"), 1.0 - check_level(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "garwood")
    lower = 0.0 if x == 0 else float(gammaincinv(x, alpha / 2.0))
    upper = float(gammaincinv(x + 1, 1.0 - alpha / 2.0))
    return Interval(x * per / time, lower * per / time, upper * per / time, level, "garwood")


def mid_p(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """As Garwood, with half the probability of the observed count in each tail.

    >>> round(mid_p(15, 400).upper, 5)
    0.06046
    """
    x, alpha = check_count(x, "x"), 1.0 - check_level(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "mid_p")

    def cumulative(mean: float) -> float:
        below = float(pdtr(x - 1, mean)) if x > 0 else 0.0
        return (below + float(pdtr(x, mean))) / 2.0

    ceiling = float(gammaincinv(x + 1, 1.0 - alpha / 2.0))
    lower = 0.0 if x == 0 else find_root(lambda m: cumulative(m) - 1.0 + alpha / 2.0, 0.0, ceiling)
    upper = find_root(lambda m: cumulative(m) - alpha / 2.0, 0.0, ceiling)
    return Interval(x * per / time, lower * per / time, upper * per / time, level, "mid_p")


def jeffreys(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Equal-tailed posterior interval under the Jeffreys prior: quantiles of Gamma(x + 1/2); 0 below at x =
    0.

    >>> round(jeffreys(15, 400).lower, 6)
    0.021923
    """
    x, alpha = check_count(x, "x"), 1.0 - check_level(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "jeffreys")
    lower = 0.0 if x == 0 else float(gammaincinv(x + 0.5, alpha / 2.0))
    upper = float(gammaincinv(x + 0.5, 1.0 - alpha / 2.0))
    return Interval(x * per / time, lower * per / time, upper * per / time, level, "jeffreys")


def byar(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Byar's approximation in its common form with x + 1/2 on both sides; not below 0.

    (x + 1/2)(1 - 1/(9(x + 1/2)) ± z / (3 sqrt(x + 1/2)))³.

    >>> interval = byar(15, 400)
    >>> round(interval.lower, 6), round(interval.upper, 6)
    (0.021908, 0.060293)
    """
    x, z = check_count(x, "x"), normal_quantile(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "byar")
    shifted = x + 0.5
    centre, spread = 1.0 - 1.0 / (9.0 * shifted), z / (3.0 * math.sqrt(shifted))
    lower = 0.0 if x == 0 else max(0.0, shifted * (centre - spread) ** 3)
    upper = shifted * (centre + spread) ** 3
    return Interval(x * per / time, lower * per / time, upper * per / time, level, "byar")


def score(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Score interval: the means m with |x - m| = z sqrt(m), m = x + z²/2 ± z sqrt(x + z²/4).

    >>> interval = score(15, 400)
    >>> round(interval.lower, 6), round(interval.upper, 6)
    (0.022726, 0.061877)
    """
    x, z = check_count(x, "x"), normal_quantile(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "score")
    centre, half_width = x + z * z / 2.0, z * math.sqrt(x + z * z / 4.0)
    lower = 0.0 if x == 0 else centre - half_width
    return Interval(x * per / time, lower * per / time, (centre + half_width) * per / time, level, "score")


def normal(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Wald interval (x ± z sqrt(x)) / time; not cut at 0, without width at x = 0. To compare with old tables.

    >>> normal(0, 35.7).upper
    0.0
    """
    x, z = check_count(x, "x"), normal_quantile(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "normal")
    half_width = z * math.sqrt(x)
    return Interval(x * per / time, (x - half_width) * per / time, (x + half_width) * per / time, level, "normal")


def normal_log(x: int, time: float, level: float = 0.95, per: float = 1.0) -> Interval:
    """Wald interval on the log scale, rate x exp(± z / sqrt(x)); at x = 0 it says nothing: 0 to infinity.

    >>> interval = normal_log(2, 200, level=0.9)
    >>> round(interval.lower, 6), round(interval.upper, 6)
    (0.003125, 0.031998)
    """
    x, z = check_count(x, "x"), normal_quantile(level)
    if check_time(time) == 0.0:
        return not_estimable(level, "normal_log")
    rate = x * per / time
    if x == 0:
        return Interval(rate, 0.0, math.inf, level, "normal_log")
    spread = math.exp(z / math.sqrt(x))
    return Interval(rate, rate / spread, rate * spread, level, "normal_log")


METHODS: dict[str, Callable[[int, float, float, float], Interval]] = {
    "garwood": garwood,
    "mid_p": mid_p,
    "jeffreys": jeffreys,
    "byar": byar,
    "score": score,
    "normal": normal,
    "normal_log": normal_log,
}


def rate_interval(x: int, time: float, level: float = 0.95, per: float = 1.0, method: str = "garwood") -> Interval:
    """Interval for a rate by the name of a method (a key of `METHODS`); ValueError for an unknown one.

    >>> rate_interval(0, 0).estimate is None
    True
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} for a rate; known: {', '.join(METHODS)}")
    return METHODS[method](x, time, level, per)


@dataclass(frozen=True, slots=True)
class EventRate:
    """A rate over subjects: counts, person-time, the Poisson interval and one robust to clustering.

    `robust` uses SE = sqrt(sum (e_p - rate t_p)²) / T over subjects p, on the log scale; it is `None` in
    its limits for fewer than two subjects or no event. `dispersion` is the Pearson statistic per degree of
    freedom: above about 1.5 the Poisson interval is too narrow.
    """

    subjects: int
    events: int
    time: float
    poisson: Interval
    robust: Interval
    dispersion: float | None


def incidence_rate(
    times: Sequence[float],
    events: Sequence[bool | int],
    level: float = 0.95,
    per: float = 100.0,
    method: str = "garwood",
) -> EventRate:
    """Exposure-adjusted incidence rate (EAIR): subjects with a first event per person-time until it.

    `times` are each subject's time to the first event or, without one, to the end of observation, in years
    for a rate per 100 patient-years; `events` says which. Raises ValueError for a count above 1.

    >>> result = incidence_rate([0.5, 2.0, 1.5], [1, 0, 1])
    >>> result.events, result.time, result.poisson.estimate
    (2, 4.0, 50.0)
    """
    if any(event not in (0, 1) for event in events):
        raise ValueError("an incidence rate counts first events: each subject has 0 or 1 of them")
    return event_rate(times, [int(event) for event in events], level, per, method)


def event_rate(
    times: Sequence[float],
    events: Sequence[int],
    level: float = 0.95,
    per: float = 100.0,
    method: str = "garwood",
) -> EventRate:
    """Exposure-adjusted event rate (EAER): all events of all subjects per total person-time.

    `times` and `events` hold one value per subject, of equal length (ValueError otherwise).

    >>> result = event_rate([1.0, 1.0, 1.0], [6, 0, 0])
    >>> result.poisson.estimate, result.dispersion
    (200.0, 6.0)
    """
    if len(times) != len(events):
        raise ValueError(f"{len(times)} times at risk but {len(events)} event counts")
    counts = [check_count(event, "events") for event in events]
    at_risk = [check_time(time) for time in times]
    total, count = math.fsum(at_risk), sum(counts)
    poisson = rate_interval(count, total, level, per, method)
    if total == 0.0:
        return EventRate(len(counts), count, total, poisson, not_estimable(level, "robust_log"), None)
    rate = count / total
    if count == 0 or len(counts) < 2:
        robust = Interval(rate * per, None, None, level, "robust_log")
        return EventRate(len(counts), count, total, poisson, robust, None)
    residuals = [e - rate * t for e, t in zip(counts, at_risk, strict=True)]
    standard_error = math.sqrt(math.fsum(r * r for r in residuals)) / total
    spread = math.exp(normal_quantile(level) * standard_error / rate)
    robust = Interval(rate * per, rate * per / spread, rate * per * spread, level, "robust_log")
    pearson = math.fsum(r * r / (rate * t) for r, t in zip(residuals, at_risk, strict=True) if t > 0.0)
    return EventRate(len(counts), count, total, poisson, robust, pearson / (len(counts) - 1))
