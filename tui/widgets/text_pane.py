"""Lines of text that scroll: overviews, records, sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import Glyphs
from tui.messages import TextMoved
from tui.sanitise import fit
from tui.widgets.line import BOLD

Unit = Literal["line", "page", "all"]


@dataclass(frozen=True)
class TextLine:
    """One line of `printable` text."""

    text: str = ""
    heading: bool = False

    @property
    def style(self) -> Style | None:
        return BOLD if self.heading else None


class TextPane(Widget):
    """Shows lines; only lines that differ from what is on the screen are painted again."""

    DEFAULT_CSS = "TextPane { height: 1fr; }"

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._lines: Sequence[TextLine] = ()
        self._top = 0

    @property
    def lines(self) -> Sequence[TextLine]:
        return self._lines

    @property
    def more_below(self) -> int:
        """Lines that do not fit below the last one shown."""
        return max(0, len(self._lines) - self._top - self.size.height)

    def show(self, lines: Sequence[TextLine]) -> None:
        """Show other lines from their first one."""
        before = self._visible()
        self._lines, self._top = lines, 0
        self._refresh_changed(before)

    def scroll_by(self, by: int, unit: Unit) -> None:
        """Move down (negative: up) by lines, by pages, or to the end."""
        self._scroll({"line": by, "page": by * max(1, self.size.height - 1), "all": by * len(self._lines)}[unit])

    def _scroll(self, lines: int) -> None:
        before = self._visible()
        last_top = max(0, len(self._lines) - self.size.height)
        self._top = max(0, min(last_top, self._top + lines))
        self._refresh_changed(before)

    def on_resize(self, event: Resize) -> None:
        """Keep the last lines at the bottom when the terminal grows."""
        self._scroll(0)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line at screen row `y` of the pane, cut to its width."""
        width = self.size.width
        position = self._top + y
        line = self._lines[position] if position < len(self._lines) else TextLine()
        return Strip([Segment(fit(line.text, width, "<", self._glyphs.cut), line.style)], width)

    def _visible(self) -> list[TextLine]:
        height = self.size.height
        shown = list(self._lines[self._top : self._top + height])
        return shown + [TextLine()] * (height - len(shown))

    def _refresh_changed(self, before: list[TextLine]) -> None:
        after = self._visible()
        width = self.size.width
        changed = [Region(0, y, width, 1) for y, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        if changed:
            self.refresh(*changed)
        self.post_message(TextMoved(self.id, self.more_below))
