"""Amounts compared dose by dose and counted per subject, period and series: the small table accuracy is made from.

Counts are exact; sums of percent errors fold in the fixed order of the doses, so a figure does not depend on
threads or on the order rows came in. Works in blocks of whole subjects: 7,000,000 doses take about 0.6 s and, for
the medians, 84 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.dose_log import Int32, Int64, Mask

Floats = npt.NDArray[np.float64]

BLOCK = 1_000_000
MARGIN = 1e-9
"""Keeps a dose exactly at a limit inside it: 5 % of a decimal amount is not exactly 5 % in binary."""


@dataclass(frozen=True)
class Pairs:
    """Two amounts of each dose, in subject and time order. Amounts not reported are NaN.

    Rows that are no dose (``is_dose``) are passed over. ``subject``, ``period`` (-1 none), ``stratum`` and ``source`` are numbers of the caller's lists. ``comparable``:
    the basis lets the two be compared at all; ``measurable``: it lets them enter percent errors.
    """

    subject: Int32
    period: Int32
    stratum: Int32
    source: Int32
    compared: Floats
    reference: Floats
    is_dose: Mask
    comparable: Mask
    measurable: Mask


@dataclass(frozen=True)
class DoseCells:
    """Counts and sums per subject, period, stratum and source format, sorted by these."""

    subject: Int64
    period: Int64
    stratum: Int64
    source: Int64
    doses: Int64
    assessable: Int64
    conforming: Int64
    errors: Int64
    sum_error: Floats
    sum_absolute: Floats
    within: npt.NDArray[np.int64]
    """One column per limit, doses whose absolute percent error is at most the limit."""


@dataclass(frozen=True)
class DoseErrors:
    """Percent errors of single doses with their subject and stratum, for medians."""

    subject: Int32
    stratum: Int32
    error: Floats


def count_cells(pairs: Pairs, conformity_pct: float, within_pct: Sequence[float]) -> tuple[DoseCells, DoseErrors]:
    """Compare and count.

    Percent error 100 (compared - reference) / reference; none where the reference is 0. A dose conforms when the
    absolute percent error is at most ``conformity_pct``, or both amounts are 0.
    """
    size = pairs.subject.size
    edges = [0]
    while edges[-1] < size:
        end = min(edges[-1] + BLOCK, size)
        edges.append(int(np.searchsorted(pairs.subject, pairs.subject[end - 1], side="right")))
    blocks = [
        _block(pairs, slice(begin, end), conformity_pct, within_pct) for begin, end in zip(edges, edges[1:], strict=False)
    ]
    if not blocks:
        none, no_floats = np.zeros(0, dtype=np.int64), np.zeros(0)
        no_cells = DoseCells(
            none, none, none, none, none, none, none, none, no_floats, no_floats,
            np.zeros((0, len(within_pct)), dtype=np.int64),
        )  # fmt: skip
        return no_cells, DoseErrors(pairs.subject, pairs.stratum, no_floats)
    cells = DoseCells(
        *(np.concatenate([getattr(block[0], name) for block in blocks]) for name in DoseCells.__dataclass_fields__)
    )
    errors = DoseErrors(
        *(np.concatenate([getattr(block[1], name) for block in blocks]) for name in DoseErrors.__dataclass_fields__)
    )
    return cells, errors


def _block(
    pairs: Pairs, block: slice, conformity_pct: float, within_pct: Sequence[float]
) -> tuple[DoseCells, DoseErrors]:
    rows: slice | Int64 = block
    if not bool(pairs.is_dose[block].all()):
        rows = np.flatnonzero(pairs.is_dose[block]) + block.start
    subject, stratum = pairs.subject[rows], pairs.stratum[rows]
    compared, reference = pairs.compared[rows], pairs.reference[rows]
    known = pairs.comparable[rows] & ~np.isnan(compared) & ~np.isnan(reference)
    nonzero = known & (reference != 0)
    error = np.zeros(subject.size)
    np.divide(100.0 * (compared - reference), reference, out=error, where=nonzero)
    absolute = np.abs(error)
    conforms = (nonzero & (absolute <= conformity_pct + MARGIN)) | (known & (reference == 0) & (compared == 0))
    counted = nonzero & pairs.measurable[rows]
    keys = [subject, pairs.period[rows], stratum, pairs.source[rows]]
    order = np.lexsort(tuple(reversed(keys))) if not _grouped(keys) else None

    def sorted_(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return values if order is None else values[order]

    ordered = [sorted_(key).astype(np.int64) for key in keys]
    change = np.zeros(subject.size, dtype=np.bool_)
    change[:1] = True
    for key in ordered:
        change[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(change)

    def total(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.add.reduceat(sorted_(values), starts) if starts.size else values[:0]

    def count(flags: Mask) -> Int64:
        return total(flags.astype(np.int64))

    within = [count(counted & (absolute <= limit + MARGIN)) for limit in within_pct]
    cells = DoseCells(
        *(key[starts] for key in ordered),
        np.diff(np.r_[starts, subject.size]),
        count(known),
        count(conforms),
        count(counted),
        total(np.where(counted, error, 0.0)),
        total(np.where(counted, absolute, 0.0)),
        np.stack(within, axis=1) if within else np.zeros((starts.size, 0), dtype=np.int64),
    )
    return cells, DoseErrors(subject[counted], stratum[counted], error[counted])


def _grouped(keys: Sequence[Int32]) -> bool:
    tied = np.ones(keys[0].size - 1, dtype=np.bool_)
    for key in keys:
        if bool((tied & (key[1:] < key[:-1])).any()):
            return False
        tied &= key[1:] == key[:-1]
    return True


def merge_subjects(cells: DoseCells, chosen: Mask) -> DoseCells:
    """Cells of one line of a table, one per subject: periods and source formats of the chosen cells added up."""
    subject = cells.subject[chosen]
    starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]]) if subject.size else np.zeros(0, dtype=np.int64)

    def total(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.add.reduceat(values[chosen], starts, axis=0) if starts.size else values[:0]

    return DoseCells(
        subject[starts],
        cells.period[chosen][starts],
        cells.stratum[chosen][starts],
        cells.source[chosen][starts],
        *(total(getattr(cells, name)) for name in ("doses", "assessable", "conforming", "errors")),
        total(cells.sum_error),
        total(cells.sum_absolute),
        total(cells.within),
    )
