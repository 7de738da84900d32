"""What came before each adverse event: the last dose, its device, firmware and lot, alarms, and its dose error; and
event rates by exposure to dose error.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analysis.arms import StudyView
from analysis.dose_cells import MARGIN, Floats
from analysis.dose_counts import PART_ROWS
from analysis.dose_log import DAY_US, DoseLog, Int32, Int64, Mask, among, categories, codes, day_number, micros
from analysis.dose_pairs import ADMISSIBLE_BASES
from analysis.dose_traits import ALARM_EVENTS, alarm_on_dose
from analysis.rates import DAYS_PER_YEAR, event_rate
from analysis.result_rows import ResultRows
from analysis.teae import Event, times_at_risk

ALARM_DAYS = 7
"""Alarms are looked for in the onset's day and this many days before it."""

ERROR_DAYS = 2
"""A dose error exposes its own day and the next one."""

EVENT_DOSE_TYPES: dict[str, pl.DataType] = {
    "subject_id": pl.String(),
    "event_seq": pl.String(),
    "onset_date": pl.Date(),
    "onset_has_time": pl.Boolean(),
    "last_dose_at": pl.Datetime("us"),
    "hours_since_dose": pl.Float64(),
    "device_id": pl.String(),
    "device_class": pl.String(),
    "model": pl.String(),
    "firmware": pl.String(),
    "lot": pl.String(),
    "dose_error_pct": pl.Float64(),
    "dose_error_pair": pl.String(),
    "dose_with_alarm": pl.Boolean(),
    "alarms_before": pl.Int32(),
    "source_id": pl.String(),
    "line": pl.Int64(),
    "part": pl.Int16(),
}


@dataclass(frozen=True)
class _Log:
    """Given doses as arrays, in subject and time order, with the first row and the row after the last of subjects."""

    log: DoseLog
    """All entries: a copy of the given ones alone would be the largest thing an analysis holds."""
    rows: Int64
    """Row in ``log`` of each given dose."""
    start: Int64
    error: Floats
    pair: Int32
    bounds: dict[str, tuple[int, int]]


def derive_event_doses(view: StudyView) -> pl.DataFrame:
    """Table event_dose: one row per adverse event of a subject, by subject and sequence.

    The last dose is the newest given one at or before the onset; where the onset is a date only, doses of that day
    count as before it. An onset before the first dose, or not known, has no dose. Dose error: percent error of
    delivered against programmed, else against the amount the record itself states as planned; NULL where neither can
    be compared. Alarms: of the subject's devices and on doses, in the onset's day and the seven days before.
    """
    events = view.frames("adverse_event_derived", ["subject_id", "event_seq", "start_date"])
    stated = view.frames("adverse_event", ["subject_id", "event_seq", "start_text"])
    events = events.join(stated, on=["subject_id", "event_seq"], how="left").sort("subject_id", "event_seq")
    if not events.height:
        return pl.DataFrame(schema=EVENT_DOSE_TYPES)
    doses = _log(view)
    alarms = _alarms(view, doses)
    onsets = [
        _onset(row["start_date"], row["start_text"]) if row["subject_id"] in view.people else None
        for row in events.iter_rows(named=True)
    ]
    last = [_last_dose(doses, subject, onset) for subject, onset in zip(events["subject_id"], onsets, strict=True)]
    devices = {
        row["device_id"]: row
        for row in view.frames("device", ["device_id", "device_class", "model", "firmware", "lot"])
        .with_columns(pl.col("device_class").cast(pl.String))
        .iter_rows(named=True)
    }
    facts = {row: _facts(view, doses, devices, row) for row in last if row is not None}
    rows = []
    for (subject, seq), onset, row in zip(
        events.select("subject_id", "event_seq").iter_rows(), onsets, last, strict=True
    ):
        line: dict[str, Any] = dict.fromkeys(EVENT_DOSE_TYPES)
        line |= {"subject_id": subject, "event_seq": seq}
        if onset is not None:
            at, timed = onset
            line["onset_date"], line["onset_has_time"] = at.date(), timed
            line["alarms_before"] = _count(alarms.get(subject), at, timed)
            if row is not None:
                line |= facts[row]
                if timed:
                    line["hours_since_dose"] = (at - line["last_dose_at"]) / dt.timedelta(hours=1)
        rows.append(line)
    return pl.DataFrame(rows, schema=EVENT_DOSE_TYPES, orient="row")


