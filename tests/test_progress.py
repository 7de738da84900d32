"""Long work says how far it is: share of a statement, rows, time left."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest
from studies import few_files, new_study

from store import statement_progress
from store.statement_progress import following
from tui.pipeline import import_paths
from tui.progress import progress_text
from tui.release_files import estimate_rows


def test_a_statement_is_followed_from_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_progress, "BETWEEN_S", 0.01)
    shares: list[float] = []
    with duckdb.connect() as con, following(con, shares.append):
        con.execute("CREATE TABLE t AS SELECT *, hash(i) AS h FROM range(20_000_000) r(i) ORDER BY h")
    assert len(shares) > 3 and shares == sorted(shares) and 0 < shares[0] < shares[-1] < 1


def test_a_connection_closed_meanwhile_ends_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_progress, "BETWEEN_S", 0.001)
    asked, escaped = threading.Event(), []
    monkeypatch.setattr(threading, "excepthook", escaped.append)

    class Closed:
        """A connection that was closed by the thread that waits for it."""

        def execute(self, sql: str) -> None: ...

        def query_progress(self) -> float:
            asked.set()
            raise duckdb.ConnectionException("Connection Error: Connection already closed!")

    with following(Closed(), lambda share: None):  # type: ignore[arg-type]
        assert asked.wait(30)
    assert escaped == []


def test_an_import_says_what_it_does_and_how_many_rows_are_through(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    import_paths(new_study(tmp_path / "study"), few_files(tmp_path), lambda *call: told.append((*call, 0, 0)[:3]))
    stages = [stage for stage, _, _ in told]
    assert stages.index("archiving dm.ndjson") < stages.index("reading ec.ndjson") < stages.index("storing dose_event")
    assert max(done for stage, done, _ in told if stage == "computing results") > 30


def test_rows_are_estimated_from_the_first_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("".join(f"{number:07d},ten bytes\n" for number in range(50_000)))
    assert abs(estimate_rows(log) - 50_000) < 100
    log.write_bytes(b"PAR1\0\0\n")
    assert estimate_rows(log) == 0


def test_time_left_is_said_once_it_is_no_guess() -> None:
    assert progress_text("reading a.csv", 1, 100, 10.0) == "reading a.csv: 1 of 100 rows"
    assert progress_text("reading a.csv", 25, 100, 10.0) == "reading a.csv: 25 of 100 rows, about 30 s left"
