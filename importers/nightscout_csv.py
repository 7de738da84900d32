"""Nightscout's own CSV: a section of glucose and one of treatments, each under a line that starts with #.

It writes blank for an insulin of 0, so a blank is not reported and never zero; temporary rates stand without their rate
and are no doses here (the JSON export has them). Times are local. Dates with AM or PM are American, any other order is
asked for where the dates leave it open. Notes are not read. Ids are those of the JSON export.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from importers.device_identity import Device, register_device
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.vendor_csv import VendorText, read_section, split_line
from importers.vendor_dates import find_order, moment_expr
from importers.vendor_text import amount_expr, glucose_unit, number_expr

if TYPE_CHECKING:
    import polars as pl

_SECTION = re.compile(rb"^# ?(?:CGM ENTRIES|TREATMENTS).*$", re.MULTILINE)
_COLUMNS = {
    "date": "date", "time": "time", "id": "id", "type": "kind", "event type": "kind", "insulin (u)": "insulin",
    "carbs (g)": "carbs",
}  # fmt: skip


def is_nightscout_csv(head: bytes) -> bool:
    return _SECTION.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


def import_nightscout_csv(text: VendorText, log: DeviceLog) -> None:
    """Glucose and boluses of one file; raises ``UnreadableFile`` where the order of day and month is open."""
    places = [match.span() for match in _SECTION.finditer(text.data)]
    sections: list[tuple[pl.DataFrame, str | None]] = []
    for number, (_, end) in enumerate(places):
        head = text.data.find(b"\n", end) + 1
        below = text.data.find(b"\n", head) + 1
        stop = places[number + 1][0] if number + 1 < len(places) else len(text.data)
        names = split_line(text.data[head : below - 1].decode("utf-8", "replace"), ",")
        roles = {role: place for place, name in enumerate(names) if (role := _COLUMNS.get(name.lower()))}
        glucose = next((name for name in names if name.lower().startswith("glucose")), None)
        if glucose is not None:
            roles["glucose"] = names.index(glucose)
        line = text.data.count(b"\n", 0, below) + 1
        found = read_section(text.data[below:stop], line, len(names), ",", roles)
        log.reject_broken(found.broken)
        sections.append((found.frame, glucose))
    _add(sections, log)


def _add(sections: list[tuple[pl.DataFrame, str | None]], log: DeviceLog) -> None:
    import polars as pl

    stamps = [
        text
        for frame, _ in sections
        for text in frame.select(pl.concat_str("date", pl.lit(" "), "time")).to_series().drop_nulls().to_list()
    ]
    american = any(text.lower().endswith("m") for text in stamps)
    order = find_order(stamps, stated=log.stated_order(), default="MDY" if american else None)
    device = None
    for frame, glucose in sections:
        rows = frame.with_columns(stamp=pl.concat_str("date", pl.lit(" "), "time"))
        rows = rows.with_columns(at=moment_expr("stamp", rows["stamp"], order))
        table = "observation" if glucose else "dose_event"
        undated = rows.filter(pl.col("at").is_null()).select("line", "date", "time")
        log.reject_frame(undated, "bad_date", "Date and Time name no moment", field="date", label="Date", table=table)
        rows = rows.filter(pl.col("at").is_not_null())
        if rows.height and device is None:
            device = register_device(log, Device("nightscout", None, None, rows["line"][0]))
        rows = rows.with_columns(device_id=pl.lit(device, pl.String))
        if glucose:
            _add_glucose(rows, glucose, log)
        else:
            _add_treatments(rows, log)


def _add_glucose(rows: pl.DataFrame, heading: str, log: DeviceLog) -> None:
    import polars as pl

    faulty = number_expr("glucose").is_null()
    wrong = rows.filter(faulty).select("line", "date", "time", "glucose")
    message = f"{heading}: no number"
    log.reject_frame(wrong, "bad_number", message, field="glucose", label=heading, table="observation")
    log.add(
        "observation",
        rows.filter(~faulty).with_columns(
            code=pl.when(pl.col("kind") == "mbg").then(pl.lit("glucose_meter")).otherwise(pl.lit("glucose")),
            observed_at="at",
            value=number_expr("glucose"),
            unit=pl.lit(glucose_unit(heading)),
        ),
    )


def _add_treatments(rows: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    given = pl.col("insulin").is_not_null()
    faulty = given & (amount_expr("insulin").is_null() | (amount_expr("insulin") < 0))
    wrong = rows.filter(faulty).select("line", "date", "time", "kind", "insulin")
    log.reject_frame(wrong, "bad_number", "Insulin (U): no amount", field="insulin", label="Insulin (U)")
    micro = pl.col("kind") == "SMB"
    by_hand = pl.col("kind").str.to_lowercase() == "external insulin"
    log.add(
        "dose_event",
        rows.filter(given & ~faulty).with_columns(
            native_key=pl.concat_str(pl.lit("id-"), "id"),
            trigger=pl.when(micro).then(pl.lit("algorithm")).otherwise(pl.lit("user")),
            shape=pl.when(micro).then(pl.lit("micro")).otherwise(pl.lit("immediate")),
            exclude_reason=pl.when(by_hand).then(pl.lit("manual_entry")),
            start_local="at",
            start_precision=pl.lit("second"),
            time_anchor=pl.lit("start"),
            programmed_basis=pl.lit("none"),
            delivered_amount=amount_expr("insulin"),
            delivered_basis=pl.lit("reported"),
            amount_unit=pl.lit(INSULIN_UNIT),
            status=pl.lit("completed"),
        ).with_columns(kind=pl.lit("bolus")),
    )  # fmt: skip
    carbs = rows.filter(number_expr("carbs") > 0)
    log.add(
        "observation",
        carbs.with_columns(
            code=pl.lit("carbohydrates"), observed_at="at", value=number_expr("carbs"), unit=pl.lit("g")
        ),
    )
    rest = rows.filter(~given & ~(number_expr("carbs") > 0).fill_null(False))
    rates = rest.filter(pl.col("kind").str.to_lowercase().str.starts_with("temp basal")).height
    log.count(rates, "are temporary basal rates without their rate; the JSON export has it")
    log.count(rest.height - rates, "are notes, checks or announcements and hold no dose")
