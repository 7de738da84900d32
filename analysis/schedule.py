"""When doses are due under the protocol: spans of one dosing rule per subject, and their planned times as arrays.

A span is a few numbers (first time, cycle, times within it, count); millions of planned times are made from spans
without touching one of them singly. Times are local and naive: "every 24 h" keeps its clock time across a change
to summer time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from analysis.dose_log import DAY_US, Int32, Int64, canonical_drug, day_number
from store.protocol import Arm, Dosing, Protocol

EPOCH = dt.datetime(1970, 1, 1)
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000

NIGHT_CLASSES = ("adherence_cap", "pen")
"""Device classes whose dosing day starts at 03:00, so that a late evening dose counts for its evening."""

Series = tuple[str, str | None]
"""Drug and channel (None: whatever channel)."""

PlannedAmount = tuple[Decimal | None, str | None]
"""Planned amount with its unit."""


def to_us(moment: dt.datetime) -> int:
    """Naive local time as microseconds since 1970."""
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def day_start_us(protocol: Protocol, device_class: str | None) -> int:
    """Start of the dosing day after midnight: the protocol's, else 03:00 for caps and pens, else 00:00."""
    stated = protocol.compliance.day_start.get(device_class or "")
    if stated is None:
        stated = dt.time(3) if device_class in NIGHT_CLASSES else dt.time(0)
    return ((stated.hour * 60 + stated.minute) * 60 + stated.second) * 1_000_000


def dosing_series(protocol: Protocol) -> list[Series]:
    """Drug and channel of every [[dosing]] entry of a study drug, each once, in order."""
    other = {drug.name for drug in protocol.drug if drug.role != "study"}
    pairs = ((canonical_drug(entry.drug, protocol) or entry.drug, entry.channel) for entry in protocol.dosing)
    return [pair for pair in dict.fromkeys(pairs) if pair[0] not in other]


def dosing_rule(
    protocol: Protocol, series: Series, arm: str | None, period: int | None, subject_id: str
) -> Dosing | None:
    """The most specific [[dosing]] entry of one series: subject beats period beats arm beats everybody."""
    best: tuple[int, Dosing] | None = None
    for entry in protocol.dosing:
        if (canonical_drug(entry.drug, protocol) or entry.drug, entry.channel) != series:
            continue
        if entry.subject not in (None, subject_id) or entry.arm not in (None, arm):
            continue
        if entry.period not in (None, period):
            continue
        rank = (entry.subject is not None) * 4 + (entry.period is not None) * 2 + (entry.arm is not None)
        if best is None or rank > best[0]:
            best = (rank, entry)
    return best[1] if best else None


def doses_per_day(rule: Dosing) -> float | None:
    """Planned doses a day of a scheduled rule; None when the rule states no times."""
    if rule.kind not in ("scheduled", "titrated"):
        return None
    if rule.every_h is not None:
        return 24.0 / rule.every_h
    return float(len(rule.at)) if rule.at else None


def planned_count(protocol: Protocol, series: Series, arm: Arm, subject_id: str) -> int | None:
    """Doses from the first to the protocol's planned end of treatment; None when durations or times are missing."""
    total = Decimal(0)
    for period in arm.period:
        if not period.is_treatment:
            continue
        rule = dosing_rule(protocol, series, arm.code, period.order, subject_id)
        per_day = doses_per_day(rule) if rule is not None else None
        if period.duration_days is None or per_day is None:
            return None
        total += Decimal(period.duration_days) * Decimal(repr(per_day))
    return int(total.to_integral_value()) if total else None


@dataclass(frozen=True)
class Span:
    """Planned times of one rule in one period of one subject.

    The k-th time is ``base_us + (k // m) * cycle_us + offsets[k % m]`` with m offsets; k runs from ``first`` over
    ``count`` values. ``before`` and ``after`` are the window around each offset.
    """

    subject: int
    series: int
    period: int
    base_us: int
    cycle_us: int
    offsets: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    first: int
    count: int
    amount: int


@dataclass
class Amounts:
    """Distinct planned amounts with their units, by number; a plan row carries the number. 0 is not stated."""

    values: list[PlannedAmount] = field(default_factory=lambda: [(None, None)])
    _index: dict[PlannedAmount, int] = field(default_factory=lambda: {(None, None): 0})

    def number(self, amount: PlannedAmount) -> int:
        if amount not in self._index:
            self._index[amount] = len(self.values)
            self.values.append(amount)
        return self._index[amount]


@dataclass(frozen=True)
class Bounds:
    """What limits a subject's planned times: first dose, last day, and where data simply stop, that moment.

    ``open_until_us``: the last dose event of the study when nothing states how long dosing was followed; a dose
    whose window was still open then is not due yet. ``last_at_us``: the subject's own last dose event.
    """

    first_at_us: int
    last_day: dt.date
    day_start_us: int
    open_until_us: int | None = None
    last_at_us: int | None = None


