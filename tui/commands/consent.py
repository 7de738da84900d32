"""`dosetrail consent`: withdrawals as people record them, and answers to requests to delete data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import JsonOption, ReasonOption, StudyOption, open_study, study_word

if TYPE_CHECKING:
    from store.ledger import Entry

SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject who withdrew.")]


def withdraw(
    context: typer.Context,
    subject: SubjectArgument,
    day: Annotated[str, typer.Option("--on", metavar="DATE", help="Day of the withdrawal, YYYY-MM-DD.")],
    reason: ReasonOption,
    effect: Annotated[str, typer.Option(metavar="EFFECT", help="keep, stop or delete_request.")] = "stop",
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a subject withdrew the consent, and say what that does to the data.

    Example: dosetrail consent withdraw 701-004 --on 2026-04-12 --effect delete_request --reason "letter of 14 April"
    """
    from store.withdrawals import EFFECTS, withdrawal_entry
    from tui.device_state import given_day

    entry = withdrawal_entry(subject, given_day(day, "--on"), effect, reason)
    return _record(context, study, subject, entry, {"effect": effect, "does": EFFECTS[effect]}, json)


def answer(
    context: typer.Context,
    subject: SubjectArgument,
    reason: ReasonOption,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record how a request to delete a subject's data was answered: it is no longer on the worklist.

    Example: dosetrail consent answer 701-004 --reason "refused: data of a trial are kept by law; letter of 2 May"
    """
    from store.withdrawals import answer_entry

    told = {"does": "The request leaves the worklist with the next release; no data change."}
    return _record(context, study, subject, answer_entry(subject, reason), told, json)


def _record(
    context: typer.Context, study: Path | None, subject: str, entry: Entry, told: dict[str, Any], json: bool
) -> int:
    from store.errors import UsageProblem
    from tui.output import write_command, write_json, write_lines, write_paragraph
    from tui.reading import open_release
    from tui.roles import require_role

    opened = open_study(context, study)
    with open_release(opened) as reader:
        role = require_role(reader, entry.action)
        if not reader.rows("SELECT 1 FROM subject WHERE subject_id = ?", [subject]):
            raise UsageProblem(f"There is no subject {subject} in the study.", remedy="dosetrail patients lists them.")
    head = opened.ledger.append([entry], role=role)
    if json:
        write_json({"subject_id": subject, **told, "ledger_seq": head.seq, "ledger_head": f"{head.hash}@{head.seq}"})
        return 0
    write_paragraph(f"Recorded for {subject}. {told['does']}")
    write_lines([f"Ledger head {head.hash}@{head.seq}"])
    write_command("It counts from the next release:", f"dosetrail release {study_word(opened)}")
    write_command("It can be undone:", f"dosetrail undo {head.seq} --reason ... {study_word(opened)}")
    return 0
