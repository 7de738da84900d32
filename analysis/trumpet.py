"""Trumpet curves of infusion pumps from weighed series.

The curve shows the largest positive and negative error of the mean flow over observation windows of growing
length. It needs weighings at a fixed sample interval; a device's log cannot give it. It shows extremes
only, and its axis is the length of a window, not time: one-hour windows with the share within ±15 % say
more about a pump in use.

Formula as in IEC 60601-2-24 (from secondary sources; the text of the standard was not at hand): windows of
P minutes slide over m = (T - P) / S + 1 positions of the analysis period T sampled every S minutes.

Reference: Freckmann, Kamecke et al., J Diabetes Sci Technol 2019;13:79-86.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INFUSION_PUMP_WINDOWS = (2.0, 5.0, 11.0, 19.0, 31.0)
INSULIN_PUMP_WINDOWS = tuple(60.0 * hour for hour in range(1, 17))


@dataclass(frozen=True, slots=True)
class TrumpetPoint:
    """One window length: largest and smallest percent error over `windows` complete positions.

    `incomplete` positions held a missing sample and were left out. Without a complete one the errors are
    `None`.
    """

    window_min: float
    ep_max: float | None
    ep_min: float | None
    windows: int
    incomplete: int


@dataclass(frozen=True, slots=True)
class TrumpetCurve:
    """Points by window length, the overall mean percent error A, and the rate they refer to (volume per
    hour)."""

    points: tuple[TrumpetPoint, ...]
    mean_error: float | None
    rate: float


def volumes_of_weights(weights: Sequence[float | None], density: float = 1.0) -> list[float | None]:
    """Volumes delivered between weighings: (W_i - W_(i-1)) / density; missing where a weight is missing.

    Weights in g and density in g/mL give mL.

    >>> volumes_of_weights([0.0, 0.5, None, 1.5], density=1.0)
    [0.5, None, None]
    """
    if not density > 0.0:
        raise ValueError(f"density must be positive, got {density!r}")
    pairs = zip(weights[:-1], weights[1:], strict=True)
    return [None if a is None or b is None else (b - a) / density for a, b in pairs]


def trumpet_curve(
    volumes: Sequence[float | None],
    sample_min: float,
    rate: float,
    windows_min: Sequence[float] = INFUSION_PUMP_WINDOWS,
) -> TrumpetCurve:
    """Largest errors of the mean flow by window length.

    `volumes` are the volumes of consecutive samples of `sample_min` minutes (`None` for a missing
    weighing), `rate` the set rate in the same unit per hour. Ep(max) = max over positions of 100 (mean flow
    of the window - rate) / rate, Ep(min) the same with min. Raises ValueError when a window is not a whole
    number of samples, or for a rate that is not positive. A window longer than the series gets a point
    without errors.

    >>> curve = trumpet_curve([0.025, 0.03, 0.02] * 40, sample_min=0.5, rate=3.0, windows_min=(1.0, 1.5))
    >>> [round(p.ep_max, 6) for p in curve.points]
    [10.0, 0.0]
    """
    if not rate > 0.0 or not sample_min > 0.0:
        raise ValueError("rate and sample interval must be positive")
    known = np.array([math.nan if v is None else float(v) for v in volumes], dtype=np.float64)
    missing = np.isnan(known)
    points = []
    for window in windows_min:
        samples = round(window / sample_min)
        if samples < 1 or abs(samples * sample_min - window) > 1e-9 * window:
            raise ValueError(f"a window of {window:g} min is not a whole number of samples of {sample_min:g} min")
        points.append(_point(known, missing, window, samples, rate))
    total = math.fsum(known[~missing])
    hours = int((~missing).sum()) * sample_min / 60.0
    mean_error = 100.0 * (total / hours - rate) / rate if hours > 0.0 else None
    return TrumpetCurve(tuple(points), mean_error, rate)


def _point(
    known: np.ndarray[tuple[int], np.dtype[np.float64]],
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]],
    window: float,
    samples: int,
    rate: float,
) -> TrumpetPoint:
    positions = len(known) - samples + 1
    if positions < 1:
        return TrumpetPoint(window, None, None, 0, 0)
    sums = np.concatenate(([0.0], np.cumsum(np.where(missing, 0.0, known))))
    gaps = np.concatenate(([0], np.cumsum(missing)))
    complete = gaps[samples:] == gaps[:-samples]
    flows = ((sums[samples:] - sums[:-samples]) * 60.0 / window)[complete]
    if not len(flows):
        return TrumpetPoint(window, None, None, 0, positions)
    errors = 100.0 * (flows - rate) / rate
    return TrumpetPoint(window, float(errors.max()), float(errors.min()), len(flows), positions - len(flows))
