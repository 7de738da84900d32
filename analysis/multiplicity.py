"""Adjusted p values for several tests: family-wise (Holm, Hochberg) and false discovery rate (BH, BY,
double FDR).

A p value of `None` (not testable) stays `None` and does not count in the number of tests. Adjusted values
are at most 1 and keep the order of the input.

References: Holm, Scand J Stat 1979;6:65-70; Hochberg, Biometrika 1988;75:800-802; Benjamini, Hochberg, J R
Stat Soc B 1995;57:289-300; Benjamini, Yekutieli, Ann Stat 2001;29:1165-1188; Mehrotra, Adewale, Stat Med
2012;31:1918-1930.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

PValues = Sequence[float | None]
Adjusted = list[float | None]


def _tested(p_values: PValues) -> list[tuple[float, int]]:
    """(p, position) of the tested hypotheses, smallest first; ValueError outside 0-1."""
    if any(p is not None and not 0.0 <= p <= 1.0 for p in p_values):
        raise ValueError("p values must lie between 0 and 1")
    return sorted((p, i) for i, p in enumerate(p_values) if p is not None)


def _step_down(p_values: PValues, factor: Callable[[int, int], float]) -> Adjusted:
    """Running maximum of factor(rank, m) p from the smallest p up."""
    tested = _tested(p_values)
    raw = (factor(rank, len(tested)) * p for rank, (p, _) in enumerate(tested, 1))
    return _placed(len(p_values), [i for _, i in tested], list(accumulate(raw, max)))


def _step_up(p_values: PValues, factor: Callable[[int, int], float]) -> Adjusted:
    """Running minimum of factor(rank, m) p from the largest p down."""
    tested = _tested(p_values)
    raw = [factor(rank, len(tested)) * p for rank, (p, _) in enumerate(tested, 1)]
    return _placed(len(p_values), [i for _, i in reversed(tested)], list(accumulate(reversed(raw), min)))


def _placed(length: int, positions: list[int], values: list[float]) -> Adjusted:
    result: Adjusted = [None] * length
    for position, value in zip(positions, values, strict=True):
        result[position] = min(1.0, value)
    return result


def bonferroni(p_values: PValues) -> Adjusted:
    """m p.

    >>> bonferroni([0.25, None, 0.75])
    [0.5, None, 1.0]
    """
    return _step_down(p_values, lambda rank, m: m)


def holm(p_values: PValues) -> Adjusted:
    """Step-down (m - rank + 1) p: controls the family-wise error under any dependence.

    >>> holm([0.01, 0.04])
    [0.02, 0.04]
    """
    return _step_down(p_values, lambda rank, m: m - rank + 1)


def hochberg(p_values: PValues) -> Adjusted:
    """Step-up (m - rank + 1) p: controls the family-wise error for independent or positively dependent tests.

    >>> hochberg([0.03, 0.04])
    [0.04, 0.04]
    """
    return _step_up(p_values, lambda rank, m: m - rank + 1)


def benjamini_hochberg(p_values: PValues) -> Adjusted:
    """Step-up m p / rank: controls the false discovery rate for independent or positively dependent tests.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    return _step_up(p_values, lambda rank, m: m / rank)


def benjamini_yekutieli(p_values: PValues) -> Adjusted:
    """As Benjamini-Hochberg times 1 + 1/2 + ... + 1/m: holds under any dependence.

    >>> benjamini_yekutieli([0.01, 0.04])
    [0.03, 0.06]
    """
    total = sum(1.0 / rank for rank in range(1, len(_tested(p_values)) + 1))
    return _step_up(p_values, lambda rank, m: m * total / rank)


METHODS: dict[str, Callable[[PValues], Adjusted]] = {
    "bonferroni": bonferroni,
    "holm": holm,
    "hochberg": hochberg,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}


def adjust(p_values: PValues, method: str = "benjamini_hochberg") -> Adjusted:
    """Adjusted p values by the name of a method (a key of `METHODS`); ValueError for an unknown one.

    >>> adjust([0.01, 0.04], "bonferroni")
    [0.02, 0.08]
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    return METHODS[method](p_values)


@dataclass(frozen=True, slots=True)
class DoubleFdr:
    """One test: the adjusted p of its group, its own adjusted p among the kept groups (else `None`), the
    decision."""

    group_adjusted: float | None
    adjusted: float | None
    flagged: bool


def double_fdr(p_values: PValues, groups: Sequence[str | int], alpha: float = 0.05) -> list[DoubleFdr]:
    """Double false discovery rate for terms grouped by system organ class (Mehrotra, Adewale 2012).

    Benjamini-Hochberg within each group; the smallest adjusted p represents the group; Benjamini-Hochberg
    over the representatives keeps groups at or below `alpha`; the raw p values of the kept groups are then
    adjusted together, and a term is flagged at or below `alpha`.

    >>> [r.flagged for r in double_fdr([0.001, 0.02, 0.6], ["skin", "skin", "heart"])]
    [True, True, False]
    """
    if len(groups) != len(p_values):
        raise ValueError(f"{len(p_values)} p values but {len(groups)} groups")
    names = list(dict.fromkeys(groups))
    representatives: Adjusted = []
    for name in names:
        own = benjamini_hochberg([p for p, g in zip(p_values, groups, strict=True) if g == name])
        representatives.append(min((p for p in own if p is not None), default=None))
    by_group = dict(zip(names, benjamini_hochberg(representatives), strict=True))
    kept = {name for name, p in by_group.items() if p is not None and p <= alpha}
    pooled = benjamini_hochberg([p if g in kept else None for p, g in zip(p_values, groups, strict=True)])
    return [
        DoubleFdr(by_group[group], p, p is not None and p <= alpha) for group, p in zip(groups, pooled, strict=True)
    ]
