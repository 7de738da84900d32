"""`dosetrail report`: what a sponsor reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import AsOfOption, CutoffOption, JsonOption, StudyOption, UnblindedOption, open_study

if TYPE_CHECKING:
    from tui.reading import ReleaseFacts


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

    One file that needs nothing else, with charts as vector graphics; the same release gives the same bytes.

    Example: dosetrail report --out report.html
    """
    from store.errors import UsageProblem, write_error
    from tui.commands.summary import read_rows
    from tui.output import write_json, write_paragraph
    from tui.reading import open_release
    from tui.report_pages import html_report, markdown_report
    from tui.report_parts import read_sections

    suffix = out.suffix.lower()
    if suffix not in (".html", ".htm", ".md"):
        raise UsageProblem(f"{out.name} is neither .html nor .md.", remedy="Name the file report.html or report.md.")
    opened = open_study(context, study)
    with open_release(opened, unblinded=unblinded, as_of=as_of, cutoff=cutoff) as reader:
        rows = read_rows(reader)
        facts = reader.facts
        sections = read_sections(reader, rows)
        arms = reader.rows("SELECT arm_code, arm FROM arm WHERE arm_code IS NOT NULL ORDER BY arm_order")
    origin = [
        ("release", f"{facts.release}{'' if facts.blinding == 'open' else ', ' + facts.blinding}"),
        ("published", f"{facts.built_utc:%Y-%m-%d %H:%M} UTC"),
        ("ledger head", facts.ledger_head),
        ("data cut", facts.data_cut_words),
        ("program", f"dosetrail {facts.program_version}"),
        ("made again by", _command(facts, cutoff is not None, unblinded=unblinded)),
        *(("arm", f"{code}: {name}") for code, name in arms if name != code),
        ("intervals", "95 %; differences between arms, in points where of shares, are descriptive and not adjusted"),
    ]
    write = markdown_report if suffix == ".md" else html_report
    text = write(facts.study, facts.title, origin, sections)
    if out.exists() and not force and out.read_text(encoding="utf-8", errors="replace") != text:
        raise UsageProblem(f"{out} holds something else.", remedy="Choose another name, or replace it with --force.")
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise write_error(error, f"The report {out}") from error
    if json:
        write_json({**facts.to_json(), "file": str(out), "bytes": len(text.encode())})
    else:
        write_paragraph(f"{out}: {len(sections)} sections from release {facts.release}.")
    return 0


def _command(facts: ReleaseFacts, cut: bool, *, unblinded: bool) -> str:
    words = ["dosetrail report --as-of", str(facts.release)]
    words += ["--cutoff", str(facts.data_cut)] if cut else []
    return " ".join([*words, *(["--unblinded"] if unblinded else []), "--out FILE"])
