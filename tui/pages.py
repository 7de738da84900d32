"""The app's only door to a release: DuckDB, read-only, in pages.

The release is attached to an in-memory database, so nothing locks or changes it and a newer release can be published
meanwhile. A view of each canonical table stands beside it with every column of the schema: a column that a blinded
release withholds reads NULL, and no screen has to ask. Lists are materialised once and shown through order tables of
row ids, so a page costs a few milliseconds whatever the filter and the sort order are.

DuckDB refuses two calls on one connection at a time; every thread therefore gets its own cursor. One of its connections
costs about 1 ms.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from tui.filters import Condition, Field, read_filter
from tui.widgets.row_table import Row

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any]

PASSING_LISTS_KEPT = 6
"""Materialised lists of patients held at once; those left first are forgotten first."""

STRETCH = 200_000
"""Rows put in order at a time where a list is filtered and not sorted."""

TABLES_READ = (
    "subject",
    "site",
    "arm",
    "treatment_period",
    "population",
    "device",
    "device_assignment",
    "device_event",
    "dose_event",
    "dose_match",
    "planned_dose",
    "exposure",
    "adverse_event",
    "adverse_event_derived",
    "disposition",
    "monitoring_interval",
    "source_file",
    "quarantine",
    "result",
    "query",
    "finding",
    "safety_report",
    "deviation_recorded",
    "unblinding",
    "device_movement",
    "consent_withdrawal",
    "accountability",
    "consent",
    "planned_visit",
    "visit",
    "observation",
    "wear_interval",
    "control_total",
    "upload_interval",
    "study_setting",
    "build_info",
)


class ReleaseUnreadable(Exception):
    """The release cannot be opened or read; the text says why and what to do."""


@dataclass(frozen=True)
class Source:
    """What a list is made of: a query over the canonical tables, and its fields in the order of the query."""

    sql: str
    fields: tuple[Field, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    """Values of the query's $names."""
    key: tuple[str, ...] = ()
    """Fields that tell a row from all others, in every release."""
    lasting: bool = False
    """Held until the release is closed: the list of a place, to which one comes back."""
    stored: bool = False
    """One row of a stored table each, `row_id` first: read where it stands instead of being materialised, so a
    million rows cost what a page costs."""


@dataclass(frozen=True)
class Wish:
    """How a list should be shown."""

    filter: str = ""
    sort: str = ""
    """Key of the field to sort by; empty for the order of the source."""
    descending: bool = False


