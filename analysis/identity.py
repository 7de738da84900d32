"""De-identified rows: pseudonyms, dates shifted per subject, nothing that names a device or was typed by a person.

Keyed: who holds the key can repeat it, nobody else can undo it (HMAC-SHA-256, RFC 2104). One subject has one pseudonym
and one shift in every export made with a key, so exports can be joined and lengths of time stay true; rows without a
subject lose their dates. Text is kept only in columns declared here as coded; every other text column is left out, so
that a column nobody thought of leaks nothing.

A shift is worth nothing where the true day can be told. So dates that were completed (a shifted "first of the month"
gives the shift away) are left out with the lengths of time counted from them; so are times in UTC (beside local ones
they show the change to summer time) and the times at which people and imports did their work, the same for everybody.

This is pseudonymisation, not anonymity: a rare course of doses or events can still point at a person.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MOST_SHIFT_DAYS = 365
OLDEST_AGE = 90
"""Ages from here on are given as this age (45 CFR 164.514(b)(2)(i)(C))."""

SUBJECT = ("subject_id", "subject", "USUBJID")
SITE = ("site_id", "site", "SITEID")
DEVICE = ("device_id", "SPDEVID")
KEYS = frozenset(
    (
        "event_seq",
        "exposure_seq",
        "disposition_seq",
        "deviation_seq",
        "deficiency_seq",
        "accountability_seq",
        "plan_seq",
        "query_id",
        "AESEQ",
        "AESEQC",
        "DSSEQ",
        "EXSEQ",
        "EXSEQC",
        "SRCSEQC",
    )
)
"""Keys of a subject's records: re-keyed, so that tables can still be joined."""

CODED = frozenset(
    """
    sex age_unit race ethnicity country arm_code actual_arm_code arm comparator arm_shown element_code element epoch
    period boundary_rule amount_unit unit volume_unit concentration_unit rate_unit population drug channel estimand
    parameter statistic dose_pair analysis by by_value method not_assessable preferred_term high_level_term soc
    table_soc severity grade causality device_relation action_taken outcome start_imputed end_imputed clock_rule route
    dose_form frequency status state priority check_id rule_id device_class device_type manufacturer model firmware
    basis end_basis followed_basis decoded category scope effect measure measurement decision algorithm_version
    event code domain clock_times aware_basis term figure family
    STUDYID DOMAIN AGEU SEX RACE ETHNIC COUNTRY ARMCD ARM ACTARMCD ACTARM TRT01P TRT01A TRTP TRTA RANDFL ITTFL SAFFL
    PPROTFL ACCEVFL CMPEVFL EOSSTT DCDECOD EOTSTT DTHFL DRUG CHANNEL PARCAT1 PARAMCD PARAM AVALU BASIS ANL01FL AEDECOD
    AEBODSYS AEHLT ASTDTF AENDTF TRTEMFL AOCCFL AOCCSFL AOCCPFL AESEV AETOXGR AESER AEREL RELFL AERLDEV AEACN AEOUT
    AESDTH AESHOSP AESLIFE SRCDOM DOSEPAIR ECTRT ECMOOD ECPRESP ECOCCUR ECDOSU ECROUTE ECVAMTU ECPSTRGU STATUS MATCHED
    EXTRT EXDOSU EXDOSFRM EXDOSFRQ EXROUTE EPOCH DSDECOD DSCAT DSSCAT
    """.split()
)
"""Text columns that hold codes or words of a closed list. `term` is coded in table result only (see `TYPED`)."""

TYPED = frozenset(("term",))
"""Columns that are coded in pooled results but typed by a person in rows of subjects."""

RARE = ("sex", "race", "ethnicity", "country", "SEX", "RACE", "ETHNIC", "COUNTRY")
"""What describes a subject: a value that fewer subjects than the smallest cell share is left out."""

LEFT_OUT = frozenset(
    ("line", "part", "row_id", "planned_no_source", "device_seq", "from_seq", "to_seq", "fold")
    + ("due_date", "data_cut", "utc_offset_min", "offset_source", "time_anchor", "clock_correction_s")
)
"""What leads back to a file, a device's own counter, the study's calendar, or the rules of a time zone."""

UTC = "_utc"
"""Ending of the columns that hold moments in UTC: of the study's work, or beside a local time."""

COMPLETED: Mapping[str, tuple[str, ...]] = {
    "start_imputed": ("start_date", "study_day"),
    "end_imputed": ("end_date",),
    "ASTDTF": ("ASTDT", "ASTDY", "ADURN"),
    "AENDTF": ("AENDT", "AENDY", "ADURN"),
}
"""A flag of a completed date -> the date, and what is counted from it."""

VAGUE: Mapping[str, tuple[str, ...]] = {
    "start_precision": ("start_local", "end_local"),
    "planned_precision": ("planned_at",),
}
"""A precision -> the times that are completed where it is a month or a year."""

TIME_TEXTS = ("start_text", "end_text", "reported_text")
"""Text columns of dates as recorded, beside those of SDTM (names ending in DTC)."""

FULL_TIME = r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?"
"""A complete date, with a time or without: what can be shifted."""


