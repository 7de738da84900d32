"""Doses: what was planned, what the device was told, what was given, and how the three meet."""

from __future__ import annotations

from store.schema import AMOUNT, Column, Table, received
from store.tables_subject import SUBJECT_ID

DRUG = Column("drug", "VARCHAR", "Drug as the protocol or source names it", blinding="never")
CHANNEL = Column("channel", "VARCHAR", "Channel of a multi-channel device; NULL for one channel", blinding="infer")
UNIT = Column("amount_unit", "VARCHAR", "UCUM unit of the amounts", blinding="never")
PLANNED = Column("planned_amount", AMOUNT, "Amount planned; NULL is not stated, 0 is zero", blinding="never")

DEVICE_SEQ = Column(
    "device_seq",
    "BIGINT",
    "The device's own running number of the entry, if it never restarts",
)
FOLD = Column(
    "fold",
    "SMALLINT",
    "Of a local time the device showed twice: 0 the first, 1 the second, as the source's order tells; else NULL",
)

DOSE_EVENT = received(
    "dose_event",
    "One row per dose a device or form reports: bolus, basal segment, injection, application, opening, release, ...",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Device (device.device_id); NULL when the source names none"),
        Column("native_key", "VARCHAR", "The device's own sequence number or event id"),
        CHANNEL,
        DRUG,
        Column("drug_role", "drug_role", "study, rescue or background drug; NULL is study", blinding="infer"),
        Column("kind", "dose_kind", "What the event is", required=True, blinding="infer"),
        Column("shape", "dose_shape", "Shape of a delivery", blinding="infer"),
        Column("trigger", "dose_trigger", "What started it", blinding="infer"),
        Column(
            "intent",
            "dose_intent",
            "Why: scheduled, as needed, titration, algorithm, clinician",
            blinding="infer",
        ),
        Column(
            "start_local",
            "TIMESTAMP",
            "Start as the device or form shows it (naive local time)",
            required=True,
        ),
        Column("end_local", "TIMESTAMP", "End as the device or form shows it"),
        Column("start_utc", "TIMESTAMP", "Start in UTC; NULL when not derivable (date only, unknown zone)"),
        Column("end_utc", "TIMESTAMP", "End in UTC"),
        Column("start_precision", "time_precision", "How exact start_local is", required=True),
        Column("time_anchor", "time_anchor", "Which moment the source gave"),
        Column("utc_offset_min", "SMALLINT", "Offset of local time from UTC, minutes"),
        Column("offset_source", "offset_source", "Where the offset comes from"),
        Column(
            "clock_correction_s",
            "INTEGER",
            "Seconds to add to start_local for the right local time at the site; NULL: clock not corrected",
        ),
        Column(
            "clock_rule",
            "VARCHAR",
            "How the clock was corrected: clock_set, clock_chain, clock_drift, lost_clock, entry_before, person",
        ),
        Column("time_uncertain", "BOOLEAN", "TRUE: out of timing statistics, in dose totals"),
        Column("planned_amount", AMOUNT, "Amount planned as the record itself states it", blinding="never"),
        Column(
            "programmed_amount",
            AMOUNT,
            "Amount the device was told; NULL not reported, 0 zero",
            check="programmed_amount >= 0",
            blinding="never",
        ),
        Column(
            "delivered_amount",
            AMOUNT,
            "Amount given; NULL not reported, 0 zero",
            check="delivered_amount >= 0",
            blinding="never",
        ),
        UNIT,
        Column("programmed_basis", "amount_basis", "Basis of programmed_amount", blinding="never"),
        Column("delivered_basis", "amount_basis", "Basis of delivered_amount", blinding="never"),
        Column("volume", AMOUNT, "Volume given in volume_unit", check="volume >= 0", blinding="never"),
        Column("volume_unit", "VARCHAR", "UCUM unit of volume", blinding="never"),
        Column(
            "concentration",
            AMOUNT,
            "Concentration of the drug on this row",
            check="concentration >= 0",
            blinding="never",
        ),
        Column("concentration_unit", "VARCHAR", "UCUM unit of concentration", blinding="never"),
        Column("programmed_rate", AMOUNT, "Programmed rate in rate_unit", blinding="never"),
        Column("delivered_rate", AMOUNT, "Delivered rate in rate_unit", blinding="never"),
        Column("rate_unit", "VARCHAR", "UCUM unit of rates", blinding="never"),
        Column("programmed_duration_s", "INTEGER", "Programmed duration, seconds", blinding="never"),
        Column("delivered_duration_s", "INTEGER", "Delivered duration, seconds", blinding="never"),
        Column("status", "dose_status", "How the delivery ended"),
        Column("stop_reason", "stop_reason", "Why it stopped early"),
        Column(
            "exclude_reason",
            "exclude_reason",
            "Why the event is no therapeutic dose (prime, test, ...); NULL is a dose",
        ),
        Column("route", "VARCHAR", "Route of administration", blinding="infer"),
        Column("body_site", "VARCHAR", "Anatomical site"),
        Column("lot", "VARCHAR", "Lot of the drug", blinding="never"),
        Column("firmware", "VARCHAR", "Firmware at the time, where the row states it", blinding="infer"),
        Column("alarm", "VARCHAR", "Alarm on the row, product-neutral code"),
        DEVICE_SEQ,
        FOLD,
    ],
    identity=("subject_id", "device_id", "native_key"),
    sort=("subject_id", "start_local", "source_id", "line", "part"),
)

