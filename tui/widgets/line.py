"""One row of text: titles, tabs, the status line and the line of keys are all made of it."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import Glyphs
from tui.sanitise import cell_width, fit, truncate

REVERSE = Style(reverse=True)
BOLD = Style(bold=True)


class Line(Widget):
    """A row with a left and a right text, both `printable`; repainted only when the text changes.

    Textual sends whole dirty regions, trailing blanks included, so a change of the right text alone repaints
    only the cells that text covers.
    """

    DEFAULT_CSS = "Line { height: 1; }"

    def __init__(self, glyphs: Glyphs, style: Style | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._style = style
        self._left = ""
        self._right = ""

    @property
    def text(self) -> str:
        """The left text as it was given."""
        return self._left

    def show(self, left: str, right: str | None = None) -> None:
        """Show `left`, cut where the right text needs the room; `right` None leaves that text as it is."""
        new_right = self._right if right is None else right
        if left == self._left and new_right == self._right:
            return
        width = self.size.width
        cells = max(cell_width(self._right), cell_width(new_right)) + 1
        only_right = left == self._left and cell_width(left) + cells < width
        self._left, self._right = left, new_right
        if only_right:
            self.refresh(Region(width - cells, 0, cells, 1))
        else:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Two segments: the blank between them belongs to the left one, so the right one is painted alone."""
        width = self.size.width
        right = truncate(self._right, width, self._glyphs.cut)
        right = f" {right}" if right else ""
        left = fit(self._left, width - cell_width(right), "<", self._glyphs.cut)
        return Strip([Segment(left, self._style), Segment(right, self._style)], width)
