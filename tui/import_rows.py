"""What the import screen shows, as queries: files with what became of their rows, and rows in quarantine."""

from __future__ import annotations

from tui.filters import Field
from tui.pages import Pages, Source

FILES = Source(
    """
    SELECT row_id, coalesce(file_name, source_id) AS file, format, dataset, rows_read AS read, rows_new AS new,
           rows_duplicate AS duplicate, rows_superseded AS superseded, rows_quarantined AS quarantined,
           first_event AS first, last_event AS last, source_id, 'source_file' AS kept_in
    FROM source_file
    """,
    (
        Field("file"),
        Field("format"),
        Field("dataset"),
        Field("read", "number"),
        Field("new", "number"),
        Field("duplicate", "number"),
        Field("superseded", "number"),
        Field("quarantined", "number"),
        Field("first", "time"),
        Field("last", "time"),
        Field("source_id", word=False),
        Field("kept_in", word=False, searched=False),
    ),
    stored=True,
    key=("source_id",),
)

QUARANTINE = Source(
    """
    SELECT q.row_id, replace(q.reason::VARCHAR, '_', ' ') AS reason, q.field, q.value, q.subject_id AS subject,
           coalesce(f.file_name, q.source_id) AS file, q.line, q.message, q.device_id AS device,
           q.source_id, 'quarantine' AS kept_in
    FROM quarantine q LEFT JOIN source_file f ON f.source_id = q.source_id
    """,
    (
        Field("reason"),
        Field("field"),
        Field("value"),
        Field("subject"),
        Field("file"),
        Field("line", "number"),
        Field("message", word=False),
        Field("device"),
        Field("source_id", word=False, searched=False),
        Field("kept_in", word=False, searched=False),
    ),
    stored=True,
    key=("source_id", "line", "reason", "field"),
)


def summarise_files(pages: Pages) -> str:
    """Rows read, and the four dispositions they add up to."""
    read, new, duplicate, superseded, quarantined = pages.query(
        "SELECT coalesce(sum(rows_read), 0), coalesce(sum(rows_new), 0), coalesce(sum(rows_duplicate), 0), "
        "coalesce(sum(rows_superseded), 0), coalesce(sum(rows_quarantined), 0) FROM source_file"
    )[0]
    return f"{read:,} rows = {new:,} new + {duplicate:,} dup + {superseded:,} old + {quarantined:,} quarantined"


def summarise_quarantine(pages: Pages) -> str:
    """The reasons, the most frequent first."""
    rows = pages.query(
        "SELECT replace(reason::VARCHAR, '_', ' '), count(*) FROM quarantine GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return ", ".join(f"{count:,} {reason}" for reason, count in rows)
