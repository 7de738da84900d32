"""Ending at a named moment: killed by a test, by Ctrl-C during work, or asked to end while a commit is finished."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_KILL_VARIABLE = "DOSETRAIL_KILL_AT"


def checkpoint(step: str) -> None:
    """Test hook, without effect otherwise: a process started with DOSETRAIL_KILL_AT=`step` kills itself here."""
    if os.environ.get(_KILL_VARIABLE) == step:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM; SIGTERM is delivered afterwards. Only the main thread can do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if signal.SIGTERM in received:
            signal.raise_signal(signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Ctrl-C ends the block with KeyboardInterrupt, whatever a library makes of it.

    Raised inside a call into polars or DuckDB, KeyboardInterrupt can be swallowed there, or come out as an error of
    theirs. Yields a function that raises it where it was pressed and got lost; to be called between two steps of work.
    Only the main thread is told of Ctrl-C; in another the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    def complain(lost: sys.UnraisableHookArgs) -> None:
        if lost.exc_type is not KeyboardInterrupt:
            hook(lost)

    hook, sys.unraisablehook = sys.unraisablehook, complain
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        sys.unraisablehook = hook
