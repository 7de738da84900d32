"""Canonical rows of Tandem Source events: boluses gathered by BolusID, basal played through in the order of
``seq``.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from importers.basal import derive_segments, segment_rows, silence_events
from importers.device_clock import CLOCK_CHANGE, add_running_time, clock_detail
from importers.device_identity import register_device
from importers.device_log import INSULIN_UNIT
from importers.tandem import TandemBolus, bolus_rows, pump_device

if TYPE_CHECKING:
    from importers.device_log import DeviceLog
    from importers.tandem_source import PumpEvent
    from importers.tandem_source_columns import EventColumns

COMPLETED, LATER_COMPLETED, DELIVERY = 20, 21, 280
STARTED, LATER_STARTED = 55, 59
REQUESTS = (64, 65, 66)
RATE_CHANGE, BASAL_DELIVERY = 3, 279
SUSPENDED, RESUMED = 11, 12
TIME_CHANGED, DATE_CHANGED = 13, 14
CARTRIDGE, CANNULA, TUBING = 33, 61, 63
BG, CARBS = 16, 48
GLUCOSE = (198, 256, 372, 399, 480)
ALARMS = {4: "alert", 5: "alarm", 6: "malfunction", 171: "alert", 369: "alert", 460: "alert"}
CLEARED = (26, 28, 172, 370, 371, 461)
MODES = (229, 230)
POWER_OFF = 53

_BOLUS_EVENTS = frozenset({COMPLETED, LATER_COMPLETED, DELIVERY, STARTED, LATER_STARTED, *REQUESTS})
_BASAL_EVENTS = frozenset({RATE_CHANGE, BASAL_DELIVERY, SUSPENDED, RESUMED, POWER_OFF})
_TOLD = frozenset({
    *GLUCOSE, BG, CARBS, CANNULA, TUBING, SUSPENDED, RESUMED, TIME_CHANGED, DATE_CHANGED, CARTRIDGE, *ALARMS, *CLEARED,
    *MODES, POWER_OFF,
})  # fmt: skip
"""Numbers of events that give a row of their own."""
SINGLY = tuple(sorted(_TOLD | _BOLUS_EVENTS))
_ENDS = {
    0: "User Aborted",
    1: "Terminated by Alarm",
    2: "Terminated by Malfunction",
    3: "Completed",
    5: "Bolus rejected",
    6: "Aborted by PLGS",
}
_SUSPEND_REASONS = {0: "user", 1: "alarm_other", 2: "alarm_other", 6: "low_glucose"}
_SUSPEND_WORDS = (("plgs", "low_glucose"), ("user", "user"), ("alarm", "alarm_other"), ("malfunction", "alarm_other"))
_ALGORITHM_SOURCE = 7
_AUTOMATIC = frozenset({3, 6})
"""Options of event 65: automatic bolus, automatic bolus in eating-soon mode."""
_CALCULATOR_BITS = 0b11000
"""Bolus Type of event 280: correction or carbohydrates were part of it."""
_THOUSAND = Decimal(1000)
_SMALLEST_THOUSANDTHS = 50


def add_events(
    events: Sequence[PumpEvent], pumps: list[dict[str, str]], log: DeviceLog, columns: EventColumns | None = None
) -> None:
    """Add everything one file holds; all events are of one pump. ``columns``: events that were read whole columns at a
    time, beside ``events``.
    """
    is_loop = any(_is_automatic(event) for event in events) or (columns is not None and columns.is_automatic)
    found = pumps[0] if len(pumps) == 1 else {}
    if len(pumps) > 1:
        log.note(
            "The file describes several pumps; its events name none, so they belong to no pump until a [[source]] does."
        )
    firmware = found.get("softwareVersion")
    device_id = register_device(
        log,
        pump_device(
            found.get("modelName") or found.get("modelNumber"),
            found.get("serialNumber"),
            1,
            is_loop=is_loop,
            properties=(("FIRMWARE", firmware),) if firmware else (),
        ),
    )
    _add_boluses([event for event in events if event.number in _BOLUS_EVENTS], device_id, log)
    _add_basal(events, device_id, log, columns)
    if columns is not None:
        _add_glucose(columns, device_id, log)
    others = [event for event in events if event.number not in _BOLUS_EVENTS]
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    housekeeping = columns.housekeeping if columns is not None else 0
    for event in others:
        placed = _other_row(event, device_id) if event.number in _TOLD else None
        if placed is not None:
            rows[placed[0]].append(placed[1])
        elif event.number in (*GLUCOSE, BG, CARBS):
            log.reject(event.line, "missing_value", "the event has no value", table="observation", device_id=device_id)
        elif event.number not in (RATE_CHANGE, BASAL_DELIVERY):
            housekeeping += 1
    log.count(housekeeping, "are running totals, connections, settings or housekeeping of the log")
    for table, found_rows in rows.items():
        log.add_rows(table, found_rows)


def _is_automatic(event: PumpEvent) -> bool:
    return (event.number == DELIVERY and event.number_of("bolussource") == _ALGORITHM_SOURCE) or (
        event.number == BASAL_DELIVERY and event.number_of("commandedsource", "commandedratesource") in (3, 4)
    )


def _add_boluses(events: Sequence[PumpEvent], device_id: str, log: DeviceLog) -> None:
    grouped: dict[int, list[PumpEvent]] = defaultdict(list)
    for event in events:
        stated = event.number_of("bolusid")
        if stated is None:
            log.reject(
                event.line, "missing_value", "the bolus event has no BolusID", field="BolusID", device_id=device_id
            )
        else:
            grouped[int(stated)].append(event)
    rows: list[dict[str, Any]] = []
    for number, own in sorted(grouped.items()):
        bolus = _bolus(number, sorted(own, key=lambda event: event.seq), device_id)
        made = bolus_rows(bolus)
        rows.extend(made)
        log.count(len(own) - len({row["line"] for row in made}), "are steps of a bolus, joined to its completion")
    log.add_rows("dose_event", rows)


def _bolus(number: int, own: list[PumpEvent], device_id: str) -> TandemBolus:
    by_kind = {event.number: event for event in reversed(own)}
    last_delivery = next((event for event in reversed(own) if event.number == DELIVERY), None)
    done, later_done = by_kind.get(COMPLETED), by_kind.get(LATER_COMPLETED)
    begun = by_kind.get(STARTED) or by_kind.get(DELIVERY)
    size, request, options = by_kind.get(STARTED), by_kind.get(66), by_kind.get(65)
    row = done or begun or own[0]
    first = begun or own[0]
    told = done.number_of("insulinrequested") if done else None
    if told is None:
        told = _thousandths(last_delivery, "requestednowmu", "requestednow")
    if told is None and size is not None:
        told = size.number_of("bolussize")
    later_told = later_done.number_of("insulinrequested") if later_done else None
    if later_told is None:
        later_told = _thousandths(last_delivery, "requestedlatermu", "requestedlater") or (
            by_kind[LATER_STARTED].number_of("bolexsize") if LATER_STARTED in by_kind else None
        )
    minutes = _first_number((options, "duration"), (last_delivery, "extendeddurationrequested"))
    is_extended = later_done is not None or LATER_STARTED in by_kind or bool(later_told)
    if told is None and not is_extended and request is not None:
        told = request.number_of("totalbolussize")
    completed_alone = done is not None and begun is None and len(own) == 1
    return TandemBolus(
        line=row.line,
        device_id=device_id,
        key=str(number),
        start=first.at,
        anchor="end" if completed_alone else "start",
        end=done.at if done else None,
        programmed=told,
        delivered=done.number_of("insulindelivered") if done else None,
        ended=_ended(done),
        trigger=_trigger(last_delivery, options),
        is_extended=is_extended,
        later_line=later_done.line
        if later_done
        else (by_kind[LATER_STARTED].line if LATER_STARTED in by_kind else None),
        later_start=by_kind[LATER_STARTED].at if LATER_STARTED in by_kind else (done.at if done else None),
        later_end=later_done.at if later_done else None,
        later_programmed=later_told,
        later_delivered=later_done.number_of("insulindelivered") if later_done else None,
        later_ended=_ended(later_done),
        later_duration_s=int(minutes * 60) if is_extended and minutes else None,
        start_utc=first.utc,
        utc_offset_min=first.offset_min if first.utc else None,
    )


def _first_number(*places: tuple[PumpEvent | None, str]) -> Decimal | None:
    return next((found for event, name in places if event and (found := event.number_of(name)) is not None), None)


def _thousandths(event: PumpEvent | None, *names: str) -> Decimal | None:
    found = event.number_of(*names) if event else None
    return found / _THOUSAND if found is not None else None


def _ended(event: PumpEvent | None) -> str | None:
    if event is None:
        return None
    text = event.text_of("completionstatus") or ""
    return _ENDS.get(int(text), f"status {text}") if text.isdigit() else text or None


def _trigger(delivery: PumpEvent | None, options: PumpEvent | None) -> str:
    if delivery is not None and _is_automatic(delivery):
        return "algorithm"
    if options is not None and options.number_of("options") in _AUTOMATIC:
        return "algorithm"
    kind = delivery.number_of("bolustype") if delivery is not None else None
    if kind is not None and int(kind) & _CALCULATOR_BITS:
        return "calculator"
    return "unknown"


def _add_glucose(columns: EventColumns, device_id: str, log: DeviceLog) -> None:
    import polars as pl

    log.add(
        "observation",
        columns.glucose.with_columns(
            device_id=pl.lit(device_id),
            code=pl.lit("glucose"),
            observed_at="at",
            unit=pl.lit("mg/dL"),
            valid=pl.when(pl.col("value") <= 0).then(pl.lit(False)),
        ),
    )


def _add_basal(
    events: Sequence[PumpEvent], device_id: str, log: DeviceLog, columns: EventColumns | None = None
) -> None:
    import polars as pl

    changes = [
        {"seq": event.seq, "event": CLOCK_CHANGE, "old": old, "new": new}
        for event in events
        if event.number in (TIME_CHANGED, DATE_CHANGED)
        for old, new in [clock_times(event)]
        if old is not None and new is not None
    ]
    every = pl.DataFrame(
        {
            "line": [event.line for event in events],
            "seq": [event.seq for event in events],
            "at": [event.at for event in events],
        },
        schema={"line": pl.Int64, "seq": pl.Int64, "at": pl.Datetime("us")},
    )
    if columns is not None:
        every = columns.every
    stating = [event for event in events if event.number in _BASAL_EVENTS]
    states = [(event.line, *state) for event in stating if (state := _basal_state(event)) is not None]
    told = {state[0] for state in states}
    for event in stating:
        if event.number in (RATE_CHANGE, BASAL_DELIVERY) and event.line not in told:
            log.reject(event.line, "missing_value", "the event has no commanded rate", device_id=device_id)
    schema: dict[str, Any] = {
        "line": pl.Int64, "rate": pl.Float64, "suspended": pl.Boolean, "reason": pl.String,
    }  # fmt: skip
    frame = add_running_time(every, changes)
    known_states = pl.DataFrame(states, schema=schema, orient="row")
    if columns is not None:
        known_states = pl.concat([known_states, columns.rates], how="diagonal")
    stated = frame.join(known_states, on="line").with_columns(automatic=pl.lit(None, dtype=pl.Boolean))
    segments = segment_rows(derive_segments(pl.concat([stated, silence_events(frame)], how="diagonal")), device_id)
    log.add("dose_event", segments)
    known = set(segments["line"].to_list()) if segments.height else set()
    silent = known_states.filter(pl.col("rate").is_not_null() & ~pl.col("line").is_in(list(known))).height
    log.count(silent, "state a basal rate that starts no time of its own")


def _basal_state(event: PumpEvent) -> tuple[float | None, bool | None, str | None] | None:
    """Rate, suspended and reason that an event sets; None for an event that says nothing of basal."""
    if event.number == RATE_CHANGE:
        rate = event.number_of("commandedbasalrate", "commandedrate")
        return (float(rate), None, None) if rate is not None else None
    if event.number == BASAL_DELIVERY:
        rate = _delivered_rate(event)
        return (float(rate), None, None) if rate is not None else None
    if event.number in (SUSPENDED, POWER_OFF):
        return None, True, _suspend_reason(event)
    return (None, False, None) if event.number == RESUMED else None


def _delivered_rate(event: PumpEvent) -> Decimal | None:
    """Rate of event 279 in U/h; the dictionary states thousandths, readers may have divided already."""
    rate = _thousandths(event, "commandedratemu")
    if rate is not None:
        return rate
    stated = event.number_of("commandedrate")
    # The smallest rate a pump takes is 100 thousandths, the largest 15 U/h.
    return stated / _THOUSAND if stated is not None and stated >= _SMALLEST_THOUSANDTHS else stated


def _suspend_reason(event: PumpEvent) -> str:
    if event.number == POWER_OFF:
        return "power"
    number = event.number_of("suspendreasonid")
    text = (event.text_of("suspendreason") or "").lower()
    if number is None and text.isdigit():
        number = Decimal(text)
    if number is not None:
        return _SUSPEND_REASONS.get(int(number), "unknown")
    return next((reason for word, reason in _SUSPEND_WORDS if word in text), "unknown")


def clock_times(event: PumpEvent) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Old and new local time of a clock change: event 13 gives times of the day in ms, event 14 days since 1970."""
    if event.number == TIME_CHANGED:
        before, after = event.number_of("timeprior"), event.number_of("timeafter")
        if before is None or after is None:
            return None, None
        midnight = event.at.replace(hour=0, minute=0, second=0, microsecond=0)
        old, new = (midnight + dt.timedelta(milliseconds=float(value)) for value in (before, after))
        # The event may be stamped before or after the change, across midnight: the shift is never more than half a day.
        if abs(new - old) > dt.timedelta(hours=12):
            old += dt.timedelta(days=1) if new > old else dt.timedelta(days=-1)
        return old, new
    before, after = event.number_of("dateprior"), event.number_of("dateafter")
    if before is None or after is None:
        return None, None
    return event.at - dt.timedelta(days=float(after - before)), event.at


