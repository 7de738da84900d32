"""Compliance: planned doses against doses given. Every parameter says its denominator; none is a bare "compliance"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.arms import StudyView
from analysis.clustered import mean_interval, welch_difference
from analysis.compliance_cells import ComplianceCell
from analysis.differences import miettinen_nurminen
from analysis.dose_log import canonical_drug
from analysis.enrolment import distribution
from analysis.not_assessable import (
    COMPLIANCE_BY_CLASS,
    INTERVALS_ONLY,
    NO_DOSE_EVENTS,
    UNSCHEDULED,
    missing_schedule,
)
from analysis.proportions import clopper_pearson
from analysis.result_rows import ALL_ARMS, ResultRows, result_rows
from analysis.schedule import dosing_rule, dosing_series, planned_count

DEFAULT = "compliance_on_treatment"
"""The parameter of the summary."""

COUNTED = ("late", "missed", "held", "extra")
"""Doses counted by themselves, as parameters late_doses, missed_doses, ..."""


@dataclass(frozen=True)
class _Parameter:
    name: str
    counts: Callable[[ComplianceCell], tuple[int, int]]
    rule: str
    recorded_only: bool = False


_DOSES = (
    _Parameter(
        "recorded_compliance",
        lambda cell: (cell.given, cell.expected + cell.held),
        "doses recorded as taken / doses planned as the data record them",
        recorded_only=True,
    ),
    _Parameter(
        "compliance_excl_holds",
        lambda cell: (cell.given, cell.expected),
        "as recorded_compliance, without doses the investigator withheld",
        recorded_only=True,
    ),
    _Parameter(
        "implementation",
        lambda cell: (cell.implemented, cell.implementation_expected),
        "doses given / monitored expected doses, first to last dose",
    ),
    _Parameter(
        DEFAULT,
        lambda cell: (cell.on_treatment, cell.on_treatment_expected),
        "doses given / monitored expected doses, first dose to recorded end of treatment, else data cut or the day "
        "followed to",
    ),
    _Parameter(
        "days_at_least_expected",
        lambda cell: (cell.days_at_least, cell.days),
        "monitored days with at least the expected doses / monitored days with expected doses",
    ),
    _Parameter(
        "days_exact",
        lambda cell: (cell.days_exact, cell.days),
        "monitored days with exactly the expected doses / monitored days with expected doses",
    ),
)


def compute_compliance(view: StudyView) -> ResultRows:
    """Rows of analysis ``compliance`` in the compliance-evaluable population, by arm, drug and channel.

    Each parameter: share pooled over doses (or days), mean of the subjects' shares with its t interval, and the
    difference of these means to the reference arm (Welch). Expected 0 gives NULL. Arms without expected doses get a
    row saying why.
    """
    members = view.members("compliance_evaluable")
    out = result_rows("compliance", "compliance_evaluable" if members else "safety", view.cut)
    cells = [cell for cell in view.counts.compliance if cell.subject_id in members]
    recorded = _recorded(view)
    for key in sorted({_stratum(view, cell) for cell in cells}, key=lambda key: tuple(part or "" for part in key)):
        own = {cell.subject_id: cell for cell in cells if _stratum(view, cell) == key}
        drug, channel, device_class = key
        named = out.within(drug=drug, channel=channel, device_class=device_class)
        by_arm = [(arm, [own[p] for p in people if p in own]) for arm, people in view.layout.groups(members)]
        filled = [(arm, group) for arm, group in by_arm if group]
        for parameter in _DOSES:
            if parameter.recorded_only and not any((c.subject_id, c.drug) in recorded for c in own.values()):
                continue
            _parameter_rows(named, view, parameter, filled, recorded)
        _planned_rows(named, view, filled)
        _sensitivity(named, view, filled)
        _counts(named, filled)
        _subjects_by_band(named, view, filled)
    _unassessable(out, view, {view.layout.arm_of.get(cell.subject_id) for cell in cells})
    return out


def subject_compliance(view: StudyView) -> list[tuple[str, str | None, str | None, str, int, int]]:
    """(subject_id, drug, channel, parameter, numerator, denominator) of each subject's share of the doses parameters
    and dose counts; the members of the compliance-evaluable population add up to the pooled figures."""
    recorded = _recorded(view)
    rows = []
    for cell in view.counts.compliance:
        series = (cell.subject_id, cell.drug, cell.channel)
        for parameter in _DOSES:
            if not parameter.recorded_only or (cell.subject_id, cell.drug) in recorded:
                rows.append((*series, parameter.name, *parameter.counts(cell)))
        planned = cell.expected + cell.held
        rows += [(*series, f"{name}_doses", getattr(cell, name), planned) for name in COUNTED]
    return rows


def _stratum(view: StudyView, cell: ComplianceCell) -> tuple[str | None, str | None, str | None]:
    return cell.drug, cell.channel, view.people[cell.subject_id]["device_class"]


def _recorded(view: StudyView) -> set[tuple[str, str | None]]:
    """Subjects and drugs whose plans the data record."""
    plans = view.frames("planned_dose_recorded", ["subject_id", "drug"]).unique()
    return {(subject, canonical_drug(drug, view.protocol)) for subject, drug in plans.iter_rows()}


def _window_rule(view: StudyView, cells: Sequence[ComplianceCell], recorded: set[tuple[str, str | None]]) -> str:
    if all((cell.subject_id, cell.drug) in recorded for cell in cells):
        return "planned doses as the data record them"
    rules = [rule for rule in view.protocol.dosing if canonical_drug(rule.drug, view.protocol) == cells[0].drug]
    if any(rule.window_before_min is None or rule.window_after_min is None for rule in rules):
        return "planned doses from the protocol; window half the way to the next planned dose where none is stated"
    return "planned doses and windows from the protocol"


def _parameter_rows(
    out: ResultRows,
    view: StudyView,
    parameter: _Parameter,
    groups: list[tuple[str, list[ComplianceCell]]],
    recorded: set[tuple[str, str | None]],
) -> None:
    shares: dict[str, list[float]] = {}
    for arm, cells in groups:
        pairs = [parameter.counts(cell) for cell in cells]
        taken, expected = sum(x for x, _ in pairs), sum(n for _, n in pairs)
        method = f"{parameter.rule}; {_window_rule(view, cells, recorded)}; pooled"
        out.share(parameter.name, taken, expected, arm=arm, subjects=len(cells), doses=expected, method=method)
        shares[arm] = [x / n for x, n in pairs if n]
        found = mean_interval(shares[arm])
        out.interval(
            parameter.name, "mean_of_subjects", found, arm=arm, subjects=len(shares[arm]), unit="1",
            numerator=math.fsum(shares[arm]), denominator=len(shares[arm]),
            method="mean of the subjects' shares, t interval",
        )  # fmt: skip
        if parameter.name == DEFAULT:
            for statistic, value in _spread(shares[arm]).items():
                out.add(
                    parameter.name, statistic, value, arm=arm, subjects=len(shares[arm]), unit="1",
                    denominator=len(shares[arm]), method="of the subjects' shares",
                )  # fmt: skip
    for arm, reference in view.layout.comparators():
        if arm in shares and reference in shares:
            found = welch_difference(shares[arm], shares[reference])
            out.difference(
                parameter.name, "mean_difference", found, arm=arm, comparator=reference, unit="1",
                method="difference of the means of the subjects' shares, Welch t interval",
                subjects=len(shares[arm]) + len(shares[reference]),
            )  # fmt: skip


def _spread(shares: list[float]) -> dict[str, float | None]:
    collected = ResultRows({})
    distribution(collected, "", shares)
    return {
        row["statistic"]: row["value"] for row in collected.rows if row["statistic"] in ("sd", "median", "min", "max")
    }


def _planned_rows(out: ResultRows, view: StudyView, groups: list[tuple[str, list[ComplianceCell]]]) -> None:
    """compliance_planned: doses given, also those after the planned end, / doses to the protocol's planned end."""
    total, given, waiting = 0, 0, False
    method = "doses given / doses planned from the first dose to the protocol's planned end, stayed or not; pooled"
    for arm, cells in groups:
        if arm == ALL_ARMS:
            if not waiting:
                out.share("compliance_planned", given, total, arm=arm, subjects=len(cells), doses=total, method=method)
            continue
        found = view.protocol.arm_of(arm)
        series = _planned_series(view, cells[0], arm)
        counts = [
            planned_count(view.protocol, series, found, cell.subject_id) if found and series else None for cell in cells
        ]
        if any(count is None for count in counts):
            waiting = True
            sentence = (
                missing_schedule(view.protocol, arm) or "not assessable: the protocol plans no doses of this drug"
            )
            out.not_assessable("compliance_planned", sentence, arm=arm, subjects=len(cells))
            continue
        planned = sum(count for count in counts if count is not None)
        taken = sum(cell.given for cell in cells)
        out.share("compliance_planned", taken, planned, arm=arm, subjects=len(cells), doses=planned, method=method)
        total, given = total + planned, given + taken


