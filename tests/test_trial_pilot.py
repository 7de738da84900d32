"""The CDISC pilot (transdermal patch), imported from its own files: enrolment, exposure, adverse events, disposition.

Expected values: published tables 14-1.01, 14-1.02, 14-4.01, 14-5.02 of the trial, and its own ADaM data sets for
comparison only.
"""

from __future__ import annotations

import datetime as dt
import statistics

import polars as pl
import pyreadstat
import pytest
from trial_protocols import pilot
from trial_releases import PILOT, received, release_tables, sample_protocol

import sample_data
from analysis.derive import derive_parts, derive_study
from analysis.exposure import interval_exposure
from analysis.frames import DerivedFrames
from analysis.results import compute_results
from analysis.survival import kaplan_meier
from analysis.teae import Event, emergent_events, times_at_risk

ARMS = ("Pbo", "Xan_Lo", "Xan_Hi")


@pytest.fixture(scope="module")
def results() -> pl.DataFrame:
    return release_tables(PILOT)("result")


@pytest.fixture(scope="module")
def view():
    return derive_parts(received(PILOT), sample_protocol(PILOT), None, lambda name, rows: None)


@pytest.fixture(scope="module")
def adsl() -> pl.DataFrame:
    return pyreadstat.read_xport(str(sample_data.path(PILOT) / "adsl.xpt"), output_format="polars")[0]


def figures(rows: pl.DataFrame, parameter: str, statistic: str, column: str = "value", **columns: str | None) -> list:
    """Values by arm; columns not named must be NULL."""
    chosen = rows.filter((pl.col("parameter") == parameter) & (pl.col("statistic") == statistic))
    for name in ("by", "by_value", "soc", "term", "estimand", "comparator"):
        value = columns.pop(name, None)
        chosen = chosen.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    for name, value in columns.items():
        chosen = chosen.filter(pl.col(name) == value)
    by_arm = dict(chosen.select("arm", column).iter_rows())
    assert len(by_arm) == chosen.height, f"{parameter} is not one row per arm"
    return [by_arm[arm] for arm in ARMS]


def test_enrolment_by_planned_and_by_actual_arm(results: pl.DataFrame) -> None:
    assert figures(results, "randomised", "count") == [86, 84, 84]
    assert figures(results, "randomised", "count", estimand="actual arm") == [86, 96, 72]
    whole = results.filter((pl.col("analysis") == "enrolment") & (pl.col("arm") == "ALL") & pl.col("by").is_null())
    counts = dict(whole.filter(pl.col("statistic") == "count").select("parameter", "value").iter_rows())
    assert (counts["screened"], counts["screen_failures"], counts["randomised"]) == (306, 52, 254)


def test_the_actual_arm_can_be_the_default() -> None:
    protocol = pilot(study={"id": "P", "reference_arm": "Pbo", "arm_assignment": "actual"})
    derived = derive_study(received(PILOT), protocol, None)
    rows = compute_results(DerivedFrames(received(PILOT), derived), protocol, None)
    assert figures(rows, "randomised", "count") == [86, 96, 72]
    assert figures(rows, "teae", "incidence", "denominator") == [86, 96, 72]
    assert figures(rows, "teae", "incidence", "denominator", estimand="planned arm") == [86, 84, 84]


def test_populations_are_the_supplied_flags() -> None:
    rows = release_tables(PILOT)("population")
    sizes = {name: (n, rule) for name, n, rule in rows.group_by("population").agg(
        pl.col("member").sum(), pl.col("rule").first()
    ).iter_rows()}  # fmt: skip
    assert sizes["safety"] == (254, "supplied flag SUPPDM.SAFETY = Y")
    assert sorted(n for n, rule in sizes.values() if rule.startswith("supplied")) == [118, 147, 190, 234, 254, 254]


def test_population_flags_are_found_without_being_named(results: pl.DataFrame) -> None:
    protocol = pilot(population=[])
    derived = derive_study(received(PILOT), protocol, None)["population"].filter("member")
    names = dict(derived.group_by("population").len().iter_rows())
    assert (names["safety"], names["intention_to_treat"], names["efficacy"], names["complt24"]) == (254, 254, 234, 118)


def population_of(flag: str) -> str:
    return next(entry.name for entry in sample_protocol(PILOT).population if entry.flag == flag)


