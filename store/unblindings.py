"""Emergency unblinding of one subject: the ledger says who learned the arm, when and why, never which arm it is."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow

UNBLIND = "unblind_subject"


def unblinding_entry(subject_id: str, reason: str, secret: Iterable[str]) -> Entry:
    """The entry that has to be recorded before the arm is shown.

    ``secret``: names of arms, elements and drugs. Raises ``UsageProblem`` without a reason, or for one that names any
    of them: everybody reads it.
    """
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy="Write it in a few words; it stands in the audit trail.")
    for word in secret:
        # A code of one or two letters is also a word of every sentence.
        before = "" if len(word) > 2 else r"(arm|group|treatment)\s+"
        if re.search(rf"(?<!\w){before}{re.escape(word)}(?!\w)", reason, re.IGNORECASE):
            raise UsageProblem(
                "The reason names a treatment. Blinded users read it in the audit trail.",
                effect="Nothing was recorded and nothing is shown.",
                remedy="Write the reason without it, such as: serious event, treatment decision needed.",
            )
    return Entry(UNBLIND, f"subject/{subject_id}", new={"subject_id": subject_id}, reason=reason.strip())


def unblinding_rows(rows: Iterable[LedgerRow]) -> list[tuple[Any, ...]]:
    """Rows of table unblinding, by entry."""
    start = dt.datetime(1970, 1, 1)
    return [
        (row.seq, row.new_value["subject_id"], start + dt.timedelta(microseconds=row.utc_us), row.user, row.role)
        for row in rows
        if row.action == UNBLIND
    ]
