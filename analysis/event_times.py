"""When events happen: event-free share, incidence with death competing, mean number per subject, hazard ratio; all
descriptive. p values are given only for comparisons the protocol lists as confirmatory (analysis.confirmatory).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.arms import StudyView
from analysis.competing_risks import cumulative_incidence
from analysis.cox import hazard_ratio
from analysis.interval import Comparison
from analysis.recurrent_events import mean_cumulative_function
from analysis.result_rows import ResultRows
from analysis.survival import kaplan_meier
from analysis.teae import AtRisk, Event, times_at_risk

LANDMARKS = (28, 56, 84, 168, 364, 728)
"""Days at which curves are read (weeks 4, 8, 12, 24, 52, 104), those within the observation."""

EVENT, DEATH = 1, 2


@dataclass(frozen=True)
class FollowUp:
    """A subject's days at risk, the days of their events in order, and the day of death within it."""

    subject_id: str
    days: int
    events: tuple[int, ...]
    death: int | None

    @property
    def first(self) -> tuple[int, int]:
        """Day of the first event, else of the end, and 1 or 0."""
        return (self.events[0], 1) if self.events else (self.days, 0)

    @property
    def first_cause(self) -> tuple[int, int]:
        """As first, with death as a cause of its own; an event on the day of death comes first."""
        if self.events:
            return self.events[0], EVENT
        return (self.death, DEATH) if self.death is not None else (self.days, 0)


def follow_ups(
    view: StudyView, events: Sequence[Event], at_risk: dict[str, AtRisk], people: Sequence[str]
) -> list[FollowUp]:
    """Follow-up of treated people, in their order."""
    days: dict[str, list[int]] = {}
    for event in events:
        if event.subject_id in at_risk and (day := at_risk[event.subject_id].day_of(event)) is not None:
            days.setdefault(event.subject_id, []).append(day)
    deaths: dict[str, dt.date] = dict(
        view.frames("subject", ["subject_id", "death_date"]).drop_nulls().sort("subject_id").iter_rows()
    )
    found = []
    for person in people:
        if person not in at_risk:
            continue
        risk, died = at_risk[person], deaths.get(person)
        death = (died - risk.start).days + 1 if died is not None and risk.start <= died <= risk.end else None
        found.append(FollowUp(person, risk.days, tuple(sorted(days.get(person, ()))), death))
    return found


def compute_event_times(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Add to ``out``, for any event and any serious one: event-free share and incidence at landmarks, mean number of
    events per subject, and the hazard ratio to the reference arm (Cox, ties after Efron).
    """
    at_risk = times_at_risk(view, members)
    for by, value, chosen in (
        (None, None, events),
        ("seriousness", "serious", [event for event in events if event.serious]),
    ):
        named = out.within(by=by, by_value=value)
        groups = {
            arm: follow_ups(view, chosen, at_risk, people) for arm, people in view.layout.groups(members) if people
        }
        for arm, people in groups.items():
            if people:
                _curves(named.within(arm=arm, subjects=len(people)), people)
        for arm, reference in view.layout.comparators():
            if groups.get(arm) and groups.get(reference):
                _hazard(named.within(arm=arm, comparator=reference), groups[arm], groups[reference])


def _curves(out: ResultRows, people: list[FollowUp]) -> None:
    first = [one.first for one in people]
    free = kaplan_meier([float(day) for day, _ in first], [had for _, had in first])
    causes = [one.first_cause for one in people]
    risks = cumulative_incidence([float(day) for day, _ in causes], [cause for _, cause in causes], EVENT)
    rows = [row for one in people for row in _rows(one)]
    subjects, starts, stops, had_event = zip(*rows, strict=True)
    mean = mean_cumulative_function(subjects, starts, stops, had_event)
    deaths = sum(cause == DEATH for _, cause in causes)
    for day in LANDMARKS:
        if day > max(one.days for one in people):
            break
        named = out.within(period=f"day {day}", unit="1")
        left = free.at_risk_at(float(day))
        named.interval(
            "event_free", "kaplan_meier", free.survival_at(float(day)), numerator=left, denominator=len(people),
            method="share without an event by this day; log-log limits; numerator: still at risk before it",
        )  # fmt: skip
        named.interval(
            "first_event_incidence", "aalen_johansen", risks.at(float(day)), numerator=left, denominator=len(people),
            method=f"share with a first event by this day, death before it a competing risk ({deaths} such deaths)",
        )  # fmt: skip
        found = mean.at(float(day))
        named.interval(
            "mean_events_per_subject", "mean_cumulative_function", found, numerator=left, denominator=len(people),
            method="mean number of events per subject by this day while observed; robust standard error by subject",
        )  # fmt: skip


def _rows(one: FollowUp) -> list[tuple[str, float, float, int]]:
    """Rows (start, stop] of a subject's recurrent events; events of one day are rows over the same days."""
    rows, begin = [], 0.0
    for position, day in enumerate(one.events):
        rows.append((one.subject_id, begin, float(day), 1))
        if one.events[position + 1 : position + 2] != (day,):
            begin = float(day)
    if one.days > begin:
        rows.append((one.subject_id, begin, float(one.days), 0))
    return rows


def _hazard(out: ResultRows, arm: list[FollowUp], reference: list[FollowUp]) -> None:
    found = compare_hazards(arm, reference)
    out.difference(
        "time_to_first_event", "hazard_ratio", found, unit="1", subjects=len(arm) + len(reference),
        numerator=sum(one.first[1] for one in (*arm, *reference)), denominator=len(arm) + len(reference),
        method="Cox regression, ties after Efron, Wald limits of the log hazard ratio",
    )  # fmt: skip


def compare_hazards(arm: list[FollowUp], reference: list[FollowUp]) -> Comparison:
    """Hazard ratio of arm to reference for the first event."""
    both = [*arm, *reference]
    first = [one.first for one in both]
    treated = [1] * len(arm) + [0] * len(reference)
    return hazard_ratio([float(day) for day, _ in first], [had for _, had in first], treated)
