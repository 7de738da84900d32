"""The ledger's hash chain: how a row is hashed, and how a chain is checked.

A row's hash is the SHA-256, in lower-case hex, of one line of ASCII: the JSON array

    ["dosetrail-ledger-1", seq, utc_us, user, uid, sudo_uid, role, host, action, record, field, old, new,
     reason, prev_hash]

written without spaces, every character outside ASCII escaped as \\uXXXX (`json.dumps(..., separators=(",",
":"))`). The values are those of the columns as SQLite returns them: integers, text, or null; `old` and `new`
are JSON text and enter as text, so no number is formatted again. `prev_hash` is the hash of the row before,
64 zeros for row 1; `seq` counts from 1 without gaps.

Anyone can check a ledger with the standard library of any language from this paragraph alone. The chain does
not show that rows at the end are missing or that it was written anew from some row on: a head hash noted
earlier (the anchor) does.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from store.errors import IntegrityFailure, UsageProblem

GENESIS = "0" * 64
FORM = "dosetrail-ledger-1"

# REPLACE deletes the old row without firing DELETE triggers, so the INSERT trigger has to refuse a seq that
# is taken.
TRIGGERS = {
    "ledger_no_update": """CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: rows are not changed'); END""",
    "ledger_no_delete": """CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: rows are not deleted'); END""",
    "ledger_in_sequence": """CREATE TRIGGER ledger_in_sequence BEFORE INSERT ON ledger
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM ledger)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: rows are added at its end'); END""",
}


class LedgerRow(NamedTuple):
    """One row as stored. `utc_us`: microseconds since 1970-01-01 UTC; `old`, `new`: JSON text."""

    seq: int
    utc_us: int
    user: str
    uid: int
    sudo_uid: int | None
    role: str | None
    host: str
    action: str
    record: str
    field: str | None
    old: str | None
    new: str | None
    reason: str | None
    prev_hash: str
    hash: str

    @property
    def old_value(self) -> Any:
        return None if self.old is None else json.loads(self.old)

    @property
    def new_value(self) -> Any:
        return None if self.new is None else json.loads(self.new)


COLUMNS = LedgerRow._fields


class Head(NamedTuple):
    """The last row of a ledger; as text, the anchor that proves later that nothing was lost or altered."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.hash}@{self.seq}"


class LedgerAltered(IntegrityFailure):
    """The chain does not hold. `first_bad_seq`: the first row that is changed, missing or foreign, if it can
    be told.
    """

    def __init__(self, path: Path, problem: str, first_bad_seq: int | None) -> None:
        super().__init__(
            f"The ledger {path} was altered: {problem}.",
            effect="Nothing was changed now. Rows before that one are as written, later ones cannot be trusted.",
            remedy="Compare with the backup of ledger/ and the head printed on exports and import summaries.",
            path=path,
            problem=problem,
            first_bad_seq=first_bad_seq,
        )
        self.first_bad_seq = first_bad_seq


def row_hash(row: LedgerRow) -> str:
    """SHA-256 of a row's canonical form (see the module's text); the row's own `hash` does not enter."""
    text = json.dumps([FORM, *row[:-1]], ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_row(values: tuple[Any, ...]) -> LedgerRow:
    return LedgerRow(*values)


def check_chain(connection: sqlite3.Connection, path: Path, anchor: str | None = None) -> Head:
    """Check all rows of the ledger behind `connection`, and the anchor if one is given; returns the head.

    Raises LedgerAltered, or UsageProblem for text that is no anchor.
    """
    wanted = parse_anchor(anchor) if anchor is not None else None
    head = Head(0, GENESIS)
    anchor_seq: int | None = 0 if wanted and GENESIS.startswith(wanted[0]) else None
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger ORDER BY seq")
    while True:
        try:
            values = rows.fetchone()
        except sqlite3.DatabaseError as error:
            raise LedgerAltered(path, f"row {head.seq + 1} cannot be read ({error})", head.seq + 1) from error
        if values is None:
            break
        head = _next_head(path, head, read_row(values))
        if wanted is not None and head.hash.startswith(wanted[0]):
            anchor_seq = head.seq
    if wanted is not None:
        _check_anchor(path, head, wanted, anchor_seq)
    _check_objects(connection, path, head)
    return head


def parse_anchor(anchor: str) -> tuple[str, int | None]:
    """(hash or its first 16 or more digits, sequence number or None) of `HASH[@SEQ]`."""
    match = re.fullmatch(r"([0-9a-f]{16,64})(?:@(\d{1,18}))?", anchor.strip().lower())
    if match is None:
        raise UsageProblem(
            f"{anchor!r} is no ledger anchor.",
            remedy="An anchor is HASH or HASH@SEQ as printed on exports and import summaries "
            "(at least the first 16 digits of the hash).",
            anchor=anchor,
        )
    return match[1], int(match[2]) if match[2] else None


def _next_head(path: Path, head: Head, row: LedgerRow) -> Head:
    expected = head.seq + 1
    if row.seq != expected:
        raise LedgerAltered(path, f"row {expected} is missing", expected)
    if row.prev_hash != head.hash:
        raise LedgerAltered(path, f"row {expected} does not follow the row before it", expected)
    # A blob or a NaN cannot have been written by the program and has no canonical form.
    plain = all(value is None or isinstance(value, (int, str)) for value in row)
    if not plain or row.hash != row_hash(row):
        raise LedgerAltered(path, f"row {expected} was changed after it was written", expected)
    return Head(row.seq, row.hash)


def _check_anchor(path: Path, head: Head, wanted: tuple[str, int | None], found: int | None) -> None:
    digits, seq = wanted
    if found is not None and seq in (None, found):
        return
    if seq is None:
        raise LedgerAltered(path, f"no row has the anchor's hash {digits}: rows are missing or replaced", None)
    if seq > head.seq:
        raise LedgerAltered(
            path, f"it ends at row {head.seq}, the anchor was row {seq}: rows are missing", head.seq + 1
        )
    raise LedgerAltered(path, f"row {seq} is not the anchor's: the ledger was written anew up to there", seq)


def _check_objects(connection: sqlite3.Connection, path: Path, head: Head) -> None:
    found = {
        name: " ".join(sql.split())
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    }
    declared = {name: " ".join(sql.split()) for name, sql in TRIGGERS.items()}
    if found != declared:
        raise LedgerAltered(path, f"the triggers that keep it append-only were changed after row {head.seq}", None)
