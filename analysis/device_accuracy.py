"""Accuracy of delivered doses: percent error, shares within bands, dose-size limits, ingestible detection.

Amounts are in any one unit (the error of a dose is relative, that of a limit absolute). A dose is one
attempt: a bolus, an injection, one hour of basal delivery, a release. Which doses enter is the caller's
decision.

The names follow the comparison made: delivered against programmed is the accuracy of delivery, programmed or
delivered against planned are conformities; the arithmetic is the same.

References: Freckmann et al., J Diabetes Sci Technol 2019;13:79-86; Krzywon et al. (pen limits); Profit et
al., J Clin Psychiatry 2016 (ingestible detection).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.clustered import Label, cluster_means, mean_interval, two_stage_mean
from analysis.interval import Interval, check_level
from analysis.proportions import proportion_interval
from analysis.rates import rate_interval

BANDS = (5.0, 10.0, 15.0, 20.0, 30.0)

# 5.000 % stored in binary must count as inside ±5 %.
GUARD = 1e-9


def percent_error(delivered: float | None, reference: float | None) -> float | None:
    """100 (delivered - reference) / reference; `None` where either is missing or the reference is 0.

    A delivery without a reference amount is an unrequested delivery, a reference without a delivered amount
    an unknown one: neither is an error of any size. Raises ValueError for a negative amount.

    >>> percent_error(9.5, 10.0)
    -5.0
    >>> percent_error(0.2, 0.0) is None
    True
    """
    if delivered is None or reference is None:
        return None
    if delivered < 0.0 or reference < 0.0:
        raise ValueError(f"amounts must not be negative, got {delivered!r} and {reference!r}")
    return None if reference == 0.0 else 100.0 * (delivered - reference) / reference


def percent_error_column(delivered: pl.Expr, reference: pl.Expr) -> pl.Expr:
    """`percent_error` as a polars expression over two amount columns; null where it is not defined.

    >>> frame = pl.DataFrame({"delivered": [9.5, 1.0, None], "programmed": [10.0, 0.0, 2.0]})
    >>> frame.select(e=percent_error_column(pl.col("delivered"), pl.col("programmed")))["e"].to_list()
    [-5.0, None, None]
    """
    amount, target = delivered.cast(pl.Float64), reference.cast(pl.Float64)
    return pl.when(target > 0.0).then(100.0 * (amount - target) / target)


def within_band(error: float, band: float) -> bool:
    """Whether a percent error lies within ± `band`, the ends included.

    >>> within_band(-5.0, 5.0), within_band(5.001, 5.0)
    (True, False)
    """
    return abs(error) <= band + GUARD


def share_within(errors: Sequence[float], band: float, level: float = 0.95, method: str = "wilson") -> Interval:
    """Share (0-1) of percent errors within ± `band`, with an interval for independent doses.

    For doses clustered in subjects use `share_within_two_stage` or `clustered.cluster_bootstrap`.

    >>> share_within([1.0, -4.0, 5.0, 12.0], 5.0).estimate
    0.75
    """
    return proportion_interval(sum(within_band(e, band) for e in errors), len(errors), level, method)


def share_within_two_stage(
    errors: Sequence[float], clusters: Sequence[Label], band: float, level: float = 0.95
) -> Interval:
    """Mean of the clusters' shares within ± `band`, with their t interval cut to [0, 1].

    >>> share_within_two_stage([1.0, 9.0, 2.0, 3.0], ["a", "a", "b", "b"], 5.0).estimate
    0.75
    """
    result = two_stage_mean([float(within_band(e, band)) for e in errors], clusters, level)
    if result.lower is None or result.upper is None:
        return result
    return Interval(result.estimate, max(0.0, result.lower), min(1.0, result.upper), level, result.method)


@dataclass(frozen=True, slots=True)
class DoseLimit:
    """Limits around a set dose: ± `absolute` or ± `relative` x dose, whichever is wider.

    Pens with increment DR: absolute = DR, relative = 0.05, so the relative limit rules from DR / 0.05
    upward. Nothing is built in: limits are the device's, from its protocol.
    """

    absolute: float
    relative: float

    def __post_init__(self) -> None:
        if self.absolute < 0.0 or self.relative < 0.0:
            raise ValueError("limits must not be negative")

    def half_width(self, dose: float) -> float:
        """Largest permitted deviation, in the unit of the dose.

        >>> DoseLimit(absolute=0.05, relative=0.05).half_width(0.2)
        0.05
        """
        return max(self.absolute, self.relative * dose)

    def limits(self, dose: float) -> tuple[float, float]:
        """Permitted range of a set dose; not below 0.

        >>> DoseLimit(absolute=1.0, relative=0.05).limits(30.0)
        (28.5, 31.5)
        >>> DoseLimit(absolute=1.0, relative=0.05).limits(1.0)
        (0.0, 2.0)
        """
        half_width = self.half_width(dose)
        return max(0.0, dose - half_width), dose + half_width

    def percent(self, dose: float) -> float | None:
        """Half-width in percent of the dose; `None` for a dose of 0.

        >>> DoseLimit(absolute=0.05, relative=0.05).percent(0.1)
        50.0
        """
        return None if dose == 0.0 else 100.0 * self.half_width(dose) / dose

    def holds(self, delivered: float, dose: float) -> bool:
        """Whether a delivered amount is within the limits of the set dose, the ends included.

        >>> DoseLimit(absolute=1.0, relative=0.05).holds(28.5, 30.0)
        True
        """
        return abs(delivered - dose) <= self.half_width(dose) + GUARD

    def holds_column(self, delivered: pl.Expr, dose: pl.Expr) -> pl.Expr:
        """`holds` as a polars expression; null where either amount is missing."""
        amount, target = delivered.cast(pl.Float64), dose.cast(pl.Float64)
        half_width = pl.max_horizontal(pl.lit(self.absolute), target * self.relative)
        return (amount - target).abs() <= half_width + GUARD


@dataclass(frozen=True, slots=True)
class AccuracySummary:
    """Percent errors of a set of doses; every figure `None` without doses.

    `bias` is the two-stage mean over subjects (with its t interval), `pooled` the mean over doses; `mape`
    and `median_ape` are the mean and median absolute percent error; `share_within` maps each band to a
    share (0-1).
    """

    doses: int
    subjects: int
    bias: Interval
    pooled: Interval
    sd: float | None
    median: float | None
    minimum: float | None
    maximum: float | None
    mape: float | None
    median_ape: float | None
    share_within: dict[float, float | None]


def accuracy_summary(
    errors: Sequence[float],
    subjects: Sequence[Label],
    bands: Sequence[float] = BANDS,
    level: float = 0.95,
) -> AccuracySummary:
    """Summary of percent errors with one subject label per dose.

    >>> result = accuracy_summary([-2.0, 4.0, 6.0, 0.0], ["a", "a", "b", "b"])
    >>> result.bias.estimate, result.mape, result.share_within[5.0]
    (2.0, 3.0, 0.75)
    """
    check_level(level)
    values = np.asarray(errors, dtype=np.float64)
    bias, pooled = two_stage_mean(errors, subjects, level), mean_interval(errors, level)
    count = len(cluster_means(errors, subjects))
    if not len(values):
        nothing: dict[float, float | None] = dict.fromkeys(bands)
        return AccuracySummary(0, 0, bias, pooled, None, None, None, None, None, None, nothing)
    absolute = np.abs(values)
    return AccuracySummary(
        doses=len(values),
        subjects=count,
        bias=bias,
        pooled=pooled,
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        median=float(np.median(values)),
        minimum=float(values.min()),
        maximum=float(values.max()),
        mape=math.fsum(absolute) / len(values),
        median_ape=float(np.median(absolute)),
        share_within={band: float((absolute <= band + GUARD).mean()) for band in bands},
    )


@dataclass(frozen=True, slots=True)
class DoseSizeRow:
    """Delivered amounts of one set dose: the row of a labelling table."""

    dose: float
    n: int
    mean: float
    minimum: float
    maximum: float


def summarise_by_dose(delivered: Sequence[float], doses: Sequence[float]) -> list[DoseSizeRow]:
    """Count, mean, minimum and maximum of the delivered amounts for each set dose, smallest dose first.

    >>> summarise_by_dose([4.9, 5.1, 1.0], [5.0, 5.0, 1.0])[1]
    DoseSizeRow(dose=5.0, n=2, mean=5.0, minimum=4.9, maximum=5.1)
    """
    if len(delivered) != len(doses):
        raise ValueError(f"{len(delivered)} delivered amounts but {len(doses)} set doses")
    groups: dict[float, list[float]] = {}
    for amount, dose in zip(delivered, doses, strict=True):
        groups.setdefault(float(dose), []).append(float(amount))
    return [
        DoseSizeRow(dose, len(group), math.fsum(group) / len(group), min(group), max(group))
        for dose, group in sorted(groups.items())
    ]


@dataclass(frozen=True, slots=True)
class DetectionAccuracy:
    """Ingestible sensor: share of witnessed ingestions detected, false detections per sensor-day, latency."""

    sensitivity: Interval
    false_per_sensor_day: Interval
    median_latency: float | None


def detection_accuracy(
    detected: int,
    witnessed: int,
    false_detections: int = 0,
    sensor_days: float = 0.0,
    latencies: Sequence[float] = (),
    level: float = 0.95,
) -> DetectionAccuracy:
    """Sensitivity = detected / directly observed ingestions (Wilson interval), with false detections per
    sensor-day.

    Only witnessed ingestions count: an ingestion nobody saw has no truth to compare with. Nothing witnessed
    gives `None`s. `latencies` are seconds from ingestion to detection.

    >>> result = detection_accuracy(28, 29, 1, 58.0, [60.0, 90.0])
    >>> round(result.sensitivity.estimate, 3), round(result.false_per_sensor_day.estimate, 4)
    (0.966, 0.0172)
    >>> result.median_latency
    75.0
    """
    return DetectionAccuracy(
        proportion_interval(detected, witnessed, level, "wilson"),
        rate_interval(false_detections, sensor_days, level),
        float(np.median(np.asarray(latencies, dtype=np.float64))) if latencies else None,
    )


def corrected_for_sensitivity(detected_share: float, sensitivity: float | None) -> float | None:
    """Share of doses probably taken: detected share / sensitivity, at most 1; `None` without a sensitivity.

    >>> round(corrected_for_sensitivity(0.9, 0.966), 4)
    0.9317
    """
    if sensitivity is None or sensitivity == 0.0:
        return None
    return min(1.0, detected_share / sensitivity)
