"""CareLink Personal CSV until about 2016 (Paradigm and Veo pumps): preamble, then one table with Raw-Type and
Raw-Values.

The header is searched, never counted down to; the declared number of records is no checksum (it counts what is
not printed). The truth of a row is in ``Raw-Type`` and ``Raw-Values`` (``AMOUNT=1.7, PROGRAMMED_AMOUNT=2.3``):
one row holds programmed and delivered amount of a bolus, stamped at its start. An extended bolus keeps its
programmed duration even when it was cut short; the halves of a dual bolus are two rows; square halves of 0 U in 0
s are the pump's echo and no dose.

Basal is worked out from profile starts, temporary basals, suspensions and the profile settings in the file
(importers.carelink_legacy_basal). Rows of several pumps stand in one table, told apart by ``Raw-Device Type``;
the preamble gives their serial numbers. The same ``Raw-ID`` seconds later is one entry uploaded twice; native
keys are Raw-Type and Raw-ID.

Taken over besides: fills (exclude_reason fill), suspensions, alarms, rewinds, clock changes, glucose, calculator
advice, daily totals (control_total of the day they are stamped). Settings (Current..., Change...) are no data and
are counted. Format: CareLink Personal 1.0.1 export; translated headings are read by position (39 columns in a
fixed order).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from importers import carelink_events
from importers.base import UnreadableFile
from importers.carelink_legacy_basal import add_legacy_basal
from importers.carelink_rows import HEADINGS, add_times, read_columns
from importers.carelink_tables import Preamble, Section, read_preamble
from importers.device_clock import CLOCK_CHANGE, add_running_time, clock_detail
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT
from importers.pump_pairs import status_expr
from importers.vendor_csv import VendorText
from importers.vendor_dates import find_order, read_moment
from importers.vendor_text import amount_expr, find_columns

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

RAW_HEADINGS: dict[str, tuple[str, ...]] = {
    "daily_total": ("daily insulin total",),
    "raw_type": ("raw-type",),
    "raw_values": ("raw-values",),
    "raw_id": ("raw-id",),
    "upload": ("raw-upload id",),
    "raw_seq": ("raw-seq num",),
    "device_type": ("raw-device type",),
}
_POSITIONS = {
    "index": 0, "date": 1, "time": 2, "new_time": 4, "bg": 5, "temp_amount": 7, "temp_type": 8, "temp_duration": 9,
    "bolus_type": 10, "selected": 11, "delivered": 12, "bolus_duration": 13, "prime_type": 14, "prime_volume": 15,
    "suspend": 16, "rewind": 17, "advice": 18, "carbs": 23, "alarm_text": 28, "calibration_bg": 29, "glucose": 30,
    "daily_total": 32, "raw_type": 33, "raw_values": 34, "raw_id": 35, "upload": 36, "raw_seq": 37, "device_type": 38,
}  # fmt: skip
_COLUMNS = 39
_COPY_S = 60
"""The same Raw-ID within this many seconds is one entry uploaded twice."""
_MEDTRONIC = ("paradigm", "minimed", "guardian", "medtronic")


def raw_expr(key: str) -> pl.Expr:
    """Text of one ``KEY=value`` of Raw-Values; NULL where absent or ``null``."""
    import polars as pl

    found = pl.col("raw_values").str.extract(rf"(?:^|, ){key}=([^,]*)", 1).str.strip_chars()
    return pl.when(found != "null").then(found)


def import_carelink_legacy(text: VendorText, sections: list[Section], log: DeviceLog) -> None:
    """Fill ``log`` from the file; raises ``UnreadableFile`` when columns or dates cannot be told."""
    import polars as pl

    first = sections[0]
    preamble = read_preamble(text, first.separator, first.header_line)
    read = pl.concat([_read(text, section, log) for section in sections])
    # The American site writes 4/11/15, month first; the European ones 11-04-2015 or 11.04.2015.
    rows = add_times(read, log, default="MDY" if read["date"].head(1).str.contains("/").any() else "DMY")
    if rows.is_empty():
        return
    log.exported_utc = _exported(preamble, log)
    rows = rows.with_columns(
        pl.col("raw_type", "raw_values", "raw_id", "device_type").str.strip_chars(),
        subject_id=pl.lit(None, dtype=pl.String),
    )
    for (device_type,), own in rows.partition_by("device_type", as_dict=True, maintain_order=True).items():
        device = _device(device_type, preamble, first.header_line)
        _import_device(own, register_device(log, device), log)


def _read(text: VendorText, section: Section, log: DeviceLog) -> pl.DataFrame:
    wanted = find_columns(section.header, {**HEADINGS, **RAW_HEADINGS})
    if "raw_type" not in wanted:
        if len(section.header) != _COLUMNS:
            raise UnreadableFile(
                f"The CareLink table at line {section.header_line} has no column Raw-Type.",
                remedy="Set the language of the CareLink account to English and export again; nothing of it was taken.",
                line=section.header_line,
            )
        wanted = dict(_POSITIONS)
        log.note("The headings are translated; columns were read by their position in the English export.")
    return read_columns(text, section, wanted, {**HEADINGS, **RAW_HEADINGS}, log)


def _exported(preamble: Preamble, log: DeviceLog) -> dt.datetime | None:
    if preamble.exported is None:
        return None
    order = find_order([preamble.exported], stated=log.stated_order(), default="MDY")
    return read_moment(preamble.exported, order)


def _device(device_type: str | None, preamble: Preamble, header_line: int) -> Device:
    name = device_type or (preamble.pumps[0][0] if len(preamble.pumps) == 1 else None)
    own = [(serial, line) for model, serial, line in preamble.pumps if model == name]
    serial, line = own[0] if len({serial for serial, _ in own}) == 1 else (None, header_line)
    is_pump = bool(own) or "paradigm" in (name or "").lower()
    maker = "Medtronic" if name is None or any(word in name.lower() for word in _MEDTRONIC) else "unstated"
    return Device(maker, name, serial, line, (("CLASS", "pump"),) if is_pump else ())


def _import_device(rows: pl.DataFrame, device_id: str, log: DeviceLog) -> None:
    import polars as pl

    rows = _in_device_order(rows).with_columns(device_id=pl.lit(device_id))
    rows = _with_keys(rows)
    clock = rows.filter(pl.col("raw_type").eq("ChangeTime") & pl.col("set_to").is_not_null())
    changes: list[dict[str, object]] = [
        {"seq": row["seq"], "event": CLOCK_CHANGE, "old": row["at"], "new": row["set_to"]}
        for row in clock.iter_rows(named=True)
    ]
    rows = add_running_time(rows, changes)
    log.add(
        "device_event",
        clock.with_columns(
            event=pl.lit(CLOCK_CHANGE),
            code="raw_type",
            start_local="at",
            detail=pl.Series(
                [clock_detail(row["at"], row["set_to"]) for row in clock.iter_rows(named=True)], dtype=pl.String
            ),
        ),
    )
    once = rows.filter(~pl.col("is_copy"))
    log.count(rows.height - once.height, "are entries uploaded twice, joined to the first")
    lines = [
        _add_boluses(once, log),
        add_legacy_basal(once, device_id, log),
        carelink_events.add_primes(once, log),
        carelink_events.add_device_events(once, log),
        carelink_events.add_observations(once, log),
        carelink_events.add_advice(once, log),
        _add_daily_totals(once, log),
        clock["line"],
    ]
    used = pl.concat(lines).unique()
    log.count(
        once.filter(~pl.col("line").is_in(used.implode())).height, "hold settings of the pump or of its calculator"
    )


def _in_device_order(rows: pl.DataFrame) -> pl.DataFrame:
    """``seq`` counting up in time: Raw-Seq Num falls with time inside an upload; where it does not, the times
    decide.
    """
    import polars as pl

    numbered = rows.with_columns(falling=-pl.col("raw_seq").cast(pl.Float64, strict=False))
    by_number = numbered.with_columns(begun=pl.col("at").min().over("upload")).sort(
        "begun", "upload", "falling", "line"
    )
    orderly = (by_number["at"].diff().dt.total_seconds() >= -1).mean()
    trusted = by_number["falling"].null_count() == 0 and orderly is not None and float(str(orderly)) > 0.98
    ordered = by_number if trusted else numbered.sort("at", "falling", "line")
    return ordered.drop("falling", "begun", strict=False).with_columns(seq=pl.int_range(pl.len(), dtype=pl.Int64))


def _with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """``native_key`` from Raw-Type and Raw-ID, and ``is_copy`` for an entry uploaded twice.

    A Raw-ID that comes back later with another content is a key of its own, with its time.
    """
    import polars as pl

    group = ["raw_type", "raw_id"]
    since = (pl.col("at") - pl.col("at").shift(1).over(group)).dt.total_seconds().abs()
    same = pl.col("raw_values").eq_missing(pl.col("raw_values").shift(1).over(group))
    rows = rows.sort("at", "seq").with_columns(
        is_copy=(pl.col("raw_id").is_not_null() & (since <= _COPY_S) & same).fill_null(False)
    )
    again = (~pl.col("is_copy")).cast(pl.Int64).cum_sum().over(group) > 1
    key = pl.format("{}:{}", "raw_type", "raw_id")
    stamped = pl.format("{}@{}", key, pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S"))
    return rows.with_columns(native_key=pl.when(again).then(stamped).otherwise(key)).sort("seq")


def _add_boluses(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    import polars as pl

    boluses = rows.filter(pl.col("raw_type").str.starts_with("Bolus") & pl.col("bolus_type").is_not_null())
    made = boluses.with_columns(
        programmed_text=raw_expr("PROGRAMMED_AMOUNT"), delivered_text=raw_expr("AMOUNT")
    ).with_columns(
        programmed=pl.coalesce(amount_expr("programmed_text"), "selected"),
        given=pl.coalesce(amount_expr("delivered_text"), "delivered"),
        length=(raw_expr("DURATION").cast(pl.Float64, strict=False) / 1000).round().cast(pl.Int64, strict=False),
    )
    kind = pl.col("bolus_type").str.to_lowercase()
    dual, square = kind.str.contains("dual"), kind.str.contains("square")
    echo = square & (pl.col("programmed") == 0) & (pl.coalesce("length", "bolus_duration").fill_null(0) == 0)
    doses = made.filter(~echo)
    shape = (
        pl.when(dual & square)
        .then(pl.lit("dual_later"))
        .when(dual)
        .then(pl.lit("dual_now"))
        .when(square)
        .then(pl.lit("extended"))
        .otherwise(pl.lit("immediate"))
    )
    log.add(
        "dose_event",
        doses.with_columns(
            kind=pl.lit("bolus"),
            shape=shape,
            trigger=pl.lit("user"),
            intent=pl.lit("as_needed"),
            start_local="at",
            start_precision="precision",
            time_anchor=pl.lit("start"),
            programmed_amount="programmed",
            delivered_amount="given",
            amount_unit=pl.lit(INSULIN_UNIT),
            programmed_basis=pl.when(pl.col("programmed").is_null()).then(pl.lit("none")).otherwise(pl.lit("reported")),
            delivered_basis=pl.when(pl.col("given").is_null()).then(pl.lit("none")).otherwise(pl.lit("reported")),
            programmed_duration_s=pl.when(square).then(pl.coalesce("length", "bolus_duration")),
            status=status_expr("programmed", "given"),
        ),
    )
    log.count(made.height - doses.height, "are square halves of 0 U in 0 s, the pump's echo of a dual bolus")
    return boluses["line"]


def _add_daily_totals(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    import polars as pl

    totals = rows.filter(pl.col("daily_total").is_not_null()).with_columns(total=amount_expr("daily_total"))
    bad = totals.filter(pl.col("total").is_null())
    for row in bad.iter_rows(named=True):
        log.reject(
            row["line"], "bad_number", "Daily Insulin Total is no number",
            field="Daily Insulin Total", value=row["daily_total"], table="control_total", device_id=row["device_id"],
        )  # fmt: skip
    log.add(
        "control_total",
        totals.filter(pl.col("total").is_not_null()).select(
            "line",
            "device_id",
            total_date=pl.col("at").dt.date(),
            measure=pl.lit("all"),
            reported_total="total",
            amount_unit=pl.lit(INSULIN_UNIT),
        ),
    )
    return totals["line"]
