"""Tables of JAEB trials that were written from Tidepool data: Loop (``UTCDtTm``) and REPLACE-BG (days from enrolment).

Boluses and basal segments keep Tidepool's columns, so they are read as Tidepool's records are. REPLACE-BG has no dates:
``constants.start_local`` of its [[source]] states the day 0 of the days counted, without it nothing is dated and
nothing is read. Its durations are milliseconds where the row came from Tidepool and minutes where it came from Diasend,
which another table says; no bolus lasts a day and none a few seconds, so the size tells them apart. A basal segment
longer than a day is a rate carried over missing data: its amount is not known. A rate that is no number is a
suspension.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from importers.base import SourceFile, UnreadableFile
from importers.device_log import DeviceLog
from importers.jaeb_table import read_table
from importers.json_rows import LINE, JsonRows
from importers.moments import stated_zone
from importers.tidepool_rows import add_records
from importers.vendor_dates import clock_expr, moment_expr
from importers.vendor_text import number_expr

if TYPE_CHECKING:
    import polars as pl

    from importers.base import ReadContext

_MEMBERS = {
    "id": ("recid",),
    "utc": ("utcdttm",),
    "offset": ("timezoneoffset", "pttimezoneoffset"),
    "day": ("devicedttmdaysfromenroll", "hdevicedttmdaysfromenroll"),
    "clock": ("devicetm",),
    "sub": ("bolustype",),
    "how": ("basaltype",),
    "normal": ("normal",),
    "expectedNormal": ("expectednormal",),
    "extended": ("extended",),
    "expectedExtended": ("expectedextended",),
    "duration": ("duration",),
    "expectedDuration": ("expectedduration",),
    "rate": ("rate",),
    "suppressed": ("suprrate", "suppressedrate"),
}
_DAY_MIN = 1440
_SHORTEST_MS = 20_000
"""Between these two no duration is believed: no bolus takes longer than a day of minutes, none of milliseconds less."""
_DAY_MS = 86_400_000
_SUB = {"normal": "normal", "square": "square", "dual/square": "dual/square", "automated": "automated"}


def import_tidepool_table(file: SourceFile, log: DeviceLog, context: ReadContext) -> None:
    """Boluses or basal segments of one table; raises ``UnreadableFile`` where nothing dates its rows."""
    import polars as pl

    table = read_table(file, log, _MEMBERS, ("utc",))
    rows = table.rows
    is_basal = bool(rows["rate"].null_count() < rows.height or rows["how"].null_count() < rows.height)
    is_relative = rows["day"].null_count() < rows.height
    time = _relative(rows, log, file.name) if is_relative else moment_expr("utc", rows["utc"], table.order)
    stamp = time.dt.strftime("%Y-%m-%dT%H:%M:%S")
    shown = pl.coalesce("utc", pl.format("day {} {}", "day", "clock"))
    duration = _milliseconds("duration", is_basal=is_basal, is_mixed=is_relative)
    suspended = pl.col("how").str.to_lowercase().str.contains("suspend").fill_null(False)
    suspended |= pl.lit(is_basal) & (pl.col("rate").is_null() | pl.col("rate").str.to_lowercase().eq("nan"))
    how = pl.col("how").str.to_lowercase().fill_null("scheduled")
    mapped = (log.source_column("subject_id") or "").lower() == "ptid"
    frame = rows.select(
        LINE,
        type=pl.lit("basal" if is_basal else "bolus"),
        # What cannot be read stays as it is written, so that the row is rejected with it.
        time=pl.coalesce(stamp + pl.lit("Z"), shown),
        deviceTime=stamp if is_relative else pl.lit(None, pl.String),
        timezoneOffset=number_expr("offset"),
        deviceId=pl.format("ptid-{}", "person"),
        id=pl.format("{}-{}", "person", pl.coalesce("id", pl.lit(None, pl.String))),
        subType=pl.col("sub").str.to_lowercase().replace_strict(_SUB, default="normal", return_dtype=pl.String),
        deliveryType=pl.when(suspended).then(pl.lit("suspend")).otherwise(how),
        **{name: pl.col(name) for name in ("normal", "expectedNormal", "extended", "expectedExtended")},
        rate=pl.when(~suspended).then("rate"),
        duration=duration,
        expectedDuration=_milliseconds("expectedDuration", is_basal=is_basal, is_mixed=is_relative),
        suppressed=pl.when(pl.col("suppressed").is_not_null()).then(pl.format('{{"rate": {}}}', "suppressed")),
    ) if rows.height else rows  # fmt: skip
    nobody = rows.filter(pl.col("person").is_null())[LINE].to_list()
    for line in nobody:
        log.reject(line, "missing_value", "PtID: the participant is missing", field="PtID")
    frame = frame.filter(~pl.col(LINE).is_in(nobody))
    long = frame.filter(pl.col("duration").is_null()).height if is_basal else 0
    log.count(long, "are basal rates carried for more than a day or without a duration; their amounts are not known")
    if frame.height:
        subjects = rows.select(LINE, subject_id="person") if mapped else None
        add_records(JsonRows(frame), log, stated_zone(context), utc_known=not is_relative, subjects=subjects)


def _relative(rows: pl.DataFrame, log: DeviceLog, name: str) -> pl.Expr:
    import polars as pl

    stated = log.constants.get("start_local")
    try:
        first = dt.date.fromisoformat(stated or "")
    except ValueError:
        raise UnreadableFile(
            f"{name} has days counted from enrolment and no dates; nothing of it was taken.",
            remedy='State the day 0 in its [[source]] in protocol.toml: constants = { start_local = "2015-01-01" }.',
        ) from None
    log.note(f"The table has days from enrolment; they are counted from {first}, as the protocol states.")
    days = pl.duration(days=number_expr("day").round().cast(pl.Int64))
    seconds = pl.duration(seconds=clock_expr("clock", rows["clock"]))
    return pl.lit(dt.datetime.combine(first, dt.time())) + days + seconds


def _milliseconds(column: str, *, is_basal: bool, is_mixed: bool) -> pl.Expr:
    import polars as pl

    number = number_expr(column)
    if is_mixed and not is_basal:
        number = (
            pl.when(number <= _DAY_MIN).then(number * 60_000).when(number >= _SHORTEST_MS).then(number)
        )  # fmt: skip
    return pl.when(number <= _DAY_MS).then(number) if is_basal else number
