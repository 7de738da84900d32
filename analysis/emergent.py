"""Adverse events with completed dates, treatment emergence and the term tables use."""

from __future__ import annotations

import polars as pl

from analysis.frames import Frames
from store.protocol import Protocol

UNCODED = "UNCODED"
"""System organ class of events without dictionary codes; their term is the reported one."""

SEVERITY_RANKS = {"MILD": 1, "MODERATE": 2, "SEVERE": 3}

AE_COLUMNS = (
    "subject_id",
    "event_seq",
    "table_term",
    "table_soc",
    "start_date",
    "start_imputed",
    "end_date",
    "end_imputed",
    "treatment_emergent",
    "related",
    "study_day",
    "severity_rank",
)


def derive_adverse_events(frames: Frames, protocol: Protocol, course: pl.DataFrame) -> pl.DataFrame:
    """Table adverse_event_derived: one row per adverse event of a known subject, by subject and sequence.

    A partial start becomes the first day of its month or year, raised to the start of treatment when that lies in
    the same month or year (unless the event ended before); a partial end the last day, at most the day of death.
    The imputed parts are flagged: D day, M month and day, Y everything (then the date stays NULL). Treatment-emergent:
    start on or after the start of treatment and, where the protocol sets a window, no later than that many days
    after the last dose; without a start, unless the event ended before treatment; never in the untreated.
    """
    events = frames(
        "adverse_event",
        ["subject_id", "event_seq", "term", "preferred_term", "soc", "severity", "causality", "start_text", "end_text"],
    ).join(
        course.select("subject_id", "treatment_start", "last_dose", "death_date"), on="subject_id", how="left"
    )  # fmt: skip
    events = events.with_columns(
        _completed("start_text", last=False).alias("start_date"),
        _imputed("start_text").alias("start_imputed"),
        _completed("end_text", last=True).alias("end_date"),
        _imputed("end_text").alias("end_imputed"),
    )
    events = events.with_columns(
        end_date=pl.when(pl.col("end_imputed").is_null() | (pl.col("end_date") <= pl.col("death_date")).fill_null(True))
        .then("end_date")
        .otherwise("death_date")
    )
    begin, treated = pl.col("start_date"), pl.col("treatment_start")
    same_month = begin.dt.truncate("1mo") == treated.dt.truncate("1mo")
    same_year = begin.dt.year() == treated.dt.year()
    raise_it = (
        (((pl.col("start_imputed") == "D") & same_month) | ((pl.col("start_imputed") == "M") & same_year))
        & (begin < treated)
        & (pl.col("end_date") >= treated).fill_null(True)
    ).fill_null(False)
    events = events.with_columns(start_date=pl.when(raise_it).then(treated).otherwise(begin))
    window = protocol.adverse_events.window_days
    in_window = (
        pl.lit(True)
        if window is None
        else (begin <= pl.col("last_dose") + pl.duration(days=window)).fill_null(True)
    )
    emergent = (
        pl.when(treated.is_null())
        .then(pl.lit(False))
        .when(begin.is_null())
        .then((pl.col("end_date") >= treated).fill_null(True))
        .otherwise((begin >= treated) & in_window)
    )
    related = [value.strip().upper() for value in protocol.adverse_events.related]
    return (
        events.with_columns(
            table_term=pl.coalesce("preferred_term", "term"),
            table_soc=pl.coalesce("soc", pl.lit(UNCODED)),
            treatment_emergent=emergent,
            related=pl.col("causality").str.strip_chars().str.to_uppercase().is_in(related)
            if related
            else pl.lit(None, dtype=pl.Boolean),
            study_day=_study_day(begin, treated),
            severity_rank=pl.col("severity")
            .str.to_uppercase()
            .replace_strict(SEVERITY_RANKS, default=None, return_dtype=pl.Int32),
        )
        .select(AE_COLUMNS)
        .sort("subject_id", "event_seq")
    )


def _study_day(day: pl.Expr, reference: pl.Expr) -> pl.Expr:
    """Days from the reference, which is day 1; the day before is -1 (there is no day 0)."""
    apart = (day - reference).dt.total_days()
    return pl.when(apart >= 0).then(apart + 1).otherwise(apart).cast(pl.Int32)


def _parts(column: str) -> tuple[pl.Expr, pl.Expr]:
    """The date part of an ISO 8601 text and its length (10 complete, 7 month, 4 year)."""
    text = pl.col(column).str.slice(0, 10)
    return text, text.str.len_chars()


def _completed(column: str, *, last: bool) -> pl.Expr:
    """The date, with missing parts filled by the first or last day possible; NULL without a year."""
    text, length = _parts(column)
    month = (text.str.slice(0, 7) + "-01").str.to_date("%Y-%m-%d", strict=False)
    year = (text.str.slice(0, 4) + "-01-01").str.to_date("%Y-%m-%d", strict=False)
    if last:
        month, year = month.dt.month_end(), year.dt.offset_by("11mo").dt.month_end()
    return (
        pl.when(length >= 10)
        .then(text.str.to_date("%Y-%m-%d", strict=False))
        .when(length >= 7)
        .then(month)
        .when(length >= 4)
        .then(year)
    )


def _imputed(column: str) -> pl.Expr:
    """Which parts had to be imputed: D, M or Y; NULL when complete."""
    _, length = _parts(column)
    return (
        pl.when(length >= 10)
        .then(pl.lit(None, dtype=pl.String))
        .when(length >= 7)
        .then(pl.lit("D"))
        .when(length >= 4)
        .then(pl.lit("M"))
        .otherwise(pl.lit("Y"))
    )
