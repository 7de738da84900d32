"""The result table: every figure a study reports, computed once when a release is made."""

from __future__ import annotations

import datetime as dt

import polars as pl

from analysis.adverse_events import compute_adverse_events
from analysis.arms import study_view
from analysis.compliance import compute_compliance
from analysis.dose_accuracy import compute_accuracy
from analysis.enrolment import compute_enrolment
from analysis.exposure import compute_exposure
from analysis.frames import Frames
from store.protocol import Protocol

FAMILIES = (compute_enrolment, compute_exposure, compute_accuracy, compute_compliance, compute_adverse_events)


def compute_results(frames: Frames, protocol: Protocol, cutoff: dt.date | None) -> pl.DataFrame:
    """The rows of table ``result``, with exactly its columns, in a fixed order.

    ``frames`` holds the derived tables too, made by derive_study with the same cut-off. A row's place depends on
    the protocol and on the values themselves, never on the order of input rows or on threads. Denominator 0 gives
    value NULL; a figure that cannot be given is a row with ``not_assessable``.
    """
    view = study_view(frames, protocol, cutoff)
    computed = [family(view) for family in FAMILIES]
    if protocol.study.design in ("crossover", "cluster"):
        sentence = f"not assessable: comparisons between the arms of a {protocol.study.design} design are not computed"
        for rows in computed:
            rows.not_assessable("comparison_between_arms", sentence, statistic="difference")
    return pl.concat([rows.frame() for rows in computed])
