"""UTC of rows whose device had its clock set: each row finds its epoch, the epoch its shift (store.clock_epochs).

Only devices with clock changes or readings come here; for all others one small query decides that nothing is to be
done, and local time becomes UTC by the zone of the site (store.site_time).
"""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from dataclasses import astuple
from typing import TYPE_CHECKING

from store.clock_epochs import ClockChange, ClockReading, derive_clock_epochs
from store.corrections import correct_clocks
from store.python_rows import insert_rows
from store.timed_tables import FIRST_YEAR, LOST, TIMED, TimedTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from store.received import Received, ReceivedTable
    from store.row_decisions import Decision


def create_clock_epochs(con: duckdb.DuckDBPyConnection, received: Received) -> None:
    """Fill table ``device_clock``: the epochs of every device that states clock changes, in every zone it was used in.

    Reads ``recv_device_event`` without its exceptions; called once subjects, devices and ``exc_device_event`` are there
    and before any timed table is stored.
    """
    changes, readings = _stated(con, received)
    if not changes and not readings:
        return
    rows = []
    for device_id, zone, first_local in _zones_of(con, received, sorted({*changes, *readings})):
        for epoch in derive_clock_epochs(
            changes.get(device_id, []), zoneinfo.ZoneInfo(zone), readings.get(device_id, []), first_local
        ):
            rows.append((device_id, zone, *astuple(epoch)))
    insert_rows(con, "device_clock", sorted(rows, key=lambda row: row[:3]))


def _stated(
    con: duckdb.DuckDBPyConnection, received: Received
) -> tuple[dict[str, list[ClockChange]], dict[str, list[ClockReading]]]:
    changes: dict[str, list[ClockChange]] = {}
    readings: dict[str, list[ClockReading]] = {}
    events = received.tables.get("device_event")
    if events is None:
        return changes, readings
    has = set(events.columns)
    names = [name if name in has else f"NULL AS {name}" for name in ("detail", "device_seq", "start_utc")]
    found = con.execute(
        f"SELECT device_id, event, start_local, {', '.join(names)} FROM {events.view} "
        "ANTI JOIN exc_device_event USING (source_id, line, part) "
        "WHERE event IN ('clock_change', 'clock_reading') ORDER BY ALL"
    ).fetchall()
    for device_id, event, local, detail, seq, utc in found:
        if event == "clock_reading":
            if utc is not None:
                readings.setdefault(device_id, []).append(ClockReading(local, utc, seq))
            continue
        stated = json.loads(detail) if detail else {}
        if stated.get("new_local"):
            old = dt.datetime.fromisoformat(stated["old_local"]) if stated.get("old_local") else local
            change = ClockChange(old, dt.datetime.fromisoformat(stated["new_local"]), seq)
            # Two exports may state one change each; it was made once.
            if change not in changes.setdefault(device_id, []):
                changes[device_id].append(change)
    return changes, readings


def _zones_of(
    con: duckdb.DuckDBPyConnection, received: Received, devices: list[str]
) -> list[tuple[str, str, dt.datetime | None]]:
    """Each device with the zones of the sites of its subjects, and the first time its log shows."""
    first: dict[str, dt.datetime] = {}
    for name, timed in TIMED.items():
        table = received.tables.get(name)
        if table is None or "device_id" not in table.columns:
            continue
        found = con.execute(
            f"SELECT device_id, min({timed.start}) FROM {table.view} WHERE device_id IN (SELECT unnest(?)) "
            f"AND {timed.start} >= {LOST} GROUP BY device_id",
            [devices],
        ).fetchall()
        for device_id, local in found:
            first[device_id] = min(local, first.get(device_id, local))
    zones = con.execute(
        "SELECT DISTINCT a.device_id, i.time_zone FROM device_assignment a JOIN subject USING (subject_id) "
        "JOIN site i USING (site_id) WHERE i.time_zone IS NOT NULL AND a.device_id IN (SELECT unnest(?)) ORDER BY ALL",
        [devices],
    ).fetchall()
    return [(device_id, zone, first.get(device_id)) for device_id, zone in zones]


