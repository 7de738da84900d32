"""Subjects, sites, arms, periods, populations, devices and who had which when."""

from __future__ import annotations

from store.schema import Column, Table, received

START_UNKNOWN = "DATE '1900-01-01'"
"""First day of an assignment whose start enrolment does not state: it held for every dose before its end."""

SUBJECT_ID = Column("subject_id", "VARCHAR", "Subject identifier as the trial gives it (SDTM USUBJID)", required=True)

SUBJECT = received(
    "subject",
    "One row per subject who was screened (SDTM DM)",
    [
        SUBJECT_ID,
        Column("subject_number", "VARCHAR", "Number within the site (SDTM SUBJID)"),
        Column("site_id", "VARCHAR", "Site (site.site_id)"),
        Column("sex", "VARCHAR", "Sex as recorded (SDTM SEX)"),
        Column("age", "INTEGER", "Age in age_unit at enrolment", check="age >= 0"),
        Column("age_unit", "VARCHAR", "Unit of age, YEARS unless stated"),
        Column("race", "VARCHAR", "Race as recorded"),
        Column("ethnicity", "VARCHAR", "Ethnicity as recorded"),
        Column("country", "VARCHAR", "Country as recorded"),
        Column("arm_code", "VARCHAR", "Planned arm (SDTM ARMCD); NULL when not randomised", blinding="never"),
        Column("actual_arm_code", "VARCHAR", "Actual arm (SDTM ACTARMCD)", blinding="never"),
        Column("consent_date", "DATE", "Informed consent (SDTM RFICDTC)"),
        Column("enrolled_date", "DATE", "Enrolment or randomisation where the source states it"),
        Column("reference_start", "DATE", "Reference start of the subject (SDTM RFSTDTC)"),
        Column("reference_end", "DATE", "Reference end of the subject (SDTM RFENDTC)"),
        Column("first_treatment", "DATE", "First study treatment as recorded (SDTM RFXSTDTC)"),
        Column("last_treatment", "DATE", "Last study treatment as recorded (SDTM RFXENDTC)"),
        Column("participation_end", "DATE", "End of participation (SDTM RFPENDTC)"),
        Column("death_date", "DATE", "Death (SDTM DTHDTC)"),
        Column("died", "BOOLEAN", "Death recorded (SDTM DTHFL = Y)"),
        Column("not_randomised_reason", "VARCHAR", "Why no arm (SDTM ARMNRS; Screen Failure in older data)"),
        Column("status", "subject_status", "Status as the enrolment source states it; NULL when it does not"),
    ],
    identity=("subject_id",),
)

SUBJECT_ELEMENT = received(
    "subject_element",
    "Actual treatment elements of a subject in order (SDTM SE)",
    [
        SUBJECT_ID,
        Column("element_seq", "INTEGER", "Sequence in the source (SDTM SESEQ)", required=True),
        Column("element_code", "VARCHAR", "Element (SDTM ETCD)", blinding="never"),
        Column("element", "VARCHAR", "Element description", blinding="never"),
        Column("epoch", "VARCHAR", "Epoch of the trial"),
        Column("start_date", "DATE", "First day of the element as recorded"),
        Column("end_date", "DATE", "Last day of the element as recorded"),
    ],
    identity=("subject_id", "element_seq"),
    withheld=True,
)

SITE = Table(
    "site",
    "Trial sites with their time zones (protocol.toml; sites seen in data only have a NULL time zone)",
    (
        Column("site_id", "VARCHAR", "Site identifier", required=True),
        Column("name", "VARCHAR", "Name as the protocol gives it"),
        Column("country", "VARCHAR", "Country of the site, as protocol.toml states it"),
        Column("time_zone", "VARCHAR", "IANA time zone; NULL until protocol.toml states it"),
    ),
    key=("site_id",),
    origin="protocol",
    sort=("site_id",),
    subject_level=False,
)

