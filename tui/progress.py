"""The progress line of long work: on stderr, only when that is a terminal, one line that is written over."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tui.output import glyphs_for, page_width

SHORTEST_S = 0.25
"""Between two repaints: four a second are enough for a person and little for a slow line."""


class ProgressLine:
    """Call it with what is being done and, where known, how many of how many rows."""

    def __init__(self) -> None:
        self._stage = ""
        self._stage_began = time.monotonic()
        self._painted = 0.0
        self._glyphs = glyphs_for(sys.stderr)
        self._shown = sys.stderr.isatty()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        changed = stage != self._stage
        if changed:
            self._stage, self._stage_began = stage, now
        if self._shown and (changed or now - self._painted >= SHORTEST_S):
            self._painted = now
            self._paint(progress_text(stage, done, total, now - self._stage_began))

    def clear(self) -> None:
        """Leave no trace, so that what follows starts on an empty line."""
        if self._shown and self._painted:
            self._paint("")

    def _paint(self, text: str) -> None:
        width = page_width() - 1
        sys.stderr.write(f"\r{self._glyphs.cell(text, width)}\r")
        sys.stderr.flush()


def progress_text(stage: str, done: int, total: int, seconds: float) -> str:
    """`stage`, rows, and the time left once a twentieth is done (earlier it is a guess).

    >>> progress_text("reading pens.csv", 3_500_000, 7_000_000, 6.0)
    'reading pens.csv: 3,500,000 of 7,000,000 rows, about 6 s left'
    """
    if not done:
        return stage
    if not total:
        return f"{stage}: {done:,} rows"
    left = ""
    if done * 20 >= total and seconds > 1:
        remaining = round(seconds * (total - done) / done)
        left = f", about {remaining} s left" if remaining < 120 else f", about {round(remaining / 60)} min left"
    return f"{stage}: {done:,} of {total:,} rows{left}"


@contextmanager
def progress_line() -> Iterator[ProgressLine]:
    """A progress line that is gone when the work is, however it ends."""
    line = ProgressLine()
    try:
        yield line
    finally:
        line.clear()
