"""Records of Tidepool, whole columns at a time: boluses, basal segments and glucose; rare kinds one by one."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import TYPE_CHECKING, Any

from importers.device_clock import CLOCK_CHANGE, clock_detail
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record
from importers.json_rows import LINE, JsonRows
from importers.moment_frames import at_offsets, in_zones, iso_moments
from importers.moments import read_iso
from importers.vendor_text import glucose_unit, read_amount

if TYPE_CHECKING:
    import polars as pl

MAKER = "tidepool"
NUMBERS = (
    "normal", "expectedNormal", "extended", "expectedExtended", "duration", "expectedDuration", "rate", "value",
    "timezoneOffset", "volume",
)  # fmt: skip
WANTED = (
    *NUMBERS, "type", "subType", "time", "deviceTime", "deviceId", "id", "guid", "units", "deliveryType",
    "deliveryContext", "suppressed", "annotations", "dose", "alarmType", "status", "reason", "change", "from", "to",
    "deviceManufacturers", "deviceModel", "deviceSerialNumber",
)  # fmt: skip
NESTED = {
    "suppressed": ("rate",),
    "annotations": ("code",),
    "dose": ("total",),
    "reason": ("suspended", "resumed"),
    "from": ("time",),
    "to": ("time",),
    "change": ("from", "to"),
}
DATED = ("bolus", "basal", "insulin", "deviceEvent", "cbg", "smbg")
_GLUCOSE = ["cbg", "smbg"]
_PLAIN_ID = re.compile(r"[\w.:/+-]{1,80}")
_ALARMS = {"occlusion": "occlusion", "no_delivery": "occlusion"}
_KEPT = {"reservoirChange": "refill", "calibration": "calibration", "pumpSettingsOverride": "mode_change"}
_UNKNOWN_DURATION = "basal/unknown-duration"
_TRIGGERS = {"automated": "algorithm", "scheduled": "schedule", "temp": "user"}
_BASE = ("line", "device_id", "native_key", "start_local", "start_utc", "start_precision", "utc_offset_min",
         "offset_source", "clock_correction_s", "clock_rule")  # fmt: skip


def add_records(
    rows: JsonRows, log: DeviceLog, zone: str | None, *, utc_known: bool = True, subjects: pl.DataFrame | None = None
) -> None:
    """Everything one file holds. ``utc_known``: FALSE where ``time`` repeats the local time; ``subjects``: subject_id
    by line, where the file names the trial's subjects.
    """
    import polars as pl

    frame = _with_devices(_placed(rows, log, zone if utc_known else None), rows, log)
    if not utc_known:
        frame = frame.with_columns(start_utc=pl.lit(None, pl.Datetime("us")), offset_source=pl.lit("none"))
    if subjects is not None:
        frame = frame.join(subjects, on=LINE, how="left", maintain_order="left")
    kind = frame["type"]
    for name, number in sorted(frame.filter(~pl.col("type").is_in(DATED)).group_by("type").len().iter_rows()):
        log.count(number, f"of type {name} hold no dose")
    undated = kind.is_in(DATED) & frame["utc"].is_null()
    for line, value in frame.filter(undated).select(LINE, "time").iter_rows():
        reason = "bad_date" if value else "missing_value"
        log.reject(line, reason, "time: no time in UTC", field="time", value=value)
    dated = ~undated

    def of(*kinds: str) -> tuple[JsonRows, pl.DataFrame]:
        own = dated & kind.is_in(kinds)
        return JsonRows(rows.frame.filter(own)), frame.filter(own)

    for kinds, add in (
        (("bolus",), _add_boluses), (("basal",), _add_basal), (tuple(_GLUCOSE), _add_glucose),
        (("insulin",), _add_entered), (("deviceEvent",), _add_events),
    ):  # fmt: skip
        own, base = of(*kinds)
        if base.height:
            add(own, base, log)


def _placed(rows: JsonRows, log: DeviceLog, zone: str | None) -> pl.DataFrame:
    """Type, key and times of every record: local as the device showed it, with the clock's error beside it."""
    import polars as pl

    moment = iso_moments(rows.column(rows.text("time")))
    dated = rows.column(rows.text("type").is_in(DATED)) & moment["utc"].is_not_null()
    placed = at_offsets(moment, rows.column(rows.number("timezoneOffset")), "device")
    if not dated.all():
        placed = placed.with_columns(utc=pl.when(dated).then("utc"))
    placed = in_zones(placed, log, zone)
    shown = iso_moments(rows.column(rows.text("deviceTime")))["local"]
    error = (pl.col("local") - pl.col("shown")).dt.total_seconds()
    told = (error != 0) & pl.col("utc_offset_min").is_not_null()
    return (
        placed.with_columns(shown=shown)
        .select(
            rows.frame[LINE],
            "utc",
            "local",
            "shown",
            start_local=pl.coalesce("shown", "local"),
            start_utc="utc",
            start_precision="precision",
            utc_offset_min="offset_min",
            offset_source="offset_source",
        )
        .with_columns(
            rows.column(rows.text("type")).alias("type"),
            rows.column(rows.text("time")).alias("time"),
            rows.column(
                pl.coalesce(
                    pl.concat_str(pl.lit("id-"), rows.text("id")), pl.concat_str(pl.lit("guid-"), rows.text("guid"))
                )
            ).alias("native_key"),
            clock_correction_s=pl.when(told).then(error),
            clock_rule=pl.when(told).then(pl.lit("conversionOffset of Tidepool")),
            time_anchor=pl.lit("start"),
            amount_unit=pl.lit(INSULIN_UNIT),
        )
    )