ARM = Table(
    "arm",
    "Arms of the trial in protocol order",
    (
        Column("arm_code", "VARCHAR", "Arm (SDTM ARMCD)", required=True, blinding="never"),
        Column("arm", "VARCHAR", "Arm as printed", blinding="never"),
        Column("arm_order", "INTEGER", "Order in the protocol, from 1", required=True, blinding="never"),
        Column("is_reference", "BOOLEAN", "Comparator of the others (placebo or control)", blinding="never"),
    ),
    key=("arm_code",),
    origin="protocol",
    sort=("arm_order",),
    subject_level=False,
    withheld=True,
)

TREATMENT_PERIOD = Table(
    "treatment_period",
    "Periods of each randomised subject, keyed by arm and order in the arm, with planned and actual dates",
    (
        SUBJECT_ID,
        Column("arm_code", "VARCHAR", "Planned arm", required=True, blinding="never"),
        Column(
            "period_order",
            "INTEGER",
            "Order within the arm (the same element can occur twice)",
            required=True,
        ),
        Column("element_code", "VARCHAR", "Element (SDTM ETCD)", blinding="never"),
        Column("period", "VARCHAR", "Period as printed", blinding="never"),
        Column(
            "planned_start",
            "DATE",
            "Planned first day, from the subject's treatment start and planned durations",
        ),
        Column("planned_end", "DATE", "Planned last day"),
        Column("actual_start", "DATE", "First day as recorded (SDTM SESTDTC)"),
        Column("actual_end", "DATE", "Last day as recorded (SDTM SEENDTC)"),
        Column("first_dose_date", "DATE", "First day whose doses belong to the period, after the boundary rule"),
        Column("last_dose_date", "DATE", "Last day whose doses belong to the period, after the boundary rule"),
        Column("boundary_rule", "VARCHAR", "Rule that drew first_dose_date (protocol.toml periods.boundary)"),
        Column(
            "planned_amount",
            "DECIMAL(18,6)",
            "Planned amount of one dose; NULL until protocol.toml states it",
            blinding="never",
        ),
        Column("amount_unit", "VARCHAR", "UCUM unit of planned_amount", blinding="never"),
    ),
    key=("subject_id", "period_order"),
    origin="derived",
    sort=("subject_id", "period_order"),
    withheld=True,
)

POPULATION = Table(
    "population",
    "Membership of each subject in each analysis population, one row each, with the rule that decided",
    (
        Column(
            "population",
            "VARCHAR",
            "enrolled, randomised, safety, accuracy_evaluable, ... or a supplied flag",
            required=True,
        ),
        SUBJECT_ID,
        Column("member", "BOOLEAN", "TRUE when the subject belongs", required=True),
        Column(
            "rule",
            "VARCHAR",
            "Rule or supplied flag that decided (a supplied SUPPDM flag wins)",
            required=True,
        ),
    ),
    key=("population", "subject_id"),
    origin="derived",
    sort=("population", "subject_id"),
)

DEVICE_PROPERTY = received(
    "device_property",
    "Identifiers and properties of devices, one per row (SDTM DI, DO; device lists)",
    [
        Column("device_id", "VARCHAR", "Device identifier as the trial gives it (SDTM SPDEVID)", required=True),
        Column("property_seq", "INTEGER", "Sequence in the source"),
        Column("start_date", "DATE", "Day from which the value holds; NULL: from the start"),
        Column("property", "VARCHAR", "Property (SDTM DIPARMCD: DEVTYPE, SERIAL, MODEL, LOT, ...)", required=True),
        Column("value", "VARCHAR", "Value as recorded", blinding="infer"),
    ],
    identity=("device_id", "property_seq", "start_date", "property"),
    subject_level=False,
)

