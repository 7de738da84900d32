"""Boluses of a CareLink CSV (600 and 700 series): pairs of programmed and delivered rows, cancel reasons, app
entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.device_log import INSULIN_UNIT
from importers.pump_pairs import PAIR_LIMIT_S, join_reasons, pair_doses, status_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

MICRO = "MICRO_BOLUS|AUTO_BASAL"
DAILY_TOTAL = "CLOSED_LOOP_AUTO_INSULIN"
ALGORITHM = "MICRO_BOLUS|AUTO_BASAL|AUTO_BOLUS|AUTO_CORRECTION|AUTO_INSULIN"
CALCULATOR = "BOLUS_WIZARD|CLOSED_LOOP"

_KEYS = ("number", "selected", "bolus_type", "source")
_READ = (
    "line", "seq", "at", "running", "precision", "time_uncertain", "device_id", "subject_id", "aggregated", "number",
    "bolus_type", "selected", "delivered", "bolus_duration", "cancel_reason", "source", "alarm_text",
)  # fmt: skip
_STAMP = "%Y-%m-%dT%H:%M:%S"


def daily_total_expr() -> pl.Expr:
    """Rows that hold a day's automatic insulin instead of a dose."""
    import polars as pl

    total = pl.col("source").eq(DAILY_TOTAL) & (pl.col("at").dt.time().cast(pl.Int64) == 0)
    return pl.col("aggregated") | total.fill_null(False)


