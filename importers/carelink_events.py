"""What a CareLink CSV (600 and 700 series) holds beside doses: fills, alarms, glucose, app entries, advice, daily
totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.carelink_boluses import daily_total_expr
from importers.device_log import INSULIN_UNIT
from importers.vendor_text import number_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

_STAMP = "%Y-%m-%dT%H:%M:%S"
_INSULIN = r"(?i)^(?:insulin|insuline)\s*:\s*([0-9.,]+)"
_MEAL = r"(?i)^(?:meal|maaltijd)\s*:\s*([0-9.,]+)\s*(\D*)$"
_KNOWN_MARKER = r"(?i)^(exercise|insulin|meal|other|note|bg)\b"


def _stamp() -> pl.Expr:
    import polars as pl

    return pl.col("at").dt.strftime(_STAMP)


def add_primes(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Tubing and cannula fills: insulin that left the reservoir and was given to nobody."""
    import polars as pl

    fills = rows.filter(pl.col("prime_type").is_not_null() | pl.col("prime_volume").is_not_null())
    log.add(
        "dose_event",
        fills.with_columns(
            native_key=pl.format("prime:{}@{}", pl.col("prime_type").fill_null("?"), _stamp()),
            kind=pl.lit("prime"),
            trigger=pl.lit("user"),
            start_local="at",
            start_precision="precision",
            time_anchor=pl.lit("point"),
            delivered_amount="prime_volume",
            amount_unit=pl.lit(INSULIN_UNIT),
            programmed_basis=pl.lit("none"),
            delivered_basis=pl.when(pl.col("prime_volume").is_null())
            .then(pl.lit("none"))
            .otherwise(pl.lit("reported")),
            status=pl.lit("completed"),
            exclude_reason=pl.lit("fill"),
        ),
    )
    return fills["line"]


def add_device_events(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Alarms, rewinds, refills, sensor states; the device's own words stand in ``code``."""
    import polars as pl

    used = []
    alarm = pl.col("alarm_text").str.to_uppercase()
    kinds: list[tuple[str, pl.Expr]] = [
        (
            "alarm_text",
            pl.when(alarm.str.contains("NO DELIVERY|OCCLUSION|BLOCKED"))
            .then(pl.lit("occlusion"))
            .when(alarm.str.contains(r"^AUTO MODE (ACTIVE|OFF|OPEN LOOP|EXIT)|^SMARTGUARD"))
            .then(pl.lit("mode_change"))
            .otherwise(pl.lit("alarm")),
        ),
        ("rewind", pl.lit("rewind")),
        ("reservoir", pl.lit("refill")),
        ("calibration_rejected", pl.lit("calibration_rejected")),
        ("sensor_exception", pl.lit("sensor_state")),
    ]
    for column, event in kinds:
        found = rows.filter(pl.col(column).is_not_null())
        used.append(found["line"])
        if found.is_empty():
            continue
        found = found.with_columns(event=event, code=pl.col(column).cast(pl.String), start_local="at")
        log.add("device_event", found.with_columns(native_key=pl.format("{}:{}@{}", "event", "code", _stamp())))
    return pl.concat(used)


def add_observations(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Glucose in the unit of its heading. A meter value, the one used to calibrate and the sensor's have their
    own codes.
    """
    import polars as pl

    used = []
    for column, code in (("bg", "blood_glucose"), ("calibration_bg", "calibration_glucose"), ("glucose", "glucose")):
        found = rows.filter(pl.col(column).is_not_null())
        used.append(found["line"])
        log.add(
            "observation",
            found.select(
                "line",
                "subject_id",
                "device_id",
                code=pl.lit(code),
                observed_at="at",
                value=pl.col(column),
                unit="glucose_unit",
            ),
        )
    return pl.concat(used)


def add_markers(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Event markers of the phone app. The text of other markers is what a person wrote and is not taken over."""
    import polars as pl

    markers = rows.filter(pl.col("marker").is_not_null())
    if markers.is_empty():
        return markers["line"]
    markers = markers.with_columns(
        insulin_text=pl.col("marker").str.extract(_INSULIN, 1), meal_text=pl.col("marker").str.extract(_MEAL, 1)
    ).with_columns(insulin=number_expr("insulin_text"), meal=number_expr("meal_text"))
    insulin = markers.filter(pl.col("insulin").is_not_null())
    amount = pl.col("insulin").round(6).cast(pl.Decimal(18, 6))
    log.add(
        "dose_event",
        insulin.with_columns(
            native_key=pl.format("marker:insulin:{}@{}", amount.cast(pl.String), _stamp()),
            kind=pl.lit("injection"),
            trigger=pl.lit("user"),
            start_local="at",
            start_precision="precision",
            time_anchor=pl.lit("point"),
            delivered_amount=amount,
            amount_unit=pl.lit(INSULIN_UNIT),
            programmed_basis=pl.lit("none"),
            delivered_basis=pl.lit("nominal_crf"),
            status=pl.lit("completed"),
            exclude_reason=pl.lit("manual_entry"),
        ),
    )
    meals = markers.filter(pl.col("meal").is_not_null())
    log.add("observation", _carbs(meals, "meal", pl.lit("g")))
    others = markers.filter(pl.col("meal").is_null() & pl.col("insulin").is_null())
    code = pl.col("marker").str.extract(_KNOWN_MARKER, 1).str.to_lowercase().fill_null("other")
    log.add(
        "device_event",
        others.with_columns(
            event=pl.lit("marker"), code=code, start_local="at", native_key=pl.format("marker:{}@{}", code, _stamp())
        ),
    )
    if insulin.height:
        log.note("Insulin in event markers was typed into the app: kept as manual entries, outside the doses.")
    return markers["line"]


def _carbs(rows: pl.DataFrame, column: str, unit: pl.Expr) -> pl.DataFrame:
    import polars as pl

    return rows.select(
        "line",
        "subject_id",
        "device_id",
        code=pl.lit("carbohydrates"),
        observed_at="at",
        value=pl.col(column),
        unit=unit,
    )


def add_advice(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """What the bolus calculator advised, and the carbohydrates it was told; no carbohydrates (0) is a plain
    correction.
    """
    import polars as pl

    advice = rows.filter(pl.col("advice").is_not_null())
    log.add(
        "recommendation",
        advice.select(
            "line",
            "subject_id",
            "device_id",
            native_key=pl.format("advice@{}", _stamp()),
            recommended_at="at",
            recommended_amount="advice",
            amount_unit=pl.lit(INSULIN_UNIT),
        ),
    )
    carbs = rows.filter(pl.col("carbs") > 0)
    log.add("observation", _carbs(carbs, "carbs", pl.col("carb_unit")))
    return pl.concat([advice["line"], rows.filter(pl.col("carbs").is_not_null())["line"]])


def add_daily_totals(rows: pl.DataFrame, log: DeviceLog) -> pl.Series:
    """Insulin the algorithm gave in a day: one row a day, stamped midnight."""
    import polars as pl

    totals = rows.filter(daily_total_expr() & pl.col("delivered").is_not_null())
    log.add(
        "control_total",
        totals.select(
            "line",
            "subject_id",
            "device_id",
            total_date=pl.col("at").dt.date(),
            measure=pl.lit("automatic"),
            reported_total="delivered",
            amount_unit=pl.lit(INSULIN_UNIT),
        ),
    )
    return totals["line"]
