"""What the patient screens show, as queries over the canonical tables."""

from __future__ import annotations

from store.tables_subject import START_UNKNOWN
from tui.filters import Field
from tui.pages import Source

COMPLIANCE = (
    "round(100.0 * count(*) FILTER (WHERE status IN ('taken', 'late')) "
    "/ nullif(count(*) FILTER (WHERE status IN ('taken', 'late', 'missed')), 0), 1)"
)
"""Doses taken (in or out of window) per expected dose that was monitored and not withheld, in %; NULL when no dose
was expected."""

PATIENTS = Source(
    f"""
    WITH matched AS (
        SELECT subject_id, {COMPLIANCE} AS compliance FROM dose_match GROUP BY subject_id
    ), dosed AS (
        SELECT subject_id, max(start_local) AS last_dose FROM dose_event
        WHERE exclude_reason IS NULL GROUP BY subject_id
    ), events AS (
        SELECT subject_id, count(*) AS aes,
               string_agg(concat_ws(' ', term, preferred_term, severity, if(serious, 'serious', NULL)), '; ') AS terms
        FROM adverse_event GROUP BY subject_id
    ), devices AS (
        SELECT subject_id, string_agg(DISTINCT device_id, ' ') AS device_ids
        FROM device_assignment GROUP BY subject_id
    ), ended AS (
        SELECT subject_id, arg_max(decoded, disposition_date) AS decoded FROM disposition
        WHERE category = 'DISPOSITION EVENT' AND coalesce(scope, '') <> 'STUDY TREATMENT' GROUP BY subject_id
    ), listed AS (
        SELECT s.subject_id,
               s.arm_code,
               coalesce(replace(replace(s.status::VARCHAR, 'failure', 'fail'), '_', ' '),
                        CASE WHEN ended.decoded = 'COMPLETED' THEN 'completed'
                             WHEN ended.decoded IN ('SCREEN FAILURE', 'SCREENING FAILURE') THEN 'screen fail'
                             WHEN s.died THEN 'died'
                             WHEN ended.decoded IS NOT NULL THEN 'discontinued'
                             WHEN s.not_randomised_reason IS NOT NULL THEN 'screen fail'
                             ELSE 'enrolled' END) AS status,
               coalesce(dosed.last_dose::DATE, s.last_treatment) AS last_day,
               s.first_treatment,
               matched.compliance,
               events.aes, events.terms,
               s.site_id, arm.arm, devices.device_ids
        FROM subject s
        LEFT JOIN matched USING (subject_id)
        LEFT JOIN dosed USING (subject_id)
        LEFT JOIN events USING (subject_id)
        LEFT JOIN devices USING (subject_id)
        LEFT JOIN ended USING (subject_id)
        LEFT JOIN arm ON arm.arm_code = s.arm_code
    )
    SELECT subject_id AS subject,
           arm_code AS arm_shown,
           status,
           date_diff('day', first_treatment, last_day) + 1 AS "day",
           compliance AS comp,
           aes,
           last_day AS last,
           site_id AS site,
           concat_ws(' ', arm_code, arm) AS arm,
           terms AS ae,
           device_ids AS device
    FROM listed
    ORDER BY subject_id
    """,
    (
        Field("subject"),
        Field("arm_shown", word=False, searched=False),
        Field("status"),
        Field("day", "number"),
        Field("comp", "number"),
        Field("aes", "number"),
        Field("last", "time"),
        Field("site"),
        Field("arm"),
        Field("ae", searched=False),
        Field("device"),
    ),
    lasting=True,
    key=("subject",),
)

_FILE = "LEFT JOIN source_file f ON f.source_id = {0}.source_id"
_NAME = "coalesce(f.file_name, {0}.source_id)"

_DOSE_FIELDS = (
    Field("date", "time"),
    Field("due", word=False, searched=False),
    Field("taken", word=False, searched=False),
    Field("delay", "number", word=False),
    Field("plan", "number"),
    Field("given", "number"),
    Field("unit", word=False),
    Field("state"),
    Field("file"),
    Field("line", "number"),
    Field("device"),
    Field("source_id", word=False, searched=False),
    Field("planned_no", "number", word=False),
    Field("kept_in", word=False, searched=False),
)


