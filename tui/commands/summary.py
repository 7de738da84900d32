"""`dosetrail summary`: the results of a release by arm, as stored; for another data cut, computed anew."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import (
    AllOption,
    AsOfOption,
    CutoffOption,
    JsonOption,
    StudyOption,
    UnblindedOption,
    open_study,
)

if TYPE_CHECKING:
    from tui.reading import Reader


class Family(StrEnum):
    """Families of results as typed; `_` in the table, `-` on the command line."""

    accuracy = "accuracy"
    compliance = "compliance"
    adverse_events = "adverse-events"
    enrolment = "enrolment"
    exposure = "exposure"


def summary(
    context: typer.Context,
    family: Annotated[
        Family | None, typer.Argument(help="One family of results; without it all of them.", show_default=False)
    ] = None,
    cutoff: CutoffOption = None,
    population: Annotated[str | None, typer.Option(help="Only results of this population.", show_default=False)] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Only figures broken down by this: firmware, lot, model, device_class, dose_size, wear_month, "
            "algorithm_version, alarm, inclusion, ...",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A published table with its p values: teae, teae_serious.", show_default=False
        ),
    ] = None,
    all_terms: AllOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
    unblinded: UnblindedOption = False,
) -> int:
    """Print dose accuracy, compliance, adverse events, enrolment and exposure by arm.

    --by prints one breakdown, the rows of the macro of the same name: FROM dose_accuracy(by := 'firmware').

    --table reproduces a published table, p values included, which are printed nowhere else but for comparisons that
    [confirmatory] lists: FROM published_table('teae').

    --json prints the rows of the table `result`.

    Example: dosetrail summary adverse-events --all
    """
    from tui.output import write_json
    from tui.reading import open_release
    from tui.summary_text import print_summary

    opened = open_study(context, study)
    with open_release(opened, unblinded=unblinded, as_of=as_of, cutoff=cutoff) as reader:
        if table is not None:
            return _print_table(reader, table, as_json=json)
        rows = read_rows(reader)
        rows = _chosen(rows, family, population)
        if by is not None:
            rows = _broken_down(rows, by)
        if json:
            write_json({**reader.facts.to_json(), "rows": rows})
        else:
            print_summary(reader, rows, overview=family is None, all_terms=all_terms, by=by)
    return 0


def _print_table(reader: Reader, name: str, *, as_json: bool) -> int:
    from tui.output import write_json
    from tui.published_table import print_published, read_published

    rows = read_published(reader, name)
    if as_json:
        write_json({**reader.facts.to_json(), "table": name, "rows": rows})
    else:
        print_published(reader, rows, name)
    return 0


def read_rows(reader: Reader) -> list[dict[str, Any]]:
    """All rows of `result` in their stored order."""
    return reader.records("SELECT * FROM result")


def _chosen(rows: list[dict[str, Any]], family: Family | None, population: str | None) -> list[dict[str, Any]]:
    from store.errors import UsageProblem

    if family is not None:
        rows = [row for row in rows if row["analysis"] == family.value.replace("-", "_")]
    if population is not None:
        known = sorted({row["population"] for row in rows})
        rows = [row for row in rows if row["population"] == population]
        if not rows:
            there = f"There are: {', '.join(known)}." if known else "This release has no such results."
            raise UsageProblem(f"No result is for a population {population}.", remedy=there, population=population)
    return rows


def _broken_down(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    from store.errors import UsageProblem

    known = sorted({row["by"] for row in rows if row["by"] is not None})
    chosen = [row for row in rows if row["by"] == by]
    if not chosen:
        there = f"There are: {', '.join(known)}." if known else "Nothing here is broken down."
        raise UsageProblem(f"Nothing is broken down by {by}.", remedy=there, by=by)
    return chosen