def add_boluses(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Add dose rows of boluses; returns the lines used, those joined into another row included."""
    import polars as pl

    rows = rows.select(_READ)
    if rows.select(daily_total_expr().any()).item():
        rows = rows.filter(~daily_total_expr())
    doses = rows.filter(pl.col("selected").is_not_null() | pl.col("delivered").is_not_null())
    reasons = rows.filter(pl.col("cancel_reason").is_not_null() & pl.col("selected").is_null())
    used = [doses["line"], reasons["line"]]
    if doses.is_empty():
        return used[0]
    # Micro-boluses, 19 of 20 rows, are one row each: nothing to pair.
    alone = pl.col("delivered").is_not_null() & pl.col("source").str.contains(MICRO).fill_null(False)
    micro = doses.filter(alone)
    told, copies, joined = _pair(doses.filter(~alone))
    short = pl.col("selected") != pl.col("delivered")
    explained = join_reasons(
        pl.concat([told, micro.filter(short)], how="diagonal"),
        reasons.select("running", "number", reason="cancel_reason"),
        ("number",),
    )
    merged = pl.concat([explained, micro.filter(~short.fill_null(False))], how="diagonal")
    frame = _dose_rows(_with_blocked_delivery(merged, rows), rows["running"].max())
    again = frame.join(copies, left_on="line", right_on="first")
    log.add("dose_event", frame)
    if again.height:
        log.add("dose_event", again.with_columns(line="copy"))
    _add_reason_events(reasons, log)
    log.count(joined, "say what was programmed and are joined to the row of the same dose that was delivered")
    return pl.concat(used)


def _pair(doses: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Doses with the start of their programmed row; lines that repeat another (first, copy); how many rows were joined.

    Rows written twice become two equal rows of their own lines, so that the second is counted as a duplicate.
    """
    import polars as pl

    doses = doses.with_columns(is_delivered=pl.col("delivered").is_not_null())
    repeated = ["at", "is_delivered", "delivered", "bolus_duration", *_KEYS]
    once = doses.unique(repeated, keep="first", maintain_order=True)
    pairs = pair_doses(once.select("line", "seq", "running", *_KEYS, delivered="is_delivered"), _KEYS)
    starts = once.select(programmed_line="line", start="at", start_running="running", start_duration="bolus_duration")
    told = once.filter(~pl.col("line").is_in(pairs["programmed_line"].implode())).join(
        pairs.join(starts, on="programmed_line"), left_on="line", right_on="delivered_line", how="left"
    )
    copies = (
        doses.select("line", *repeated)
        .join(once.select(*repeated, first="line"), on=repeated, nulls_equal=True)
        .filter(pl.col("line") != pl.col("first"))
        .select("first", copy="line")
    )
    shown = told.height + copies.filter(pl.col("first").is_in(told["line"].implode())).height
    return told, copies, doses.height - shown


def _with_blocked_delivery(doses: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """``blocked``: an alarm of blocked delivery in the same second (no text of these pumps says occlusion)."""
    import polars as pl

    blocked = rows.filter(pl.col("alarm_text").str.contains("(?i)no delivery|occlusion|blocked")).select("at").unique()
    return doses.join(blocked.with_columns(blocked=True), on="at", how="left")


def _dose_rows(doses: pl.DataFrame, last: object) -> pl.DataFrame:
    import polars as pl

    none = pl.lit(None, dtype=pl.Int64)
    took = (pl.col("running") - pl.col("start_running")).dt.total_seconds()
    stamp = pl.col("at").dt.strftime(_STAMP)
    shape = _shape_expr()
    named = pl.when(pl.col("number").is_not_null()).then(pl.format("{}:{}", "number", "shape"))
    unnumbered = pl.format(
        "{}:{}:{}/{}",
        pl.col("source").fill_null("?"),
        "shape",
        pl.col("selected").cast(pl.String).fill_null("?"),
        pl.col("delivered").cast(pl.String).fill_null("?"),
    )
    waiting = pl.col("delivered").is_null()
    in_progress = waiting & ((pl.lit(last) - pl.col("running")).dt.total_seconds() < PAIR_LIMIT_S)
    reason = pl.col("reason").str.to_lowercase()
    return doses.with_columns(shape=shape).with_columns(
        native_key=pl.concat_str(
            pl.when(waiting).then(pl.lit("programmed:")).otherwise(pl.lit("bolus:")),
            named.otherwise(unnumbered),
            pl.lit("@"),
            stamp,
        ),
        kind=pl.lit("bolus"),
        trigger=_trigger_expr(),
        intent=pl.when(_is_algorithm()).then(pl.lit("algorithm")).otherwise(pl.lit("as_needed")),
        start_local=pl.coalesce("start", "at"),
        end_local=pl.when(~waiting).then("at"),
        start_precision="precision",
        time_anchor=pl.when(waiting | pl.col("start").is_not_null()).then(pl.lit("start")).otherwise(pl.lit("end")),
        programmed_amount="selected",
        delivered_amount="delivered",
        amount_unit=pl.lit(INSULIN_UNIT),
        programmed_basis=_basis("selected"),
        delivered_basis=_basis("delivered"),
        programmed_duration_s=pl.coalesce("start_duration", "bolus_duration"),
        delivered_duration_s=pl.when(took >= 0).then(took).otherwise(none),
        status=pl.when(in_progress).then(pl.lit("in_progress")).otherwise(status_expr("selected", "delivered")),
        stop_reason=pl.when(pl.col("reason").is_null())
        .then(pl.lit(None, dtype=pl.String))
        .when(reason.str.contains("user"))
        .then(pl.lit("user"))
        .when(reason.str.contains("alarm") & pl.col("blocked"))
        .then(pl.lit("occlusion"))
        .when(reason.str.contains("alarm"))
        .then(pl.lit("alarm_other"))
        .otherwise(pl.lit("unknown")),
    )


def _basis(column: str) -> pl.Expr:
    import polars as pl

    return pl.when(pl.col(column).is_null()).then(pl.lit("none")).otherwise(pl.lit("reported"))


def _shape_expr() -> pl.Expr:
    import polars as pl

    kind = pl.col("bolus_type").str.to_lowercase().fill_null("")
    return (
        pl.when(pl.col("source").str.contains(MICRO).fill_null(False))
        .then(pl.lit("micro"))
        .when(kind.str.contains("dual") & kind.str.contains("square|extend"))
        .then(pl.lit("dual_later"))
        .when(kind.str.contains("dual"))
        .then(pl.lit("dual_now"))
        .when(kind.str.contains("square|extend"))
        .then(pl.lit("extended"))
        .otherwise(pl.lit("immediate"))
    )


def _is_algorithm() -> pl.Expr:
    import polars as pl

    return pl.col("source").str.contains(ALGORITHM).fill_null(False)


def _trigger_expr() -> pl.Expr:
    import polars as pl

    return (
        pl.when(_is_algorithm())
        .then(pl.lit("algorithm"))
        .when(pl.col("source").is_null())
        .then(pl.lit("unknown"))
        .when(pl.col("source").str.contains(CALCULATOR))
        .then(pl.lit("calculator"))
        .otherwise(pl.lit("user"))
    )


def _add_reason_events(reasons: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    log.add(
        "device_event",
        reasons.with_columns(
            native_key=pl.format(
                "bolus_stopped:{}@{}", pl.col("number").fill_null("?"), pl.col("at").dt.strftime(_STAMP)
            ),
            event=pl.lit("bolus_stopped"),
            code="cancel_reason",
            start_local="at",
        ),
    )
