"""What all screens have in common: title, body, status line, key line, and how a key finds its action."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.events import Resize
from textual.screen import Screen
from textual.widget import Widget

from tui.desk import Desk
from tui.keymap import Key, Press, find_key, keys_of
from tui.messages import RowMoved, TextMoved
from tui.widgets.key_line import KeyLine
from tui.widgets.line import REVERSE, Line
from tui.widgets.status_line import StatusLine
from tui.widgets.text_pane import TextLine, TextPane, Unit

if TYPE_CHECKING:
    from tui.app import DosetrailApp

BODY = "body"
"""Id of a text pane that is the body of its screen."""

SMALLEST = (60, 18)
"""Columns and rows below which a screen asks to be enlarged."""


@dataclass(frozen=True)
class Question:
    """Something to be typed into the status line."""

    prompt: str
    help: str
    """Said on the key line."""
    done: Callable[[str], Awaitable[None]]
    """Called with what was typed, once Enter is pressed."""
    draft: str = ""
    """Name under which what is being typed is kept; empty: it is not."""
    complete: Callable[[str], tuple[str, list[str]]] | None = None
    """The text completed, and what would fit."""


class Place(Screen[None]):
    """A screen. Keys reach it through `press`, one after the other: a key waits until the one before is done.

    Textual's own bindings send each key to the focused widget first, so keys typed ahead on a slow line could
    overtake a change of focus. Here nothing has the focus.
    """

    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    Place > .hidden, Place > #too-small { display: none; }
    Place.small > * { display: none; }
    Place.small > #too-small { display: block; }
    """
    NAME: ClassVar[str]
    """Name in the key map."""
    NUMBER: ClassVar[str] = ""
    """Key that opens the place; empty for screens opened from a place."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.edition = desk.edition
        """`Desk.edition` of what is shown."""
        self._question: Question | None = None
        self.glyphs = desk.glyphs
        self.title_line = Line(desk.glyphs, REVERSE)
        self.status = StatusLine(desk.glyphs)
        self.key_line = KeyLine(desk.glyphs, REVERSE)
        self._too_small = TextPane(desk.glyphs, id="too-small")

    def compose(self) -> ComposeResult:
        yield self.title_line
        yield from self.compose_body()
        yield self.status
        yield self.key_line
        yield self._too_small

    def compose_body(self) -> list[Widget]:
        """The widgets between title and status line."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command that prints the same."""
        raise NotImplementedError

    @property
    def is_record(self) -> bool:
        """Opened from another screen, to which Esc and q lead back."""
        return not self.NUMBER

    @property
    def session(self) -> DosetrailApp:
        """The app."""
        from tui.app import DosetrailApp

        assert isinstance(self.app, DosetrailApp)
        return self.app

    async def catch_up(self) -> None:
        """Show what was published or recorded since this screen was read; what is typed, open and chosen stays."""
        if self.edition != self.desk.edition:
            self.edition = self.desk.edition
            await self.take_up()

    async def take_up(self) -> None:
        """Read again what is shown. Raises ReleaseUnreadable."""

    async def settled(self) -> None:
        """Wait until what was asked for is shown."""

    async def widgets_settled(self) -> None:
        """Wait until every widget has dealt with what it was told: first its size, then what follows from it."""
        for _ in range(3):
            waiting = [asyncio.Event() for _ in self.walk_children()]
            for widget, done in zip(self.walk_children(), waiting, strict=True):
                if not widget.call_later(done.set):
                    done.set()
            for done in waiting:
                await done.wait()

    def keys(self) -> tuple[Key, ...]:
        """The keys that do something now."""
        return tuple(key for key in keys_of(self.NAME) if self.allows(key.action))

    def allows(self, action: str) -> bool:
        """Whether an action makes sense now."""
        if action in ("copy", "copy_all"):
            return bool(self.copied() if action == "copy" else self.copied_all())
        if action == "raise_query":
            return self.desk.actions is not None and bool(self.about()[0])
        if action == "record_about":
            return self.desk.program is not None and bool(self.about()[0])
        return action != self.NAME and (action != "back" or self.is_record)

    def offer_keys(self) -> None:
        """Bring the key line up to date."""
        self.key_line.offer(self.keys())

    async def press(self, press: Press) -> None:
        """Take one key: what is being typed comes first, then the key map."""
        if self._question is not None:
            await self._type(self._question, press)
            return
        self.status.clear_note()
        if await self.take(press):
            return
        key = find_key(self.keys(), press.key)
        if key is None:
            name = press.printable or press.key
            self.status.say(f"{self.glyphs.text(name)} does nothing here; ? lists the keys that do")
            return
        await self.run_key(key, press)

    def ask(self, question: Question, value: str = "") -> None:
        """Let the user type an answer into the status line."""
        draft = self.desk.personal.drafts().get(question.draft, "") if question.draft else ""
        self._question = question
        self.status.ask(question.prompt, value or draft)
        self.key_line.ask(self.glyphs.text(("Your unsent draft. " if draft else "") + question.help))

    async def _type(self, question: Question, press: Press) -> None:
        line = self.status
        text = line.value
        if press.key == "escape" or (press.key == "backspace" and not text and not question.draft):
            self._answered()
            if question.draft and text.strip():
                line.say("Nothing was recorded; the draft is kept")
        elif press.key == "enter":
            self._answered()
            if text.strip():
                await question.done(text.strip())
        elif press.key == "tab" and question.complete is not None:
            completed, fitting = question.complete(text)
            line.replace(completed)
            self.key_line.ask(self.glyphs.text("  ".join(fitting) or "Nothing fits what was typed"))
        elif line.type(press) and question.draft:
            self.desk.personal.keep_draft(question.draft, line.value)

    def _answered(self) -> None:
        self._question = None
        self.status.finish("")
        self.offer_keys()

    async def action_command(self) -> None:
        """:"""
        from tui.commanding import command_question

        self.ask(await command_question(self.session))

    async def action_show_command(self) -> None:
        """v"""
        from tui.screens.command import CommandScreen

        await self.session.open_record(CommandScreen(self))

    def action_copy(self) -> None:
        """y"""
        self._copy(self.copied())

    def action_copy_all(self) -> None:
        """Y"""
        self._copy(self.copied_all())

    def _copy(self, text: str) -> None:
        from tui.clipboard import copy

        self.status.say(self.glyphs.text(copy(self.session, text)))

    def about(self) -> tuple[str, str]:
        """What a query raised here is about: the subject, and words that name the record; empty where there is none."""
        return "", ""

    def copied(self) -> str:
        """What y copies: the name of what is under the cursor."""
        return ""

    def copied_all(self) -> str:
        """What Y copies: the row, or the whole text."""
        return self.copied()

    async def take(self, press: Press) -> bool:
        """Use a key for something that is being typed; False when nothing is."""
        return False

    async def run_key(self, key: Key, press: Press | None = None) -> None:
        """Run the action of a key: the screen's own, else the app's."""
        owner = self if hasattr(self, f"action_{key.action}") else self.app
        done = getattr(owner, f"action_{key.action}")()
        if inspect.isawaitable(done):
            await done

    async def pasted(self, text: str) -> None:
        """Take pasted text as if it had been typed; its line breaks become blanks."""
        if self._question is None:
            self.paste(text)
            return
        for char in " ".join(text.split()):
            await self._type(self._question, Press(char, char))

    def paste(self, text: str) -> None:
        """Take pasted text; only screens with a line of their own use it."""

    async def action_leave(self) -> None:
        """q: back from a record, out of the app from a place."""
        if self.is_record:
            await self.session.back()
        else:
            self.app.exit()

    async def action_back(self) -> None:
        """Esc: one level back."""
        if self.is_record:
            await self.session.back()

    async def move(self, by: int, unit: Unit) -> None:
        """Move the cursor or the text: down, or up where `by` is negative."""

    async def action_down(self) -> None:
        """Down"""
        await self.move(1, "line")

    async def action_up(self) -> None:
        """Up"""
        await self.move(-1, "line")

    async def action_turn_down(self) -> None:
        """PgDn"""
        await self.move(1, "page")

    async def action_turn_up(self) -> None:
        """PgUp"""
        await self.move(-1, "page")

    async def action_first(self) -> None:
        """Home"""
        await self.move(-1, "all")

    async def action_last(self) -> None:
        """End"""
        await self.move(1, "all")

    def on_row_moved(self, moved: RowMoved) -> None:
        """Show where the cursor stands."""
        if self.app.screen is self:
            self.status.place(moved.position, moved.count)

    def on_text_moved(self, moved: TextMoved) -> None:
        """Say when there is more than fits in the text that is the body of the screen."""
        if moved.pane == BODY:
            self.status.stand(
                f"{moved.below} more {'line' if moved.below == 1 else 'lines'} below" if moved.below else ""
            )

    def on_screen_resume(self) -> None:
        """The keys may have changed while another screen was open."""
        self.offer_keys()

    def on_resize(self, event: Resize) -> None:
        """Below the smallest size say so, and how to get the same without the screen."""
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.set_class(small, "small")
        if small:
            needs, has = "x".join(map(str, SMALLEST)), f"{event.size.width}x{event.size.height}"
            self._too_small.show(
                [
                    TextLine(f"This screen needs {needs}, yours is {has}."),
                    TextLine("Enlarge the window, or leave with q and use:"),
                    TextLine(f"  {self.command}"),
                ]
            )