@pytest.mark.parametrize(
    ("flag", "expected"), [("EFFICACY", [79, 81, 74]), ("COMPLT24", [60, 28, 30]), ("ITT", [86, 84, 84])]
)
def test_population_sizes_by_arm(results: pl.DataFrame, flag: str, expected: list[int]) -> None:
    rows = results.filter(pl.col("population") == population_of(flag))
    assert figures(rows, "population", "share", "numerator") == expected


PUBLISHED_EXPOSURE = {
    ("safety", "average_daily_dose"): {
        "mean": [0.0, 54.0, 71.6], "sd": [0.0, 0.0, 8.11], "median": [0.0, 54.0, 75.1],
        "min": [0.0, 54.0, 54.0], "max": [0.0, 54.0, 78.6], "n": [86, 84, 84],
    },
    ("safety", "cumulative_dose"): {
        "mean": [0.0, 5347.3, 7551.0], "sd": [0.0, 3680.35, 5531.04], "median": [0.0, 4455.0, 5778.0],
        "min": [0.0, 108.0, 54.0], "max": [0.0, 11448.0, 15417.0], "n": [86, 84, 84],
    },
    ("COMPLT24", "average_daily_dose"): {
        "mean": [0.0, 54.0, 77.0], "sd": [0.0, 0.0, 0.59], "median": [0.0, 54.0, 76.9],
        "min": [0.0, 54.0, 76.1], "max": [0.0, 54.0, 78.6], "n": [60, 28, 30],
    },
    ("COMPLT24", "cumulative_dose"): {
        "mean": [0.0, 9918.6, 14089.5], "sd": [0.0, 603.84, 481.01], "median": [0.0, 9936.0, 14080.5],
        "min": [0.0, 7884.0, 12960.0], "max": [0.0, 11448.0, 15417.0], "n": [60, 28, 30],
    },
}  # fmt: skip


@pytest.mark.parametrize("key", PUBLISHED_EXPOSURE)
def test_published_exposure_table(results: pl.DataFrame, key: tuple[str, str]) -> None:
    population, parameter = key
    name = population if population == "safety" else population_of(population)
    rows = results.filter((pl.col("analysis") == "exposure") & (pl.col("population") == name))
    for statistic, expected in PUBLISHED_EXPOSURE[key].items():
        digits = 2 if statistic == "sd" else 1
        assert [round(value, digits) for value in figures(rows, parameter, statistic)] == expected, statistic


def test_the_published_spread_of_the_daily_dose_rests_on_rounded_doses(view) -> None:
    """0.58 is printed for completers of the high arm: the SD of daily doses rounded to 0.1 mg. Unrounded it is 0.59."""
    completers = view.members(population_of("COMPLT24"))
    people = [person for person, arm in view.layout.arm_of.items() if arm == "Xan_Hi" and person in completers]
    daily = {one.subject_id: one.per_day for one in interval_exposure(view)}
    assert round(statistics.stdev(round(daily[person], 1) for person in people), 2) == 0.58
    assert round(statistics.stdev(daily[person] for person in people), 2) == 0.59


def test_treatment_duration_and_person_time(results: pl.DataFrame) -> None:
    rows = results.filter((pl.col("analysis") == "exposure") & (pl.col("population") == "safety"))
    means = [round(value, 4) for value in figures(rows, "treatment_duration", "mean")]
    assert means == [149.0698, 99.0238, 99.3929]
    assert figures(rows, "person_time", "sum", "numerator") == [12820, 8318, 8349]


def test_exposure_of_each_subject_equals_the_supplied_analysis_data(view, adsl: pl.DataFrame) -> None:
    own = {one.subject_id: one for one in interval_exposure(view)}
    supplied = {row["USUBJID"]: row for row in adsl.iter_rows(named=True)}
    complete = [one for one in own.values() if not one.open_intervals]
    assert (len(own), len(complete)) == (254, 248)
    equal = [
        s for s, one in own.items() if (one.days, float(one.total)) == (supplied[s]["TRTDURD"], supplied[s]["CUMDOSE"])
    ]
    # The six whose last interval has no end too: it is closed at the recorded end of treatment.
    assert len(equal) == 254


def test_open_intervals_are_said_and_left_out_beside_the_main_figure(results: pl.DataFrame) -> None:
    rows = results.filter((pl.col("analysis") == "exposure") & (pl.col("population") == "safety"))
    main = rows.filter((pl.col("parameter") == "cumulative_dose") & pl.col("estimand").is_null())
    assert all("6 intervals without a recorded end were closed" in method for method in main["method"])
    estimand = "recorded intervals, subjects with a complete record"
    assert figures(rows, "cumulative_dose", "n", estimand=estimand) == [84, 83, 81]
    means = [round(value, 4) for value in figures(rows, "cumulative_dose", "mean", estimand=estimand)]
    assert means == [0.0, 5303.7108, 7610.3333]


