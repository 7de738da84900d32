"""Dose accuracy: delivered, programmed and planned amounts compared dose by dose.

The basis of an amount decides what may be said: only measured amounts are printed plain, what a device reports is
"device-reported", a form's nominal amount never enters a percent error, and an amount inferred from another is
compared with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.arms import StudyView
from analysis.clustered import mean_interval, welch_difference
from analysis.dose_cells import DoseCells, merge_subjects
from analysis.dose_log import Mask
from analysis.dose_pairs import PAIRS, Compared, DosePair, compare, logged_rows, matched_rows
from analysis.not_assessable import ACCURACY_BY_CLASS, INTERVALS_ONLY, NO_AMOUNTS, NO_DOSE_EVENTS, missing_lines
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows

UNEVEN_POINTS = 10.0
"""Difference of assessable shares between arms, in percentage points, above which a table says so."""


def compute_accuracy(view: StudyView) -> ResultRows:
    """Rows of analysis ``accuracy`` in the accuracy-evaluable population, by arm, drug, channel, class and period.

    For each pair of amounts: conforming doses pooled (with counts) and as the mean of the subjects' shares with its
    t interval; bias, mean absolute percent error and shares within the protocol's limits, two-stage and pooled;
    differences to the reference arm (Welch on subject means); the assessable share per arm and source format.
    """
    members = view.members("accuracy_evaluable")
    population = "accuracy_evaluable" if members else "safety"
    out = result_rows("accuracy", population, view.cut)
    matched, logged = matched_rows(view), logged_rows(view)
    for pair in PAIRS:
        # Without a plan of the protocol, the amounts the records themselves state as planned.
        compared = compare(view, pair, (matched or logged) if pair.from_plan else logged)
        assessed: set[str] = set()
        if compared is not None and int(compared.cells.assessable.sum()):
            assessed = _pair_rows(out.within(dose_pair=pair.name), view, pair, compared, members)
        if pair.from_plan and pair.compared == "programmed_amount" and not assessed:
            continue
        _unassessable(out.within(dose_pair=pair.name, population="safety"), view, pair, assessed)
    return out


def basis_label(bases: dict[str, int]) -> str:
    """How figures on these bases are printed: "measured" plain, else "device-reported" or as a form says."""
    counted = ", ".join(f"{basis} {n}" for basis, n in sorted(bases.items()))
    if not bases or set(bases) == {"measured"}:
        return "measured" if bases else "no delivered amount"
    if set(bases) <= {"nominal_crf"}:
        return f"as recorded on forms ({counted})"
    return f"device-reported ({counted})"


def _pair_rows(
    out: ResultRows, view: StudyView, pair: DosePair, compared: Compared, members: frozenset[str]
) -> set[str]:
    """All rows of one pair; returns the arms that had an assessable dose."""
    cells = compared.cells
    number = {name: i for i, name in enumerate(compared.subjects)}
    assessed: set[str] = set()
    for position, (drug, channel, device_class) in enumerate(compared.strata):
        named = out.within(drug=drug, channel=channel, device_class=device_class)
        in_stratum = cells.stratum == position
        subject_shares: dict[str, list[float]] = {}
        subject_errors: dict[str, list[float]] = {}
        shares = ResultRows(named.shared)
        uneven = _assessable_shares(shares, view, pair, compared, in_stratum, members)
        for arm, people in view.layout.groups(members):
            wanted = np.zeros(len(number) + 1, dtype=np.bool_)
            wanted[[number[person] for person in people if person in number]] = True
            chosen = in_stratum & wanted[cells.subject]
            if not int(cells.doses[chosen].sum()):
                continue
            whole = merge_subjects(cells, chosen)
            label = basis_label(compared.bases.get(arm, {})) if pair.compared == "delivered_amount" else "as programmed"
            line = named.within(arm=arm)
            if int(whole.assessable.sum()):
                assessed.add(arm)
                _conformity(line, view, pair, whole, label)
                subject_shares[arm] = _shares(whole)
                subject_errors[arm] = _error_rows(line, view, compared, whole, position, wanted, label)
                for order in sorted(set(cells.period[chosen].tolist())):
                    if (arm, order) in compared.periods:
                        part = merge_subjects(cells, chosen & (cells.period == order))
                        _conformity(line.within(period=compared.periods[arm, order]), view, pair, part, label)
            if pair.parameter == "dose_conformity" and view.frames("treatment_period", ["subject_id"]).height:
                outside = sum(compared.outside.get(person, 0) for person in people)
                line.count(
                    "dose_outside_treatment_element", outside, int(whole.doses.sum()), subjects=whole.subject.size,
                    method="doses on a day outside every treatment period of the subject; not assessable",
                )  # fmt: skip
        for arm, reference in view.layout.comparators():
            for parameter, values, statistic, unit in (
                (pair.parameter, subject_shares, "mean_difference", "1"),
                ("percent_error", subject_errors, "bias_difference", "%"),
            ):
                if values.get(arm) and values.get(reference):
                    method = "difference of the subject means, Welch t interval" + (f"; {uneven}" if uneven else "")
                    found = welch_difference(values[arm], values[reference])
                    named.difference(parameter, statistic, found, arm=arm, comparator=reference, unit=unit, method=method)
        named.rows.extend(shares.rows)
    return assessed


def _shares(cells: DoseCells) -> list[float]:
    return [x / n for x, n in zip(cells.conforming.tolist(), cells.assessable.tolist(), strict=True) if n]


def _conformity(out: ResultRows, view: StudyView, pair: DosePair, cells: DoseCells, label: str) -> None:
    x, n = int(cells.conforming.sum()), int(cells.assessable.sum())
    limit = view.protocol.accuracy.conformity_pct
    rule = f"{label}; within {limit:g} % of {pair.name.split('/')[1]}, inclusive; 0 of 0 conforms"
    shares = _shares(cells)
    out.share(pair.parameter, x, n, subjects=len(shares), doses=n, method=f"{rule}; pooled over doses")
    out.interval(
        pair.parameter, "mean_of_subjects", mean_interval(shares), subjects=len(shares), doses=n, unit="1",
        numerator=math.fsum(shares), denominator=len(shares), method=f"{rule}; mean of subject shares, t interval",
    )  # fmt: skip


def _error_rows(
    out: ResultRows,
    view: StudyView,
    compared: Compared,
    cells: DoseCells,
    stratum: int,
    wanted: Mask,
    label: str,
) -> list[float]:
    """Percent error of one arm: bias, MAPE, median, within limits; returns the subjects' mean errors."""
    counts = cells.errors.tolist()
    total = sum(counts)
    out = out.within(doses=total, subjects=sum(n > 0 for n in counts))
    if not total:
        sentence = "not assessable: no dose enters percent errors (planned 0, or an amount only a form or rule states)"
        out.not_assessable("percent_error", sentence, statistic="bias", unit="%")
        return []
    means: dict[str, list[float]] = {}
    for statistic, name, sums in (
        ("bias", "mean percent error", cells.sum_error.tolist()),
        ("mape", "mean absolute percent error", cells.sum_absolute.tolist()),
    ):
        means[statistic] = [s / n for s, n in zip(sums, counts, strict=True) if n]
        out.interval(
            "percent_error", statistic, mean_interval(means[statistic]), unit="%",
            numerator=math.fsum(means[statistic]), denominator=len(means[statistic]),
            method=f"{label}; {name}, mean of subject means, t interval",
        )  # fmt: skip
        pooled = math.fsum(sums)
        out.add(
            "percent_error", f"{statistic}_pooled", pooled / total, unit="%", numerator=pooled, denominator=total,
            method=f"{label}; {name}, pooled over doses",
        )  # fmt: skip
    errors = compared.errors
    rows = wanted[errors.subject]
    own = errors.error[rows if len(compared.strata) == 1 else rows & (errors.stratum == stratum)]
    out.add(
        "percent_error", "median_absolute_pooled", float(np.median(np.abs(own))), unit="%", denominator=total,
        method=f"{label}; median absolute percent error, pooled over doses",
    )  # fmt: skip
    for position, limit in enumerate(view.protocol.accuracy.within_pct):
        inside = cells.within[:, position].tolist()
        named = out.within(by="within", by_value=f"{limit:g} %")
        named.share(
            "percent_error", sum(inside), total, method=f"{label}; absolute error at most {limit:g} %, pooled"
        )
        shares = [x / n for x, n in zip(inside, counts, strict=True) if n]
        named.interval(
            "percent_error", "mean_of_subjects", mean_interval(shares), unit="1",
            numerator=math.fsum(shares), denominator=len(shares),
            method=f"{label}; mean of the subjects' shares within {limit:g} %, t interval",
        )  # fmt: skip
    return means["bias"]


