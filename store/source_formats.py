"""Formats a [[source]] can name, and whether a file of each is an increment or a snapshot."""

from __future__ import annotations

from typing import Literal

SourceFormat = Literal[
    "sdtm",
    "dose_log",
    "enrolment",
    "adverse_events",
    "redcap",
    "odm",
    "edc_forms",
    "carelink",
    "tandem_csv",
    "tandem_xml",
    "tandem_source",
    "glooko",
    "diasend",
    "nightscout",
    "loop_doses",
    "tidepool",
    "fhir",
    "hl7_pcd",
    "novopen",
    "jaeb",
    "cgm_exports",
    "adherence_caps",
    "programmable_implant",
    "dual_implant",
    "ai_implant",
    "refillable_reservoir",
    "depot",
    "ingestible",
    "patch_injector",
    "transdermal_patch",
    "pen_session",
    "observation_log",
    "device_event_log",
    "wear_log",
    "reference_measurements",
    "prescription_list",
    "device_list",
    "assignment_list",
    "consent_list",
    "visit_list",
    "deviation_list",
    "accountability_list",
]
"""Every format importers.registry reads (a test compares the two)."""

SNAPSHOT_FORMATS = (
    "sdtm", "enrolment", "adverse_events", "redcap", "odm", "edc_forms", "prescription_list", "device_list",
    "assignment_list", "consent_list", "visit_list", "deviation_list", "accountability_list",
)  # fmt: skip
"""Formats whose files replace the one before: what is absent from the newest is no longer in its source."""


def default_mode(format: str) -> Literal["increment", "snapshot"]:
    """What a file of the format is unless its [[source]] says otherwise."""
    return "snapshot" if format in SNAPSHOT_FORMATS else "increment"
