"""Treatment periods: elements matched in order, and the day a new period's doses begin."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from generic_study import days, derived, frames, protocol, statuses

from store.protocol import Protocol

D = dt.date


def with_periods(*periods: dict, dosing: list[dict] | None = None) -> Protocol:
    arm = {"code": "A", "period": [{"order": i, **period} for i, period in enumerate(periods, start=1)]}
    plan = protocol(arms=("A",), reference=None, dosing=dosing or [{"every_h": 24, "amount": "10", "unit": "mg"}])
    return Protocol.model_validate(plan.model_dump(by_alias=True) | {"arm": [arm]})


def elements(*rows: tuple[str, str, str | None]) -> list[dict]:
    return [
        {
            "subject_id": "P1", "element_seq": i, "element_code": code, "epoch": "TREATMENT",
            "start_date": D.fromisoformat(start), "end_date": D.fromisoformat(end) if end else None,
        }
        for i, (code, start, end) in enumerate(rows, start=1)
    ]  # fmt: skip


def period_days(plan: Protocol, *rows: tuple[str, str, str | None]) -> list[tuple]:
    study = frames({"P1": days("2024-01-01", 20)}, subject_element=elements(*rows))
    table = derived(study, plan)["treatment_period"]
    return [
        (order, first and str(first)[5:], last and str(last)[5:], rule)
        for order, first, last, rule in table.select(
            "period_order", "first_dose_date", "last_dose_date", "boundary_rule"
        ).iter_rows()
    ]


UP_DOWN = (
    {"element": "T"},
    {"element": "H", "boundary": "day_after_start"},
    {"element": "T", "boundary": "day_after_start"},
)


def test_the_same_element_twice_is_two_periods() -> None:
    rows = period_days(with_periods(*UP_DOWN), ("T", "2024-01-01", "2024-01-06"), ("H", "2024-01-06", "2024-01-11"),
                       ("T", "2024-01-11", "2024-01-20"))  # fmt: skip
    assert rows == [
        (1, "01-01", "01-06", "first treatment period"),
        (2, "01-07", "01-11", "day_after_start"),
        (3, "01-12", "01-20", "day_after_start"),
    ]


def test_with_the_start_day_rule_the_element_s_first_day_is_its_own() -> None:
    plan = with_periods({"element": "T"}, {"element": "H", "boundary": "start_day"})
    rows = period_days(plan, ("T", "2024-01-01", "2024-01-06"), ("H", "2024-01-06", None))
    assert rows == [(1, "01-01", "01-05", "first treatment period"), (2, "01-06", None, "start_day")]


def test_an_unstated_boundary_leaves_the_days_open() -> None:
    plan = with_periods({"element": "T"}, {"element": "H"})
    rows = period_days(plan, ("T", "2024-01-01", "2024-01-06"), ("H", "2024-01-06", "2024-01-20"))
    assert rows == [(1, "01-01", None, "first treatment period"), (2, None, "01-20", None)]


def test_a_dose_of_no_known_period_has_no_planned_amount_where_periods_differ() -> None:
    dosing = [
        {"every_h": 24, "amount": "10", "unit": "mg", "period": 1},
        {"every_h": 24, "amount": "20", "unit": "mg", "period": 2},
    ]
    plan = with_periods({"element": "T"}, {"element": "H"}, dosing=dosing)
    study = frames(
        {"P1": days("2024-01-01", 10)},
        subject_element=elements(("T", "2024-01-01", "2024-01-06"), ("H", "2024-01-06", "2024-01-20")),
    )
    match = derived(study, plan)["dose_match"]
    assert match["status"].to_list() == ["taken"] * 10
    assert match["planned_amount"].null_count() == 10
    assert match["in_period"].null_count() == 10


def test_an_unplanned_element_belongs_to_no_period() -> None:
    rows = period_days(
        with_periods(*UP_DOWN),
        ("T", "2024-01-01", "2024-01-06"),
        ("UNPLAN", "2024-01-06", "2024-01-08"),
        ("H", "2024-01-08", "2024-01-20"),
    )
    assert [(order, first) for order, first, _, _ in rows] == [(1, "01-01"), (2, "01-09"), (3, None)]


def test_without_recorded_elements_planned_dates_draw_the_periods() -> None:
    dosing = [
        {"every_h": 24, "amount": "10", "unit": "mg", "period": 1},
        {"every_h": 24, "amount": "20", "unit": "mg", "period": 2},
    ]
    plan = with_periods({"element": "T", "duration_days": 3}, {"element": "H", "duration_days": 4}, dosing=dosing)
    study = frames({"P1": [*days("2024-01-01", 3), *((at, "20") for at in days("2024-01-04", 4))]})
    tables = derived(study, plan)
    assert tables["treatment_period"].select("planned_start", "planned_end").rows() == [
        (D(2024, 1, 1), D(2024, 1, 3)),
        (D(2024, 1, 4), D(2024, 1, 7)),
    ]
    assert tables["dose_match"]["within_limits"].to_list() == [True] * 7
    assert tables["dose_match"]["period_order"].to_list() == [1, 1, 1, 2, 2, 2, 2]


def test_a_dose_after_the_planned_end_is_extra_and_outside_every_period() -> None:
    plan = with_periods({"element": "T", "duration_days": 3})
    study = frames({"P1": days("2024-01-01", 4)})
    assert statuses(study, plan)[-1] == ("01-04", "extra")
    assert derived(study, plan)["dose_match"]["in_period"].to_list() == [True, True, True, False]


@pytest.mark.parametrize("arm", [None, "UNKNOWN"])
def test_a_subject_without_an_arm_of_the_protocol_has_no_periods(arm: str | None) -> None:
    study = frames({"P1": days("2024-01-01", 3)}).with_tables(
        subject=pl.DataFrame({"subject_id": ["P1"], "arm_code": [arm], "source_id": ["e"], "line": [1]})
    )
    assert derived(study, with_periods({"element": "T"}))["treatment_period"].height == 0
