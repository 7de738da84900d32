"""Checks that raise queries by themselves: built-in ones as data, and those of protocol.toml.

A check is a query over the tables of a release. What it finds has an id that depends on the check and the record
alone, so a later release knows whether it is still there; the query of a finding that is gone is closed by the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import UsageProblem

if TYPE_CHECKING:
    import duckdb

    from store.protocol import Protocol


@dataclass(frozen=True)
class BuiltInCheck:
    """One rule. ``sql`` gives subject_id, record, field, detail and source_id; ``{name}`` are limits of [checks]."""

    id: str
    priority: str
    text: str
    sql: str


QUESTION_SQL = "coalesce((SELECT f.detail FROM finding f WHERE f.finding_id = query_id) || ': ', '') || text"
"""Of a row of ``query``: the question after what the check found, for in a list 20 missed visits look alike otherwise.
A blinded release withholds what was found."""

_DOSE = "'dose_event/' || d.subject_id || '/' || strftime(start_local, '%Y-%m-%dT%H:%M:%S')"
"""A dose by subject and time: its file and line would give an arm away where a file holds one arm."""

_TO_THE_SECOND = "exclude_reason IS NULL AND start_precision = 'second' AND delivered_amount > 0"

BUILT_IN: tuple[BuiltInCheck, ...] = (
    BuiltInCheck(
        "DOSE_ABOVE_LIMIT",
        "high",
        "The dose given is above the most the protocol allows. Please check it against the source.",
        f"""SELECT d.subject_id, {_DOSE} AS record, 'delivered_amount' AS field,
            delivered_amount || ' ' || d.amount_unit AS detail, d.source_id
        FROM dose_event d LEFT JOIN subject s USING (subject_id)
        WHERE exclude_reason IS NULL AND EXISTS (
            FROM regimen r WHERE (r.arm_code IS NULL OR r.arm_code = s.arm_code)
            AND (r.subject_id IS NULL OR r.subject_id = d.subject_id) AND r.drug = d.drug
            AND r.amount_unit = d.amount_unit AND d.delivered_amount > r.amount_max)""",
    ),
    BuiltInCheck(
        "DOSE_OUTSIDE_PERIOD",
        "medium",
        "A dose was given on a day outside every treatment period of the subject.",
        """SELECT subject_id, 'dose_event/' || subject_id || '/' || strftime(event_at, '%Y-%m-%dT%H:%M:%S') AS record,
            'start_local' AS field, CAST(event_at AS VARCHAR) AS detail, source_id
        FROM dose_match WHERE NOT in_period AND source_id IS NOT NULL""",
    ),
    BuiltInCheck(
        "DOSE_AFTER_END",
        "high",
        "A dose was given after the subject had left the study.",
        f"""SELECT d.subject_id, {_DOSE} AS record, 'start_local' AS field,
            start_local || ' after ' || s.participation_end AS detail, d.source_id
        FROM dose_event d JOIN subject s USING (subject_id)
        WHERE exclude_reason IS NULL AND CAST(start_local AS DATE) > s.participation_end
            -- An interim transfer fills the date for ongoing subjects too (last contact).
            AND (CAST(s.status AS VARCHAR) IN ('completed', 'discontinued', 'died') OR EXISTS (
                FROM disposition e WHERE e.subject_id = d.subject_id
                AND coalesce(e.category, 'DISPOSITION EVENT') = 'DISPOSITION EVENT'))""",
    ),
    BuiltInCheck(
        "DOSE_BEFORE_CONSENT",
        "high",
        "A dose was given before the subject had consented.",
        f"""SELECT d.subject_id, {_DOSE} AS record, 'start_local' AS field,
            start_local || ' before ' || c.signed AS detail, d.source_id
        FROM dose_event d JOIN (
            SELECT subject_id, min(signed) AS signed FROM (
                SELECT subject_id, signed_date AS signed FROM consent
                UNION ALL SELECT subject_id, consent_date FROM subject) GROUP BY subject_id) c USING (subject_id)
        WHERE exclude_reason IS NULL AND CAST(start_local AS DATE) < c.signed""",
    ),
    BuiltInCheck(
        "NO_DOSE_DAYS",
        "medium",
        "Several expected doses in a row were not taken. Is the subject still treated?",
        """WITH missed AS (
            SELECT DISTINCT subject_id, drug, channel, dose_date FROM dose_match m
            WHERE status = 'missed' AND NOT EXISTS (
                FROM dose_match t WHERE t.status IN ('taken', 'late') AND t.subject_id = m.subject_id
                AND t.dose_date = m.dose_date AND t.drug IS NOT DISTINCT FROM m.drug)
        ), runs AS (
            SELECT *, dose_date - CAST(row_number() OVER (
                PARTITION BY subject_id, drug, channel ORDER BY dose_date) AS INTEGER) AS run FROM missed)
        SELECT subject_id, 'subject/' || subject_id || '/missed/' || min(dose_date) AS record,
            CAST(NULL AS VARCHAR) AS field, min(dose_date) || ' to ' || max(dose_date) AS detail,
            CAST(NULL AS VARCHAR) AS source_id
        FROM runs GROUP BY subject_id, drug, channel, run HAVING count(*) >= {days_without_dose}""",
    ),
    BuiltInCheck(
        "DUPLICATE_DOSE",
        "medium",
        "Two doses of the same amount stand at the same second in different files. Was it given once or twice?",
        # Moments in several files first, and those of subjects in several files only: counting the distinct files of
        # every dose took 11 s of 7,000,000 doses, this 0.7 s, or 2.6 s where every subject is in several files.
        f"""WITH moment AS (
            SELECT subject_id, start_local FROM dose_event WHERE {_TO_THE_SECOND} AND subject_id IN (
                SELECT subject_id FROM dose_event GROUP BY subject_id HAVING min(source_id) <> max(source_id))
            GROUP BY subject_id, start_local HAVING min(source_id) <> max(source_id))
        SELECT subject_id, 'dose/' || drug || '/' || start_local AS record, 'start_local' AS field,
            count(*) || ' rows' AS detail, CAST(NULL AS VARCHAR) AS source_id
        FROM dose_event SEMI JOIN moment USING (subject_id, start_local) WHERE {_TO_THE_SECOND}
        GROUP BY subject_id, drug, channel, kind, start_local, delivered_amount
        HAVING count(DISTINCT source_id) > 1 AND count(DISTINCT device_id) <> count(*)""",
    ),
    BuiltInCheck(
        "AE_NO_SEVERITY",
        "medium",
        "The adverse event has neither a severity nor a grade.",
        """SELECT subject_id, 'adverse_event/' || subject_id || '/' || event_seq AS record, 'severity' AS field,
            term AS detail, source_id FROM adverse_event WHERE severity IS NULL AND grade IS NULL""",
    ),
    BuiltInCheck(
        "AE_NO_CAUSALITY",
        "medium",
        "The adverse event has no causality.",
        """SELECT subject_id, 'adverse_event/' || subject_id || '/' || event_seq AS record, 'causality' AS field,
            term AS detail, source_id FROM adverse_event WHERE causality IS NULL AND device_relation IS NULL""",
    ),
    BuiltInCheck(
        "AE_END_BEFORE_START",
        "high",
        "The adverse event ends before it starts.",
        """SELECT subject_id, 'adverse_event/' || subject_id || '/' || event_seq AS record, 'end_text' AS field,
            start_text || ' to ' || end_text AS detail, source_id FROM adverse_event
        WHERE length(start_text) >= 10 AND length(end_text) >= 10
            AND left(end_text, 10) < left(start_text, 10)""",
    ),
    BuiltInCheck(
        "DEVICE_TWO_SUBJECTS",
        "high",
        "The device is with two subjects at the same time.",
        """SELECT DISTINCT a.subject_id,
            'device/' || a.device_id || '/' || a.subject_id || '/' || b.subject_id AS record,
            'device_id' AS field, a.device_id AS detail, CAST(NULL AS VARCHAR) AS source_id
        FROM device_assignment a JOIN device_assignment b ON a.device_id = b.device_id AND a.subject_id < b.subject_id
            AND a.start_date <= coalesce(b.end_date, DATE '9999-12-31')
            AND b.start_date <= coalesce(a.end_date, DATE '9999-12-31')""",
    ),
    BuiltInCheck(
        "CONTROL_TOTAL_OFF",
        "medium",
        "The device's own total of the day is not the sum of its events.",
        """SELECT subject_id, 'control_total/' || device_id || '/' || total_date || '/' || measure AS record,
            measure AS field, reported_total || ' reported, ' || summed_total || ' summed' AS detail,
            CAST(NULL AS VARCHAR) AS source_id
        FROM control_total_check WHERE subject_id IS NOT NULL
            AND abs(difference) > reported_total * {control_total_pct} / 100""",
    ),
    BuiltInCheck(
        "VISIT_OUT_OF_WINDOW",
        "medium",
        "The visit took place outside its window.",
        """SELECT subject_id, 'visit/' || subject_id || '/' || visit_number AS record, 'start_date' AS field,
            visit_date || ' is ' || state || ': window ' || first_date || ' to ' || last_date AS detail, source_id
        FROM visit_check WHERE state IN ('early', 'late')""",
    ),
    BuiltInCheck(
        "VISIT_MISSED",
        "medium",
        "The visit is missing, although a later one took place or the subject's time is over.",
        """SELECT subject_id, 'visit/' || subject_id || '/' || visit_number || '/missed' AS record,
            CAST(NULL AS VARCHAR) AS field,
            coalesce(visit, 'visit ' || visit_number) || ', planned ' || planned_date AS detail,
            CAST(NULL AS VARCHAR) AS source_id
        FROM visit_check WHERE state = 'missed'""",
    ),
    BuiltInCheck(
        "VISIT_TWICE",
        "low",
        "The same visit of the schedule stands on two days.",
        """SELECT subject_id, 'visit/' || subject_id || '/' || visit_number || '/' || visit_date AS record,
            'start_date' AS field, CAST(visit_date AS VARCHAR) AS detail, source_id
        FROM visit_check WHERE state = 'extra'""",
    ),
    BuiltInCheck(
        "AE_SERIOUS_NO_OUTCOME",
        "high",
        "The serious adverse event has ended, and its outcome is not stated.",
        """SELECT subject_id, 'adverse_event/' || subject_id || '/' || event_seq AS record, 'outcome' AS field,
            term AS detail, source_id FROM adverse_event WHERE serious AND end_text IS NOT NULL AND outcome IS NULL""",
    ),
)


def insert_findings(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> None:
    """Run every check and fill table ``finding``, in the order of the checks and records.

    Raises ``UsageProblem`` for a [[check]] whose table or condition is not valid.
    """
    limits = {
        "days_without_dose": protocol.checks.days_without_dose,
        "control_total_pct": protocol.checks.control_total_pct,
    }
    con.execute(
        "CREATE OR REPLACE TEMP TABLE found (check_id VARCHAR, priority VARCHAR, subject_id VARCHAR, record VARCHAR, "
        "field VARCHAR, text VARCHAR, detail VARCHAR, source_id VARCHAR)"
    )
    unasked = set(protocol.checks.disable)
    if all(rule.amount_max is None for rule in protocol.dosing):
        unasked.add("DOSE_ABOVE_LIMIT")
    if con.execute("SELECT count(*) FROM source_file").fetchall()[0][0] < 2:
        unasked.add("DUPLICATE_DOSE")
    for check in BUILT_IN:
        if check.id not in unasked:
            sql = check.sql.format(**limits)
            con.execute(
                f"INSERT INTO found SELECT ?, ?, subject_id, record, field, ?, detail, source_id FROM ({sql})",
                [check.id, check.priority, check.text],
            )
    for own in protocol.check:
        _insert_own(con, own.id, own.priority, own.text, own.table, own.where, own.field)
    con.execute(
        "INSERT INTO finding SELECT 'C-' || left(sha256(check_id || ' ' || record), 10), check_id, priority, "
        "subject_id, record, field, text, detail, source_id FROM (SELECT DISTINCT ON (check_id, record) * FROM found "
        "ORDER BY check_id, record, subject_id, field, detail, source_id) ORDER BY check_id, subject_id, record"
    )
    con.execute("DROP TABLE found")


def _insert_own(
    con: duckdb.DuckDBPyConnection, id: str, priority: str, text: str, table: str, where: str, field: str | None
) -> None:
    import duckdb

    from store.tables import TABLES

    declared = TABLES.get(table)
    if declared is None or "subject_id" not in declared.column_names:
        raise UsageProblem(
            f"[[check]] {id} looks at {table}, which is no table with subjects.",
            remedy='Name a table of the data dictionary (dosetrail sql "SHOW TABLES"), such as dose_event.',
        )
    key = [name for name in declared.key if name in declared.column_names]
    record = " || '/' || ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in key)
    source = "source_id" if "source_id" in declared.column_names else "NULL"
    try:
        con.execute(
            f"INSERT INTO found SELECT ?, ?, subject_id, '{table}/' || {record}, ?, ?, NULL, {source} "
            f"FROM {table} WHERE ({where})",
            [id, priority, field, text],
        )
    except duckdb.Error as error:
        raise UsageProblem(
            f"[[check]] {id}: its condition is not understood: {str(error).splitlines()[0]}",
            remedy="Correct where of that [[check]] in protocol.toml; it is a condition over the columns of its table.",
        ) from error
