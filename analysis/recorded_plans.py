"""Planned doses as the data record them (SDTM EC), and the holds their reasons tell of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, canonical_drug, micros
from analysis.frames import Frames
from analysis.plan import Planner
from analysis.schedule import MINUTE_US, Times
from store.protocol import Protocol

RECORDED_REASONS = ("ECREASOC", "ECREASND")
"""Supplemental qualifiers that say why a planned dose was not given (SDTM SUPPEC)."""

UNSEEN = -2
"""A planned dose nothing could have seen (no telemetry, an ingestion not detected): unmonitored, never missed."""

HOLD_TYPES = {
    "subject_id": pl.String(),
    "start_date": pl.Date(),
    "end_date": pl.Date(),
    "reason": pl.String(),
    "basis": pl.String(),
}


def recorded_plans(frames: Frames, protocol: Protocol) -> pl.DataFrame:
    """Planned doses the data record, with the reason of one not given (on the row, else in SUPPEC).

    Columns: subject_id, plan_seq, drug (canonical), channel, planned_at, planned_precision, planned_amount,
    amount_unit, occurred, monitored, reason; sorted by subject, time and sequence.
    """
    plans = frames(
        "planned_dose_recorded",
        [
            "subject_id",
            "plan_seq",
            "drug",
            "channel",
            "planned_at",
            "planned_precision",
            "planned_amount",
            "amount_unit",
            "occurred",
            "monitored",
            "reason",
        ],
    ).with_columns(pl.col("planned_precision").cast(pl.String))
    names = {name: canonical_drug(name, protocol) for name in plans["drug"].unique() if name is not None}
    reasons = (
        frames("supplemental", ["domain", "subject_id", "parent_variable", "parent_value", "name", "value"])
        .filter((pl.col("domain") == "EC") & pl.col("name").is_in(RECORDED_REASONS))
        .sort("subject_id", "parent_value", "name", "value")
        .unique(["subject_id", "parent_value"], keep="first", maintain_order=True)
        .select("subject_id", plan_seq="parent_value", stated="value")
    )
    return (
        plans.join(reasons, on=["subject_id", "plan_seq"], how="left")
        .with_columns(pl.col("drug").replace(names), reason=pl.coalesce("reason", "stated"))
        .drop("stated")
        .sort("subject_id", "planned_at", "plan_seq", "drug", "channel", nulls_last=True)
    )


def derive_holds(recorded: pl.DataFrame, protocol: Protocol) -> pl.DataFrame:
    """Table hold: runs of days on which the investigator withheld dosing, from the reasons of doses not given."""
    withheld = (
        recorded.filter(
            ~pl.col("occurred").fill_null(True)
            & pl.col("reason").str.to_uppercase().is_in([reason.upper() for reason in protocol.compliance.hold_reasons])
        )
        .select("subject_id", "reason", day=pl.col("planned_at").dt.date())
        .unique()
        .sort("subject_id", "day", "reason")
    )
    new_run = (
        (pl.col("subject_id") != pl.col("subject_id").shift())
        | (pl.col("reason") != pl.col("reason").shift())
        | (pl.col("day") - pl.col("day").shift() > pl.duration(days=1))
    ).fill_null(True)
    return (
        withheld.with_columns(run=new_run.cum_sum())
        .group_by("subject_id", "reason", "run")
        .agg(start_date=pl.col("day").min(), end_date=pl.col("day").max())
        .with_columns(basis=pl.lit("reason of the planned doses not given"))
        .select(pl.col(name).cast(kind) for name, kind in HOLD_TYPES.items())
        .unique(["subject_id", "start_date"], keep="first", maintain_order=True)
        .sort("subject_id", "start_date")
    )


@dataclass
class Plans:
    """Planned doses of a chunk in subject and time order, with what was recorded about them."""

    times: Times
    recorded: Mask
    occurred: Int32
    """1 taken, 0 not taken, -1 the record does not say, ``UNSEEN``: nothing could tell."""
    event: Int64
    """Row of the dose event that is part of the same record, -1 for none."""
    reason: Int32

    def take(self, order: Int64) -> Plans:
        """The same plans in another order."""
        times = Times(*(getattr(self.times, name)[order] for name in Times.__dataclass_fields__))
        return Plans(times, self.recorded[order], self.occurred[order], self.event[order], self.reason[order])


def recorded_as_plans(
    recorded: pl.DataFrame, planner: Planner, numbers: dict[str, int], log: DoseLog
) -> tuple[Plans, list[str]]:
    """Recorded plans as arrays by subject and time, each with its own dose event; and the reasons they number."""
    subject = np.array([numbers[name] for name in recorded["subject_id"]], dtype=np.int32)
    series = np.array(
        [planner.series.index((drug or "", channel)) for drug, channel in recorded.select("drug", "channel").rows()],
        dtype=np.int32,
    )
    reasons: list[str] = recorded["reason"].unique().drop_nulls().sort().to_list()
    number = {reason: i for i, reason in enumerate(reasons)}
    amounts = [
        planner.amounts.number(pair) if pair[0] is not None else -1
        for pair in recorded.select("planned_amount", "amount_unit").rows()
    ]
    plans = Plans(
        replace(recorded_times(recorded, planner, subject, series), amount=np.array(amounts, dtype=np.int32)),
        np.ones(recorded.height, dtype=np.bool_),
        recorded.select(
            pl.when(pl.col("monitored").fill_null(True))
            .then(pl.col("occurred").cast(pl.Int32).fill_null(-1))
            .otherwise(UNSEEN)
            .cast(pl.Int32)
        )
        .to_series()
        .to_numpy(),
        own_events(recorded, log),
        np.array([number.get(reason, -1) for reason in recorded["reason"]], dtype=np.int32),
    )
    return plans, reasons


def recorded_times(recorded: pl.DataFrame, planner: Planner, subject: Int32, series: Int32) -> Times:
    """Recorded plans as arrays. Window: the whole day where the record states a day only; else the protocol's, and
    on a side it leaves open half the way to the neighbouring plan.
    """
    at = micros(recorded["planned_at"])
    day_only = recorded["planned_precision"].is_in(["date", "month", "year"]).fill_null(True).to_numpy()
    before, after = _half_gaps(subject, series, at, -1), _half_gaps(subject, series, at, 1)
    for pair in dict.fromkeys(zip(subject.tolist(), series.tolist(), strict=True)):
        rule = planner.rule(planner.series[pair[1]], pair[0], None)
        mine = (subject == pair[0]) & (series == pair[1]) if rule is not None else None
        if rule is not None and rule.window_before_min is not None:
            before[mine] = round(rule.window_before_min * MINUTE_US)
        if rule is not None and rule.window_after_min is not None:
            after[mine] = round(rule.window_after_min * MINUTE_US)
    before[day_only], after[day_only] = 0, DAY_US - 1
    open_amount = np.full(at.size, -1, dtype=np.int32)
    return Times(subject, series, open_amount, at, before, after, open_amount.copy())


def _half_gaps(subject: Int32, series: Int32, at: Int64, side: int) -> Int64:
    """Half the way to the neighbour of the same subject and series on one side; half a day where there is none."""
    half = np.full(at.size, DAY_US // 2, dtype=np.int64)
    if at.size < 2:
        return half
    same = (subject[1:] == subject[:-1]) & (series[1:] == series[:-1])
    gap = np.where(same, (at[1:] - at[:-1]) // 2, DAY_US // 2)
    if side < 0:
        half[1:] = gap
    else:
        half[:-1] = gap
    return half


def own_events(recorded: pl.DataFrame, log: DoseLog) -> Int64:
    """Row of the dose event in the log that carries the plan's own sequence number on the same day."""
    if not recorded.height:
        return np.zeros(0, dtype=np.int64)
    events = (
        log.events.select(
            pl.col("subject_id").cast(pl.String),
            # SDTM: the key of an EC dose is its domain and sequence, the plan carries the sequence.
            plan_seq=pl.col("native_key").cast(pl.String).str.strip_prefix("EC-"),
            day=pl.col("start_local").dt.date(),
        )
        .with_row_index("event")
        .filter(pl.Series(log.given))
        .unique(["subject_id", "plan_seq", "day"], keep="first", maintain_order=True)
    )
    return (
        recorded.select("subject_id", "plan_seq", day=pl.col("planned_at").dt.date())
        .join(events, on=["subject_id", "plan_seq", "day"], how="left", maintain_order="left")["event"]
        .cast(pl.Int64)
        .fill_null(-1)
        .to_numpy()
    )
