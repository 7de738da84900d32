"""Every key of the app, as data: what the key line shows, what help lists and what a key press runs are one list.

Only plain keys: nothing needs Ctrl, Alt, a function key or a mouse, so the app works in PuTTY, tmux and screen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """One action and the keys that run it."""

    press: tuple[str, ...]
    """Names of keys as Textual gives them."""
    shown: str
    """The key as printed, in ASCII."""
    action: str
    """The screen's method `action_...`."""
    label: str
    """Word on the key line."""
    meaning: str
    """Sentence in help."""
    rank: int = 5
    """Key line: low ranks stay when the line is short; 0 is never on it."""


@dataclass(frozen=True)
class Press:
    """A key as the terminal sent it: its name, and the character when it is one."""

    key: str
    character: str | None = None

    @property
    def printable(self) -> str:
        """The character when it may be typed into a line, else nothing."""
        char = self.character or ""
        return char if len(char) == 1 and char.isprintable() else ""


MOVING = (
    Key(("down", "j"), "Down j", "down", "", "Next row or line", 0),
    Key(("up", "k"), "Up k", "up", "", "Previous row or line", 0),
    Key(("pagedown",), "PgDn", "turn_down", "", "One page down", 0),
    Key(("pageup",), "PgUp", "turn_up", "", "One page up", 0),
    Key(("home",), "Home", "first", "", "First row", 0),
    Key(("end",), "End", "last", "", "Last row", 0),
)

LISTS = (
    Key(("slash",), "/", "filter", "filter", "Filter the rows while you type; Enter keeps, Esc clears", 2),
    Key(("s",), "s", "sort", "sort", "Sort: then the letter of a column; the same letter again reverses", 3),
    Key(("r",), "r", "reset", "reset", "Forget filter and sort order", 6),
)

COLUMNS = (
    Key(("equals_sign",), "=", "alike", "", "Only rows like this one: then the letter of a column", 0),
    Key(("f",), "f", "counts", "", "Count the values of a column: then its letter; Enter there filters", 0),
)

RECORD = Key(
    ("u",), "u", "record_about", "update", "Record something about the subject: deviation, consent, device, report", 4
)

EXPORT = Key(("x",), "x", "export", "export", "Export this list; Enter writes it", 5)
EXPORT_ALL = Key(("x",), "x", "export", "export", "Export all rows of this place; Enter writes them", 7)

STEPS = (
    Key(("a",), "a", "answer", "answer", "Answer the query: 1-4 for a standard answer, or type one", 1),
    Key(("c",), "c", "close", "close", "Close the query with a reason; confirm a proposed deviation", 3),
    Key(("o",), "o", "reopen", "", "Open the query again with a reason", 0),
    Key(("w",), "w", "waive", "", "Waive the query with a reason: the finding stays; dismiss a proposed deviation", 0),
    Key(("z",), "z", "undo", "undo", "Undo your last step", 6),
)

EVERYWHERE = (
    Key(("1",), "1", "worklist", "Worklist", "What needs you, by time left", 4),
    Key(("2",), "2", "patients", "Patients", "Patients", 4),
    Key(("3",), "3", "queries", "Queries", "Queries: answer, close, reopen", 6),
    Key(("4",), "4", "quarantine", "Quarantine", "Rows in quarantine, by problem", 7),
    Key(("5",), "5", "arms", "Arms", "Results by arm", 4),
    Key(("6",), "6", "exports", "Exports", "Export tables and results", 7),
    Key(("i",), "i", "imports", "Imports", "What was imported, and what is in quarantine", 7),
    Key(("grave_accent",), "`", "last_place", "", "The place shown before this one, as it was left", 0),
    Key(("colon",), ":", "command", "command", "Type a command, a place or a view; Tab completes", 7),
    Key(("v",), "v", "show_command", "", "Show the command that prints this view", 0),
    Key(("m",), "m", "views", "", "Saved views; :save NAME saves the filter and order shown", 0),
    Key(("y",), "y", "copy", "", "Copy the subject, query or file under the cursor", 0),
    Key(("Y",), "Y", "copy_all", "", "Copy the whole row, or the text shown", 0),
    Key(("plus",), "+", "raise_query", "", "Raise a query about the subject or record under the cursor", 0),
    Key(("question_mark",), "?", "help", "help", "Keys that are valid here; type to search, Enter runs", 1),
    Key(("escape", "backspace"), "Esc", "back", "", "Back by one level; never leaves the app", 0),
    Key(("q",), "q", "leave", "quit", "Leave: back from a record, out of the app from a place 1-6", 8),
)

