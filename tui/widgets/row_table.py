"""A table over any number of rows: it holds the pages it shows, never the data.

Textual's own table keeps every row and stalls for 13 s at 100,000; this one formats pages of 128 rows as plain
strings, one segment a row, so a cursor move sends two rows and a million rows cost what a hundred do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.segment import Segment
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import Glyphs
from tui.messages import RowMoved
from tui.sanitise import Align, fit
from tui.widgets.line import BOLD, REVERSE

PAGE_ROWS = 128
PAGES_KEPT = 16


@dataclass(frozen=True)
class Row:
    """One row as read: `row_id` is stable under filtering and sorting, `values` are in the order of the fields."""

    row_id: int
    values: tuple[Any, ...]
    span: str = ""
    """Text that takes the room of all columns."""


class Rows(Protocol):
    """An ordered set of rows that can be shown; reading a page takes a few milliseconds at most."""

    @property
    def count(self) -> int:
        """Number of rows."""

    def fetch(self, start: int, stop: int) -> list[Row]:
        """The rows at positions `start` to `stop` (exclusive), fewer at the end."""

    def position(self, row_id: int) -> int | None:
        """Where the row stands in this order; None when it is not among the rows."""


@dataclass(frozen=True)
class Column:
    """One column of a table, designed to exact cells."""

    key: str
    """Field whose value is shown; also its word in the filter line."""
    title: str
    width: int
    """Cells at least."""
    align: Align = "<"
    letter: str = ""
    """Key that sorts by this column after `s`; empty when it cannot be sorted."""
    grow: bool = False
    """Takes the cells left over on a wider screen."""
    leaves: int = 0
    """Order in which columns leave a screen that is too narrow: the highest first, 0 stays."""
    show: Callable[[Any, Glyphs], str] | None = None
    """Turns the value into text; without it the value is printed as it is."""


def lay_out(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that fit in `width` cells with one blank between them, and the cells each of them gets."""
    kept = list(columns)
    while len(kept) > 1 and _needed(kept) > width:
        leaving = max(kept, key=lambda column: column.leaves)
        if leaving.leaves == 0:
            break
        kept.remove(leaving)
    spare = max(0, width - _needed(kept))
    growing = [column for column in kept if column.grow]
    widths = []
    for column in kept:
        extra = 0
        if column.grow:
            extra = spare // len(growing)
            spare -= extra
            growing.pop()
        widths.append((column, column.width + extra))
    return widths


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


