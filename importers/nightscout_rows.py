"""Treatments and glucose of Nightscout, whole columns at a time: which record is what, and the canonical rows of each.

What apps write differently: Loop states what the pump was told (``programmed``) and what a temporary rate gave
(``amount``); OpenAPS keeps both in a nested ``bolus``; AAPS writes a temporary rate's length in milliseconds beside the
rounded minutes, disguises extended boluses as rates (``extendedEmulated``) and marks primes by their type; Trio and
iAPS name a micro-bolus in ``eventType``, AAPS in ``type`` or ``isSMB``; xDrip writes no ``eventType`` at all.
The doses: importers.nightscout_doses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.device_identity import Device, register_device
from importers.device_log import DeviceLog
from importers.json_rows import LINE, JsonRows
from importers.moment_frames import (
    at_offsets,
    epoch_utc,
    first_moments,
    in_zones,
    iso_moments,
    utc_moments,
)  # fmt: skip
from importers.nightscout_doses import add_boluses, add_segments, event_rows
from importers.vendor_text import glucose_unit

if TYPE_CHECKING:
    import polars as pl

TIMES = ("created_at", "mills", "date", "timestamp", "srvCreated")
NUMBERS = (
    "insulin", "rate", "absolute", "duration", "programmed", "enteredinsulin", "percent", "amount", "carbs", "splitExt",
    "sgv", "mbg", "date", "mills", "utcOffset", "durationInMilliseconds",
)  # fmt: skip
WANTED = (
    *TIMES, *NUMBERS, "dateString", "utcOffset", "eventType", "enteredBy", "type", "isSMB", "automatic", "isValid",
    "manuallyEntered", "pumpId", "pumpType", "pumpSerial", "reason", "durationInMilliseconds", "extendedEmulated",
    "bolus", "identifier", "syncIdentifier", "_id", "uuid", "id", "units", "defaultProfile", "store",
)  # fmt: skip
NESTED = {"_id": ("$oid",), "extendedEmulated": ("enteredinsulin", "duration"), "bolus": ("programmed", "amount")}
_CHECKED = ("insulin", "rate", "absolute", "duration", "programmed", "enteredinsulin")
_KEYS = ("identifier", "syncIdentifier", "_id", "uuid", "id")
_EVENTS = {
    "suspend pump": "suspend",
    "resume pump": "resume",
    "site change": "site_change",
    "pump site change": "site_change",
    "insulin change": "reservoir_change",
    "insulin cartridge change": "reservoir_change",
    "pump battery change": "battery_change",
    "sensor start": "sensor_start",
    "sensor change": "sensor_change",
    "sensor stop": "sensor_stop",
    "profile switch": "profile_switch",
    "temporary target": "mode_change",
    "temporary override": "mode_change",
    "openaps offline": "mode_change",
}
_DAY_MIN = 1440


def moments(rows: JsonRows) -> pl.DataFrame:
    """When each record happened: the device's own time where there is one, because a server fills a missing
    ``created_at`` with its own clock; then ``created_at``.
    """
    import polars as pl

    def iso(name: str) -> pl.DataFrame:
        return iso_moments(rows.column(rows.text(name)))

    def epoch(name: str) -> pl.DataFrame:
        return utc_moments(rows.column(epoch_utc(rows.number(name))))

    texts = [iso(name) for name in ("created_at", "dateString") if rows.has(name)]
    own = [iso("timestamp"), epoch("timestamp")] if rows.has("timestamp") else []
    numbers = [epoch(name) for name in ("date", "mills") if rows.has(name)]
    found = first_moments([*own, *numbers, *texts])
    offset = rows.number("utcOffset")
    minutes = pl.when(offset.abs() > _DAY_MIN).then(offset / 60_000).otherwise(offset)
    # A server that was handed UTC stores the offset 0, which says nothing about the local time.
    beside = rows.column(pl.when(minutes != 0).then(minutes))
    for text in reversed(texts):
        beside = pl.select(pl.coalesce(text["offset_min"].cast(pl.Float64), beside)).to_series()
    return at_offsets(found, pl.select(pl.when(found["offset_min"].is_null()).then(beside)).to_series())


def native_key(rows: JsonRows) -> pl.Expr:
    """The record's own id, with what it numbers; NULL when it has none."""
    import polars as pl

    keys: list[pl.Expr] = []
    for name in _KEYS:
        if not rows.has(name):
            continue
        text = rows.text(name)
        if rows.frame.schema[name] != pl.String or rows.frame[name].str.starts_with("{").any():
            text = pl.coalesce(text.str.json_path_match("$.$oid"), pl.when(~text.str.starts_with("{")).then(text))
        keys.append(pl.concat_str(pl.lit(f"{name.strip('_').lower()}-"), text))
    keys.append(pl.concat_str(pl.lit("pump-"), rows.text("pumpId")))
    return pl.coalesce(keys)


