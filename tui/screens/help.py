"""The keys that are valid on the screen below; type to search, Enter runs one."""

from __future__ import annotations

from textual.widget import Widget

from tui.desk import Desk
from tui.fixed_rows import FixedRows
from tui.keymap import SCREENS, Key, Press
from tui.screens.place import Place
from tui.widgets.filter_line import FilterLine
from tui.widgets.row_table import Column, Row, RowTable
from tui.widgets.text_pane import Unit

COLUMNS = (Column("key", "key", 10), Column("meaning", "what it does", 48, grow=True))


class HelpScreen(Place):
    """Everything typed is searched for, so moving and Enter are the only keys of their own."""

    NAME = "help"

    def __init__(self, desk: Desk, below: Place) -> None:
        super().__init__(desk)
        self._below = below
        # What moves the cursor here would move it here again.
        self._listed = [key for key in below.keys() if key.action != "help"]
        self._line = FilterLine(desk.glyphs)
        self._table = RowTable(desk.glyphs)

    @property
    def command(self) -> str:
        return "dosetrail --help"

    def keys(self) -> tuple[Key, ...]:
        """Only its own: digits and letters are searched for."""
        return SCREENS["help"]

    def compose_body(self) -> list[Widget]:
        return [self._line, self._table]

    def on_mount(self) -> None:
        """List all keys of the screen below."""
        self.title_line.show(f" HELP  keys of {self._below.NAME}")
        self._line.set_up("find: ", "")
        self._line.edit()
        self._table.set_columns(COLUMNS, ["key", "meaning"])
        self._search()
        self.offer_keys()

    async def take(self, press: Press) -> bool:
        """Typed text is searched for; Esc, Enter and the arrows are not text."""
        if press.key == "backspace" and not self._line.value:
            return False
        if self._line.type(press):
            self._search()
            return True
        return False

    def paste(self, text: str) -> None:
        """Search for pasted text."""
        for char in " ".join(text.split()):
            self._line.type(Press(char, char))
        self._search()

    async def move(self, by: int, unit: Unit) -> None:
        """Move the cursor."""
        if unit == "line":
            self._table.move(by)
        else:
            self._table.turn(by)

    async def action_run(self) -> None:
        """Enter closes help and runs the action on the screen below."""
        row = self._table.current
        if row is not None:
            await self.session.back()
            await self._below.run_key(self._listed[row.row_id])

    def _search(self) -> None:
        words = self._line.value.lower().split()
        rows = [
            Row(position, (key.shown, key.meaning))
            for position, key in enumerate(self._listed)
            if all(word in _searched(key) for word in words)
        ]
        self._table.show(FixedRows(rows), empty=("No key does that here. Backspace changes the search.",))
        self.status.stand(
            f"{len(rows)} keys; cursor {self.glyphs.cursor}  sorted column "
            f"{self.glyphs.ascending}{self.glyphs.descending}  cut text {self.glyphs.cut}"
        )


def _searched(key: Key) -> str:
    return f"{key.shown} {key.label} {key.meaning}".lower()
