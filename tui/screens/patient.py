"""One patient: overview, doses, adverse events, device; n and p walk the filtered list."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from tui.cells import show_amount, show_count, show_day, show_delay, show_minute
from tui.desk import ActionRefused, Desk
from tui.pages import Source, Wish
from tui.patient_overview import Patient, read_patient, tabs_line
from tui.patient_rows import PATIENTS, devices_of, doses_of, events_of, history_of, intervals_of, queries_of
from tui.screens.desk_list import load_history, load_pending
from tui.screens.list_place import ListPlace
from tui.screens.place import BODY
from tui.widgets.line import Line
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column
from tui.widgets.text_pane import TextPane, Unit

if TYPE_CHECKING:
    from tui.screens.patients import PatientsScreen

TABS = ("Overview", "Doses", "AEs", "Device", "Queries", "History")

SOURCE = (
    Column("file", "file", 8, letter="f", grow=True, leaves=4),
    Column("line", "line", 5, ">", letter="l", leaves=5),
)
DOSES = (
    Column("date", "day", 10, letter="d", show=show_day),
    Column("due", "due", 5, leaves=3),
    Column("taken", "taken", 9),
    Column("delay", "delay", 5, ">", letter="y", show=show_delay),
    Column("plan", "plan", 6, ">", letter="p", show=show_amount),
    Column("given", "given", 6, ">", letter="g", show=show_amount),
    Column("unit", "unit", 4, leaves=2),
    Column("state", "state", 11, letter="s"),
    *SOURCE,
)
INTERVALS = (
    Column("start", "from", 10, letter="b", show=show_day),
    Column("until", "until", 10, letter="u", show=show_day),
    Column("days", "days", 5, ">", letter="d", show=show_count),
    Column("amount", "amount", 8, ">", letter="a", show=show_amount),
    Column("unit", "unit", 5),
    Column("frequency", "often", 8, letter="o", leaves=1),
    *SOURCE,
)
EVENTS = (
    Column("start", "start", 10, letter="b"),
    Column("end", "end", 10, letter="e", leaves=1),
    Column("term", "term", 19, letter="t", grow=True),
    Column("severity", "severity", 8, letter="v"),
    Column("serious", "SAE", 3, letter="s"),
    Column("causality", "causality", 9, letter="c", leaves=2),
    Column("file", "file", 9, letter="f", leaves=4),
    Column("line", "line", 4, ">", letter="l", leaves=5),
)
DEVICES = (
    Column("start", "from", 16, letter="b", show=show_minute),
    Column("until", "until", 10, letter="u", leaves=1, show=show_day),
    Column("device", "device", 13, letter="d"),
    Column("what", "what", 20, letter="w", grow=True),
    *SOURCE,
)


QUERIES = (
    Column("query", "query", 12, letter="q"),
    Column("state", "state", 10, letter="t"),
    Column("question", "question", 24, letter="n", grow=True),
    Column("answer", "answer", 14, letter="w", leaves=2),
    Column("due", "due", 10, letter="d", leaves=1, show=show_day),
)
HISTORY = (
    Column("at", "when (UTC)", 16, letter="a", show=show_minute),
    Column("by", "who", 10, letter="b", leaves=1),
    Column("did", "did", 14, letter="d"),
    Column("record", "record", 14, letter="r", leaves=2),
    Column("text", "in words", 18, letter="x", grow=True),
)


async def open_patient(patients: PatientsScreen) -> None:
    """Open the patient under the cursor of the list."""
    screen = PatientScreen(patients, await read_current(patients))
    await patients.session.open_record(screen)


async def read_again(desk: Desk, subject: str, width: int) -> Patient | None:
    """Read a patient in the release that is open now; None when it does not hold them."""

    def read() -> Patient | None:
        rows = desk.pages.open_list(PATIENTS, Wish())
        place = rows.find({"subject": subject})
        if place is None:
            return None
        (row,) = rows.fetch(place, place + 1)
        values: dict[str, Any] = dict(zip((field.key for field in PATIENTS.fields), row.values, strict=True))
        return read_patient(desk.pages, desk.glyphs, subject, str(values["status"]), values["comp"], width)

    return await desk.run(read)


async def read_current(patients: PatientsScreen) -> Patient:
    """Read the patient under the cursor of the list."""
    desk, table = patients.desk, patients.pane.table
    row = table.current
    assert row is not None
    subject, status = str(table.value(row, "subject")), str(table.value(row, "status"))
    compliance: float | None = table.value(row, "comp")
    width = patients.app.size.width
    return await desk.pages.run(lambda: read_patient(desk.pages, desk.glyphs, subject, status, compliance, width))


class PatientScreen(ListPlace):
    """The tabs share one table; each keeps its own filter and order while the patient is open."""

    NAME = "patient"

    def __init__(self, patients: PatientsScreen, patient: Patient) -> None:
        super().__init__(patients.desk)
        self._patients = patients
        self._patient = patient
        self._tab = 0
        self._wishes = [Wish()] * len(TABS)
        self._tabs = Line(self.glyphs)
        self._overview = TextPane(self.glyphs, id=BODY)

    @property
    def command(self) -> str:
        subject = self._patient.subject
        return shlex.join(("dosetrail", "patient", subject)) if self._tab == 0 else super().command

    @property
    def listed(self) -> tuple[str, str]:
        doses = "doses" if self._patient.has_doses else "intervals"
        return ("patient", doses, "events", "devices", "subject-queries", "history")[self._tab], self._patient.subject

    def about(self) -> tuple[str, str]:
        """The patient; below a tab also the row, by the day it is of."""
        row = self.pane.table.current if self._tab in (1, 2, 3) else None
        if row is None:
            return self._patient.subject, ""
        words = [TABS[self._tab].rstrip("s").lower() if self._tab != 2 else "AE"]
        for name in ("date", "start", "term", "what"):
            if name in self.pane.table.field_names:
                words.append(str(self.pane.table.value(row, name) or ""))
        return self._patient.subject, " ".join(filter(None, words))

    def copied(self) -> str:
        """The patient's number."""
        return self._patient.subject

    def copied_all(self) -> str:
        """The overview, or the row."""
        if self._tab == 0:
            return "\n".join(line.text.strip() for line in self._patient.lines)
        return super().copied_all()

    def compose_body(self) -> list[Widget]:
        return [self._tabs, self._overview, self.pane]

    async def on_mount(self) -> None:
        """Show the overview."""
        await self._show_patient()

    async def take_up(self) -> None:
        """The same patient and tab in the newer release."""
        patient = await read_again(self.desk, self._patient.subject, self.app.size.width)
        if patient is None:
            await self.session.back()
            gone = f"{self._patient.subject} is not in release {self.desk.pages.release} any more"
            self.session.place.status.say(self.glyphs.text(gone))
            return
        self._patient = patient
        if self._tab == 0:
            await self._show_patient()
            return
        self._show_head()
        await self._load()
        await self.pane.take_up(self._listing())

    def allows(self, action: str) -> bool:
        """The overview has nothing to filter or to open; n and p need a neighbour."""
        table = self._patients.pane.table
        if action in ("filter", "sort", "reset", "open", "alike", "counts") and self._tab == 0:
            return False
        if action == "open" and TABS[self._tab] == "History":
            return False
        if action == "next_patient":
            return table.cursor + 1 < table.count
        if action == "previous_patient":
            return table.cursor > 0
        return super().allows(action)

    async def action_next_tab(self) -> None:
        """Tab"""
        await self._change_tab(1)

    async def action_previous_tab(self) -> None:
        """Shift-Tab"""
        await self._change_tab(-1)

    async def action_next_patient(self) -> None:
        """n"""
        await self._walk(1)

    async def action_previous_patient(self) -> None:
        """p"""
        await self._walk(-1)

    async def action_open(self) -> None:
        """Enter shows the row in full."""
        from tui.screens.record import open_record

        await self.pane.settled()
        if self.pane.table.count and TABS[self._tab] != "History":
            await open_record(self, subject=self._patient.subject)

    async def _walk(self, by: int) -> None:
        self._patients.pane.table.move(by)
        self._wishes[self._tab] = self.pane.wish
        self._patient = await read_current(self._patients)
        await self._show_patient()

    async def _change_tab(self, by: int) -> None:
        self._wishes[self._tab] = self.pane.wish
        self._tab = (self._tab + by) % len(TABS)
        await self._show_patient()

    async def _show_patient(self) -> None:
        self._show_head()
        on_overview = self._tab == 0
        if on_overview:
            self._overview.show(self._patient.lines)
            self.status.place(0, 0)
            self.status.stand("")
        else:
            wish = self._wishes[self._tab]
            listing = self._listing()
            await self._load()
            rows = await self.desk.pages.run(lambda: listing.open(wish))
            self.pane.put(listing, rows, wish)
        self._overview.set_class(not on_overview, "hidden")
        self.pane.set_class(on_overview, "hidden")
        self.offer_keys()

    async def _load(self) -> None:
        """Read what lies in the ledger, not in the release."""

        def read() -> None:
            if TABS[self._tab] == "Queries":
                load_pending(self.desk)
                self.desk.pages.renew(queries_of(self._patient.subject))
            elif TABS[self._tab] == "History":
                self.desk.pages.renew(history_of(self._patient.subject))
                load_history(self.desk, self._patient.subject)

        try:
            await self.desk.run(read)
        except ActionRefused as problem:
            self.status.say(self.glyphs.text(str(problem)))

    def _show_head(self) -> None:
        patient, table = self._patient, self._patients.pane.table
        self.title_line.show(f" {patient.title}", f"patient {table.cursor + 1:,} of {table.count:,} ")
        self._tabs.show(tabs_line(TABS, (None, *patient.counts, None), self._tab, self.app.size.width))

    def _listing(self) -> Listing:
        source, columns, what, words = self._parts_of_tab()
        pages = self.desk.pages
        return Listing(
            what=what,
            columns=columns,
            fields=source.fields,
            key=source.key,
            open=lambda wish: pages.open_list(source, wish),
            hint=f"/ {words} or any text",
            nothing=(f"No {what} recorded for this patient.", "Tab shows what else there is."),
        )

    def _parts_of_tab(self) -> tuple[Source, tuple[Column, ...], str, str]:
        subject = self._patient.subject
        hidden = {"plan", "given", "unit", "amount"} if self.desk.pages.blinded else set()
        if self._tab == 1 and self._patient.has_doses:
            columns = tuple(column for column in DOSES if column.key not in hidden)
            return doses_of(subject), columns, "doses", "state:missed state:late device:"
        if self._tab == 1:
            columns = tuple(column for column in INTERVALS if column.key not in hidden)
            return intervals_of(subject), columns, "dosing intervals", "days<7"
        if self._tab == 2:
            return events_of(subject), EVENTS, "adverse events", "term: severity: serious: soc:"
        if self._tab == 3:
            return devices_of(subject), DEVICES, "device rows", "what: device:"
        if self._tab == 4:
            return queries_of(subject), QUERIES, "queries", "state:open asked_by:"
        return history_of(subject), HISTORY, "ledger entries", "by: did: text:"

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll the overview, or move in the table."""
        if self._tab == 0:
            self._overview.scroll_by(by, unit)
        else:
            await super().move(by, unit)
