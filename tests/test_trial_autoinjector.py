"""The auto-injector trial, imported from its own files: every expected figure of its compliance, accuracy and safety.

Expected values: counted from the published data set (CDISC SDTM-MSG v2.0) with the definitions of the project.
"""

from __future__ import annotations

import datetime as dt

import duckdb
import polars as pl
import pytest
from canonical_frames import CanonicalFrames
from trial_protocols import autoinjector
from trial_releases import AUTOINJECTOR, received, release_file, release_tables, sample_protocol, text

from analysis.derive import derive_study
from analysis.frames import DerivedFrames
from analysis.results import compute_results
from store.protocol import Protocol

ARMS = ("PLACEBO", "ZAN_LOW", "ZAN_HIGH")


@pytest.fixture(scope="module")
def results() -> pl.DataFrame:
    """The result table of the release."""
    return release_tables(AUTOINJECTOR)("result")


def counted(rows: pl.DataFrame, parameter: str, statistic: str = "share", **columns: str | None) -> dict[str, tuple]:
    """Arm -> (numerator, denominator) of one figure; columns not named must be NULL."""
    free = ("by", "by_value", "soc", "term", "estimand", "period", "comparator")
    chosen = rows.filter(
        (pl.col("parameter") == parameter) & (pl.col("statistic") == statistic) & pl.col("not_assessable").is_null()
    )
    for name in free:
        value = columns.get(name)
        chosen = chosen.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    arms = chosen["arm"].to_list()
    assert len(arms) == len(set(arms)), f"{parameter} is not one row per arm"
    return {
        arm: (int(x), int(n))
        for arm, x, n in chosen.select("arm", "numerator", "denominator").iter_rows()
        if arm in ARMS
    }


