"""One patient's doses by week and by day, as text: bars of doses taken, and a calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tui.glyphs import Glyphs

LEVELS = (100, 80, 60, 40, 20)
"""Rows of the bars, in % of the doses expected that week; a row is filled from half a step below it."""
HEADING = "% of expected doses taken"
DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
WORST_FIRST = ("missed", "late", "unmonitored", "held", "taken", "extra")
"""A day with several doses shows the first of these that one of them is."""
AXIS, GAP, NAMES = 6, 3, 4
"""Cells of the scale at the left, between the two charts, and of the names of days."""

DayStates = Mapping[dt.date, Sequence[tuple[str, int]]]
"""Of each day with a dose: states with their number of doses."""


def chart_lines(days: DayStates, glyphs: Glyphs, width: int) -> list[str]:
    """The last weeks that fit in `width` cells, both charts side by side from 80 on, below that the calendar alone.

    Weeks start on Monday; the first one with a dose is week 1. Bars: doses taken (in or out of window) per dose that
    was expected, monitored and not withheld. Empty for a patient without doses.
    """
    if not days:
        return []
    first, last = _monday(min(days)), _monday(max(days))
    weeks = [first + dt.timedelta(days=7 * number) for number in range((last - first).days // 7 + 1)]
    both = width >= 80
    fits = (width - 1 - NAMES - (AXIS + GAP if both else 0)) // (6 if both else 3)
    shown = weeks[-fits:]
    numbers = "".join(f"{(week - first).days // 7 + 1:3d}" for week in shown)
    bars = _bars(days, shown, glyphs) if both else []
    calendar = [
        f"{name:{NAMES - 1}}" + "".join(f" {_cell(days.get(week + dt.timedelta(days=day)), glyphs)}" for week in shown)
        for day, name in enumerate(DAYS)
    ]
    if not both:
        return [_legend(days, glyphs), f"{'wk':{NAMES - 1}}{numbers}", *calendar]
    room = max(len(HEADING), AXIS + 3 * len(shown))
    left = [HEADING, *bars, f"{'wk':>{AXIS - 2}}  {numbers}", ""]
    right = [f"{'wk':{NAMES - 1}}{numbers}", *calendar]
    rows = [f"{a:{room}}{'':{GAP}}{b}".rstrip() for a, b in zip(left, right, strict=True)]
    return [*rows, _legend(days, glyphs)]


def _bars(days: DayStates, weeks: Sequence[dt.date], glyphs: Glyphs) -> list[str]:
    shares = [_share(days, week) for week in weeks]
    rows = []
    for level in LEVELS:
        cells = "".join(f" {2 * glyphs.bar}" if share is not None and share > level - 10 else "   " for share in shares)
        rows.append(f"{level:4d}| {cells}".rstrip())
    return rows


def _share(days: DayStates, week: dt.date) -> float | None:
    counts = dict.fromkeys(WORST_FIRST, 0)
    for day in range(7):
        for state, count in days.get(week + dt.timedelta(days=day), ()):
            counts[state] = counts.get(state, 0) + count
    expected = counts["taken"] + counts["late"] + counts["missed"]
    return 100.0 * (counts["taken"] + counts["late"]) / expected if expected else None


def _cell(states: Sequence[tuple[str, int]] | None, glyphs: Glyphs) -> str:
    if not states:
        return "  "
    found = {state for state, _ in states}
    return 2 * glyphs.day[next((state for state in WORST_FIRST if state in found), "extra")]


def _legend(days: DayStates, glyphs: Glyphs) -> str:
    found = {state for states in days.values() for state, _ in states}
    words = {"taken": "on time", "late": "late", "missed": "missed", "held": "held", "unmonitored": "unmonitored"}
    listed = {**words, "extra": "extra"}
    return "  ".join(f"{2 * glyphs.day[state]} {word}" for state, word in listed.items() if state in found)


def _monday(day: dt.date) -> dt.date:
    return day - dt.timedelta(days=day.weekday())
