"""Adjusted p values, treatment emergence, partial dates and durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from analysis import emergence, multiplicity, partial_dates

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("method", "oracle"),
    [
        ("bonferroni", "bonferroni"),
        ("holm", "holm"),
        ("hochberg", "simes-hochberg"),
        ("benjamini_hochberg", "fdr_bh"),
        ("benjamini_yekutieli", "fdr_by"),
    ],
)
@given(p_values=P_VALUES)
@settings(max_examples=40, deadline=None)
def test_adjusted_p_values_agree_with_statsmodels(method: str, oracle: str, p_values: list[float]) -> None:
    assert multiplicity.adjust(p_values, method) == pytest.approx(multipletests(p_values, method=oracle)[1])


@pytest.mark.parametrize("method", multiplicity.METHODS)
def test_what_was_not_tested_does_not_count(method: str) -> None:
    with_gap = multiplicity.adjust([0.01, None, 0.04, None], method)
    assert [with_gap[0], with_gap[2]] == multiplicity.adjust([0.01, 0.04], method)
    assert with_gap[1] is with_gap[3] is None
    assert multiplicity.adjust([], method) == [] and multiplicity.adjust([None], method) == [None]
    with pytest.raises(ValueError):
        multiplicity.adjust([1.2], method)


def test_double_fdr_of_the_published_example() -> None:
    """The example of the R package c212 (help page of c212.DFDR), with the ten events it prints."""
    groups = [1] + [2] * 4 + [3] * 7 + [4] * 5
    p_values = [0.135005, 0.010000, 0.001000, 0.005000, 0.153501, 0.020000, 0.0013, 0.0023, 0.011, 0.023000]
    p_values += [0.016, 0.0109, 0.559111, 0.751986, 0.308339, 0.837154, 0.325882]
    results = multiplicity.double_fdr(p_values, groups, alpha=0.05)
    flagged = {f"AE{i}" for i, result in enumerate(results, 1) if result.flagged}
    assert flagged == {"AE3", "AE7", "AE8", "AE4", "AE2", "AE12", "AE9", "AE11", "AE6", "AE10"}
    assert all((r.adjusted is None) == (g in (1, 4)) for r, g in zip(results, groups, strict=True))


def test_double_fdr_of_a_class_without_tests() -> None:
    results = multiplicity.double_fdr([None, 0.01], ["eye", "skin"])
    assert (results[0].group_adjusted, results[0].flagged, results[1].flagged) == (None, False, True)
    with pytest.raises(ValueError):
        multiplicity.double_fdr([0.1], [])


def test_emergence_compares_a_date_with_a_time_as_dates() -> None:
    first_dose = datetime(2022, 1, 1, 9, 30)
    assert emergence.treatment_emergent(date(2022, 1, 1), None, first_dose)
    assert not emergence.treatment_emergent(datetime(2022, 1, 1, 9, 29), None, first_dose)
    assert emergence.treatment_emergent(datetime(2022, 1, 1, 9, 30), None, first_dose)


def test_emergence_window_ends_with_its_last_day() -> None:
    last_dose = datetime(2022, 4, 30, 11, 30)
    days = {"first_dose": date(2022, 1, 1), "last_dose": last_dose}
    inside, outside = datetime(2022, 5, 10, 23, 59), datetime(2022, 5, 11, 0, 0)
    assert emergence.treatment_emergent(inside, None, **days, window_days=10)
    assert not emergence.treatment_emergent(outside, None, **days, window_days=10)
    assert emergence.treatment_emergent(outside, None, **days)
    assert emergence.treatment_emergent(outside, None, date(2022, 1, 1), None, window_days=10)
    assert not emergence.treatment_emergent(
        datetime(2022, 5, 10, 11, 31), None, **days, window_days=10, time_of_last_dose_counts=True
    )
    with pytest.raises(ValueError):
        emergence.treatment_emergent(inside, None, **days, window_days=-1)


def test_worsening_needs_both_grades_and_an_event_still_going_on() -> None:
    start, dose = date(2021, 12, 30), date(2022, 1, 1)
    assert emergence.treatment_emergent(start, dose, dose, initial_grade=1, grade=2)
    assert not emergence.treatment_emergent(start, date(2021, 12, 31), dose, initial_grade=1, grade=2)
    assert not emergence.treatment_emergent(start, None, dose, grade=2)
    assert not emergence.treatment_emergent(start, None, dose, initial_grade=2, grade=2)
    assert not emergence.treatment_emergent(None, None, None)


@st.composite
def partial_texts(draw: st.DrawFn) -> tuple[str, date]:
    """A date text with parts left out, and the date it came from."""
    day = draw(st.dates(date(1990, 1, 1), date(2030, 12, 31)))
    form = draw(st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m--", "%Y---%d", "%Y-%m-%dT10:11"]))
    return day.strftime(form), day


@given(partial_texts(), st.sampled_from(["first", "mid", "last"]), st.booleans())
@settings(max_examples=120, deadline=None)
def test_imputation_keeps_what_is_known(text_and_day: tuple[str, date], position: str, preserve: bool) -> None:
    text, day = text_and_day
    result = partial_dates.impute_date(text, "M", position, preserve_day=preserve)
    assert result.value is not None and result.value.year == day.year
    year, month, known_day = partial_dates.parse_partial_date(text)
    assert (result.flag is None) == (year is not None and month is not None and known_day is not None)
    if result.flag is None:
        assert result.value == day
    if result.flag == "D":
        assert result.value.month == day.month


@given(partial_texts(), st.dates(date(1990, 1, 1), date(2030, 12, 31)))
@settings(max_examples=120, deadline=None)
def test_bounds_never_change_known_parts(text_and_day: tuple[str, date], bound: date) -> None:
    text, _ = text_and_day
    start, end = partial_dates.impute_start(text, bound), partial_dates.impute_end(text, [bound, None])
    free_start, free_end = partial_dates.impute_date(text, "M", "first"), partial_dates.impute_date(text, "M", "last")
    possible = free_start.value <= bound <= free_end.value  # type: ignore[operator]
    if possible and start.flag:
        assert start.value == bound and end.value == bound
    else:
        assert start == free_start and end == free_end


@pytest.mark.parametrize("text", ["2019-13", "2019-02-30", "18JUL2019", "2019/07/18", "201", "2019-7-1"])
def test_a_text_that_is_no_date_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        partial_dates.impute_date(text)


def test_missing_dates_and_years() -> None:
    assert partial_dates.impute_date(None).value is None
    assert partial_dates.impute_date("  ").flag is None
    assert partial_dates.impute_date("--07-18", "Y").value is None
    assert partial_dates.impute_date("--07-18", "Y", not_before=[date(2019, 7, 6)]).flag == "Y"
    leap = partial_dates.impute_date("2020-02", position="last")
    assert leap.value == date(2020, 2, 29)
    assert partial_dates.impute_start("2019-07", datetime(2019, 7, 10, 8)).value == date(2019, 7, 10)


@given(st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.integers(-400, 400))
@settings(max_examples=60, deadline=None)
def test_study_days_have_no_zero(reference: date, offset: int) -> None:
    day = partial_dates.study_day(reference + timedelta(days=offset), reference)
    assert day == (offset + 1 if offset >= 0 else offset)


def test_durations_by_calendar_and_in_time_zones() -> None:
    assert partial_dates.duration(date(2000, 2, 1), date(2000, 3, 1), "months", inclusive=False, by_calendar=True) == 1
    assert partial_dates.duration(date(2000, 2, 1), date(2000, 3, 1), "months", inclusive=False) == pytest.approx(
        29 / (365.25 / 12)
    )
    assert (
        partial_dates.duration(date(2000, 1, 31), date(2000, 2, 29), "months", inclusive=False, by_calendar=True) == 1
    )
    assert partial_dates.duration(date(2001, 2, 1), date(2000, 2, 1), "years", inclusive=False, by_calendar=True) == -1
    morning = datetime(2020, 12, 6, 9, tzinfo=UTC)
    assert partial_dates.duration(
        morning, morning + timedelta(hours=4.5), "hours", whole_days=False, inclusive=False
    ) == pytest.approx(4.5)
    with pytest.raises(ValueError):
        partial_dates.duration(date(2000, 1, 1), date(2000, 1, 2), "fortnights")
