"""`dosetrail layouts`: the open layouts, their columns, and an example file of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import JsonOption

if TYPE_CHECKING:
    from importers.layout_parts import Layout


def layouts(
    name: Annotated[
        str | None, typer.Argument(metavar="[LAYOUT]", help="Show its columns.", show_default=False)
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print its example file.")] = False,
    json: JsonOption = False,
) -> int:
    """List the open layouts: files for what no vendor exports publicly, recognised by their column names.

    A file with the same facts under other names is mapped in a [[source]] with format = "LAYOUT".

    Example: dosetrail layouts patch_injector
    """
    from importers.layout_rows import LAYOUTS
    from store.errors import UsageProblem
    from tui.output import write_json, write_lines, write_out, write_paragraph
    from tui.tables import Column, print_table

    if name is None:
        if json:
            write_json({"layouts": [_as_json(layout) for layout in LAYOUTS]})
        else:
            columns = [Column("layout"), Column("one row is", gives_way=True)]
            print_table(columns, ([layout.name, layout.title] for layout in LAYOUTS))
        return 0
    layout = next((one for one in LAYOUTS if one.name == name), None)
    if layout is None:
        raise UsageProblem(f"There is no layout {name}.", remedy=f"Layouts: {', '.join(one.name for one in LAYOUTS)}.")
    if example:
        write_out(_example(layout))
        return 0
    if json:
        write_json(_as_json(layout))
        return 0
    write_paragraph(f"{layout.title}.")
    write_lines([""])
    print_table(
        [Column("column"), Column(""), Column("type"), Column("meaning", gives_way=True)],
        (
            [column["column"], "needed" if column["required"] else "", column["type"], _meaning(column)]
            for column in _columns(layout)
        ),
    )
    write_lines([""])
    write_paragraph(f"Fills: {', '.join(dict.fromkeys(output.table for output in layout.outputs))}.")
    return 0


def _columns(layout: Layout) -> list[dict[str, object]]:
    from store.vocabulary import VOCABULARIES

    return [
        {
            "column": column.name,
            "type": "list" if column.type in VOCABULARIES else _TYPES.get(column.type, "number"),
            "required": column.required,
            "values": list(VOCABULARIES.get(column.type, ())),
            "meaning": column.comment,
        }
        for column in layout.columns
    ]


_TYPES = {"VARCHAR": "text", "TIMESTAMP": "time", "DATE": "date", "BOOLEAN": "Y or N", "BIGINT": "whole"}


def _meaning(column: dict[str, object]) -> str:
    values = column["values"]
    assert isinstance(values, list)
    return f"{column['meaning']}{': ' + ', '.join(values) if values else ''}"


def _as_json(layout: Layout) -> dict[str, object]:
    return {
        "layout": layout.name,
        "title": layout.title,
        "fills": list(dict.fromkeys(output.table for output in layout.outputs)),
        "columns": _columns(layout),
    }


def _example(layout: Layout) -> str:
    from importlib.resources import files

    return files("sample_data").joinpath("open_layouts", f"{layout.name}.csv").read_text(encoding="utf-8")
