"""Protocol deviations that people record, or confirm where a check proposed one; never the same as a query.

A deviation is a fact about the conduct of the trial: a category, an importance, who found it, and the populations it
excludes from. Those that files bring stand in table ``deviation``, these in ``deviation_recorded``. A confirmed one
stays when the data that led to it change; undoing its entry takes it back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

RECORD, CONFIRM, DISMISS = "record_deviation", "confirm_deviation", "dismiss_deviation"
DEVIATION_ACTIONS = (RECORD, CONFIRM, DISMISS)
IMPORTANCES = ("major", "minor")
EXCLUDABLE = ("per_protocol",)
"""Populations that deviations decide about; the others follow from doses and assignments."""


@dataclass(frozen=True)
class Deviation:
    """A deviation as it stands: a row of table deviation_recorded."""

    deviation_id: str
    subject_id: str
    term: str
    category: str | None
    importance: str
    start_date: dt.date | None
    excludes_from: str | None
    state: str
    """proposed (by a check), recorded (by a person), confirmed, dismissed"""
    found_by: str
    """User, or the check that proposed it."""
    record: str | None = None
    decided_by: str | None = None
    decided_utc: dt.datetime | None = None
    reason: str | None = None


def proposed_id(finding_id: str) -> str:
    """The deviation a finding proposes has the finding's own number."""
    return "D-" + finding_id.removeprefix("C-")


def read_deviations(rows: Iterable[LedgerRow]) -> list[Deviation]:
    """Deviations people recorded, confirmed or dismissed, by id."""
    found: dict[str, Deviation] = {}
    for row in standing(rows, DEVIATION_ACTIONS):
        value, at = row.new_value, dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row.utc_us)
        name = f"D-{row.seq:04d}" if row.action == RECORD else row.record.removeprefix("deviation/")
        found[name] = Deviation(
            deviation_id=name,
            subject_id=value["subject_id"],
            term=value["term"],
            category=value["category"],
            importance=value["importance"],
            start_date=dt.date.fromisoformat(value["start_date"]) if value["start_date"] else None,
            excludes_from=value["excludes_from"],
            state={RECORD: "recorded", CONFIRM: "confirmed", DISMISS: "dismissed"}[row.action],
            found_by=value["found_by"] or row.user,
            record=value["record"],
            decided_by=row.user,
            decided_utc=at,
            reason=row.reason,
        )
    return [found[name] for name in sorted(found)]


def deviation_entry(action: str, deviation: Deviation, reason: str) -> Entry:
    """The entry that records, confirms or dismisses a deviation.

    Raises ``UsageProblem`` without a reason, a term or a valid importance, for a population that deviations do not
    decide, or where the deviation is no proposal any more.
    """
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy="Write it in a few words; it stands in the audit trail.")
    if not deviation.term.strip():
        raise UsageProblem(
            "A deviation says what happened.", remedy='Write it: dosetrail deviation record SUBJECT "..."'
        )
    if deviation.importance not in IMPORTANCES:
        raise UsageProblem(f"{deviation.importance} is no importance.", remedy="Importances: major, minor.")
    if deviation.excludes_from is not None and deviation.excludes_from not in EXCLUDABLE:
        raise UsageProblem(
            f"No deviation excludes from {deviation.excludes_from}.",
            remedy=f"Deviations decide about: {', '.join(EXCLUDABLE)}.",
        )
    if action != RECORD and deviation.state != "proposed":
        raise UsageProblem(
            f"Deviation {deviation.deviation_id} is {deviation.state} by {deviation.decided_by} already.",
            remedy="dosetrail undo SEQ takes that entry back; dosetrail deviations shows it.",
        )
    value = {
        "subject_id": deviation.subject_id,
        "term": deviation.term.strip(),
        "category": deviation.category,
        "importance": deviation.importance,
        "start_date": deviation.start_date.isoformat() if deviation.start_date else None,
        "excludes_from": deviation.excludes_from,
        "record": deviation.record,
        "found_by": None if action == RECORD else deviation.found_by,
    }
    record = f"subject/{deviation.subject_id}" if action == RECORD else f"deviation/{deviation.deviation_id}"
    old = None if action == RECORD else deviation.state
    return Entry(action, record, old=old, new=value, reason=reason.strip())


def with_decisions(stored: Iterable[Deviation], rows: Iterable[LedgerRow]) -> list[Deviation]:
    """Deviations of a release as they stand after these ledger rows: proposals remain what nobody decided on."""
    now = {deviation.deviation_id: deviation for deviation in read_deviations(rows)}
    for deviation in stored:
        if deviation.deviation_id not in now and deviation.state in ("proposed", "confirmed", "dismissed"):
            if not deviation.deviation_id.removeprefix("D-").isdecimal():
                now[deviation.deviation_id] = replace(
                    deviation, state="proposed", decided_by=None, decided_utc=None, reason=None
                )
    return [now[name] for name in sorted(now)]