class Pseudonyms:
    """What one key makes of identifiers and days."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def key_id(self) -> str:
        """Says which key was used and nothing about it."""
        return self._digest("key", "").hex()[:8]

    def of(self, kind: str, text: str) -> str:
        """The pseudonym of an identifier: 12 digits, so that 100,000 of them collide once in 50,000 studies."""
        return f"{kind}-{self._digest(kind, text).hex()[:12].upper()}"

    def shift_days(self, subject: str) -> int:
        """Whole days by which all dates of a subject lie earlier: 1 to 365."""
        return 1 + int.from_bytes(self._digest("shift", subject)[:8], "big") % MOST_SHIFT_DAYS

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self._key, f"{kind}\x1f{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def deidentify(frame: pl.DataFrame, names: Pseudonyms, smallest: int) -> pl.DataFrame:
    """Rows of subjects, devices or sites without what tells who they are; rows in the order of the pseudonyms.

    Subject, site and device become pseudonyms; dates move by the subject's shift and are left out without a subject;
    completed dates and times in UTC are left out; ages from 90 on are 90; coded text stays; other text, files and lines
    are left out. A sex, race, ethnic group or country of fewer than `smallest` subjects is NULL.
    """
    import polars as pl

    frame = _without_completed(frame)
    subject = next((name for name in SUBJECT if name in frame.columns), None)
    columns: list[pl.Series] = []
    shift = _shifts(frame[subject], names) if subject else None
    for column in frame:
        name, kind = column.name, column.dtype
        if name in LEFT_OUT or name.endswith(UTC):
            continue
        if name == subject:
            columns.append(_renamed(column, names, "SUBJ"))
        elif name in SITE:
            columns.append(_renamed(column, names, "SITE"))
        elif name in DEVICE:
            columns.append(_renamed(column, names, "DEV"))
        elif name in KEYS:
            columns.append(_keys(column, frame[subject] if subject else None, names))
        elif kind in (pl.Date,) or isinstance(kind, pl.Datetime):
            if shift is not None:
                columns.append((column - shift).cast(kind).alias(name))
        elif shift is not None and (name in TIME_TEXTS or name.endswith("DTC")):
            columns.append(_moved(column, shift))
        elif isinstance(kind, pl.String):
            if name in CODED and name not in TYPED:
                columns.append(_common(column, frame[subject], smallest) if subject and name in RARE else column)
        elif name in ("age", "AGE"):
            columns.append(column.clip(upper_bound=OLDEST_AGE))
        else:
            columns.append(column)
    made = pl.DataFrame(columns)
    by = [name for name in (*SUBJECT, *DEVICE, *SITE) if name in made.columns]
    return made.sort(by[0], nulls_last=True, maintain_order=True) if by else made


def _renamed(column: pl.Series, names: Pseudonyms, kind: str) -> pl.Series:
    import polars as pl

    known = {value: names.of(kind, value) for value in column.drop_nulls().unique().to_list()}
    return pl.Series(column.name, [None if value is None else known[value] for value in column.to_list()], pl.String)


def _keys(column: pl.Series, subject: pl.Series | None, names: Pseudonyms) -> pl.Series:
    import polars as pl

    owners: Iterable[str | None] = subject.to_list() if subject is not None else [None] * len(column)
    made = [
        None if value is None else names.of("REC", f"{owner or ''}\x1f{value}")
        for owner, value in zip(owners, column.to_list(), strict=True)
    ]
    return pl.Series(column.name, made, pl.String)


def _without_completed(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    flags = [(flag, pl.col(flag).is_not_null()) for flag in COMPLETED if flag in frame.columns]
    flags += [(name, pl.col(name).cast(pl.String).is_in(("month", "year"))) for name in VAGUE if name in frame.columns]
    for flag, completed in flags:
        counted = [name for name in {**COMPLETED, **VAGUE}[flag] if name in frame.columns]
        frame = frame.with_columns(
            pl.when(~completed.fill_null(False)).then(pl.col(name)).alias(name) for name in counted
        )
    return frame


def _moved(column: pl.Series, shift: pl.Series) -> pl.Series:
    """Text of complete dates, moved; NULL for others."""
    import polars as pl

    frame = pl.DataFrame([column.alias("text"), shift.alias("shift")])
    day = pl.col("text").str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False) - pl.col("shift")
    moved = day.dt.strftime("%Y-%m-%d") + pl.col("text").str.slice(10)
    full = pl.col("text").str.contains(f"^{FULL_TIME}$")
    return frame.select(pl.when(full).then(moved).alias(column.name)).to_series()


def _shifts(subject: pl.Series, names: Pseudonyms) -> pl.Series:
    import datetime as dt

    import polars as pl

    known = {value: dt.timedelta(days=names.shift_days(value)) for value in subject.drop_nulls().unique().to_list()}
    values = [None if value is None else known[value] for value in subject.to_list()]
    return pl.Series("shift", values, pl.Duration("us"))


def _common(column: pl.Series, subject: pl.Series, smallest: int) -> pl.Series:
    import polars as pl

    frame = pl.DataFrame([column.alias("value"), subject.alias("subject")])
    counts = frame.drop_nulls().unique().group_by("value").len()
    kept = counts.filter(pl.col("len") >= smallest)["value"].implode()
    return frame.select(pl.when(pl.col("value").is_in(kept)).then(pl.col("value")).alias(column.name)).to_series()
