"""Words of the day as table macros: overdue, silent, below compliance, visits due.

One definition for SQL, command line, app and exports; each takes the moment it is asked for, in UTC.
"""

from __future__ import annotations

from store.checks import QUESTION_SQL
from store.left_study import LEFT_STUDY
from store.views_device import ACCOUNTED

_TODAY = """(
        SELECT s.subject_id, s.site_id, s.reference_start, s.participation_end,
            CAST(timezone(coalesce(t.time_zone, 'UTC'), timezone('UTC', CAST(now_utc AS TIMESTAMP))) AS DATE) AS today
        FROM subject s LEFT JOIN site t ON t.site_id = s.site_id
    )"""
"""Every subject with today's date at its site."""

_SILENT = f"""
    WITH last AS (
        SELECT device_id, max(seen_at) AS last_at FROM (
            SELECT device_id, coalesce(start_utc, start_local) AS seen_at FROM dose_event
            UNION ALL SELECT device_id, coalesce(start_utc, start_local) FROM device_event
            UNION ALL SELECT device_id, coalesce(observed_utc, observed_at) FROM observation
            UNION ALL SELECT device_id, coalesce(start_utc, start_local) FROM wear_interval
            UNION ALL SELECT device_id, CAST(total_date AS TIMESTAMP) FROM control_total
        ) WHERE device_id IS NOT NULL AND seen_at IS NOT NULL GROUP BY device_id
    ), held AS (
        SELECT device_id, max(subject_id) AS subject_id FROM device_assignment
        WHERE basis = 'stated_in_data' OR end_date IS NULL OR end_date >= CAST(now_utc AS DATE) GROUP BY device_id
    )
    SELECT d.device_id, CAST(d.device_class AS VARCHAR) AS device_class, h.subject_id, l.last_at AS last_utc,
        date_diff('hour', l.last_at, CAST(now_utc AS TIMESTAMP)) AS silent_h, u.limit_h
    FROM device d JOIN upload_interval u ON u.device_class = d.device_class
    JOIN last l ON l.device_id = d.device_id JOIN held h ON h.device_id = d.device_id
    LEFT JOIN subject s ON s.subject_id = h.subject_id LEFT JOIN {LEFT_STUDY} g ON g.subject_id = h.subject_id
    WHERE date_diff('minute', l.last_at, CAST(now_utc AS TIMESTAMP)) > u.limit_h * 60
        AND NOT (coalesce(g.has_left, false) AND coalesce(g.left_date <= CAST(now_utc AS DATE), true))
        AND (s.participation_end IS NULL OR s.participation_end >= CAST(now_utc AS DATE))
"""

_BELOW = """
    WITH last AS (
        SELECT subject_id, max(end_date) AS last_day FROM monitoring_interval WHERE state = 'monitored'
        GROUP BY subject_id
    ), counted AS (
        SELECT m.subject_id, count(*) AS expected, count(*) FILTER (m.status IN ('taken', 'late')) AS given
        FROM dose_match m JOIN last l ON l.subject_id = m.subject_id
        WHERE m.planned_no IS NOT NULL AND m.status IN ('taken', 'late', 'missed')
            AND m.dose_date > l.last_day - 28 AND m.dose_date <= l.last_day
        GROUP BY m.subject_id
    )
    SELECT subject_id, given, expected, CAST(given AS DOUBLE) / expected AS compliance_on_treatment_share
    FROM counted WHERE expected >= 7 AND 100.0 * given / expected <
        (SELECT max(value) FROM study_setting WHERE name = 'compliance_threshold_pct')
"""

_VISITS = f"""
    SELECT p.subject_id, v.visit_number, v.visit,
        p.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END AS INTEGER) AS planned_date,
        p.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END - coalesce(v.window_before_d, 0)
            AS INTEGER) AS first_date,
        p.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END + coalesce(v.window_after_d, 0)
            AS INTEGER) AS last_date,
        p.today > p.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END
            + coalesce(v.window_after_d, 0) AS INTEGER) AS overdue
    FROM planned_visit v, {_TODAY} p JOIN {LEFT_STUDY} l ON l.subject_id = p.subject_id
    WHERE v.day IS NOT NULL AND p.reference_start IS NOT NULL
        AND NOT (l.has_left AND coalesce(l.left_date <= p.today, true))
        AND (p.participation_end IS NULL OR p.participation_end >= p.today)
        AND p.today >= p.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END
            - coalesce(v.window_before_d, 0) AS INTEGER)
        AND NOT EXISTS (FROM visit d WHERE d.subject_id = p.subject_id AND d.visit_number = v.visit_number)
"""

DELETION_ASKED = """(
        SELECT subject_id, min(day) AS asked_date
        FROM (SELECT subject_id, withdrawn_date AS day FROM consent WHERE effect = 'delete_request'
            UNION ALL SELECT subject_id, withdrawn_date FROM consent_withdrawal WHERE effect = 'delete_request')
        WHERE day IS NOT NULL AND subject_id NOT IN (
            SELECT subject_id FROM consent_withdrawal WHERE effect = 'deletion_answered')
        GROUP BY subject_id
    )"""
"""Subjects whose request to delete their data is not answered, with the day of the first."""

