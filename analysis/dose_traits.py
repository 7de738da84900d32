"""What accuracy is broken down by: device, lot, firmware, algorithm, month and alarms of every dose of the log.

A dose's traits are numbers, one array per trait and one value list beside it, so that seven million doses are broken
down without a row of text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, among, categories, codes, micros
from analysis.frames import Frames

WEAR_MONTH_DAYS = 30
"""Length of a month of wear."""

STOPPED_BY_FAULT = ("occlusion", "empty", "alarm_other", "power")
"""Stop reasons that are an alarm or a fault of the device, whether or not it wrote an alarm."""

ALARM_EVENTS = ("alarm", "occlusion", "malfunction")
"""Codes of device events that are alarms."""

WITH_ALARM, WITHOUT_ALARM = "with alarm", "without alarm"

BREAKDOWNS = {
    "device_class": "class of the device",
    "model": "model of the device",
    "firmware": "firmware on the dose, else the last one the device reported",
    "lot": "lot on the dose, else that of the device",
    "algorithm_version": "version of the newest recommendation to the subject before the dose",
    "wear_month": f"{WEAR_MONTH_DAYS}-day months from the subject's first dose",
    "dose_size": "size of the amount compared with, in steps of 1, 2, 5",
    "alarm": "an alarm on the dose or of its device while it ran, or stopped by a fault",
}
"""Breakdown (result.by) and what its values are."""

SIZE_EDGES = np.array(sorted(float(f"{step}e{power}") for power in range(-4, 7) for step in (1, 2, 5)))
"""Edges of dose sizes; a size is at least its lower edge and below its upper one."""


def size_label(band: int, unit: str | None) -> str:
    """`2 to <5 mg`; band 0 lies below the first edge, the last at or above the last.

    >>> size_label(13, "mg"), size_label(0, None)
    ('1 to <2 mg', 'below 0.0001')
    """
    if band == 0:
        words = f"below {SIZE_EDGES[0]:g}"
    elif band == SIZE_EDGES.size:
        words = f"{SIZE_EDGES[-1]:g} or more"
    else:
        words = f"{SIZE_EDGES[band - 1]:g} to <{SIZE_EDGES[band]:g}"
    return f"{words} {unit}" if unit else words


@dataclass(frozen=True)
class Trait:
    """Values of one breakdown, and each dose's position in them; -1 not stated."""

    values: list[str]
    number: Int32


@dataclass(frozen=True)
class DeviceFacts:
    """What is looked up for a dose: facts of devices, alarms, recommendations, and each subject's first dose."""

    of_device: Mapping[str, Mapping[str, str]]
    """Trait -> device -> value."""
    class_of: Mapping[str, str | None]
    """Class of each subject's device, for doses that name no device."""
    alarms: Mapping[str, list[tuple[str | None, Int64]]]
    """Subject -> (device, times of its alarms in order)."""
    advice: Mapping[str, tuple[Int64, Int32]]
    """Subject -> times of recommendations in order, and the number of each one's version."""
    versions: list[str]
    first_at: Mapping[str, int]


def device_facts(frames: Frames, class_of: Mapping[str, str | None], log: DoseLog) -> DeviceFacts:
    """Gather them once per study; ``frames`` is cut already."""
    devices = frames("device", ["device_id", "device_class", "model", "firmware", "lot"])
    devices = devices.with_columns(pl.col("device_class").cast(pl.String))
    of_device = {
        name: dict(devices.select("device_id", name).drop_nulls().iter_rows())
        for name in ("device_class", "model", "firmware", "lot")
    }
    alarms: dict[str, list[tuple[str | None, Int64]]] = {}
    told = (
        frames("device_event", ["subject_id", "device_id", "event", "start_local"])
        .filter(pl.col("event").str.to_lowercase().is_in(ALARM_EVENTS) & pl.col("subject_id").is_not_null())
        .sort("subject_id", "device_id", "start_local", nulls_last=True)
    )
    for (subject, device), rows in told.group_by("subject_id", "device_id", maintain_order=True):
        alarms.setdefault(str(subject), []).append((device, micros(rows["start_local"])))
    advised = (
        frames("recommendation", ["subject_id", "recommended_at", "algorithm_version"])
        .filter(pl.col("algorithm_version").is_not_null())
        .sort("subject_id", "recommended_at", "algorithm_version")
    )
    versions = advised["algorithm_version"].unique().sort().to_list()
    number = {version: i for i, version in enumerate(versions)}
    advice = {
        str(subject): (
            micros(rows["recommended_at"]),
            np.array([number[version] for version in rows["algorithm_version"]], dtype=np.int32),
        )
        for (subject,), rows in advised.group_by("subject_id", maintain_order=True)
    }
    first = dict(zip(*_first_doses(log), strict=True))
    return DeviceFacts(of_device, class_of, alarms, advice, versions, first)


def _first_doses(log: DoseLog) -> tuple[list[str], list[int]]:
    """Subjects with a dose and the time of their first one (the log is in subject and time order)."""
    rows = np.flatnonzero(log.given)
    subject = codes(log.events["subject_id"])[rows]
    starts = rows[np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]])] if rows.size else rows
    names = categories(log.events["subject_id"])
    at = micros(log.events["start_local"].gather(starts.astype(np.uint32)))
    return [names[code] for code in codes(log.events["subject_id"])[starts]], at.tolist()


