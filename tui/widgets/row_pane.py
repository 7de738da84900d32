"""A filter line and a table: any list that can be filtered while one types, and sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.worker import Worker

from tui.filters import Field, FilterProblem, complete
from tui.glyphs import Glyphs
from tui.keymap import Press
from tui.pages import PagedRows, ReleaseUnreadable, Wish
from tui.widgets.filter_line import FilterLine
from tui.widgets.row_table import Column, Row, Rows, RowTable

T = TypeVar("T")


class Run(Protocol):
    """Does a job on a thread."""

    async def __call__(self, job: Callable[[], T]) -> T: ...


@dataclass(frozen=True)
class Listing:
    """A list as a pane shows it."""

    what: str
    """Plural noun: patients, doses, files."""
    columns: Sequence[Column]
    fields: Sequence[Field]
    """The values of each row, in order."""
    open: Callable[[Wish], Rows]
    """Reads the rows; runs on a thread. Raises FilterProblem."""
    hint: str
    """Said in the filter line while it is empty."""
    nothing: Sequence[str]
    """Said when the list has no row at all: what that means and which key helps."""
    key: Sequence[str] = ()
    """Fields by which a row is found again in a newer release; empty: by its place."""
    summary: str = ""
    """Said after the number of rows while nothing is filtered."""


class RowPane(Vertical):
    """Shows a `Listing`. Old rows stay until the new ones are there; nothing says "loading"."""

    DEFAULT_CSS = "RowPane { height: 1fr; }"

    def __init__(self, glyphs: Glyphs, run: Run, say: Callable[[str], None], stand: Callable[[str], None]) -> None:
        """`run` does a job on a thread."""
        super().__init__()
        self._glyphs = glyphs
        self._run = run
        self._say = say
        self._stand = stand
        self.table = RowTable(glyphs)
        self.line = FilterLine(glyphs)
        self._listing: Listing | None = None
        self._wanted = self._shown = self._understood = Wish()
        self._total = 0
        self._work: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield self.line
        yield self.table

    @property
    def listing(self) -> Listing | None:
        return self._listing

    @property
    def wish(self) -> Wish:
        """Filter and sort order as last asked for."""
        return self._wanted

    @property
    def editing(self) -> bool:
        """Keys are typed into the filter line."""
        return self.line.editing

    def put(self, listing: Listing, rows: Rows, wish: Wish, cursor: int = 0) -> None:
        """Show a list that was opened already, with the filter and order it was opened with."""
        self._listing = listing
        self._wanted = self._shown = self._understood = wish
        self._total = rows.count
        self.line.set_up("/ ", self._glyphs.text(listing.hint), wish.filter)
        self.table.set_columns(listing.columns, [field.key for field in listing.fields])
        self._show(rows, cursor)

    async def take_up(self, listing: Listing) -> bool:
        """Show the same list as it is now: filter, order, and the row under the cursor stay, and what is being typed.

        False when that row is no longer among them; the cursor then stays at its place.
        """
        await self.settled()
        row, cursor, wish = self.table.current, self.table.cursor, self._understood
        key = {name: self.table.value(row, name) for name in listing.key} if row else {}

        def read() -> tuple[Rows, int, int | None]:
            rows = listing.open(wish)
            everything = listing.open(Wish()).count if wish.filter else rows.count
            return rows, everything, rows.find(key) if key and isinstance(rows, PagedRows) else cursor

        rows, self._total, found = await self._run(read)
        self._listing = listing
        self._show(rows, cursor if found is None else found)
        return found is not None

    async def put_cursor(self, key: dict[str, object]) -> bool:
        """Put the cursor on the row with these values; False when it is not among the rows."""
        await self.settled()
        listing, wish = self._listing, self._understood
        assert listing is not None

        def find() -> int | None:
            rows = listing.open(wish)
            return rows.find(key) if isinstance(rows, PagedRows) else None

        place = await self._run(find)
        if place is not None:
            self.table.move_to(place)
        return place is not None

    async def settled(self) -> None:
        """Wait until the rows shown are those asked for."""
        if self._work is not None:
            await self._work.wait()

    async def press(self, press: Press) -> bool:
        """Take a key while the filter is being typed; False when it is not for the filter line."""
        if not self.line.editing:
            return False
        if press.key == "escape":
            self.line.finish("")
            self._ask(replace(self._wanted, filter=""))
        elif press.key == "enter":
            self.line.finish()
        elif press.key in ("up", "down", "pageup", "pagedown"):
            await self.settled()
            steps = {"up": -1, "down": 1}
            if press.key in steps:
                self.table.move(steps[press.key])
            else:
                self.table.turn(1 if press.key == "pagedown" else -1)
        elif press.key == "tab" and self._listing:
            self.line.replace(complete(self.line.value, self._listing.fields))
            self._ask(replace(self._wanted, filter=self.line.value))
        elif self.line.type(press):
            self._ask(replace(self._wanted, filter=self.line.value))
        return True

    def paste(self, text: str) -> None:
        """Put text into the filter line as if it had been typed; its line breaks become blanks."""
        for char in " ".join(text.split()):
            self.line.type(Press(char, char))
        self._ask(replace(self._wanted, filter=self.line.value))

    def sort_by(self, letter: str) -> bool:
        """Sort by the column with that letter, or reverse its order; False when there is none."""
        for column in self._listing.columns if self._listing else ():
            if column.letter and column.letter == letter:
                again = self._wanted.sort == column.key and not self._wanted.descending
                self._ask(replace(self._wanted, sort=column.key, descending=again))
                return True
        return False

    def letters(self) -> str:
        """The columns that have a letter; those on the screen, which leaves room to read them."""
        return " ".join(f"{c.letter}={c.title.strip()}" for c in self.table.shown if c.letter)

    def column_of(self, letter: str) -> Column | None:
        """The column with that letter."""
        columns = self._listing.columns if self._listing else ()
        return next((column for column in columns if column.letter and column.letter == letter), None)

    def field_of(self, column: Column) -> Field | None:
        """The field of a column that the filter has a word for; the column of arms is searched under `arm`."""
        fields = self._listing.fields if self._listing else ()
        key = column.key.removesuffix("_shown")
        return next((field for field in fields if field.word and field.key == key), None)

    def count_values(self, key: str) -> list[tuple[object, int]]:
        """The values of a field in the rows as filtered, the most frequent first; runs on a thread."""
        assert self._listing is not None
        rows = self._listing.open(self._understood)
        return rows.count_values(key) if isinstance(rows, PagedRows) else []

    def show_as(self, wish: Wish) -> None:
        """Filter and sort as wished."""
        self.line.finish(wish.filter)
        self._ask(wish)

    def reset(self) -> None:
        """Forget filter and sort order."""
        self.line.finish("")
        self._ask(Wish())

    def clear_filter(self) -> bool:
        """Clear the filter; False when there is none."""
        if not self._wanted.filter:
            return False
        self.line.finish("")
        self._ask(replace(self._wanted, filter=""))
        return True

    def _ask(self, wish: Wish) -> None:
        self._wanted = wish
        if wish != self._shown and (self._work is None or self._work.is_finished):
            self._work = self.run_worker(self._catch_up(), exit_on_error=True)

    async def _catch_up(self) -> None:
        """Open what is wanted now until it is what is shown: keys typed meanwhile cost one query, not one each."""
        while (wish := self._wanted) != self._shown:
            listing = self._listing
            assert listing is not None
            current = self.table.current

            def read(listing: Listing = listing, wish: Wish = wish, row: Row | None = current) -> tuple[Rows, int]:
                rows = listing.open(wish)
                return rows, (rows.position(row.row_id) if row else None) or 0

            try:
                rows, cursor = await self._run(read)
            except FilterProblem as problem:
                self._shown = wish
                self._say(self._glyphs.text(f"{problem}; the rows below are those of the last filter"))
                continue
            except ReleaseUnreadable as problem:
                self._shown = wish
                self._say(self._glyphs.text(problem))
                continue
            if listing is self._listing:
                self._shown = self._understood = wish
                self._show(rows, cursor)

    def _show(self, rows: Rows, cursor: int) -> None:
        listing = self._listing
        assert listing is not None
        wish = self._understood
        if not wish.filter:
            self._total = rows.count
        what = self._glyphs.text(wish.filter)
        empty = (
            [f"No {listing.what} match {what}", "Esc clears the filter, / changes it, ? lists all keys."]
            if wish.filter
            else listing.nothing
        )
        by = (wish.sort, wish.descending) if wish.sort else None
        self.table.show(rows, cursor=cursor, sorted_by=by, empty=empty)
        self._stand(self._glyphs.text(self._summary(rows.count)))

    def _summary(self, count: int) -> str:
        listing, wish = self._listing, self._understood
        assert listing is not None
        what = _one_of(listing.what) if self._total == 1 else listing.what
        text = f"{count:,} of {self._total:,} {what}" if wish.filter else f"{count:,} {what}"
        if listing.summary and not wish.filter:
            text += f": {listing.summary}"
        if wish.sort:
            title = next(column.title.strip() for column in listing.columns if column.key == wish.sort)
            text += f", sorted by {title}{', reversed' if wish.descending else ''}"
        return text


def _one_of(plural: str) -> str:
    """`query` of queries, `row` of rows."""
    return plural[:-3] + "y" if plural.endswith("ies") else plural.removesuffix("s")
