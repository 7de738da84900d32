"""One row of a list in full, with the file and line it came from; n and p walk the list."""

from __future__ import annotations

from textual.widget import Widget

from tui.records import NAMES, RecordKey, read_record, record_command
from tui.screens.list_place import ListPlace
from tui.screens.place import BODY, Place
from tui.widgets.row_table import Row
from tui.widgets.text_pane import TextLine, TextPane, Unit


async def open_record(list_screen: ListPlace, subject: str | None = None) -> None:
    """Open the row under the cursor of a list whose rows say where they are kept."""
    screen = RecordScreen(list_screen, subject)
    await screen.read()
    await list_screen.session.open_record(screen)


class RecordScreen(Place):
    """Reads the row under the cursor of the list below it."""

    NAME = "record"

    def __init__(self, list_screen: ListPlace, subject: str | None) -> None:
        super().__init__(list_screen.desk)
        self._list = list_screen
        self._subject = subject
        self._pane = TextPane(self.glyphs, id=BODY)
        self._lines: tuple[TextLine, ...] = ()
        self._at: RecordKey | None = None
        self._what = ""

    def compose_body(self) -> list[Widget]:
        return [self._pane]

    @property
    def command(self) -> str:
        return record_command(self._at) if self._at else "dosetrail status"

    def about(self) -> tuple[str, str]:
        """The subject, and where the record stands."""
        at = self._at
        if at is None or not at.subject:
            return "", ""
        line = f" line {at.line} of {at.source_id}" if at.line is not None else ""
        return at.subject, f"{self._what}{line}" if at.table not in ("query", "subject") else ""

    def copied(self) -> str:
        """The query, the subject, or the file."""
        at = self._at
        return str((at.ref if at.table == "query" else at.subject or at.device or at.source_id) or "") if at else ""

    def copied_all(self) -> str:
        """The text shown."""
        return "\n".join(line.text.strip() for line in self._lines)

    def on_mount(self) -> None:
        """Show what was read before the screen was opened."""
        self._show()

    async def take_up(self) -> None:
        """The same record as it is in the newer release."""
        assert self._at is not None
        at = self._at
        lines = await self.desk.run(lambda: read_record(self.desk.pages, self.glyphs, at))
        if lines:
            self._lines = lines
        else:
            self.status.say(f"This {self._what} is not in release {self.desk.pages.release}; it is shown as it was")
        self._show()

    def allows(self, action: str) -> bool:
        """n and p need a neighbour."""
        table = self._list.pane.table
        if action == "next_record":
            return table.cursor + 1 < table.count
        if action == "previous_record":
            return table.cursor > 0
        return super().allows(action)

    async def read(self) -> None:
        """Read the row under the cursor of the list."""
        row = self._list.pane.table.current
        assert row is not None
        self._at = key = self._key(row)
        self._what = NAMES[key.table]
        self._lines = await self.desk.pages.run(lambda: read_record(self.desk.pages, self.glyphs, key))

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll."""
        self._pane.scroll_by(by, unit)

    async def action_next_record(self) -> None:
        """n"""
        await self._walk(1)

    async def action_previous_record(self) -> None:
        """p"""
        await self._walk(-1)

    async def _walk(self, by: int) -> None:
        self._list.pane.table.move(by)
        await self.read()
        self._show()

    def _show(self) -> None:
        table = self._list.pane.table
        who = self.glyphs.text(self._subject or self.desk.study)
        heading = self._what.upper()
        self.title_line.show(f" {heading}  {who}", f"{table.cursor + 1:,} of {table.count:,} ")
        self._pane.show(self._lines)
        self.offer_keys()

    def _key(self, row: Row) -> RecordKey:
        table = self._list.pane.table
        held = {name: table.value(row, name) for name in table.field_names}
        return RecordKey(
            table=held["kept_in"],
            source_id=held.get("source_id"),
            line=held.get("line"),
            subject=self._subject or held.get("subject"),
            planned_no=held.get("planned_no"),
            device=held.get("device") or (held.get("ref") if held["kept_in"] == "device" else None),
            ref=held.get("query") or held.get("ref"),
        )
