"""Patches: sessions of injectors, hours a transdermal patch was on, and replacements in their interval."""

from __future__ import annotations

import polars as pl

from analysis.class_rows import ClassRows, Measure, clipped, counted, hours_of, merged_intervals, valued
from analysis.device_accuracy import GUARD

DEFAULT_WINDOW_H = 2.0
"""Hours around the planned removal within which a replacement counts as in window, where [[dosing]] states none."""


def measure_patch_injector(rows: ClassRows) -> list[Measure]:
    """Sessions complete, of those that have an end; a partial session was taken and is incomplete."""
    least = rows.view.protocol.compliance.session_complete_pct
    sessions = rows.doses(["end_local", "programmed_amount", "delivered_amount", "stop_reason"], ["session"])
    ended = sessions.filter(
        pl.col("end_local").is_not_null()
        & pl.col("delivered_amount").is_not_null()
        & (pl.col("programmed_amount") > 0).fill_null(False)
    )
    complete = pl.col("delivered_amount") >= least / 100 * pl.col("programmed_amount") - GUARD
    missing = "not assessable: no session has an end record with its volumes"
    error = 100 * (pl.col("delivered_amount") - pl.col("programmed_amount")) / pl.col("programmed_amount")
    return [
        Measure(
            "compliance", "sessions_complete", "share", counted(ended, complete),
            f"sessions with at least {least:g} % of the filled volume delivered / sessions with an end record",
            missing=missing,
        ),
        Measure(
            "compliance", "sessions_with_end_record", "share", counted(sessions, pl.col("end_local").is_not_null()),
            "sessions with an end record / sessions", missing="not assessable: no sessions were received",
        ),
        Measure(
            "accuracy", "session_volume_error_pct", "values", valued(ended, error),
            "delivered against filled or programmed volume, by session", "%", missing,
        ),
    ]  # fmt: skip


def measure_transdermal_patch(rows: ClassRows) -> list[Measure]:
    """Hours covered / expected (overlap once), replacements in window, and what a residual assay says was released."""
    worn = rows.table("wear_interval", ["start_local", "end_local", "planned_end_local"]).sort(
        "subject_id", "start_local"
    )
    on = worn.select("subject_id", start="start_local", end="end_local").drop_nulls()
    limits = rows.monitored().join(
        worn.group_by("subject_id").agg(first=pl.col("start_local").min()), on="subject_id"
    ).select("subject_id", "end", start=pl.max_horizontal("start", "first"))  # fmt: skip
    hours = hours_of(limits).join(
        hours_of(merged_intervals(clipped(merged_intervals(on), limits))), on="subject_id", how="left", suffix="_on"
    )
    share = hours.select(
        "subject_id", pl.lit(None, pl.String).alias("drug"), pl.lit(None, pl.String).alias("channel"),
        numerator=pl.col("hours_on").fill_null(0.0), denominator="hours",
    )  # fmt: skip
    stated = [rule.window_after_min for rule in rows.view.protocol.dosing if rule.window_after_min is not None]
    window = max(stated) / 60 if stated else DEFAULT_WINDOW_H
    replaced = worn.with_columns(due=pl.col("planned_end_local").shift().over("subject_id")).drop_nulls("due")
    off_by = (pl.col("start_local") - pl.col("due")).dt.total_seconds() / 3600
    no_times = "not assessable: on and off times are missing; wear intervals are needed"
    assayed = rows.doses(["delivered_amount", "delivered_basis"], ["application"]).filter(
        pl.col("delivered_basis") == "measured"
    )
    return [
        Measure(
            "compliance", "wear_hours", "share", share if on.height else share.clear(),
            "hours with a patch on (overlap once; a patch without its off time is not counted) / hours from the first "
            "application to the end of monitoring", missing=no_times,
        ),
        Measure(
            "compliance", "replaced_in_window", "share", counted(replaced, off_by.abs() <= window),
            f"patches put on within {window:g} h of the planned removal of the one before / replacements",
            missing="not assessable: no planned removal times were received",
        ),
        Measure(
            "accuracy", "released_amount_by_assay", "values", valued(assayed, pl.col("delivered_amount")),
            "loaded minus residual amount by assay of used patches; a wear log holds no amount", "{amount}",
            "not assessable: a wear log holds no amount; only a residual assay could tell",
        ),
    ]  # fmt: skip
