"""Entries of the ledger that reverse others: nothing is erased, and an undone undo stands again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow

UNDO = "undo"

UNDOABLE = (
    "assign_device", "return_device", "import_source", "approve_layout", "raise_query", "answer_query", "close_query",
    "reopen_query", "waive_query", "record_awareness", "submit_report", "name_cut", "correct_rows", "reject_rows",
    "exclude_rows", "record_deviation", "confirm_deviation", "dismiss_deviation", "ship_device", "lose_device",
    "withdraw_consent", "answer_deletion",
)  # fmt: skip
"""Actions that can be reversed."""


def standing(rows: Iterable[LedgerRow], actions: Collection[str]) -> list[LedgerRow]:
    """Rows of ``actions`` that no later entry reverses."""
    rows = list(rows)
    reversed_by: dict[int, list[LedgerRow]] = {}
    for row in rows:
        if row.action == UNDO:
            reversed_by.setdefault(int(row.record.removeprefix("ledger/")), []).append(row)

    def stands(row: LedgerRow) -> bool:
        return not any(stands(undo) for undo in reversed_by.get(row.seq, ()))

    return [row for row in rows if row.action in actions and (row.seq not in reversed_by or stands(row))]


def undo_entry(seq: int, rows: Sequence[LedgerRow], reason: str) -> Entry:
    """The entry that reverses entry ``seq``; raises ``UsageProblem`` where it is none that can be, or is reversed."""
    row = next((row for row in rows if row.seq == seq), None)
    if row is None or row.action not in (*UNDOABLE, UNDO):
        raise UsageProblem(
            f"Ledger entry {seq} is nothing that can be undone.",
            remedy='The entries and their numbers: dosetrail sql "SELECT seq, action, record FROM ledger". '
            "Assignments and returns, imports, approved layouts, named cuts, steps of queries, safety reports, "
            "decisions about quarantined rows and deviations can be undone.",
        )
    if row not in standing(rows, (*UNDOABLE, UNDO)):
        raise UsageProblem(f"Ledger entry {seq} is undone already.", remedy="Nothing needs to be done.")
    return Entry(UNDO, f"ledger/{seq}", old=row.new_value if row.action in UNDOABLE else None, reason=reason)


def undo_import_entries(release: int, rows: Sequence[LedgerRow], reason: str) -> list[Entry]:
    """The entries that take the files of one import (by the number of its release) out again.

    Raises ``UsageProblem`` where that release brought no file, or all of them are out already.
    """
    brought = [row for row in rows if row.action == "import_source" and row.new_value["release"] == release]
    if not brought:
        raise UsageProblem(
            f"Release {release} brought no files.",
            remedy="dosetrail status lists the releases and the files of the newest one.",
        )
    stand = standing(rows, ("import_source",))
    left = [row for row in brought if row in stand]
    if not left:
        raise UsageProblem(f"The files of release {release} are out already.", remedy="Nothing needs to be done.")
    return [Entry(UNDO, f"ledger/{row.seq}", old=row.new_value, reason=reason) for row in left]
