"""Who had which device when, as people record it in the ledger: assigned, returned, and undone again.

An entry is a fact; a release is made from the set of facts that stand, whatever their order.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

ASSIGN_DEVICE = "assign_device"
RETURN_DEVICE = "return_device"
SHIP_DEVICE = "ship_device"
LOSE_DEVICE = "lose_device"
MOVEMENTS = {ASSIGN_DEVICE: "assigned", RETURN_DEVICE: "returned", SHIP_DEVICE: "shipped", LOSE_DEVICE: "lost"}
"""Action of the ledger -> what became of the device."""

_FAR = dt.date(9999, 12, 31)


@dataclass(frozen=True, order=True)
class Assignment:
    """One subject had one device from a day to a day, both included; open where ``end_date`` is None."""

    device_id: str
    start_date: dt.date
    subject_id: str
    end_date: dt.date | None = None

    def meets(self, other: Assignment) -> bool:
        """Whether both are of one device and share a day."""
        return (
            self.device_id == other.device_id
            and self.start_date <= (other.end_date or _FAR)
            and other.start_date <= (self.end_date or _FAR)
        )

    def __str__(self) -> str:
        end = f"to {self.end_date}" if self.end_date else "on"
        return f"device {self.device_id} at subject {self.subject_id} from {self.start_date} {end}"


@dataclass(frozen=True, order=True)
class Return:
    """The subject gave the device back that day: the last day it was theirs."""

    device_id: str
    subject_id: str
    end_date: dt.date


def read_assignments(rows: Iterable[LedgerRow]) -> tuple[tuple[Assignment, ...], tuple[Return, ...]]:
    """The assignments and returns that stand, each once, in a fixed order; a device that was lost is no longer at the
    subject who had it."""
    assigned, returned = set(), set()
    for row in standing(rows, (ASSIGN_DEVICE, RETURN_DEVICE, LOSE_DEVICE)):
        device_id, value = row.record.removeprefix("device/"), row.new_value
        if row.action == ASSIGN_DEVICE:
            end = dt.date.fromisoformat(value["end_date"]) if value["end_date"] else None
            start = dt.date.fromisoformat(value["start_date"])
            assigned.add(Assignment(device_id, start, value["subject_id"], end))
        elif value["subject_id"] is not None:
            returned.add(Return(device_id, value["subject_id"], dt.date.fromisoformat(value["end_date"])))
    key = str  # end dates may be None, which has no order
    return tuple(sorted(assigned, key=key)), tuple(sorted(returned))


def assign_entry(assignment: Assignment, known: Iterable[Assignment], reason: str) -> Entry:
    """The entry of a new assignment.

    Raises ``UsageProblem`` where the end lies before the start, or where somebody else had the device on one of its
    days: ``known`` are the assignments that stand, those of the enrolment data included.
    """
    if assignment.end_date is not None and assignment.end_date < assignment.start_date:
        raise UsageProblem(
            f"The last day {assignment.end_date} lies before the first {assignment.start_date}.",
            remedy="Give --from and --to in order.",
        )
    for other in known:
        if assignment.meets(other) and other.subject_id != assignment.subject_id:
            raise UsageProblem(
                f"{str(other).capitalize()}: subject {assignment.subject_id} cannot have it on the same day.",
                remedy=f"Record its return first: dosetrail device return {other.device_id} --on DATE --reason ...",
            )
        if assignment == other:
            raise UsageProblem(f"This is recorded already: {other}.", remedy="Nothing needs to be done.")
    new = {
        "subject_id": assignment.subject_id,
        "start_date": assignment.start_date.isoformat(),
        "end_date": assignment.end_date.isoformat() if assignment.end_date else None,
    }
    return Entry(ASSIGN_DEVICE, f"device/{assignment.device_id}", new=new, reason=reason)


def return_entry(device_id: str, end_date: dt.date, known: Iterable[Assignment], reason: str) -> Entry:
    """The entry of a return: it closes the assignment the device had that day.

    Raises ``UsageProblem`` where nobody had it then, or it had been given back before.
    """
    wanted = Assignment(device_id, end_date, "", end_date)
    held = [assignment for assignment in known if assignment.meets(wanted)]
    if not held:
        raise UsageProblem(
            f"Nobody had device {device_id} on {end_date}.",
            remedy=f"dosetrail device history {device_id} shows who had it when.",
        )
    new = {"subject_id": held[0].subject_id, "end_date": end_date.isoformat()}
    return Entry(RETURN_DEVICE, f"device/{device_id}", new=new, reason=reason)


def ship_entry(device_id: str, site_id: str, day: dt.date, reason: str) -> Entry:
    """The entry of a shipment to a site."""
    new = {"subject_id": None, "site_id": site_id, "end_date": day.isoformat()}
    return Entry(SHIP_DEVICE, f"device/{device_id}", new=new, reason=reason)


def lose_entry(device_id: str, day: dt.date, known: Iterable[Assignment], reason: str) -> Entry:
    """The entry of a loss; the subject who had the device that day has it no longer."""
    wanted = Assignment(device_id, day, "", day)
    held = [assignment for assignment in known if assignment.meets(wanted)]
    new = {"subject_id": held[0].subject_id if held else None, "end_date": day.isoformat()}
    return Entry(LOSE_DEVICE, f"device/{device_id}", new=new, reason=reason)


def movement_rows(rows: Iterable[LedgerRow]) -> list[tuple[object, ...]]:
    """Rows of table device_movement: the movements that stand, by entry."""
    found: list[tuple[object, ...]] = []
    for row in standing(rows, tuple(MOVEMENTS)):
        value = row.new_value
        day = dt.date.fromisoformat(value["start_date"] if row.action == ASSIGN_DEVICE else value["end_date"])
        device = row.record.removeprefix("device/")
        found.append(
            (
                row.seq, device, MOVEMENTS[row.action], value.get("site_id"), value["subject_id"], day, row.user,
                row.reason,
            )
        )  # fmt: skip
    return found


def apply_returns(assignments: Iterable[Assignment], returns: Iterable[Return]) -> list[Assignment]:
    """Assignments that end with the first return of their device by their subject on one of their days."""
    closed = []
    for assignment in assignments:
        ends = [
            entry.end_date
            for entry in returns
            if (entry.device_id, entry.subject_id) == (assignment.device_id, assignment.subject_id)
            and assignment.start_date <= entry.end_date <= (assignment.end_date or _FAR)
        ]
        end = min(ends, default=assignment.end_date)
        closed.append(Assignment(assignment.device_id, assignment.start_date, assignment.subject_id, end))
    return closed
