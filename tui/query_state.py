"""Queries as they stand now: the release with everything the ledger has got since, marked as pending."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from store.ledger import Entry
from store.queries import RAISE, Due, Query, fold_queries, history_of, raise_entry, step_entry
from tui.roles import require_role

if TYPE_CHECKING:
    from store.ledger_chain import Head, LedgerRow
    from store.study import Study
    from tui.reading import Reader

_COLUMNS = (
    "query_id, check_id, priority, subject_id, record, field, text, state, opened_utc, opened_by, due_date, answer, "
    "answered_by, answered_utc, closed_by, closed_utc, reason"
)


@dataclass(frozen=True)
class QueryState:
    """Queries by id, and which of them have steps newer than the release."""

    queries: dict[str, Query]
    pending: frozenset[str]
    found: dict[str, str | None]
    """What checks found, by query; a blinded release withholds it."""

    def question(self, query: Query) -> str:
        """The question after what its check found, as the app's lists have it (store.checks.QUESTION_SQL)."""
        found = self.found.get(query.query_id)
        return f"{found}: {query.text}" if found else query.text

    def query(self, query_id: str) -> Query:
        """Raises UsageProblem for an unknown one."""
        from store.errors import UsageProblem

        found = self.queries.get(query_id.upper()) or self.queries.get(query_id)
        if found is None:
            raise UsageProblem(f"There is no query {query_id}.", remedy="dosetrail queries lists them.")
        return found


def read_queries(study: Study, reader: Reader, upto: int | None = None) -> QueryState:
    """The queries of an open release and of the ledger rows after it, to row `upto` (None: to its end)."""
    stored = [Query(*row) for row in reader.rows(f"SELECT {_COLUMNS} FROM query")]
    still = dict(reader.rows("SELECT finding_id, detail FROM finding"))
    found = [_untouched(query) for query in stored if query.query_id in still]
    now = fold_queries(study.ledger.read(upto=upto), found, _due(stored))
    before = {query.query_id: query for query in stored}
    pending = frozenset(query.query_id for query in now if before.get(query.query_id) != query)
    return QueryState({query.query_id: query for query in now}, pending, still)


def changed_findings(study: Study, reader: Reader) -> tuple[int | None, frozenset[str], frozenset[str]]:
    """Against the release before: its number, the findings that are new since, and those that are gone.

    None and nothing where no release before is kept.
    """
    from store.errors import DosetrailError
    from store.facts import read_releases
    from tui.reading import open_release

    numbers = [release.number for release in read_releases(study.ledger.read())]
    earlier = [number for number in numbers if number < reader.facts.release]
    if not earlier:
        return None, frozenset(), frozenset()
    try:
        with open_release(study, as_of=earlier[-1]) as past:
            before = {name for (name,) in past.rows("SELECT finding_id FROM finding")}
    except DosetrailError:
        return None, frozenset(), frozenset()
    now = {name for (name,) in reader.rows("SELECT finding_id FROM finding")}
    return earlier[-1], frozenset(now - before), frozenset(before - now)


def _untouched(query: Query) -> Query:
    """The query of a check as the check raised it, before any step."""
    return replace(
        query, state="open", answer=None, answered_by=None, answered_utc=None, closed_by=None, closed_utc=None,
        reason=None,
    )  # fmt: skip


def _due(stored: list[Query]) -> Due:
    """The days of the protocol, as its own queries show them; a new one gets its day from the next release."""
    days = {
        query.priority: (query.due_date - query.opened_utc.date()).days
        for query in stored
        if query.due_date is not None
    }
    return Due(days.get("medium", days.get("low", 14)), days.get("high", 7))


def record_step(study: Study, action: str, query_id: str, text: str) -> tuple[Query, Head]:
    """Append a step on a query and return the query as it is then. Raises UsageProblem, NotAllowed."""
    from tui.reading import open_release

    with open_release(study) as reader:
        state = read_queries(study, reader)
        role = require_role(reader, action)
        query = state.query(query_id)

        def check_again() -> None:
            # Inside the ledger's transaction: of two people who act at once the second is told of the first.
            step_entry(action, read_queries(study, reader).query(query.query_id), text)

        entry = step_entry(action, query, text)
        head = study.ledger.append([entry], role=role, before_commit=check_again)
        return read_queries(study, reader).query(query.query_id), head


def record_query(study: Study, text: str, **about: Any) -> tuple[Query, Head]:
    """Append a new query. Raises UsageProblem for an unknown subject, NotAllowed."""
    from store.errors import UsageProblem
    from tui.reading import open_release

    with open_release(study) as reader:
        subject = about["subject_id"]
        if subject is not None and not reader.rows("SELECT 1 FROM subject WHERE subject_id = ?", [subject]):
            raise UsageProblem(f"There is no subject {subject} in the study.", remedy="dosetrail patients lists them.")
        role = require_role(reader, RAISE)
        entry: Entry = raise_entry(text, **about)
        head = study.ledger.append([entry], role=role)
        return read_queries(study, reader).query(f"Q-{head.seq:04d}"), head


def query_history(study: Study, query_id: str) -> list[LedgerRow]:
    """The ledger's entries about a query."""
    return history_of(query_id, study.ledger.read())
