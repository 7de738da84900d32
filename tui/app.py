"""The full-screen app: which screens there are, and how keys reach them."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from textual import events
from textual.app import App
from textual.screen import Screen

from tui.keymap import Press
from tui.pages import ReleaseUnreadable
from tui.release_news import LOOK_EVERY_S, ReleaseNews
from tui.screens.patients import PatientsScreen
from tui.screens.place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tui.desk import Desk
    from tui.widgets.row_table import Rows


class DosetrailApp(App[None]):
    """One session over one release.

    Every key is taken here and awaited before the next one is looked at, so keys typed ahead on a slow line do
    what they would have done typed slowly. Textual's bindings, focus, command palette and toasts are not used.
    """

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    CSS = "Screen { background: ansi_default; color: ansi_default; overflow: hidden; }"
    TITLE = "dosetrail"

    def __init__(self, desk: Desk, first: Place) -> None:
        """`first` lies below all other places; its rows have been read, so the first paint shows them."""
        super().__init__(ansi_color=True)
        self.animation_level = "none"
        self.desk = desk
        self._first = first
        self._start = ExitStack()
        self._last_place = first.NAME
        self._news: ReleaseNews | None = None
        # Two looks at once would each open the newer release, and the second would exchange it under the first's reads.
        self._looking = asyncio.Lock()
        self.failure: Exception | None = None
        """What ended the app, when a defect did."""

    def get_default_screen(self) -> Screen[None]:
        """The place that is shown at the start."""
        self.install_screen(self._first, self._first.NAME)
        return self._first

    def on_load(self) -> None:
        """Hold the first paint back until there is something to paint."""
        self._start.enter_context(self.batch_update())

    def on_ready(self) -> None:
        """Paint for the first time."""
        self.call_later(self._paint, self._start)
        if self.desk.watch is not None:
            self._news = ReleaseNews(self.desk, self.desk.watch)
            self.set_interval(LOOK_EVERY_S, self.look_for_news)
        if not self.is_headless:
            self.set_interval(LOOK_EVERY_S, self.end_without_terminal)

    def end_without_terminal(self) -> None:
        """End as SIGHUP ends the app, where the terminal went away and nobody passed that signal on.

        `su -c` and the like do not. Reading a terminal that is gone returns at once, so the input thread would keep a
        processor busy for as long as the machine runs.
        """
        if sys.__stdin__ is None or not sys.__stdin__.isatty():
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)

    async def look_for_news(self) -> None:
        """Take up a newer release, and what others have recorded. Between two keys: a key waits until it is done."""
        if self._news is None:
            return
        async with self._looking:
            said = await self._news.look()
            if said is not None:
                await self.show_news()
                if said:
                    self.place.status.say(self.desk.glyphs.text(said))

    async def show_news(self) -> None:
        """Bring the screens that are open up to date, from the lowest; the other places follow when they are shown."""
        for screen in list(self.screen_stack):
            if isinstance(screen, Place):
                await screen.catch_up()

    def news_recorded(self) -> None:
        """Something was recorded here: what others see is read again when it is shown."""
        self.desk.edition += 1
        if self._news is not None:
            self._news.seen()

    @property
    def last_export(self) -> Path | None:
        """The file written last in this session."""
        if not self.is_screen_installed("exports"):
            return None
        screen = self.get_screen("exports")
        return getattr(screen, "last_written", None)

    @property
    def place(self) -> Place:
        """The screen that is shown."""
        assert isinstance(self.screen, Place)
        return self.screen

    async def on_event(self, event: events.Event) -> None:
        """Keys and pasted text go to the screen that is shown; everything else is Textual's."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._press(Press(event.key, event.character))
        elif isinstance(event, events.Paste) and not event.is_forwarded:
            await self.place.pasted(event.text)
        elif not isinstance(event, events.AppFocus | events.AppBlur):
            # Nothing looks different in a window without the focus; Textual would repaint the whole screen.
            await super().on_event(event)

    async def _press(self, press: Press) -> None:
        if press.key in ("ctrl+c", "ctrl+q"):
            self.exit()
            return
        try:
            await self.place.press(press)
        except ReleaseUnreadable as problem:
            self.place.status.say(self.desk.glyphs.text(problem))

    @asynccontextmanager
    async def one_paint(self) -> AsyncIterator[None]:
        """Change screens with one repaint: Textual would paint a new screen empty, filled and laid out (8 KB for 2)."""
        held = ExitStack()
        held.enter_context(self.batch_update())
        try:
            yield
        finally:
            # Later, because Textual asks for another layout once this key has been dealt with.
            self.call_later(self._paint, held)

    async def _paint(self, held: ExitStack) -> None:
        await self.place.widgets_settled()
        held.close()
        self.screen.refresh()

    async def open_record(self, screen: Place) -> None:
        """Show a screen on top of the one that is shown."""
        async with self.one_paint():
            await self.push_screen(screen)

    async def back(self) -> None:
        """Return to the screen below."""
        async with self.one_paint():
            await self.pop_screen()
            await self.place.catch_up()

    async def go_to(self, name: str) -> None:
        """Show a place as it was left; records that were open are closed. The first place lies below the others."""
        places = [screen for screen in self.screen_stack if isinstance(screen, Place) and not screen.is_record]
        shown = places[-1].NAME
        if shown != name:
            self._last_place = shown
        if not self.is_screen_installed(name):
            self.install_screen(await self._make(name), name)
        async with self.one_paint():
            home = self._first.NAME
            while self.place.is_record or (name == home and len(self.screen_stack) > 1):
                await self.pop_screen()
            if self.place.NAME == home and name != home:
                await self.push_screen(name)
            elif self.place.NAME != name:
                await self.switch_screen(name)
            await self.place.catch_up()

    async def action_worklist(self) -> None:
        """1"""
        await self.go_to("worklist")

    async def action_queries(self) -> None:
        """3"""
        await self.go_to("queries")

    async def action_quarantine(self) -> None:
        """4"""
        await self.go_to("quarantine")

    async def action_patients(self) -> None:
        """2"""
        await self.go_to("patients")

    async def action_arms(self) -> None:
        """5"""
        await self.go_to("arms")

    async def action_exports(self) -> None:
        """6"""
        await self.go_to("exports")

    async def action_imports(self) -> None:
        """i"""
        await self.go_to("imports")

    async def action_export(self) -> None:
        """x: the exports, with what is shown now chosen already."""
        from tui.screens.exports import ExportsScreen

        below = self.place
        words = below.pane.wish.filter if isinstance(below, PatientsScreen) else ""
        await self.go_to("exports")
        assert isinstance(self.screen, ExportsScreen)
        self.screen.choose_for(below.NAME, words)

    async def action_views(self) -> None:
        """m: the saved views."""
        from tui.screens.choices import views_screen

        await self.open_record(views_screen(self.place, self.desk))

    async def action_last_place(self) -> None:
        """`: the place that was shown before this one, as it was left."""
        await self.go_to(self._last_place)

    async def action_raise_query(self) -> None:
        """+: ask about what is under the cursor."""
        from tui.raising import raise_question

        self.place.ask(raise_question(self, self.place.about()))

    async def action_record_about(self) -> None:
        """u: what can be recorded about the subject under the cursor."""
        from tui.recording import recording_screen

        await self.open_record(await recording_screen(self, self.place.about()[0]))

    def send(self, sequence: str) -> None:
        """Send a sequence to the terminal; nothing moves on the screen."""
        if self._driver is not None:
            self._driver.write(sequence)

    async def action_help(self) -> None:
        """?"""
        from tui.screens.help import HelpScreen

        await self.open_record(HelpScreen(self.desk, self.place))

    async def _make(self, name: str) -> Place:
        """A place, with what it shows read before it is painted."""
        if name in ("worklist", "queries", "quarantine"):
            from tui.screens.worklist import PLACES, make_desk_list

            return await self.desk.run(lambda: make_desk_list(PLACES[name], self.desk))
        if name == "patients":
            return PatientsScreen(self.desk, await self.desk.pages.run(self._read_patients))
        if name == "arms":
            from tui.screens.arms import read_arms

            return await read_arms(self.desk)
        if name == "imports":
            from tui.screens.imports import read_imports

            return await read_imports(self.desk)
        from tui.screens.exports import ExportsScreen

        return ExportsScreen(self.desk)

    def _read_patients(self) -> Rows:
        from tui.pages import Wish
        from tui.patient_rows import PATIENTS

        return self.desk.pages.open_list(PATIENTS, Wish())

    def _fatal_error(self) -> None:
        """Textual would print a traceback with local variables: text of the data, unsanitised, in the terminal."""
        self.failure = self._exception
        self._close_messages_no_wait()
