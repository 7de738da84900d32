"""When a subject's dosing was monitored, when data are dark, and when the subject was off study.

A device keeps its log, so days between two uploads are monitored even when nothing was dosed. What follows the last
data of an ongoing subject is dark once the silence exceeds the upload interval the protocol states for the device
class plus its tolerance; without a stated interval nothing tells silence from doses not taken, and the days count
as monitored.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from analysis.dose_log import Int64, day_number
from analysis.frames import Frames
from store.protocol import Protocol

MONITORING_TYPES = {
    "subject_id": pl.String(),
    "start_date": pl.Date(),
    "end_date": pl.Date(),
    "state": pl.String(),
    "basis": pl.String(),
}

ONE_DAY = dt.timedelta(days=1)


def derive_monitoring(frames: Frames, protocol: Protocol, course: pl.DataFrame) -> pl.DataFrame:
    """Table monitoring_interval: monitored, dark and off-study days of every treated subject.

    ``course`` as from derive_course. Days are whole and inclusive; intervals of a subject do not overlap.
    """
    last_seen = _last_data(frames)
    study_through: dt.date | None = course["followed_to"].max()  # type: ignore[assignment]
    rows: list[dict[str, Any]] = []
    for person in course.filter(pl.col("first_dose").is_not_null() & pl.col("followed_to").is_not_null()).to_dicts():
        first, until = person["first_dose"], person["followed_to"]
        subject_id: str = person["subject_id"]
        silence = _allowed_silence(protocol, person["device_class"])
        seen = max(filter(None, (person["last_dose"], last_seen.get(subject_id))), default=first)
        dark = silence is not None and person["recorded_end"] is None and until - seen > silence
        monitored_to = seen if dark else until
        if monitored_to >= first:
            rows.append(_row(subject_id, first, monitored_to, "monitored", _monitored_basis(person, dark)))
        if dark:
            hours = silence.total_seconds() / 3600 if silence is not None else 0
            basis = f"no data for more than {hours:g} h (upload interval and tolerance of the device class)"
            rows.append(_row(subject_id, max(first, seen + ONE_DAY), until, "dark", basis))
        end = person["recorded_end"]
        if end is not None and study_through is not None and end < study_through and end >= first:
            rows.append(_row(subject_id, end + ONE_DAY, study_through, "off_study", f"after {person['end_basis']}"))
    return pl.DataFrame(rows, schema=MONITORING_TYPES, orient="row").sort("subject_id", "start_date")


def _row(subject_id: str, first: dt.date, last: dt.date, state: str, basis: str) -> dict[str, Any]:
    return {"subject_id": subject_id, "start_date": first, "end_date": last, "state": state, "basis": basis}


def _monitored_basis(person: dict[str, Any], dark: bool) -> str:
    return f"first dose to {'last data' if dark else person['followed_basis']}"


def _allowed_silence(protocol: Protocol, device_class: str | None) -> dt.timedelta | None:
    """Upload interval plus tolerance, the longest of the subject's device classes; None when not stated."""
    stated = [
        protocol.silence.upload_h[name]
        for name in (device_class or "").split(" + ")
        if name in protocol.silence.upload_h
    ]
    return dt.timedelta(hours=max(stated) + protocol.silence.tolerance_h) if stated else None


def _last_data(frames: Frames) -> dict[str, dt.date]:
    """Last day with any data of a subject's device besides dose events."""
    parts = [
        frames("device_event", ["subject_id", "start_local"]).rename({"start_local": "at"}),
        frames("observation", ["subject_id", "observed_at"]).rename({"observed_at": "at"}),
        frames("wear_interval", ["subject_id", "start_local"]).rename({"start_local": "at"}),
    ]
    last = pl.concat(parts).drop_nulls().group_by("subject_id").agg(pl.col("at").max().dt.date()).sort("subject_id")
    return dict(last.iter_rows())


def monitored_days(intervals: pl.DataFrame, numbers: dict[str, int]) -> tuple[Int64, Int64]:
    """First and last monitored day (days since 1970) by subject number; an empty range where none was monitored."""
    first = np.full(len(numbers), 1, dtype=np.int64)
    last = np.zeros(len(numbers), dtype=np.int64)
    for row in intervals.filter(pl.col("state") == "monitored").iter_rows(named=True):
        number = numbers[row["subject_id"]]
        first[number], last[number] = day_number(row["start_date"]), day_number(row["end_date"])
    return first, last
