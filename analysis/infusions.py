"""Infusion pumps: volume delivered against programmed, rate programmed against ordered, and the order fulfilled.

Keep-vein-open running is no dose and stays apart. Fulfilment is the ward's, never the patient's behaviour.
"""

from __future__ import annotations

import polars as pl

from analysis.class_rows import ClassRows, Measure, counted, valued
from analysis.device_accuracy import GUARD


def measure_infusion_pump(rows: ClassRows) -> list[Measure]:
    """Measures of class infusion_pump; the order in force is the newest prescription when a segment starts."""
    segments = rows.doses(
        [
            "end_local",
            "programmed_amount",
            "delivered_amount",
            "programmed_rate",
            "rate_unit",
            "amount_unit",
        ],
        ["infusion_segment"],
    )
    both = segments.filter((pl.col("programmed_amount") > 0) & pl.col("delivered_amount").is_not_null())
    error = 100 * (pl.col("delivered_amount") - pl.col("programmed_amount")) / pl.col("programmed_amount")
    ordered = _with_order(rows, segments)
    linked = ordered.filter(pl.col("ordered_rate").is_not_null())
    same_unit = linked.filter(pl.col("rate_unit") == pl.col("ordered_unit")).drop_nulls("programmed_rate")
    limit = rows.view.protocol.accuracy.conformity_pct
    within = (pl.col("programmed_rate") - pl.col("ordered_rate")).abs() <= limit / 100 * pl.col("ordered_rate") + GUARD
    hours = (pl.col("end_local") - pl.col("start_local")).dt.total_seconds() / 3600
    of_amount = pl.col("ordered_unit").str.strip_suffix("/h") == pl.col("amount_unit")
    per_hour = same_unit.filter(pl.col("ordered_unit").str.ends_with("/h") & of_amount).drop_nulls("end_local")
    no_order = "not assessable: no order in force is linked to a segment in the same unit (no weight, no order)"
    return [
        Measure(
            "accuracy", "infused_volume_error_pct", "values", valued(both, error),
            "delivered against programmed amount, by segment from START to STOP without keep-vein-open", "%",
            "not assessable: no segment has a programmed and a delivered amount",
        ),
        Measure(
            "accuracy", "rate_as_ordered", "share", counted(same_unit, within),
            f"segments programmed within {limit:g} % of the ordered rate / segments with an order", missing=no_order,
        ),
        Measure(
            "accuracy", "segments_with_order", "share", counted(ordered, pl.col("ordered_rate").is_not_null()),
            "segments with an order in force / segments", missing="not assessable: no infusion segments were received",
        ),
        Measure(
            "compliance", "order_fulfilment", "ratio",
            counted(per_hour, pl.col("delivered_amount"), pl.col("ordered_rate") * hours),
            "amount delivered / amount ordered over the running time (not patient behaviour)", missing=no_order,
        ),
    ]  # fmt: skip


def _with_order(rows: ClassRows, segments: pl.DataFrame) -> pl.DataFrame:
    """Segments with rate and unit of the order in force when they start."""
    orders = rows.view.frames("prescription", ["subject_id", "drug", "start_at", "end_at", "rate", "rate_unit"])
    orders = orders.select(
        pl.col("subject_id").cast(pl.String), pl.col("drug").cast(pl.String), "start_at", "end_at",
        ordered_rate=pl.col("rate").cast(pl.Float64), ordered_unit=pl.col("rate_unit").cast(pl.String),
    ).drop_nulls(["ordered_rate", "drug"]).sort("start_at")  # fmt: skip
    joined = (
        segments.sort("start_local")
        .join_asof(
            orders,
            left_on="start_local",
            right_on="start_at",
            by=["subject_id", "drug"],
            strategy="backward",
            check_sortedness=False,
        )
        .sort("subject_id", "drug", "channel", "start_local", nulls_last=True)
    )
    over = pl.col("end_at").is_not_null() & (pl.col("start_local") >= pl.col("end_at"))
    return joined.with_columns(
        ordered_rate=pl.when(over).then(None).otherwise(pl.col("ordered_rate")),
    )
