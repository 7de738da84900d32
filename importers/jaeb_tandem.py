"""Tandem tables of JAEB trials: boluses, commanded basal rates and glucose of DCLP3, DCLP5 and PEDAP.

Delivered amounts only: what was programmed is in no table. ``DataDtTm_adjusted`` wins where it stands, the other stamp
can be years off. A bolus is stamped when it was completed; only the later part of an extended one has a duration
(minutes), which the archive repeats on its first part. A commanded rate holds until the next one of the participant;
of two at one moment the larger counts, as the trials' own analysis took it. Suspensions are in no table, so delivery of
the commanded rate is as far as the archive says. Rows that are equal throughout are one entry written twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers.basal import derive_segments, segment_rows, silence_events
from importers.device_log import INSULIN_UNIT, DeviceLog
from importers.jaeb_table import read_table, refuse, repeated_rows, with_copies, with_devices, with_moment
from importers.vendor_text import amount_expr, number_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.base import SourceFile

TIMES = {"adjusted": ("datadttm_adjusted",), "at_text": ("devicedttm", "datadttm")}
BOLUS = {
    **TIMES,
    "number": ("recid",),
    "amount": ("bolusamount",),
    "kind_text": ("bolustype",),
    "duration": ("duration",),
    "portion": ("extendedbolusportion",),
    "carbs": ("carbamount",),
}
BASAL = {**TIMES, "number": ("recid",), "rate": ("commandedbasalrate", "basalrate")}
GLUCOSE = {**TIMES, "value": ("cgmvalue", "cgm"), "flag": ("highlowindicator",)}
_LABELS = {
    "person": "PtID", "at_text": "DataDtTm", "number": "RecID", "amount": "BolusAmount", "kind_text": "BolusType",
    "duration": "Duration", "portion": "ExtendedBolusPortion", "rate": "BasalRate", "value": "CGMValue",
}  # fmt: skip
_MAKER, _MODEL = "Tandem", "t:slim X2"
_STAMP = "%Y-%m-%dT%H:%M:%S"


def import_boluses(file: SourceFile, log: DeviceLog) -> None:
    """Boluses, extended ones in their parts."""
    import polars as pl

    table = read_table(file, log, BOLUS, ("at_text",))
    rows = table.rows.with_columns(at=with_moment(table, "at_text"))
    rows = refuse(rows, log, _LABELS, time="at_text", amounts=("amount", "duration", "carbs"), table="dose_event")
    blank = rows.filter(pl.col("amount").is_null())
    if blank.height:
        message = "BolusAmount: the amount is missing"
        log.reject_frame(
            blank.select("line", "person", "at_text"), "missing_value", message, field=None, label="BolusAmount"
        )
        rows = rows.filter(pl.col("amount").is_not_null())
    if rows.is_empty():
        return
    rows = with_devices(rows, log, _MAKER, _MODEL)
    kind, portion = pl.col("kind_text").str.to_lowercase().fill_null(""), pl.col("portion").str.to_lowercase()
    extended = kind.str.contains("extend|square|combo")
    later = (portion == "later").fill_null(extended & portion.is_null())
    now = (portion == "now").fill_null(False)
    automatic = kind.str.contains("auto")
    # The duration an archive states on the first part is that of the later one.
    seconds = pl.when(later).then((number_expr("duration") * 60).round().cast(pl.Int64))
    amounts = ["person", "at", "amount", "kind_text", "duration", "portion"]
    copies = repeated_rows(rows, [*amounts, "number"])
    doses = rows.filter(~pl.col("line").is_in(copies["copy"].implode())).with_columns(
        seconds=seconds,
        shape=pl.when(now)
        .then(pl.lit("dual_now"))
        .when(later & (pl.lit(table.rows["portion"].null_count() < table.rows.height)))
        .then(pl.lit("dual_later"))
        .when(later)
        .then(pl.lit("extended"))
        .when(automatic)
        .then(pl.lit("micro"))
        .otherwise(pl.lit("immediate")),
    )
    orphans = _orphans(doses)
    log.count(orphans, "are the later part of an extended bolus whose first part is in no row")
    unnumbered = pl.format(
        "bolus-{}-{}:{}", "shape", pl.col("at").dt.strftime(_STAMP), pl.col("amount").str.strip_chars()
    )
    doses = doses.with_columns(
        native_key=pl.coalesce(pl.concat_str(pl.lit("rec-"), "number"), unnumbered),
        kind=pl.lit("bolus"),
        trigger=pl.when(automatic).then(pl.lit("algorithm")).otherwise(pl.lit("user")),
        intent=pl.when(automatic).then(pl.lit("algorithm")).otherwise(pl.lit("as_needed")),
        start_local=pl.col("at") - pl.duration(seconds=pl.col("seconds").fill_null(0)),
        end_local="at",
        start_precision=pl.lit("second"),
        time_anchor=pl.lit("end"),
        delivered_amount=amount_expr("amount"),
        delivered_basis=pl.lit("reported"),
        programmed_basis=pl.lit("none"),
        amount_unit=pl.lit(INSULIN_UNIT),
        delivered_duration_s="seconds",
        status=pl.when(amount_expr("amount") == 0).then(pl.lit("none_delivered")).otherwise(pl.lit("completed")),
    )
    log.add("dose_event", with_copies(doses, copies))
    carbs = rows.filter(amount_expr("carbs") > 0)
    log.add(
        "observation",
        carbs.with_columns(
            code=pl.lit("carbohydrates"), observed_at="at", value=number_expr("carbs"), unit=pl.lit("g")
        ),
    )


def _orphans(doses: pl.DataFrame) -> int:
    import polars as pl

    later = doses.filter(pl.col("shape") == "dual_later").sort("at")
    if later.is_empty():
        return 0
    first = doses.filter(pl.col("shape") == "dual_now").select("person", "at", found=True).sort("at")
    matched = later.join_asof(first, on="at", by="person", strategy="backward", tolerance="12h", check_sortedness=False)
    return matched["found"].null_count()


def import_basal(file: SourceFile, log: DeviceLog) -> None:
    """Segments between commanded rates of each participant."""
    import polars as pl

    table = read_table(file, log, BASAL, ("at_text",))
    rows = table.rows.with_columns(at=with_moment(table, "at_text"))
    rows = refuse(rows, log, _LABELS, time="at_text", amounts=("rate",), table="dose_event")
    blank = rows.filter(pl.col("rate").is_null())
    if blank.height:
        log.reject_frame(
            blank.select("line", "person", "at_text"), "missing_value", "BasalRate is missing",
            field=None, label="BasalRate",
        )  # fmt: skip
        rows = rows.filter(pl.col("rate").is_not_null())
    if rows.is_empty():
        return
    rows = with_devices(rows, log, _MAKER, _MODEL).with_columns(
        rate=amount_expr("rate").cast(pl.Float64), running="at", seq=pl.int_range(pl.len(), dtype=pl.Int64)
    )
    copies = repeated_rows(rows, ["person", "at", "rate"])
    rows = rows.filter(~pl.col("line").is_in(copies["copy"].implode()))
    whole = rows.sort("rate", descending=True, maintain_order=True).unique(
        ["person", "at"], keep="first", maintain_order=True
    )
    log.count(rows.height - whole.height, "command another rate at the same moment; the larger one counts")
    used = 0
    for (device_id, subject), own in whole.sort("at").group_by("device_id", "subject_id", maintain_order=True):
        states = own.select("line", "seq", "at", "running", "rate").with_columns(
            suspended=pl.lit(None, pl.Boolean), automatic=pl.lit(None, pl.Boolean), reason=pl.lit(None, pl.String)
        )
        segments = segment_rows(
            derive_segments(pl.concat([states, silence_events(own)], how="diagonal")), str(device_id)
        )
        if segments.is_empty():
            continue
        # The archive says what was commanded by whom in no column: profile and algorithm look alike.
        segments = segments.with_columns(trigger=pl.lit("unknown"), subject_id=pl.lit(subject, pl.String))
        used += segments["line"].n_unique()
        log.add("dose_event", with_copies(segments, copies))
    log.count(whole.height - used, "state a basal rate that starts no time of its own")
    log.note("Suspensions are in no table of the archive: what was commanded is taken as delivered.")


def import_glucose(file: SourceFile, log: DeviceLog) -> None:
    """Sensor values; 0 is out of range, the indicator says on which side."""
    import polars as pl

    table = read_table(file, log, GLUCOSE, ("at_text",))
    rows = table.rows.with_columns(at=with_moment(table, "at_text"))
    rows = refuse(rows, log, _LABELS, time="at_text", amounts=("value",), table="observation")
    if rows.is_empty():
        return
    rows = with_devices(rows, log, _MAKER, _MODEL)
    value, flag = number_expr("value"), pl.col("flag").str.to_lowercase().fill_null("")
    outside = value.fill_null(0) <= 0
    high = flag.str.contains("high|^2")
    low = flag.str.contains("low|^1")
    log.add(
        "observation",
        rows.with_columns(
            code=pl.lit("glucose"),
            observed_at="at",
            value=pl.when(~outside).then(value),
            value_text=pl.when(outside & high)
            .then(pl.lit("above range"))
            .when(outside & low)
            .then(pl.lit("below range"))
            .when(outside)
            .then(pl.lit("out of range")),
            unit=pl.lit("mg/dL"),
        ),
    )