def add_treatments(rows: JsonRows, log: DeviceLog, zone: str | None) -> None:
    """All treatments of a file."""
    import polars as pl

    frame = _typed(rows, in_zones(moments(rows), log, zone))
    frame = _without_faults(rows, frame, log)
    if frame.is_empty():
        return
    frame = _with_devices(frame, log)
    temporary = pl.col("kind").str.starts_with("temp basal")
    extended = pl.col("extended_amount").is_not_null()
    food = (pl.col("insulin") == 0) & (pl.col("carbs").fill_null(0) != 0) & ~extended
    bolus = ~temporary & ((pl.col("insulin").is_not_null() & ~food) | extended)
    disguised = temporary & pl.col("emulated_amount").is_not_null()
    event = pl.col("kind").replace_strict(_EVENTS, default=None, return_dtype=pl.String)
    frame = frame.with_columns(event=event, is_temporary=temporary, is_bolus=bolus, is_disguised=disguised)
    add_boluses(
        pl.concat([
            frame.filter("is_bolus"),
            frame.filter("is_disguised").with_columns(
                insulin=pl.lit(None, dtype=pl.Decimal(18, 6)),
                extended_amount="emulated_amount", minutes="emulated_minutes", type=pl.lit(None, dtype=pl.String),
            ),
        ]),
        log,
    )  # fmt: skip
    others = frame.filter(~pl.col("is_bolus") & ~pl.col("is_temporary"))
    events = others.filter(pl.col("event").is_not_null())
    log.add("device_event", event_rows(events, pl.col("event")))
    add_segments(frame.filter(pl.col("is_temporary") & ~pl.col("is_disguised")), events, log)
    rest = others.filter(pl.col("event").is_null())
    meals = rest.filter(pl.col("carbs").fill_null(0) != 0).height
    log.count(meals, "are carbohydrates and hold no dose")
    log.count(rest.height - meals, "are notes, checks or announcements and hold no dose")


def _typed(rows: JsonRows, when: pl.DataFrame) -> pl.DataFrame:
    """The records with their times and the members that are used, each of one type."""
    import polars as pl

    frame = rows.frame
    emulated = rows.inside("extendedEmulated", "enteredinsulin", "duration")
    nested = rows.inside("bolus", "programmed", "amount")
    told = frame.select(
        LINE,
        native_key=native_key(rows),
        code=rows.text("eventType").fill_null("").str.strip_chars(),
        by=rows.text("enteredBy").fill_null("").str.to_lowercase(),
        type=rows.text("type").str.to_uppercase(),
        is_smb=rows.truth("isSMB").fill_null(False),
        automatic=rows.truth("automatic"),
        manual=rows.truth("manuallyEntered").fill_null(False),
        valid=rows.truth("isValid").fill_null(True),
        has_pump_id=rows.given("pumpId"),
        model=rows.text("pumpType"),
        serial=rows.text("pumpSerial"),
        reason=rows.text("reason").str.to_lowercase(),
        insulin=rows.amount("insulin"),
        programmed=rows.amount("programmed"),
        rate=pl.coalesce(rows.amount("absolute"), rows.amount("rate")),
        percent=rows.number("percent"),
        minutes=pl.coalesce(rows.number("durationInMilliseconds") / 60_000, rows.number("duration")),
        carbs=rows.number("carbs"),
        stated=rows.amount("amount"),
        entered=rows.amount("enteredinsulin"),
        split=rows.number("splitExt"),
        emulated_amount=emulated.column(emulated.amount("enteredinsulin")),
        emulated_minutes=emulated.column(emulated.number("duration")),
        told=nested.column(nested.amount("programmed")),
    )
    six = pl.Decimal(18, 6)
    part = (pl.col("entered").cast(pl.Float64) * pl.col("split") / 100).cast(six)
    fake = (pl.col("type") == "FAKE_EXTENDED").fill_null(False)
    whole = (pl.col("entered") > 0) & (pl.col("split") > 0) & (pl.col("minutes") > 0)
    return pl.concat([told, when], how="horizontal").with_columns(
        kind=pl.col("code").str.to_lowercase(),
        programmed=pl.coalesce("programmed", "told"),
        extended_amount=pl.when(whole).then(part),
        emulated_amount=pl.when(fake & (pl.col("emulated_amount") > 0)).then("emulated_amount"),
        emulated_minutes=pl.coalesce("emulated_minutes", "minutes"),
        is_micro=(pl.col("code") == "SMB") | pl.col("is_smb") | (pl.col("type") == "SMB").fill_null(False),
    )


