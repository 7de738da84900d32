"""Lists one works through: an answer or reason typed in the first line, and one key for each step of a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui.desk import ActionRefused, Desk
from tui.desk_rows import CREATE_PENDING
from tui.keymap import Press
from tui.pages import Pages, Source, Wish
from tui.screens.list_place import ListPlace
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Row, Rows

STANDARD = (
    "Checked against the source: correct as recorded",
    "Corrected in the source; a new export follows",
    "Not known at the site; it cannot be found out",
    "Protocol deviation, documented",
)
"""Answers given with one key."""

_ASKED = {
    "answer_query": "answer",
    "close_query": "reason to close",
    "reopen_query": "reason to reopen",
    "waive_query": "reason to waive",
}


@dataclass(frozen=True)
class _Asking:
    """A step that waits for its text."""

    action: str
    query_id: str


def load_pending(desk: Desk) -> None:
    """Bring what was done since the release beside it."""
    try:
        rows = desk.actions.pending() if desk.actions else []
    except ActionRefused as problem:
        # A ledger that cannot be read now must not keep the release from being shown; the status line says it.
        rows, desk.trouble = [], str(problem)
    else:
        desk.trouble = ""
    desk.pages.query(CREATE_PENDING)
    for row in rows:
        desk.pages.query(f"INSERT INTO pending_query VALUES ({', '.join('?' * len(row))})", row)


class DeskList(ListPlace):
    """A list of work whose rows may be queries."""

    def __init__(self, desk: Desk, listing: Listing, source: Source, rows: Rows) -> None:
        super().__init__(desk)
        self._listing = listing
        self._source = source
        self._first_rows = rows
        self._asking: _Asking | None = None

    @property
    def has_work(self) -> bool:
        """Something is listed."""
        return self._first_rows.count > 0

    @property
    def heading(self) -> str:
        """Words of the title line."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the rows that were read before the screen was opened."""
        text = self.glyphs.text
        self.title_line.show(f" {self.heading}  {text(self.desk.study)}", f"{text(self.desk.release_label)} ")
        self.pane.put(self._listing, self._first_rows, Wish())
        if self.desk.trouble:
            self.status.say(text(f"What was done since this release is not shown: {self.desk.trouble}"))

    def allows(self, action: str) -> bool:
        """Steps need a query under the cursor, and somebody who may write."""
        if action in ("answer", "close", "reopen", "waive"):
            return self.desk.actions is not None and self._query_id() is not None
        if action == "undo":
            return self.desk.actions is not None
        return super().allows(action)

    async def take(self, press: Press) -> bool:
        """An answer or reason is typed before anything else."""
        if self._asking is None:
            return await super().take(press)
        if press.key == "escape":
            self._stop_asking()
            self.status.say("Nothing was recorded")
        elif press.key == "enter":
            await self._record()
        else:
            self.pane.line.type(press)
        return True

    def paste(self, text: str) -> None:
        """Pasted text goes into the line being typed."""
        if self._asking is None:
            super().paste(text)
            return
        for char in " ".join(text.split()):
            self.pane.line.type(Press(char, char))

    def action_answer(self) -> None:
        """a"""
        numbered = "  ".join(
            f"{number} {words.split(':')[0].split(';')[0]}" for number, words in enumerate(STANDARD, 1)
        )
        self._ask("answer_query", numbered)

    def action_close(self) -> None:
        """c"""
        self._ask("close_query", "type the reason   Enter records   Esc leaves it")

    def action_reopen(self) -> None:
        """o"""
        self._ask("reopen_query", "type the reason   Enter records   Esc leaves it")

    def action_waive(self) -> None:
        """w"""
        self._ask("waive_query", "type the reason   Enter records   Esc leaves it")

    async def action_undo(self) -> None:
        """z"""
        assert self.desk.actions is not None
        await self._do(self.desk.actions.undo, forward=False)

    async def action_open(self) -> None:
        """Enter shows the item in full."""
        from tui.screens.record import open_record

        await self.pane.settled()
        if self.pane.table.count:
            await open_record(self)

    def _query_id(self) -> str | None:
        row = self.pane.table.current
        if row is None or self._value(row, "kept_in") != "query":
            return None
        return str(self._value(row, "query" if "query" in self.pane.table.field_names else "ref"))

    def _value(self, row: Row, name: str) -> object:
        return self.pane.table.value(row, name)

    def _ask(self, action: str, help: str) -> None:
        query_id = self._query_id()
        assert query_id is not None
        self._asking = _Asking(action, query_id)
        self.pane.line.set_up(f"{_ASKED[action]}: ", "")
        self.pane.line.edit()
        self.key_line.ask(self.glyphs.text(help))

    def _stop_asking(self) -> None:
        self._asking = None
        self.pane.line.set_up("/ ", self.glyphs.text(self._listing.hint), self.pane.wish.filter)
        self.offer_keys()

    async def _record(self) -> None:
        asking, text = self._asking, self.pane.line.value.strip()
        assert asking is not None and self.desk.actions is not None
        if asking.action == "answer_query" and text in {str(number) for number in range(1, len(STANDARD) + 1)}:
            text = STANDARD[int(text) - 1]
        step = self.desk.actions.step
        self._stop_asking()
        await self._do(lambda: step(asking.action, asking.query_id, text))

    async def _do(self, job: Callable[[], str], *, forward: bool = True) -> None:
        """Do it on a thread, then show the list anew with the cursor where it was."""
        try:
            said = await self.desk.pages.run(job)
        except ActionRefused as problem:
            self.status.say(self.glyphs.text(f"{problem} Nothing was recorded."))
            return
        acted_on = self._query_id()
        await self.refresh_rows()
        if forward and acted_on is not None and self._query_id() == acted_on:
            self.pane.table.move(1)
        self.status.say(self.glyphs.text(said))

    async def refresh_rows(self) -> None:
        """Read the list again with what was done since."""
        table, wish = self.pane.table, self.pane.wish
        cursor = table.cursor

        def read() -> Rows:
            load_pending(self.desk)
            self.desk.pages.renew(self._source)
            return self._listing.open(wish)

        rows = await self.desk.pages.run(read)
        self.pane.put(self._listing, rows, wish, min(cursor, max(0, rows.count - 1)))
        self.offer_keys()


def opened(pages: Pages, listing: Listing) -> Rows:
    """The rows of a list as it is first shown."""
    return listing.open(Wish())
