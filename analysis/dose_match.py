"""Tables planned_dose and dose_match, made chunk by chunk of subjects so that memory stays flat.

At 7,000,000 planned doses the two tables take about 1.1 GB; the arrays of a chunk some 200 MB for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, categories, codes, day_number, micros
from analysis.dose_tables import HELD, LATE, MISSED, TAKEN, UNMONITORED, Labels, MatchedDoses
from analysis.matching import match_events
from analysis.monitoring import monitored_days
from analysis.plan import Planner, period_of_days, recorded_times
from analysis.schedule import Span, Times, span_times
from store.protocol import Protocol

CHUNK_ROWS = 500_000
"""Planned doses plus dose events of a chunk of subjects (a subject is never split)."""


@dataclass
class _Plans:
    """Planned doses of a chunk in subject and time order, with what was recorded about them."""

    times: Times
    recorded: Mask
    occurred: Int32
    """1 taken, 0 not taken, -1 the record does not say."""
    event: Int64
    """Row of the dose event that is part of the same record, -1 for none."""
    reason: Int32


class DoseMatcher:
    """Makes the chunks; holds what all of them share."""

    def __init__(
        self,
        protocol: Protocol,
        planner: Planner,
        log: DoseLog,
        recorded: pl.DataFrame,
        periods: pl.DataFrame,
        holds: pl.DataFrame,
        monitoring: pl.DataFrame,
    ) -> None:
        self._protocol = protocol
        self._planner = planner
        self._log = log
        self._ids = [person["subject_id"] for person in planner.people]
        self._numbers = {name: number for number, name in enumerate(self._ids)}
        self._day_start = np.array([planner.day_start(i) for i in range(len(self._ids))], dtype=np.int64)
        self._holds = holds
        self._monitored_from, self._monitored_to = monitored_days(monitoring, self._numbers)
        lookup = period_of_days(periods, self._numbers)
        self._period_lookup = lookup[:3]
        self._with_periods = lookup[3]
        self._has_periods = np.array([i in lookup[3] for i in range(len(self._ids))], dtype=np.bool_)
        self._number_events()
        self._number_recorded(recorded)

    def _number_events(self) -> None:
        """Subject and planned series of every schedulable event; -1 where no plan can expect it."""
        events = self._log.events
        of_category = np.array(
            [*(self._numbers.get(name, -1) for name in categories(events["subject_id"])), -1], dtype=np.int32
        )
        self._event_subject: Int32 = of_category[codes(events["subject_id"])]
        self._event_at = micros(events["start_local"])
        self._event_series = self._series_numbers()
        self._event_series[~self._log.schedulable] = -1

    def _series_numbers(self) -> Int32:
        events = self._log.events
        drugs, channels = categories(events["drug"]), categories(events["channel"])
        table = np.full((len(drugs) + 1, len(channels) + 1), -1, dtype=np.int32)
        named = self._planner.series
        only_drug = len({drug for drug, _ in named}) == 1
        for i, drug in enumerate([*drugs, None]):
            for j, channel in enumerate([*channels, None]):
                for wanted in ((drug, channel), (drug, None)):
                    if wanted in named:
                        table[i, j] = named.index(wanted)  # type: ignore[arg-type]
                        break
                    if drug is None and only_drug and (named[0][0], wanted[1]) in named:
                        table[i, j] = named.index((named[0][0], wanted[1]))
                        break
        return np.asarray(table[codes(events["drug"]), codes(events["channel"])], dtype=np.int32)

    def _number_recorded(self, recorded: pl.DataFrame) -> None:
        known = recorded.filter(pl.col("subject_id").is_in(self._ids))
        subject = np.array([self._numbers[name] for name in known["subject_id"]], dtype=np.int32)
        series = np.array(
            [self._planner.series.index((drug or "", channel)) for drug, channel in known.select("drug", "channel").rows()],
            dtype=np.int32,
        )
        times = recorded_times(known, self._planner, subject, series)
        reasons = known["reason"].unique().drop_nulls().sort().to_list()
        self._reasons: list[str] = reasons
        number = {reason: i for i, reason in enumerate(reasons)}
        amounts = [
            self._planner.amounts.number(pair) if pair[0] is not None else -1
            for pair in known.select("planned_amount", "amount_unit").rows()
        ]
        self._recorded = _Plans(
            Times(times.subject, times.series, times.period, times.at, times.before, times.after,
                  np.array(amounts, dtype=np.int32)),
            np.ones(times.size, dtype=np.bool_),
            known["occurred"].cast(pl.Int32).fill_null(-1).to_numpy(),
            self._own_events(known),
            np.array([number.get(reason, -1) for reason in known["reason"]], dtype=np.int32),
        )  # fmt: skip

    def _own_events(self, recorded: pl.DataFrame) -> Int64:
        """Row of the dose event in the log that carries the plan's own sequence number on the same day."""
        if not recorded.height:
            return np.zeros(0, dtype=np.int64)
        events = (
            self._log.events.select(
                pl.col("subject_id").cast(pl.String),
                plan_seq=pl.col("native_key").cast(pl.String),
                day=pl.col("start_local").dt.date(),
            )
            .with_row_index("event")
            .filter(pl.Series(self._log.given))
            .unique(["subject_id", "plan_seq", "day"], keep="first", maintain_order=True)
        )
        return (
            recorded.select("subject_id", "plan_seq", day=pl.col("planned_at").dt.date())
            .join(events, on=["subject_id", "plan_seq", "day"], how="left", maintain_order="left")["event"]
            .cast(pl.Int64)
            .fill_null(-1)
            .to_numpy()
        )

    @property
    def labels(self) -> Labels:
        """What turns the numbers of a chunk into columns."""
        return Labels(
            subjects=pl.Enum(self._ids),
            series=self._planner.series,
            amounts=self._planner.amounts.values,
            reasons=self._reasons,
            limit_pct=self._protocol.accuracy.conformity_pct,
        )

    def chunks(self) -> Iterator[MatchedDoses]:
        """Both tables for runs of subjects, in subject order."""
        spans: list[Span] = []
        first, rows = 0, 0
        bounds = np.searchsorted(self._event_subject, np.arange(len(self._ids) + 1))
        for subject in range(len(self._ids)):
            own = self._planner.spans(subject)
            size = sum(span.count for span in own) + int(bounds[subject + 1] - bounds[subject])
            if rows and rows + size > CHUNK_ROWS:
                yield self._chunk(first, subject, spans, slice(int(bounds[first]), int(bounds[subject])))
                spans, first, rows = [], subject, 0
            spans += own
            rows += size
        yield self._chunk(first, len(self._ids), spans, slice(int(bounds[first]), int(bounds[-1])))

    def _chunk(self, first: int, last: int, spans: list[Span], rows: slice) -> MatchedDoses:
        plans = self._plans(first, last, spans)
        subject = plans.times.subject
        plan_day = (plans.times.at - self._day_start[subject]) // DAY_US
        looked_up, _ = self._periods(subject, plan_day)
        period = np.where(plans.recorded, looked_up, plans.times.period).astype(np.int32)
        event, late = self._match(plans, first, rows)
        matched = event >= 0
        held = self._held(first, last, subject, plan_day)
        status = np.full(subject.size, MISSED, dtype=np.uint8)
        status[~self._is_monitored(subject, plan_day) & (plans.occurred != 0)] = UNMONITORED
        status[held] = HELD
        status[matched | (plans.occurred == 1)] = TAKEN
        status[late & matched] = LATE
        extra = self._extra_events(subject, plans.times.series, event, rows)
        row_subject = np.concatenate([subject, self._event_subject[extra]])
        event_day = self._event_days(np.concatenate([np.maximum(event, 0), extra]), row_subject)
        row_day = np.where(np.concatenate([matched, np.ones(extra.size, dtype=np.bool_)]), event_day,
                           np.concatenate([plan_day, np.zeros(extra.size, dtype=np.int64)]))  # fmt: skip
        row_period, inside = self._periods(row_subject, row_day)
        return MatchedDoses(
            times=plans.times,
            recorded=plans.recorded,
            reason=plans.reason,
            period=period,
            amount=self._amounts(plans, period),
            held=held,
            plan_day=plan_day,
            status=status,
            event=event,
            extra=extra,
            extra_subject=self._event_subject[extra],
            extra_series=self._event_series[extra],
            extra_day=event_day[subject.size :],
            row_period=row_period,
            inside=inside,
        )

    def _plans(self, first: int, last: int, spans: list[Span]) -> _Plans:
        """Recorded and generated planned doses of subjects first to last-1, by subject, time and series."""
        known, made = self._recorded, span_times(spans)
        lo, hi = np.searchsorted(known.times.subject, [first, last])
        part = slice(int(lo), int(hi))
        blank = np.full(made.size, -1, dtype=np.int32)
        both = [
            np.concatenate([getattr(known.times, name)[part], getattr(made, name)])
            for name in ("subject", "series", "period", "at", "before", "after", "amount")
        ]
        others = [
            np.concatenate([known.recorded[part], np.zeros(made.size, dtype=np.bool_)]),
            np.concatenate([known.occurred[part], blank]),
            np.concatenate([known.event[part], blank.astype(np.int64)]),
            np.concatenate([known.reason[part], blank]),
        ]
        subject, series, at = both[0], both[1], both[3]
        if not _ascending(subject, at, series):
            order = np.lexsort((series, at, subject))
            both = [values[order] for values in both]
            others = [values[order] for values in others]
        return _Plans(Times(*both), others[0], others[1], others[2], others[3])

    def _amounts(self, plans: _Plans, period: Int32) -> Int32:
        """Number of each plan's amount: its own, else what the protocol plans for its series in its period."""
        amount = plans.times.amount.copy()
        lacking = np.flatnonzero(amount < 0)
        cases = np.stack([plans.times.subject[lacking], plans.times.series[lacking], period[lacking]], axis=1)
        distinct, which = np.unique(cases, axis=0, return_inverse=True)
        stated = [
            self._planner.stated_amount(self._planner.series[series], subject, order if order >= 0 else None)
            if order >= 0 or subject not in self._with_periods
            else self._planner.amounts.number((None, None))
            for subject, series, order in distinct.tolist()
        ]
        amount[lacking] = np.array(stated, dtype=np.int32)[which.reshape(-1)]
        return amount

    def _periods(self, subject: Int32, day: Int64) -> tuple[Int32, npt.NDArray[np.int8]]:
        """Period order of each day (-1: none), and whether it lies inside one (1, 0; -1: not known)."""
        keys, orders, lasts = self._period_lookup
        inside = np.full(subject.size, -1, dtype=np.int8)
        period = np.full(subject.size, -1, dtype=np.int32)
        if not keys.size:
            return period, inside
        at = np.searchsorted(keys, (subject.astype(np.int64) << 32) + day, side="right") - 1
        found = np.maximum(at, 0)
        hit = (at >= 0) & (keys[found] >> 32 == subject) & (day <= lasts[found])
        period[hit] = orders[found[hit]]
        inside[self._has_periods[subject]] = 0
        inside[hit] = 1
        return period, inside

    def _held(self, first: int, last: int, subject: Int32, day: Int64) -> Mask:
        held = np.zeros(subject.size, dtype=np.bool_)
        for row in self._holds.iter_rows(named=True):
            number = self._numbers.get(row["subject_id"], -1)
            if first <= number < last:
                lo, hi = np.searchsorted(subject, [number, number + 1])
                begin, end = day_number(row["start_date"]), day_number(row["end_date"])
                held[lo:hi] |= (day[lo:hi] >= begin) & (day[lo:hi] <= end)
        return held

    def _is_monitored(self, subject: Int32, day: Int64) -> Mask:
        return np.asarray((day >= self._monitored_from[subject]) & (day <= self._monitored_to[subject]))

    def _match(self, plans: _Plans, first: int, rows: slice) -> tuple[Int64, Mask]:
        """Row of the dose event of each plan (-1: none), and whether it was late."""
        times, own = plans.times, plans.event >= 0
        event = plans.event.copy()
        late = np.zeros(times.size, dtype=np.bool_)
        late[own] = self._event_at[event[own]] > times.at[own] + times.after[own]
        candidates = np.flatnonzero(self._event_series[rows] >= 0) + rows.start
        if own.any():
            candidates = np.setdiff1d(candidates, event[own], assume_unique=True)
        count = len(self._planner.series)
        plan_group = (times.subject - first) * count + times.series
        event_group = (self._event_subject[candidates] - first) * count + self._event_series[candidates]
        at = times.at
        event_at = self._event_at[candidates]
        if self._planner.date_only:
            # The log states days: compare days, so that a planned clock time does not make midnight early.
            at = at // DAY_US * DAY_US
        elif self._log.date_only.any():
            event_at = self._at_plan_of_the_day(event_at, candidates, plan_group, at, event_group)
        order = slice(None) if _ascending(plan_group, at) else np.lexsort((at, plan_group))
        event_order = slice(None) if _ascending(event_group, event_at) else np.lexsort((event_at, event_group))
        index = np.arange(times.size)[order]
        result = match_events(
            plan_group[order],
            at[order],
            times.before[order],
            times.after[order],
            event_group[event_order],
            event_at[event_order],
            taken_plans=(own | (plans.occurred >= 0))[order],
        )
        hit = result.plan >= 0
        plan = index[result.plan[hit]]
        event[plan] = candidates[event_order][hit]
        late[plan] = result.late[hit]
        return event, late

    def _at_plan_of_the_day(
        self, event_at: Int64, events: Int64, plan_group: Int32, plan_at: Int64, event_group: Int32
    ) -> Int64:
        """Times with date-only events moved to the planned time of their day, where there is one."""
        moved = event_at.copy()
        for position in np.flatnonzero(self._log.date_only[events]):
            lo, hi = np.searchsorted(plan_group, [event_group[position], event_group[position] + 1])
            later = lo + np.searchsorted(plan_at[lo:hi], event_at[position])
            if later < hi and plan_at[later] < event_at[position] + DAY_US:
                moved[position] = plan_at[later]
        return moved

    def _extra_events(self, subject: Int32, series: Int32, event: Int64, rows: slice) -> Int64:
        """Rows of the events of a planned series that no planned dose took, by subject, time, source and line."""
        count = len(self._planner.series)
        planned = np.unique(subject * count + series)
        candidates = np.flatnonzero(self._event_series[rows] >= 0) + rows.start
        group = self._event_subject[candidates] * count + self._event_series[candidates]
        candidates = candidates[np.isin(group, planned)]
        return np.setdiff1d(candidates, event[event >= 0], assume_unique=True)

    def _event_days(self, events: Int64, subject: Int32) -> Int64:
        if not self._event_at.size:
            return np.zeros(events.size, dtype=np.int64)
        shift = np.where(self._log.date_only[events], 0, self._day_start[subject])
        return np.asarray((self._event_at[events] - shift) // DAY_US)


def _ascending(*keys: npt.NDArray[Any]) -> bool:
    """Whether rows are sorted by the keys, the first key first."""
    if keys[0].size < 2:
        return True
    tied = np.ones(keys[0].size - 1, dtype=np.bool_)
    for key in keys:
        if bool((tied & (key[1:] < key[:-1])).any()):
            return False
        tied &= key[1:] == key[:-1]
    return True
