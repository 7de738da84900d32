"""What the coordinator's day is made of: findings of checks, queries, safety reports, limits and roles."""

from __future__ import annotations

from store.schema import Column, Table

UPLOAD_INTERVAL = Table(
    "upload_interval",
    "Hours without data after which a device of a class is silent (protocol.toml [silence])",
    (
        Column("device_class", "device_class", "Device class", required=True),
        Column("limit_h", "DOUBLE", "Upload interval plus tolerance, hours", required=True),
    ),
    key=("device_class",),
    origin="protocol",
    sort=("device_class",),
    subject_level=False,
)

STUDY_SETTING = Table(
    "study_setting",
    "Limits of protocol.toml that the definitions in SQL use",
    (
        Column("name", "VARCHAR", "Name of the limit, with its unit at the end", required=True),
        Column("value", "DOUBLE", "Its value in that unit", required=True),
    ),
    key=("name",),
    origin="protocol",
    sort=("name",),
    subject_level=False,
)

ROLE_HOLDER = Table(
    "role_holder",
    "Who has which role (protocol.toml [[role]]); without any row everybody may do everything",
    (
        Column(
            "role", "VARCHAR", "coordinator, monitor, data_manager, statistician, unblinded, operator", required=True
        ),
        Column("user_name", "VARCHAR", "User of the operating system"),
        Column("group_name", "VARCHAR", "Group of the operating system"),
    ),
    key=("role", "user_name", "group_name"),
    origin="protocol",
    sort=("role", "user_name", "group_name"),
    subject_level=False,
)

FINDING = Table(
    "finding",
    "What the checks found in this release: built-in ones and those of protocol.toml",
    (
        Column("finding_id", "VARCHAR", "Id that stays the same while the finding does; also its query", required=True),
        Column("check_id", "VARCHAR", "Check", required=True),
        Column("priority", "VARCHAR", "high, medium or low", required=True),
        Column("subject_id", "VARCHAR", "Subject"),
        Column("record", "VARCHAR", "Record it is about: table/key", required=True),
        Column("field", "VARCHAR", "Field it is about"),
        Column("text", "VARCHAR", "Question to the site", required=True),
        Column("detail", "VARCHAR", "Values that were found", blinding="never"),
        Column("source_id", "VARCHAR", "Source file of the record, where one row is meant", blinding="infer"),
    ),
    key=("finding_id",),
    origin="build",
    sort=("check_id", "subject_id", "record"),
)

QUERY = Table(
    "query",
    "Data queries, raised by people or by checks: state as of this release (the ledger holds their history)",
    (
        Column("query_id", "VARCHAR", "Query", required=True),
        Column("check_id", "VARCHAR", "Check that raised it; NULL for one a person raised"),
        Column("priority", "VARCHAR", "high, medium or low", required=True),
        Column("subject_id", "VARCHAR", "Subject"),
        Column("record", "VARCHAR", "Record the query is about"),
        Column("field", "VARCHAR", "Field the query is about"),
        Column("text", "VARCHAR", "Question", required=True),
        Column("state", "query_state", "open, answered, closed, cancelled (waived)", required=True),
        Column("opened_utc", "TIMESTAMP", "Opened; of a check when the data were received", required=True),
        Column("opened_by", "VARCHAR", "User or check", required=True),
        Column("due_date", "DATE", "Last day to answer it"),
        Column("answer", "VARCHAR", "Last answer"),
        Column("answered_by", "VARCHAR", "User"),
        Column("answered_utc", "TIMESTAMP", "When"),
        Column("closed_by", "VARCHAR", "User, or data where the finding is gone"),
        Column("closed_utc", "TIMESTAMP", "When"),
        Column("reason", "VARCHAR", "Reason of the last step"),
    ),
    key=("query_id",),
    origin="ledger",
    sort=("query_id",),
)

SAFETY_REPORT = Table(
    "safety_report",
    "Events that a rule of protocol.toml wants reported: when somebody was aware, when due, when submitted",
    (
        Column("subject_id", "VARCHAR", "Subject", required=True),
        Column("event_seq", "VARCHAR", "adverse_event.event_seq", required=True),
        Column("rule_id", "VARCHAR", "Rule", required=True),
        Column("send_to", "VARCHAR", "To whom"),
        Column("aware_utc", "TIMESTAMP", "When the sponsor or site was aware", required=True),
        Column("aware_basis", "VARCHAR", "recorded, or first receipt (assumed)", required=True),
        Column("due_utc", "TIMESTAMP", "Due", required=True),
        Column("submitted_utc", "TIMESTAMP", "Submitted; NULL while the clock runs"),
        Column("submitted_by", "VARCHAR", "User"),
    ),
    key=("subject_id", "event_seq", "rule_id"),
    origin="ledger",
    sort=("subject_id", "event_seq", "rule_id"),
)

