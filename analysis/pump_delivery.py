"""Pumps and closed loops: boluses against what was programmed, basal by full clock hour, wear, algorithm-active time.

A bolus is counted, never taken or missed. An hour of basal counts only where segments cover all of it.
Reference for one-hour windows: Freckmann et al., J Diabetes Sci Technol 2019;13:79-86.
"""

from __future__ import annotations

import polars as pl

from analysis.class_rows import ClassRows, Measure, counted, hours_of, hours_within, valued, without_series
from analysis.device_accuracy import GUARD

SMALL_STEPS = 10
"""Doses of fewer device steps than this are judged in steps: a percent error of a tiny dose says nothing."""

ALGORITHM_ON = ("algorithm_on",)
ALGORITHM_OFF = ("algorithm_off",)


def measure_pump(rows: ClassRows) -> list[Measure]:
    """Measures of classes pump and patch_pump."""
    return [*_boluses(rows), *_basal(rows), _wear(rows), _boluses_per_day(rows)]


def measure_closed_loop(rows: ClassRows) -> list[Measure]:
    """Measures of class closed_loop: what was delivered against what the algorithm commanded, hour by hour and day by
    day, and how long it was in command."""
    return [*_commanded(rows), *_boluses(rows), _active(rows), _wear(rows), *_range(rows)]


def _steps(rows: ClassRows) -> pl.DataFrame:
    """device_id, step of the devices whose [[device]] states one."""
    stated = {entry.type.upper(): float(entry.step) for entry in rows.view.protocol.device if entry.step is not None}
    found = [
        (device, step)
        for device, kind, model in rows.devices.select("device_id", "device_type", "model").iter_rows()
        if (step := stated.get((kind or "").upper(), stated.get((model or "").upper()))) is not None
    ]
    return pl.DataFrame(found, schema={"device_id": pl.String, "step": pl.Float64}, orient="row")


def _boluses(rows: ClassRows) -> list[Measure]:
    doses = rows.doses(["programmed_amount", "delivered_amount", "programmed_basis", "shape"], ["bolus"]).filter(
        (pl.col("programmed_basis") == "reported") & pl.col("delivered_amount").is_not_null()
    )
    steps = _steps(rows)
    missing = "not assessable: no bolus has a programmed amount reported by the device"
    sized = doses.filter(pl.col("programmed_amount") > 0).join(steps, on="device_id", how="left")
    large = sized.filter(pl.col("programmed_amount") >= SMALL_STEPS * pl.col("step") - GUARD)
    small = sized.filter(pl.col("programmed_amount") < SMALL_STEPS * pl.col("step") - GUARD)
    error = pl.col("delivered_amount") - pl.col("programmed_amount")
    unknown = "not assessable: protocol.toml does not state [[device]] step, the smallest dose of the device"
    return [
        Measure(
            "accuracy", "bolus_error_pct", "values", valued(large, 100 * error / pl.col("programmed_amount")),
            f"delivered against programmed, boluses of {SMALL_STEPS} device steps or more", "%",
            missing if not sized.height else unknown,
        ),
        Measure(
            "accuracy", "small_bolus_error_steps", "values", valued(small, error / pl.col("step")),
            f"delivered minus programmed in device steps, boluses under {SMALL_STEPS} steps", "{step}",
            missing if not sized.height else unknown if not steps.height else "not assessable: no bolus is that small",
        ),
    ]  # fmt: skip


def hourly(segments: pl.DataFrame) -> pl.DataFrame:
    """Basal segments spread over clock hours: SERIES, hour, seconds covered, programmed and delivered amounts.

    ``segments``: SERIES, start_local, end_local, programmed, delivered (amounts of the whole segment).
    """
    parts = segments.filter(pl.col("end_local") > pl.col("start_local")).with_columns(
        hour=pl.datetime_ranges(pl.col("start_local").dt.truncate("1h"), pl.col("end_local"), "1h", closed="left")
    )
    whole = (pl.col("end_local") - pl.col("start_local")).dt.total_seconds()
    begin = pl.max_horizontal("start_local", "hour")
    end = pl.min_horizontal("end_local", pl.col("hour") + pl.duration(hours=1))
    share = (end - begin).dt.total_seconds() / whole
    return (
        parts.explode("hour")
        .with_columns(seconds=(end - begin).dt.total_seconds(), share=share)
        .group_by("subject_id", "drug", "channel", "hour", maintain_order=True)
        .agg(
            seconds=pl.col("seconds").sum(),
            programmed=(pl.col("programmed") * pl.col("share")).sum(),
            delivered=(pl.col("delivered") * pl.col("share")).sum(),
            complete=pl.col("programmed").is_not_null().all() & pl.col("delivered").is_not_null().all(),
        )
    )


