"""The report as one HTML file that needs nothing else, and as Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tui.report_parts import Section, Table
from tui.sanitise import printable

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h1 { margin-bottom: 0; } h2 { border-bottom: 2px solid #111; margin-top: 2.5rem; } h3 { margin-bottom: .3rem; }
table { border-collapse: collapse; margin: .3rem 0; } th, td { padding: .15rem .7rem .15rem 0; text-align: left; }
th { border-bottom: 1px solid #111; } td + td, th + th { text-align: right; }
tr:nth-child(even) td { background: #f5f5f5; } svg { max-width: 100%; height: auto; }
figure { margin: 1rem 0; } figcaption, .note, .origin { font-size: 13px; color: #444; }
@media print { h2 { break-before: page; } figure, table { break-inside: avoid; } }
"""


def html_report(title: str, origin: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The whole page. ``origin``: what the report was made from, as label and value."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_safe(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{_safe(title)}</h1>",
        '<table class="origin">',
        *(f"<tr><td>{_safe(name)}</td><td>{_safe(value)}</td></tr>" for name, value in origin),
        "</table>",
    ]
    for section in sections:
        parts.append(f"<h2>{_safe(section.title)}</h2>")
        parts += [_html_table(table) for table in section.tables]
        parts += [f"<figure>{svg}<figcaption>{_safe(caption)}</figcaption></figure>" for caption, svg in section.charts]
        parts += [f'<p class="note">{_safe(sentence)}</p>' for sentence in section.sentences]
    return "\n".join([*parts, "</body></html>", ""])


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{_safe(cell)}</th>" for cell in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    notes = "".join(f'<p class="note">{_safe(note)}</p>' for note in table.notes)
    return f"<h3>{_safe(table.title)}</h3><table><tr>{head}</tr>{rows}</table>{notes}"


def _safe(text: str) -> str:
    return html.escape(printable(text))


def markdown_report(title: str, origin: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Tables and sentences of the report; charts are in the HTML file."""
    lines = [f"# {_plain(title)}", "", *(f"- {_plain(name)}: {_plain(value)}" for name, value in origin), ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", ""]
        for table in section.tables:
            lines += [f"### {_plain(table.title)}", "", _row(table.header), _row(["---"] * len(table.header))]
            lines += [*(_row(row) for row in table.rows), ""]
            lines += [*(f"{_plain(note)}  " for note in table.notes), ""]
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
