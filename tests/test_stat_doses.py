"""Dose accuracy, agreement, tolerance and adherence: oracles, definitions and edges."""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from analysis import (
    adherence,
    agreement,
    clustered,
    device_accuracy,
    dosing_regularity,
    tolerance,
    trumpet,
)
from analysis.adherence import Supply, Window


@pytest.mark.parametrize(("n", "share", "confidence"), [(2, 0.95, 0.95), (7, 0.975, 0.95), (60, 0.975, 0.9)])
def test_one_sided_factor_is_a_noncentral_t_quantile(n: int, share: float, confidence: float) -> None:
    oracle = stats.nct.ppf(confidence, n - 1, stats.norm.ppf(share) * math.sqrt(n)) / math.sqrt(n)
    assert tolerance.k_one_sided(n, share, confidence) == pytest.approx(oracle, rel=1e-9)


@pytest.mark.parametrize(("n", "share", "confidence"), [(4, 0.9, 0.95), (20, 0.975, 0.95), (60, 0.95, 0.99)])
def test_two_sided_factor_has_its_confidence_in_simulation(n: int, share: float, confidence: float) -> None:
    """Mean and variance are independent: draw both, count the intervals that hold the share."""
    k = tolerance.k_two_sided(n, share, confidence)
    assert k is not None
    draw = np.random.default_rng(20)
    size = 400_000
    mean = draw.standard_normal(size) / math.sqrt(n)
    sd = np.sqrt(draw.chisquare(n - 1, size) / (n - 1))
    content = stats.norm.cdf(mean + k * sd) - stats.norm.cdf(mean - k * sd)
    assert (content >= share).mean() == pytest.approx(confidence, abs=4 * math.sqrt(0.25 / size))


def _coverage_confidence(k: float, n: int, share: float) -> float:
    """Confidence of mean ± k s by adaptive quadrature, the half-width found by root finding."""

    def integrand(z: float) -> float:
        u = z / math.sqrt(n)
        half_width = optimize.brentq(lambda r: stats.norm.cdf(u + r) - stats.norm.cdf(u - r) - share, 0, 20, xtol=1e-13)
        return 2 * stats.norm.pdf(z) * stats.chi2.sf((n - 1) * (half_width / k) ** 2, n - 1)

    return float(integrate.quad(integrand, 0, 8, epsabs=1e-11, epsrel=1e-10)[0])


def test_two_sided_factor_solves_its_equation_where_the_reference_case_is_coarse() -> None:
    """R's 3.15410 for n = 20 (case k_n20_P0.975, tolerance 0.0002) has confidence 0.950015; ours is exact."""
    k = tolerance.k_two_sided(20, 0.975, 0.95)
    assert k is not None
    assert _coverage_confidence(k, 20, 0.975) == pytest.approx(0.95, abs=1e-10)
    assert _coverage_confidence(3.15409939494995, 20, 0.975) == pytest.approx(0.950015, abs=1e-6)


def test_tolerance_intervals_at_the_edges() -> None:
    assert tolerance.k_two_sided(1, 0.95, 0.95) is None
    assert tolerance.tolerance_interval([]).lower is None
    same = tolerance.tolerance_interval([5.0, 5.0])
    assert (same.lower, same.upper, same.degenerate) == (5.0, 5.0, True)
    upper = tolerance.tolerance_interval([1.0, 2.0, 3.0], side="upper")
    assert upper.lower == -math.inf and upper.upper == pytest.approx(2.0 + upper.k)  # type: ignore[operator]
    with pytest.raises(ValueError):
        tolerance.tolerance_interval([1.0, 2.0], share=95)
    with pytest.raises(ValueError):
        tolerance.tolerance_interval([1.0, 2.0], side="upper", method="howe")


@pytest.mark.parametrize(("share", "confidence"), [(0.9, 0.9), (0.95, 0.95), (0.99, 0.95), (0.975, 0.99)])
def test_distribution_free_sample_sizes_are_the_smallest(share: float, confidence: float) -> None:
    one = tolerance.distribution_free_sample_size(share, confidence, "upper")
    assert 1 - share**one >= confidence > 1 - share ** (one - 1)
    two = tolerance.distribution_free_sample_size(share, confidence)

    def confidence_of(n: int) -> float:
        return 1 - n * share ** (n - 1) + (n - 1) * share**n

    assert confidence_of(two) >= confidence > confidence_of(two - 1)
    values = list(range(two))
    assert tolerance.distribution_free_interval(values, share, confidence).upper == two - 1
    assert tolerance.distribution_free_interval(values[:-1], share, confidence).upper is None


