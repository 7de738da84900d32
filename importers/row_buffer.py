"""Rows gathered one by one, handed to the log in one frame per table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from importers.device_log import DeviceLog


class RowBuffer:
    """``add`` rows of canonical tables, ``flush`` once before the log is read."""

    def __init__(self, log: DeviceLog) -> None:
        self._log = log
        self._rows: dict[str, list[Mapping[str, Any]]] = {}

    def add(self, table: str, *rows: Mapping[str, Any]) -> None:
        self._rows.setdefault(table, []).extend(rows)

    def flush(self) -> None:
        for table, rows in self._rows.items():
            self._log.add_rows(table, rows)
        self._rows.clear()
