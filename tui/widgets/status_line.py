"""The status line: what the list shows, what just happened, where the cursor stands, and what is asked for.

No pop-ups and no toasts: a question is typed into this line, below what it is about.
"""

from __future__ import annotations

from tui.widgets.filter_line import FilterLine


class StatusLine(FilterLine):
    """A standing text, replaced by a note until the next key is pressed, or by a line to type in."""

    _standing = ""
    _note = ""

    @property
    def note(self) -> str:
        """The note shown now; empty when the standing text is shown."""
        return self._note

    def stand(self, text: str) -> None:
        """Set the standing text, `printable`."""
        self._standing = text
        self._render_text()

    def say(self, note: str) -> None:
        """Show a note, `printable`, until `clear_note`."""
        self._note = note
        self._render_text()

    def clear_note(self) -> None:
        """Go back to the standing text."""
        self.say("")

    def ask(self, prompt: str, value: str = "") -> None:
        """Let the user type, from a text on."""
        self._note = ""
        self.set_up(prompt, "", value)
        self.edit()

    def place(self, position: int, count: int) -> None:
        """Show the cursor's place at the right end; nothing in an empty list."""
        self.show(self.text, f"{position:,} of {count:,} " if count else "")

    def _render_text(self) -> None:
        if self.editing:
            super()._render_text()
        else:
            self.show(f" {self._note or self._standing}")