def create_clock_rows(
    con: duckdb.DuckDBPyConnection, received: ReceivedTable, decisions: Sequence[Decision], subject: str, joins: str
) -> None:
    """Create ``clock_row``: UTC, offset, correction, rule and certainty of the rows of devices whose clock is known.

    ``subject``: SQL of a row's subject over ``s`` and ``joins``.
    """
    timed = TIMED[received.table.name]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE clock_row (source_id VARCHAR, line BIGINT, part SMALLINT, start_utc TIMESTAMP, "
        "end_utc TIMESTAMP, utc_offset_min SMALLINT, clock_correction_s INTEGER, clock_rule VARCHAR, "
        "time_uncertain BOOLEAN)"
    )
    if "device_id" not in received.columns:
        return
    if con.execute("SELECT 1 FROM device_clock LIMIT 1").fetchall():
        _insert_epoch_rows(con, received, timed, subject, joins)
    if "device_seq" in received.columns:
        correct_clocks(con, received, decisions, subject, joins)  # what a person saw, before what the order suggests
        _insert_bracketed(con, received, timed, subject, joins)


def _insert_epoch_rows(
    con: duckdb.DuckDBPyConnection, received: ReceivedTable, timed: TimedTable, subject: str, joins: str
) -> None:
    _create_zone_spans(con)
    has = set(received.columns)
    seq = "s.device_seq" if "device_seq" in has else "CAST(NULL AS BIGINT)"
    fold = "s.fold" if "fold" in has else "CAST(NULL AS SMALLINT)"
    end = f"s.{timed.end}" if timed.end and timed.end in has else "CAST(NULL AS TIMESTAMP)"
    stated = f"s.{timed.start_utc} IS NULL" if timed.start_utc in has else "true"
    precise = "s.start_precision IN ('minute', 'second')" if "start_precision" in has else "true"
    con.execute(
        f"""
        INSERT INTO clock_row
        WITH lost AS (
            SELECT device_id, time_zone, max(to_local) AS lost_until FROM device_clock WHERE lost GROUP BY ALL
        ), shown AS (
            SELECT s.source_id, s.line, s.part, s.device_id, z.time_zone, {seq} AS seq, {fold} AS fold,
                s.{timed.start} AS local, {end} AS end_local,
                coalesce(s.{timed.start} <= l.lost_until, false) AS is_lost
            FROM {received.view} s {joins} JOIN subject_zone z ON z.subject_id = {subject}
            LEFT JOIN lost l ON l.device_id = s.device_id AND l.time_zone = z.time_zone
            WHERE s.device_id IN (SELECT device_id FROM device_clock) AND {stated} AND {precise}
        ), candidate AS (
            SELECT s.*, c.* EXCLUDE (device_id, time_zone),
                row_number() OVER (PARTITION BY source_id, line, part ORDER BY number) AS place,
                count(*) OVER (PARTITION BY source_id, line, part) AS places
            FROM shown s JOIN device_clock c ON c.device_id = s.device_id AND c.time_zone = s.time_zone
                AND c.lost = s.is_lost
                AND CASE WHEN s.seq IS NOT NULL AND (c.from_seq IS NOT NULL OR c.to_seq IS NOT NULL)
                         THEN (c.from_seq IS NULL OR s.seq > c.from_seq) AND (c.to_seq IS NULL OR s.seq <= c.to_seq)
                         ELSE (c.from_local IS NULL OR s.local >= c.from_local)
                              AND (c.to_local IS NULL OR s.local <= c.to_local) END
                AND (c.inner_from IS NULL OR s.local > c.inner_from)
                AND (c.inner_to IS NULL OR s.local <= c.inner_to)
        ), chosen AS (
            SELECT *, end_shift_s - shift_s AS drift_s,
                CASE WHEN until_local > at_local
                     THEN least(1, greatest(0, date_diff('second', at_local, local)
                                               / date_diff('second', at_local, until_local))) ELSE 0 END AS share
            FROM candidate
            -- A time the clock showed twice: the source's word for which, else the first, and that is a guess.
            WHERE place = CASE WHEN fold = 1 THEN places ELSE 1 END
        ), moved AS (
            SELECT *, local - to_microseconds(CAST(round((shift_s + share * drift_s) * 1e6) AS BIGINT)) AS utc
            FROM chosen
        )
        SELECT m.source_id, m.line, m.part, m.utc AS start_utc,
            m.utc + (m.end_local - m.local) AS end_utc,
            CAST(p.offset_min AS SMALLINT) AS utc_offset_min,
            CAST(date_diff('second', m.local, m.utc + to_minutes(p.offset_min)) AS INTEGER) AS clock_correction_s,
            m.rule AS clock_rule,
            NOT m.certain OR (m.places > 1 AND m.fold IS NULL) AS time_uncertain
        FROM moved m ASOF JOIN zone_span p ON p.time_zone = m.time_zone AND m.utc >= p.from_utc
        """
    )


