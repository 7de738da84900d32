"""Treatment-emergent adverse events as records, and each subject's time at risk."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from analysis.arms import StudyView

FATAL = "FATAL"


@dataclass(frozen=True)
class Event:
    """One treatment-emergent adverse event as tables count it."""

    subject_id: str
    event_seq: str
    soc: str
    term: str
    start: dt.date | None
    severity: str | None
    severity_rank: int | None
    serious: bool
    serious_by_outcome: bool
    """Recorded as serious, or fatal."""
    serious_by_criteria: bool
    """Recorded as serious, or fatal, life-threatening or with a stay in hospital."""
    related: bool | None
    fatal: bool
    action: str | None
    device_relation: str | None


def emergent_events(view: StudyView) -> list[Event]:
    """The treatment-emergent events by subject and sequence. Not recorded as serious counts as not serious."""
    recorded = view.frames(
        "adverse_event",
        [
            "subject_id", "event_seq", "severity", "serious", "outcome", "results_in_death", "hospitalisation",
            "life_threatening", "action_taken", "device_relation",
        ],
    )  # fmt: skip
    derived = view.frames(
        "adverse_event_derived",
        [
            "subject_id", "event_seq", "table_soc", "table_term", "start_date", "severity_rank", "related",
            "treatment_emergent",
        ],
    ).filter(pl.col("treatment_emergent"))  # fmt: skip
    rows = derived.join(recorded, on=["subject_id", "event_seq"]).sort("subject_id", "event_seq")
    events = []
    for row in rows.iter_rows(named=True):
        fatal = bool(row["results_in_death"]) or (row["outcome"] or "").upper() == FATAL
        serious = bool(row["serious"])
        events.append(
            Event(
                subject_id=row["subject_id"],
                event_seq=row["event_seq"],
                soc=row["table_soc"],
                term=row["table_term"],
                start=row["start_date"],
                severity=row["severity"],
                severity_rank=row["severity_rank"],
                serious=serious,
                serious_by_outcome=serious or fatal,
                serious_by_criteria=serious or fatal or bool(row["hospitalisation"] or row["life_threatening"]),
                related=row["related"],
                fatal=fatal,
                action=row["action_taken"],
                device_relation=row["device_relation"],
            )
        )
    return events


@dataclass(frozen=True)
class AtRisk:
    """A subject's days at risk: from the start of treatment to the end of observation, both counted."""

    start: dt.date
    end: dt.date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def day_of(self, event: Event) -> int | None:
        """Day of the event counted from 1; None outside the time at risk. Without a start it counts on day 1."""
        day = event.start or self.start
        return (day - self.start).days + 1 if self.start <= day <= self.end else None


def times_at_risk(view: StudyView, members: frozenset[str]) -> dict[str, AtRisk]:
    """Time at risk of each treated member: to the end of observation, or the window's end after the last dose.

    The end of observation is the recorded reference end (SDTM RFENDTC), else death or end of participation, else
    the disposition event, else the data cut; with a window, at most that many days after the last dose.
    """
    window = view.protocol.adverse_events.window_days
    found: dict[str, AtRisk] = {}
    for subject_id in sorted(members):
        person = view.people[subject_id]
        start, end = person["treatment_start"], person["observed_to"]
        if start is None:
            continue
        if window is not None and person["last_dose"] is not None:
            limit = person["last_dose"] + dt.timedelta(days=window)
            end = min(end, limit) if end is not None else limit
        found[subject_id] = AtRisk(start, max(start, end or start))
    return found
