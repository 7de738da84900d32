"""Drives the app without a terminal: keys in, the rows of the screen out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot
from tui_release import release

from tui.app import DosetrailApp
from tui.desk import Desk, Exporter
from tui.glyphs import GLYPHS
from tui.pages import Pages, Wish
from tui.patient_rows import PATIENTS
from tui.sanitise import Tier
from tui.screens.patients import PatientsScreen

FRAMES = Path(__file__).parent / "frames"


class Driver:
    """One session of the app."""

    def __init__(self, app: DosetrailApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> list[str]:
        """Press keys, wait until everything they asked for is shown, and return the rows of the screen."""
        await self.pilot.press(*keys)
        if self.app.is_running:
            await self.app.place.settled()
        await self.pilot.pause()
        return self.lines()

    async def type(self, text: str) -> list[str]:
        """Type text and return the rows of the screen."""
        names = {" ": "space", ":": "colon", "<": "less_than_sign", "/": "slash", "-": "minus", "!": "exclamation_mark"}
        return await self.press(*(names.get(char, char) for char in text))

    def lines(self) -> list[str]:
        """The rows of the screen without trailing blanks."""
        strips = self.app.screen._compositor.render_strips()  # no public way to read a frame
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def drive(
    script: Callable[[Driver], Awaitable[None]],
    *,
    kind: str = "open",
    size: tuple[int, int] = (80, 24),
    tier: Tier = "ascii",
    exporter: Exporter | None = None,
) -> None:
    """Run a script against the app on a synthetic release."""

    async def run() -> None:
        pages = Pages(release(kind))
        desk = Desk(pages, GLYPHS[tier], "SDD-204", Path("my-trial"), exporter)
        app = DosetrailApp(desk, PatientsScreen(desk, pages.open_list(PATIENTS, Wish())))
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            await driver.press()
            await script(driver)
        pages.close()

    asyncio.run(run())


def check_frame(name: str, lines: list[str]) -> None:
    """Compare a screen with its text in tests/frames; DOSETRAIL_WRITE_FRAMES=1 writes it for a person to review."""
    file = FRAMES / f"{name}.txt"
    if os.environ.get("DOSETRAIL_WRITE_FRAMES"):
        FRAMES.mkdir(exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines == file.read_text(encoding="utf-8").splitlines(), f"the screen differs from {file}"
