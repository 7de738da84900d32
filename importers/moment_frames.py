"""Moments of whole columns: what ``importers.moments`` reads one by one, as struct columns.

A moment is a struct of ``local``, ``utc``, ``offset_min`` (NULL where the text does not give them), ``offset_source``
and ``precision``; a NULL ``local`` is no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from importers.moments import UTC_NOTE, Moment, read_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from importers.device_log import DeviceLog

_HEAD = "%Y-%m-%dT%H:%M:%S"
_HEAD_LENGTH = 19
_EPOCH_FROM_MS = 100_000_000_000
_FURTHEST_MIN = 14 * 60
_FEW = 4_000


def moment_schema() -> dict[str, Any]:
    import polars as pl

    return {
        "local": pl.Datetime("us"),
        "utc": pl.Datetime("us"),
        "offset_min": pl.Int64,
        "offset_source": pl.String,
        "precision": pl.String,
    }


def iso_moments(texts: pl.Series) -> pl.DataFrame:
    """ISO 8601 texts -> the columns of a moment. The common spelling is read by its parts, every other text once."""
    import polars as pl

    rest = texts.str.slice(_HEAD_LENGTH)
    endings = rest.unique().drop_nulls()
    local = texts.str.slice(0, _HEAD_LENGTH).str.replace(" ", "T", literal=True).str.to_datetime(_HEAD, strict=False)
    frame = pl.DataFrame({"text": texts, "rest": rest, "local": local.cast(pl.Datetime("us"))})
    if endings.len() > _FEW:
        frame = frame.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("local"))
        endings = endings.clear()
    tails = [(ending, *_tail(ending)) for ending in endings.to_list()]
    schema = {"rest": pl.String, "micro": pl.Int64, "zone": pl.Int64, "known": pl.Boolean}
    frame = frame.join(
        pl.DataFrame(tails, schema=schema, orient="row"), on="rest", how="left", maintain_order="left"
    ).with_columns(local=pl.when("known").then(pl.col("local") + pl.duration(microseconds="micro")))
    fast = frame.select(
        "local",
        utc=pl.col("local") - pl.duration(minutes=pl.col("zone").fill_null(0).replace(_Z, 0))
        if frame["zone"].null_count() == 0
        else pl.when(pl.col("zone").is_not_null()).then(
            pl.col("local") - pl.duration(minutes=pl.col("zone").replace(_Z, 0))
        ),
        offset_min=pl.when((pl.col("zone") != _Z) & pl.col("local").is_not_null()).then("zone"),
        offset_source=pl.when((pl.col("zone") != _Z) & pl.col("local").is_not_null())
        .then(pl.lit("file"))
        .otherwise(pl.lit("none")),
        precision=pl.lit("second"),
    )
    odd = frame["local"].is_null() & texts.is_not_null()
    if not odd.any():
        return fast
    known = {text: read_iso(text) for text in texts.filter(odd).unique().to_list()}
    rows = pl.DataFrame([{"text": text, **_columns(found)} for text, found in known.items()],
                        schema={"text": pl.String, **moment_schema()})  # fmt: skip
    slow = frame.select("text").join(rows, on="text", how="left", maintain_order="left").drop("text")
    return pl.DataFrame([
        pl.select(pl.when(odd).then(slow[name]).otherwise(fast[name]).alias(name)).to_series() for name in fast.columns
    ])  # fmt: skip


_Z = 100_000
"""Stands for Z in a column of offsets: UTC, and no local offset."""


def _tail(text: str) -> tuple[int | None, int | None, bool]:
    """Microseconds and offset of what follows the seconds of a time; not known where it is neither."""
    found = read_iso(f"2000-01-01T00:00:00{text}")
    if found is None:
        return None, None, False
    zone = found.offset_min if found.offset_min is not None else _Z if found.utc is not None else None
    return found.local.microsecond, zone, True


def _columns(found: Moment | None) -> dict[str, Any]:
    if found is None:
        return {"offset_source": "none", "precision": "second"}
    return {
        "local": found.local,
        "utc": found.utc,
        "offset_min": found.offset_min,
        "offset_source": found.offset_source,
        "precision": found.precision,
    }


def epoch_utc(number: pl.Expr) -> pl.Expr:
    """Seconds or milliseconds since 1970 (a double) -> UTC; NULL where it is no positive number."""
    import polars as pl

    ms = pl.when(number >= _EPOCH_FROM_MS).then(number).otherwise(number * 1000)
    return pl.when((number > 0) & (ms < 2.5e14)).then(ms.round()).cast(pl.Int64).cast(pl.Datetime("ms")).cast(
        pl.Datetime("us")
    )  # fmt: skip


def utc_moments(utc: pl.Series) -> pl.DataFrame:
    """UTC alone -> the columns of a moment."""
    import polars as pl

    return pl.DataFrame({"local": utc, "utc": utc}).with_columns(
        offset_min=pl.lit(None, dtype=pl.Int64), offset_source=pl.lit("none"), precision=pl.lit("second")
    )


def first_moments(candidates: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """For each row the first candidate that is a time."""
    import polars as pl

    first, *others = candidates
    for other in others:
        take = first["local"].is_null()
        if not take.any():
            break
        first = pl.DataFrame([
            pl.select(pl.when(take).then(other[name]).otherwise(first[name]).alias(name)).to_series()
            for name in first.columns
        ])  # fmt: skip
    return first


def at_offsets(moments: pl.DataFrame, minutes: pl.Series, source: str = "file") -> pl.DataFrame:
    """Local time of moments in UTC whose offset stands beside them; unchanged where either is missing."""
    import polars as pl

    frame = moments.with_columns(minutes.cast(pl.Float64).cast(pl.Int64, strict=False).alias("stated"))
    used = pl.col("utc").is_not_null() & pl.col("stated").is_not_null() & (pl.col("stated").abs() <= _FURTHEST_MIN)
    return frame.with_columns(
        local=pl.when(used).then(pl.col("utc") + pl.duration(minutes="stated")).otherwise("local"),
        offset_min=pl.when(used).then("stated").otherwise("offset_min"),
        offset_source=pl.when(used).then(pl.lit(source)).otherwise("offset_source"),
    ).drop("stated")


def in_zones(moments: pl.DataFrame, log: DeviceLog, zone: str | None) -> pl.DataFrame:
    """Local time of moments known in UTC only, in the [[source]]'s IANA zone; without one UTC stands as shown."""
    import polars as pl

    bare = pl.col("utc").is_not_null() & pl.col("offset_min").is_null()
    if not moments.select(bare.any()).item():
        return moments
    if zone is None:
        log.note(UTC_NOTE)
        return moments
    shown = pl.col("utc").dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    offset = ((shown - pl.col("utc")).dt.total_seconds() / 60).round().cast(pl.Int64)
    return moments.with_columns(
        local=pl.when(bare).then(pl.col("utc") + pl.duration(minutes=offset)).otherwise("local"),
        offset_min=pl.when(bare).then(offset).otherwise("offset_min"),
        offset_source=pl.when(bare).then(pl.lit("coordinator")).otherwise("offset_source"),
    )


def start_columns() -> list[pl.Expr]:
    """The time columns of a dose that starts at the moment whose columns stand in the frame."""
    import polars as pl

    return [
        pl.col("local").alias("start_local"),
        pl.col("utc").alias("start_utc"),
        pl.col("precision").alias("start_precision"),
        pl.col("offset_min").alias("utc_offset_min"),
        pl.col("offset_source"),
    ]
