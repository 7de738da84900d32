"""`dosetrail export`: a file for somebody else, with where its numbers come from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import AsOfOption, JsonOption, StudyOption, UnblindedOption, open_study
from tui.exporting import WHAT

FORMAT_NAMES = ("csv", "xlsx", "parquet", "json", "markdown")
SUFFIXES = {".csv": "csv", ".xlsx": "xlsx", ".parquet": "parquet", ".json": "json", ".md": "markdown"}


def export(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=WHAT)],
    out: Annotated[
        Path, typer.Option("--out", "-o", "--output", metavar="PATH", help="File to write.", show_default=False)
    ],
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="csv, xlsx, parquet, json, markdown; default: PATH's suffix."),
    ] = None,
    filter: Annotated[
        str, typer.Option("--filter", "-f", metavar="WORDS", help="patients: words as in the list.", show_default=False)
    ] = "",
    population: Annotated[str | None, typer.Option(help="summary: only this population.", show_default=False)] = None,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
    unblinded: UnblindedOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds something else.")] = False,
) -> int:
    """Write a file with release, ledger head, population, data cut and the command that makes it again.

    CSV puts these facts into a file beside it, PATH.json; formulas in text are made harmless.

    Example: dosetrail export summary --format xlsx --out summary.xlsx
    """
    from tui.exporting import ExportRequest, sentence, write_export_files
    from tui.output import write_json, write_paragraph

    opened = open_study(context, study)
    request = ExportRequest(what, _format(format, out), out, filter, population, as_of, unblinded, force)
    written = write_export_files(opened, request)
    if json:
        write_json(
            {
                "files": [str(path) for path in written.files],
                "rows": written.rows,
                "sha256": written.sha256,
                "changed": written.changed,
                "recorded": written.recorded,
            }
        )
    else:
        write_paragraph(sentence(written))
    return 0


def _format(named: str | None, out: Path) -> str:
    from store.errors import UsageProblem

    chosen = {"md": "markdown", "excel": "xlsx"}.get(named, named) if named else SUFFIXES.get(out.suffix.lower())
    if chosen not in FORMAT_NAMES:
        raise UsageProblem(
            f"{named or out.suffix or out.name!r} names no export format.",
            remedy=f"Choose one with --format: {', '.join(FORMAT_NAMES)}.",
        )
    return chosen
