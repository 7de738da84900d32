"""The worklist and the groups of the quarantine, as the command line and the app show them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.study import Study
    from tui.reading import Reader

QUARANTINE_GROUPS = """
    SELECT CAST(q.reason AS VARCHAR) AS reason,
        CASE WHEN q.reason = 'unknown_subject' THEN q.subject_id
            ELSE coalesce(q.device_id, q.subject_id, q.field) END AS about,
        coalesce(f.file_name, q.source_id) AS file_name, q.source_id, count(*) AS rows, min(q.line) AS first_line,
        max(q.line) AS last_line, any_value(q.message) AS message
    FROM quarantine q LEFT JOIN source_file f USING (source_id)
    GROUP BY q.reason, about, f.file_name, q.source_id ORDER BY rows DESC, reason, about, q.source_id
"""

_REMEDIES = {
    "unassigned_device": "dosetrail device assign {about} SUBJECT --from DATE --reason ...",
    "unknown_subject": "the enrolment of subject {about}",
    "unknown_device": "the device list with {about}",
    "impossible_time": "the clock change that set the device right, or a new export",
}


def remedy_of(group: dict[str, Any]) -> str:
    """What takes the rows of a group up."""
    return _REMEDIES.get(group["reason"], "a corrected export of the file").format(about=group["about"] or "?")


def read_worklist(study: Study, reader: Reader, now_utc: dt.datetime, upto: int | None = None) -> list[dict[str, Any]]:
    """Rows of the macro ``worklist`` at a moment, without queries that were answered or closed since the release and
    with those raised since (to row `upto` of the ledger; None: to its end); the most urgent first."""
    from tui.query_state import read_queries

    rows = reader.records("FROM release.worklist(CAST(? AS TIMESTAMP))", [now_utc.isoformat(sep=" ")])
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
