"""Basal delivery of a CareLink CSV (600 and 700 series): rate rows, suspensions, and the times an algorithm dosed
instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.basal import SILENCE_H, derive_segments, segment_rows, silence_events
from importers.carelink_boluses import MICRO, daily_total_expr
from importers.device_log import INSULIN_UNIT

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

RESUMED = "NORMAL_PUMPING"
_MANUAL_SOURCE = "^(BOLUS_WIZARD|MANUAL|PRESET.*|EASY.*)$"
_LEFT_AUTOMATIC = "AUTO MODE (EXIT|OFF|OPEN LOOP)|SMARTGUARD (EXIT|OFF)"
_STAMP = "%Y-%m-%dT%H:%M:%S"


def suspend_reason_expr() -> pl.Expr:
    """stop_reason of a Suspend value."""
    import polars as pl

    text = pl.col("suspend").str.to_uppercase()
    return (
        pl.when(text.str.contains("LOW"))
        .then(pl.lit("low_glucose"))
        .when(text.str.contains("USER|NOTSEATED|NOT_SEATED"))
        .then(pl.lit("user"))
        .when(text.str.contains("ALARM"))
        .then(pl.lit("alarm_other"))
        .otherwise(pl.lit("unknown"))
    )


def add_basal(rows: pl.DataFrame, device_id: str, log: DeviceLog) -> pl.Series:
    """Add basal segments, temporary basals and suspensions; returns the lines used."""
    import polars as pl

    stamp = pl.col("at").dt.strftime(_STAMP)
    suspends = rows.filter(pl.col("suspend").is_not_null())
    temps = rows.filter(pl.col("temp_type").is_not_null() | pl.col("temp_amount").is_not_null())
    rates = rows.filter(pl.col("basal_rate").is_not_null())
    resumed = pl.col("suspend").str.contains("(?i)normal")
    log.add(
        "device_event",
        suspends.with_columns(
            event=pl.when(resumed).then(pl.lit("resume")).otherwise(pl.lit("suspend")),
            code="suspend",
            start_local="at",
        ).with_columns(native_key=pl.format("{}:{}@{}", "event", "code", stamp)),
    )
    log.add(
        "device_event",
        temps.with_columns(
            event=pl.lit("temp_basal"),
            code="temp_type",
            start_local="at",
            native_key=pl.format("temp_basal@{}", stamp),
            detail=pl.format(
                "{} for {} s",
                pl.col("temp_amount").cast(pl.String).fill_null("?"),
                pl.col("temp_duration").fill_null(0),
            ),
        ),
    )
    segments = derive_segments(_events(rows, rates, suspends))
    frame = segment_rows(segments, device_id)
    if frame.height:
        frame = frame.with_columns(subject_id=pl.lit(rows["subject_id"][0], pl.String))
        log.add("dose_event", _as_reported(frame, rows))
    repeats = (
        rates.height - frame.filter(pl.col("line").is_in(rates["line"].implode())).height
        if frame.height
        else rates.height
    )
    log.count(
        repeats,
        "state a basal rate that starts no time of its own: repeated, while suspended or in automatic mode",
    )
    return pl.concat([suspends["line"], temps["line"], rates["line"]])


def _events(rows: pl.DataFrame, rates: pl.DataFrame, suspends: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    place = ("line", "seq", "at", "running")
    stopped = ~pl.col("suspend").str.contains("(?i)normal")
    by_hand = (
        pl.col("source").str.contains(_MANUAL_SOURCE).fill_null(False)
        | pl.col("alarm_text").str.contains(_LEFT_AUTOMATIC).fill_null(False)
        | pl.col("temp_type").is_not_null()
        | pl.col("temp_amount").is_not_null()
    )
    modes = (
        rows.select(
            *place,
            automatic=pl.when(pl.col("source").str.contains(MICRO)).then(True).when(by_hand).then(False),
        )
        .filter(pl.col("automatic").is_not_null())
        .sort("running", "seq")
    )
    # In a run of micro-boluses only the first, and the first after a silence (it ends every state), say something.
    changed = (pl.col("automatic") != pl.col("automatic").shift(1)).fill_null(True)
    waited = (pl.col("running").diff().dt.total_hours() >= SILENCE_H).fill_null(True)
    modes = modes.filter(changed | waited)
    schema = {"rate": pl.Float64, "suspended": pl.Boolean, "automatic": pl.Boolean, "reason": pl.String}
    empty = rows.head(0).select(*place, *(pl.lit(None, dtype).alias(name) for name, dtype in schema.items()))
    return pl.concat(
        [
            empty,
            rates.select(*place, rate=pl.col("basal_rate").cast(pl.Float64)),
            suspends.select(
                *place,
                suspended=stopped,
                reason=pl.when(stopped).then(suspend_reason_expr()),
            ),
            modes,
            silence_events(rows),
        ],
        how="diagonal",
    )


def _as_reported(frame: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """On days with a total of automatic insulin nobody says which hours the profile ran: delivered is not
    reported.
    """
    import polars as pl

    totals = rows.filter(daily_total_expr() & (pl.col("delivered").fill_null(0) > 0))
    if totals.is_empty():
        return frame
    unknown = pl.col("start_local").dt.date().is_in(totals["at"].dt.date().unique().implode())
    null = pl.lit(None)
    return frame.with_columns(
        delivered_amount=pl.when(~unknown).then("delivered_amount"),
        delivered_rate=pl.when(~unknown).then("delivered_rate"),
        delivered_duration_s=pl.when(~unknown).then("delivered_duration_s"),
        delivered_basis=pl.when(unknown).then(pl.lit("none")).otherwise("delivered_basis"),
        status=pl.when(unknown).then(pl.lit("unknown")).otherwise("status"),
        stop_reason=pl.when(unknown).then(null).otherwise("stop_reason"),
        amount_unit=pl.lit(INSULIN_UNIT),
    )
