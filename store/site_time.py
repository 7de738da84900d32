"""UTC from local time by the zone of the site, and where a local time does not name one moment.

Rows look up their day in a small table of days and offsets: asking the zone rules for every row costs 40 s for seven
million, an ordered join to the changes six, this one.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from typing import TYPE_CHECKING

from store.timed_tables import LOST, TIMED

if TYPE_CHECKING:
    import duckdb

    from store.received import ReceivedTable

CLOCK_TIME = "('minute', 'second')"
"""Precisions of a time that has an hour; a date alone has no UTC."""

ZoneDay = tuple[str, dt.date, int, "dt.datetime | None", "dt.datetime | None", int]


def create_subject_zones(con: duckdb.DuckDBPyConnection) -> None:
    """Create ``subject_zone``: the zone of each subject's site, where protocol.toml states one."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE subject_zone AS "
        "SELECT subject_id, time_zone FROM subject JOIN site USING (site_id) WHERE time_zone IS NOT NULL"
    )


def create_zone_days(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> bool:
    """Create ``zone_day`` for the days of ``received``; False where no site states a zone."""
    zones = [row[0] for row in con.execute("SELECT DISTINCT time_zone FROM subject_zone ORDER BY 1").fetchall()]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE zone_day (time_zone VARCHAR, day DATE, offset_before INTEGER, "
        "change_from TIMESTAMP, change_to TIMESTAMP, offset_after INTEGER)"
    )
    times = ", ".join(f"min({name}), max({name})" for name in _times(received))
    # The years of a lost clock are none of the zone's business.
    lost = f" WHERE {TIMED[received.table.name].start} >= {LOST}" if "device_seq" in received.columns else ""
    found = con.execute(f"SELECT {times} FROM {received.view}{lost}").fetchall()[0]
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
    timed = TIMED[received.table.name]
    return [name for name in (timed.start, timed.end) if name is not None and name in received.columns]


def zone_joins(received: ReceivedTable, subject: str) -> str:
    """Joins that give rows ``s`` the zone ``p`` of their subject and its day: ``o`` at the start, ``e`` at the end; and
    ``f``, which of two equal local times the device's own order says it is."""
    joins = f" LEFT JOIN subject_zone p ON p.subject_id = {subject}"
    for alias, name in zip("oe", _times(received), strict=False):
        joins += (
            f" LEFT JOIN zone_day {alias} ON {alias}.time_zone = p.time_zone AND {alias}.day = CAST(s.{name} AS DATE)"
        )
    if "device_seq" in received.columns:
        joins += " LEFT JOIN fold_row f USING (source_id, line, part)"
    return joins


def create_fold_rows(con: duckdb.DuckDBPyConnection, received: ReceivedTable, subject: str, joins: str) -> None:
    """Create ``fold_row``: in the hour that exists twice, entries before the device's local time falls back are of its
    first run (0), those behind of its second (1). Where it falls back is seen in the device's own numbers.
    """
    if "device_seq" not in received.columns:
        return
    start = TIMED[received.table.name].start
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE fold_row AS
        WITH twice AS (
            SELECT s.source_id, s.line, s.part, s.device_id, s.device_seq AS seq, s.{start} AS local, o.change_from
            FROM {received.view} s {joins} JOIN subject_zone p ON p.subject_id = {subject}
            JOIN zone_day o ON o.time_zone = p.time_zone AND o.day = CAST(s.{start} AS DATE)
            WHERE s.device_seq IS NOT NULL AND o.offset_before > o.offset_after
              AND s.{start} >= o.change_from AND s.{start} < o.change_to
        ), compared AS (
            SELECT *, coalesce(local < max(local) OVER (PARTITION BY device_id, change_from ORDER BY seq
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS fallen
            FROM twice
        ), judged AS (
            SELECT *, bool_or(fallen) OVER (PARTITION BY device_id, change_from ORDER BY seq
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS behind,
                bool_or(fallen) OVER (PARTITION BY device_id, change_from) AS seen
            FROM compared
        )
        SELECT source_id, line, part, CAST(behind AS SMALLINT) AS fold FROM judged WHERE seen
        """
    )


def utc_columns(received: ReceivedTable) -> dict[str, str]:
    """Column -> expression over ``s``, ``o``, ``e`` and ``f``; what the source states itself stays as it is."""
    timed = TIMED[received.table.name]
    has, of_table = set(received.columns), set(received.table.column_names)
    folds = [*(["s.fold"] if "fold" in has else []), *(["f.fold"] if "device_seq" in has else [])]
    fold = f"coalesce({', '.join(folds)}, NULL)" if folds else "NULL"

    def column(name: str) -> str:
        return f"s.{name}" if name in has else "NULL"

    def offset(alias: str, name: str) -> str:
        later = f"s.{name} >= {alias}.change_to"
        if folds:
            later += f" OR ({fold} = 1 AND s.{name} >= {alias}.change_from)"
        return f"CASE WHEN {later} THEN {alias}.offset_after ELSE {alias}.offset_before END"

    def utc(alias: str, name: str) -> str:
        return f"make_timestamp(epoch_us(s.{name}) - 60000000 * CAST({offset(alias, name)} AS BIGINT))"

    def undecided(alias: str, name: str) -> str:
        within = f"(s.{name} >= {alias}.change_from AND s.{name} < {alias}.change_to"
        told = f" AND ({fold} IS NULL OR {alias}.offset_before < {alias}.offset_after)" if folds else ""
        return f"{within}{told})"

    precise = f"s.start_precision IN {CLOCK_TIME}" if "start_precision" in has else "true"
    known = f"{column(timed.start_utc)} IS NULL AND {precise} AND o.day IS NOT NULL"
    uncertain = undecided("o", timed.start)
    computed = {
        timed.start_utc: f"CASE WHEN {known} THEN {utc('o', timed.start)} ELSE {column(timed.start_utc)} END",
        "utc_offset_min": (
            f"CASE WHEN {known} THEN CAST({offset('o', timed.start)} AS SMALLINT) ELSE {column('utc_offset_min')} END"
        ),
        "offset_source": (
            f"CASE WHEN {known} THEN CAST('site_zone' AS offset_source) ELSE {column('offset_source')} END"
        ),
    }
    if timed.end and timed.end_utc and timed.end in has:
        end_known = f"{known} AND {column(timed.end_utc)} IS NULL AND e.day IS NOT NULL"
        computed[timed.end_utc] = f"CASE WHEN {end_known} THEN {utc('e', timed.end)} ELSE {column(timed.end_utc)} END"
        uncertain = f"({uncertain} OR coalesce({undecided('e', timed.end)}, false))"
    computed["time_uncertain"] = f"CASE WHEN {known} AND {uncertain} THEN true ELSE {column('time_uncertain')} END"
    return {name: value for name, value in computed.items() if name in of_table}