class RowTable(Widget):
    """The table. Its screen gives it `Rows` and tells it to move; it posts `RowMoved`."""

    DEFAULT_CSS = "RowTable { height: 1fr; }"

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._columns: Sequence[Column] = ()
        self._fields: dict[str, int] = {}
        self._layout: list[tuple[Column, int]] = []
        self._sorted: tuple[str, bool] | None = None
        self._rows: Rows | None = None
        self._empty: Sequence[str] = ()
        self._pages: OrderedDict[int, list[tuple[Row, str]]] = OrderedDict()
        self._cursor = 0
        self._top = 0
        self._stale = False

    @property
    def count(self) -> int:
        return self._rows.count if self._rows else 0

    @property
    def cursor(self) -> int:
        """Position of the cursor's row, from 0."""
        return self._cursor

    @property
    def current(self) -> Row | None:
        """The row under the cursor; None in an empty table."""
        return self._line(self._cursor)[0] if self.count else None

    @property
    def body_height(self) -> int:
        """Rows that fit below the heading."""
        return max(1, self.size.height - 1)

    @property
    def shown(self) -> list[Column]:
        """The columns that fit on the screen."""
        return [column for column, _ in self._layout]

    @property
    def field_names(self) -> list[str]:
        """Names of the values of a row."""
        return list(self._fields)

    def value(self, row: Row, key: str) -> Any:
        """The value of a field in a row."""
        return row.values[self._fields[key]]

    def set_columns(self, columns: Sequence[Column], fields: Sequence[str]) -> None:
        """Show other columns; `fields` names the values of a `Row` in their order. Forgets the rows shown."""
        self._columns = columns
        self._fields = {key: position for position, key in enumerate(fields)}
        self._rows, self._cursor, self._top = None, 0, 0
        self._arrange()

    def show(
        self,
        rows: Rows,
        *,
        cursor: int = 0,
        sorted_by: tuple[str, bool] | None = None,
        empty: Sequence[str] = (),
    ) -> None:
        """Show `rows` with the cursor on one of them; `empty` is said when there are none.

        `sorted_by` is the key of the column and whether it descends; the heading marks it.
        """
        before = self._painted()
        heading_changed = sorted_by != self._sorted
        at = self._cursor - self._top
        self._rows, self._sorted, self._empty = rows, sorted_by, empty
        self._pages.clear()
        self._cursor = max(0, min(rows.count - 1, cursor))
        self._top = self._cursor - at  # the row under the cursor stays on its line of the screen
        self._keep_cursor_visible()
        self._refresh_changed(before)
        if heading_changed:
            self._refresh_lines([0])
        self._tell()

    def move(self, by: int) -> None:
        """Move the cursor by rows; at the edge half a page scrolls, which keeps context and saves bytes."""
        self.move_to(self._cursor + by)

    def turn(self, pages: int) -> None:
        """Move by whole pages; the cursor stays on its line of the screen."""
        if self.count == 0:
            return
        before = self._painted()
        by = pages * self.body_height
        target = max(0, min(self.count - 1, self._cursor + by))
        self._top += target - self._cursor
        self._cursor = target
        self._keep_cursor_visible()
        self._refresh_changed(before)
        self._tell()

    def move_to(self, position: int) -> None:
        """Put the cursor on a row."""
        target = max(0, min(self.count - 1, position))
        if target == self._cursor:
            return
        last, self._cursor = self._cursor, target
        if self.app.screen is not self.screen:
            # A repaint of a hidden table would repaint the screen above it too (11 KB for 3).
            self._keep_cursor_visible()
            self._stale = True
            return
        top = self._top
        before = self._painted() if not top <= target < top + self.body_height else None
        self._keep_cursor_visible()
        if self._top == top:
            self._refresh_lines([last - top + 1, target - top + 1])
        elif before is not None:
            self._refresh_changed(before)
        self._tell()

    def resume(self) -> None:
        """Catch up with moves made while another screen was open."""
        if self._stale:
            self._stale = False
            self.refresh()
            self._tell()

    def on_resize(self, event: Resize) -> None:
        """Lay the columns out for the new width and keep the cursor on the screen."""
        self._arrange()
        self._keep_cursor_visible()

    def render_line(self, y: int) -> Strip:
        """Row 0 is the heading, the others are rows of the table."""
        width = self.size.width
        if y == 0:
            return Strip([Segment(self._heading(), BOLD)], width)
        text, is_cursor = self._body_line(y - 1)
        return Strip([Segment(text, REVERSE if is_cursor else None)], width)

    def _heading(self) -> str:
        sorted_key, descending = self._sorted or ("", False)
        sign = self._glyphs.descending if descending else self._glyphs.ascending
        parts = []
        for column, width in self._layout:
            if column.letter and column.key == sorted_key:
                # The sign stands in the blank after the column, so it never moves a title, or next to a left one.
                title = fit(column.title, width, column.align, self._glyphs.cut)
                parts.append(f"{title}{sign}" if column.align == ">" else fit(f"{column.title}{sign}", width + 1))
            else:
                parts.append(fit(column.title, width, column.align, self._glyphs.cut) + " ")
        return fit(" " + "".join(parts).rstrip(), self.size.width, "<", self._glyphs.cut)

    def _body_line(self, line: int) -> tuple[str, bool]:
        width = self.size.width
        position = self._top + line
        if position < self.count:
            is_cursor = position == self._cursor
            mark = self._glyphs.cursor if is_cursor else " "
            return fit(mark + self._line(position)[1], width, "<", self._glyphs.cut), is_cursor
        text = "  " + self._empty[line] if self.count == 0 and line < len(self._empty) else ""
        return fit(text, width, "<", self._glyphs.cut), False

    def _line(self, position: int) -> tuple[Row, str]:
        number, offset = divmod(position, PAGE_ROWS)
        page = self._pages.get(number)
        if page is None:
            assert self._rows is not None
            start = number * PAGE_ROWS
            page = [(row, self._format(row)) for row in self._rows.fetch(start, start + PAGE_ROWS)]
            self._pages[number] = page
            if len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page[offset]

    def _format(self, row: Row) -> str:
        glyphs = self._glyphs
        if row.span:
            return glyphs.cell(row.span, self.size.width - 1)
        cells = []
        for column, width in self._layout:
            value = row.values[self._fields[column.key]]
            text = column.show(value, glyphs) if column.show else value
            cells.append(glyphs.cell(text, width, column.align))
        return " ".join(cells)

    def _arrange(self) -> None:
        self._layout = lay_out(self._columns, self.size.width - 1)
        self._pages.clear()
        self.refresh()

    def _keep_cursor_visible(self) -> None:
        height = self.body_height
        if self._cursor < self._top:
            self._top = self._cursor - height // 2
        elif self._cursor >= self._top + height:
            self._top = self._cursor - height // 2
        self._top = max(0, min(self._top, self.count - height))

    def _painted(self) -> list[tuple[str, bool]]:
        if self._rows is None:
            return []
        return [self._body_line(line) for line in range(self.body_height)]

    def _refresh_changed(self, before: list[tuple[str, bool]]) -> None:
        after = self._painted()
        if len(before) != len(after):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new]
        self._refresh_lines(changed)

    def _refresh_lines(self, lines: list[int]) -> None:
        if lines:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in lines))

    def _tell(self) -> None:
        self.post_message(RowMoved(self._cursor + 1 if self.count else 0, self.count))
