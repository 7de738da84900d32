"""Adverse events per time at risk and per dose, and the time to the first one."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from analysis.arms import StudyView
from analysis.dose_log import categories, codes
from analysis.exposure import treatment_spans
from analysis.interval import Comparison, normal_quantile
from analysis.rate_comparison import rate_difference, rate_ratio
from analysis.rates import DAYS_PER_YEAR, event_rate, garwood, incidence_rate
from analysis.result_rows import ALL_ARMS, LEVEL, ResultRows
from analysis.survival import kaplan_meier
from analysis.teae import AtRisk, Event, times_at_risk

PER_100_YEARS = "per 100 patient-years"
PER_1000_DOSES = "per 1,000 doses"


def compute_event_rates(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Add to ``out``: exposure-adjusted incidence and event rates, time to first event, events per 1,000 doses.

    ``eair`` counts subjects and stops their time at the first event; ``eaer`` counts all events over the full time
    at risk. Events outside the time at risk are in the incidence, not in rates; the method says how many.
    """
    at_risk = times_at_risk(view, members)
    groups = [(arm, [person for person in people if person in at_risk]) for arm, people in view.layout.groups(members)]
    grouped: dict[tuple[str | None, str | None], list[Event]] = {(None, None): []}
    for event in events:
        if event.subject_id in at_risk:
            for level in ((None, None), (event.soc, None), (event.soc, event.term)):
                grouped.setdefault(level, []).append(event)
    for soc, term in sorted(grouped, key=lambda level: (level[0] or "", level[1] or "")):
        named = out.within(soc=soc, term=term)
        totals: dict[str, tuple[int, float, int, float]] = {}
        for arm, people in groups:
            if people:
                own = [event for event in grouped[soc, term] if event.subject_id in set(people)]
                totals[arm] = _rates(named.within(arm=arm, subjects=len(people)), people, own, at_risk, soc, term)
        if term is None:
            _contrasts(named, view, totals)
    _on_treatment(out, view, events, groups)
    _per_dose(out, view, events, members)
    _robust_ratios(out, view, events, at_risk, groups)


def _rates(
    out: ResultRows,
    people: list[str],
    events: list[Event],
    at_risk: dict[str, AtRisk],
    soc: str | None,
    term: str | None,
) -> tuple[int, float, int, float]:
    """Rate rows of one arm; returns first events and their years, all events and theirs."""
    days: dict[str, list[int]] = {}
    outside = 0
    for event in events:
        day = at_risk[event.subject_id].day_of(event)
        if day is None:
            outside += 1
        else:
            days.setdefault(event.subject_id, []).append(day)
    first = {person: min(found) for person, found in days.items()}
    full = [at_risk[person].days for person in people]
    until = [first.get(person, at_risk[person].days) for person in people]
    late = f"; {outside} events outside the time at risk not counted" if outside else ""
    had = [int(person in first) for person in people]
    eair = incidence_rate([day / DAYS_PER_YEAR for day in until], had)
    out.interval(
        "eair", "rate", eair.poisson, numerator=eair.events, denominator=eair.time, unit=PER_100_YEARS,
        method=f"subjects with a first event / years to it or to the end of observation; Garwood{late}",
    )  # fmt: skip
    eaer = event_rate([day / DAYS_PER_YEAR for day in full], [len(days.get(person, ())) for person in people])
    out.interval(
        "eaer", "rate", eaer.poisson, numerator=eaer.events, denominator=eaer.time, unit=PER_100_YEARS,
        method=f"events / years at risk; Garwood{late}",
    )  # fmt: skip
    if term is None:
        spread = "not estimable" if eaer.dispersion is None else f"{eaer.dispersion:.2f}"
        out.interval(
            "eaer", "rate_robust", eaer.robust, numerator=eaer.events, denominator=eaer.time, unit=PER_100_YEARS,
            method=f"interval robust to events clustering in subjects; dispersion {spread}{late}",
        )  # fmt: skip
        curve = kaplan_meier([float(day) for day in until], had)
        out.interval(
            "time_to_first_event", "median", curve.median(), numerator=sum(had), denominator=len(people), unit="d",
            method=f"Kaplan-Meier, Brookmeyer-Crowley on the log-log scale; day 1 is the start of treatment{late}",
        )  # fmt: skip
        earliest = min(first.values(), default=None)
        out.add(
            "time_to_first_event", "min", earliest, numerator=sum(had), denominator=len(people), unit="d",
            method="first day with an event in the arm",
        )  # fmt: skip
    return eair.events, eair.time, eaer.events, eaer.time


