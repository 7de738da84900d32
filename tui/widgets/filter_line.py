"""The filter line: one row to type in. Its cursor is an underscore that does not blink: an idle line sends nothing."""

from __future__ import annotations

from tui.keymap import Press
from tui.sanitise import cell_width
from tui.widgets.line import Line


class FilterLine(Line):
    """Holds the text being typed; the screen hands it the keys and reads `value`."""

    LONGEST = 500

    value = ""
    editing = False
    _at = 0
    _prompt = "/ "
    _hint = ""

    def set_up(self, prompt: str, hint: str, value: str = "") -> None:
        """Show another prompt, the hint for an empty line, and a text; editing ends."""
        self._prompt, self._hint, self.value, self.editing = prompt, hint, value, False
        self._at = len(value)
        self._render_text()

    def edit(self) -> None:
        """Start typing at the end of the text."""
        self.editing, self._at = True, len(self.value)
        self._render_text()

    def finish(self, value: str | None = None) -> None:
        """Stop typing and keep the text, or the given one."""
        self.editing = False
        if value is not None:
            self.value = value
        self._at = len(self.value)
        self._render_text()

    def replace(self, value: str) -> None:
        """Put another text in the line while typing goes on at its end."""
        self.value, self._at = value[: self.LONGEST], len(value[: self.LONGEST])
        self._render_text()

    def type(self, press: Press) -> bool:
        """Take a key; False when it does nothing in a line of text."""
        at, value = self._at, self.value
        char = press.printable
        if char and len(value) < self.LONGEST:
            self.value, self._at = value[:at] + char + value[at:], at + 1
        elif press.key == "backspace" and at:
            self.value, self._at = value[: at - 1] + value[at:], at - 1
        elif press.key == "delete":
            self.value = value[:at] + value[at + 1 :]
        elif press.key in ("left", "right", "home", "end"):
            moves = {"left": max(0, at - 1), "right": min(len(value), at + 1), "home": 0, "end": len(value)}
            self._at = moves[press.key]
        elif press.key not in ("backspace",):
            return False
        self._render_text()
        return True

    def on_resize(self) -> None:
        """Keep the cursor in view in the new width."""
        self._render_text()

    def _render_text(self) -> None:
        glyphs = self._glyphs
        if not self.editing:
            text = f"{self._prompt}{glyphs.text(self.value)}" if self.value else self._hint
            self.show(f" {text}")
            return
        before, after = glyphs.text(self.value[: self._at]), glyphs.text(self.value[self._at :])
        taken = cell_width(self._right) + 1 if self._right else 0
        room = self.size.width - len(self._prompt) - 2 - taken
        while room > 0 and cell_width(before) > room:
            before = before[1:]
        self.show(f" {self._prompt}{before}_{after}")
