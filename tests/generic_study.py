"""A small study with a generic dose log, as canonical tables: doses are written as times, amounts as text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from canonical_frames import CanonicalFrames
from trial_releases import text

from analysis.derive import derive_study
from analysis.frames import DerivedFrames
from analysis.results import compute_results
from store.protocol import Protocol

Dose = str | tuple[str, str | None] | tuple[str, str | None, str | None] | dict[str, Any]
"""Time; time and delivered; time, delivered and programmed; or columns of dose_event."""


def protocol(
    *,
    arms: Sequence[str] = ("A", "B"),
    reference: str | None = "A",
    dosing: Sequence[Mapping[str, Any]] = ({"every_h": 24, "amount": "10", "unit": "mg"},),
    study: Mapping[str, Any] | None = None,
    **sections: Any,
) -> Protocol:
    """A protocol of one drug; `dosing` entries get the drug by themselves."""
    return Protocol.model_validate(
        {
            "study": {"id": "S", "reference_arm": reference, **(study or {})},
            "arm": [{"code": code} for code in arms],
            "drug": [{"name": "DRUG", "unit": "mg"}],
            "dosing": [{"drug": "DRUG", **entry} for entry in dosing],
            **sections,
        }
    )


def frames(
    doses: Mapping[str, Sequence[Dose]], arms: Mapping[str, str] | None = None, **tables: Any
) -> CanonicalFrames:
    """Subjects with their doses; arm A unless `arms` says another. `tables` are rows of further tables."""
    rows = []
    for subject_id, own in doses.items():
        for dose in own:
            rows.append({"subject_id": subject_id, "line": len(rows) + 1} | _dose(dose))
    subjects = [
        {"subject_id": subject_id, "site_id": "01", "arm_code": (arms or {}).get(subject_id, "A"), "line": i}
        for i, subject_id in enumerate(doses)
    ]
    given = {
        "subject": pl.DataFrame(subjects).with_columns(source_id=pl.lit("enrol")),
        "source_file": pl.DataFrame({"source_id": ["log", "enrol"], "format": ["dose_log", "enrolment"]}),
    }
    if rows:
        given["dose_event"] = pl.DataFrame(rows, infer_schema_length=None)
    for name, own_rows in tables.items():
        own = [{"source_id": "more", "line": i} | row for i, row in enumerate(own_rows)]
        extended = pl.DataFrame(own, infer_schema_length=None)
        given[name] = _over(given["subject"], extended) if name == "subject" else extended
    return CanonicalFrames(**given)


def _over(subjects: pl.DataFrame, stated: pl.DataFrame) -> pl.DataFrame:
    """Columns of stated subjects laid over the generated ones."""
    return subjects.join(stated.drop("source_id", "line"), on="subject_id", how="left", coalesce=True)


def _dose(dose: Dose) -> dict[str, Any]:
    if isinstance(dose, str):
        dose = (dose, "10")
    if isinstance(dose, tuple):
        at, delivered, *programmed = dose
        dose = {"at": at, "delivered": delivered, "programmed": programmed[0] if programmed else None}
    dose = dict(dose)
    at = dt.datetime.fromisoformat(dose.pop("at"))
    amounts = {
        name: Decimal(value) if (value := dose.pop(key, None)) is not None else None
        for key, name in (
            ("delivered", "delivered_amount"), ("programmed", "programmed_amount"), ("planned", "planned_amount"),
            ("volume", "volume"),
        )
    }  # fmt: skip
    return {
        "start_local": at, "start_precision": "second", "drug": "DRUG", "kind": "injection", "amount_unit": "mg",
        "delivered_basis": "reported", "source_id": "log", **amounts, **dose,
    }  # fmt: skip


def days(first: str, count: int, clock: str = "08:00", *, without: Sequence[int] = ()) -> list[str]:
    """Daily times from a first day; days to leave out count from 0."""
    start = dt.date.fromisoformat(first)
    return [f"{start + dt.timedelta(days=i)}T{clock}" for i in range(count) if i not in without]


def derived(study: CanonicalFrames, plan: Protocol, cutoff: dt.date | None = None) -> dict[str, pl.DataFrame]:
    """Derived tables, text as text."""
    return {name: text(rows) for name, rows in derive_study(study, plan, cutoff).items()}


def results(study: CanonicalFrames, plan: Protocol, cutoff: dt.date | None = None) -> pl.DataFrame:
    return compute_results(DerivedFrames(study, derive_study(study, plan, cutoff)), plan, cutoff)


def statuses(study: CanonicalFrames, plan: Protocol, cutoff: dt.date | None = None) -> list[tuple[str, str]]:
    """(day of the plan or extra dose, status) in the table's order."""
    rows = derived(study, plan, cutoff)["dose_match"]
    return [(str(day)[5:], status) for day, status in rows.select("dose_date", "status").iter_rows()]


def figure(rows: pl.DataFrame, parameter: str, statistic: str, **columns: Any) -> pl.DataFrame:
    """Rows of one figure; `by`, `period`, `estimand` and `comparator` not named must be NULL."""
    chosen = rows.filter((pl.col("parameter") == parameter) & (pl.col("statistic") == statistic))
    for name in ("by", "by_value", "period", "estimand", "comparator"):
        value = columns.pop(name, None)
        chosen = chosen.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    for name, value in columns.items():
        chosen = chosen.filter(pl.col(name) == value)
    return chosen
