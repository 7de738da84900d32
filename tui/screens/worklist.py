"""Place 1: what needs me today, by time left. Place 3: queries. Place 4: rows in quarantine, by problem."""

from __future__ import annotations

import datetime as dt

from tui.cells import show_count, show_day
from tui.desk import Desk
from tui.desk_rows import PROBLEMS, queries_source, summarise_worklist, worklist_source
from tui.pages import Source
from tui.screens.desk_list import DeskList, load_pending, opened
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column

WORK_COLUMNS = (
    Column("late", "", 1),
    Column("what", "what", 10, letter="w"),
    Column("subject", "subject", 12, letter="s"),
    Column("problem", "problem", 24, letter="p", grow=True),
    Column("due", "due", 10, letter="d", show=show_day),
    Column("left", "days", 5, ">", letter="l", leaves=1, show=show_count),
    Column("site", "site", 5, letter="i", leaves=2),
)
QUERY_COLUMNS = (
    Column("query", "query", 12, letter="q"),
    Column("subject", "subject", 12, letter="s"),
    Column("state", "state", 10, letter="t"),
    Column("question", "question", 20, letter="n", grow=True),
    Column("due", "due", 10, letter="d", show=show_day),
    Column("left", "days", 5, ">", letter="l", leaves=1, show=show_count),
)
PROBLEM_COLUMNS = (
    Column("rows", "rows", 7, ">", letter="r", show=show_count),
    Column("problem", "problem", 18, letter="p"),
    Column("about", "about", 14, letter="a"),
    Column("message", "why", 16, letter="w", grow=True),
    Column("file", "file", 12, letter="f", leaves=1),
)


def _listing(desk: Desk, source: Source, what: str, columns: tuple[Column, ...], hint: str, *nothing: str) -> Listing:
    return Listing(
        what=what,
        columns=columns,
        fields=source.fields,
        open=lambda wish: desk.pages.open_list(source, wish),
        hint=hint,
        nothing=nothing,
    )


class WorklistScreen(DeskList):
    """Everything that waits for somebody; Enter opens it, one key acts on a query."""

    NAME = "worklist"
    NUMBER = "1"
    heading = "1 WORKLIST"

    @property
    def command(self) -> str:
        return "dosetrail worklist"


class QueriesScreen(DeskList):
    """Queries with their state, also those newer than the release (*)."""

    NAME = "queries"
    NUMBER = "3"
    heading = "3 QUERIES"

    @property
    def command(self) -> str:
        return "dosetrail queries"


class QuarantineScreen(DeskList):
    """Problems that hold rows back, the one with most rows first."""

    NAME = "quarantine"
    NUMBER = "4"
    heading = "4 QUARANTINE"

    @property
    def command(self) -> str:
        return "dosetrail quarantine"


def make_worklist(desk: Desk) -> WorklistScreen:
    """The worklist of this moment; reads it on the calling thread."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    source = worklist_source(now)
    listing = _listing(
        desk, source, "items", WORK_COLUMNS, "/ what:query site: left<3 subject: or any text",
        "Nothing waits for you: no query, no report, no silent device, no row in quarantine.",
    )  # fmt: skip

    load_pending(desk)
    rows = opened(desk.pages, listing)
    shown = Listing(**{**vars(listing), "summary": summarise_worklist(desk.pages, now)})
    return WorklistScreen(desk, shown, source, rows)


async def read_worklist(desk: Desk) -> WorklistScreen:
    """The worklist of this moment, read on a thread."""
    return await desk.pages.run(lambda: make_worklist(desk))


async def read_queries(desk: Desk) -> QueriesScreen:
    """All queries as they stand now."""
    source = queries_source(dt.datetime.now(dt.UTC).date())
    listing = _listing(
        desk, source, "queries", QUERY_COLUMNS, "/ state:open subject: left<3 asked_by: or any text",
        "No query was ever raised on the data of this release.",
        "Checks raise them by themselves; or leave with q, then: dosetrail query raise SUBJECT QUESTION",
    )  # fmt: skip

    def read() -> QueriesScreen:
        load_pending(desk)
        return QueriesScreen(desk, listing, source, opened(desk.pages, listing))

    return await desk.pages.run(read)


async def read_quarantine(desk: Desk) -> QuarantineScreen:
    """The problems of this release."""
    listing = _listing(
        desk, PROBLEMS, "problems", PROBLEM_COLUMNS, "/ problem: about: file: rows>10 or any text",
        "No row is in quarantine: every row that was read is in use or a duplicate.",
    )  # fmt: skip
    rows = await desk.pages.run(lambda: opened(desk.pages, listing))
    return QuarantineScreen(desk, listing, PROBLEMS, rows)
