"""Basal profiles as a legacy CareLink file states them: the settings at upload, and each change with what it
replaced.

``CurrentBasalProfilePattern`` and its ``CurrentBasalProfile`` rows are the patterns at upload;
``ChangeBasalProfilePattern`` and ``...Pre`` give a pattern after and before a change. Rows belong to their
pattern by ``PATTERN_DATUM`` = Raw-ID.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_DAY_S = 86_400

Steps = tuple[tuple[int, float], ...]
"""Start of each step in seconds since midnight, and its rate in U/h; the first starts at 0."""


def parse_raw(text: str | None) -> dict[str, str]:
    """``AMOUNT=1.7, DURATION=null`` as a dictionary, without the nulls."""
    pairs = (part.partition("=") for part in (text or "").split(", "))
    return {key: value for key, _, value in pairs if value and value != "null"}


@dataclass
class Profiles:
    """Patterns of one pump over time; ``steps`` answers what was programmed at a moment, None where the file does
    not say.
    """

    current: dict[str, Steps] = field(default_factory=dict)
    changes: dict[str, list[tuple[dt.datetime, Steps | None, Steps]]] = field(default_factory=dict)
    """Pattern -> (when, before, after), in time order."""

    def steps(self, pattern: str | None, at: dt.datetime) -> Steps | None:
        if pattern is None:
            return None
        made = self.changes.get(pattern, [])
        place = bisect_right([when for when, _, _ in made], at)
        if place:
            return made[place - 1][2] or None
        if made:
            # A first change that does not say what it replaced is taken as saved again.
            return made[0][1] if made[0][1] is not None else made[0][2] or None
        return self.current.get(pattern) or None


def rate_at(steps: Steps, at: dt.datetime) -> tuple[float, dt.datetime]:
    """The rate in force at a moment, and when it ends (the next step or midnight; for one step a day: never cut)."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = (at - midnight).total_seconds()
    place = bisect_right([start for start, _ in steps], seconds) - 1
    ends = steps[place + 1][0] if place + 1 < len(steps) else _DAY_S
    return steps[max(place, 0)][1], midnight + dt.timedelta(seconds=ends)


def read_profiles(rows: Iterable[Mapping[str, object]]) -> Profiles:
    """Profiles of one pump from its rows (raw_type, raw_values, raw_id, at)."""
    patterns: dict[str, tuple[str, str, dt.datetime]] = {}
    steps: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in rows:
        kind, values = str(row["raw_type"] or ""), parse_raw(row["raw_values"])  # type: ignore[arg-type]
        if "BasalProfilePattern" in kind and "PATTERN_NAME" in values and "Active" not in kind:
            patterns[str(row["raw_id"])] = (kind, values["PATTERN_NAME"], row["at"])  # type: ignore[assignment]
        elif "BasalProfile" in kind and "PATTERN_DATUM" in values and "RATE" in values:
            start = int(float(values.get("START_TIME", "0"))) // 1000
            steps.setdefault((values["PATTERN_DATUM"], kind), []).append((start, float(values["RATE"])))
    profiles = Profiles()
    before: dict[tuple[str, dt.datetime], Steps] = {}
    after: dict[tuple[str, dt.datetime], Steps] = {}
    for datum, (kind, name, at) in patterns.items():
        own = tuple(sorted(step for (key, _), found in steps.items() if key == datum for step in found))
        if kind.startswith("Current"):
            profiles.current[name] = own
        elif kind.endswith("Pre"):
            before[name, at] = own
        else:
            after[name, at] = own
    for (name, at), own in sorted(after.items(), key=lambda item: item[0][1]):
        earlier = profiles.changes.setdefault(name, [])
        known = before.get((name, at)) or (earlier[-1][2] if earlier else None)
        earlier.append((at, known, own))
    return profiles
