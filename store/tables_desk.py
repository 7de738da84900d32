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

DESK_TABLES: tuple[Table, ...] = (UPLOAD_INTERVAL, STUDY_SETTING, ROLE_HOLDER, FINDING, QUERY, SAFETY_REPORT)
