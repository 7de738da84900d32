"""One sheet of an Excel workbook (xlsx, xls, xlsb, ods) as rows of text with their row numbers.

Dates arrive as ISO 8601 and numbers as Excel shows them in full, whatever the cell's format; a cell with an error
(#DIV/0!) is empty. Formulas count by their last computed value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import UnreadableFile

if TYPE_CHECKING:
    import polars as pl

ZIP_MAGIC, OLE_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Sheet:
    """A sheet's table. ``rows``: columns f0, f1, ... as text, __line and __last (the row of the sheet, 1-based)."""

    name: str
    header: tuple[str, ...]
    rows: pl.DataFrame


def is_workbook(head: bytes) -> bool:
    return head.startswith((ZIP_MAGIC, OLE_MAGIC))


def load_sheets(content: bytes, name: str, wanted: str | None) -> dict[str, pl.DataFrame]:
    """Every sheet of a workbook, or the one ``wanted``, as cells of text without a header; no rows where there are
    none. Call it through ``apart.read_sheets``: a workbook can ask for any amount of memory.

    Raises ``UnreadableFile``: no workbook, damaged, no such sheet.
    """
    import fastexcel

    try:
        workbook = fastexcel.read_excel(content)
        names = list(workbook.sheet_names)
        if wanted is not None and wanted not in names:
            raise UnreadableFile(
                f"{name} has no sheet {wanted!r}. Sheets found: {', '.join(names)}.",
                remedy="Correct sheet in its [[source]] in protocol.toml.",
                sheet=wanted,
            )
        return {
            each: workbook.load_sheet(each, header_row=None, skip_rows=0, dtypes="string").to_polars()
            for each in (names if wanted is None else [wanted])
        }
    except fastexcel.FastExcelError as error:
        raise UnreadableFile(
            f"{name} cannot be read as a workbook: it is truncated, damaged or protected by a password.",
            remedy="Open it in a spreadsheet program, save it again, and import that.",
            cause=str(error).splitlines()[0],
        ) from error


def read_sheet(content: Path | bytes, name: str, sheet: str | None) -> Sheet:
    """The sheet named ``sheet``, else the only one that holds anything; its first row that is not blank is the header.

    Raises ``UnreadableFile``: as ``load_sheets``, several sheets and none named, nothing in it, beyond the limits.
    """
    from importers.apart import read_sheets

    frames = read_sheets(content, name, sheet)
    filled = {each: frame for each, frame in frames.items() if frame.height and frame.width}
    if len(filled) > 1:
        raise UnreadableFile(
            f"{name} has several sheets with content: {', '.join(filled)}.",
            remedy=f'Name the one to read in its [[source]]: sheet = "{next(iter(filled))}", for example.',
            sheets=", ".join(filled),
        )
    if not filled:
        raise UnreadableFile(f"{name} is empty.", remedy="Export it again, or name its sheet in protocol.toml.")
    ((found, frame),) = filled.items()
    return _table(found, frame)


def _table(name: str, frame: pl.DataFrame) -> Sheet:
    import polars as pl

    numbered = frame.rename({column: f"f{index}" for index, column in enumerate(frame.columns)}).with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("__line")
    )
    cells = [column for column in numbered.columns if column != "__line"]
    rows = numbered.filter(
        pl.any_horizontal(pl.col(cells).is_not_null() & (pl.col(cells).str.strip_chars() != ""))
    ).with_columns(pl.col("__line").alias("__last"))
    header = tuple((value or "").strip() for value in rows.select(cells).row(0)) if rows.height else ()
    return Sheet(name, header, rows.slice(1))
