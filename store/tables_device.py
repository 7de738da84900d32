"""What devices report beside doses: events, wear, reservoirs, recommendations, measurements, clocks, daily totals."""

from __future__ import annotations

from store.schema import AMOUNT, Column, Table, received
from store.tables_dose import CHANNEL, DEVICE_SEQ, DRUG, FOLD, UNIT
from store.tables_subject import SUBJECT_ID

DEVICE_EVENT = received(
    "device_event",
    "Alarms, occlusions, suspends, refills, mode and clock changes of devices",
    [
        Column("subject_id", "VARCHAR", "Subject, once assigned"),
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("native_key", "VARCHAR", "The device's own sequence number"),
        Column(
            "event",
            "VARCHAR",
            "Product-neutral code: alarm, occlusion, suspend, resume, refill, clock_change, ...",
            required=True,
        ),
        Column("code", "VARCHAR", "Code as the device gives it", blinding="never"),
        Column("start_local", "TIMESTAMP", "Start as shown by the device", required=True),
        Column("end_local", "TIMESTAMP", "End"),
        Column("start_utc", "TIMESTAMP", "Start in UTC"),
        Column(
            "detail",
            "VARCHAR",
            "Text of the device; of a clock_change JSON with old_local and new_local",
            blinding="never",
        ),
        DEVICE_SEQ,
        FOLD,
    ],
    identity=("device_id", "native_key"),
)

WEAR_INTERVAL = received(
    "wear_interval",
    "Intervals a device was worn or on the body",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Device"),
        Column("start_local", "TIMESTAMP", "On", required=True),
        Column("end_local", "TIMESTAMP", "Off; NULL when not recorded"),
        Column("start_utc", "TIMESTAMP", "On, UTC"),
        Column("end_utc", "TIMESTAMP", "Off, UTC"),
        Column("body_site", "VARCHAR", "Anatomical site"),
        Column("planned_end_local", "TIMESTAMP", "When it was to come off; of a depot the end of its nominal release"),
        Column("release_model", "VARCHAR", "Of a depot: its nominal release profile, a model", blinding="never"),
        Column("end_reason", "VARCHAR", "Why it came off", blinding="infer"),
    ],
    identity=("subject_id", "device_id", "start_local"),
)

RESERVOIR_FILL = received(
    "reservoir_fill",
    "Fills, residual volumes and refills of reservoirs",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Device", required=True),
        CHANNEL,
        DRUG,
        Column("filled_at", "TIMESTAMP", "Refill, local", required=True),
        Column("filled_volume", AMOUNT, "Volume filled in volume_unit", blinding="never"),
        Column("residual_volume", AMOUNT, "Volume withdrawn before filling", blinding="never"),
        Column("logged_volume", AMOUNT, "Volume the device says it delivered since the fill before", blinding="never"),
        Column("programmed_volume", AMOUNT, "Volume programmed since the fill before", blinding="never"),
        Column("volume_unit", "VARCHAR", "UCUM unit", blinding="never"),
        Column("concentration", AMOUNT, "Concentration filled", blinding="never"),
        Column("concentration_unit", "VARCHAR", "UCUM unit of concentration", blinding="never"),
        Column("low_reservoir_at", "TIMESTAMP", "When this fill runs low, as the device foretells, local"),
    ],
    identity=("subject_id", "device_id", "channel", "filled_at"),
    withheld=True,
)

RECOMMENDATION = received(
    "recommendation",
    "Dose recommendations of an algorithm and what became of them",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Device"),
        Column("native_key", "VARCHAR", "The algorithm's own id"),
        Column("recommended_at", "TIMESTAMP", "Local time", required=True),
        Column("recommended_amount", AMOUNT, "Recommended", blinding="never"),
        Column("accepted_amount", AMOUNT, "Accepted", blinding="never"),
        UNIT,
        Column("decision", "VARCHAR", "accepted, overridden, expired", blinding="never"),
        Column("decision_at", "TIMESTAMP", "When decided", blinding="never"),
        Column("reason", "VARCHAR", "Reason of an override", blinding="never"),
        Column("algorithm_version", "VARCHAR", "Version", blinding="never"),
        Column("bound_min", AMOUNT, "Lower bound in force", blinding="never"),
        Column("bound_max", AMOUNT, "Upper bound in force", blinding="never"),
    ],
    identity=("subject_id", "device_id", "native_key", "recommended_at"),
    withheld=True,
)

