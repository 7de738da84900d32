"""Device logs with known truth: clocks that are set, drift, travel, lose their time, or are set wrong."""

from __future__ import annotations

import datetime as dt
import json
import random
import zoneinfo
from dataclasses import dataclass, field
from typing import Any

LOST_YEAR = dt.datetime(2007, 1, 1)
DAY = dt.timedelta(days=1)
SCENARIOS = ("kept", "travel", "lost", "wrong half of the day", "never set")


@dataclass
class Device:
    """A device's log: rows of dose_event and device_event, and the true UTC of each row by its sequence number."""

    device_id: str
    zone: str
    scenario: str
    doses: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    truth: dict[int, dt.datetime] = field(default_factory=dict)


class _Clock:
    """What a clock shows: it runs ``rate`` seconds a day fast from when it was last set."""

    def __init__(self, utc: dt.datetime, shown: dt.datetime, rate: float) -> None:
        self.rate = rate
        self.set(utc, shown)

    def set(self, utc: dt.datetime, shown: dt.datetime) -> None:
        self._utc, self._shown = utc, shown

    def at(self, utc: dt.datetime) -> dt.datetime:
        passed = utc - self._utc
        return self._shown + passed + dt.timedelta(seconds=self.rate * passed / DAY)


def make_device(number: int, scenario: str, random_: random.Random, doses: int = 400) -> Device:
    """One device over 240 days from February to October: both changes of summer time lie in it."""
    zone = random_.choice(["Europe/Berlin", "America/New_York", "Australia/Adelaide"])
    info = zoneinfo.ZoneInfo(zone)
    device = Device(f"D{number:03}", zone, scenario)
    begin = dt.datetime(2023, 2, 1, 6) + dt.timedelta(hours=random_.random() * 24)

    def right(utc: dt.datetime, zone_: zoneinfo.ZoneInfo = info) -> dt.datetime:
        """The right local time, as read by somebody who sets a clock: to 20 seconds."""
        local = utc.replace(tzinfo=dt.UTC).astimezone(zone_).replace(tzinfo=None)
        return (local + dt.timedelta(seconds=random_.uniform(-20, 20))).replace(microsecond=0)

    clock = _Clock(begin, right(begin), random_.uniform(-4, 4))
    acts: list[tuple[dt.datetime, str]] = []
    if scenario != "never set":
        # Set every few weeks, and within days of a change of summer time.
        acts += [(begin + dt.timedelta(days=day + random_.random()), "set") for day in range(20, 240, 30)]
        acts += [(change + dt.timedelta(hours=random_.uniform(1, 90)), "set") for change in _zone_changes(info)]
    if scenario == "travel":
        for day in (95, 155):
            acts += [(begin + dt.timedelta(days=day), "abroad"), (begin + dt.timedelta(days=day + 9), "set")]
    if scenario == "lost":
        for day in (64, 171):
            lost = begin + dt.timedelta(days=day + random_.random())
            acts += [(lost, "lose"), (lost + dt.timedelta(hours=random_.uniform(2, 70)), "set")]
    if scenario == "wrong half of the day":
        wrong = begin + dt.timedelta(days=131)
        acts += [(wrong, "half"), (wrong + dt.timedelta(hours=random_.uniform(20, 50)), "set")]
    moments = [(begin + dt.timedelta(seconds=random_.random() * 240 * 86_400), "dose") for _ in range(doses)]
    for seq, (utc, act) in enumerate(sorted([*acts, *moments]), start=1):
        shown = clock.at(utc).replace(microsecond=0)
        if act == "dose":
            device.truth[seq] = utc
            device.doses.append({"device_id": device.device_id, "device_seq": seq, "start_local": shown})
            continue
        if act == "lose":
            clock.set(utc, LOST_YEAR)
            continue
        abroad = zoneinfo.ZoneInfo("Asia/Tokyo")
        new = (
            right(utc, abroad)
            if act == "abroad"
            else right(utc) + (dt.timedelta(hours=12) if act == "half" else DAY * 0)
        )
        detail = json.dumps({"old_local": shown.isoformat(), "new_local": new.isoformat()})
        device.events.append(
            {
                "device_id": device.device_id, "device_seq": seq, "event": "clock_change", "start_local": shown,
                "detail": detail, "native_key": str(seq),
            }
        )  # fmt: skip
        clock.set(utc, new)
    return device


def _zone_changes(info: zoneinfo.ZoneInfo) -> list[dt.datetime]:
    found = []
    for hours in range(240 * 24):
        utc = dt.datetime(2023, 2, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hours)
        if utc.astimezone(info).utcoffset() != (utc - dt.timedelta(hours=1)).astimezone(info).utcoffset():
            found.append(utc.replace(tzinfo=None))
    return found


def with_folds(device: Device) -> list[dict[str, Any]]:
    """The doses without sequence numbers, as a source gives them whose order tells which of two times was first."""
    sets = [(event["device_seq"], *json.loads(event["detail"]).values()) for event in device.events]
    changes = [(seq, dt.datetime.fromisoformat(old), dt.datetime.fromisoformat(new)) for seq, old, new in sets]
    doses = []
    for dose in device.doses:
        fold = None
        for seq, old, new in changes:
            if new <= dose["start_local"] <= old:
                fold = int(dose["device_seq"] > seq)
        doses.append({**{name: value for name, value in dose.items() if name != "device_seq"}, "fold": fold})
    return doses
