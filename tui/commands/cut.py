"""`dosetrail cut`: names for data cuts, in the ledger with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.options import JsonOption, StudyOption, open_study


def cut(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="What the cut is called; without it: list them.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option("--date", metavar="DATE", help="Last day that counts (site's time).", show_default=False),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.", show_default=False),
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Name a data cut: an event date that summaries, lists, reports and exports take as --cutoff NAME.

    An event on the day counts; person-time, planned doses and populations are computed anew. Which release is read is
    --as-of. A name is given once; `dosetrail undo` takes it back.

    Example: dosetrail cut interim-1 --date 2014-06-30 --reason "first interim analysis, SAP 7.1"
    """
    import datetime as dt

    from store.cuts import name_cut_entry, read_cuts
    from store.errors import UsageProblem
    from tui.output import write_command, write_json, write_paragraph
    from tui.reading import open_release
    from tui.roles import require_role

    opened = open_study(context, study)
    known = read_cuts(opened.ledger.read())
    if name is None:
        if date is not None or reason is not None:
            raise UsageProblem("Which cut is it?", remedy="Name it: dosetrail cut NAME --date DATE --reason ...")
        return _list([(one.name, one.day, one.seq) for one in known.values()], as_json=json)
    if date is None or not (reason or "").strip():
        raise UsageProblem(
            "A day and a reason are needed.",
            effect="Nothing was recorded.",
            remedy='Say both: --date 2014-06-30 --reason "first interim analysis".',
        )
    try:
        day = dt.date.fromisoformat(date)
    except ValueError as error:
        raise UsageProblem(f"--date {date} is no date.", remedy="Write it as YYYY-MM-DD.") from error
    entry = name_cut_entry(name, day, known, (reason or "").strip())
    with open_release(opened) as reader:
        role = require_role(reader, entry.action)
    head = opened.ledger.append([entry], role=role)
    if json:
        write_json({"cut": name, "date": day, "ledger_seq": head.seq, "ledger_head": head.hash})
    else:
        write_paragraph(f"Recorded: the data cut {name} is {day} (ledger entry {head.seq}).")
        write_command("The results at it:", f"dosetrail summary --cutoff {name}")
    return 0


def _list(cuts: list[tuple[object, object, int]], *, as_json: bool) -> int:
    from tui.output import write_json, write_lines
    from tui.tables import Column, print_table

    if as_json:
        write_json({"cuts": [{"cut": name, "date": day, "ledger_seq": seq} for name, day, seq in cuts]})
    elif not cuts:
        write_lines(["No data cut has a name yet: dosetrail cut NAME --date DATE --reason ..."])
    else:
        print_table([Column("cut"), Column("last day"), Column("ledger entry", ">")], (list(row) for row in cuts))
    return 0