REFERENCE_MEASUREMENT = received(
    "reference_measurement",
    "Weighed or assayed amounts against which a device is compared",
    [
        Column("subject_id", "VARCHAR", "Subject, NULL for bench series"),
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("measured_at", "TIMESTAMP", "Local time", required=True),
        Column("measurement", "VARCHAR", "weight, residual volume, assay", required=True),
        Column("value", AMOUNT, "Value in unit", blinding="never"),
        Column("unit", "VARCHAR", "UCUM unit", blinding="never"),
    ],
    identity=("device_id", "measured_at", "measurement"),
    withheld=True,
)

OBSERVATION = received(
    "observation",
    "Vitals and other observations that stand beside the doses they drive",
    [
        SUBJECT_ID,
        Column("device_id", "VARCHAR", "Measuring device"),
        Column("code", "VARCHAR", "What was observed", required=True),
        Column("observed_at", "TIMESTAMP", "Local time", required=True),
        Column("observed_utc", "TIMESTAMP", "UTC"),
        Column("value", "DOUBLE", "Value in unit", blinding="never"),
        Column("value_text", "VARCHAR", "Value as text where not a number", blinding="never"),
        Column("unit", "VARCHAR", "UCUM unit"),
        Column("valid", "BOOLEAN", "FALSE when the source marks it invalid"),
    ],
    identity=("subject_id", "device_id", "code", "observed_at"),
)

DEVICE_CLOCK = Table(
    "device_clock",
    "Epochs of device clocks that were set, lost or read: what local times of a device are in UTC (store.clock_epochs)",
    (
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("time_zone", "VARCHAR", "Zone of the site the device was used at", required=True),
        Column("number", "INTEGER", "Epoch in order of time", required=True),
        Column("lost", "BOOLEAN", "TRUE: the clock had lost its time (2000, 2004, 2007, ...)", required=True),
        Column("from_seq", "BIGINT", "Entries after this number of the device; NULL is open"),
        Column("to_seq", "BIGINT", "Entries up to this number; NULL is open"),
        Column("from_local", "TIMESTAMP", "The same by local time, for sources without numbers"),
        Column("to_local", "TIMESTAMP", "The same by local time"),
        Column("inner_from", "TIMESTAMP", "Only local times after this: the clock was read here"),
        Column("inner_to", "TIMESTAMP", "Only local times up to this"),
        Column("at_local", "TIMESTAMP", "Local time at which shift_s holds", required=True),
        Column("shift_s", "DOUBLE", "Device local time minus UTC, seconds", required=True),
        Column("until_local", "TIMESTAMP", "Local time at which end_shift_s holds; linear in between", required=True),
        Column("end_shift_s", "DOUBLE", "Device local time minus UTC, seconds", required=True),
        Column("rule", "VARCHAR", "clock_set, clock_chain, clock_drift or lost_clock", required=True),
        Column("certain", "BOOLEAN", "FALSE: its times are marked uncertain", required=True),
    ),
    key=("device_id", "time_zone", "number"),
    origin="derived",
    sort=("device_id", "time_zone", "number"),
    subject_level=False,
)

CONTROL_TOTAL = received(
    "control_total",
    "Totals the device itself reports, used only to reconcile",
    [
        Column("subject_id", "VARCHAR", "Subject, once assigned"),
        Column("device_id", "VARCHAR", "Device", required=True),
        Column("total_date", "DATE", "Device-local day", required=True),
        Column("measure", "VARCHAR", "What is totalled: bolus, basal, all, doses", required=True),
        Column("reported_total", AMOUNT, "Total as reported", blinding="never"),
        Column(
            "summed_total",
            AMOUNT,
            "Sum of the events of that day; NULL before reconciliation",
            blinding="never",
        ),
        UNIT,
    ],
    identity=("device_id", "total_date", "measure"),
)

DEVICE_TABLES: tuple[Table, ...] = (
    DEVICE_EVENT,
    WEAR_INTERVAL,
    RESERVOIR_FILL,
    RECOMMENDATION,
    REFERENCE_MEASUREMENT,
    OBSERVATION,
    DEVICE_CLOCK,
    CONTROL_TOTAL,
)
