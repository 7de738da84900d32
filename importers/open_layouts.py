"""Open layouts of devices: delimited text and Excel for what no vendor exports publicly, one declaration per layout."""

from __future__ import annotations

from importers.implant_layouts import AI_IMPLANT, DEPOT, DUAL_IMPLANT, PROGRAMMABLE_IMPLANT, REFILLABLE_RESERVOIR
from importers.layout_parts import (
    DEVICE_NEEDED,
    DRUG,
    NUMBER,
    REPORTED,
    SUBJECT,
    SUBJECT_NEEDED,
    UNIT,
    WHOSE,
    Layout,
    Output,
    amount,
    when,
)
from store.schema import Column

INGESTIBLE = Layout(
    "ingestible",
    "Ingestible sensor: one sensor on a row (witnessed ingestion, detection), or one interval the receiver was worn",
    (
        SUBJECT,
        Column("device_id", "VARCHAR", "Receiver", required=True),
        Column("sensor_id", "VARCHAR", "Sensor; empty on rows of receiver wear"),
        when("planned_local", "When it was to be swallowed"),
        when("witnessed_local", "Ingestion, only where somebody watched it"),
        when("detected_local", "Detection by the receiver; empty: not detected, which is not missed"),
        DRUG,
        amount("planned_amount", "Amount in the dose form"),
        UNIT,
        when("worn_from_local", "Receiver on the skin from"),
        when("worn_to_local", "Receiver on the skin to"),
    ),
    (
        Output(
            "planned_dose_recorded",
            {
                **WHOSE,
                "plan_seq": "{sensor_id}",
                "drug": "{drug}",
                "planned_at": "{planned_local}",
                "planned_precision": "{planned_local_precision}",
                "planned_amount": "{planned_amount}",
                "amount_unit": "{amount_unit}",
                "monitored": "{witnessed_local} IS NOT NULL OR {detected_local} IS NOT NULL",
            },
            "{planned_local} IS NOT NULL AND {sensor_id} IS NOT NULL",
        ),
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "native_key": "{sensor_id} || '/ingestion'",
                "kind": "'ingestion'",
                "trigger": "'user'",
                "time_anchor": "'point'",
                "planned_amount": "{planned_amount}",
                "amount_unit": "{amount_unit}",
                "status": "'completed'",
            },
            "{witnessed_local} IS NOT NULL AND {sensor_id} IS NOT NULL",
            {"start": "witnessed_local"},
        ),
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "native_key": "{sensor_id} || '/detection'",
                "kind": "'detection'",
                "trigger": "'user'",
                "time_anchor": "'point'",
                "planned_amount": "{planned_amount}",
                "amount_unit": "{amount_unit}",
                "status": "'completed'",
            },
            "{detected_local} IS NOT NULL AND {sensor_id} IS NOT NULL",
            {"start": "detected_local"},
        ),
        Output(
            "wear_interval",
            WHOSE,
            "{worn_from_local} IS NOT NULL",
            {"start": "worn_from_local", "end": "worn_to_local"},
        ),
    ),
    (("sensor_id",), ("detected_local",)),
    "no sensor with a planned or witnessed ingestion or a detection, and no receiver wear",
)

PATCH_INJECTOR = Layout(
    "patch_injector",
    "Patch injector: one session on a row",
    (
        SUBJECT,
        DEVICE_NEEDED,
        Column("session_no", "VARCHAR", "The injector's number of the session"),
        when("started_local", "Start of the session", required=True),
        when("ended_local", "End; empty: no end record"),
        amount("filled_volume", "Volume filled, or programmed where the injector takes a dose"),
        amount("delivered_volume", "Volume delivered"),
        Column("volume_unit", "VARCHAR", "UCUM unit of the volumes"),
        amount("concentration", "Concentration of the drug"),
        Column("concentration_unit", "VARCHAR", "UCUM unit of concentration"),
        Column("stop_reason", "stop_reason", "Why the session stopped early"),
        DRUG,
        Column("body_site", "VARCHAR", "Anatomical site"),
        NUMBER,
    ),
    (
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "native_key": "{session_no}",
                "kind": "'session'",
                "shape": "'extended'",
                "trigger": "'user'",
                "time_anchor": "'start'",
                "programmed_amount": "{filled_volume}",
                "programmed_basis": REPORTED % "filled_volume",
                "delivered_amount": "{delivered_volume}",
                "delivered_basis": REPORTED % "delivered_volume",
                "amount_unit": "{volume_unit}",
                "volume": "{delivered_volume}",
                "volume_unit": "{volume_unit}",
                "concentration": "{concentration}",
                "concentration_unit": "{concentration_unit}",
                "status": "CASE WHEN {ended_local} IS NULL THEN 'unknown' "
                "WHEN {delivered_volume} = 0 THEN 'none_delivered' "
                "WHEN {stop_reason} IS NOT NULL OR {delivered_volume} < {filled_volume} THEN 'partial' "
                "ELSE 'completed' END",
                "stop_reason": "{stop_reason}",
                "body_site": "{body_site}",
                "device_seq": "{device_seq}",
            },
            moments={"start": "started_local", "end": "ended_local"},
        ),
    ),
    (("started_local",), ("delivered_volume", "filled_volume")),
)

