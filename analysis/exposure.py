"""Exposure: duration, cumulative and average daily dose, dose intensity, from recorded intervals or dose events."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analysis.arms import StudyView
from analysis.dose_log import canonical_drug
from analysis.enrolment import distribution
from analysis.not_assessable import missing_lines
from analysis.populations import DERIVED_POPULATIONS
from analysis.rates import DAYS_PER_YEAR
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows
from analysis.schedule import doses_per_day

INTERVALS = "recorded intervals"
DOSE_EVENTS = "dose events"
COMPLETE_ONLY = "recorded intervals, subjects with a complete record"

DOSES_PER_DAY = {
    "QD": 1.0,
    "BID": 2.0,
    "TID": 3.0,
    "QID": 4.0,
    "QOD": 0.5,
    "EVERY WEEK": 1 / 7,
    "QW": 1 / 7,
    "EVERY 2 WEEKS": 1 / 14,
    "Q2W": 1 / 14,
    "EVERY 3 WEEKS": 1 / 21,
    "Q3W": 1 / 21,
    "EVERY 4 WEEKS": 1 / 28,
    "Q4W": 1 / 28,
}
"""Doses a day of a frequency (CDISC C71113); an interval without a frequency counts one dose a day."""


@dataclass(frozen=True)
class SubjectExposure:
    """One drug in one subject: days and doses counted, exact total amount (None: units or frequency unclear)."""

    subject_id: str
    drug: str
    unit: str | None
    days: int
    doses: int
    total: Decimal | None
    first: dt.date
    last: dt.date
    open_intervals: int

    @property
    def per_day(self) -> float | None:
        """Average daily dose."""
        return float(self.total / self.days) if self.total is not None and self.days else None


def interval_exposure(view: StudyView) -> list[SubjectExposure]:
    """Exposure from the recorded intervals: sum of amount x doses, both ends of an interval counted.

    An interval without a recorded end ends the day before the subject's next one, else with the recorded end of
    treatment, else on the day the subject was followed to; how many were closed so stands in ``open_intervals``.
    """
    rows = view.frames(
        "exposure",
        ["subject_id", "exposure_seq", "drug", "amount", "amount_unit", "frequency", "start_date", "end_date"],
    ).sort("subject_id", "drug", "start_date", "exposure_seq", nulls_last=True)
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        name = canonical_drug(row["drug"], view.protocol) or ""
        grouped.setdefault((row["subject_id"], name), []).append(row)
    return [_summed(view, subject, drug, group) for (subject, drug), group in sorted(grouped.items())]


def _summed(view: StudyView, subject_id: str, drug: str, rows: list[dict[str, Any]]) -> SubjectExposure:
    days = doses = unended = 0
    total: Decimal | None = Decimal(0)
    units = {row["amount_unit"] for row in rows if row["amount"] is not None}
    last = rows[0]["start_date"]
    for position, row in enumerate(rows):
        start, end = row["start_date"], row["end_date"]
        if end is None:
            following = rows[position + 1]["start_date"] if position + 1 < len(rows) else None
            end = _closed(view, subject_id, start, following)
            unended += 1
        length = max((end - start).days + 1, 0)
        per_day = DOSES_PER_DAY.get((row["frequency"] or "QD").upper())
        given = None if per_day is None else math.ceil(length * per_day - 1e-9)
        days, last = days + length, max(last, end)
        doses += given or 0
        if total is not None:
            unclear = given is None or row["amount"] is None or len(units) != 1
            total = None if unclear else total + row["amount"] * (given or 0)
    unit = next(iter(units)) if len(units) == 1 else None
    return SubjectExposure(subject_id, drug, unit, days, doses, total, rows[0]["start_date"], last, unended)


def _closed(view: StudyView, subject_id: str, start: dt.date, following: dt.date | None) -> dt.date:
    if following is not None:
        return max(start, following - dt.timedelta(days=1))
    person = view.people.get(subject_id, {})
    return max(start, person.get("recorded_end") or person.get("followed_to") or start)


def event_exposure(view: StudyView) -> list[SubjectExposure]:
    """Exposure from dose events: days from first to last given dose, sum of the delivered amounts (exact)."""
    log = view.log
    if not log.height or log.is_blank("delivered_amount"):
        return []
    # Given or not is a key of the groups: filtering first copies the amounts of every dose (300 MB of 7,000,000).
    entries = log.events.select("subject_id", "drug", "amount_unit", "delivered_amount", "start_local")
    rows = (
        entries.with_columns(pl.Series("given", log.given))
        .group_by("subject_id", "drug", "given")
        .agg(
            pl.len().alias("doses"),
            pl.col("delivered_amount").sum().alias("total"),
            pl.col("delivered_amount").is_null().sum().alias("unknown"),
            pl.col("amount_unit").n_unique().alias("units"),
            pl.col("amount_unit").first().alias("unit"),
            pl.col("start_local").min().dt.date().alias("first"),
            pl.col("start_local").max().dt.date().alias("last"),
        )
        .filter("given")
        .with_columns(pl.col("subject_id", "drug", "unit").cast(pl.String))
        .sort("subject_id", "drug", nulls_last=True)
    )
    return [
        SubjectExposure(
            row["subject_id"],
            row["drug"] or "",
            row["unit"] if row["units"] == 1 else None,
            (row["last"] - row["first"]).days + 1,
            row["doses"],
            row["total"] if row["units"] == 1 and not row["unknown"] else None,
            row["first"],
            row["last"],
            0,
        )
        for row in rows.iter_rows(named=True)
    ]


def treatment_spans(view: StudyView) -> dict[str, tuple[dt.date, dt.date]]:
    """First and last treated day of each subject: of the recorded intervals, else of the dose events."""
    spans: dict[str, tuple[dt.date, dt.date]] = {}
    for one in interval_exposure(view) or event_exposure(view):
        first, last = spans.get(one.subject_id, (one.first, one.last))
        spans[one.subject_id] = min(first, one.first), max(last, one.last)
    return spans


def compute_exposure(view: StudyView) -> ResultRows:
    """Rows of analysis ``exposure`` in the safety population and every supplied one, by arm and drug.

    Recorded intervals come first; with dose events beside them both are given, told apart by estimand. Subjects
    whose last interval has no recorded end are in the default figures under the stated rule, and left out of the
    estimand of complete records.
    """
    recorded, events = interval_exposure(view), event_exposure(view)
    populations = ["safety", *sorted(view.populations.keys() - {*DERIVED_POPULATIONS})]
    out = result_rows("exposure", "safety", view.cut)
    unended = sum(one.open_intervals for one in recorded)
    for population in dict.fromkeys(populations):
        named = out.within(population=population)
        if recorded:
            rule = "sum of amount x doses over recorded intervals, both ends counted"
            if unended:
                rule += (
                    f"; {unended} intervals without a recorded end were closed the day before the next one, "
                    "else at the recorded end of treatment"
                )
            _table(named.within(method=rule), view, population, recorded)
            if unended:
                complete = [one for one in recorded if not one.open_intervals]
                rule = f"{len(recorded) - len(complete)} subjects with an interval without a recorded end left out"
                _table(named.within(estimand=COMPLETE_ONLY, method=rule), view, population, complete)
        if events:
            rule = "first to last dose event; sum of delivered amounts"
            _table(named.within(estimand=DOSE_EVENTS if recorded else None, method=rule), view, population, events)
    return out


def _table(out: ResultRows, view: StudyView, population: str, exposures: list[SubjectExposure]) -> None:
    members = view.members(population)
    for drug in sorted({one.drug for one in exposures}):
        of_drug = {one.subject_id: one for one in exposures if one.drug == drug}
        for arm, people in view.layout.groups(members):
            own = [of_drug[person] for person in people if person in of_drug]
            if not own and arm != ALL_ARMS:
                continue
            named = out.within(arm=arm, drug=drug or None, subjects=len(own))
            days = [float(one.days) for one in own]
            distribution(named.within(unit="d"), "treatment_duration", days)
            years = math.fsum(days) / DAYS_PER_YEAR
            named.add("person_time", "sum", years, unit="a", numerator=math.fsum(days), denominator=DAYS_PER_YEAR)
            distribution(named.within(unit="1"), "number_of_doses", [float(one.doses) for one in own])
            _amounts(named, own)
            _intensity(named, view, arm, own)


def _amounts(out: ResultRows, own: list[SubjectExposure]) -> None:
    units = {one.unit for one in own}
    totals = [one.total for one in own]
    if len(units) != 1 or None in units or any(total is None for total in totals):
        sentence = "not assessable: amounts, their unit or the dosing frequency are not stated for every dose"
        for parameter in ("cumulative_dose", "average_daily_dose"):
            out.not_assessable(parameter, sentence, statistic="mean")
        return
    unit = units.pop()
    distribution(out.within(unit=unit), "cumulative_dose", [float(total) for total in totals if total is not None])
    daily = [one.per_day for one in own]
    distribution(out.within(unit=f"{unit}/d"), "average_daily_dose", [each for each in daily if each is not None])


def planned_total(view: StudyView, one: SubjectExposure, periods: list[dict[str, Any]]) -> Decimal | None:
    """What the protocol planned from the subject's first to last treated day; None when a line is missing."""
    person = view.people[one.subject_id]
    total = Decimal(0)
    for period in periods:
        if period["first_dose_date"] is None:
            if period["actual_start"] is not None:
                return None
            continue
        rule = view.protocol.dosing_for(person["arm_code"], period["period_order"], one.subject_id)
        per_day = doses_per_day(rule) if rule is not None else None
        if rule is None or rule.amount is None or per_day is None:
            return None
        begin = max(period["first_dose_date"], one.first)
        end = min(period["last_dose_date"] or one.last, one.last)
        if begin <= end:
            total += rule.amount * Decimal(repr(per_day)) * ((end - begin).days + 1)
    return total


def _intensity(out: ResultRows, view: StudyView, arm: str, own: list[SubjectExposure]) -> None:
    """Relative dose intensity: 100 x cumulative dose / planned dose over the treated days; NULL for planned 0."""
    sentence = missing_lines(view.protocol, None if arm == ALL_ARMS else arm)
    periods: dict[str, list[dict[str, Any]]] = {}
    for row in view.frames("treatment_period").sort("subject_id", "period_order").iter_rows(named=True):
        periods.setdefault(row["subject_id"], []).append(row)
    planned = {one.subject_id: planned_total(view, one, periods.get(one.subject_id, [])) for one in own}
    if sentence is None and any(value is None for value in planned.values()):
        sentence = "not assessable: protocol.toml does not state [[dosing]] amount and every_h or at of every period"
    if sentence is not None:
        out.not_assessable("dose_intensity", sentence, statistic="mean", unit="%")
        return
    shares = [
        100.0 * float(one.total / wanted)
        for one in own
        if one.total is not None and (wanted := planned[one.subject_id])
    ]
    method = "100 x cumulative dose / planned dose of the same days; subjects whose planned dose is 0 have none"
    distribution(out.within(unit="%", method=method), "dose_intensity", shares)
