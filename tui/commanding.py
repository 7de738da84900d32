"""The line after `:`: places and saved views by name, and every command of the program."""

from __future__ import annotations

import shlex
from os.path import commonprefix
from typing import TYPE_CHECKING

from tui.pages import Wish
from tui.personal import SavedView
from tui.screens.list_place import ListPlace
from tui.screens.place import Question

if TYPE_CHECKING:
    from tui.app import DosetrailApp

PLACES = ("worklist", "patients", "queries", "quarantine", "arms", "exports", "imports")
OWN = ("save", "view", "views", "forget", "help", "quit")
"""Words of the app itself; `view NAME` applies a saved view, `view LIST --filter` is the program's."""
NOT_HERE = frozenset(("tui", "demo"))
"""Commands that make no sense inside the app."""


async def command_question(app: DosetrailApp) -> Question:
    """What `:` asks for."""
    program = app.desk.program
    known = await app.desk.run(program.words) if program else {}
    known = {**known, "": tuple(sorted({*PLACES, *OWN, *known.get("", ())} - NOT_HERE))}
    views = tuple(app.desk.personal.views())
    known |= {"view": (*views, *known.get("view", ())), "forget": views}

    async def done(text: str) -> None:
        await run_line(app, text, known[""])

    return Question(
        ":", "a place, a command, save NAME, view NAME   Tab completes   Enter runs   Esc leaves", done,
        complete=lambda text: complete(text, known),
    )  # fmt: skip


def complete(text: str, known: dict[str, tuple[str, ...]]) -> tuple[str, list[str]]:
    """The line with its last word completed as far as all that fit agree, and what fits."""
    before, _, word = text.rpartition(" ")
    words = [part for part in before.split() if not part.startswith("-")]
    options = known.get(" ".join(words[:2])) or known.get(words[0] if words else "", ())
    if words and word.startswith("-"):
        options = known.get(" ".join(words[:2])) or known.get(words[0], ())
    fitting = [option for option in options if option.startswith(word)]
    if not fitting:
        return text, []
    longest = commonprefix(fitting) + (" " if len(fitting) == 1 else "")
    return (f"{before} " if before else "") + longest, fitting


async def run_line(app: DosetrailApp, text: str, known: tuple[str, ...]) -> None:
    """Do what a line asks for."""
    place = app.place
    try:
        words = shlex.split(text)
    except ValueError:
        place.status.say("A quotation mark is not closed; nothing was run")
        return
    if words and words[0] == "dosetrail":
        words, text = words[1:], text.removeprefix("dosetrail").strip()
    if not words:
        return
    first, rest = words[0], words[1:]
    if first in PLACES and not any(word.startswith("-") for word in rest):
        await app.go_to(first)
        if rest and isinstance(app.place, ListPlace):
            await app.place.filter_by(text.partition(" ")[2].strip())
    elif first == "patient" and len(rest) == 1 and not rest[0].startswith("-"):
        await open_by_name(app, rest[0])
    elif first in ("quit", "q"):
        app.exit()
    elif first == "help":
        await app.action_help()
    elif first in ("save", "forget", "views") or (first == "view" and names_view(app, rest)):
        await _views(app, first, " ".join(rest))
    elif first in known and app.desk.program is not None:
        from tui.screens.output import OutputScreen

        await app.open_record(OutputScreen(app.desk, words))
    else:
        place.status.say(app.desk.glyphs.text(f"No command is called {first}; Tab after : lists them"))


def names_view(app: DosetrailApp, words: list[str]) -> bool:
    """Whether the words after `view` are a saved view, or none; else they are for the program's command."""
    return not words or " ".join(words) in app.desk.personal.views()


async def open_by_name(app: DosetrailApp, subject: str) -> None:
    """Open a patient from anywhere."""
    from tui.screens.patient import open_patient
    from tui.screens.patients import PatientsScreen

    place = app.place
    await app.go_to("patients")
    patients = app.place
    assert isinstance(patients, PatientsScreen)
    if await patients.put_cursor(subject):
        await open_patient(patients)
    else:
        if place.NAME != "patients" and not place.is_record:
            await app.go_to(place.NAME)
        app.place.status.say(app.desk.glyphs.text(f"No patient is called {subject}"))


async def apply_view(app: DosetrailApp, view: SavedView) -> None:
    """Go to the place of a saved view and show its filter and order."""
    await app.go_to(view.place)
    place = app.place
    if isinstance(place, ListPlace):
        await place.show_as(Wish(view.filter, view.sort, view.descending))


async def _views(app: DosetrailApp, what: str, name: str) -> None:
    personal, place, text = app.desk.personal, app.place, app.desk.glyphs.text
    if what == "views" or (what == "view" and not name):
        await app.action_views()
    elif what == "view":
        await apply_view(app, personal.views()[name])
    elif what == "forget":
        known = name in personal.views()
        personal.save_view(name, None)
        place.status.say(text(f"View {name} is forgotten" if known else f"No view is called {name}"))
    elif not name:
        place.status.say("A view needs a name: save NAME")
    elif not (isinstance(place, ListPlace) and not place.is_record):
        place.status.say("Only the lists of places 1-5 and i can be saved as a view")
    else:
        wish = place.pane.wish
        personal.save_view(name, SavedView(place.NAME, wish.filter, wish.sort, wish.descending))
        place.status.say(text(f"Saved as {name}, for you alone; :view {name} or m shows it again"))
