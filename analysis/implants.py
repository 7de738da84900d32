"""Implants: programmed releases done, intervals between them, both channels together, recommendations and bounds."""

from __future__ import annotations

import polars as pl

from analysis.class_rows import ClassRows, Measure, counted, valued
from analysis.device_accuracy import GUARD

NO_PLAN = "not assessable: no programmed releases were received"


def measure_programmable_implant(rows: ClassRows) -> list[Measure]:
    """Releases done / programmed of those telemetry tells of, telemetry itself, and the error of the intervals."""
    plans = _plans(rows)
    told = plans.filter(pl.col("told"))
    pairs = _release_pairs(rows, plans)
    gap = ["subject_id", "device_id", "drug", "channel"]
    spans = pairs.sort(*gap, "planned_at", nulls_last=True).with_columns(
        wanted=_hours(pl.col("planned_at").diff().over(gap)), found=_hours(pl.col("start_local").diff().over(gap))
    )
    error = pl.col("found") - pl.col("wanted")
    return [
        Measure(
            "compliance", "releases_done", "share", counted(told, pl.col("occurred").fill_null(False)),
            "releases done / programmed, of those telemetry tells of", missing=NO_PLAN,
        ),
        Measure(
            "compliance", "releases_with_telemetry", "share", counted(plans, pl.col("told")),
            "programmed releases telemetry tells of / all of them; the others are unmonitored, not missed",
            missing=NO_PLAN,
        ),
        Measure(
            "accuracy", "release_interval_error_h", "values", valued(spans.drop_nulls("wanted"), error),
            "interval between releases minus programmed interval", "h",
            "not assessable: fewer than two releases follow each other",
        ),
        Measure(
            "accuracy", "release_interval_error_pct", "values",
            valued(spans.filter(pl.col("wanted") > 0), 100 * error / pl.col("wanted")),
            "interval between releases against programmed interval", "%",
            "not assessable: fewer than two releases follow each other",
        ),
    ]  # fmt: skip


def measure_dual_implant(rows: ClassRows) -> list[Measure]:
    """Per channel what a programmable implant has; and how often both channels were given, and conformed, together."""
    plans = _plans(rows)
    limit = rows.view.protocol.accuracy.conformity_pct
    pairs = _release_pairs(rows, plans, how="left")
    wanted = pl.col("planned_amount")
    conforming = (pl.col("delivered_amount") - wanted).abs() <= limit / 100 * wanted + GUARD
    together = (
        pairs.with_columns(
            done=pl.col("occurred").fill_null(False), conforming=conforming.fill_null(False), told=pl.col("told")
        )
        .group_by("subject_id", "device_id", "planned_at", maintain_order=True)
        .agg(
            channels=pl.col("channel").n_unique(),
            done=pl.col("done").all(),
            conforming=pl.col("conforming").all(),
            told=pl.col("told").all(),
        )
        .filter((pl.col("channels") >= 2) & pl.col("told"))
        .with_columns(drug=pl.lit(None, pl.String), channel=pl.lit(None, pl.String))
    )
    missing = "not assessable: no planned time has both channels and telemetry of both"
    single = [measure for measure in measure_programmable_implant(rows) if measure.family == "compliance"]
    return [
        *single,
        Measure(
            "compliance", "both_channels_done", "share", counted(together, pl.col("done")),
            "planned times at which every channel released / planned times with both channels", missing=missing,
        ),
        Measure(
            "accuracy", "both_channels_conforming", "share", counted(together, pl.col("conforming")),
            f"planned times at which every channel was within {limit:g} % of planned", missing=missing,
        ),
    ]  # fmt: skip


def measure_ai_implant(rows: ClassRows) -> list[Measure]:
    """Recommendations within the bounds in force, decisions on them, decisions in time."""
    told = rows.table(
        "recommendation",
        ["recommended_at", "recommended_amount", "bound_min", "bound_max", "decision", "decision_at",
         "algorithm_version", "accepted_amount"],
    )  # fmt: skip
    bounded = told.filter(
        pl.col("recommended_amount").is_not_null() & pl.any_horizontal(pl.col("bound_min", "bound_max").is_not_null())
    )
    inside = (pl.col("recommended_amount") >= pl.col("bound_min").fill_null(0) - GUARD) & (
        pl.col("recommended_amount") <= pl.col("bound_max").fill_null(float("inf")) + GUARD
    )
    decided = told.filter(pl.col("decision").is_not_null())
    none = "not assessable: no recommendations were received"
    window = min(
        (rule.window_after_min for rule in rows.view.protocol.dosing if rule.window_after_min is not None), default=None
    )
    shares = [
        Measure(
            "accuracy", "recommendations_within_bounds", "share", counted(bounded, inside),
            "recommendations within the bounds in force / recommendations with bounds",
            missing="not assessable: no recommendation states its bounds" if told.height else none,
        ),
        Measure(
            "compliance", "decisions_recorded", "share", counted(told, pl.col("decision").is_not_null()),
            "recommendations with a decision record / all of them", missing=none,
        ),
        *(
            Measure(
                "compliance", f"recommendations_{decision}", "share", counted(decided, pl.col("decision") == decision),
                f"recommendations {decision} / recommendations with a decision record",
                missing="not assessable: decision record missing" if told.height else none,
            )
            for decision in ("accepted", "overridden", "expired")
        ),
    ]  # fmt: skip
    if window is not None:
        taken = decided.filter(pl.col("decision_at").is_not_null())
        late = (pl.col("decision_at") - pl.col("recommended_at")).dt.total_seconds() / 60
        shares.append(
            Measure(
                "compliance",
                "accepted_in_time",
                "share",
                counted(taken, (pl.col("decision") == "accepted") & (late <= window)),
                f"accepted within {window:g} min / recommendations with a dated decision",
                missing="not assessable: no decision has a time",
            )  # fmt: skip
        )
    return shares


def _plans(rows: ClassRows) -> pl.DataFrame:
    plans = rows.table(
        "planned_dose_recorded",
        ["plan_seq", "drug", "channel", "planned_at", "planned_amount", "occurred", "monitored"],
    )
    return plans.with_columns(told=pl.col("monitored").fill_null(True)).sort(
        "subject_id", "drug", "channel", "planned_at", nulls_last=True
    )


def _release_pairs(rows: ClassRows, plans: pl.DataFrame, how: str = "inner") -> pl.DataFrame:
    """Programmed releases with the release of the same number of the same device."""
    done = rows.doses(["native_key", "delivered_amount", "programmed_amount"], ["release"]).select(
        "subject_id", "device_id", "start_local", "delivered_amount", plan_seq="native_key"
    )
    return plans.join(done, on=["subject_id", "device_id", "plan_seq"], how=how)  # type: ignore[arg-type]


def _hours(span: pl.Expr) -> pl.Expr:
    return span.dt.total_seconds() / 3600
