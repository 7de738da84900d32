"""What the places worklist, queries and quarantine show, as queries; and what was done since the release."""

from __future__ import annotations

import datetime as dt

from store.checks import QUESTION_SQL
from store.row_decisions import PROBLEMS_SQL
from tui.filters import Field
from tui.pages import Pages, Source

PENDING_COLUMNS = (
    "query_id", "subject_id", "check_id", "priority", "text", "state", "due_date", "answer", "answered_by", "reason",
)  # fmt: skip

CREATE_PENDING = (
    "CREATE OR REPLACE TABLE pending_query (query_id VARCHAR, subject_id VARCHAR, check_id VARCHAR, priority VARCHAR, "
    "text VARCHAR, state VARCHAR, due_date DATE, answer VARCHAR, answered_by VARCHAR, reason VARCHAR)"
)
"""Queries with steps newer than the release, as they stand now."""

CREATE_DECIDED = "CREATE OR REPLACE TABLE decided_deviation (deviation_id VARCHAR)"
"""Proposed deviations that somebody decided on since the release."""

NOW = f"""(
    SELECT {", ".join(PENDING_COLUMNS).replace("state", "state::VARCHAR AS state")}, false AS pending FROM query
    WHERE query_id NOT IN (SELECT query_id FROM pending_query)
    UNION ALL SELECT {", ".join(PENDING_COLUMNS)}, true FROM pending_query
)"""


def queries_source(today: dt.date) -> Source:
    """Queries, the open ones first and the most urgent of them first; $today is the day on the clock."""
    return Source(
        f"""
        SELECT query_id AS query, subject_id AS subject, state || CASE WHEN pending THEN '*' ELSE '' END AS state,
            due_date AS due, CASE WHEN state = 'open' THEN date_diff('day', CAST($today AS DATE), due_date) END AS left,
            priority, {QUESTION_SQL} AS question, answer, coalesce(check_id, 'person') AS asked_by, 'query' AS kept_in
        FROM {NOW}
        ORDER BY state IN ('closed', 'cancelled'), state <> 'open', due_date NULLS LAST, query_id
        """,
        (
            Field("query"),
            Field("subject"),
            Field("state"),
            Field("due", "time"),
            Field("left", "number"),
            Field("priority"),
            Field("question"),
            Field("answer"),
            Field("asked_by"),
            Field("kept_in", word=False, searched=False),
        ),
        (("today", today.isoformat()),),
        key=("query",),
    )


def worklist_source(now_utc: dt.datetime) -> Source:
    """The worklist at a moment in UTC, with queries as they stand now."""
    return Source(
        f"""
        WITH stored AS (
            SELECT * FROM release.worklist(CAST($now AS TIMESTAMP))
            WHERE NOT (what IN ('query', 'answer') AND ref IN (SELECT query_id FROM pending_query))
                AND NOT (what = 'deviation' AND ref IN (SELECT deviation_id FROM decided_deviation))
        ), items AS (
            SELECT * FROM stored
            UNION ALL
            SELECT CASE WHEN p.state = 'open' THEN 'query' ELSE 'answer' END, p.query_id, p.subject_id, s.site_id,
                CASE WHEN p.state = 'open' THEN {QUESTION_SQL} ELSE 'answered: ' || p.answer END, p.due_date,
                coalesce(p.due_date < CAST($now AS DATE), false), date_diff('day', CAST($now AS DATE), p.due_date),
                p.priority, 1
            FROM pending_query p LEFT JOIN subject s USING (subject_id) WHERE p.state IN ('open', 'answered')
        )
        SELECT CASE WHEN overdue THEN '!' ELSE '' END AS late, what, ref, subject_id AS subject, problem, due,
            days_left AS left, site_id AS site, priority,
            CASE what WHEN 'query' THEN 'query' WHEN 'answer' THEN 'query' WHEN 'report' THEN 'safety_report'
                WHEN 'silent' THEN 'device' WHEN 'return' THEN 'device' WHEN 'deviation' THEN 'deviation_recorded'
                WHEN 'quarantine' THEN 'quarantine' ELSE 'subject' END AS kept_in
        FROM items
        ORDER BY overdue DESC, due NULLS LAST,
            CASE priority WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END, what, subject_id, ref
        """,
        (
            Field("late", word=False, searched=False),
            Field("what"),
            Field("ref"),
            Field("subject"),
            Field("problem"),
            Field("due", "time"),
            Field("left", "number"),
            Field("site"),
            Field("priority"),
            Field("kept_in", word=False, searched=False),
        ),
        (("now", now_utc.isoformat(sep=" ")),),
        key=("what", "ref", "subject"),
    )


PROBLEM_COLUMNS = ("problem_id", "state", "remedy", "corrects", "proposal")

CREATE_PROBLEMS = (
    "CREATE OR REPLACE TABLE problem_now (problem_id VARCHAR, state VARCHAR, remedy VARCHAR, corrects VARCHAR, "
    "proposal VARCHAR)"
)
"""What is decided and proposed about the problems in quarantine, decisions newer than the release included."""

PROBLEMS = Source(
    f"""
    SELECT p.rows, coalesce(n.state, p.decision, 'waits') AS state,
        replace(split_part(p.kind, '/', 1), '_', ' ') AS problem, coalesce(p.about, p.field) AS about,
        coalesce(n.remedy, p.message) AS message,
        CASE WHEN len(p.files) = 1 THEN p.files[1] ELSE len(p.files) || ' files' END AS file, p.first_line AS line,
        p.source_id, p.problem_id AS id, n.corrects, n.proposal, 'quarantine' AS kept_in
    FROM ({PROBLEMS_SQL}) p LEFT JOIN problem_now n USING (problem_id)
    ORDER BY coalesce(n.state, p.decision, 'waits') <> 'waits', p.rows DESC, problem, about, id
    """,
    (
        Field("rows", "number"),
        Field("state"),
        Field("problem"),
        Field("about"),
        Field("message"),
        Field("file"),
        Field("line", "number"),
        Field("source_id", word=False, searched=False),
        Field("id"),
        Field("corrects", word=False, searched=False),
        Field("proposal", word=False, searched=False),
        Field("kept_in", word=False, searched=False),
    ),
    key=("id",),
)


def summarise_worklist(pages: Pages, worklist: Source) -> str:
    """How many items of each kind there are; counted in the list that is shown, not by another run of its query."""
    table = pages.list_table(worklist)
    rows = pages.query(f"SELECT what, count(*), count(*) FILTER (late = '!') FROM {table} GROUP BY what ORDER BY what")
    late = sum(count for _, _, count in rows)
    kinds = ", ".join(f"{count:,} {what}" for what, count, _ in rows)
    return f"{late:,} overdue; {kinds}" if rows else "nothing waits"
