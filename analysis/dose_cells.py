"""Amounts compared dose by dose and counted per subject, period and series: the small table accuracy is made from.

Counts are exact; sums of percent errors fold in the fixed order of the doses, so a figure does not depend on
threads, on how the doses were cut into blocks, or on the order rows came in. A block holds whole subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.dose_log import Int32, Int64, Mask

Floats = npt.NDArray[np.float64]

BLOCK = 200_000
"""Doses compared at a time: its arrays stay in the cache of a core."""

MARGIN = 1e-9
"""Keeps a dose exactly at a limit inside it: 5 % of a decimal amount is not exactly 5 % in binary."""


@dataclass(frozen=True)
class Pairs:
    """Two amounts of each dose, in subject and time order. Amounts not reported are NaN.

    ``subject``, ``period`` (-1 none), ``stratum`` and ``source`` are numbers of the caller's lists. ``comparable``:
    the basis lets the two be compared at all; ``measurable``: it lets them enter percent errors.
    """

    subject: Int32
    period: Int32
    stratum: Int32
    source: Int32
    compared: Floats
    reference: Floats
    comparable: Mask
    measurable: Mask


@dataclass(frozen=True)
class CountedPairs:
    """Counts and sums per subject, period, stratum and source, and the absolute percent error of every dose.

    ``keys`` has the four numbers as columns, ``counts`` doses, assessable, conforming, entering percent errors and
    within each limit; ``sums`` the percent error and its absolute value. ``absolute`` belongs to
    ``error_subject`` and ``error_stratum``.
    """

    keys: Int64
    counts: Int64
    sums: Floats
    error_subject: Int32
    error_stratum: Int32
    absolute: Floats


def count_pairs(pairs: Pairs, conformity_pct: float, within_pct: Sequence[float]) -> CountedPairs:
    """Compare and count.

    Percent error 100 (compared - reference) / reference; none where the reference is 0. A dose conforms when the
    absolute percent error is at most ``conformity_pct``, or both amounts are 0.
    """
    size = pairs.subject.size
    edges = [0]
    while edges[-1] < size:
        end = min(edges[-1] + BLOCK, size)
        edges.append(int(np.searchsorted(pairs.subject, pairs.subject[end - 1], side="right")))
    parts = [slice(begin, end) for begin, end in zip(edges, edges[1:], strict=False)] or [slice(0, 0)]
    blocks = [_block(pairs, part, conformity_pct, within_pct) for part in parts]
    return CountedPairs(
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in CountedPairs.__dataclass_fields__)
    )


def _block(pairs: Pairs, rows: slice, conformity_pct: float, within_pct: Sequence[float]) -> CountedPairs:
    subject, stratum = pairs.subject[rows], pairs.stratum[rows]
    compared, reference = pairs.compared[rows], pairs.reference[rows]
    known = pairs.comparable[rows] & ~np.isnan(compared) & ~np.isnan(reference)
    nonzero = known & (reference != 0)
    error = np.zeros(subject.size)
    np.divide(100.0 * (compared - reference), reference, out=error, where=nonzero)
    absolute = np.abs(error)
    conforms = (nonzero & (absolute <= conformity_pct + MARGIN)) | (known & (reference == 0) & (compared == 0))
    counted = nonzero & pairs.measurable[rows]
    # One class per dose: 0 not assessable, 1 in no percent error, then by how many limits the error exceeds.
    limits = sorted(set(within_pct))
    kind = np.where(counted, np.int8(2), known.astype(np.int8))
    for limit in limits:
        kind += counted & (absolute > limit + MARGIN)
    keys = [subject, pairs.period[rows], stratum, pairs.source[rows]]
    varying = [keys[0], *(key for key in keys[1:] if key.strides != (0,))]
    columns = [kind, conforms, np.where(counted, error, 0.0), np.where(counted, absolute, 0.0)]
    if not _grouped(varying):
        order = np.lexsort(tuple(reversed(keys)))
        keys, columns = [key[order] for key in keys], [column[order] for column in columns]
        varying = keys
    change = np.zeros(subject.size, dtype=np.bool_)
    change[:1] = True
    for key in varying:
        change[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(change)
    cell = np.cumsum(change) - 1
    width = len(limits) + 3
    tally = np.bincount(cell * width + columns[0], minlength=starts.size * width).reshape(-1, width)
    # Doses whose error is at most each limit, in the caller's order of limits.
    within = np.cumsum(tally[:, 2:], axis=1)
    counts = [
        tally.sum(axis=1),
        tally[:, 1:].sum(axis=1),
        np.bincount(cell[columns[1]], minlength=starts.size),
        tally[:, 2:].sum(axis=1),
        *(within[:, limits.index(limit)] for limit in within_pct),
    ]
    sums = [np.add.reduceat(column, starts) if starts.size else column for column in columns[2:]]
    return CountedPairs(
        np.stack([key[starts] for key in keys], axis=1).astype(np.int64),
        np.stack(counts, axis=1).astype(np.int64),
        np.stack(sums, axis=1),
        subject[counted],
        stratum[counted],
        absolute[counted],
    )


def _grouped(keys: Sequence[Int32]) -> bool:
    """Whether rows are sorted by the keys, the first key first."""
    tied = np.ones(max(keys[0].size - 1, 0), dtype=np.bool_)
    for key in keys:
        if bool((tied & (key[1:] < key[:-1])).any()):
            return False
        tied &= key[1:] == key[:-1]
    return True
