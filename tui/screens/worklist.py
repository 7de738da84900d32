"""Place 1: what needs me today, by time left. Place 3: queries. Place 4: rows in quarantine, by problem."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TypeVar

from tui.cells import show_count, show_day
from tui.desk import Desk
from tui.desk_rows import PROBLEMS, queries_source, summarise_worklist, worklist_source
from tui.pages import Source
from tui.screens.desk_list import DeskList, load_pending, opened
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column

D = TypeVar("D", bound=DeskList)

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
        key=source.key,
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

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """The worklist of this moment."""
        source = worklist_source(dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0))
        listing = _listing(
            desk, source, "items", WORK_COLUMNS, "/ what:query site: left<3 subject: or any text",
            "Nothing waits for you: no query, no report, no silent device, no row in quarantine.",
        )  # fmt: skip
        return replace(listing, summary=summarise_worklist(desk.pages, source)), source


class QueriesScreen(DeskList):
    """Queries with their state, also those newer than the release (*)."""

    NAME = "queries"
    NUMBER = "3"
    heading = "3 QUERIES"

    @property
    def command(self) -> str:
        return "dosetrail queries"

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """All queries as they stand now."""
        source = queries_source(dt.datetime.now(dt.UTC).date())
        listing = _listing(
            desk, source, "queries", QUERY_COLUMNS, "/ state:open subject: left<3 asked_by: or any text",
            "No query was ever raised on the data of this release.",
            "Checks raise them by themselves; or leave with q, then: dosetrail query raise SUBJECT QUESTION",
        )  # fmt: skip
        return listing, source


class QuarantineScreen(DeskList):
    """Problems that hold rows back, the one with most rows first."""

    NAME = "quarantine"
    NUMBER = "4"
    heading = "4 QUARANTINE"

    @property
    def command(self) -> str:
        return "dosetrail quarantine"

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """The problems of this release."""
        listing = _listing(
            desk, PROBLEMS, "problems", PROBLEM_COLUMNS, "/ problem: about: file: rows>10 or any text",
            "No row is in quarantine: every row that was read is in use or a duplicate.",
        )  # fmt: skip
        return listing, PROBLEMS


def make_desk_list(kind: type[D], desk: Desk) -> D:
    """A screen with its rows; reads them on the calling thread."""
    load_pending(desk)
    listing, source = kind.read_listing(desk)
    return kind(desk, listing, source, opened(listing))


PLACES: dict[str, type[DeskList]] = {place.NAME: place for place in (WorklistScreen, QueriesScreen, QuarantineScreen)}
