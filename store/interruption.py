"""Ending at a named moment: killed by a test, or asked to end by Ctrl-C while a commit is being finished."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
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
