"""`dosetrail device` and `dosetrail undo`: who has which device, recorded in the ledger with a reason.

The next release takes the entries up; until then they are pending, and `status` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import JsonOption, ReasonOption, StudyOption, open_study, study_word

if TYPE_CHECKING:
    from store.ledger import Entry
    from store.study import Study
    from tui.reading import Reader

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="Device id as the data have it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would move; record nothing.")]


def assign(
    context: typer.Context,
    device: DeviceArgument,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject who gets it.")],
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, YYYY-MM-DD.")],
    reason: ReasonOption,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Last day; open without it.", show_default=False)
    ] = None,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a subject has a device, also back-dated. Rows that waited for it move with the next release.

    Example: dosetrail device assign PUMP-17 701-004 --from 2026-03-01 --reason "handed out at visit 2"
    """
    from tui.device_state import assignment

    opened = open_study(context, study)
    entry, told, role = assignment(opened, device, subject, start, end, reason)
    return _record(opened, entry, told, role, dry_run=dry_run, as_json=json)


def give_back(
    context: typer.Context,
    device: DeviceArgument,
    day: Annotated[str, typer.Option("--on", metavar="DATE", help="The last day it was theirs, YYYY-MM-DD.")],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a device came back; later rows of it wait for the next assignment.

    Example: dosetrail device return PUMP-17 --on 2026-04-12 --reason "swapped, battery door broken"
    """
    from tui.device_state import return_of

    opened = open_study(context, study)
    entry, told, role = return_of(opened, device, day, reason)
    return _record(opened, entry, told, role, dry_run=dry_run, as_json=json)


def ship(
    context: typer.Context,
    device: DeviceArgument,
    site: Annotated[str, typer.Argument(metavar="SITE", help="Site it is sent to.")],
    day: Annotated[str, typer.Option("--on", metavar="DATE", help="Day, YYYY-MM-DD.")],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a device or kit was shipped to a site.

    Example: dosetrail device ship PUMP-17 701 --on 2026-02-20 --reason "shipment 12"
    """
    from tui.device_state import shipment

    opened = open_study(context, study)
    entry, told, role = shipment(opened, device, site, day, reason)
    return _record(opened, entry, told, role, dry_run=dry_run, as_json=json)


def lose(
    context: typer.Context,
    device: DeviceArgument,
    day: Annotated[str, typer.Option("--on", metavar="DATE", help="Day it was lost, YYYY-MM-DD.")],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Record that a device or kit was lost; who had it has it no longer.

    Example: dosetrail device lose PUMP-17 --on 2026-04-12 --reason "left on a train"
    """
    from tui.device_state import loss

    opened = open_study(context, study)
    entry, told, role = loss(opened, device, day, reason)
    return _record(opened, entry, told, role, dry_run=dry_run, as_json=json)


def listed(
    context: typer.Context,
    not_returned: Annotated[
        bool, typer.Option("--not-returned", help="Only what has not come back from subjects who left.")
    ] = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Account for every device and kit: shipped, with a subject, returned, lost.

    Example: dosetrail device list --not-returned
    """
    from tui.output import write_json, write_paragraph
    from tui.reading import open_release
    from tui.tables import Column, print_table

    opened = open_study(context, study)
    with open_release(opened) as reader:
        where = "WHERE not_returned = 'Y'" if not_returned else ""
        rows = reader.records(f"SELECT * FROM release.device_accountability {where} ORDER BY device_id")
        facts = reader.facts
    if json:
        write_json({**facts.to_json(), "rows": rows})
        return 0
    names = (
        "device_id",
        "state",
        "subject_id",
        "site_id",
        "shipped_date",
        "assigned_date",
        "returned_date",
        "lost_date",
    )
    columns = [Column(""), *(Column(name.removesuffix("_id").removesuffix("_date")) for name in names)]
    print_table(columns, (["!" if row["not_returned"] == "Y" else "", *(row[name] for name in names)] for row in rows))
    late = sum(row["not_returned"] == "Y" for row in rows)
    write_paragraph(
        f"{len(rows):,} devices and kits, {late:,} not back from subjects who left (!). Release {facts.release}."
    )
    return 0


def undo(
    context: typer.Context,
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="Number of the ledger entry.")],
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Reverse an entry of the ledger (a device assignment or return, an import, an approved layout).

    The entry stays in the ledger, and so does its reversal.

    Example: dosetrail undo 41 --reason "wrong serial typed"
    """
    from store.undoing import undo_entry
    from tui.device_state import check_undo, given_reason
    from tui.reading import open_release
    from tui.roles import require_role

    opened = open_study(context, study)
    rows = opened.ledger.read()
    entry = undo_entry(seq, rows, given_reason(reason))
    with open_release(opened) as reader:
        role = require_role(reader, next(row.action for row in rows if row.seq == seq))
    told = {"undone": f"ledger entry {seq}"}
    check = partial(check_undo, opened, seq)
    return _record(opened, entry, told, role, dry_run=dry_run, as_json=json, check=check)


def history(context: typer.Context, device: DeviceArgument, study: StudyOption = None, json: JsonOption = False) -> int:
    """Show who had a device when, its firmware, lot and UDI over time, and the ledger entries about it.

    Example: dosetrail device history PUMP-17
    """
    from store.device_actions import MOVEMENTS
    from store.undoing import standing
    from tui.device_state import device_state
    from tui.output import write_json, write_lines
    from tui.reading import open_release
    from tui.tables import Column, print_table

    opened = open_study(context, study)
    rows = opened.ledger.read()
    actions = tuple(MOVEMENTS)
    standing_seqs = {row.seq for row in standing(rows, actions)}
    entries = [
        {
            "seq": row.seq,
            "action": row.action.replace("_", " "),
            "subject_id": row.new_value["subject_id"],
            "start_date": row.new_value.get("start_date"),
            "end_date": row.new_value["end_date"],
            "by": row.user,
            "reason": row.reason,
            "stands": row.seq in standing_seqs,
        }
        for row in rows
        if row.action in actions and row.record == f"device/{device}"
    ]
    known, _, _ = device_state(opened, device)
    with open_release(opened) as reader:
        described = _properties(reader, device)
    had = [
        {"subject_id": entry.subject_id, "start_date": entry.start_date, "end_date": entry.end_date} for entry in known
    ]
    if json:
        write_json({"device_id": device, "assignments": had, "properties": described, "ledger": entries})
        return 0
    for title, found in (("had by", had), ("was", described), ("ledger", entries)):
        write_lines([f"{title.upper()}"])
        if found:
            columns = [Column(name.replace("_", " "), gives_way=name == "reason") for name in found[0]]
            print_table(columns, (["" if cell is None else str(cell) for cell in row.values()] for row in found))
        else:
            write_lines(["nothing recorded"])
        write_lines([""])
    return 0


def _properties(reader: Reader, device: str) -> list[dict[str, Any]]:
    """What device lists and dose rows said of a device: each value with the first and last day it was stated."""
    return reader.records(
        "SELECT property, value, first_date, last_date, basis FROM release.device_history WHERE device_id = ?", [device]
    )


def _record(
    study: Study,
    entry: Entry,
    told: dict[str, Any],
    role: str | None,
    *,
    dry_run: bool,
    as_json: bool,
    check: Callable[[], None] | None = None,
) -> int:
    """Append the entry and say what moves."""
    from tui.output import write_command, write_json, write_lines, write_paragraph

    head = None if dry_run else study.ledger.append([entry], role=role, before_commit=check)
    moved = told.get("rows_moved", [])
    if as_json:
        write_json(
            {**told, "recorded": head is not None, "ledger_seq": head.seq if head else None,
             "ledger_head": head.hash if head else None, "reason": entry.reason}
        )  # fmt: skip
        return 0
    for name, value in told.items():
        if name != "rows_moved":
            write_paragraph(f"{'Would record' if dry_run else 'Recorded'}: {value}.")
    if "rows_moved" in told:
        rows = sum(row["rows"] for row in moved)
        days = sorted(row["day"] for row in moved if row["day"] is not None)
        span = f", {days[0]} to {days[-1]}" if days else ""
        waits = "row of the device waits" if rows == 1 else "rows of the device wait"
        moves = "moves" if rows == 1 else "move"
        write_paragraph(f"{rows:,} {waits} in quarantine and {moves} with the next release{span}.")
    if head is not None:
        write_lines([f"Ledger head {head.hash}@{head.seq}"])
        write_command("It counts from the next release:", f"dosetrail release {study_word(study)}")
    return 0
