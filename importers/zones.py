"""Local time to UTC for a zone the protocol names, as a SQL expression over a TIMESTAMP.

The rules come from Python's zone data (package tzdata), not from DuckDB's, so a release does not depend on which
DuckDB made it. An hour that exists twice counts as its first occurrence, one that does not exist as if the clock had
not been changed yet (PEP 495, fold=0); both are marked uncertain.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache

FIRST_YEAR = 2010
LAST_YEAR = 2050
OFFSET_BASE = 1000
"""Added to an offset before it is packed with its flag, so that the code is never negative."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Stretch:
    """Local time from ``start`` on (until the next stretch) is ``offset_min`` minutes ahead of UTC."""

    start: dt.datetime
    offset_min: int
    uncertain: bool


@lru_cache(maxsize=8)
def zone_stretches(zone: str) -> tuple[Stretch, ...]:
    """Stretches of local time of an IANA zone from 2010 to 2050, in order; the first holds for all time before."""
    info = zoneinfo.ZoneInfo(zone)
    at = dt.datetime(FIRST_YEAR, 1, 1, tzinfo=dt.UTC)
    end = dt.datetime(LAST_YEAR, 1, 1, tzinfo=dt.UTC)
    before = _offset_at(info, at)
    stretches = [Stretch(dt.datetime.min, before, False)]
    while at < end:
        after = _offset_at(info, at + _DAY)
        if after != before:
            change = _change_between(info, at, at + _DAY).replace(tzinfo=None)
            low, high = sorted((before, after))
            # The local hours between both readings of the change either do not exist or exist twice.
            stretches.append(Stretch(change + dt.timedelta(minutes=low), before, True))
            stretches.append(Stretch(change + dt.timedelta(minutes=high), after, False))
            before = after
        at += _DAY
    return tuple(stretches)


def offset_code_sql(local: str, zone: str) -> str:
    """SQL SMALLINT for a TIMESTAMP expression: twice (offset from UTC in minutes + OFFSET_BASE), plus 1 if uncertain.

    A binary tree of comparisons, seven or eight for each row.
    """
    stretches = zone_stretches(zone)
    return f"CAST({_tree(local, stretches)} AS SMALLINT)"


def _tree(local: str, stretches: tuple[Stretch, ...]) -> str:
    if len(stretches) == 1:
        return str((stretches[0].offset_min + OFFSET_BASE) * 2 + stretches[0].uncertain)
    middle = len(stretches) // 2
    edge = stretches[middle].start.isoformat(sep=" ")
    return (
        f"CASE WHEN {local} IS NULL THEN NULL WHEN {local} < TIMESTAMP '{edge}' "
        f"THEN {_tree(local, stretches[:middle])} ELSE {_tree(local, stretches[middle:])} END"
    )


def _offset_at(info: zoneinfo.ZoneInfo, at: dt.datetime) -> int:
    offset = at.astimezone(info).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() / 60)


def _change_between(info: zoneinfo.ZoneInfo, low: dt.datetime, high: dt.datetime) -> dt.datetime:
    """The minute (UTC) in (low, high] from which the offset of ``high`` holds."""
    target = _offset_at(info, high)
    while high - low > dt.timedelta(minutes=1):
        middle = low + (high - low) / 2
        middle = middle.replace(second=0, microsecond=0)
        if middle <= low:
            middle = low + dt.timedelta(minutes=1)
        low, high = (low, middle) if _offset_at(info, middle) == target else (middle, high)
    return high
