"""Initiation, implementation and persistence apart (Vrijens 2012), with coverage, drug holidays and CMA1-CMA9."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from analysis.arms import StudyView
from analysis.clustered import mean_interval
from analysis.compliance_days import DayCounts
from analysis.dose_log import categories, codes, day_number, micros
from analysis.medication_availability import availability, longest_runs, supply_days
from analysis.proportions import clopper_pearson
from analysis.result_rows import ResultRows, result_rows
from analysis.survival import kaplan_meier

HOLIDAY_DAYS = 3
"""A drug holiday is at least this many days in a row without a dose (72 hours)."""

LANDMARKS = (28, 56, 84, 168, 364, 728)

ESTIMAND = (
    "population: {population}; variable: planned doses given, per subject and pooled; intercurrent events: "
    "discontinuation - while on treatment (compliance_planned: treatment policy); hold by the investigator - doses not "
    "expected; death - while alive; time without data - not counted (three sensitivity rows); rescue doses - left out"
)

CMA_WORDS = (
    "days supplied, first to before last dose / days first to last dose; may exceed 1",
    "days supplied / days first dose to end; may exceed 1",
    "CMA1, at most 1",
    "CMA2, at most 1",
    "days covered, supplies one after the other / days first to last dose",
    "days covered / days first dose to end",
    "as CMA6 with supplies from before; none here, day 0 is the first dose",
    "as CMA7, the start moved past supplies from before; none here",
    "mean share of the days available in each interval, carried over",
)


@dataclass
class SubjectDays:
    """One subject's days in one series, in order, as days since 1970."""

    subject_id: str
    day: np.ndarray
    doses: np.ndarray
    planned: np.ndarray
    """Doses planned, monitored or not, held ones too."""
    due: np.ndarray
    """Doses expected and monitored."""
    given: np.ndarray
    unmonitored: np.ndarray
    cma: list[float | None] = field(default_factory=list)
    holidays: list[int] = field(default_factory=list)


def compute_adherence_course(view: StudyView) -> ResultRows:
    """Rows of analysis ``compliance``: time to initiation and persistence (Kaplan-Meier), share of the persistent who
    took what was due by week, drug holidays, therapeutic coverage and CMA1-CMA9, by arm, drug and channel.
    """
    members = view.members("compliance_evaluable")
    out = result_rows("compliance", "compliance_evaluable", view.cut)
    _initiation(out.within(analysis="enrolment", population="enrolled"), view)
    accountability_rows(out.within(analysis="exposure", population="safety"), view)
    status = view.frames("subject", ["subject_id", "status"]).with_columns(pl.col("status").cast(pl.String))
    stopped = set(status.filter(pl.col("status") == "discontinued")["subject_id"])
    series: dict[tuple[str | None, str | None], list[SubjectDays]] = {}
    for part in view.counts.days:
        for drug, channel, one in _subjects(view, part, members):
            series.setdefault((drug, channel), []).append(one)
    for key in sorted(series, key=lambda key: tuple(word or "" for word in key)):
        by_class: dict[str | None, list[SubjectDays]] = {}
        for one in sorted(series[key], key=lambda one: one.subject_id):
            by_class.setdefault(view.people[one.subject_id]["device_class"], []).append(one)
        for device_class in sorted(by_class, key=lambda name: name or ""):
            named = out.within(drug=key[0], channel=key[1], device_class=device_class)
            named.add(
                "estimand", "definition", None, method=ESTIMAND.format(population="compliance evaluable"), arm="ALL"
            )
            people = {one.subject_id: one for one in by_class[device_class]}
            coverage = _coverage(view, key[0])
            for arm, group in view.layout.groups(members):
                own = [people[person] for person in group if person in people]
                if own:
                    _persistence(named.within(arm=arm), own, stopped)
                    _weeks(named.within(arm=arm), own)
                    _measures(named.within(arm=arm), own, coverage)
    return out


def _subjects(
    view: StudyView, part: DayCounts, members: frozenset[str]
) -> list[tuple[str | None, str | None, SubjectDays]]:
    """Days from the first dose to the end of treatment or the day followed to."""
    found = []
    for begin, end, subject, drug, channel in part.series():
        person = view.people.get(subject)
        if subject not in members or person is None or person["first_dose"] is None or person["followed_to"] is None:
            continue
        day = part.day[begin:end].astype(np.int64)
        first, last = day_number(person["first_dose"]), day_number(person["followed_to"])
        rows = np.flatnonzero((day >= first) & (day <= last)) + begin
        counts = [np.asarray(values[rows], dtype=np.int64) for values in (
            part.given + part.extra, part.given + part.missed + part.unmonitored + part.held,
            part.given + part.missed, part.given, part.unmonitored,
        )]  # fmt: skip
        if not rows.size or not counts[0].any():
            continue
        doses, planned_doses, due, given, unmonitored = counts
        one = SubjectDays(subject, part.day[rows].astype(np.int64), doses, planned_doses, due, given, unmonitored)
        dosed = np.flatnonzero(one.doses)
        start = one.day[dosed[0]]
        planned = np.flatnonzero(one.planned)
        supply = supply_days(
            one.day[planned].astype(np.float64), one.planned[planned].astype(np.float64),
            one.day[dosed].astype(np.float64), one.doses[dosed].astype(np.float64),
        )  # fmt: skip
        one.cma = availability((one.day[dosed] - start).astype(np.float64), supply, float(last - start + 1))
        within = (one.day >= start) & (one.day <= one.day[dosed[-1]])
        without = within & (one.doses == 0) & (one.due > 0) & (one.unmonitored == 0)
        one.holidays = [n for _, n in longest_runs(without, one.day.astype(np.float64), HOLIDAY_DAYS)]
        found.append((drug, channel, one))
    return found


