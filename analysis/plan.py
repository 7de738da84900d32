"""Planned doses: as the data record them first, else generated from the regimen of the subject's period; holds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analysis.dose_log import DAY_US, Int32, Int64, canonical_drug, day_number
from analysis.periods import treatment_periods
from analysis.schedule import (
    Amounts,
    Bounds,
    Series,
    Span,
    day_start_us,
    day_us,
    dosing_rule,
    dosing_series,
    rule_span,
    to_us,
)
from store.protocol import Dosing, Protocol


@dataclass
class Planner:
    """What planning needs, subject by subject: rules of the protocol, course and periods of each subject.

    Subjects are numbered by their position in ``people`` (course rows in subject order), series by theirs in
    ``series``, planned amounts by theirs in ``amounts``.
    """

    protocol: Protocol
    people: list[dict[str, Any]]
    periods: dict[str, list[dict[str, Any]]]
    recorded_series: dict[str, set[str | None]]
    prescriptions: dict[str, list[dict[str, Any]]]
    series: list[Series]
    amounts: Amounts
    doses_logged: bool
    """FALSE where the study holds no dose event: intervals of exposure tell nothing of single doses."""
    date_only: bool
    open_until_us: int | None

    def day_start(self, subject: int) -> int:
        """Start of the subject's dosing day after midnight, in microseconds; 0 where the log states days only."""
        return 0 if self.date_only else day_start_us(self.protocol, self.people[subject]["device_class"])

    def rule(self, series: Series, subject: int, period: int | None) -> Dosing | None:
        person = self.people[subject]
        return dosing_rule(self.protocol, series, person["arm_code"], period, person["subject_id"])

    def spans(self, subject: int) -> list[Span]:
        """Spans of the subject's generated doses, in time order; none before a first dose or for recorded series."""
        person = self.people[subject]
        if not self.doses_logged or person["first_dose"] is None or person["followed_to"] is None:
            return []
        bounds = self._bounds(subject)
        spans: list[Span] = []
        for number, series in enumerate(self.series):
            if series[0] in self.recorded_series.get(person["subject_id"], ()):
                continue
            for period, first, last in self._dosing_spans(subject):
                rule = self.rule(series, subject, period) or self._common_rule(series, subject, period)
                if rule is None or rule.kind not in ("scheduled", "titrated", "single"):
                    continue
                begin = max(first, person["first_dose"])
                end = min(last, bounds.last_day) if last is not None else bounds.last_day
                if end < begin:
                    continue
                limits = day_us(begin) + bounds.day_start_us, day_us(end) + DAY_US + bounds.day_start_us
                if begin == person["first_dose"]:
                    # A first dose in the small hours of a night that counts for the day before.
                    limits = min(limits[0], bounds.first_at_us), limits[1]
                for from_us, until_us, amount in self._amounts_over(rule, subject, limits):
                    span = rule_span(
                        rule,
                        bounds,
                        subject=subject,
                        series=number,
                        period=period,
                        from_us=from_us,
                        until_us=until_us,
                        amount=amount,
                    )
                    if span is not None:
                        spans.append(span)
        return spans

    def _bounds(self, subject: int) -> Bounds:
        person = self.people[subject]
        ongoing = person["recorded_end"] is None
        first_at, last_at = person["first_at"], person["last_at"]
        if first_at is None or first_at.date() > person["first_dose"]:
            first_at = dt.datetime.combine(person["first_dose"], dt.time())
        return Bounds(
            first_at_us=to_us(first_at),
            last_day=person["followed_to"],
            day_start_us=self.day_start(subject),
            open_until_us=self.open_until_us if ongoing and not self.date_only else None,
            last_at_us=to_us(last_at) if last_at is not None else None,
        )

    def _dosing_spans(self, subject: int) -> list[tuple[int | None, dt.date, dt.date | None]]:
        """Period order, first and last day of the subject's dosing; one span without period where none is known."""
        person = self.people[subject]
        rows = self.periods.get(person["subject_id"], [])
        begun = [row for row in rows if row["actual_start"] is not None] or rows
        known = [row for row in begun if row["first_dose_date"] is not None]
        if not begun or any(row["first_dose_date"] is None and row["actual_start"] is not None for row in begun):
            return [(None, person["first_dose"], None)]
        return [(row["period_order"], row["first_dose_date"], row["last_dose_date"]) for row in known]

    def _common_rule(self, series: Series, subject: int, period: int | None) -> Dosing | None:
        """For days of no known period: the rule all periods of the arm share but for the amount, which is then open."""
        arm = self.protocol.arm_of(self.people[subject]["arm_code"] or "")
        if period is not None or arm is None:
            return None
        rules = [self.rule(series, subject, each.order) for each in treatment_periods(arm)]
        stripped = {
            rule.model_copy(update={"amount": None, "unit": None, "period": None}) if rule else None for rule in rules
        }
        return stripped.pop() if len(stripped) == 1 else None

    def _amounts_over(self, rule: Dosing, subject: int, limits: tuple[int, int]) -> list[tuple[int, int, int]]:
        """Stretches of one planned amount: the whole span, or for titrated dosing from prescription to prescription."""
        begin, end = limits
        if rule.kind != "titrated":
            return [(begin, end, self.amounts.number((rule.amount, rule.unit)))]
        name = canonical_drug(rule.drug, self.protocol)
        stretches = []
        dated = [
            row
            for row in self.prescriptions.get(self.people[subject]["subject_id"], [])
            if canonical_drug(row["drug"], self.protocol) in (name, None) and row["channel"] in (rule.channel, None)
        ]
        for position, row in enumerate(dated):
            from_us = max(begin, to_us(row["start_at"]))
            until = row["end_at"] or (dated[position + 1]["start_at"] if position + 1 < len(dated) else None)
            until_us = end if until is None else min(end, to_us(until))
            if from_us < until_us:
                stretches.append((from_us, until_us, self.amounts.number((row["planned_amount"], row["amount_unit"]))))
        return stretches

    def stated_amount(self, series: Series, subject: int, period: int | None) -> int:
        """Number of the amount the protocol plans for a dose of the series in a period.

        A dose of no known period has one only where every period of the arm plans the same.
        """
        arm = self.protocol.arm_of(self.people[subject]["arm_code"] or "")
        orders: list[int | None] = [period]
        if period is None and arm is not None:
            orders = [each.order for each in treatment_periods(arm)] or [None]
        rules = [self.rule(series, subject, order) for order in orders]
        stated = {
            (rule.amount, rule.unit) if rule is not None and rule.kind in ("scheduled", "single") else (None, None)
            for rule in rules
        }
        return self.amounts.number(stated.pop()) if len(stated) == 1 else 0


