"""The week bars and the calendar of one patient."""

from __future__ import annotations

import datetime as dt

from tui.adherence_chart import chart_lines
from tui.glyphs import GLYPHS

MONDAY = dt.date(2026, 3, 2)


def day(number: int, *states: tuple[str, int]) -> tuple[dt.date, list[tuple[str, int]]]:
    """A day counted from the first Monday."""
    return MONDAY + dt.timedelta(days=number), list(states)


def test_bars_are_shares_of_expected_doses_and_days_show_their_worst() -> None:
    days = dict(
        [
            day(0, ("taken", 2)),
            day(1, ("taken", 1), ("missed", 1)),
            day(2, ("late", 1), ("extra", 1)),
            day(3, ("held", 1)),
            # Week 2: two of four expected; what nothing could have seen counts on neither side.
            day(7, ("taken", 2), ("missed", 2)),
            day(8, ("unmonitored", 9)),
            # Week 3 has nothing expected, week 4 nothing taken.
            day(16, ("extra", 1)),
            day(21, ("missed", 1)),
        ]
    )
    assert chart_lines(days, GLYPHS["ascii"], 80) == [
        "% of expected doses taken   wk   1  2  3  4",
        " 100|                       Mo  ## ..    ..",
        "  80|  ##                   Tu  .. ??",
        "  60|  ##                   We  ~~    ++",
        "  40|  ## ##                Th  --",
        "  20|  ## ##                Fr",
        "  wk    1  2  3  4          Sa",
        "                            Su",
        "## on time  ~~ late  .. missed  -- held  ?? unmonitored  ++ extra",
    ]


def test_the_last_weeks_that_fit_keep_their_numbers() -> None:
    days = dict(day(7 * week, ("taken", 1)) for week in range(30))
    wide, narrow = chart_lines(days, GLYPHS["cp437"], 80), chart_lines(days, GLYPHS["cp437"], 60)
    assert wide[0].split()[-11:] == [str(week) for week in range(20, 31)]
    assert narrow[1].split()[1:] == [str(week) for week in range(13, 31)]
    assert max(map(len, wide)) <= 80 and max(map(len, narrow)) <= 60
    assert chart_lines({}, GLYPHS["cp437"], 80) == []