def dose_traits(log: DoseLog, facts: DeviceFacts) -> dict[str, Trait]:
    """Trait of each breakdown for the doses of a part of the log; without `dose_size`, which depends on the pair."""
    events = log.events
    subject_names = categories(events["subject_id"])
    subject, start = codes(events["subject_id"]), micros(events["start_local"])
    devices = [*categories(events["device_id"]), ""]
    device = codes(events["device_id"])
    traits: dict[str, Trait] = {}
    for name, known in facts.of_device.items():
        traits[name] = _looked_up(devices, device, known)
    own_class = _looked_up([*subject_names, ""], subject, {k: v for k, v in facts.class_of.items() if v is not None})
    traits["device_class"] = _first_stated(traits["device_class"], own_class)
    for name in ("firmware", "lot"):
        stated = Trait(categories(events[name]), codes(events[name]))
        traits[name] = _first_stated(stated, traits[name])
    bounds = _subject_bounds(subject)
    alarmed, version = alarm_on_dose(log), np.full(events.height, -1, dtype=np.int32)
    months = np.zeros(events.height, dtype=np.int32)
    ends = np.maximum(start, np.where(events["end_local"].is_null().to_numpy(), start, micros(events["end_local"])))
    for number, begin, end in bounds:
        name, rows = subject_names[number], slice(begin, end)
        if name in facts.first_at:
            months[rows] = (start[rows] // DAY_US - facts.first_at[name] // DAY_US) // WEAR_MONTH_DAYS
        for of_device, times in facts.alarms.get(name, ()):
            here = (device[rows] < 0) | (device[rows] == _position(devices, of_device))
            following = np.searchsorted(times, start[rows])
            within = times[np.minimum(following, times.size - 1)] <= ends[rows]
            alarmed[rows] |= here & (following < times.size) & within
        if name in facts.advice:
            times, versions = facts.advice[name]
            newest = np.searchsorted(times, start[rows], side="right") - 1
            version[rows] = np.where(newest >= 0, versions[np.maximum(newest, 0)], -1)
    traits["algorithm_version"] = Trait(facts.versions, version)
    last = int(months.max(initial=0)) + 1
    traits["wear_month"] = Trait([str(month + 1) for month in range(last)], np.maximum(months, 0))
    traits["alarm"] = Trait([WITHOUT_ALARM, WITH_ALARM], alarmed.astype(np.int32))
    return traits


def alarm_on_dose(log: DoseLog) -> Mask:
    """Doses that carry an alarm themselves or were stopped by a fault."""
    return log.events["alarm"].is_not_null().to_numpy() | among(log.events["stop_reason"], STOPPED_BY_FAULT)


def _position(names: list[str], name: str | None) -> int:
    return names.index(name) if name in names else len(names)


def _looked_up(names: list[str], number: Int32, known: Mapping[str, str]) -> Trait:
    """`known` of each name, for rows that hold the position of their name (-1: the last, "")."""
    values = sorted({known[name] for name in names if name in known})
    place = {value: i for i, value in enumerate(values)}
    of_name = np.array([place[known[name]] if name in known else -1 for name in names], dtype=np.int32)
    return Trait(values, of_name[number])


def _first_stated(first: Trait, second: Trait) -> Trait:
    """The first trait's value where it has one, else the second's."""
    values = sorted({*first.values, *second.values})
    place = {value: i for i, value in enumerate(values)}
    to_common = [
        np.array([*(place[value] for value in trait.values), -1], dtype=np.int32)[trait.number]
        for trait in (first, second)
    ]
    return Trait(values, np.where(to_common[0] >= 0, to_common[0], to_common[1]))


def _subject_bounds(subject: Int32) -> list[tuple[int, int, int]]:
    """(subject, first row, row after the last) of each run."""
    if not subject.size:
        return []
    starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]])
    ends = np.r_[starts[1:], subject.size]
    return list(zip(subject[starts].tolist(), starts.tolist(), ends.tolist(), strict=True))


def rows_in_log(matched: pl.DataFrame, log: DoseLog) -> npt.NDArray[np.int64]:
    """Row of the log of each matched dose, found by source file, line and part."""
    files = sorted({*categories(matched["source_id"]), *categories(log.events["source_id"])})
    place = {name: i for i, name in enumerate(files)}
    found: list[tuple[Int64, Int64, Int64]] = []
    for rows in (matched, log.events):
        source = np.array([*(place[name] for name in categories(rows["source_id"])), 0], dtype=np.int64)
        line, part = (rows[name].cast(pl.Int64).fill_null(0).to_numpy() for name in ("line", "part"))
        found.append((source[codes(rows["source_id"])], line, part))
    lines, parts = (1 + max(int(one[i].max(initial=0)) for one in found) for i in (1, 2))
    wanted, have = ((source * lines + line) * parts + part for source, line, part in found)
    if wanted.size == have.size and bool((wanted == have).all()):
        return np.arange(wanted.size)
    order = np.argsort(have, kind="stable")
    return np.asarray(order[np.minimum(np.searchsorted(have, wanted, sorter=order), have.size - 1)])
