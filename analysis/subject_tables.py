"""The facts of single subjects that results are made of, as tables: course, exposure, adherence, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from analysis.arms import StudyView
from analysis.compliance import subject_compliance
from analysis.dose_accuracy import by_subject
from analysis.dose_pairs import PAIRS, DoseCell
from analysis.event_doses import derive_event_doses
from analysis.exposure import (
    DOSE_EVENTS,
    INTERVALS,
    SubjectExposure,
    event_exposure,
    interval_exposure,
    planned_total,
)
from analysis.teae import times_at_risk

AMOUNT = pl.Decimal(18, 6)

COURSE_TYPES: dict[str, pl.DataType] = {
    "subject_id": pl.String(),
    "treatment_start": pl.Date(),
    "first_dose": pl.Date(),
    "last_dose": pl.Date(),
    "treated_to": pl.Date(),
    "treatment_end": pl.Date(),
    "end_basis": pl.String(),
    "followed_to": pl.Date(),
    "followed_basis": pl.String(),
    "at_risk_to": pl.Date(),
}
EXPOSURE_TYPES: dict[str, pl.DataType] = {
    "subject_id": pl.String(),
    "drug": pl.String(),
    "basis": pl.String(),
    "is_default": pl.Boolean(),
    "first_date": pl.Date(),
    "last_date": pl.Date(),
    "days": pl.Int32(),
    "doses": pl.Int64(),
    "total_amount": AMOUNT,
    "planned_amount": AMOUNT,
    "amount_unit": pl.String(),
    "open_intervals": pl.Int32(),
}
ADHERENCE_TYPES: dict[str, pl.DataType] = {
    "subject_id": pl.String(),
    "drug": pl.String(),
    "channel": pl.String(),
    "parameter": pl.String(),
    "numerator": pl.Int64(),
    "denominator": pl.Int64(),
}
ACCURACY_TYPES: dict[str, pl.DataType] = {
    "subject_id": pl.String(),
    "drug": pl.String(),
    "channel": pl.String(),
    "parameter": pl.String(),
    "dose_pair": pl.String(),
    "doses": pl.Int64(),
    "assessable": pl.Int64(),
    "conforming": pl.Int64(),
    "errors": pl.Int64(),
    "mean_error_pct": pl.Float64(),
    "mean_absolute_error_pct": pl.Float64(),
}


def derive_subject_tables(view: StudyView) -> dict[str, pl.DataFrame]:
    """Tables subject_course, subject_exposure, subject_adherence and subject_accuracy, in the declared row order.

    The same objects the results are computed from, written down per subject: a view or listing made of these
    tables adds up to the pooled figures.
    """
    recorded, events = interval_exposure(view), event_exposure(view)
    return {
        "subject_course": _course(view, recorded),
        "subject_exposure": _exposure(view, recorded, events),
        "subject_adherence": _adherence(view),
        "subject_accuracy": _accuracy(view),
        "event_dose": derive_event_doses(view),
    }


def _course(view: StudyView, recorded: Sequence[SubjectExposure]) -> pl.DataFrame:
    at_risk = times_at_risk(view, frozenset(view.people))
    last: dict[str, Any] = {}
    for one in recorded:
        last[one.subject_id] = max(last.get(one.subject_id, one.last), one.last)
    rows = [
        {
            "subject_id": subject_id,
            **{name: person[name] for name in ("treatment_start", "first_dose", "last_dose")},
            "treated_to": last.get(subject_id, person["last_dose"]),
            "treatment_end": person["recorded_end"],
            "end_basis": person["end_basis"],
            "followed_to": person["followed_to"],
            "followed_basis": person["followed_basis"] if person["followed_to"] is not None else None,
            "at_risk_to": at_risk[subject_id].end if subject_id in at_risk else None,
        }
        for subject_id, person in sorted(view.people.items())
    ]
    return pl.DataFrame(rows, schema=COURSE_TYPES, orient="row")


def _exposure(view: StudyView, recorded: Sequence[SubjectExposure], events: Sequence[SubjectExposure]) -> pl.DataFrame:
    periods: dict[str, list[dict[str, Any]]] = {}
    for row in view.frames("treatment_period").sort("subject_id", "period_order").iter_rows(named=True):
        periods.setdefault(row["subject_id"], []).append(row)
    rows = [
        {
            "subject_id": one.subject_id,
            "drug": one.drug or None,
            "basis": basis,
            "is_default": basis == INTERVALS or not recorded,
            "first_date": one.first,
            "last_date": one.last,
            "days": one.days,
            "doses": one.doses,
            "total_amount": _exact(one.total),
            "planned_amount": _planned(view, one, periods.get(one.subject_id, [])),
            "amount_unit": one.unit,
            "open_intervals": one.open_intervals,
        }
        for basis, exposures in ((INTERVALS, recorded), (DOSE_EVENTS, events))
        for one in exposures
    ]
    frame = pl.DataFrame(rows, schema=EXPOSURE_TYPES, orient="row")
    return frame.sort("subject_id", "drug", "basis", nulls_last=True)


def _planned(view: StudyView, one: SubjectExposure, periods: list[dict[str, Any]]) -> Decimal | None:
    # Somebody without treatment periods has no plan, which is not a plan of 0.
    return _exact(planned_total(view, one, periods)) if periods else None


def _exact(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(Decimal("0.000001"))


def _adherence(view: StudyView) -> pl.DataFrame:
    frame = pl.DataFrame(subject_compliance(view), schema=ADHERENCE_TYPES, orient="row")
    return frame.sort("subject_id", "drug", "channel", "parameter", nulls_last=True)


def _accuracy(view: StudyView) -> pl.DataFrame:
    rows = []
    for pair in PAIRS:
        series: dict[tuple[str, str | None, str | None], list[DoseCell]] = {}
        for cell in view.counts.pairs[pair.name].cells:
            drug, channel, _ = cell.stratum
            series.setdefault((cell.subject_id, drug, channel), []).append(cell)
        for (subject_id, drug, channel), cells in series.items():
            [line] = by_subject(cells)
            counted = (line.doses, line.assessable, line.conforming, line.errors)
            means = [total / line.errors if line.errors else None for total in (line.sum_error, line.sum_absolute)]
            rows.append((subject_id, drug, channel, pair.parameter, pair.name, *counted, *means))
    frame = pl.DataFrame(rows, schema=ACCURACY_TYPES, orient="row")
    return frame.sort("subject_id", "drug", "channel", "dose_pair", nulls_last=True)