def _initiation(out: ResultRows, view: StudyView) -> None:
    """Enrolled subjects who took a first dose, and the days from enrolment to it."""
    dates = {
        row["subject_id"]: row["enrolled_date"]
        for row in view.frames("subject", ["subject_id", "enrolled_date"]).iter_rows(named=True)
    }
    for arm, people in view.layout.groups(view.members("enrolled")):
        if not people:
            continue
        treated = [person for person in people if view.people[person]["first_dose"] is not None]
        x, n = len(treated), len(people)
        out.share(
            "initiation", x, n, interval=clopper_pearson(x, n), arm=arm, subjects=n,
            method="enrolled subjects with a first dose / enrolled subjects; Clopper-Pearson",
        )  # fmt: skip
        times: list[tuple[float, int]] = []
        for person in people:
            start, one = dates.get(person), view.people[person]
            end = one["first_dose"] or one["observed_to"] or one["followed_to"]
            if start is not None and end is not None and end >= start:
                times.append((float((end - start).days + 1), int(one["first_dose"] is not None)))
        if times:
            curve = kaplan_meier([time for time, _ in times], [had for _, had in times])
            out.interval(
                "time_to_initiation", "median", curve.median(), arm=arm, unit="d", subjects=len(times),
                numerator=sum(had for _, had in times), denominator=len(times),
                method="Kaplan-Meier from enrolment (day 1) to the first dose; Brookmeyer-Crowley, log-log",
            )  # fmt: skip


def _persistence(out: ResultRows, people: list[SubjectDays], stopped: set[str]) -> None:
    """Days from first to last dose: an event where treatment was stopped early, else censored."""
    times: list[tuple[float, int]] = []
    for one in people:
        dosed = one.day[np.flatnonzero(one.doses)]
        times.append((float(dosed[-1] - dosed[0] + 1), int(one.subject_id in stopped)))
    curve = kaplan_meier([time for time, _ in times], [had for _, had in times])
    rule = (
        "Kaplan-Meier from the first dose; event: last dose of a subject who discontinued; censored at the last dose "
        "at completion, death or data cut"
    )
    events = sum(had for _, had in times)
    out.interval(
        "persistence", "median", curve.median(), unit="d", subjects=len(people), numerator=events,
        denominator=len(people), method=f"{rule}; Brookmeyer-Crowley, log-log",
    )  # fmt: skip
    for day in LANDMARKS:
        if day > max(time for time, _ in times):
            break
        out.interval(
            "persistent", "kaplan_meier", curve.survival_at(float(day)), period=f"day {day}", unit="1",
            subjects=len(people), numerator=curve.at_risk_at(float(day)), denominator=len(people), method=rule,
        )  # fmt: skip


def _weeks(out: ResultRows, people: list[SubjectDays]) -> None:
    """Of the days of persistent subjects with doses due, the share on which all were taken, by week of treatment."""
    # Days ascend, and weeks count from 1: a place for each week up to the one in which the longest course ends.
    weeks = 2 + max(int(one.day[-1] - one.day[0]) // 7 for one in people)
    taken, days, holders = (np.zeros(weeks, dtype=np.int64) for _ in range(3))
    for one in people:
        dosed = one.day[np.flatnonzero(one.doses)]
        rows = (one.day >= dosed[0]) & (one.day <= dosed[-1]) & (one.due > 0) & (one.unmonitored == 0)
        week = (one.day[rows] - dosed[0]) // 7 + 1
        own = np.bincount(week, minlength=weeks)
        days += own
        holders += own > 0
        taken += np.bincount(week[one.doses[rows] >= one.due[rows]], minlength=weeks)
    for number in np.flatnonzero(days).tolist():
        out.share(
            "implementation_by_week", int(taken[number]), int(days[number]), by="week", by_value=str(number),
            subjects=int(holders[number]),
            method="monitored days, first to last dose, with at least the doses due / such days with doses due",
        )  # fmt: skip


def _coverage(view: StudyView, drug: str | None) -> dict[str, tuple[float, float]] | None:
    """Subject -> covered and followed time in days, when the protocol says how long a dose of the drug acts."""
    hours = next((entry.acts_h for entry in view.protocol.drug if entry.name == drug), None)
    if hours is None:
        return None
    log = view.log
    events = log.events
    names = categories(events["subject_id"])
    chosen = log.given & (events["drug"].cast(pl.String) == drug).fill_null(False).to_numpy()
    subject, start = codes(events["subject_id"])[chosen], micros(events["start_local"])[chosen] / 86_400e6
    acts = hours / 24.0
    found: dict[str, tuple[float, float]] = {}
    if not subject.size:
        return found
    starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]])
    for begin, end in zip(starts, np.r_[starts[1:], subject.size], strict=True):
        person = view.people.get(names[subject[begin]])
        if person is None or person["followed_to"] is None:
            continue
        until = float(day_number(person["followed_to"]) + 1)
        times = start[begin:end]
        times = times[times < until]
        if times.size:
            covered = np.minimum(np.diff(np.r_[times, until]), acts)
            found[names[subject[begin]]] = (float(covered.sum()), until - float(times[0]))
    return found


