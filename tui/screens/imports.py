"""What was imported, file by file, and which rows are in quarantine and why."""

from __future__ import annotations

from textual.widget import Widget

from tui.cells import show_count, show_day
from tui.desk import Desk
from tui.import_rows import FILES, QUARANTINE, summarise_files, summarise_quarantine
from tui.pages import Wish
from tui.patient_overview import tabs_line
from tui.screens.list_place import ListPlace
from tui.widgets.line import Line
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column, Rows

FILE_COLUMNS = (
    Column("file", "file", 14, letter="f", grow=True),
    Column("format", "format", 8, letter="t", leaves=3),
    Column("read", "read", 8, ">", letter="r", show=show_count),
    Column("new", "new", 8, ">", letter="n", show=show_count),
    Column("duplicate", "dup.", 6, ">", letter="d", show=show_count),
    Column("superseded", "old", 5, ">", letter="o", show=show_count),
    Column("quarantined", "quar.", 5, ">", letter="q", show=show_count),
    Column("first", "first", 10, letter="b", leaves=2, show=show_day),
    Column("last", "last", 10, letter="l", leaves=1, show=show_day),
)
QUARANTINE_COLUMNS = (
    Column("reason", "why", 17, letter="w"),
    Column("field", "field", 13, letter="f", leaves=2),
    Column("value", "found", 12, letter="v", grow=True),
    Column("subject", "subject", 13, letter="s"),
    Column("file", "file", 10, letter="i", leaves=1),
    Column("line", "line", 7, ">", letter="l", show=show_count),
)


BY_NAME = Wish(sort="file")


async def read_imports(desk: Desk) -> ImportsScreen:
    """The screen, with its files read."""
    files, quarantine = await desk.pages.run(lambda: (_files(desk), _quarantine(desk)))
    rows = await desk.pages.run(lambda: (files.open(BY_NAME), quarantine.open(Wish())))
    return ImportsScreen(desk, (files, quarantine), rows)


class ImportsScreen(ListPlace):
    """Two lists under two tabs: files, and rows in quarantine."""

    NAME = "imports"
    NUMBER = "i"

    def __init__(self, desk: Desk, listings: tuple[Listing, Listing], rows: tuple[Rows, Rows]) -> None:
        super().__init__(desk)
        self._listings = listings
        self._counts = (rows[0].count, rows[1].count)
        self._first_rows = rows[0]
        self._tab = 0
        self._kept = [(BY_NAME, 0), (Wish(), 0)]
        self._tabs = Line(self.glyphs)

    @property
    def listed(self) -> tuple[str, str]:
        return ("files", "quarantine-rows")[self._tab], ""

    def compose_body(self) -> list[Widget]:
        return [self._tabs, self.pane]

    def on_mount(self) -> None:
        """Show the files."""
        desk = self.desk
        self.title_line.show(f" IMPORTS  {self.glyphs.text(desk.study)}", f"{desk.release_label} ")
        self._show(self._first_rows)

    async def take_up(self) -> None:
        """The files and rows of the newer release."""
        desk = self.desk
        self._listings = await desk.run(lambda: (_files(desk), _quarantine(desk)))
        files, quarantine = self._listings
        counts = await desk.run(lambda: (files.open(Wish()).count, quarantine.open(Wish()).count))
        self._counts = counts
        self.title_line.show(f" IMPORTS  {self.glyphs.text(desk.study)}", f"{desk.release_label} ")
        self._tabs.show(tabs_line(("Files", "Quarantine"), self._counts, self._tab))
        await self.pane.take_up(self._listings[self._tab])

    async def action_next_tab(self) -> None:
        """Tab"""
        self._kept[self._tab] = (self.pane.wish, self.pane.table.cursor)
        self._tab = 1 - self._tab
        listing, (wish, _) = self._listings[self._tab], self._kept[self._tab]
        self._show(await self.desk.pages.run(lambda: listing.open(wish)))

    async def action_previous_tab(self) -> None:
        """Shift-Tab"""
        await self.action_next_tab()

    async def action_open(self) -> None:
        """Enter shows the row in full: for a quarantined row also why, and the text as received."""
        from tui.screens.record import open_record

        await self.pane.settled()
        if self.pane.table.count:
            await open_record(self)

    def _show(self, rows: Rows) -> None:
        wish, cursor = self._kept[self._tab]
        self._tabs.show(tabs_line(("Files", "Quarantine"), self._counts, self._tab))
        self.pane.put(self._listings[self._tab], rows, wish, cursor)
        self.offer_keys()


def _files(desk: Desk) -> Listing:
    return Listing(
        what="files",
        columns=FILE_COLUMNS,
        fields=FILES.fields,
        key=FILES.key,
        open=lambda wish: desk.pages.open_list(FILES, wish),
        hint="/ format: quarantined>0 read>1000 or any text",
        nothing=(
            "Nothing was imported into this release.",
            "Leave with q, then: dosetrail import --study FOLDER FILE",
        ),
        summary=summarise_files(desk.pages),
    )


def _quarantine(desk: Desk) -> Listing:
    return Listing(
        what="rows",
        columns=QUARANTINE_COLUMNS,
        fields=QUARANTINE.fields,
        key=QUARANTINE.key,
        open=lambda wish: desk.pages.open_list(QUARANTINE, wish),
        hint="/ reason: field: subject: file: or any text",
        nothing=("No row is in quarantine: every row that was read is in use or a duplicate.",),
        summary=summarise_quarantine(desk.pages),
    )
