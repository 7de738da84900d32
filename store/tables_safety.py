"""Adverse events, device deficiencies, disposition, consent, visits, deviations, accountability."""

from __future__ import annotations

from store.schema import AMOUNT, Column, Table, received
from store.tables_subject import SUBJECT_ID

ADVERSE_EVENT = received(
    "adverse_event",
    "Adverse events as recorded (SDTM AE); derived dates and treatment emergence stand in adverse_event_derived",
    [
        SUBJECT_ID,
        Column("event_seq", "VARCHAR", "Sequence in the source (SDTM AESEQ)", required=True),
        Column("term", "VARCHAR", "Reported term (SDTM AETERM)", required=True),
        Column("preferred_term", "VARCHAR", "Dictionary term (SDTM AEDECOD); NULL when uncoded"),
        Column(
            "soc",
            "VARCHAR",
            "System organ class used for tables (SDTM AEBODSYS, else AESOC); NULL when uncoded",
        ),
        Column("high_level_term", "VARCHAR", "SDTM AEHLT"),
        Column("severity", "VARCHAR", "MILD, MODERATE, SEVERE as recorded"),
        Column("grade", "VARCHAR", "Toxicity grade as recorded"),
        Column("serious", "BOOLEAN", "As recorded (SDTM AESER)"),
        Column("causality", "VARCHAR", "Causality as recorded (SDTM AEREL); NULL is not assessable"),
        Column("device_relation", "VARCHAR", "Relation to the device as recorded (SDTM AERLDEV)"),
        Column("action_taken", "VARCHAR", "Action with study treatment (SDTM AEACN)", blinding="infer"),
        Column("outcome", "VARCHAR", "Outcome as recorded (SDTM AEOUT)"),
        Column("results_in_death", "BOOLEAN", "SDTM AESDTH"),
        Column("hospitalisation", "BOOLEAN", "SDTM AESHOSP"),
        Column("life_threatening", "BOOLEAN", "SDTM AESLIFE"),
        Column("device_id", "VARCHAR", "Device where stated"),
        Column("epoch", "VARCHAR", "Epoch as recorded", blinding="infer"),
        Column("start_text", "VARCHAR", "Start as recorded, possibly partial (SDTM AESTDTC)"),
        Column("end_text", "VARCHAR", "End as recorded, possibly partial (SDTM AEENDTC)"),
        Column("reported_text", "VARCHAR", "Date of collection as recorded (SDTM AEDTC)"),
    ],
    identity=("subject_id", "event_seq"),
)

ADVERSE_EVENT_DERIVED = Table(
    "adverse_event_derived",
    "Adverse events with imputed dates, treatment emergence and the term used in tables; one row per adverse_event row",
    (
        SUBJECT_ID,
        Column("event_seq", "VARCHAR", "adverse_event.event_seq", required=True),
        Column("table_term", "VARCHAR", "Preferred term, else the reported term when uncoded", required=True),
        Column("table_soc", "VARCHAR", "System organ class, else UNCODED", required=True),
        Column("start_date", "DATE", "Start after imputation; NULL when not imputable"),
        Column("start_imputed", "VARCHAR", "Imputed parts: D, M or Y; NULL when complete"),
        Column("end_date", "DATE", "End after imputation"),
        Column("end_imputed", "VARCHAR", "Imputed parts: D, M or Y; NULL when complete"),
        Column(
            "treatment_emergent",
            "BOOLEAN",
            "Starts on or after treatment start, within the protocol's window",
            required=True,
        ),
        Column("related", "BOOLEAN", "Causality among the protocol's related values; NULL not assessable"),
        Column("study_day", "INTEGER", "Study day of start_date (no day 0)"),
        Column("severity_rank", "INTEGER", "1 mild, 2 moderate, 3 severe; NULL when not recorded"),
    ),
    key=("subject_id", "event_seq"),
    origin="derived",
    sort=("subject_id", "event_seq"),
)