def _measures(out: ResultRows, people: list[SubjectDays], coverage: dict[str, tuple[float, float]] | None) -> None:
    out = out.within(subjects=len(people))
    with_one = sum(bool(one.holidays) for one in people)
    rule = f"at least {HOLIDAY_DAYS} monitored days in a row with doses due and none taken, between two doses"
    out.share(
        "subjects_with_drug_holiday", with_one, len(people), interval=clopper_pearson(with_one, len(people)),
        method=f"{rule}; Clopper-Pearson",
    )  # fmt: skip
    out.count("drug_holidays", sum(len(one.holidays) for one in people), len(people), method=rule)
    out.add(
        "longest_drug_holiday", "max", max((max(one.holidays, default=0) for one in people), default=None), unit="d",
        method=rule,
    )  # fmt: skip
    for number, words in enumerate(CMA_WORDS, 1):
        shares = [share for one in people if (share := one.cma[number - 1]) is not None]
        names = [f"cma{number}", *({1: ["mpr"], 7: ["pdc"]}.get(number, []))]
        for name in names:
            out.interval(
                name, "mean_of_subjects", mean_interval(shares), unit="1", subjects=len(shares),
                numerator=math.fsum(shares), denominator=len(shares),
                method=f"CMA{number}: {words}; a dose lasts to the next planned day, a day nothing "
                "could see has none; mean of subjects, t interval",
            )  # fmt: skip
    if coverage is not None:
        own = [coverage[one.subject_id] for one in people if one.subject_id in coverage]
        shares = [covered / time for covered, time in own if time > 0]
        out.interval(
            "therapeutic_coverage", "mean_of_subjects", mean_interval(shares), unit="1", subjects=len(shares),
            numerator=math.fsum(shares), denominator=len(shares),
            method="time within acts_h of a dose / time from the first dose to the day followed to; t interval",
        )  # fmt: skip


def accountability_rows(out: ResultRows, view: StudyView) -> None:
    """Units dispensed less returned and lost beside doses logged, by arm and unit; subjects with both count."""
    moved = (
        view.frames("accountability", ["subject_id", "action", "quantity", "unit"])
        .filter(pl.col("subject_id").is_not_null() & pl.col("quantity").is_not_null())
        .with_columns(pl.col("action").str.to_lowercase(), pl.col("quantity").cast(pl.Float64))
    )
    if not moved.height:
        return
    log = view.log
    names = categories(log.events["subject_id"])
    counts = np.bincount(codes(log.events["subject_id"])[log.given], minlength=len(names)).tolist()
    logged = dict(zip(names, counts, strict=True))
    for unit in moved["unit"].unique().sort(nulls_last=True).to_list():
        of_unit = moved.filter(pl.col("unit").eq_missing(unit))
        for arm, people in view.layout.groups(view.members("safety")):
            own = of_unit.filter(pl.col("subject_id").is_in(people))
            if not own.height:
                continue
            sums: dict[str, float] = {
                action: math.fsum(own.filter(pl.col("action") == action)["quantity"].to_list())
                for action in ("dispensed", "returned", "lost")
            }
            holders = own["subject_id"].unique().sort().to_list()
            doses = sum(logged.get(person, 0) for person in holders)
            used = sums["dispensed"] - sums["returned"] - sums["lost"]
            out.add(
                "drug_accountability", "ratio", doses / used if used else None, arm=arm, by="unit",
                by_value=unit or "not stated", numerator=doses, denominator=used, subjects=len(holders), unit="1",
                method=f"doses logged / units dispensed {sums['dispensed']:g} - returned {sums['returned']:g} - lost "
                f"{sums['lost']:g}, of subjects with a record",
            )  # fmt: skip