def _with_devices(frame: pl.DataFrame, rows: JsonRows, log: DeviceLog) -> pl.DataFrame:
    import polars as pl

    uploads = rows.column((rows.text("type") == "upload").fill_null(False) & rows.given("deviceId"))
    known = {str(record["deviceId"]): device for _, record in rows.records(uploads) if (device := _described(record))}
    frame = frame.with_columns(rows.column(rows.text("deviceId")).alias("stated"))
    used = frame.filter(pl.col("type").is_in(DATED)).group_by("stated", maintain_order=True).agg(pl.col(LINE).first())
    names = [(stated, _register(stated, line, known, log)) for stated, line in used.iter_rows()]
    schema = {"stated": pl.String, "device_id": pl.String}
    found = pl.DataFrame(names, schema=schema, orient="row")
    return frame.join(found, on="stated", how="left", nulls_equal=True, maintain_order="left")


def _described(upload: Record) -> Device | None:
    """What an upload says of its device."""
    makers, serial = upload.get("deviceManufacturers"), upload.get("deviceSerialNumber")
    if not isinstance(makers, list) or not makers or not serial:
        return None
    model = upload.get("deviceModel")
    return Device(str(makers[0]), str(model) if model else None, str(serial))


def _register(stated: str | None, line: int, known: dict[str, Device], log: DeviceLog) -> str:
    device = known.get(stated or "")
    if device is not None:
        return register_device(log, Device(device.manufacturer, device.model, device.serial, line))
    if stated and not _PLAIN_ID.fullmatch(stated):
        # Apps put the name a person gave a telephone into the id.
        stated = hashlib.sha256(stated.encode()).hexdigest()[:12]
    return register_device(log, Device(MAKER, "device", stated or None, line))


def _faulty(rows: JsonRows, log: DeviceLog, *names: str) -> pl.Series:
    """Rows whose amounts are none or negative; they are rejected."""
    import polars as pl

    faulty = rows.column(pl.lit(False))
    for name in names:
        amount = rows.amount(name)
        wrong = rows.column(rows.given(name) & (amount.is_null() | (amount < 0)).fill_null(False)) & ~faulty
        for line, value in rows.frame.filter(wrong).select(LINE, value=rows.text(name)).iter_rows():
            log.reject(line, "bad_number", f"{name}: no amount", field=name, value=value)
        faulty = faulty | wrong
    return faulty


