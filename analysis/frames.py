"""How study-level analyses see a study: tables by name, only the columns they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl


class Frames(Protocol):
    """Canonical tables of one release as polars frames, rows in the table's declared sort order."""

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The current rows of ``table``; ``columns`` limits what is read (a dose table can hold millions)."""


class DerivedFrames:
    """Frames of a study with derived tables laid over the stored ones: while a release is made, and for cut-offs."""

    def __init__(self, stored: Frames, derived: Mapping[str, pl.DataFrame]) -> None:
        self._stored = stored
        self._derived = derived

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        frame = self._derived.get(table)
        if frame is None:
            return self._stored(table, columns)
        return frame if columns is None else frame.select(columns)
