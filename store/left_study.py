"""Who has left the study, and when: one definition for visits, devices to be returned, silence and the worklist."""

from __future__ import annotations

LEFT_STUDY = """(
    SELECT s.subject_id, least(any_value(s.death_date), min(e.disposition_date),
            any_value(s.participation_end) FILTER (CAST(s.status AS VARCHAR)
                IN ('screen_failure', 'completed', 'discontinued', 'died'))) AS left_date,
        coalesce(bool_or(CAST(s.status AS VARCHAR) IN ('screen_failure', 'completed', 'discontinued', 'died')), false)
            OR count(s.death_date) + count(e.disposition_date) > 0 AS has_left,
        coalesce(bool_or(CAST(s.status AS VARCHAR) = 'completed' OR e.decoded = 'COMPLETED'), false) AS completed
    FROM subject s LEFT JOIN disposition e ON e.subject_id = s.subject_id
        AND coalesce(e.category, 'DISPOSITION EVENT') = 'DISPOSITION EVENT'
        AND coalesce(e.scope, '') <> 'STUDY TREATMENT' AND e.disposition_date >= s.reference_start
    GROUP BY s.subject_id
)"""
"""Each subject with the day it left (NULL: not known), whether it has left, and whether it completed the study.

A subject has left by its status, its death, or a disposition event that is not about treatment alone. Last contact
(``participation_end``) of a subject without such a record is no end: an interim transfer fills it for everybody, and
one who left may still come once to return what it has (SDTM RFPENDTC).
"""
