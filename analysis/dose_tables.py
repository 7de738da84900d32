"""From matched arrays to rows: tables planned_dose and dose_match with the schema's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask
from analysis.schedule import PlannedAmount, Series, Times

STATUS = ("taken", "late", "missed", "extra", "held", "unmonitored")
TAKEN, LATE, MISSED, EXTRA, HELD, UNMONITORED = range(6)

AMOUNT = pl.Decimal(18, 6)


@dataclass(frozen=True)
class Labels:
    """What the numbers of a chunk stand for."""

    subjects: pl.Enum
    series: list[Series]
    amounts: list[PlannedAmount]
    reasons: list[str]
    limit_pct: float


@dataclass(frozen=True)
class MatchedDoses:
    """A chunk of subjects: planned doses (``times`` and arrays of their length), then dose events without a plan.

    ``event`` is the row of the matched dose event in the log, -1 for none. ``row_period`` and ``inside`` (1, 0, or
    -1 not known) cover the planned doses followed by the extra ones.
    """

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

    def planned_numbers(self) -> Int32:
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
    values = pl.Series([amount for amount, _ in labels.amounts] or [None], dtype=AMOUNT)
    return values.gather(numbers.astype(np.uint32))


def planned_dose_frame(doses: MatchedDoses, labels: Labels) -> pl.DataFrame:
    """Rows of planned_dose, by subject and number."""
    times = doses.times
    expected = np.where(doses.held, 1, 0)
    return pl.DataFrame(
        {
            "subject_id": subjects_column(times.subject, labels),
            "planned_no": doses.planned_numbers(),
            "drug": text_by_number([drug or None for drug, _ in labels.series], times.series),
            "channel": text_by_number([channel for _, channel in labels.series], times.series),
            "period_order": numbered(doses.period),
            "planned_at": local_time(times.at),
            "window_start": local_time(times.at - times.before),
            "window_end": local_time(times.at + times.after),
            "planned_amount": amounts_column(doses.amount, labels),
            "amount_unit": text_by_number([unit for _, unit in labels.amounts], doses.amount),
            "status": pl.Series(expected.astype(np.uint8)).cat.to(pl.Enum(["expected", "held"])),
            "basis": pl.Series(doses.recorded.astype(np.uint8)).cat.to(pl.Enum(["generated", "recorded"])),
            "hold_reason": text_by_number(list(labels.reasons), np.where(doses.held, doses.reason, -1)),
        }
    )


def dose_match_frame(doses: MatchedDoses, labels: Labels, log: DoseLog) -> pl.DataFrame:
    """Rows of dose_match: every planned dose and every extra one, by subject, dosing day and number."""
    times, extra = doses.times, doses.extra
    blank = np.full(extra.size, -1, dtype=np.int64)
    event = np.concatenate([doses.event, extra])
    subject = np.concatenate([times.subject, doses.extra_subject])
    series = np.concatenate([times.series, doses.extra_series])
    index = pl.Series(event).cast(pl.UInt32, strict=False)
    given = log.events.select(
        pl.col(name).gather(index)
        for name in (
            "start_local", "planned_amount", "programmed_amount", "delivered_amount", "amount_unit", "delivered_basis",
            "volume", "volume_unit", "source_id", "line",
        )
    )  # fmt: skip
    plan_at = np.concatenate([times.at, np.zeros(extra.size, dtype=np.int64)])
    planned_at = local_time(plan_at)
    if extra.size:
        planned_at = planned_at.set(pl.Series(np.r_[np.zeros(times.size, bool), np.ones(extra.size, bool)]), None)
    amount = np.concatenate([doses.amount, np.full(extra.size, _open(labels), dtype=np.int32)])
    frame = pl.DataFrame(
        {
            "subject_id": subjects_column(subject, labels),
            "planned_no": numbered(np.concatenate([doses.planned_numbers(), blank])),
            "status": pl.Series(np.concatenate([doses.status, np.full(extra.size, EXTRA, np.uint8)])).cat.to(
                pl.Enum(STATUS)
            ),
            "dose_date": pl.Series(np.concatenate([doses.plan_day, doses.extra_day]).astype(np.int32)).cast(pl.Date),
            "planned_at": planned_at,
            "event_at": given["start_local"],
            "delay_s": _delays(given["start_local"], planned_at, event, log, doses),
            "period_order": numbered(doses.row_period),
            "in_period": _three_valued(doses.inside),
            "drug": text_by_number([drug or None for drug, _ in labels.series], series),
            "channel": text_by_number([channel for _, channel in labels.series], series),
            "planned_amount": amounts_column(amount, labels),
            "programmed_amount": given["programmed_amount"],
            "delivered_amount": given["delivered_amount"],
            "amount_unit": given["amount_unit"],
            "delivered_basis": given["delivered_basis"],
            "source_id": given["source_id"],
            "line": given["line"],
            "plan_unit": text_by_number([unit for _, unit in labels.amounts], amount),
            "volume": given["volume"],
            "volume_unit": given["volume_unit"],
            "own_planned": given["planned_amount"],
        }
    )
    compared = with_comparison(frame, labels.limit_pct)
    return compared if not extra.size else compared.select(pl.all().gather(_merged(doses, log)))
