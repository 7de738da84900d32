"""`dosetrail view`: any list of the app, with its filter and its order."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import JsonOption, StudyOption, UnblindedOption, open_study

if TYPE_CHECKING:
    from tui.pages import Pages, Source, Wish


def view(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="worklist, patients, queries, quarantine, files, quarantine-rows, doses, "
            "intervals, events, devices, subject-queries or history."
        ),
    ],
    subject: Annotated[str, typer.Argument(help="For the lists of one subject, from doses on.")] = "",
    filter: Annotated[
        str, typer.Option("--filter", "-f", metavar="WORDS", help="Words as in the app.", show_default=False)
    ] = "",
    sort: Annotated[str, typer.Option("--sort", metavar="FIELD", help="Sort by this field.", show_default=False)] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort from high to low.")] = False,
    study: StudyOption = None,
    json: JsonOption = False,
    unblinded: UnblindedOption = False,
) -> int:
    """Print a list of the app with its filter and order; in the app the key v says which command prints it.

    Example: dosetrail view queries --filter "state:open left<3" --sort due --json
    """
    from store.errors import UsageProblem
    from tui.filters import FilterProblem
    from tui.pages import Pages, Wish
    from tui.reading import open_release
    from tui.views import NAMES, OF_A_SUBJECT, source_of

    if name not in NAMES:
        raise UsageProblem(f"No list is called {name}.", remedy=f"Lists are {', '.join(NAMES)}.")
    if bool(subject) != (name in OF_A_SUBJECT):
        needs = "is of one subject; name it" if not subject else "is of all subjects; --filter subject:ID narrows it"
        raise UsageProblem(f"The list {name} {needs}.", remedy="See: dosetrail view --help")
    source, wish = source_of(name, subject), Wish(filter, sort, reverse)
    if sort and sort not in [field.key for field in source.fields]:
        fields = ", ".join(field.key for field in source.fields if field.word)
        raise UsageProblem(f"The list {name} has no field {sort}.", remedy=f"It has {fields}.")
    opened = open_study(context, study)
    with open_release(opened, unblinded=unblinded) as reader:
        pages = Pages(reader.file)
        try:
            trouble = _load_pending(pages, opened, subject if name == "history" else "")
            rows = _read(pages, source, wish)
        except FilterProblem as problem:
            raise UsageProblem(f"{problem}.", remedy="See the filter line of the app, key /.") from problem
        finally:
            pages.close()
        if json:
            from tui.output import write_json

            document = {"view": name, "subject": subject or None, "filter": filter, "sort": sort, "reverse": reverse}
            write_json({**reader.facts.to_json(), **document, "pending_not_read": trouble or None, "rows": rows})
        else:
            _print(source, rows, trouble)
    return 0


def _load_pending(pages: Pages, study: Any, subject: str) -> str:
    from tui.desk import Desk
    from tui.desk_actions import desk_actions_for
    from tui.output import glyphs_for
    from tui.screens.desk_list import load_decided, load_history, load_pending, load_problems

    desk = Desk(pages, glyphs_for(sys.stdout), "", study.root, actions=desk_actions_for(study))
    for load in (load_decided, load_problems, load_pending):
        load(desk)
    if subject:
        load_history(desk, subject)
    return desk.trouble


def _read(pages: Pages, source: Source, wish: Wish) -> list[dict[str, Any]]:
    rows = pages.open_list(source, wish)
    names = [field.key for field in source.fields]
    return [dict(zip(names, row.values, strict=True)) for row in rows.fetch(0, rows.count)]


def _print(source: Source, rows: list[dict[str, Any]], trouble: str) -> None:
    from tui.output import write_paragraph
    from tui.tables import Column, print_table

    fields = [field for field in source.fields if field.word and any(row[field.key] is not None for row in rows)]
    if rows:
        columns = [Column(f.key, ">" if f.kind == "number" else "<", gives_way=f.kind == "text") for f in fields]
        print_table(columns, ([row[field.key] for field in fields] for row in rows))
    write_paragraph(f"{len(rows):,} row{'s' * (len(rows) != 1)}.")
    if trouble:
        write_paragraph(f"What was done since this release is not shown: {trouble}")
