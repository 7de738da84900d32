"""Closed lists of the schema, each in an order that never changes: new words go to the end.

Each becomes an ENUM in a release; a value outside its list is quarantined, never stored. Lists that come from data or
protocol (arms, drugs, terms, populations) are not here: they are text.
"""

from __future__ import annotations

DOSE_KINDS = (
    "bolus",
    "basal_segment",
    "infusion_segment",
    "injection",
    "application",
    "session",
    "opening",
    "ingestion",
    "detection",
    "release",
    "insertion",
    "prime",
)
DOSE_STATUS = ("completed", "partial", "none_delivered", "in_progress", "voided", "unknown")
AMOUNT_BASIS = (
    "measured",
    "reported",
    "nominal_crf",
    "rate_x_time",
    "volume_x_conc",
    "inferred_equal",
    "none",
)
PLANNED_STATUS = ("expected", "held", "as_needed", "not_required")
MATCH_STATUS = ("taken", "late", "missed", "extra", "held", "unmonitored")
DEVICE_CLASSES = (
    "pump",
    "patch_pump",
    "closed_loop",
    "pen",
    "auto_injector",
    "patch_injector",
    "transdermal_patch",
    "programmable_implant",
    "ai_implant",
    "dual_implant",
    "refillable_reservoir",
    "depot",
    "ingestible",
    "adherence_cap",
    "infusion_pump",
)
QUARANTINE_REASONS = (
    "unknown_subject",
    "unknown_device",
    "unassigned_device",
    "impossible_time",
    "bad_number",
    "bad_date",
    "bad_value",
    "unknown_unit",
    "missing_value",
    "missing_columns",
    "too_many_columns",
    "key_conflict",
    "too_long",
    "bad_encoding",
    "unreadable",
    "before_consent",
    "after_withdrawal",
)

VOCABULARIES: dict[str, tuple[str, ...]] = {
    "dose_kind": DOSE_KINDS,
    "dose_shape": ("immediate", "extended", "dual_now", "dual_later", "continuous", "micro"),
    "dose_trigger": ("user", "calculator", "schedule", "algorithm", "clinician", "unknown"),
    "dose_intent": ("scheduled", "as_needed", "titration", "algorithm", "clinician"),
    "dose_status": DOSE_STATUS,
    "stop_reason": (
        "user",
        "occlusion",
        "empty",
        "alarm_other",
        "low_glucose",
        "power",
        "clinician",
        "superseded",
        "unknown",
    ),
    "exclude_reason": (
        "prime",
        "air_shot",
        "fill",
        "manual_entry",
        "test",
        "aggregate",
        "before_enrolment",
        "after_end",
        "other_subject",
    ),
    "amount_basis": AMOUNT_BASIS,
    "drug_role": ("study", "rescue", "background"),
    "time_anchor": ("start", "end", "point"),
    "time_precision": ("year", "month", "date", "minute", "second"),
    "offset_source": ("device", "file", "site_zone", "coordinator", "none"),
    "planned_status": PLANNED_STATUS,
    "planned_basis": ("recorded", "generated"),
    "match_status": MATCH_STATUS,
    "device_class": DEVICE_CLASSES,
    "assignment_basis": ("stated_in_data", "enrolment", "coordinator"),
    "monitoring_state": ("monitored", "dark", "off_study"),
    "dosing_kind": ("scheduled", "continuous", "as_needed", "titrated", "algorithm_bounded", "single"),
    "subject_status": (
        "screening",
        "screen_failure",
        "enrolled",
        "on_treatment",
        "completed",
        "discontinued",
        "died",
    ),
    "file_status": ("imported", "duplicate_file", "failed", "ignored"),
    "source_mode": ("increment", "snapshot"),
    "quarantine_reason": QUARANTINE_REASONS,
    "row_state": ("superseded", "no_longer_in_source"),
    "query_state": ("open", "answered", "closed", "cancelled"),
}
