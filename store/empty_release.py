"""A new, empty release file: every type, table, view, macro and comment, and no row.

Writing 1,400 comments takes half of what a small import takes, so a process makes the file once and copies it after.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import write_error
from store.schema import create_all
from store.views import create_views

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION = "v1.4.0"
"""Files that DuckDB 1.4, 1.5 and 2 open."""

MEMORY_LIMIT = "2000MB"
"""Of DuckDB while rows are stored: sorting seven million doses within 1,400 MB spills, a third more time."""


def open_empty_release(path: Path, *, constraints: bool = True) -> duckdb.DuckDBPyConnection:
    """Create the file with the whole schema; returns a read-write connection that spills into the file's folder.

    ``constraints=False`` leaves out NOT NULL and CHECK: the blinded half has NULL wherever a column is withheld.
    """
    if constraints in _made:
        try:
            path.write_bytes(_made[constraints])
        except OSError as error:
            raise write_error(error, "The new release") from error
        return _connect(path)
    with _connect(path) as con:
        con.execute("BEGIN")
        create_all(con, constraints=constraints)
        create_views(con)
        con.execute("COMMIT")
    _made[constraints] = path.read_bytes()
    return _connect(path)


_made: dict[bool, bytes] = {}
"""The empty files this process has made, by ``constraints``: half a megabyte each."""


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect(
        str(path),
        config={
            "storage_compatibility_version": STORAGE_VERSION,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(path.parent / "spill"),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    return con