def _without_faults(rows: JsonRows, frame: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    """Reject records without a time or with an amount that is none; returns the others."""

    timeless = frame["local"].is_null()
    for index in timeless.arg_true().to_list():
        shown = {name: rows.column(rows.text(name))[index] for name in TIMES if rows.has(name)}
        name = next((name for name, value in shown.items() if value), "created_at")
        value = shown.get(name)
        reason = "bad_date" if value else "missing_value"
        log.reject(frame[LINE][index], reason, f"{name}: no time", field=name, value=value)
    faulty = timeless
    for name in _CHECKED:
        if not rows.has(name):
            continue
        amount = rows.amount(name)
        wrong = rows.column(rows.given(name) & (amount.is_null() | (amount < 0)).fill_null(False))
        if not wrong.any():
            continue
        for index in (wrong & ~faulty).arg_true().to_list():
            value = rows.column(rows.text(name))[index]
            log.reject(frame[LINE][index], "bad_number", f"{name}: no amount", field=name, value=value)
        faulty = faulty | wrong
    return frame.filter(~faulty) if faulty.any() else frame


def _with_devices(frame: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    import polars as pl

    used = frame.group_by("model", "serial", maintain_order=True).agg(pl.col(LINE).first())
    known = [
        (model, serial, register_device(log, Device("nightscout", model, serial, line)))
        for model, serial, line in used.iter_rows()
    ]
    if len(known) == 1:
        return frame.with_columns(device_id=pl.lit(known[0][2]))
    schema = {"model": pl.String, "serial": pl.String, "device_id": pl.String}
    devices = pl.DataFrame(known, schema=schema, orient="row")
    return frame.join(devices, on=["model", "serial"], how="left", nulls_equal=True, maintain_order="left")


def add_glucose(rows: JsonRows, log: DeviceLog, zone: str | None) -> None:
    """Sensor and meter values of a file of entries."""
    import polars as pl

    when = in_zones(moments(rows), log, zone)
    frame = pl.concat(
        [
            rows.frame.select(
                LINE,
                value=pl.coalesce(rows.number("sgv"), rows.number("mbg")),
                is_sensor=rows.given("sgv"),
                shown=pl.coalesce(rows.text("sgv"), rows.text("mbg")),
                date=rows.text("dateString"),
                units=rows.text("units").fill_null(""),
            ),
            when,
        ],
        how="horizontal",
    )
    faulty = frame.filter(pl.col("local").is_null() | pl.col("value").is_null())
    for row in faulty.iter_rows(named=True):
        field = "dateString" if row["local"] is None else "sgv"
        reason, value = ("bad_date", row["date"]) if row["local"] is None else ("bad_number", row["shown"])
        log.reject(row[LINE], reason, f"{field}: no value", field=field, value=value, table="observation")
    frame = frame.filter(pl.col("local").is_not_null() & pl.col("value").is_not_null())
    if frame.is_empty():
        return
    device = register_device(log, Device("nightscout", "cgm", None, frame[LINE][0]))
    units = {text: glucose_unit(text) or "mg/dL" for text in frame["units"].unique().to_list()}
    log.add(
        "observation",
        frame.with_columns(
            device_id=pl.lit(device),
            code=pl.when("is_sensor").then(pl.lit("glucose")).otherwise(pl.lit("glucose_meter")),
            observed_at="local",
            observed_utc="utc",
            unit=pl.col("units").replace_strict(units, return_dtype=pl.String),
        ),
    )
