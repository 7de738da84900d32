"""Differences of event incidence allowing for site or country: stratified risk difference and common ratios."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.arms import StudyView
from analysis.result_rows import ResultRows
from analysis.stratified import (
    mantel_haenszel_odds_ratio,
    mantel_haenszel_risk_ratio,
    stratified_risk_difference,
)
from analysis.teae import Event

Table = tuple[list[int], list[int], list[int], list[int]]
"""Subjects with an event and subjects of the arm, then of the reference, one number per stratum."""


def strata_of(view: StudyView) -> dict[str, dict[str, str]]:
    """Stratification -> subject -> stratum: site and, where protocol.toml states countries, region."""
    country = {
        site: name
        for site, name in view.frames("site", ["site_id", "country"]).sort("site_id").iter_rows()
        if name is not None
    }
    site_of = dict(view.frames("subject", ["subject_id", "site_id"]).drop_nulls().sort("subject_id").iter_rows())
    region_of = {person: country[site] for person, site in site_of.items() if site in country}
    found = {"site": site_of, "region": region_of}
    return {name: of for name, of in found.items() if len(set(of.values())) > 1}


def stratified_counts(
    stratum_of: dict[str, str], with_event: set[str], arm: Sequence[str], reference: Sequence[str]
) -> Table:
    """2x2 counts per stratum, strata in alphabetical order; subjects without a stratum are a stratum of their own."""
    names = sorted({stratum_of.get(person, "") for person in (*arm, *reference)})
    counts: Table = ([], [], [], [])
    for name in names:
        for position, people in ((0, arm), (2, reference)):
            own = [person for person in people if stratum_of.get(person, "") == name]
            counts[position].append(sum(person in with_event for person in own))
            counts[position + 1].append(len(own))
    return counts


def compute_event_strata(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Add to ``out``, for any, serious and related events: risk difference (stratified Miettinen-Nurminen), risk
    ratio and odds ratio (Mantel-Haenszel) to the reference arm, by site and by region.
    """
    groups = dict(view.layout.groups(members))
    kinds = {
        (None, None): {event.subject_id for event in events},
        ("seriousness", "serious"): {event.subject_id for event in events if event.serious},
        ("relation", "related"): {event.subject_id for event in events if event.related},
    }
    for stratification, stratum_of in strata_of(view).items():
        for (by, value), with_event in kinds.items():
            for arm, reference in view.layout.comparators():
                people, others = groups.get(arm, []), groups.get(reference, [])
                if not people or not others:
                    continue
                counts = stratified_counts(stratum_of, with_event, people, others)
                both = sum(1 for n1, n2 in zip(counts[1], counts[3], strict=True) if n1 and n2)
                named = out.within(
                    arm=arm, comparator=reference, by=by, by_value=value, unit="1",
                    subjects=sum(counts[0]) + sum(counts[2]), estimand=f"stratified by {stratification}",
                )  # fmt: skip
                note = f"{both} of {len(counts[0])} strata hold both arms and count"
                named.difference(
                    "teae", "risk_difference", stratified_risk_difference(*counts),
                    method=f"Miettinen-Nurminen, Cochran-Mantel-Haenszel weights; {note}",
                )  # fmt: skip
                named.difference(
                    "teae", "risk_ratio", mantel_haenszel_risk_ratio(*counts),
                    method=f"Mantel-Haenszel, Greenland-Robins; {note}",
                )  # fmt: skip
                named.difference(
                    "teae", "odds_ratio", mantel_haenszel_odds_ratio(*counts),
                    method=f"Mantel-Haenszel, Robins-Breslow-Greenland; {note}",
                )  # fmt: skip