PLANNED_DOSE_RECORDED = received(
    "planned_dose_recorded",
    "Planned doses as the data record them (SDTM EC with ECPRESP = Y or ECMOOD = SCHEDULED)",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Device that holds the plan (implants); NULL when the source names none"),
        Column("plan_seq", "VARCHAR", "Sequence in the source (SDTM ECSEQ)", required=True),
        DRUG,
        CHANNEL,
        Column(
            "planned_at",
            "TIMESTAMP",
            "Planned start, local; midnight when only the date is stated",
            required=True,
        ),
        Column("planned_precision", "time_precision", "How exact planned_at is", required=True),
        PLANNED,
        UNIT,
        Column("occurred", "BOOLEAN", "Whether the record says it was taken (SDTM ECOCCUR)"),
        Column("reason", "VARCHAR", "Why not, where the row itself says so (SDTM ECREASOC)", blinding="infer"),
        Column("monitored", "BOOLEAN", "FALSE: nothing could tell (no telemetry, not detected): never missed"),
    ],
    identity=("subject_id", "device_id", "plan_seq"),
)

PLANNED_DOSE = Table(
    "planned_dose",
    "Every planned dose: recorded plans first, else generated from the regimen of the subject's period",
    (
        SUBJECT_ID,
        Column("planned_no", "INTEGER", "Running number within the subject, in time order", required=True),
        DRUG,
        CHANNEL,
        Column("period_order", "INTEGER", "Treatment period; NULL outside any", blinding="never"),
        Column("planned_at", "TIMESTAMP", "Planned start, local time of the site", required=True),
        Column("window_start", "TIMESTAMP", "Earliest start that counts as in window", blinding="never"),
        Column("window_end", "TIMESTAMP", "Latest start that counts as in window", blinding="never"),
        PLANNED,
        UNIT,
        Column(
            "status",
            "planned_status",
            "expected, held by the investigator, as needed, not required",
            required=True,
        ),
        Column("basis", "planned_basis", "recorded in the data or generated from the protocol", required=True),
        Column("hold_reason", "VARCHAR", "Why it was held", blinding="infer"),
    ),
    key=("subject_id", "planned_no"),
    origin="derived",
    sort=("subject_id", "planned_no"),
)

DOSE_MATCH = Table(
    "dose_match",
    "Planned doses and dose events joined one to one; every missed dose is a row",
    (
        SUBJECT_ID,
        Column("planned_no", "INTEGER", "planned_dose.planned_no; NULL for an extra dose"),
        Column("status", "match_status", "taken, late, missed, extra, held, unmonitored", required=True),
        Column(
            "dose_date",
            "DATE",
            "Dosing day (day start of the protocol), of the plan or of the extra event",
            required=True,
        ),
        Column("planned_at", "TIMESTAMP", "Planned start, local"),
        Column("event_at", "TIMESTAMP", "Start of the matched event, local"),
        Column("delay_s", "BIGINT", "event_at minus planned_at, seconds; NULL when either is a date only"),
        Column("period_order", "INTEGER", "Treatment period by the event's (else the plan's) day", blinding="never"),
        Column(
            "in_period",
            "BOOLEAN",
            "FALSE: the dose lies outside every treatment period of the subject",
            blinding="infer",
        ),
        DRUG,
        CHANNEL,
        PLANNED,
        Column("programmed_amount", AMOUNT, "Amount the device was told", blinding="never"),
        Column("delivered_amount", AMOUNT, "Amount given", blinding="never"),
        UNIT,
        Column("delivered_basis", "amount_basis", "Basis of delivered_amount", blinding="never"),
        Column(
            "within_limits",
            "BOOLEAN",
            "Delivered within the protocol's limits of planned; NULL not assessable",
            blinding="infer",
        ),
        Column("source_id", "VARCHAR", "Source file of the dose event; NULL when missed"),
        Column("line", "BIGINT", "Line of the dose event in it"),
        Column("part", "SMALLINT", "Part of the dose event on that line"),
    ),
    key=("subject_id", "planned_no", "source_id", "line", "part"),
    origin="derived",
    sort=("subject_id", "dose_date", "planned_no", "source_id", "line", "part"),
)

