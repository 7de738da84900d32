"""Rates and their comparisons against independent oracles and at the edges."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.rates import confint_poisson, confint_poisson_2indep, test_poisson_2indep

from analysis import rate_comparison, rates, stratified

test_poisson_2indep.__test__ = False  # an oracle, not a test of ours

COUNTS = st.one_of(st.integers(0, 4), st.integers(0, 300))
TIMES = st.floats(0.01, 1000.0)


def _pairs(count: int, seed: int) -> list[tuple[int, float, int, float]]:
    draw = random.Random(seed)
    return [
        (draw.randint(1, 80), draw.uniform(1, 500), draw.randint(1, 80), draw.uniform(1, 500)) for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("method", "oracle"), [("garwood", "exact-c"), ("score", "score"), ("jeffreys", "jeff"), ("normal", "wald")]
)
def test_one_rate_agrees_with_statsmodels(method: str, oracle: str) -> None:
    for x, time, _, _ in _pairs(40, seed=1):
        ours = rates.rate_interval(x, time, 0.9, 1.0, method)
        lower, upper = confint_poisson(x, time, oracle, alpha=0.1)
        if method == "normal":  # ours is not cut at 0
            lower = 2 * x / time - upper
        assert ours.limits == pytest.approx((lower, upper), rel=1e-10)


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_garwood_is_the_chi_square_interval(x: int) -> None:
    interval = rates.garwood(x, 1.0)
    assert interval.lower == pytest.approx(stats.chi2.ppf(0.025, 2 * x) / 2 if x else 0.0, rel=1e-9)
    assert interval.upper == pytest.approx(stats.chi2.ppf(0.975, 2 * x + 2) / 2, rel=1e-9)


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_mid_p_puts_half_of_alpha_in_each_tail(x: int) -> None:
    interval = rates.mid_p(x, 1.0)
    assert interval.lower is not None and interval.upper is not None
    if x:
        above = stats.poisson.sf(x, interval.lower) + stats.poisson.pmf(x, interval.lower) / 2
        assert above == pytest.approx(0.025, abs=1e-8)
    below = stats.poisson.cdf(x - 1, interval.upper) + stats.poisson.pmf(x, interval.upper) / 2
    assert below == pytest.approx(0.025, abs=1e-8)


def test_zero_time_is_not_estimable_and_negative_time_an_error() -> None:
    for method in rates.METHODS:
        result = rates.rate_interval(3, 0.0, method=method)
        assert (result.estimate, result.lower, result.upper) == (None, None, None)
        with pytest.raises(ValueError):
            rates.rate_interval(3, -1.0, method=method)
        with pytest.raises(ValueError):
            rates.rate_interval(3, math.nan, method=method)
    assert rate_comparison.score_difference(1, 10.0, 0, 0.0).estimate is None
    assert rate_comparison.exact_conditional(1, 0.0, 1, 10.0).p_value is None


def test_units_scale_the_rate_only() -> None:
    plain, hundred = rates.garwood(7, 50.0), rates.garwood(7, 50.0, per=100.0)
    assert hundred.limits == pytest.approx(tuple(100.0 * limit for limit in plain.limits))  # type: ignore[operator]


def test_score_difference_agrees_with_statsmodels() -> None:
    for pair in _pairs(25, seed=2):
        theirs = confint_poisson_2indep(*pair, method="score", compare="diff")
        assert rate_comparison.score_difference(*pair).limits == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_score_ratio_agrees_with_statsmodels_where_both_groups_have_events() -> None:
    for pair in _pairs(25, seed=3):
        theirs = confint_poisson_2indep(*pair, method="score", compare="ratio")
        assert rate_comparison.score_ratio(*pair).limits == pytest.approx(theirs, rel=1e-6)
        theirs = confint_poisson_2indep(*pair, method="mover", compare="ratio")
        assert rate_comparison.mover_ratio(*pair).limits == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "oracle"),
    [("wald", "wald"), ("score", "score"), ("wald_log", "wald-log"), ("score_log", "score-log"), ("sqrt", "sqrt")],
)
def test_ratio_tests_agree_with_statsmodels(method: str, oracle: str) -> None:
    for pair in _pairs(20, seed=4):
        for null in (1.0, 1.5):
            theirs = test_poisson_2indep(*pair, method=oracle, value=null, compare="ratio")
            ours = rate_comparison.rate_ratio_test(*pair, null, method)
            assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-10)
            assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-8)


@given(COUNTS, TIMES, COUNTS, TIMES)
@settings(max_examples=80, deadline=None)
def test_exact_p_is_twice_the_smaller_binomial_tail(x1: int, t1: float, x2: int, t2: float) -> None:
    p_value = rate_comparison.exact_conditional(x1, t1, x2, t2).p_value
    share = t1 / (t1 + t2)
    tails = stats.binom.cdf(x1, x1 + x2, share), stats.binom.sf(x1 - 1, x1 + x2, share)
    assert p_value == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-6)


METHODS = [
    *((rate_comparison.rate_ratio, name, 1.0) for name in rate_comparison.RATIO_METHODS),
    *((rate_comparison.rate_difference, name, 0.0) for name in rate_comparison.DIFFERENCE_METHODS),
]


@pytest.mark.parametrize(("function", "method", "null"), METHODS)
@given(x1=COUNTS, t1=TIMES, x2=COUNTS, t2=TIMES)
@settings(max_examples=50, deadline=None)
def test_p_value_and_limits_tell_the_same(function, method, null, x1, t1, x2, t2) -> None:  # type: ignore[no-untyped-def]
    result = function(x1, t1, x2, t2, 0.95, method)
    assert result.lower <= result.upper
    if result.estimate is not None:
        assert result.lower <= result.estimate <= result.upper
    if result.p_value is not None and abs(result.p_value - 0.05) > 1e-9:
        assert (result.p_value < 0.05) == (not result.lower <= null <= result.upper)


def test_robust_interval_equals_poisson_spread_for_one_event_each_and_grows_with_clustering() -> None:
    spread_out = rates.event_rate([1.0] * 40, [1, 0] * 20)
    clustered = rates.event_rate([1.0] * 40, [20] + [0] * 39)
    assert spread_out.poisson == clustered.poisson
    assert spread_out.dispersion < 1.0 < 15.0 < clustered.dispersion  # type: ignore[operator]
    width = [math.log(r.robust.upper / r.robust.lower) for r in (spread_out, clustered)]  # type: ignore[operator]
    assert width[1] > 3 * width[0]
    # By hand: 20 events in 40 years; sum of (e - t/2)² = 40/4, so SE = sqrt(10)/40 and SE/rate = sqrt(10)/20.
    assert width[0] == pytest.approx(2 * 1.959964 * math.sqrt(10) / 20, rel=1e-6)


def test_incidence_counts_first_events_only() -> None:
    with pytest.raises(ValueError):
        rates.incidence_rate([1.0], [2])
    nobody = rates.incidence_rate([], [])
    assert nobody.poisson.estimate is None and nobody.subjects == 0


def test_one_stratum_gives_the_plain_rate_comparisons() -> None:
    for x1, t1, x2, t2 in _pairs(10, seed=5):
        plain = rate_comparison.wald_log_ratio(x1, t1, x2, t2)
        one = stratified.mantel_haenszel_rate_ratio([x1], [t1], [x2], [t2])
        assert one.limits == pytest.approx(plain.limits)
        plain = rate_comparison.wald_difference(x1, t1, x2, t2)
        one = stratified.mantel_haenszel_rate_difference([x1], [t1], [x2], [t2])
        assert one.limits == pytest.approx(plain.limits)
