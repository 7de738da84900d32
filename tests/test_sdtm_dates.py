"""Dates of SDTM: what is stated is kept with its precision, what cannot be is refused, nothing crashes."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importers.sdtm_dates import BadDate, parse_moment


@pytest.mark.parametrize(
    ("text", "local", "precision"),
    [
        ("2014-03-09", dt.datetime(2014, 3, 9), "date"),
        ("2014-03-09T08:30", dt.datetime(2014, 3, 9, 8, 30), "minute"),
        ("2014-03-09T08:30:15", dt.datetime(2014, 3, 9, 8, 30, 15), "second"),
        ("2014-03-09T08:30:15.250", dt.datetime(2014, 3, 9, 8, 30, 15, 250_000), "second"),
        ("2014-03-09T08", dt.datetime(2014, 3, 9), "date"),
        ("2014-03-09T-:30", dt.datetime(2014, 3, 9), "date"),
        ("2014-03", dt.datetime(2014, 3, 1), "month"),
        ("2003", dt.datetime(2003, 1, 1), "year"),
        ("2003---15", dt.datetime(2003, 1, 1), "year"),
    ],
)
def test_stated_parts_are_kept(text: str, local: dt.datetime, precision: str) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert (moment.local, moment.precision) == (local, precision)
    assert moment.day == (None if precision in ("year", "month") else local.date())


@pytest.mark.parametrize(
    "text",
    ["2013-02-30", "2013-13-01", "2013-00-10", "2014-03-09T24:10", "2014-03-09T08:60", "2003---45", "0000-01-01"]
    + ["2014-3-9", "09/03/2014", "20140309", "yesterday", "2014-03-09 08:30", "2014-03-09/2014-03-10", "21636"]
    + ["2014-03-09T08:30+25:00", "٢٠١٤-03-09"],
)
def test_impossible_and_foreign_dates_are_refused(text: str) -> None:
    with pytest.raises(BadDate):
        parse_moment(text)


def test_a_date_without_year_is_no_moment() -> None:
    assert parse_moment("--12-15") is None


@pytest.mark.parametrize(("zone", "minutes"), [("Z", 0), ("+02:00", 120), ("-0430", -270), ("+05", 300)])
def test_an_offset_gives_the_utc_time(zone: str, minutes: int) -> None:
    moment = parse_moment(f"2014-03-09T08:30{zone}")
    assert moment is not None
    assert moment.offset_min == minutes
    assert moment.utc == dt.datetime(2014, 3, 9, 8, 30) - dt.timedelta(minutes=minutes)


@given(st.datetimes(min_value=dt.datetime(1000, 1, 1)))
def test_every_time_is_read_back(moment: dt.datetime) -> None:
    parsed = parse_moment(moment.isoformat())
    assert parsed is not None
    assert parsed.local == moment
    assert parse_moment(moment.date().isoformat()) is not None


@given(st.text(alphabet="0123456789-T:Z+./ ", max_size=26))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_moment(text)
    except BadDate as problem:
        assert str(problem)
