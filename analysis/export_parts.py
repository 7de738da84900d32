"""Exports of several parts: one workbook, page or document, or a zip of files where a format holds one table."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from analysis.exports import (
    FORMATS,
    described,
    markdown_head,
    markdown_table,
)
from analysis.json_text import json_document, json_rows, json_value
from analysis.safe_text import markdown_text

if TYPE_CHECKING:
    from analysis.exports import Origin, Part

SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the time of writing would make equal parts into other bytes."""

ZIPPED = ("csv", "parquet")
"""Formats that hold one table: several parts are a zip of files."""


def _zip(parts: Sequence[Part], origin: Origin, format: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        dictionary = [{"name": part.name, "columns": described(part.frame, part.columns)} for part in parts]
        _add(archive, "about.json", json_document({**origin.facts(), "parts": dictionary}).encode("ascii"))
        for part in parts:
            _add(archive, f"{part.name}.{format}", FORMATS[format](part.frame, origin)[0])
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, SAME_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _csv(parts: Sequence[Part], origin: Origin) -> bytes:
    return _zip(parts, origin, "csv")


def _parquet(parts: Sequence[Part], origin: Origin) -> bytes:
    return _zip(parts, origin, "parquet")


def _json(parts: Sequence[Part], origin: Origin) -> bytes:
    blocks = []
    for part in parts:
        columns = json_value(described(part.frame, part.columns))
        rows = ",\n      ".join(json_rows(part.frame.columns, part.frame.iter_rows()))
        blocks.append(
            f'    {{"name": {json_value(part.name)},\n     "columns": {columns},\n'
            f'     "rows": [\n      {rows}\n     ]}}'
        )
    text = f'{{\n  "origin": {json_value(origin.facts())},\n  "parts": [\n' + ",\n".join(blocks) + "\n  ]\n}\n"
    return text.encode("ascii")


def _markdown(parts: Sequence[Part], origin: Origin) -> bytes:
    lines = markdown_head(origin)
    for part in parts:
        lines += [f"## {markdown_text(part.name)}", "", *markdown_table(part.frame), ""]
    return "\n".join(lines).encode()


def _excel(parts: Sequence[Part], origin: Origin) -> bytes:
    from analysis.export_excel import workbook

    return workbook(parts, origin)


def _html(parts: Sequence[Part], origin: Origin) -> bytes:
    from analysis.export_html import page

    return page(parts, origin)


CONTAINERS: dict[str, Callable[[Sequence[Part], Origin], bytes]] = {
    "csv": _csv,
    "xlsx": _excel,
    "parquet": _parquet,
    "json": _json,
    "markdown": _markdown,
    "html": _html,
}
