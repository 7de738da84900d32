"""Views of what devices say about themselves: their own daily totals against the sum of their events."""

from __future__ import annotations

from store.left_study import LEFT_STUDY
from store.tables_subject import START_UNKNOWN
from store.views import View, amount, date, flag, number, text

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

ACCOUNTED = f"""(
    WITH moved AS (
        SELECT device_id, action, movement_date AS day, site_id, subject_id FROM device_movement
        UNION ALL SELECT device_id, lower(action), action_date, NULL, subject_id FROM accountability
        WHERE device_id IS NOT NULL
        UNION ALL SELECT device_id, 'assigned', nullif(start_date, {START_UNKNOWN}), NULL, subject_id
        FROM device_assignment WHERE basis <> 'stated_in_data'
        UNION ALL SELECT device_id, 'returned', end_date, NULL, subject_id FROM device_assignment
        WHERE basis <> 'stated_in_data' AND end_date IS NOT NULL
    ), days AS (
        SELECT device_id, max(day) FILTER (action = 'shipped') AS shipped,
            max(site_id) FILTER (action = 'shipped') AS site_id,
            max(day) FILTER (action IN ('assigned', 'dispensed')) AS assigned,
            max(day) FILTER (action = 'returned') AS returned, max(day) FILTER (action = 'lost') AS lost,
            max(day) FILTER (action = 'destroyed') AS destroyed,
            bool_or(action IN ('assigned', 'dispensed')) AS handed_out, bool_or(action = 'lost') AS is_lost,
            bool_or(action = 'destroyed') AS is_destroyed, bool_or(action = 'returned') AS came_back,
            arg_max(subject_id, coalesce(day, DATE '1900-01-01')) FILTER (subject_id IS NOT NULL) AS subject_id
        FROM moved GROUP BY device_id
    )
    SELECT d.*, l.left_date, CASE WHEN is_destroyed THEN 'destroyed' WHEN is_lost THEN 'lost'
            WHEN came_back AND (NOT coalesce(handed_out, false) OR assigned IS NULL OR returned >= assigned)
                THEN 'returned'
            WHEN handed_out THEN 'with subject' ELSE 'shipped' END AS state,
        state = 'with subject' AND coalesce(l.has_left, false) AS not_returned
    FROM days d LEFT JOIN {LEFT_STUDY} l USING (subject_id)
)"""

DEVICE_ACCOUNTABILITY = View(
    "device_accountability",
    "Where each device and kit is: shipped, with a subject, returned, lost, destroyed; and whether it should be back",
    (
        text("device_id", "device_id", "Device or kit"),
        text("state", "state", "shipped, with subject, returned, lost, destroyed"),
        text("subject_id", "subject_id", "Subject who had it last"),
        text("site_id", "site_id", "Site it was shipped to"),
        date("shipped_date", "shipped", "Last shipped"),
        date("assigned_date", "assigned", "Last handed to a subject; NULL: not stated"),
        date("returned_date", "returned", "Last returned"),
        date("lost_date", "lost", "Lost"),
        date("destroyed_date", "destroyed", "Destroyed"),
        flag(
            "not_returned",
            "not_returned",
            "Y where the subject has left the study and the device has not come back",
        ),
        date("due_since", "CASE WHEN state = 'with subject' THEN left_date END", "Day the subject left"),
    ),
    ACCOUNTED,
    "device_id",
)

DEVICE_VIEWS = (CONTROL_TOTAL_CHECK, DEVICE_HISTORY, DEVICE_ACCOUNTABILITY)
