"""A screen whose body is a list that can be filtered and sorted."""

from __future__ import annotations

from dataclasses import replace

from textual.widget import Widget

from tui.cells import show_count, show_percent
from tui.desk import Desk
from tui.filters import Field, alike
from tui.keymap import Press
from tui.pages import Wish
from tui.screens.place import Place
from tui.views import view_command
from tui.widgets.row_pane import RowPane
from tui.widgets.row_table import Column
from tui.widgets.text_pane import Unit


class ListPlace(Place):
    """Gives the keys of lists their meaning."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.pane = RowPane(desk.glyphs, desk.run, self.status.say, self.status.stand)
        self._asking_letter = ""

    @property
    def command(self) -> str:
        """The command that prints this list with its filter and order."""
        return view_command(*self.listed, self.pane.wish)

    @property
    def listed(self) -> tuple[str, str]:
        """Name of the list for `dosetrail view`, and its subject when it is of one."""
        return self.NAME, ""

    def compose_body(self) -> list[Widget]:
        return [self.pane]

    async def settled(self) -> None:
        """Wait until the rows shown are those asked for."""
        await self.pane.settled()

    async def take(self, press: Press) -> bool:
        """Filter text and the letter after `s`."""
        if self._asking_letter:
            asked, self._asking_letter = self._asking_letter, ""
            self.offer_keys()
            if press.key != "escape" and not await self._with_column(asked, press.printable.lower()):
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
        if action in ("open", "alike", "counts"):
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
        self._ask_letter("sort", "Sort by")

    def action_alike(self) -> None:
        """= asks for the letter of a column."""
        self._ask_letter("alike", "Only rows with the same")

    def action_counts(self) -> None:
        """f asks for the letter of a column."""
        self._ask_letter("counts", "Count the values of")

    def _ask_letter(self, what: str, words: str) -> None:
        self._asking_letter = what
        self.key_line.ask(self.glyphs.text(f"{words} {self.pane.letters()}"))

    async def _with_column(self, what: str, letter: str) -> bool:
        column = self.pane.column_of(letter)
        if column is None:
            return False
        if what == "sort":
            return self.pane.sort_by(letter)
        field = self.pane.field_of(column)
        if field is None:
            self.status.say(f"The filter has no word for {self.glyphs.text(column.title.strip())}")
        elif what == "alike":
            row = self.pane.table.current
            if row is not None:
                await self._add_words(field, self.pane.table.value(row, field.key))
        else:
            await self._show_counts(field, column.title.strip())
        return True

    async def _show_counts(self, field: Field, title: str) -> None:
        from tui.screens.choices import ChoiceScreen

        await self.pane.settled()
        rows = await self.desk.run(lambda: self.pane.count_values(field.key))
        total = sum(count for _, count in rows)
        columns = (
            Column("value", title, 40, grow=True),
            Column("count", "rows", 9, ">", show=show_count),
            Column("share", "%", 6, ">", show=show_percent),
        )

        async def chosen(row: tuple[object, ...]) -> None:
            await self._add_words(field, row[0])

        listed = [(value, count, 100.0 * count / total) for value, count in rows]
        await self.session.open_record(
            ChoiceScreen(self, f"COUNTS  {title}, {total:,} rows as filtered", columns, listed, ("No row.",), chosen)
        )

    async def _add_words(self, field: Field, value: object) -> None:
        word = alike(field, value)
        if word not in self.pane.wish.filter:
            await self.filter_by(f"{self.pane.wish.filter} {word}".strip())

    async def filter_by(self, words: str) -> None:
        """Filter the list as if the words had been typed."""
        await self.show_as(replace(self.pane.wish, filter=words))

    async def show_as(self, wish: Wish) -> None:
        """Show the list with this filter and order."""
        self.pane.show_as(wish)
        await self.pane.settled()
        self.offer_keys()

    def about(self) -> tuple[str, str]:
        """The subject of the row."""
        row = self.pane.table.current
        if row is None or "subject" not in self.pane.table.field_names:
            return "", ""
        return str(self.pane.table.value(row, "subject") or ""), ""

    def copied(self) -> str:
        """The first of query, subject, file that the row names."""
        row = self.pane.table.current
        names = [name for name in ("query", "subject", "device", "file", "ref") if name in self.pane.table.field_names]
        if row is None:
            return ""
        return next((str(value) for name in names if (value := self.pane.table.value(row, name))), "")

    def copied_all(self) -> str:
        """All fields of the row, for a spreadsheet."""
        row = self.pane.table.current
        return "\t".join("" if value is None else str(value) for value in row.values) if row else ""

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
