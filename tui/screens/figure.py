"""One figure in full, arm by arm: value, interval, counts, method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from tui.cells import describe
from tui.result_rows import POOLED, Figure, format_value
from tui.sanitise import wrap
from tui.screens.place import BODY, Place
from tui.widgets.text_pane import TextLine, TextPane, Unit

if TYPE_CHECKING:
    from tui.screens.arms import ArmsScreen

LABEL = 18
SHARED = ("population", "parameter", "statistic", "period", "soc", "term", "estimand", "method", "data_cut")


class FigureScreen(Place):
    """Text only; Esc leads back to the figures."""

    NAME = "figure"

    def __init__(self, arms: ArmsScreen, figure: Figure) -> None:
        super().__init__(arms.desk)
        self._figure = figure
        self._pane = TextPane(self.glyphs, id=BODY)

    @property
    def command(self) -> str:
        return "dosetrail summary"

    def compose_body(self) -> list[Widget]:
        return [self._pane]

    def on_mount(self) -> None:
        """Write the figure."""
        self.title_line.show(f" FIGURE  {self.glyphs.text(self._figure.label)}")
        self._pane.show(self._lines())
        self.offer_keys()

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll."""
        self._pane.scroll_by(by, unit)

    def _lines(self) -> list[TextLine]:
        lines: list[TextLine] = []
        rows = list(self._figure.values.values())
        for name in SHARED:
            self._write(lines, name.replace("_", " "), ", ".join(dict.fromkeys(describe(row[name]) for row in rows)))
        for arm, row in self._figure.values.items():
            against = f" against {row['comparator']}" if row["comparator"] else ""
            lines += [
                TextLine(),
                TextLine(f" {self.glyphs.text('ALL ARMS' if arm == POOLED else arm + against)}", heading=True),
            ]
            unit = row["unit"]
            value = "" if row["value"] is None else format_value(row["value"], unit)
            self._write(lines, "value", f"{value} {unit if unit not in (None, '1', '%') else ''}".strip())
            if row["lower"] is not None and row["upper"] is not None:
                level = f"{100 * row['level']:g} % interval" if row["level"] else "interval"
                self._write(lines, level, f"{format_value(row['lower'], unit)} to {format_value(row['upper'], unit)}")
            if row["denominator"] is not None:
                numerator = "" if row["numerator"] is None else f"{row['numerator']:,.12g} of "
                self._write(lines, "counted", f"{numerator}{row['denominator']:,.12g}")
            self._write(lines, "subjects", describe(row["subjects"]))
            self._write(lines, "doses", describe(row["doses"]))
            self._write(lines, "not assessable", describe(row["not_assessable"]))
        return lines

    def _write(self, lines: list[TextLine], label: str, value: str) -> None:
        text = self.glyphs.text(value)
        if text:
            first, *rest = wrap(text, self.app.size.width - LABEL - 2)
            lines.append(TextLine(f" {self.glyphs.cell(label, LABEL)}{first}"))
            lines.extend(TextLine(f" {'':{LABEL}}{more}") for more in rest)
