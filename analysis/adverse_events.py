"""Adverse events: subjects, events and denominators by arm, system organ class and term, broken down as recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from analysis.arms import Layout, StudyView
from analysis.differences import fisher_exact, miettinen_nurminen
from analysis.event_categories import compute_event_categories
from analysis.event_doses import compute_event_doses
from analysis.event_rates import compute_event_rates
from analysis.event_strata import compute_event_strata
from analysis.event_times import compute_event_times
from analysis.interval import Comparison, Interval
from analysis.proportions import clopper_pearson
from analysis.result_rows import ResultRows, result_rows
from analysis.teae import Event, emergent_events

FISHER = "Fisher exact, descriptive, reproduces the published table"

Level = tuple[str | None, str | None]
"""System organ class and term; (None, None) is any event."""


@dataclass(frozen=True)
class Breakdown:
    """A kind of event counted by itself; ``compared``: with differences to the reference arm at every level."""

    by: str | None
    by_value: str | None
    holds: Callable[[Event], bool]
    compared: bool = False
    method: str = ""
    by_term: bool = True
    """FALSE: counted for any event and per system organ class only."""


def breakdowns(events: list[Event]) -> list[Breakdown]:
    """All events first, then those of each seriousness, relation, severity, outcome and action recorded."""
    outcome_rule = "sensitivity: serious as recorded, or fatal by outcome"
    criteria_rule = "sensitivity: serious as recorded, or fatal, life-threatening or with a stay in hospital"
    kinds = [
        Breakdown(None, None, lambda event: True, True),
        Breakdown("seriousness", "serious", lambda event: event.serious, True, "serious as recorded"),
        Breakdown("seriousness", "serious_by_outcome", lambda event: event.serious_by_outcome, True, outcome_rule),
        Breakdown("seriousness", "serious_by_criteria", lambda event: event.serious_by_criteria, True, criteria_rule),
        Breakdown(
            "relation", "related", lambda event: event.related is True, True, "protocol's related causality values"
        ),
        Breakdown("relation", "not related", lambda event: event.related is False, by_term=False),
        Breakdown(
            "relation", "not assessable", lambda event: event.related is None, False, "causality or rule missing", False
        ),
        Breakdown("outcome", "fatal", lambda event: event.fatal, True),
    ]

    def values(by: str, read: Callable[[Event], str | None], by_term: bool) -> list[Breakdown]:
        found = sorted({value for event in events if (value := read(event)) is not None})
        return [
            Breakdown(by, value, lambda event, value=value: read(event) == value, by_term=by_term)  # type: ignore[misc]
            for value in found
        ]

    return [
        *kinds,
        *values("severity", lambda event: event.severity, True),
        *values("action taken", lambda event: event.action, False),
        *values("relation to device", lambda event: event.device_relation, False),
    ]


def compute_adverse_events(view: StudyView) -> ResultRows:
    """Rows of analysis ``adverse_events`` in the safety population.

    For any event, every system organ class and every term: subjects with at least one (Clopper-Pearson), events as
    recorded, the difference to the reference arm (Miettinen-Nurminen) and Fisher's p. Under the other arm assignment
    the compared kinds again where it differs, with estimand "actual arm" or "planned arm".
    """
    out = result_rows("adverse_events", "safety", view.cut)
    events = emergent_events(view)
    members = view.members("safety")
    rule = f"treatment-emergent{_window(view)}; events as recorded, no rows collapsed; uncoded by reported term"
    for position, layout in enumerate(view.layouts):
        named = out.within(estimand=layout.assignment if position else None)
        for kind in breakdowns(events):
            if position and not kind.compared:
                continue
            chosen = [event for event in events if kind.holds(event)]
            method = "; ".join(filter(None, (rule, kind.method)))
            own = named.within(by=kind.by, by_value=kind.by_value)
            _incidence_rows(own, view, layout, kind, chosen, members, method)
        _maximum_severity(named, layout, events, members)
    _related_rule(out, view, events)
    _confirmatory(out, view, events, members)
    compute_event_rates(out, view, events, members)
    compute_event_times(out, view, events, members)
    compute_event_strata(out, view, events, members)
    compute_event_categories(out, view, events, members)
    compute_event_doses(out, view, events, members)
    return out


def _window(view: StudyView) -> str:
    window = view.protocol.adverse_events.window_days
    return " (no end)" if window is None else f" (to {window} days after the last dose)"


def levels(events: list[Event]) -> list[Level]:
    """Any event, then each class in alphabetical order followed by its terms."""
    found: list[Level] = [(None, None)]
    for soc in sorted({event.soc for event in events}):
        found.append((soc, None))
        found += [(soc, term) for term in sorted({event.term for event in events if event.soc == soc})]
    return found


def events_by_level(events: list[Event]) -> dict[Level, list[Event]]:
    """The events of each level, in their order."""
    grouped: dict[Level, list[Event]] = {}
    for event in events:
        for level in ((None, None), (event.soc, None), (event.soc, event.term)):
            grouped.setdefault(level, []).append(event)
    return grouped


def _incidence_rows(
    out: ResultRows,
    view: StudyView,
    layout: Layout,
    kind: Breakdown,
    events: list[Event],
    members: frozenset[str],
    method: str,
) -> None:
    groups = layout.groups(members)
    # Not all members: a subject whose arm protocol.toml does not know is in no group, so its events count in none.
    everybody = set(groups[-1][1])
    grouped = events_by_level([event for event in events if event.subject_id in everybody])
    arm_of = {person: arm for arm, people in groups[:-1] for person in people}
    for soc, term in levels(events) if grouped else [(None, None)]:
        if term is not None and not kind.by_term:
            continue
        own = grouped.get((soc, term), [])
        named = out.within(soc=soc, term=term)
        counted: dict[str, tuple[int, int]] = {}
        for arm, people in groups:
            in_arm = own if arm == groups[-1][0] else [e for e in own if arm_of.get(e.subject_id) == arm]
            with_event = {event.subject_id for event in in_arm}
            x, n = len(with_event), len(people)
            counted[arm] = (x, n)
            named.share(
                "teae", x, n, statistic="incidence", interval=_clopper_pearson(x, n), arm=arm, subjects=x,
                method=f"{method}; Clopper-Pearson",
            )  # fmt: skip
            named.add(
                "teae", "events", len(in_arm), arm=arm, subjects=x, numerator=len(in_arm), denominator=n, method=method
            )
        for arm, reference in layout.comparators() if kind.compared or (soc, term) == (None, None) else []:
            both = (*counted[arm], *counted[reference])
            contrast = named.within(arm=arm, comparator=reference, subjects=both[0] + both[2])
            contrast.difference(
                "teae", "risk_difference", _risk_difference(*both), unit="1", method="Miettinen-Nurminen"
            )
            p = _fisher(*both) if both[0] or both[2] else None
            contrast.add("teae", "p_value", p, unit="1", method=FISHER)


@cache
def _clopper_pearson(x: int, n: int) -> Interval:
    return clopper_pearson(x, n)


@cache
def _risk_difference(x1: int, n1: int, x2: int, n2: int) -> Comparison:
    return miettinen_nurminen(x1, n1, x2, n2)


@cache
def _fisher(x1: int, n1: int, x2: int, n2: int) -> float | None:
    return fisher_exact(x1, n1, x2, n2)


def _maximum_severity(out: ResultRows, layout: Layout, events: list[Event], members: frozenset[str]) -> None:
    """Subjects once, at their most severe event."""
    worst: dict[str, tuple[int, str]] = {}
    for event in events:
        if event.severity is not None and event.severity_rank is not None and event.subject_id in members:
            found = (event.severity_rank, event.severity)
            worst[event.subject_id] = max(found, worst.get(event.subject_id, found))
    for _, severity in sorted(set(worst.values())):
        for arm, people in layout.groups(members):
            x = sum(person in worst and worst[person][1] == severity for person in people)
            out.share(
                "teae", x, len(people), statistic="incidence", interval=_clopper_pearson(x, len(people)), arm=arm,
                by="maximum severity", by_value=severity, subjects=x, method="subject once, at the most severe event",
            )  # fmt: skip


def _related_rule(out: ResultRows, view: StudyView, events: list[Event]) -> None:
    if events and not view.protocol.adverse_events.related:
        sentence = "not assessable: protocol.toml does not state [adverse_events] related"
        out.not_assessable("teae", sentence, statistic="incidence", by="relation", by_value="rule")


def _confirmatory(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """p values of the comparisons of incidence the protocol lists, with order, alpha and method."""
    groups = dict(view.layout.groups(members))
    with_event = {event.subject_id for event in events}
    for entry in sorted(view.protocol.confirmatory, key=lambda entry: entry.order):
        if entry.parameter != "teae" or entry.arm not in groups or entry.comparator not in groups:
            continue
        arms = groups[entry.arm], groups[entry.comparator]
        counts = [(sum(person in with_event for person in people), len(people)) for people in arms]
        named = out.within(arm=entry.arm, comparator=entry.comparator, estimand="confirmatory", unit="1")
        method = f"confirmatory comparison {entry.order}: {entry.method}, alpha {entry.alpha:g}"
        wanted = entry.method.lower().replace("-", "_").replace(" ", "_")
        if wanted.startswith("fisher"):
            named.add("teae", "p_value", _fisher(*counts[0], *counts[1]), method=method)
        elif wanted.startswith("miettinen"):
            named.add("teae", "p_value", _risk_difference(*counts[0], *counts[1]).p_value, method=method)
        else:
            sentence = f"not assessable: unknown method {entry.method!r}; known: fisher_exact, miettinen_nurminen"
            named.not_assessable("teae", sentence, statistic="p_value", method=method)