_WORK = f"""
    WITH today AS (FROM {_TODAY}), items AS (
        SELECT 'query' AS what, query_id AS ref, subject_id, {QUESTION_SQL} AS problem, due_date AS due, priority,
            CAST(1 AS BIGINT) AS rows FROM query WHERE state = 'open'
        UNION ALL SELECT 'answer', query_id, subject_id, 'answered: ' || answer, due_date, priority, 1
        FROM query WHERE state = 'answered'
        UNION ALL SELECT 'report', rule_id || '/' || event_seq, subject_id,
            'report to ' || send_to || ', clock from ' || aware_basis, CAST(due_utc AS DATE), 'high', 1
        FROM safety_report WHERE submitted_utc IS NULL
        UNION ALL SELECT 'silent', device_id, subject_id, 'no data for ' || silent_h || ' h, limit ' || limit_h,
            CAST(NULL AS DATE), 'medium', 1 FROM ({_SILENT})
        UNION ALL SELECT 'quarantine', CAST(reason AS VARCHAR), CAST(NULL AS VARCHAR),
            count(*) || CASE WHEN count(*) = 1 THEN ' row: ' ELSE ' rows: ' END
                || replace(CAST(reason AS VARCHAR), '_', ' '), CAST(NULL AS DATE), 'medium', count(*)
        FROM quarantine WHERE decision IS NULL GROUP BY reason
        UNION ALL SELECT 'compliance', subject_id, subject_id,
            'took ' || given || ' of ' || expected || ' expected doses in 28 monitored days', CAST(NULL AS DATE),
            'medium', 1 FROM ({_BELOW})
        UNION ALL SELECT 'deviation', deviation_id, subject_id, 'confirm or dismiss: ' || coalesce(term, found_by),
            CAST(NULL AS DATE), CASE WHEN importance = 'major' THEN 'high' ELSE 'medium' END, 1
        FROM deviation_recorded WHERE state = 'proposed'
        UNION ALL SELECT 'deletion', subject_id, subject_id, 'wants the data deleted, since ' || asked_date,
            CAST(NULL AS DATE), 'high', 1 FROM {DELETION_ASKED}
        UNION ALL SELECT 'return', device_id, subject_id, device_id || ' is not back from a subject who left'
            || coalesce(' on ' || left_date, ''), CAST(NULL AS DATE), 'medium', 1
        FROM {ACCOUNTED} WHERE not_returned
        UNION ALL SELECT 'visit', subject_id || '/' || visit_number, subject_id,
            coalesce(visit, 'visit ' || visit_number) || CASE WHEN overdue THEN ': window has passed'
            ELSE ': in window' END, last_date, CASE WHEN overdue THEN 'high' ELSE 'low' END, 1
        FROM ({_VISITS})
    )
    SELECT i.what, i.ref, i.subject_id, t.site_id, i.problem, i.due,
        coalesce(i.due < coalesce(t.today, CAST(now_utc AS DATE)), false) AS overdue,
        date_diff('day', coalesce(t.today, CAST(now_utc AS DATE)), i.due) AS days_left, i.priority, i.rows
    FROM items i LEFT JOIN today t ON t.subject_id = i.subject_id
    ORDER BY overdue DESC, i.due NULLS LAST,
        CASE i.priority WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END, i.what, i.subject_id, i.ref
"""

_MEANINGS = {
    "device_id": "the device",
    "device_class": "its class",
    "subject_id": "the subject, of a device who had it last",
    "last_utc": "its last data, in UTC (local time where UTC is not known)",
    "silent_h": "hours since then",
    "limit_h": "upload interval plus tolerance, in hours",
    "given": "doses taken, in window or late",
    "expected": "doses expected",
    "compliance_on_treatment_share": "given / expected, 0 to 1",
    "visit_number": "number of the visit in the schedule",
    "visit": "its name",
    "planned_date": "its day by the schedule",
    "first_date": "first day of its window",
    "last_date": "last day of its window",
    "overdue": "TRUE: due before today at the site",
    "what": "query, answer, report, silent, quarantine, compliance or visit",
    "ref": "what it is about: query, rule/event, device, reason, subject or visit",
    "site_id": "site of the subject",
    "problem": "a sentence",
    "due": "day it is due, NULL where none is set",
    "days_left": "days from today at the site until then",
    "priority": "high, medium or low",
    "rows": "rows it stands for",
}
"""Columns of the macros: DuckDB keeps no comment of their columns, so they stand in the comment of the macro."""


def _columns(names: str) -> str:
    return " Columns: " + "; ".join(f"{name}: {_MEANINGS[name]}" for name in names.split())


DAY_MACROS: dict[str, tuple[str, str]] = {
    "silent_devices": (
        f"CREATE MACRO silent_devices(now_utc) AS TABLE {_SILENT}",
        "Devices without data for longer than their class's upload interval plus tolerance, at a moment in UTC: "
        "FROM silent_devices(TIMESTAMP '2026-03-01 06:00')."
        + _columns("device_id device_class subject_id last_utc silent_h limit_h"),
    ),
    "below_compliance": (
        f"CREATE MACRO below_compliance() AS TABLE {_BELOW}",
        "Subjects below the compliance threshold: doses taken of those expected over the last 28 monitored days, "
        "with at least 7 expected." + _columns("subject_id given expected compliance_on_treatment_share"),
    ),
    "visits_due": (
        f"CREATE MACRO visits_due(now_utc) AS TABLE {_VISITS}",
        "Visits of the schedule that have not taken place and whose window has begun, at a moment in UTC; overdue: "
        "the window has passed." + _columns("subject_id visit_number visit planned_date first_date last_date overdue"),
    ),
    "worklist": (
        f"CREATE MACRO worklist(now_utc) AS TABLE {_WORK}",
        "What needs somebody at a moment in UTC: open and answered queries, safety reports, silent devices, rows in "
        "quarantine, proposed deviations, requests to delete, devices to be returned, "
        "subjects below the compliance threshold, visits; the "
        "most urgent first." + _columns("what ref subject_id site_id problem due overdue days_left priority rows"),
    ),
}
"""Name -> statement and comment. None calls another: in a file attached beside others it would not be found."""
