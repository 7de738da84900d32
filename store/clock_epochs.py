"""How far a device's clock was from UTC, between the changes its log records.

A device shows one local time and knows no zone. Each clock change links the time before it with the time after it, so
the clock of all epochs is known up to one constant: ``shift`` (device local time minus UTC) of an epoch is c(t) + S,
where S is the sum of the changes so far. Whoever sets a clock looks at the right time, so every set clock is an anchor:
c = offset of the site's zone - S. Anchors that agree within ``AGREE_S`` decide; a clock that was set to another zone on
a journey, or to the wrong half of the day, is outvoted, and its doses are known all the same from the changes around
it. Between agreeing anchors c runs linearly: that is the drift of the clock.

A clock that lost its time (2000, 2004, 2007) starts anew: what it then showed is known by the change that set it right,
backwards from there; the time before the loss by anchors of its own.

Undoing a log's clock changes backwards is Tidepool's "bootstrapping to UTC" (uploader documentation); the vote of the
anchors and the drift are ours.
"""

from __future__ import annotations

import datetime as dt
import itertools
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

LOSS = dt.timedelta(days=300)

AGREE_S = 20 * 60
"""Anchors closer than this are one clock, set by different people at different times, or drifting."""

CERTAIN_S = 60
"""What "recoverable" promises: within a minute."""

DRIFT_S_PER_DAY = 30
"""More than any quartz clock; two anchors that differ by more were not drift."""

ZONE_STEP_S = 15 * 60
"""Zones differ by multiples of this."""

ORIGIN = dt.datetime(2000, 1, 1)


@dataclass(frozen=True)
class ClockChange:
    """The clock showed ``old`` and was set to ``new``; ``seq`` is the device's own number of the entry."""

    old: dt.datetime
    new: dt.datetime
    seq: int | None = None

    @property
    def delta_s(self) -> float:
        return (self.new - self.old).total_seconds()

    @property
    def is_loss(self) -> bool:
        """Nobody sets a clock on by most of a year: it had fallen back to the year it was built with."""
        return self.new - self.old > LOSS


@dataclass(frozen=True)
class ClockReading:
    """Both times at one moment, as somebody who knows UTC wrote them down."""

    local: dt.datetime
    utc: dt.datetime
    seq: int | None = None


@dataclass(frozen=True)
class Epoch:
    """A piece of time in which the clock ran without being set.

    An entry belongs to it when its sequence number is after ``from_seq`` and not after ``to_seq`` (or, without
    numbers, its local time between ``from_local`` and ``to_local``), and its local time is after ``inner_from`` and not
    after ``inner_to``; None is open. ``lost``: of a clock that has lost its time, beside the ordinary epoch of the same
    numbers. The shift runs from ``shift_s`` at ``at_local`` to ``end_shift_s`` at ``until_local`` (device local time
    minus UTC, seconds) and is constant outside.
    """

    number: int
    lost: bool
    from_seq: int | None
    to_seq: int | None
    from_local: dt.datetime | None
    to_local: dt.datetime | None
    inner_from: dt.datetime | None
    inner_to: dt.datetime | None
    at_local: dt.datetime
    shift_s: float
    until_local: dt.datetime
    end_shift_s: float
    rule: str
    certain: bool


@dataclass(frozen=True)
class _Stretch:
    """Time between two changes of a chain; ``passed_s`` is the sum of the chain's changes before it, ``first_local``
    the first time shown by a clock that nobody was seen to set."""

    begun_by: ClockChange | None
    ended_by: ClockChange | None
    passed_s: float
    first_local: dt.datetime | None = None

    @property
    def begin(self) -> dt.datetime | None:
        return self.begun_by.new if self.begun_by else None

    @property
    def end(self) -> dt.datetime | None:
        return self.ended_by.old if self.ended_by and not self.ended_by.is_loss else None

    @property
    def seen(self) -> dt.datetime | None:
        """When the first clock is known to have run."""
        if self.first_local is None or (self.end is not None and self.end < self.first_local):
            return self.end
        return self.first_local

    def run_s(self, local: dt.datetime) -> float:
        """The chain's continuous clock at a local time of this stretch."""
        return (local - ORIGIN).total_seconds() - self.passed_s

    def local(self, run_s: float) -> dt.datetime:
        return ORIGIN + dt.timedelta(seconds=run_s + self.passed_s)

    def holds(self, reading: ClockReading) -> bool:
        begun, ended = self.begun_by, self.ended_by
        numbered = all(change is None or change.seq is not None for change in (begun, ended))
        if reading.seq is not None and numbered:
            after = begun is None or reading.seq > (begun.seq or 0)
            return after and (ended is None or reading.seq <= (ended.seq or 0))
        return (self.begin is None or reading.local >= self.begin) and (self.end is None or reading.local <= self.end)


