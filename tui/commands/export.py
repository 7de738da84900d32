"""`dosetrail export`: a file for somebody else, with where its numbers come from inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import AsOfOption, CutoffOption, JsonOption, StudyOption, UnblindedOption, open_study
from tui.export_rows import WHAT

if TYPE_CHECKING:
    from store.study import Study
    from tui.exporting import Exported

FORMAT_NAMES = ("csv", "xlsx", "parquet", "json", "markdown", "html")
SUFFIXES = {".csv": "csv", ".xlsx": "xlsx", ".parquet": "parquet", ".json": "json", ".md": "markdown", ".html": "html"}


def export(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"{WHAT} Or: again, with the number of an export.")],
    number: Annotated[
        str | None, typer.Argument(metavar="[N]", help="again: which, as `dosetrail exports` lists it.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", "--output", metavar="PATH", help="File to write.", show_default=False),
    ] = None,
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
    cutoff: CutoffOption = None,
    unblinded: UnblindedOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds something else.")] = False,
) -> int:
    """Write a file with release, ledger head, population, data cut and the command that makes it again.

    Beside it stand PATH.json (the same facts and the data dictionary) and PATH.sha256. With --identity deidentified,
    subjects are re-keyed, dates shifted per subject, device serials and free text left out.

    Example: dosetrail export summary --format xlsx --out summary.xlsx
    """
    from store.errors import UsageProblem
    from tui.desk import IDENTITIES
    from tui.exporting import ExportRequest, sentence, write_export_files
    from tui.output import write_json, write_paragraph

    opened = open_study(context, study)
    if (what == "again") != (number is not None):
        raise UsageProblem("A number goes with again, and again with a number.", remedy="dosetrail export again 12")
    if number is not None:
        return _again(opened, number, out, json=json, force=force)
    if out is None:
        raise UsageProblem("Which file is to be written?", remedy="Name it: --out PATH")
    if identity not in IDENTITIES:
        raise UsageProblem(f"{identity} is no identity of an export.", remedy=f"Choose: {', '.join(IDENTITIES)}.")
    request = ExportRequest(
        what,
        _format(format, out),
        out,
        filter=filter,
        population=population,
        as_of=as_of,
        cutoff=cutoff,
        unblinded=unblinded,
        force=force,
        identity=identity,
        smallest_cell=smallest_cell,
        subject=subject,
        through=through,
    )
    written = write_export_files(opened, request)
    if json:
        write_json(_document(written))
    else:
        write_paragraph(sentence(written))
    return 0


def _again(study: Study, number: str, out: Path | None, *, json: bool, force: bool) -> int:
    from tui.exporting import sentence
    from tui.output import write_json, write_paragraph
    from tui.past_exports import export_again

    written, past = export_again(study, number, out, force=force)
    same = written.sha256 == past.sha256
    if json:
        write_json({**_document(written), "same_as_before": same})
    else:
        compared = "The bytes are" if same else "The file name, the program or the key is another, so the bytes are not"
        write_paragraph(f"{sentence(written)} {compared} those of export {past.number}.")
    return 0


def _document(written: Exported) -> dict[str, object]:
    return {
        "files": [str(path) for path in written.files],
        "rows": written.rows,
        "sha256": written.sha256,
        "changed": written.changed,
        "recorded": written.recorded,
    }


def exports(context: typer.Context, study: StudyOption = None, json: JsonOption = False) -> int:
    """List the exports that were made, and whether their files still are what was written.

    Example: dosetrail exports
    """
    from tui.output import write_json, write_lines
    from tui.past_exports import cells_of, read_past_exports
    from tui.tables import Column, print_table

    past = read_past_exports(open_study(context, study))
    if json:
        write_json({"exports": [one.to_json() for one in past]})
        return 0
    if not past:
        write_lines(["No export was made yet: dosetrail export WHAT --out PATH"])
        return 0
    heads = (Column("no.", ">"), Column("day (UTC)"), Column("what"), Column("identity"), Column("rows", ">"))
    print_table(
        [*heads, Column("sha256"), Column("state"), Column("file", gives_way=True)],
        (list(cells_of(one)) for one in past),
    )
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
