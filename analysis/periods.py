"""Treatment periods: when each subject was in which element of the arm, and which days' doses belong to it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl

from analysis.frames import Frames
from store.protocol import Arm, Dosing, Period, Protocol

ONE_DAY = dt.timedelta(days=1)

PERIOD_TYPES = {
    "subject_id": pl.String(),
    "arm_code": pl.String(),
    "period_order": pl.Int32(),
    "element_code": pl.String(),
    "period": pl.String(),
    "planned_start": pl.Date(),
    "planned_end": pl.Date(),
    "actual_start": pl.Date(),
    "actual_end": pl.Date(),
    "first_dose_date": pl.Date(),
    "last_dose_date": pl.Date(),
    "boundary_rule": pl.String(),
    "planned_amount": pl.Decimal(18, 6),
    "amount_unit": pl.String(),
}

Element = tuple[str | None, dt.date | None, dt.date | None]
"""Element code, first and last day as recorded."""


def treatment_periods(arm: Arm) -> list[Period]:
    """The arm's periods of the treatment epoch in order."""
    return sorted((period for period in arm.period if period.is_treatment), key=lambda period: period.order)


def derive_treatment_periods(frames: Frames, protocol: Protocol, course: pl.DataFrame) -> pl.DataFrame:
    """Table treatment_period: one row per randomised subject and treatment period of the planned arm.

    Planned dates run from the subject's first dose through the planned durations. Actual dates are the recorded
    elements (SDTM SE), matched in order: the same element code can occur twice in an arm. The days whose doses
    belong to a period start on its actual start (`start_day`) or the day after (`day_after_start`), never the day
    after for the first treatment period, and end the day before the next period's first. Without any recorded
    element the planned dates draw the days. A period whose boundary the protocol does not state has none.
    """
    elements = _elements(frames)
    rows: list[dict[str, Any]] = []
    for person in course.select("subject_id", "arm_code", "first_dose", "treatment_start").to_dicts():
        arm = protocol.arm_of(person["arm_code"]) if person["arm_code"] is not None else None
        if arm is None:
            continue
        subject_id: str = person["subject_id"]
        periods = treatment_periods(arm)
        actual = match_elements(periods, elements.get(subject_id, []))
        planned = planned_dates(periods, person["first_dose"] or person["treatment_start"])
        days = dosing_days(periods, actual, planned)
        for period, (began, ended), (plan_from, plan_to), (first, last, rule) in zip(
            periods, actual, planned, days, strict=True
        ):
            dosing = protocol.dosing_for(arm.code, period.order, subject_id)
            rows.append(
                {
                    "subject_id": subject_id,
                    "arm_code": arm.code,
                    "period_order": period.order,
                    "element_code": period.element,
                    "period": period_label(period),
                    "planned_start": plan_from,
                    "planned_end": plan_to,
                    "actual_start": began,
                    "actual_end": ended,
                    "first_dose_date": first,
                    "last_dose_date": last,
                    "boundary_rule": rule,
                    "planned_amount": _amount(dosing),
                    "amount_unit": dosing.unit if dosing else None,
                }
            )
    return pl.DataFrame(rows, schema=PERIOD_TYPES, orient="row").sort("subject_id", "period_order")


def period_label(period: Period) -> str:
    """Order and name, as tables print it."""
    return f"{period.order} {period.name or period.element}"


def _amount(dosing: Dosing | None) -> Decimal | None:
    return dosing.amount if dosing is not None and dosing.kind in ("scheduled", "single") else None


def _elements(frames: Frames) -> dict[str, list[Element]]:
    recorded = frames("subject_element", ["subject_id", "element_seq", "element_code", "start_date", "end_date"]).sort(
        "subject_id", "start_date", "element_seq", nulls_last=True
    )
    found: dict[str, list[Element]] = {}
    for row in recorded.iter_rows(named=True):
        found.setdefault(row["subject_id"], []).append((row["element_code"], row["start_date"], row["end_date"]))
    return found


def match_elements(periods: list[Period], elements: list[Element]) -> list[tuple[dt.date | None, dt.date | None]]:
    """Actual first and last day of each period: elements taken in order, each by the next period of its code.

    An element that is not next in the arm (unplanned, repeated) belongs to no period.
    """
    actual: list[tuple[dt.date | None, dt.date | None]] = [(None, None)] * len(periods)
    position = 0
    for code, began, ended in elements:
        ahead = next((i for i in range(position, len(periods)) if periods[i].element == code), None)
        if ahead is None or began is None:
            continue
        actual[ahead] = (began, ended)
        position = ahead + 1
    return actual


def planned_dates(periods: list[Period], start: dt.date | None) -> list[tuple[dt.date | None, dt.date | None]]:
    """Planned first and last day of each period from the first dose; NULL after a period without a duration."""
    dates: list[tuple[dt.date | None, dt.date | None]] = []
    for period in periods:
        length = period.duration_days
        end = start + dt.timedelta(days=length - 1) if start is not None and length is not None else None
        dates.append((start, end))
        start = end + ONE_DAY if end is not None else None
    return dates


def dosing_days(
    periods: list[Period],
    actual: list[tuple[dt.date | None, dt.date | None]],
    planned: list[tuple[dt.date | None, dt.date | None]],
) -> list[tuple[dt.date | None, dt.date | None, str | None]]:
    """First and last day whose doses belong to each period, with the rule that drew the first."""
    if all(began is None for began, _ in actual):
        return [(first, last, "planned dates" if first else None) for first, last in planned]
    days: list[tuple[dt.date | None, dt.date | None, str | None]] = [(None, None, None)] * len(periods)
    entered = [i for i, (began, _) in enumerate(actual) if began is not None]
    firsts: dict[int, dt.date | None] = {}
    for position, i in enumerate(entered):
        began = actual[i][0]
        assert began is not None
        boundary = periods[i].boundary
        if position == 0 or boundary == "start_day":
            firsts[i] = began
        else:
            firsts[i] = began + ONE_DAY if boundary == "day_after_start" else None
    for position, i in enumerate(entered):
        first, following = firsts[i], entered[position + 1] if position + 1 < len(entered) else None
        rule = "first treatment period" if position == 0 else periods[i].boundary
        if following is None:
            last = actual[i][1]
        else:
            begins = firsts[following]
            # Unknown until the protocol states the boundary of the period that follows.
            last = begins - ONE_DAY if begins is not None else None
        days[i] = (first, last, rule if first is not None else None)
    return days
