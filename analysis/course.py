"""The course of each subject: arms, first and last dose, start and end of treatment, end of observation.

One row per subject, the facts every other derivation starts from. Ends are recorded ends; an ongoing subject is
followed through the data cut or the day dosing was monitored through, never to the last dose.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from analysis.cut import effective_cut
from analysis.frames import Frames
from store.protocol import Protocol

PROCEDURE_EVENTS = ("implantation", "implanted", "insertion", "inserted")
"""device_event codes of a device procedure."""

COURSE_COLUMNS = (
    "subject_id",
    "site_id",
    "arm_code",
    "actual_arm_code",
    "first_dose",
    "last_dose",
    "first_at",
    "last_at",
    "treatment_start",
    "recorded_end",
    "end_basis",
    "followed_to",
    "followed_basis",
    "observed_to",
    "death_date",
    "device_class",
)


def derive_course(frames: Frames, protocol: Protocol, given_days: pl.DataFrame, cutoff: dt.date | None) -> pl.DataFrame:
    """One row per subject with `COURSE_COLUMNS`, sorted by subject_id.

    ``given_days``: subject_id, first_dose, last_dose, first_at, last_at of the dose events (DoseLog.given_days).
    ``treatment_start``: first dose or first device procedure, as the protocol states. ``recorded_end``: end of
    treatment as recorded, NULL while ongoing, with ``end_basis``. ``followed_to``: recorded end, else data cut,
    else the day dosing was monitored through, else the last day with a dose event in the whole study.
    ``observed_to``: end of observation for adverse events. Frames must be cut already.
    """
    subject = frames(
        "subject",
        [
            "subject_id",
            "site_id",
            "arm_code",
            "actual_arm_code",
            "reference_start",
            "reference_end",
            "first_treatment",
            "last_treatment",
            "participation_end",
            "death_date",
            "status",
        ],
    ).sort("subject_id")
    exposure = (
        frames("exposure", ["subject_id", "start_date", "end_date"])
        .group_by("subject_id")
        .agg(first_exposure=pl.col("start_date").min(), last_exposure=pl.max_horizontal("start_date", "end_date").max())
    )
    course = (
        subject.join(given_days, on="subject_id", how="left")
        .join(exposure, on="subject_id", how="left")
        .join(_first_procedures(frames), on="subject_id", how="left")
        .join(_disposition_ends(frames), on="subject_id", how="left")
        .join(device_classes(frames), on="subject_id", how="left")
        .with_columns(
            first_dose=pl.min_horizontal("first_dose", "first_exposure", "first_treatment"),
            last_dose=pl.coalesce(pl.max_horizontal("last_dose", "last_exposure"), "last_treatment"),
        )
    )
    codes = [arm.code for arm in protocol.arm]
    if codes:
        course = course.with_columns(
            pl.when(pl.col(name).is_in(codes)).then(pl.col(name)) for name in ("arm_code", "actual_arm_code")
        )
    start = {
        "first_dose": pl.col("first_dose"),
        "first_procedure": pl.coalesce("first_procedure", "first_dose"),
        "earlier": pl.min_horizontal("first_dose", "first_procedure"),
    }[protocol.adverse_events.treatment_start]
    return _ends(course.with_columns(treatment_start=start), protocol, given_days, cutoff).select(COURSE_COLUMNS)


def _ends(course: pl.DataFrame, protocol: Protocol, given_days: pl.DataFrame, cutoff: dt.date | None) -> pl.DataFrame:
    # An interim transfer fills the reference dates of ongoing subjects too (last contact, last dose): they are ends
    # only of a subject whose status says so.
    ended = pl.col("status").cast(pl.String).is_in(["completed", "discontinued", "died"]).fill_null(False)
    bases = [
        (pl.col("treatment_end"), "disposition of study treatment"),
        (pl.col("study_end"), "disposition event"),
        (pl.col("death_date"), "death"),
        (pl.when(ended).then(pl.col("participation_end")), "end of participation"),
        (pl.when(ended).then(pl.col("reference_end")), "reference end"),
        (pl.when(ended).then(pl.col("last_treatment")), "last treatment of an ended subject"),
    ]
    basis = pl.coalesce(pl.when(day.is_not_null()).then(pl.lit(text)) for day, text in bases)
    cut = effective_cut(protocol, cutoff)
    through, through_basis = cut, "data cut"
    if through is None:
        through, through_basis = protocol.study.monitored_through, "monitored through (protocol)"
    if through is None and given_days.height:
        through, through_basis = given_days["last_dose"].max(), "last day with a dose event in the study"  # type: ignore[assignment]
    day = pl.lit(through, dtype=pl.Date)
    return (
        course.with_columns(
            recorded_end=pl.coalesce(day for day, _ in bases),
            end_basis=basis,
        )
        .with_columns(
            followed_to=pl.when(pl.col("first_dose").is_not_null()).then(pl.coalesce("recorded_end", day)),
            followed_basis=pl.coalesce("end_basis", pl.lit(through_basis)),
            observed_to=pl.coalesce(
                "reference_end",
                pl.min_horizontal("death_date", "participation_end"),
                "study_end",
                day,
                "last_dose",
            ),
        )
    )  # fmt: skip


def _disposition_ends(frames: Frames) -> pl.DataFrame:
    """Recorded ends: of study treatment, and of the study (an unscoped disposition event ends both)."""
    events = frames("disposition", ["subject_id", "category", "scope", "decoded", "disposition_date"]).filter(
        pl.col("category").fill_null("DISPOSITION EVENT") == "DISPOSITION EVENT"
    )
    on_treatment = pl.col("scope") == "STUDY TREATMENT"
    return events.group_by("subject_id").agg(
        treatment_end=pl.col("disposition_date").filter(on_treatment.fill_null(False)).min(),
        study_end=pl.col("disposition_date").filter(~on_treatment.fill_null(False)).min(),
    )


def _first_procedures(frames: Frames) -> pl.DataFrame:
    worn = frames("wear_interval", ["subject_id", "start_local"])
    marked = frames("device_event", ["subject_id", "event", "start_local"]).filter(
        pl.col("event").is_in(PROCEDURE_EVENTS) & pl.col("subject_id").is_not_null()
    )
    return (
        pl.concat([worn, marked.select("subject_id", "start_local")])
        .group_by("subject_id")
        .agg(first_procedure=pl.col("start_local").min().dt.date())
    )


def device_classes(frames: Frames) -> pl.DataFrame:
    """The device class of each subject's devices; several classes are named together, in alphabetical order."""
    devices = frames("device", ["device_id", "device_class"]).with_columns(pl.col("device_class").cast(pl.String))
    return (
        frames("device_assignment", ["device_id", "subject_id"])
        .join(devices, on="device_id")
        .filter(pl.col("device_class").is_not_null())
        .group_by("subject_id")
        .agg(device_class=pl.col("device_class").unique().sort().str.join(" + "))
    )
