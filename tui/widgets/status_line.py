"""The status line: what the list shows, what just happened, and where the cursor stands. No pop-ups, no toasts."""

from __future__ import annotations

from tui.widgets.line import Line


class StatusLine(Line):
    """A standing text, replaced by a note until the next key is pressed."""

    _standing = ""
    _note = ""

    @property
    def note(self) -> str:
        """The note shown now; empty when the standing text is shown."""
        return self._note

    def stand(self, text: str) -> None:
        """Set the standing text, `printable`."""
        self._standing = text
        if not self._note:
            self.show(f" {text}")

    def say(self, note: str) -> None:
        """Show a note, `printable`, until `clear_note`."""
        self._note = note
        self.show(f" {note}")

    def clear_note(self) -> None:
        """Go back to the standing text."""
        if self._note:
            self._note = ""
            self.show(f" {self._standing}")

    def place(self, position: int, count: int) -> None:
        """Show the cursor's place at the right end; nothing in an empty list."""
        self.show(self.text, f"{position:,} of {count:,} " if count else "")
