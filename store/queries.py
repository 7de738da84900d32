"""Queries: what people and checks ask, what sites answer, who closes; folded from the ledger and the findings.

Every step is an entry of the ledger with a reason and can be undone by another one. The site answers, the data manager
closes. A check raises its query by finding something, and the query goes when the finding does; what a person closed
or waived stays so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

RAISE, ANSWER, CLOSE, REOPEN, WAIVE = "raise_query", "answer_query", "close_query", "reopen_query", "waive_query"
STEPS = (ANSWER, CLOSE, REOPEN, WAIVE)
QUERY_ACTIONS = (RAISE, *STEPS)

State = Literal["open", "answered", "closed", "cancelled"]
BY_DATA = "data"

_AFTER: dict[str, State] = {ANSWER: "answered", CLOSE: "closed", REOPEN: "open", WAIVE: "cancelled"}
_FROM: dict[str, tuple[State, ...]] = {
    ANSWER: ("open", "answered"),
    CLOSE: ("open", "answered"),
    REOPEN: ("answered", "closed", "cancelled"),
    WAIVE: ("open", "answered"),
}
_WORDS = {ANSWER: "answered", CLOSE: "closed", REOPEN: "reopened", WAIVE: "waived"}


@dataclass(frozen=True)
class Query:
    """A query as it stands; times are naive UTC."""

    query_id: str
    check_id: str | None
    priority: str
    subject_id: str | None
    record: str | None
    field: str | None
    text: str
    state: State
    opened_utc: dt.datetime
    opened_by: str
    due_date: dt.date | None
    answer: str | None = None
    answered_by: str | None = None
    answered_utc: dt.datetime | None = None
    closed_by: str | None = None
    closed_utc: dt.datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Due:
    """Days a query may wait, by priority."""

    days: int = 14
    high_days: int = 7

    def date(self, priority: str, opened: dt.datetime) -> dt.date:
        return opened.date() + dt.timedelta(days=self.high_days if priority == "high" else self.days)


def fold_queries(rows: Iterable[LedgerRow], found: Iterable[Query], due: Due) -> list[Query]:
    """Queries as of these ledger rows, by id. ``found``: the queries the checks raise on the data of the release."""
    kept = list(rows)
    queries = {query.query_id: query for query in found}
    stand = standing(kept, QUERY_ACTIONS)
    for row in stand:
        if row.action == RAISE:
            query = _raised(row, due)
            queries[query.query_id] = query
    gone: set[str] = set()
    for row in stand:
        if row.action in STEPS:
            name = row.record.removeprefix("query/")
            if name not in queries:
                queries[name] = _past(row, due)
                gone.add(name)
            queries[name] = _stepped(queries[name], row)
    for name in gone:
        # The data no longer hold what the check found.
        if queries[name].state in ("open", "answered"):
            queries[name] = replace(queries[name], state="closed", closed_by=BY_DATA)
    return [queries[name] for name in sorted(queries)]


def _raised(row: LedgerRow, due: Due) -> Query:
    value = row.new_value
    opened = _moment(row)
    return Query(
        query_id=f"Q-{row.seq:04d}",
        check_id=None,
        priority=value["priority"],
        subject_id=value["subject_id"],
        record=value["record"],
        field=value["field"],
        text=value["text"],
        state="open",
        opened_utc=opened,
        opened_by=row.user,
        due_date=due.date(value["priority"], opened),
    )


def _past(row: LedgerRow, due: Due) -> Query:
    """A query of a finding that is gone, as the first step on it recorded what it was about."""
    value = row.new_value
    return Query(
        query_id=row.record.removeprefix("query/"),
        check_id=value["check_id"],
        priority=value["priority"],
        subject_id=value["subject_id"],
        record=value["record"],
        field=value["field"],
        text=value["question"],
        state="open",
        opened_utc=dt.datetime.fromisoformat(value["opened_utc"]),
        opened_by=value["check_id"] or row.user,
        due_date=due.date(value["priority"], dt.datetime.fromisoformat(value["opened_utc"])),
    )


def _stepped(query: Query, row: LedgerRow) -> Query:
    state, when = _AFTER[row.action], _moment(row)
    stepped = replace(query, state=state, reason=row.reason)
    if row.action == ANSWER:
        return replace(stepped, answer=row.new_value["text"], answered_by=row.user, answered_utc=when)
    if row.action in (CLOSE, WAIVE):
        return replace(stepped, closed_by=row.user, closed_utc=when)
    return replace(stepped, closed_by=None, closed_utc=None)


def _moment(row: LedgerRow) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row.utc_us)


def raise_entry(
    text: str,
    *,
    subject_id: str | None,
    record: str | None = None,
    field: str | None = None,
    priority: str = "medium",
) -> Entry:
    """The entry of a new query; its id is ``Q-`` and the number of the entry. Raises ``UsageProblem``."""
    if not text.strip():
        raise UsageProblem("A query needs a question.", remedy='Write it: dosetrail query raise SUBJECT "..."')
    new = {
        "text": text.strip(),
        "subject_id": subject_id,
        "record": record,
        "field": field,
        "priority": priority,
    }
    return Entry(RAISE, f"subject/{subject_id}" if subject_id else "study", field=field, new=new)


def step_entry(action: str, query: Query, text: str) -> Entry:
    """The entry of a step on a query; ``text`` is the answer, else the reason.

    Raises ``UsageProblem`` where the query is in a state the step does not lead from, or the text is empty.
    """
    if not text.strip():
        what = "An answer" if action == ANSWER else "A reason"
        raise UsageProblem(f"{what} is needed.", remedy="Write it in a few words; it stands in the audit trail.")
    if query.state not in _FROM[action]:
        who = f" by {query.closed_by}" if query.closed_by else ""
        raise UsageProblem(
            f"Query {query.query_id} is {query.state}{who} and cannot be {_WORDS[action]}.",
            remedy=f"dosetrail query show {query.query_id} says what happened to it.",
        )
    about = {
        "check_id": query.check_id,
        "priority": query.priority,
        "subject_id": query.subject_id,
        "record": query.record,
        "field": query.field,
        "question": query.text,
        "opened_utc": query.opened_utc.isoformat(),
    }
    new = {**about, "text": text.strip()} if action == ANSWER else about
    reason = None if action == ANSWER else text.strip()
    return Entry(action, f"query/{query.query_id}", field=query.field, old=query.state, new=new, reason=reason)


def history_of(query_id: str, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Entries about one query, undone ones included."""
    raised = query_id.removeprefix("Q-")
    return [
        row
        for row in rows
        if row.record == f"query/{query_id}"
        or (row.action == RAISE and query_id.startswith("Q-") and raised.isdecimal() and row.seq == int(raised))
    ]
