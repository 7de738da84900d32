"""Ctrl-C during a query: DuckDB looks for signals only between steps, and one step can take minutes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")


def run_interruptibly(con: duckdb.DuckDBPyConnection, job: Callable[[], T]) -> T:
    """Do `job` (queries on `con` and nothing else) on a thread; Ctrl-C stops the query and raises
    KeyboardInterrupt.
    """
    with ThreadPoolExecutor(max_workers=1) as threads:
        done = threads.submit(job)
        try:
            return done.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise
