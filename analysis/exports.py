"""Files that leave the study: CSV, Parquet, JSON and Markdown here, Excel in `analysis.export_excel`.

Every file says where its numbers come from (`Origin`): release, ledger head, population, data cut and the
command that makes it again. CSV has no room for that without breaking readers, so it gets a sibling file,
`NAME.csv.json`; it stands first in a Markdown file, on a sheet of its own in Excel, in the file metadata of
Parquet (key `dosetrail`) and under `origin` in JSON. All functions are pure and return bytes; the same rows
and origin give the same bytes.

What a person opens (CSV, Excel, Markdown) shows control characters as escapes and cannot run as a formula;
Parquet and JSON hold text exactly as stored.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from analysis.json_text import json_document, json_rows, json_value
from analysis.safe_text import markdown_text, safe_columns

if TYPE_CHECKING:
    import polars as pl

METADATA_KEY = "dosetrail"

DATETIME = "%Y-%m-%dT%H:%M:%S%.f"


@dataclass(frozen=True)
class Origin:
    """Where the rows of an export come from, and how to make it again."""

    what: str
    """Name of the export: summary, patients, a table."""
    study: str
    release: int
    ledger_head: str
    """HASH@SEQ of the ledger row the release was built from: the anchor of `dosetrail verify --anchor`."""
    blinding: str
    """open, blinded (the release without arms and amounts) or unblinded (the other file of a blinded
    trial).
    """
    population: str
    """Population, or which column names it."""
    data_cut: str
    """Event date up to which data count, or `all data`."""
    command: str
    """Command line that makes the file again from the same release."""
    program: str
    """Name and version of the program."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column -> meaning and unit, in column order (the data dictionary of this file)."""

    def facts(self) -> dict[str, object]:
        """Everything but the columns, in the order of printing."""
        return {name: value for name, value in asdict(self).items() if name != "columns"}


@dataclass(frozen=True)
class ExportFile:
    """One file to write: what stands after the name chosen by the user, and its content."""

    suffix: str
    """Empty for the file itself; `.json` for the sibling of a CSV."""
    content: bytes


def write_export(frame: pl.DataFrame, origin: Origin, format: str) -> list[ExportFile]:
    """The files of one export, the one the user named first.

    Raises KeyError for a format that is not in FORMATS and `analysis.export_excel.TooLargeForExcel` where
    Excel has no room.
    """
    return FORMATS[format](plain(frame), origin)


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Enumerations and categories as text, nested values as JSON text, 128-bit integers as decimals they
    already are.
    """
    import polars as pl

    columns = []
    for column in frame:
        if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
            columns.append(column.cast(pl.String))
        elif column.dtype.is_nested():
            columns.append(pl.Series(column.name, [json_value(value) for value in column.to_list()], dtype=pl.String))
        else:
            columns.append(column)
    return pl.DataFrame(columns)


def to_csv(frame: pl.DataFrame, origin: Origin) -> list[ExportFile]:
    """Comma-separated, UTF-8 without byte order mark, LF, ISO 8601 times; NULL is empty and empty text is
    `""`.

    Text that a spreadsheet would run gets an apostrophe before the sign; numbers are numbers in typed
    columns and in text. The sibling says how many cells were changed that way; Parquet and JSON have the
    text unchanged.
    """
    safe, changed = safe_columns(frame)
    content = _csv(safe)
    sibling = {
        **origin.facts(),
        "rows": frame.height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "cells_neutralised": changed,
        "columns": _described(frame, origin),
    }
    return [ExportFile("", content), ExportFile(".json", json_document(sibling).encode("ascii"))]


def csv_text(frame: pl.DataFrame) -> bytes:
    """The rows alone as CSV, as `to_csv` writes them."""
    return _csv(safe_columns(plain(frame))[0])


def _csv(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(buffer, datetime_format=DATETIME, quote_style="necessary")
    return buffer.getvalue()


def to_json(frame: pl.DataFrame, origin: Origin) -> list[ExportFile]:
    """One document: `origin`, `columns` (name, type, meaning) and `rows`, one object a line, numbers with
    all digits.
    """
    head = [
        f'  "origin": {json_value(origin.facts())}',
        '  "columns": [\n    ' + ",\n    ".join(map(json_value, _described(frame, origin))) + "\n  ]",
    ]
    rows = ",\n    ".join(json_rows(frame.columns, frame.iter_rows()))
    body = f'  "rows": [\n    {rows}\n  ]' if rows else '  "rows": []'
    text = "{\n" + ",\n".join([*head, body]) + "\n}\n"
    return [ExportFile("", text.encode("ascii"))]


def to_parquet(frame: pl.DataFrame, origin: Origin) -> list[ExportFile]:
    """zstd Parquet; origin, columns and their meaning as JSON under the metadata key `dosetrail`."""
    buffer = io.BytesIO()
    facts = {**origin.facts(), "rows": frame.height, "columns": _described(frame, origin)}
    frame.write_parquet(buffer, compression="zstd", metadata={METADATA_KEY: json_value(facts)})
    return [ExportFile("", buffer.getvalue())]


def to_markdown(frame: pl.DataFrame, origin: Origin) -> list[ExportFile]:
    """A table for a report, with the origin above it; numbers right-aligned, NULL empty, markup in data
    escaped, columns without any value left out.
    """
    import polars as pl

    frame = frame.select(column for column in frame if not frame.height or column.null_count() < frame.height)
    lines = [f"# {markdown_text(origin.study)}: {markdown_text(origin.what)}", ""]
    lines += [f"- {name.replace('_', ' ')}: {markdown_text(value)}" for name, value in origin.facts().items()]
    lines += ["", "| " + " | ".join(map(markdown_text, frame.columns)) + " |"]
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    lines.append("|" + "|".join("---:" if number else "---" for number in numeric) + "|")
    texts = [
        [markdown_text(value if isinstance(column.dtype, pl.String) else _shown(value)) for value in column.to_list()]
        for column in frame
    ]
    lines += [f"| {' | '.join(row)} |" for row in zip(*texts, strict=True)]
    return [ExportFile("", ("\n".join(lines) + "\n").encode())]


def to_excel(frame: pl.DataFrame, origin: Origin) -> list[ExportFile]:
    """A typed workbook; see `analysis.export_excel`, imported here because xlsxwriter takes 40 ms."""
    from analysis.export_excel import workbook

    return [ExportFile("", workbook(frame, origin))]


FORMATS: dict[str, Callable[[pl.DataFrame, Origin], list[ExportFile]]] = {
    "csv": to_csv,
    "xlsx": to_excel,
    "parquet": to_parquet,
    "json": to_json,
    "markdown": to_markdown,
}


def _described(frame: pl.DataFrame, origin: Origin) -> list[dict[str, str]]:
    return [
        {"name": name, "type": str(dtype), "meaning": origin.columns.get(name, "")}
        for name, dtype in frame.schema.items()
    ]


def _shown(value: object) -> str:
    if value is None:
        return ""
    return json_value(value).strip('"').removesuffix(".0")
