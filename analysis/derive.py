"""Everything derived from what was received: the tables the results are computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import polars as pl

from analysis.course import derive_course
from analysis.cut import cut_frames
from analysis.dose_log import DoseLog, read_dose_log
from analysis.dose_match import DoseMatcher
from analysis.dose_tables import dose_match_frame, planned_dose_frame
from analysis.emergent import derive_adverse_events
from analysis.frames import Frames
from analysis.monitoring import derive_monitoring
from analysis.periods import derive_treatment_periods
from analysis.plan import Planner, derive_holds, recorded_plans, series_of
from analysis.populations import DoseFacts, derive_populations
from analysis.schedule import Amounts, to_us
from store.protocol import Protocol


Item = TypeVar("Item")


def derive_study(frames: Frames, protocol: Protocol, cutoff: dt.date | None) -> dict[str, pl.DataFrame]:
    """The derived tables treatment_period, population, hold, planned_dose, dose_match, monitoring_interval and
    adverse_event_derived, each with the schema's columns in the declared row order.

    ``cutoff``: event date in the site's zone; events on the day count, and person-time, planned doses and
    populations are derived anew. None is the protocol's data cut, else all data. Text of the two dose tables is
    Enum typed (1 to 4 bytes a value). At 7,000,000 doses: see the module dose_match for memory.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    for name, frame in derive_study_parts(frames, protocol, cutoff):
        parts.setdefault(name, []).append(frame)
    return {name: frames[0] if len(frames) == 1 else pl.concat(frames) for name, frames in parts.items()}


def derive_study_parts(
    frames: Frames, protocol: Protocol, cutoff: dt.date | None
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The same tables as (table, rows) parts; planned_dose and dose_match come in several, by runs of subjects.

    For a caller who writes each part away before the next is made: the dose tables are then never held whole.
    """
    cut = cut_frames(frames, protocol, cutoff)
    recorded = recorded_plans(cut, protocol)
    log = read_dose_log(cut, protocol, for_matching=True, with_native_key=recorded.height > 0)
    course = derive_course(cut, protocol, log.given_days(), cutoff)
    periods = derive_treatment_periods(cut, protocol, course)
    holds = derive_holds(recorded, protocol)
    # Without dose events or recorded plans nobody's single doses are monitored (exposure intervals only).
    followed = course if log.height or recorded.height else course.clear()
    monitoring = derive_monitoring(cut, protocol, followed)
    yield "treatment_period", periods
    yield "hold", holds
    yield "monitoring_interval", monitoring
    planner = _planner(cut, protocol, course, periods, recorded, log)
    matcher = DoseMatcher(protocol, planner, log, recorded, periods, holds, monitoring)
    facts = DoseFacts()
    for chunk, labels in _ahead(matcher.chunks()):
        yield "planned_dose", planned_dose_frame(chunk, labels)
        matched = dose_match_frame(chunk, labels, matcher.log)
        facts.add(matched)
        yield "dose_match", matched
    facts.add_log(matcher.log)
    yield "population", derive_populations(cut, protocol, course, facts)
    yield "adverse_event_derived", derive_adverse_events(cut, protocol, course)


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one being made in another thread while one is used (a third faster on two cores)."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _planner(
    frames: Frames,
    protocol: Protocol,
    course: pl.DataFrame,
    periods: pl.DataFrame,
    recorded: pl.DataFrame,
    log: DoseLog,
) -> Planner:
    dated = frames(
        "prescription", ["subject_id", "drug", "channel", "start_at", "end_at", "planned_amount", "amount_unit"]
    ).sort("subject_id", "start_at", "drug", "channel", nulls_last=True)
    recorded_series: dict[str, set[str | None]] = {}
    for subject_id, drug in recorded.select("subject_id", "drug").unique().iter_rows():
        recorded_series.setdefault(subject_id, set()).add(drug)
    last_at: dt.datetime | None = course["last_at"].max()  # type: ignore[assignment]
    return Planner(
        protocol=protocol,
        people=course.to_dicts(),
        periods=_by_subject(periods),
        recorded_series=recorded_series,
        prescriptions=_by_subject(dated),
        series=series_of(protocol, recorded),
        amounts=Amounts(),
        doses_logged=bool(log.schedulable.any()),
        date_only=bool(log.height) and bool(log.date_only.all()),
        open_until_us=to_us(last_at) if last_at is not None and _nothing_states_the_end(protocol, course) else None,
    )


def _nothing_states_the_end(protocol: Protocol, course: pl.DataFrame) -> bool:
    ongoing = course.filter(pl.col("recorded_end").is_null())
    return bool((ongoing["followed_basis"] == "last day with a dose event in the study").any())


def _by_subject(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        rows.setdefault(row["subject_id"], []).append(row)
    return rows
