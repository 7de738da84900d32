"""What a Glooko table is and which of its columns is which: by headings in three languages, by position, by file
name.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from importers.vendor_dates import read_day
from importers.vendor_text import split_heading

_FILE = re.compile(r"(?:^|/)(\w+?)_data_\d+\.csv$", re.IGNORECASE)
_RANGE = re.compile(r":\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})\s*-\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})")

_FILE_KINDS = {
    "alarms": "alarms",
    "basal": "basal",
    "bg": "bg",
    "bolus": "bolus",
    "carbs": "carbs",
    "cgm": "cgm",
    "cgm_carbs": "carbs",
    "insulin": "daily",
    "manual_insulin": "manual",
    **dict.fromkeys(("exercise", "food", "medication", "notes", "ketones", "steps", "weight"), "other"),
}

HEADINGS: dict[str, tuple[str, ...]] = {
    "at": ("timestamp", "zeitstempel", "tijdstempel"),
    "insulin_type": ("insulin type", "insulin-typ", "insulinetype", "bolus type"),
    "serial": ("serial number", "seriennummer", "serienummer"),
    "delivered": ("insulin delivered", "delivered insulin", "abgegebenes insulin", "toegediende insuline"),
    "initial": ("initial delivery", "anf\u00e4ngliche abgabe"),
    "extended": ("extended delivery", "verz\u00f6gerte abgabe"),
    "carbs": (
        "carbs input", "carbohydrate intake", "carbs", "carbohydrates", "kohlenhydrataufnahme", "kh",
        "kohlenhydrate", "koolhydraten",
    ),
    "bg_input": ("blood glucose input", "blutzuckereingabe"),
    "duration": ("duration", "dauer", "duur"),
    "percent": ("percentage", "prozentsatz"),
    "rate": ("rate", "basal rate"),
    "basal_type": ("type",),
    "total_bolus": ("total bolus", "bolus gesamt"),
    "total_insulin": ("total insulin", "insulin gesamt"),
    "total_basal": ("total basal", "basal gesamt"),
    "alarm_text": ("alarm/event", "alarm/ereignis"),
    "cgm": ("cgm glucose value", "cgm-glukosewert"),
    "trend": ("glucose trend",),
    "glucose": ("glucose value", "glukosewert", "blood glucose"),
    "manual": ("manual reading", "manuelles lesen", "reading type"),
    "dose": ("dose",),
    "method": ("method",),
    "value": ("value", "wert"),
}  # fmt: skip
"""Role -> headings without their unit, lower case."""

_POSITIONS: dict[str, tuple[str, ...]] = {
    "bolus": ("at", "insulin_type", "bg_input", "carbs", "", "delivered", "initial", "extended", "serial"),
    "basal": ("at", "insulin_type", "duration", "percent", "rate", "delivered", "serial"),
    "daily": ("at", "total_bolus", "total_insulin", "total_basal", "serial"),
    "alarms": ("at", "alarm_text", "serial"),
    "cgm": ("at", "cgm", "serial"),
    "bg": ("at", "glucose", "manual", "serial"),
}
"""Columns of the English export in their order, for other languages; the serial number may be left out."""


def file_kind(name: str) -> str | None:
    """Kind of table that a file's name says (bolus_data_1.csv); None for any other name."""
    match = _FILE.search(name.replace("\\", "/"))
    return _FILE_KINDS.get(match[1].lower()) if match else None


def find_kind(names: Sequence[str]) -> str | None:
    """Kind of table by its headings; None when they are not known."""
    roles = set(find_roles(names))
    if {"total_bolus"} <= roles or {"total_insulin"} <= roles:
        return "daily"
    if {"duration", "rate"} <= roles:
        return "basal"
    if {"dose", "method"} <= roles:
        return "doses"
    if "initial" in roles or ("delivered" in roles and {"carbs", "bg_input"} & roles):
        return "bolus"
    if {"insulin_type", "dose"} <= roles:
        return "bolus"
    if {"insulin_type", "value"} <= roles:
        return "manual"
    if "alarm_text" in roles:
        return "alarms"
    if "cgm" in roles or {"glucose", "trend"} <= roles:
        return "cgm"
    return "bg" if {"glucose", "manual"} <= roles else None


def find_roles(names: Sequence[str], kind: str | None = None) -> dict[str, int]:
    """Position of each role; by position for a kind whose headings are not known."""
    role_of = {heading: role for role, headings in HEADINGS.items() for heading in headings}
    found: dict[str, int] = {}
    for place, text in enumerate(names):
        role = role_of.get(text.strip().lower()) or role_of.get(split_heading(text)[0])
        if role is not None:
            found.setdefault(role, place)
    if kind in _POSITIONS and len(found) < 3:
        order = _POSITIONS[kind]
        if len(names) in (len(order), len(order) - 1):
            return {role: place for place, role in enumerate(order[: len(names)]) if role}
    return found


def is_metadata(line: str, separator: str) -> bool:
    """Whether a line is the patient's name and the range of days, in any language."""
    return line.count(separator) <= 2 and _RANGE.search(line) is not None


def read_range(line: str) -> tuple[dt.date, dt.date] | None:
    """First and last day the export covers, where they are written year-first or leave no choice."""
    match = _RANGE.search(line)
    if match is None:
        return None
    days = [read_day(text, None) for text in match.groups()]
    if None in days:
        days = [read_day(text, "DMY") for text in match.groups()]
        if None in days or any(int(re.split(r"[-/.]", text)[0]) <= 12 for text in match.groups()):
            return None
    first, last = days
    return (first, last) if first is not None and last is not None else None
