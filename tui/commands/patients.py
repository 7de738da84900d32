"""`dosetrail patients` and `dosetrail patient`: the lists and the record that the app shows."""

from __future__ import annotations

import sys
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
    study_word,
)

if TYPE_CHECKING:
    from tui.pages import Source
    from tui.reading import Reader

LAST_ROWS = 10


def patients(
    context: typer.Context,
    filter: Annotated[
        str,
        typer.Option(
            "--filter",
            "-f",
            metavar="WORDS",
            help='Words as in the app: site:701 arm:placebo comp<80 day>30 aes>2 !status:completed "site 12"',
            show_default=False,
        ),
    ] = "",
    study: StudyOption = None,
    json: JsonOption = False,
    as_of: AsOfOption = None,
    cutoff: CutoffOption = None,
    unblinded: UnblindedOption = False,
) -> int:
    """List patients: status, study day, doses taken in % of those expected, adverse events, last dose.

    Example: dosetrail patients --filter "comp<80 !status:completed"
    """
    from tui.reading import open_release

    with open_release(open_study(context, study), unblinded=unblinded, as_of=as_of, cutoff=cutoff) as reader:
        rows = patient_rows(reader, filter)
        screened = reader.rows("SELECT count(*) FROM subject")[0][0]
        if json:
            from tui.output import write_json

            write_json({**reader.facts.to_json(), "filter": filter, "rows": rows})
        else:
            _print_patients(reader, rows, screened, filter)
    return 0


def patient_rows(reader: Reader, words: str) -> list[dict[str, Any]]:
    """The rows of the app's list of patients under the names its filter uses."""
    from tui.patient_rows import PATIENTS

    return reader.records(f"SELECT * EXCLUDE (arm_shown) FROM {reader.open_list(PATIENTS, words)} ORDER BY rowid")


def _print_patients(reader: Reader, rows: list[dict[str, Any]], screened: int, words: str) -> None:
    from tui.output import write_lines, write_paragraph
    from tui.tables import Column, print_table

    found = f"{len(rows):,} of {screened:,} patients" + (f" match {words!r}" if words else "")
    write_paragraph(f"{found}. {footer(reader)}")
    write_lines([""])
    columns = [
        Column("subject"),
        *([] if reader.facts.blinded else [Column("arm", gives_way=True)]),
        Column("status", gives_way=True),
        Column("day", ">"),
        Column("comp %", ">"),
        Column("AEs", ">"),
        Column("last dose"),
        Column("site"),
    ]
    names = ["subject", *([] if reader.facts.blinded else ["arm_code"]), "status", "day", "comp", "aes", "last", "site"]
    print_table(columns, ([_cell(row, name) for name in names] for row in rows))


def _cell(row: dict[str, Any], name: str) -> object:
    value = row["arm"].split(" ")[0] if name == "arm_code" and row["arm"] else row.get(name)
    return f"{value:.1f}" if name == "comp" and value is not None else value


def footer(reader: Reader) -> str:
    """Release, data cut and state of blinding in one sentence."""
    facts = reader.facts
    state = "" if facts.blinding == "open" else f", {facts.blinding}"
    cut = "data cut " if facts.data_cut else ""
    return f"Release {facts.release}{state}, {cut}{facts.data_cut_words}."


def patient(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="ID", help="Subject identifier, as in the list.")],
    study: StudyOption = None,
    json: JsonOption = False,
    all_rows: AllOption = False,
    as_of: AsOfOption = None,
    cutoff: CutoffOption = None,
    unblinded: UnblindedOption = False,
) -> int:
    """Show one patient: overview, doses, adverse events and devices, each row with its file and line.

    Example: dosetrail patient 01-701-1015 --all
    """
    from store.errors import UsageProblem
    from tui.patient_rows import PATIENTS, devices_of, doses_of, events_of, intervals_of
    from tui.reading import open_release

    opened = open_study(context, study)
    with open_release(opened, unblinded=unblinded, as_of=as_of, cutoff=cutoff) as reader:
        listed = reader.records(f"SELECT * EXCLUDE (arm_shown) FROM ({PATIENTS.sql}) WHERE subject = ?", [subject])
        if not listed:
            raise UsageProblem(
                f"There is no patient {subject} in release {reader.facts.release}.",
                effect="Nothing was read or changed.",
                remedy=_similar(reader, subject, study_word(opened)),
                subject=subject,
            )
        lists = {
            "doses": doses_of(subject),
            "dosing_intervals": intervals_of(subject),
            "adverse_events": events_of(subject),
            "devices": devices_of(subject),
        }
        if json:
            _print_json(reader, subject, listed[0], lists)
        else:
            _print_patient(reader, subject, listed[0], lists, None if all_rows else LAST_ROWS)
    return 0


