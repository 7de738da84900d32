"""`dosetrail worklist`, `dosetrail safety`: what needs somebody today."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import AsOfOption, JsonOption, ReasonOption, StudyOption, open_study

if TYPE_CHECKING:
    from store.ledger import Entry

AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="As of this moment in UTC, not now.", show_default=False),
]


def worklist(
    context: typer.Context,
    site: Annotated[str | None, typer.Option(metavar="SITE", help="Of this site.", show_default=False)] = None,
    at: AtOption = None,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
) -> int:
    """List what needs you: queries, safety reports, silent devices, quarantine, visits, low compliance; by time left.

    With --as-of, what that release knew, on the day it was made unless --at says another.

    Example: dosetrail worklist --site 701
    """
    from tui.output import write_json, write_paragraph
    from tui.reading import open_release
    from tui.tables import Column, print_table
    from tui.worklist_rows import read_worklist

    opened = open_study(context, study)
    with open_release(opened, as_of=as_of) as reader:
        moment = reader.facts.built_utc if as_of is not None and at is None else _moment(at)
        rows = read_worklist(opened, reader, moment, upto=None if as_of is None else reader.known_to())
        facts = reader.facts
    rows = [row for row in rows if site in (None, row["site_id"])]
    if json:
        write_json({**facts.to_json(), "rows": rows})
        return 0
    columns = [Column(""), Column("what"), Column("subject"), Column("due"), Column("problem", gives_way=True)]
    print_table(
        columns,
        (["!" if row["overdue"] else "", row["what"], row["subject_id"], row["due"], row["problem"]] for row in rows),
    )
    late = sum(row["overdue"] for row in rows)
    write_paragraph(f"{len(rows):,} items, {late:,} overdue (!). Release {facts.release}.")
    return 0


def aware(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject of the event.")],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Number of the event.")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="When somebody was aware of it, UTC.")],
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record when somebody was aware of an event: its reporting clock starts then.

    Example: dosetrail safety aware 701-004 3 --at "2026-03-01 09:30" --reason "call of the site"
    """
    from store.safety_reports import awareness_entry

    return _record(context, study, subject, event, lambda: awareness_entry(subject, event, _given(at), reason), json)


def submit(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject of the event.")],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Number of the event.")],
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Id of the [[safety_rule]].")],
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="When it was submitted, UTC.")],
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a report was submitted: its clock stops.

    Example: dosetrail safety submit 701-004 3 regulator --at "2026-03-03 15:00" --reason "case 2026-17"
    """
    from store.safety_reports import submission_entry

    def entry() -> Entry:
        return submission_entry(subject, event, rule, _given(at), reason)

    return _record(context, study, subject, event, entry, json)


def _record(
    context: typer.Context, study: Path | None, subject: str, event: str, entry: Callable[[], Entry], json: bool
) -> int:
    from store.errors import UsageProblem
    from tui.output import write_json, write_paragraph
    from tui.reading import open_release
    from tui.roles import require_role

    opened = open_study(context, study)
    recorded = entry()
    with open_release(opened) as reader:
        role = require_role(reader, recorded.action)
        known = reader.rows("SELECT 1 FROM adverse_event WHERE subject_id = ? AND event_seq = ?", [subject, event])
    if not known:
        raise UsageProblem(
            f"Subject {subject} has no adverse event {event}.", remedy=f"dosetrail patient {subject} lists them."
        )
    head = opened.ledger.append([recorded], role=role)
    if json:
        write_json({"ledger_seq": head.seq, "ledger_head": f"{head.hash}@{head.seq}"})
    else:
        write_paragraph(f"Recorded; it counts from the next release. Ledger head {head.hash}@{head.seq}")
    return 0


def _given(text: str) -> dt.datetime:
    from store.errors import UsageProblem

    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(f"{text} is no time.", remedy='Write it as "2026-03-01 09:30".') from error
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(text: str | None) -> dt.datetime:
    return _given(text) if text else dt.datetime.now(dt.UTC).replace(tzinfo=None)