EVENT_DOSE = Table(
    "event_dose",
    "What came before each adverse event: the last dose at or before its onset, its device, lot, error, and alarms",
    (
        SUBJECT_ID,
        Column("event_seq", "VARCHAR", "adverse_event.event_seq", required=True),
        Column("onset_date", "DATE", "Start of the event, completed; NULL: not known"),
        Column("onset_has_time", "BOOLEAN", "FALSE: a date only, doses of that day count as before it"),
        Column("last_dose_at", "TIMESTAMP", "Start of the last dose, local; NULL: none before the onset"),
        Column("hours_since_dose", "DOUBLE", "Hours from it to the onset; NULL when the onset is a date only"),
        Column("device_id", "VARCHAR", "Device of the dose"),
        Column("device_class", "VARCHAR", "Class of the device, else of the subject's device"),
        Column("model", "VARCHAR", "Model of the device"),
        Column("firmware", "VARCHAR", "Firmware on the dose, else last reported by the device"),
        Column("lot", "VARCHAR", "Lot on the dose, else that of the device", blinding="never"),
        Column("dose_error_pct", "DOUBLE", "Percent error of the dose; NULL: amounts cannot be compared"),
        Column("dose_error_pair", "VARCHAR", "delivered/programmed, else delivered/planned as the record states it"),
        Column("dose_with_alarm", "BOOLEAN", "The dose carries an alarm or was stopped by a fault"),
        Column("alarms_before", "INTEGER", "Alarms in the onset's day and the 7 days before"),
        Column("source_id", "VARCHAR", "Source file of the dose"),
        Column("line", "BIGINT", "Line of the dose in it"),
        Column("part", "SMALLINT", "Part of that line"),
    ),
    key=("subject_id", "event_seq"),
    origin="derived",
    sort=("subject_id", "event_seq"),
    withheld=True,
)

FINDING_ABOUT = received(
    "finding_about",
    "Findings about events and death details (SDTM FA, DD)",
    [
        Column("domain", "VARCHAR", "Source domain", required=True),
        SUBJECT_ID,
        Column("finding_seq", "VARCHAR", "Sequence in the source", required=True),
        Column("link", "VARCHAR", "Link id or group"),
        Column("test", "VARCHAR", "Test code", required=True),
        Column("object", "VARCHAR", "Object of the finding", blinding="infer"),
        Column("category", "VARCHAR", "Category of the finding as recorded", blinding="infer"),
        Column("result", "VARCHAR", "Result as recorded", blinding="infer"),
        Column("body_site", "VARCHAR", "Location"),
        Column("finding_date", "DATE", "Date"),
    ],
    identity=("domain", "subject_id", "finding_seq"),
)

DEVICE_DEFICIENCY = received(
    "device_deficiency",
    "Device deficiencies (ISO 14155), counted per device",
    [
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("subject_id", "VARCHAR", "Subject where stated"),
        Column("deficiency_seq", "VARCHAR", "Sequence in the source"),
        Column("term", "VARCHAR", "As recorded", required=True, blinding="infer"),
        Column("category", "VARCHAR", "Category (CDISC DECAT)", blinding="infer"),
        Column("start_text", "VARCHAR", "Start as recorded"),
        Column("could_have_harmed", "BOOLEAN", "Might have led to a serious event"),
    ],
    identity=("device_id", "deficiency_seq"),
)

