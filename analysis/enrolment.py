"""Enrolment and disposition: who was screened, randomised, treated, and how they ended."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from analysis.arms import Layout, StudyView
from analysis.clustered import mean_and_sd
from analysis.populations import DERIVED_POPULATIONS
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows

COMPLETED = "COMPLETED"


def compute_enrolment(view: StudyView) -> ResultRows:
    """Rows of analysis ``enrolment``: counts by arm, population sizes, disposition, sites, demographics.

    Denominators: screened subjects for what happens before an arm is assigned, subjects of the arm after.
    """
    out = result_rows("enrolment", "screened", view.cut)
    subjects = view.frames(
        "subject",
        ["subject_id", "site_id", "sex", "age", "age_unit", "race", "ethnicity", "status", "not_randomised_reason"],
    ).with_columns(pl.col("status").cast(pl.String)).sort("subject_id")  # fmt: skip
    screened = view.members("screened")
    failures = subjects.filter(
        (pl.col("status") == "screen_failure").fill_null(False)
        | pl.col("not_randomised_reason").str.to_uppercase().str.contains("SCREEN FAIL").fill_null(False)
    ).height
    out.count("screened", len(screened), len(screened), arm=ALL_ARMS, subjects=len(screened))
    out.count("screen_failures", failures, len(screened), arm=ALL_ARMS, subjects=len(screened))
    for position, layout in enumerate(view.layouts):
        named = out.within(estimand=layout.assignment if position else None)
        _counts(named, view, layout)
        _dispositions(named, view, layout)
    _sites(out.within(population="randomised"), view, subjects)
    _demographics(out.within(population="randomised"), view, subjects)
    return out


def _counts(out: ResultRows, view: StudyView, layout: Layout) -> None:
    randomised, screened = view.members("randomised"), len(view.members("screened"))
    for arm, members in layout.groups(randomised):
        whole = screened if arm == ALL_ARMS else len(randomised)
        out.count("randomised", len(members), whole, arm=arm, subjects=len(members))
    ends = {person: row["recorded_end"] is not None for person, row in view.people.items()}
    for arm, members in layout.groups(view.members("enrolled")):
        n = len(members)
        treated = [person for person in members if view.people[person]["treatment_start"] is not None]
        within = out.within(population="enrolled", arm=arm, subjects=n)
        within.count("treated", len(treated), n)
        within.count("ongoing", sum(not ends[person] for person in treated), n)
        within.count("died", sum(view.people[person]["death_date"] is not None for person in members), n)
    for name in _population_order(view):
        if name == "screened":
            continue
        for arm, members in layout.groups(randomised):
            inside = [person for person in members if person in view.members(name)]
            out.within(population=name).share(
                "population", len(inside), len(members), arm=arm, subjects=len(inside), method=view.rules[name]
            )


def _population_order(view: StudyView) -> list[str]:
    own = [name for name in DERIVED_POPULATIONS if name in view.populations]
    return [*own, *sorted(view.populations.keys() - set(own))]


def disposition_reasons(view: StudyView) -> dict[str, dict[str, str]]:
    """Scope (study treatment, study participation, disposition) -> subject -> how it ended, the earliest record."""
    events = (
        view.frames(
            "disposition",
            ["subject_id", "disposition_seq", "term", "decoded", "category", "scope", "disposition_date"],
        )
        .filter(pl.col("category").fill_null("DISPOSITION EVENT") == "DISPOSITION EVENT")
        .sort("subject_id", "disposition_date", "disposition_seq", nulls_last=True)
    )
    found: dict[str, dict[str, str]] = {}
    for row in events.iter_rows(named=True):
        scope = (row["scope"] or "disposition").lower()
        found.setdefault(scope, {}).setdefault(row["subject_id"], row["decoded"] or row["term"] or "not stated")
    return dict(sorted(found.items()))


def _dispositions(out: ResultRows, view: StudyView, layout: Layout) -> None:
    """Reasons by scope; and for every supplied population of completers the reasons of those outside it."""
    randomised = view.members("randomised")
    for scope, reasons in disposition_reasons(view).items():
        _reasons(out.within(population="randomised", by=scope), "disposition", reasons, layout, randomised, randomised)
        for name in sorted(view.populations):
            if "complet" in name and name not in DERIVED_POPULATIONS:
                left = randomised - view.members(name)
                method = f"subjects outside population {name}: {view.rules[name]}"
                early = out.within(population="randomised", by=f"{scope}, not {name}", method=method)
                _reasons(early, "early_termination", reasons, layout, randomised, left)


def _reasons(
    out: ResultRows,
    parameter: str,
    reasons: dict[str, str],
    layout: Layout,
    randomised: frozenset[str],
    counted: frozenset[str],
) -> None:
    occurring = sorted({reasons[person] for person in counted if person in reasons})
    ordered = [reason for reason in occurring if reason == COMPLETED] + [r for r in occurring if r != COMPLETED]
    groups = layout.groups(randomised)
    tallies = {arm: Counter(reasons.get(p, "") for p in members if p in counted) for arm, members in groups}
    for arm, members in groups:
        inside = sum(person in counted and person in reasons for person in members)
        out.share(parameter, inside, len(members), arm=arm, by_value="any", subjects=inside)
    for reason in ordered:
        for arm, members in groups:
            n = tallies[arm][reason]
            out.share(parameter, n, len(members), arm=arm, by_value=reason, subjects=n)


def _sites(out: ResultRows, view: StudyView, subjects: pl.DataFrame) -> None:
    site_of = dict(subjects.select("subject_id", "site_id").iter_rows())
    sites = sorted({site for site in site_of.values() if site is not None})
    groups = view.layout.groups(view.members("randomised"))
    tallies = {arm: Counter(site_of[person] for person in members) for arm, members in groups}
    for site in sites:
        for arm, members in groups:
            n = tallies[arm][site]
            out.count("randomised", n, len(members), arm=arm, by="site", by_value=site, subjects=n)


def _demographics(out: ResultRows, view: StudyView, subjects: pl.DataFrame) -> None:
    """Age in years (SD with divisor n-1) and the recorded categories of sex, race and ethnicity."""
    rows = {row["subject_id"]: row for row in subjects.iter_rows(named=True)}
    groups = view.layout.groups(view.members("randomised"))
    for arm, members in groups:
        ages = [
            float(rows[person]["age"])
            for person in members
            if rows[person]["age"] is not None and rows[person]["age_unit"] in (None, "YEARS")
        ]
        distribution(out.within(arm=arm, unit="a", subjects=len(ages)), "age", ages)
    for column in ("sex", "race", "ethnicity"):
        for value in sorted({row[column] for row in rows.values() if row[column] is not None}):
            for arm, members in groups:
                n = sum(rows[person][column] == value for person in members)
                out.share("demographics", n, len(members), arm=arm, by=column, by_value=value, subjects=n)


def distribution(out: ResultRows, parameter: str, values: list[float], **columns: Any) -> None:
    """Mean, standard deviation (n-1), median, minimum, maximum and number of values, one row each."""
    mean, sd = mean_and_sd(values)
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = (
        None if not ordered else ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    )
    figures = {
        "mean": mean,
        "sd": sd,
        "median": median,
        "min": min(values, default=None),
        "max": max(values, default=None),
    }
    for statistic, value in figures.items():
        out.add(parameter, statistic, value, numerator=None, denominator=len(values), **columns)
    out.add(parameter, "n", len(values), numerator=len(values), denominator=len(values), **columns)
