"""Dates as forms state them: complete, or partial with unknown day or month.

Read are the file's order, ISO 8601 whatever the order, and month names; a spreadsheet's date arrives as ISO 8601.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from importers.cells import Cell, Check, Steps, quote, text_list, trimmed_sql
from importers.times import (
    CLOCK,
    ISO_DAY,
    ISO_REPLACEMENT,
    DateOrder,
    TimeReading,
    date_pattern,
    iso_replacement,
    limit_checks,
)

EARLIEST_RECORD = dt.datetime(1990, 1, 1)
"""Enrolment, consent and dates of participation: older ones are typing errors."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNKNOWN = "(?:UNK?|NK|XX)"
_GAP = "[-/. ]?"
_MIDNIGHTS = ("", "0:00", "00:00", "00:00:00")


def partial_text_sql(text: str, order: DateOrder) -> str:
    """SQL text of a possibly partial date as ISO 8601: 2013, 2013-05, 2013-05-07, 2013-05-07T08:30, 2013---07.

    Read are the file's order, ISO 8601, month names (07-MAY-2013, MAY 2013) and UN, UNK, NK or XX for unknown parts
    (UN-MAY-2013, 07-UNK-2013). NULL for anything else, and for a day that does not exist.
    """

    def group(pattern: str, number: int) -> str:
        return f"regexp_extract({text}, '{pattern}', {number})"

    def two_digits(number: str) -> str:
        return f"lpad({number}, 2, '0')"

    arms = [
        _complete_arm(text, day, iso)
        for day, iso in dict.fromkeys(((date_pattern(order), iso_replacement(order)), (ISO_DAY, ISO_REPLACEMENT)))
    ]
    month_first, year_first = r"(0?[1-9]|1[0-2])[-/.](\d{4})", r"(\d{4})[-/.](0?[1-9]|1[0-2])"
    no_month = rf"(?i)(\d{{1,2}}){_GAP}{_UNKNOWN}{_GAP}(\d{{4}})"
    no_day_no_month = rf"(?i){_UNKNOWN}{_GAP}{_UNKNOWN}{_GAP}(\d{{4}})"
    named = rf"(?i)(?:(\d{{1,2}}|{_UNKNOWN}){_GAP})?([a-z]{{3}}){_GAP}(\d{{4}})"
    month = f"list_position({text_list(_MONTHS)}, lower({group(named, 2)}))"
    year_month = f"{group(named, 3)} || '-' || {two_digits(f'CAST({month} AS VARCHAR)')}"
    day_number = f"TRY_CAST({group(named, 1)} AS INTEGER)"
    named_date = f"TRY_CAST({year_month} || '-' || {day_number} AS DATE)"
    shapes = (
        (r"\d{4}|\d{4}---\d{2}|--(0[1-9]|1[0-2])-\d{2}", text),
        (month_first, f"{group(month_first, 2)} || '-' || {two_digits(group(month_first, 1))}"),
        (year_first, f"{group(year_first, 1)} || '-' || {two_digits(group(year_first, 2))}"),
        (no_day_no_month, group(no_day_no_month, 1)),
        (no_month, f"{group(no_month, 2)} || '---' || {two_digits(group(no_month, 1))}"),
        (named, f"CASE WHEN {day_number} IS NULL THEN {year_month} ELSE strftime({named_date}, '%Y-%m-%d') END"),
    )
    arms += [f"WHEN regexp_full_match({text}, '{pattern}') THEN {value}" for pattern, value in shapes]
    return f"CASE {' '.join(arms)} END"


def _complete_arm(text: str, day: str, iso: str) -> str:
    pattern = rf"{day}(?:[ T]+({CLOCK})(?:Z|[+-]\d{{2}}:?\d{{2}})?)?"
    date = f"TRY_CAST(regexp_replace({text}, '{pattern}', '{iso}') AS DATE)"
    clock = f"regexp_extract({text}, '{pattern}', 4)"
    midnights = ", ".join(map(quote, _MIDNIGHTS))
    # Spreadsheets put midnight behind every date.
    time = (
        f"CASE WHEN {clock} IN ({midnights}) THEN '' WHEN {clock}[2] = ':' THEN 'T0' || {clock} ELSE 'T' || {clock} END"
    )
    return f"WHEN regexp_full_match({text}, '{pattern}') THEN strftime({date}, '%Y-%m-%d') || {time}"


def partial_date_cell(name: str, label: str, order: DateOrder, null_values: Sequence[str]) -> Cell:
    """A date as a form states it, possibly partial, in ISO 8601."""
    value = f"v_{name}"
    check = Check(
        name,
        "bad_date",
        f"{label}: no date (complete, or with unknown day or month) in the order {order}",
        doubt="no_date",
    )
    text = f"b_{name}"
    steps: Steps = (((text, trimmed_sql(f"r_{name}", null_values)),), ((value, partial_text_sql(text, order)),))
    return Cell(name, steps, ((name, value),), (check,))


def date_cell(name: str, label: str, reading: TimeReading, null_values: Sequence[str]) -> Cell:
    """A complete date; a time of day behind it is dropped (spreadsheets put midnight behind every date)."""
    value, text, iso = f"v_{name}", f"b_{name}", f"i_{name}"
    if reading.datetime_format is not None:
        moment = f"try_strptime({text}, {quote(reading.datetime_format)})"
        if "%z" in reading.datetime_format:
            moment = f"timezone('UTC', {moment})"
        parsed = f"CAST({moment} AS DATE)"
    else:
        parsed = f"CASE WHEN length({iso}) >= 10 THEN TRY_CAST(left({iso}, 10) AS DATE) END"
    check = Check(
        name,
        "bad_date",
        f"{label}: no complete date in the order {reading.order}, or a day that does not exist",
        doubt="no_date",
    )
    steps: Steps = (
        ((text, trimmed_sql(f"r_{name}", null_values)),),
        ((iso, partial_text_sql(text, reading.order)),),
        ((value, parsed),),
    )
    return Cell(name, steps, ((name, value),), (check,), limit_checks(name, label, reading))
