"""Lists one works through: an answer or reason typed in the first line, and one key for each step of a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tui.desk import ActionRefused, Desk
from tui.desk_rows import CREATE_DECIDED, CREATE_PENDING, CREATE_PROBLEMS
from tui.keymap import Press
from tui.pages import Source, Wish
from tui.screens.list_place import ListPlace
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column, Row, Rows

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
class Asking:
    """A step that waits for its text."""

    action: str
    ref: str
    """Query, deviation or problem."""
    given: str = ""
    """What was typed before: a correction that waits for its reason."""

    @property
    def draft(self) -> str:
        """Name of the text being typed, should it not be sent."""
        return f"{self.action} {self.ref}"


def load_pending(desk: Desk) -> None:
    """Bring steps of queries since the release beside it."""
    desk.trouble = ""
    _load(desk, "pending_query", CREATE_PENDING, desk.actions.pending if desk.actions else None)


def load_decided(desk: Desk) -> None:
    """Bring which proposed deviations were decided on since the release beside it."""
    _load(desk, "decided_deviation", CREATE_DECIDED, desk.actions.decided_deviations if desk.actions else None)


def load_problems(desk: Desk) -> None:
    """Bring what was decided and is proposed about quarantined rows beside the release."""
    desk.trouble = ""
    _load(desk, "problem_now", CREATE_PROBLEMS, desk.actions.problems if desk.actions else None)


def load_history(desk: Desk, subject: str) -> None:
    """Bring the ledger's entries about one subject beside the release. Raises ActionRefused."""
    rows = desk.actions.history(subject) if desk.actions else []
    desk.pages.query(
        "CREATE OR REPLACE TABLE subject_history (subject_id VARCHAR, seq BIGINT, at_utc TIMESTAMP, user_name VARCHAR, "
        "action VARCHAR, record VARCHAR, text VARCHAR)"
    )
    for row in rows:
        desk.pages.query("INSERT INTO subject_history VALUES (?, ?, ?, ?, ?, ?, ?)", (subject, *row))


