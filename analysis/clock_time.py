"""Local times as a right clock would have shown them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.frames import Frames

CORRECTED = {"dose_event": ("start_local", "end_local")}
"""Tables that state a correction of the device's clock, and the times it applies to."""


class CorrectedFrames:
    """Frames whose dose times are the right local times: ``start_local`` plus ``clock_correction_s``.

    Rows keep their stored order, which is that of the times as shown. Where no clock was corrected nothing changes.
    """

    def __init__(self, stored: Frames) -> None:
        self._stored = stored

    def __call__(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        times = [name for name in CORRECTED.get(table, ()) if columns is None or name in columns]
        if not times:
            return self._stored(table, columns)
        asked = None if columns is None else list(dict.fromkeys([*columns, "clock_correction_s"]))
        frame = self._stored(table, asked)
        correction = pl.col("clock_correction_s")
        if frame.get_column("clock_correction_s").null_count() < frame.height:
            shift = pl.duration(seconds=correction.fill_null(0).cast(pl.Int64))
            frame = frame.with_columns((pl.col(name) + shift).alias(name) for name in times)
        return frame if columns is None else frame.select(columns)