def test_compliance_and_accuracy_are_not_assessable_and_never_100_percent(results: pl.DataFrame) -> None:
    for analysis in ("compliance", "accuracy"):
        rows = results.filter(pl.col("analysis") == analysis)
        assert set(rows["arm"]) == set(ARMS)
        assert rows["value"].null_count() == rows.height
        assert set(rows["not_assessable"]) == {"not assessable: exposure intervals only, no dose events"}
    assert release_tables(PILOT)("dose_match").height == 0


def test_dose_intensity_waits_for_the_amounts_of_the_elements() -> None:
    protocol = pilot(dosed=False)
    derived = derive_study(received(PILOT), protocol, None)
    rows = compute_results(DerivedFrames(received(PILOT), derived), protocol, None)
    sentences = rows.filter((pl.col("parameter") == "dose_intensity") & (pl.col("arm") == "Xan_Hi"))["not_assessable"]
    assert "[[dosing]] amount of arm Xan_Hi period 2 (HIS)" in sentences[0]


def test_any_adverse_event(results: pl.DataFrame) -> None:
    assert figures(results, "teae", "incidence", "numerator") == [65, 77, 76]
    assert figures(results, "teae", "incidence", "denominator") == [86, 84, 84]
    assert figures(results, "teae", "events") == [220, 331, 359]
    percent = [round(100 * value, 1) for value in figures(results, "teae", "incidence")]
    assert percent == [75.6, 91.7, 90.5]


def test_emergence_agrees_with_the_supplied_flag_for_every_event() -> None:
    tables = release_tables(PILOT)
    flags = tables("supplemental").filter((pl.col("domain") == "AE") & (pl.col("name") == "AETRTEM"))
    flagged = flags.select("subject_id", event_seq="parent_value", supplied=pl.col("value") == "Y")
    both = tables("adverse_event_derived").join(flagged, on=["subject_id", "event_seq"])
    assert both.height == 961
    assert both.filter(pl.col("treatment_emergent") != pl.col("supplied")).height == 0
    assert both["start_imputed"].value_counts().drop_nulls().sort("start_imputed").rows() == [("D", 13), ("M", 11)]


SERIOUS = [
    (None, None, [0, 1, 2], [0, 1, 2], [0.4941176470588235, 0.24267316394013222]),
    ("NERVOUS SYSTEM DISORDERS", None, [0, 1, 2], [0, 1, 2], [0.4941176470588235, 0.24267316394013222]),
    (
        "NERVOUS SYSTEM DISORDERS", "PARTIAL SEIZURES WITH SECONDARY GENERALISATION", [0, 0, 1], [0, 0, 1],
        [None, 0.4941176470588235],
    ),
    ("NERVOUS SYSTEM DISORDERS", "SYNCOPE", [0, 1, 1], [0, 1, 1], [0.4941176470588235, 0.4941176470588235]),
]  # fmt: skip


@pytest.mark.parametrize(("soc", "term", "subjects", "events", "p_values"), SERIOUS)
def test_published_table_of_serious_events(
    results: pl.DataFrame, soc: str | None, term: str | None, subjects: list[int], events: list[int], p_values: list
) -> None:
    rows = results.filter((pl.col("analysis") == "adverse_events") & (pl.col("estimand").is_null()))
    where = {"by": "seriousness", "by_value": "serious", "soc": soc, "term": term}
    assert figures(rows, "teae", "incidence", "numerator", **where) == subjects
    assert figures(rows, "teae", "events", **where) == events
    compared = rows.filter(pl.col("comparator") == "Pbo")
    chosen = compared.filter(
        (pl.col("statistic") == "p_value")
        & (pl.col("by_value") == "serious")
        & (pl.col("soc").eq_missing(pl.lit(soc, dtype=pl.String)))
        & (pl.col("term").eq_missing(pl.lit(term, dtype=pl.String)))
    )
    by_arm = dict(chosen.select("arm", "value").iter_rows())
    assert [by_arm["Xan_Lo"], by_arm["Xan_Hi"]] == [None if p is None else pytest.approx(p) for p in p_values]
    assert set(chosen["method"]) == {"Fisher exact, descriptive, reproduces the published table"}