def test_clustered_interval_is_wider_than_the_naive_one_when_subjects_differ() -> None:
    draw = random.Random(4)
    subjects = [s for s in range(12) for _ in range(20)]
    offset = [draw.gauss(0, 5) for _ in range(12)]
    values = [100 + offset[s] + draw.gauss(0, 1) for s in subjects]
    naive, honest = tolerance.tolerance_interval(values), tolerance.clustered_tolerance_interval(values, subjects)
    assert honest.upper - honest.lower > 1.2 * (naive.upper - naive.lower)  # type: ignore[operator]
    alike = [100 + draw.gauss(0, 1) for _ in subjects]
    naive, honest = tolerance.tolerance_interval(alike), tolerance.clustered_tolerance_interval(alike, subjects)
    assert honest.upper - honest.lower == pytest.approx(naive.upper - naive.lower, rel=0.05)  # type: ignore[operator]
    assert tolerance.clustered_tolerance_interval([1.0, 2.0], ["a", "b"]).lower is None
    same = tolerance.clustered_tolerance_interval([2.0] * 4, list("aabb"))
    assert (same.lower, same.upper, same.degenerate) == (2.0, 2.0, True)


def test_variance_components_agree_with_an_analysis_of_variance() -> None:
    draw = random.Random(6)
    subjects = [s for s in "abcdef" for _ in range(draw.randint(2, 6))]
    values = [ord(s) + draw.gauss(0, 2) for s in subjects]
    table = anova_lm(ols("y ~ C(g)", pd.DataFrame({"y": values, "g": subjects})).fit())
    parts = clustered.variance_components(values, subjects)
    assert (parts.ms_between, parts.ms_within) == pytest.approx(tuple(table["mean_sq"]))
    assert clustered.variance_components(values[:1], subjects[:1]).within is None
    assert clustered.variance_components([1.0, 2.0], ["a", "b"]).within is None


def test_two_stage_mean_and_welch_agree_with_scipy() -> None:
    draw = random.Random(7)
    a, b = [draw.gauss(0, 1) for _ in range(9)], [draw.gauss(1, 3) for _ in range(14)]
    ours = clustered.welch_difference(a, b)
    theirs = stats.ttest_ind(a, b, equal_var=False)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.limits == pytest.approx(tuple(theirs.confidence_interval()))
    one = clustered.two_stage_mean(a + a, [*range(9), *range(9)])
    interval = stats.t.interval(0.95, 8, np.mean(a), stats.sem(a))
    assert one.limits == pytest.approx(interval)
    assert clustered.two_stage_mean([1.0, 2.0], ["a", "a"]).limits == (None, None)
    assert clustered.two_stage_mean([], []).estimate is None


def test_bootstrap_is_reproducible_and_near_the_two_stage_interval() -> None:
    draw = random.Random(8)
    subjects = [s for s in range(40) for _ in range(5)]
    values = [draw.gauss(s % 4, 1) for s in subjects]
    sums = [sum(v for v, s in zip(values, subjects, strict=True) if s == subject) for subject in range(40)]
    first = clustered.cluster_bootstrap(sums, [5] * 40, seed=1)
    assert first == clustered.cluster_bootstrap(sums, [5] * 40, seed=1)
    assert first != clustered.cluster_bootstrap(sums, [5] * 40, seed=2)
    two_stage = clustered.two_stage_mean(values, subjects)
    assert first.estimate == pytest.approx(two_stage.estimate)
    assert first.limits == pytest.approx(two_stage.limits, abs=0.06)
    assert clustered.cluster_bootstrap([1.0], [2.0], seed=1).limits == (None, None)
    assert clustered.cluster_bootstrap([], [], seed=1).estimate is None
    assert clustered.cluster_bootstrap([0, 0], [0, 0], seed=1).estimate is None


def test_bland_altman_with_one_pair_each_and_with_repeats() -> None:
    differences = [0.3, -0.2, 0.5, 0.1, -0.4, 0.2]
    once = agreement.bland_altman(differences)
    assert once.sd == pytest.approx(np.std(differences, ddof=1))
    assert agreement.bland_altman([0.1, 0.2]).lower.estimate is None
    twice = agreement.bland_altman_repeated([d for d in differences for _ in range(2)], [*"aabbccddeeff"])
    assert twice.bias.estimate == pytest.approx(once.bias.estimate)
    # Exact repeats carry no information within subjects: all the variance is between them.
    assert twice.sd == pytest.approx(once.sd)
    assert agreement.bland_altman_repeated([0.1, 0.2], ["a", "b"]).sd is None


