"""One parameter in full: all its statistics, arm by arm, with interval, counts and method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from tui.cells import describe
from tui.result_rows import POOLED, Block, Figure, Result, difference_text, result_text
from tui.sanitise import wrap
from tui.screens.place import BODY, Place
from tui.widgets.text_pane import TextLine, TextPane, Unit

if TYPE_CHECKING:
    from tui.screens.arms import ArmsScreen

LABEL = 14
SHARED = ("population", "parameter", "drug", "channel", "device_class", "period", "by", "by_value", "soc", "term")
SHARED_MORE = ("dose_pair", "estimand", "data_cut")


class FigureScreen(Place):
    """Text only; Esc leads back to the figures."""

    NAME = "figure"

    def __init__(self, arms: ArmsScreen, block: Block) -> None:
        super().__init__(arms.desk)
        self._block = block
        self._pane = TextPane(self.glyphs, id=BODY)

    @property
    def command(self) -> str:
        return "dosetrail summary"

    def compose_body(self) -> list[Widget]:
        return [self._pane]

    def on_mount(self) -> None:
        """Write the figures."""
        self.title_line.show(f" FIGURE  {self.glyphs.text(self._block.figures[0].label)}")
        self._pane.show(self._lines())
        self.offer_keys()

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll."""
        self._pane.scroll_by(by, unit)

    def _lines(self) -> list[TextLine]:
        lines: list[TextLine] = []
        first = next(iter(self._block.figures[0].values.values()))
        for name in (*SHARED, *SHARED_MORE):
            self._write(lines, name.replace("_", " "), describe(first[name]))
        for figure in self._block.figures:
            self._write_figure(lines, figure)
        return lines

    def _write_figure(self, lines: list[TextLine], figure: Figure) -> None:
        rows = list(figure.values.values())
        unit = rows[0]["unit"]
        heading = figure.statistic.replace("_", " ").upper()
        against = f" AGAINST {figure.comparator}" if figure.comparator else ""
        in_unit = f" ({unit})" if unit not in (None, "1", "%") else ""
        lines += [TextLine(), TextLine(f" {self.glyphs.text(heading + against + in_unit)}", heading=True)]
        for arm, row in figure.values.items():
            self._write(lines, "all arms" if arm == POOLED else arm, _in_full(row))
        for method in dict.fromkeys(row["method"] for row in rows if row["method"]):
            self._write(lines, "method", method)

    def _write(self, lines: list[TextLine], label: str, value: str) -> None:
        text = self.glyphs.text(value)
        if text:
            first, *rest = wrap(text, self.app.size.width - LABEL - 2)
            lines.append(TextLine(f" {self.glyphs.cell(label, LABEL)}{first}"))
            lines.extend(TextLine(f" {'':{LABEL}}{more}") for more in rest)


def _in_full(row: Result) -> str:
    """Value, interval with its level, counts, subjects and doses; or why there is none."""
    if row["value"] is None:
        return row["not_assessable"] or "not estimable"
    parts = [result_text(row, "value")]
    if row["lower"] is not None or row["upper"] is not None:
        level = f"{100 * row['level']:g} % " if row["level"] else ""
        parts.append(f"{level}{difference_text(row).split('(', 1)[1].removesuffix(')')}")
    if row["denominator"] is not None and row["numerator"] is not None:
        counts = f"{row['numerator']:,.6g} of {row['denominator']:,.6g}"
        parts = [counts] if row["numerator"] == row["value"] else [*parts, counts]
    parts += [f"{row[name]:,} {name}" for name in ("subjects", "doses") if row[name] is not None]
    return "; ".join(parts)
