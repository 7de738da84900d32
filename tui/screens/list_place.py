"""A screen whose body is a list that can be filtered and sorted."""

from __future__ import annotations

from textual.widget import Widget

from tui.desk import Desk
from tui.keymap import Press
from tui.screens.place import Place
from tui.widgets.row_pane import RowPane
from tui.widgets.text_pane import Unit


class ListPlace(Place):
    """Gives the keys of lists their meaning."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.pane = RowPane(desk.glyphs, desk.run, self.status.say, self.status.stand)
        self._asking_sort = False

    def compose_body(self) -> list[Widget]:
        return [self.pane]

    async def settled(self) -> None:
        """Wait until the rows shown are those asked for."""
        await self.pane.settled()

    async def take(self, press: Press) -> bool:
        """Filter text and the letter after `s`."""
        if self._asking_sort:
            self._asking_sort = False
            self.offer_keys()
            if press.key != "escape" and not self.pane.sort_by(press.printable.lower()):
                self.status.say(f"No column has the letter {self.glyphs.text(press.printable or press.key)}")
            await self.pane.settled()
            return True
        taken = await self.pane.press(press)
        if taken and not self.pane.editing:
            self.offer_keys()
        return taken

    def paste(self, text: str) -> None:
        """Pasted text goes into the filter line while it is being typed in."""
        if self.pane.editing:
            self.pane.paste(text)

    def allows(self, action: str) -> bool:
        """Esc clears a filter before it leads back."""
        if action == "back" and self.pane.wish.filter:
            return True
        if action == "open":
            return self.pane.table.count > 0
        return super().allows(action)

    def on_screen_resume(self) -> None:
        """The cursor may have been moved by n and p."""
        super().on_screen_resume()
        self.pane.table.resume()

    def action_filter(self) -> None:
        """/ starts typing."""
        self.pane.line.edit()
        self.key_line.ask("type to filter   Tab completes a word   Enter keeps   Esc clears")

    def action_sort(self) -> None:
        """s asks for the letter of a column."""
        self._asking_sort = True
        self.key_line.ask(self.glyphs.text(self.pane.sort_question()))

    async def action_reset(self) -> None:
        """r forgets filter and sort order."""
        self.pane.reset()
        await self.pane.settled()

    async def action_back(self) -> None:
        """Esc clears the filter first."""
        if self.pane.clear_filter():
            await self.pane.settled()
            self.offer_keys()
        else:
            await super().action_back()

    async def move(self, by: int, unit: Unit) -> None:
        """Move the cursor of the table."""
        await self.pane.settled()
        table = self.pane.table
        if unit == "line":
            table.move(by)
        elif unit == "page":
            table.turn(by)
        else:
            table.move_to(0 if by < 0 else table.count - 1)
