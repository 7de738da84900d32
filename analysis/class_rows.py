"""What the measures of a device class are made of: its rows of each table, and how a measure becomes result rows.

A measure is counted per subject, drug and channel; how it is pooled, averaged over subjects and compared between arms
is the same for every class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from analysis.arms import StudyView
from analysis.clustered import mean_interval, two_stage_mean, welch_difference
from analysis.dose_log import canonical_drug
from analysis.result_rows import ALL_ARMS, ResultRows

SERIES = ("subject_id", "drug", "channel")

COUNTED = {
    "subject_id": pl.String(),
    "drug": pl.String(),
    "channel": pl.String(),
    "numerator": pl.Float64(),
    "denominator": pl.Float64(),
}
VALUED = {"subject_id": pl.String(), "drug": pl.String(), "channel": pl.String(), "value": pl.Float64()}


@dataclass(frozen=True)
class Measure:
    """One parameter of a device class.

    ``rows`` of a ``share`` (counted things out of all of them, 0 to 1) or ``ratio`` (an amount over another): one row
    a subject and series with numerator and denominator (``COUNTED``). Of ``values``: one row a value (``VALUED``).
    ``missing``: the sentence where there is nothing to count.
    """

    family: Literal["accuracy", "compliance"]
    parameter: str
    kind: Literal["share", "ratio", "values"]
    rows: pl.DataFrame
    method: str
    unit: str = "1"
    missing: str = ""


class ClassRows:
    """Rows of the devices of one class, and of subjects without a device on the row who have no other class."""

    def __init__(self, view: StudyView, device_class: str) -> None:
        self.view = view
        self.device_class = device_class
        devices = view.frames("device", ["device_id", "device_class", "device_type", "model"])
        self.devices = devices.filter(pl.col("device_class").cast(pl.String) == device_class)
        self._own = self.devices["device_id"].to_list()
        self._people = [name for name, person in view.people.items() if person["device_class"] == device_class]

    @property
    def is_present(self) -> bool:
        return bool(self._own or self._people)

    def table(self, name: str, columns: Sequence[str]) -> pl.DataFrame:
        """Rows of the class with text columns as text, amounts as Float64 and drugs by the protocol's name."""
        wanted = list(dict.fromkeys(["subject_id", "device_id", *columns]))
        frame = self.view.frames(name, wanted)
        of_class = pl.col("device_id").cast(pl.String).is_in(self._own) | (
            pl.col("device_id").is_null() & pl.col("subject_id").cast(pl.String).is_in(self._people)
        )
        frame = frame.filter(of_class & pl.col("subject_id").is_not_null())
        frame = frame.with_columns(
            [pl.col(column).cast(pl.String) for column, kind in frame.schema.items() if isinstance(kind, pl.Enum)]
            + [pl.col(column).cast(pl.Float64) for column, kind in frame.schema.items() if kind.is_decimal()]
        )
        if "drug" in frame.columns:
            names = {
                drug: canonical_drug(drug, self.view.protocol) for drug in frame["drug"].unique() if drug is not None
            }
            frame = frame.with_columns(pl.col("drug").replace(names))
        return frame.with_columns(
            pl.lit(None, pl.String).alias(column) for column in ("drug", "channel") if column not in frame.columns
        )

    def doses(self, columns: Sequence[str], kinds: Sequence[str]) -> pl.DataFrame:
        """Therapeutic dose events of the class: what ``exclude_reason`` or a voided status takes out is not there."""
        needed = ["kind", "status", "exclude_reason", "drug", "channel", "start_local"]
        frame = self.table("dose_event", [*needed, *columns])
        return frame.filter(
            pl.col("kind").is_in(list(kinds))
            & pl.col("exclude_reason").is_null()
            & (pl.col("status").is_null() | (pl.col("status") != "voided"))
        ).sort("subject_id", "drug", "channel", "start_local", nulls_last=True)

    def monitored(self) -> pl.DataFrame:
        """Monitored time of every subject: subject_id, start, end (midnight after the last day)."""
        frame = self.view.frames("monitoring_interval", ["subject_id", "start_date", "end_date", "state"])
        return frame.filter(pl.col("state").cast(pl.String) == "monitored").select(
            pl.col("subject_id").cast(pl.String),
            start=pl.col("start_date").cast(pl.Datetime("us")),
            end=(pl.col("end_date") + pl.duration(days=1)).cast(pl.Datetime("us")),
        )


def counted(frame: pl.DataFrame, numerator: pl.Expr, denominator: pl.Expr | None = None) -> pl.DataFrame:
    """Sums per subject and series as ``COUNTED``; without a denominator every row counts one."""
    below = pl.len() if denominator is None else denominator.sum()
    return (
        frame.group_by(SERIES, maintain_order=True)
        .agg(numerator=numerator.sum(), denominator=below)
        .select(pl.col(name).cast(kind) for name, kind in COUNTED.items())
        .sort(SERIES, nulls_last=True)
    )


