"""Table macros of a release: the rows of table ``result`` that `dosetrail summary` prints, called like a function.

``FROM dose_accuracy(population := 'safety', by := 'firmware')``. Nothing is computed: a macro selects. It reads
tables only, because EXPORT DATABASE writes macros before views. In a file attached beside others a macro needs
``USE name`` first (a view does not).
"""

from __future__ import annotations

from dataclasses import dataclass

from store.schema import text_literal

ALL = "ALL"
"""Value of ``by`` that asks for the overall figures and every breakdown."""


@dataclass(frozen=True)
class Macro:
    """One macro: the family of results (result.analysis) it selects from."""

    name: str
    analysis: str
    subject: str

    @property
    def comment(self) -> str:
        return (
            f"{self.subject}: the rows of table result with analysis = {self.analysis}, as `dosetrail summary` has "
            "them. population: NULL for every population; by: NULL for figures that are not broken down, the name "
            f"of a breakdown (result.by), or {ALL} for both"
        )

    def create_sql(self) -> str:
        return (
            f'CREATE MACRO {self.name}(population := NULL, "by" := NULL) AS TABLE '
            f"SELECT r.* FROM result r WHERE r.analysis = '{self.analysis}' "
            "AND (population IS NULL OR r.population = population) "
            f"""AND ("by" = '{ALL}' OR r."by" IS NOT DISTINCT FROM "by")"""
        )


MACROS: tuple[Macro, ...] = (
    Macro("dose_accuracy", "accuracy", "Dose accuracy by arm"),
    Macro("compliance", "compliance", "Compliance by arm"),
    Macro("adverse_event_incidence", "adverse_events", "Adverse events by arm: incidence, rates and time to first"),
    Macro("exposure_summary", "exposure", "Exposure by arm"),
    Macro("enrolment_summary", "enrolment", "Enrolment, populations, demographics and disposition by arm"),
)


SILENT_DEVICES = (
    """
    CREATE MACRO silent_devices(now_utc) AS TABLE
    WITH last AS (
        SELECT device_id, max(seen_at) AS last_at FROM (
            SELECT device_id, max(coalesce(start_utc, start_local)) AS seen_at FROM dose_event GROUP BY device_id
            UNION ALL SELECT device_id, max(coalesce(start_utc, start_local)) FROM device_event GROUP BY device_id
            UNION ALL SELECT device_id, max(coalesce(observed_utc, observed_at)) FROM observation GROUP BY device_id
            UNION ALL SELECT device_id, max(coalesce(start_utc, start_local)) FROM wear_interval GROUP BY device_id
            UNION ALL SELECT device_id, CAST(max(total_date) AS TIMESTAMP) FROM control_total GROUP BY device_id
        ) WHERE device_id IS NOT NULL AND seen_at IS NOT NULL GROUP BY device_id
    ), held AS (
        SELECT device_id, max(subject_id) AS subject_id FROM device_assignment
        WHERE basis = 'stated_in_data' OR end_date IS NULL OR end_date >= CAST(now_utc AS DATE) GROUP BY device_id
    )
    SELECT d.device_id, CAST(d.device_class AS VARCHAR) AS device_class, h.subject_id, l.last_at AS last_utc,
        date_diff('hour', l.last_at, CAST(now_utc AS TIMESTAMP)) AS silent_h, u.limit_h
    FROM device d JOIN upload_interval u ON u.device_class = d.device_class
    JOIN last l ON l.device_id = d.device_id JOIN held h ON h.device_id = d.device_id
    LEFT JOIN subject s ON s.subject_id = h.subject_id
    WHERE date_diff('minute', l.last_at, CAST(now_utc AS TIMESTAMP)) > u.limit_h * 60
        AND coalesce(CAST(s.status AS VARCHAR), 'enrolled')
            NOT IN ('screen_failure', 'completed', 'discontinued', 'died')
        AND (s.participation_end IS NULL OR s.participation_end >= CAST(now_utc AS DATE))
    """,
    "Devices without data for longer than their class's upload interval plus tolerance, at a moment in UTC: "
    "FROM silent_devices(TIMESTAMP '2026-03-01 06:00')",
)
"""The one definition of silent; devices of subjects who have ended, or that nobody has, are not."""


def macro_sql() -> list[str]:
    """Statements that create every macro with its comment."""
    statements: list[str] = []
    for macro in MACROS:
        comment = macro.comment.replace("'", "''")
        statements += [macro.create_sql(), f"COMMENT ON MACRO TABLE {macro.name} IS '{comment}'"]
    sql, comment = SILENT_DEVICES
    statements += [sql, f"COMMENT ON MACRO TABLE silent_devices IS {text_literal(comment)}"]
    return statements
