"""`dosetrail report`: what a sponsor reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import AsOfOption, CutoffOption, JsonOption, StudyOption, UnblindedOption, open_study


def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="File to write: .html or .md.")],
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
    cutoff: CutoffOption = None,
    unblinded: UnblindedOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds something else.")] = False,
) -> int:
    """Write a report: enrolment, exposure, accuracy, compliance, adverse events, differences, data quality.

    One file that needs nothing else, with charts as vector graphics; the same release gives the same bytes. The
    ledger notes it as an export.

    Example: dosetrail report --out report.html
    """
    from tui.exporting import sentence
    from tui.output import write_json, write_paragraph
    from tui.report_writing import ReportRequest, write_report

    request = ReportRequest(out, as_of=as_of, cutoff=cutoff, unblinded=unblinded, force=force)
    written, facts = write_report(open_study(context, study), request)
    if json:
        size = out.stat().st_size
        write_json({**facts.to_json(), "file": str(out), "bytes": size, "sha256": written.sha256})
    else:
        write_paragraph(f"Release {facts.release}: {sentence(written)}")
    return 0
