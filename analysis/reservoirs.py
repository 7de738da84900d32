"""What is known of a reservoir or a depot only from one filling to the next: refills, insertions, coverage."""

from __future__ import annotations

import polars as pl

from analysis.class_rows import ClassRows, Measure, clipped, counted, hours_of, merged_intervals, valued

DEFAULT_WINDOW_D = 7.0
"""Days around the nominal end within which a re-administration counts as in window, where [[dosing]] states none."""


def measure_reservoir(rows: ClassRows) -> list[Measure]:
    """(fill - measured residual) / logged volume by interval between refills, and refills before the reservoir is low.

    An interval across a change of concentration has no single volume to compare and is left out, counted.
    """
    own = ["subject_id", "device_id", "channel"]
    fills = rows.table(
        "reservoir_fill",
        ["channel", "drug", "filled_at", "filled_volume", "residual_volume", "logged_volume", "concentration",
         "low_reservoir_at"],
    ).sort(*own, "filled_at", nulls_last=True)  # fmt: skip
    before = fills.with_columns(
        previous=pl.col("filled_volume").shift().over(own),
        previous_concentration=pl.col("concentration").shift().over(own),
        low=pl.col("low_reservoir_at").shift().over(own),
        is_refill=pl.col("filled_at").cum_count().over(own) > 1,
    ).filter("is_refill")
    same = pl.col("concentration").eq_missing(pl.col("previous_concentration"))
    intervals = before.with_columns(
        assessable=same
        & pl.all_horizontal(pl.col("previous", "residual_volume", "logged_volume").is_not_null())
        & (pl.col("logged_volume") > 0).fill_null(False)
    )
    known = intervals.filter("assessable")
    used = pl.col("previous") - pl.col("residual_volume")
    missing = (
        "not assessable: residual volume, fill or logged volume missing, or the concentration changed between refills"
        if before.height
        else "not assessable: fewer than two fills of a reservoir were received"
    )
    return [
        Measure(
            "accuracy", "reservoir_ratio", "values", valued(known, used / pl.col("logged_volume")),
            "(volume filled - residual volume measured at the next refill) / volume logged between; n = intervals",
            "1", missing,
        ),
        Measure(
            "accuracy", "reservoir_intervals_assessable", "share", counted(intervals, pl.col("assessable")),
            "intervals with fill, residual and logged volume at one concentration / intervals between refills",
            missing="not assessable: fewer than two fills of a reservoir were received",
        ),
        Measure(
            "compliance", "refills_in_time", "share",
            counted(before.drop_nulls("low"), pl.col("filled_at") <= pl.col("low")),
            "refills up to the low-reservoir date of the fill before / refills with such a date",
            missing="not assessable: no low-reservoir date stands beside a refill",
        ),
    ]  # fmt: skip


def measure_depot(rows: ClassRows) -> list[Measure]:
    """Administered against planned amount, re-administration in window, and nominal coverage.

    Coverage is that of the nominal release, a model; nothing here says what was released.
    """
    given = rows.doses(["planned_amount", "delivered_amount"], ["insertion"])
    stated = given.filter((pl.col("planned_amount") > 0) & pl.col("delivered_amount").is_not_null())
    error = 100 * (pl.col("delivered_amount") - pl.col("planned_amount")) / pl.col("planned_amount")
    worn = rows.table("wear_interval", ["start_local", "end_local", "planned_end_local"]).sort(
        "subject_id", "start_local"
    )
    window = _window_days(rows)
    again = worn.with_columns(
        due=pl.col("planned_end_local").shift().over("subject_id"),
    ).drop_nulls("due")
    late = (pl.col("start_local") - pl.col("due")).dt.total_seconds() / 86_400
    nominal = worn.select(
        "subject_id", start="start_local", end=pl.min_horizontal("planned_end_local", "end_local")
    ).drop_nulls()
    limits = rows.monitored()
    covered = hours_of(limits).join(
        hours_of(clipped(merged_intervals(nominal), limits)), on="subject_id", how="left", suffix="_covered"
    )
    coverage = covered.filter(pl.col("subject_id").is_in(nominal["subject_id"].unique().to_list())).select(
        "subject_id", pl.lit(None, pl.String).alias("drug"), pl.lit(None, pl.String).alias("channel"),
        numerator=pl.col("hours_covered").fill_null(0.0) / 24, denominator=pl.col("hours") / 24,
    )  # fmt: skip
    return [
        Measure(
            "accuracy", "administered_error_pct", "values", valued(stated, error),
            "amount administered against planned, by insertion; release afterwards is a model and never delivered",
            "%", "not assessable: no insertion has a planned and an administered amount",
        ),
        Measure(
            "compliance", "readministered_in_window", "share", counted(again, late.abs() <= window),
            f"re-administrations within {window:g} days of the nominal end of the depot before / re-administrations",
            missing="not assessable: no depot follows one with a nominal end",
        ),
        Measure(
            "compliance", "nominal_coverage", "share", coverage,
            "days within the nominal release of a depot (a model) / monitored days",
            missing="not assessable: no depot states the end of its nominal release",
        ),
    ]  # fmt: skip


def _window_days(rows: ClassRows) -> float:
    stated = [rule.window_after_min for rule in rows.view.protocol.dosing if rule.window_after_min is not None]
    return max(stated) / 1440 if stated else DEFAULT_WINDOW_D
