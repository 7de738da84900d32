"""From matched arrays to rows: tables planned_dose and dose_match with the schema's columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, codes
from analysis.schedule import PlannedAmount, Series, Times

STATUS = ("taken", "late", "missed", "extra", "held", "unmonitored")
TAKEN, LATE, MISSED, EXTRA, HELD, UNMONITORED = range(6)

AMOUNT = pl.Decimal(18, 6)

NO_TIME = np.iinfo(np.int64).min
"""Planned time of a dose without a plan, before it becomes NULL."""

EVENT_COLUMNS = (
    "start_local",
    "planned_amount",
    "programmed_amount",
    "delivered_amount",
    "amount_unit",
    "delivered_basis",
    "volume",
    "volume_unit",
    "source_id",
    "line",
    "part",
)
"""Columns of the dose log that a matched dose shows or is compared by."""


@dataclass(frozen=True)
class Labels:
    """What the numbers of a chunk stand for."""

    subjects: pl.Enum
    series: list[Series]
    amounts: list[PlannedAmount]
    reasons: list[str]
    units: pl.Enum
    limit_pct: float


@dataclass(frozen=True)
class MatchedDoses:
    """A chunk of subjects: planned doses (``times`` and arrays of their length), then dose events without a plan.

    ``rows`` are all rows of these subjects in the log. ``event`` is the row of the matched dose event in the log, -1
    for none. ``row_period`` and ``inside`` (1, 0, or -1 not known) cover the planned doses followed by the extra ones.
    """

    rows: slice
    times: Times
    recorded: Mask
    reason: Int32
    period: Int32
    amount: Int32
    held: Mask
    plan_day: Int64
    status: npt.NDArray[np.uint8]
    event: Int64
    extra: Int64
    extra_subject: Int32
    extra_series: Int32
    extra_day: Int64
    row_period: Int32
    inside: npt.NDArray[np.int8]

    @cached_property
    def planned_no(self) -> Int32:
        """Running number of each planned dose within its subject, from 1."""
        subject = self.times.subject
        starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]]) if subject.size else np.zeros(0, np.int64)
        lengths = np.diff(np.r_[starts, subject.size])
        return (np.arange(subject.size) - np.repeat(starts, lengths) + 1).astype(np.int32)


def text_by_number(values: list[str | None], numbers: npt.NDArray[np.integer]) -> pl.Series:
    """An Enum column from positions in a short list; -1 and None are NULL."""
    known = sorted({value for value in values if value is not None})
    small = pl.Series([*values, None], dtype=pl.Enum(known))
    return small.gather(np.where(numbers < 0, len(values), numbers).astype(np.uint32))


def numbered(values: npt.NDArray[np.integer]) -> pl.Series:
    """An Int32 column in which -1 is NULL."""
    column = pl.Series(values.astype(np.int32))
    return column.set(column < 0, None) if values.size and int(values.min()) < 0 else column


def local_time(values: Int64) -> pl.Series:
    return pl.Series(values).cast(pl.Datetime("us"))


def subjects_column(numbers: Int32, labels: Labels) -> pl.Series:
    width: pl.DataType = pl.Series([], dtype=labels.subjects).to_physical().dtype
    return pl.Series(numbers).cast(width).cat.to(labels.subjects)


def amounts_column(numbers: Int32, labels: Labels) -> pl.Series:
    values = pl.Series([amount for amount, _ in labels.amounts], dtype=AMOUNT)
    return values.gather(numbers.astype(np.uint32))


def planned_dose_frame(doses: MatchedDoses, labels: Labels) -> pl.DataFrame:
    """Rows of planned_dose, by subject and number."""
    times = doses.times
    expected = np.where(doses.held, 1, 0)
    return pl.DataFrame(
        {
            "subject_id": subjects_column(times.subject, labels),
            "planned_no": doses.planned_no,
            "drug": text_by_number([drug or None for drug, _ in labels.series], times.series),
            "channel": text_by_number([channel for _, channel in labels.series], times.series),
            "period_order": numbered(doses.period),
            "planned_at": local_time(times.at),
            "window_start": local_time(times.at - times.before),
            "window_end": local_time(times.at + times.after),
            "planned_amount": amounts_column(doses.amount, labels),
            "amount_unit": _units_column([unit for _, unit in labels.amounts], doses.amount, labels),
            "status": pl.Series(expected.astype(np.uint8)).cat.to(pl.Enum(["expected", "held"])),
            "basis": pl.Series(doses.recorded.astype(np.uint8)).cat.to(pl.Enum(["generated", "recorded"])),
            "hold_reason": text_by_number(list(labels.reasons), np.where(doses.held, doses.reason, -1)),
        }
    )


def dose_match_frame(doses: MatchedDoses, labels: Labels, log: DoseLog) -> pl.DataFrame:
    """Rows of dose_match: every planned dose and every extra one, by subject, dosing day and number."""
    times, extra = doses.times, doses.extra
    order = _merged(doses, log) if extra.size else slice(None)

    def joined(planned: npt.NDArray[np.generic], extras: npt.NDArray[np.generic] | int) -> npt.NDArray[Any]:
        tail = np.full(extra.size, extras, dtype=planned.dtype) if isinstance(extras, int) else extras
        return np.concatenate([planned, tail])[order]

    event = joined(doses.event, extra)
    plan_at = joined(times.at, NO_TIME)
    series = joined(times.series, doses.extra_series)
    amount = joined(doses.amount, 0)
    planned_at = local_time(plan_at)
    if extra.size:
        planned_at = planned_at.set(pl.Series(plan_at == NO_TIME), None)
    index = pl.Series(event).cast(pl.UInt32, strict=False)
    # A column without a value anywhere (no volume, no planned amount on the record) is not worth gathering.
    given = log.events.select(
        pl.col(name).gather(index) for name in EVENT_COLUMNS if not log.is_blank(name)
    ).with_columns(
        pl.lit(None, dtype=log.events.schema[name]).alias(name) for name in EVENT_COLUMNS if log.is_blank(name)
    )
    day_only = joined(doses.recorded & (times.after == DAY_US - 1), 0).astype(np.bool_)
    timed = (event >= 0) & ~day_only & ~_at(log.date_only, event)
    frame = given.with_columns(
        subjects_column(joined(times.subject, doses.extra_subject), labels).alias("subject_id"),
        numbered(joined(doses.planned_no, -1)).alias("planned_no"),
        pl.Series("status", joined(doses.status, EXTRA)).cat.to(pl.Enum(STATUS)),
        pl.Series("dose_date", joined(doses.plan_day, doses.extra_day).astype(np.int32)).cast(pl.Date),
        planned_at.alias("planned_at"),
        pl.Series("timed", timed),
        numbered(doses.row_period[order]).alias("period_order"),
        pl.Series("inside", doses.inside[order]),
        text_by_number([drug or None for drug, _ in labels.series], series).alias("drug"),
        text_by_number([channel for _, channel in labels.series], series).alias("channel"),
        amounts_column(amount, labels).alias("plan_amount"),
        _units_column([unit for _, unit in labels.amounts], amount, labels).alias("plan_unit"),
    )
    elapsed = (pl.col("start_local") - pl.col("planned_at")).dt.total_seconds()
    return with_comparison(frame, labels.limit_pct).select(
        "subject_id",
        "planned_no",
        "status",
        "dose_date",
        "planned_at",
        event_at="start_local",
        delay_s=pl.when("timed").then(elapsed),
        period_order="period_order",
        in_period=pl.when(pl.col("inside") >= 0).then(pl.col("inside") == 1),
        drug="drug",
        channel="channel",
        planned_amount="planned_amount",
        programmed_amount="programmed_amount",
        delivered_amount="delivered_amount",
        amount_unit="amount_unit",
        delivered_basis="delivered_basis",
        within_limits="within_limits",
        source_id="source_id",
        line="line",
        part="part",
    )


def with_comparison(frame: pl.DataFrame, limit_pct: float) -> pl.DataFrame:
    """Planned and delivered amount in one unit, and whether delivered is within the limit of planned (inclusive).

    The plan counts before an amount the record itself states as planned. A plan in the unit of the volume is
    compared with the volume. A plan in a unit of neither is not compared: the row of a dose shows amounts in one
    unit only, so its planned amount is NULL (planned_dose has it). Planned 0 conforms when 0 is delivered.
    """
    height = frame.height
    if frame["plan_amount"].null_count() == height and frame["planned_amount"].null_count() == height:
        return frame.with_columns(within_limits=pl.lit(None, dtype=pl.Boolean))
    same_unit = pl.col("plan_unit").eq_missing(pl.col("amount_unit")) | pl.col("start_local").is_null()
    planned: pl.Expr = pl.when(same_unit).then("plan_amount")
    columns: dict[str, pl.Expr] = {"amount_unit": pl.coalesce("amount_unit", "plan_unit")}
    if frame["volume"].null_count() < height:
        in_volume = (pl.col("plan_unit") == pl.col("volume_unit")).fill_null(False) & pl.col(
            "plan_amount"
        ).is_not_null()
        planned = pl.when(same_unit | in_volume).then("plan_amount")
        columns["delivered_amount"] = pl.when(in_volume).then("volume").otherwise("delivered_amount")
        columns["programmed_amount"] = pl.when(~in_volume).then("programmed_amount")
        columns["amount_unit"] = pl.when(in_volume).then("plan_unit").otherwise(columns["amount_unit"])
    if frame["planned_amount"].null_count() < height:
        planned = pl.when(pl.col("plan_amount").is_null()).then("planned_amount").otherwise(planned)
    frame = frame.with_columns(planned_amount=planned, **columns)
    wanted, delivered = pl.col("planned_amount").cast(pl.Float64), pl.col("delivered_amount").cast(pl.Float64)
    # The margin keeps a dose exactly at the limit inside: 5.000 % is not 5 % in binary. At planned 0 it leaves only 0.
    return frame.with_columns(within_limits=(delivered - wanted).abs() * 100 <= (limit_pct + 1e-9) * wanted)


def _at(flags: Mask, rows: npt.NDArray[Any]) -> Mask:
    """Flag of each row; FALSE for row -1."""
    return np.asarray(flags[np.maximum(rows, 0)] & (rows >= 0)) if flags.size else np.zeros(rows.size, np.bool_)


def _units_column(units: list[str | None], numbers: npt.NDArray[Any], labels: Labels) -> pl.Series:
    return pl.Series(units, dtype=labels.units).gather(numbers.astype(np.uint32))


def _merged(doses: MatchedDoses, log: DoseLog) -> Int64:
    """Order that puts each extra dose after the planned ones of its subject and day."""
    source = codes(log.events["source_id"])[doses.extra]
    line = log.events["line"].gather(doses.extra.astype(np.uint32)).to_numpy()
    own = np.lexsort((line, source, doses.extra_day, doses.extra_subject))
    planned_key = (doses.times.subject.astype(np.int64) << 32) + doses.plan_day
    extra_key = ((doses.extra_subject.astype(np.int64) << 32) + doses.extra_day)[own]
    slots = np.searchsorted(planned_key, extra_key, side="right") + np.arange(own.size)
    order = np.empty(planned_key.size + own.size, dtype=np.int64)
    is_extra = np.zeros(order.size, dtype=np.bool_)
    is_extra[slots] = True
    order[is_extra] = planned_key.size + own
    order[~is_extra] = np.arange(planned_key.size)
    return order
