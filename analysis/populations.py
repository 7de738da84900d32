"""Analysis populations: who belongs to which, and the rule or supplied flag that decided."""

from __future__ import annotations

import polars as pl

from analysis.dose_counts import DoseCounts
from analysis.frames import Frames
from store.protocol import Population, Protocol

STANDARD_FLAGS = {
    "SAFETY": "safety",
    "ITT": "intention_to_treat",
    "FULLSET": "full_analysis",
    "PPROT": "per_protocol",
}
"""Standard qualifiers of SUPPDM (SDTMIG) and what their populations are called here."""

DERIVED_POPULATIONS = (
    "screened",
    "enrolled",
    "randomised",
    "safety",
    "accuracy_evaluable",
    "compliance_evaluable",
    "per_protocol",
)


def supplied_flags(frames: Frames, protocol: Protocol) -> list[Population]:
    """Flags that define populations: those the protocol names, else every SUPPDM qualifier labelled as one."""
    if protocol.population:
        return list(protocol.population)
    labels = (
        frames("supplemental", ["domain", "name", "label", "value"])
        .filter((pl.col("domain") == "DM") & pl.col("label").str.to_lowercase().str.contains("population flag"))
        .select("name")
        .unique()
        .sort("name")
    )
    return [Population(name=STANDARD_FLAGS.get(name, name.lower()), flag=name) for name in labels["name"].to_list()]


def derive_populations(frames: Frames, protocol: Protocol, course: pl.DataFrame, counts: DoseCounts) -> pl.DataFrame:
    """Table population: one row per population and screened subject, with the rule that decided.

    A flag supplied with the data wins over the rule of the same name. At a cut-off a supplied flag still needs the
    first dose to lie before the cut (safety and everything that presupposes treatment cannot be true earlier).
    """
    people = course.select("subject_id", "arm_code", "treatment_start").join(
        frames("subject", ["subject_id", "status", "enrolled_date", "not_randomised_reason"]).with_columns(
            pl.col("status").cast(pl.String)
        ),
        on="subject_id",
    )
    excluded = _excluded_per_protocol(frames)
    treated = pl.col("treatment_start").is_not_null()
    failed = (pl.col("status").is_in(["screening", "screen_failure"])).fill_null(False)
    rules: dict[str, tuple[pl.Expr, str]] = {
        "screened": (pl.lit(True), "has a record in the enrolment data"),
        "enrolled": (
            ~failed & (pl.col("arm_code").is_not_null() | treated | pl.col("enrolled_date").is_not_null()),
            "assigned an arm, enrolled or treated; not a screen failure",
        ),
        "randomised": (pl.col("arm_code").is_not_null(), "assigned to an arm of the protocol"),
        "safety": (treated, "at least one dose or device procedure"),
        "accuracy_evaluable": (
            treated & pl.col("subject_id").is_in(sorted(counts.evaluable_for_accuracy)),
            "at least one dose with two amounts that can be compared",
        ),
        "compliance_evaluable": (
            treated & pl.col("subject_id").is_in(sorted(counts.evaluable_for_compliance)),
            "at least one monitored expected dose",
        ),
        "per_protocol": (
            treated & pl.col("arm_code").is_not_null() & ~pl.col("subject_id").is_in(sorted(excluded)),
            "treated in an arm, no major deviation and none that excludes from it",
        ),
    }
    flags = frames("supplemental", ["domain", "subject_id", "name", "value"]).filter(pl.col("domain") == "DM")
    for population in supplied_flags(frames, protocol):
        rows = flags.filter(pl.col("name") == population.flag)
        if not rows.height:
            continue
        holders = rows.filter(pl.col("value") == population.value)["subject_id"].unique().sort().to_list()
        rules[population.name] = (
            treated & pl.col("subject_id").is_in(holders),
            f"supplied flag SUPPDM.{population.flag} = {population.value}",
        )
    return pl.concat(
        people.select(
            pl.lit(name).alias("population"),
            "subject_id",
            member.fill_null(False).alias("member"),
            pl.lit(rule).alias("rule"),
        )
        for name, (member, rule) in sorted(rules.items())
    ).sort("population", "subject_id")


def _excluded_per_protocol(frames: Frames) -> set[str]:
    deviations = frames("deviation", ["subject_id", "importance", "excludes_from"]).filter(
        (pl.col("importance").str.to_lowercase() == "major").fill_null(False)
        | pl.col("excludes_from").str.to_lowercase().str.contains("per.?protocol").fill_null(False)
    )
    names = ["subject_id", "importance", "excludes_from", "state"]
    recorded = frames("deviation_recorded", names).filter(
        pl.col("state").is_in(["recorded", "confirmed"])
        & ((pl.col("importance") == "major") | (pl.col("excludes_from") == "per_protocol").fill_null(False))
    )
    return {*deviations["subject_id"].to_list(), *recorded["subject_id"].to_list()}
