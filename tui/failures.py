"""How a command ends when it does not end well: three short lines for people, one document for `--json`, a
code.

No traceback reaches a user. What this program did not foresee gets a code and a file with the place in the
program and nothing of the study: no messages (they quote values), no local variables, no arguments.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

from store.errors import DiskFull, DosetrailError, UsageProblem, is_disk_full

INTERRUPTED = 130
CLOSED_OUTPUT = 141
"""128 + SIGPIPE, as a shell reports it for any program whose reader has gone."""


class Interrupted(DosetrailError):
    """Ctrl-C."""

    exit_code = INTERRUPTED

    def __init__(self) -> None:
        super().__init__("Interrupted.", effect="Nothing was changed.", remedy="Run the command again when ready.")


class Defect(DosetrailError):
    """Something this program did not foresee. `code` is the same wherever the same line fails in the same
    way.
    """

    def __init__(self, code: str, details: Path | None) -> None:
        where = f"Details (no study data) are in {details}" if details else "Details could not be written"
        super().__init__(
            f"A defect in dosetrail stopped the command [{code}].",
            effect="The published release is whole; `dosetrail status` says which one is current.",
            remedy=f"{where}; please report the code.",
            code=code,
            details=details,
        )


def explained(error: BaseException) -> DosetrailError:
    """`error` as one that people can read. Everything but DosetrailError is a defect, an interruption or a
    full disk.
    """
    if isinstance(error, DosetrailError):
        return error
    if isinstance(error, KeyboardInterrupt) or _is_interrupted_query(error):
        return Interrupted()
    if is_disk_full(error):
        return DiskFull(
            "No room left (disk full, quota used up or file-size limit).",
            remedy="Free space (`df -h`, `quota`, `ulimit -f` show which limit it is), then run the command again.",
        )
    if isinstance(error, PermissionError) and error.filename:
        return UsageProblem(
            f"{error.filename} may not be opened by this account.",
            remedy="Ask the study's owner for access, or name another file.",
            path=error.filename,
        )
    return _defect(error)


def as_lines(error: DosetrailError) -> list[str]:
    """What happened, what it did to the data, what to do."""
    if isinstance(error, Interrupted):
        return ["Interrupted, nothing changed."]
    if isinstance(error, Defect):
        return [f"{error.message} {error.effect} {error.remedy}"]
    return [error.message, error.effect, error.remedy]


def usage_problem(message: str, command: str) -> UsageProblem:
    """A command line that cannot be understood."""
    return UsageProblem(message, remedy=f"See: {command} --help", command=command)


def _is_interrupted_query(error: BaseException) -> bool:
    # DuckDB turns Ctrl-C during a query into this RuntimeError.
    return isinstance(error, RuntimeError) and str(error).startswith("Query interrupted")


def _defect(error: BaseException) -> Defect:
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    kinds = [f"{type(error).__module__}.{type(error).__qualname__}"]
    cause = error.__cause__ or error.__context__
    if cause is not None:
        kinds.append(f"from {type(cause).__module__}.{type(cause).__qualname__}")
    last = [f"{Path(frame.filename).name} {frame.name}" for frame in frames][-2:]
    code = "E-" + hashlib.sha256(repr((kinds[0], last)).encode()).hexdigest()[:6].upper()
    text = "\n".join(
        [f"dosetrail {code}", f"Python {platform.python_version()} on {sys.platform}", *kinds, *places, ""]
    )
    return Defect(code, _write_details(code, text))


def _write_details(code: str, text: str) -> Path | None:
    try:
        # Always a new file of our own: a name that can be guessed in a shared folder can be a trap.
        descriptor, name = tempfile.mkstemp(prefix=f"dosetrail-{code}-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)
