"""Withdrawals of consent that people record, and answers to requests to delete data.

A withdrawal with effect ``keep`` ends nothing: data go on being collected. ``stop`` and ``delete_request`` end the
consent: later rows are received, wait in quarantine and are never analysed. A request to delete is one to the sponsor:
what was received before stays in the files received and in the ledger, which nobody alters, until somebody answers it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

WITHDRAW, ANSWER_DELETION = "withdraw_consent", "answer_deletion"
EFFECTS = {
    "keep": "Nothing ends: data go on being collected and analysed.",
    "stop": "Rows after that day are received, wait in quarantine, are never analysed; earlier ones stay in analyses.",
    "delete_request": "Rows after that day are received, wait in quarantine, are never analysed. Earlier data are not "
    "deleted: the files received and the ledger are records of the trial that nobody alters. The request stands on the "
    "worklist until somebody records how it was answered.",
}
"""What a withdrawal does, by its effect, in the words said to whoever records it."""


def withdrawal_entry(subject_id: str, day: dt.date, effect: str, reason: str) -> Entry:
    """The entry of a withdrawal. Raises ``UsageProblem`` without a reason or for an unknown effect."""
    if effect not in EFFECTS:
        raise UsageProblem(f"{effect} is no effect of a withdrawal.", remedy=f"Effects: {', '.join(EFFECTS)}.")
    _require(reason)
    new = {"subject_id": subject_id, "withdrawn_date": day.isoformat(), "effect": effect}
    return Entry(WITHDRAW, f"subject/{subject_id}", new=new, reason=reason.strip())


def answer_entry(subject_id: str, reason: str) -> Entry:
    """The entry that answers a request to delete; ``reason`` is the answer. Raises ``UsageProblem`` without one."""
    _require(reason)
    return Entry(ANSWER_DELETION, f"subject/{subject_id}", new={"subject_id": subject_id}, reason=reason.strip())


def _require(reason: str) -> None:
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy="Write it in a few words; it stands in the audit trail.")


def withdrawal_rows(rows: Iterable[LedgerRow]) -> list[tuple[Any, ...]]:
    """Rows of table consent_withdrawal: withdrawals and answers that stand, by entry."""
    found: list[tuple[Any, ...]] = []
    for row in standing(rows, (WITHDRAW, ANSWER_DELETION)):
        value = row.new_value
        day = dt.date.fromisoformat(value["withdrawn_date"]) if row.action == WITHDRAW else None
        effect = value["effect"] if row.action == WITHDRAW else "deletion_answered"
        found.append((row.seq, value["subject_id"], day, effect, row.user, row.reason))
    return found
