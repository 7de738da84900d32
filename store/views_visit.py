"""Visits of the protocol's schedule matched one to one with those that took place."""

from __future__ import annotations

from store.left_study import LEFT_STUDY
from store.views import View, date, number, real, text

_MATCHED = f"""(
    WITH planned AS (
        SELECT s.subject_id, s.participation_end, l.has_left, l.left_date, l.completed, v.visit_number, v.visit,
            v.window_before_d, v.window_after_d,
            s.reference_start + CAST(v.day - CASE WHEN v.day > 0 THEN 1 ELSE 0 END AS INTEGER) AS planned_date
        FROM subject s JOIN {LEFT_STUDY} l ON l.subject_id = s.subject_id, planned_visit v
        WHERE v.day IS NOT NULL AND s.reference_start IS NOT NULL
    ), happened AS (
        SELECT d.*, p.planned_date, row_number() OVER (PARTITION BY d.subject_id, d.visit_number
            ORDER BY abs(d.start_date - p.planned_date), d.start_date, d.source_id, d.line) AS place
        FROM visit d JOIN planned p ON p.subject_id = d.subject_id AND p.visit_number = d.visit_number
        WHERE d.start_date IS NOT NULL AND d.unplanned IS NULL
    ), judged AS (
        SELECT p.*, h.start_date AS visit_date, h.source_id, h.line,
            p.planned_date - coalesce(p.window_before_d, 0) AS first_date,
            p.planned_date + coalesce(p.window_after_d, 0) AS last_date,
            p.window_before_d IS NOT NULL OR p.window_after_d IS NOT NULL AS has_window,
            coalesce((SELECT max(o.planned_date) FROM happened o WHERE o.subject_id = p.subject_id)
                > p.planned_date, false) OR p.completed AS passed,
            p.has_left AND coalesce(p.left_date < p.planned_date + coalesce(p.window_after_d, 0), false) AS gone,
            coalesce(p.participation_end > p.planned_date + coalesce(p.window_after_d, 0), false) AS later_contact
        FROM planned p LEFT JOIN happened h
            ON h.subject_id = p.subject_id AND h.visit_number = p.visit_number AND h.place = 1
    )
    SELECT subject_id, visit_number, visit, planned_date, first_date, last_date, visit_date, source_id, line,
        CASE WHEN visit_date IS NULL THEN CASE WHEN passed THEN 'missed' WHEN gone THEN 'not expected'
                WHEN later_contact THEN 'missed' ELSE 'not yet' END
            WHEN NOT has_window THEN 'done' WHEN visit_date < first_date THEN 'early'
            WHEN visit_date > last_date THEN 'late' ELSE 'in window' END AS state
    FROM judged
    UNION ALL
    SELECT h.subject_id, h.visit_number, h.visit, h.planned_date, NULL, NULL, h.start_date, h.source_id, h.line, 'extra'
    FROM happened h WHERE h.place > 1
)"""

VISIT_CHECK = View(
    "visit_check",
    "Each visit of the schedule with the one that took place: in window, early, late, missed, not yet; extra ones",
    (
        text("subject_id", "subject_id", "Subject"),
        real("visit_number", "visit_number", "Number of the visit in the schedule"),
        text("visit", "visit", "Visit as printed"),
        date("planned_date", "planned_date", "Day by the schedule, from the subject's reference start"),
        date("first_date", "first_date", "First day in window"),
        date("last_date", "last_date", "Last day in window"),
        date("visit_date", "visit_date", "Day it took place"),
        number("days_off", "visit_date - planned_date", "Days after the planned day; negative: before it"),
        text(
            "state",
            "state",
            "in window, early, late; done (no window stated); missed (a later one took place, or the subject's time is "
            "over); not expected (the subject had left the study); not yet; extra (the same visit once more)",
        ),
        text("source_id", "source_id", "File that states it"),
        number("line", "line", "Line in the file"),
    ),
    _MATCHED,
    "subject_id, planned_date, visit_number, visit_date",
)

VISIT_VIEWS = (VISIT_CHECK,)
