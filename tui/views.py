"""The lists of the app by name, for the command that prints what a screen shows, with the same filter and order."""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path

from tui.desk_rows import PROBLEMS, queries_source, worklist_source
from tui.import_rows import FILES, QUARANTINE
from tui.pages import Source, Wish
from tui.patient_rows import PATIENTS, devices_of, doses_of, events_of, history_of, intervals_of, queries_of

OF_ALL = ("worklist", "patients", "queries", "quarantine", "files", "quarantine-rows")
OF_A_SUBJECT = ("doses", "intervals", "events", "devices", "subject-queries", "history")
NAMES = (*OF_ALL, *OF_A_SUBJECT)


def source_of(name: str, subject: str = "") -> Source:
    """What a list is made of. Raises KeyError for an unknown name."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    if name in OF_A_SUBJECT:
        makers = {
            "doses": doses_of,
            "intervals": intervals_of,
            "events": events_of,
            "devices": devices_of,
            "subject-queries": queries_of,
            "history": history_of,
        }
        return makers[name](subject)
    return {
        "worklist": worklist_source(now),
        "patients": PATIENTS,
        "queries": queries_source(now.date()),
        "quarantine": PROBLEMS,
        "files": FILES,
        "quarantine-rows": QUARANTINE,
    }[name]


def view_command(name: str, subject: str, wish: Wish) -> str:
    """The command that prints a list as it is filtered and sorted, without the study."""
    words = ["dosetrail", "view", name, *([subject] if subject else [])]
    words += ["--filter", wish.filter] if wish.filter else []
    words += ["--sort", wish.sort, *(["--reverse"] if wish.descending else [])] if wish.sort else []
    return shlex.join(words)


def with_study(command: str, folder: Path) -> str:
    """A command of the program that can be pasted into any shell: it names its study."""
    first, _, rest = command.partition(" ")
    return (
        f"{first} --study {shlex.quote(str(folder))} {rest}" if rest else f"{first} --study {shlex.quote(str(folder))}"
    )
