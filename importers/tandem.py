"""What the Tandem exports share: devices, how a bolus ended, the parts of an extended bolus, and clear units of
glucose.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from importers.basal import derive_segments, segment_rows, silence_events
from importers.device_identity import UNSTATED, Device
from importers.device_log import INSULIN_UNIT

if TYPE_CHECKING:
    from importers.device_log import DeviceLog

MANUFACTURER = "Tandem"
LOST_CLOCK_BEFORE = 2012
"""The first t:slim came out in 2012: an earlier year is a clock that was lost."""
HALF_STEP = Decimal("0.005")
"""Half a hundredth of a unit: amounts are rounded to 0.01 U in one place and not in another."""
_STOPS = (
    ("plgs", "low_glucose"),
    ("user", "user"),
    ("occlusion", "occlusion"),
    ("alarm", "alarm_other"),
    ("malfunction", "alarm_other"),
    ("suspend", "user"),
)
_MMOL_LIMIT = 40
"""No meter shows more than 33.3 mmol/L, none less than 20 mg/dL: a log with a value above is in mg/dL."""


@dataclass
class TandemBolus:
    """A bolus as an export states it; amounts in U, times local to the pump, None where not stated."""

    line: int
    device_id: str
    key: str
    """The pump's bolus number with its time, or its time alone."""
    start: dt.datetime
    anchor: str
    end: dt.datetime | None = None
    programmed: Decimal | None = None
    delivered: Decimal | None = None
    ended: str | None = None
    """Completion status in words."""
    trigger: str = "unknown"
    is_extended: bool = False
    later_line: int | None = None
    later_start: dt.datetime | None = None
    later_end: dt.datetime | None = None
    later_programmed: Decimal | None = None
    later_delivered: Decimal | None = None
    later_ended: str | None = None
    later_duration_s: int | None = None
    start_utc: dt.datetime | None = None
    utc_offset_min: int | None = None


def bolus_rows(bolus: TandemBolus) -> list[dict[str, Any]]:
    """One dose row, or two for an extended bolus with a part at once (dual_now, dual_later)."""
    common: dict[str, Any] = {
        "device_id": bolus.device_id,
        "kind": "bolus",
        "trigger": bolus.trigger,
        "intent": "algorithm" if bolus.trigger == "algorithm" else "as_needed",
        "start_precision": "second",
        "amount_unit": INSULIN_UNIT,
    }
    rows: list[dict[str, Any]] = []
    has_now = not bolus.is_extended or bool(bolus.programmed) or bool(bolus.delivered)
    if has_now:
        rows.append(
            {
                **common,
                "line": bolus.line,
                "native_key": f"bolus:{bolus.key}",
                "shape": "dual_now" if bolus.is_extended else "immediate",
                "start_local": bolus.start,
                "end_local": bolus.end,
                "time_anchor": bolus.anchor,
                "start_utc": bolus.start_utc,
                "utc_offset_min": bolus.utc_offset_min,
                "offset_source": "file" if bolus.start_utc else None,
                **_amounts(bolus.programmed, bolus.delivered, bolus.ended),
                **_took(bolus.start, bolus.end, bolus.anchor),
                "time_uncertain": _is_lost(bolus.start),
            }
        )
    if bolus.is_extended:
        start = bolus.later_start or bolus.end or bolus.start
        rows.append(
            {
                **common,
                "line": bolus.later_line or bolus.line,
                "native_key": f"bolus:{bolus.key}:later",
                "shape": "dual_later" if has_now else "extended",
                "start_local": start,
                "end_local": bolus.later_end,
                "time_anchor": "start",
                "programmed_duration_s": bolus.later_duration_s,
                **_amounts(bolus.later_programmed, bolus.later_delivered, bolus.later_ended),
                **_took(start, bolus.later_end, "start"),
                "time_uncertain": _is_lost(start),
            }
        )
    return rows


def _amounts(programmed: Decimal | None, delivered: Decimal | None, ended: str | None) -> dict[str, Any]:
    return {
        "programmed_amount": programmed,
        "delivered_amount": delivered,
        "programmed_basis": "none" if programmed is None else "reported",
        "delivered_basis": "none" if delivered is None else "reported",
        "status": end_status(programmed, delivered, ended),
        "stop_reason": stop_reason(ended),
    }


def _took(start: dt.datetime, end: dt.datetime | None, anchor: str) -> dict[str, Any]:
    seconds = int((end - start).total_seconds()) if end is not None and anchor == "start" else None
    return {"delivered_duration_s": seconds if seconds is not None and seconds >= 0 else None}


