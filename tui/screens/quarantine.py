"""Place 4: rows in quarantine, by problem; a decision on a problem is one on all its rows."""

from __future__ import annotations

from tui.cells import show_count
from tui.desk import ActionRefused, Desk
from tui.desk_rows import PROBLEMS
from tui.pages import Source
from tui.screens.desk_list import Asking, DeskList, load_problems, make_listing
from tui.widgets.row_pane import Listing
from tui.widgets.row_table import Column

PROBLEM_COLUMNS = (
    Column("rows", "rows", 7, ">", letter="r", show=show_count),
    Column("problem", "problem", 18, letter="p"),
    Column("about", "about", 14, letter="a"),
    Column("state", "state", 10, letter="s"),
    Column("message", "what takes them up", 16, letter="w", grow=True),
    Column("file", "file", 12, letter="f", leaves=1),
)
CORRECT, REJECT, EXCLUDE = "correct_rows", "reject_rows", "exclude_rows"
HAND = "assign_device"
_BY_DEVICE = ("unassigned device", "unknown device")
_ACTIONS = ("hand", "accept", "edit", "reject", "exclude")


class QuarantineScreen(DeskList):
    """Problems that hold rows back, those nobody decided on first; one key decides on all rows of a problem."""

    NAME = "quarantine"
    NUMBER = "4"
    heading = "4 QUARANTINE"

    def allows(self, action: str) -> bool:
        """Decisions need a problem under the cursor that is not decided on, and somebody who may write."""
        if action in _ACTIONS:
            row = self.pane.table.current
            if self.desk.actions is None or row is None or self.value(row, "state") != "waits":
                return False
            if action == "hand":
                return self.value(row, "problem") in _BY_DEVICE
            needed = {"accept": "proposal", "edit": "corrects"}.get(action)
            return needed is None or self.value(row, needed) is not None
        return super().allows(action)

    def ref_here(self) -> str | None:
        row = self.pane.table.current
        return None if row is None else str(self.value(row, "id"))

    @staticmethod
    def load(desk: Desk) -> None:
        load_problems(desk)

    @staticmethod
    def read_listing(desk: Desk) -> tuple[Listing, Source]:
        """The problems of this release as they stand now."""
        listing = make_listing(
            desk, PROBLEMS, "problems", PROBLEM_COLUMNS, "/ problem: about: state:waits rows>10 or any text",
            "No row is in quarantine: every row that was read is in use or a duplicate.",
        )  # fmt: skip
        return listing, PROBLEMS

    async def action_accept(self) -> None:
        """a"""
        await self._preview(CORRECT, "")

    async def action_edit(self) -> None:
        """e"""
        row = self.pane.table.current
        assert row is not None
        fact = str(self.value(row, "corrects"))
        timed = fact not in ("subject_id", "device_id") and not fact.endswith("_unit")
        help = "as it stands = as it was" if timed else f"the right {fact.replace('_', ' ')}"
        self.ask_for(Asking("edit", self.ref_here() or ""), fact.replace("_", " "), f"{help}   Enter   Esc leaves it")

    async def action_reject(self) -> None:
        """d"""
        await self._preview(REJECT, "")

    async def action_exclude(self) -> None:
        """l"""
        await self._preview(EXCLUDE, "")

    async def action_hand(self) -> None:
        """h"""
        self.ask_for(Asking(HAND, self.ref_here() or ""), "subject and first day", "701-004 2026-03-01   Enter")

    async def _preview(self, action: str, new: str) -> None:
        """Say what would change, and ask for the reason."""
        problem_id, actions = self.ref_here(), self.desk.actions
        assert problem_id is not None and actions is not None
        try:
            told = await self.desk.run(lambda: actions.preview(action, problem_id, new))
        except ActionRefused as problem:
            self.status.say(self.glyphs.text(f"{problem} Nothing was recorded."))
            return
        self.ask_for(Asking(action, problem_id, new), "reason", "type the reason   Enter records   Esc leaves it")
        self.status.say(self.glyphs.text(told))

    async def carry_out(self, asking: Asking, text: str) -> bool:
        """The correction first, then the reason; then it is recorded."""
        assert self.desk.actions is not None
        if asking.action == "edit":
            await self._preview(CORRECT, text)
            return True
        if asking.action == HAND and not asking.given:
            await self._preview(HAND, text)
            return True
        decide = self.desk.actions.decide
        return await self.act(lambda: decide(asking.action, asking.ref, asking.given, text), forward=False)
