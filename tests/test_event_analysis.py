"""Events linked to doses, their times, strata and categories, against figures by hand and lifelines."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from canonical_frames import CanonicalFrames
from generic_study import days, derived, figure, frames, protocol, results
from lifelines import AalenJohansenFitter, CoxPHFitter, KaplanMeierFitter

START = dt.date(2024, 3, 1)


def event(subject: str, seq: int, day: int, **more: Any) -> dict[str, Any]:
    """An adverse event that starts on a day of treatment (the first is 1)."""
    start = START + dt.timedelta(days=day - 1)
    return {"subject_id": subject, "event_seq": str(seq), "term": "RASH", "start_text": start.isoformat()} | more


def many(n: int = 40, seed: int = 3) -> tuple[dict[str, list[Any]], dict[str, str], list[Any], list[Any]]:
    """Subjects in two arms followed 60 days at most; events recur, some die."""
    generator = np.random.default_rng(seed)
    doses: dict[str, list[Any]] = {}
    arms: dict[str, str] = {}
    events: list[Any] = []
    subjects: list[Any] = []
    for i in range(n):
        name, length = f"P{i:02}", int(generator.integers(5, 60))
        arms[name] = "AB"[i % 2]
        doses[name] = days("2024-03-01", length)
        end = START + dt.timedelta(days=length - 1)
        died = bool(generator.random() < 0.15)
        subjects.append({"subject_id": name, "site_id": f"S{i % 3}", "participation_end": end, "reference_end": end,
                         "death_date": end if died else None, "died": died})  # fmt: skip
        rate = 0.06 if arms[name] == "B" else 0.03
        hit = [day for day in range(1, length + 1) if generator.random() < rate]
        hit += hit[:1] if i % 5 == 0 else []  # two events on one day
        events += [event(name, k, day, serious=k % 3 == 0) for k, day in enumerate(hit)]
    return doses, arms, events, subjects


@pytest.fixture(scope="module")
def trial() -> tuple[CanonicalFrames, pl.DataFrame, list[Any], list[Any], dict[str, str]]:
    doses, arms, events, subjects = many()
    subjects = [{k: v for k, v in row.items() if k != "site_id"} | {"site": row["site_id"]} for row in subjects]
    sites = {row["subject_id"]: row.pop("site") for row in subjects}
    study = frames(doses, arms, adverse_event=events, subject=subjects)
    own = study("subject").with_columns(
        pl.col("subject_id").replace_strict(sites, return_dtype=pl.String).alias("site_id")
    )
    study = study.with_tables(subject=own)
    return study, results(study, protocol()), events, subjects, sites | {"_": str(len(arms))}


def first_events(events: list[Any], subjects: list[Any]) -> dict[str, tuple[int, int, bool]]:
    """Subject -> (day of the first event or the end, had one, died at the end)."""
    found = {}
    for row in subjects:
        own = [e for e in events if e["subject_id"] == row["subject_id"]]
        length = (row["participation_end"] - START).days + 1
        onsets = [(dt.date.fromisoformat(e["start_text"]) - START).days + 1 for e in own]
        found[row["subject_id"]] = (min(onsets, default=length), int(bool(onsets)), row["died"])
    return found


def test_curves_and_hazard_ratio_agree_with_lifelines(trial: Any) -> None:
    _, rows, events, subjects, _ = trial
    first = first_events(events, subjects)
    names = sorted(first)
    time = np.array([first[n][0] for n in names], float)
    had = np.array([first[n][1] for n in names])
    treated = np.array([int(n[1:]) % 2 for n in names])
    cox = CoxPHFitter().fit(
        __import__("pandas").DataFrame({"t": time, "e": had, "b": treated}), duration_col="t", event_col="e"
    )
    found = figure(rows, "time_to_first_event", "hazard_ratio", comparator="A", arm="B")
    lower, upper = np.exp(cox.confidence_intervals_.to_numpy()[0])
    assert found["value"].item() == pytest.approx(float(np.exp(cox.params_["b"])), rel=1e-4)
    assert found.select("lower", "upper").row(0) == (pytest.approx(lower, rel=1e-3), pytest.approx(upper, rel=1e-3))
    of_b = treated == 1
    curve = KaplanMeierFitter().fit(time[of_b], had[of_b])
    free = figure(rows, "event_free", "kaplan_meier", arm="B", period="day 28")
    assert free["value"].item() == pytest.approx(float(curve.predict(28)), abs=1e-9)
    cause = np.where(had == 1, 1, np.where([first[n][2] for n in names], 2, 0))
    aj = AalenJohansenFitter(calculate_variance=False, seed=1).fit(time[of_b], cause[of_b], event_of_interest=1)
    risk = figure(rows, "first_event_incidence", "aalen_johansen", arm="B", period="day 28")
    # lifelines moves ties apart by chance, which moves its estimate by a little.
    assert risk["value"].item() == pytest.approx(float(aj.cumulative_density_.loc[:28.5].iloc[-1, 0]), abs=0.02)
    assert risk["value"].item() <= 1 - free["value"].item() + 1e-12


def test_mean_number_of_events_counts_every_event_of_a_day(trial: Any) -> None:
    _, rows, events, subjects, _ = trial
    length = {row["subject_id"]: (row["participation_end"] - START).days + 1 for row in subjects}
    arm = [name for name in length if int(name[1:]) % 2 == 0]
    mean = 0.0
    for day in range(1, 29):
        at_risk = sum(length[name] >= day for name in arm)
        onset = (START + dt.timedelta(days=day - 1)).isoformat()
        mean += sum(e["subject_id"] in arm and e["start_text"] == onset for e in events) / at_risk
    found = figure(rows, "mean_events_per_subject", "mean_cumulative_function", arm="A", period="day 28")
    assert found["value"].item() == pytest.approx(mean, abs=1e-12)


def test_differences_stratified_by_site(trial: Any) -> None:
    from statsmodels.stats.contingency_tables import StratifiedTable

    _, rows, events, subjects, sites = trial
    hit = {e["subject_id"] for e in events}
    tables = []
    for site in sorted({site for name, site in sites.items() if name != "_"}):
        own = [row["subject_id"] for row in subjects if sites[row["subject_id"]] == site]
        cells = [[sum((name in hit) is yes for name in own if int(name[1:]) % 2 == arm) for yes in (True, False)]
                 for arm in (1, 0)]  # fmt: skip
        tables.append(np.array(cells))
    oracle = StratifiedTable(tables)
    odds = figure(rows, "teae", "odds_ratio", arm="B", comparator="A", estimand="stratified by site")
    assert odds["value"].item() == pytest.approx(oracle.oddsratio_pooled, rel=1e-9)
    assert odds.select("lower", "upper").row(0) == pytest.approx(oracle.oddsratio_pooled_confint(), rel=1e-6)
    risk = figure(rows, "teae", "risk_ratio", arm="B", comparator="A", estimand="stratified by site")
    assert risk["value"].item() == pytest.approx(oracle.riskratio_pooled, rel=1e-9)
    weight = [t[0].sum() * t[1].sum() / t.sum() for t in tables]
    crude = sum(w * (t[0, 0] / t[0].sum() - t[1, 0] / t[1].sum()) for w, t in zip(weight, tables, strict=True))
    rd = figure(rows, "teae", "risk_difference", arm="B", comparator="A", estimand="stratified by site")
    assert rd["value"].item() == pytest.approx(crude / sum(weight), abs=1e-6)


def test_the_last_dose_before_each_event() -> None:
    doses = [
        {"at": "2024-03-01T08:00", "delivered": "10", "programmed": "10", "device_id": "D1", "firmware": "1.0"},
        {"at": "2024-03-02T08:00", "delivered": "8", "programmed": "10", "device_id": "D1", "lot": "L2",
         "alarm": "occlusion"},
        {"at": "2024-03-03T20:00", "delivered": "10", "programmed": "10", "device_id": "D1"},
    ]  # fmt: skip
    events = [
        event("P1", 1, 3, start_text="2024-03-03T09:30"),  # the dose of the evening comes later
        event("P1", 2, 3),  # a date only: doses of the day count as before
        event("P1", 3, 0),  # the day before the first dose
        event("P1", 4, 1, start_text="2024"),
    ]
    device = [{"device_id": "D1", "device_class": "pen", "firmware": "2.0", "lot": "L1", "basis": "registered"}]
    told = [{"subject_id": "P1", "device_id": "D1", "event": "alarm", "start_local": dt.datetime(2024, 3, 1, 9)}]
    study = frames({"P1": doses}, adverse_event=events, device=device, device_event=told)
    rows = {row["event_seq"]: row for row in derived(study, protocol())["event_dose"].iter_rows(named=True)}
    first = rows["1"]
    assert (first["last_dose_at"], first["hours_since_dose"]) == (dt.datetime(2024, 3, 2, 8), 25.5)
    assert (first["dose_error_pct"], first["dose_error_pair"]) == (pytest.approx(-20.0), "delivered/programmed")
    assert (first["firmware"], first["lot"], first["device_class"]) == ("2.0", "L2", "pen")
    assert first["dose_with_alarm"] and first["alarms_before"] == 2
    assert (rows["2"]["last_dose_at"], rows["2"]["hours_since_dose"]) == (dt.datetime(2024, 3, 3, 20), None)
    assert rows["3"]["last_dose_at"] is None and rows["3"]["alarms_before"] == 0
    assert rows["4"]["onset_date"] == START and rows["4"]["firmware"] == "1.0"


def test_rates_by_exposure_to_dose_error() -> None:
    """Ten days; the dose of day 4 is off by 20 %: days 4 and 5 are beyond; day 7 has no dose, day 8 neither."""
    log: list[Any] = [
        (f"2024-03-{day:02}T08:00", "8" if day == 4 else "10", "10") for day in range(1, 11) if day not in (7, 8)
    ]
    events = [event("P1", 1, 5), event("P1", 2, 4), event("P1", 3, 8), event("P1", 4, 10)]
    rows = results(frames({"P1": log}, adverse_event=events), protocol(arms=("A",), reference=None))
    counted = {
        value: figure(rows, "eaer", "rate", arm="A", by="dose error", by_value=value)
        .select("numerator", "denominator")
        .row(0)
        for value in ("within 5 %", "beyond 5 %", "no comparable dose")
    }
    year = 365.25
    assert counted == {
        "within 5 %": (1, pytest.approx(7 / year)),
        "beyond 5 %": (2, pytest.approx(2 / year)),
        "no comparable dose": (1, pytest.approx(1 / year)),
    }


def test_categories_by_the_protocol_s_rule() -> None:
    events = [
        event("P1", 1, 2, device_relation="Possible", serious=True),
        event("P1", 2, 3, device_relation="POSSIBLE", term="PAIN", serious=True),
        event("P2", 1, 2, device_relation="NOT RELATED", serious=True),
        event("P2", 2, 2),
        event("P2", 3, 4, device_relation="possible"),
    ]
    deficiencies = [{"device_id": "D1", "term": "leak", "could_have_harmed": True}, {"device_id": "D1", "term": "x"}]
    holders = [{"device_id": name, "subject_id": "P1", "start_date": START} for name in ("D1", "D2")]
    study = frames(
        {"P1": days("2024-03-01", 5), "P2": days("2024-03-01", 5)}, adverse_event=events,
        device_deficiency=deficiencies, device_assignment=holders,
    )  # fmt: skip
    rule = {"device_related": ["possible"], "anticipated": ["Rash"]}
    rows = results(study, protocol(arms=("A",), reference=None, adverse_events=rule))

    def counts(kind: str) -> tuple[float, float]:
        found = [figure(rows, "teae", s, arm="A", by="ISO 14155", by_value=kind)["numerator"].item()
                 for s in ("incidence", "events")]  # fmt: skip
        return found[0], found[1]

    assert counts("ADE") == (2, 3) and counts("SADE") == (1, 2)
    assert counts("ASADE") == (1, 1) and counts("USADE") == (1, 1)
    assert counts("device relation not assessable") == (1, 1)
    share = figure(rows, "device_deficiency", "share", arm="A")
    assert share.select("numerator", "denominator").row(0) == (1, 2)
    none = results(study, protocol(arms=("A",), reference=None))
    said = none.filter((pl.col("by") == "ISO 14155") & pl.col("not_assessable").is_not_null())
    assert said["not_assessable"].to_list() == [
        "not assessable: protocol.toml does not state [adverse_events] device_related"
    ]


def test_grade_before_and_after() -> None:
    events = [event("P1", 1, -3, grade="1", end_text="2024-02-28"), event("P1", 2, 3, grade="3"),
              event("P2", 1, 2, grade="GRADE 2")]  # fmt: skip
    study = frames({name: days("2024-03-01", 5) for name in ("P1", "P2", "P3")}, adverse_event=events)
    rows = results(study, protocol(arms=("A",), reference=None))
    shift = rows.filter((pl.col("parameter") == "grade_shift") & (pl.col("arm") == "A"))
    assert dict(shift.select("by_value", "numerator").iter_rows()) == {
        "none to none": 1, "none to 2": 1, "1 to 3": 1,
    }  # fmt: skip