def test_every_class_and_term_counted_again_from_the_files(results: pl.DataFrame) -> None:
    """One row for any event, 23 classes and 230 terms: subjects, events and Fisher p from the raw data sets."""
    from scipy.stats import fisher_exact

    def read(name: str) -> pl.DataFrame:
        return pyreadstat.read_xport(str(sample_data.path(PILOT) / f"{name}.xpt"), output_format="polars")[0]

    flags = read("suppae").filter(pl.col("QVAL") == "Y").select("USUBJID", AESEQ=pl.col("IDVARVAL").cast(pl.Float64))
    events = read("ae").join(flags, on=["USUBJID", "AESEQ"]).join(read("dm").select("USUBJID", "ARMCD"), on="USUBJID")
    rows = results.filter((pl.col("parameter") == "teae") & pl.col("by").is_null() & pl.col("estimand").is_null())
    own = {
        (soc, term, arm, statistic): (value, numerator)
        for soc, term, arm, statistic, value, numerator in rows.select(
            "soc", "term", "arm", "statistic", "value", "numerator"
        ).iter_rows()
    }
    levels = [(None, None, events)]
    for (soc,), of_class in events.group_by("AEBODSYS"):
        levels.append((soc, None, of_class))
        levels += [(soc, term, of_term) for (term,), of_term in of_class.group_by("AEDECOD")]
    assert len(levels) == len({key[:2] for key in own})
    sizes = dict(zip(ARMS, (86, 84, 84), strict=True))
    for soc, term, found in levels:
        subjects = {arm: found.filter(pl.col("ARMCD") == arm)["USUBJID"].n_unique() for arm in ARMS}
        for arm in ARMS:
            assert own[soc, term, arm, "incidence"][1] == subjects[arm]
            assert own[soc, term, arm, "events"][0] == found.filter(pl.col("ARMCD") == arm).height
        for arm in ARMS[1:]:
            table = [[subjects[a], sizes[a] - subjects[a]] for a in ("Pbo", arm)]
            expected = None if not subjects["Pbo"] and not subjects[arm] else pytest.approx(fisher_exact(table)[1])
            assert own[soc, term, arm, "p_value"][0] == expected


def test_deaths_recorded_as_not_serious_stand_in_a_sensitivity_row(results: pl.DataFrame) -> None:
    serious = {"by": "seriousness", "by_value": "serious"}
    assert figures(results, "teae", "incidence", "numerator", **serious) == [0, 1, 2]
    by_outcome = {"by": "seriousness", "by_value": "serious_by_outcome"}
    assert figures(results, "teae", "incidence", "numerator", **by_outcome) == [2, 2, 2]
    fatal = {"by": "outcome", "by_value": "fatal"}
    assert figures(results, "teae", "incidence", "numerator", **fatal) == [2, 1, 0]
    row = results.filter((pl.col("by_value") == "serious_by_outcome") & pl.col("soc").is_null())
    assert "sensitivity" in row["method"][0]


def test_differences_between_arms_are_headed_descriptive(results: pl.DataFrame) -> None:
    rows = results.filter(pl.col("comparator").is_not_null() & (pl.col("statistic") != "p_value"))
    assert rows.height > 500
    assert all("descriptive, not adjusted" in method for method in rows["method"])


def test_time_at_risk_runs_to_the_reference_end(view) -> None:
    """Time to the first dermatologic event as the supplied analysis data has it: 254 times, 152 events."""
    adtte = pyreadstat.read_xport(str(sample_data.path(PILOT) / "adtte.xpt"), output_format="polars")[0]
    dermatologic = [event for event in emergent_events(view) if _is_dermatologic(event)]
    at_risk = times_at_risk(view, view.members("safety"))
    first: dict[str, int] = {}
    for event in dermatologic:
        day = at_risk[event.subject_id].day_of(event)
        if day is not None:
            first[event.subject_id] = min(day, first.get(event.subject_id, day))
    own = {subject: (first.get(subject, risk.days), subject in first) for subject, risk in at_risk.items()}
    supplied = {s: (int(aval), cnsr == 0) for s, aval, cnsr in adtte.select("USUBJID", "AVAL", "CNSR").iter_rows()}
    assert own == supplied
    medians = []
    for arm in ARMS:
        people = [subject for subject, of_arm in view.layout.arm_of.items() if of_arm == arm]
        curve = kaplan_meier([float(own[s][0]) for s in people], [own[s][1] for s in people])
        medians.append(curve.median().estimate)
    assert medians == [None, 33.0, 36.0]