def _similar(reader: Reader, subject: str, where: str) -> str:
    near = reader.rows(
        "SELECT subject_id FROM subject ORDER BY levenshtein(lower(subject_id), lower(?)), subject_id LIMIT 3",
        [subject],
    )
    names = ", ".join(name for (name,) in near)
    return f"Did you mean {names}? All of them: dosetrail patients {where}" if near else "The study has no patients."


def _print_json(reader: Reader, subject: str, row: dict[str, Any], lists: dict[str, Source]) -> None:
    from tui.output import write_json

    write_json(
        {
            **reader.facts.to_json(),
            "subject_id": subject,
            "patient": row,
            "enrolment": reader.records("SELECT * FROM subject WHERE subject_id = ?", [subject]),
            "periods": reader.records(
                "SELECT * FROM treatment_period WHERE subject_id = ? ORDER BY period_order", [subject]
            ),
            "disposition": reader.records(
                "SELECT * FROM disposition WHERE subject_id = ? ORDER BY disposition_date, line", [subject]
            ),
            **{name: _rows_of(reader, source) for name, source in lists.items()},
            "quarantined": reader.records(
                "SELECT source_id, line, reason, field, message FROM quarantine WHERE subject_id = ? "
                "ORDER BY source_id, line",
                [subject],
            ),
        }
    )


def _rows_of(reader: Reader, source: Source) -> list[dict[str, Any]]:
    return reader.records(f"SELECT * FROM {reader.open_list(source)} ORDER BY rowid")


def _print_patient(
    reader: Reader, subject: str, row: dict[str, Any], lists: dict[str, Source], limit: int | None
) -> None:
    from tui.output import glyphs_for, write_lines, write_paragraph
    from tui.pages import Pages
    from tui.patient_overview import read_patient

    pages = Pages(reader.file)
    try:
        overview = read_patient(pages, glyphs_for(sys.stdout), subject, row["status"], row["comp"])
    finally:
        pages.close()
    write_lines([overview.title, *(line.text for line in overview.lines), ""])
    for name, source in lists.items():
        _print_list(reader, name, source, limit)
    write_paragraph(footer(reader))


def _print_list(reader: Reader, name: str, source: Source, limit: int | None) -> None:
    from tui.cells import show_delay
    from tui.output import glyphs_for, write_lines
    from tui.tables import Column, print_table

    rows = _rows_of(reader, source)
    if not rows:
        return
    shown = rows if limit is None else rows[-limit:]
    more = f", the last {len(shown)} (--all shows every one)" if len(shown) < len(rows) else ""
    write_lines([f"{name.replace('_', ' ').upper()}: {len(rows)}{more}"])
    fields = [
        field
        for field in source.fields
        if field.key not in NOT_PRINTED and any(line[field.key] is not None for line in shown)
    ]
    glyphs = glyphs_for(sys.stdout)
    print_table(
        [Column(field.key, ">" if field.kind == "number" else "<", gives_way=field.key in WIDE) for field in fields],
        (
            [show_delay(line["delay"], glyphs) if field.key == "delay" else line[field.key] for field in fields]
            for line in shown
        ),
    )
    write_lines([""])


NOT_PRINTED = frozenset(("source_id", "planned_no", "kept_in", "rank", "soc"))
"""Fields that lead the app to the row's record, or that have no room beside the others; --json has them
all.
"""
WIDE = frozenset(("term", "file", "what", "device", "state", "unit", "frequency", "causality"))