SCREENS: dict[str, tuple[Key, ...]] = {
    "patients": (
        Key(("enter",), "Enter", "open", "open", "Open the patient", 1),
        RECORD,
        *LISTS,
        *COLUMNS,
        EXPORT,
        *MOVING,
    ),
    "worklist": (
        Key(("enter",), "Enter", "open", "open", "Show the item in full", 1),
        *STEPS,
        RECORD,
        *LISTS,
        *COLUMNS,
        *MOVING,
    ),
    "queries": (
        Key(("enter",), "Enter", "open", "open", "Show the query in full", 1),
        *STEPS,
        RECORD,
        *LISTS,
        *COLUMNS,
        EXPORT_ALL,
        *MOVING,
    ),
    "quarantine": (
        Key(("enter",), "Enter", "open", "open", "Show its first row in full", 1),
        Key(("a",), "a", "accept", "accept", "Accept the proposed fix for all rows of the problem", 1),
        Key(("e",), "e", "edit", "edit", "Correct what all its rows lack: subject, device, unit or time", 1),
        Key(("d",), "d", "reject", "reject", "Reject all its rows: the source has to be corrected", 2),
        Key(("l",), "l", "exclude", "leave out", "Leave all its rows out of the study for good", 2),
        Key(("h",), "h", "hand", "hand to", "Record which subject has the device of its rows, from which day", 3),
        Key(("z",), "z", "undo", "undo", "Undo your last decision", 4),
        *LISTS,
        *COLUMNS,
        EXPORT_ALL,
        *MOVING,
    ),
    "patient": (
        Key(("enter",), "Enter", "open", "record", "Show all fields of the row and where it came from", 2),
        Key(("tab",), "Tab", "next_tab", "next tab", "Next tab", 1),
        Key(("shift+tab",), "Shift-Tab", "previous_tab", "", "Previous tab", 0),
        Key(("n",), "n", "next_patient", "next", "Next patient of the filtered list", 2),
        Key(("p",), "p", "previous_patient", "previous", "Previous patient of the filtered list", 3),
        Key(("escape", "backspace"), "Esc", "back", "back", "Back to the list", 2),
        RECORD,
        *LISTS,
        *COLUMNS,
        *MOVING,
    ),
    "record": (
        Key(("n",), "n", "next_record", "next", "Next row of the list", 1),
        Key(("p",), "p", "previous_record", "previous", "Previous row of the list", 1),
        Key(("escape", "backspace"), "Esc", "back", "back", "Back to the list", 1),
        *MOVING,
    ),
    "arms": (
        Key(("enter",), "Enter", "open", "figure", "Show the figure in full: counts, interval, method", 1),
        Key(("tab",), "Tab", "next_tab", "next family", "Next family of results", 2),
        Key(("shift+tab",), "Shift-Tab", "previous_tab", "", "Previous family of results", 0),
        Key(("slash",), "/", "filter", "filter", "Filter the figures while you type; Enter keeps, Esc clears", 3),
        Key(("x",), "x", "export", "export", "Export the results", 5),
        *MOVING,
    ),
    "figure": (Key(("escape", "backspace"), "Esc", "back", "back", "Back to the figures", 1), *MOVING),
    "imports": (
        Key(("enter",), "Enter", "open", "record", "Show the file or the quarantined row in full", 1),
        Key(("tab",), "Tab", "next_tab", "files/quarantine", "Files, or rows in quarantine", 2),
        Key(("shift+tab",), "Shift-Tab", "previous_tab", "", "Files, or rows in quarantine", 0),
        *LISTS,
        *COLUMNS,
        EXPORT_ALL,
        *MOVING,
    ),
    "exports": (
        Key(("enter",), "Enter", "write", "write", "Write the export", 1),
        Key(("f",), "f", "format", "format", "Next format", 2),
        Key(("i",), "i", "identity", "identity", "As is, or de-identified", 2),
        Key(("t",), "t", "target", "path", "Type another path", 3),
        Key(("tab",), "Tab", "next_tab", "past exports", "Exports that were made, or what can be exported", 3),
        Key(("shift+tab",), "Shift-Tab", "previous_tab", "", "Exports that were made, or what can be exported", 0),
        *MOVING,
    ),
    "command": (
        Key(("enter",), "Enter", "run", "run it here", "Run the command and show what it says", 1),
        Key(("y",), "y", "copy", "copy", "Copy the command", 1),
        Key(("escape", "backspace"), "Esc", "back", "back", "Back to the view", 1),
        *MOVING,
    ),
    "output": (
        Key(("escape", "backspace"), "Esc", "back", "back", "Back; stops the command if it still runs", 1),
        Key(("Y",), "Y", "copy_all", "copy", "Copy everything it said", 2),
        *MOVING,
    ),
    "choices": (
        Key(("enter",), "Enter", "choose", "choose", "Show the rows of this line", 1),
        Key(("escape", "backspace"), "Esc", "back", "back", "Back without choosing", 1),
        *MOVING,
    ),
    "help": (
        Key(("enter",), "Enter", "run", "run this", "Run the action", 1),
        Key(("escape", "backspace"), "Esc", "back", "close", "Close help", 1),
        *MOVING[:4],
    ),
}
"""Keys of each screen. What a screen says about a key wins over `EVERYWHERE`.

Kept free for what comes later: g (go to subject), Space and * (marks).
"""


def keys_of(screen: str) -> tuple[Key, ...]:
    """All keys of a screen, its own first; keys it redefines are not listed twice."""
    own = SCREENS[screen]
    taken = {name for key in own for name in key.press}
    return (*own, *(key for key in EVERYWHERE if not taken.issuperset(key.press)))


def find_key(keys: tuple[Key, ...], name: str) -> Key | None:
    """The first of `keys` that the key called `name` runs."""
    return next((key for key in keys if name in key.press), None)


def key_line(keys: tuple[Key, ...], width: int) -> str:
    """As many `shown label` pairs as fit in `width` cells, the important ones, in the order of `keys`."""
    listed = [key for key in keys if key.rank and key.label]
    while listed and _line_width(listed) > width:
        # The last of the least important: keys of the screen stand before those of everywhere.
        listed.remove(max(reversed(listed), key=lambda key: key.rank))
    return " " + "  ".join(f"{key.shown} {key.label}" for key in listed)


def _line_width(keys: list[Key]) -> int:
    return 1 + sum(len(key.shown) + 1 + len(key.label) for key in keys) + 2 * (len(keys) - 1)