EXPOSURE = received(
    "exposure",
    "Administrations and constant-dosing intervals as recorded (SDTM EX)",
    [
        SUBJECT_ID,
        Column("exposure_seq", "VARCHAR", "Sequence in the source (SDTM EXSEQ)", required=True),
        Column("device_id", "VARCHAR", "Device where stated"),
        DRUG,
        Column("amount", AMOUNT, "Amount of one dose", blinding="never"),
        UNIT,
        Column("dose_form", "VARCHAR", "Dose form", blinding="infer"),
        Column("frequency", "VARCHAR", "Dosing frequency (CDISC FREQ)", blinding="infer"),
        Column("route", "VARCHAR", "Route of administration as recorded"),
        Column("epoch", "VARCHAR", "Epoch of the trial as recorded"),
        Column("start_date", "DATE", "First day", required=True),
        Column("end_date", "DATE", "Last day; NULL is not recorded"),
        Column("lot", "VARCHAR", "Lot of the drug as recorded", blinding="never"),
    ],
    identity=("subject_id", "exposure_seq"),
    withheld=True,
)

REGIMEN = Table(
    "regimen",
    "Dosing rules of protocol.toml by arm and period",
    (
        Column("arm_code", "VARCHAR", "Arm; NULL for every arm", blinding="never"),
        Column("period_order", "INTEGER", "Period; NULL for every period"),
        Column("subject_id", "VARCHAR", "Subject; NULL for every subject"),
        DRUG,
        CHANNEL,
        Column("dosing_kind", "dosing_kind", "Kind of dosing", required=True, blinding="never"),
        PLANNED,
        UNIT,
        Column("every_h", "DOUBLE", "Hours between doses; NULL when at clock times", blinding="never"),
        Column("clock_times", "VARCHAR", "Clock times, comma separated", blinding="never"),
        Column(
            "window_before_min",
            "DOUBLE",
            "Minutes before the planned time that are in window",
            blinding="never",
        ),
        Column(
            "window_after_min",
            "DOUBLE",
            "Minutes after the planned time that are in window",
            blinding="never",
        ),
        Column("amount_max", AMOUNT, "Most that one dose may be", blinding="never"),
    ),
    key=("arm_code", "period_order", "subject_id", "drug", "channel"),
    origin="protocol",
    subject_level=False,
    withheld=True,
)

PRESCRIPTION = received(
    "prescription",
    "Dated prescriptions (titration, changes) of a subject",
    [
        SUBJECT_ID,
        DRUG,
        CHANNEL,
        Column("start_at", "TIMESTAMP", "Valid from, local", required=True),
        Column("end_at", "TIMESTAMP", "Valid to; NULL until the next"),
        PLANNED,
        UNIT,
        Column("rate", AMOUNT, "Prescribed rate in rate_unit", blinding="never"),
        Column("rate_unit", "VARCHAR", "UCUM unit of rate", blinding="never"),
    ],
    identity=("subject_id", "drug", "channel", "start_at"),
    withheld=True,
)

HOLD = Table(
    "hold",
    "Intervals in which the investigator withheld dosing",
    (
        SUBJECT_ID,
        Column("start_date", "DATE", "First day", required=True),
        Column("end_date", "DATE", "Last day"),
        Column("reason", "VARCHAR", "Reason as recorded", blinding="infer"),
        Column("basis", "VARCHAR", "Where it is recorded", required=True),
    ),
    key=("subject_id", "start_date"),
    origin="derived",
    sort=("subject_id", "start_date"),
)

MONITORING_INTERVAL = Table(
    "monitoring_interval",
    "When a subject's dosing was monitored, dark (no data) or off study",
    (
        SUBJECT_ID,
        Column("start_date", "DATE", "First day", required=True),
        Column("end_date", "DATE", "Last day", required=True),
        Column("state", "monitoring_state", "monitored, dark, off_study", required=True),
        Column("basis", "VARCHAR", "What it rests on", required=True),
    ),
    key=("subject_id", "start_date"),
    origin="derived",
    sort=("subject_id", "start_date"),
)

DOSE_TABLES: tuple[Table, ...] = (
    REGIMEN,
    PRESCRIPTION,
    HOLD,
    PLANNED_DOSE_RECORDED,
    PLANNED_DOSE,
    DOSE_EVENT,
    DOSE_MATCH,
    EXPOSURE,
    MONITORING_INTERVAL,
)
