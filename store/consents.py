"""Rows of a subject need a consent on their day: without it they wait in quarantine and are never analysed.

A subject whose consent forms were received (table consent) has consented from the day a form was signed to the first
withdrawal after it, whichever form the withdrawal names: who stops, stops for every version, until a later form is
signed. A form signed on the day another one is withdrawn replaces it. A withdrawal without an effect is a stop; one
with effect ``keep`` ends nothing. A withdrawal before which no signing is known ends a consent of unknown beginning.
A subject without any form is not judged here: enrolment lists may state a consent date, which a check looks at.
Withdrawals that people recorded (table consent_withdrawal) name no form and count like the others.
Adverse events are kept whatever the consent says.
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
    """Temporary table ``consent_span(subject_id, first_day, last_day)``; an open end is in the year 9999, an unknown
    beginning in the year 1."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE consent_span AS
        WITH withdrawal AS (
            SELECT subject_id, signed_date, withdrawn_date FROM (
                SELECT subject_id, signed_date, withdrawn_date, effect FROM consent
                UNION ALL SELECT subject_id, NULL, withdrawn_date, effect FROM consent_withdrawal)
            WHERE withdrawn_date IS NOT NULL AND coalesce(effect, 'stop') <> 'keep'
        )
        SELECT f.subject_id, f.signed_date AS first_day,
            coalesce(min(w.withdrawn_date), DATE '9999-12-31') AS last_day
        FROM consent f LEFT JOIN withdrawal w ON w.subject_id = f.subject_id
            AND (w.withdrawn_date > f.signed_date
                OR w.withdrawn_date = f.signed_date AND coalesce(w.signed_date, f.signed_date) = f.signed_date)
        WHERE f.signed_date IS NOT NULL
        GROUP BY f.subject_id, f.signed_date
        UNION ALL
        SELECT w.subject_id, DATE '0001-01-01', min(w.withdrawn_date)
        FROM withdrawal w
        WHERE NOT EXISTS (FROM consent f WHERE f.subject_id = w.subject_id AND f.signed_date <= w.withdrawn_date)
        GROUP BY w.subject_id
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