def _add_boluses(rows: JsonRows, base: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    faulty = _faulty(rows, log, "normal", "expectedNormal", "extended", "expectedExtended")
    told = base.with_columns(
        rows.frame.select(
            sub=rows.text("subType").fill_null(""),
            by_algorithm=(rows.text("subType") == "automated").fill_null(False)
            | (rows.text("deliveryContext") == "algorithm").fill_null(False),
            normal=rows.amount("normal"),
            extended=rows.amount("extended"),
            expected_normal=rows.amount("expectedNormal"),
            expected_extended=rows.amount("expectedExtended"),
            lasted=_milliseconds(rows, "duration"),
            planned=_milliseconds(rows, "expectedDuration"),
        ) if rows.frame.width > 1 else rows.frame
    ).filter(~faulty)  # fmt: skip
    has_normal, has_extended = pl.col("normal").is_not_null(), pl.col("extended").is_not_null()
    lacks = (~has_normal & ~has_extended) | ((pl.col("sub") == "dual/square") & ~(has_normal & has_extended))
    for line, amount in told.filter(lacks).select(LINE, "normal").iter_rows():
        field = "extended" if amount is not None else "normal"
        log.reject(line, "missing_value", "the bolus lacks an amount", field=field)
    told = told.filter(~lacks).with_columns(is_dual=has_normal & has_extended)
    for name in ("normal", "extended"):
        part = told.filter(pl.col(name).is_not_null()).with_columns(
            kind=pl.lit("bolus"),
            trigger=pl.when("by_algorithm").then(pl.lit("algorithm")).otherwise(pl.lit("user")),
            programmed_amount=pl.coalesce(f"expected_{name}", name),
            programmed_basis=pl.lit("reported"),
            delivered_amount=name,
            delivered_basis=pl.lit("reported"),
        )
        part = part.with_columns(status=_status())
        if name == "normal":
            shape = pl.when("is_dual").then(pl.lit("dual_now")).otherwise(pl.lit("immediate"))
            log.add("dose_event", part.with_columns(shape=shape))
            continue
        key = pl.when("is_dual").then(pl.concat_str("native_key", pl.lit(":extended"))).otherwise("native_key")
        log.add(
            "dose_event",
            part.with_columns(
                shape=pl.when("is_dual").then(pl.lit("dual_later")).otherwise(pl.lit("extended")),
                native_key=key,
                delivered_duration_s=_seconds("lasted"),
                programmed_duration_s=pl.coalesce(_seconds("planned"), _seconds("lasted")),
                end_local=pl.col("start_local") + pl.col("lasted"),
                end_utc=pl.col("start_utc") + pl.col("lasted"),
            ),
        )


def _status() -> pl.Expr:
    import polars as pl

    short = pl.col("delivered_amount") < pl.col("programmed_amount")
    return (
        pl.when(short & (pl.col("delivered_amount") == 0))
        .then(pl.lit("none_delivered"))
        .when(short)
        .then(pl.lit("partial"))
        .otherwise(pl.lit("completed"))
    )


def _milliseconds(rows: JsonRows, name: str) -> pl.Expr:
    import polars as pl

    number = rows.number(name)
    return pl.when(number >= 0).then(pl.duration(milliseconds=number.round().cast(pl.Int64)))


def _seconds(span: str) -> pl.Expr:
    import polars as pl

    return (pl.col(span).dt.total_milliseconds() / 1000).round().cast(pl.Int64)


def _add_basal(rows: JsonRows, base: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    faulty = _faulty(rows, log, "rate")
    instead = rows.inside("suppressed", "rate")
    told = base.with_columns(
        rows.frame.select(
            how=rows.text("deliveryType").fill_null(""),
            rate=rows.amount("rate"),
            lasted=_milliseconds(rows, "duration"),
            noted=rows.text("annotations").str.contains(_UNKNOWN_DURATION, literal=True).fill_null(False),
        ),
        suppressed=instead.column(instead.amount("rate")),
    ).filter(~faulty)
    suspended = pl.col("how") == "suspend"
    lacks = pl.col("rate").is_null() & ~suspended
    for line in told.filter(lacks)[LINE].to_list():
        log.reject(line, "missing_value", "the basal segment has no rate", field="rate")
    told = told.filter(~lacks).with_columns(
        meant=pl.when(suspended).then("suppressed").otherwise("rate"),
        given=pl.when(suspended).then(pl.lit(0)).otherwise("rate").cast(pl.Decimal(18, 6)),
        # A duration of 0 is a segment of no length unless the uploader says that it is unknown.
        known=pl.col("lasted").is_not_null() & ~((pl.col("lasted") == pl.duration()) & pl.col("noted")),
    )
    log.count(
        told.filter(~pl.col("known")).height, "are basal segments of unknown duration; their amounts are not known"
    )
    told = told.with_columns(lasted=pl.when("known").then("lasted"))
    hours = pl.col("lasted").dt.total_milliseconds() / 3_600_000

    def amount(rate: str) -> pl.Expr:
        return (pl.col(rate).cast(pl.Float64) * hours).cast(pl.Decimal(18, 6))

    told = told.with_columns(programmed_amount=amount("meant"), delivered_amount=amount("given"))
    unused = suspended & (pl.col("meant").fill_null(0) > 0)
    log.add(
        "dose_event",
        told.with_columns(
            kind=pl.lit("basal_segment"),
            shape=pl.lit("continuous"),
            trigger=pl.col("how").replace_strict(_TRIGGERS, default="unknown", return_dtype=pl.String),
            programmed_basis=_basis("programmed_amount"),
            delivered_basis=_basis("delivered_amount"),
            programmed_rate="meant",
            delivered_rate="given",
            rate_unit=pl.lit(INSULIN_RATE),
            delivered_duration_s=_seconds("lasted"),
            status=pl.when(~pl.col("known"))
            .then(pl.lit("unknown"))
            .when(unused)
            .then(pl.lit("none_delivered"))
            .otherwise(pl.lit("completed")),
            end_local=pl.col("start_local") + pl.col("lasted"),
            end_utc=pl.col("start_utc") + pl.col("lasted"),
        ),
    )


def _basis(column: str) -> pl.Expr:
    import polars as pl

    return pl.when(pl.col(column).is_null()).then(pl.lit("none")).otherwise(pl.lit("rate_x_time"))


def _add_glucose(rows: JsonRows, base: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    told = base.with_columns(
        rows.frame.select(value=rows.number("value"), given=rows.text("value"), units=rows.text("units").fill_null(""))
    )
    for line, value in told.filter(pl.col("value").is_null()).select(LINE, "given").iter_rows():
        log.reject(line, "bad_number", "value: no number", field="value", value=value, table="observation")
    units = {text: glucose_unit(text) for text in told["units"].unique().to_list()}
    log.add(
        "observation",
        told.filter(pl.col("value").is_not_null()).with_columns(
            code=pl.when(pl.col("type") == "cbg").then(pl.lit("glucose")).otherwise(pl.lit("glucose_meter")),
            observed_at="start_local",
            observed_utc="start_utc",
            unit=pl.col("units").replace_strict(units, return_dtype=pl.String),
        ),
    )


def _add_entered(rows: JsonRows, base: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    dose = rows.inside("dose", "total")
    told = base.with_columns(delivered_amount=dose.column(dose.amount("total")))
    wrong = pl.col("delivered_amount").is_null() | (pl.col("delivered_amount") < 0)
    for line in told.filter(wrong)[LINE].to_list():
        log.reject(line, "bad_number", "dose.total: no amount", field="dose.total")
    told = told.filter(~wrong)
    log.count(told.height, "are insulin a person entered by hand; kept as excluded doses (manual_entry)")
    log.add(
        "dose_event",
        told.with_columns(
            kind=pl.lit("injection"),
            delivered_basis=pl.lit("reported"),
            programmed_basis=pl.lit("none"),
            exclude_reason=pl.lit("manual_entry"),
        ),
    )


def _add_events(rows: JsonRows, base: pl.DataFrame, log: DeviceLog) -> None:
    """Alarms, status, clock changes, primes: rare, each kind with members of its own."""
    doses: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    whole = rows.column(rows.given("type"))
    for (_, record), columns in zip(rows.records(whole), base.select(_BASE).iter_rows(named=True), strict=True):
        kind = str(record.get("subType"))
        if kind == "prime":
            volume = read_amount(record.get("volume"))
            prime = {"kind": "prime", "exclude_reason": "prime", "time_anchor": "start", "amount_unit": INSULIN_UNIT}
            basis = {"delivered_basis": "none" if volume is None else "reported", "programmed_basis": "none"}
            doses.append(columns | prime | basis | {"delivered_amount": volume})
            continue
        row = {name: columns[name] for name in ("line", "device_id", "native_key", "start_local", "start_utc")}
        duration = record.get("duration")
        lasted = read_amount(duration) if duration is not None else None
        end = row["start_local"] + dt.timedelta(milliseconds=float(lasted)) if lasted and lasted > 0 else None
        events.append(row | _event(kind, record) | {"end_local": end})
    log.add_rows("dose_event", doses)
    log.add_rows("device_event", events)


def _event(kind: str, record: Record) -> dict[str, Any]:
    event, code, detail = _KEPT.get(kind, kind), kind, None
    if kind == "alarm":
        code = str(record.get("alarmType"))
        event = _ALARMS.get(code, "alarm")
    elif kind == "status":
        code = str(record.get("status"))
        event = {"suspended": "suspend", "resumed": "resume"}.get(code, "status")
        reason = record.get("reason")
        detail = ", ".join(f"{key}: {reason[key]}" for key in sorted(reason)) if isinstance(reason, dict) else None
    elif kind == "timeChange":
        event = CLOCK_CHANGE
        change = record.get("change") if isinstance(record.get("change"), dict) else record
        old, new = (read_iso(_clock_text(change, name)) for name in ("from", "to"))
        detail = clock_detail(old.local if old else None, new.local if new else None)
    return {"event": event, "code": code, "detail": detail}


def _clock_text(change: Any, name: str) -> Any:
    value = change.get(name)
    return value.get("time") if isinstance(value, dict) else value