def _assessable_shares(
    out: ResultRows, view: StudyView, pair: DosePair, compared: Compared, in_stratum: Mask, members: frozenset[str]
) -> str:
    """Assessable doses of given doses per arm and source format; the sentence when arms differ by over 10 points."""
    cells = compared.cells
    shares: dict[str, float] = {}
    number = {name: i for i, name in enumerate(compared.subjects)}
    left_out = f"; {compared.excluded} doses stopped by the user part-way left out" if compared.excluded else ""
    for arm, people in view.layout.groups(view.members("safety") | members):
        wanted = np.zeros(len(number) + 1, dtype=np.bool_)
        wanted[[number[person] for person in people if person in number]] = True
        chosen = in_stratum & wanted[cells.subject]
        doses, assessable = int(cells.doses[chosen].sum()), int(cells.assessable[chosen].sum())
        if not doses:
            continue
        line = out.within(arm=arm, doses=doses, method=f"doses with both amounts of {pair.name} / doses given{left_out}")
        line.share("assessable", assessable, doses)
        if arm != ALL_ARMS:
            shares[arm] = 100.0 * assessable / doses
        for position, name in enumerate(compared.formats):
            own = chosen & (cells.source == position)
            n = int(cells.doses[own].sum())
            if n:
                line.share("assessable", int(cells.assessable[own].sum()), n, by="source format", by_value=name)
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
