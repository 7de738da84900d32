"""The clock of a device within one log: local times in the order the device wrote them, with its own clock
changes taken out.

Durations and pairs are measured on this running time: at the end of summer time 01:41 follows 02:45, and a basal
rate that runs through the change lasts an hour longer than its local times say. The local times themselves are
never altered; clock changes stand in ``device_event`` (event ``clock_change``, ``detail`` is JSON with old_local
and new_local).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

CLOCK_CHANGE = "clock_change"
CLOCK_SET = "clock_set"
_NEXT_STAMP = dt.timedelta(seconds=120)
"""A device that stamps its first entry on the new clock does so within the minute it was set to."""


def clock_detail(old: dt.datetime | None, new: dt.datetime | None) -> str:
    """``detail`` of a clock change."""
    shown = {"old_local": old.isoformat() if old else None, "new_local": new.isoformat() if new else None}
    return json.dumps(shown)


def merge_clock_changes(rows: pl.DataFrame) -> list[dict[str, object]]:
    """Clock changes of a log that may state each of them twice: stamped on the old clock and again on the new one.

    ``rows``: line, seq (order of the device), at (stamp of the row), set_to. Returns rows with line, seq, event
    (clock_change, or clock_set for the second statement of a change), start_local, old, new.
    """
    found: list[dict[str, object]] = []
    entries = rows.sort("seq").iter_rows(named=True)
    last: dict[str, object] | None = None
    for row in entries:
        at, set_to = row["at"], row["set_to"]
        common = {"line": row["line"], "seq": row["seq"], "start_local": at}
        if last is not None and last["set_to"] == set_to and dt.timedelta(0) <= at - set_to <= _NEXT_STAMP:
            last["new"] = at
            found.append({**common, "event": CLOCK_SET, "old": None, "new": set_to})
            last = None
            continue
        last = {**common, "event": CLOCK_CHANGE, "old": at, "new": set_to, "set_to": set_to}
        found.append(last)
    return found


def add_running_time(rows: pl.DataFrame, changes: list[dict[str, object]]) -> pl.DataFrame:
    """Add ``running`` (Datetime): ``at`` minus all clock changes the device made before, by ``seq``; and ``fold``: of a
    time that the clock showed twice because it was set back, 0 for the first and 1 for the second, else NULL.
    """
    import polars as pl

    rows = _add_fold(rows, changes)

    shifts = [
        {"seq": change["seq"], "shift": change["new"] - change["old"]}  # type: ignore[operator]
        for change in changes
        if change["event"] == CLOCK_CHANGE and change["old"] is not None and change["new"] is not None
    ]
    if not shifts:
        return rows.with_columns(running=pl.col("at"))
    total = pl.DataFrame(shifts).sort("seq").with_columns(total=pl.col("shift").cum_sum())
    # A row is on the new clock only after the change itself, hence strictly later.
    place = total["seq"].cast(rows.schema["seq"]).search_sorted(rows["seq"], side="left")
    passed = pl.concat([pl.Series("total", [dt.timedelta(0)], dtype=total.schema["total"]), total["total"]])
    return rows.with_columns(running=pl.col("at") - passed.gather(place))


def _add_fold(rows: pl.DataFrame, changes: list[dict[str, object]]) -> pl.DataFrame:
    import polars as pl

    fold = pl.lit(None, pl.Int16)
    for change in changes:
        old, new = change.get("old"), change.get("new")
        if (
            change["event"] == CLOCK_CHANGE
            and isinstance(old, dt.datetime)
            and isinstance(new, dt.datetime)
            and new < old
        ):
            behind = (pl.col("seq") > pl.lit(change["seq"])).cast(pl.Int16)
            fold = pl.when(pl.col("at").is_between(new, old)).then(behind).otherwise(fold)
    return rows.with_columns(fold=fold)