def _is_dermatologic(event: Event) -> bool:
    """The supplied analysis data's customised query of dermatologic events."""
    words = ("APPLICATION", "DERMATITIS", "ERYTHEMA", "BLISTER")
    skin = event.soc == "SKIN AND SUBCUTANEOUS TISSUE DISORDERS"
    other = ("COLD SWEAT", "HYPERHIDROSIS", "ALOPECIA")
    return any(word in event.term for word in words) or (skin and event.term not in other)


def test_time_to_first_event_and_rates(results: pl.DataFrame) -> None:
    assert figures(results, "eair", "rate", "numerator") == [65, 77, 76]
    subjects = figures(results, "time_to_first_event", "median", "denominator")
    assert subjects == [86, 84, 84]
    assert all(value > 0 for value in figures(results, "time_to_first_event", "median"))
    # Published: 281, 412 and 433 events over 12,820, 8,318 and 8,349 days; the supplied file holds 220, 331 and 359.
    rates = figures(results, "eaer", "rate", estimand="treatment duration")
    assert rates == pytest.approx([100 * 365.25 * n / d for n, d in ((220, 12820), (331, 8318), (359, 8349))])


def test_disposition(results: pl.DataFrame) -> None:
    def reason(by: str, name: str, parameter: str = "disposition") -> list:
        return figures(results, parameter, "share", "numerator", by=by, by_value=name)

    assert reason("disposition", "COMPLETED") == [58, 25, 27]
    assert reason("disposition", "ADVERSE EVENT") == [8, 44, 40]
    assert reason("disposition", "DEATH") == [2, 1, 0]
    early = f"disposition, not {population_of('COMPLT24')}"
    published = {
        "any": [26, 56, 54], "ADVERSE EVENT": [8, 44, 39], "DEATH": [1, 1, 0], "LACK OF EFFICACY": [3, 0, 1],
        "LOST TO FOLLOW-UP": [1, 0, 0], "WITHDRAWAL BY SUBJECT": [9, 8, 8], "PHYSICIAN DECISION": [1, 0, 2],
        "STUDY TERMINATED BY SPONSOR": [1, 2, 1], "PROTOCOL DEVIATION": [2, 1, 3],
    }  # fmt: skip
    if "complet" in early:
        for name, counts in published.items():
            assert reason(early, name, "early_termination") == counts, name


def test_demographics(results: pl.DataFrame) -> None:
    assert [round(value, 1) for value in figures(results, "age", "mean")] == [75.2, 75.7, 74.4]
    assert [round(value, 2) for value in figures(results, "age", "sd")] == [8.59, 8.29, 7.89]
    assert figures(results, "age", "median") == [76, 77.5, 76]
    assert figures(results, "demographics", "share", "numerator", by="sex", by_value="M") == [33, 34, 44]


def test_a_cut_off_leaves_out_those_who_came_later() -> None:
    cut = dt.date(2013, 1, 1)
    protocol = sample_protocol(PILOT)
    derived = derive_study(received(PILOT), protocol, cut)
    rows = compute_results(DerivedFrames(received(PILOT), derived), protocol, cut)
    subjects = received(PILOT)("subject")
    begun = subjects.filter(pl.col("arm_code").is_not_null() & (pl.col("first_treatment") <= cut)).height
    whole = rows.filter(
        (pl.col("parameter") == "teae") & (pl.col("statistic") == "incidence") & (pl.col("arm") == "ALL")
    )
    assert whole["denominator"][0] == begun
    assert 0 < begun < 254
    days = rows.filter((pl.col("parameter") == "person_time") & (pl.col("arm") == "ALL") & pl.col("estimand").is_null())
    exposure = received(PILOT)("exposure").filter((pl.col("start_date") <= cut) & pl.col("end_date").is_not_null())
    expected = (pl.min_horizontal("end_date", pl.lit(cut)) - pl.col("start_date")).dt.total_days() + 1
    assert days.filter(pl.col("population") == "safety")["numerator"].item() >= exposure.select(expected.sum()).item()


def test_dose_intensity_with_every_amount_stated(results: pl.DataFrame) -> None:
    """Who wore the patches of their element had all of its dose; a planned dose of 0 gives no share."""
    rows = results.filter((pl.col("population") == "safety") & (pl.col("parameter") == "dose_intensity"))
    assert figures(rows, "dose_intensity", "mean")[0] is None
    assert figures(rows, "dose_intensity", "n") == [0, 84, 84]
    assert all(95 < value <= 105 for value in figures(rows, "dose_intensity", "mean")[1:])
