"""FLAIRDevicePump of the FLAIR trial: a CareLink table of the 600 series with one column of amounts.

What was delivered stands in ``BolusDeliv``; what was programmed is in no column. Suspensions are not reflected in the
basal rates and cut them here, automatic mode likewise (importers.carelink_basal). One micro-bolus is written twice
where its source is spelt two ways; percentage temporary basals are written twice with 00:15:00 and 0:15:00: the second
is a duplicate. ``TDD`` is the device's daily total, never a dose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.carelink_600 import add_device_rows
from importers.carelink_rows import HEADINGS, add_times
from importers.device_identity import Device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.jaeb_table import JaebTable, read_table
from importers.vendor_dates import moment_expr
from importers.vendor_text import amount_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.base import SourceFile

_ROLES = {
    "adjusted": ("datadttm_adjusted",),
    "at_text": ("datadttm",),
    "new_time": ("newdevicedttm",),
    "bolus_type": ("bolustype",),
    "selected": ("bolusselected",),
    "delivered": ("bolusdeliv",),
    "bolus_duration": ("extendbolusduration",),
    "source": ("bolussource",),
    "basal_rate": ("basalrt",),
    "unknown_rate": ("basalrtunknown",),
    "temp_amount": ("tempbasalamt",),
    "temp_type": ("tempbasaltype",),
    "temp_duration": ("tempbasaldur",),
    "suspend": ("suspend",),
    "mode": ("automodestatus",),
    "prime_type": ("primetype",),
    "prime_volume": ("primevoldeliv", "primedeliv"),
    "alarm_text": ("alarm",),
    "number": ("bolusnumber",),
    "tdd": ("tdd",),
}
_SAME_BOLUS = ("person", "date", "time", "bolus_type", "delivered", "bolus_duration", "source_kind")


def import_flair(file: SourceFile, log: DeviceLog) -> None:
    """Everything one table holds, participant by participant."""
    import polars as pl

    table = read_table(file, log, _ROLES, ("at_text", "new_time"))
    rows = _as_carelink(table)
    nobody = rows["person"].is_null()
    for line in rows.filter(nobody)["line"].to_list():
        log.reject(line, "missing_value", "PtID: the participant is missing", field="PtID")
    undated = rows["date"].is_null() & ~nobody
    for line, text in rows.filter(undated).select("line", "at_text").iter_rows():
        reason = "bad_date" if text else "missing_value"
        log.reject(line, reason, "DataDtTm: no date and time", field="DataDtTm", value=text)
    rows = rows.filter(~nobody & ~undated)
    rows = _once(rows, log)
    mapped = (log.source_column("subject_id") or "").lower() == "ptid"
    for (person,), own in rows.group_by("person", maintain_order=True):
        typed = add_times(own, log, default="MDY")
        if typed.is_empty():
            continue
        device = Device("Medtronic", "MiniMed 670G", f"ptid {person}", typed["line"][0])
        device_id = add_device_rows(typed, device, str(person) if mapped else None, log, used=_used(typed))
        _add_totals(typed, device_id, str(person) if mapped else None, log)
        modes = typed.filter(pl.col("mode").is_not_null())
        stamp = pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S")
        log.add(
            "device_event",
            modes.with_columns(
                device_id=pl.lit(device_id), subject_id=pl.lit(str(person) if mapped else None, pl.String),
                event=pl.lit("mode_change"), code="mode", start_local="at",
                native_key=pl.format("mode:{}@{}", "mode", stamp),
            ),
        )  # fmt: skip


def _as_carelink(table: JaebTable) -> pl.DataFrame:
    """The columns of a CareLink table, dates and times as ISO text."""
    import polars as pl

    rows, order = table.rows, table.order
    at = moment_expr("at_text", rows["at_text"], order)
    new = moment_expr("new_time", rows["new_time"], order)
    absent = [role for role in HEADINGS if role not in rows.columns]
    return rows.with_columns(
        date=at.dt.strftime("%Y-%m-%d"),
        time=at.dt.strftime("%H:%M:%S"),
        new_time=new.dt.strftime("%Y-%m-%dT%H:%M:%S"),
        # Rates the export says are not known end the rate before.
        basal_rate=pl.when(pl.col("basal_rate").str.to_lowercase() != "nan").then("basal_rate"),
        source_kind=pl.when(pl.col("source").str.contains("MICRO")).then(pl.lit("MICRO")).otherwise("source"),
        **{role: pl.lit(None, pl.String) for role in absent if role not in ("date", "time")},
        glucose_unit=pl.lit(None, pl.String),
        carb_unit=pl.lit("g"),
        aggregated=pl.lit(False),
    )


def _once(rows: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    """Spellings of one source and of one duration made equal, so that the second row of each pair is a duplicate."""
    import polars as pl

    long = pl.col("temp_duration").str.replace(r"^0(\d:)", "$1")
    same = pl.col("delivered").is_not_null() & pl.col("source").is_not_null()
    first = pl.col("source").first().over(_SAME_BOLUS)
    respelt = rows.filter(same & (pl.col("source") != first)).height
    log.count(respelt, "repeat a bolus under another spelling of its source and count as duplicates")
    return rows.with_columns(source=pl.when(same).then(first).otherwise("source"), temp_duration=long)


def _used(rows: pl.DataFrame) -> pl.Series:
    import polars as pl

    return rows.filter(pl.col("tdd").is_not_null() | pl.col("mode").is_not_null())["line"]


def _add_totals(rows: pl.DataFrame, device_id: str, subject: str | None, log: DeviceLog) -> None:
    import polars as pl

    totals = rows.filter(amount_expr("tdd").is_not_null())
    log.add(
        "control_total",
        totals.with_columns(
            device_id=pl.lit(device_id),
            subject_id=pl.lit(subject, pl.String),
            total_date=pl.col("at").dt.date(),
            measure=pl.lit("all"),
            reported_total=amount_expr("tdd"),
            amount_unit=pl.lit(INSULIN_UNIT),
        ),
    )
