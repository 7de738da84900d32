"""Amounts compared dose by dose and counted per subject and by device, lot, month, size and alarm.

Sums fold in the fixed order of the doses (numpy's bincount), so that a figure depends on no thread.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from analysis.dose_cells import MARGIN, Floats
from analysis.dose_log import DoseLog, Int32, Int64, categories, codes
from analysis.dose_pairs import DosePair, DoseRows
from analysis.dose_traits import BREAKDOWNS, SIZE_EDGES, DeviceFacts, Trait, dose_traits, rows_in_log, size_label
from store.protocol import Accuracy

CELL_KEYS = ("subject_id", "drug", "channel", *BREAKDOWNS)
CELL_COUNTS = ("doses", "assessable", "conforming", "errors")
CELL_SUMS = ("sum_error", "sum_absolute", "sum_squares")


class TraitsOfPart:
    """Traits of a part of the log, worked out once for the pairs that use them."""

    def __init__(self, log: DoseLog, facts: DeviceFacts) -> None:
        self._log = log
        self._facts = facts

    @cached_property
    def _of_log(self) -> dict[str, Trait]:
        return dose_traits(self._log, self._facts)

    def of(self, rows: pl.DataFrame) -> dict[str, Trait]:
        """Traits of doses named by source file, line and part."""
        place = rows_in_log(rows, self._log)
        return {name: Trait(trait.values, trait.number[place]) for name, trait in self._of_log.items()}


def count_by_traits(rows: DoseRows, pair: DosePair, traits: TraitsOfPart, rule: Accuracy) -> pl.DataFrame:
    """One row per subject, drug, channel and combination of traits: CELL_KEYS, CELL_COUNTS, one count ``within_<n>``
    per limit of the protocol, CELL_SUMS of percent errors. A trait not stated is NULL.

    The same rules as analysis.dose_cells: percent error 100 (compared - reference) / reference, none at reference 0;
    conforming within the limit (inclusive) or 0 of 0.
    """
    pairs = rows.pairs(pair)
    known = pairs.comparable & ~np.isnan(pairs.compared) & ~np.isnan(pairs.reference)
    nonzero = known & (pairs.reference != 0)
    error = np.zeros(known.size)
    np.divide(100.0 * (pairs.compared - pairs.reference), pairs.reference, out=error, where=nonzero)
    absolute = np.abs(error)
    counted = nonzero & pairs.measurable
    conforms = (nonzero & (absolute <= rule.conformity_pct + MARGIN)) | (
        known & (pairs.reference == 0) & (pairs.compared == 0)
    )
    own = traits.of(rows.rows)
    own["dose_size"] = _sizes(rows.rows, pairs.reference)
    drug, channel = (Trait(categories(rows.rows[name]), codes(rows.rows[name])) for name in ("drug", "channel"))
    keyed = {"drug": drug, "channel": channel, **{name: own[name] for name in BREAKDOWNS}}
    cell, first = _cells(rows.subject, list(keyed.values()))
    width = first.size

    def tally(flags: np.ndarray) -> Int64:
        return np.bincount(cell[flags], minlength=width).astype(np.int64)

    within = {f"within_{i}": tally(counted & (absolute <= limit + MARGIN)) for i, limit in enumerate(rule.within_pct)}
    sums = (error, absolute, error * error)
    return pl.DataFrame(
        {
            "subject_id": [rows.names[number] for number in rows.subject[first].tolist()],
            **{name: _words(trait, first) for name, trait in keyed.items()},
            "doses": np.bincount(cell, minlength=width).astype(np.int64),
            "assessable": tally(known),
            "conforming": tally(conforms),
            "errors": tally(counted),
            **within,
            **{
                name: np.bincount(cell[counted], weights=values[counted], minlength=width).astype(np.float64)
                for name, values in zip(CELL_SUMS, sums, strict=True)
            },
        },
        schema_overrides=dict.fromkeys(CELL_KEYS, pl.String),
    )


def _sizes(rows: pl.DataFrame, reference: Floats) -> Trait:
    """Size bands of the amount compared with, in its unit."""
    units = [*categories(rows["amount_unit"]), None]
    unit = codes(rows["amount_unit"]) % len(units)
    bands = SIZE_EDGES.size + 2
    # An amount exactly at an edge belongs to the band above it: edges and amounts are decimal, so with a margin.
    band = np.searchsorted(SIZE_EDGES, np.nan_to_num(reference) * (1 + 1e-12), side="right")
    band[reference == 0] = bands - 1
    number = np.where(np.isnan(reference), -1, unit * bands + band)
    present = np.unique(number[number >= 0])
    values = [
        "0" if code % bands == bands - 1 else size_label(code % bands, units[code // bands])
        for code in present.tolist()
    ]
    place = np.full(len(units) * bands + 1, -1, dtype=np.int32)
    place[present] = np.arange(present.size)
    return Trait(values, place[number])


def _cells(subject: Int32, traits: list[Trait]) -> tuple[Int64, Int64]:
    """Number of each dose's cell, and the first dose of each cell; cells in order of subject, then traits.

    Neighbouring doses mostly share a cell, so that runs are numbered, not doses.
    """
    change = np.zeros(subject.size, dtype=np.bool_)
    change[:1] = True
    keys = [subject, *(trait.number for trait in traits)]
    for key in keys:
        change[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(change)
    run = np.cumsum(change) - 1
    combined, size = subject[starts].astype(np.int64), int(subject.max(initial=0)) + 1
    for trait in traits:
        values = len(trait.values) + 1
        if size * values >= 2**62:
            known, combined = np.unique(combined, return_inverse=True)
            size = known.size
        combined, size = combined * values + (trait.number[starts] + 1), size * values
    distinct, number = np.unique(combined, return_inverse=True)
    first = np.full(distinct.size, subject.size, dtype=np.int64)
    np.minimum.at(first, number, starts)
    return number[run].astype(np.int64), first


def _words(trait: Trait, rows: Int64) -> pl.Series:
    values = pl.Series([*trait.values, None], dtype=pl.String)
    return values.gather(np.where(trait.number[rows] < 0, len(trait.values), trait.number[rows]).astype(np.uint32))
