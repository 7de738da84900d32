"""Dose history of the Loop app: lists of its dose entries, and its issue report.

``amount`` of a temporary basal rate is what the pump was told, in U/h; ``delivered`` is what reached the body, in
pulses of the pump. Without ``delivered`` the entry is not reconciled yet and rate times time stands in its place.
Suspensions are events; an entry normalised against the schedule may be negative and is no dose.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import HEAD_BYTES, Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.dataset_json import top_level
from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT, DeviceLog
from importers.json_records import Record, head_records, read_document
from importers.json_rows import LINE, JsonRows, read_rows, rows_of
from importers.moment_frames import at_offsets, in_zones, iso_moments, start_columns
from importers.moments import stated_zone

if TYPE_CHECKING:
    import polars as pl

FORMAT = "loop_doses"

_ENTRY = frozenset({"start_at", "end_at", "type", "unit"})
_REPORT = "get_normalized_dose_entries"
_NUMBERS = ("amount", "delivered")
_WANTED = (*_NUMBERS, *sorted(_ENTRY), "syncIdentifier", "automatic")
_EVENTS = {"pumpsuspend": "suspend", "suspend": "suspend", "pumpresume": "resume", "resume": "resume"}


def _is_entry(record: Record) -> bool:
    return set(record) >= _ENTRY


def _of_report(entry: Record) -> Record:
    """An entry of an issue report, whose texts come from a debug printout, with the names of the dose history."""
    texts = {name.strip(): str(value).strip() for name, value in entry.items()}
    rate = "perhour" in texts.get("unit", "").lower()
    sync = re.search(r"[0-9A-Fa-f]{16,}", texts.get("syncIdentifier", ""))
    return {
        "type": texts.get("type", "").rpartition(".")[2],
        "start_at": re.sub(r" (?=[+-]\d{4}$)", "", texts.get("startDate", "")),
        "end_at": re.sub(r" (?=[+-]\d{4}$)", "", texts.get("endDate", "")),
        "amount": texts.get("value"),
        "unit": "U/hour" if rate else "U",
        "syncIdentifier": sync[0] if sync else None,
    }


def _moments(rows: JsonRows, name: str, log: DeviceLog, zone: str | None, offset: int | None) -> pl.DataFrame:
    import polars as pl

    found = iso_moments(rows.column(rows.text(name)))
    # A list that writes +0000 was handed UTC, which says nothing about the local time.
    found = found.with_columns(offset_min=pl.when(pl.col("offset_min") != 0).then("offset_min"))
    if offset is not None:
        found = at_offsets(found, pl.select(pl.repeat(offset, found.height)).to_series())
    return in_zones(found, log, zone)


def _typed(rows: JsonRows, log: DeviceLog, zone: str | None, offset: int | None) -> pl.DataFrame:
    import polars as pl

    start, end = (_moments(rows, name, log, zone, offset) for name in ("start_at", "end_at"))
    told = rows.frame.select(
        LINE,
        code=rows.text("type"),
        type=rows.text("type").str.to_lowercase().fill_null(""),
        unit=rows.text("unit").str.to_lowercase().fill_null(""),
        amount=rows.amount("amount"),
        shown=rows.text("amount"),
        delivered=rows.amount("delivered"),
        start_text=rows.text("start_at"),
        end_text=rows.text("end_at"),
        automatic=rows.truth("automatic"),
        native_key=pl.concat_str(pl.lit("sync-"), rows.text("syncIdentifier")),
    )
    ends = end.select(end_local="local", end_utc="utc")
    return pl.concat([told, start, ends], how="horizontal").with_columns(
        event=pl.col("type").replace_strict(_EVENTS, default=None, return_dtype=pl.String),
        is_basal=pl.col("type").str.contains("basal") & pl.col("unit").is_in(["u/hour", "u/h"]),
    )


def _without_faults(frame: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    """Reject what is no dose that is known; returns the others."""
    import polars as pl

    is_known = pl.col("event").is_not_null() | (pl.col("type") == "bolus") | pl.col("is_basal")
    words = "no amount; entries normalised against the schedule are no doses"
    faults: tuple[tuple[pl.Expr, str, str, str, str | None], ...] = (
        (pl.col("local").is_null(), "bad_date", "start_at: no time", "start_at", "start_text"),
        (pl.col("end_local").is_null(), "bad_date", "end_at: no time", "end_at", "end_text"),
        (
            pl.coalesce("end_utc", "end_local") < pl.coalesce("utc", "local"),
            "impossible_time", "the dose ends before it starts", "end_at", None,
        ),
        (~is_known, "bad_value", "type and unit are no dose that is known", "type", "code"),
        (
            pl.col("amount").is_null() | (pl.col("amount") < 0) | (pl.col("delivered") < 0).fill_null(False),
            "bad_number", f"amount: {words}", "amount", "shown",
        ),
    )  # fmt: skip
    for condition, reason, message, field, value in faults:
        wrong = frame.select(condition.fill_null(False).alias("wrong"))["wrong"]
        if not wrong.any():
            continue
        for row in frame.filter(wrong).iter_rows(named=True):
            log.reject(row[LINE], reason, message, field=field, value=row[value] if value else None)
        frame = frame.filter(~wrong)
    return frame


def _add_entries(rows: JsonRows, log: DeviceLog, zone: str | None, offset: int | None) -> None:
    import polars as pl

    frame = _without_faults(_typed(rows, log, zone, offset), log)
    if frame.is_empty():
        return
    device = register_device(log, Device("loop", None, None, frame[LINE][0]))
    frame = frame.with_columns(*start_columns(), device_id=pl.lit(device))
    log.add("device_event", frame.filter(pl.col("event").is_not_null()))
    span = pl.coalesce(pl.col("end_utc") - pl.col("start_utc"), pl.col("end_local") - pl.col("start_local"))
    doses = frame.filter(pl.col("event").is_null()).with_columns(
        time_anchor=pl.lit("start"), amount_unit=pl.lit(INSULIN_UNIT), delivered_duration_s=span.dt.total_seconds()
    )
    log.add("dose_event", _boluses(doses.filter(~pl.col("is_basal"))))
    log.add("dose_event", _segments(doses.filter("is_basal")))


def _boluses(doses: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    given = pl.coalesce("delivered", "amount")
    return doses.with_columns(
        kind=pl.lit("bolus"),
        shape=pl.lit("immediate"),
        trigger=pl.when("automatic").then(pl.lit("algorithm")).otherwise(pl.lit("unknown")),
        programmed_amount="amount",
        programmed_basis=pl.lit("reported"),
        delivered_amount=given,
        delivered_basis=_given_basis("inferred_equal"),
        status=pl.when(given >= pl.col("amount"))
        .then(pl.lit("completed"))
        .when(given > 0)
        .then(pl.lit("partial"))
        .otherwise(pl.lit("none_delivered")),
    )


def _segments(doses: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    told = (pl.col("amount").cast(pl.Float64) * pl.col("delivered_duration_s") / 3600).cast(pl.Decimal(18, 6))
    return doses.with_columns(
        kind=pl.lit("basal_segment"),
        shape=pl.lit("continuous"),
        trigger=pl.when(pl.col("type") == "tempbasal").then(pl.lit("algorithm")).otherwise(pl.lit("unknown")),
        programmed_amount=told,
        programmed_basis=pl.lit("rate_x_time"),
        delivered_amount=pl.coalesce(pl.col("delivered"), told),
        delivered_basis=_given_basis("rate_x_time"),
        programmed_rate="amount",
        rate_unit=pl.lit(INSULIN_RATE),
        status=pl.lit("completed"),
    )


def _given_basis(otherwise: str) -> pl.Expr:
    import polars as pl

    return pl.when(pl.col("delivered").is_not_null()).then(pl.lit("reported")).otherwise(pl.lit(otherwise))


def _is_report(path: Path) -> bool:
    with path.open("rb") as stream:
        return {"cached_dose_entries", "basal_rate_schedule"} <= set(top_level(stream.read(HEAD_BYTES)))


class LoopDoseImporter:
    """Importer of Loop dose histories."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        records = head_records(head)
        if records and all(_is_entry(record) for record in records):
            return Recognised(FORMAT, FORMAT)
        if records and all(set(record) <= {"date", "amount", "value", "unit"} for record in records):
            if all("date" in record and record.get("unit") == "U" for record in records):
                return Ignored("reservoir levels or insulin on board, no doses")
        held = set(top_level(head))
        return (
            Recognised(FORMAT, f"{FORMAT} report") if {"cached_dose_entries", "basal_rate_schedule"} <= held else None
        )

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses of one history or issue report; raises ``UnreadableFile`` when the JSON is damaged."""
        import polars as pl

        log, zone = DeviceLog(file, recognised, context), stated_zone(context)
        offset: int | None = None
        if recognised.dataset.endswith("report") or _is_report(file.path):
            document = read_document(file.path)
            seconds = document.get("basal_rate_timeZone")
            offset = round(seconds / 60) if isinstance(seconds, int) else None
            entries = document.get(_REPORT) or document["cached_dose_entries"]
            rows = rows_of(enumerate(map(_of_report, entries), 1))
        else:
            rows = read_rows(file.path, (), _WANTED, _NUMBERS)
        if not rows.has("syncIdentifier") or not rows.column(rows.given("syncIdentifier")).any():
            log.note("The entries have no ids; a dose is known again by its whole content.")
        whole = rows.column(pl.all_horizontal(rows.given(name) for name in sorted(_ENTRY)))
        for line in (*rows.broken, *rows.frame.filter(~whole)[LINE].to_list()):
            log.reject(line, "missing_value", "the record is no dose entry", field="type")
        if whole.any():
            _add_entries(rows if whole.all() else JsonRows(rows.frame.filter(whole)), log, zone, offset)
        return log.parsed()


IMPORTER = LoopDoseImporter()
