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
import polars as pl

from analysis.arms import StudyView
from analysis.clustered import mean_interval, welch_difference
from analysis.dose_cells import DoseCells, DoseErrors, Floats, Pairs, count_cells, merge_subjects
from analysis.dose_log import Int32, Mask, among, categories, codes, encoded
from analysis.not_assessable import ACCURACY_BY_CLASS, INTERVALS_ONLY, NO_AMOUNTS, NO_DOSE_EVENTS, missing_lines
from analysis.populations import ADMISSIBLE_BASES
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows

UNEVEN_POINTS = 10.0
"""Difference of assessable shares between arms, in percentage points, above which a table says so."""

Stratum = tuple[str | None, str | None, str | None]
"""Drug, channel, device class."""


@dataclass(frozen=True)
class DosePair:
    """Which two amounts are compared, and what their conformity is called."""

    parameter: str
    name: str
    compared: str
    reference: str
    from_plan: bool


PAIRS = (
    DosePair("dose_conformity", "delivered/planned", "delivered_amount", "planned_amount", True),
    DosePair("delivery_conformity", "delivered/programmed", "delivered_amount", "programmed_amount", False),
    DosePair("programming_conformity", "programmed/planned", "programmed_amount", "planned_amount", True),
)


@dataclass(frozen=True)
class Compared:
    """The doses of one pair, counted, with what their numbers stand for."""

    subjects: list[str]
    periods: list[str]
    strata: list[Stratum]
    formats: list[str]
    cells: DoseCells
    errors: DoseErrors
    bases: dict[str, dict[str, int]]
    """Arm -> basis -> doses with a delivered amount."""
    outside: dict[str, int]
    """Subject -> doses outside every treatment period."""
    excluded: int
    """Doses left out because the user stopped them part-way."""


def compute_accuracy(view: StudyView) -> ResultRows:
    """Rows of analysis ``accuracy`` in the accuracy-evaluable population, by arm, drug, channel, class and period.

    For each pair of amounts: conforming doses pooled (with counts) and as the mean of the subjects' shares with its
    t interval; bias, mean absolute percent error and shares within the protocol's limits, two-stage and pooled;
    differences to the reference arm (Welch on subject means); the assessable share per arm and source format.
    """
    members = view.members("accuracy_evaluable")
    population = "accuracy_evaluable" if members else "safety"
    out = result_rows("accuracy", population, view.cut)
    for pair in PAIRS:
        compared = _compare(view, pair)
        assessed: set[str] = set()
        if compared is not None and int(compared.cells.assessable.sum()):
            assessed = _pair_rows(out.within(dose_pair=pair.name), view, pair, compared, members)
        if pair.from_plan and pair.compared == "programmed_amount" and not assessed:
            continue
        _unassessable(out.within(dose_pair=pair.name, population="safety"), view, pair, assessed)
    return out


def _compare(view: StudyView, pair: DosePair) -> Compared | None:
    """Line up a pair's amounts; None where no dose can have both."""
    if pair.from_plan:
        rows = view.frames(
            "dose_match",
            [
                "subject_id", "status", "period_order", "in_period", "drug", "channel", "planned_amount",
                "programmed_amount", "delivered_amount", "delivered_basis", "source_id", "planned_no", "line",
            ],
        )  # fmt: skip
        rows = rows.filter(rows["source_id"].is_not_null())
        if not rows.height and not view.log.is_blank("planned_amount"):
            rows = _without_plan(view)
    else:
        rows = _without_plan(view)
    if not rows.height or any(
        rows[name].null_count() == rows.height for name in (pair.compared, pair.reference)
    ):
        return None
    rows = pl.DataFrame([encoded(column) for column in rows.iter_columns()])
    subject = codes(rows["subject_id"])
    line, source_code = rows["line"].to_numpy(), codes(rows["source_id"])
    if bool((subject[1:] < subject[:-1]).any()):
        rows = rows[np.lexsort((line, source_code, subject))]
        subject = codes(rows["subject_id"])
    names = categories(rows["subject_id"])
    strata, stratum = _strata(view, rows, names, subject)
    formats, source = _formats(view, rows)
    basis = rows["delivered_basis"]
    inferred = among(basis, ["inferred_equal", "none"]) if pair.compared == "delivered_amount" else False
    pairs = Pairs(
        subject=subject,
        period=rows["period_order"].cast(pl.Int32).fill_null(-1).to_numpy(),
        stratum=stratum,
        source=source,
        compared=_floats(rows[pair.compared]),
        reference=_floats(rows[pair.reference]),
        comparable=np.ones(rows.height, dtype=np.bool_) & ~inferred,
        measurable=(among(basis, ADMISSIBLE_BASES) | basis.is_null().to_numpy())
        if pair.compared == "delivered_amount"
        else np.ones(rows.height, dtype=np.bool_),
    )
    accuracy = view.protocol.accuracy
    cells, errors = count_cells(pairs, accuracy.conformity_pct, accuracy.within_pct)
    outside = rows["subject_id"].filter(~rows["in_period"].fill_null(True)).cast(pl.String).value_counts()
    return Compared(
        names, _period_labels(view), strata, formats, cells, errors, _bases(view, rows, names, subject),
        dict(outside.iter_rows()), 0 if pair.from_plan else int((view.log.given & view.log.cancelled).sum()),
    )  # fmt: skip


