"""From rate changes to what was given: basal segments, cut by suspensions, automatic modes and silence.

A segment runs from the row that set its rate to the next row that changes anything, on the device's running time.
Nothing is carried over a silence of more than a day: pumps write at least one row a day, so the log is missing
there, and a rate carried over months has given insulin that never was. While an algorithm doses by itself the
profile's rate is not given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.device_log import INSULIN_RATE, INSULIN_UNIT

if TYPE_CHECKING:
    import polars as pl

SILENCE_H = 25
"""Hours without a row after which the log is taken as missing; a day and the hour of a clock change."""


def derive_segments(events: pl.DataFrame) -> pl.DataFrame:
    """Segments between events of one device.

    ``events``: line, seq, at (local), running (Datetime) and of each state NULL or the new one: rate (Float64,
    U/h; NaN: unknown from here on), suspended and automatic (Boolean), reason (text, why suspended). Ties of
    running go by seq. Returns line, start, end (local), seconds, rate, suspended, reason, last (TRUE: the log
    ends in it). A suspension's own row of rate 0 is its echo, not a new rate.
    """
    import polars as pl

    ordered = events.sort("running", "seq", maintain_order=True).with_columns(
        pl.col("suspended", "automatic").forward_fill().fill_null(False)
    )
    ordered = ordered.with_columns(rate=pl.when(~(pl.col("suspended") & (pl.col("rate") == 0))).then("rate"))
    # Only rows that set or change something start a segment; the last row ends the log.
    states = pl.struct("suspended", "automatic")
    starts = pl.col("rate").is_not_null() | (states != states.shift(1)).fill_null(True)
    return (
        ordered.filter(starts | (pl.int_range(pl.len()) == pl.len() - 1))
        .with_columns(
            rate=pl.col("rate").forward_fill(),
            reason=pl.when("suspended").then(pl.col("reason").forward_fill()),
            end=pl.col("at").shift(-1),
            seconds=(pl.col("running").shift(-1) - pl.col("running")).dt.total_seconds(),
            last=pl.col("running").shift(-1) == pl.col("running").max(),
        )
        .filter(pl.col("seconds") > 0, pl.col("rate").is_not_null(), ~pl.col("automatic"))
        .filter(pl.col("rate").is_not_nan())
        .select("line", "end", "seconds", "rate", "reason", "last", "suspended", start="at")
    )


def silence_events(rows: pl.DataFrame) -> pl.DataFrame:
    """Events that end every state at the last row before a silence, and the end of the log.

    ``rows``: line, seq, at, running of every row of the device. After a silence the rate is unknown until a row
    states one.
    """
    import polars as pl

    ordered = rows.select("line", "seq", "at", "running").sort("running")
    gap = (pl.col("running").shift(-1) - pl.col("running")).dt.total_hours() >= SILENCE_H
    stops = ordered.filter(gap).with_columns(rate=pl.lit(float("nan")), suspended=False, automatic=False)
    return pl.concat([stops, ordered.tail(1)], how="diagonal")


def segment_rows(segments: pl.DataFrame, device_id: str) -> pl.DataFrame:
    """Canonical dose rows of basal segments: amounts are rate times time, delivered nothing while suspended."""
    import polars as pl

    if segments.is_empty():
        return pl.DataFrame()
    amount = (pl.col("rate") * pl.col("seconds") / 3600).round(6).cast(pl.Decimal(18, 6))
    rate = pl.col("rate").round(6).cast(pl.Decimal(18, 6))
    zero = pl.lit(0).cast(pl.Decimal(18, 6))
    stamp = pl.format("basal@{}", pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%S"))
    again = pl.int_range(pl.len()).over("start")
    return segments.with_columns(
        device_id=pl.lit(device_id),
        native_key=pl.when(again > 0).then(pl.format("{}#{}", stamp, again + 1)).otherwise(stamp),
        kind=pl.lit("basal_segment"),
        shape=pl.lit("continuous"),
        trigger=pl.lit("schedule"),
        start_local="start",
        end_local="end",
        start_precision=pl.lit("second"),
        time_anchor=pl.lit("start"),
        programmed_amount=amount,
        delivered_amount=pl.when("suspended").then(zero).otherwise(amount),
        amount_unit=pl.lit(INSULIN_UNIT),
        programmed_basis=pl.lit("rate_x_time"),
        delivered_basis=pl.lit("rate_x_time"),
        programmed_rate=rate,
        delivered_rate=pl.when("suspended").then(zero).otherwise(rate),
        rate_unit=pl.lit(INSULIN_RATE),
        delivered_duration_s="seconds",
        status=pl.when("last")
        .then(pl.lit("in_progress"))
        .when(pl.col("suspended") & (pl.col("rate") > 0))
        .then(pl.lit("none_delivered"))
        .otherwise(pl.lit("completed")),
        stop_reason=pl.when("suspended").then("reason"),
    )