@dataclass(frozen=True)
class _Anchor:
    """``c`` at a time of the chain's continuous clock. Weight 0: the first clock, which nobody was seen to set; 1: set
    by a person; 2: read beside UTC."""

    run_s: float
    c: float
    weight: int


def derive_clock_epochs(
    changes: Sequence[ClockChange],
    zone: zoneinfo.ZoneInfo,
    readings: Sequence[ClockReading] = (),
    first_local: dt.datetime | None = None,
) -> list[Epoch]:
    """The epochs of one device in one zone, in order; none without a change or a reading.

    ``first_local``: the earliest time in the log by a clock that is not lost. It is taken for right then, unless what
    follows says otherwise.

    ``certain`` is False where a journey and a wrong clock would look the same, or where a clock was off by minutes for
    reasons the log does not tell.
    """
    if not changes and not readings:
        return []
    epochs: list[Epoch] = []
    chain: list[ClockChange] = []
    begun_by: ClockChange | None = None
    before: ClockChange | None = None
    for change in _in_order(changes):
        if change.is_loss:
            epochs += _chain_epochs(begun_by, chain, change, zone, readings, len(epochs), first_local)
            epochs += _lost_epoch(before, change, epochs, zone)
            begun_by, chain = change, []
        else:
            chain.append(change)
        before = change
    return epochs + _chain_epochs(begun_by, chain, None, zone, readings, len(epochs), first_local)


def _in_order(changes: Sequence[ClockChange]) -> list[ClockChange]:
    if all(change.seq is not None for change in changes):
        return sorted(changes, key=lambda change: (change.seq or 0, change.new, change.old))
    return sorted(changes, key=lambda change: (change.new, change.old))


def _lost_epoch(
    before: ClockChange | None, repair: ClockChange, epochs: Sequence[Epoch], zone: zoneinfo.ZoneInfo
) -> list[Epoch]:
    """The clock that had lost its time, known by the change that set it right."""
    shift = _offset_s(zone, repair.new) - repair.delta_s
    return [
        Epoch(
            len(epochs), True, before.seq if before else None, repair.seq, None, repair.old, None, None,
            repair.old, shift, repair.old, shift, "lost_clock", True,
        )
    ]  # fmt: skip


def _chain_epochs(
    begun_by: ClockChange | None,
    changes: Sequence[ClockChange],
    lost_by: ClockChange | None,
    zone: zoneinfo.ZoneInfo,
    readings: Sequence[ClockReading],
    number: int,
    first_local: dt.datetime | None,
) -> list[Epoch]:
    """Epochs from the beginning, or the repair of a lost clock, to the next loss, or the end."""
    passed = itertools.accumulate((change.delta_s for change in changes), initial=0.0)
    ends = [*changes, lost_by]
    stretches = [
        _Stretch(begun, ended, passed_s, first_local)
        for begun, ended, passed_s in zip([begun_by, *changes], ends, passed, strict=True)
    ]
    anchors = _anchors(stretches, zone, readings)
    if not anchors:
        # Nothing but a loss that ended it: the site's zone is as good as any, and nothing is known.
        return []
    knots, certain = _agreeing(anchors)
    epochs: list[Epoch] = []
    for stretch in stretches:
        epochs += _pieces(stretch, knots, certain, zone, number + len(epochs))
    return epochs


def _anchors(stretches: Sequence[_Stretch], zone: zoneinfo.ZoneInfo, readings: Sequence[ClockReading]) -> list[_Anchor]:
    anchors: list[_Anchor] = []
    for stretch in stretches:
        if stretch.begin is not None:
            anchors.append(_zone_anchor(stretch, stretch.begin, zone, 1, anchors))
        elif stretch.seen is not None:
            anchors.append(_zone_anchor(stretch, stretch.seen, zone, 0, anchors))
        for reading in filter(stretch.holds, readings):
            shift = (reading.local - reading.utc).total_seconds()
            anchors.append(_Anchor(stretch.run_s(reading.local), shift - stretch.passed_s, 2))
    return sorted(anchors, key=lambda anchor: (anchor.run_s, anchor.weight, anchor.c))


def _zone_anchor(
    stretch: _Stretch, local: dt.datetime, zone: zoneinfo.ZoneInfo, weight: int, before: Sequence[_Anchor]
) -> _Anchor:
    """What the site's zone says; in an hour that exists twice, what is nearer to the anchor before."""
    found = sorted({_offset_s(zone, local.replace(fold=fold)) - stretch.passed_s for fold in (0, 1)}, reverse=True)
    if before:
        found.sort(key=lambda c: abs(c - before[-1].c))
    return _Anchor(stretch.run_s(local), found[0], weight)


