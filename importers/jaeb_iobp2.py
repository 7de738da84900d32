"""Pipe-delimited tables of the JAEB public trial archives: IOBP2 (iLet), one row per five-minute step.

The amounts of a row were given in the step before its time, so a dose starts 300 s earlier and the time is its end.
Basal amounts stand for every step, zero included; boluses of zero are no doses. A time at midnight has no clock
part. ``PtID`` is the trial's subject only where ``columns.subject_id = "PtID"`` of a [[source]] says so; else every
participant has a device of their own that an assignment can name.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from importers.base import SourceFile, UnreadableFile
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.vendor_csv import read_section, read_text, split_line
from importers.vendor_dates import find_order, moment_expr
from importers.vendor_text import amount_expr, number_expr

if TYPE_CHECKING:
    import polars as pl

STEP = dt.timedelta(seconds=300)

SIGN = frozenset({"PtID", "DeviceDtTm", "BolusDelivPrev", "BasalDelivPrev"})
_AMOUNTS = {
    "BasalDelivPrev": ("basal_segment", "continuous", "basal"),
    "BolusDelivPrev": ("bolus", "micro", "bolus"),
    "MealBolusDelivPrev": ("bolus", "immediate", "meal"),
}
"""Column -> kind, shape and the word of the native key."""
_LOW, _HIGH = 39, 401
_NUMBER = r"^-?\d*\.?\d+([eE][+-]?\d+)?$"


def import_iobp2(file: SourceFile, log: DeviceLog) -> None:
    """Doses and glucose of one table; raises ``UnreadableFile``."""
    import polars as pl

    text = read_text(file.path)
    log.notes.extend(text.notes)
    header = split_line(text.lines(1)[0][2], "|")
    if not set(header) >= SIGN:
        raise UnreadableFile("The table lacks columns of the device table of IOBP2.", remedy="Export it again.")
    wanted = {name: header.index(name) for name in ("PtID", "DeviceDtTm", "CGMVal", *_AMOUNTS) if name in header}
    _, _, rest = text.data.partition(b"\n")
    section = read_section(rest, 2, len(header), "|", wanted)
    log.reject_broken(section.broken)
    rows = section.frame
    order = find_order(rows["DeviceDtTm"].unique().drop_nulls(), stated=log.stated_order(), default="MDY")
    rows = rows.with_columns(at=moment_expr("DeviceDtTm", rows["DeviceDtTm"], order))
    rows = _refuse(rows, log)
    rows = _with_devices(rows, log)
    mapped = log.source_column("subject_id") == "PtID"
    rows = rows.with_columns(subject_id=pl.col("PtID") if mapped else pl.lit(None, pl.String))
    used = _add_doses(rows, log) + _add_glucose(rows, log)
    lines = pl.concat(used).unique() if used else pl.Series([], dtype=pl.Int64)
    log.count(rows.filter(~pl.col("line").is_in(lines.implode())).height, "hold neither insulin nor glucose")


def _refuse(rows: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    """Reject what has no participant, no time, or an amount that is none."""
    import polars as pl

    shown = [name for name in rows.columns if name != "at"]
    tests: list[tuple[str, str, str, pl.Expr]] = [
        ("PtID", "missing_value", "the participant is missing", pl.col("PtID").is_null()),
        ("DeviceDtTm", "missing_value", "the time is missing", pl.col("DeviceDtTm").is_null()),
        ("DeviceDtTm", "bad_date", "no date and time", pl.col("at").is_null()),
    ]
    for name in _AMOUNTS:
        if name in rows.columns:
            bad = pl.col(name).is_not_null() & (amount_expr(name).is_null() | (amount_expr(name) < 0))
            tests.append((name, "bad_number", "no amount", bad))
    for name, reason, words, bad in tests:
        refused = rows.filter(bad)
        if refused.height:
            log.reject_frame(refused.select(shown), reason, f"{name}: {words}", field=name, label=name)
            rows = rows.filter(~bad)
    return rows


def _with_devices(rows: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    import polars as pl

    first = rows.group_by("PtID").agg(pl.col("line").min()).sort("line")
    people: list[str] = first["PtID"].to_list()
    devices = [
        register_device(log, Device("Beta Bionics", "iLet", f"ptid {person}", line))
        for person, line in zip(people, first["line"].to_list(), strict=True)
    ]
    known = pl.DataFrame({"PtID": people, "device_id": devices}, schema={"PtID": pl.String, "device_id": pl.String})
    return rows.join(known, on="PtID", how="left", maintain_order="left")


def _add_doses(rows: pl.DataFrame, log: DeviceLog) -> list[pl.Series]:
    import polars as pl

    used: list[pl.Series] = []
    stamp = pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S")
    for name, (kind, shape, word) in _AMOUNTS.items():
        if name not in rows.columns:
            continue
        wanted = amount_expr(name).is_not_null() if word == "basal" else amount_expr(name) > 0
        doses = rows.filter(wanted).with_columns(
            native_key=pl.format("step-{}-{}:{}", "PtID", stamp, pl.lit(word)),
            kind=pl.lit(kind),
            shape=pl.lit(shape),
            trigger=pl.lit("user" if word == "meal" else "algorithm"),
            start_local=pl.col("at") - STEP,
            end_local="at",
            start_precision=pl.lit("second"),
            time_anchor=pl.lit("end"),
            delivered_amount=amount_expr(name),
            delivered_basis=pl.lit("reported"),
            programmed_basis=pl.lit("none"),
            amount_unit=pl.lit(INSULIN_UNIT),
            delivered_duration_s=pl.lit(int(STEP.total_seconds()), pl.Int64),
            status=pl.lit("completed"),
        )
        log.add("dose_event", doses)
        used.append(doses["line"])
    return used


def _add_glucose(rows: pl.DataFrame, log: DeviceLog) -> list[pl.Series]:
    import polars as pl

    if "CGMVal" not in rows.columns:
        return []
    value = number_expr("CGMVal")
    found = rows.filter(pl.col("CGMVal").str.contains(_NUMBER) & (value > 0)).with_columns(
        code=pl.lit("glucose"),
        observed_at="at",
        value=pl.when((value > _LOW) & (value < _HIGH)).then(value),
        value_text=pl.when(value <= _LOW).then(pl.lit("below range")).when(value >= _HIGH).then(pl.lit("above range")),
        unit=pl.lit("mg/dL"),
    )
    log.add("observation", found)
    return [found["line"]]
