"""Open layouts that belong to no one class of device: logs beside the doses, and lists the study office keeps."""

from __future__ import annotations

from importers.layout_parts import (
    CHANNEL,
    DEVICE,
    DEVICE_NEEDED,
    DRUG,
    NUMBER,
    SUBJECT,
    SUBJECT_NEEDED,
    UNIT,
    WHOSE,
    Layout,
    Output,
    amount,
    when,
)
from store.schema import AMOUNT, Column


def _same(*names: str) -> dict[str, str]:
    """Columns of the layout that are the canonical ones."""
    return {name: f"{{{name}}}" for name in names}


OBSERVATION_LOG = Layout(
    "observation_log",
    "Observations beside the doses they drive: any vital sign or laboratory value",
    (
        SUBJECT,
        Column("device_id", "VARCHAR", "Measuring device"),
        when("observed_local", "When", required=True),
        Column("code", "VARCHAR", "What was observed, such as glucose, heart_rate, il6", required=True),
        Column("value", "DOUBLE", "Value in unit"),
        Column("value_text", "VARCHAR", "Value where it is no number"),
        Column("unit", "VARCHAR", "UCUM unit of value"),
        Column("valid", "BOOLEAN", "N: the device or a person marks it as not valid"),
    ),
    (
        Output(
            "observation",
            {**WHOSE, **_same("code", "value", "value_text", "unit", "valid"), "observed_at": "{observed_local}"},
        ),
    ),
    (("observed_local",), ("code",)),
)

DEVICE_EVENT_LOG = Layout(
    "device_event_log",
    "Events of a device beside its doses: alarms, occlusions, suspends, refills, mode changes, changes of its clock",
    (
        SUBJECT,
        DEVICE_NEEDED,
        Column(
            "event",
            "VARCHAR",
            "alarm, occlusion, suspend, resume, refill, mode_change, clock_change, clock_reading, firmware_change, ...",
            required=True,
        ),
        when("event_local", "When, as the device showed it; of a clock_change the time before it", required=True),
        when("event_end_local", "End"),
        when("new_local", "clock_change: the time the device was set to"),
        Column("event_no", "VARCHAR", "The device's own number of the event"),
        Column("code", "VARCHAR", "Code as the device gives it"),
        Column("detail", "VARCHAR", "Text of the device; of a firmware_change the new version"),
        NUMBER,
    ),
    (
        Output(
            "device_event",
            {
                **WHOSE,
                **_same("event", "code", "device_seq"),
                "native_key": "{event_no}",
                "start_local": "{event_local}",
                "end_local": "{event_end_local}",
                "detail": "CASE WHEN {event} = 'clock_change' AND {new_local} IS NOT NULL THEN "
                "CAST(json_object('old_local', strftime({event_local}, '%Y-%m-%dT%H:%M:%S'), "
                "'new_local', strftime({new_local}, '%Y-%m-%dT%H:%M:%S')) AS VARCHAR) ELSE {detail} END",
            },
        ),
    ),
    (("event",), ("event_local",)),
)

WEAR_LOG = Layout(
    "wear_log",
    "When a device was on the body: pumps, pods, sensors, receivers",
    (
        SUBJECT,
        DEVICE_NEEDED,
        when("on_local", "On", required=True),
        when("off_local", "Off; empty: not recorded"),
        when("planned_off_local", "When it was to come off"),
        Column("body_site", "VARCHAR", "Anatomical site"),
        Column("off_reason", "VARCHAR", "Why it came off"),
    ),
    (
        Output(
            "wear_interval",
            {
                **WHOSE,
                "body_site": "{body_site}",
                "planned_end_local": "{planned_off_local}",
                "end_reason": "{off_reason}",
            },
            moments={"start": "on_local", "end": "off_local"},
        ),
    ),
    (("on_local",), ("off_local",)),
)

REFERENCE_MEASUREMENTS = Layout(
    "reference_measurements",
    "Weighed or assayed amounts against which a device is compared",
    (
        SUBJECT,
        DEVICE_NEEDED,
        when("measured_local", "When", required=True),
        Column("measurement", "VARCHAR", "weight, residual_volume, assay", required=True),
        Column("value", AMOUNT, "Value in unit", required=True),
        Column("unit", "VARCHAR", "UCUM unit of value", required=True),
    ),
    (
        Output(
            "reference_measurement",
            {**WHOSE, **_same("measurement", "value", "unit"), "measured_at": "{measured_local}"},
        ),
    ),
    (("measured_local",), ("measurement",)),
)

PRESCRIPTION_LIST = Layout(
    "prescription_list",
    "Dated prescriptions and orders: what was to be given from when on",
    (
        SUBJECT_NEEDED,
        DRUG,
        CHANNEL,
        when("valid_from_local", "Valid from", required=True),
        when("valid_to_local", "Valid to; empty: until the next"),
        amount("prescribed_amount", "Amount of one dose"),
        UNIT,
        amount("prescribed_rate", "Rate"),
        Column("rate_unit", "VARCHAR", "UCUM unit of the rate"),
    ),
    (
        Output(
            "prescription",
            {
                **_same("subject_id", "drug", "channel", "amount_unit", "rate_unit"),
                "start_at": "{valid_from_local}",
                "end_at": "{valid_to_local}",
                "planned_amount": "{prescribed_amount}",
                "rate": "{prescribed_rate}",
            },
        ),
    ),
    (("valid_from_local",), ("prescribed_amount", "prescribed_rate")),
)