def test_intraclass_correlation_at_the_edges() -> None:
    with pytest.raises(ValueError):
        agreement.intraclass_correlation([[1, 2], [1, 2, 3]])
    assert agreement.intraclass_correlation([[1, 2]]).icc_2_1 is None
    assert agreement.intraclass_correlation([[1, 1], [2, 2], [3, 3]]).icc_2_1 == pytest.approx(1.0)
    opposed = agreement.intraclass_correlation([[1, 3], [3, 1], [2, 2.5]]).icc_1_1
    assert opposed is not None and opposed < 0


def test_percent_error_columns_equal_the_function() -> None:
    delivered, programmed = [9.5, 0.0, 1.0, None, 3.0], [10.0, 2.0, 0.0, 4.0, None]
    frame = pl.DataFrame({"d": delivered, "p": programmed}, schema={"d": pl.Decimal(12, 4), "p": pl.Decimal(12, 4)})
    limit = device_accuracy.DoseLimit(absolute=0.5, relative=0.05)
    columns = frame.select(
        e=device_accuracy.percent_error_column(pl.col("d"), pl.col("p")),
        inside=limit.holds_column(pl.col("d"), pl.col("p")),
    )
    pairs = list(zip(delivered, programmed, strict=True))
    assert columns["e"].to_list() == [device_accuracy.percent_error(d, p) for d, p in pairs]
    assert columns["inside"].to_list() == [None if d is None or p is None else limit.holds(d, p) for d, p in pairs]


def test_a_dose_on_the_limit_is_inside() -> None:
    for dose in (0.1, 0.7, 1.0, 3.3, 30.0):
        for band in device_accuracy.BANDS:
            error = device_accuracy.percent_error(dose * (1 + band / 100), dose)
            assert error is not None and device_accuracy.within_band(error, band)
    assert not device_accuracy.within_band(5.0001, 5.0)


def test_accuracy_summary_of_no_dose_and_of_one() -> None:
    nothing = device_accuracy.accuracy_summary([], [])
    assert nothing.doses == 0 and nothing.mape is None and nothing.share_within[5.0] is None
    one = device_accuracy.accuracy_summary([-4.0], ["a"])
    assert (one.bias.estimate, one.bias.lower, one.sd, one.mape) == (-4.0, None, None, 4.0)


def test_trumpet_drops_incomplete_windows_and_refuses_fractions_of_samples() -> None:
    volumes: list[float | None] = [0.05] * 20
    volumes[7] = None
    (point,) = trumpet.trumpet_curve(volumes, 1.0, 3.0, [5]).points
    assert (point.windows, point.incomplete) == (11, 5)
    assert (point.ep_max, point.ep_min) == pytest.approx((0.0, 0.0), abs=1e-9)
    with pytest.raises(ValueError, match="whole number"):
        trumpet.trumpet_curve(volumes, 2.0, 3.0, [5])
    (longer,) = trumpet.trumpet_curve(volumes, 1.0, 3.0, [31]).points
    assert (longer.ep_max, longer.windows) == (None, 0)
    assert trumpet.trumpet_curve([], 1.0, 3.0, [5]).mean_error is None
    assert trumpet.volumes_of_weights([1.0, 2.0, 4.0], density=2.0) == [0.5, 1.0]


@given(st.lists(st.floats(0, 1), min_size=12, max_size=60), st.sampled_from([1, 2, 3, 4]))
@settings(max_examples=40, deadline=None)
def test_trumpet_equals_the_definition_window_by_window(volumes: list[float], samples: int) -> None:
    (point,) = trumpet.trumpet_curve(volumes, 0.5, 3.0, [samples * 0.5]).points
    flows = [sum(volumes[j : j + samples]) * 120 / samples for j in range(len(volumes) - samples + 1)]
    errors = [100 * (flow - 3.0) / 3.0 for flow in flows]
    assert (point.ep_max, point.ep_min) == pytest.approx((max(errors), min(errors)), abs=1e-8)


