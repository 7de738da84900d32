"""A published table of adverse events in print, asked for by name.

The one place where p values need no [confirmatory] in the protocol.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from store.errors import UsageProblem
from store.macros import PUBLISHED_ROWS, PUBLISHED_TABLES
from tui.output import glyphs_for, page_width, paragraph, write_lines
from tui.summary_lines import Cell, Result, gather
from tui.tables import Column, table_lines

if TYPE_CHECKING:
    from tui.reading import Reader


def read_published(reader: Reader, name: str) -> list[Result]:
    """Rows of macro published_table, which older releases lack.

    Raises UsageProblem for a name nobody published, or a release without its p values.
    """
    if name not in PUBLISHED_TABLES:
        raise UsageProblem(
            f"There is no published table {name}.", remedy=f"There are: {', '.join(PUBLISHED_TABLES)}.", table=name
        )
    rows = reader.records(PUBLISHED_ROWS.format(name="$name"), {"name": name})
    if not any(row["statistic"] == "p_value" for row in rows):
        raise UsageProblem(
            "This release compares no arms, so the published table has nothing to reproduce.",
            remedy="State reference_arm in [study] of protocol.toml; a blinded release never compares arms.",
        )
    return rows


def print_published(reader: Reader, rows: list[Result], name: str) -> None:
    """Class and term by row, subjects and events by arm, p value of each arm against the reference arm."""
    glyphs, width = glyphs_for(sys.stdout), page_width()
    known = [code for (code,) in reader.rows("SELECT arm_code FROM arm ORDER BY arm_order") if code is not None]
    figures = gather([row for row in rows if row["comparator"] is None])
    p_values: dict[tuple[str | None, str | None, str], Result] = {
        (row["soc"], row["term"], row["arm"]): row for row in rows if row["statistic"] == "p_value"
    }
    arms = [arm for arm in known if any(row["arm"] == arm for row in rows)]
    compared = [arm for arm in arms if any(key[2] == arm for key in p_values)]
    overall = next(iter(figures.values()))
    heads = [f"{arm} n={row['denominator']:.0f}" if (row := overall[arm].main) else arm for arm in arms]
    columns = [
        Column("", gives_way=True),
        *(Column(head, ">") for head in heads),
        *(Column("p", ">") for _ in compared),
    ]
    body: list[list[object]] = []
    for soc, term in dict.fromkeys((row["soc"], row["term"]) for row in rows):
        row = next(one for one in rows if (one["soc"], one["term"]) == (soc, term))
        cells = figures.get(("teae", row["by"], row["by_value"], None, term or soc), {})
        label = f"  {term}" if term else soc or "any event"
        counts = [_count(cells.get(arm)) for arm in arms]
        body.append([label, *counts, *(_p(p_values.get((soc, term, arm))) for arm in compared)])
    lines = [PUBLISHED_TABLES[name], *table_lines(columns, body, glyphs, width)]
    against = next((row["comparator"] for row in p_values.values()), "")
    lines += paragraph(
        f"p: Fisher's exact test, two-sided, against {against}, in the order of the columns ({', '.join(compared)}); "
        "reproduces the published table, not a confirmatory comparison.",
        glyphs,
        width,
    )
    write_lines(lines)


def _count(cell: Cell | None) -> str:
    """`65 75.6% [220]`: subjects, their share, events."""
    row = cell.main if cell else None
    if cell is None or row is None or row["value"] is None:
        return ""
    shown = f"{row['numerator']:,.0f} {100 * row['value']:.1f}%"
    counted = cell.value("events")
    return shown if counted is None else f"{shown} [{counted:,.0f}]"


def _p(row: Result | None) -> str:
    if row is None or row["value"] is None:
        return ""
    return ">.99" if row["value"] > 0.99 else f"{row['value']:.3f}"
