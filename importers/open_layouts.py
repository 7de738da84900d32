"""Open layouts: delimited text and Excel for what no vendor exports publicly, one declaration per layout.

A layout is a column dictionary and how one row fills canonical tables; the generic readers do the rest. A site that
has the same facts under other names maps them with [source.columns], as for the generic dose log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from store.schema import AMOUNT, Column


@dataclass(frozen=True)
class Output:
    """Rows of one canonical table: one for every row of the file for which ``where`` holds.

    ``columns``: canonical column -> SQL in which ``{name}`` stands for a column of the layout (NULL where the file has
    none); ``moments``: prefix of canonical time columns (``start``) -> time column of the layout (``released_local``),
    which fills ``start_local``, ``start_precision``, ``start_utc`` and what says how they follow. The precision of
    any time column stands as ``{name_precision}``.
    """

    table: str
    columns: Mapping[str, str]
    where: str = "true"
    moments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One open layout. ``told_by``: groups of columns, one of each must stand in a header to recognise it."""

    name: str
    """Also the format in [[source]], and the name of its example file."""
    title: str
    columns: tuple[Column, ...]
    outputs: tuple[Output, ...]
    told_by: tuple[tuple[str, ...], ...]
    empty_row: str = ""
    """Words for a row that fills no table."""
    not_with: tuple[str, ...] = ()
    """Columns of a richer layout: a header that has one is not recognised as this one."""

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


SUBJECT = Column("subject_id", "VARCHAR", "Subject; may be left out where the device is assigned to one")
SUBJECT_NEEDED = Column("subject_id", "VARCHAR", "Subject", required=True)
DEVICE = Column("device_id", "VARCHAR", "Device as the trial names it")
DEVICE_NEEDED = Column("device_id", "VARCHAR", "Device as the trial names it", required=True)
DRUG = Column("drug", "VARCHAR", "Drug as the protocol names it")
CHANNEL = Column("channel", "VARCHAR", "Channel of a multi-channel device")
UNIT = Column("amount_unit", "VARCHAR", "UCUM unit of every amount on the row")
NUMBER = Column("device_seq", "BIGINT", "The device's own running number of the entry, if it never restarts")


def amount(name: str, comment: str) -> Column:
    return Column(name, AMOUNT, f"{comment}; empty is not reported, 0 is zero")


def when(name: str, comment: str, *, required: bool = False) -> Column:
    return Column(name, "TIMESTAMP", f"{comment}, local time of the device", required=required)


WHOSE = {"subject_id": "{subject_id}", "device_id": "{device_id}"}
REPORTED = "CASE WHEN {%s} IS NOT NULL THEN 'reported' END"

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
