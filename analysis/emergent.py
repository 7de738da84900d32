"""Adverse events with completed dates, treatment emergence and the term tables use."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from analysis.emergence import treatment_emergent
from analysis.frames import Frames
from analysis.partial_dates import ImputedDate, impute_end, impute_start, study_day
from store.protocol import Protocol

UNCODED = "UNCODED"
"""System organ class of events without dictionary codes; their term is the reported one."""

SEVERITY_RANKS = {"MILD": 1, "MODERATE": 2, "SEVERE": 3}

AE_TYPES = {
    "subject_id": pl.String(),
    "event_seq": pl.String(),
    "table_term": pl.String(),
    "table_soc": pl.String(),
    "start_date": pl.Date(),
    "start_imputed": pl.String(),
    "end_date": pl.Date(),
    "end_imputed": pl.String(),
    "treatment_emergent": pl.Boolean(),
    "related": pl.Boolean(),
    "study_day": pl.Int32(),
    "severity_rank": pl.Int32(),
}


def derive_adverse_events(frames: Frames, protocol: Protocol, course: pl.DataFrame) -> pl.DataFrame:
    """Table adverse_event_derived: one row per adverse event, by subject and sequence.

    A partial start becomes the first day it can be, raised to the start of treatment where its known parts and its
    end allow that; a partial end the last day, at most the day of death. What was completed is flagged. Emergence
    and dates follow analysis.emergence and analysis.partial_dates; the window after the last dose is the protocol's.
    ``course``: as from derive_course. An event of nobody in it is never treatment-emergent.
    """
    people = {row["subject_id"]: row for row in course.iter_rows(named=True)}
    events = frames(
        "adverse_event",
        ["subject_id", "event_seq", "term", "preferred_term", "soc", "severity", "causality", "start_text", "end_text"],
    )
    related = {value.strip().upper() for value in protocol.adverse_events.related}
    window = protocol.adverse_events.window_days
    rows = [_derived(event, people.get(event["subject_id"], {}), related, window) for event in events.to_dicts()]
    return pl.DataFrame(rows, schema=AE_TYPES, orient="row").sort("subject_id", "event_seq")


def _derived(event: dict[str, Any], person: dict[str, Any], related: set[str], window: int | None) -> dict[str, Any]:
    treated_from: dt.date | None = person.get("treatment_start")
    end = _readable(event["end_text"], lambda text: impute_end(text, [person.get("death_date")]))
    # An event that ended before treatment began before it, whatever its month.
    over = end.value is not None and treated_from is not None and end.value < treated_from
    start = _readable(event["start_text"], lambda text: impute_start(text, None if over else treated_from))
    emergent = treatment_emergent(start.value, end.value, treated_from, person.get("last_dose"), window)
    causality = event["causality"]
    known = start.value is not None and treated_from is not None
    return {
        "subject_id": event["subject_id"],
        "event_seq": event["event_seq"],
        "table_term": event["preferred_term"] or event["term"],
        "table_soc": event["soc"] or UNCODED,
        "start_date": start.value,
        "start_imputed": start.flag,
        "end_date": end.value,
        "end_imputed": end.flag,
        "treatment_emergent": emergent,
        "related": causality.strip().upper() in related if causality and related else None,
        "study_day": study_day(start.value, treated_from) if known else None,  # type: ignore[arg-type]
        "severity_rank": SEVERITY_RANKS.get((event["severity"] or "").upper()),
    }


def _readable(text: str | None, complete: Any) -> ImputedDate:
    """The completed date; a text that is no date (importers keep it as recorded) counts as not recorded."""
    try:
        found = complete(text)
    except ValueError:
        return ImputedDate(None, None)
    assert isinstance(found, ImputedDate)
    return found