def _other_row(event: PumpEvent, device_id: str) -> tuple[str, dict[str, Any]] | None:
    """Table and row of an event that is no bolus and no basal rate; None when it is no data of the study."""
    if event.number in GLUCOSE:
        return _observation(event, device_id, "glucose", "glucosemgdl", "currentglucosedisplayvalue")
    if event.number == BG:
        return _observation(event, device_id, "blood_glucose", "bgmgdl", "bg")
    if event.number == CARBS:
        return _observation(event, device_id, "carbohydrates", "carbs", "carbamount", unit="g")
    if event.number in (CANNULA, TUBING):
        return "dose_event", _fill(event, device_id)
    named: tuple[str, str | None, str | None] | None = None
    if event.number == SUSPENDED:
        named = ("suspend", event.text_of("suspendreason"), None)
    elif event.number == RESUMED:
        named = ("resume", None, None)
    elif event.number in (TIME_CHANGED, DATE_CHANGED):
        named = (CLOCK_CHANGE, str(event.number), clock_detail(*clock_times(event)))
    elif event.number == CARTRIDGE:
        named = ("refill", event.text_of("insulinvolume", "v2volume"), None)
    elif event.number in ALARMS:
        code = event.text_of("alarmid", "alertid", "malfid", "dalertid", "eventname", "name") or str(event.number)
        named = ("occlusion" if "occlusion" in code.lower() else "alarm", f"{ALARMS[event.number]} {code}", None)
    elif event.number in CLEARED:
        named = ("alarm_cleared", event.text_of("alarmid", "alertid", "dalertid") or str(event.number), None)
    elif event.number in MODES:
        named = ("mode_change", event.text_of("currentmode", "currentusermode", "currentpcm"), None)
    elif event.number == POWER_OFF:
        named = ("power_off", None, None)
    if named is None:
        return None
    row = {"event": named[0], "code": named[1], "detail": named[2], "start_local": event.at, "start_utc": event.utc}
    return "device_event", {"line": event.line, "device_id": device_id, "native_key": f"seq:{event.seq}", **row}


def _observation(
    event: PumpEvent, device_id: str, code: str, *names: str, unit: str = "mg/dL"
) -> tuple[str, dict[str, Any]] | None:
    value = event.number_of(*names)
    if value is None:
        return None
    row = {"line": event.line, "device_id": device_id, "code": code, "observed_at": event.at, "observed_utc": event.utc}
    # 0 and values the sensor calls out of range are no measured glucose.
    valid = False if unit == "mg/dL" and value <= 0 else None
    return "observation", {**row, "value": float(value), "unit": unit, "valid": valid}


def _fill(event: PumpEvent, device_id: str) -> dict[str, Any]:
    volume = event.number_of("primesize")
    return {
        "line": event.line,
        "device_id": device_id,
        "native_key": f"seq:{event.seq}",
        "kind": "prime",
        "trigger": "user",
        "start_local": event.at,
        "start_precision": "second",
        "time_anchor": "end",
        "delivered_amount": volume,
        "amount_unit": INSULIN_UNIT,
        "programmed_basis": "none",
        "delivered_basis": "none" if volume is None else "reported",
        "status": "completed",
        "exclude_reason": "fill",
    }
