"""`dosetrail export`: a file for somebody else, with where its numbers come from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import AsOfOption, JsonOption, StudyOption, UnblindedOption, open_study
from tui.export_identity import IDENTITIES
from tui.export_rows import WHAT

FORMAT_NAMES = ("csv", "xlsx", "parquet", "json", "markdown", "html")
SUFFIXES = {".csv": "csv", ".xlsx": "xlsx", ".parquet": "parquet", ".json": "json", ".md": "markdown", ".html": "html"}


def export(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=WHAT)],
    out: Annotated[
        Path, typer.Option("--out", "-o", "--output", metavar="PATH", help="File to write.", show_default=False)
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="csv, xlsx, parquet, json, markdown, html; default: PATH's suffix."
        ),
    ] = None,
    filter: Annotated[
        str,
        typer.Option(
            "--filter", "-f", metavar="WORDS", help="Only these patients: words as in the list.", show_default=False
        ),
    ] = "",
    population: Annotated[
        str | None, typer.Option(help="summary, arm-summary: only this population.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", help="patient-profile: the patient.", show_default=False)
    ] = None,
    identity: Annotated[str, typer.Option(metavar="HOW", help="as-is, or deidentified.")] = "as-is",
    smallest_cell: Annotated[
        int, typer.Option(min=1, metavar="N", help="deidentified: counts below are suppressed.")
    ] = 5,
    through: Annotated[
        int | None,
        typer.Option(metavar="SEQ", help="queries, audit-trail: up to this row of the ledger.", show_default=False),
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
    unblinded: UnblindedOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds something else.")] = False,
) -> int:
    """Write a file with release, ledger head, population, data cut and the command that makes it again.

    Beside it stand PATH.json (the same facts and the data dictionary) and PATH.sha256. With --identity deidentified,
    subjects are re-keyed, dates shifted per subject, device serials and free text left out.

    Example: dosetrail export summary --format xlsx --out summary.xlsx
    """
    from store.errors import UsageProblem
    from tui.exporting import ExportRequest, sentence, write_export_files
    from tui.output import write_json, write_paragraph

    opened = open_study(context, study)
    if identity not in IDENTITIES:
        raise UsageProblem(f"{identity} is no identity of an export.", remedy=f"Choose: {', '.join(IDENTITIES)}.")
    request = ExportRequest(
        what,
        _format(format, out),
        out,
        filter=filter,
        population=population,
        as_of=as_of,
        unblinded=unblinded,
        force=force,
        identity=identity,
        smallest_cell=smallest_cell,
        subject=subject,
        through=through,
    )
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
