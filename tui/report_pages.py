"""The report as one HTML file that needs nothing else, and as Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tui.report_parts import Section, Table
from tui.sanitise import printable

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { margin-bottom: 0; } h1 + p { font-size: 1.15rem; margin-top: .2rem; }
h2 { border-bottom: 2px solid #111; margin-top: 2.5rem; } h3 { margin-bottom: .3rem; }
nav a { margin-right: 1.2rem; color: #0b3d91; }
table { border-collapse: collapse; margin: .3rem 0; } th, td { padding: .15rem .9rem .15rem 0; text-align: left; }
th { border-bottom: 1px solid #111; } td + td, th + th { text-align: right; } td.text, th.text { text-align: left; }
td { vertical-align: top; font-variant-numeric: tabular-nums; } td.part { padding-left: 1.4rem; color: #444; }
tr.figure td { border-top: 1px solid #ddd; } table.origin td + td { text-align: left; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } figure { margin: 1rem 0; }
figcaption, .note, .notes, .origin { font-size: 13px; color: #444; } .notes { padding-left: 1.1rem; margin-top: .3rem; }
@media print { nav { display: none; } h2 { break-before: page; } figure, tr { break-inside: avoid; } }
"""


FIGURE = '<tr class="figure">'


def html_report(study: str, title: str, origin: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The whole page. ``origin``: what the report was made from and how it is read, as label and value."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_safe(study)}: report</title><style>{STYLE}</style></head><body>",
        f"<h1>{_safe(study)}</h1><p>{_safe(title)}</p>",
        '<table class="origin">',
        *(f"<tr><td>{_safe(name)}</td><td>{_safe(value)}</td></tr>" for name, value in origin),
        "</table><nav>",
        *(f'<a href="#section-{place}">{_safe(section.title)}</a>' for place, section in enumerate(sections, start=1)),
        "</nav>",
    ]
    for place, section in enumerate(sections, start=1):
        parts.append(f'<h2 id="section-{place}">{_safe(section.title)}</h2>')
        parts += [_html_table(table) for table in section.tables]
        parts += [f"<figure>{svg}<figcaption>{_safe(caption)}</figcaption></figure>" for caption, svg in section.charts]
        parts += [f'<p class="note">{_safe(sentence)}</p>' for sentence in section.sentences]
    return "\n".join([*parts, "</body></html>", ""])


def _html_table(table: Table) -> str:
    words = [_is_words(table, place) for place in range(len(table.header))]
    head = "".join(
        f'<th class="text">{_safe(cell)}</th>' if text else f"<th>{_safe(cell)}</th>"
        for cell, text in zip(table.header, words, strict=True)
    )
    rows = "".join(_html_row(row, words) for row in table.rows)
    notes = "".join(f"<li>{_safe(note)}</li>" for note in table.notes)
    title = f"<h3>{_safe(table.title)}</h3>" if table.title else ""
    return f"{title}<table><tr>{head}</tr>{rows}</table>" + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _html_row(row: Sequence[str], words: Sequence[bool]) -> str:
    """A row; what belongs to the row above is indented, what begins a figure has a line above it."""
    label, *texts = row
    part = label.startswith(" ")
    first = f'<td class="part">{_safe(label.strip())}</td>' if part else f"<td>{_safe(label)}</td>"
    cells = (
        f'<td class="text">{_safe(cell)}</td>' if text else f"<td>{_safe(cell)}</td>"
        for cell, text in zip(texts, words[1:], strict=True)
    )
    return f"{'<tr>' if part else FIGURE}{first}{''.join(cells)}</tr>"


def _is_words(table: Table, place: int) -> bool:
    """Whether a column holds words and no number at all."""
    return place > 0 and not any(any(map(str.isdigit, row[place])) for row in table.rows)


def _safe(text: str) -> str:
    return html.escape(printable(text))


def markdown_report(study: str, title: str, origin: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Tables and sentences of the report; charts are in the HTML file."""
    head = [f"# {_plain(study)}", "", _plain(title), ""]
    lines = [*head, *(f"- {_plain(name)}: {_plain(value)}" for name, value in origin), ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", ""]
        for table in section.tables:
            lines += [f"### {_plain(table.title)}", ""] if table.title else []
            lines += [_row(table.header), _row(["---"] * len(table.header))]
            lines += [*(_row(row) for row in table.rows), ""]
            lines += [*(f"- {_plain(note)}" for note in table.notes), ""]
        lines += [*(f"{_plain(caption)} (chart in the HTML file)  " for caption, _ in section.charts)]
        lines += [*(f"{_plain(sentence)}  " for sentence in section.sentences), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text without what Markdown would read as a mark."""
    safe = printable(text).replace("\\", "\\\\")
    for sign in "|*_`<>[]#":
        safe = safe.replace(sign, f"\\{sign}")
    return safe
