"""Errors for people: what happened, what it did to the data, what to do.

Every error carries its facts as attributes, so `--json` prints them instead of a sentence to be parsed. The
exit code belongs to the class; the codes are a promise to scripts and are listed in the README.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from typing import ClassVar

NOTHING_CHANGED = "Nothing was changed."

# A file-size limit (ulimit -f) answers EFBIG where a full disk answers ENOSPC and a quota EDQUOT: to the
# person in front of it the three are one thing, no room.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM_TEXTS = (
    "no space left on device",
    "database or disk is full",
    "disk quota exceeded",
    "file too large",
)


class DosetrailError(Exception):
    """Base of everything the program says instead of a traceback.

    `message` is what happened, `effect` what it did to the data, `remedy` what to do; further keyword
    arguments are facts (path, line, key ...) that `attrs()` hands to `--json`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, effect: str = NOTHING_CHANGED, remedy: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.effect = effect
        self.remedy = remedy
        self.facts: Mapping[str, object] = facts

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not travel between processes by themselves.
        return _restored, (type(self), self.message, self.__dict__)

    def attrs(self) -> dict[str, object]:
        """The error as plain values, ready for json.dumps: facts that JSON has no word for become text."""
        facts = {
            name: value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in self.facts.items()
        }
        return {
            "error": type(self).__name__,
            "exit_code": self.exit_code,
            "message": self.message,
            "effect": self.effect,
            "remedy": self.remedy,
            **facts,
        }


def _restored(kind: type[DosetrailError], message: str, state: dict[str, object]) -> DosetrailError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class UsageProblem(DosetrailError):
    """The command asks for something that cannot be done as asked."""

    exit_code = 2


class NotAllowed(UsageProblem):
    """This user may not do that to this study (not its owner, not in its group)."""


class NoStudy(DosetrailError):
    """The folder holds no study."""

    exit_code = 10


class ImportRunning(DosetrailError):
    """Another import holds the study. Facts: pid, host, user, since."""

    exit_code = 11


class DiskFull(DosetrailError):
    """No room left on the disk, a quota is used up, or a file-size limit is reached."""

    exit_code = 13


class IntegrityFailure(DosetrailError):
    """What is stored is not what was stored: an altered ledger, a damaged source, a foreign file in a
    release.
    """

    exit_code = 14


class LayoutChanged(DosetrailError):
    """A source has other columns than the ones its mapping was approved for."""

    exit_code = 15


class LockedData(DosetrailError):
    """The change would alter data that a lock has closed."""

    exit_code = 16


class FileRefused(DosetrailError):
    """One file could not be taken; the others of the run are not touched by it."""

    exit_code = 1


class WriteFailed(DosetrailError):
    """The disk or its permissions refused a write for another reason than room."""

    exit_code = 1


def is_disk_full(error: BaseException) -> bool:
    """Whether an OS, SQLite or DuckDB error means that there is no room.

    DuckDB and polars wrap the errno in a sentence, so their text is read. SQLite reports a full disk as FULL
    but a quota or a file-size limit as a failed write (it keeps the errno to itself), which therefore counts
    as no room.
    """
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    if isinstance(error, sqlite3.OperationalError):
        name = getattr(error, "sqlite_errorname", "") or ""
        return name in {"SQLITE_FULL", "SQLITE_IOERR_WRITE"}
    return any(text in str(error).lower() for text in _NO_ROOM_TEXTS)


def write_error(error: OSError | sqlite3.Error, what: str, *, effect: str = NOTHING_CHANGED) -> DosetrailError:
    """The error to raise in place of a failed write. `what` completes "could not be written", e.g. "The
    ledger".
    """
    if is_disk_full(error):
        return DiskFull(
            f"{what} could not be written: no room left (disk full, quota used up or file-size limit).",
            effect=effect,
            remedy="Free space (df -h, quota and ulimit -f show which limit it is), then run it again.",
            cause=str(error),
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return WriteFailed(
        f"{what} could not be written: {reason}.",
        effect=effect,
        remedy="Check the disk and the permissions of the study folder, then run the command again.",
        cause=str(error),
    )
