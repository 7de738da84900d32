"""Adverse events: completed dates, treatment emergence, related or not, the term tables use."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from generic_study import days, derived, figure, frames, protocol, results

D = dt.date


def event(**columns: Any) -> dict[str, Any]:
    return {"subject_id": "P1", "event_seq": "1", "term": "HEADACHE", **columns}


def row(plan_sections: dict[str, Any] | None = None, **columns: Any) -> dict[str, Any]:
    study = frames({"P1": days("2024-03-10", 5)}, adverse_event=[event(**columns)])
    return derived(study, protocol(**(plan_sections or {})))["adverse_event_derived"].to_dicts()[0]


@pytest.mark.parametrize(
    ("start", "end", "date", "imputed", "emergent"),
    [
        ("2024-03-10", None, D(2024, 3, 10), None, True),
        ("2024-03-09", None, D(2024, 3, 9), None, False),
        ("2024-03-12T10:30", None, D(2024, 3, 12), None, True),
        ("2024-03", None, D(2024, 3, 10), "D", True),
        ("2024-03", "2024-03-05", D(2024, 3, 1), "D", False),
        ("2024", None, D(2024, 3, 10), "M", True),
        ("2024-02", None, D(2024, 2, 1), "D", False),
        ("2023", None, D(2023, 1, 1), "M", False),
        (None, None, None, None, True),
        (None, "2024-03-11", None, None, True),
        (None, "2024-03-09", None, None, False),
        ("soon", None, None, None, True),
    ],
)
def test_start_and_emergence(
    start: str | None, end: str | None, date: dt.date | None, imputed: str | None, emergent: bool
) -> None:
    found = row(start_text=start, end_text=end)
    assert (found["start_date"], found["start_imputed"], found["treatment_emergent"]) == (date, imputed, emergent)


def test_a_window_after_the_last_dose_ends_emergence() -> None:
    window = {"adverse_events": {"window_days": 7}}
    assert row(window, start_text="2024-03-21")["treatment_emergent"]
    assert not row(window, start_text="2024-03-22")["treatment_emergent"]


def test_a_partial_end_goes_no_further_than_death() -> None:
    study = frames(
        {"P1": days("2024-03-10", 5)},
        adverse_event=[event(start_text="2024-03-12", end_text="2024-03")],
        subject=[{"subject_id": "P1", "death_date": D(2024, 3, 20)}],
    )
    found = derived(study, protocol())["adverse_event_derived"].to_dicts()[0]
    assert (found["end_date"], found["end_imputed"]) == (D(2024, 3, 20), "D")


def test_related_is_the_protocol_s_list_and_absent_causality_is_not_assessable() -> None:
    rule = {"adverse_events": {"related": ["Possible", "Probable"]}}
    assert row(rule, start_text="2024-03-12", causality="POSSIBLE")["related"] is True
    assert row(rule, start_text="2024-03-12", causality="Remote")["related"] is False
    assert row(rule, start_text="2024-03-12", causality=None)["related"] is None
    assert row(start_text="2024-03-12", causality="POSSIBLE")["related"] is None


def test_study_day_has_no_day_zero_and_terms_fall_back() -> None:
    assert row(start_text="2024-03-10")["study_day"] == 1
    found = row(start_text="2024-03-09", preferred_term="Cephalgia", soc="Nervous system disorders")
    assert (found["study_day"], found["table_term"], found["table_soc"]) == (
        -1,
        "Cephalgia",
        "Nervous system disorders",
    )
    assert row(start_text="2024-03-09")["table_soc"] == "UNCODED"


def test_treatment_can_start_with_the_procedure() -> None:
    worn = [{"subject_id": "P1", "start_local": dt.datetime(2024, 3, 1, 9)}]
    study = frames({"P1": days("2024-03-10", 5)}, adverse_event=[event(start_text="2024-03-02")], wear_interval=worn)
    assert derived(study, protocol())["adverse_event_derived"]["treatment_emergent"].item()
    first_dose = protocol(adverse_events={"treatment_start": "first_dose"})
    assert not derived(study, first_dose)["adverse_event_derived"]["treatment_emergent"].item()


def test_first_event_stops_the_clock_of_incidence_but_not_of_the_event_rate() -> None:
    ends = [{"subject_id": name, "reference_end": D(2024, 4, 8)} for name in ("P1", "P2")]
    events = [
        event(event_seq="1", start_text="2024-03-19"),
        event(event_seq="2", start_text="2024-03-20"),
        event(event_seq="3", start_text="2024-05-01"),
    ]
    study = frames({"P1": days("2024-03-10", 5), "P2": days("2024-03-10", 5)}, subject=ends, adverse_event=events)
    rows = results(study, protocol(arms=("A",), reference=None))
    eair = figure(rows, "eair", "rate", arm="A")
    any_event = eair.filter(eair["soc"].is_null())
    # P1: 10 days to the first event; P2: 30 days from the first dose to the reference end, both counted.
    assert any_event["numerator"].item() == 1
    assert any_event["denominator"].item() == pytest.approx(40 / 365.25)
    eaer = figure(rows, "eaer", "rate", arm="A")
    any_event = eaer.filter(eaer["soc"].is_null())
    assert (any_event["numerator"].item(), any_event["denominator"].item()) == (2, pytest.approx(60 / 365.25))
    assert "1 events outside the time at risk not counted" in any_event["method"].item()
    assert figure(rows, "teae", "events", arm="A")["value"][0] == 3


def test_confirmatory_comparisons_alone_carry_a_p_value_of_their_own() -> None:
    entry = {"order": 1, "parameter": "teae", "arm": "B", "comparator": "A", "alpha": 0.05, "method": "fisher_exact"}
    doses = {f"P{i}": days("2024-03-10", 2) for i in range(1, 9)}
    arms = {f"P{i}": "AB"[i % 2] for i in range(1, 9)}
    events = [event(subject_id=name, start_text="2024-03-11") for name, arm in arms.items() if arm == "B"]
    rows = results(frames(doses, arms, adverse_event=events), protocol(confirmatory=[entry]))
    found = figure(rows, "teae", "p_value", estimand="confirmatory", comparator="A")
    assert found["value"].item() == pytest.approx(2 / 70)
    assert found["method"].item() == "confirmatory comparison 1: fisher_exact, alpha 0.05"
