"""The summary in print: a table per family and population, one column per arm, what cannot be said below
it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tui.glyphs import Glyphs
from tui.output import glyphs_for, page_width, paragraph, write_lines
from tui.result_rows import POOLED, Figure, Result, format_value, group_figures
from tui.tables import Column, table_lines

if TYPE_CHECKING:
    from tui.reading import Reader

FAMILIES = (
    ("enrolment", "Enrolment"),
    ("exposure", "Exposure"),
    ("accuracy", "Dose accuracy"),
    ("compliance", "Compliance"),
    ("adverse_events", "Adverse events"),
)
TERMS_SHOWN = 10
LABEL = 20
ARM = 15
"""Cells that a label and an arm's column take at least; what does not fit stands in a second table."""


def print_summary(reader: Reader, rows: list[Result], *, all_terms: bool) -> None:
    """Print `rows` of the table result."""
    glyphs, width = glyphs_for(sys.stdout), page_width()
    facts = reader.facts
    known = [code for (code,) in reader.rows("SELECT arm_code FROM arm ORDER BY arm_order") if code is not None]
    lines = paragraph(" ".join(filter(None, (facts.study, facts.title))), glyphs, width)
    for family, title in FAMILIES:
        found = [row for row in rows if row["analysis"] == family]
        for population in dict.fromkeys(row["population"] for row in found):
            chosen = [row for row in found if row["population"] == population]
            lines += ["", f"{title.upper()}  population {glyphs.text(population)}"]
            lines += _family_lines(chosen, known, glyphs, width, all_terms=all_terms)
    if not rows:
        lines += ["", "No results of this kind in this release."]
    lines += ["", *paragraph(_footer(reader, rows), glyphs, width), f"Ledger head {facts.ledger_head}"]
    write_lines(lines)


def _footer(reader: Reader, rows: list[Result]) -> str:
    facts = reader.facts
    cuts = {row["data_cut"] for row in rows if row["data_cut"]}
    cut = f"data cut {max(cuts)}" if cuts else "all data"
    levels = sorted({row["level"] for row in rows if row["level"] is not None and row["lower"] is not None})
    intervals = f" Intervals: {', '.join(f'{100 * level:g} %' for level in levels)}." if levels else ""
    compared = any(row["comparator"] for row in rows)
    descriptive = " Differences between arms are descriptive, not adjusted." if compared else ""
    state = "" if facts.blinding == "open" else f", {facts.blinding}"
    pooled = " Figures are pooled over all arms." if facts.blinded else ""
    return f"Release {facts.release}{state}, {cut}.{intervals}{descriptive}{pooled}"


def _family_lines(rows: list[Result], known: list[str], glyphs: Glyphs, width: int, *, all_terms: bool) -> list[str]:
    figures = group_figures(rows)
    seen = {arm for figure in figures for arm in figure.values}
    arms = [code for code in known if code in seen] + sorted(seen - set(known) - {POOLED})
    arms += [POOLED] if POOLED in seen else []
    general = [figure for figure in figures if not _term(figure)]
    terms, left_out = _most_frequent([figure for figure in figures if _term(figure)], all_terms=all_terms)
    shown = [figure for figure in (*general, *terms) if _has_value(figure)]
    per_table = max(1, (width - LABEL) // ARM)
    lines: list[str] = []
    for first in range(0, len(arms) if shown else 0, per_table):
        part = arms[first : first + per_table]
        lines += _table(shown, part, glyphs, width)
    for sentence, labels in _sentences(figures).items():
        lines += paragraph(f"{', '.join(labels)}: {sentence}", glyphs, width)
    if left_out:
        lines += paragraph(f"{left_out} more terms, less frequent: --all shows every one.", glyphs, width)
    return lines


def _table(figures: list[Figure], arms: list[str], glyphs: Glyphs, width: int) -> list[str]:
    columns = [Column("", gives_way=True)]
    columns += [Column("all arms" if arm == POOLED else arm, ">") for arm in arms]
    body = []
    for figure in figures:
        cells = [_cell(figure.values.get(arm)) for arm in arms]
        if any(cells):
            body.append([f"{'  ' * figure.level}{figure.label}", *cells])
    return table_lines(columns, body, glyphs, width)


def _cell(row: Result | None) -> list[str]:
    """Counts and value, below them the interval."""
    if row is None:
        return []
    if row["value"] is None:
        return ["n.a." if row["not_assessable"] else "not est."]
    value = format_value(row["value"], row["unit"])
    if row["numerator"] is not None and row["denominator"] is not None and not row["comparator"]:
        value = f"{row['numerator']:,.6g}/{row['denominator']:,.6g} {value}"
    return [value, *_interval(row)]


def _interval(row: Result) -> list[str]:
    if row["lower"] is None and row["upper"] is None:
        return []
    lower, upper = (
        "inf" if row[name] is None else format_value(row[name], row["unit"], sign=False) for name in ("lower", "upper")
    )
    return [f"({lower} to {upper})"]


def _has_value(figure: Figure) -> bool:
    return any(row["value"] is not None or not row["not_assessable"] for row in figure.values.values())


def _sentences(figures: Sequence[Figure]) -> dict[str, list[str]]:
    """Each sentence once, with the labels of the figures it speaks for."""
    sentences: dict[str, list[str]] = {}
    for figure in figures:
        if figure.sentence:
            said = (
                figure.sentence
                if figure.sentence.startswith("not assessable")
                else f"not assessable: {figure.sentence}"
            )
            labels = sentences.setdefault(said, [])
            if figure.label not in labels:
                labels.append(figure.label)
    return sentences


def _term(figure: Figure) -> tuple[Any, Any] | None:
    """(soc, term) of a figure on a term or a class; None for figures over all events."""
    row = next(iter(figure.values.values()))
    return (row["soc"], row["term"]) if row["soc"] or row["term"] else None


def _most_frequent(figures: list[Figure], *, all_terms: bool) -> tuple[list[Figure], int]:
    """Figures on terms, the most frequent term first, and how many terms are left out.

    Frequency: subjects with the event over all arms, as counted. Without `all_terms` the classes are left
    out too.
    """
    groups: dict[tuple[Any, Any], list[Figure]] = {}
    for figure in figures:
        key = _term(figure)
        assert key is not None
        if all_terms or key[1] is not None:
            groups.setdefault(key, []).append(figure)
    if all_terms:
        classes = {soc: _frequency(group) for (soc, term), group in groups.items() if term is None}
        order = sorted(
            groups, key=lambda key: (-classes.get(key[0], 0), str(key[0]), key[1] is not None, -_frequency(groups[key]))
        )
        return [figure for key in order for figure in groups[key]], 0
    order = sorted(groups, key=lambda key: (-_frequency(groups[key]), str(key)))
    chosen = order[:TERMS_SHOWN]
    return [figure for key in chosen for figure in groups[key]], len(order) - len(chosen)


def _frequency(figures: list[Figure]) -> float:
    rows = next((list(figure.values.values()) for figure in figures if not figure.comparator), [])
    arms = [row for row in rows if row["arm"] not in (None, POOLED)] or rows
    return sum(row["numerator"] or 0 for row in arms)
