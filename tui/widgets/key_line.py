"""The bottom row: only keys that do something here."""

from __future__ import annotations

from tui.keymap import Key, key_line
from tui.widgets.line import Line


class KeyLine(Line):
    """Lists keys, or a question while one is being answered."""

    _keys: tuple[Key, ...] = ()

    def offer(self, keys: tuple[Key, ...]) -> None:
        """Show as many of `keys` as fit."""
        self._keys = keys
        self.show(key_line(keys, self.size.width))

    def ask(self, question: str) -> None:
        """Show a `printable` question in place of the keys."""
        self._keys = ()
        self.show(f" {question}")

    def on_resize(self) -> None:
        """Offer more or fewer keys in the new width."""
        if self._keys:
            self.offer(self._keys)
