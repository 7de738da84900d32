"""`dosetrail queries` and `dosetrail query`: what is asked about the data, answered by the site, closed by the data
manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import AsOfOption, JsonOption, ReasonOption, StudyOption, open_study, study_word

if TYPE_CHECKING:
    from store.ledger_chain import Head
    from store.queries import Query
    from store.study import Study

QueryArgument = Annotated[str, typer.Argument(metavar="QUERY", help="Id of the query, such as Q-0041.")]


def queries(
    context: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="open, answered, closed or cancelled; without it all but the last two."),
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Of this subject.", show_default=False)] = None,
    check: Annotated[str | None, typer.Option(metavar="CHECK", help="Of this check.", show_default=False)] = None,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
) -> int:
    """List queries, the most urgent first; what is newer than the release is marked with a star.

    With --as-of, the queries as that release knew them.

    Example: dosetrail queries --state open
    """
    from store.errors import UsageProblem
    from store.vocabulary import VOCABULARIES
    from tui.output import write_json, write_paragraph
    from tui.query_state import changed_findings, read_queries
    from tui.reading import open_release
    from tui.tables import Column, print_table

    if state is not None and state not in VOCABULARIES["query_state"]:
        raise UsageProblem(
            f"{state} is no state of a query.", remedy=f"States: {', '.join(VOCABULARIES['query_state'])}."
        )
    opened = open_study(context, study)
    with open_release(opened, as_of=as_of) as reader:
        found = read_queries(opened, reader, upto=None if as_of is None else reader.known_to())
        earlier, new, gone = changed_findings(opened, reader)
        facts = reader.facts
    shown = [
        query
        for query in found.queries.values()
        if (query.state == state if state else query.state in ("open", "answered"))
        and subject in (None, query.subject_id)
        and check in (None, query.check_id)
    ]
    shown.sort(key=lambda query: (query.state, query.due_date is None, query.due_date, query.query_id))
    if json:
        rows = [
            {
                **vars(query),
                "pending": query.query_id in found.pending,
                "is_new": query.query_id in new if earlier is not None else None,
            }
            for query in shown
        ]
        write_json({**facts.to_json(), "compared_with": earlier, "resolved": sorted(gone), "rows": rows})
        return 0
    columns = [
        Column(""),
        Column("query"),
        Column("subject"),
        Column("state"),
        Column("due"),
        Column("question", gives_way=True),
    ]
    print_table(
        columns,
        (
            [
                "new" if query.query_id in new else "",
                f"{query.query_id}{'*' if query.query_id in found.pending else ''}",
                query.subject_id,
                query.state,
                query.due_date,
                found.question(query),
            ]
            for query in shown
        ),
    )
    since = ""
    if earlier is not None:
        still = sum(query.check_id is not None and query.query_id not in new for query in shown)
        since = (
            f" Since release {earlier}: {len(new):,} findings are new, {len(gone):,} resolved by data; "
            f"{still:,} of those listed stood before."
        )
    write_paragraph(f"{len(shown):,} queries. Release {facts.release}; * is newer than the release.{since}")
    return 0


def raise_(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject it is about; - for the study as a whole.")],
    text: Annotated[str, typer.Argument(metavar="QUESTION", help="What is asked.")],
    record: Annotated[
        str | None, typer.Option(metavar="RECORD", help="Record it is about, as table/key.", show_default=False)
    ] = None,
    field: Annotated[str | None, typer.Option(metavar="FIELD", help="Field it is about.", show_default=False)] = None,
    priority: Annotated[str, typer.Option(metavar="PRIORITY", help="high, medium or low.")] = "medium",
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Raise a query on a subject, a record or a field.

    Example: dosetrail query raise 701-004 "Dose of 12 March: 4 mg or 40 mg?" --field delivered_amount
    """
    from store.errors import UsageProblem
    from tui.query_state import record_query

    if priority not in ("high", "medium", "low"):
        raise UsageProblem(f"{priority} is no priority.", remedy="Priorities: high, medium, low.")
    opened = open_study(context, study)
    whose = None if subject == "-" else subject
    query, head = record_query(opened, text, subject_id=whose, record=record, field=field, priority=priority)
    return _say(opened, query, head, "raised", json)


def answer(
    context: typer.Context,
    query: QueryArgument,
    text: Annotated[str, typer.Argument(metavar="ANSWER", help="The site's answer.")],
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Answer a query.

    Example: dosetrail query answer Q-0041 "Checked against the source: 4 mg is right"
    """
    return _step(context, study, "answer_query", query, text, json)


def close(
    context: typer.Context,
    query: QueryArgument,
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Close a query; a check reopens only what it closed itself.

    Example: dosetrail query close Q-0041 --reason "answer accepted"
    """
    return _step(context, study, "close_query", query, reason, json)


def reopen(
    context: typer.Context,
    query: QueryArgument,
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Open a query again.

    Example: dosetrail query reopen Q-0041 --reason "the answer is about another day"
    """
    return _step(context, study, "reopen_query", query, reason, json)


def waive(
    context: typer.Context,
    query: QueryArgument,
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Waive a query: the finding stays and is not asked about again.

    Example: dosetrail query waive C-1f2e3d4c5b --reason "known, protocol deviation 12"
    """
    return _step(context, study, "waive_query", query, reason, json)


def show(context: typer.Context, query: QueryArgument, study: StudyOption = None, json: JsonOption = False) -> int:
    """Show a query and everything that happened to it.

    Example: dosetrail query show Q-0041
    """
    import sys

    from tui.glyphs import Glyphs
    from tui.output import glyphs_for, page_width, write_json, write_lines
    from tui.query_state import query_history, read_queries
    from tui.reading import open_release
    from tui.tables import record_lines

    opened = open_study(context, study)
    with open_release(opened) as reader:
        state = read_queries(opened, reader)
    found = state.query(query)
    steps: list[dict[str, Any]] = [
        {
            "seq": row.seq,
            "at_utc": row.utc_us,
            "by": row.user,
            "role": row.role,
            "step": row.action,
            "text": (row.new_value or {}).get("text") or row.reason,
        }
        for row in query_history(opened, found.query_id)
    ]
    if json:
        write_json(
            {
                **vars(found),
                "pending": found.query_id in state.pending,
                "found": state.found.get(found.query_id),
                "history": steps,
            }
        )
        return 0
    glyphs: Glyphs = glyphs_for(sys.stdout)
    about = ("found", state.found.get(found.query_id))
    write_lines(record_lines([*vars(found).items(), about], glyphs, page_width()))
    write_lines([""])
    for step in steps:
        role = f" ({step['role']})" if step["role"] else ""
        write_lines(
            [glyphs.text(f"{step['seq']:>5}  {step['step'].replace('_', ' ')} by {step['by']}{role}: {step['text']}")]
        )
    return 0


def _step(context: typer.Context, study: Any, action: str, query_id: str, text: str, json: bool) -> int:
    from tui.query_state import record_step

    opened = open_study(context, study)
    query, head = record_step(opened, action, query_id, text)
    return _say(opened, query, head, query.state, json)


def _say(study: Study, query: Query, head: Head, word: str, json: bool) -> int:
    from tui.output import write_command, write_json, write_lines, write_paragraph

    if json:
        write_json({**vars(query), "ledger_seq": head.seq, "ledger_head": f"{head.hash}@{head.seq}"})
        return 0
    write_paragraph(f"{query.query_id} is {word}: {query.text}")
    write_lines([f"Ledger head {head.hash}@{head.seq}"])
    write_command("It can be undone:", f"dosetrail undo {head.seq} --reason ... {study_word(study)}")
    return 0