def _segments(rows: ClassRows) -> pl.DataFrame:
    doses = rows.doses(
        ["end_local", "programmed_amount", "delivered_amount", "programmed_rate", "delivered_rate"], ["basal_segment"]
    )
    hours = (pl.col("end_local") - pl.col("start_local")).dt.total_seconds() / 3600
    return doses.with_columns(
        programmed=pl.coalesce("programmed_amount", pl.col("programmed_rate") * hours),
        delivered=pl.coalesce("delivered_amount", pl.col("delivered_rate") * hours),
    )


def _basal(rows: ClassRows) -> list[Measure]:
    hours = hourly(_segments(rows))
    full = hours.filter((pl.col("seconds") >= 3600) & pl.col("complete"))
    limit = rows.view.protocol.accuracy.conformity_pct
    error = 100 * (pl.col("delivered") - pl.col("programmed")) / pl.col("programmed")
    within = (pl.col("delivered") - pl.col("programmed")).abs() <= limit / 100 * pl.col("programmed") + GUARD
    missing = "not assessable: no clock hour is covered by basal segments with programmed and delivered amounts"
    days = hours.with_columns(day=pl.col("hour").dt.date()).filter("complete")
    return [
        Measure(
            "accuracy", "basal_hours_assessable", "share",
            counted(hours, (pl.col("seconds") >= 3600) & pl.col("complete")),
            "clock hours with basal covered from end to end, both amounts known / clock hours with any basal",
            missing="not assessable: no basal segments were received",
        ),
        Measure(
            "accuracy", "basal_hour_conformity", "share", counted(full, within),
            f"full clock hours with delivered basal within {limit:g} % of programmed", missing=missing,
        ),
        Measure(
            "accuracy", "basal_hour_error_pct", "values", valued(full.filter(pl.col("programmed") > 0), error),
            "delivered against programmed basal per full clock hour", "%", missing,
        ),
        Measure(
            "compliance", "basal_delivered", "ratio", counted(days, pl.col("delivered"), pl.col("programmed")),
            "basal delivered / programmed over monitored days",
            missing="not assessable: no basal segments with programmed and delivered amounts were received",
        ),
    ]  # fmt: skip


def _wear(rows: ClassRows) -> Measure:
    worn = rows.table("wear_interval", ["start_local", "end_local"]).select(
        "subject_id", start="start_local", end="end_local"
    )
    return Measure(
        "compliance", "wear_share", "share", hours_within(worn, rows.monitored()),
        "hours worn (overlap once; intervals without an end not counted) / monitored hours",
        missing="not assessable: no wear intervals were received for this device class",
    )  # fmt: skip


def _boluses_per_day(rows: ClassRows) -> Measure:
    doses = rows.doses([], ["bolus"])
    days = hours_of(rows.monitored()).select("subject_id", days=pl.col("hours") / 24)
    table = (
        doses.group_by("subject_id", "drug", "channel", maintain_order=True)
        .agg(numerator=pl.len().cast(pl.Float64))
        .join(days, on="subject_id")
        .select("subject_id", "drug", "channel", "numerator", denominator="days")
    )
    return Measure(
        "compliance", "boluses_per_day", "ratio", table,
        "boluses / monitored days; a bolus is counted, never taken or missed", "/d",
        "not assessable: no boluses were received",
    )  # fmt: skip


