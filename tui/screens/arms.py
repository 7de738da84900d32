"""Place 5: dose accuracy, compliance and adverse events, arm beside arm; pooled in a blinded trial."""

from __future__ import annotations

from textual.widget import Widget

from tui.desk import Desk
from tui.filters import Field
from tui.fixed_rows import FixedRows
from tui.pages import Wish
from tui.patient_overview import tabs_line
from tui.result_rows import FAMILIES, POOLED, Figure, Results, cell_text, read_results
from tui.sanitise import wrap
from tui.screens.list_place import ListPlace
from tui.widgets.line import Line
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column, Row, Rows

LABEL = 25
WIDEST, NARROWEST = 19, 10
"""Cells of an arm's column: enough for a difference with its interval, at least for a count with its share."""


async def read_arms(desk: Desk) -> ArmsScreen:
    """The screen, with the results read."""
    return ArmsScreen(desk, await desk.pages.run(lambda: read_results(desk.pages)))


class ArmsScreen(ListPlace):
    """A family of results under each tab."""

    NAME = "arms"
    NUMBER = "5"

    def __init__(self, desk: Desk, results: Results) -> None:
        super().__init__(desk)
        self._results = results
        self._tab = 0
        self._tabs = Line(self.glyphs)
        self._wishes = [Wish()] * len(FAMILIES)

    @property
    def command(self) -> str:
        return "dosetrail summary"

    def compose_body(self) -> list[Widget]:
        return [self._tabs, self.pane]

    def on_mount(self) -> None:
        """Show dose accuracy."""
        desk = self.desk
        title = f" 5 ARMS  {self.glyphs.text(desk.study)}  {self._results.cut}"
        self.title_line.show(title, f"{desk.release_label} ")
        self._show()

    def allows(self, action: str) -> bool:
        """Figures stand in their own order; rows that only hold a sentence open too."""
        return action not in ("sort", "reset") and super().allows(action)

    async def action_next_tab(self) -> None:
        """Tab"""
        self._change_tab(1)

    async def action_previous_tab(self) -> None:
        """Shift-Tab"""
        self._change_tab(-1)

    async def action_open(self) -> None:
        """Enter shows the figure in full."""
        from tui.screens.figure import FigureScreen

        await self.pane.settled()
        row = self.pane.table.current
        if row is not None:
            await self.session.open_record(FigureScreen(self, self._figures()[row.row_id // 100]))

    def _change_tab(self, by: int) -> None:
        self._wishes[self._tab] = self.pane.wish
        self._tab = (self._tab + by) % len(FAMILIES)
        self._show()

    def _figures(self) -> list[Figure]:
        return self._results.figures[FAMILIES[self._tab][0]]

    def _show(self) -> None:
        wish = self._wishes[self._tab]
        self._tabs.show(tabs_line([name for _, name in FAMILIES], [None] * len(FAMILIES), self._tab))
        listing = self._listing()
        self.pane.put(listing, listing.open(wish), wish)
        self.offer_keys()

    def _listing(self) -> Listing:
        name = FAMILIES[self._tab][1].lower()
        fields = ["label", *(f"arm {place}" for place in range(len(self._results.arms)))]
        return Listing(
            what="lines",
            columns=self._columns(),
            fields=[Field(key, word=False) for key in fields],
            open=self._open,
            hint="/ any text of a parameter, term or sentence",
            nothing=(f"This release holds no result on {name}.", "Tab shows the other families of results."),
            summary=self._summary(),
        )

    def _summary(self) -> str:
        if self.desk.pages.blinded:
            return "blinded, so pooled over all arms"
        return "differences are descriptive, not adjusted" if len(self._results.arms) > 1 else ""

    def _arm_width(self) -> int:
        count = max(1, len(self._results.arms))
        return max(NARROWEST, min(WIDEST, (self.size.width - 1 - LABEL) // count - 1))

    def _columns(self) -> list[Column]:
        width = self._arm_width()
        columns = [Column("label", "", LABEL, grow=True)]
        for place, arm in enumerate(self._results.arms):
            title = "all arms" if arm == POOLED else self.glyphs.text(arm)
            columns.append(Column(f"arm {place}", title, width, ">", leaves=place))
        return columns

    def _open(self, wish: Wish) -> Rows:
        width, words = self._arm_width(), wish.filter.lower().split()
        rows: list[Row] = []
        for number, figure in enumerate(self._figures()):
            if not all(word in figure.searched for word in words):
                continue
            label = f"{'  ' * figure.level}{figure.label}"
            cells = [cell_text(figure.values.get(arm), width) for arm in self._results.arms]
            if figure.sentence and not any(row["value"] is not None for row in figure.values.values()):
                # A sentence takes the room of the columns; one longer than the screen goes on below.
                said = wrap(f"{label.strip()}: not assessable: {_reason(figure.sentence)}", self.size.width - 5)
                for part, text in enumerate(said):
                    indent = "  " * figure.level + ("  " if part else "")
                    rows.append(Row(100 * number + part, ("",) * (1 + len(cells)), span=indent + text))
            else:
                rows.append(Row(100 * number, (label, *cells)))
        return FixedRows(rows)


def _reason(sentence: str) -> str:
    return sentence.removeprefix("not assessable:").strip()
