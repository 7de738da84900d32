"""Times to events, competing and recurrent events against lifelines, by hand and at the edges."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter, KaplanMeierFitter, NelsonAalenFitter
from lifelines.statistics import multivariate_logrank_test
from scipy import stats
from statsmodels.duration.hazard_regression import PHReg

from analysis import competing_risks, cox, recurrent_events, survival


def _sample(seed: int, size: int = 60, ties: bool = True) -> tuple[list[float], list[int], list[int]]:
    draw = random.Random(seed)
    times = [draw.expovariate(0.1) for _ in range(size)]
    if ties:
        times = [float(math.ceil(t)) for t in times]
    return times, [draw.randint(0, 1) for _ in times], [draw.randint(0, 2) for _ in times]


@pytest.mark.parametrize("seed", range(6))
def test_kaplan_meier_and_nelson_aalen_agree_with_lifelines(seed: int) -> None:
    times, events, _ = _sample(seed)
    curve = survival.kaplan_meier(times, events)
    oracle = KaplanMeierFitter().fit(times, events)
    bands = oracle.confidence_interval_
    for i, time in enumerate(curve.times):
        assert curve.survival[i] == pytest.approx(float(oracle.predict(time)), abs=1e-12)
        if 0.0 < curve.survival[i] < 1.0:
            low, high = bands.loc[time]
            assert (curve.lower[i], curve.upper[i]) == pytest.approx((low, high), abs=1e-9)
    hazard = survival.nelson_aalen(times, events)
    theirs = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(times, events).cumulative_hazard_
    for time, value in zip(hazard.times, hazard.hazard, strict=True):
        assert value == pytest.approx(float(theirs.loc[time].iloc[0]), abs=1e-12)


@pytest.mark.parametrize("confidence_type", ["log", "plain"])
def test_log_and_plain_bands_are_greenwoods(confidence_type: str) -> None:
    # By hand: 10 subjects, 2 events at 1, 1 at 3: S(1) = 0.8, S(3) = 0.8 x 6/7 with one censored at 2.
    times, events = [1, 1, 2, 3, 4, 4, 4, 4, 4, 4], [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    curve = survival.kaplan_meier(times, events, confidence_type=confidence_type)
    result = curve.survival_at(3.5)
    s, se = 0.8 * 6 / 7, math.sqrt(2 / (10 * 8) + 1 / (7 * 6))
    z = stats.norm.ppf(0.975)
    expected = (
        (s * math.exp(-z * se), s * math.exp(z * se)) if confidence_type == "log" else (s - z * s * se, s + z * s * se)
    )
    assert result.estimate == pytest.approx(s)
    assert result.limits == pytest.approx((expected[0], min(1.0, expected[1])))


def test_median_on_a_flat_stretch_is_its_middle() -> None:
    # S = 0.5 exactly from 2 to 4.
    assert survival.kaplan_meier([1, 2, 4, 7], [1, 1, 1, 1]).median().estimate == 3.0
    # ... from 2 to the last observed time, without a further event.
    assert survival.kaplan_meier([1, 2, 4, 7], [1, 1, 0, 0]).median().estimate == 4.5
    assert survival.kaplan_meier([1, 2, 4, 7], [1, 0, 0, 0]).median().estimate is None


def test_survival_at_the_edges() -> None:
    empty = survival.kaplan_meier([], [])
    assert empty.times == () and empty.median().estimate is None and empty.survival_at(1).estimate is None
    one = survival.kaplan_meier([5], [1])
    assert one.survival == (0.0,) and one.lower == (None,) and one.median().estimate == 5.0
    nobody = survival.kaplan_meier([3, 5], [0, 0])
    assert nobody.survival_at(5) == nobody.survival_at(1)
    assert nobody.survival_at(5).limits == (1.0, 1.0) and nobody.survival_at(5.1).estimate is None
    at_zero = survival.kaplan_meier([0, 0, 3], [1, 0, 0])
    assert at_zero.survival_at(0).estimate == pytest.approx(2 / 3)
    for times, events in (([1, 2], [1]), ([-1], [0]), ([math.nan], [0]), ([1], [2])):
        with pytest.raises(ValueError):
            survival.kaplan_meier(times, events)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_curve_falls_and_lies_within_its_band(rows: list[tuple[int, int]]) -> None:
    curve = survival.kaplan_meier([t for t, _ in rows], [e for _, e in rows])
    assert list(curve.survival) == sorted(curve.survival, reverse=True)
    assert sum(curve.events) + sum(curve.censored) == len(rows)
    for low, value, high in zip(curve.lower, curve.survival, curve.upper, strict=True):
        assert low is None or low - 1e-12 <= value <= high + 1e-12  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
def test_log_rank_and_cox_agree_with_lifelines(seed: int) -> None:
    times, events, groups = _sample(seed, size=80)
    theirs = multivariate_logrank_test(times, groups, events)
    ours = survival.log_rank(times, events, groups)
    assert ours.degrees_of_freedom == 2
    assert ours.statistic == pytest.approx(theirs.test_statistic, rel=1e-6)
    assert ours.p_value == pytest.approx(theirs.p_value, rel=1e-6)
    treated = [int(g == 1) for g in groups]
    fitted = PHReg(np.array(times), np.array(treated, float), np.array(events), ties="efron").fit()
    result = cox.hazard_ratio(times, events, treated)
    # lifelines stops its iterations at 1e-4 of the ratio here: statsmodels is the closer oracle.
    assert result.estimate == pytest.approx(math.exp(fitted.params[0]), rel=1e-10)
    assert result.limits == pytest.approx(tuple(np.exp(fitted.conf_int()[0])), rel=1e-6)
    assert result.p_value == pytest.approx(fitted.pvalues[0], rel=1e-6)


def test_stratified_tests_ignore_differences_between_strata() -> None:
    times, events, groups = _sample(11, size=60)
    treated = [int(g == 1) for g in groups]
    strata = ["slow" if i % 2 else "fast" for i in range(60)]
    shifted = [t * (10 if s == "slow" else 1) for t, s in zip(times, strata, strict=True)]
    for function in (survival.log_rank, cox.hazard_ratio):
        original = function(times, events, treated, strata)
        assert function(shifted, events, treated, strata) == original
    oracle = PHReg(np.array(shifted), np.array(treated, float), np.array(events), strata=np.array(strata), ties="efron")
    assert cox.hazard_ratio(shifted, events, treated, strata).estimate == pytest.approx(
        math.exp(oracle.fit().params[0]), rel=1e-10
    )


def test_comparisons_of_groups_that_cannot_be_compared() -> None:
    assert survival.log_rank([1, 2], [1, 1], ["a", "a"]).p_value is None
    assert survival.log_rank([], [], []).p_value is None
    assert survival.log_rank([1, 2], [0, 0], ["a", "b"]).p_value is None
    assert cox.hazard_ratio([1, 2], [0, 0], [0, 1]).estimate is None
    only_treated = cox.hazard_ratio([1, 2, 3, 4], [1, 1, 0, 0], [1, 1, 0, 0])
    assert (only_treated.estimate, only_treated.limits) == (math.inf, (0.0, math.inf))
    only_control = cox.hazard_ratio([1, 2, 3, 4], [1, 1, 0, 0], [0, 0, 1, 1])
    assert (only_control.estimate, only_control.p_value) == (0.0, None)


def test_identical_groups_have_a_hazard_ratio_of_one() -> None:
    times, events = [1, 1, 2, 2, 3, 3, 5, 5], [1, 1, 1, 1, 0, 0, 1, 1]
    result = cox.hazard_ratio(times, events, [0, 1] * 4)
    assert result.estimate == pytest.approx(1.0, abs=1e-12)
    assert result.p_value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_cumulative_incidence_agrees_with_lifelines_without_ties(seed: int) -> None:
    times, _, _ = _sample(seed, size=50, ties=False)
    draw = random.Random(seed)
    causes = [draw.choice([0, 1, 1, 2]) for _ in times]
    ours = competing_risks.cumulative_incidence(times, causes, cause=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = AalenJohansenFitter(calculate_variance=True).fit(times, causes, event_of_interest=1)
    values, variances = oracle.cumulative_density_, oracle.variance_
    for time, value, se in zip(ours.times, ours.incidence, ours.se, strict=True):
        assert value == pytest.approx(float(values.loc[time].iloc[0]), abs=1e-9)
        if se > 0.0 and time < max(times):
            assert se == pytest.approx(math.sqrt(float(variances.loc[time])), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_incidences_and_event_free_share_add_to_one(seed: int) -> None:
    times, _, causes = _sample(seed)
    curves = [competing_risks.cumulative_incidence(times, causes, cause) for cause in (1, 2)]
    for i in range(len(curves[0].times)):
        total = sum(c.incidence[i] for c in curves) + curves[0].event_free[i]
        assert total == pytest.approx(1.0, abs=1e-12)
    alone = survival.kaplan_meier(times, [int(c == 1) for c in causes])
    last = curves[0].times[-1]
    assert curves[0].at(last).estimate <= 1.0 - alone.survival_at(last).estimate + 1e-12  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(3))
def test_one_cause_is_the_complement_of_kaplan_meier(seed: int) -> None:
    times, events, _ = _sample(seed)
    curve = survival.kaplan_meier(times, events)
    alone = competing_risks.cumulative_incidence(times, events, cause=1)
    for i, time in enumerate(alone.times):
        kaplan_meier = curve.survival_at(time)
        assert alone.incidence[i] == pytest.approx(1.0 - kaplan_meier.estimate, abs=1e-12)  # type: ignore[operator]
        j = curve.times.index(time)
        if curve.survival[j] > 0.0:
            assert alone.se[i] == pytest.approx(curve.survival[j] * curve.log_se[j], rel=1e-9)
            limits = alone.at(time).limits
            assert limits == pytest.approx((1 - kaplan_meier.upper, 1 - kaplan_meier.lower))  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(3))
def test_a_two_state_history_is_a_cumulative_incidence(seed: int) -> None:
    times, _, causes = _sample(seed)
    states = [{0: 0, 1: "event", 2: "death"}[c] for c in causes]
    history = competing_risks.state_probabilities(list(range(len(times))), [-1.0] * len(times), times, states)
    curve = competing_risks.cumulative_incidence(times, causes, cause=1)
    column = history.states.index("event")
    for time, row in zip(history.times, history.probability, strict=True):
        assert row[column] == pytest.approx(curve.at(time).estimate, abs=1e-12)


def test_mean_cumulative_function_of_fully_observed_subjects_is_the_mean_count() -> None:
    draw = np.random.default_rng(5)
    counts = draw.integers(0, 5, 30)
    rows = _rows(draw, counts)
    mcf = recurrent_events.mean_cumulative_function(*zip(*rows, strict=True))
    assert mcf.mean[-1] == pytest.approx(counts.mean())
    assert mcf.se[-1] == pytest.approx(counts.std() / math.sqrt(30))


def _rows(draw: np.random.Generator, counts: np.ndarray) -> list[tuple[int, float, float, int]]:
    rows = []
    for subject, count in enumerate(counts):
        ends = sorted(draw.uniform(0.1, 9.9, count))
        starts = [0.0, *ends]
        rows += [(subject, a, b, e) for a, b, e in zip(starts, [*ends, 10.0], [1] * count + [0], strict=True)]
    return rows


def test_robust_error_of_the_reference_case() -> None:
    mcf = recurrent_events.mean_cumulative_function(
        [1, 1, 1, 2, 2, 3, 3, 4], [0, 5, 8, 0, 3, 0, 7, 0], [5, 8, 12, 3, 10, 7, 15, 9], [1, 1, 0, 1, 0, 1, 0, 0]
    )
    printed_by_r = [0.21650635094611, 0.25, 0.21650635094611, *[0.353553390593274] * 5]
    assert mcf.se == pytest.approx(printed_by_r, abs=1e-12)
    assert mcf.at(2).estimate == 0.0 and mcf.at(20).estimate is None