CONSENT_LIST = Layout(
    "consent_list",
    "Consents and their withdrawals",
    (
        SUBJECT_NEEDED,
        Column("consent_version", "VARCHAR", "Version of the form", required=True),
        Column("signed_date", "DATE", "Signed"),
        Column("withdrawn_date", "DATE", "Withdrawn"),
        Column("effect", "VARCHAR", "Of a withdrawal: keep, stop or delete_request"),
    ),
    (
        Output(
            "consent",
            {
                **_same("subject_id", "signed_date", "withdrawn_date"),
                "version": "{consent_version}",
                "effect": "lower({effect})",
            },
        ),
    ),
    (("consent_version",), ("signed_date",)),
)

VISIT_LIST = Layout(
    "visit_list",
    "Visits that took place",
    (
        SUBJECT_NEEDED,
        Column("visit_number", "DOUBLE", "Number of the visit in the protocol's schedule; empty: unplanned"),
        Column("visit", "VARCHAR", "Visit as printed"),
        Column("visit_date", "DATE", "Day", required=True),
        Column("visit_end_date", "DATE", "Last day, where it took several"),
        Column("unplanned", "VARCHAR", "Why, of an unplanned visit"),
    ),
    (
        Output(
            "visit",
            {
                **_same("subject_id", "visit_number", "visit", "unplanned"),
                "start_date": "{visit_date}",
                "end_date": "{visit_end_date}",
            },
        ),
    ),
    (("visit_date",), ("visit_number", "visit")),
)

DEVIATION_LIST = Layout(
    "deviation_list",
    "Protocol deviations",
    (
        SUBJECT_NEEDED,
        Column("deviation_no", "VARCHAR", "Number", required=True),
        Column("deviation", "VARCHAR", "What happened", required=True),
        Column("category", "VARCHAR", "Category"),
        Column("importance", "VARCHAR", "major or minor"),
        Column("deviation_date", "DATE", "Day"),
        Column("excludes_from", "VARCHAR", "Populations it excludes from, separated by semicolons"),
    ),
    (
        Output(
            "deviation",
            {
                **_same("subject_id", "category", "excludes_from"),
                "deviation_seq": "{deviation_no}",
                "term": "{deviation}",
                "importance": "lower({importance})",
                "start_date": "{deviation_date}",
            },
        ),
    ),
    (("deviation_no",), ("deviation",)),
)

ACCOUNTABILITY_LIST = Layout(
    "accountability_list",
    "Devices, kits and drug units shipped, dispensed, returned, lost",
    (
        Column("subject_id", "VARCHAR", "Subject; empty: movements between sponsor and site"),
        DEVICE,
        Column("entry_no", "VARCHAR", "Number of the entry", required=True),
        Column("action", "VARCHAR", "shipped, dispensed, returned, lost or destroyed", required=True),
        amount("quantity", "Quantity in unit"),
        Column("quantity_of", "VARCHAR", "Unit of the quantity, such as tablet, pen, patch"),
        Column("action_date", "DATE", "Day"),
    ),
    (
        Output(
            "accountability",
            {
                **WHOSE,
                "accountability_seq": "{entry_no}",
                "action": "lower({action})",
                "quantity": "{quantity}",
                "unit": "{quantity_of}",
                "action_date": "{action_date}",
            },
        ),
    ),
    (("entry_no",), ("action",)),
)

_PROPERTIES = (
    ("device_class", "CLASS"),
    ("device_type", "DEVTYPE"),
    ("manufacturer", "MANUF"),
    ("model", "MODEL"),
    ("serial", "SERIAL"),
    ("firmware", "FIRMWARE"),
    ("lot", "LOT"),
    ("udi", "UDI"),
)

DEVICE_LIST = Layout(
    "device_list",
    "Devices of the trial; a further row with a later date tells what changed (firmware, lot, UDI)",
    (
        DEVICE_NEEDED,
        Column("valid_from_date", "DATE", "Day from which the row holds; empty: from the start"),
        Column("device_class", "device_class", "Class of the device"),
        Column("device_type", "VARCHAR", "Type, mapped to a class by [[device]] of the protocol"),
        Column("manufacturer", "VARCHAR", "Manufacturer"),
        Column("model", "VARCHAR", "Model"),
        Column("serial", "VARCHAR", "Serial number"),
        Column("firmware", "VARCHAR", "Firmware"),
        Column("lot", "VARCHAR", "Lot or batch"),
        Column("udi", "VARCHAR", "Unique device identifier"),
    ),
    tuple(
        Output(
            "device_property",
            {
                "device_id": "{device_id}",
                "start_date": "{valid_from_date}",
                "property": f"'{code}'",
                "value": f"{{{name}}}",
            },
            f"{{{name}}} IS NOT NULL",
        )
        for name, code in _PROPERTIES
    ),
    (("device_id",), ("device_class", "device_type", "model"), ("serial", "firmware", "lot", "udi")),
    "a device without any property",
)

ASSIGNMENT_LIST = Layout(
    "assignment_list",
    "Who had which device when",
    (
        DEVICE_NEEDED,
        SUBJECT_NEEDED,
        Column("assigned_from_date", "DATE", "First day; empty: from the start of the study"),
        Column("assigned_to_date", "DATE", "Last day; empty: still"),
    ),
    (
        Output(
            "device_assignment_recorded",
            {**WHOSE, "start_date": "{assigned_from_date}", "end_date": "{assigned_to_date}"},
        ),
    ),
    (("device_id",), ("assigned_from_date",)),
)

LIST_LAYOUTS: tuple[Layout, ...] = (
    OBSERVATION_LOG,
    DEVICE_EVENT_LOG,
    WEAR_LOG,
    REFERENCE_MEASUREMENTS,
    PRESCRIPTION_LIST,
    DEVICE_LIST,
    ASSIGNMENT_LIST,
    CONSENT_LIST,
    VISIT_LIST,
    DEVIATION_LIST,
    ACCOUNTABILITY_LIST,
)
