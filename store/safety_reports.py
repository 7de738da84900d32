"""Reporting clocks of serious events: rules of the protocol, awareness and submission recorded by people.

The rules are the trial's; none is built in. Without a recorded awareness the clock starts when the event was first
received, and says that this is assumed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.protocol_desk import SafetyRule
from store.undoing import standing

AWARE, SUBMIT = "record_awareness", "submit_report"
RECORDED, ASSUMED = "recorded", "first receipt (assumed)"


def due_at(rule: SafetyRule, aware: dt.datetime) -> dt.datetime:
    """When a report is due. Calendar and working days end at the end of the last day (UTC); working days leave out
    Saturdays, Sundays and the rule's holidays, and the day of awareness is day 0.

    >>> rule = SafetyRule(id="r", send_to="x", working_days=2)
    >>> due_at(rule, dt.datetime(2026, 3, 6, 9))  # a Friday
    datetime.datetime(2026, 3, 10, 23, 59, 59)
    """
    if rule.hours is not None:
        return aware + dt.timedelta(hours=rule.hours)
    day, left = aware.date(), rule.calendar_days or rule.working_days or 0
    while left:
        day += dt.timedelta(days=1)
        if rule.working_days is None or (day.weekday() < 5 and day not in rule.holidays):
            left -= 1
    return dt.datetime.combine(day, dt.time(23, 59, 59))


def report_record(subject_id: str, event_seq: str, rule_id: str | None = None) -> str:
    """How the ledger names an event, or its report under one rule."""
    return f"adverse_event/{subject_id}/{event_seq}" + (f"/{rule_id}" if rule_id else "")


def awareness_entry(subject_id: str, event_seq: str, at_utc: dt.datetime, reason: str) -> Entry:
    return Entry(AWARE, report_record(subject_id, event_seq), new={"at_utc": at_utc.isoformat()}, reason=reason)


def submission_entry(subject_id: str, event_seq: str, rule_id: str, at_utc: dt.datetime, reason: str) -> Entry:
    record = report_record(subject_id, event_seq, rule_id)
    return Entry(SUBMIT, record, new={"at_utc": at_utc.isoformat()}, reason=reason)


def recorded_times(rows: Iterable[LedgerRow]) -> dict[tuple[str, str], tuple[dt.datetime, str]]:
    """(action, record) -> the moment recorded (the earliest that stands) and by whom."""
    found: dict[tuple[str, str], tuple[dt.datetime, str]] = {}
    for row in standing(rows, (AWARE, SUBMIT)):
        moment = dt.datetime.fromisoformat(row.new_value["at_utc"]), row.user
        key = row.action, row.record
        found[key] = min(found.get(key, moment), moment)
    return found
