"""Place 5: dose accuracy, compliance and adverse events, arm beside arm; pooled in a blinded trial."""

from __future__ import annotations

from textual.events import Resize
from textual.widget import Widget

from tui.desk import Desk
from tui.filters import Field
from tui.fixed_rows import FixedRows
from tui.pages import Wish
from tui.patient_overview import tabs_line
from tui.result_rows import FAMILIES, POOLED, Block, Results, figure_lines, read_results
from tui.screens.list_place import ListPlace
from tui.widgets.line import Line
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column, Row, Rows

LABEL, LABEL_NARROW = 20, 14
"""Cells of the label at least, from 80 columns on and below."""
WIDEST, NARROWEST = 17, 9
"""Cells of an arm's column: enough for a difference with its interval, at least for a share."""
LINES_OF_A_BLOCK = 1000
"""Row ids of a block's lines start at a multiple of this."""
POOLED_WIDTH = 8
"""Cells of the column over all arms beside those of the arms: the value alone."""


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
        self._laid_out_for = 0

    @property
    def command(self) -> str:
        return "dosetrail summary"

    def compose_body(self) -> list[Widget]:
        return [self._tabs, self.pane]

    def on_mount(self) -> None:
        """Show dose accuracy."""
        self._show_title()
        self._show()

    async def take_up(self) -> None:
        """The results of the newer release."""
        self._results = await self.desk.run(lambda: read_results(self.desk.pages))
        self._show_title()
        await self.pane.take_up(self._listing())

    def _show_title(self) -> None:
        desk = self.desk
        title = f" 5 ARMS  {self.glyphs.text(desk.study)}  {self._results.cut}"
        self.title_line.show(title, f"{desk.release_label} ")

    def on_resize(self, event: Resize) -> None:
        """Give the arms the room there is now."""
        super().on_resize(event)
        if self._laid_out_for not in (0, event.size.width):
            self._wishes[self._tab] = self.pane.wish
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
            await self.session.open_record(FigureScreen(self, self._blocks()[row.row_id // LINES_OF_A_BLOCK]))

    def _change_tab(self, by: int) -> None:
        self._wishes[self._tab] = self.pane.wish
        self._tab = (self._tab + by) % len(FAMILIES)
        self._show()

    def _blocks(self) -> list[Block]:
        return self._results.blocks[FAMILIES[self._tab][0]]

    def _show(self) -> None:
        wish = self._wishes[self._tab]
        self._laid_out_for = self.size.width
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
            hint="/ finds any parameter, term, severity, relation ... listed or not",
            nothing=(
                f"This {'blinded ' if self.desk.pages.blinded else ''}release holds no result on {name}.",
                "Tab shows the other families of results.",
            ),
            summary=self._summary(),
        )

    def _summary(self) -> str:
        if self.desk.pages.blinded:
            return "blinded, so pooled over all arms"
        compared = any(figure.comparator for block in self._blocks() for figure in block.figures)
        return "differences are descriptive, not adjusted" if compared else ""

    def _widths(self) -> list[int]:
        """Cells of each arm's column."""
        arms = self._results.arms
        if len(arms) < 2:
            return [WIDEST] * len(arms)
        pooled = POOLED in arms
        room = self.size.width - 1 - (LABEL if self.size.width >= 80 else LABEL_NARROW)
        each = (room - (POOLED_WIDTH + 1) * pooled) // (len(arms) - pooled) - 1
        width = max(NARROWEST, min(WIDEST, each))
        return [POOLED_WIDTH if arm == POOLED else width for arm in arms]

    def _columns(self) -> list[Column]:
        columns = [Column("label", "", LABEL_NARROW, grow=True)]
        for place, (arm, width) in enumerate(zip(self._results.arms, self._widths(), strict=True)):
            title = "all arms" if arm == POOLED else self.glyphs.text(arm)
            columns.append(Column(f"arm {place}", title, width, ">", leaves=place))
        return columns

    def _open(self, wish: Wish) -> Rows:
        arms, widths, words = self._results.arms, self._widths(), wish.filter.lower().split()
        label = self.size.width - 1 - sum(width + 1 for width in widths)
        rows: list[Row] = []
        for number, block in enumerate(self._blocks()):
            if block.detail if not words else not all(word in block.searched for word in words):
                continue
            lines = (
                line
                for figure in block.listed
                for line in figure_lines(figure, arms, label, widths, self.size.width - 2)
            )
            for part, line in enumerate(lines):
                row_id = LINES_OF_A_BLOCK * number + part
                if isinstance(line, str):
                    rows.append(Row(row_id, ("",) * (1 + len(arms)), span=line))
                else:
                    rows.append(Row(row_id, (line[0], *line[1])))
        return FixedRows(rows)
