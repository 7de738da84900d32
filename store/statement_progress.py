"""How far a long statement of DuckDB is, asked from beside the thread that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import duckdb

BETWEEN_S = 0.5
"""Between two questions."""


class Progress(Protocol):
    """Takes what is being done and, where known, how many of how many rows are through."""

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None: ...


def quiet(stage: str, done: int = 0, total: int = 0) -> None:
    """Progress nobody watches."""


@contextmanager
def following(con: duckdb.DuckDBPyConnection, tell: Callable[[float], None]) -> Iterator[None]:
    """While the block runs, hand the share (0 to 1) of the statement that ``con`` is busy with to ``tell``."""
    con.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    ended = threading.Event()

    def ask() -> None:
        import duckdb

        while not ended.wait(BETWEEN_S):
            try:
                percent = con.query_progress()
            except duckdb.ConnectionException:
                return  # closed, so nothing is asked of it any more
            if 0 < percent < 100:
                tell(percent / 100)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
