"""Devices and who has them as it stands now, and the entries that change it; for command line and app alike."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from store.errors import UsageProblem
from tui.roles import require_role

if TYPE_CHECKING:
    from store.device_actions import Assignment
    from store.ledger import Entry
    from store.study import Study

Told = dict[str, Any]


def assignment(
    study: Study, device: str, subject: str, start: str, end: str | None, reason: str
) -> tuple[Entry, Told, str | None]:
    """The entry that gives a device to a subject, what it changes, and the role. Raises UsageProblem, NotAllowed."""
    from store.device_actions import ASSIGN_DEVICE, Assignment, assign_entry
    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, ASSIGN_DEVICE)
    known, subjects, waiting = device_state(study, device)
    if subject not in subjects:
        raise UsageProblem(
            f"There is no subject {subject} in the study.",
            remedy="dosetrail patients lists them; nothing was recorded.",
        )
    wanted = Assignment(device, given_day(start, "--from"), subject, given_day(end, "--to") if end else None)
    entry = assign_entry(wanted, known, given_reason(reason))
    moved = [row for row in waiting if row["day"] is None or _within(row["day"], wanted)]
    return entry, {"assignment": str(wanted), "rows_moved": moved}, role


def return_of(study: Study, device: str, day: str, reason: str) -> tuple[Entry, Told, str | None]:
    """The entry that takes a device back, what it says, and the role. Raises UsageProblem, NotAllowed."""
    from store.device_actions import RETURN_DEVICE, return_entry
    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, RETURN_DEVICE)
    known, _, _ = device_state(study, device)
    entry = return_entry(device, given_day(day, "--on"), known, given_reason(reason))
    told = {"returned": f"device {device} by subject {entry.new['subject_id']} on {day}"}  # type: ignore[index,call-overload]
    return entry, told, role


def check_undo(study: Study, seq: int) -> None:
    """Inside the ledger's transaction: of two people who undo one entry the second is told. Raises UsageProblem."""
    from store.undoing import undo_entry

    undo_entry(seq, study.ledger.read(), "again")


def shipment(study: Study, device: str, site: str, day: str, reason: str) -> tuple[Entry, Told, str | None]:
    """The entry of a shipment, what it says, and the role. Raises UsageProblem for an unknown site, NotAllowed."""
    from store.device_actions import SHIP_DEVICE, ship_entry
    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, SHIP_DEVICE)
        sites = [row[0] for row in reader.rows("SELECT site_id FROM site ORDER BY 1")]
    if site not in sites:
        raise UsageProblem(f"There is no site {site} in the study.", remedy=f"Sites: {', '.join(sites) or 'none yet'}.")
    entry = ship_entry(device, site, given_day(day, "--on"), given_reason(reason))
    return entry, {"shipped": f"device {device} to site {site} on {day}"}, role


def loss(study: Study, device: str, day: str, reason: str) -> tuple[Entry, Told, str | None]:
    """The entry of a loss, what it says, and the role. Raises UsageProblem, NotAllowed."""
    from store.device_actions import LOSE_DEVICE, lose_entry
    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, LOSE_DEVICE)
        known_device = reader.rows("SELECT 1 FROM release.device_accountability WHERE device_id = ?", [device])
        known_device += reader.rows("SELECT 1 FROM device WHERE device_id = ?", [device])
    known, _, _ = device_state(study, device)
    if not known_device and not known:
        raise UsageProblem(f"There is no device {device} in the study.", remedy="dosetrail device list shows them.")
    entry = lose_entry(device, given_day(day, "--on"), known, given_reason(reason))
    return entry, {"lost": f"device {device} on {day}"}, role


def device_state(study: Study, device: str) -> tuple[list[Assignment], set[str], list[dict[str, Any]]]:
    """Assignments of a device by enrolment and ledger, also pending ones; the study's subjects; rows that wait."""
    from store.device_actions import Assignment, apply_returns, read_assignments
    from store.tables_subject import START_UNKNOWN
    from tui.reading import open_release

    with open_release(study) as reader:
        stored = [
            Assignment(*row)
            for row in reader.rows(
                f"SELECT device_id, coalesce(start_date, {START_UNKNOWN}), subject_id, end_date "
                "FROM device_assignment_recorded WHERE device_id = ?",
                [device],
            )
        ]
        subjects = {row[0] for row in reader.rows("SELECT subject_id FROM subject")}
        waiting = reader.records(
            "SELECT table_name, reason, count(*) AS rows, TRY_CAST(coalesce(raw->>'start_local', raw->>'observed_at', "
            "raw->>'filled_at', raw->>'recommended_at', raw->>'measured_at', raw->>'total_date') AS DATE) AS day "
            "FROM quarantine WHERE device_id = ? AND reason IN ('unassigned_device', 'unknown_device') "
            "GROUP BY ALL ORDER BY ALL",
            [device],
        )
    assigned, returned = read_assignments(study.ledger.read())
    known = apply_returns([*stored, *(entry for entry in assigned if entry.device_id == device)], returned)
    return sorted(known, key=str), subjects, waiting


def _within(day: dt.date, wanted: Assignment) -> bool:
    return wanted.start_date <= day and (wanted.end_date is None or day <= wanted.end_date)


def given_day(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(f"{option} {text} is no date.", remedy="Write it as YYYY-MM-DD.") from error


def given_reason(text: str) -> str:
    if not text.strip():
        raise UsageProblem("A reason is needed.", remedy='Say why: --reason "handed out at visit 2".')
    return text.strip()
