"""Adherence from supplies: CMA1-CMA9, MPR and PDC, treatment episodes; compliance bands and missed-dose
counts.

A supply is a day and the number of days it lasts; days are counted from the first supply of the follow-up
(day 0). An observation window [start, start + days] lies inside the follow-up; supplies on its last day are
in it.

The nine continuous measures of medication availability are those of Vollmer et al., Value Health
2012;15:894-900, as AdhereR computes them (Dima, Dediu, PLoS ONE 2017;12:e0174426): 1-4 count supplies in
the window, 5-9 the days they cover when laid end to end. MPR is CMA1 (or CMA2), PDC is CMA7.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Supply:
    """A supply on `day` that lasts `days`; `drug` matters to treatment episodes only."""

    day: float
    days: float
    drug: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """An observation window of `days` from day `start`, within a follow-up of `follow_up_days` from day 0."""

    start: float
    days: float
    follow_up_days: float = 730.0

    @property
    def end(self) -> float:
        """Last day of the window, cut to the follow-up."""
        return min(self.start + self.days, self.follow_up_days)


def cma(number: int, supplies: Iterable[Supply], window: Window) -> float | None:
    """Continuous medication availability `number` (1-9) of one patient in a window; a share, above 1 for
    CMA1 and 2.

    - CMA1 = days supplied from the first to before the last supply in the window / days from first to last
    - CMA2 = days supplied in the window / days from its first supply to the end of the window
    - CMA3, CMA4 = CMA1, CMA2, at most 1
    - CMA5, CMA6 = days covered / the denominators of CMA1, CMA2; supplies are used one after the other
    - CMA7 = days covered / window, supplies from before the window carried in
    - CMA8 = as CMA7, from the day those older supplies are used up
    - CMA9 = mean over the window's days of min(1, (carried + supply) / days to the next supply)

    `None` where the denominator is empty: no supply in the window (1-6), a single one (1, 3, 5). Raises
    ValueError for another number or a negative supply.

    >>> supplies = [Supply(0, 30), Supply(40, 30), Supply(100, 30)]
    >>> [round(cma(n, supplies, Window(0, 120)), 3) for n in range(1, 10)]
    [0.6, 0.75, 0.6, 0.75, 0.6, 0.667, 0.667, 0.667, 0.508]
    """
    if number not in range(1, 10):
        raise ValueError(f"the measures are numbered 1 to 9, got {number!r}")
    ordered = sorted(s for s in supplies if 0.0 <= s.day <= window.follow_up_days)
    if any(supply.days < 0.0 for supply in ordered):
        raise ValueError("a supply must not last a negative number of days")
    if number == 9:
        return _weighted_by_interval(ordered, window)
    if number in (7, 8):
        return _covered_share(ordered, window, lagged=number == 8)
    inside = [s for s in ordered if window.start <= s.day <= window.end]
    to_last_supply = number in (1, 3, 5)
    if not inside or (to_last_supply and len(inside) < 2):
        return None
    end = inside[-1].day if to_last_supply else window.end
    length = end - inside[0].day
    if length <= 0.0:
        return None
    if number >= 5:
        return _covered(inside, inside[0].day, end) / length
    ratio = math.fsum(s.days for s in (inside[:-1] if to_last_supply else inside)) / length
    return min(1.0, ratio) if number in (3, 4) else ratio


def _covered(supplies: Sequence[Supply], start: float, end: float, free_from: float = -math.inf) -> float:
    """Days of [start, end] covered by supplies used one after the other, none before `free_from`."""
    covered, used_up = 0.0, free_from
    for supply in supplies:
        begin = max(supply.day, used_up)
        used_up = begin + supply.days
        covered += max(0.0, min(used_up, end) - max(begin, start))
    return covered


def _covered_share(ordered: Sequence[Supply], window: Window, lagged: bool) -> float | None:
    start, older, used_up = window.start, [s for s in ordered if s.day < window.start], -math.inf
    if lagged:
        for supply in older:
            used_up = max(supply.day, used_up) + supply.days
        start = max(start, used_up)
        ordered = ordered[len(older) :]
    if window.end <= start:
        return None
    return _covered(ordered, start, window.end, used_up) / (window.end - start)


def _weighted_by_interval(ordered: Sequence[Supply], window: Window) -> float | None:
    if window.end <= window.start:
        return None
    total = carried = 0.0
    ends = [s.day for s in ordered[1:]] + [window.follow_up_days]
    for supply, end in zip(ordered, ends, strict=False):
        interval = end - supply.day
        available = carried + supply.days
        carried = max(0.0, available - interval)
        if interval > 0.0:
            days = max(0.0, min(end, window.end) - max(supply.day, window.start))
            total += days * min(1.0, available / interval)
    return total / (window.end - window.start)


def cma_sliding(
    number: int, supplies: Iterable[Supply], window: Window, length: float, step: float
) -> list[float | None]:
    """A CMA in windows of `length` days every `step` days, those that fit into `window`.

    >>> cma_sliding(7, [Supply(0, 60)], Window(0, 120), 60, 60)
    [1.0, 0.0]
    """
    if not length > 0.0 or not step > 0.0:
        raise ValueError("window length and step must be positive")
    ordered = sorted(supplies)
    count = math.floor((window.end - window.start - length) / step + 1e-9) + 1
    starts = [window.start + i * step for i in range(max(0, count))]
    return [cma(number, ordered, Window(start, length, window.follow_up_days)) for start in starts]


@dataclass(frozen=True, slots=True)
class TreatmentEpisode:
    """Days of continuous supply: from `start` to `end`, with the days without supply after or at its end."""

    start: float
    end: float
    gap_days: float

    @property
    def days(self) -> float:
        """Length of the episode."""
        return self.end - self.start


def treatment_episodes(
    supplies: Iterable[Supply],
    permissible_gap: float,
    follow_up_days: float = 730.0,
    new_drug_starts_episode: bool = True,
    carry_over_to_other_drug: bool = False,
) -> list[TreatmentEpisode]:
    """Episodes of treatment of one patient, split by gaps longer than `permissible_gap` and by a change of
    drug.

    An episode that another follows ends when its last supply is used up (at the latest when the next
    begins); the last one ends with the follow-up, its gap then being inside it.

    >>> treatment_episodes([Supply(0, 30), Supply(100, 30)], permissible_gap=60, follow_up_days=150)
    [TreatmentEpisode(start=0, end=30.0, gap_days=70.0), TreatmentEpisode(start=100, end=150, gap_days=20.0)]
    """
    ordered = sorted(s for s in supplies if 0.0 <= s.day <= follow_up_days)
    episodes: list[TreatmentEpisode] = []
    carried, start = 0.0, ordered[0].day if ordered else 0.0
    for i, supply in enumerate(ordered):
        following = ordered[i + 1] if i + 1 < len(ordered) else None
        until = following.day if following else follow_up_days
        available = carried + supply.days
        gap = max(0.0, until - supply.day - available)
        if following is None:
            episodes.append(TreatmentEpisode(start, until, gap))
            break
        other_drug = following.drug != supply.drug
        carried = max(0.0, available - (until - supply.day))
        if other_drug and not carry_over_to_other_drug:
            carried = 0.0
        if gap > permissible_gap or (other_drug and new_drug_starts_episode):
            episodes.append(TreatmentEpisode(start, until - gap, gap))
            start, carried = following.day, 0.0
    return episodes


def cma_per_episode(
    number: int, supplies: Iterable[Supply], episodes: Iterable[TreatmentEpisode]
) -> list[float | None]:
    """A CMA in each episode, the episode being both follow-up and window; supplies outside it do not count.

    >>> cma_per_episode(9, [Supply(0, 30)], [TreatmentEpisode(0, 60, 30)])
    [0.5]
    """
    ordered = sorted(supplies)
    results = []
    for episode in episodes:
        own = [Supply(s.day - episode.start, s.days, s.drug) for s in ordered]
        results.append(cma(number, own, Window(0.0, episode.days, episode.days)))
    return results


def proportion_of_days_covered(supplies: Iterable[Supply], window: Window) -> float | None:
    """PDC: days of the window on which a supply was at hand, overlaps used later (CMA7); 0 to 1.

    >>> proportion_of_days_covered([Supply(0, 30), Supply(20, 30)], Window(0, 100, 100))
    0.6
    """
    return cma(7, supplies, window)


def medication_possession_ratio(supplies: Iterable[Supply], window: Window) -> float | None:
    """MPR: days supplied before the last supply per day from first to last supply (CMA1); may exceed 1.

    >>> medication_possession_ratio([Supply(0, 30), Supply(20, 30)], Window(0, 100, 100))
    1.5
    """
    return cma(1, supplies, window)


def compliance_percent(taken: float, expected: float) -> float | None:
    """100 taken / expected, not capped; `None` where nothing was expected (not 0 %).

    >>> compliance_percent(6, 5), compliance_percent(3, 0)
    (120.0, None)
    """
    if taken < 0 or expected < 0:
        raise ValueError(f"doses must not be negative, got {taken!r} taken and {expected!r} expected")
    return None if expected == 0 else 100.0 * taken / expected


def compliance_band(taken: float, expected: float, low: float = 80.0, high: float = 120.0) -> str | None:
    """Band of the compliance in percent: "<80", "80-120" (both ends inside) or ">120"; `None` without
    expected doses.

    >>> compliance_band(44, 56), compliance_band(6, 5), compliance_band(61, 50)
    ('<80', '80-120', '>120')
    """
    percent = compliance_percent(taken, expected)
    if percent is None:
        return None
    if percent < low - 1e-9:
        return f"<{low:g}"
    return f">{high:g}" if percent > high + 1e-9 else f"{low:g}-{high:g}"


@dataclass(frozen=True, slots=True)
class MissedDoseCounts:
    """Subjects with data, and for each threshold the subjects with at least that many missed doses and
    their share."""

    subjects: int
    denominator: int
    at_least: dict[int, tuple[int, float | None]]


def count_missed_doses(missed: Sequence[int | None], thresholds: Sequence[int], denominator: int) -> MissedDoseCounts:
    """Subjects with at least k missed doses, as a share of all subjects of the arm (not of those with data).

    `missed` has one count per subject, `None` for a subject without data. Raises ValueError when there are
    more subjects with data than the denominator.

    >>> count_missed_doses([0, 1, 0, 2, 3, 4, 0, 2], [2, 5], denominator=10).at_least
    {2: (4, 0.4), 5: (0, 0.0)}
    """
    known = [count for count in missed if count is not None]
    if len(known) > denominator:
        raise ValueError(f"{len(known)} subjects have data, more than the denominator {denominator}")
    counts = {k: sum(count >= k for count in known) for k in thresholds}
    share = {k: (n, n / denominator if denominator else None) for k, n in counts.items()}
    return MissedDoseCounts(len(known), denominator, share)
