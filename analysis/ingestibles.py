"""Ingestible sensors: detection of witnessed ingestions, and detections of what was planned while a receiver was worn.

Not detected is not missed. Reference: Profit et al., J Clin Psychiatry 2016 (detection accuracy).
"""

from __future__ import annotations

import math

import polars as pl

from analysis.class_rows import (
    ClassRows,
    Measure,
    counted,
    hours_of,
    hours_within,
    merged_intervals,
    valued,
    without_series,
)
from analysis.device_accuracy import corrected_for_sensitivity


def measure_ingestible(rows: ClassRows) -> list[Measure]:
    """Sensitivity, latency, false detections per day of receiver wear; detected / planned, also corrected for the
    sensitivity."""
    seen = rows.doses(["native_key"], ["ingestion"]).with_columns(sensor=_sensor())
    found = rows.doses(["native_key"], ["detection"]).with_columns(sensor=_sensor())
    both = seen.join(
        found.select("subject_id", "sensor", detected_at="start_local"), on=["subject_id", "sensor"], how="left"
    )
    sensitivity = counted(both, pl.col("detected_at").is_not_null())
    latency = (pl.col("detected_at") - pl.col("start_local")).dt.total_seconds()
    worn = merged_intervals(
        rows.table("wear_interval", ["start_local", "end_local"])
        .select("subject_id", start="start_local", end="end_local")
        .drop_nulls()
    )
    days = hours_of(worn).select("subject_id", days=pl.col("hours") / 24)
    plans = rows.table("planned_dose_recorded", ["plan_seq", "planned_at", "drug", "channel"]).rename(
        {"plan_seq": "sensor"}
    )
    covered = plans.join(worn, on="subject_id").filter(
        (pl.col("planned_at") >= pl.col("start")) & (pl.col("planned_at") < pl.col("end"))
    )
    detected = covered.join(
        found.select("subject_id", "sensor", detected_at="start_local"), on=["subject_id", "sensor"], how="left"
    )
    hit = counted(detected, pl.col("detected_at").is_not_null())
    no_wear = "not assessable: the receiver was not worn, or nobody says when; not detected is not missed"
    return [
        Measure(
            "accuracy", "detection_sensitivity", "share", sensitivity, "detected / witnessed ingestions",
            missing="not assessable: no ingestion was witnessed",
        ),
        Measure(
            "accuracy", "detection_latency_s", "values", valued(both, latency),
            "detection minus witnessed ingestion", "s", "not assessable: no witnessed ingestion was detected",
        ),
        _false_detections(found, seen, plans, days),
        Measure(
            "compliance", "detected_planned", "share", hit,
            "detections / ingestions planned while the receiver was worn; not detected is not missed", missing=no_wear,
        ),
        _corrected(hit, sensitivity, no_wear),
        _receiver(rows, worn),
    ]  # fmt: skip


def _sensor() -> pl.Expr:
    return pl.col("native_key").str.replace("/(ingestion|detection)$", "")


def _false_detections(found: pl.DataFrame, seen: pl.DataFrame, plans: pl.DataFrame, days: pl.DataFrame) -> Measure:
    """Detections of a sensor nobody planned or saw swallowed, per day of receiver wear."""
    known = pl.concat([seen.select("subject_id", "sensor"), plans.select("subject_id", "sensor")]).unique()
    false = found.join(known, on=["subject_id", "sensor"], how="anti").group_by("subject_id").len()
    table = without_series(days.join(false, on="subject_id", how="left"), pl.col("len").fill_null(0), pl.col("days"))
    return Measure(
        "accuracy", "false_detections_per_day", "ratio", table,
        "detections of sensors neither planned nor seen swallowed / days of receiver wear", "/d",
        "not assessable: no receiver wear was received",
    )  # fmt: skip


def _corrected(hit: pl.DataFrame, sensitivity: pl.DataFrame, no_wear: str) -> Measure:
    """Detected share divided by the pooled sensitivity, subject by subject and never above 1."""
    witnessed = math.fsum(sensitivity["denominator"])
    pooled = math.fsum(sensitivity["numerator"]) / witnessed if witnessed else None
    if pooled is None or not hit.height:
        missing = no_wear if not hit.height else "not assessable: no witnessed ingestion gives a sensitivity"
        return Measure("compliance", "detected_planned_corrected", "share", hit.clear(), "", missing=missing)
    shares = [
        (corrected_for_sensitivity(x / n, pooled) or 0.0) * n
        for x, n in hit.select("numerator", "denominator").iter_rows()
    ]
    return Measure(
        "compliance", "detected_planned_corrected", "share", hit.with_columns(numerator=pl.Series(shares)),
        f"detected / planned, divided by the pooled sensitivity {pooled:.4g}, at most 1",
    )  # fmt: skip


def _receiver(rows: ClassRows, worn: pl.DataFrame) -> Measure:
    return Measure(
        "compliance", "receiver_worn", "share", hours_within(worn, rows.monitored()),
        "hours the receiver was worn / monitored hours",
        missing="not assessable: no receiver wear was received",
    )  # fmt: skip
