"""`dosetrail deviations` and `dosetrail deviation`: protocol deviations, recorded by people or proposed by checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import AsOfOption, JsonOption, ReasonOption, StudyOption, open_study, study_word

if TYPE_CHECKING:
    from store.deviations import Deviation
    from store.ledger_chain import Head
    from store.study import Study

DeviationArgument = Annotated[str, typer.Argument(metavar="DEVIATION", help="Id of the deviation, such as D-0041.")]
ImportanceOption = Annotated[
    str | None, typer.Option("--importance", metavar="IMPORTANCE", help="major or minor.", show_default=False)
]
ExcludesOption = Annotated[
    str | None,
    typer.Option(
        "--excludes",
        metavar="POPULATION",
        help="Population the subject does not belong to because of it: per_protocol. A major one excludes anyway.",
        show_default=False,
    ),
]


def deviations(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="proposed, recorded, confirmed or dismissed.")
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Of this subject.", show_default=False)] = None,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
) -> int:
    """List protocol deviations with category, importance, who found them and what they exclude from.

    Example: dosetrail deviations --state proposed
    """
    from tui.deviation_state import deviations_of_files, read_deviations_now
    from tui.output import write_json, write_paragraph
    from tui.reading import open_release
    from tui.tables import Column, print_table

    opened = open_study(context, study)
    with open_release(opened, as_of=as_of) as reader:
        found, pending = read_deviations_now(opened, reader, None if as_of is None else reader.known_to())
        rows = [{**vars(row), "pending": row.deviation_id in pending} for row in found]
        rows += [{**row, "pending": False} for row in deviations_of_files(reader)]
        facts = reader.facts
    rows = [row for row in rows if subject in (None, row["subject_id"]) and state in (None, row["state"])]
    if json:
        write_json({**facts.to_json(), "rows": rows})
        return 0
    columns = [
        Column("deviation"),
        Column("subject"),
        Column("state"),
        Column("importance"),
        Column("day"),
        Column("what happened", gives_way=True),
        Column("found by", gives_way=True),
        Column("excludes from"),
    ]
    print_table(
        columns,
        (
            [
                row["deviation_id"],
                row["subject_id"],
                f"{row['state']}{'*' if row['pending'] else ''}",
                row["importance"],
                row["start_date"],
                row["term"],
                row["found_by"],
                row["excludes_from"],
            ]
            for row in rows
        ),
    )
    write_paragraph(f"{len(rows):,} deviations. Release {facts.release}; * is newer than the release.")
    return 0


def record(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject it is about.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What happened.")],
    reason: ReasonOption,
    category: Annotated[
        str | None, typer.Option(metavar="CATEGORY", help="Category, as the trial has it.", show_default=False)
    ] = None,
    importance: ImportanceOption = "minor",
    day: Annotated[
        str | None, typer.Option("--on", metavar="DATE", help="Day, YYYY-MM-DD.", show_default=False)
    ] = None,
    excludes: ExcludesOption = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record a protocol deviation of a subject.

    Example: dosetrail deviation record 701-004 "visit 4 left out" --importance major --reason "monitoring visit 3"
    """
    from store.deviations import Deviation
    from tui.deviation_state import record_deviation
    from tui.device_state import given_day

    opened = open_study(context, study)
    made = Deviation(
        "", subject, text, category, importance or "", given_day(day, "--on") if day else None, excludes, "recorded", ""
    )
    return _say(opened, *record_deviation(opened, made, reason), json)


def confirm(
    context: typer.Context,
    deviation: DeviationArgument,
    reason: ReasonOption,
    importance: ImportanceOption = None,
    excludes: ExcludesOption = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Confirm a deviation that a check proposed, with another importance or effect where that is right.

    Example: dosetrail deviation confirm D-1f2e3d4c5b --reason "dose diary agrees"
    """
    from tui.deviation_state import decide_deviation

    opened = open_study(context, study)
    changed = {name: value for name, value in (("importance", importance), ("excludes_from", excludes)) if value}
    return _say(opened, *decide_deviation(opened, "confirm_deviation", deviation, reason, **changed), json)


def dismiss(
    context: typer.Context,
    deviation: DeviationArgument,
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Dismiss a deviation that a check proposed: it is none.

    Example: dosetrail deviation dismiss D-1f2e3d4c5b --reason "allowed by amendment 2"
    """
    from tui.deviation_state import decide_deviation

    opened = open_study(context, study)
    return _say(opened, *decide_deviation(opened, "dismiss_deviation", deviation, reason), json)


def _say(study: Study, deviation: Deviation, head: Head, json: bool) -> int:
    from tui.output import write_command, write_json, write_lines, write_paragraph

    if json:
        write_json({**vars(deviation), "ledger_seq": head.seq, "ledger_head": f"{head.hash}@{head.seq}"})
        return 0
    effect = deviation.state != "dismissed" and (deviation.importance == "major" or deviation.excludes_from)
    after = "The subject leaves the per-protocol population with the next release." if effect else ""
    write_paragraph(f"{deviation.deviation_id} is {deviation.state} ({deviation.importance}): {deviation.term} {after}")
    write_lines([f"Ledger head {head.hash}@{head.seq}"])
    write_command("It can be undone:", f"dosetrail undo {head.seq} --reason ... {study_word(study)}")
    return 0
