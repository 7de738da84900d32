"""Results of a generic dose log, against figures worked out by hand."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from generic_study import days, figure, frames, protocol, results


def by_arm(rows: pl.DataFrame, column: str = "value") -> dict[str, float | None]:
    assert rows["arm"].is_unique().all(), rows
    return dict(rows.select("arm", column).iter_rows())


def test_percent_error_two_stage_beside_pooled() -> None:
    """P1: +10 % and -10 %; P2: +20 % once. Two-stage bias 10 %, pooled 6.67 %; MAPE 15 % and 13.33 %."""
    study = frames(
        {
            "P1": [("2024-03-01T08:00", "11", "10"), ("2024-03-02T08:00", "9", "10")],
            "P2": [("2024-03-02T08:00", "12", "10")],
        }
    )
    rows = results(study, protocol(arms=("A",), reference=None))
    for pair in ("delivered/planned", "delivered/programmed"):
        of_pair = rows.filter((pl.col("dose_pair") == pair) & (pl.col("arm") == "A"))
        values = {
            statistic: figure(of_pair, "percent_error", statistic)["value"].item()
            for statistic in ("bias", "bias_pooled", "mape", "mape_pooled", "median_absolute_pooled")
        }
        assert values == pytest.approx(
            {"bias": 10.0, "bias_pooled": 20 / 3, "mape": 15.0, "mape_pooled": 40 / 3, "median_absolute_pooled": 10.0}
        )
        bias = figure(of_pair, "percent_error", "bias")
        # t interval of the two subject means 0 and 20 on one degree of freedom.
        assert bias["lower"].item() == pytest.approx(10 - 12.706205 * 10, rel=1e-6)
        inside = figure(of_pair, "percent_error", "share", by="within", by_value="10 %")
        assert inside.select("numerator", "denominator").row(0) == (2, 3)


def test_a_dose_exactly_at_the_limit_conforms() -> None:
    doses = [("2024-03-01T08:00", "10.5"), ("2024-03-02T08:00", "9.5"), ("2024-03-03T08:00", "10.500001")]
    rows = figure(results(frames({"P1": doses}), protocol()), "dose_conformity", "share", arm="A")
    assert rows.select("numerator", "denominator").row(0) == (2, 3)


def test_programming_is_compared_with_the_plan_apart_from_delivery() -> None:
    doses = [("2024-03-01T08:00", "12", "12"), ("2024-03-02T08:00", "10", "10")]
    rows = results(frames({"P1": doses}), protocol())
    counts = {
        name: figure(rows, name, "share", arm="A").select("numerator", "denominator").row(0)
        for name in ("dose_conformity", "delivery_conformity", "programming_conformity")
    }
    assert counts == {
        "dose_conformity": (1, 2), "delivery_conformity": (2, 2), "programming_conformity": (1, 2)
    }  # fmt: skip


def test_a_form_s_nominal_amount_conforms_but_enters_no_percent_error() -> None:
    doses = [{"at": at, "delivered": "10", "delivered_basis": "nominal_crf"} for at in days("2024-03-01", 2)]
    rows = results(frames({"P1": doses}), protocol())
    conformity = figure(rows, "dose_conformity", "share", arm="A")
    assert conformity["numerator"].item() == 2
    assert "as recorded on forms (nominal_crf 2)" in conformity["method"].item()
    error = rows.filter((pl.col("parameter") == "percent_error") & (pl.col("arm") == "A"))
    assert error["value"].to_list() == [None]
    assert "not assessable" in error["not_assessable"].item()


def test_only_measured_amounts_are_printed_plain() -> None:
    doses = [{"at": at, "delivered": "10", "delivered_basis": "measured"} for at in days("2024-03-01", 2)]
    row = figure(results(frames({"P1": doses}), protocol()), "dose_conformity", "share", arm="A")
    assert row["method"].item().startswith("measured;")


def test_an_inferred_amount_is_compared_with_nothing() -> None:
    doses = [
        {"at": at, "delivered": "10", "programmed": "10", "delivered_basis": "inferred_equal"}
        for at in days("2024-03-01", 2)
    ]
    rows = results(frames({"P1": doses}), protocol())
    row = figure(rows, "delivery_conformity", "share", arm="A")
    assert row["value"].item() is None
    assert row["not_assessable"].item() == "not assessable: no dose has both amounts of the pair delivered/programmed"


def test_doses_the_user_stopped_are_left_out_of_delivery_and_counted() -> None:
    doses = [
        {"at": "2024-03-01T08:00", "delivered": "10", "programmed": "10"},
        {"at": "2024-03-02T08:00", "delivered": "3", "programmed": "10", "status": "partial", "stop_reason": "user"},
        {
            "at": "2024-03-03T08:00",
            "delivered": "3",
            "programmed": "10",
            "status": "partial",
            "stop_reason": "occlusion",
        },
    ]
    rows = results(frames({"P1": doses}), protocol())
    assert figure(rows, "delivery_conformity", "share", arm="A").select("numerator", "denominator").row(0) == (1, 2)
    shares = figure(rows, "assessable", "share", arm="A", dose_pair="delivered/programmed")
    assert "1 doses stopped by the user part-way left out" in shares["method"].item()
    # What the subject got is still compared with the plan.
    assert figure(rows, "dose_conformity", "share", arm="A")["denominator"].item() == 3


def test_compliance_counts_by_definition() -> None:
    """P1 skips day 3 and doubles day 5; P2 stops after day 4 of 8 and stays in the study."""
    doses = {
        "P1": [*days("2024-03-01", 8, without=[2]), "2024-03-05T19:00"],
        "P2": days("2024-03-01", 4),
    }
    plan = protocol(arms=("A",), reference=None, study={"monitored_through": "2024-03-08"})
    rows = results(frames(doses), plan)
    counts = {
        name: figure(rows, name, "share", arm="A").select("numerator", "denominator").row(0)
        for name in ("implementation", "compliance_on_treatment", "days_at_least_expected", "days_exact")
    }
    assert counts == {
        "implementation": (11, 12),
        "compliance_on_treatment": (11, 16),
        "days_at_least_expected": (11, 16),
        "days_exact": (10, 16),
    }
    on_treatment = figure(rows, "compliance_on_treatment", "mean_of_subjects", arm="A")
    assert on_treatment["value"].item() == pytest.approx((7 / 8 + 4 / 8) / 2)
    reached = figure(rows, "compliant_subjects", "share", arm="A")
    assert reached.select("numerator", "denominator").row(0) == (1, 2)
    extra = figure(rows, "extra_doses", "count", arm="A")
    assert extra["value"].item() == 1


def test_unmonitored_doses_have_three_sensitivity_rows() -> None:
    device = [{"device_id": "D1", "device_class": "pen", "basis": "registered"}]
    assignment = [{"device_id": "D1", "subject_id": "P1", "start_date": dt.date(2024, 3, 1), "basis": "enrolment"}]
    plan = protocol(study={"monitored_through": "2024-03-10"}, silence={"upload_h": {"pen": 24}, "tolerance_h": 24})
    rows = results(frames({"P1": days("2024-03-01", 6)}, device=device, device_assignment=assignment), plan)
    name = "compliance_on_treatment"
    found = {
        estimand: figure(rows, name, "share", arm="A", estimand=estimand).select("numerator", "denominator").row(0)
        for estimand in (None, "unmonitored doses counted as missed", "unmonitored doses counted as taken")
    }
    assert found == {
        None: (6, 6),
        "unmonitored doses counted as missed": (6, 10),
        "unmonitored doses counted as taken": (10, 10),
    }
    # 80 % of ten doses are eight: two of the four dark ones.
    assert figure(rows, name, "tipping_point", arm="A", estimand="tipping point")["value"].item() == pytest.approx(0.5)


def test_uneven_assessable_shares_are_said_under_the_comparison() -> None:
    doses = {
        "P1": [(at, "10", "10") for at in days("2024-03-01", 4)],
        "P2": [(at, "10", "10" if i else None) for i, at in enumerate(days("2024-03-01", 4))],
        "P3": [(at, "10", "10") for at in days("2024-03-01", 4)],
    }
    rows = results(frames(doses, {"P2": "B", "P3": "B"}), protocol())
    shares = figure(rows, "assessable", "share", dose_pair="delivered/programmed")
    assert by_arm(shares) == {"A": 1.0, "B": pytest.approx(7 / 8), "ALL": pytest.approx(11 / 12)}
    formats = figure(
        rows, "assessable", "share", dose_pair="delivered/programmed", by="source format", by_value="dose_log"
    )
    assert by_arm(formats)["B"] == pytest.approx(7 / 8)
    contrast = figure(rows, "delivery_conformity", "mean_difference", comparator="A")
    assert "assessable shares differ by 12.5 points between arms" in contrast["method"].item()
    assert "descriptive, not adjusted" in contrast["method"].item()


@pytest.mark.parametrize(
    ("device_class", "sentence"),
    [
        ("adherence_cap", "not assessable: an opening is no amount"),
        ("transdermal_patch", "not assessable: a wear log holds no amount; only a residual assay could tell"),
    ],
)
def test_classes_without_amounts_say_so(device_class: str, sentence: str) -> None:
    device = [{"device_id": "D1", "device_class": device_class, "basis": "registered"}]
    assignment = [{"device_id": "D1", "subject_id": "P1", "start_date": dt.date(2024, 3, 1), "basis": "enrolment"}]
    doses = [
        {"at": at, "delivered": None, "kind": "opening", "delivered_basis": "none"} for at in days("2024-03-01", 3)
    ]
    rows = results(frames({"P1": doses}, device=device, device_assignment=assignment), protocol())
    assert figure(rows, "dose_conformity", "share", arm="A")["not_assessable"].item() == sentence
    assert figure(rows, "compliance_on_treatment", "share", arm="A")["numerator"].item() == 3


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("as_needed", "not assessable: as-needed doses are never expected, extra or missed"),
        ("continuous", "not assessable: continuous dosing has no single expected doses"),
    ],
)
def test_unscheduled_dosing_says_why_there_is_no_compliance(kind: str, sentence: str) -> None:
    doses = [(at, "10", "10") for at in days("2024-03-01", 3)]
    rows = results(frames({"P1": doses}), protocol(dosing=[{"kind": kind}]))
    assert figure(rows, "compliance_on_treatment", "share", arm="A")["not_assessable"].item() == sentence
    assert figure(rows, "delivery_conformity", "share", arm="A")["numerator"].item() == 3


def test_amounts_the_records_state_as_planned_serve_without_a_schedule() -> None:
    doses = [{"at": at, "delivered": "9", "planned": "10"} for at in days("2024-03-01", 2)]
    rows = results(frames({"P1": doses}), protocol(dosing=[{"kind": "as_needed"}]))
    row = figure(rows, "dose_conformity", "share", arm="A")
    assert row.select("numerator", "denominator").row(0) == (0, 2)
    assert figure(rows, "percent_error", "bias", arm="A")["value"].item() == pytest.approx(-10.0)


def test_crossover_arms_are_not_compared_and_the_table_says_so() -> None:
    doses = {"P1": days("2024-03-01", 3), "P2": days("2024-03-01", 3)}
    rows = results(frames(doses, {"P2": "B"}), protocol(study={"design": "crossover"}))
    assert rows["comparator"].null_count() == rows.height
    sentences = rows.filter(pl.col("parameter") == "comparison_between_arms")["not_assessable"]
    assert set(sentences) == {"not assessable: comparisons between the arms of a crossover design are not computed"}


def test_a_study_without_any_data_has_no_figure_and_no_error() -> None:
    empty = frames({})
    rows = results(empty, protocol())
    assert rows.filter(pl.col("value").is_not_null() & (pl.col("value") != 0)).height == 0


def test_an_arm_without_treated_subjects_has_denominator_zero_and_no_value() -> None:
    event = {"subject_id": "P1", "event_seq": "1", "term": "HEADACHE", "start_text": "2024-03-02"}
    rows = results(frames({"P1": days("2024-03-01", 3)}, adverse_event=[event]), protocol())
    row = figure(rows, "teae", "incidence", arm="B").head(1)
    assert row.select("value", "numerator", "denominator").row(0) == (None, 0, 0)
    assert row["level"].item() is None
