"""A study as it stood on a day: tables without the events after a cut-off.

The cut-off is an event date in the site's zone, and an event on the day counts. It says what had happened, not
what was known: an event that happened before but was reported after the day counts. Recorded dates after the
cut-off (end of treatment, death) become NULL, so that everything derived from them is derived anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from analysis.frames import Frames
from store.protocol import Protocol


@dataclass(frozen=True)
class _Rule:
    """Columns a table's rule looks at, and the rule: frame and cut-off to frame."""

    needs: tuple[str, ...]
    apply: Callable[[pl.DataFrame, dt.date], pl.DataFrame]


def _until(column: str) -> Callable[[pl.DataFrame, dt.date], pl.DataFrame]:
    """Rows whose `column` (a date or local time) is not after the day; rows without it stay."""

    def apply(frame: pl.DataFrame, day: dt.date) -> pl.DataFrame:
        return frame.filter(pl.col(column).is_null() | (pl.col(column).cast(pl.Date) <= day))

    return apply


def _open_ended(start: str, end: str, *, clip: bool) -> Callable[[pl.DataFrame, dt.date], pl.DataFrame]:
    """Intervals begun by the day; an end after it becomes the day (`clip`) or open."""

    def apply(frame: pl.DataFrame, day: dt.date) -> pl.DataFrame:
        begun = _until(start)(frame, day)
        if end not in begun.columns:
            return begun
        later = pl.col(end).cast(pl.Date) > day
        kept = pl.lit(day) if clip else pl.lit(None)
        kind = begun.schema[end]
        return begun.with_columns(pl.when(later).then(kept.cast(kind)).otherwise(pl.col(end)).alias(end))

    return apply


_SUBJECT_DATES = (
    "consent_date",
    "enrolled_date",
    "reference_start",
    "reference_end",
    "first_treatment",
    "last_treatment",
    "participation_end",
    "death_date",
)


def _subject(frame: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    first_seen = pl.min_horizontal("consent_date", "enrolled_date", "reference_start", "first_treatment")
    frame = frame.filter(first_seen.is_null() | (first_seen <= day))
    allocated = pl.min_horizontal("enrolled_date", "reference_start", "first_treatment")
    not_yet = (allocated > day).fill_null(False)
    alive = (pl.col("death_date") > day).fill_null(False)
    changes = [
        pl.when(not_yet).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("arm_code", "actual_arm_code")
        if name in frame.columns
    ]
    if "died" in frame.columns:
        changes.append(pl.when(alive).then(None).otherwise(pl.col("died")).alias("died"))
    if "status" in frame.columns:
        # The status is that of the export; of an end that lay before the day it was the same, else dates tell.
        ended = pl.col("status").cast(pl.String).is_in(["completed", "discontinued", "died", "screen_failure"])
        by_then = pl.min_horizontal("participation_end", "death_date") <= day
        changes.append(pl.when((ended & by_then).fill_null(False)).then(pl.col("status")).alias("status"))
    frame = frame.with_columns(changes)
    return frame.with_columns(
        pl.when(pl.col(name) <= day).then(pl.col(name)).alias(name) for name in _SUBJECT_DATES if name in frame.columns
    )


def _partial(frame: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    """Events that can have started by the day: a partial start counts from its first possible day."""
    start = pl.col("start_text")
    length = start.str.len_chars()
    earliest = (
        pl.when(length >= 10)
        .then(start.str.slice(0, 10))
        .when(length >= 7)
        .then(start.str.slice(0, 7) + "-01")
        .when(length >= 4)
        .then(start.str.slice(0, 4) + "-01-01")
    )
    return frame.filter(earliest.is_null() | (earliest <= day.isoformat()))


_RULES: dict[str, _Rule] = {
    "subject": _Rule(
        (
            "consent_date",
            "enrolled_date",
            "reference_start",
            "first_treatment",
            "death_date",
            "participation_end",
        ),
        _subject,
    ),
    "subject_element": _Rule(("start_date",), _open_ended("start_date", "end_date", clip=False)),
    "dose_event": _Rule(("start_local",), _until("start_local")),
    "planned_dose_recorded": _Rule(("planned_at",), _until("planned_at")),
    "prescription": _Rule(("start_at",), _open_ended("start_at", "end_at", clip=False)),
    "exposure": _Rule(("start_date",), _open_ended("start_date", "end_date", clip=True)),
    "adverse_event": _Rule(("start_text",), _partial),
    "device_deficiency": _Rule(("start_text",), _partial),
    "finding_about": _Rule(("finding_date",), _until("finding_date")),
    "consent": _Rule(("signed_date",), _open_ended("signed_date", "withdrawn_date", clip=False)),
    "accountability": _Rule(("action_date",), _until("action_date")),
    "observation": _Rule(("observed_at",), _until("observed_at")),
    "recommendation": _Rule(("recommended_at",), _until("recommended_at")),
    "reservoir_fill": _Rule(("filled_at",), _until("filled_at")),
    "reference_measurement": _Rule(("measured_at",), _until("measured_at")),
    "control_total": _Rule(("total_date",), _until("total_date")),
    "disposition": _Rule(("disposition_date",), _until("disposition_date")),
    "deviation": _Rule(("start_date",), _until("start_date")),
    "deviation_recorded": _Rule(("start_date",), _until("start_date")),
    "visit": _Rule(("start_date",), _until("start_date")),
    "device_event": _Rule(("start_local",), _until("start_local")),
    "wear_interval": _Rule(("start_local",), _open_ended("start_local", "end_local", clip=False)),
    "device_assignment": _Rule(("start_date",), _open_ended("start_date", "end_date", clip=False)),
}


class CutFrames:
    """Frames of a study without the events after a day; derived tables pass through as they are."""

    def __init__(self, frames: Frames, day: dt.date) -> None:
        self._frames = frames
        self._day = day

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        rule = _RULES.get(table)
        if rule is None:
            return self._frames(table, columns)
        if columns is None:
            return rule.apply(self._frames(table), self._day)
        wanted = list(columns)
        extra = [name for name in rule.needs if name not in wanted]
        return rule.apply(self._frames(table, [*wanted, *extra]), self._day).select(wanted)


def effective_cut(protocol: Protocol, cutoff: dt.date | None) -> dt.date | None:
    """The cut-off asked for, else the protocol's data cut, else None: all data."""
    return cutoff if cutoff is not None else protocol.study.data_cut


def cut_frames(frames: Frames, protocol: Protocol, cutoff: dt.date | None) -> Frames:
    """`frames` without the events after the cut-off in force; unchanged when there is none."""
    day = effective_cut(protocol, cutoff)
    return frames if day is None else CutFrames(frames, day)