def _onset(day: dt.date | None, text: str | None) -> tuple[dt.datetime, bool] | None:
    """Onset and whether its time of day is recorded."""
    if day is None:
        return None
    if text is not None and len(text) >= 16 and text.startswith(day.isoformat()):
        try:
            return dt.datetime.fromisoformat(text.strip()[:19]).replace(tzinfo=None), True
        except ValueError:
            pass
    return dt.datetime.combine(day, dt.time()), False


def _us(at: dt.datetime) -> int:
    return (at - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)


def _log(view: StudyView) -> _Log:
    log = view.log
    rows = np.flatnonzero(log.given)
    subject = codes(log.events["subject_id"])[rows]
    names = categories(log.events["subject_id"])
    starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]]) if subject.size else np.zeros(0, np.int64)
    ends = np.r_[starts[1:], subject.size][: starts.size]
    bounds = {names[subject[a]]: (int(a), int(b)) for a, b in zip(starts, ends, strict=True)}
    # In parts, so that the amounts are held as floats of one part at a time; an empty log is one empty part.
    parts = [dose_errors(log.part(slice(at, at + PART_ROWS))) for at in range(0, max(log.height, 1), PART_ROWS)]
    error, pair = (np.concatenate(values)[rows] for values in zip(*parts, strict=True))
    return _Log(log, rows, micros(log.events["start_local"])[rows], error, pair, bounds)