def _without_plan(view: StudyView) -> pl.DataFrame:
    """Given doses straight from the log, with the amounts their own records state."""
    log = view.log
    return log.events.select(
        "subject_id", "drug", "channel", "planned_amount", "programmed_amount", "delivered_amount",
        "delivered_basis", "source_id", "line",
        period_order=pl.lit(None, dtype=pl.Int32), in_period=pl.lit(None, dtype=pl.Boolean),
    ).filter(pl.Series(log.given & ~log.cancelled))  # fmt: skip


def _floats(amounts: pl.Series) -> Floats:
    return amounts.cast(pl.Float64).fill_null(math.nan).to_numpy()


def _strata(view: StudyView, rows: pl.DataFrame, names: list[str], subject: Int32) -> tuple[list[Stratum], Int32]:
    """Distinct (drug, channel, class of the subject's device) in order, and the number of each row's."""
    classes = sorted({person["device_class"] or "" for person in view.people.values()})
    class_of = np.array(
        [classes.index(view.people[name]["device_class"] or "") if name in view.people else 0 for name in names],
        dtype=np.int64,
    )
    drugs, channels = categories(rows["drug"]), categories(rows["channel"])
    combined = (codes(rows["drug"]) + 1).astype(np.int64) * (len(channels) + 1) + codes(rows["channel"]) + 1
    combined = combined * len(classes) + class_of[subject]
    distinct, numbers = np.unique(combined, return_inverse=True)
    strata: list[Stratum] = []
    for value in distinct.tolist():
        series, device = divmod(value, len(classes))
        drug, channel = divmod(series, len(channels) + 1)
        strata.append(
            (
                drugs[drug - 1] if drug else None,
                channels[channel - 1] if channel else None,
                classes[device] or None,
            )
        )
    return strata, numbers.reshape(-1).astype(np.int32)


def _formats(view: StudyView, rows: pl.DataFrame) -> tuple[list[str], Int32]:
    """Source formats in order, and the number of each row's."""
    files = dict(view.frames("source_file", ["source_id", "format"]).iter_rows())
    sources = categories(rows["source_id"])
    formats = sorted({files.get(source) or "not stated" for source in sources})
    of_category = np.array([formats.index(files.get(source) or "not stated") for source in sources], dtype=np.int32)
    return formats, of_category[codes(rows["source_id"])]


def _period_labels(view: StudyView) -> list[str]:
    """Label of each period order, by order ("" for orders without one); arms share a label where they agree."""
    labels: dict[int, set[str]] = {}
    for order, label in view.frames("treatment_period", ["period_order", "period"]).unique().iter_rows():
        labels.setdefault(order, set()).add(label)
    return ["" if order not in labels else " / ".join(sorted(labels[order])) for order in range(max(labels, default=-1) + 1)]


def _bases(view: StudyView, rows: pl.DataFrame, names: list[str], subject: Int32) -> dict[str, dict[str, int]]:
    """Doses with a delivered amount by arm and basis ("not stated" where the source says none)."""
    bases = [*categories(rows["delivered_basis"]), "not stated"]
    arms = [*view.layout.arms, ALL_ARMS]
    of_subject = np.array([arms.index(view.layout.arm_of.get(name, ALL_ARMS)) for name in names], dtype=np.int64)
    has_amount = rows["delivered_amount"].is_not_null().to_numpy()
    code = codes(rows["delivered_basis"]).astype(np.int64)
    code[code < 0] = len(bases) - 1
    tally = np.bincount(
        (of_subject[subject] * len(bases) + code)[has_amount], minlength=len(arms) * len(bases)
    ).reshape(len(arms), len(bases))
    found = {
        arm: {basis: int(n) for basis, n in zip(bases, counts, strict=True) if n}
        for arm, counts in zip(arms, tally, strict=True)
    }
    found[ALL_ARMS] = {basis: int(n) for basis, n in zip(bases, tally.sum(axis=0), strict=True) if n}
    return found


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
        uneven = _assessable_shares(named, view, pair, compared, in_stratum, members)
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
                for order in sorted(set(cells.period[chosen].tolist()) - {-1}):
                    part = merge_subjects(cells, chosen & (cells.period == order))
                    _conformity(line.within(period=compared.periods[order]), view, pair, part, label)
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
    own = errors.error[wanted[errors.subject] & (errors.stratum == stratum)]
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
