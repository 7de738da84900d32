"""Dates and times in text cells -> TIMESTAMP and DATE, as SQL over whole columns.

DuckDB's own cast is not used on raw text: it drops offsets, zone names and AM/PM without a word. A text must match one
of the accepted shapes completely; most rows of a file share one shape, which is found in its first rows and read with
one strptime (0.15 s for 7 million), the others take the general path (1.2 s).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from importers.cells import Cell, Check, Doubt, Reason, quote
from importers.zones import OFFSET_BASE, offset_code_sql

DateOrder = Literal["YMD", "DMY", "MDY"]

EARLIEST_DOSE = dt.datetime(2010, 1, 1)
"""A dose before this day comes from a device that lost its clock (most then start at 1970, 2000 or 2007)."""
EARLIEST_RECORD = dt.datetime(1990, 1, 1)
"""Enrolment, consent and events on forms: older ones are typing errors."""
FUTURE_ALLOWED = dt.timedelta(days=2)
"""A time this long after the export is impossible; less may be a zone ahead of UTC."""

PRECISION = ("date", "minute", "second")

_FIELDS = {"Y": r"(\d{4})", "M": r"(\d{1,2})", "D": r"(\d{1,2})"}
_CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_HALF_DAY = r"(?:0?[1-9]|1[0-2]):[0-5]\d(?::[0-5]\d)?"
_ZONE = r":\d{2}(?:\.\d+)?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_SWAPPED: dict[DateOrder, DateOrder] = {"DMY": "MDY", "MDY": "DMY"}


@dataclass(frozen=True)
class TimeReading:
    """How the times of a source are written: the reading keys of its [[source]], and the time limits of the file."""

    order: DateOrder = "YMD"
    datetime_format: str | None = None
    zone: str = "site"
    """site (local only), utc, offset or an IANA zone."""
    earliest: dt.datetime = EARLIEST_DOSE
    latest: dt.datetime | None = None


def date_pattern(order: DateOrder) -> str:
    return "[-/.]".join(_FIELDS[part] for part in order)


def iso_replacement(order: DateOrder) -> str:
    r"""Replacement that turns the groups of ``date_pattern`` into year-month-day: \3-\2-\1 for DMY."""
    return "-".join(rf"\{order.index(part) + 1}" for part in "YMD")


def parse_sql(text: str, order: DateOrder, first_shape: str | None) -> str:
    """SQL TIMESTAMP of a text without offset; NULL where it has none of the accepted shapes."""
    day, iso = date_pattern(order), iso_replacement(order)
    clock = rf"{day}(?:[ T]+({_CLOCK}))?"
    half = rf"{day} +({_HALF_DAY}) ?([AaPp][Mm])"
    general = (
        f"CASE WHEN regexp_full_match({text}, '{clock}') "
        rf"THEN TRY_CAST(rtrim(regexp_replace({text}, '{clock}', '{iso} \4')) AS TIMESTAMP) "
        f"WHEN regexp_full_match({text}, '{half}') "
        rf"THEN try_strptime(regexp_replace({text}, '{half}', '{iso} \4 \5'), "
        "['%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p']) END"
    )
    return f"coalesce(try_strptime({text}, {quote(first_shape)}), {general})" if first_shape else general


def find_shape(values: Iterable[str | None], order: DateOrder) -> str | None:
    """The strptime format of the first value that has one; only a shortcut, so a wrong one costs time, not meaning."""
    codes = {"Y": "%Y", "M": "%m", "D": "%d"}
    pattern = r"([-/.])".join(_FIELDS[part].replace("1,2", "2") for part in order)
    whole = re.compile(rf"{pattern}(?:([ T])(\d\d:\d\d)(:\d\d)?( [AaPp][Mm])?)?", re.ASCII)
    for value in values:
        match = whole.fullmatch(value or "")
        if match is None:
            continue
        _, first, _, second, _, gap, minute, seconds, half = match.groups()
        shape = first.join((codes[order[0]], "")) + codes[order[1]] + second + codes[order[2]]
        if minute:
            shape += f"{gap}{'%I' if half else '%H'}:%M{':%S' if seconds else ''}{' %p' if half else ''}"
        return shape
    return None


def time_cell(name: str, label: str, reading: TimeReading, first_shape: str | None) -> Cell:
    """A moment: ``name`` is ``start_local`` or ``end_local``; with a zone also its ``_utc`` twin.

    ``start_local`` also gives start_precision, and with a zone utc_offset_min, offset_source and time_uncertain.
    Where the file states UTC, local is UTC as well: the zone of the site is not known here.
    """
    if reading.datetime_format is not None:
        steps, checks = _declared_steps(name, label, reading)
    else:
        steps, checks = _found_steps(name, label, reading, first_shape)
    value, text = f"v_{name}", f"b_{name}"
    colons = f"least(2, length({text}) - length(replace({text}, ':', '')))"
    precision = f"CAST(1 + {colons} AS UTINYINT)"
    if reading.datetime_format is not None:
        precision = f"CAST({_format_precision(reading.datetime_format)} AS UTINYINT)"
    last = [(f"c_{name}", precision)]
    stored = [value, f"c_{name}"]
    if reading.zone == "offset":
        last.append((f"z_{name}", f"CAST((m_{name} + {OFFSET_BASE}) * 2 AS SMALLINT)"))
        stored.append(f"z_{name}")
    elif reading.zone not in ("site", "utc"):
        last.append((f"z_{name}", offset_code_sql(value, reading.zone)))
        stored.append(f"z_{name}")
    return Cell(
        name,
        (*steps, tuple(last)),
        tuple(stored),
        _shown(name, reading.zone),
        (*checks, *_limit_checks(name, label, value, reading)),
    )


def _shown(name: str, zone: str) -> tuple[tuple[str, str], ...]:
    value, timed = f"v_{name}", f"c_{name} > 1"
    shown = [(name, value)]
    is_start = name == "start_local"
    if is_start:
        shown.append(("start_precision", f"{_words(PRECISION)}[c_{name}]"))
    if zone == "site":
        return tuple(shown)
    offset = "0" if zone == "utc" else f"((z_{name} >> 1) - {OFFSET_BASE})"
    utc = value if zone == "utc" else f"{value} - to_minutes({offset})"
    shown.append((name.replace("_local", "_utc"), f"CASE WHEN {timed} THEN {utc} END"))
    if is_start:
        shown.append(("utc_offset_min", f"CASE WHEN {timed} THEN CAST({offset} AS SMALLINT) END"))
        shown.append(("offset_source", f"CASE WHEN {timed} THEN 'file' END"))
        if zone not in ("utc", "offset"):
            shown.append(("time_uncertain", f"CASE WHEN {timed} AND z_{name} & 1 = 1 THEN true END"))
    return tuple(shown)


def _words(words: Iterable[str]) -> str:
    return "[" + ", ".join(map(quote, words)) + "]"


Steps = tuple[tuple[tuple[str, str], ...], ...]


def _found_steps(
    name: str, label: str, reading: TimeReading, first_shape: str | None
) -> tuple[Steps, tuple[Check, ...]]:
    raw, zone_text, text, value = f"r_{name}", f"o_{name}", f"b_{name}", f"v_{name}"
    failed = f"{value} IS NULL AND {raw} IS NOT NULL"
    has_zone = f"regexp_matches({raw}, '{_ZONE}')"
    example = {"YMD": "2024-03-09 08:30", "DMY": "09.03.2024 08:30", "MDY": "03/09/2024 08:30"}[reading.order]
    wrong = Check(
        name,
        "bad_date",
        f"{label}: no date and time in the order {reading.order}, such as {example}, or a day that does not exist",
        failed,
        raw,
        doubt="no_date",
    )
    checks = [wrong]
    swapped = _SWAPPED.get(reading.order)
    if swapped is not None:
        checks.insert(0, _swapped_check(name, label, reading.order, swapped, failed, text))
    parsed = parse_sql(text, reading.order, first_shape)
    if reading.zone == "utc" or reading.zone == "offset":
        minutes = _offset_minutes(zone_text)
        cut = f"CASE WHEN {zone_text} <> '' THEN rtrim(left({raw}, length({raw}) - length({zone_text}))) ELSE {raw} END"
        steps: Steps = (
            ((zone_text, f"regexp_extract({raw}, '{_ZONE}', 1)"),),
            ((text, cut), (f"m_{name}", minutes)),
            ((value, parsed),),
        )
        timed = f"{text} LIKE '%:%'"
        if reading.zone == "utc":
            bad, words = f"m_{name} <> 0", "states an offset from UTC where the [[source]] says UTC"
        else:
            bad, words = f"{zone_text} = '' AND {timed}", "states no offset from UTC where the [[source]] says it does"
        checks.append(Check(name, "bad_date", f"{label}: {words}", f"{value} IS NOT NULL AND ({bad})", raw))
        too_far = f"{zone_text} <> '' AND (m_{name} IS NULL OR abs(m_{name}) > 900)"
        checks.append(Check(name, "bad_date", f"{label}: an offset from UTC that does not exist", too_far, raw))
        return steps, tuple(checks)
    checks.insert(
        0,
        Check(
            name,
            "bad_date",
            f'{label}: states an offset from UTC or a zone; set time_zone = "offset" in its [[source]], or give a '
            "datetime_format that skips it",
            f"{failed} AND {has_zone}",
            raw,
            doubt="no_date",
        ),
    )
    return (((text, raw),), ((value, parsed),)), tuple(checks)


def _swapped_check(name: str, label: str, order: DateOrder, swapped: DateOrder, failed: str, text: str) -> Check:
    day = date_pattern(order)
    turned = f"regexp_replace({text}, '^{day}.*$', '{iso_replacement(swapped)}')"
    doubt: Doubt = "other_date_order"
    return Check(
        name,
        "bad_date",
        f"{label}: no date in the order {order}, but one in the order {swapped}",
        f"{failed} AND regexp_matches({text}, '^{day}([ T].*)?$') AND TRY_CAST({turned} AS DATE) IS NOT NULL",
        f"r_{name}",
        doubt=doubt,
    )


def _offset_minutes(zone_text: str) -> str:
    digits = f"replace({zone_text}[2:], ':', '')"
    return (
        f"CASE WHEN {zone_text} IN ('', 'Z', 'UTC', 'GMT') THEN 0 "
        f"ELSE (CASE WHEN {zone_text}[1] = '-' THEN -1 ELSE 1 END) "
        f"* (TRY_CAST(left({digits}, 2) AS INTEGER) * 60 + coalesce(TRY_CAST({digits}[3:] AS INTEGER), 0)) END"
    )


def _declared_steps(name: str, label: str, reading: TimeReading) -> tuple[Steps, tuple[Check, ...]]:
    raw, value, shape = f"r_{name}", f"v_{name}", reading.datetime_format or ""
    parsed = f"try_strptime({raw}, {quote(shape)})"
    wrong = Check(
        name,
        "bad_date",
        f"{label}: not of the form {shape} that datetime_format states, or a day that does not exist",
        f"{value} IS NULL AND {raw} IS NOT NULL",
        raw,
        doubt="no_date",
    )
    if reading.zone != "offset":
        if "%z" in shape:
            parsed = f"timezone('UTC', {parsed})"
        return (((f"b_{name}", raw), (value, parsed)),), (wrong,)
    # strptime gives the moment in UTC; the offset is read once more from the text to get back to local time.
    steps: Steps = (
        ((f"o_{name}", f"regexp_extract({raw}, '{_ZONE}', 1)"),),
        ((f"m_{name}", _offset_minutes(f"o_{name}")), (f"b_{name}", raw)),
        ((value, f"timezone('UTC', {parsed}) + to_minutes(m_{name})"),),
    )
    return steps, (wrong,)


def _format_precision(shape: str) -> int:
    if any(code in shape for code in ("%S", "%T", "%X", "%c", "%s", "%f")):
        return 3
    return 2 if "%M" in shape else 1


def _limit_checks(name: str, label: str, value: str, reading: TimeReading) -> tuple[Check, ...]:
    reason: Reason = "impossible_time"
    checks = [
        Check(
            name,
            reason,
            f"{label}: before {reading.earliest:%Y-%m-%d}, as after a device has lost its clock",
            f"{value} < TIMESTAMP '{reading.earliest}'",
            f"r_{name}",
        )
    ]
    if reading.latest is not None:
        checks.append(
            Check(
                name,
                reason,
                f"{label}: after {reading.latest:%Y-%m-%d %H:%M}, more than "
                f"{FUTURE_ALLOWED.days} days after the file was exported or received",
                f"{value} > TIMESTAMP '{reading.latest:%Y-%m-%d %H:%M:%S}'",
                f"r_{name}",
            )
        )
    return tuple(checks)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def partial_text_sql(text: str, order: DateOrder) -> str:
    """SQL text of a possibly partial date as ISO 8601 (``2013``, ``2013-05``, ``2013-05-07``, ``2013-05-07T08:30``).

    Read are the file's order, ISO 8601, month names (07-MAY-2013, MAY 2013) and UN, UNK, NK or hyphens for unknown
    parts; NULL for anything else. A full date that does not exist gives NULL.
    """
    day, iso = date_pattern(order), iso_replacement(order)
    clock = rf"(?:[ T]+({_CLOCK}))?"
    unknown = "(?:UNK?|NK|XX)"
    named = rf"(?i)(?:(\d{{1,2}}|{unknown})[-/. ]?)?([a-z]{{3}})[-/. ]?(\d{{4}})"
    month = f"lpad(CAST(list_position({_words(_MONTHS)}, lower(regexp_extract({text}, '{named}', 2))) AS VARCHAR), 2, '0')"
    number = f"TRY_CAST(regexp_extract({text}, '{named}', 1) AS INTEGER)"
    year = f"regexp_extract({text}, '{named}', 3)"
    full = f"CASE WHEN regexp_full_match({text}, '{day}{clock}') THEN TRY_CAST(regexp_replace({text}, '{day}{clock}', '{iso}') AS DATE) END"
    hours = f"regexp_extract({text}, '{day}[ T]+({_CLOCK})', 4)"
    hours = f"CASE WHEN {hours} NOT IN ('', '00:00:00', '00:00', '0:00') THEN 'T' || lpad({hours}, CASE WHEN {hours} LIKE '_:%' THEN length({hours}) + 1 ELSE length({hours}) END, '0') ELSE '' END"
    iso_full = rf"\d{{4}}-\d{{2}}-\d{{2}}(?:T{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?)?"
    two = r"(\d{1,2})[-/.](\d{4})"
    return f"""CASE
        WHEN {full} IS NOT NULL THEN strftime({full}, '%Y-%m-%d') || {hours}
        WHEN regexp_full_match({text}, '{iso_full}') THEN
            CASE WHEN TRY_CAST(left({text}, 10) AS DATE) IS NOT NULL THEN {text} END
        WHEN regexp_full_match({text}, '\\d{{4}}') THEN {text}
        WHEN regexp_full_match({text}, '\\d{{4}}-(0[1-9]|1[0-2])') THEN {text}
        WHEN regexp_full_match({text}, '\\d{{4}}---\\d{{2}}|--(0[1-9]|1[0-2])-\\d{{2}}') THEN {text}
        WHEN regexp_full_match({text}, '(0?[1-9]|1[0-2])[-/.]\\d{{4}}') THEN
            regexp_replace({text}, '{two}', '\\2') || '-' || lpad(regexp_replace({text}, '{two}', '\\1'), 2, '0')
        WHEN regexp_full_match({text}, '(?i){unknown}[-/. ]?{unknown}[-/. ]?(\\d{{4}})') THEN right({text}, 4)
        WHEN regexp_full_match({text}, '{named}') AND {month} IS NOT NULL THEN
            CASE WHEN {number} IS NULL THEN {year} || '-' || {month}
                 ELSE strftime(TRY_CAST({year} || '-' || {month} || '-' || {number} AS DATE), '%Y-%m-%d') END
        END"""


def partial_date_cell(name: str, label: str, order: DateOrder) -> Cell:
    """A date as a form states it, possibly partial, in ISO 8601."""
    value = f"v_{name}"
    check = Check(
        name,
        "bad_date",
        f"{label}: no date (complete, or with unknown day or month) in the order {order}",
        f"{value} IS NULL AND r_{name} IS NOT NULL",
        f"r_{name}",
        doubt="no_date",
    )
    return Cell(name, (((value, partial_text_sql(f"r_{name}", order)),),), (value,), ((name, value),), (check,))


def date_cell(name: str, label: str, reading: TimeReading) -> Cell:
    """A complete date; a time of day behind it is dropped (spreadsheets put midnight behind every date)."""
    value, text = f"v_{name}", f"x_{name}"
    if reading.datetime_format is not None:
        moment = f"try_strptime(r_{name}, {quote(reading.datetime_format)})"
        if "%z" in reading.datetime_format:
            moment = f"timezone('UTC', {moment})"
        parsed = f"CAST({moment} AS DATE)"
    else:
        parsed = f"CASE WHEN length({text}) >= 10 THEN TRY_CAST(left({text}, 10) AS DATE) END"
    check = Check(
        name,
        "bad_date",
        f"{label}: no complete date in the order {reading.order}, or a day that does not exist",
        f"{value} IS NULL AND r_{name} IS NOT NULL",
        f"r_{name}",
        doubt="no_date",
    )
    limits = _limit_checks(name, label, value, reading)
    return Cell(
        name,
        (((text, partial_text_sql(f"r_{name}", reading.order)),), ((value, parsed),)),
        (value,),
        ((name, value),),
        (check, *limits),
    )
