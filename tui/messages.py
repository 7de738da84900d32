"""What widgets tell their screen: small, in the past tense, and merged when they come in bursts."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class RowMoved(Message):
    """The cursor of a table stands on another row, or the table shows other rows."""

    position: int
    """Row under the cursor, from 1; 0 in an empty table."""
    count: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowMoved)


@dataclass
class TextMoved(Message):
    """A text scrolled, changed, or has another size."""

    pane: str | None
    """Id of the pane."""
    below: int
    """Lines that do not fit below the last one shown."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TextMoved)
