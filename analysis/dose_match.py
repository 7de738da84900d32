"""Tables planned_dose and dose_match, made chunk by chunk of subjects so that memory stays flat.

At 7,000,000 planned doses the two tables take about 1.1 GB; the arrays of a chunk some 200 MB for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, categories, codes, day_number, micros
from analysis.dose_tables import HELD, LATE, MISSED, TAKEN, UNMONITORED, Labels, MatchedDoses
from analysis.matching import clipped_windows, match_events
from analysis.monitoring import monitored_days
from analysis.plan import Planner, period_of_days
from analysis.recorded_plans import UNSEEN, Plans, recorded_as_plans
from analysis.schedule import Span, Times, span_times
from store.protocol import Protocol

CHUNK_ROWS = 400_000
"""Planned doses plus dose events of a chunk of subjects (a subject is never split)."""


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
        self.log = log
        self._ids = [person["subject_id"] for person in planner.people]
        self._numbers = {name: number for number, name in enumerate(self._ids)}
        self._day_start = np.array([planner.day_start(i) for i in range(len(self._ids))], dtype=np.int64)
        self._holds = holds
        self._monitored_from, self._monitored_to = monitored_days(monitoring, self._numbers)
        lookup = period_of_days(periods, self._numbers)
        self._period_lookup = lookup[:3]
        self._has_periods = np.array([i in lookup[3] for i in range(len(self._ids))], dtype=np.bool_)
        self._number_events()
        known = recorded.filter(pl.col("subject_id").is_in(self._ids))
        self._recorded, self._reasons = recorded_as_plans(known, planner, self._numbers, log)
        self._units = self._common_units(recorded)

    def _number_events(self) -> None:
        """Subject and planned series of every schedulable event; -1 where no plan can expect it."""
        events = self.log.events
        of_category = np.array(
            [*(self._numbers.get(name, -1) for name in categories(events["subject_id"])), -1], dtype=np.int32
        )
        self._event_subject: Int32 = of_category[codes(events["subject_id"])]
        self._event_at = micros(events["start_local"])
        self._event_series = self._series_numbers()
        self._event_series[~self.log.schedulable] = -1

    def _common_units(self, recorded: pl.DataFrame) -> pl.Enum:
        """One Enum for the units of plans and events, so that they compare by number; the log is cast to it."""
        events, planner = self.log.events, self._planner
        named = {rule.unit for rule in self._protocol.dosing}
        named |= {row["amount_unit"] for rows in planner.prescriptions.values() for row in rows}
        named |= set(recorded["amount_unit"])
        named |= {*categories(events["amount_unit"]), *categories(events["volume_unit"])}
        units = pl.Enum(sorted(unit for unit in named if unit is not None))
        as_common = pl.col("amount_unit", "volume_unit").cast(pl.String if not self.log.height else units)
        self.log = replace(self.log, events=events.with_columns(as_common.cast(units)))
        return units

    def _series_numbers(self) -> Int32:
        events = self.log.events
        drugs, channels = categories(events["drug"]), categories(events["channel"])
        table = np.full((len(drugs) + 1, len(channels) + 1), -1, dtype=np.int32)
        named = self._planner.series
        only_drug = len({drug for drug, _ in named}) == 1
        for i, drug in enumerate([*drugs, None]):
            for j, channel in enumerate([*channels, None]):
                for wanted in ((drug, channel), (drug, None)):
                    if wanted in named:
                        table[i, j] = named.index(wanted)
                        break
                    if drug is None and only_drug and (named[0][0], wanted[1]) in named:
                        table[i, j] = named.index((named[0][0], wanted[1]))
                        break
        return np.asarray(table[codes(events["drug"]), codes(events["channel"])], dtype=np.int32)

    def _labels(self) -> Labels:
        return Labels(
            subjects=pl.Enum(self._ids),
            series=self._planner.series,
            amounts=list(self._planner.amounts.values),
            reasons=self._reasons,
            units=self._units,
            limit_pct=self._protocol.accuracy.conformity_pct,
        )

    def chunks(self) -> Iterator[tuple[MatchedDoses, Labels]]:
        """Matched doses of runs of subjects, in subject order, with what their numbers stand for."""
        spans: list[Span] = []
        first, rows = 0, 0
        bounds = np.searchsorted(self._event_subject, np.arange(len(self._ids) + 1))
        bounds[0] = 0
        for subject in range(len(self._ids)):
            own = self._planner.spans(subject)
            size = sum(span.count for span in own) + int(bounds[subject + 1] - bounds[subject])
            if rows and rows + size > CHUNK_ROWS:
                rows_of = slice(int(bounds[first]), int(bounds[subject]))
                yield self._chunk(first, subject, spans, rows_of), self._labels()
                spans, first, rows = [], subject, 0
            spans += own
            rows += size
        rows_of = slice(int(bounds[first]), int(bounds[-1]))
        yield self._chunk(first, len(self._ids), spans, rows_of), self._labels()

    def _chunk(self, first: int, last: int, spans: list[Span], rows: slice) -> MatchedDoses:
        plans = self._plans(first, last, spans)
        subject = plans.times.subject
        plan_day = (plans.times.at - self._day_start[subject]) // DAY_US
        # A generated plan knows its period; only recorded ones are looked up, by their day.
        period = plans.times.period.copy()
        inside = np.where(period >= 0, 1, -1).astype(np.int8)
        given = np.flatnonzero(plans.recorded)
        period[given], inside[given] = self._periods(subject[given], plan_day[given])
        event, late = self._match(plans, first, rows)
        matched = event >= 0
        held = self._held(first, last, subject, plan_day)
        status = np.full(subject.size, MISSED, dtype=np.uint8)
        status[~self._is_monitored(subject, plan_day) & (plans.occurred != 0)] = UNMONITORED
        status[plans.occurred == UNSEEN] = UNMONITORED
        status[held] = HELD
        status[matched | (plans.occurred == 1)] = TAKEN
        status[late & matched] = LATE
        extra = self._extra_events(first, subject, plans.times.series, event, rows)
        extra_subject = self._event_subject[extra]
        extra_day = self._event_days(extra, extra_subject)
        # The row of a dose belongs to the period of the day it was given, that of a missed one to its plan's.
        row_period, row_inside = period.copy(), inside.copy()
        if self._period_lookup[0].size:
            found = np.flatnonzero(matched)
            days = self._event_days(event[found], subject[found])
            row_period[found], row_inside[found] = self._periods(subject[found], days)
        extra_period, extra_inside = self._periods(extra_subject, extra_day)
        return MatchedDoses(
            rows=rows,
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
            extra_subject=extra_subject,
            extra_series=self._event_series[extra],
            extra_day=extra_day,
            row_period=np.concatenate([row_period, extra_period]),
            inside=np.concatenate([row_inside, extra_inside]),
        )

    def _plans(self, first: int, last: int, spans: list[Span]) -> Plans:
        """Recorded and generated planned doses of subjects first to last-1, by subject, time and series."""
        known, made = self._recorded, span_times(spans)
        lo, hi = np.searchsorted(known.times.subject, [first, last])
        if lo == hi:
            blank = np.full(made.size, -1, dtype=np.int32)
            none = np.full(made.size, -1, dtype=np.int64)
            plans = Plans(made, np.zeros(made.size, dtype=np.bool_), blank, none, blank)
            return (
                plans
                if _ascending(made.subject, made.at, made.series)
                else plans.take(np.lexsort((made.series, made.at, made.subject)))
            )
        part = slice(int(lo), int(hi))
        blank = np.full(made.size, -1, dtype=np.int32)
        both = [
            np.concatenate([getattr(known.times, name)[part], getattr(made, name)])
            for name in Times.__dataclass_fields__
        ]
        plans = Plans(
            Times(*both),
            np.concatenate([known.recorded[part], np.zeros(made.size, dtype=np.bool_)]),
            np.concatenate([known.occurred[part], blank]),
            np.concatenate([known.event[part], blank.astype(np.int64)]),
            np.concatenate([known.reason[part], blank]),
        )
        return plans.take(np.lexsort((plans.times.series, plans.times.at, plans.times.subject)))

    def _amounts(self, plans: Plans, period: Int32) -> Int32:
        """Number of each plan's amount: its own, else what the protocol plans for its series in its period."""
        amount = plans.times.amount.copy()
        lacking = np.flatnonzero(amount < 0)
        cases = np.stack([plans.times.subject[lacking], plans.times.series[lacking], period[lacking]], axis=1)
        distinct, which = np.unique(cases, axis=0, return_inverse=True)
        # A dose outside every known period of its subject has no planned amount.
        stated = [
            0
            if order < 0 and self._has_periods[subject]
            else self._planner.stated_amount(self._planner.series[series], subject, order if order >= 0 else None)
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

    def _match(self, plans: Plans, first: int, rows: slice) -> tuple[Int64, Mask]:
        """Row of the dose event of each plan (-1: none), and whether it was late."""
        times, own = plans.times, plans.event >= 0
        event = plans.event.copy()
        late = np.zeros(times.size, dtype=np.bool_)
        late[own] = self._event_at[event[own]] > times.at[own] + times.after[own]
        open_events = self._event_series[rows] >= 0
        open_events[event[own] - rows.start] = False
        candidates = np.flatnonzero(open_events) + rows.start
        count = len(self._planner.series)
        plan_group = (times.subject - first) * count + times.series
        event_group = (self._event_subject[candidates] - first) * count + self._event_series[candidates]
        at = times.at
        event_at = self._event_at[candidates]
        if self._planner.date_only:
            # The log states days: compare days, so that a planned clock time does not make midnight early.
            at = at // DAY_US * DAY_US
        elif self.log.date_only.any():
            event_at = self._at_plan_of_the_day(event_at, candidates, plan_group, at, event_group)
        order = slice(None) if _ascending(plan_group, at) else np.lexsort((at, plan_group))
        before, after = clipped_windows(plan_group[order], at[order], times.before[order], times.after[order])
        # A plan recorded as a day has that day, however many plans share it.
        timed = ~(plans.recorded & (times.after == DAY_US - 1))[order]
        times.before[order], times.after[order] = (
            np.where(timed, before, times.before[order]),
            np.where(timed, after, times.after[order]),
        )
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
        for position in np.flatnonzero(self.log.date_only[events]):
            lo, hi = np.searchsorted(plan_group, [event_group[position], event_group[position] + 1])
            later = lo + np.searchsorted(plan_at[lo:hi], event_at[position])
            if later < hi and plan_at[later] < event_at[position] + DAY_US:
                moved[position] = plan_at[later]
        return moved

    def _extra_events(self, first: int, subject: Int32, series: Int32, event: Int64, rows: slice) -> Int64:
        """Rows of the events of a planned series that no planned dose took, by subject, time, source and line."""
        count = len(self._planner.series)
        left = self._event_series[rows] >= 0
        left[event[event >= 0] - rows.start] = False
        candidates: Int64 = np.flatnonzero(left) + rows.start
        if not candidates.size or not subject.size:
            return np.zeros(0, dtype=np.int64)
        planned = np.zeros((int(subject[-1]) - first + 1) * count, dtype=np.bool_)
        planned[(subject - first) * count + series] = True
        group = (self._event_subject[candidates] - first) * count + self._event_series[candidates]
        candidates, group = candidates[group < planned.size], group[group < planned.size]
        extra: Int64 = candidates[planned[group]]
        return extra

    def _event_days(self, events: Int64, subject: Int32) -> Int64:
        if not self._event_at.size:
            return np.zeros(events.size, dtype=np.int64)
        shift = np.where(self.log.date_only[events], 0, self._day_start[subject])
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