def _insert_bracketed(
    con: duckdb.DuckDBPyConnection, received: ReceivedTable, timed: TimedTable, subject: str, joins: str
) -> None:
    """Rows of a clock that was lost and never set right: no UTC, but the day of the entry before them in the device's
    own order, marked uncertain, so that the dose counts."""
    con.execute(
        f"""
        INSERT INTO clock_row
        SELECT s.source_id, s.line, s.part, NULL, NULL, NULL,
            CAST(date_diff('second', s.{timed.start}, p.{timed.start}) AS INTEGER), 'entry_before', true
        FROM {received.view} s {joins} ASOF JOIN (
            SELECT device_id, device_seq, {timed.start} FROM {received.view}
            WHERE device_seq IS NOT NULL AND {timed.start} >= {LOST}) p
          ON p.device_id = s.device_id AND s.device_seq >= p.device_seq
        WHERE s.{timed.start} < {LOST} AND {subject} IS NOT NULL
          AND (s.source_id, s.line, s.part) NOT IN (SELECT source_id, line, part FROM clock_row)
        """
    )


def clock_columns(received: ReceivedTable, by_zone: dict[str, str]) -> dict[str, str]:
    """Column -> expression over ``s`` and ``k`` (``clock_row``): the epoch's word for rows that have one, else what
    ``by_zone`` or the source says. A row without UTC (its clock was never set right) has none by the zone either."""
    timed = TIMED[received.table.name]
    has = set(received.columns)
    of_row = {
        timed.start_utc: "k.start_utc",
        "utc_offset_min": "k.utc_offset_min",
        "offset_source": "CAST('device' AS offset_source)",
        "clock_correction_s": "k.clock_correction_s",
        "clock_rule": "k.clock_rule",
        "time_uncertain": "nullif(k.time_uncertain, false)",
    }
    if timed.end and timed.end_utc and timed.end in has:
        of_row[timed.end_utc] = "k.end_utc"
    columns = {}
    for name, value in of_row.items():
        if name in received.table.column_names:
            other = by_zone.get(name) or (f"s.{name}" if name in has else "NULL")
            columns[name] = f"CASE WHEN k.line IS NOT NULL THEN {value} ELSE {other} END"
    return columns


def quarantine_lost_clocks(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Mark rows of a lost clock that nothing sets right as impossible_time: they wait for the clock change."""
    if "device_seq" not in received.columns:
        return
    name = received.table.name
    timed = TIMED[name]
    con.execute(
        f"INSERT INTO exc_{name} SELECT source_id, line, part, 'impossible_time', NULL FROM {received.view} "
        f"WHERE {timed.start} < {LOST} AND device_seq IS NOT NULL "
        "AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM clock_row) "
        f"AND (source_id, line, part) NOT IN (SELECT source_id, line, part FROM exc_{name})"
    )


def _create_zone_spans(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary table ``zone_span(time_zone, from_utc, offset_min)``: from when on a zone has which offset."""
    if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'zone_span'").fetchall():
        return
    zones = [row[0] for row in con.execute("SELECT DISTINCT time_zone FROM device_clock ORDER BY 1").fetchall()]
    con.execute("CREATE TEMP TABLE zone_span (time_zone VARCHAR, from_utc TIMESTAMP, offset_min INTEGER)")
    insert_rows(con, "zone_span", [row for zone in zones for row in _spans(zone)])


def _spans(zone: str) -> list[tuple[str, dt.datetime, int]]:
    """Offsets from 2010 to 2050, found by comparing hours: zones change on full, half or quarter hours of UTC."""
    info = zoneinfo.ZoneInfo(zone)
    spans: list[tuple[str, dt.datetime, int]] = []

    def offset(utc: dt.datetime) -> int:
        there = utc.replace(tzinfo=dt.UTC).astimezone(info).utcoffset()
        return round(there.total_seconds() / 60) if there is not None else 0

    def search(low: dt.datetime, high: dt.datetime) -> None:
        if offset(low) == offset(high):
            return
        while high - low > dt.timedelta(minutes=15):
            middle = low + dt.timedelta(minutes=15) * ((high - low) // dt.timedelta(minutes=30))
            if offset(middle) == offset(low):
                low = middle
            else:
                high = middle
        spans.append((zone, high, offset(high)))

    spans.append((zone, dt.datetime(1900, 1, 1), offset(FIRST_YEAR)))
    day = FIRST_YEAR
    while day < dt.datetime(2050, 1, 1):
        search(day, day + dt.timedelta(days=7))
        day += dt.timedelta(days=7)
    return spans
