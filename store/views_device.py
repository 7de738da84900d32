"""Views of what devices say about themselves: their own daily totals against the sum of their events."""

from __future__ import annotations

from store.views import View, amount, date, number, text

_TOTALLED = """(
    SELECT device_id, CAST(day AS DATE) AS total_date, kind, shape, delivered_amount,
        CASE WHEN end_local > start_local AND (kind = 'basal_segment' OR shape IN ('extended', 'dual_later'))
            THEN CAST(epoch(least(end_local, day + INTERVAL 1 DAY)) - epoch(greatest(start_local, day)) AS DOUBLE)
                / (epoch(end_local) - epoch(start_local))
            ELSE 1 END AS share
    FROM (
        SELECT device_id, kind, shape, start_local, end_local, delivered_amount, unnest(generate_series(
            date_trunc('day', start_local),
            CASE WHEN end_local > start_local AND (kind = 'basal_segment' OR shape IN ('extended', 'dual_later'))
                THEN date_trunc('day', end_local - INTERVAL 1 MICROSECOND) ELSE date_trunc('day', start_local) END,
            INTERVAL 1 DAY)) AS day
        FROM dose_event
        WHERE exclude_reason IS NULL AND kind IN ('bolus', 'basal_segment', 'injection', 'release')
            AND coalesce(CAST(status AS VARCHAR), '') <> 'voided'
            AND device_id IN (SELECT device_id FROM control_total)
    )
)"""
"""Doses by device and day; what lasts over midnight is shared by time, a dose at once belongs to the day it starts."""

_SUMMED = f"""(
    SELECT t.device_id, t.total_date, t.measure,
        CAST(round(sum(d.delivered_amount * d.share), 6) AS DECIMAL(18,6)) AS summed,
        count(d.device_id) AS events, count(d.device_id) - count(d.delivered_amount) AS unknown
    FROM (SELECT DISTINCT device_id, total_date, measure FROM control_total) t
    LEFT JOIN {_TOTALLED} d ON d.device_id = t.device_id AND d.total_date = t.total_date
        AND (t.measure IN ('all', 'doses') OR (t.measure = 'basal' AND d.kind = 'basal_segment')
            OR (t.measure = 'bolus' AND d.kind <> 'basal_segment') OR (t.measure = 'automatic' AND d.shape = 'micro'))
    GROUP BY ALL
)"""

CONTROL_TOTAL_CHECK = View(
    "control_total_check",
    "Daily totals a device reports against the sum of its events of that day, with the difference",
    (
        text("device_id", "c.device_id", "Device"),
        text("subject_id", "c.subject_id", "Subject, once assigned"),
        date("total_date", "c.total_date", "Device-local day, from midnight"),
        text("measure", "c.measure", "What is totalled: all, bolus, basal, automatic"),
        amount("reported_total", "c.reported_total", "Total as the device reports it, in amount_unit"),
        amount("summed_total", "s.summed", "Sum of delivered amounts of the day; NULL where no event of it is known"),
        amount("difference", "s.summed - c.reported_total", "summed_total minus reported_total"),
        text("amount_unit", "c.amount_unit", "UCUM unit of the totals"),
        number("events", "s.events", "Events summed"),
        number("events_without_amount", "s.unknown", "Events of the day whose delivered amount is not reported"),
    ),
    f"control_total c LEFT JOIN {_SUMMED} s ON s.device_id = c.device_id AND s.total_date = c.total_date "
    "AND s.measure = c.measure",
    "c.device_id, c.total_date, c.measure",
)

_STATED = """(
    SELECT device_id, CASE upper(property) WHEN 'SFTWRVER' THEN 'firmware' WHEN 'BATCH' THEN 'lot'
        WHEN 'FDAUDI' THEN 'udi' ELSE lower(property) END AS property,
        value, start_date AS first_date, NULL AS last_date, 'device list' AS basis FROM device_property
    WHERE upper(property) IN ('FIRMWARE', 'SFTWRVER', 'LOT', 'BATCH', 'FDAUDI', 'UDI', 'MODEL', 'SERIAL')
    UNION ALL SELECT device_id, 'firmware', detail, CAST(start_local AS DATE), NULL, 'event of the device'
    FROM device_event WHERE event = 'firmware_change' AND detail IS NOT NULL
    UNION ALL SELECT device_id, 'firmware', firmware, CAST(min(start_local) AS DATE), CAST(max(start_local) AS DATE),
        'doses' FROM dose_event WHERE firmware IS NOT NULL AND device_id IS NOT NULL GROUP BY device_id, firmware
    UNION ALL SELECT device_id, 'lot', lot, CAST(min(start_local) AS DATE), CAST(max(start_local) AS DATE),
        'doses' FROM dose_event WHERE lot IS NOT NULL AND device_id IS NOT NULL GROUP BY device_id, lot
)"""

DEVICE_HISTORY = View(
    "device_history",
    "Firmware, lot, UDI, model and serial of each device, with the days from and to which each value was stated",
    (
        text("device_id", "device_id", "Device"),
        text("property", "property", "firmware, lot, udi, model or serial"),
        text("value", "value", "Value as stated"),
        date("first_date", "first_date", "First day it was stated for; NULL: from the start"),
        date("last_date", "last_date", "Last day, where doses state it; NULL: until another value follows"),
        text("basis", "basis", "What stated it: device list, event of the device, doses"),
    ),
    _STATED,
    "device_id, property, first_date NULLS FIRST, value, basis",
)

DEVICE_VIEWS = (CONTROL_TOTAL_CHECK, DEVICE_HISTORY)
