"""Rows of a subject need a consent on their day: without it they wait in quarantine and are never analysed.

A subject whose consent forms were received (table consent) has consented from the day a form was signed to the day it
was withdrawn; a withdrawal with effect ``keep`` ends nothing. A subject without any form is not judged here: enrolment
lists may state a consent date, which a check looks at. Adverse events are kept whatever the consent says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from store.received import ReceivedTable

CONSENT_DAY = {
    "dose_event": "start_local",
    "planned_dose_recorded": "planned_at",
    "exposure": "start_date",
    "device_event": "start_local",
    "wear_interval": "start_local",
    "reservoir_fill": "filled_at",
    "recommendation": "recommended_at",
    "reference_measurement": "measured_at",
    "observation": "observed_at",
    "control_total": "total_date",
}
"""Tables whose rows need a consent, and the column that says on which day."""

BEFORE, AFTER = "before_consent", "after_withdrawal"


def create_consent_spans(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary table ``consent_span(subject_id, first_day, last_day)``; an open end is in the year 9999."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE consent_span AS
        SELECT subject_id, signed_date AS first_day,
            CASE WHEN withdrawn_date IS NOT NULL AND coalesce(effect, 'stop') <> 'keep' THEN withdrawn_date
                ELSE DATE '9999-12-31' END AS last_day
        FROM consent WHERE signed_date IS NOT NULL
        """
    )


def quarantine_without_consent(
    con: duckdb.DuckDBPyConnection, received: ReceivedTable, subject: str, joins: str
) -> None:
    """Mark rows of subjects whose forms do not cover the day. ``subject``: SQL of a row's subject over the view ``s``
    and the ``joins`` it needs."""
    name = received.table.name
    column = CONSENT_DAY.get(name)
    if column is None or column not in received.columns:
        return
    if not con.execute("SELECT 1 FROM consent_span LIMIT 1").fetchall():
        return
    con.execute(
        f"""
        INSERT INTO exc_{name}
        SELECT s.source_id, s.line, s.part,
            CASE WHEN CAST(s.{column} AS DATE) < f.first_day THEN '{BEFORE}' ELSE '{AFTER}' END, NULL
        FROM {received.view} s{joins}
        JOIN (SELECT subject_id, min(first_day) AS first_day FROM consent_span GROUP BY subject_id) f
            ON f.subject_id = {subject}
        WHERE NOT EXISTS (FROM consent_span c WHERE c.subject_id = f.subject_id
                AND CAST(s.{column} AS DATE) BETWEEN c.first_day AND c.last_day)
            AND (s.source_id, s.line, s.part) NOT IN (SELECT source_id, line, part FROM exc_{name})
        """
    )
