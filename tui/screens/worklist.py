"""Place 1: what needs me today, by time left. Place 3: queries."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TypeVar

from tui.cells import show_count, show_day
from tui.desk import Desk
from tui.desk_rows import queries_source, summarise_worklist, worklist_source
from tui.pages import Source
from tui.screens.desk_list import Asking, DeskList, load_decided, load_pending, make_listing, opened
from tui.screens.quarantine import QuarantineScreen
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

_DEVIATION_KEYS = {"close": "confirm_deviation", "waive": "dismiss_deviation"}


class WorklistScreen(DeskList):
    """Everything that waits for somebody; Enter opens it, one key acts on a query."""

    NAME = "worklist"
    NUMBER = "1"
    heading = "1 WORKLIST"

    def allows(self, action: str) -> bool:
        """A proposed deviation is confirmed or dismissed with the keys that close or waive a query."""
        if action in _DEVIATION_KEYS and self._deviation() is not None:
            return self.desk.actions is not None
        return super().allows(action)

    def action_close(self) -> None:
        """c"""
        self._decide("close")

    def action_waive(self) -> None:
        """w"""
        self._decide("waive")

    async def carry_out(self, asking: Asking, text: str) -> bool:
        """Record the decision on a deviation, else the step of a query."""
        if asking.action not in _DEVIATION_KEYS.values():
            return await super().carry_out(asking, text)
        assert self.desk.actions is not None
        decide = self.desk.actions.decide_deviation
        return await self.act(lambda: decide(asking.action, asking.ref, text))

    def _decide(self, key: str) -> None:
        ref = self._deviation()
        if ref is None:
            super().action_close() if key == "close" else super().action_waive()
            return
        words = "reason to confirm" if key == "close" else "reason to dismiss"
        self.ask_for(Asking(_DEVIATION_KEYS[key], ref), words, "type the reason   Enter records   Esc leaves it")

    def _deviation(self) -> str | None:
        row = self.pane.table.current
        if row is None or self.value(row, "kept_in") != "deviation_recorded":
            return None
        return str(self.value(row, "ref"))

    @staticmethod
    def load(desk: Desk) -> None:
        load_pending(desk)
        load_decided(desk)

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """The worklist of this moment."""
        source = worklist_source(dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0))
        listing = make_listing(
            desk, source, "items", WORK_COLUMNS, "/ what:query site: left<3 subject: or any text",
            "Nothing waits for you: no query, report, silent device or row in quarantine.",
        )  # fmt: skip
        return replace(listing, summary=summarise_worklist(desk.pages, source)), source


class QueriesScreen(DeskList):
    """Queries with their state, also those newer than the release (*)."""

    NAME = "queries"
    NUMBER = "3"
    heading = "3 QUERIES"

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """All queries as they stand now."""
        source = queries_source(dt.datetime.now(dt.UTC).date())
        listing = make_listing(
            desk, source, "queries", QUERY_COLUMNS, "/ state:open subject: left<3 asked_by: or any text",
            "No query was ever raised on the data of this release.",
            "Checks raise them by themselves; or leave with q, then: dosetrail query raise SUBJECT QUESTION",
        )  # fmt: skip
        return listing, source


def make_desk_list(kind: type[D], desk: Desk) -> D:
    """A screen with its rows; reads them on the calling thread."""
    kind.load(desk)
    listing, source = kind.read_listing(desk)
    return kind(desk, listing, source, opened(listing))


PLACES: dict[str, type[DeskList]] = {place.NAME: place for place in (WorklistScreen, QueriesScreen, QuarantineScreen)}
