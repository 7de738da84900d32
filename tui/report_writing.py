"""Writing the report: one file, and a note in the ledger as of every export."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import UsageProblem
from tui.cutoffs import find_cut
from tui.exporting import Exported, record_export, replace_file
from tui.reading import open_release
from tui.report_pages import html_report, markdown_report
from tui.report_parts import read_sections

if TYPE_CHECKING:
    from store.ledger import JsonValue
    from store.study import Study
    from tui.reading import ReleaseFacts

REPORT = "report"
"""What an entry of the ledger calls it."""

SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown"}


@dataclass(frozen=True)
class ReportRequest:
    """What is to be written where, as given on the command line."""

    out: Path
    as_of: int | None = None
    cutoff: str | None = None
    unblinded: bool = False
    force: bool = False


def write_report(study: Study, request: ReportRequest) -> tuple[Exported, ReleaseFacts]:
    """Read, write and note in the ledger. Raises UsageProblem, NotAllowed, WriteFailed, DiskFull."""
    from tui.commands.summary import read_rows

    out = request.out
    format = SUFFIXES.get(out.suffix.lower())
    if format is None:
        raise UsageProblem(f"{out.name} is neither .html nor .md.", remedy="Name the file report.html or report.md.")
    # The day, not its name: the name may be taken back, and the file has to come out the same.
    cutoff = None if request.cutoff is None else find_cut(study, request.cutoff).day.isoformat()
    with open_release(study, unblinded=request.unblinded, as_of=request.as_of, cutoff=cutoff) as reader:
        sections = read_sections(reader, read_rows(reader))
        arms = reader.rows("SELECT arm_code, arm FROM arm WHERE arm_code IS NOT NULL ORDER BY arm_order")
        facts = reader.facts
    origin = [
        ("release", f"{facts.release}{'' if facts.blinding == 'open' else ', ' + facts.blinding}"),
        ("published", f"{facts.built_utc:%Y-%m-%d %H:%M} UTC"),
        ("ledger head", facts.ledger_head),
        ("data cut", facts.data_cut_words),
        ("program", f"dosetrail {facts.program_version}"),
        ("made again by", _command(facts, cut=cutoff is not None, unblinded=request.unblinded)),
        *(("arm", f"{code}: {name}") for code, name in arms if name != code),
        ("intervals", "95 %; differences between arms, in points where of shares, are descriptive and not adjusted"),
    ]
    write = markdown_report if format == "markdown" else html_report
    content = write(facts.study, facts.title, origin, sections).encode()
    rows = sum(len(table.rows) for section in sections for table in section.tables)
    sha256 = hashlib.sha256(content).hexdigest()
    if out.is_file() and out.read_bytes() == content:
        return Exported((out,), rows, sha256, changed=False, recorded=True), facts
    if out.exists() and not request.force:
        raise UsageProblem(
            f"{out} exists and holds something else.",
            effect="Nothing was written.",
            remedy="Choose another name, or replace it with --force.",
        )
    replace_file(out, content)
    new: dict[str, JsonValue] = {
        "what": REPORT,
        "format": format,
        "rows": rows,
        "sha256": sha256,
        "identity": "as-is",
        "path": str(out.absolute()),
        "chosen": {"unblinded": request.unblinded, **({"cutoff": cutoff} if cutoff else {})},
        "data_cut": facts.data_cut_words,
        "population": "as each table says",
    }
    recorded = record_export(study, facts.release, new, unblinded=request.unblinded)
    return Exported((out,), rows, sha256, changed=True, recorded=recorded), facts


def _command(facts: ReleaseFacts, *, cut: bool, unblinded: bool) -> str:
    words = ["dosetrail report --as-of", str(facts.release)]
    words += ["--cutoff", str(facts.data_cut)] if cut else []
    return " ".join([*words, *(["--unblinded"] if unblinded else []), "--out FILE"])