QUARANTINE_DECISION = Table(
    "quarantine_decision",
    "What people decided about rows in quarantine, of which all alike follow: corrected, rejected, excluded",
    (
        Column("ledger_seq", "BIGINT", "Ledger entry of the decision", required=True),
        Column("problem_id", "VARCHAR", "Problem the rows share", required=True),
        Column("decision", "VARCHAR", "corrected, rejected or excluded", required=True),
        Column("reason_code", "VARCHAR", "Why the rows were in quarantine", required=True),
        Column("field", "VARCHAR", "Fact that was corrected", blinding="never"),
        Column("about", "VARCHAR", "Subject, device or unit as the rows state it", blinding="never"),
        Column("old_value", "VARCHAR", "Text that is read as another", blinding="never"),
        Column("new_value", "VARCHAR", "What it is now", blinding="never"),
        Column("rows_then", "BIGINT", "Rows it was about when it was made", required=True),
        Column("decided_by", "VARCHAR", "User", required=True),
        Column("decided_utc", "TIMESTAMP", "When", required=True),
        Column("reason", "VARCHAR", "Why", blinding="never"),
    ),
    key=("ledger_seq",),
    origin="ledger",
    sort=("ledger_seq",),
    subject_level=False,
)

ROW_CORRECTION = Table(
    "row_correction",
    "Rows of which a person corrected the subject, the device or the clock, with what the source says",
    (
        Column("source_id", "VARCHAR", "Source file", required=True),
        Column("line", "BIGINT", "Line in the file", required=True),
        Column("part", "SMALLINT", "Part of the line", required=True),
        Column("table_name", "VARCHAR", "Table of the row", required=True),
        Column("field", "VARCHAR", "subject_id, device_id or clock", required=True),
        Column("old_value", "VARCHAR", "As the source says it"),
        Column("new_value", "VARCHAR", "As it is used"),
        Column("ledger_seq", "BIGINT", "Ledger entry of the decision", required=True),
    ),
    key=("source_id", "line", "part", "table_name", "field"),
    origin="build",
    sort=("source_id", "line", "part", "table_name", "field"),
    subject_level=False,
)

DEVIATION_RECORDED = Table(
    "deviation_recorded",
    "Protocol deviations that people recorded, and those a check proposed; deviations of files are in table deviation",
    (
        Column("deviation_id", "VARCHAR", "Deviation", required=True),
        Column("subject_id", "VARCHAR", "Subject", required=True),
        Column("term", "VARCHAR", "What happened", blinding="infer"),
        Column("category", "VARCHAR", "Category the trial or the check gives it", blinding="infer"),
        Column("importance", "VARCHAR", "major or minor", required=True),
        Column("start_date", "DATE", "Day"),
        Column("excludes_from", "VARCHAR", "Population it excludes from; a major one excludes from per_protocol"),
        Column("state", "VARCHAR", "proposed (by a check), recorded, confirmed, dismissed", required=True),
        Column("found_by", "VARCHAR", "User, or the check that proposed it", required=True),
        Column("record", "VARCHAR", "Record it is about: table/key"),
        Column("decided_by", "VARCHAR", "User who recorded, confirmed or dismissed it"),
        Column("decided_utc", "TIMESTAMP", "When"),
        Column("reason", "VARCHAR", "Why", blinding="never"),
    ),
    key=("deviation_id",),
    origin="ledger",
    sort=("deviation_id",),
)

UNBLINDING = Table(
    "unblinding",
    "Subjects whose arm somebody learned in an emergency: who and when; why stands in the ledger, the arm nowhere",
    (
        Column("ledger_seq", "BIGINT", "Ledger entry", required=True),
        Column("subject_id", "VARCHAR", "Subject", required=True),
        Column("unblinded_utc", "TIMESTAMP", "When", required=True),
        Column("unblinded_by", "VARCHAR", "User", required=True),
        Column("role", "VARCHAR", "Role in which they did it"),
    ),
    key=("ledger_seq",),
    origin="ledger",
    sort=("ledger_seq",),
)

DEVICE_MOVEMENT = Table(
    "device_movement",
    "Devices shipped to sites, handed to subjects, returned and lost, as people recorded it",
    (
        Column("ledger_seq", "BIGINT", "Ledger entry", required=True),
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("action", "VARCHAR", "shipped, assigned, returned, lost", required=True),
        Column("site_id", "VARCHAR", "Site it was shipped to"),
        Column("subject_id", "VARCHAR", "Subject who had it"),
        Column("movement_date", "DATE", "Day", required=True),
        Column("recorded_by", "VARCHAR", "User", required=True),
        Column("reason", "VARCHAR", "Why", blinding="never"),
    ),
    key=("ledger_seq",),
    origin="ledger",
    sort=("ledger_seq",),
    subject_level=False,
)

CONSENT_WITHDRAWAL = Table(
    "consent_withdrawal",
    "Withdrawals of consent that people recorded, and answers to requests to delete; forms are in table consent",
    (
        Column("ledger_seq", "BIGINT", "Ledger entry", required=True),
        Column("subject_id", "VARCHAR", "Subject", required=True),
        Column("withdrawn_date", "DATE", "Day of the withdrawal; NULL for an answer"),
        Column("effect", "VARCHAR", "keep, stop, delete_request; deletion_answered", required=True),
        Column("recorded_by", "VARCHAR", "User", required=True),
        Column("reason", "VARCHAR", "Why, or the answer", blinding="never"),
    ),
    key=("ledger_seq",),
    origin="ledger",
    sort=("ledger_seq",),
)

DESK_TABLES: tuple[Table, ...] = (
    UPLOAD_INTERVAL,
    STUDY_SETTING,
    ROLE_HOLDER,
    FINDING,
    QUERY,
    SAFETY_REPORT,
    QUARANTINE_DECISION,
    ROW_CORRECTION,
    DEVIATION_RECORDED,
    UNBLINDING,
    DEVICE_MOVEMENT,
    CONSENT_WITHDRAWAL,
)
