"""Open layouts of what lies under the skin: implants with a programme or an algorithm, reservoirs, depots."""

from __future__ import annotations

from importers.layout_parts import (
    CHANNEL,
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

_RELEASE_COLUMNS = (
    SUBJECT,
    DEVICE_NEEDED,
    Column("release_no", "VARCHAR", "The implant's number of the scheduled release", required=True),
    DRUG,
    when("scheduled_local", "When the release was programmed"),
    amount("scheduled_amount", "Amount programmed"),
    when("released_local", "When it happened; empty: it did not, or no telemetry was read"),
    amount("released_amount", "Amount released"),
    UNIT,
    Column(
        "outcome",
        "VARCHAR",
        "released, partial, failed (the implant says that nothing came out), no_telemetry (nobody knows)",
    ),
    Column("stop_reason", "stop_reason", "Why less or nothing came out"),
    NUMBER,
)
_RELEASE_EVENT = {
    **WHOSE,
    "drug": "{drug}",
    "kind": "'release'",
    "shape": "'immediate'",
    "trigger": "'schedule'",
    "intent": "'scheduled'",
    "time_anchor": "'point'",
    "planned_amount": "{scheduled_amount}",
    "programmed_amount": "{scheduled_amount}",
    "programmed_basis": REPORTED % "scheduled_amount",
    "delivered_amount": "{released_amount}",
    "delivered_basis": REPORTED % "released_amount",
    "amount_unit": "{amount_unit}",
    "status": "CASE WHEN {outcome} = 'failed' OR {released_amount} = 0 THEN 'none_delivered' "
    "WHEN {outcome} = 'partial' OR {released_amount} < {scheduled_amount} THEN 'partial' "
    "WHEN {released_amount} IS NULL THEN 'unknown' ELSE 'completed' END",
    "stop_reason": "{stop_reason}",
    "device_seq": "{device_seq}",
}
_RELEASE_PLAN = {
    **WHOSE,
    "drug": "{drug}",
    "planned_amount": "{scheduled_amount}",
    "amount_unit": "{amount_unit}",
    # Without telemetry nobody knows: neither taken nor missed.
    "occurred": "CASE WHEN {released_local} IS NOT NULL THEN coalesce({released_amount} > 0, true) "
    "WHEN {outcome} = 'failed' THEN false END",
    "reason": "CASE WHEN {outcome} IN ('failed', 'no_telemetry') THEN {outcome} END",
    "monitored": "{released_local} IS NOT NULL OR coalesce({outcome}, '') IN ('released', 'partial', 'failed')",
}
_PLANNED_AT = {"planned_at": "{scheduled_local}", "planned_precision": "{scheduled_local_precision}"}

PROGRAMMABLE_IMPLANT = Layout(
    "programmable_implant",
    "Programmable implant: one scheduled release on a row, and what became of it",
    _RELEASE_COLUMNS,
    (
        Output(
            "planned_dose_recorded",
            {**_RELEASE_PLAN, **_PLANNED_AT, "plan_seq": "{release_no}"},
            "{scheduled_local} IS NOT NULL",
        ),
        Output(
            "dose_event",
            {**_RELEASE_EVENT, "native_key": "{release_no}"},
            "{released_local} IS NOT NULL",
            {"start": "released_local"},
        ),
    ),
    (("release_no",), ("scheduled_local",), ("released_local",)),
    "neither a scheduled nor an actual release",
    not_with=("channel",),
)

DUAL_IMPLANT = Layout(
    "dual_implant",
    "Dual-channel implant: one scheduled release of one channel on a row",
    (
        *_RELEASE_COLUMNS[:3],
        Column("channel", "VARCHAR", "Channel; both channels of one release share its number", required=True),
        *_RELEASE_COLUMNS[3:],
    ),
    (
        Output(
            "planned_dose_recorded",
            {
                **_RELEASE_PLAN,
                **_PLANNED_AT,
                "channel": "{channel}",
                "plan_seq": "{release_no} || '/' || {channel}",
            },
            "{scheduled_local} IS NOT NULL",
        ),
        Output(
            "dose_event",
            {**_RELEASE_EVENT, "channel": "{channel}", "native_key": "{release_no} || '/' || {channel}"},
            "{released_local} IS NOT NULL",
            {"start": "released_local"},
        ),
    ),
    (("release_no",), ("scheduled_local",), ("released_local",), ("channel",)),
    "neither a scheduled nor an actual release",
)

AI_IMPLANT = Layout(
    "ai_implant",
    "Algorithm-adjusted implant: one recommendation on a row, the decision on it and the release that followed",
    (
        SUBJECT,
        DEVICE_NEEDED,
        Column("recommendation_no", "VARCHAR", "The algorithm's number of the recommendation", required=True),
        when("recommended_local", "When it was made", required=True),
        amount("recommended_amount", "Amount recommended"),
        amount("bound_min", "Lower bound in force"),
        amount("bound_max", "Upper bound in force"),
        Column("algorithm_version", "VARCHAR", "Version of the algorithm"),
        Column("decision", "VARCHAR", "accepted, overridden, expired; empty: the decision record is missing"),
        when("decided_local", "When it was decided"),
        amount("accepted_amount", "Amount accepted, or put in its place by the override"),
        Column("override_reason", "VARCHAR", "Reason of an override"),
        when("released_local", "When the release happened; empty: none"),
        amount("released_amount", "Amount released"),
        UNIT,
        DRUG,
        NUMBER,
    ),
    (
        Output(
            "recommendation",
            {
                **WHOSE,
                "native_key": "{recommendation_no}",
                "recommended_at": "{recommended_local}",
                "recommended_amount": "{recommended_amount}",
                "accepted_amount": "{accepted_amount}",
                "amount_unit": "{amount_unit}",
                "decision": "lower({decision})",
                "decision_at": "{decided_local}",
                "reason": "{override_reason}",
                "algorithm_version": "{algorithm_version}",
                "bound_min": "{bound_min}",
                "bound_max": "{bound_max}",
            },
        ),
        Output(
            "dose_event",
            {
                **WHOSE,
                "native_key": "{recommendation_no}",
                "drug": "{drug}",
                "kind": "'release'",
                "shape": "'immediate'",
                "trigger": "'algorithm'",
                "intent": "'algorithm'",
                "time_anchor": "'point'",
                "programmed_amount": "{accepted_amount}",
                "programmed_basis": REPORTED % "accepted_amount",
                "delivered_amount": "{released_amount}",
                "delivered_basis": REPORTED % "released_amount",
                "amount_unit": "{amount_unit}",
                "status": "CASE WHEN {released_amount} IS NULL THEN 'unknown' "
                "WHEN {released_amount} = 0 THEN 'none_delivered' "
                "WHEN {released_amount} < {accepted_amount} THEN 'partial' ELSE 'completed' END",
                "firmware": "{algorithm_version}",
                "device_seq": "{device_seq}",
            },
            "{released_local} IS NOT NULL",
            {"start": "released_local"},
        ),
    ),
    (("recommendation_no",), ("recommended_local",)),
)

REFILLABLE_RESERVOIR = Layout(
    "refillable_reservoir",
    "Refillable reservoir: one refill on a row, with what was withdrawn before it",
    (
        SUBJECT,
        DEVICE_NEEDED,
        when("refilled_local", "When the reservoir was refilled", required=True),
        amount("residual_volume", "Volume withdrawn before filling"),
        amount("filled_volume", "Volume filled"),
        amount("logged_volume", "Volume the device says it delivered since the refill before"),
        amount("programmed_volume", "Volume programmed since the refill before"),
        Column("volume_unit", "VARCHAR", "UCUM unit of every volume on the row"),
        amount("concentration", "Concentration filled"),
        Column("concentration_unit", "VARCHAR", "UCUM unit of concentration"),
        when("low_reservoir_local", "When the reservoir filled now will be low, as the device foretells"),
        DRUG,
        CHANNEL,
    ),
    (
        Output(
            "reservoir_fill",
            {
                **WHOSE,
                "channel": "{channel}",
                "drug": "{drug}",
                "filled_at": "{refilled_local}",
                "filled_volume": "{filled_volume}",
                "residual_volume": "{residual_volume}",
                "logged_volume": "{logged_volume}",
                "programmed_volume": "{programmed_volume}",
                "volume_unit": "{volume_unit}",
                "concentration": "{concentration}",
                "concentration_unit": "{concentration_unit}",
                "low_reservoir_at": "{low_reservoir_local}",
            },
        ),
    ),
    (("refilled_local",), ("filled_volume", "residual_volume")),
)

DEPOT = Layout(
    "depot",
    "Biodegradable depot: one insertion on a row; what it releases afterwards is a model, never a dose",
    (
        SUBJECT_NEEDED,
        Column("device_id", "VARCHAR", "Depot (its kit or lot number)", required=True),
        when("inserted_local", "When it was inserted", required=True),
        DRUG,
        amount("planned_amount", "Amount planned for the insertion"),
        amount("given_amount", "Amount inserted"),
        UNIT,
        Column("body_site", "VARCHAR", "Anatomical site"),
        Column("release_model", "VARCHAR", "Nominal release profile, such as linear or first_order"),
        when("nominal_end_local", "End of the nominal release"),
        when("removed_local", "When it was removed; empty: it was not"),
        Column("removal_reason", "VARCHAR", "Why it was removed"),
    ),
    (
        Output(
            "dose_event",
            {
                **WHOSE,
                "drug": "{drug}",
                "native_key": "strftime({inserted_local}, '%Y-%m-%dT%H:%M:%S')",
                "kind": "'insertion'",
                "shape": "'immediate'",
                "trigger": "'clinician'",
                "time_anchor": "'point'",
                "planned_amount": "{planned_amount}",
                "programmed_amount": "{planned_amount}",
                "programmed_basis": "CASE WHEN {planned_amount} IS NOT NULL THEN 'nominal_crf' END",
                "delivered_amount": "{given_amount}",
                "delivered_basis": REPORTED % "given_amount",
                "amount_unit": "{amount_unit}",
                "status": "CASE WHEN {given_amount} = 0 THEN 'none_delivered' "
                "WHEN {given_amount} < {planned_amount} THEN 'partial' ELSE 'completed' END",
                "body_site": "{body_site}",
            },
            moments={"start": "inserted_local"},
        ),
        Output(
            "wear_interval",
            {
                **WHOSE,
                "planned_end_local": "{nominal_end_local}",
                "release_model": "{release_model}",
                "end_reason": "{removal_reason}",
                "body_site": "{body_site}",
            },
            moments={"start": "inserted_local", "end": "removed_local"},
        ),
    ),
    (("inserted_local",), ("given_amount", "planned_amount")),
)
