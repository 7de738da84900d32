"""Facts of single subjects as the analysis sees them: what per-subject views and listings read, never recompute."""

from __future__ import annotations

from store.schema import AMOUNT, Column, Table
from store.tables_dose import CHANNEL, DRUG
from store.tables_subject import SUBJECT_ID

SUBJECT_COURSE = Table(
    "subject_course",
    "Start and end of treatment and observation of each screened subject, as every result uses them",
    (
        SUBJECT_ID,
        Column("treatment_start", "DATE", "First dose or device procedure, as the protocol states; NULL not treated"),
        Column("first_dose", "DATE", "First day with a dose or recorded exposure"),
        Column("last_dose", "DATE", "Last day with a dose or recorded exposure"),
        Column(
            "treated_to",
            "DATE",
            "Last treated day: of the recorded intervals (an open one ends by the rule of exposure), else last_dose",
        ),
        Column("treatment_end", "DATE", "End of treatment as recorded; NULL while ongoing"),
        Column("end_basis", "VARCHAR", "Record treatment_end rests on"),
        Column("followed_to", "DATE", "Day dosing was followed to: recorded end, else data cut or monitored through"),
        Column("followed_basis", "VARCHAR", "What followed_to rests on"),
        Column("at_risk_to", "DATE", "Last day at risk for adverse events; NULL not treated"),
    ),
    key=("subject_id",),
    origin="derived",
    sort=("subject_id",),
)

SUBJECT_EXPOSURE = Table(
    "subject_exposure",
    "Exposure of each subject to each drug, from recorded intervals and from dose events",
    (
        SUBJECT_ID,
        DRUG,
        Column("basis", "VARCHAR", "recorded intervals or dose events", required=True),
        Column("is_default", "BOOLEAN", "TRUE: the basis of the figures without an estimand", required=True),
        Column("first_date", "DATE", "First treated day"),
        Column("last_date", "DATE", "Last treated day"),
        Column("days", "INTEGER", "Treated days, both ends counted", required=True),
        Column("doses", "BIGINT", "Doses counted", required=True),
        Column("total_amount", AMOUNT, "Sum of the amounts; NULL when not every dose states one", blinding="never"),
        Column(
            "planned_amount",
            AMOUNT,
            "Amount the protocol planned for the same days; NULL when it does not say",
            blinding="never",
        ),
        Column("amount_unit", "VARCHAR", "UCUM unit of the amounts", blinding="never"),
        Column("open_intervals", "INTEGER", "Intervals without a recorded end, closed by rule", required=True),
    ),
    key=("subject_id", "drug", "basis"),
    origin="derived",
    sort=("subject_id", "drug", "basis"),
    withheld=True,
)

SUBJECT_ADHERENCE = Table(
    "subject_adherence",
    "Compliance parameters and dose counts of each subject, drug and channel, as the pooled figures add them up",
    (
        SUBJECT_ID,
        DRUG,
        CHANNEL,
        Column("parameter", "VARCHAR", "Parameter as in table result", required=True),
        Column("numerator", "BIGINT", "Doses or days that count", required=True),
        Column("denominator", "BIGINT", "Doses or days expected (for counts: planned)", required=True),
    ),
    key=("subject_id", "drug", "channel", "parameter"),
    origin="derived",
    sort=("subject_id", "drug", "channel", "parameter"),
)

SUBJECT_ACCURACY = Table(
    "subject_accuracy",
    "Doses of each subject compared, by pair of amounts, drug and channel, as the pooled figures add them up",
    (
        SUBJECT_ID,
        DRUG,
        CHANNEL,
        Column("parameter", "VARCHAR", "dose_, delivery_ or programming_conformity", required=True),
        Column("dose_pair", "VARCHAR", "delivered/planned, delivered/programmed, programmed/planned", required=True),
        Column("doses", "BIGINT", "Doses given, in or out of accuracy", required=True, blinding="never"),
        Column(
            "assessable", "BIGINT", "Doses with both amounts on bases that compare", required=True, blinding="never"
        ),
        Column("conforming", "BIGINT", "Of them within the protocol's limit", required=True, blinding="never"),
        Column("errors", "BIGINT", "Doses that enter percent errors", required=True, blinding="never"),
        Column("mean_error_pct", "DOUBLE", "Mean percent error", blinding="never"),
        Column("mean_absolute_error_pct", "DOUBLE", "Mean absolute percent error", blinding="never"),
    ),
    key=("subject_id", "drug", "channel", "dose_pair"),
    origin="derived",
    sort=("subject_id", "drug", "channel", "dose_pair"),
    withheld=True,
)

ANALYSIS_TABLES: tuple[Table, ...] = (SUBJECT_COURSE, SUBJECT_EXPOSURE, SUBJECT_ADHERENCE, SUBJECT_ACCURACY)
