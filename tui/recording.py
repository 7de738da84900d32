"""What can be recorded about a subject, as a list to choose from: each entry is a command of the program, whose blanks
are asked for one after the other before it runs. So the app records by the code, and with the checks, of the commands.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.macros_day import DELETION_ASKED
from tui.screens.place import Question

if TYPE_CHECKING:
    from tui.app import DosetrailApp
    from tui.pages import Pages
    from tui.screens.choices import ChoiceScreen


@dataclass(frozen=True)
class Blank:
    """A word of a command that the user types."""

    question: str
    value: str = ""
    """Proposed."""


@dataclass(frozen=True)
class Entry:
    """Something to record: options of a command with their values, then its arguments."""

    meaning: str
    command: tuple[str, ...]
    options: dict[str, str | Blank]
    arguments: tuple[str | Blank, ...]

    @property
    def blanks(self) -> list[Blank]:
        """In the order they are asked for."""
        return [word for word in (*self.arguments, *self.options.values()) if isinstance(word, Blank)]

    def words(self, typed: dict[Blank, str]) -> list[str]:
        """The command with its blanks filled in; a text that starts with a dash is no option."""

        def filled(word: str | Blank) -> str:
            return typed[word] if isinstance(word, Blank) else word

        options = [f"--{name}={filled(word)}" for name, word in self.options.items()]
        return [*self.command, *options, "--", *map(filled, self.arguments)]


REASON = Blank("reason")


def entries_about(pages: Pages, subject: str, today: dt.date) -> list[Entry]:
    """What can be recorded about a subject: always the same, then what its devices and reports ask for."""
    day = Blank("day", today.isoformat())
    entries = [
        Entry("Ask the site: raise a query", ("query", "raise"), {}, (subject, Blank("question"))),
        Entry(
            "A protocol deviation",
            ("deviation", "record"),
            {"on": day, "importance": Blank("importance, major or minor", "minor"), "reason": REASON},
            (subject, Blank("what happened")),
        ),
        Entry(
            "The consent is withdrawn",
            ("consent", "withdraw"),
            {"on": day, "effect": Blank("effect: keep, stop or delete_request", "stop"), "reason": REASON},
            (subject,),
        ),
        Entry(
            "A device is handed to the subject",
            ("device", "assign"),
            {"from": Blank("first day", today.isoformat()), "reason": REASON},
            (Blank("device"), subject),
        ),
    ]
    entries += _devices(pages, subject, day) + _reports(pages, subject)
    if pages.query(f"SELECT 1 FROM {DELETION_ASKED} WHERE subject_id = ?", [subject]):
        meaning = "The request to delete its data is answered"
        entries.append(Entry(meaning, ("consent", "answer"), {"reason": REASON}, (subject,)))
    if pages.query("SELECT 1 FROM build_info WHERE blinding_state = 'blinded'", []):
        entries.append(Entry("Emergency: show the arm", ("unblind",), {"reason": REASON}, (subject,)))
    return entries


def _devices(pages: Pages, subject: str, day: Blank) -> list[Entry]:
    entries = []
    held = pages.query(
        "SELECT device_id FROM release.device_accountability WHERE subject_id = ? AND state = 'with subject' "
        "ORDER BY device_id",
        [subject],
    )
    for (device,) in held:
        entries += [
            Entry(f"{device} came back", ("device", "return"), {"on": day, "reason": REASON}, (device,)),
            Entry(f"{device} is lost", ("device", "lose"), {"on": day, "reason": REASON}, (device,)),
        ]
    for (site,) in pages.query("SELECT site_id FROM subject WHERE subject_id = ? AND site_id IS NOT NULL", [subject]):
        meaning = f"A device or kit is sent to site {site}"
        options: dict[str, str | Blank] = {"on": day, "reason": REASON}
        entries.append(Entry(meaning, ("device", "ship"), options, (Blank("device"), site)))
    return entries


def _reports(pages: Pages, subject: str) -> list[Entry]:
    waiting = pages.query(
        "SELECT r.event_seq, any_value(e.term), list(r.rule_id ORDER BY r.rule_id) FROM safety_report r "
        "LEFT JOIN adverse_event e ON e.subject_id = r.subject_id AND e.event_seq = r.event_seq "
        "WHERE r.subject_id = ? AND r.submitted_utc IS NULL GROUP BY r.event_seq ORDER BY r.event_seq",
        [subject],
    )
    when: dict[str, str | Blank] = {"at": Blank("when, UTC, as 2026-03-01 09:30"), "reason": REASON}
    entries = []
    for event, term, rules in waiting:
        about = f"event {event}, {term or 'no term'}"
        entries.append(Entry(f"Somebody was aware of {about}", ("safety", "aware"), when, (subject, event)))
        entries += [
            Entry(f"Reported by rule {rule}: {about}", ("safety", "submit"), when, (subject, event, rule))
            for rule in rules
        ]
    return entries


async def recording_screen(app: DosetrailApp, subject: str) -> ChoiceScreen:
    """The entries about a subject; the chosen one asks for its blanks on the screen below."""
    from tui.screens.choices import ChoiceScreen
    from tui.widgets.row_table import Column

    below = app.place
    entries = await app.desk.pages.run(lambda: entries_about(app.desk.pages, subject, dt.datetime.now().date()))

    by_row: dict[tuple[object, ...], Entry] = {(entry.meaning, " ".join(entry.command)): entry for entry in entries}

    async def chosen(row: tuple[object, ...]) -> None:
        ask_blanks(app, by_row[row], {})

    return ChoiceScreen(
        below,
        f"RECORD  about {subject}",
        (Column("meaning", "what is recorded", 44, grow=True), Column("command", "command", 18)),
        list(by_row),
        ("Nothing can be recorded here.",),
        chosen,
    )


def ask_blanks(app: DosetrailApp, entry: Entry, typed: dict[Blank, str]) -> None:
    """Ask for the next blank of an entry, or run its command when all are filled in."""
    from tui.screens.output import OutputScreen

    left = [blank for blank in entry.blanks if blank not in typed]
    blank = left[0]

    async def done(text: str) -> None:
        typed[blank] = text
        if left[1:]:
            ask_blanks(app, entry, typed)
        else:
            await app.open_record(OutputScreen(app.desk, entry.words(typed)))

    step = f"{len(typed) + 1} of {len(entry.blanks)}"
    help = app.desk.glyphs.text(f"{entry.meaning}, {step}   Enter goes on   Esc records nothing")
    app.place.ask(Question(f"{blank.question}: ", help, done), blank.value)
