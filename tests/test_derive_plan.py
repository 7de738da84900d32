"""Planned doses of a generic log: generated in local time from the regimen, held, unmonitored, late, extra."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from generic_study import days, derived, figure, frames, protocol, results, statuses

CLOCK = {"at": ["08:00", "20:00"], "amount": "10", "unit": "mg"}


def planned(study, plan, cutoff: dt.date | None = None) -> list[str]:
    rows = derived(study, plan, cutoff)["planned_dose"]
    return rows["planned_at"].dt.strftime("%m-%dT%H:%M").to_list()


def test_every_24_hours_counts_from_the_first_dose() -> None:
    study = frames({"P1": ["2024-03-01T07:40", "2024-03-02T08:10", "2024-03-03T07:55"]})
    assert planned(study, protocol()) == ["03-01T07:40", "03-02T07:40", "03-03T07:40"]
    match = derived(study, protocol())["dose_match"]
    assert match["status"].to_list() == ["taken"] * 3
    assert match["delay_s"].to_list() == [0, 1800, 900]


def test_without_a_window_the_way_to_the_next_dose_is_halved() -> None:
    study = frames({"P1": ["2024-03-01T08:00", "2024-03-03T08:00"]})
    rows = derived(study, protocol(dosing=[{"every_h": 12, "amount": "10", "unit": "mg"}]))["planned_dose"]
    assert rows.select("window_start", "window_end").row(1) == (
        dt.datetime(2024, 3, 1, 14), dt.datetime(2024, 3, 2, 2)
    )  # fmt: skip


def test_clock_times_are_local_and_keep_their_hour_over_summer_time() -> None:
    doses = [f"2024-03-{day}T{hour}:05" for day in (30, 31) for hour in ("08", "20")]
    study = frames({"P1": [*doses, "2024-04-01T08:05"]})
    assert planned(study, protocol(dosing=[CLOCK])) == [
        "03-30T08:00", "03-30T20:00", "03-31T08:00", "03-31T20:00", "04-01T08:00",
    ]  # fmt: skip


def test_the_first_day_expects_only_what_comes_after_the_first_dose() -> None:
    study = frames({"P1": ["2024-03-01T19:50", "2024-03-02T08:05", "2024-03-02T20:00"]})
    assert planned(study, protocol(dosing=[CLOCK])) == ["03-01T20:00", "03-02T08:00", "03-02T20:00"]


def test_missed_late_and_extra_doses() -> None:
    dosing = [{"at": ["08:00"], "amount": "10", "unit": "mg", "window_before_min": 60, "window_after_min": 60}]
    study = frames({"P1": ["2024-03-01T08:00", "2024-03-02T15:00", "2024-03-04T08:30", "2024-03-04T12:00"]})
    assert statuses(study, protocol(dosing=dosing)) == [
        ("03-01", "taken"), ("03-02", "late"), ("03-03", "missed"), ("03-04", "taken"), ("03-04", "extra"),
    ]  # fmt: skip


def test_every_missed_dose_is_a_row_up_to_the_recorded_end_of_treatment() -> None:
    end = {
        "subject_id": "P1", "disposition_seq": "1", "decoded": "ADVERSE EVENT", "category": "DISPOSITION EVENT",
        "disposition_date": dt.date(2024, 3, 6),
    }  # fmt: skip
    study = frames({"P1": days("2024-03-01", 3)}, disposition=[end])
    assert [status for _, status in statuses(study, protocol())] == ["taken"] * 3 + ["missed"] * 3


def test_an_ongoing_subject_is_followed_to_the_data_cut_not_to_the_last_dose() -> None:
    study = frames({"P1": days("2024-03-01", 3)})
    assert len(planned(study, protocol(study={"monitored_through": "2024-03-10"}))) == 10
    assert len(planned(study, protocol(study={"data_cut": "2024-03-08"}))) == 8
    assert len(planned(study, protocol(), dt.date(2024, 3, 2))) == 2


def test_when_nothing_states_an_end_the_last_dose_of_the_study_does() -> None:
    study = frames({"P1": days("2024-03-01", 3), "P2": days("2024-03-01", 6)})
    rows = derived(study, protocol())["dose_match"]
    assert rows.filter(pl.col("subject_id") == "P1")["status"].to_list() == ["taken"] * 3 + ["missed"] * 2
    # The sixth dose of P1 has its window open until the evening: not due when the data end.
    monitoring = derived(study, protocol())["monitoring_interval"]
    assert set(monitoring["basis"]) == {"first dose to last day with a dose event in the study"}


def test_silence_beyond_the_upload_interval_is_unmonitored_and_not_missed() -> None:
    device = [{"device_id": "D1", "device_class": "pen", "basis": "registered"}]
    assignment = [{"device_id": "D1", "subject_id": "P1", "start_date": dt.date(2024, 3, 1), "basis": "enrolment"}]
    plan = protocol(study={"monitored_through": "2024-03-20"}, silence={"upload_h": {"pen": 48}, "tolerance_h": 24})
    study = frames({"P1": days("2024-03-01", 5, without=[2])}, device=device, device_assignment=assignment)
    found = [status for _, status in statuses(study, plan)]
    # Day 3 lies between two uploads: the pen kept its log, the dose was missed.
    assert found == ["taken", "taken", "missed", "taken", "taken"] + ["unmonitored"] * 15
    monitoring = derived(study, plan)["monitoring_interval"]
    assert monitoring.select("start_date", "end_date", "state").rows() == [
        (dt.date(2024, 3, 1), dt.date(2024, 3, 5), "monitored"),
        (dt.date(2024, 3, 6), dt.date(2024, 3, 20), "dark"),
    ]


def test_after_the_end_of_treatment_a_subject_is_off_study() -> None:
    end = {
        "subject_id": "P1", "disposition_seq": "1", "decoded": "COMPLETED", "category": "DISPOSITION EVENT",
        "disposition_date": dt.date(2024, 3, 3),
    }  # fmt: skip
    study = frames({"P1": days("2024-03-01", 3), "P2": days("2024-03-01", 8)}, disposition=[end])
    rows = derived(study, protocol())["monitoring_interval"].filter(pl.col("subject_id") == "P1")
    assert rows.select("start_date", "end_date", "state").rows()[1] == (
        dt.date(2024, 3, 4), dt.date(2024, 3, 8), "off_study"
    )  # fmt: skip


def test_recorded_plans_come_first_and_join_their_own_dose() -> None:
    at = dt.datetime(2024, 3, 1)
    plans = [
        {
            "subject_id": "P1", "plan_seq": str(i), "drug": "DRUG", "planned_at": at + dt.timedelta(days=i),
            "planned_precision": "date", "occurred": occurred, "reason": reason,
        }
        for i, (occurred, reason) in enumerate(
            [(True, None), (False, "INVESTIGATOR DECISION"), (False, "SUBJECT FORGOT"), (True, None)]
        )
    ]  # fmt: skip
    dose = {"kind": "injection", "start_precision": "date", "delivered": "10"}
    study = frames(
        {"P1": [{"at": "2024-03-01", "native_key": "0", **dose}, {"at": "2024-03-04", "native_key": "3", **dose}]},
        planned_dose_recorded=plans,
    )
    tables = derived(study, protocol(dosing=[{"every_h": 6, "amount": "10", "unit": "mg"}]))
    assert tables["planned_dose"]["basis"].to_list() == ["recorded"] * 4
    assert tables["dose_match"]["status"].to_list() == ["taken", "held", "missed", "taken"]
    assert tables["hold"].select("start_date", "end_date").rows() == [(dt.date(2024, 3, 2), dt.date(2024, 3, 2))]
    assert tables["dose_match"]["planned_amount"].to_list() == [Decimal(10)] * 4


def test_a_scheduled_record_without_its_own_dose_is_matched_by_time() -> None:
    at = dt.datetime(2024, 3, 1, 8)
    plans = [
        {
            "subject_id": "P1", "plan_seq": f"S{i}", "drug": "DRUG", "planned_at": at + dt.timedelta(days=i),
            "planned_precision": "minute", "planned_amount": Decimal(10), "amount_unit": "mg",
        }
        for i in range(3)
    ]  # fmt: skip
    study = frames({"P1": ["2024-03-01T09:30", "2024-03-03T07:00"]}, planned_dose_recorded=plans)
    match = derived(study, protocol(dosing=[]))["dose_match"]
    assert match.select("status", "delay_s", "within_limits").rows() == [
        ("taken", 5400, True), ("missed", None, None), ("taken", -3600, True)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["as_needed", "continuous", "algorithm_bounded"])
def test_dosing_without_a_schedule_expects_nothing_and_misses_nothing(kind: str) -> None:
    study = frames({"P1": days("2024-03-01", 5, without=[2])})
    tables = derived(study, protocol(dosing=[{"kind": kind, "amount": "10", "unit": "mg"}]))
    assert tables["planned_dose"].height == 0
    assert tables["dose_match"].height == 0


def test_as_needed_rescue_and_primed_doses_are_never_extra() -> None:
    other = [
        {"at": "2024-03-01T09:00", "delivered": "10", "intent": "as_needed"},
        {"at": "2024-03-01T10:00", "delivered": "10", "drug_role": "rescue"},
        {"at": "2024-03-01T11:00", "delivered": "10", "exclude_reason": "prime"},
        {"at": "2024-03-01T12:00", "delivered": "0", "status": "none_delivered"},
        {"at": "2024-03-01T13:00", "delivered": "10", "drug": "OTHER"},
    ]
    study = frames({"P1": [*days("2024-03-01", 2), *other]})
    assert [status for _, status in statuses(study, protocol())] == ["taken", "taken"]


def test_a_drug_under_another_name_is_the_same_drug() -> None:
    drug = [{"name": "DRUG", "unit": "mg", "also_named": ["Placebo"]}]
    doses = [{"at": at, "delivered": "10", "drug": "PLACEBO"} for at in days("2024-03-01", 2)]
    assert [status for _, status in statuses(frames({"P1": doses}), protocol(drug=drug))] == ["taken", "taken"]


def test_titrated_dosing_takes_its_amount_from_the_dated_prescription() -> None:
    prescriptions = [
        {"subject_id": "P1", "drug": "DRUG", "start_at": dt.datetime(2024, 3, day), "planned_amount": Decimal(amount),
         "amount_unit": "mg"}
        for day, amount in ((1, "10"), (3, "20"))
    ]  # fmt: skip
    doses = [(at, amount) for at, amount in zip(days("2024-03-01", 4), ("10", "10", "20", "10"), strict=True)]
    plan = protocol(dosing=[{"kind": "titrated", "every_h": 24}])
    match = derived(frames({"P1": doses}, prescription=prescriptions), plan)["dose_match"]
    assert [str(amount) for amount in match["planned_amount"]] == ["10.000000"] * 2 + ["20.000000"] * 2
    assert match["within_limits"].to_list() == [True, True, True, False]


def test_a_single_dose_is_expected_once() -> None:
    plan = protocol(dosing=[{"kind": "single", "amount": "10", "unit": "mg"}])
    assert statuses(frames({"P1": ["2024-03-01T08:00"]}), plan) == [("03-01", "taken")]


def test_the_dosing_day_of_a_pen_starts_at_three_in_the_morning() -> None:
    device = [{"device_id": "D1", "device_class": "pen", "basis": "registered"}]
    assignment = [{"device_id": "D1", "subject_id": "P1", "start_date": dt.date(2024, 3, 1), "basis": "enrolment"}]
    plan = protocol(dosing=[{"at": ["23:00"], "amount": "10", "unit": "mg"}])
    doses = ["2024-03-01T23:00", "2024-03-03T01:30", "2024-03-03T23:00"]
    study = frames({"P1": doses}, device=device, device_assignment=assignment)
    assert statuses(study, plan) == [("03-01", "taken"), ("03-02", "taken"), ("03-03", "taken")]


def test_days_without_times_are_matched_by_day() -> None:
    plan = protocol(
        dosing=[{"at": ["20:00"], "amount": "10", "unit": "mg", "window_before_min": 30, "window_after_min": 30}]
    )
    doses = [{"at": f"2024-03-0{day}", "delivered": "10", "start_precision": "date"} for day in (1, 2, 4)]
    study = frames({"P1": doses})
    assert statuses(study, plan) == [("03-01", "taken"), ("03-02", "taken"), ("03-03", "missed"), ("03-04", "taken")]
    assert derived(study, plan)["dose_match"]["delay_s"].null_count() == 4


def test_channels_are_matched_apart() -> None:
    dosing = [
        {"every_h": 24, "amount": "10", "unit": "mg", "channel": "1"},
        {"every_h": 24, "amount": "5", "unit": "mg", "channel": "2"},
    ]
    doses = [
        {"at": "2024-03-01T08:00", "delivered": "10", "channel": "1"},
        {"at": "2024-03-01T08:01", "delivered": "5", "channel": "2"},
        {"at": "2024-03-02T08:00", "delivered": "10", "channel": "1"},
    ]
    rows = derived(frames({"P1": doses}), protocol(dosing=dosing, study={"monitored_through": "2024-03-02"}))[
        "dose_match"
    ]
    found = rows.select("channel", "status", "within_limits").rows()
    assert sorted(found, key=str) == [
        ("1", "taken", True),
        ("1", "taken", True),
        ("2", "missed", None),
        ("2", "taken", True),
    ]
    planned_no = derived(frames({"P1": doses}), protocol(dosing=dosing))["planned_dose"]["planned_no"]
    assert planned_no.is_unique().all()


def test_amounts_in_different_units_are_not_compared() -> None:
    study = frames({"P1": [{"at": "2024-03-01T08:00", "delivered": "10", "amount_unit": "ug"}]})
    row = derived(study, protocol())["dose_match"].row(0, named=True)
    assert (row["within_limits"], row["planned_amount"], row["amount_unit"]) == (None, None, "ug")
    assert figure(results(study, protocol()), "dose_conformity", "share", arm="A")["value"].item() is None


def test_derived_tables_have_the_schema_s_columns_and_declared_order() -> None:
    from canonical_frames import canonical

    from analysis.derive import derive_study
    from store.tables import TABLES

    study = frames({"P1": days("2024-03-01", 4, without=[1]), "P2": [*days("2024-03-01", 4), "2024-03-02T19:00"]})
    for name, rows in derive_study(study, protocol(), None).items():
        assert rows.columns == list(TABLES[name].column_names), name
        declared = canonical(TABLES[name], rows.with_columns(pl.selectors.enum().cast(pl.String)))
        assert declared.equals(rows.with_columns(pl.selectors.enum().cast(pl.String)).cast(declared.schema)), name
        for column in TABLES[name].columns:
            if column.required:
                assert rows[column.name].null_count() == 0, (name, column.name)


def test_a_dose_of_nobody_in_the_study_is_left_aside() -> None:
    study = frames({"P1": days("2024-03-01", 2), "P2": days("2024-03-01", 2)})
    alone = study.with_tables(subject=study("subject").filter(pl.col("subject_id") == "P2"))
    assert set(derived(alone, protocol())["dose_match"]["subject_id"]) == {"P2"}