def doses_of(subject: str) -> Source:
    """Every planned dose with what became of it, and doses outside the plan; by date.

    A record that states days only has no time of day: `due` and `taken` are empty then. `kept_in` names the table
    that holds the row's source line.
    """
    return Source(
        f"""
        WITH told AS (SELECT * FROM dose_event WHERE subject_id = $subject),
        matched AS (
            SELECT m.*, m.delay_s IS NULL AND coalesce(m.event_at, m.planned_at)::TIME = TIME '00:00' AS day_only
            FROM dose_match m WHERE m.subject_id = $subject
        )
        SELECT m.dose_date AS date,
               CASE WHEN NOT m.day_only THEN strftime(m.planned_at, '%H:%M') END AS due,
               CASE WHEN NOT m.day_only THEN concat(strftime(m.event_at, '%H:%M'),
                    CASE WHEN m.event_at::DATE <> m.planned_at::DATE
                         THEN printf(' %+dd', date_diff('day', m.planned_at::DATE, m.event_at::DATE)) END) END AS taken,
               m.delay_s AS delay, m.planned_amount AS plan, m.delivered_amount AS given, m.amount_unit AS unit,
               m.status::VARCHAR AS state, {_NAME.format("m")} AS file, m.line, told.device_id AS device,
               m.source_id, m.planned_no, 'dose_event' AS kept_in
        FROM matched m LEFT JOIN told ON told.source_id = m.source_id AND told.line = m.line AND told.part = m.part
        {_FILE.format("m")}
        UNION ALL
        SELECT told.start_local::DATE, NULL,
               CASE WHEN told.start_precision IN ('minute', 'second') THEN strftime(told.start_local, '%H:%M') END,
               NULL, told.planned_amount, told.delivered_amount, told.amount_unit,
               coalesce(told.exclude_reason::VARCHAR, told.kind::VARCHAR), {_NAME.format("told")}, told.line,
               told.device_id, told.source_id, NULL, 'dose_event'
        FROM told {_FILE.format("told")}
        WHERE NOT EXISTS (
            SELECT 1 FROM matched m WHERE m.source_id = told.source_id AND m.line = told.line AND m.part = told.part)
        ORDER BY 1, 2, 3, 10
        """,
        _DOSE_FIELDS,
        (("subject", subject),),
        key=("planned_no", "source_id", "line", "date"),
    )


def intervals_of(subject: str) -> Source:
    """Constant-dosing intervals, where the data have no single doses; by start."""
    return Source(
        f"""
        SELECT x.start_date AS start, x.end_date AS until, date_diff('day', x.start_date, x.end_date) + 1 AS days,
               x.amount, x.amount_unit AS unit, x.frequency, {_NAME.format("x")} AS file, x.line, x.source_id,
               'exposure' AS kept_in
        FROM exposure x {_FILE.format("x")} WHERE x.subject_id = $subject
        ORDER BY 1, 2, x.line
        """,
        (
            Field("start", "time"),
            Field("until", "time"),
            Field("days", "number"),
            Field("amount", "number"),
            Field("unit"),
            Field("frequency"),
            Field("file"),
            Field("line", "number"),
            Field("source_id", word=False, searched=False),
            Field("kept_in", word=False, searched=False),
        ),
        (("subject", subject),),
        key=("start", "source_id", "line"),
    )


