"""Doses: EC (planned and given), EX (constant dosing), DX (device exposure), DU (device settings).

The amount of an EC row is what the record states. Where the dose is a volume and the strength a
concentration, their exact product is the amount, in the mass unit of the strength (5 mL x 10.8 g/L = 54
mg), with basis ``volume_x_conc``. Any other amount has the basis ``nominal_crf``: SDTM does not say whether
a person or a device wrote the number, so the weaker claim is made.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from importers.sdtm_dates import Moment
from importers.sdtm_rows import DomainMapping, Rejection, Row, TableRow
from importers.sdtm_subjects import did_not_occur

_VOLUME_ML = {"L": Decimal(1000), "DL": Decimal(100), "CL": Decimal(10), "ML": Decimal(1), "UL": Decimal("0.001")}
_MASS_FACTOR = {
    "KG": ("mg", Decimal(1_000_000)),
    "G": ("mg", Decimal(1000)),
    "MG": ("mg", Decimal(1)),
    "UG": ("ug", Decimal(1)),
    "MCG": ("ug", Decimal(1)),
    "NG": ("ng", Decimal(1)),
}
"""Mass unit of a strength -> unit the product is given in and the factor to it."""

_FORM_KINDS = (
    ("INJECTION", "injection"),
    ("INFUSION", "infusion_segment"),
    ("PATCH", "application"),
    ("TRANSDERMAL", "application"),
    ("IMPLANT", "insertion"),
    ("INSERT", "insertion"),
    ("TABLET", "ingestion"),
    ("CAPSULE", "ingestion"),
    ("SYRUP", "ingestion"),
)
_ROUTE_KINDS = (
    ("INTRAVENOUS DRIP", "infusion_segment"),
    ("SUBCUTANEOUS", "injection"),
    ("INTRAMUSCULAR", "injection"),
    ("INTRADERMAL", "injection"),
    ("INTRAVITREAL", "injection"),
    ("INTRATHECAL", "injection"),
    ("INTRAVENOUS", "injection"),
    ("ORAL", "ingestion"),
)
DEFAULT_KIND = "application"

_EVERY_DAYS = {
    "QD": 1,
    "BID": 1,
    "TID": 1,
    "QID": 1,
    "QOD": 2,
    "QW": 7,
    "EVERY WEEK": 7,
    "Q2W": 14,
    "EVERY 2 WEEKS": 14,
}
_EVERY_DAYS |= {"Q3W": 21, "EVERY 3 WEEKS": 21, "Q4W": 28, "EVERY 4 WEEKS": 28, "QM": 28}


@dataclass(frozen=True)
class Amount:
    """An amount with how it came about; all NULL when the record states none."""

    amount: Decimal | None = None
    unit: str | None = None
    basis: str = "none"
    volume: Decimal | None = None
    volume_unit: str | None = None
    concentration: Decimal | None = None
    concentration_unit: str | None = None


def dose_kind(form: str, route: str) -> str | None:
    """Kind of a dose event from the dose form, else the route (CDISC FRM, ROUTE); None when neither tells."""
    for words, text in ((_FORM_KINDS, form), (_ROUTE_KINDS, route)):
        for word, kind in words:
            if word in text:
                return kind
    return None


def amount_of(row: Row, prefix: str) -> Amount:
    """The amount of a row from --DOSE, --DOSU, --PSTRG and --PSTRGU."""
    dose, unit = row.amount(f"{prefix}DOSE"), row.text(f"{prefix}DOSU")
    strength, strength_unit = row.amount(f"{prefix}PSTRG"), row.text(f"{prefix}PSTRGU")
    per_volume = _concentration(strength_unit)
    if strength is None or per_volume is None:
        return Amount(dose, unit, "nominal_crf" if dose is not None else "none")
    millilitres = _VOLUME_ML.get((unit or "").upper())
    if dose is None or millilitres is None:
        return Amount(
            dose, unit, "nominal_crf" if dose is not None else "none",
            concentration=strength, concentration_unit=strength_unit,
        )  # fmt: skip
    mass_unit, per_millilitre = per_volume
    with localcontext() as exact:
        exact.prec = 60
        product = dose * millilitres * strength * per_millilitre
    return Amount(
        amount=row.six_places(product, f"{prefix}DOSE"),
        unit=mass_unit,
        basis="volume_x_conc",
        volume=dose,
        volume_unit=unit,
        concentration=strength,
        concentration_unit=strength_unit,
    )


def _concentration(unit: str | None) -> tuple[str, Decimal] | None:
    """Amount unit of a concentration, and how much one millilitre holds per unit of strength; else None."""
    match = re.fullmatch(r"\s*([A-Za-z\[\]]+)\s*/\s*(?:1\s*)?(L|dL|mL|uL)\s*", unit or "", re.IGNORECASE)
    if match is None:
        return None
    millilitres = _VOLUME_ML[match.group(2).upper()]
    mass_unit, factor = _MASS_FACTOR.get(match.group(1).upper(), (match.group(1), Decimal(1)))
    return mass_unit, factor / millilitres


def collected_exposure_rows(row: Row) -> Iterator[TableRow]:
    """EC: a planned dose, a dose event, or both from the same row.

    Planned: prespecified (ECPRESP = Y), scheduled (ECMOOD = SCHEDULED), or stated not to have occurred.
    Given: ECOCCUR = Y, or performed, or reported without having been asked for. The planned amount is only
    that of a SCHEDULED record; the amount of a record of what happened says nothing about the plan.
    """
    subject_id, drug = row.required("USUBJID"), row.text("ECTRT")
    mood, occurred = row.code("ECMOOD"), row.flag("ECOCCUR")
    if mood not in ("", "SCHEDULED", "PERFORMED"):
        raise Rejection("bad_value", "ECMOOD", row.text("ECMOOD"), "ECMOOD must be SCHEDULED or PERFORMED")
    start, end = row.required_moment("ECSTDTC"), row.moment("ECENDTC")
    prespecified = row.flag("ECPRESP") is True
    amount = amount_of(row, "EC")
    scheduled = mood == "SCHEDULED"
    not_done = row.code("ECSTAT") == "NOT DONE"
    unasked = occurred is None and not not_done and (mood == "PERFORMED" or not prespecified)
    given = not scheduled and (occurred is True or unasked)
    # Several doses in one row count neither as planned nor as taken: the row says nothing about the single dose.
    several = given and _spans_several_doses(start, end, row.code("ECDOSFRQ"))
    if not several and (prespecified or scheduled or not_done or occurred is False):
        yield (
            "planned_dose_recorded",
            {
                "subject_id": subject_id,
                "plan_seq": row.required_sequence("ECSEQ"),
                "drug": drug,
                "planned_at": start.local,
                "planned_precision": start.precision,
                "planned_amount": amount.amount if scheduled else None,
                "amount_unit": amount.unit if scheduled else None,
                "occurred": occurred,
                "reason": row.text("ECREASOC", "ECREASND"),
            },
        )
    if given:
        yield "dose_event", _dose_event(row, "EC", subject_id, drug, start, end, amount)


def _dose_event(
    row: Row, prefix: str, subject_id: str, drug: str | None, start: Moment, end: Moment | None, amount: Amount
) -> dict[str, Any]:
    frequency = row.code(f"{prefix}DOSFRQ")
    several = _spans_several_doses(start, end, frequency)
    if several:
        row.tally.notes[f"rows of {prefix} cover several doses each; kept as aggregates, not counted as doses"] += 1
    kind = dose_kind(row.code(f"{prefix}DOSFRM"), row.code(f"{prefix}ROUTE"))
    if kind is None:
        row.tally.notes[f"rows of {prefix}: dose form and route do not tell the kind, taken as {DEFAULT_KIND}"] += 1
    # A date-only end on the day of the start says no more than the start does.
    sequence = row.sequence(f"{prefix}SEQ")
    ended = end if end is not None and (end.has_time or end.local > start.local) else None
    return {
        "subject_id": subject_id,
        "device_id": row.text("SPDEVID"),
        # The domain is part of the key: sequence 1 of EC is not event 1 of the device's own log.
        "native_key": f"{prefix}-{sequence}" if sequence else None,
        "drug": drug,
        "kind": kind or DEFAULT_KIND,
        "intent": _intent(row, prefix, frequency),
        "start_local": start.local,
        "end_local": ended.local if ended else None,
        "start_utc": start.utc,
        "end_utc": ended.utc if ended else None,
        "start_precision": start.precision,
        "time_anchor": "start",
        "utc_offset_min": start.offset_min,
        "offset_source": "file" if start.offset_min is not None else "none",
        "time_uncertain": start.day is None,
        "delivered_amount": amount.amount,
        "amount_unit": amount.unit,
        "delivered_basis": amount.basis,
        "volume": amount.volume,
        "volume_unit": amount.volume_unit,
        "concentration": amount.concentration,
        "concentration_unit": amount.concentration_unit,
        "exclude_reason": "aggregate" if several else None,
        "route": row.text(f"{prefix}ROUTE"),
        "body_site": " ".join(filter(None, (row.text(f"{prefix}LAT"), row.text(f"{prefix}LOC")))) or None,
        "lot": row.text(f"{prefix}LOT"),
    }


def _intent(row: Row, prefix: str, frequency: str) -> str | None:
    if frequency == "PRN":
        return "as_needed"
    return "scheduled" if row.flag(f"{prefix}PRESP") else None


def _spans_several_doses(start: Moment, end: Moment | None, frequency: str) -> bool:
    """Whether start to end holds two dosing intervals or more; a patch worn until the next day is one dose."""
    every_days = _EVERY_DAYS.get(frequency)
    if every_days is None or end is None or end.day is None or start.day is None:
        return False
    return end.day - start.day >= dt.timedelta(days=2 * every_days)


def exposure_rows(row: Row) -> Iterator[TableRow]:
    """EX. A blank end is NULL: the end was not recorded."""
    yield (
        "exposure",
        {
            "subject_id": row.required("USUBJID"),
            "exposure_seq": row.required_sequence("EXSEQ"),
            "device_id": row.text("SPDEVID"),
            "drug": row.text("EXTRT"),
            "amount": row.amount("EXDOSE"),
            "amount_unit": row.text("EXDOSU"),
            "dose_form": row.text("EXDOSFRM"),
            "frequency": row.text("EXDOSFRQ"),
            "route": row.text("EXROUTE"),
            "epoch": row.text("EPOCH"),
            "start_date": row.required_day("EXSTDTC"),
            "end_date": row.day("EXENDTC"),
            "lot": row.text("EXLOT"),
        },
    )


def device_exposure_rows(row: Row) -> Iterator[TableRow]:
    """DX: a dose if it states an amount, a wear interval if it states a start, else use seen at a visit."""
    subject_id, device_id = row.required("USUBJID"), row.required("SPDEVID")
    sequence = row.required_sequence("DXSEQ")
    if row.flag("DXOCCUR") is False:
        yield "finding_about", did_not_occur("DX", subject_id, sequence, row.text("DXTRT"), row.text("DXCAT"))
        return
    start, end = row.moment("DXSTDTC"), row.moment("DXENDTC")
    if row.text("DXDOSE") is not None:
        begun = row.required_moment("DXSTDTC")
        yield "dose_event", _dose_event(row, "DX", subject_id, row.text("DXTRT"), begun, end, amount_of(row, "DX"))
    elif start is not None:
        begun = row.required_moment("DXSTDTC")
        yield (
            "wear_interval",
            {
                "subject_id": subject_id,
                "device_id": device_id,
                "start_local": begun.local,
                "end_local": end.local if end else None,
                "start_utc": begun.utc,
                "end_utc": end.utc if end else None,
                "body_site": row.text("DXLOC"),
            },
        )
    else:
        seen = row.required_moment("DXDTC")
        row.tally.notes["rows of DX state the use of a device without its start; kept as observations"] += 1
        yield (
            "observation",
            {
                "subject_id": subject_id,
                "device_id": device_id,
                "code": "DEVICE USE",
                "observed_at": seen.local,
                "observed_utc": seen.utc,
                "value_text": row.text("DXTRT"),
            },
        )


def device_in_use_rows(row: Row) -> Iterator[TableRow]:
    """DU: settings of a device; DUTSTDTL tells two results of one test apart and is part of the code."""
    value = row.number("DUSTRESN")
    at = row.required_moment("DUDTC")
    yield (
        "observation",
        {
            "subject_id": row.required("USUBJID"),
            "device_id": row.text("SPDEVID"),
            "code": " ".join(filter(None, (row.required("DUTESTCD"), row.text("DUTSTDTL")))),
            "observed_at": at.local,
            "observed_utc": at.utc,
            "value": None if value is None else float(value),
            "value_text": row.text("DUSTRESC", "DUORRES") if value is None else None,
            "unit": row.text("DUSTRESU", "DUORRESU"),
        },
    )


MAPPINGS: tuple[DomainMapping, ...] = (
    DomainMapping("EC", "dose_event", ("USUBJID", "ECSEQ", "ECSTDTC"), collected_exposure_rows),
    DomainMapping("EX", "exposure", ("USUBJID", "EXSEQ", "EXSTDTC"), exposure_rows),
    DomainMapping("DX", "wear_interval", ("USUBJID", "SPDEVID", "DXSEQ"), device_exposure_rows),
    DomainMapping("DU", "observation", ("USUBJID", "DUTESTCD", "DUDTC"), device_in_use_rows),
)
