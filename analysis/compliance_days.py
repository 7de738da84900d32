"""Doses counted per subject, series and dosing day: what adherence over time is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.dose_log import Int32

Small = npt.NDArray[np.int16]


@dataclass(frozen=True)
class DayCounts:
    """Days of whole subjects, by subject, series and day. ``head``: first row of each series; ``owner``: its subject,
    drug and channel. ``day`` counts from 1970. A day has a row when a dose was planned or given.
    """

    head: list[int]
    owner: list[tuple[str, str | None, str | None]]
    day: Int32
    given: Small
    """Planned doses given, in time or late."""
    missed: Small
    held: Small
    unmonitored: Small
    extra: Small

    def series(self) -> Iterator[tuple[int, int, str, str | None, str | None]]:
        """(first row, row after the last, subject, drug, channel)."""
        ends = [*self.head[1:], self.day.size]
        for begin, end, owner in zip(self.head, ends, self.owner, strict=True):
            yield begin, end, *owner
