"""The worklist, as the command line and the app show it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.study import Study
    from tui.reading import Reader


def read_worklist(study: Study, reader: Reader, now_utc: dt.datetime, upto: int | None = None) -> list[dict[str, Any]]:
    """Rows of the macro ``worklist`` at a moment, without what was decided on since the release and with the queries
    raised since (to row `upto` of the ledger; None: to its end); the most urgent first."""
    from tui.deviation_state import read_deviations_now
    from tui.query_state import read_queries

    rows = reader.records("FROM release.worklist(CAST(? AS TIMESTAMP))", [now_utc.isoformat(sep=" ")])
    decided = {row.deviation_id for row in read_deviations_now(study, reader, upto)[0] if row.state != "proposed"}
    rows = [row for row in rows if row["what"] != "deviation" or row["ref"] not in decided]
    state = read_queries(study, reader, upto)
    if not state.pending:
        return rows
    stale = state.pending
    kept = [row for row in rows if row["what"] not in ("query", "answer") or row["ref"] not in stale]
    today = now_utc.date()
    for query_id in sorted(stale):
        query = state.queries[query_id]
        if query.state not in ("open", "answered"):
            continue
        left = (query.due_date - today).days if query.due_date else None
        answered = f"answered: {query.answer}" if query.state == "answered" else query.text
        kept.append(
            {
                "what": "answer" if query.state == "answered" else "query",
                "ref": query.query_id,
                "subject_id": query.subject_id,
                "site_id": _site(reader, query.subject_id),
                "problem": f"{answered} (pending)",
                "due": query.due_date,
                "overdue": left is not None and left < 0,
                "days_left": left,
                "priority": query.priority,
                "rows": 1,
            }
        )
    ranks = {"high": 1, "medium": 2}
    return sorted(
        kept,
        key=lambda row: (
            not row["overdue"], row["due"] is None, row["due"] or dt.date.max, ranks.get(row["priority"], 3),
            row["what"], row["subject_id"] or "", row["ref"],
        ),
    )  # fmt: skip


def _site(reader: Reader, subject: str | None) -> str | None:
    found = reader.rows("SELECT site_id FROM subject WHERE subject_id = ?", [subject])
    return found[0][0] if found else None
