"""Place 2: the patients, filtered while one types."""

from __future__ import annotations

from tui.cells import show_count, show_day, show_gauge, show_percent
from tui.desk import Desk
from tui.pages import Wish
from tui.patient_rows import PATIENTS
from tui.screens.list_place import ListPlace
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column, Rows

ARM = Column("arm_shown", "arm", 9, letter="a", leaves=1)

COLUMNS = (
    Column("subject", "subject", 12, letter="s", grow=True),
    ARM,
    Column("status", "status", 12, letter="t"),
    Column("day", "day", 4, ">", letter="d", leaves=3, show=show_count),
    Column("comp", "comp%", 5, ">", letter="c", show=show_percent),
    Column("comp", "", 8, leaves=5, show=show_gauge),
    Column("aes", "AEs", 3, ">", letter="e", show=show_count),
    Column("last", "last dose", 10, letter="l", leaves=2, show=show_day),
    Column("site", "site", 6, letter="i", leaves=4),
)


def patients_listing(desk: Desk) -> Listing:
    """The list of patients; in a blinded release it has no arm column."""
    columns = [column for column in COLUMNS if column is not ARM] if desk.pages.blinded else COLUMNS
    words = "site: status: ae: comp<80 day>30" if desk.pages.blinded else "site: arm: status: ae: comp<80 day>30"
    return Listing(
        what="patients",
        columns=columns,
        fields=PATIENTS.fields,
        key=PATIENTS.key,
        open=lambda wish: desk.pages.open_list(PATIENTS, wish),
        hint=f"/ {words} or any text",
        nothing=(
            "This release holds no patient.",
            "Import an enrolment file: dosetrail import --study FOLDER FILE; i shows what came so far.",
        ),
    )


class PatientsScreen(ListPlace):
    """The list; Enter opens a patient, who can then be followed by n and p through the filtered list."""

    NAME = "patients"
    NUMBER = "2"

    def __init__(self, desk: Desk, rows: Rows) -> None:
        super().__init__(desk)
        self._first_rows = rows

    def on_mount(self) -> None:
        """Show the rows that were read before the screen was opened: one paint instead of two."""
        self._show_title()
        self.pane.put(patients_listing(self.desk), self._first_rows, Wish())

    async def take_up(self) -> None:
        """The patients of the newer release."""
        self._show_title()
        await self.pane.take_up(patients_listing(self.desk))

    def _show_title(self) -> None:
        desk, text = self.desk, self.glyphs.text
        self.title_line.show(f" 2 PATIENTS  {text(desk.study)}", f"{text(desk.release_label)} ")

    async def put_cursor(self, subject: str) -> bool:
        """Put the cursor on a patient, without the filter when it hides them; False when there is no such patient."""
        if await self.pane.put_cursor({"subject": subject}):
            return True
        known = await self.desk.run(lambda: self._knows(subject))
        if known and self.pane.wish.filter:
            await self.show_as(Wish())
            return await self.pane.put_cursor({"subject": subject})
        return False

    def _knows(self, subject: str) -> bool:
        return self.desk.pages.open_list(PATIENTS, Wish()).find({"subject": subject}) is not None

    async def action_open(self) -> None:
        """Enter opens the patient under the cursor."""
        from tui.screens.patient import open_patient

        await self.pane.settled()
        if self.pane.table.count:
            await open_patient(self)