def arms(*values: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return dict(zip(ARMS, values, strict=True))


def analysed(protocol: Protocol, cutoff: dt.date | None = None) -> tuple[CanonicalFrames, pl.DataFrame]:
    """Derived tables and results of the trial's received tables under another protocol or cut-off."""
    frames = received(AUTOINJECTOR)
    derived = derive_study(frames, protocol, cutoff)
    return DerivedFrames(frames, derived), compute_results(DerivedFrames(frames, derived), protocol, cutoff)


def test_enrolment(results: pl.DataFrame) -> None:
    rows = results.filter(pl.col("analysis") == "enrolment")
    assert counted(rows, "randomised", "count") == arms((5, 17), (5, 17), (7, 17))
    whole = rows.filter((pl.col("arm") == "ALL") & (pl.col("statistic") == "count"))
    values = dict(whole.filter(pl.col("by").is_null()).select("parameter", "value").iter_rows())
    assert (values["screened"], values["screen_failures"], values["randomised"]) == (18, 1, 17)
    assert counted(rows, "died", "count") == arms((2, 5), (1, 5), (0, 7))


def test_recorded_compliance_counts_the_records_as_they_stand(results: pl.DataFrame) -> None:
    assert counted(results, "recorded_compliance") == arms((677, 684), (348, 348), (558, 558))


def test_doses_the_investigator_withheld_leave_the_denominator(results: pl.DataFrame) -> None:
    assert counted(results, "compliance_excl_holds") == arms((677, 677), (348, 348), (558, 558))
    assert counted(results, "held_doses", "count") == arms((7, 684), (0, 348), (0, 558))
    assert counted(results, "missed_doses", "count") == arms((0, 684), (0, 348), (0, 558))


def test_compliance_to_the_planned_end_counts_everybody_s_planned_days(results: pl.DataFrame) -> None:
    assert counted(results, "compliance_planned") == arms((677, 910), (348, 910), (558, 1274))


@pytest.mark.parametrize(
    "parameter", ["implementation", "compliance_on_treatment", "days_at_least_expected", "days_exact"]
)
def test_who_took_every_dose_not_withheld_is_fully_compliant(results: pl.DataFrame, parameter: str) -> None:
    assert counted(results, parameter) == arms((677, 677), (348, 348), (558, 558))


def test_the_hold_is_one_interval_of_seven_days() -> None:
    hold = release_tables(AUTOINJECTOR)("hold")
    assert hold.select("subject_id", "start_date", "end_date", "reason").rows() == [
        ("CDISC009", dt.date(2013, 2, 20), dt.date(2013, 2, 26), "INVESTIGATOR DECISION")
    ]
    held = text(release_tables(AUTOINJECTOR)("planned_dose")).filter(pl.col("status") == "held")
    assert held["hold_reason"].to_list() == ["INVESTIGATOR DECISION"] * 7


def test_dose_conformity_by_period(results: pl.DataFrame) -> None:
    assert counted(results, "dose_conformity") == arms((676, 676), (348, 348), (558, 558))
    rows = results.filter(
        (pl.col("parameter") == "dose_conformity")
        & (pl.col("statistic") == "share")
        & (pl.col("arm") == "ZAN_HIGH")
        & pl.col("period").is_not_null()
    )
    assert rows.select("period", "numerator", "denominator").rows() == [
        ("2 Zanomaline 54 mg Titration", 94, 94),
        ("3 Zanomaline 81 mg", 443, 443),
        ("4 Zanomaline 54 mg Titration", 21, 21),
    ]


def test_the_dose_on_the_day_of_death_lies_outside_every_element_and_is_said(results: pl.DataFrame) -> None:
    assert counted(results, "dose_outside_treatment_element", "count") == arms((1, 677), (0, 348), (0, 558))
    outside = release_tables(AUTOINJECTOR)("dose_match").filter(pl.col("in_period") == False)  # noqa: E712
    assert outside.select("subject_id", "dose_date", "within_limits").rows() == [
        ("CDISC008", dt.date(2014, 10, 31), None)
    ]


def test_without_the_boundary_day_eight_doses_of_the_high_arm_seem_wrong() -> None:
    frames, results = analysed(autoinjector(boundary="start_day"))
    assert counted(results, "dose_conformity")["ZAN_HIGH"] == (550, 558)
    wrong = frames("dose_match").filter(pl.col("within_limits") == False)  # noqa: E712
    assert wrong.select("subject_id", pl.col("dose_date").cast(pl.String)).rows() == [
        ("CDISC003", "2013-09-15"),
        ("CDISC005", "2013-02-19"),
        ("CDISC005", "2013-07-30"),
        ("CDISC007", "2013-01-18"),
        ("CDISC011", "2012-12-21"),
        ("CDISC011", "2013-05-22"),
        ("CDISC014", "2013-04-17"),
        ("CDISC018", "2012-12-31"),
    ]


def test_until_the_boundary_is_stated_accuracy_names_the_line_and_everything_else_works() -> None:
    _, results = analysed(autoinjector(boundary=None))
    row = results.filter(
        (pl.col("parameter") == "dose_conformity")
        & (pl.col("arm") == "ZAN_HIGH")
        & pl.col("not_assessable").is_not_null()
    )
    sentence = row["not_assessable"].item()
    assert "[[arm.period]] boundary of arm ZAN_HIGH period 3 (HIGH)" in sentence
    assert row["value"].item() is None
    assert counted(results, "dose_conformity")["ZAN_LOW"] == (348, 348)
    assert counted(results, "recorded_compliance") == arms((677, 684), (348, 348), (558, 558))


def test_without_planned_amounts_accuracy_waits_and_recorded_compliance_stands() -> None:
    _, results = analysed(autoinjector(dosed=False))
    sentences = results.filter(pl.col("parameter") == "dose_conformity")
    assert sentences["value"].to_list() == [None, None, None]
    assert all("[[dosing]] amount of arm" in sentence for sentence in sentences["not_assessable"])
    assert counted(results, "recorded_compliance")["PLACEBO"] == (677, 684)
    planned = results.filter((pl.col("parameter") == "compliance_planned") & (pl.col("arm") == "PLACEBO"))
    assert "[[dosing]] every_h or at of arm PLACEBO" in planned["not_assessable"].item()


def test_a_placebo_dose_conforms_without_a_percent_error(results: pl.DataFrame) -> None:
    rows = results.filter((pl.col("parameter") == "percent_error") & pl.col("comparator").is_null())
    assert set(rows["arm"]) == {"PLACEBO", "ZAN_LOW", "ZAN_HIGH", "ALL"}
    placebo = rows.filter(pl.col("arm") == "PLACEBO")
    assert placebo["value"].to_list() == [None]
    assert "planned 0" in placebo["not_assessable"].item()
    bias = rows.filter((pl.col("statistic") == "bias_pooled") & (pl.col("arm") == "ALL"))
    assert bias.select("value", "denominator").row(0) == (0.0, 906)


def test_a_placebo_planned_in_millilitres_is_compared_in_volume() -> None:
    dosing = [
        {"arm": "PLACEBO", "drug": "ZANOMALINE", "every_h": 24, "amount": "5", "unit": "mL"},
        {"arm": "ZAN_LOW", "drug": "ZANOMALINE", "every_h": 24, "amount": "4", "unit": "mL"},
    ]
    _, results = analysed(autoinjector(dosing=dosing))
    rows = results.filter((pl.col("parameter") == "percent_error") & (pl.col("statistic") == "bias_pooled"))
    assert dict(rows.select("arm", "value").iter_rows())["PLACEBO"] == 0.0
    assert dict(rows.select("arm", "value").iter_rows())["ZAN_LOW"] == 25.0
    assert counted(results, "dose_conformity") == {"PLACEBO": (676, 676), "ZAN_LOW": (0, 348)}


def test_figures_say_on_which_basis_they_rest(results: pl.DataFrame) -> None:
    rows = results.filter(
        (pl.col("parameter") == "dose_conformity")
        & (pl.col("arm") == "ZAN_LOW")
        & pl.col("comparator").is_null()
        & pl.col("by").is_null()
        & (pl.col("statistic") != "share_bootstrap")
    )
    assert rows.height == 4
    assert all("device-reported (volume_x_conc 348)" in method for method in rows["method"])


@pytest.mark.parametrize(
    ("by", "by_value", "subjects", "events"),
    [
        (None, None, (3, 4, 6), (6, 23, 45)),
        ("seriousness", "serious", (2, 1, 1), (2, 1, 1)),
        ("relation", "related", (2, 4, 6), (4, 10, 27)),
        ("outcome", "fatal", (2, 1, 0), (2, 1, 0)),
        ("severity", "SEVERE", (2, 2, 1), (2, 2, 1)),
        ("action taken", "DRUG WITHDRAWN", (2, 4, 3), (2, 4, 3)),
    ],
)
def test_adverse_events(
    results: pl.DataFrame, by: str | None, by_value: str | None, subjects: tuple[int, ...], events: tuple[int, ...]
) -> None:
    sizes = (5, 5, 7)
    assert counted(results, "teae", "incidence", by=by, by_value=by_value) == arms(*zip(subjects, sizes, strict=True))
    assert counted(results, "teae", "events", by=by, by_value=by_value) == arms(*zip(events, sizes, strict=True))


def test_uncoded_events_stand_under_their_reported_term(results: pl.DataFrame) -> None:
    found = counted(results, "teae", "events", soc="UNCODED", term="INJECTION SITE REACTION")
    assert found == arms((0, 5), (4, 5), (10, 7))


def test_injection_site_reactions_per_thousand_injections() -> None:
    _, results = analysed(autoinjector())
    rows = results.filter(pl.col("parameter") == "events_per_1000_doses")
    values = {arm: round(value, 6) for arm, value in rows.select("arm", "value").iter_rows() if arm in ARMS}
    assert values == {"PLACEBO": 0.0, "ZAN_LOW": 11.494253, "ZAN_HIGH": 17.921147}
    assert set(rows["unit"]) == {"per 1,000 doses"}


def test_the_protocol_that_ships_names_the_injection_site_reactions(results: pl.DataFrame) -> None:
    assert "INJECTION SITE REACTION" in sample_protocol(AUTOINJECTOR).adverse_events.rate_terms
    rows = results.filter((pl.col("parameter") == "events_per_1000_doses") & (pl.col("arm") == "ZAN_HIGH"))
    assert round(rows["value"].item(), 6) == 17.921147


def test_rate_over_treatment_duration(results: pl.DataFrame) -> None:
    rows = results.filter((pl.col("parameter") == "eaer") & (pl.col("estimand") == "treatment duration"))
    per_100_days = {arm: value / 365.25 for arm, value in rows.select("arm", "value").iter_rows()}
    # Six events in 684 days from first to last injection (the recorded RFXENDTC of CDISC008 is a day later).
    assert per_100_days["PLACEBO"] == pytest.approx(100 * 6 / 684)
    assert per_100_days["ZAN_LOW"] == pytest.approx(6.609195, abs=5e-7)
    assert per_100_days["ZAN_HIGH"] == pytest.approx(8.064516, abs=5e-7)


def test_disposition_of_study_treatment(results: pl.DataFrame) -> None:
    rows = results.filter(
        (pl.col("parameter") == "disposition")
        & (pl.col("by") == "study treatment")
        & (pl.col("by_value") != "any")
        & (pl.col("numerator") > 0)
    )
    found = {arm: dict(group.select("by_value", "numerator").iter_rows()) for (arm,), group in rows.group_by("arm")}
    del found["ALL"]
    assert found == {
        "PLACEBO": {"PHYSICIAN DECISION": 2, "DEATH": 2, "COMPLETED": 1},
        "ZAN_LOW": {"ADVERSE EVENT": 4, "WITHDRAWAL BY SUBJECT": 1},
        "ZAN_HIGH": {"ADVERSE EVENT": 3, "COMPLETED": 2, "WITHDRAWAL BY SUBJECT": 1, "LACK OF EFFICACY": 1},
    }


def test_visits_after_a_subject_left_the_study_are_not_missed() -> None:
    # Fourteen left before their schedule was over; seven of them came once more later (RFPENDTC).
    with duckdb.connect(str(release_file(AUTOINJECTOR)), read_only=True) as con:
        missed = con.execute("SELECT subject_id, visit FROM visit_check WHERE state = 'missed'").fetchall()
        left = con.execute("SELECT count(DISTINCT subject_id) FROM visit_check WHERE state = 'not expected'").fetchall()
    assert (missed, left) == ([("CDISC008", "WEEK 24")], [(14,)])


def test_exposure_from_intervals_and_from_dose_events_agree(results: pl.DataFrame) -> None:
    rows = results.filter(
        (pl.col("parameter") == "cumulative_dose") & (pl.col("statistic") == "mean") & (pl.col("arm") == "ZAN_HIGH")
    )
    values = dict(rows.select("estimand", "value").iter_rows())
    total = 5103 + 14283 + 2781 + 54 + 13878 + 1782 + 4212
    assert values == {None: pytest.approx(total / 7), "dose events": pytest.approx(total / 7)}


def test_a_cut_off_recounts_doses_events_and_populations() -> None:
    cut = dt.date(2012, 12, 31)
    frames, results = analysed(autoinjector(), cut)
    doses = received(AUTOINJECTOR)("dose_event")
    until = doses.filter(pl.col("start_local") < dt.datetime(2013, 1, 1))
    assert sum(x for x, _ in counted(results, "recorded_compliance").values()) == until.height
    assert set(results["data_cut"]) == {cut}
    safety = results.filter((pl.col("parameter") == "population") & (pl.col("population") == "safety"))
    assert safety.filter(pl.col("arm") == "ALL")["numerator"].item() == until["subject_id"].n_unique()
    assert frames("dose_match")["dose_date"].max() <= cut
    # CDISC001 is still on treatment at the cut: followed to it, without a recorded end.
    monitored = frames("monitoring_interval").filter(pl.col("subject_id") == "CDISC001")
    assert monitored.select("end_date", "state").rows() == [(cut, "monitored")]


def test_every_figure_of_delivered_amounts_says_they_are_device_reported() -> None:
    """Nothing was weighed: broken down or not, only counts, shares of assessable doses and differences say no basis."""
    with duckdb.connect(str(release_file(AUTOINJECTOR).resolve()), read_only=True) as con:
        plain = con.execute(
            "SELECT DISTINCT parameter, statistic FROM dose_accuracy(by := 'ALL') WHERE value IS NOT NULL AND "
            "method NOT LIKE 'device-reported%' AND \"by\" IS DISTINCT FROM 'inclusion' ORDER BY ALL"
        ).fetchall()
    assert plain == [
        ("assessable", "share"),
        ("dose_conformity", "mean_difference"),
        ("dose_outside_treatment_element", "count"),
    ]
