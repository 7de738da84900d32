"""Text from files in what a person opens: nothing runs as a formula, nothing acts on a terminal, nothing is
invisible.

Used by the exports a spreadsheet or a pager opens. What is shown on a screen passes the terminal's own,
stricter door.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# What Excel, LibreOffice and Google Sheets take for the start of a formula (the full-width twins are read
# alike), at the start of a cell and after what ends a cell for a spreadsheet that is set to semicolons or
# tabs.
_SIGN = "[=+\\-@＝＋－＠]"
_START = "^|[;\t\r\n]"
_FORMULA = re.compile(f"({_START})(\\s*)({_SIGN})")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?%?")
_HIDDEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_UNSEEN = re.compile(f"[{_HIDDEN}\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")


def neutralised(text: str) -> str:
    """`text` so that no spreadsheet runs it: an apostrophe before each sign that would start a formula.

    A plain number stays as it is: `-5` and `+1.5e3` are no formulas.

    >>> neutralised("=1+1"), neutralised("-5"), neutralised("mild; =cmd()"), neutralised("T-cell, -5 degrees")
    ("'=1+1", '-5', "mild; '=cmd()", 'T-cell, -5 degrees')
    """
    if _NUMBER.fullmatch(text.strip()):
        return text
    return _FORMULA.sub(r"\1\2'\3", text)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run `text`."""
    return neutralised(text) != text


def visible(text: str) -> str:
    r"""`text` with control, escape, zero-width and direction characters written out; tab and line feed stay.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def markdown_text(value: object) -> str:
    r"""A value for a Markdown table cell: on one line, and no markup of its own.

    >>> markdown_text("a|b <i>")
    'a\\|b \\<i\\>'
    """
    text = visible("" if value is None else str(value)).replace("\t", " ").replace("\n", " ")
    return _MARKDOWN.sub(r"\\\1", text)


def safe_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """`frame` with its text columns visible and neutralised, and how many cells that changed."""
    import polars as pl

    changed = 0
    columns = []
    for column in frame.rename(lambda name: neutralised(visible(name))):
        if isinstance(column.dtype, pl.String):
            # One compiled pass over the column; Python sees only the cells that match.
            suspect = column.str.contains(f"(?:{_START})\\s*{_SIGN}|[{_HIDDEN}]").fill_null(False)
            if suspect.any():
                before = column.filter(suspect).to_list()
                after = [neutralised(visible(text)) for text in before]
                changed += sum(old != new for old, new in zip(before, after, strict=True))
                column = column.scatter(suspect.arg_true(), pl.Series(after, dtype=pl.String))
        columns.append(column)
    return pl.DataFrame(columns), changed
