"""`dosetrail quarantine`: rows that wait, by problem, and what people decide about all rows with the same problem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import AsOfOption, JsonOption, ReasonOption, StudyOption, open_study, study_word

ProblemArgument = Annotated[str, typer.Argument(metavar="PROBLEM", help="Id of the problem, such as P-1f2e3d4c.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change; record nothing.")]


def quarantine(
    context: typer.Context, study: StudyOption = None, json: JsonOption = False, as_of: AsOfOption = None
) -> int:
    """List rows in quarantine grouped by problem, with what would take them up; * is newer than the release.

    Example: dosetrail quarantine
    """
    from tui.output import write_json, write_paragraph
    from tui.quarantine_state import read_problems
    from tui.reading import open_release
    from tui.tables import Column, print_table

    if context.invoked_subcommand is not None:
        return 0
    opened = open_study(context, study)
    with open_release(opened, as_of=as_of) as reader:
        problems = read_problems(opened, reader, None if as_of is None else reader.known_to())
        facts = reader.facts
    if json:
        write_json({**facts.to_json(), "rows": [waiting.to_json() for waiting in problems]})
        return 0
    columns = [
        Column("problem"),
        Column("rows", ">"),
        Column("why", gives_way=True),
        Column("about"),
        Column("state"),
        Column("what takes them up", gives_way=True),
    ]
    print_table(
        columns,
        (
            [
                waiting.problem.problem_id,
                f"{waiting.problem.rows:,}",
                waiting.problem.kind.partition("/")[0].replace("_", " "),
                waiting.problem.about or waiting.problem.field,
                waiting.state,
                waiting.remedy,
            ]
            for waiting in problems
        ),
    )
    open_ones = [waiting for waiting in problems if not waiting.decided]
    rows = sum(waiting.problem.rows for waiting in open_ones)
    write_paragraph(
        f"{rows:,} rows wait with {len(open_ones):,} problems; {len(problems) - len(open_ones):,} are decided on. "
        f"Release {facts.release}."
    )
    return 0


def accept(
    context: typer.Context,
    problem: ProblemArgument,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Accept the proposed fix for all rows with this problem, those of later files too.

    Example: dosetrail quarantine accept P-1f2e3d4c --reason "site confirmed the typing error"
    """
    return _decide(context, study, "correct_rows", problem, reason, None, dry_run=dry_run, json=json)


def edit(
    context: typer.Context,
    problem: ProblemArgument,
    new: Annotated[
        str, typer.Argument(metavar="NEW", help='The right subject, device or unit; of a time "IN THE FILE = RIGHT".')
    ],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Correct what the rows lack: subject, device, unit or time; never what the device said, such as an amount.

    Of a clock that was lost, say what it showed and what time that was: the same shift moves all its rows.

    Example: dosetrail quarantine edit P-1f2e3d4c 701-004 --reason "site confirmed the typing error"
    """
    return _decide(context, study, "correct_rows", problem, reason, new, dry_run=dry_run, json=json)


def reject(
    context: typer.Context,
    problem: ProblemArgument,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Reject all rows with this problem: they are wrong, and the source has to be corrected.

    Example: dosetrail quarantine reject P-1f2e3d4c --reason "export of another trial"
    """
    return _decide(context, study, "reject_rows", problem, reason, None, dry_run=dry_run, json=json)


def exclude(
    context: typer.Context,
    problem: ProblemArgument,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Leave all rows with this problem out of the study for good; they stay in quarantine and in the files.

    Example: dosetrail quarantine exclude P-1f2e3d4c --reason "training pen, no patient"
    """
    return _decide(context, study, "exclude_rows", problem, reason, None, dry_run=dry_run, json=json)


def _decide(
    context: typer.Context,
    study: Path | None,
    action: str,
    problem: str,
    reason: str,
    new: str | None,
    *,
    dry_run: bool,
    json: bool,
) -> int:
    from tui.output import write_command, write_json, write_lines, write_paragraph
    from tui.quarantine_state import record_decision

    opened = open_study(context, study)
    waiting, told, head = record_decision(opened, action, problem, reason, new, dry_run=dry_run)
    if json:
        write_json(
            {
                **waiting.to_json(),
                "decision": action,
                "changes": told,
                "recorded": head is not None,
                "ledger_seq": head.seq if head else None,
                "ledger_head": f"{head.hash}@{head.seq}" if head else None,
            }
        )
        return 0
    write_paragraph(f"{'Would record' if dry_run else 'Recorded'}: {told}.")
    if head is not None:
        write_lines([f"Ledger head {head.hash}@{head.seq}"])
        write_command("It counts from the next release:", f"dosetrail release {study_word(opened)}")
        write_command("It can be undone:", f"dosetrail undo {head.seq} --reason ... {study_word(opened)}")
    return 0