DEVICE = Table(
    "device",
    "One row per device, gathered from device_property and from devices the dose data state",
    (
        Column("device_id", "VARCHAR", "Device identifier", required=True),
        Column(
            "device_class",
            "device_class",
            "Class (definitions of the project); NULL when protocol.toml does not map it",
        ),
        Column("device_type", "VARCHAR", "Type as recorded (SDTM DI DEVTYPE)", blinding="infer"),
        Column("manufacturer", "VARCHAR", "Manufacturer as the device list or the log states it", blinding="infer"),
        Column("model", "VARCHAR", "Model as the device list or the log states it", blinding="infer"),
        Column("serial", "VARCHAR", "Serial number"),
        Column("firmware", "VARCHAR", "Firmware version last reported", blinding="infer"),
        Column("lot", "VARCHAR", "Lot or batch", blinding="never"),
        Column("udi", "VARCHAR", "Unique device identifier", blinding="never"),
        Column("basis", "VARCHAR", "registered (device list) or stated_in_data", required=True),
    ),
    key=("device_id",),
    origin="derived",
    sort=("device_id",),
    subject_level=False,
)

DEVICE_ASSIGNMENT = Table(
    "device_assignment",
    "Which subject had which device when: dated intervals",
    (
        Column("device_id", "VARCHAR", "Device", required=True),
        SUBJECT_ID,
        Column(
            "start_date",
            "DATE",
            "First day; 1900-01-01 where none is stated: from the start of the study",
            required=True,
        ),
        Column("end_date", "DATE", "Last day; NULL when open"),
        Column("basis", "assignment_basis", "Where the assignment comes from", required=True),
    ),
    key=("device_id", "subject_id", "start_date"),
    origin="derived",
    sort=("device_id", "start_date", "subject_id"),
)

DEVICE_ASSIGNMENT_RECORDED = received(
    "device_assignment_recorded",
    "Assignments of devices to subjects as enrolment files or device lists state them",
    [
        Column("device_id", "VARCHAR", "Device", required=True),
        SUBJECT_ID,
        Column("start_date", "DATE", "First day; NULL means from the start of the study"),
        Column("end_date", "DATE", "Last day; NULL when open"),
    ],
    identity=("start_date", "subject_id", "device_id"),
)

SUPPLEMENTAL = received(
    "supplemental",
    "Supplemental qualifiers (SDTM SUPP--), long form",
    [
        Column("domain", "VARCHAR", "Domain of the parent row (SDTM RDOMAIN)", required=True),
        SUBJECT_ID,
        Column("parent_variable", "VARCHAR", "Identifying variable of the parent (SDTM IDVAR)"),
        Column("parent_value", "VARCHAR", "Its value (SDTM IDVARVAL)"),
        Column("name", "VARCHAR", "Qualifier (SDTM QNAM)", required=True, blinding="infer"),
        Column("label", "VARCHAR", "Label (SDTM QLABEL)", blinding="infer"),
        Column("value", "VARCHAR", "Value (SDTM QVAL)", blinding="infer"),
    ],
    identity=("domain", "subject_id", "parent_variable", "parent_value", "name"),
)

RELATION = received(
    "relation",
    "Related records (SDTM RELREC)",
    [
        Column("domain", "VARCHAR", "Domain (SDTM RDOMAIN)", required=True),
        Column("subject_id", "VARCHAR", "Subject, NULL for a data set level relation"),
        Column("variable", "VARCHAR", "Identifying variable (SDTM IDVAR)"),
        Column("value", "VARCHAR", "Its value (SDTM IDVARVAL)"),
        Column("relation_type", "VARCHAR", "ONE or MANY (SDTM RELTYPE)"),
        Column("relation_id", "VARCHAR", "Relation (SDTM RELID)", required=True),
    ],
    identity=("domain", "subject_id", "variable", "value", "relation_id"),
    subject_level=False,
)

SUBJECT_TABLES: tuple[Table, ...] = (
    SUBJECT,
    SUBJECT_ELEMENT,
    SITE,
    ARM,
    TREATMENT_PERIOD,
    POPULATION,
    DEVICE_PROPERTY,
    DEVICE,
    DEVICE_ASSIGNMENT_RECORDED,
    DEVICE_ASSIGNMENT,
    SUPPLEMENTAL,
    RELATION,
)
