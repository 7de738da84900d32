"""Files that leave the study: CSV, Parquet, JSON and Markdown here, Excel in `analysis.export_excel`, HTML in
`analysis.export_html`.

Every file says where its numbers come from (`Origin`): release, ledger head, population, data cut and the
command that makes it again: first in a Markdown or HTML file, on a sheet of its own in Excel, in the file metadata
of Parquet (key `dosetrail`) and under `origin` in JSON; CSV has no room for it. Beside each file stand two more:
`NAME.json` with the same facts, the SHA-256 and the data dictionary, and `NAME.sha256` as `sha256sum -c` reads it.
All functions are pure and return bytes; the same rows and origin give the same bytes.

An export is one frame or several parts (a patient profile, the full data set). Excel, JSON, Markdown and HTML hold
the parts in one file; CSV and Parquet hold one frame, so several parts become a zip of files.

What a person opens (CSV, Excel, Markdown) shows control characters as escapes and cannot run as a formula;
Parquet and JSON hold text exactly as stored.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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
    identity: str = "as is"
    """As is, or de-identified: by which key, and how small cells were treated."""

    def facts(self) -> dict[str, object]:
        """Everything but the columns, in the order of printing."""
        return {name: value for name, value in asdict(self).items() if name != "columns"}


@dataclass(frozen=True)
class ExportFile:
    """One file to write: what stands after the name chosen by the user, and its content."""

    suffix: str
    """Empty for the file itself; `.json` and `.sha256` for what stands beside it."""
    content: bytes


@dataclass(frozen=True)
class Part:
    """One table of an export of several: its name (also of its file or sheet), rows, and meaning of its columns."""

    name: str
    frame: pl.DataFrame
    columns: Mapping[str, str] = field(default_factory=dict)


def write_export(frame: pl.DataFrame, origin: Origin, format: str, name: str = "data") -> list[ExportFile]:
    """The files of an export of one frame, the one the user named first; `name` is that of the file.

    Raises KeyError for a format that is not in FORMATS and `analysis.export_excel.TooLargeForExcel` where
    Excel has no room.
    """
    frame = plain(frame)
    content, changed = FORMATS[format](frame, origin)
    about = {"rows": frame.height, "cells_neutralised": changed, "columns": described(frame, origin.columns)}
    return _with_siblings(content, origin, name, about)


def write_parts(parts: Sequence[Part], origin: Origin, format: str, name: str = "data") -> list[ExportFile]:
    """The files of an export of several parts. Raises as `write_export`."""
    from analysis.export_parts import CONTAINERS

    parts = [replace(part, frame=plain(part.frame)) for part in parts]
    dictionary = [
        {"name": part.name, "rows": part.frame.height, "columns": described(part.frame, part.columns)} for part in parts
    ]
    about = {"rows": sum(part.frame.height for part in parts), "parts": dictionary}
    return _with_siblings(CONTAINERS[format](parts, origin), origin, name, about)


def _with_siblings(content: bytes, origin: Origin, name: str, about: dict[str, object]) -> list[ExportFile]:
    sha256 = hashlib.sha256(content).hexdigest()
    dictionary = json_document({**origin.facts(), "sha256": sha256, **about}).encode("ascii")
    sums = [(sha256, name), (hashlib.sha256(dictionary).hexdigest(), f"{name}.json")]
    lines = "".join(f"{value}  {file}\n" for value, file in sums)
    return [ExportFile("", content), ExportFile(".json", dictionary), ExportFile(".sha256", lines.encode())]


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


def to_csv(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """Comma-separated, UTF-8 without byte order mark, LF, ISO 8601 times; NULL is empty and empty text is
    `""`.

    Text that a spreadsheet would run gets an apostrophe before the sign; numbers are numbers in typed
    columns and in text. The sibling says how many cells were changed that way; Parquet and JSON have the
    text unchanged.
    """
    safe, changed = safe_columns(frame)
    return _csv(safe), changed


def csv_text(frame: pl.DataFrame) -> bytes:
    """The rows alone as CSV, as `to_csv` writes them."""
    return _csv(safe_columns(plain(frame))[0])


def _csv(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(buffer, datetime_format=DATETIME, quote_style="necessary")
    return buffer.getvalue()


def to_json(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """One document: `origin`, `columns` (name, type, meaning) and `rows`, one object a line, numbers with
    all digits.
    """
    columns = described(frame, origin.columns)
    head = [
        f'  "origin": {json_value(origin.facts())}',
        '  "columns": [\n    ' + ",\n    ".join(map(json_value, columns)) + "\n  ]",
    ]
    rows = ",\n    ".join(json_rows(frame.columns, frame.iter_rows()))
    body = f'  "rows": [\n    {rows}\n  ]' if rows else '  "rows": []'
    text = "{\n" + ",\n".join([*head, body]) + "\n}\n"
    return text.encode("ascii"), 0


def to_parquet(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """zstd Parquet; origin, columns and their meaning as JSON under the metadata key `dosetrail`."""
    buffer = io.BytesIO()
    facts = {**origin.facts(), "rows": frame.height, "columns": described(frame, origin.columns)}
    frame.write_parquet(buffer, compression="zstd", metadata={METADATA_KEY: json_value(facts)})
    return buffer.getvalue(), 0


def to_markdown(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """A table for a report, with the origin above it; numbers right-aligned, NULL empty, markup in data
    escaped, columns without any value left out.
    """
    return ("\n".join([*markdown_head(origin), *markdown_table(frame)]) + "\n").encode(), 0


def markdown_head(origin: Origin) -> list[str]:
    """Title and facts of the origin, as lines."""
    lines = [f"# {markdown_text(origin.study)}: {markdown_text(origin.what)}", ""]
    return [
        *lines,
        *(f"- {name.replace('_', ' ')}: {markdown_text(value)}" for name, value in origin.facts().items()),
        "",
    ]


def markdown_table(frame: pl.DataFrame) -> list[str]:
    """The lines of a table."""
    frame = without_empty(frame)
    lines = ["| " + " | ".join(map(markdown_text, frame.columns)) + " |"]
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    lines.append("|" + "|".join("---:" if number else "---" for number in numeric) + "|")
    texts = [[markdown_text(shown(value)) for value in column.to_list()] for column in frame]
    return [*lines, *(f"| {' | '.join(row)} |" for row in zip(*texts, strict=True))]


def without_empty(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` without the columns that hold no value, unless it has no rows."""
    return frame.select(column for column in frame if not frame.height or column.null_count() < frame.height)