def _planned_series(view: StudyView, cell: ComplianceCell, arm: str) -> tuple[str, str | None] | None:
    """The protocol's series of a cell: the same drug, and its channel where the protocol names channels."""
    for drug, channel in dosing_series(view.protocol):
        if drug == cell.drug and channel in (cell.channel, None):
            return drug, channel
    return None


def _sensitivity(out: ResultRows, view: StudyView, groups: list[tuple[str, list[ComplianceCell]]]) -> None:
    """What unmonitored doses can do to the default parameter: counted missed, counted taken, tipping point."""
    threshold = view.protocol.compliance.threshold_pct / 100.0
    for arm, cells in groups:
        taken = sum(cell.on_treatment for cell in cells)
        expected = sum(cell.on_treatment_expected for cell in cells)
        dark = sum(cell.on_treatment_unmonitored for cell in cells)
        named = out.within(arm=arm, subjects=len(cells), doses=expected + dark)
        named.share(DEFAULT, taken, expected + dark, estimand="unmonitored doses counted as missed")
        named.share(DEFAULT, taken + dark, expected + dark, estimand="unmonitored doses counted as taken")
        needed = threshold * (expected + dark) - taken
        method = f"share of the unmonitored doses that must have been taken for the pooled share to reach {threshold:g}"
        if dark and needed > dark:
            method += "; not reached even if all were"
        named.add(
            DEFAULT, "tipping_point", max(0.0, needed / dark) if dark and needed <= dark else None, unit="1",
            numerator=max(0.0, needed), denominator=dark, estimand="tipping point", method=method,
        )  # fmt: skip
        named.share(
            "unmonitored_doses", dark, expected + dark, method="first dose to end of treatment or the day followed to"
        )


