"""Rows of simulated files: what the log of each class of device says of one dose, in its open layout."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

START = dt.date(2026, 3, 2)
"""So that both summer times begin within the first four weeks."""

Row = Mapping[str, object]


class RowFiles(Protocol):
    """Takes rows of imported files by the file's name."""

    def file(self, name: str, row: Row) -> None: ...


@dataclass
class Subject:
    id: str
    arm: str
    site: str
    device: str
    device_class: str
    firmware: str
    last_day: int
    """Day, from 0, of the last planned dose."""
    clock_wrong: tuple[int, int] | None = None
    """First day with a clock that is wrong, and the day it is set right in the morning."""


@dataclass(frozen=True)
class Dose:
    """One dose: when it really was, what the device's clock showed, and amounts (NULL for what has none)."""

    seq: int
    day: int
    shown: dt.datetime
    true_utc: dt.datetime
    planned: Decimal
    delivered: Decimal


KINDS = {
    "auto_injector": ("injection", "user", "SIMDRUG", "mg"),
    "adherence_cap": ("opening", "user", "SIMDRUG", "{opening}"),
    "pump": ("bolus", "user", "insulin", "[iU]"),
    "patch_pump": ("bolus", "user", "insulin", "[iU]"),
    "closed_loop": ("bolus", "algorithm", "insulin", "[iU]"),
    "infusion_pump": ("infusion_segment", "clinician", "morphine", "mg"),
}


def write_refills(person: Subject, days: int, writer: RowFiles) -> None:
    """A refill every two weeks: 20 mL filled, 13.9 mL used of 14 mL logged."""
    for number, day in enumerate(range(0, days, 14)):
        at = dt.datetime.combine(START + dt.timedelta(days=day), dt.time(10))
        writer.file(
            "refillable_reservoir.csv",
            {
                "subject_id": person.id,
                "device_id": person.device,
                "refilled_local": at,
                "residual_volume": "6.1" if number else None,
                "filled_volume": 20,
                "logged_volume": 14 if number else None,
                "volume_unit": "mL",
                "low_reservoir_local": at + dt.timedelta(days=18),
                "drug": "morphine",
            },
        )


def log_row(person: Subject, dose: Dose) -> dict[str, object]:
    """A dose in the generic dose log."""
    kind, trigger, drug, unit = KINDS[person.device_class]
    has_amount = person.device_class != "adherence_cap"
    return {
        "subject_id": person.id,
        "device_id": person.device,
        "native_key": dose.seq,
        "kind": kind,
        "trigger": trigger,
        "drug": drug,
        "start_local": dose.shown,
        "end_local": dose.shown + dt.timedelta(hours=1) if kind == "infusion_segment" else None,
        "programmed_amount": dose.planned if has_amount else None,
        "delivered_amount": dose.delivered if has_amount else None,
        "amount_unit": unit,
    }


def write_dose(person: Subject, dose: Dose, writer: RowFiles, name: str, *, first_version: bool) -> None:
    """A dose in the layout of its class. ``name``: file name with ``{}`` for the layout; ``first_version``: as an
    export had it that a later one corrects."""
    given = dose.delivered - Decimal("0.5") if first_version else dose.delivered
    at, seq, whose = dose.shown, dose.seq, {"subject_id": person.id, "device_id": person.device}
    planned_at = dt.datetime.combine(START + dt.timedelta(days=dose.day), dt.time(8))
    rows: dict[str, Row] = {
        "pen": {
            "device_id": person.device, "dose_no": seq, "injected_local": at, "dialled_amount": dose.planned,
            "delivered_amount": given, "amount_unit": "mg", "prime": "N", "drug": "SIMDRUG", "device_seq": seq,
        },
        "patch_injector": {
            "device_id": person.device, "session_no": seq, "started_local": at,
            "ended_local": at + dt.timedelta(minutes=9), "filled_volume": dose.planned, "delivered_volume": given,
            "volume_unit": "mL", "drug": "biologic", "device_seq": seq,
        },
        "ai_implant": {
            "device_id": person.device, "recommendation_no": seq, "recommended_local": at,
            "recommended_amount": dose.planned, "bound_min": 5, "bound_max": 15, "algorithm_version": person.firmware,
            "decision": "accepted", "decided_local": at + dt.timedelta(minutes=1), "accepted_amount": dose.planned,
            "released_local": at, "released_amount": given, "amount_unit": "mg", "drug": "baclofen",
        },
        "ingestible": {
            "device_id": person.device, "sensor_id": f"{person.device}-{seq}", "planned_local": planned_at,
            "detected_local": at, "drug": "tablet", "planned_amount": dose.planned, "amount_unit": "mg",
        },
        "transdermal_patch": {
            **whose, "applied_local": at, "removed_local": at + dt.timedelta(hours=23),
            "planned_removal_local": at + dt.timedelta(hours=23), "drug": "rivastigmine",
            "loaded_amount": 2 * dose.planned, "residual_amount": 2 * dose.planned - given, "amount_unit": "mg",
        },
        "depot": {
            **whose, "inserted_local": at, "drug": "buprenorphine", "planned_amount": dose.planned,
            "given_amount": given, "amount_unit": "mg", "release_model": "first_order",
            "nominal_end_local": at + dt.timedelta(days=28),
        },
    }  # fmt: skip
    layouts = {"pen": "pen_session"}
    if person.device_class in ("programmable_implant", "dual_implant"):
        _write_releases(person, dose, given, writer, name)
    elif person.device_class in rows:
        layout = layouts.get(person.device_class, person.device_class)
        writer.file(name.format(layout), rows[person.device_class])
    else:
        writer.file(name.format("dose_log"), log_row(person, dose))


def _write_releases(person: Subject, dose: Dose, given: Decimal, writer: RowFiles, name: str) -> None:
    at = dt.datetime.combine(START + dt.timedelta(days=dose.day), dt.time(8))
    first = (given / 2).quantize(Decimal("0.01"))
    dual = person.device_class == "dual_implant"
    for channel, amount in (("A", first), ("B", given - first)) if dual else ((None, given),):
        row: dict[str, object] = {
            "device_id": person.device,
            "release_no": dose.seq,
            "drug": "parathyrin",
            "scheduled_local": at,
            "scheduled_amount": dose.planned / 2 if dual else dose.planned,
            "released_local": dose.shown,
            "released_amount": amount,
            "amount_unit": "mg",
            "outcome": "released",
        }
        writer.file(name.format(person.device_class), {**row, "channel": channel} if dual else row)
