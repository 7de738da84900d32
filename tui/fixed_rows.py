"""Rows that are held in memory: short lists that were computed, not stored."""

from __future__ import annotations

from collections.abc import Sequence

from tui.widgets.row_table import Row


class FixedRows:
    """A list of rows in its order."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    @property
    def count(self) -> int:
        return len(self._rows)

    def fetch(self, start: int, stop: int) -> list[Row]:
        """Rows at positions `start` to `stop` (exclusive)."""
        return list(self._rows[start:stop])

    def position(self, row_id: int) -> int | None:
        """Where a row stands; None when it is not among them."""
        return next((place for place, row in enumerate(self._rows) if row.row_id == row_id), None)