def to_excel(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """A typed workbook; see `analysis.export_excel`, imported here because xlsxwriter takes 40 ms."""
    from analysis.export_excel import workbook

    return workbook([Part("data", frame, origin.columns)], origin), 0


def to_html(frame: pl.DataFrame, origin: Origin) -> tuple[bytes, int]:
    """A page that needs nothing else; see `analysis.export_html`."""
    from analysis.export_html import page

    return page([Part(origin.what, frame, origin.columns)], origin), 0


FORMATS: dict[str, Callable[[pl.DataFrame, Origin], tuple[bytes, int]]] = {
    "csv": to_csv,
    "xlsx": to_excel,
    "parquet": to_parquet,
    "json": to_json,
    "markdown": to_markdown,
    "html": to_html,
}
"""Format to the function that gives its bytes and the number of cells changed to be harmless."""


def described(frame: pl.DataFrame, meanings: Mapping[str, str]) -> list[dict[str, str]]:
    """The data dictionary of a frame: name, type and meaning of every column."""
    return [
        {"name": name, "type": str(dtype), "meaning": meanings.get(name, "")} for name, dtype in frame.schema.items()
    ]


def shown(value: object) -> str:
    """A value as text for people: NULL is nothing, a whole float has no fraction."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_value(value).strip('"').removesuffix(".0")
