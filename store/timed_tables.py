"""Tables with moments in a device's local time: which columns hold them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

FIRST_YEAR = dt.datetime(2010, 1, 1)
LOST = f"TIMESTAMP '{FIRST_YEAR}'"
"""A device with a sequence of its own that shows an earlier time has lost its clock."""


@dataclass(frozen=True)
class TimedTable:
    """Columns of one table: the local start, its UTC, and the same of an end, where it has one."""

    start: str
    start_utc: str
    end: str | None = None
    end_utc: str | None = None


TIMED: dict[str, TimedTable] = {
    "dose_event": TimedTable("start_local", "start_utc", "end_local", "end_utc"),
    "device_event": TimedTable("start_local", "start_utc"),
    "wear_interval": TimedTable("start_local", "start_utc", "end_local", "end_utc"),
    "observation": TimedTable("observed_at", "observed_utc"),
}
"""Tables whose rows come off a device's clock and get UTC."""
