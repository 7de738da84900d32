"""Place 6: what to export, in which format, to which file; with the command that does the same."""

from __future__ import annotations

import shlex
from pathlib import Path

from textual.widget import Widget
from textual.worker import Worker

from tui.desk import AS_IS, DEIDENTIFIED, IDENTITIES, Desk, ExportRefused, ExportWish
from tui.fixed_rows import FixedRows
from tui.keymap import Press
from tui.screens.place import Place
from tui.widgets.filter_line import FilterLine
from tui.widgets.row_table import Column, Row, RowTable
from tui.widgets.text_pane import TextLine, TextPane, Unit

WHAT = (
    ("summary", "All results: accuracy, compliance, adverse events, enrolment"),
    ("arm-summary", "The results as printed, one arm a column"),
    ("patients", "One row per patient, as in the list"),
    ("queries", "Queries with their answers, as they stand now"),
    ("dose_match", "Planned doses with what became of them"),
    ("dose_event", "Doses as devices and forms reported them"),
    ("adverse_event", "Adverse events as recorded"),
    ("source_file", "Imported files with what became of their rows"),
    ("quarantine", "Rows in quarantine with reason, file and line"),
    ("audit-trail", "Who did what, when and why"),
    ("full", "Every table of the release"),
    ("dictionary", "Meaning and unit of every column"),
)
FORMATS = {"csv": "csv", "xlsx": "xlsx", "parquet": "parquet", "json": "json", "markdown": "md", "html": "html"}
"""Format to the suffix of its files."""

FOR_PLACE = {
    "patients": "patients",
    "arms": "arm-summary",
    "imports": "source_file",
    "queries": "queries",
    "quarantine": "quarantine",
}
"""What x chooses first on a place."""

COLUMNS = (Column("what", "what", 16), Column("meaning", "rows", 40, grow=True))
PAST = (
    Column("number", "no.", 4),
    Column("day", "day (UTC)", 10),
    Column("what", "what", 15),
    Column("identity", "identity", 8),
    Column("rows", "rows", 9),
    Column("sha", "sha256", 8),
    Column("state", "file is", 12, grow=True),
)
OF_PATIENTS = ("patients", "dose_match", "dose_event", "adverse_event", "queries")
"""What the filter of the patients limits."""
SHOWN_ROWS = 7


