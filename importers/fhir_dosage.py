"""Amounts, rates and routes of FHIR dosages; what senders get wrong is kept apart from what is stated."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from importers.vendor_text import SIX_PLACES, read_amount

_UNITS = {"u": "[iU]", "iu": "[iU]", "[iu]": "[iU]", "unit": "[iU]", "units": "[iU]", "ml": "mL", "l": "L"}
_COUNTED = {"tab": "{tablet}", "tablet": "{tablet}", "cap": "{capsule}", "patch": "{patch}", "puff": "{puff}"}
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_ORAL, _TOPICAL = ("oral", "by mouth", "swallow"), ("patch", "transdermal", "topical", "rectal", "cutaneous route")
_NEEDLE = ("intraven", "subcut", "intramus", "inject", "intrathec", "push")


@dataclass(frozen=True)
class Quantity:
    """``value`` is None where the resource gives none; ``damaged`` holds the text where it is no number."""

    value: Decimal | None = None
    unit: str | None = None
    damaged: str | None = None


def read_quantity(quantity: Any) -> Quantity:
    """A FHIR Quantity with its unit as UCUM where it is known to be one."""
    if not isinstance(quantity, dict) or quantity.get("value") is None:
        return Quantity()
    value = quantity["value"]
    amount = None if isinstance(value, bool) else read_amount(value)
    stated = str(quantity.get("code") or quantity.get("unit") or "").strip()
    unit = _UNITS.get(stated.lower()) or _COUNTED.get(stated.lower()) or stated or None
    if amount is None or amount < 0:
        return Quantity(None, unit, str(value))
    return Quantity(amount, unit)


@dataclass(frozen=True)
class Rate:
    """A rate with its unit, or a duration in seconds that was written where the rate belongs."""

    value: Decimal | None = None
    unit: str | None = None
    duration_s: int | None = None


def read_rate(dosage: dict[str, Any]) -> Rate:
    """``rateRatio`` or ``rateQuantity`` of a dosage; a time ("20 min") in the latter is a duration, no rate."""
    ratio = dosage.get("rateRatio")
    if isinstance(ratio, dict):
        above, below = read_quantity(ratio.get("numerator")), read_quantity(ratio.get("denominator"))
        if above.value is not None and below.value:
            unit = f"{above.unit}/{below.unit}" if above.unit and below.unit else None
            return Rate((above.value / below.value).quantize(SIX_PLACES), unit)
        return Rate()
    stated = read_quantity(dosage.get("rateQuantity"))
    if stated.value is not None and stated.unit in SECONDS:
        return Rate(duration_s=int(stated.value * SECONDS[stated.unit]))
    return Rate(stated.value, stated.unit if stated.value is not None else None)


def volume_in(rate: Rate, seconds: int | None) -> Quantity:
    """What a rate gives in a time."""
    if rate.value is None or seconds is None or rate.unit is None:
        return Quantity()
    unit, _, per = rate.unit.rpartition("/")
    if per not in SECONDS or not unit:
        return Quantity()
    return Quantity((rate.value * seconds / SECONDS[per]).quantize(SIX_PLACES), unit)


def concept_text(concept: Any) -> str | None:
    """Text of a CodeableConcept: its own, else the first display or code."""
    if not isinstance(concept, dict):
        return None
    for coding in concept.get("coding") or []:
        if isinstance(coding, dict) and coding.get("display"):
            return str(concept.get("text") or coding["display"])
    first = next((one.get("code") for one in concept.get("coding") or [] if isinstance(one, dict)), None)
    text = concept.get("text") or first
    return str(text) if text else None


def dose_kind(dosage: dict[str, Any], unit: str | None, rate: Rate) -> str:
    """What kind of event an administration is, by its unit, rate, route and method."""
    words = " ".join(concept_text(dosage.get(name)) or "" for name in ("route", "method")).lower()
    if unit == "{patch}" or any(word in words for word in _TOPICAL):
        return "application"
    is_push = any(word in words for word in ("push", "inject"))
    if rate.value is not None or (rate.duration_s is not None and not is_push):
        return "infusion_segment"
    if unit in ("{tablet}", "{capsule}") or any(word in words for word in _ORAL):
        return "ingestion"
    return "injection" if any(word in words for word in _NEEDLE) else "application"
