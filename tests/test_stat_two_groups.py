"""Proportions and their comparisons against independent oracles, at the edges, and in their own logic."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.stats.contingency import odds_ratio as scipy_odds_ratio
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from analysis import differences, odds_ratio, proportions, risk_ratio, stratified
from analysis.interval import Comparison

TABLES = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


def _random_tables(count: int, seed: int, inner: bool = False) -> list[tuple[int, int, int, int]]:
    draw = random.Random(seed)
    tables = []
    for _ in range(count):
        n1, n2 = draw.randint(5, 200), draw.randint(5, 200)
        edge = 1 if inner else 0
        tables.append((draw.randint(edge, n1 - edge), n1, draw.randint(edge, n2 - edge), n2))
    return tables


@pytest.mark.parametrize(
    ("method", "oracle"),
    [("clopper_pearson", "beta"), ("wilson", "wilson"), ("agresti_coull", "agresti_coull"), ("wald", "normal")],
)
def test_one_proportion_agrees_with_statsmodels(method: str, oracle: str) -> None:
    for x, n, _, _ in _random_tables(60, seed=1):
        ours = proportions.proportion_interval(x, n, 0.9, method)
        theirs = proportion_confint(x, n, 0.1, oracle)
        assert ours.limits == pytest.approx(theirs, abs=1e-12)


def test_jeffreys_agrees_with_statsmodels_away_from_the_edges() -> None:
    for x, n, _, _ in _random_tables(60, seed=2, inner=True):
        assert proportions.jeffreys(x, n).limits == pytest.approx(proportion_confint(x, n, 0.05, "jeffreys"))


@given(TABLES, st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_mid_p_limits_put_half_of_alpha_in_each_tail(table: tuple[int, int, int, int], level: float) -> None:
    x, n, _, _ = table
    interval = proportions.mid_p(x, n, level)
    assert interval.lower is not None and interval.upper is not None
    if x > 0:
        tail = stats.binom.sf(x, n, interval.lower) + stats.binom.pmf(x, n, interval.lower) / 2
        assert tail == pytest.approx((1 - level) / 2, abs=1e-9)
    if x < n:
        tail = stats.binom.cdf(x - 1, n, interval.upper) + stats.binom.pmf(x, n, interval.upper) / 2
        assert tail == pytest.approx((1 - level) / 2, abs=1e-9)


@pytest.mark.parametrize("method", proportions.METHODS)
def test_one_proportion_at_the_edges(method: str) -> None:
    for n in (1, 2, 20, 5000):
        none, every = (proportions.proportion_interval(x, n, 0.95, method) for x in (0, n))
        assert none.estimate == 0.0 and none.lower == 0.0
        assert every.estimate == 1.0 and every.upper == 1.0
        assert none.upper == pytest.approx(1.0 - every.lower, abs=1e-12)  # type: ignore[operator]
    empty = proportions.proportion_interval(0, 0, 0.95, method)
    assert (empty.estimate, empty.lower, empty.upper) == (None, None, None)


@pytest.mark.parametrize(("x", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1.5, 2, 0.95), (1, 2, 95)])
def test_impossible_counts_and_levels_are_refused(x: float, n: int, level: float) -> None:
    with pytest.raises(ValueError):
        proportions.clopper_pearson(x, n, level)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        differences.miettinen_nurminen(x, n, 1, 2, level)  # type: ignore[arg-type]


def _profile_score(x1: int, n1: int, x2: int, n2: int, difference: float) -> float:
    """z of the restricted maximum likelihood, found by numerical maximisation instead of the cubic."""

    def minus_log_likelihood(p2: float) -> float:
        p1 = p2 + difference
        terms = ((x1, p1), (n1 - x1, 1 - p1), (x2, p2), (n2 - x2, 1 - p2))
        return -sum(k * math.log(max(p, 1e-300)) for k, p in terms if k)

    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
    best = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    p2, p1 = best.x, best.x + difference
    total = n1 + n2
    variance = (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * total / (total - 1)
    return float((x1 / n1 - x2 / n2 - difference) / math.sqrt(variance))


def test_miettinen_nurminen_limits_solve_the_score_equation() -> None:
    for table in _random_tables(40, seed=3, inner=True):
        result = differences.miettinen_nurminen(*table)
        assert result.lower is not None and result.upper is not None
        assert _profile_score(*table, result.lower) == pytest.approx(1.959964, abs=1e-4)
        assert _profile_score(*table, result.upper) == pytest.approx(-1.959964, abs=1e-4)


def test_newcombe_and_agresti_caffo_agree_with_statsmodels() -> None:
    for table in _random_tables(40, seed=4):
        theirs = confint_proportions_2indep(*table, method="newcomb", compare="diff")
        assert differences.newcombe(*table).limits == pytest.approx(theirs, abs=1e-12)
        low, high = confint_proportions_2indep(*table, method="agresti-caffo", compare="diff")
        assert differences.agresti_caffo(*table).limits == pytest.approx((max(low, -1), min(high, 1)), abs=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:statsmodels")
def test_score_ratios_agree_with_statsmodels_where_no_cell_is_empty() -> None:
    for table in _random_tables(25, seed=5, inner=True):
        theirs = confint_proportions_2indep(*table, method="score", compare="ratio", correction=True)
        assert risk_ratio.miettinen_nurminen(*table).limits == pytest.approx(theirs, rel=1e-4)
        theirs = confint_proportions_2indep(*table, method="score", compare="odds-ratio", correction=True)
        assert odds_ratio.miettinen_nurminen(*table).limits == pytest.approx(theirs, rel=1e-4)


def test_log_ratios_agree_with_statsmodels() -> None:
    for table in _random_tables(25, seed=6, inner=True):
        theirs = confint_proportions_2indep(*table, method="log", compare="ratio")
        assert risk_ratio.katz_log(*table).limits == pytest.approx(theirs)
        theirs = confint_proportions_2indep(*table, method="logit", compare="odds-ratio")
        assert odds_ratio.woolf_log(*table).limits == pytest.approx(theirs)


def test_fisher_and_the_exact_odds_ratio_agree_with_scipy() -> None:
    for x1, n1, x2, n2 in _random_tables(40, seed=7):
        table = [[x1, n1 - x1], [x2, n2 - x2]]
        assert differences.fisher_exact(x1, n1, x2, n2) == pytest.approx(stats.fisher_exact(table)[1], rel=1e-9)
    for x1, n1, x2, n2 in _random_tables(8, seed=8, inner=True):
        theirs = scipy_odds_ratio([[x1, n1 - x1], [x2, n2 - x2]], kind="conditional")
        ours = odds_ratio.exact_conditional(x1, n1, x2, n2)
        interval = theirs.confidence_interval()
        assert ours.estimate == pytest.approx(theirs.statistic, rel=1e-4)
        assert ours.limits == pytest.approx((interval.low, interval.high), rel=1e-4)


TESTED = [
    *((differences.risk_difference, name, 0.0) for name in differences.METHODS),
    *((risk_ratio.risk_ratio, name, 1.0) for name in risk_ratio.METHODS),
    *((odds_ratio.odds_ratio, name, 1.0) for name in odds_ratio.METHODS),
]


@pytest.mark.parametrize(("function", "method", "null"), TESTED)
@given(table=TABLES)
@settings(max_examples=50, deadline=None)
def test_p_value_and_limits_tell_the_same(function, method: str, null: float, table) -> None:  # type: ignore[no-untyped-def]
    result: Comparison = function(*table, 0.95, method)
    if result.lower is None or result.upper is None:
        return
    assert result.lower <= result.upper
    if method in ("miettinen_nurminen", "mee", "koopman", "cornfield") and result.estimate is not None:
        assert result.lower <= result.estimate <= result.upper
    if result.p_value is not None and abs(result.p_value - 0.05) > 1e-9:
        assert (result.p_value < 0.05) == (not result.lower <= null <= result.upper)


@given(table=TABLES)
@settings(max_examples=80, deadline=None)
def test_exchanging_the_arms_mirrors_the_interval(table: tuple[int, int, int, int]) -> None:
    x1, n1, x2, n2 = table
    for method in ("miettinen_nurminen", "mee", "newcombe"):
        one = differences.risk_difference(x1, n1, x2, n2, method=method)
        other = differences.risk_difference(x2, n2, x1, n1, method=method)
        assert one.lower == pytest.approx(-other.upper, abs=1e-9)  # type: ignore[operator]
    one, other = risk_ratio.risk_ratio(x1, n1, x2, n2), risk_ratio.risk_ratio(x2, n2, x1, n1)
    assert one.upper == (math.inf if other.lower == 0 else pytest.approx(1 / other.lower, rel=1e-6))  # type: ignore[operator]


def test_an_empty_arm_is_not_comparable() -> None:
    for compare in (differences.risk_difference, risk_ratio.risk_ratio, odds_ratio.odds_ratio):
        assert compare(0, 0, 3, 10) == compare(0, 0, 3, 10)
        result = compare(0, 0, 3, 10)
        assert (result.estimate, result.lower, result.upper, result.p_value) == (None, None, None, None)
    assert differences.fisher_exact(0, 0, 3, 10) is None


def test_cells_of_zero_give_infinite_ratios_not_errors() -> None:
    result = risk_ratio.risk_ratio(3, 10, 0, 10)
    assert result.estimate == math.inf and result.upper == math.inf and 0 < result.lower < 3  # type: ignore[operator]
    result = odds_ratio.odds_ratio(10, 10, 0, 10)
    assert result.upper == math.inf and result.lower > 1  # type: ignore[operator]
    assert risk_ratio.risk_ratio(0, 10, 0, 12).estimate is None


def _random_strata(seed: int) -> tuple[list[int], list[int], list[int], list[int]]:
    return tuple(map(list, zip(*_random_tables(5, seed, inner=True), strict=True)))  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(8))
def test_stratified_results_agree_with_statsmodels(seed: int) -> None:
    x1, n1, x2, n2 = _random_strata(seed)
    tables = [[[a, m - a], [b, n - b]] for a, m, b, n in zip(x1, n1, x2, n2, strict=True)]
    oracle = StratifiedTable(tables)
    for continuity in (False, True):
        theirs = oracle.test_null_odds(correction=continuity)
        ours = stratified.cmh_test(x1, n1, x2, n2, continuity)
        assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9)
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    ratio = stratified.mantel_haenszel_odds_ratio(x1, n1, x2, n2)
    assert ratio.estimate == pytest.approx(oracle.oddsratio_pooled, rel=1e-12)
    assert ratio.limits == pytest.approx(oracle.oddsratio_pooled_confint(), rel=1e-9)
    risk = stratified.mantel_haenszel_risk_ratio(x1, n1, x2, n2)
    assert risk.estimate == pytest.approx(oracle.riskratio_pooled, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_score_test_is_the_cmh_test(seed: int) -> None:
    strata = _random_strata(seed)
    score = stratified.stratified_risk_difference(*strata)
    assert score.p_value == pytest.approx(stratified.cmh_test(*strata).p_value, rel=1e-9)


def test_one_stratum_is_the_unstratified_interval() -> None:
    one = stratified.stratified_risk_difference([56], [70], [48], [80])
    assert one.limits == pytest.approx(differences.miettinen_nurminen(56, 70, 48, 80).limits, abs=1e-12)
    ratio = stratified.mantel_haenszel_odds_ratio([56], [70], [48], [80])
    assert ratio.limits == pytest.approx(odds_ratio.woolf_log(56, 70, 48, 80).limits)
    risk = stratified.mantel_haenszel_risk_ratio([56], [70], [48], [80])
    assert risk.limits == pytest.approx(risk_ratio.katz_log(56, 70, 48, 80).limits)


# Thirteen trials of Hartung and Knapp (2001), as in Laud (2017), table BII, and the test suite of ratesci.
HARTUNG_KNAPP = (
    [15, 12, 29, 42, 14, 44, 14, 29, 10, 17, 38, 19, 21],
    [16, 16, 34, 56, 22, 54, 17, 58, 14, 26, 44, 29, 38],
    [9, 1, 18, 31, 6, 17, 7, 23, 3, 6, 12, 22, 19],
    [16, 16, 34, 56, 22, 55, 15, 58, 15, 27, 45, 30, 38],
)


@pytest.mark.parametrize(
    ("weights", "skewness", "limits"),
    [
        ("mantel_haenszel", False, (0.245286, 0.369981)),
        ("mantel_haenszel", True, (0.245523, 0.370330)),
        ("inverse_variance", True, (0.2441, 0.3698)),
    ],
)
def test_stratified_difference_of_a_published_example(
    weights: str, skewness: bool, limits: tuple[float, float]
) -> None:
    result = stratified.stratified_risk_difference(*HARTUNG_KNAPP, weights=weights, skewness=skewness)
    assert result.limits == pytest.approx(limits, abs=5.1e-5 if weights.startswith("inv") else 6e-7)


def test_a_stratum_without_one_group_changes_nothing() -> None:
    full = ([1, 3, 2], [15, 10, 25], [3, 4, 18], [5, 10, 35])
    more = ([1, 3, 2, 4], [15, 10, 25, 9], [3, 4, 18, 0], [5, 10, 35, 0])
    assert stratified.stratified_risk_difference(*more) == stratified.stratified_risk_difference(*full)
    assert stratified.mantel_haenszel_risk_ratio(*more) == stratified.mantel_haenszel_risk_ratio(*full)
    assert stratified.cmh_test([4], [9], [0], [0]).p_value is None
    assert stratified.stratified_risk_difference([4], [9], [0], [0]).estimate is None
