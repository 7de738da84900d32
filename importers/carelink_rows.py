"""Rows of a CareLink CSV (600 and 700 series): columns by heading, times, checked numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from importers.base import UnreadableFile
from importers.vendor_csv import VendorText, read_section
from importers.vendor_dates import Order, clock_expr, day_expr, find_order, minute_expr, moment_expr
from importers.vendor_text import amount_expr, duration_expr, find_columns, glucose_unit, integer_text_expr, number_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.carelink_tables import Section
    from importers.device_log import DeviceLog

HEADINGS: dict[str, tuple[str, ...]] = {
    "index": ("index",),
    "date": ("date", "datum"),
    "time": ("time", "tijd"),
    "new_time": ("new device time", "nieuwe apparaattijd"),
    "bg": ("bg reading", "bg-meetwaarde"),
    "bg_source": ("bg source",),
    "basal_rate": ("basal rate",),
    "temp_amount": ("temp basal amount", "tijdel. basaalsnelheid"),
    "temp_type": ("temp basal type", "tijdel. basaaltype"),
    "temp_duration": ("temp basal duration", "tijdel. basaalduur"),
    "bolus_type": ("bolus type", "bolustype"),
    "selected": ("bolus volume selected", "geselecteerd bolusvolume"),
    "delivered": ("bolus volume delivered", "afgegeven bolusvolume"),
    "bolus_duration": ("bolus duration", "programmed bolus duration", "bolusduur"),
    "prime_type": ("prime type", "vultype"),
    "prime_volume": ("prime volume delivered", "afgegeven vulvolume"),
    "reservoir": ("estimated reservoir volume after fill",),
    "alarm_text": ("alarm", "alert"),
    "suspend": ("suspend", "stoppen"),
    "rewind": ("rewind", "terugdraaien"),
    "advice": ("bwz estimate",),
    "carbs": ("bwz carb input",),
    "calibration_bg": ("sensor calibration bg",),
    "glucose": ("sensor glucose",),
    "marker": ("event marker",),
    "number": ("bolus number",),
    "cancel_reason": ("bolus cancellation reason",),
    "calibration_rejected": ("sensor calibration rejected reason",),
    "source": ("bolus source",),
    "sensor_exception": ("sensor exception",),
}
"""Role -> column headings without their unit, English and Dutch as seen; other columns are not read."""

_NEEDED = ("date", "time", "selected", "delivered")
_AMOUNTS = {
    "basal_rate": "Basal Rate",
    "temp_amount": "Temp Basal Amount",
    "selected": "Bolus Volume Selected",
    "delivered": "Bolus Volume Delivered",
    "prime_volume": "Prime Volume Delivered",
    "reservoir": "Estimated Reservoir Volume",
    "advice": "BWZ Estimate",
}
_NUMBERS = {
    "bg": "BG Reading",
    "calibration_bg": "Sensor Calibration BG",
    "glucose": "Sensor Glucose",
    "carbs": "BWZ Carb Input",
}
_DURATIONS = {"temp_duration": "Temp Basal Duration", "bolus_duration": "Bolus Duration"}
_IMPOSSIBLE_BEFORE = 2013
"""The first pump of the series came out in 2013: an earlier year is a clock that was lost."""


def read_rows(text: VendorText, sections: list[Section], log: DeviceLog) -> pl.DataFrame:
    """Rows of all sections of one device as text, one column per role, with line, seq and glucose_unit.

    ``seq`` counts up in the order the device wrote the rows: most exports are newest first.
    """
    import polars as pl

    frames = []
    for section in sections:
        wanted = find_columns(section.header, HEADINGS)
        _check_columns(section, wanted)
        frames.append(read_columns(text, section, wanted, HEADINGS, log))
    return pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]


def read_columns(
    text: VendorText, section: Section, wanted: dict[str, int], roles: Iterable[str], log: DeviceLog
) -> pl.DataFrame:
    """Rows of one section as text: line, a column per role, units of glucose and carbohydrates, whether daily
    totals.
    """
    import polars as pl

    body = text.data[section.start : section.end]
    found = read_section(body, section.first_line, len(section.header), section.separator, wanted)
    log.reject_broken(found.broken)
    frame = found.frame.with_columns(pl.lit(None, dtype=pl.String).alias(role) for role in roles if role not in wanted)
    units = (
        glucose_unit(section.header[wanted[role]]) for role in ("bg", "glucose", "calibration_bg") if role in wanted
    )
    exchange = "carbs" in wanted and "exchange" in section.header[wanted["carbs"]].lower()
    rows = frame.with_columns(
        glucose_unit=pl.lit(next((unit for unit in units if unit), None), pl.String),
        carb_unit=pl.lit("{exchange}" if exchange else "g"),
        aggregated=pl.lit(section.label == "Aggregated"),
    )
    return rows.filter(pl.col("date").is_not_null() | pl.col("index").is_not_null())


def _check_columns(section: Section, wanted: dict[str, int]) -> None:
    absent = [HEADINGS[role][0] for role in _NEEDED if role not in wanted]
    if absent:
        raise UnreadableFile(
            f"The CareLink table at line {section.header_line} has no column {', '.join(absent)}.",
            remedy="Set the language of the CareLink account to English and export again; nothing of it was taken.",
            line=section.header_line,
        )


def add_times(rows: pl.DataFrame, log: DeviceLog, *, default: Order | None = None) -> pl.DataFrame:
    """Rows with ``at`` (local time), ``seq``, typed numbers; rows whose date, time or numbers cannot be read are
    rejected.
    """
    import polars as pl

    dates = rows["date"].unique().drop_nulls().to_list()
    news = rows["new_time"].unique().drop_nulls().to_list()
    order = find_order([*dates, *news], stated=log.stated_order(), default=default)
    rows = rows.with_columns(
        day=day_expr("date", rows["date"], order),
        clock=clock_expr("time", rows["time"]),
        set_to=moment_expr("new_time", rows["new_time"], order),
    ).with_columns(
        at=pl.col("day").cast(pl.Datetime("us")) + pl.duration(seconds="clock"),
        precision=minute_expr("time", rows["time"]),
        number=integer_text_expr("number", rows["number"]),
    )
    if rows["at"].null_count():
        bad = rows.filter(pl.col("at").is_null())
        log.reject_frame(_shown(bad), "bad_date", "Date and Time name no moment", field="date", label="Date")
        rows = rows.filter(pl.col("at").is_not_null())
    rows = _typed(rows, log)
    newest_first = _is_newest_first(rows)
    seq = pl.int_range(pl.len(), dtype=pl.Int64)
    return rows.with_columns(
        seq=(pl.len() - seq).cast(pl.Int64) if newest_first else seq,
        time_uncertain=pl.when(pl.col("at").dt.year() < _IMPOSSIBLE_BEFORE).then(pl.lit(True)),
    ).drop("day", "clock")


def _typed(rows: pl.DataFrame, log: DeviceLog) -> pl.DataFrame:
    """Numbers of every row; a row with one that cannot be read, or is negative, is rejected with its column."""
    import polars as pl

    made = rows.with_columns(
        *(_number_expr(rows[role], amount_expr, pl.Decimal(18, 6)) for role in _AMOUNTS),
        *(_number_expr(rows[role], number_expr, pl.Float64) for role in _NUMBERS),
        *(duration_expr(role, rows[role]).alias(f"n_{role}") for role in _DURATIONS),
    )
    wrong: list[pl.Expr] = []
    for role, label in {**_AMOUNTS, **_NUMBERS, **_DURATIONS}.items():
        number = made[f"n_{role}"]
        unread = pl.col(role).is_not_null() & pl.col(f"n_{role}").is_null()
        if number.null_count() > made[role].null_count():
            log.reject_frame(
                _shown(made.filter(unread)), "bad_number", f"{label} is no number", field=role, label=label
            )
            wrong.append(unread)
        negative = (pl.col(f"n_{role}") < 0).fill_null(False)
        if (number < 0).any():
            log.reject_frame(
                _shown(made.filter(negative)), "bad_value", f"{label} is negative", field=role, label=label
            )
            wrong.append(negative)
    kept = made.filter(~pl.any_horizontal(wrong)) if wrong else made
    typed = [*_AMOUNTS, *_NUMBERS, *_DURATIONS]
    return kept.with_columns(pl.col(f"n_{role}").alias(role) for role in typed).drop(f"n_{role}" for role in typed)


def _number_expr(texts: pl.Series, general: Callable[[str], pl.Expr], dtype: Any) -> pl.Expr:
    """A number column; the general way, four times slower, only where plain digits and points are not all there is."""
    import polars as pl

    role = texts.name
    plain = texts.cast(dtype, strict=False)
    whole = plain.null_count() == texts.null_count() and (dtype != pl.Float64 or bool(plain.is_finite().all()))
    return pl.lit(plain).alias(f"n_{role}") if whole else general(role).alias(f"n_{role}")


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """Source columns of rejected rows; markers are left out, they can hold what a person typed."""
    return rows.select("line", *(role for role in HEADINGS if role != "marker"))


def _is_newest_first(rows: pl.DataFrame) -> bool:
    import polars as pl

    steps = rows.select(pl.col("at").diff().dt.total_seconds().sign().sum()).item()
    return bool(steps is not None and steps < 0)