class ExportsScreen(Place):
    """Chooses and writes one export; the file never replaces another one."""

    NAME = "exports"
    NUMBER = "6"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.last_written: Path | None = None
        self._format = next(iter(FORMATS))
        self._identity = AS_IS
        self._past: list[tuple[str, ...]] | None = None
        self._filter = ""
        self._target: Path | None = None
        self._table = RowTable(desk.glyphs)
        self._work: Worker[None] | None = None
        self._line = FilterLine(desk.glyphs)
        self._text = TextPane(desk.glyphs)

    @property
    def command(self) -> str:
        return "dosetrail export"

    def compose_body(self) -> list[Widget]:
        self._table.styles.height = SHOWN_ROWS + 1
        return [self._table, self._line, self._text]

    def on_mount(self) -> None:
        """List what can be exported."""
        desk = self.desk
        self.title_line.show(f" 6 EXPORTS  {self.glyphs.text(desk.study)}", f"{desk.release_label} ")
        self._list_what()
        self.offer_keys()

    async def take_up(self) -> None:
        """What is written comes from the newer release; a path that was typed stays."""
        desk = self.desk
        self.title_line.show(f" 6 EXPORTS  {self.glyphs.text(desk.study)}", f"{desk.release_label} ")
        if self._past is None and not self._line.editing:
            self._show_wish()

    def _list_what(self, cursor: int = 0) -> None:
        self._past = None
        self._table.set_columns(COLUMNS, ["what", "meaning"])
        self._table.show(FixedRows([Row(place, row) for place, row in enumerate(WHAT)]))
        self._table.move_to(cursor)
        self._show_wish()

    async def action_next_tab(self) -> None:
        """Tab: exports that were made, or what can be exported."""
        if self._past is not None:
            self._list_what()
            return
        past = self.desk.past_exports
        if past is None:
            self.status.say("Past exports: dosetrail exports lists them")
            return
        try:
            rows = await self.desk.pages.run(past.read)
        except ExportRefused as refused:
            self.status.say(self.glyphs.text(str(refused)))
            return
        if not rows:
            self.status.say("No export was made yet")
            return
        self._past = rows
        self._table.set_columns(PAST, [column.key for column in PAST])
        self._table.show(FixedRows([Row(place, row) for place, row in enumerate(rows)]))
        self._table.move_to(0)
        self._show_past()

    async def action_previous_tab(self) -> None:
        """Shift-Tab: the same, there are two lists."""
        await self.action_next_tab()

    def action_identity(self) -> None:
        """i: as is, or de-identified."""
        self._identity = DEIDENTIFIED if self._identity == AS_IS else AS_IS
        self._target = None
        self._show_wish()

    def _show_past(self) -> None:
        assert self._past is not None
        number, _, what, *_, name = self._past[self._table.cursor]
        self._line.set_up("", f"Export {number}: {what}")
        self._text.show(
            [
                TextLine(f" File       {self.glyphs.text(name)}"),
                TextLine(f" Command    dosetrail export again {number}"),
                TextLine(" Enter      makes it again, with the same bytes, unless the file was changed"),
            ]
        )

    def choose_for(self, place: str, words: str = "") -> None:
        """Put the cursor on what belongs to a place; `words` is the filter of the patients there."""
        names = [name for name, _ in WHAT]
        self._filter, self._target = words, None
        self._list_what(names.index(FOR_PLACE.get(place, "summary")))

    def allows(self, action: str) -> bool:
        """Nothing can be written where the app was opened for reading only."""
        return super().allows(action) and (action != "write" or self.desk.exporter is not None)

    async def take(self, press: Press) -> bool:
        """A path is being typed."""
        if not self._line.editing:
            return False
        if press.key in ("enter", "escape"):
            typed = self._line.value.strip()
            if press.key == "enter" and typed:
                self._target = Path(typed).expanduser()
            self._show_wish()
            self.offer_keys()
        else:
            self._line.type(press)
        return True

    def paste(self, text: str) -> None:
        """Pasted text goes into the path."""
        if self._line.editing:
            for char in " ".join(text.split()):
                self._line.type(Press(char, char))

    async def move(self, by: int, unit: Unit) -> None:
        """Choose what."""
        self._table.move(by if unit == "line" else by * len(WHAT))
        self._target = None
        if self._past is not None:
            self._show_past()
        else:
            self._show_wish()

    def action_format(self) -> None:
        """f: the next format."""
        names = list(FORMATS)
        self._format = names[(names.index(self._format) + 1) % len(names)]
        self._target = None
        self._show_wish()

    def action_target(self) -> None:
        """t: type a path."""
        self._line.set_up("path: ", "", str(self._wish().target))
        self._line.edit()
        self.key_line.ask("type the path   Enter keeps   Esc leaves it as it was")

    def action_write(self) -> None:
        """Enter writes the file on a thread; the app can be used meanwhile."""
        if self._work is not None and not self._work.is_finished:
            self.status.say("still writing the file before")
            return
        self.status.say("writing...")
        if self._past is not None:
            self._work = self.run_worker(self._write_again(self._past[self._table.cursor][0]))
        else:
            self._work = self.run_worker(self._write(self._wish()))

    async def settled(self) -> None:
        """Wait until the file is written."""
        if self._work is not None:
            await self._work.wait()

    async def _write(self, wish: ExportWish) -> None:
        exporter = self.desk.exporter
        assert exporter is not None
        try:
            said = await self.desk.pages.run(lambda: exporter(wish))
        except ExportRefused as refused:
            said = str(refused)
        except OSError as error:
            said = f"Not written: {error.strerror} ({wish.target}). t chooses another path"
        else:
            self.last_written = wish.target
        self.status.say(self.glyphs.text(said))

    async def _write_again(self, number: str) -> None:
        past = self.desk.past_exports
        assert past is not None
        try:
            said = await self.desk.pages.run(lambda: past.again(number))
        except ExportRefused as refused:
            said = str(refused)
        self.status.say(self.glyphs.text(said))

    def _wish(self) -> ExportWish:
        what = WHAT[self._table.cursor][0]
        mark = "-deid" if self._identity == DEIDENTIFIED else ""
        suffix = "zip" if what == "full" and self._format in ("csv", "parquet") else FORMATS[self._format]
        name = f"{what}-release{self.desk.pages.release}{mark}.{suffix}"
        words = self._filter if what in OF_PATIENTS else ""
        return ExportWish(what, self._format, self._target or Path.cwd() / name, words, self._identity)

    def _show_wish(self) -> None:
        wish, glyphs = self._wish(), self.glyphs
        formats = "  ".join(f"[{shown}]" if name == self._format else f" {shown} " for name, shown in FORMATS.items())
        self._line.set_up("", f"Format     {formats}")
        command = command_line(self.desk.folder, wish)
        marks = [f"[{name}]" if name == wish.identity else f" {name} " for name in IDENTITIES]
        lines = [
            TextLine(f" Identity   {'  '.join(marks)}"),
            TextLine(f" To         {glyphs.text(shown_path(wish.target))}"),
        ]
        if wish.filter:
            lines.append(TextLine(f" Only       patients that match {glyphs.text(wish.filter)}"))
        if self.desk.pages.blinded:
            lines.append(TextLine(" Blinded    no arm, treatment or amount is in this file"))
        lines += [
            TextLine(f" {label:<11}{glyphs.text(part)}")
            for label, part in zip(("Command", "", ""), command, strict=True)
        ]
        lines.append(TextLine(" With it    release, ledger head, population, data cut and the command"))
        self._text.show(lines)
        if self.desk.exporter is None:
            self.status.stand("Opened for reading only: use the command above")


def shown_path(path: Path) -> str:
    """A path as one would type it here: from the current folder when it is in it, as ./name then."""
    return f"./{path.name}" if path.parent == Path.cwd() else str(path)


def command_line(folder: Path, wish: ExportWish) -> list[str]:
    """The command that writes the same file, in three parts to be typed as one line."""
    only = f" --filter {shlex.quote(wish.filter)}" if wish.filter else ""
    identity = "" if wish.identity == AS_IS else f" --identity {wish.identity}"
    return [
        f"dosetrail --study {shlex.quote(str(folder))} export {wish.what}",
        f"--format {wish.format}{only}{identity}",
        f"--out {shlex.quote(shown_path(wish.target))}",
    ]
