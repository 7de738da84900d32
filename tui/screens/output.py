"""A command of the program, run from the app: what it says, as it ends."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Sequence

from textual.widget import Widget
from textual.worker import Worker

from tui.desk import Desk
from tui.sanitise import cell_width, wrap
from tui.screens.place import BODY, Place
from tui.widgets.text_pane import TextLine, TextPane, Unit

LINES_SHOWN = 20_000


class OutputScreen(Place):
    """Runs beside the app, which stays usable; leaving the screen stops what still runs, as Ctrl-C would."""

    NAME = "output"

    def __init__(self, desk: Desk, words: Sequence[str]) -> None:
        super().__init__(desk)
        self._words = words
        self._pane = TextPane(self.glyphs, id=BODY)
        self._work: Worker[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._text = ""

    @property
    def command(self) -> str:
        return shlex.join(("dosetrail", *self._words))

    def compose_body(self) -> list[Widget]:
        return [self._pane]

    def on_mount(self) -> None:
        """Start it."""
        self.title_line.show(f" {self.glyphs.text(self.command)}", "running ")
        self._pane.show([TextLine(), TextLine("  Running; Esc stops it and leads back.")])
        self.offer_keys()
        self._work = self.run_worker(self._run())

    def on_unmount(self) -> None:
        """Stop it when the screen is left."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)

    async def settled(self) -> None:
        """Wait until it has ended."""
        if self._work is not None:
            await self._work.wait()

    def copied_all(self) -> str:
        """Everything it said, unless it is an arm: a copy stays in a file."""
        return "" if "unblind" in self._words else self._text

    async def move(self, by: int, unit: Unit) -> None:
        """Scroll."""
        self._pane.scroll_by(by, unit)

    async def _run(self) -> None:
        program = self.desk.program
        assert program is not None
        width = self.app.size.width
        # What it writes goes through no terminal of its own, so it is told how wide this one is.
        environ = {**os.environ, "COLUMNS": str(width - 1)}
        if self.glyphs.tier == "ascii":
            environ |= {"PYTHONIOENCODING": "ascii:backslashreplace", "PYTHONUTF8": "0"}
        self._process = process = await asyncio.create_subprocess_exec(
            *program.start,
            *self._words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
        )
        said, _ = await process.communicate()
        self._text = said.decode("utf-8", "replace").rstrip("\n")
        if self.is_mounted:
            self.title_line.show(f" {self.glyphs.text(self.command)}", f"ended with {process.returncode} ")
            self._pane.show(self._lines(width))
            self.offer_keys()

    def _lines(self, width: int) -> list[TextLine]:
        lines: list[TextLine] = []
        for raw in self._text.split("\n")[:LINES_SHOWN]:
            text = self.glyphs.text(raw.rstrip())
            if cell_width(text) < width:
                lines.append(TextLine(f" {text}" if text else ""))
            else:
                lines.extend(TextLine(f" {part}") for part in wrap(text, width - 2))
        if not self._text:
            lines = [TextLine(" It said nothing.")]
        return lines
