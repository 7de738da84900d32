"""UTC from local time by the zone of the site, and where a local time does not name one moment.

Rows look up their day in a small table of days and offsets: asking the zone rules for every row costs 40 s for seven
million, an ordered join to the changes six, this one.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from store.received import ReceivedTable

CLOCK_TIME = "('minute', 'second')"
"""Precisions of a time that has an hour; a date alone has no UTC."""

ZoneDay = tuple[str, dt.date, int, "dt.datetime | None", "dt.datetime | None", int]


def create_zone_days(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> bool:
    """Create ``subject_zone`` and ``zone_day`` for the days of ``received``; False where no site states a zone."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE subject_zone AS "
        "SELECT subject_id, time_zone FROM subject JOIN site USING (site_id) WHERE time_zone IS NOT NULL"
    )
    zones = [row[0] for row in con.execute("SELECT DISTINCT time_zone FROM subject_zone ORDER BY 1").fetchall()]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE zone_day (time_zone VARCHAR, day DATE, offset_before INTEGER, "
        "change_from TIMESTAMP, change_to TIMESTAMP, offset_after INTEGER)"
    )
    times = ", ".join(f"min({name}), max({name})" for name in _times(received))
    found = con.execute(f"SELECT {times} FROM {received.view}").fetchall()[0]
    span = sorted(moment.date() for moment in found if moment is not None)
    if not zones or not span:
        return False
    rows = [row for zone in zones for row in compute_zone_days(zone, span[0], span[-1])]
    columns = list(zip(*rows, strict=True))
    con.execute(
        "INSERT INTO zone_day SELECT unnest(?), unnest(CAST(? AS DATE[])), unnest(?), "
        "unnest(CAST(? AS TIMESTAMP[])), unnest(CAST(? AS TIMESTAMP[])), unnest(?)",
        [list(column) for column in columns],
    )
    return True


def compute_zone_days(zone: str, first: dt.date, last: dt.date) -> Iterator[ZoneDay]:
    """One row per local day: UTC offset (minutes) before, the local times between which the clock is undecided (a
    missing or repeated hour; NULL on days around which nothing changes), and the offset afterwards.

    Within the undecided time the offset before the change is taken and the row is marked uncertain. Offsets are
    compared from noon to noon, because some zones change at midnight; so the days on both sides of a change carry it.
    """
    info = zoneinfo.ZoneInfo(zone)
    one = dt.timedelta(days=1)
    offsets = {day: _noon_offset(info, day) for day in _days(first - one, last + one)}
    for day in _days(first, last):
        for earlier in (day - one, day):
            before, after = offsets[earlier], offsets[earlier + one]
            if before != after:
                start, end = _undecided(info, earlier, before, after)
                if start.date() <= day <= end.date():
                    yield (zone, day, before, start, end, after)
                    break
        else:
            yield (zone, day, offsets[day], None, None, offsets[day])


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for number in range((last - first).days + 1):
        yield first + dt.timedelta(days=number)


def _undecided(info: zoneinfo.ZoneInfo, day: dt.date, before: int, after: int) -> tuple[dt.datetime, dt.datetime]:
    """Local times between which the change after noon of ``day`` lies: bisection for the UTC minute of the change."""
    noon = dt.datetime.combine(day, dt.time(12))
    low = noon - dt.timedelta(minutes=before)
    high = noon + dt.timedelta(days=1) - dt.timedelta(minutes=after)
    while high - low > dt.timedelta(minutes=1):
        middle = low + dt.timedelta(minutes=(high - low) // dt.timedelta(minutes=2))
        if middle.replace(tzinfo=dt.UTC).astimezone(info).utcoffset() == dt.timedelta(minutes=before):
            low = middle
        else:
            high = middle
    edges = sorted((high + dt.timedelta(minutes=before), high + dt.timedelta(minutes=after)))
    return edges[0], edges[1]


def _noon_offset(info: zoneinfo.ZoneInfo, day: dt.date) -> int:
    offset = dt.datetime.combine(day, dt.time(12)).replace(tzinfo=info).utcoffset()
    return round(offset.total_seconds() / 60) if offset is not None else 0


def _times(received: ReceivedTable) -> list[str]:
    return [name for name in ("start_local", "end_local") if name in received.columns]


def zone_joins(received: ReceivedTable, subject: str) -> str:
    """Joins that give rows ``s`` the zone ``p`` of their subject and its day: ``o`` at the start, ``e`` at the end."""
    joins = f" LEFT JOIN subject_zone p ON p.subject_id = {subject}"
    for alias, name in zip("oe", _times(received), strict=False):
        joins += (
            f" LEFT JOIN zone_day {alias} ON {alias}.time_zone = p.time_zone AND {alias}.day = CAST(s.{name} AS DATE)"
        )
    return joins


def utc_columns(received: ReceivedTable) -> dict[str, str]:
    """Column -> expression over ``s``, ``o`` and ``e``; what the source states itself stays as it is."""

    def column(name: str) -> str:
        return f"s.{name}" if name in received.columns else "NULL"

    def offset(alias: str, name: str) -> str:
        return f"CASE WHEN s.{name} >= {alias}.change_to THEN {alias}.offset_after ELSE {alias}.offset_before END"

    def utc(alias: str, name: str) -> str:
        return f"make_timestamp(epoch_us(s.{name}) - 60000000 * CAST({offset(alias, name)} AS BIGINT))"

    def undecided(alias: str, name: str) -> str:
        return f"(s.{name} >= {alias}.change_from AND s.{name} < {alias}.change_to)"

    known = f"{column('start_utc')} IS NULL AND s.start_precision IN {CLOCK_TIME} AND o.day IS NOT NULL"
    uncertain = undecided("o", "start_local")
    computed = {
        "start_utc": f"CASE WHEN {known} THEN {utc('o', 'start_local')} ELSE {column('start_utc')} END",
        "utc_offset_min": (
            f"CASE WHEN {known} THEN CAST({offset('o', 'start_local')} AS SMALLINT) ELSE {column('utc_offset_min')} END"
        ),
        "offset_source": (
            f"CASE WHEN {known} THEN CAST('site_zone' AS offset_source) ELSE {column('offset_source')} END"
        ),
    }
    if "end_local" in received.columns:
        end_known = f"{known} AND {column('end_utc')} IS NULL AND e.day IS NOT NULL"
        computed["end_utc"] = f"CASE WHEN {end_known} THEN {utc('e', 'end_local')} ELSE {column('end_utc')} END"
        uncertain = f"({uncertain} OR coalesce({undecided('e', 'end_local')}, false))"
    computed["time_uncertain"] = f"CASE WHEN {known} AND {uncertain} THEN true ELSE {column('time_uncertain')} END"
    return computed
