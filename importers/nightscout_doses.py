"""Boluses, temporary basal rates and pump events of Nightscout, from treatments whose members are typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_rows import LINE
from importers.moment_frames import start_columns

if TYPE_CHECKING:
    import polars as pl

_SUSPENDS = ["EMULATED_PUMP_SUSPEND", "PUMP_SUSPEND"]
_LOOPS = "^(?:loop://|openaps|freeaps|trio|iaps|loop|aaps)"


def event_rows(frame: pl.DataFrame, event: pl.Expr) -> pl.DataFrame:
    import polars as pl

    return frame.with_columns(
        event=event,
        start_local="local",
        start_utc="utc",
        end_local=pl.when(pl.col("minutes") > 0).then(pl.col("local") + _span("minutes")),
    )


def _span(minutes: str) -> pl.Expr:
    import polars as pl

    return pl.duration(milliseconds=(pl.col(minutes) * 60_000).round().cast(pl.Int64))


def _trigger() -> pl.Expr:
    import polars as pl

    return (
        pl.when(pl.col("is_micro") | pl.col("automatic").fill_null(False))
        .then(pl.lit("algorithm"))
        .when(pl.col("kind").str.starts_with("temp basal"))
        .then(
            pl.when(pl.col("by").str.contains(_LOOPS) & pl.col("automatic").fill_null(True))
            .then(pl.lit("algorithm"))
            .otherwise(pl.lit("unknown"))
        )
        .when(pl.col("kind") == "bolus wizard")
        .then(pl.lit("calculator"))
        .otherwise(pl.lit("user"))
    )


def _basis(column: str, basis: str = "reported") -> pl.Expr:
    import polars as pl

    return pl.when(pl.col(column).is_null()).then(pl.lit("none")).otherwise(pl.lit(basis))


def add_boluses(frame: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    if frame.is_empty():
        return
    prime = (pl.col("type") == "PRIMING").fill_null(False)
    by_hand = pl.col("by").str.contains("careportal") | pl.col("by").str.starts_with("xdrip")
    manual = ~prime & (
        pl.col("manual") | (pl.col("kind") == "external insulin") | (~pl.col("has_pump_id") & by_hand)
    )  # fmt: skip
    short = (pl.col("programmed") > pl.col("insulin")).fill_null(False)
    doses = frame.with_columns(
        *start_columns(),
        kind=pl.when(prime).then(pl.lit("prime")).otherwise(pl.lit("bolus")),
        shape=pl.when(prime)
        .then(pl.lit(None, dtype=pl.String))
        .when("is_micro")
        .then(pl.lit("micro"))
        .otherwise(pl.lit("immediate")),
        exclude_reason=pl.when(prime).then(pl.lit("prime")).when(manual).then(pl.lit("manual_entry")),
        trigger=_trigger(),
        time_anchor=pl.lit("start"),
        amount_unit=pl.lit(INSULIN_UNIT),
        programmed_amount="programmed",
        programmed_basis=_basis("programmed"),
        delivered_amount="insulin",
        delivered_basis=_basis("insulin"),
        status=pl.when(~pl.col("valid"))
        .then(pl.lit("voided"))
        .when(pl.col("insulin") == 0)
        .then(pl.lit("none_delivered"))
        .when(short)
        .then(pl.lit("partial"))
        .otherwise(pl.lit("completed")),
    )
    entered = doses.filter(pl.col("exclude_reason") == "manual_entry").height
    log.count(entered, "are insulin a person entered by hand; kept as excluded doses (manual_entry)")
    now = (pl.col("insulin").fill_null(0) > 0) | pl.col("extended_amount").is_null()
    dual = pl.col("extended_amount").is_not_null() & now
    log.add(
        "dose_event", doses.filter(now).with_columns(shape=pl.when(dual).then(pl.lit("dual_now")).otherwise("shape"))
    )
    given = pl.col("insulin").fill_null(0) > 0
    log.add(
        "dose_event",
        doses.filter(pl.col("extended_amount").is_not_null()).with_columns(
            shape=pl.when(given).then(pl.lit("dual_later")).otherwise(pl.lit("extended")),
            native_key=pl.when(given).then(pl.concat_str("native_key", pl.lit(":later"))).otherwise("native_key"),
            programmed_amount="extended_amount",
            programmed_basis=pl.lit("reported"),
            delivered_amount="extended_amount",
            delivered_basis=pl.lit("inferred_equal"),
            programmed_duration_s=(pl.col("minutes") * 60).round().cast(pl.Int64),
            status=pl.when("valid").then(pl.lit("unknown")).otherwise(pl.lit("voided")),
            end_local=pl.col("local") + _span("minutes"),
            end_utc=pl.col("utc") + _span("minutes"),
        ),
    )


def add_segments(frame: pl.DataFrame, events: pl.DataFrame, log: DeviceLog) -> None:
    """Temporary rates end at the next one of their device, or where the pump is suspended, whatever their planned
    duration.
    """
    import polars as pl

    if frame.is_empty():
        return
    frame = frame.with_columns(
        rate=pl.when(pl.col("rate").is_null() & (pl.col("percent") <= -100)).then(pl.lit(0)).otherwise("rate")
        .cast(pl.Decimal(18, 6)),
        minutes=pl.col("minutes").fill_null(0.0),
        at=pl.coalesce("utc", "local"),
    )  # fmt: skip
    suspended = ((pl.col("reason") == "suspend") | pl.col("type").is_in(_SUSPENDS)).fill_null(False)
    log.add("device_event", event_rows(frame.filter(suspended & (pl.col("rate") == 0)), pl.lit("suspend")))
    cuts = events.filter(pl.col("event") == "suspend").select("device_id", at=pl.coalesce("utc", "local"), line=-1)
    valid = frame.filter("valid").select("device_id", "at", LINE)
    ordered = pl.concat([valid, cuts.cast({"line": pl.Int64})], how="diagonal").sort(
        "device_id", "at", maintain_order=True
    )
    following = ordered.with_columns(
        next_at=pl.col("at").shift(-1).over("device_id"), next_line=pl.col(LINE).shift(-1).over("device_id")
    ).filter(pl.col(LINE) >= 0)
    frame = frame.join(
        following.select(LINE, "next_at", "next_line"), on=LINE, how="left", maintain_order="left"
    ).with_columns(planned=_span("minutes"))
    log.add("device_event", event_rows(frame.filter(pl.col("minutes") == 0), pl.lit("temp_basal_end")))
    frame = frame.filter(pl.col("minutes") > 0)
    room = pl.col("next_at") - pl.col("at")
    frame = frame.with_columns(lasted=pl.min_horizontal("planned", room)).with_columns(
        seconds=pl.col("lasted").dt.total_seconds(), is_cut=pl.col("lasted") < pl.col("planned")
    )
    by_time = (pl.col("rate").cast(pl.Float64) * pl.col("seconds") / 3600).cast(pl.Decimal(18, 6))
    log.count(frame["rate"].null_count(), "are temporary rates in per cent of a profile; their amounts are not known")
    frame = frame.with_columns(*start_columns(), by_time=by_time)
    log.add(
        "dose_event",
        frame.with_columns(
            kind=pl.lit("basal_segment"),
            shape=pl.lit("continuous"),
            trigger=_trigger(),
            time_anchor=pl.lit("start"),
            amount_unit=pl.lit(INSULIN_UNIT),
            end_local=pl.col("local") + pl.col("lasted"),
            end_utc=pl.col("utc") + pl.col("lasted"),
            programmed_amount="by_time",
            programmed_basis=_basis("by_time", "rate_x_time"),
            delivered_amount=pl.coalesce("stated", "by_time"),
            delivered_basis=pl.when(pl.col("stated").is_not_null())
            .then(pl.lit("reported"))
            .otherwise(_basis("by_time", "rate_x_time")),
            programmed_rate="rate",
            delivered_rate="rate",
            rate_unit=pl.when(pl.col("rate").is_not_null()).then(pl.lit(INSULIN_RATE)),
            programmed_duration_s=pl.col("planned").dt.total_seconds(),
            delivered_duration_s="seconds",
            status=pl.when("valid").then(pl.lit("completed")).otherwise(pl.lit("voided")),
            stop_reason=pl.when("is_cut").then(
                pl.when(pl.col("next_line") < 0).then(pl.lit("user")).otherwise(pl.lit("superseded"))
            ),
        ),
    )
