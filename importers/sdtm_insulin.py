"""Insulin that a study keeps as findings about meals (T1DEXI: data set FACM), as dose events.

``BOLUS INSULIN`` has its amount in FAORRES, in parts INSNMBOL (at once) and INSEXBOL (over FADUR, ISO 8601);
``BASAL INSULIN`` is an amount over FADUR. ``BASAL FLOW RATE`` states the same basal once more as a rate and stays a
finding, so that it is not counted twice. Amounts are those delivered; none was programmed in the data. INSDVSRC tells
injections from a pump, INSSTYPE a suspension.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from importers.device_log import INSULIN_UNIT
from importers.sdtm_rows import Rejection, Row, TableRow

DOSES = frozenset({"BOLUS INSULIN", "BASAL INSULIN"})
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_BY_HAND = ("INJECTION", "PEN", "MDI", "MULTIPLE DAILY")


def is_insulin(row: Row) -> bool:
    return row.code("FATEST") in DOSES


def insulin_rows(row: Row) -> Iterator[TableRow]:
    """The dose events of one finding; raises ``Rejection`` for one without time or amount."""
    amount, start = row.amount("FAORRES"), row.required_moment("FADTC")
    seconds = _seconds(row)
    suspended = "SUSPEND" in row.code("INSSTYPE")
    if amount is None and not suspended:
        raise Rejection("missing_value", "FAORRES", None, "FAORRES is missing")
    amount = amount if amount is not None else Decimal(0)
    is_bolus = row.code("FATEST") == "BOLUS INSULIN"
    by_hand = any(word in row.code("INSDVSRC") for word in _BY_HAND)
    base: dict[str, Any] = {
        "subject_id": row.required("USUBJID"),
        "kind": "injection" if by_hand else "bolus" if is_bolus else "basal_segment",
        "start_local": start.local,
        "start_utc": start.utc,
        "start_precision": start.precision,
        "time_anchor": "start",
        "delivered_basis": "reported",
        "programmed_basis": "none",
        "amount_unit": INSULIN_UNIT,
    }
    key = f"FA-{row.required_sequence('FASEQ')}"
    parts: list[tuple[str | None, Decimal, str, int | None]]
    now, later = row.amount("INSNMBOL"), row.amount("INSEXBOL")
    if is_bolus and not by_hand and later:
        parts = [("dual_later" if now else "extended", later, f"{key}:later" if now else key, seconds)]
        parts = [("dual_now", now, key, None), *parts] if now else parts
        if (now or Decimal(0)) + later != amount:
            row.tally.notes["rows of FA: the parts of a bolus do not add up to its amount; the parts were taken"] += 1
    else:
        shape = None if by_hand else "immediate" if is_bolus else "continuous"
        parts = [(shape, amount, key, None if is_bolus else seconds)]
    for shape, given, native_key, lasted in parts:
        end = start.local + dt.timedelta(seconds=lasted) if lasted else None
        status = "completed" if given else "none_delivered"
        dose = {"shape": shape, "delivered_amount": given, "native_key": native_key, "status": status}
        yield "dose_event", {**base, **dose, "delivered_duration_s": lasted, "end_local": end}


def _seconds(row: Row) -> int | None:
    text = row.text("FADUR")
    if text is None:
        return None
    match = _DURATION.fullmatch(text.strip().upper())
    if match is None or not any(match.groups()):
        raise Rejection("bad_value", "FADUR", text, "FADUR is no ISO 8601 duration such as PT30M")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return round(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