def events_of(subject: str) -> Source:
    """Adverse events as recorded, by start."""
    return Source(
        f"""
        SELECT a.start_text AS start, a.end_text AS "end", coalesce(a.preferred_term, a.term) AS term,
               lower(a.severity) AS severity, CASE WHEN a.serious THEN 'SAE' END AS serious,
               lower(a.causality) AS causality, {_NAME.format("a")} AS file, a.line, a.soc,
               a.source_id, 'adverse_event' AS kept_in
        FROM adverse_event a {_FILE.format("a")}
        LEFT JOIN adverse_event_derived d ON d.subject_id = a.subject_id AND d.event_seq = a.event_seq
        WHERE a.subject_id = $subject
        ORDER BY d.start_date, a.start_text, a.line
        """,
        (
            Field("start", "time"),
            Field("end", "time"),
            Field("term"),
            Field("severity"),
            Field("serious"),
            Field("causality"),
            Field("file"),
            Field("line", "number"),
            Field("soc"),
            Field("source_id", word=False, searched=False),
            Field("kept_in", word=False, searched=False),
        ),
        (("subject", subject),),
        key=("source_id", "line"),
    )


def devices_of(subject: str) -> Source:
    """Devices the subject had, then what they reported, by time."""
    return Source(
        f"""
        SELECT nullif(a.start_date, {START_UNKNOWN})::TIMESTAMP AS start, a.end_date::TIMESTAMP AS until,
               a.device_id AS device,
               concat('assigned (', replace(replace(a.basis::VARCHAR, 'stated_', ''), '_', ' '), ')') AS what,
               NULL::VARCHAR AS file, NULL::BIGINT AS line, NULL::VARCHAR AS source_id, 'device' AS kept_in, 0 AS rank
        FROM device_assignment a WHERE a.subject_id = $subject
        UNION ALL
        SELECT e.start_local, e.end_local, e.device_id, replace(e.event, '_', ' '),
               {_NAME.format("e")}, e.line, e.source_id, 'device_event', 1
        FROM device_event e {_FILE.format("e")} WHERE e.subject_id = $subject
        UNION ALL
        SELECT m.movement_date::TIMESTAMP, NULL, m.device_id, concat(m.action, ' (', m.recorded_by, ')'), NULL, NULL,
            NULL, 'device', 2
        FROM device_movement m WHERE m.subject_id = $subject AND m.action IN ('returned', 'lost')
        ORDER BY rank, 1, 3
        """,
        (
            Field("start", "time"),
            Field("until", "time"),
            Field("device"),
            Field("what"),
            Field("file"),
            Field("line", "number"),
            Field("source_id", word=False, searched=False),
            Field("kept_in", word=False, searched=False),
            Field("rank", word=False, searched=False),
        ),
        (("subject", subject),),
        key=("device", "start", "what"),
    )


def queries_of(subject: str) -> Source:
    """Queries about the subject as they stand now, the open ones first; `pending_query` must have been loaded."""
    from tui.desk_rows import NOW

    return Source(
        f"""
        SELECT query_id AS query, state || CASE WHEN pending THEN '*' ELSE '' END AS state, due_date AS due, priority,
            text AS question, answer, coalesce(check_id, 'person') AS asked_by, subject_id AS subject,
            'query' AS kept_in
        FROM {NOW} WHERE subject_id = $subject
        ORDER BY state IN ('closed', 'cancelled'), state <> 'open', due_date NULLS LAST, query_id
        """,
        (
            Field("query"),
            Field("state"),
            Field("due", "time"),
            Field("priority"),
            Field("question"),
            Field("answer"),
            Field("asked_by"),
            Field("subject", word=False, searched=False),
            Field("kept_in", word=False, searched=False),
        ),
        (("subject", subject),),
        key=("query",),
    )


def history_of(subject: str) -> Source:
    """What the ledger holds about the subject, the newest first: who did what, when, and in which words.

    Read from the table `subject_history`, which must have been loaded: the ledger itself, not its copy in the release.
    """
    return Source(
        """
        SELECT seq, at_utc AS at, user_name AS "by", action AS did, record, text, 'ledger' AS kept_in
        FROM subject_history WHERE subject_id = $subject ORDER BY seq DESC
        """,
        (
            Field("seq", "number"),
            Field("at", "time"),
            Field("by"),
            Field("did"),
            Field("record"),
            Field("text"),
            Field("kept_in", word=False, searched=False),
        ),
        (("subject", subject),),
        key=("seq",),
    )
