"""Excel: a typed sheet for each part of an export, one of their origin, one of the columns' meaning.

Text is written as text, never as a formula or link; text that would become a formula when the cell is
edited carries Excel's own text mark (quote prefix). The creation date is fixed, so equal rows give equal
bytes.
"""

from __future__ import annotations

import io
import math
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analysis.safe_text import is_formula, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.exports import Origin, Part

MOST_ROWS = 1_048_576 - 1
MOST_COLUMNS = 16_384
LONGEST_TEXT = 32_767
CREATED = datetime(2000, 1, 1)
_FIRST_DAY = date(1900, 3, 1)  # Excel believes in 29 February 1900; earlier days would be off by one
_EXACT_DIGITS = 15
_LONGEST_SHEET_NAME = 31
_WIDEST = 48


class TooLargeForExcel(ValueError):
    """The rows do not fit; the text is a sentence with the numbers and the way out."""


def workbook(parts: Sequence[Part], origin: Origin) -> bytes:
    """The workbook's bytes: a sheet for each part (header row frozen, filter on), then `origin` and `columns`.

    Numbers with more digits than Excel keeps, dates before March 1900, NaN and infinity are written as text.

    Raises TooLargeForExcel for more than 1,048,575 rows, 16,384 columns or 32,767 characters in a cell.
    """
    import xlsxwriter

    for part in parts:
        if part.frame.height > MOST_ROWS or part.frame.width > MOST_COLUMNS:
            raise TooLargeForExcel(
                f"An Excel sheet holds {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns; {part.name} of "
                f"this export has {part.frame.height:,} rows and {part.frame.width:,} columns. Take csv or parquet."
            )
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    title = visible(f"{origin.study}: {origin.what}")
    book.set_properties({"title": title, "comments": visible(origin.command), "created": CREATED})
    cells = _Cells(book)
    for part in parts:
        _add_rows(book, cells, part)
    facts = book.add_worksheet("origin")
    facts.set_column(0, 0, 16)
    facts.set_column(1, 1, 90)
    rows = sum(part.frame.height for part in parts)
    for row, (name, fact) in enumerate([*origin.facts().items(), ("rows", rows)]):
        facts.write_string(row, 0, name.replace("_", " "), cells.header)
        cells.write(facts, row, 1, fact)
    _add_meanings(book, cells, parts)
    book.close()
    return buffer.getvalue()


def _add_rows(book: Any, cells: _Cells, part: Part) -> None:
    sheet, frame = book.add_worksheet(part.name[:_LONGEST_SHEET_NAME]), part.frame
    for number, name in enumerate(frame.columns):
        sheet.write_string(0, number, visible(name), cells.header)
    for number, column in enumerate(frame):
        width = len(column.name)
        for row, value in enumerate(column.to_list(), start=1):
            width = max(width, cells.write(sheet, row, number, value))
        sheet.set_column(number, number, min(width, _WIDEST) + 2)
    sheet.freeze_panes(1, 0)
    if frame.width:
        sheet.autofilter(0, 0, max(frame.height, 1), frame.width - 1)


def _add_meanings(book: Any, cells: _Cells, parts: Sequence[Part]) -> None:
    several = len(parts) > 1
    meanings = book.add_worksheet("columns")
    meanings.set_column(0, 1 + several, 24)
    meanings.set_column(2 + several, 2 + several, 90)
    meanings.freeze_panes(1, 0)
    heads = ("sheet", "column", "type", "meaning")[0 if several else 1 :]
    for number, head in enumerate(heads):
        meanings.write_string(0, number, head, cells.header)
    described = [
        (part.name, name, str(dtype), part.columns.get(name, ""))
        for part in parts
        for name, dtype in part.frame.schema.items()
    ]
    for row, texts in enumerate(described, start=1):
        for number, text in enumerate(texts[0 if several else 1 :]):
            cells.write(meanings, row, number, text)


class _Cells:
    """Writes values with the format of their type."""

    def __init__(self, book: Any) -> None:
        self.header = book.add_format({"bold": True})
        self._quoted = book.add_format({"quote_prefix": True})
        self._day = book.add_format({"num_format": "yyyy-mm-dd"})
        self._moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})

    def write(self, sheet: Any, row: int, column: int, value: object) -> int:
        """Write one value; returns about how many characters wide it is shown."""
        match value:
            case None:
                return 0
            case bool():
                sheet.write_boolean(row, column, value)
                return 5
            case int() | float() | Decimal() if _keeps_digits(value):
                sheet.write_number(row, column, value)
                return len(str(value))
            case datetime() if value.date() >= _FIRST_DAY:
                sheet.write_datetime(row, column, value, self._moment)
                return 19
            case date() if not isinstance(value, datetime) and value >= _FIRST_DAY:
                sheet.write_datetime(row, column, value, self._day)
                return 10
            case _:
                return self._write_text(sheet, row, column, str(value))

    def _write_text(self, sheet: Any, row: int, column: int, value: str) -> int:
        text = visible(value)
        if len(text) > LONGEST_TEXT:
            raise TooLargeForExcel(
                f"A cell of row {row} has {len(text):,} characters and Excel keeps {LONGEST_TEXT:,}. "
                "Take csv or parquet."
            )
        sheet.write_string(row, column, text, self._quoted if is_formula(text) else None)
        return len(text)


def _keeps_digits(value: float | Decimal) -> bool:
    """Whether Excel's numbers (doubles shown with 15 digits) hold `value`; floats are doubles already."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 10**_EXACT_DIGITS
    return value.is_finite() and len(value.normalize().as_tuple().digits) <= _EXACT_DIGITS