def _is_lost(at: dt.datetime) -> bool | None:
    return True if at.year < LOST_CLOCK_BEFORE else None


def is_completed(ended: str | None) -> bool:
    return (ended or "").strip().lower() == "completed"


def end_status(programmed: Decimal | None, delivered: Decimal | None, ended: str | None) -> str:
    """status of a part: what the pump says it was, and where it says nothing or that it was cut, the amounts."""
    if delivered is None:
        return "unknown" if ended else "in_progress"
    short = programmed is not None and programmed - delivered > HALF_STEP
    if is_completed(ended) and not short:
        return "completed"
    if not delivered and (short or stop_reason(ended)):
        return "none_delivered"
    return "partial" if short or (programmed is None and stop_reason(ended)) else "completed"


def stop_reason(ended: str | None) -> str | None:
    """stop_reason of a completion status; None when completed or not stated."""
    if not ended or is_completed(ended):
        return None
    text = ended.lower()
    return next((reason for word, reason in _STOPS if word in text), "unknown")


def pump_device(
    model: str | None,
    serial: str | None,
    line: int,
    *,
    is_loop: bool = False,
    properties: Iterable[tuple[str, str]] = (),
) -> Device:
    """A Tandem pump; the trade mark sign and the words Insulin Pump are no part of its model.

    ``is_loop``: the export shows doses that the pump's algorithm commanded.
    """
    name = (model or "").replace("\u2122", "").replace("(TM)", "").replace("Insulin Pump", "").replace("Pump:", "")
    described = (*properties, ("CLASS", "closed_loop" if is_loop else "pump"))
    return Device(MANUFACTURER, " ".join(name.split()) or None, serial, line, described)


def reader_device(model: str, serial: str | None, line: int) -> Device:
    """A meter or sensor that stands beside the pump; the exports name no manufacturer."""
    return Device(UNSTATED, model.removeprefix("Meter:").strip() or None, serial, line)


def advice_row(
    bolus: TandemBolus, food: Decimal | None, correction: Decimal | None, taken: Decimal | None, override: str | None
) -> list[dict[str, Any]]:
    """What the pump's calculator advised for a bolus (recommendation); nothing where it advised nothing.

    ``override``: the export's 1 (the user set another amount) or 0.
    """
    if food is None and correction is None:
        return []
    return [
        {
            "line": bolus.line,
            "device_id": bolus.device_id,
            "native_key": f"advice:{bolus.key}",
            "recommended_at": bolus.start,
            "recommended_amount": (food or Decimal(0)) + (correction or Decimal(0)),
            "accepted_amount": taken,
            "amount_unit": INSULIN_UNIT,
            "decision": {"1": "overridden", "0": "accepted"}.get(override or ""),
            "decision_at": bolus.start,
        }
    ]


def carb_row(bolus: TandemBolus, grams: Decimal | None) -> list[dict[str, Any]]:
    """Carbohydrates entered for a bolus; 0 is a bolus without any and no observation."""
    if not grams:
        return []
    row = {"line": bolus.line, "device_id": bolus.device_id, "code": "carbohydrates", "observed_at": bolus.start}
    return [{**row, "value": float(grams), "unit": "g"}]


def add_commanded_basal(log: DeviceLog, rates: list[dict[str, Any]], device_id: str) -> None:
    """Basal segments from commanded rates. ``rates``: line, seq (order within a second), at, rate in U/h."""
    import polars as pl

    if not rates:
        return
    events = pl.DataFrame(rates).with_columns(
        running=pl.col("at"),
        suspended=pl.lit(None, dtype=pl.Boolean),
        automatic=pl.lit(None, dtype=pl.Boolean),
        reason=pl.lit(None, dtype=pl.String),
    )
    whole = pl.concat([events, silence_events(events)], how="diagonal")
    segments = segment_rows(derive_segments(whole), device_id)
    log.add("dose_event", segments)
    log.count(events.height - segments.height, "state a basal rate that starts no time of its own")
    log.note("The export has no suspensions: a rate of 0 stands where the pump logged one.")


def is_pump(model: str | None) -> bool:
    """Whether a DeviceType is a pump."""
    return "pump" in (model or "").lower()


def unstated_glucose_unit(values: Iterable[float], log: DeviceLog) -> str | None:
    """Unit of glucose where no heading names it: a value above 40 can only be mg/dL. None without values."""
    numbers = list(values)
    if not numbers:
        return None
    unit = "mg/dL" if max(numbers) > _MMOL_LIMIT else "mmol/L"
    log.note(f"The export names no unit of glucose; the size of the values says {unit}.")
    return unit
