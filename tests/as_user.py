"""Run a function as another user of the system: a forked child that gives up root."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")


class ChildFailed(Exception):
    """What went wrong in the child; the text is its traceback."""


def run_as(uid: int, groups: tuple[int, ...], umask: int, function: Callable[[], Any]) -> Any:
    """What `function` returns, or raises, as `uid` with `groups` (the first is its primary one) under `umask`."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child starts none
        child = os.fork()
    if child == 0:
        os.close(reading)
        message = _outcome(uid, groups, umask, function)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(message)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        message = pipe.read()
    _, status = os.waitpid(child, 0)
    if not message:
        return -os.waitstatus_to_exitcode(status)  # killed: the signal
    value, error, text = pickle.loads(message)
    if error is not None:
        raise error from ChildFailed(text)
    return value


def _outcome(uid: int, groups: tuple[int, ...], umask: int, function: Callable[[], Any]) -> bytes:
    try:
        os.setgroups(groups)
        os.setgid(groups[0])
        os.setuid(uid)
        os.umask(umask)
        os.chdir("/")
        return pickle.dumps((function(), None, ""))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        return pickle.dumps((None, error, traceback.format_exc()))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that every user may enter and write to (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="dosetrail-users-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