def dose_errors(log: DoseLog) -> tuple[Floats, Int32]:
    """Percent error of each dose of the log (NaN none), and against what: 0 programmed, 1 planned on the record."""
    basis = log.events["delivered_basis"]
    usable = (among(basis, ADMISSIBLE_BASES) | basis.is_null().to_numpy()) & ~log.cancelled
    delivered, programmed, planned = (
        log.events[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for name in ("delivered_amount", "programmed_amount", "planned_amount")
    )
    against = np.where(np.isnan(programmed), planned, programmed)
    known: Mask = usable & ~np.isnan(delivered) & ~np.isnan(against) & (np.nan_to_num(against) != 0)
    error = np.full(delivered.size, np.nan)
    np.divide(100.0 * (delivered - against), against, out=error, where=known)
    return error, np.isnan(programmed).astype(np.int32)


def _last_dose(doses: _Log, subject: str, onset: tuple[dt.datetime, bool] | None) -> int | None:
    if onset is None or subject not in doses.bounds:
        return None
    begin, end = doses.bounds[subject]
    at = _us(onset[0]) + (0 if onset[1] else DAY_US - 1)
    found = begin + int(np.searchsorted(doses.start[begin:end], at, side="right")) - 1
    return found if found >= begin else None


def _facts(view: StudyView, doses: _Log, devices: dict[str, dict[str, Any]], row: int) -> dict[str, Any]:
    """Columns of one dose; firmware and lot as the dose states them, else its device."""
    at = int(doses.rows[row])
    one = doses.log.part(slice(at, at + 1))
    events = one.events
    error = float(doses.error[row])
    device = devices.get(_text(events, "device_id") or "", {})
    of_subject = view.people[str(_text(events, "subject_id"))]["device_class"]
    return {
        "last_dose_at": events["start_local"].item(),
        "device_id": _text(events, "device_id"),
        "device_class": device.get("device_class") or of_subject,
        "model": device.get("model"),
        "firmware": _text(events, "firmware") or device.get("firmware"),
        "lot": _text(events, "lot") or device.get("lot"),
        "dose_error_pct": None if np.isnan(error) else error,
        "dose_error_pair": None if np.isnan(error) else ("delivered/programmed", "delivered/planned")[doses.pair[row]],
        "dose_with_alarm": bool(alarm_on_dose(one)[0]),
        "source_id": _text(events, "source_id"),
        "line": events["line"].item(),
        "part": events["part"].item(),
    }


def _text(events: pl.DataFrame, name: str) -> str | None:
    value = events[name].item()
    return None if value is None else str(value)


def _alarms(view: StudyView, doses: _Log) -> dict[str, Int64]:
    """Times of alarms of each subject, those of devices and those on doses, in order, each moment once."""
    told = view.frames("device_event", ["subject_id", "event", "start_local"]).filter(
        pl.col("event").str.to_lowercase().is_in(ALARM_EVENTS) & pl.col("subject_id").is_not_null()
    )
    alarmed = np.flatnonzero(doses.log.given & alarm_on_dose(doses.log))
    own = doses.log.events.select("subject_id", "start_local")[alarmed].with_columns(
        pl.col("subject_id").cast(pl.String)
    )
    both = pl.concat([told.select("subject_id", pl.col("start_local").cast(pl.Datetime("us"))),
                      own.with_columns(pl.col("start_local").cast(pl.Datetime("us")))])  # fmt: skip
    both = both.unique().sort("subject_id", "start_local")
    return {
        str(subject): micros(rows["start_local"])
        for (subject,), rows in both.group_by("subject_id", maintain_order=True)
    }


def _count(times: Int64 | None, at: dt.datetime, timed: bool) -> int:
    if times is None:
        return 0
    last = _us(at) + (0 if timed else DAY_US - 1)
    first = _us(dt.datetime.combine(at.date(), dt.time())) - ALARM_DAYS * DAY_US
    return int(np.searchsorted(times, last, side="right") - np.searchsorted(times, first))


def compute_event_doses(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Add to ``out``: rates of treatment-emergent events in days exposed to a dose error and in others.

    A day is "beyond" when a dose of it or of the day before was off by more than the protocol's limit, else "within"
    when one of them could be compared, else "no comparable dose". Time at risk falls apart into the three; the robust
    interval allows for events that cluster in subjects.
    """
    at_risk = times_at_risk(view, members)
    if not at_risk:
        return
    doses = _log(view)
    if bool(np.isnan(doses.error).all()):
        return
    limit = view.protocol.accuracy.conformity_pct
    words = (f"within {limit:g} %", f"beyond {limit:g} %", "no comparable dose")
    exposed = {person: _exposed(doses, person, risk.start, risk.days, limit) for person, risk in at_risk.items()}
    of_day: dict[str, list[int]] = {}
    for event in events:
        if event.subject_id in at_risk:
            day = at_risk[event.subject_id].day_of(event)
            if day is not None:
                of_day.setdefault(event.subject_id, []).append(int(exposed[event.subject_id][day - 1]))
    for arm, people in view.layout.groups(members):
        here = [person for person in people if person in at_risk]
        for kind, word in enumerate(words) if here else ():
            years = [float((exposed[person] == kind).sum()) / DAYS_PER_YEAR for person in here]
            counts = [of_day.get(person, []).count(kind) for person in here]
            found = event_rate(years, counts)
            named = out.within(
                arm=arm, by="dose error", by_value=word, unit="per 100 patient-years", numerator=found.events,
                denominator=found.time, subjects=sum(year > 0 for year in years),
            )  # fmt: skip
            rule = (
                f"events that start on such days / years of such days; a dose error counts for {ERROR_DAYS} days; "
                "delivered against programmed, else against the plan on the record"
            )
            named.interval("eaer", "rate", found.poisson, method=f"{rule}; Garwood")
            named.interval("eaer", "rate_robust", found.robust, method=f"{rule}; robust to clustering in subjects")


def _exposed(doses: _Log, person: str, first: dt.date, days: int, limit: float) -> Int32:
    """Kind of each day at risk: 0 within, 1 beyond, 2 no comparable dose."""
    kinds = np.full(days, 2, dtype=np.int32)
    begin, end = doses.bounds.get(person, (0, 0))
    error = doses.error[begin:end]
    day = doses.start[begin:end] // DAY_US - day_number(first)
    for kind, chosen in ((0, ~np.isnan(error)), (1, np.abs(np.nan_to_num(error)) > limit + MARGIN)):
        for later in range(ERROR_DAYS):
            place = day[chosen] + later
            kinds[place[(place >= 0) & (place < days)]] = kind
    return kinds
