"""A made-up trial whose every dose is known: files as sites and devices would send them, and the truth beside them.

Enrolment, devices and who had them, consents, visits, adverse events, and the log of one class of device for each
subject, in the open layouts and the generic dose log. Planted, and written down: missed doses by arm, delivery errors
by firmware, clocks put wrong and right again, the change to summer time, exports that overlap, corrected values, rows
nobody can use. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sample_data.simulated_rows import KINDS, START, Dose, Row, Subject, log_row, write_dose, write_refills

SITES = {"01": "Europe/Berlin", "02": "America/New_York", "03": "Asia/Kolkata"}
ARMS = {"A": "Group A", "B": "Group B"}

ADHERENCE = {"A": 0.95, "B": 0.85}
"""Chance that a planned dose is taken."""
EVENTS_PER_YEAR = {"A": 4.0, "B": 7.0}
"""Adverse events of a subject per year."""
FIRMWARE_ERROR = {"1.0": 0.0, "2.0": -0.03}
"""Relative error of what a firmware delivers, on average."""
SPREAD = 0.01
"""Standard deviation of a single dose around that, relative."""
EXPORT_DAYS, OVERLAP_DAYS = 7, 2

CLASSES = (
    "pen", "auto_injector", "adherence_cap", "patch_injector", "pump", "patch_pump", "closed_loop", "infusion_pump",
    "programmable_implant", "dual_implant", "ai_implant", "ingestible", "transdermal_patch", "refillable_reservoir",
    "depot",
)  # fmt: skip


@dataclass
class Truth:
    """What is true of the trial, as the file truth.json holds it. Amounts are texts of exact decimals."""

    seed: int
    subjects: int
    days: int
    rows: dict[str, int] = field(default_factory=dict)
    """Data rows of each file."""
    doses: dict[str, int] = field(default_factory=dict)
    """Class -> distinct dose events that were given."""
    programmed: dict[str, str] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    expected_doses: dict[str, int] = field(default_factory=dict)
    """Arm -> doses planned of subjects with a fixed schedule (pen, auto_injector, adherence_cap)."""
    taken_doses: dict[str, int] = field(default_factory=dict)
    adverse_events: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """Planted fault -> how often."""


def simulate(
    folder: Path, *, seed: int = 1, subjects: int = 20, days: int = 35, classes: Sequence[str] = CLASSES
) -> Truth:
    """Write a trial into ``folder`` (made if it is not there); returns its truth, which is also in truth.json.

    Raises ValueError for an unknown class of device, fewer than two subjects or fewer than 14 days.
    """
    unknown = sorted(set(classes) - set(CLASSES))
    if unknown:
        raise ValueError(f"no class of device: {', '.join(unknown)}; classes are: {', '.join(CLASSES)}")
    if subjects < 2 or days < 14:
        raise ValueError("a simulated trial needs at least 2 subjects and 14 days")
    for part in ("files", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    truth = Truth(seed, subjects, days)
    people = [_subject(number, days, classes, chance) for number in range(subjects)]
    writer = _Writer(folder, truth)
    _write_people(people, days, writer, truth, chance)
    for device_class in classes:
        own = [person for person in people if person.device_class == device_class]
        if own:
            _write_class(device_class, own, days, writer, truth, chance)
    (folder / "protocol.toml").write_text(_protocol(days), encoding="utf-8")
    writer.close()
    (folder / "truth" / "truth.json").write_text(
        json.dumps(asdict(truth), indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    return truth


class _Writer:
    """CSV files by name, opened at their first row; rows of imported files are counted into the truth."""

    def __init__(self, folder: Path, truth: Truth) -> None:
        self._folder = folder
        self._truth = truth
        self._open: dict[str, tuple[Any, Any]] = {}

    def row(self, name: str, row: Row) -> None:
        """A row of a file, its columns as in the file's first row."""
        if name not in self._open:
            stream = (self._folder / name).open("w", newline="", encoding="utf-8")
            self._open[name] = stream, csv.writer(stream, lineterminator="\n")
            self._open[name][1].writerow(row)
        self._open[name][1].writerow(["" if value is None else value for value in row.values()])

    def file(self, name: str, row: Row) -> None:
        """A row of a file that is imported."""
        self.row(f"files/{name}", row)
        self._truth.rows[name] = self._truth.rows.get(name, 0) + 1

    def close(self) -> None:
        for stream, _ in self._open.values():
            stream.close()


