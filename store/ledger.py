"""The ledger: who did what, when and why; append-only, hash-chained, in SQLite.

The current state of assignments, queries and notes is a view over these rows, so audit trail and data cannot
disagree. Triggers refuse UPDATE, DELETE and REPLACE: that stops mistakes, not a user who may write the file.
Alteration is detected by the chain (`store.ledger_chain`) and by an anchor, a head hash printed earlier.

SQLite runs with a rollback journal, because readers of a WAL need write permission, and with
synchronous=FULL. The journal is truncated, not deleted: SQLite syncs that, so a commit survives a power loss,
and the journal file keeps the group it was made with. A deleted journal comes back with the group of its
folder, where the pages of an unblinded ledger would be open to the blinded. Appends run in BEGIN IMMEDIATE
and compute the hash inside it; a deferred transaction failed 532 times of 600 under ten writers.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from store.errors import DosetrailError, IntegrityFailure, NotAllowed, UsageProblem, write_error
from store.ledger_chain import (
    COLUMNS,
    GENESIS,
    TRIGGERS,
    Head,
    LedgerRow,
    check_chain,
    read_row,
    row_hash,
)
from store.permissions import set_mode, sync_folder, user_name

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

_APPLICATION_ID = 0x44544C31  # "DTL1": `file ledger.sqlite` shows it
_BUSY_TIMEOUT_S = 30.0
_COPY_ATTEMPTS = 5
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM ledger"
_INSERT = f"INSERT INTO ledger ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

# Forward only: statement lists by the user_version they lead to. A change is a new entry, never an edit.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE ledger (
            seq       INTEGER PRIMARY KEY CHECK (seq >= 1),
            utc_us    INTEGER NOT NULL CHECK (typeof(utc_us) = 'integer'),
            user      TEXT NOT NULL CHECK (typeof(user) = 'text'),
            uid       INTEGER NOT NULL CHECK (typeof(uid) = 'integer'),
            sudo_uid  INTEGER CHECK (typeof(sudo_uid) IN ('integer', 'null')),
            role      TEXT CHECK (typeof(role) IN ('text', 'null')),
            host      TEXT NOT NULL CHECK (typeof(host) = 'text'),
            action    TEXT NOT NULL CHECK (typeof(action) = 'text' AND action <> ''),
            record    TEXT NOT NULL CHECK (typeof(record) = 'text'),
            field     TEXT CHECK (typeof(field) IN ('text', 'null')),
            old       TEXT CHECK (typeof(old) IN ('text', 'null')),
            new       TEXT CHECK (typeof(new) IN ('text', 'null')),
            reason    TEXT CHECK (typeof(reason) IN ('text', 'null')),
            prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
            hash      TEXT NOT NULL CHECK (length(hash) = 64)
        )""",
        *TRIGGERS.values(),
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to record. `old` and `new` are JSON values; exact decimals are passed as text.

    `record` names what it is about (`source/<sha256>`, `release/000042`, `query/17`), `field` the part of it
    that changed.
    """

    action: str
    record: str
    field: str | None = None
    old: JsonValue = None
    new: JsonValue = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who appends: the account of the process and, under sudo, the uid of the person behind it (as sudo
    says).
    """

    user: str
    uid: int
    sudo_uid: int | None
    host: str


def current_actor() -> Actor:
    uid = os.geteuid()
    sudo = os.environ.get("SUDO_UID", "")
    return Actor(user_name(uid), uid, int(sudo) if sudo.isdecimal() else None, socket.gethostname())


