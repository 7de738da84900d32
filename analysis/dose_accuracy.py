"""Dose accuracy: delivered, programmed and planned amounts compared dose by dose.

The basis of an amount decides what may be said: only measured amounts are printed plain, what a device reports is
"device-reported", a form's nominal amount never enters a percent error, and an amount inferred from another is
compared with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arms import StudyView
from analysis.clustered import mean_interval, welch_difference
from analysis.dose_pairs import PAIRS, DoseCell, DosePair, PairCounts
from analysis.not_assessable import ACCURACY_BY_CLASS, INTERVALS_ONLY, NO_AMOUNTS, NO_DOSE_EVENTS, missing_lines
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows

UNEVEN_POINTS = 10.0
"""Difference of assessable shares between arms, in percentage points, above which a table says so."""


@dataclass(frozen=True)
class SubjectLine:
    """One subject's doses in one line of a table: cells of several periods and formats added up."""

    doses: int
    assessable: int
    conforming: int
    errors: int
    within: tuple[int, ...]
    sum_error: float
    sum_absolute: float


def by_subject(cells: Sequence[DoseCell]) -> list[SubjectLine]:
    """Cells (in order) added up per subject."""
    grouped: dict[str, list[DoseCell]] = {}
    for cell in cells:
        grouped.setdefault(cell.subject_id, []).append(cell)
    return [
        SubjectLine(
            sum(cell.doses for cell in own),
            sum(cell.assessable for cell in own),
            sum(cell.conforming for cell in own),
            sum(cell.errors for cell in own),
            tuple(map(sum, zip(*(cell.within for cell in own), strict=True))),
            math.fsum(cell.sum_error for cell in own),
            math.fsum(cell.sum_absolute for cell in own),
        )
        for own in grouped.values()
    ]


def compute_accuracy(view: StudyView) -> ResultRows:
    """Rows of analysis ``accuracy`` in the accuracy-evaluable population, by arm, drug, channel, class and period.

    For each pair of amounts: conforming doses pooled (with counts) and as the mean of the subjects' shares with its
    t interval; bias, mean absolute percent error and shares within the protocol's limits, two-stage and pooled;
    differences to the reference arm (Welch on subject means); the assessable share per arm and source format.
    """
    members = view.members("accuracy_evaluable")
    out = result_rows("accuracy", "accuracy_evaluable" if members else "safety", view.cut)
    for pair in PAIRS:
        counts = view.counts.pairs[pair.name]
        assessed: set[str] = set()
        if counts.assessable:
            assessed = _pair_rows(out.within(dose_pair=pair.name), view, pair, counts, members)
        elif pair.name == "programmed/planned":
            continue
        _unassessable(out.within(dose_pair=pair.name, population="safety"), view, pair, assessed)
    return out


def basis_label(pair: DosePair, counts: PairCounts, arm: str) -> str:
    """How figures on these bases are printed: measured plain, else device-reported or as a form says."""
    if pair.compared != "delivered_amount":
        return "as programmed"
    bases: dict[str, int] = {}
    for (own, basis), n in sorted(counts.bases.items(), key=lambda item: item[0][1]):
        if arm in (own, ALL_ARMS):
            bases[basis] = bases.get(basis, 0) + n
    if not bases or set(bases) == {"measured"}:
        return "measured" if bases else "no delivered amount"
    counted = ", ".join(f"{basis} {n}" for basis, n in bases.items())
    if set(bases) == {"nominal_crf"}:
        return f"as recorded on forms ({counted})"
    return f"device-reported ({counted})"