def _subject(number: int, days: int, classes: Sequence[str], chance: random.Random) -> Subject:
    device_class = classes[number % len(classes)]
    firmware = sorted(FIRMWARE_ERROR)[number // len(classes) % 2]
    left_early = chance.random() < 0.1
    last = chance.randrange(days // 2, days) if left_early else days - 1
    clock_wrong = None
    if device_class in ("pen", "patch_injector") and chance.random() < 0.5:
        day = chance.randrange(3, max(4, last - 3))
        clock_wrong = day, day + 2
    return Subject(
        f"SIM-{number + 1:05d}", sorted(ARMS)[number // len(classes) % 2 if len(classes) > 1 else number % 2],
        sorted(SITES)[number % len(SITES)], f"D{number + 1:05d}", device_class, firmware, last, clock_wrong,
    )  # fmt: skip


def _write_people(people: Sequence[Subject], days: int, writer: _Writer, truth: Truth, chance: random.Random) -> None:
    signed = START - dt.timedelta(days=7)
    for person in people:
        ended = person.last_day < days - 1
        writer.file(
            "enrolment.csv",
            {
                "subject_id": person.id,
                "site_id": person.site,
                "arm_code": person.arm,
                "sex": chance.choice("FM"),
                "age": chance.randrange(18, 80),
                "consent_date": signed,
                "enrolled_date": START,
                "reference_start": START,
                "participation_end": START + dt.timedelta(days=person.last_day) if ended else None,
                "status": "discontinued" if ended else "on_treatment",
            },
        )
        writer.file(
            "device_list.csv",
            {
                "device_id": person.device,
                "device_class": person.device_class,
                "model": f"MODEL-{person.device_class}",
                "serial": f"SN{person.device}",
                "firmware": person.firmware,
            },
        )
        given = {"device_id": person.device, "subject_id": person.id, "assigned_from_date": START}
        writer.file("assignment_list.csv", given)
        writer.file("consent_list.csv", {"subject_id": person.id, "consent_version": "1.0", "signed_date": signed})
        baseline = {"subject_id": person.id, "visit_number": 1, "visit": "Baseline", "visit_date": START}
        writer.file("visit_list.csv", baseline)
        count = _poisson(EVENTS_PER_YEAR[person.arm] * (person.last_day + 1) / 365.25, chance)
        truth.adverse_events[person.arm] = truth.adverse_events.get(person.arm, 0) + count
        for number in range(1, count + 1):
            writer.file(
                "adverse_events.csv",
                {
                    "subject_id": person.id,
                    "event_seq": number,
                    "term": chance.choice(("headache", "nausea", "injection site pain", "dizziness")),
                    "severity": chance.choice(("MILD", "MODERATE", "SEVERE")),
                    "serious": "Y" if chance.random() < 0.05 else "N",
                    "causality": chance.choice(("RELATED", "NOT RELATED")),
                    "start_text": START + dt.timedelta(days=chance.randrange(person.last_day + 1)),
                },
            )


def _poisson(mean: float, chance: random.Random) -> int:
    """Waiting times of a Poisson process, counted up to 1."""
    count, at = 0, chance.expovariate(mean) if mean else 2.0
    while at < 1.0:
        count += 1
        at += chance.expovariate(mean)
    return count


_CHANGED_AT = dt.time(3, 30)
"""Local time at which a clock is changed: between two doses, and in no hour a zone leaves out."""


def _offset(person: Subject, local: dt.datetime) -> dt.timedelta:
    """Offset from UTC of the site's time."""
    found = local.replace(tzinfo=zoneinfo.ZoneInfo(SITES[person.site])).utcoffset()
    assert found is not None
    return found


def _changes(person: Subject) -> tuple[dt.datetime, dt.datetime]:
    """Local times at which the clock is put wrong and right again."""
    assert person.clock_wrong is not None
    wrong, right = (dt.datetime.combine(START + dt.timedelta(days=day), _CHANGED_AT) for day in person.clock_wrong)
    return wrong, right


def _shown_by_clock(person: Subject, local: dt.datetime) -> dt.timedelta:
    """What a device's clock shows at the site's time, minus UTC.

    A clock nobody touches follows the zone. One that is set by hand stays where it was put, summer time or not.
    """
    if person.clock_wrong is None:
        return _offset(person, local)
    wrong, right = _changes(person)
    if local >= right:
        return _offset(person, right)
    first = _offset(person, dt.datetime.combine(START, _CHANGED_AT))
    return first + dt.timedelta(hours=5) if local >= wrong else first


def _doses(person: Subject, chance: random.Random, truth: Truth) -> Iterator[Dose]:
    """One dose a day at eight o'clock at the site, some missed, what the firmware makes of them, and what the clock
    showed."""
    zone = zoneinfo.ZoneInfo(SITES[person.site])
    planned, seq = Decimal(10), 0
    scheduled = person.device_class in ("pen", "auto_injector", "adherence_cap")
    for day in range(person.last_day + 1):
        if scheduled:
            truth.expected_doses[person.arm] = truth.expected_doses.get(person.arm, 0) + 1
        # The first dose is given at the site, the last closes the record.
        given = day in (0, person.last_day) or chance.random() < ADHERENCE[person.arm]
        late = round(chance.gauss(0, 600))
        error = FIRMWARE_ERROR[person.firmware] + chance.gauss(0, SPREAD)
        if not given:
            continue
        if scheduled:
            truth.taken_doses[person.arm] = truth.taken_doses.get(person.arm, 0) + 1
        seq += 1
        local = dt.datetime.combine(START + dt.timedelta(days=day), dt.time(8)) + dt.timedelta(seconds=late)
        true_utc = local.replace(tzinfo=zone).astimezone(dt.UTC).replace(tzinfo=None)
        delivered = (planned * Decimal(str(round(1 + error, 4)))).quantize(Decimal("0.01"))
        yield Dose(seq, day, true_utc + _shown_by_clock(person, local), true_utc, planned, delivered)


def _write_class(
    device_class: str, people: Sequence[Subject], days: int, writer: _Writer, truth: Truth, chance: random.Random
) -> None:
    count, programmed, delivered = 0, Decimal(0), Decimal(0)
    for person in people:
        doses = list(_doses(person, chance, truth))
        if device_class == "depot":
            doses = doses[:1]
        if device_class == "refillable_reservoir":
            write_refills(person, days, writer)
            continue
        if person.clock_wrong is not None:
            _write_clock(person, doses, writer, truth)
        # Only what a later export holds again can be corrected by it.
        again = [dose for dose in doses if dose.day % EXPORT_DAYS >= EXPORT_DAYS - OVERLAP_DAYS and dose.day + 7 < days]
        corrected = chance.choice(again) if device_class == "pen" and again and chance.random() < 0.7 else None
        for number, first in enumerate(range(0, days, EXPORT_DAYS)):
            last = first + EXPORT_DAYS - 1
            name = f"{{}}_{START + dt.timedelta(days=last):%Y%m%d}.csv"
            for dose in doses:
                if first - (OVERLAP_DAYS if number else 0) <= dose.day <= last:
                    write_dose(person, dose, writer, name, first_version=dose is corrected and dose.day >= first)
        if corrected is not None:
            truth.faults["corrected_value"] = truth.faults.get("corrected_value", 0) + 1
        for dose in doses:
            true = {
                "subject_id": person.id,
                "device_id": person.device,
                "seq": dose.seq,
                "true_utc": dose.true_utc,
                "planned": dose.planned,
                "delivered": dose.delivered,
            }
            writer.row("truth/doses.csv", true)
        count += len(doses)
        programmed += sum((dose.planned for dose in doses), Decimal(0))
        delivered += sum((dose.delivered for dose in doses), Decimal(0))
    if count:
        truth.doses[device_class] = count
        truth.programmed[device_class], truth.delivered[device_class] = f"{programmed:f}", f"{delivered:f}"
    if device_class in KINDS:
        # A row nobody can use: the amount is no number.
        values = log_row(
            people[0], Dose(0, 0, dt.datetime.combine(START, dt.time(9)), dt.datetime.min, Decimal(0), Decimal(0))
        )
        values |= {"native_key": f"bad-{device_class}", "delivered_amount": "n/a"}
        writer.file(f"dose_log_{START:%Y%m%d}-bad-{device_class}.csv", values)
        truth.faults["bad_amount"] = truth.faults.get("bad_amount", 0) + 1


def _write_clock(person: Subject, doses: Sequence[Dose], writer: _Writer, truth: Truth) -> None:
    """The two changes of a clock that was put five hours ahead and set right again."""
    assert person.clock_wrong is not None
    for turn, (local, day) in enumerate(zip(_changes(person), person.clock_wrong, strict=True)):
        utc = local - _offset(person, local)
        before, after = _shown_by_clock(person, local - dt.timedelta(minutes=1)), _shown_by_clock(person, local)
        writer.file(
            "device_event_log.csv",
            {
                "device_id": person.device,
                "event": "clock_change",
                "event_local": utc + before,
                "new_local": utc + after,
                "event_no": f"c{turn}",
                "device_seq": max((dose.seq for dose in doses if dose.day < day), default=0),
            },
        )
    truth.faults["clock_set_wrong"] = truth.faults.get("clock_set_wrong", 0) + 1


def _protocol(days: int) -> str:
    sites = "".join(f'[[site]]\nid = "{site}"\ntime_zone = "{zone}"\n' for site, zone in SITES.items())
    arms = "".join(
        f'[[arm]]\ncode = "{arm}"\nname = "{name}"\n[[arm.period]]\norder = 1\nelement = "TRT"\n'
        f"duration_days = {days}\n"
        for arm, name in ARMS.items()
    )
    last = START + dt.timedelta(days=days - 1)
    layouts = ("dose_log", "pen_session", "patch_injector", "programmable_implant", "dual_implant", "ai_implant",
               "ingestible", "transdermal_patch", "depot")  # fmt: skip
    sources = "".join(
        f'[[source]]\nname = "{name}"\npattern = "{name}_*.csv"\nformat = "{name}"\n'
        f'exported_at = "{name}_{{%Y%m%d}}*.csv"\n'
        for name in layouts
    )
    return (
        f'[study]\nid = "SIMULATED"\ntitle = "A simulated trial"\nreference_arm = "A"\ndata_cut = {last}\n{sites}{arms}'
        '[[drug]]\nname = "SIMDRUG"\nunit = "mg"\n'
        '[[dosing]]\ndrug = "SIMDRUG"\namount = 10\nunit = "mg"\nat = [08:00:00]\n'
        "window_before_min = 240\nwindow_after_min = 240\n"
        '[[visit]]\nnumber = 1\nname = "Baseline"\nday = 1\nwindow_before_d = 0\nwindow_after_d = 0\n'
        f"{sources}"
    )
