"""HTML: one page that needs nothing else, with the origin first, the tables, and the meaning of their columns."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.exports import shown, without_empty
from analysis.safe_text import visible

if TYPE_CHECKING:
    from analysis.exports import Origin, Part

STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#111}h1{margin-bottom:.3em}h2{margin:1.6em 0 .2em}"
    "p{margin:.2em 0 .4em;color:#444}table{border-collapse:collapse;margin:0 0 1em}"
    "table.rows{font-size:13px}table.rows th,table.rows td{border:1px solid #ccc;padding:2px 8px;text-align:left;"
    "vertical-align:top;max-width:26em;overflow-wrap:break-word}table.rows th{background:#eee;position:sticky;top:0;"
    "overflow-wrap:normal}table.rows tr:nth-child(even) td{background:#f7f7f7}"
    "td.n{text-align:right!important;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "table.facts th,table.facts td{text-align:left;padding:1px 1.2em 1px 0;vertical-align:top;font-size:13px}"
    "table.facts th{font-weight:600}dl{font-size:13px}dt{font-weight:600}dd{margin:0 0 .3em 1.5em}"
    "@media print{table.rows th{position:static}tr{break-inside:avoid}}"
)


def page(parts: Sequence[Part], origin: Origin) -> bytes:
    """The page as UTF-8. No script, no link, nothing from elsewhere; every text of the data is escaped."""
    title = _text(f"{origin.study}: {origin.what}")
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f'<h1>{title}</h1><table class="facts">',
        *(f"<tr><th>{name.replace('_', ' ')}</th><td>{_text(fact)}</td></tr>" for name, fact in origin.facts().items()),
        "</table>",
    ]
    for part in parts:
        lines += _table(part)
    return ("\n".join([*lines, "</body></html>"]) + "\n").encode()


def _table(part: Part) -> list[str]:
    frame = without_empty(part.frame)
    kinds = [' class="n"' if dtype.is_numeric() else "" for dtype in frame.dtypes]
    heads = "".join(f"<th>{_text(name)}</th>" for name in frame.columns)
    lines = [
        f"<h2>{_text(part.name)}</h2><p>{frame.height:,} rows</p>",
        f'<table class="rows"><thead><tr>{heads}</tr></thead><tbody>',
    ]
    lines += [
        "<tr>"
        + "".join(f"<td{kind}>{_text(shown(value))}</td>" for kind, value in zip(kinds, row, strict=True))
        + "</tr>"
        for row in frame.iter_rows()
    ]
    lines.append("</tbody></table>")
    meanings = [(name, part.columns.get(name)) for name in frame.columns]
    if any(meaning for _, meaning in meanings):
        lines.append("<dl>")
        lines += [f"<dt>{_text(name)}</dt><dd>{_text(meaning)}</dd>" for name, meaning in meanings if meaning]
        lines.append("</dl>")
    return lines


def _text(value: object) -> str:
    return html.escape(visible(str(value)))