TRANSDERMAL_PATCH = Layout(
    "transdermal_patch",
    "Transdermal patch: one application on a row",
    (
        SUBJECT_NEEDED,
        Column("device_id", "VARCHAR", "Patch (its kit or lot number)"),
        when("applied_local", "When it was put on", required=True),
        when("removed_local", "When it was taken off; empty: not recorded"),
        when("planned_removal_local", "When it was to be taken off"),
        Column("body_site", "VARCHAR", "Anatomical site"),
        DRUG,
        amount("loaded_amount", "Amount in the patch when it was made"),
        amount("residual_amount", "Amount found in the used patch by assay"),
        UNIT,
        Column("removal_reason", "VARCHAR", "Why it came off"),
    ),
    (
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "kind": "'application'",
                "shape": "'continuous'",
                "trigger": "'user'",
                "time_anchor": "'start'",
                # What left the patch is known from an assay alone.
                "delivered_amount": "CASE WHEN {residual_amount} IS NOT NULL "
                "THEN greatest({loaded_amount} - {residual_amount}, 0) END",
                "delivered_basis": "CASE WHEN {residual_amount} IS NOT NULL AND {loaded_amount} IS NOT NULL "
                "THEN 'measured' END",
                "amount_unit": "{amount_unit}",
                "status": "CASE WHEN {removed_local} IS NULL THEN 'unknown' ELSE 'completed' END",
                "body_site": "{body_site}",
            },
            moments={"start": "applied_local", "end": "removed_local"},
        ),
        Output(
            "wear_interval",
            {
                **WHOSE,
                "planned_end_local": "{planned_removal_local}",
                "end_reason": "{removal_reason}",
                "body_site": "{body_site}",
            },
            moments={"start": "applied_local", "end": "removed_local"},
        ),
    ),
    (("applied_local",), ("removed_local",)),
)

PEN_SESSION = Layout(
    "pen_session",
    "Pen: one actuation on a row",
    (
        SUBJECT,
        DEVICE_NEEDED,
        Column("dose_no", "VARCHAR", "The pen's number of the actuation"),
        when("injected_local", "When", required=True),
        amount("dialled_amount", "Amount dialled"),
        amount("delivered_amount", "Amount the pen says it delivered"),
        UNIT,
        Column("prime", "BOOLEAN", "Y: an air shot before the injection, no dose"),
        DRUG,
        Column("body_site", "VARCHAR", "Anatomical site"),
        NUMBER,
    ),
    (
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "native_key": "{dose_no}",
                "kind": "CASE WHEN {prime} THEN 'prime' ELSE 'injection' END",
                "shape": "'immediate'",
                "trigger": "'user'",
                "time_anchor": "'point'",
                "programmed_amount": "{dialled_amount}",
                "programmed_basis": REPORTED % "dialled_amount",
                "delivered_amount": "{delivered_amount}",
                "delivered_basis": REPORTED % "delivered_amount",
                "amount_unit": "{amount_unit}",
                "exclude_reason": "CASE WHEN {prime} THEN 'air_shot' END",
                "status": "CASE WHEN {delivered_amount} = 0 AND {dialled_amount} > 0 THEN 'none_delivered' "
                "WHEN {delivered_amount} < {dialled_amount} THEN 'partial' ELSE 'completed' END",
                "body_site": "{body_site}",
                "device_seq": "{device_seq}",
            },
            moments={"start": "injected_local"},
        ),
    ),
    (("injected_local",), ("dialled_amount",)),
)

DEVICE_LAYOUTS: tuple[Layout, ...] = (
    PROGRAMMABLE_IMPLANT,
    DUAL_IMPLANT,
    AI_IMPLANT,
    REFILLABLE_RESERVOIR,
    DEPOT,
    INGESTIBLE,
    PATCH_INJECTOR,
    TRANSDERMAL_PATCH,
    PEN_SESSION,
)