def valued(frame: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    """One value a row as ``VALUED``, without rows that have none."""
    return (
        frame.select(*SERIES, value=value)
        .select(pl.col(name).cast(kind) for name, kind in VALUED.items())
        .drop_nulls("value")
    )


def merged_intervals(frame: pl.DataFrame) -> pl.DataFrame:
    """Intervals (subject_id, start, end) with overlapping ones of a subject joined, so that no hour counts twice."""
    ordered = frame.filter(pl.col("end") > pl.col("start")).sort("subject_id", "start", "end")
    reached = pl.col("end").cum_max().shift().over("subject_id")
    begins = reached.is_null() | (pl.col("start") > reached)
    return (
        ordered.with_columns(run=begins.cum_sum())
        .group_by("subject_id", "run", maintain_order=True)
        .agg(start=pl.col("start").min(), end=pl.col("end").max())
        .drop("run")
    )


def clipped(frame: pl.DataFrame, limits: pl.DataFrame) -> pl.DataFrame:
    """Parts of intervals that lie within the limits (both subject_id, start, end) of the same subject."""
    both = frame.join(limits, on="subject_id", suffix="_limit")
    return both.select(
        "subject_id",
        start=pl.max_horizontal("start", "start_limit"),
        end=pl.min_horizontal("end", "end_limit"),
    ).filter(pl.col("end") > pl.col("start"))


def hours_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Hours of the intervals of each subject: subject_id, hours."""
    length = (pl.col("end") - pl.col("start")).dt.total_seconds() / 3600
    return frame.group_by("subject_id", maintain_order=True).agg(hours=length.sum())


def without_series(frame: pl.DataFrame, numerator: pl.Expr, denominator: pl.Expr) -> pl.DataFrame:
    """``COUNTED`` of what belongs to a subject and to no drug; one row a subject."""
    nothing = pl.lit(None, pl.String)
    return frame.select(
        pl.col("subject_id"), drug=nothing, channel=nothing,
        numerator=numerator.cast(pl.Float64), denominator=denominator.cast(pl.Float64),
    ).sort("subject_id")  # fmt: skip


def hours_within(parts: pl.DataFrame, limits: pl.DataFrame) -> pl.DataFrame:
    """Hours of intervals (overlap once) within the limits of each subject who has an interval, out of the hours of
    these limits, as ``COUNTED``."""
    people = parts["subject_id"].unique().to_list()
    own = limits.filter(pl.col("subject_id").is_in(people))
    inside = hours_of(clipped(merged_intervals(parts.drop_nulls()), own)).rename({"hours": "inside"})
    hours = hours_of(own).join(inside, on="subject_id", how="left")
    return without_series(hours, pl.col("inside").fill_null(0.0), pl.col("hours"))


def write_measure(out: ResultRows, view: StudyView, measure: Measure) -> None:
    """Rows of one measure: pooled by arm, mean of the subjects with its t interval, difference of these means to the
    reference arm (Welch)."""
    if not measure.rows.height:
        out.not_assessable(measure.parameter, measure.missing or "not assessable: no data", arm=ALL_ARMS)
        return
    keys = measure.rows.select("drug", "channel").unique().sort("drug", "channel", nulls_last=True)
    for drug, channel in keys.iter_rows():
        own = measure.rows.filter(
            pl.col("drug").eq_missing(pl.lit(drug)) & pl.col("channel").eq_missing(pl.lit(channel))
        )
        _series_rows(out.within(drug=drug, channel=channel), view, measure, own)


def _series_rows(out: ResultRows, view: StudyView, measure: Measure, rows: pl.DataFrame) -> None:
    means: dict[str, list[float]] = {}
    subjects = rows["subject_id"].to_list()
    for arm, people in view.layout.groups(view.members("safety")):
        wanted = set(people)
        own = rows.filter(pl.Series([subject in wanted for subject in subjects], dtype=pl.Boolean))
        if own.height:
            line = out.within(arm=arm)
            means[arm] = _values(line, measure, own) if measure.kind == "values" else _counts(line, measure, own)
    for arm, reference in view.layout.comparators():
        if means.get(arm) and means.get(reference):
            found = welch_difference(means[arm], means[reference])
            out.difference(
                measure.parameter, "mean_difference", found, arm=arm, comparator=reference, unit=measure.unit,
                method="difference of the subject means, Welch t interval",
            )  # fmt: skip


def _counts(out: ResultRows, measure: Measure, rows: pl.DataFrame) -> list[float]:
    upper, lower = math.fsum(rows["numerator"]), math.fsum(rows["denominator"])
    shares = [x / n for x, n in rows.select("numerator", "denominator").iter_rows() if n]
    out.share(
        measure.parameter, upper, lower, statistic=measure.kind, subjects=len(shares),
        method=f"{measure.method}; pooled",
    )  # fmt: skip
    out.interval(
        measure.parameter, "mean_of_subjects", mean_interval(shares), subjects=len(shares), unit=measure.unit,
        numerator=math.fsum(shares), denominator=len(shares), method="mean of the subjects, t interval",
    )  # fmt: skip
    return shares


def _values(out: ResultRows, measure: Measure, rows: pl.DataFrame) -> list[float]:
    values, subjects = rows["value"].to_list(), rows["subject_id"].to_list()
    found = two_stage_mean(values, subjects)
    people = len(set(subjects))
    common: dict[str, Any] = {"subjects": people, "doses": len(values), "unit": measure.unit}
    out.interval(measure.parameter, "mean", found, method=f"{measure.method}; mean of subject means", **common)
    array = np.asarray(values, dtype=np.float64)
    spread = {"median": float(np.median(array)), "min": float(array.min()), "max": float(array.max())}
    if len(values) > 1:
        spread["sd"] = float(array.std(ddof=1))
    for statistic, value in spread.items():
        out.add(measure.parameter, statistic, value, method=f"{measure.method}; over all values", **common)
    by_subject: dict[str, list[float]] = {}
    for subject, value in zip(subjects, values, strict=True):
        by_subject.setdefault(subject, []).append(value)
    return [math.fsum(group) / len(group) for group in by_subject.values()]