def _commanded(rows: ClassRows) -> list[Measure]:
    doses = rows.doses(
        ["programmed_amount", "delivered_amount", "programmed_basis", "trigger", "shape"], ["bolus", "basal_segment"]
    ).filter((pl.col("trigger") == "algorithm") & (pl.col("programmed_basis") == "reported"))
    doses = doses.filter(pl.col("delivered_amount").is_not_null() & pl.col("programmed_amount").is_not_null())
    measures = []
    for name, every in (("hour", "1h"), ("day", "1d")):
        sums = doses.group_by(
            "subject_id", "drug", "channel", pl.col("start_local").dt.truncate(every).alias("at")
        ).agg(programmed=pl.col("programmed_amount").sum(), delivered=pl.col("delivered_amount").sum())
        sums = sums.sort("subject_id", "drug", "channel", "at", nulls_last=True).filter(pl.col("programmed") > 0)
        error = 100 * (pl.col("delivered") - pl.col("programmed")) / pl.col("programmed")
        measures.append(
            Measure(
                "accuracy",
                f"commanded_{name}_error_pct",
                "values",
                valued(sums, error),
                f"delivered against commanded amount of the algorithm's doses per {name}",
                "%",
                "not assessable: no dose of the algorithm has the amount it commanded",
            )  # fmt: skip
        )
    return measures


def _active(rows: ClassRows) -> Measure:
    events = rows.table("device_event", ["event", "start_local", "detail"])
    said = pl.col("detail").str.to_lowercase()
    on = pl.col("event").is_in(ALGORITHM_ON) | ((pl.col("event") == "mode_change") & (said == "algorithm on"))
    off = pl.col("event").is_in(ALGORITHM_OFF) | ((pl.col("event") == "mode_change") & (said == "algorithm off"))
    turns = events.with_columns(on=on.fill_null(False), off=off.fill_null(False)).filter(pl.col("on") | pl.col("off"))
    limits = rows.monitored()
    ends = limits.group_by("subject_id").agg(last=pl.col("end").max())
    spans = (
        turns.sort("subject_id", "start_local")
        .with_columns(next=pl.col("start_local").shift(-1).over("subject_id"))
        .filter("on")
        .join(ends, on="subject_id")
        .select("subject_id", start="start_local", end=pl.coalesce("next", "last"))
    )
    return Measure(
        "compliance", "algorithm_active_share", "share", hours_within(spans, limits),
        "hours with the algorithm on / monitored hours",
        missing="not assessable: no events say when the algorithm was switched on and off",
    )  # fmt: skip


def _range(rows: ClassRows) -> list[Measure]:
    """Sensor coverage, and time in range of the protocol's vital where coverage suffices."""
    vital = rows.view.protocol.vital
    if vital is None:
        return []
    readings = rows.view.frames("observation", ["subject_id", "code", "observed_at", "value", "unit", "valid"]).filter(
        (pl.col("code") == vital.code) & pl.col("value").is_not_null() & pl.col("valid").fill_null(True)
    )
    readings = readings.with_columns(pl.col("subject_id").cast(pl.String), drug=pl.lit(None, pl.String)).with_columns(
        channel=pl.lit(None, pl.String), slot=pl.col("observed_at").dt.truncate(f"{vital.every_min}m")
    )
    of_class = readings.join(rows.monitored(), on="subject_id").filter(
        (pl.col("observed_at") >= pl.col("start")) & (pl.col("observed_at") < pl.col("end"))
    )
    expected = hours_of(rows.monitored()).select("subject_id", expected=pl.col("hours") * 60 / vital.every_min)
    seen = of_class.group_by("subject_id").agg(seen=pl.col("slot").n_unique().cast(pl.Float64))
    coverage = seen.join(expected, on="subject_id").sort("subject_id")
    table = without_series(coverage, pl.min_horizontal("seen", "expected"), pl.col("expected"))
    enough = coverage.filter(pl.col("seen") >= vital.least_coverage * pl.col("expected"))["subject_id"].to_list()
    inside = pl.col("value").is_between(vital.low, vital.high)
    label = f"{vital.code} {vital.low:g} to {vital.high:g} {vital.unit}"
    return [
        Measure(
            "compliance", "sensor_coverage", "share", table,
            f"{vital.every_min}-minute slots with a valid {vital.code} / slots of monitored time",
            missing=f"not assessable: no {vital.code} was received",
        ),
        Measure(
            "accuracy", "time_in_range", "share",
            counted(of_class.filter(pl.col("subject_id").is_in(enough) & (pl.col("unit") == vital.unit)), inside),
            f"valid readings with {label}; subjects with coverage of {vital.least_coverage:.0%} or more",
            missing=f"not assessable: no subject has {vital.least_coverage:.0%} of the expected {vital.code} readings",
        ),
    ]  # fmt: skip
