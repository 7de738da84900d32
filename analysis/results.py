"""The result table: every figure a study reports, computed once when a release is made."""

from __future__ import annotations

import datetime as dt

import polars as pl

from analysis.accuracy_by import compute_accuracy_by
from analysis.adherence_course import compute_adherence_course
from analysis.adverse_events import compute_adverse_events
from analysis.arms import StudyView, arm_column, study_view
from analysis.clock_time import CorrectedFrames
from analysis.compliance import compute_compliance
from analysis.course import derive_course
from analysis.cut import cut_frames
from analysis.derive import Keep, derive_parts
from analysis.device_measures import compute_device_measures
from analysis.dose_accuracy import compute_accuracy
from analysis.dose_counts import DoseCounter, stored_parts, subject_facts
from analysis.dose_log import read_dose_log
from analysis.dose_traits import device_facts
from analysis.enrolment import compute_enrolment
from analysis.exposure import compute_exposure
from analysis.frames import Frames
from store.protocol import Protocol

FAMILIES = (
    compute_enrolment,
    compute_exposure,
    compute_accuracy,
    compute_accuracy_by,
    compute_compliance,
    compute_adherence_course,
    compute_device_measures,
    compute_adverse_events,
)


def analyse_study(frames: Frames, protocol: Protocol, cutoff: dt.date | None, keep: Keep) -> pl.DataFrame:
    """Derive and compute in one pass: every derived table goes to ``keep`` in parts, the result table is returned.

    The same tables and figures as derive_study and compute_results, but the dose log is read once and the dose
    tables are counted as they are made, so that neither is held or read again: at 7,000,000 doses about half the
    time and a third of the memory. ``frames`` needs the received tables only.
    """
    return _results(derive_parts(frames, protocol, cutoff, keep))


def compute_results(frames: Frames, protocol: Protocol, cutoff: dt.date | None) -> pl.DataFrame:
    """The rows of table ``result``, with exactly its columns, in a fixed order.

    ``frames`` holds the derived tables too, made by derive_study with the same cut-off. A row's place depends on
    the protocol and on the values themselves, never on the order of input rows or on threads. Denominator 0 gives
    value NULL; a figure that cannot be given is a row with ``not_assessable``.
    """
    cut = cut_frames(CorrectedFrames(frames), protocol, cutoff)
    log = read_dose_log(cut, protocol, for_matching=False)
    course = derive_course(cut, protocol, log.given_days(), cutoff)
    log = log.of_subjects(set(course["subject_id"]))
    people = {person["subject_id"]: person for person in course.iter_rows(named=True)}
    facts = subject_facts(cut, course, arm_column(protocol))
    counter = DoseCounter(protocol, people, facts, device_facts(cut, facts.class_of, log), log)
    for matched, logged in stored_parts(cut, log):
        counter.add(matched, logged)
    return _results(study_view(cut, protocol, cutoff, course, log, counter.finish(log)))


def _results(view: StudyView) -> pl.DataFrame:
    computed = [family(view) for family in FAMILIES]
    design = view.protocol.study.design
    if design in ("crossover", "cluster"):
        sentence = f"not assessable: comparisons between the arms of a {design} design are not computed"
        for rows in computed:
            rows.not_assessable("comparison_between_arms", sentence, statistic="difference")
    return pl.concat([rows.frame() for rows in computed])