def _agreeing(anchors: Sequence[_Anchor]) -> tuple[list[_Anchor], bool]:
    """The anchors that decide, in order of time, and whether they decide for certain."""
    groups = [[other for other in anchors if abs(other.c - anchor.c) <= AGREE_S] for anchor in anchors]
    # A clock read beside UTC; then most votes; clocks set before one that only ran; the later before the earlier.
    chosen = max(
        groups,
        key=lambda group: (
            any(anchor.weight == 2 for anchor in group),
            len(group),
            sum(anchor.weight for anchor in group),
            group[-1].run_s,
        ),
    )
    read = any(anchor.weight == 2 for anchor in chosen)
    others = [anchor for anchor in anchors if anchor not in chosen]
    alone = len(chosen) == 1 and any(_like_another_zone(anchor.c - chosen[0].c) for anchor in others)
    tied = any(len(group) == len(chosen) and chosen[0] not in group for group in groups) and len(chosen) > 1
    # The first clock only shows the way to others; between two that people set it has nothing to add.
    knots = [anchor for anchor in chosen if anchor.weight] or chosen
    return knots, read or not (alone or tied)


def _like_another_zone(difference_s: float) -> bool:
    """Whether a difference may be a journey as well as a clock set wrong."""
    rest = (difference_s + ZONE_STEP_S / 2) % ZONE_STEP_S - ZONE_STEP_S / 2
    return abs(rest) <= 2 * CERTAIN_S


def _pieces(
    stretch: _Stretch, knots: Sequence[_Anchor], certain: bool, zone: zoneinfo.ZoneInfo, number: int
) -> list[Epoch]:
    """The stretch, cut where a clock was read inside it."""
    begin_s = stretch.run_s(stretch.begin) if stretch.begin else None
    end_s = stretch.run_s(stretch.end) if stretch.end else None
    inside = [
        knot.run_s
        for knot in knots
        if (begin_s is None or knot.run_s > begin_s) and (end_s is None or knot.run_s < end_s)
        and (begin_s is not None or end_s is not None or len(knots) > 1)
        and knot.weight == 2
    ]  # fmt: skip
    bounds = [begin_s, *inside, end_s]
    pieces: list[Epoch] = []
    for low, high in itertools.pairwise(bounds):
        # Without a bound the shift is what it is at the other end.
        at_s = low if low is not None else high if high is not None else knots[0].run_s
        to_s = high if high is not None else at_s
        shift, end_shift = _c_at(knots, at_s) + stretch.passed_s, _c_at(knots, to_s) + stretch.passed_s
        pieces.append(
            Epoch(
                number + len(pieces),
                False,
                stretch.begun_by.seq if stretch.begun_by else None,
                stretch.ended_by.seq if stretch.ended_by else None,
                stretch.begin,
                # A clock set forward shows nothing in between; an entry that does is of the time before.
                max(stretch.end, stretch.ended_by.new) if stretch.end and stretch.ended_by else None,
                stretch.local(low) if low is not None and low is not begin_s else None,
                stretch.local(high) if high is not None and high is not end_s else None,
                stretch.local(at_s),
                shift,
                stretch.local(to_s),
                end_shift,
                _rule(stretch, knots, end_shift - shift),
                certain and not _wanders(stretch, knots, zone, at_s, to_s),
            )
        )
    return pieces


def _c_at(knots: Sequence[_Anchor], run_s: float) -> float:
    after = next((place for place, knot in enumerate(knots) if knot.run_s > run_s), len(knots))
    if after == 0:
        return knots[0].c
    low = knots[after - 1]
    if after == len(knots):
        return low.c
    high = knots[after]
    return low.c + (high.c - low.c) * (run_s - low.run_s) / (high.run_s - low.run_s)


def _rule(stretch: _Stretch, knots: Sequence[_Anchor], drift_s: float) -> str:
    if abs(drift_s) > 1:
        return "clock_drift"
    own = stretch.begin is not None and any(abs(knot.run_s - stretch.run_s(stretch.begin)) < 1 for knot in knots)
    return "clock_set" if own else "clock_chain"


def _wanders(
    stretch: _Stretch, knots: Sequence[_Anchor], zone: zoneinfo.ZoneInfo, begin_s: float, end_s: float
) -> bool:
    """Whether the clock was off by more than a minute for reasons that cannot be told from the log."""
    for low, high in itertools.pairwise(knots):
        if high.run_s > begin_s and low.run_s < end_s:
            days = (high.run_s - low.run_s) / 86_400
            if abs(high.c - low.c) > CERTAIN_S + DRIFT_S_PER_DAY * days:
                return True
    if stretch.begin is None and stretch.seen is not None and knots[0].run_s >= end_s and knots[0].weight:
        # Nobody was seen to set this clock: off by minutes, it may have drifted or been set so.
        shown = _zone_anchor(stretch, stretch.seen, zone, 0, knots[:1]).c
        return CERTAIN_S < abs(shown - knots[0].c) <= AGREE_S
    return False


def _offset_s(zone: zoneinfo.ZoneInfo, local: dt.datetime) -> float:
    offset = local.replace(tzinfo=zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