def test_detection_needs_witnessed_ingestions() -> None:
    nothing = device_accuracy.detection_accuracy(0, 0)
    assert nothing.sensitivity.estimate is None and nothing.median_latency is None
    assert device_accuracy.corrected_for_sensitivity(0.9, 0.0) is None
    assert device_accuracy.corrected_for_sensitivity(0.99, 0.9) == 1.0


SUPPLIES = st.lists(
    st.builds(Supply, st.integers(0, 400).map(float), st.integers(1, 90).map(float)), min_size=1, max_size=12
)


def _covered_days(supplies: list[Supply], start: int, end: int) -> int:
    """Day by day: each day uses up one day of the supply at hand."""
    stock, covered = 0.0, 0
    for day in range(end):
        stock += sum(s.days for s in supplies if s.day == day)
        if stock >= 1:
            stock -= 1
            covered += day >= start
    return covered


@given(SUPPLIES)
@settings(max_examples=60, deadline=None)
def test_days_covered_equal_a_day_by_day_count(supplies: list[Supply]) -> None:
    window = Window(100, 200)
    pdc = adherence.proportion_of_days_covered(supplies, window)
    assert pdc == pytest.approx(_covered_days(supplies, 100, 300) / 200)


@given(SUPPLIES)
@settings(max_examples=60, deadline=None)
def test_capped_measures_never_exceed_one(supplies: list[Supply]) -> None:
    for number in range(1, 10):
        value = adherence.cma(number, supplies, Window(50, 300))
        assert value is None or value >= 0
        if number >= 3 and value is not None:
            assert value <= 1 + 1e-12


def test_adherence_at_the_edges() -> None:
    assert [adherence.cma(n, [], Window(0, 100)) for n in range(1, 10)] == [None] * 6 + [0.0, 0.0, 0.0]
    single = [Supply(0, 30)]
    assert adherence.cma(1, single, Window(0, 100)) is None
    assert adherence.cma(2, single, Window(0, 100)) == pytest.approx(0.3)
    same_day = [Supply(0, 30), Supply(0, 30)]
    assert adherence.cma(1, same_day, Window(0, 100)) is None
    assert adherence.cma(7, same_day, Window(0, 100)) == pytest.approx(0.6)
    with pytest.raises(ValueError):
        adherence.cma(10, single, Window(0, 100))
    with pytest.raises(ValueError):
        adherence.count_missed_doses([1, 2], [1], denominator=1)
    assert adherence.count_missed_doses([], [1], denominator=0).at_least == {1: (0, None)}
    assert adherence.treatment_episodes([], 30) == []


def test_change_of_drug_starts_an_episode_only_when_asked() -> None:
    supplies = [Supply(0, 30, "a"), Supply(20, 30, "b")]
    two = adherence.treatment_episodes(supplies, 60, follow_up_days=100)
    assert [(e.start, e.end) for e in two] == [(0, 20), (20, 100)]
    one = adherence.treatment_episodes(supplies, 60, follow_up_days=100, new_drug_starts_episode=False)
    assert [(e.start, e.end, e.gap_days) for e in one] == [(0, 100, 50)]


@given(st.lists(st.integers(0, 2), max_size=40))
@settings(max_examples=60, deadline=None)
def test_holidays_are_the_runs_of_days_without_a_dose(days: list[int]) -> None:
    holidays = dosing_regularity.drug_holidays(days)
    text = "".join("1" if d else "0" for d in days)
    assert sum(length for _, length in holidays) == sum(len(run) for run in text.split("1") if len(run) >= 3)
    for start, length in holidays:
        assert text[start : start + length] == "0" * length


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_coverage_equals_an_hour_by_hour_count(times: list[int], duration: int) -> None:
    covered = sum(any(t <= hour < t + duration for t in times) for hour in range(10, 110))
    result = dosing_regularity.therapeutic_coverage([float(t) for t in times], float(duration), 10.0, 110.0)
    assert result == pytest.approx(covered / 100)


def test_regularity_without_data_is_not_a_number() -> None:
    assert dosing_regularity.correct_dosing_days([], 1).exact is None
    assert dosing_regularity.intervals_on_time([], 24.0) is None
    assert dosing_regularity.therapeutic_coverage([1.0], 2.0, 5.0, 5.0) is None
    assert dosing_regularity.persistence_time([]) is None
    assert dosing_regularity.correct_dosing_days([2, 1, 2], [2, 2, 1]).exact == pytest.approx(1 / 3)