def _contrasts(out: ResultRows, view: StudyView, totals: dict[str, tuple[int, float, int, float]]) -> None:
    for arm, reference in view.layout.comparators():
        if arm not in totals or reference not in totals:
            continue
        a, b = totals[arm], totals[reference]
        pairs = {"eair": (a[0], a[1], b[0], b[1]), "eaer": (a[2], a[3], b[2], b[3])}
        for parameter, pair in pairs.items():
            named = out.within(arm=arm, comparator=reference)
            named.difference(
                parameter, "rate_difference", rate_difference(*pair), 100.0, unit=PER_100_YEARS,
                method="Miettinen-Nurminen score",
            )  # fmt: skip
            named.difference(
                parameter, "rate_ratio", rate_ratio(*pair), unit="1",
                method="exact conditional; events of a subject taken as independent",
            )  # fmt: skip


def _on_treatment(out: ResultRows, view: StudyView, events: list[Event], groups: list[tuple[str, list[str]]]) -> None:
    """eaer over treatment days (first to last dose) instead of the time at risk, all events counted."""
    counts = Counter(event.subject_id for event in events)
    spans = treatment_spans(view)
    for arm, people in groups:
        days = sum((last - first).days + 1 for first, last in (spans[person] for person in people if person in spans))
        n = sum(counts[person] for person in people)
        out.interval(
            "eaer", "rate", garwood(n, days / DAYS_PER_YEAR, per=100.0), arm=arm, estimand="treatment duration",
            subjects=len(people), numerator=n, denominator=days / DAYS_PER_YEAR, unit=PER_100_YEARS,
            method="all treatment-emergent events / years from first to last dose; Garwood",
        )  # fmt: skip


def _per_dose(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Events of the protocol's rate terms per 1,000 given doses, with Garwood's interval."""
    terms = view.protocol.adverse_events.rate_terms
    if not terms:
        return
    log = view.log
    names = categories(log.events["subject_id"])
    counts = np.bincount(codes(log.events["subject_id"])[log.given], minlength=len(names)).tolist()
    given = dict(zip(names, counts, strict=True))
    for term in terms:
        own = Counter(event.subject_id for event in events if event.term.casefold() == term.casefold())
        for arm, people in view.layout.groups(members):
            doses = sum(given.get(person, 0) for person in people)
            named = out.within(arm=arm, term=term, subjects=len(people), unit=PER_1000_DOSES)
            if not doses:
                sentence = "not assessable: no dose events to count the doses by"
                if arm != ALL_ARMS and people:
                    named.not_assessable("events_per_1000_doses", sentence, statistic="rate")
                continue
            x = sum(own[person] for person in people)
            named.interval(
                "events_per_1000_doses", "rate", garwood(x, float(doses), per=1000.0), numerator=x, denominator=doses,
                doses=doses, method="treatment-emergent events of the term / given doses; Garwood",
            )  # fmt: skip


def _robust_ratios(
    out: ResultRows,
    view: StudyView,
    events: list[Event],
    at_risk: dict[str, AtRisk],
    groups: list[tuple[str, list[str]]],
) -> None:
    """Rate ratio of all events with an interval robust to events that cluster in subjects (sandwich variance)."""
    counts = Counter(
        event.subject_id for event in events if event.subject_id in at_risk and at_risk[event.subject_id].day_of(event)
    )
    people_of = dict(groups)
    for arm, reference in view.layout.comparators():
        sides = []
        for people in (people_of.get(arm, []), people_of.get(reference, [])):
            years = [at_risk[person].days / DAYS_PER_YEAR for person in people]
            sides.append(_log_rate(years, [counts[person] for person in people]))
        known = [side for side in sides if side is not None]
        if len(known) < 2:
            continue
        (first, v1), (second, v2) = known
        spread = math.exp(normal_quantile(LEVEL) * math.sqrt(v1 + v2))
        ratio = first / second
        found = Comparison(ratio, ratio / spread, ratio * spread, LEVEL, "robust")
        out.difference(
            "eaer", "rate_ratio_robust", found, arm=arm, comparator=reference, unit="1",
            subjects=len(people_of[arm]) + len(people_of[reference]),
            method="ratio of the rates of all events; sandwich variance by subject on the log scale",
        )  # fmt: skip


def _log_rate(years: list[float], counts: list[int]) -> tuple[float, float] | None:
    """Rate, and the variance of its logarithm from the subjects' residuals; None without events or with one subject."""
    total, events = math.fsum(years), sum(counts)
    if not events or len(years) < 2:
        return None
    rate = events / total
    squares = math.fsum((count - rate * time) ** 2 for count, time in zip(counts, years, strict=True))
    return rate, squares / events**2