class Ledger:
    """A ledger file. Every call opens its own short connection, so any thread may use an instance."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *, mode: int, gid: int | None = None) -> Ledger:
        """Make an empty ledger. File and journal get mode and group before they hold a byte."""
        ledger = cls(path)
        try:
            for file in (path, ledger._journal):
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                set_mode(file, mode, gid)
            with ledger._writing() as connection:
                _migrate(connection, path)
            sync_folder(path.parent)
        except FileExistsError as error:
            raise UsageProblem(f"{path} already exists.", remedy="Open the study that is there.", path=path) from error
        except OSError as error:
            raise write_error(error, f"The ledger {path}") from error
        return ledger

    def append(
        self,
        entries: Sequence[Entry],
        *,
        role: str | None = None,
        actor: Actor | None = None,
        before_commit: Callable[[], None] | None = None,
    ) -> Head:
        """Append all `entries` in one transaction, or none of them; returns the new head.

        `before_commit` runs inside the transaction after the rows are written; if it raises, nothing is
        appended. Without entries, returns the head as it is.

        Raises NotAllowed, DiskFull, WriteFailed; ValueError for a NaN or infinity among the values.
        """
        if not entries:
            return self.head()
        who = actor or current_actor()
        with self._writing() as connection:
            _migrate(connection, self.path)
            connection.execute("BEGIN IMMEDIATE")
            head = _head(connection)
            utc_us = time.time_ns() // 1000
            rows = []
            for entry in entries:
                row = LedgerRow(
                    seq=head.seq + 1,
                    utc_us=utc_us,
                    user=_text(who.user),
                    uid=who.uid,
                    sudo_uid=who.sudo_uid,
                    role=_text_or_null(role),
                    host=_text(who.host),
                    action=_text(entry.action),
                    record=_text(entry.record),
                    field=_text_or_null(entry.field),
                    old=_json(entry.old),
                    new=_json(entry.new),
                    reason=_text_or_null(entry.reason),
                    prev_hash=head.hash,
                    hash="",
                )
                row = row._replace(hash=row_hash(row))
                rows.append(row)
                head = Head(row.seq, row.hash)
            connection.executemany(_INSERT, rows)
            if before_commit is not None:
                before_commit()
            connection.execute("COMMIT")
        return head

    def read(self, since: int = 0, upto: int | None = None, actions: Sequence[str] = ()) -> list[LedgerRow]:
        """Rows with since < seq <= upto in order, of the given actions only (all, if none is named)."""
        condition = "seq > ? AND seq <= ?"
        if actions:
            condition += f" AND action IN ({', '.join('?' * len(actions))})"
        limit = 2**63 - 1 if upto is None else upto
        with self._reading() as connection:
            cursor = connection.execute(f"{_SELECT} WHERE {condition} ORDER BY seq", (since, limit, *actions))
            return [read_row(values) for values in cursor]

    def head(self) -> Head:
        """Sequence number and hash of the last row; (0, 64 zeros) for an empty ledger."""
        with self._reading() as connection:
            return _head(connection)

    def verify_chain(self, anchor: str | None = None) -> Head:
        """Check every row, and that the row named by `anchor` (HASH or HASH@SEQ) is still in the chain.

        Raises LedgerAltered, whose `first_bad_seq` is the first row that cannot be trusted (None where an
        anchor without a sequence number is not found).
        """
        with self._reading() as connection:
            return check_chain(connection, self.path, anchor)

    @property
    def _journal(self) -> Path:
        return self.path.with_name(self.path.name + "-journal")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._require_access(os.R_OK | os.W_OK)
        try:
            self._keep_journal()
            with closing(_connect(self.path, "rw")) as connection:
                connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
                connection.execute("PRAGMA synchronous = FULL")
                try:
                    yield connection
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as error:
            raise self._explained(error) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._require_access(os.R_OK)
        try:
            with self._open_for_reading() as connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._explained(error) from error

    @contextmanager
    def _open_for_reading(self) -> Iterator[sqlite3.Connection]:
        for _ in range(_COPY_ATTEMPTS):
            with closing(_connect(self.path, "ro")) as connection:
                if not _needs_rollback(connection):
                    yield connection
                    return
            if os.access(self.path, os.W_OK) and os.access(self._journal, os.W_OK):
                with closing(_connect(self.path, "rw")) as connection:
                    yield connection
                return
            # No permission to repair: roll back a private copy. If a writer repairs the original meanwhile,
            # the copy may be half of each, but then the original can be read.
            with tempfile.TemporaryDirectory(prefix="dosetrail-ledger-") as folder:
                copy = Path(folder) / self.path.name
                before = self._journal.stat()
                shutil.copyfile(self.path, copy)
                shutil.copyfile(self._journal, copy.with_name(self._journal.name))
                after = self._journal.stat()
                if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                    with closing(_connect(copy, "rw")) as connection:
                        yield connection
                    return
        raise sqlite3.OperationalError("the ledger's journal kept changing")

    def _keep_journal(self) -> None:
        # Another program may have deleted the journal; made again by SQLite it would get the folder's group.
        try:
            descriptor = os.open(self._journal, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        os.close(descriptor)
        model = self.path.stat()
        set_mode(self._journal, model.st_mode & 0o777, model.st_gid)

    def _require_access(self, access: int) -> None:
        if os.access(self.path, access, effective_ids=os.access in os.supports_effective_ids):
            return
        try:
            there = self.path.exists()
        except PermissionError:
            there = True
        if not there and os.access(self.path.parent, os.X_OK):
            raise IntegrityFailure(
                f"The ledger {self.path} is missing.",
                effect="Sources and releases are not touched, but who did what is not known without it.",
                remedy="Bring ledger/ back from the backup, then run: dosetrail verify --anchor HASH",
                path=self.path,
            )
        verb = "write to" if access & os.W_OK else "read"
        raise NotAllowed(
            f"{user_name(os.geteuid())} may not {verb} the ledger {self.path}.",
            remedy="Ask the study's owner to add your account to the study's group, then log in again.",
            path=self.path,
        )

    def _explained(self, error: sqlite3.Error | OSError) -> DosetrailError:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return DosetrailError(
                f"The ledger {self.path} has been locked by another process for {_BUSY_TIMEOUT_S:.0f} s.",
                remedy="Try again; if it stays locked, `fuser -v ledger/ledger.sqlite` names the process.",
                path=self.path,
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return IntegrityFailure(
                f"The ledger {self.path} is damaged: {error}.",
                effect="Nothing was changed; the damage was there before.",
                remedy="Bring ledger/ back from the backup, then run: dosetrail verify --anchor HASH",
                path=self.path,
            )
        return write_error(error, f"The ledger {self.path}")


def _connect(path: Path, access: str) -> sqlite3.Connection:
    # isolation_level=None: the module must not open transactions of its own accord.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={access}", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
    )
    # Text that is no UTF-8 (a damaged page) must reach the hash check, not end it.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def _needs_rollback(connection: sqlite3.Connection) -> bool:
    """Whether a killed append left its journal, which a read-only connection may not roll back."""
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
            raise
        return True
    return False


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == len(_MIGRATIONS):
        return
    if version > len(_MIGRATIONS):
        raise UsageProblem(
            f"The ledger {path} was made by a newer dosetrail: format {version}, known here: {len(_MIGRATIONS)}.",
            remedy="Update dosetrail on this machine.",
            path=path,
        )
    connection.execute("BEGIN EXCLUSIVE")
    # Read again: another process may have migrated while this one waited for the lock.
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute("COMMIT")


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, GENESIS)


def _json(value: JsonValue) -> str | None:
    if value is None:
        return None
    return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _text(value: str) -> str:
    # A file name that is no UTF-8 holds lone surrogates, which SQLite cannot store: \udcXX, spelt out, loses
    # nothing.
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _text_or_null(value: str | None) -> str | None:
    return None if value is None else _text(value)
