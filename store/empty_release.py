"""A new, empty release file: every type, table, view, macro and comment, and no row.

Making one takes a second, as long as a small import itself, so it is made once for each version of the schema and
copied after: kept in the process, and between processes in ``$XDG_CACHE_HOME/dosetrail`` (``~/.cache``) of the account.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import write_error
from store.schema import schema_statements
from store.views import view_statements

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION = "v1.4.0"
"""Files that DuckDB 1.4, 1.5 and 2 open."""

MEMORY_LIMIT = "2000MB"
"""Of DuckDB while rows are stored: sorting seven million doses within 1,400 MB spills, a third more time."""

MOST_KEPT = 8
"""Empty files kept for an account: two for each version of the schema."""


def open_empty_release(path: Path, *, constraints: bool = True) -> duckdb.DuckDBPyConnection:
    """Create the file with the whole schema; returns a read-write connection that spills into the file's folder.

    ``constraints=False`` leaves out NOT NULL and CHECK: the blinded half has NULL wherever a column is withheld.
    """
    if constraints not in _made:
        _made[constraints] = _empty_file(path, constraints=constraints)
    try:
        path.write_bytes(_made[constraints])
    except OSError as error:
        raise write_error(error, "The new release") from error
    return _connect(path)


_made: dict[bool, bytes] = {}
"""The empty files of this process, by ``constraints``: half a megabyte each."""


def _empty_file(path: Path, *, constraints: bool) -> bytes:
    """The empty file, kept or made; ``path`` is where it may be made."""
    import duckdb

    sql = "; ".join((*schema_statements(constraints=constraints), *view_statements()))
    schema = hashlib.sha256(f"{duckdb.__version__} {STORAGE_VERSION} {sql}".encode()).hexdigest()[:24]
    kept = _read_kept(schema)
    if kept is None:
        with _connect(path) as con:
            con.execute(f"BEGIN; {sql}; COMMIT")
        kept = path.read_bytes()
        _keep(schema, kept)
    return kept


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dosetrail"


def _read_kept(schema: str) -> bytes | None:
    """The kept file of this schema; None for none, or for one that is not what its name says."""
    try:
        for path in _folder().glob(f"empty-{schema}-*.duckdb"):
            content = path.read_bytes()
            if path.name == _file_name(schema, content):
                return content
    except (OSError, RuntimeError):  # RuntimeError: an account without a home
        pass
    return None


def _keep(schema: str, content: bytes) -> None:
    """Keep it for the next process; an account that cannot makes it again each time."""
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as new:
            written = Path(new, _file_name(schema, content))
            written.write_bytes(content)
            written.replace(folder / written.name)
        newest = sorted(folder.glob("empty-*.duckdb"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[MOST_KEPT:]:
            path.unlink()
    except (OSError, RuntimeError):
        pass


def _file_name(schema: str, content: bytes) -> str:
    return f"empty-{schema}-{hashlib.sha256(content).hexdigest()[:24]}.duckdb"


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
