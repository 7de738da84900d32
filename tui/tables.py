"""Tables of the command line: plain lines that read well at 80 columns, in any tier of signs, without colour.

Rich does the layout and gets text only, never markup; every cell passes `tui.sanitise` before.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tui.cells import format_decimal
from tui.glyphs import Glyphs
from tui.output import glyphs_for, page_width, write_lines
from tui.sanitise import Align, wrap

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Column:
    """A column: its title, and how it gives way when the page is narrow."""

    title: str
    align: Align = "<"
    gives_way: bool = False
    """Wraps its text when the table is too wide; the others keep their width."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], indent: int = 0) -> None:
    """Print a table on stdout."""
    write_lines(table_lines(columns, rows, glyphs_for(sys.stdout), page_width() - indent, indent))


def table_lines(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], glyphs: Glyphs, width: int, indent: int = 0
) -> list[str]:
    """The lines of a table: titles, a rule, one row each; no line is wider than `width` unless a column may
    not wrap.
    """
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    line = glyphs.rule
    rule = Box(f"    \n    \n {line}  \n    \n    \n    \n    \n    \n")
    table = Table(box=rule, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    for column in columns:
        table.add_column(
            Text(glyphs.text(column.title), justify="right" if column.align == ">" else "left"),
            justify="right" if column.align == ">" else "left",
            overflow="fold",
            no_wrap=not column.gives_way,
        )
    for row in rows:
        table.add_row(*(_cell(cell_lines(value, glyphs)) for value in row))
    page = io.StringIO()
    console = Console(
        file=page,
        width=width,
        color_system=None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(table)
    return [(" " * indent + line).rstrip() for line in page.getvalue().splitlines()]


def _cell(lines: list[str]) -> RenderableType:
    """The lines of a cell; one that is indented keeps its indent where it wraps."""
    from rich.padding import Padding
    from rich.text import Text

    if len(lines) == 1 and (inset := len(lines[0]) - len(lines[0].lstrip(" "))):
        return Padding(Text(lines[0].lstrip(" ")), (0, 0, 0, inset))
    return Text("\n".join(lines))


def cell_lines(value: object, glyphs: Glyphs) -> list[str]:
    """A cell's lines, printable: a list of texts is one line each, anything else one line."""
    if isinstance(value, list):
        return [glyphs.text(line) for line in value]
    return [glyphs.text(cell_text(value))]


def record_lines(pairs: Iterable[tuple[str, object]], glyphs: Glyphs, width: int) -> list[str]:
    """`name  value` lines; long values are wrapped beside their name, empty ones left out."""
    shown = [(glyphs.text(name), glyphs.text(cell_text(value))) for name, value in pairs]
    shown = [(name, text) for name, text in shown if text]
    label = max((len(name) for name, _ in shown), default=0) + 2
    lines = []
    for name, text in shown:
        first, *rest = wrap(text, max(20, width - label))
        lines.append(f"{name:{label}}{first}")
        lines.extend(" " * label + more for more in rest)
    return lines


def cell_text(value: object) -> str:
    """A value of a release as text: missing is empty, zero is 0, decimals without trailing zeros, midnight
    a day.
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return format_decimal(value)
        case float():
            return f"{value:.6g}"
        case datetime():
            if (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0):
                return value.strftime("%Y-%m-%d")
            return value.strftime("%Y-%m-%d %H:%M:%S" if value.second else "%Y-%m-%d %H:%M")
        case date():
            return value.isoformat()
        case _:
            return str(value)