def _pair_rows(
    out: ResultRows, view: StudyView, pair: DosePair, counts: PairCounts, members: frozenset[str]
) -> set[str]:
    """All rows of one pair; returns the arms that had an assessable dose."""
    assessed: set[str] = set()
    labels = period_labels(view)
    # An arm that waits for a line of the protocol waits as a whole: what could be compared is no sample of it.
    waiting = waiting_arms(view, members) if pair.from_plan and not counts.plan_in_records else set()
    strata = sorted({cell.stratum for cell in counts.cells}, key=lambda stratum: tuple(part or "" for part in stratum))
    for stratum in strata:
        named = out.within(drug=stratum[0], channel=stratum[1], device_class=stratum[2])
        cells = [cell for cell in counts.cells if cell.stratum == stratum]
        shares: dict[str, list[float]] = {}
        errors: dict[str, list[float]] = {}
        assessable = ResultRows(named.shared)
        uneven = _assessable_shares(assessable, view, pair, counts, cells, members)
        for arm, people in view.layout.groups(members):
            wanted = set(people)
            own = [cell for cell in cells if cell.subject_id in wanted]
            if not own or arm in waiting:
                continue
            whole, line = by_subject(own), named.within(arm=arm)
            label = basis_label(pair, counts, arm)
            if any(subject.assessable for subject in whole):
                assessed.add(arm)
                _conformity(line, view, pair, whole, label)
                shares[arm] = _shares(whole)
                absolute = [
                    values
                    for (of_arm, of_stratum), parts in sorted(
                        counts.absolute.items(), key=lambda item: item[0][0] or ""
                    )
                    if of_stratum == stratum and arm in (of_arm, ALL_ARMS)
                    for values in parts
                ]
                errors[arm] = _error_rows(line, view, whole, absolute, label)
                for order in sorted({cell.period for cell in own}):
                    if (arm, order) in labels:
                        part = by_subject([cell for cell in own if cell.period == order])
                        _conformity(line.within(period=labels[arm, order]), view, pair, part, label)
            if pair.parameter == "dose_conformity" and labels:
                outside = sum(counts.outside[person] for person in people)
                line.count(
                    "dose_outside_treatment_element", outside, sum(subject.doses for subject in whole),
                    subjects=len(whole),
                    method="doses on a day outside every treatment period of the subject; they are not assessable",
                )  # fmt: skip
        _contrasts(named, view, pair, shares, errors, uneven)
        named.rows.extend(assessable.rows)
    return assessed


def waiting_arms(view: StudyView, members: frozenset[str]) -> set[str]:
    """Arms with subjects whose protocol lacks an amount or a boundary, and then all arms together."""
    arms = [arm for arm, people in view.layout.groups(members) if people and arm != ALL_ARMS]
    waiting = {arm for arm in arms if missing_lines(view.protocol, arm)}
    return waiting | {ALL_ARMS} if waiting else waiting


def _contrasts(
    out: ResultRows,
    view: StudyView,
    pair: DosePair,
    shares: dict[str, list[float]],
    errors: dict[str, list[float]],
    uneven: str,
) -> None:
    method = "difference of the subject means, Welch t interval" + (f"; {uneven}" if uneven else "")
    for arm, reference in view.layout.comparators():
        for parameter, values, statistic, unit in (
            (pair.parameter, shares, "mean_difference", "1"),
            ("percent_error", errors, "bias_difference", "%"),
        ):
            if values.get(arm) and values.get(reference):
                found = welch_difference(values[arm], values[reference])
                out.difference(parameter, statistic, found, arm=arm, comparator=reference, unit=unit, method=method)


def period_labels(view: StudyView) -> dict[tuple[str, int], str]:
    """Label of each arm's period by order; of all arms together only where every arm with it calls it the same."""
    labels: dict[tuple[str, int], str] = {}
    shared: dict[int, set[str]] = {}
    rows = (
        view.frames("treatment_period", ["arm_code", "period_order", "period"])
        .unique()
        .sort("arm_code", "period_order")
    )
    for arm, order, label in rows.iter_rows():
        labels[arm, order] = label
        shared.setdefault(order, set()).add(label)
    return labels | {(ALL_ARMS, order): names.pop() for order, names in shared.items() if len(names) == 1}


def _shares(subjects: list[SubjectLine]) -> list[float]:
    return [subject.conforming / subject.assessable for subject in subjects if subject.assessable]


def _conformity(out: ResultRows, view: StudyView, pair: DosePair, subjects: list[SubjectLine], label: str) -> None:
    x, n = sum(subject.conforming for subject in subjects), sum(subject.assessable for subject in subjects)
    limit = view.protocol.accuracy.conformity_pct
    rule = f"{label}; within {limit:g} % of {pair.name.split('/')[1]}, inclusive; 0 of 0 conforms"
    shares = _shares(subjects)
    out.share(pair.parameter, x, n, subjects=len(shares), doses=n, method=f"{rule}; pooled over doses")
    out.interval(
        pair.parameter, "mean_of_subjects", mean_interval(shares), subjects=len(shares), doses=n, unit="1",
        numerator=math.fsum(shares), denominator=len(shares), method=f"{rule}; mean of subject shares, t interval",
    )  # fmt: skip


