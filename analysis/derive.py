"""Everything derived from what was received: the tables results are computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import polars as pl

from analysis.arms import StudyView, arm_column, study_view
from analysis.clock_time import CorrectedFrames
from analysis.course import derive_course
from analysis.cut import cut_frames
from analysis.dose_counts import DoseCounter, subject_facts
from analysis.dose_log import DoseLog, read_dose_log
from analysis.dose_match import DoseMatcher
from analysis.dose_tables import dose_match_frame, planned_dose_frame
from analysis.dose_traits import device_facts
from analysis.emergent import derive_adverse_events
from analysis.frames import DerivedFrames, Frames
from analysis.monitoring import derive_monitoring
from analysis.periods import derive_treatment_periods
from analysis.plan import Planner, series_of
from analysis.populations import derive_populations
from analysis.recorded_plans import derive_holds, recorded_plans
from analysis.schedule import Amounts, to_us
from analysis.subject_tables import derive_subject_tables
from store.protocol import Protocol

Keep = Callable[[str, pl.DataFrame], None]
"""Takes rows of a derived table: table name and rows, several times for the large tables."""

Item = TypeVar("Item")


def derive_study(frames: Frames, protocol: Protocol, cutoff: dt.date | None) -> dict[str, pl.DataFrame]:
    """The derived tables treatment_period, population, hold, planned_dose, dose_match, monitoring_interval,
    adverse_event_derived and those of single subjects (analysis.subject_tables), each with the schema's columns in
    the declared row order.

    ``cutoff``: event date in the site's zone; events on the day count, and person-time, planned doses and
    populations are derived anew. None is the protocol's data cut, else all data. Text of the two dose tables is
    Enum typed (1 to 4 bytes a value); 7,000,000 doses with as many plans make tables of 1.4 GB. Where that is too
    much, or results are wanted too, use analysis.results.analyse_study.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    derive_parts(frames, protocol, cutoff, lambda name, rows: parts.setdefault(name, []).append(rows))
    return {name: rows[0] if len(rows) == 1 else pl.concat(rows) for name, rows in parts.items()}


def derive_parts(frames: Frames, protocol: Protocol, cutoff: dt.date | None, keep: Keep) -> StudyView:
    """Hand every derived table to ``keep`` as it is made, and return what results are computed from.

    planned_dose and dose_match come in parts of whole subjects, in order, and are not held afterwards.
    """
    cut = cut_frames(CorrectedFrames(frames), protocol, cutoff)
    recorded = recorded_plans(cut, protocol)
    log = read_dose_log(cut, protocol, with_native_key=recorded.height > 0)
    course = derive_course(cut, protocol, log.given_days(), cutoff)
    log = log.of_subjects(set(course["subject_id"]))
    periods = derive_treatment_periods(cut, protocol, course)
    holds = derive_holds(recorded, protocol)
    # Without dose events or recorded plans nobody's single doses are monitored (exposure intervals only).
    followed = course if log.height or recorded.height else course.clear()
    monitoring = derive_monitoring(cut, protocol, followed)
    keep("treatment_period", periods)
    keep("hold", holds)
    keep("monitoring_interval", monitoring)
    planner = _planner(cut, protocol, course, periods, recorded, log)
    matcher = DoseMatcher(protocol, planner, log, recorded, periods, holds, monitoring)
    people = {person["subject_id"]: person for person in planner.people}
    facts = subject_facts(cut, course, arm_column(protocol))
    counter = DoseCounter(protocol, people, facts, device_facts(cut, facts.class_of, log), log)
    # Three hands: one matches the next chunk, one counts the last, this one makes rows and writes them away. Chunks
    # are counted in their order, so that nothing depends on which hand is faster.
    with ThreadPoolExecutor(max_workers=1) as counting:
        counted = counting.submit(lambda: None)
        for chunk, labels in _ahead(matcher.chunks()):
            matched = dose_match_frame(chunk, labels, matcher.log)
            counted.result()
            counted = counting.submit(counter.add, matched, matcher.log.part(chunk.rows))
            keep("planned_dose", planned_dose_frame(chunk, labels))
            keep("dose_match", matched)
        counted.result()
    counts = counter.finish(matcher.log)
    populations = derive_populations(cut, protocol, course, counts)
    events = derive_adverse_events(cut, protocol, course)
    keep("population", populations)
    keep("adverse_event_derived", events)
    derived = {
        "treatment_period": periods,
        "population": populations,
        "adverse_event_derived": events,
        "monitoring_interval": monitoring,
    }
    view = study_view(DerivedFrames(cut, derived), protocol, cutoff, course, log, counts)
    for name, rows in derive_subject_tables(view).items():
        keep(name, rows)
    return view


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
        open_until_us=to_us(last_at) if last_at is not None and _nothing_states_the_end(course) else None,
    )


def _nothing_states_the_end(course: pl.DataFrame) -> bool:
    ongoing = course.filter(pl.col("recorded_end").is_null())
    return bool((ongoing["followed_basis"] == "last day with a dose event in the study").any())


def _by_subject(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        rows.setdefault(row["subject_id"], []).append(row)
    return rows
