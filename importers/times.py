"""Dates and times in text cells -> TIMESTAMP and DATE, as SQL over whole columns.

DuckDB's own cast is not used on raw text: it drops offsets, zone names and AM/PM without a word. A text must match one
of the accepted shapes completely; most rows of a file share one shape, which is found in its first rows and read with
one strptime (0.15 s for 7 million), the others take the general path (1.2 s).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from importers.cells import Cell, Check, Steps, quote, text_list, trimmed_sql
from importers.zones import OFFSET_BASE, offset_code_sql

DateOrder = Literal["YMD", "DMY", "MDY"]

EARLIEST_DOSE = dt.datetime(2010, 1, 1)
"""A dose before this day comes from a device that lost its clock (most then start at 1970, 2000 or 2007)."""
FUTURE_ALLOWED = dt.timedelta(days=2)
"""A time this long after the export is impossible; less may be a zone ahead of UTC."""

PRECISION = ("date", "minute", "second")

_FIELDS = {"Y": r"(\d{4})", "M": r"(\d{1,2})", "D": r"(\d{1,2})"}
ISO_DAY = r"(\d{4})-(\d{2})-(\d{2})"
ISO_REPLACEMENT = r"\1-\2-\3"
CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
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


def general_sql(text: str, order: DateOrder) -> str:
    """SQL TIMESTAMP of a text without offset, in any accepted shape of the order or in ISO 8601; NULL for others."""
    arms = []
    for day, iso in dict.fromkeys(((date_pattern(order), iso_replacement(order)), (ISO_DAY, ISO_REPLACEMENT))):
        clock, half = rf"{day}(?:[ T]+({CLOCK}))?", rf"{day} +({_HALF_DAY}) ?([AaPp][Mm])"
        arms.append(
            f"WHEN regexp_full_match({text}, '{clock}') "
            rf"THEN TRY_CAST(rtrim(regexp_replace({text}, '{clock}', '{iso} \4')) AS TIMESTAMP) "
            f"WHEN regexp_full_match({text}, '{half}') "
            rf"THEN try_strptime(regexp_replace({text}, '{half}', '{iso} \4 \5'), "
            "['%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p'])"
        )
    return f"CASE {' '.join(arms)} END"


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


def time_cell(name: str, label: str, reading: TimeReading, first_shape: str | None, null_values: Sequence[str]) -> Cell:
    """A moment: ``name`` is ``start_local`` or ``end_local``; with a zone also its ``_utc`` twin.

    ``start_local`` also gives start_precision, and with a zone utc_offset_min, offset_source and time_uncertain.
    Where the file states UTC, local is UTC as well: the zone of the site is not known here.
    """
    trimmed = trimmed_sql(f"r_{name}", null_values)
    checks: tuple[Check, ...] = ()
    if reading.datetime_format is not None:
        steps, failures = _declared_steps(name, label, reading, trimmed)
        precision = str(shape_precision(reading.datetime_format))
    else:
        steps, precision = _found_steps(name, reading, first_shape, trimmed)
        failures = _failures(name, label, reading)
        if reading.zone in ("utc", "offset"):
            checks = _offset_checks(name, label, reading.zone)
    last = [(f"c_{name}", f"CAST({precision} AS UTINYINT)")]
    also = [f"c_{name}"]
    if reading.zone not in ("site", "utc"):
        packed = f"CAST((m_{name} + {OFFSET_BASE}) * 2 AS SMALLINT)"
        last.append((f"z_{name}", packed if reading.zone == "offset" else offset_code_sql(f"v_{name}", reading.zone)))
        also.append(f"z_{name}")
    return Cell(
        name,
        (*steps, tuple(last)),
        _shown(name, reading.zone),
        failures,
        (*checks, *limit_checks(name, label, reading)),
        tuple(also),
    )


def moment_sql(name: str, zone: str) -> dict[str, str]:
    """What a stored time cell says: SQL of its ``local`` time, its ``precision`` and, where the source states a zone,
    of ``utc``, ``utc_offset_min``, ``offset_source`` and ``time_uncertain``."""
    value, timed = f"v_{name}", f"c_{name} > 1"
    said = {"local": value, "precision": f"{text_list(PRECISION)}[c_{name}]"}
    if zone == "site":
        return said
    offset = "0" if zone == "utc" else f"((z_{name} >> 1) - {OFFSET_BASE})"
    utc = value if zone == "utc" else f"{value} - to_minutes({offset})"
    said["utc"] = f"CASE WHEN {timed} THEN {utc} END"
    said["utc_offset_min"] = f"CASE WHEN {timed} THEN CAST({offset} AS SMALLINT) END"
    said["offset_source"] = f"CASE WHEN {timed} THEN 'file' END"
    if zone not in ("utc", "offset"):
        said["time_uncertain"] = f"CASE WHEN {timed} AND z_{name} & 1 = 1 THEN true END"
    return said


def _shown(name: str, zone: str) -> tuple[tuple[str, str], ...]:
    said = moment_sql(name, zone)
    shown = [(name, said["local"])]
    if name == "start_local":
        shown += [("start_precision", said["precision"])]
    if "utc" in said:
        shown.append((name.replace("_local", "_utc"), said["utc"]))
    if name == "start_local":
        stated = ("utc_offset_min", "offset_source", "time_uncertain")
        shown += [(column, said[column]) for column in stated if column in said]
    return tuple(shown)


def _found_steps(name: str, reading: TimeReading, first_shape: str | None, trimmed: str) -> tuple[Steps, str]:
    """Steps that give ``v_<name>``, and SQL of its position in ``PRECISION``."""
    raw, first, text, value = f"r_{name}", f"p_{name}", f"b_{name}", f"v_{name}"
    general = general_sql(text, reading.order)
    precision = f"1 + least(2, length({text}) - length(replace({text}, ':', '')))"
    if reading.zone in ("utc", "offset"):
        return _with_offset(name, trimmed, general), precision
    if first_shape is None:
        return (((text, trimmed),), ((value, general),)), precision
    steps: Steps = (
        ((f"q_{name}", f"try_strptime({raw}, {quote(first_shape)})"),),
        ((first, _plain_year(f"q_{name}")),),
        ((text, f"CASE WHEN {first} IS NULL THEN {trimmed} END"),),
        ((value, f"CASE WHEN {first} IS NOT NULL THEN {first} ELSE {general} END"),),
    )
    return steps, f"CASE WHEN {first} IS NOT NULL THEN {shape_precision(first_shape)} ELSE {precision} END"


def _plain_year(moment: str) -> str:
    """strptime also takes years of fewer than four digits, and makes 1900-01-01 of "infinity" and "epoch"."""
    return f"CASE WHEN {moment} > TIMESTAMP '1900-01-01' THEN {moment} END"


def _failures(name: str, label: str, reading: TimeReading) -> tuple[Check, ...]:
    text, order = f"b_{name}", reading.order
    example = {"YMD": "2024-03-09 08:30", "DMY": "09.03.2024 08:30", "MDY": "03/09/2024 08:30"}[order]
    failures = [
        Check(
            name,
            "bad_date",
            f"{label}: no date and time in the order {order}, such as {example}, or a day that does not exist",
            doubt="no_date",
        )
    ]
    swapped = _SWAPPED.get(order)
    if swapped is not None:
        day = date_pattern(order)
        turned = f"regexp_replace({text}, '^{day}.*$', '{iso_replacement(swapped)}')"
        failures.insert(
            0,
            Check(
                name,
                "bad_date",
                f"{label}: no date in the order {order}, but one in the order {swapped}",
                f"regexp_matches({text}, '^{day}([ T].*)?$') AND TRY_CAST({turned} AS DATE) IS NOT NULL",
                doubt="other_date_order",
            ),
        )
    if reading.zone not in ("utc", "offset"):
        failures.insert(
            0,
            Check(
                name,
                "bad_date",
                f'{label}: states an offset from UTC or a zone; set time_zone = "offset" in its [[source]], or a '
                "datetime_format that skips it",
                f"regexp_matches({text}, '{_ZONE}')",
                doubt="no_date",
            ),
        )
    return tuple(failures)


def _with_offset(name: str, trimmed: str, general: str) -> Steps:
    """Steps that split a text into time and offset; ``m_<name>`` is the offset in minutes, 0 where none is stated."""
    whole, zone_text = f"w_{name}", f"o_{name}"
    cut = (
        f"CASE WHEN {zone_text} <> '' THEN rtrim(left({whole}, length({whole}) - length({zone_text}))) ELSE {whole} END"
    )
    return (
        ((whole, trimmed),),
        ((zone_text, f"regexp_extract({whole}, '{_ZONE}', 1)"),),
        ((f"b_{name}", cut), (f"m_{name}", _offset_minutes(zone_text))),
        ((f"v_{name}", general),),
    )


def _offset_checks(name: str, label: str, zone: str) -> tuple[Check, ...]:
    zone_text, minutes = f"o_{name}", f"m_{name}"
    if zone == "utc":
        bad, words = f"{minutes} <> 0", "states an offset from UTC where the [[source]] says UTC"
    else:
        bad, words = (
            f"{zone_text} = '' AND b_{name} LIKE '%:%'",
            "states no offset from UTC where the [[source]] says so",
        )
    impossible = f"{zone_text} <> '' AND coalesce(abs({minutes}) > {15 * 60}, true)"
    return (
        Check(name, "bad_date", f"{label}: an offset from UTC that does not exist", impossible),
        Check(name, "bad_date", f"{label}: {words}", bad),
    )


def _offset_minutes(zone_text: str) -> str:
    digits = f"replace({zone_text}[2:], ':', '')"
    return (
        f"CASE WHEN {zone_text} IN ('', 'Z', 'UTC', 'GMT') THEN 0 "
        f"ELSE (CASE WHEN {zone_text}[1] = '-' THEN -1 ELSE 1 END) "
        f"* (TRY_CAST(left({digits}, 2) AS INTEGER) * 60 + coalesce(TRY_CAST({digits}[3:] AS INTEGER), 0)) END"
    )


def _declared_steps(name: str, label: str, reading: TimeReading, trimmed: str) -> tuple[Steps, tuple[Check, ...]]:
    raw, value, shape = f"r_{name}", f"v_{name}", reading.datetime_format or ""
    parsed = f"coalesce({', '.join(f'try_strptime({text}, {quote(shape)})' for text in (raw, trimmed))})"
    wrong = Check(
        name,
        "bad_date",
        f"{label}: not of the form {shape} that datetime_format states, or a day that does not exist",
        doubt="no_date",
    )
    if "%z" in shape:
        parsed = f"timezone('UTC', {parsed})"
    if reading.zone != "offset":
        return (((f"q_{name}", parsed),), ((value, _plain_year(f"q_{name}")),)), (wrong,)
    # strptime gives the moment in UTC; the offset is read once more from the text to get back to local time.
    steps: Steps = (
        ((f"o_{name}", f"regexp_extract({trimmed}, '{_ZONE}', 1)"), (f"q_{name}", parsed)),
        ((f"m_{name}", _offset_minutes(f"o_{name}")),),
        ((value, f"{_plain_year(f'q_{name}')} + to_minutes(m_{name})"),),
    )
    return steps, (wrong,)


def shape_precision(shape: str) -> int:
    """Position in ``PRECISION``, from 1, of what a strptime format states."""
    if any(code in shape for code in ("%S", "%T", "%X", "%c", "%s", "%f")):
        return 3
    return 2 if "%M" in shape else 1


def limit_checks(name: str, label: str, reading: TimeReading) -> tuple[Check, ...]:
    value, earliest, latest = f"v_{name}", reading.earliest, reading.latest
    early = f"{label}: before {earliest:%Y-%m-%d}"
    if earliest == EARLIEST_DOSE:
        early += ", as after a device has lost its clock"
    checks = [Check(name, "impossible_time", early, f"{value} < TIMESTAMP '{earliest}'")]
    if latest is not None:
        late = (
            f"{label}: after {latest:%Y-%m-%d %H:%M}, more than {FUTURE_ALLOWED.days} days after the file was exported "
            "or received"
        )
        checks.append(Check(name, "impossible_time", late, f"{value} > TIMESTAMP '{latest:%Y-%m-%d %H:%M:%S}'"))
    return tuple(checks)