def _counts(out: ResultRows, groups: list[tuple[str, list[ComplianceCell]]]) -> None:
    for arm, cells in groups:
        planned = sum(cell.expected + cell.held for cell in cells)
        for name in COUNTED:
            n = sum(getattr(cell, name) for cell in cells)
            out.count(f"{name}_doses", n, planned, arm=arm, subjects=len(cells), doses=planned)


def _subjects_by_band(out: ResultRows, view: StudyView, groups: list[tuple[str, list[ComplianceCell]]]) -> None:
    """Subjects at or above the threshold (Clopper-Pearson, difference by Miettinen-Nurminen), and by band."""
    low, high = view.protocol.compliance.threshold_pct, view.protocol.compliance.upper_pct
    reached: dict[str, tuple[int, int]] = {}
    for arm, cells in groups:
        shares = [
            100.0 * (cell.on_treatment + cell.extra) / cell.on_treatment_expected
            for cell in cells
            if cell.on_treatment_expected
        ]
        adherent = [
            100.0 * cell.on_treatment / cell.on_treatment_expected for cell in cells if cell.on_treatment_expected
        ]
        n, x = len(shares), sum(share >= low - 1e-9 for share in adherent)
        reached[arm] = (x, n)
        out.share(
            "compliant_subjects", x, n, interval=clopper_pearson(x, n), arm=arm, subjects=n,
            method=f"{DEFAULT} at least {low:g} %; Clopper-Pearson",
        )  # fmt: skip
        bands = {
            f"below {low:g} %": sum(share < low - 1e-9 for share in shares),
            f"{low:g} to {high:g} %": sum(low - 1e-9 <= share <= high + 1e-9 for share in shares),
            f"above {high:g} %": sum(share > high + 1e-9 for share in shares),
        }
        for band, count in bands.items():
            out.share(
                "compliant_subjects", count, n, arm=arm, by="band", by_value=band, subjects=n,
                method=f"{DEFAULT} with extra doses counted",
            )  # fmt: skip
    for arm, reference in view.layout.comparators():
        if arm in reached and reference in reached:
            found = miettinen_nurminen(*reached[arm], *reached[reference])
            out.difference(
                "compliant_subjects", "risk_difference", found, arm=arm, comparator=reference, unit="1",
                method="Miettinen-Nurminen",
            )  # fmt: skip


def _unassessable(out: ResultRows, view: StudyView, assessed: set[str | None]) -> None:
    """A row for every arm whose subjects have no expected dose, with the reason."""
    for arm, people in view.layout.groups(view.members("safety")):
        if arm == ALL_ARMS or arm in assessed or not people:
            continue
        out.not_assessable(
            DEFAULT, compliance_sentence(view, arm, people), arm=arm, subjects=len(people), population="safety"
        )
    if not assessed and not view.layout.arms and view.members("safety"):
        out.not_assessable(DEFAULT, compliance_sentence(view, None, sorted(view.members("safety"))), arm=ALL_ARMS)


def compliance_sentence(view: StudyView, arm: str | None, people: list[str]) -> str:
    """Why an arm's compliance cannot be given."""
    if not view.log.height:
        return INTERVALS_ONLY if view.frames("exposure", ["subject_id"]).height else NO_DOSE_EVENTS
    for series in dosing_series(view.protocol):
        rule = dosing_rule(view.protocol, series, arm, None, "")
        if rule is not None and rule.kind in UNSCHEDULED:
            return UNSCHEDULED[rule.kind]
    for person in people:
        device_class = view.people[person]["device_class"]
        if device_class in COMPLIANCE_BY_CLASS:
            return COMPLIANCE_BY_CLASS[device_class]
    missing = missing_schedule(view.protocol, arm) if arm is not None else None
    return missing or "not assessable: protocol.toml does not state [[dosing]] every_h or at"