def period_of_days(periods: pl.DataFrame, numbers: dict[str, int]) -> tuple[Int64, Int32, Int64, set[int]]:
    """Periods as sorted arrays for look-up by subject and day: key, order, last day; and who has them.

    The key is subject number * 2^32 + first day. Where a period began whose boundary the protocol does not state,
    the subject has none: no dose of theirs is given a period.
    """
    keys, orders, lasts = [], [], []
    having: set[int] = set()
    unsure: set[int] = set()
    for row in periods.iter_rows(named=True):
        number = numbers[row["subject_id"]]
        if row["first_dose_date"] is None:
            if row["actual_start"] is not None:
                unsure.add(number)
            continue
        having.add(number)
        keys.append((number << 32) + day_number(row["first_dose_date"]))
        orders.append(row["period_order"])
        lasts.append(day_number(row["last_dose_date"]) if row["last_dose_date"] is not None else 2**31)
    sure = [i for i, key in enumerate(keys) if key >> 32 not in unsure]
    sure.sort(key=keys.__getitem__)
    return (
        np.array([keys[i] for i in sure], dtype=np.int64),
        np.array([orders[i] for i in sure], dtype=np.int32),
        np.array([lasts[i] for i in sure], dtype=np.int64),
        having - unsure,
    )


def series_of(protocol: Protocol, recorded: pl.DataFrame) -> list[Series]:
    """Every planned series: those of the protocol, then those only the data name."""
    named = [(drug, channel) for drug, channel in recorded.select("drug", "channel").unique().sort(pl.all()).rows()]
    return list(dict.fromkeys([*dosing_series(protocol), *((drug or "", channel) for drug, channel in named)]))