def _load(desk: Desk, table: str, create: str, read: Callable[[], list[tuple[Any, ...]]] | None) -> None:
    try:
        rows = read() if read else []
    except ActionRefused as problem:
        # A ledger that cannot be read now must not keep the release from being shown; the status line says it.
        rows, desk.trouble = [], str(problem)
    desk.pages.query(create)
    for row in rows:
        desk.pages.query(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def make_listing(
    desk: Desk, source: Source, what: str, columns: tuple[Column, ...], hint: str, *nothing: str
) -> Listing:
    """A list of work as the pane shows it."""
    return Listing(
        what=what,
        columns=columns,
        fields=source.fields,
        key=source.key,
        open=lambda wish: desk.pages.open_list(source, wish),
        hint=hint,
        nothing=nothing,
    )


class DeskList(ListPlace):
    """A list of work whose rows may be queries."""

    def __init__(self, desk: Desk, listing: Listing, source: Source, rows: Rows) -> None:
        super().__init__(desk)
        self._listing = listing
        self._source = source
        self._first_rows = rows
        self._asking: Asking | None = None

    @property
    def has_work(self) -> bool:
        """Something is listed."""
        return self._first_rows.count > 0

    @staticmethod
    def load(desk: Desk) -> None:
        """Bring what was done since the release beside it; runs on a thread."""
        load_pending(desk)

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """The list as it is now; runs on a thread."""
        raise NotImplementedError

    @property
    def heading(self) -> str:
        """Words of the title line."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the rows that were read before the screen was opened."""
        self._show_title()
        self.pane.put(self._listing, self._first_rows, Wish())
        self._say_trouble()
        self._offer_drafts()

    async def take_up(self) -> None:
        """The list as it is now."""

        def read() -> tuple[Listing, Source]:
            self.load(self.desk)
            self.desk.pages.renew(self._source)
            return self.read_listing(self.desk)

        self._listing, self._source = await self.desk.run(read)
        self._show_title()
        await self.pane.take_up(self._listing)
        self._say_trouble()
        if self._asking is None and not self.pane.editing:
            self.offer_keys()

    def _show_title(self) -> None:
        text = self.glyphs.text
        self.title_line.show(f" {self.heading}  {text(self.desk.study)}", f"{text(self.desk.release_label)} ")

    def _say_trouble(self) -> None:
        if self.desk.trouble:
            self.status.say(self.glyphs.text(f"What was done since this release is not shown: {self.desk.trouble}"))

    def _offer_drafts(self) -> None:
        """Name a text that was typed and not sent, when the app was left or the line dropped."""
        waiting = [key.split(" ", 1)[1] for key in self.desk.personal.drafts() if key.split(" ", 1)[0] in _ASKED]
        if waiting and self.desk.actions is not None and not self.desk.trouble:
            more = f" and {len(waiting) - 1} more" if waiting[1:] else ""
            self.status.say(self.glyphs.text(f"Unsent draft for {waiting[0]}{more}; go there, the same key goes on"))

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
            kept = bool(self.pane.line.value.strip())
            self._stop_asking()
            self.status.say("Nothing was recorded; the draft is kept" if kept else "Nothing was recorded")
        elif press.key == "enter":
            await self._record()
        elif self.pane.line.type(press):
            self._keep_draft()
        return True

    def paste(self, text: str) -> None:
        """Pasted text goes into the line being typed."""
        if self._asking is None:
            super().paste(text)
            return
        for char in " ".join(text.split()):
            self.pane.line.type(Press(char, char))
        self._keep_draft()

    def _keep_draft(self) -> None:
        asking = self._asking
        assert asking is not None
        self.desk.personal.keep_draft(asking.draft, self.pane.line.value)

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
        await self.act(self.desk.actions.undo, forward=False)

    async def action_open(self) -> None:
        """Enter shows the item in full."""
        from tui.screens.record import open_record

        await self.pane.settled()
        if self.pane.table.count:
            await open_record(self)

    def ref_here(self) -> str | None:
        """What a step would be about: the query or problem under the cursor."""
        return self._query_id()

    def _query_id(self) -> str | None:
        row = self.pane.table.current
        if row is None or self.value(row, "kept_in") != "query":
            return None
        return str(self.value(row, "query" if "query" in self.pane.table.field_names else "ref"))

    def value(self, row: Row, name: str) -> object:
        """A field of a row."""
        return self.pane.table.value(row, name)

    def _ask(self, action: str, help: str) -> None:
        query_id = self._query_id()
        assert query_id is not None
        self.ask_for(Asking(action, query_id), _ASKED[action], help)

    def ask_for(self, asking: Asking, words: str, help: str) -> None:
        """Have something typed in the first line, beginning with what was typed before and not sent."""
        self._asking = asking
        draft = self.desk.personal.drafts().get(asking.draft, "")
        self.pane.line.set_up(f"{words}: ", "", draft)
        self.pane.line.edit()
        if draft:
            self.status.say("Your unsent draft: Enter records it, Esc leaves it")
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
        self._stop_asking()
        if await self.carry_out(asking, text):
            self.desk.personal.keep_draft(asking.draft, "")

    async def carry_out(self, asking: Asking, text: str) -> bool:
        """Do what was asked for, with the text that was typed; whether it was done."""
        assert self.desk.actions is not None
        step = self.desk.actions.step
        return await self.act(lambda: step(asking.action, asking.ref, text))

    async def act(self, job: Callable[[], str], *, forward: bool = True) -> bool:
        """Do it on a thread, then show the list anew, with the cursor on the next one; whether it was done."""
        try:
            said = await self.desk.run(job)
        except ActionRefused as problem:
            self.status.say(self.glyphs.text(f"{problem} Nothing was recorded."))
            return False
        table, acted_on = self.pane.table, self.ref_here()
        place = table.cursor
        self.session.news_recorded()
        await self.catch_up()
        if forward and acted_on is not None:
            # The next one to work on has moved up when this one sank in the order, and is below it when it stayed.
            table.move_to(place + 1 if self.ref_here() == acted_on and table.cursor == place else place)
        self.status.say(self.glyphs.text(said))
        return True


def opened(listing: Listing) -> Rows:
    """The rows of a list as it is first shown."""
    return listing.open(Wish())
