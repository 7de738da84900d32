"""Adherence over time on the doses of a study: against analysis.adherence (held to AdhereR), lifelines and by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from generic_study import days, figure, frames, protocol, results
from hypothesis import given
from hypothesis import strategies as st

from analysis.adherence import Supply, Window, cma
from analysis.medication_availability import availability, supply_days


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.5, 1.0, 2.0, 7.0])), min_size=1, max_size=12),
    st.integers(0, 20),
)
def test_array_measures_are_those_of_one_subject_at_a_time(gaps: list[tuple[int, float]], after: int) -> None:
    """The first dose is day 0; the window is the whole follow-up."""
    day = np.cumsum([0, *(gap + 1 for gap, _ in gaps[1:])]).astype(float)
    supply = np.array([days for _, days in gaps])
    length = float(day[-1]) + after
    found = availability(day, supply, length)
    window = Window(0.0, length, length)
    supplies = [Supply(float(d), float(s)) for d, s in zip(day, supply, strict=True)]
    expected = [cma(number, supplies, window) if length > 0 else None for number in range(1, 10)]
    assert found == [None if value is None else pytest.approx(value, abs=1e-9) for value in expected]


def test_a_dose_lasts_to_the_next_planned_day() -> None:
    """Twice a day, then once a week from day 10 on; a day without a plan uses the plan before it."""
    planned_day = np.array([0.0, 1.0, 2.0, 10.0, 17.0])
    planned = np.array([2.0, 2.0, 2.0, 1.0, 1.0])
    found = supply_days(
        planned_day, planned, np.array([0.0, 1.0, 5.0, 10.0, 20.0]), np.array([2.0, 1.0, 1.0, 1.0, 1.0])
    )
    assert found.tolist() == [1.0, 0.5, 4.0, 7.0, 7.0]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """P1 leaves out days 4-6 and 10 of 20 and takes a second dose on day 2; P2 stops after day 5."""
    doses = {"P1": [*days("2024-03-01", 20, without=[3, 4, 5, 9]), "2024-03-02T20:00"], "P2": days("2024-03-01", 5)}
    study = frames(
        doses,
        subject=[{"subject_id": "P1", "status": "on_treatment"}, {"subject_id": "P2", "status": "discontinued"}],
        accountability=[
            {"subject_id": "P1", "accountability_seq": "1", "action": "dispensed", "quantity": "30", "unit": "pen"},
            {"subject_id": "P1", "accountability_seq": "2", "action": "Returned", "quantity": "11", "unit": "pen"},
        ],
    )
    plan = protocol(
        arms=("A",), reference=None, study={"monitored_through": "2024-03-20"},
        drug=[{"name": "DRUG", "unit": "mg", "acts_h": 36}],
    )  # fmt: skip
    return results(study, plan).filter(pl.col("arm") == "A")


def test_coverage_and_availability_of_a_study(rows: pl.DataFrame) -> None:
    """17 doses of P1 over 20 days, five of P2: CMA2 (17/20 + 5/20) / 2; the second dose of day 2 fills day 4."""
    values = {name: figure(rows, name, "mean_of_subjects")["value"].item() for name in ("cma2", "pdc", "cma1", "mpr")}
    assert values["cma2"] == pytest.approx((17 / 20 + 5 / 20) / 2)
    assert values["pdc"] == pytest.approx((17 / 20 + 5 / 20) / 2)
    assert values["cma1"] == values["mpr"] == pytest.approx((16 / 19 + 4 / 4) / 2)
    # P1: gaps of 24 h, 12 + 12 h around the extra dose, one of 96 h and one of 48 h that 36 h cover in part.
    followed = 20 - 8 / 24
    covered = followed - 60 / 24 - 12 / 24
    alone = (4 + 36 / 24) / followed
    found = figure(rows, "therapeutic_coverage", "mean_of_subjects")["value"].item()
    assert found == pytest.approx((covered / followed + alone) / 2)


def test_initiation_implementation_and_persistence_are_apart(rows: pl.DataFrame) -> None:
    initiated = figure(rows, "initiation", "share")
    assert initiated.select("numerator", "denominator").row(0) == (2, 2)
    # P2 stopped on day 5, P1 is censored on day 20; the curve lies at one half from 5 to 20 days.
    median = figure(rows, "persistence", "median")
    assert median.select("value", "numerator", "denominator").row(0) == (12.5, 1, 2)
    weeks = rows.filter(pl.col("parameter") == "implementation_by_week")
    assert weeks.select("by_value", "numerator", "denominator", "subjects").rows() == [
        ("1", 9, 12, 2), ("2", 6, 7, 1), ("3", 6, 6, 1),
    ]  # fmt: skip


def test_a_holiday_lies_between_two_doses(rows: pl.DataFrame) -> None:
    share = figure(rows, "subjects_with_drug_holiday", "share")
    assert share.select("numerator", "denominator").row(0) == (1, 2)
    assert figure(rows, "longest_drug_holiday", "max")["value"].item() == 3


def test_units_used_stand_beside_doses_logged(rows: pl.DataFrame) -> None:
    found = figure(rows, "drug_accountability", "ratio", by="unit", by_value="pen")
    assert found.select("numerator", "denominator", "subjects").row(0) == (17, 19, 1)
    assert "dispensed 30 - returned 11" in found["method"].item()


def test_the_estimand_is_said(rows: pl.DataFrame) -> None:
    del rows
    study = frames({"P1": days("2024-03-01", 3)})
    said = figure(results(study, protocol(arms=("A",), reference=None)), "estimand", "definition")["method"].item()
    assert said.startswith("population: compliance evaluable; variable:") and "while on treatment" in said