def rule_times(rule: Dosing, bounds: Bounds) -> tuple[int, int, tuple[int, ...]] | None:
    """Base, cycle and offsets of a rule's times; None when it states none.

    Every N hours counts from the first dose; clock times repeat daily in the site's zone, those before the start of
    the dosing day belonging to the day before.
    """
    if rule.every_h is not None:
        return bounds.first_at_us, round(rule.every_h * HOUR_US), (0,)
    if rule.at:
        times = [((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 for at in rule.at]
        shifted = sorted(time + DAY_US if time < bounds.day_start_us else time for time in times)
        return 0, DAY_US, tuple(shifted)
    return None


def windows(rule: Dosing, cycle_us: int, offsets: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Window before and after each offset; a side the protocol leaves open is half the way to the neighbour."""
    m = len(offsets)
    gaps = [(offsets[(i + 1) % m] - offsets[i]) % cycle_us or cycle_us for i in range(m)]
    before, after = rule.window_before_min, rule.window_after_min
    return (
        tuple(gaps[i - 1] // 2 if before is None else round(before * MINUTE_US) for i in range(m)),
        tuple(gaps[i] // 2 if after is None else round(after * MINUTE_US) for i in range(m)),
    )


def rule_span(
    rule: Dosing,
    bounds: Bounds,
    *,
    subject: int,
    series: int,
    period: int | None,
    from_us: int,
    until_us: int,
    amount: int,
) -> Span | None:
    """Times of a rule in [from_us, until_us), from the time nearest the first dose on; None without any."""
    if rule.kind == "single":
        if not from_us <= bounds.first_at_us < until_us:
            return None
        times: tuple[int, int, tuple[int, ...]] | None = (bounds.first_at_us, DAY_US, (0,))
    else:
        times = rule_times(rule, bounds)
    if times is None:
        return None
    base, cycle, offsets = times
    before, after = windows(rule, cycle, offsets)
    m = len(offsets)

    def at(k: int) -> int:
        return base + (k // m) * cycle + offsets[k % m]

    half = [((offsets[(i + 1) % m] - offsets[i]) % cycle or cycle) // 2 for i in range(m)]
    first = (from_us - base) // cycle * m - m
    while at(first) < from_us or at(first) + half[first % m] < bounds.first_at_us:
        first += 1
    last = (until_us - base) // cycle * m + m
    while at(last) >= until_us or _not_due(at(last), before[last % m], after[last % m], bounds):
        last -= 1
        if last < first:
            return None
    count = 1 if rule.kind == "single" else last - first + 1
    return Span(
        subject, series, -1 if period is None else period, base, cycle, offsets, before, after, first, count, amount
    )


def _not_due(at: int, before: int, after: int, bounds: Bounds) -> bool:
    if bounds.open_until_us is None or at + after <= bounds.open_until_us:
        return False
    return bounds.last_at_us is None or at - before > bounds.last_at_us


@dataclass(frozen=True)
class Times:
    """Planned doses as arrays of equal length, by subject, time and series."""

    subject: Int32
    series: Int32
    period: Int32
    at: Int64
    before: Int64
    after: Int64
    amount: Int32

    @property
    def size(self) -> int:
        return int(self.at.size)


def span_times(spans: Sequence[Span]) -> Times:
    """The planned times of spans, which must come in subject order."""

    def per_span(values: Iterable[int]) -> Int64:
        return np.fromiter(values, dtype=np.int64, count=len(spans))

    counts = per_span(span.count for span in spans)
    which = np.repeat(np.arange(len(spans), dtype=np.int32), counts)
    ends = np.cumsum(counts)
    # Index within the span, from the span's own first one on.
    k = np.arange(int(ends[-1]) if len(spans) else 0, dtype=np.int64)
    k += (per_span(span.first for span in spans) - (ends - counts))[which]
    widths = per_span(len(span.offsets) for span in spans)
    cycle, base = per_span(span.cycle_us for span in spans), per_span(span.base_us for span in spans)
    offsets = np.array([value for span in spans for value in span.offsets], dtype=np.int64)
    before = np.array([value for span in spans for value in span.before], dtype=np.int64)
    after = np.array([value for span in spans for value in span.after], dtype=np.int64)
    if bool((widths == 1).all()):
        slot, whole = which, k
    else:
        m = widths[which]
        whole, within = np.divmod(k, m)
        slot = ((np.cumsum(widths) - widths)[which] + within).astype(np.int32)
    at = whole * cycle[which]
    at += base[which]
    at += offsets[slot]
    return Times(
        per_span(span.subject for span in spans).astype(np.int32)[which],
        per_span(span.series for span in spans).astype(np.int32)[which],
        per_span(span.period for span in spans).astype(np.int32)[which],
        at,
        before[slot],
        after[slot],
        per_span(span.amount for span in spans).astype(np.int32)[which],
    )


def day_us(day: dt.date) -> int:
    """Midnight at the start of a day."""
    return day_number(day) * DAY_US
