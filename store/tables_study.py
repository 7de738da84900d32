"""The study's own books: source files, quarantine, queries, the ledger as read by SQL, results, build information."""

from __future__ import annotations

from store.schema import Column, Table

SOURCE_FILE = Table(
    "source_file",
    "Every file the release was built from and the fate of its rows: read = new + duplicate + superseded + quarantined",
    (
        Column("source_id", "VARCHAR", "First 12 hex digits of sha256", required=True),
        Column("sha256", "VARCHAR", "SHA-256 of the bytes received", required=True),
        Column("file_name", "VARCHAR", "Name as received, without its folder", blinding="never"),
        Column("format", "VARCHAR", "Format that read it", required=True, blinding="never"),
        Column("dataset", "VARCHAR", "Data set or protocol source it belongs to", blinding="never"),
        Column("mode", "source_mode", "increment or snapshot", required=True),
        Column("exported_utc", "TIMESTAMP", "When the file was exported, as the file or its name says"),
        Column("size_bytes", "BIGINT", "Size as received", required=True),
        Column("rows_read", "BIGINT", "Data rows in the file", required=True),
        Column("rows_new", "BIGINT", "Rows current because of this file", required=True),
        Column("rows_duplicate", "BIGINT", "Rows equal to a row of this or another file", required=True),
        Column(
            "rows_superseded",
            "BIGINT",
            "Rows replaced by a later export, or absent from a later snapshot",
            required=True,
        ),
        Column("rows_quarantined", "BIGINT", "Rows that could not be used", required=True),
        Column("first_event", "TIMESTAMP", "Earliest event in the file, local"),
        Column("last_event", "TIMESTAMP", "Latest event in the file, local"),
        Column("importer_version", "VARCHAR", "Program version that read it", required=True),
        Column("protocol_sha256", "VARCHAR", "Protocol whose reading keys are pinned to the file", required=True),
    ),
    key=("sha256",),
    origin="build",
    sort=("source_id",),
    subject_level=False,
)

QUARANTINE = Table(
    "quarantine",
    "Rows that were received and cannot be used yet, with reason, file, line and raw text; never dropped",
    (
        Column("source_id", "VARCHAR", "source_file.source_id", required=True),
        Column("line", "BIGINT", "Line in the file", required=True),
        Column("table_name", "VARCHAR", "Table the row was meant for"),
        Column("reason", "quarantine_reason", "Reason code", required=True),
        Column("field", "VARCHAR", "Field at fault, as the file or the schema names it", blinding="never"),
        Column("value", "VARCHAR", "Value found", blinding="never"),
        Column("message", "VARCHAR", "The reason in words", blinding="never"),
        Column("subject_id", "VARCHAR", "Subject as stated, where readable"),
        Column("device_id", "VARCHAR", "Device as stated, where readable"),
        Column("raw", "VARCHAR", "The row as received", blinding="never"),
        Column("decision", "VARCHAR", "rejected or excluded, where a person decided so (quarantine_decision)"),
    ),
    key=("source_id", "line", "reason", "field"),
    origin="build",
    sort=("source_id", "line", "reason", "field"),
    subject_level=False,
)

LEDGER = Table(
    "ledger",
    "Copy of the ledger up to built_from_seq: who did what, when and why",
    (
        Column("seq", "BIGINT", "Sequence number", required=True),
        Column("at_utc", "TIMESTAMP", "When, UTC, microseconds", required=True),
        Column("user_name", "VARCHAR", "Operating system user", required=True),
        Column("role", "VARCHAR", "Role in which the user acted; NULL: the protocol named none"),
        Column("host", "VARCHAR", "Machine on which it was done"),
        Column("action", "VARCHAR", "What was done", required=True),
        Column("record", "VARCHAR", "What it was done to, as table/key", blinding="never"),
        Column("field", "VARCHAR", "Field of the record, where one is meant"),
        Column("old_value", "VARCHAR", "Old value (JSON)", blinding="never"),
        Column("new_value", "VARCHAR", "New value (JSON)", blinding="never"),
        Column("reason", "VARCHAR", "Why, in the user's words", blinding="never"),
        Column("hash", "VARCHAR", "Hash of the row chained to the one before", required=True),
    ),
    key=("seq",),
    origin="ledger",
    sort=("seq",),
    subject_level=False,
)

