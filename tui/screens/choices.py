"""Short lists to choose from: saved views, and the values of a column with how often each occurs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from textual.widget import Widget

from tui.desk import Desk
from tui.fixed_rows import FixedRows
from tui.screens.place import Place
from tui.widgets.row_table import Column, Row, RowTable
from tui.widgets.text_pane import Unit


class ChoiceScreen(Place):
    """Enter leads back and does something with the chosen row."""

    NAME = "choices"

    def __init__(
        self,
        below: Place,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[tuple[object, ...]],
        empty: Sequence[str],
        chosen: Callable[[tuple[object, ...]], Awaitable[None]],
    ) -> None:
        super().__init__(below.desk)
        self._title, self._columns, self._chosen, self._empty = title, columns, chosen, empty
        self._choices = rows
        self._command = below.command
        self._table = RowTable(self.glyphs)

    @property
    def command(self) -> str:
        return self._command

    def compose_body(self) -> list[Widget]:
        return [self._table]

    def on_mount(self) -> None:
        """List them."""
        self.title_line.show(f" {self.glyphs.text(self._title)}")
        self._table.set_columns(self._columns, [column.key for column in self._columns])
        self._table.show(FixedRows([Row(place, row) for place, row in enumerate(self._choices)]), empty=self._empty)
        self.offer_keys()

    def allows(self, action: str) -> bool:
        """Nothing to choose from, nothing to choose."""
        return super().allows(action) and (action != "choose" or bool(self._choices))

    def copied(self) -> str:
        """The first cell."""
        row = self._table.current
        return str(row.values[0]) if row else ""

    async def move(self, by: int, unit: Unit) -> None:
        """Move the cursor."""
        if unit == "line":
            self._table.move(by)
        elif unit == "page":
            self._table.turn(by)
        else:
            self._table.move_to(0 if by < 0 else self._table.count - 1)

    async def action_choose(self) -> None:
        """Enter"""
        row = self._table.current
        assert row is not None
        await self.session.back()
        await self._chosen(row.values)


def views_screen(below: Place, desk: Desk) -> ChoiceScreen:
    """The user's saved views."""
    views = desk.personal.views()
    rows = [
        (
            name,
            view.place,
            view.filter or "everything",
            f"{view.sort}{', reversed' if view.descending else ''}" if view.sort else "",
        )
        for name, view in sorted(views.items())
    ]

    async def chosen(row: tuple[object, ...]) -> None:
        from tui.commanding import apply_view

        await apply_view(below.session, views[str(row[0])])

    columns = (
        Column("name", "view", 16),
        Column("place", "place", 10),
        Column("filter", "filter", 28, grow=True),
        Column("sort", "sorted by", 14),
    )
    empty = ("No view is saved yet.", "In a list: filter and sort it, then type  :save NAME  and press Enter.")
    return ChoiceScreen(below, "VIEWS  saved by you in this study", columns, rows, empty, chosen)
