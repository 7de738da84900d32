"""Where text that must be unpacked or rewritten goes while a file is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


@contextmanager
def scratch_folder(con: duckdb.DuckDBPyConnection) -> Iterator[Path]:
    """A temporary folder beside the connection's spill folder: a release in the making, so a killed run is swept.

    A connection without one (its default is a relative path) gets a folder of the system's.
    """
    ((setting,),) = con.execute("SELECT current_setting('temp_directory')").fetchall()
    spill = Path(setting or "")
    beside = spill.parent if spill.is_absolute() and spill.parent.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="reading-", dir=beside) as folder:
        yield Path(folder)