DISPOSITION = received(
    "disposition",
    "Milestones and ends of treatment and participation (SDTM DS)",
    [
        SUBJECT_ID,
        Column("disposition_seq", "VARCHAR", "Sequence in the source (SDTM DSSEQ)", required=True),
        Column("term", "VARCHAR", "As recorded (SDTM DSTERM)", blinding="infer"),
        Column("decoded", "VARCHAR", "Controlled term (SDTM DSDECOD)"),
        Column("category", "VARCHAR", "PROTOCOL MILESTONE, DISPOSITION EVENT, OTHER EVENT"),
        Column("scope", "VARCHAR", "STUDY PARTICIPATION or STUDY TREATMENT (SDTM DSSCAT); NULL when not stated"),
        Column("epoch", "VARCHAR", "Epoch of the trial as recorded", blinding="infer"),
        Column("disposition_date", "DATE", "Date (SDTM DSSTDTC)"),
    ],
    identity=("subject_id", "disposition_seq"),
)

CONSENT = received(
    "consent",
    "Consents and withdrawals",
    [
        SUBJECT_ID,
        Column("version", "VARCHAR", "Version of the consent form"),
        Column("signed_date", "DATE", "Signed"),
        Column("withdrawn_date", "DATE", "Withdrawn"),
        Column("effect", "VARCHAR", "keep, stop, delete_request"),
    ],
    identity=("subject_id", "version"),
)

PLANNED_VISIT = Table(
    "planned_visit",
    "Visit schedule of the protocol (SDTM TV)",
    (
        Column("visit_number", "DOUBLE", "Visit number", required=True),
        Column("visit", "VARCHAR", "Visit as printed"),
        Column("day", "INTEGER", "Planned study day"),
        Column("window_before_d", "INTEGER", "Days before that are in window"),
        Column("window_after_d", "INTEGER", "Days after that are in window"),
    ),
    key=("visit_number",),
    origin="protocol",
    sort=("visit_number",),
    subject_level=False,
)

VISIT = received(
    "visit",
    "Visits that took place (SDTM SV)",
    [
        SUBJECT_ID,
        Column("visit_number", "DOUBLE", "Visit number"),
        Column("visit", "VARCHAR", "Visit as printed"),
        Column("start_date", "DATE", "First day"),
        Column("end_date", "DATE", "Last day"),
        Column("unplanned", "VARCHAR", "Description of an unplanned visit", blinding="infer"),
    ],
    identity=("subject_id", "visit_number", "start_date"),
)

DEVIATION = received(
    "deviation",
    "Protocol deviations (SDTM DV); never the same as a query",
    [
        SUBJECT_ID,
        Column("deviation_seq", "VARCHAR", "Sequence in the source", required=True),
        Column("term", "VARCHAR", "As recorded", required=True, blinding="infer"),
        Column("category", "VARCHAR", "Category of the deviation as recorded", blinding="infer"),
        Column("importance", "VARCHAR", "major or minor"),
        Column("start_date", "DATE", "Date"),
        Column("excludes_from", "VARCHAR", "Populations it excludes from"),
    ],
    identity=("subject_id", "deviation_seq"),
)

ACCOUNTABILITY = received(
    "accountability",
    "Devices, kits and drug units shipped, dispensed, returned, lost (SDTM DA, DT)",
    [
        Column("subject_id", "VARCHAR", "Subject where it applies"),
        Column("device_id", "VARCHAR", "Device or kit"),
        Column("accountability_seq", "VARCHAR", "Sequence in the source", required=True),
        Column("action", "VARCHAR", "shipped, dispensed, returned, lost, destroyed", required=True),
        Column("quantity", AMOUNT, "Quantity in unit", blinding="never"),
        Column("unit", "VARCHAR", "What is counted: device, kit, pen", blinding="never"),
        Column("action_date", "DATE", "Date"),
    ],
    identity=("subject_id", "device_id", "accountability_seq"),
    withheld=True,
)

SAFETY_TABLES: tuple[Table, ...] = (
    ADVERSE_EVENT,
    ADVERSE_EVENT_DERIVED,
    EVENT_DOSE,
    FINDING_ABOUT,
    DEVICE_DEFICIENCY,
    DISPOSITION,
    CONSENT,
    PLANNED_VISIT,
    VISIT,
    DEVIATION,
    ACCOUNTABILITY,
)