class Pages:
    """One open release. Raises ReleaseUnreadable when the file is missing, damaged or no release."""

    def __init__(self, release: Path) -> None:
        self.file = release
        # One thread, here and in DuckDB below: keys and looks for news wait for each other anyway, and memory that one
        # thread has freed is not used again by another. A filter over a million rows takes 0.3 s instead of 0.2.
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pages")
        self._local = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._names = iter(range(1, 1_000_000_000))
        self._lists: OrderedDict[Source, str] = OrderedDict()
        self._lists_lock = threading.Lock()
        self._dropped: list[str] = []
        try:
            self._connection = duckdb.connect(
                ":memory:",
                config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 1},
            )
            path = str(release).replace("'", "''")
            self._connection.execute(f"ATTACH '{path}' AS release (READ_ONLY)")
            self._make_views()
        except duckdb.Error as error:
            raise ReleaseUnreadable(
                f"The release {release} cannot be read ({_first_line(error)}). Nothing was changed. "
                "`dosetrail status` says which release is current; `dosetrail rebuild` makes it again."
            ) from error
        # No query of the app reads another file; a mistake in one must not be able to either.
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        number, state = self.query("SELECT release, blinding_state FROM build_info")[0]
        self.release = int(number)
        self.state: str = state
        """Of the trial: open or blinded."""
        # Both files of a blinded trial say so; the one that still names its arms is the unblinded role's.
        self.blinded = state == "blinded" and self.query("SELECT count(arm_code) FROM arm")[0][0] == 0
        """Arms, treatments and amounts are withheld; figures are pooled."""

    def close(self) -> None:
        """Let the file go."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for cursor in self._cursors:
            cursor.close()
        self._connection.close()

    def query(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, on the calling thread's own cursor. Raises ReleaseUnreadable."""
        return self._execute(sql, parameters).fetchall()

    def records(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """All rows of a query as column name to value. Raises ReleaseUnreadable."""
        cursor = self._execute(sql, parameters)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    async def run(self, job: Callable[[], T]) -> T:
        """Do `job` on a thread, so that the screen stays alive; the keys typed meanwhile wait their turn."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def run_now(self, job: Callable[[], T]) -> T:
        """Do `job` on the same thread before there is a screen to keep alive."""
        return self._threads.submit(job).result()

    def open_list(self, source: Source, wish: Wish) -> PagedRows:
        """The rows of `source` as wished. Raises FilterProblem for a filter that cannot be understood."""
        condition = read_filter(wish.filter, source.fields)
        with self._lists_lock:
            while self._dropped:
                self.query(f"DROP TABLE {self._dropped.pop()}")
            rows = (
                f"({source.sql})" if source.stored else f"(SELECT rowid AS row_id, * FROM {self._materialised(source)})"
            )
            return PagedRows(self, rows, self._order_table(rows, condition, wish))

    def list_table(self, source: Source) -> str:
        """Name of the table that holds the rows of a list, for a query that follows at once.

        It is made where it is not there; another list, or `renew`, may drop it later.
        """
        with self._lists_lock:
            return self._materialised(source)

    def renew(self, source: Source) -> None:
        """Read a list anew when it is opened next: what it is made of has changed."""
        with self._lists_lock:
            table = self._lists.pop(source, None)
            if table is not None:
                self._dropped.append(table)

    def forget(self, order: str) -> None:
        """Drop the order table of rows that nobody looks at any more."""
        self._dropped.append(order)

    def _execute(self, sql: str, parameters: Parameters = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._cursor().execute(sql, parameters)
        except duckdb.Error as error:
            raise ReleaseUnreadable(
                f"The release could not be read ({_first_line(error)}). Nothing was changed; "
                "`dosetrail verify` checks it"
            ) from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._connection.cursor()
            self._cursors.append(cursor)
        return cursor

    def _materialised(self, source: Source) -> str:
        table = self._lists.get(source)
        if table is None:
            table = f"list_{next(self._names)}"
            self._execute(f"CREATE TABLE {table} AS {source.sql}", dict(source.parameters))
            self._lists[source] = table
            passing = [source for source in self._lists if not source.lasting]
            if len(passing) > PASSING_LISTS_KEPT:
                self.query(f"DROP TABLE {self._lists.pop(passing[0])}")
        else:
            self._lists.move_to_end(source)
        return table

    def _order_table(self, rows: str, condition: Condition, wish: Wish) -> str | None:
        if not condition.sql and not wish.sort:
            return None
        where = f"WHERE ({condition.sql})" if condition.sql else ""
        order = f"order_{next(self._names)}"
        parameters = list(condition.parameters)
        if wish.sort:
            by = f'"{wish.sort}" {"DESC" if wish.descending else "ASC"} NULLS LAST, row_id'
            self._execute(f"CREATE TABLE {order} AS SELECT row_id FROM {rows} {where} ORDER BY {by}", parameters)
            return order
        # Stretch by stretch: most rows of a million may match the first letter typed, and sorting them all at once
        # takes 40 MB.
        self.query(f"CREATE TABLE {order} (row_id BIGINT)")
        end = self.query(f"SELECT coalesce(max(row_id) + 1, 0) FROM {rows}")[0][0]
        for first in range(0, end, STRETCH):
            self._execute(
                f"INSERT INTO {order} SELECT row_id FROM {rows} {where} AND row_id >= {first} "
                f"AND row_id < {first + STRETCH} ORDER BY row_id",
                parameters,
            )
        return order

    def _make_views(self) -> None:
        from store.tables import TABLES
        from store.vocabulary import VOCABULARIES

        held: dict[str, set[str]] = {}
        for table, column in self._connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE database_name = 'release' AND schema_name = 'main'"
        ).fetchall():
            held.setdefault(table, set()).add(column)
        if "subject" not in held or "build_info" not in held:
            raise ReleaseUnreadable(
                f"{self.file} is no dosetrail release. Nothing was changed. "
                "`dosetrail status` says which release is current."
            )
        for name in TABLES_READ:
            columns = ["rowid AS row_id"] if name in held else ["0 AS row_id"]
            for column in TABLES[name].columns:
                kind = "VARCHAR" if column.type in VOCABULARIES else column.type
                held_here = column.name in held.get(name, ())
                columns.append(f'"{column.name}"' if held_here else f'NULL::{kind} AS "{column.name}"')
            rows = f"FROM release.main.{name}" if name in held else "WHERE false"
            self._connection.execute(f"CREATE VIEW {name} AS SELECT {', '.join(columns)} {rows}")


class PagedRows:
    """The rows of one list in one order; reads a page on the calling thread."""

    def __init__(self, pages: Pages, rows: str, order: str | None) -> None:
        self._pages = pages
        self._rows = rows
        self._order = order
        self._count = int(pages.query(f"SELECT count(*) FROM {order or rows}")[0][0])

    def __del__(self) -> None:
        if self._order is not None:
            self._pages.forget(self._order)

    @property
    def count(self) -> int:
        return self._count

    def fetch(self, start: int, stop: int) -> list[Row]:
        """Rows at positions `start` to `stop` (exclusive)."""
        if self._order is None:
            sql = f"SELECT * FROM {self._rows} WHERE row_id >= ? AND row_id < ? ORDER BY row_id"
        else:
            # Positions are the row ids of the order table, so only the row groups of the page are read.
            sql = (
                f"SELECT list.* FROM (SELECT rowid AS place, row_id FROM {self._order} "
                f"WHERE rowid >= ? AND rowid < ?) AS page JOIN {self._rows} AS list USING (row_id) ORDER BY place"
            )
        return [Row(row_id, tuple(values)) for row_id, *values in self._pages.query(sql, (start, stop))]

    def count_values(self, key: str) -> list[tuple[Any, int]]:
        """The values of a field and in how many rows each stands, the most frequent first, 1,000 at most."""
        rows = (
            f"(SELECT list.* FROM {self._order} JOIN {self._rows} AS list USING (row_id))"
            if self._order
            else self._rows
        )
        found = self._pages.query(f'SELECT "{key}", count(*) FROM {rows} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1000')
        return [(value, int(count)) for value, count in found]

    def find(self, key: Mapping[str, Any]) -> int | None:
        """Where the row with these values of its key fields stands; None when it is not among the rows."""
        same = " AND ".join(f'"{name}" IS NOT DISTINCT FROM ?' for name in key)
        found = self._pages.query(f"SELECT row_id FROM {self._rows} WHERE {same} LIMIT 1", list(key.values()))
        return self.position(int(found[0][0])) if found else None

    def position(self, row_id: int) -> int | None:
        """Where a row stands in this order."""
        if self._order is None:
            return row_id if row_id < self._count else None
        found = self._pages.query(f"SELECT rowid FROM {self._order} WHERE row_id = ?", (row_id,))
        return int(found[0][0]) if found else None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
