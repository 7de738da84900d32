"""One importer at a time: a lock that a killed process leaves by itself, and that says who holds it.

The lock is flock on `.import.lock` in the study folder; the kernel drops it when its holder ends, however it ends. A
child process forked while the lock is held inherits it, so workers of an import are spawned, not forked.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from store.errors import ImportRunning, write_error
from store.permissions import set_mode, user_name
from store.study import Study

# `running_import` holds the lock for an instant to see whether it is free; an import starting just then waits it out.
_PROBE_GRACE_S = 0.3
_RETRY_S = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """Who imports. `since`: UTC, ISO 8601."""

    pid: int
    host: str
    user: str
    since: str


# Studies whose lock this process holds, and the thread that holds it.
_held: dict[Path, int] = {}


@contextmanager
def import_lock(study: Study, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the import lock of `study` for the block, waiting up to `wait_s` seconds for another import to end.

    A thread that holds it already goes on at once. Raises NotAllowed for anybody but the study's owner, ImportRunning
    when the wait was in vain.
    """
    if holds_import_lock(study):
        yield
        return
    study.require_owner("import and make releases")
    try:
        descriptor = os.open(study.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise write_error(error, "The import lock") from error
    try:
        deadline = time.monotonic() + max(wait_s, _PROBE_GRACE_S)
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise _running(study, _read_holder(descriptor))
            time.sleep(_RETRY_S)
        # Readable by all, so that `status` can say who imports; writable by the owner, so that only an owner imports.
        try:
            set_mode(study.lock_path, 0o644)
            _write_holder(descriptor)
        except OSError as error:
            raise write_error(error, "The import lock") from error
        _held[study.root] = threading.get_ident()
        try:
            yield
        finally:
            del _held[study.root]
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holds_import_lock(study: Study) -> bool:
    """Whether this thread is inside `import_lock` of the study."""
    return _held.get(study.root) == threading.get_ident()


def running_import(study: Study) -> Holder | None:
    """Who is importing into `study` at this moment, None if nobody is. Any user who may read the folder can ask."""
    try:
        descriptor = os.open(study.lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        return _read_holder(descriptor) or Holder(0, "", "", "")
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(descriptor: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = Holder(os.getpid(), socket.gethostname(), user_name(os.geteuid()), now)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
    except OSError as error:
        raise write_error(error, "The import lock") from error


def _read_holder(descriptor: int) -> Holder | None:
    """None while the holder has not written its name yet."""
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _running(study: Study, holder: Holder | None) -> ImportRunning:
    who = f" by {holder.user} on {holder.host} (process {holder.pid}), since {holder.since}" if holder else ""
    return ImportRunning(
        f"Another import into {study.root} is running{who}.",
        remedy="Wait until it has ended, then run the command again.",
        study=study.root,
        **(asdict(holder) if holder else {}),
    )