RESULT = Table(
    "result",
    "Every figure the study reports, computed once when the release is made; screens, exports and SQL read this table",
    (
        Column("analysis", "VARCHAR", "enrolment, exposure, accuracy, compliance, adverse_events", required=True),
        Column("population", "VARCHAR", "Population the figure is of", required=True),
        Column("arm", "VARCHAR", "Arm code; ALL over arms; NULL where no arm applies", blinding="never"),
        Column("comparator", "VARCHAR", "Arm the figure is compared with", blinding="never"),
        Column("drug", "VARCHAR", "Drug the figure is of; NULL: not of one drug", blinding="never"),
        Column("channel", "VARCHAR", "Channel of the device, where it has several"),
        Column("device_class", "VARCHAR", "Device class"),
        Column("period", "VARCHAR", "Treatment period: order and name", blinding="never"),
        Column("by", "VARCHAR", "What the figure is broken down by (severity, relation, site, ...)"),
        Column("by_value", "VARCHAR", "Value of by"),
        Column("soc", "VARCHAR", "System organ class"),
        Column("term", "VARCHAR", "Adverse event term"),
        Column("parameter", "VARCHAR", "Named parameter (recorded_compliance, teae, ...)", required=True),
        Column("dose_pair", "VARCHAR", "delivered/planned, delivered/programmed, programmed/planned"),
        Column("estimand", "VARCHAR", "Strategy for intercurrent events; planned or actual arm"),
        Column("statistic", "VARCHAR", "Statistic (share, mean, rate, p_value, ...)", required=True),
        Column("value", "DOUBLE", "Value in unit; NULL is not estimable", blinding="open"),
        Column("lower", "DOUBLE", "Lower limit"),
        Column("upper", "DOUBLE", "Upper limit"),
        Column("level", "DOUBLE", "Confidence level"),
        Column("numerator", "DOUBLE", "Numerator as counted"),
        Column("denominator", "DOUBLE", "Denominator as counted"),
        Column("subjects", "BIGINT", "Subjects in the figure"),
        Column("doses", "BIGINT", "Doses in the figure"),
        Column("not_assessable", "VARCHAR", "Sentence that says why the figure cannot be given"),
        Column("unit", "VARCHAR", "Unit of value"),
        Column("method", "VARCHAR", "Method and rule"),
        Column("data_cut", "DATE", "Event date up to which data count; NULL all data"),
    ),
    key=(
        "analysis", "population", "arm", "comparator", "drug", "channel", "device_class", "period", "by", "by_value",
        "soc", "term", "parameter", "dose_pair", "estimand", "statistic", "data_cut",
    ),
    origin="derived",
    sort=(),
    subject_level=False,
)  # fmt: skip

BUILD_INFO = Table(
    "build_info",
    "How this release was made; not part of the logical digest",
    (
        Column("release", "BIGINT", "Release number", required=True),
        Column("built_from_seq", "BIGINT", "Ledger sequence the release is a function of", required=True),
        Column("ledger_head", "VARCHAR", "Hash of that ledger row", required=True),
        Column("protocol_sha256", "VARCHAR", "Protocol that gave the meaning", required=True),
        Column("program_version", "VARCHAR", "dosetrail version", required=True),
        Column("schema_version", "INTEGER", "Schema version", required=True),
        Column("blinding_state", "VARCHAR", "open or blinded", required=True),
        Column("built_utc", "TIMESTAMP", "When", required=True),
        Column("study_id", "VARCHAR", "Study identifier as protocol.toml states it (SDTM STUDYID)"),
    ),
    key=("release",),
    origin="build",
    sort=("release",),
    subject_level=False,
)

SCHEMA_VERSION = 1

STUDY_TABLES: tuple[Table, ...] = (SOURCE_FILE, QUARANTINE, LEDGER, RESULT, BUILD_INFO)