def _error_rows(
    out: ResultRows, view: StudyView, subjects: list[SubjectLine], absolute: list[np.ndarray], label: str
) -> list[float]:
    """Percent error of one arm: bias, MAPE, median, within limits; returns the subjects' mean errors."""
    counted = [subject for subject in subjects if subject.errors]
    total = sum(subject.errors for subject in counted)
    out = out.within(doses=total, subjects=len(counted))
    if not total:
        sentence = "not assessable: no dose enters percent errors (planned 0, or an amount only a form or rule states)"
        out.not_assessable("percent_error", sentence, statistic="bias", unit="%")
        return []
    means: dict[str, list[float]] = {}
    for statistic, name, sums in (
        ("bias", "mean percent error", [subject.sum_error for subject in counted]),
        ("mape", "mean absolute percent error", [subject.sum_absolute for subject in counted]),
    ):
        means[statistic] = [value / subject.errors for value, subject in zip(sums, counted, strict=True)]
        out.interval(
            "percent_error", statistic, mean_interval(means[statistic]), unit="%",
            numerator=math.fsum(means[statistic]), denominator=len(counted),
            method=f"{label}; {name}, mean of subject means, t interval",
        )  # fmt: skip
        pooled = math.fsum(sums)
        out.add(
            "percent_error", f"{statistic}_pooled", pooled / total, unit="%", numerator=pooled, denominator=total,
            method=f"{label}; {name}, pooled over doses",
        )  # fmt: skip
    median = float(np.median(np.concatenate(absolute)))
    out.add(
        "percent_error", "median_absolute_pooled", median, unit="%", denominator=total,
        method=f"{label}; median absolute percent error, pooled over doses",
    )  # fmt: skip
    for position, limit in enumerate(view.protocol.accuracy.within_pct):
        named = out.within(by="within", by_value=f"{limit:g} %")
        inside = [subject.within[position] for subject in counted]
        named.share("percent_error", sum(inside), total, method=f"{label}; absolute error at most {limit:g} %, pooled")
        shares = [x / subject.errors for x, subject in zip(inside, counted, strict=True)]
        named.interval(
            "percent_error", "mean_of_subjects", mean_interval(shares), unit="1",
            numerator=math.fsum(shares), denominator=len(shares),
            method=f"{label}; mean of the subjects' shares within {limit:g} %, t interval",
        )  # fmt: skip
    return means["bias"]


def _assessable_shares(
    out: ResultRows,
    view: StudyView,
    pair: DosePair,
    counts: PairCounts,
    cells: list[DoseCell],
    members: frozenset[str],
) -> str:
    """Assessable doses of given doses per arm and source format; the sentence when arms differ by over 10 points."""
    shares: dict[str, float] = {}
    left_out = f"; {counts.excluded} doses stopped by the user part-way left out" if counts.excluded else ""
    formats = sorted({cell.format for cell in cells})
    for arm, people in view.layout.groups(view.members("safety") | members):
        wanted = set(people)
        own = [cell for cell in cells if cell.subject_id in wanted]
        doses, assessable = sum(cell.doses for cell in own), sum(cell.assessable for cell in own)
        if not doses:
            continue
        line = out.within(
            arm=arm, doses=doses, method=f"doses with both amounts of {pair.name} / doses given{left_out}"
        )
        line.share("assessable", assessable, doses)
        if arm != ALL_ARMS:
            shares[arm] = 100.0 * assessable / doses
        for name in formats:
            part = [cell for cell in own if cell.format == name]
            if part:
                line.share(
                    "assessable", sum(cell.assessable for cell in part), sum(cell.doses for cell in part),
                    by="source format", by_value=name,
                )  # fmt: skip
    spread = max(shares.values(), default=0.0) - min(shares.values(), default=0.0)
    if spread <= UNEVEN_POINTS:
        return ""
    sentence = f"assessable shares differ by {spread:.1f} points between arms: this alone can make a comparison wrong"
    out.add("assessable", "range", spread / 100.0, arm=ALL_ARMS, unit="1", method=sentence)
    return sentence


def _unassessable(out: ResultRows, view: StudyView, pair: DosePair, assessed: set[str]) -> None:
    """A row for every treated arm without an assessable dose, with the reason."""
    for arm, people in view.layout.groups(view.members("safety")):
        if not people or arm in assessed or (arm == ALL_ARMS and (view.layout.arms or assessed)):
            continue
        sentence = accuracy_sentence(view, None if arm == ALL_ARMS else arm, people, pair)
        out.not_assessable(pair.parameter, sentence, arm=arm, subjects=len(people))


def accuracy_sentence(view: StudyView, arm: str | None, people: Sequence[str], pair: DosePair) -> str:
    """Why an arm's accuracy cannot be given."""
    if not view.log.height:
        return INTERVALS_ONLY if view.frames("exposure", ["subject_id"]).height else NO_DOSE_EVENTS
    classes = {view.people[person]["device_class"] for person in people}
    if len(classes) == 1 and (sentence := ACCURACY_BY_CLASS.get(classes.pop() or "")):
        return sentence
    missing = missing_lines(view.protocol, arm) if pair.from_plan else None
    if missing:
        return missing
    return f"{NO_AMOUNTS} {pair.name}"
