"""The command that prints what the screen below shows."""

from __future__ import annotations

from textual.widget import Widget

from tui.sanitise import wrap
from tui.screens.place import BODY, Place
from tui.views import with_study
from tui.widgets.text_pane import TextLine, TextPane, Unit


class CommandScreen(Place):
    """Enter runs it, y copies it."""

    NAME = "command"

    def __init__(self, below: Place) -> None:
        super().__init__(below.desk)
        self._short = below.command
        self._pane = TextPane(self.glyphs, id=BODY)

    @property
    def command(self) -> str:
        return self._short

    @property
    def _full(self) -> str:
        return with_study(self._short, self.desk.folder)

    def compose_body(self) -> list[Widget]:
        return [self._pane]

    def on_mount(self) -> None:
        """Write the command, and its twin for programs."""
        self.title_line.show(" COMMAND  prints what the screen below shows")
        self._write()
        self.offer_keys()

    def allows(self, action: str) -> bool:
        """It runs only where the program can be run."""
        return super().allows(action) and (action != "run" or self.desk.program is not None)

    def copied(self) -> str:
        """The command as one line."""
        return self._full

    async def action_run(self) -> None:
        """Enter"""
        from tui.commanding import run_line

        await self.session.back()
        program = self.desk.program
        assert program is not None
        await run_line(self.session, self._short, (*program.words().get("", ()), "--help"))

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll."""
        self._pane.scroll_by(by, unit)

    def _write(self) -> None:
        width = self.app.size.width - 6
        json = f"{self._full} --json"
        lines = [TextLine(), TextLine(" In any shell on this machine:", heading=True)]
        lines += [TextLine(f"    {part}") for part in wrap(self.glyphs.text(self._full), width)]
        lines += [TextLine(), TextLine(" For a program (one JSON document):", heading=True)]
        lines += [TextLine(f"    {part}") for part in wrap(self.glyphs.text(json), width)]
        self._pane.show(lines)
