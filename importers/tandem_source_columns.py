"""Long lists of decoded Tandem events, whole columns at a time: sensor values, commanded rates and housekeeping are
nine of ten events and need no look at each; the others are read one by one (importers.tandem_source).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from importers.json_rows import LINE, JsonRows, read_rows
from importers.moment_frames import iso_moments

if TYPE_CHECKING:
    import polars as pl

RATE_CHANGE, BASAL_DELIVERY = 3, 279
GLUCOSE = (198, 256, 372, 399, 480)
_NUMBERS = (
    "event_id", "seq", "glucose_mgdl", "current_glucose_display_value", "commanded_rate_mu", "commanded_rate",
    "commanded_basal_rate", "commanded_source", "commanded_rate_source",
)  # fmt: skip
_NEEDED = ("event_id", "event_name", "seq", "timestamp")
_NESTED = (b'"data"', b'"eventProperties"', b'"raw_event"', b'"estimatedDateTime"', b'"pumpDateTime"')
_HEAD = 65_536
_SMALLEST_THOUSANDTHS = 50


@dataclass
class EventColumns:
    """``every``: line, seq and at of each event; ``rates``: line and rate (U/h, NULL is missing) of commanded rates;
    ``glucose``: line, seq, at and value (mg/dL, NULL is missing); ``rest``: events to be read one by one.
    """

    every: pl.DataFrame
    rates: pl.DataFrame
    glucose: pl.DataFrame
    rest: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    housekeeping: int = 0
    is_automatic: bool = False


def read_event_columns(path: Path, read_singly: Sequence[int]) -> EventColumns | None:
    """The events of a file that is one list of flat records; None for any other layout, which Python reads.

    ``read_singly``: numbers of events that give rows by themselves.
    """
    import polars as pl

    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    is_list = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if (
        not is_list
        or any(name in head for name in _NESTED)
        or not all(f'"{name}"'.encode() in head for name in _NEEDED)
    ):
        return None
    rows = read_rows(path, (), (), _NUMBERS)
    # Readers of the log spell one name in several ways.
    plain = {re.sub("_", "", name): name for name in _NUMBERS}
    spelt = {
        name: plain[found] for name in rows.frame.columns if (found := re.sub(r"[^a-z0-9]", "", name.lower())) in plain
    }
    if len(set(spelt.values())) < len(spelt):
        return None
    rows.frame = rows.frame.rename(spelt)
    if rows.broken or any(not rows.has(name) for name in _NEEDED) or rows.has("estimatedDateTime"):
        return None
    moments = iso_moments(rows.column(rows.text("timestamp")))
    if moments["offset_min"].len() > moments["offset_min"].null_count() or moments["utc"].null_count() < moments.height:
        return None
    frame = rows.frame.select(
        LINE, number=rows.number("event_id").cast(pl.Int64), seq=rows.number("seq").cast(pl.Int64)
    ).with_columns(at=moments["local"])
    whole = frame.select(pl.all_horizontal(pl.col("number", "seq", "at").is_not_null())).to_series()
    number = frame["number"]
    is_rate, is_glucose = (number.is_in([RATE_CHANGE, BASAL_DELIVERY]), number.is_in(list(GLUCOSE)))
    singly = number.is_in(list(read_singly)) & ~is_rate & ~is_glucose
    rest = (~whole | singly).fill_null(True)
    glucose = pl.coalesce(rows.number("glucose_mgdl"), rows.number("current_glucose_display_value"))
    told = frame.with_columns(
        value=rows.column(glucose), rate=rows.column(_rate(rows)), by_algorithm=rows.column(_by_algorithm(rows))
    )
    rated = told.filter(whole & is_rate)
    return EventColumns(
        every=frame.filter(whole).select(LINE, "seq", "at"),
        rates=rated.select(LINE, "rate"),
        glucose=told.filter(whole & is_glucose).select(LINE, "seq", "at", "value"),
        rest=list(rows.records(rest)),
        housekeeping=told.filter(whole & ~is_rate & ~is_glucose & ~singly).height,
        is_automatic=bool(rated.filter(pl.col("number") == BASAL_DELIVERY)["by_algorithm"].any()),
    )


def _rate(rows: JsonRows) -> pl.Expr:
    """Rate in U/h; event 279 states thousandths, readers may have divided already. The smallest rate a pump takes is
    100 thousandths, the largest 15 U/h.
    """
    import polars as pl

    stated = rows.number("commanded_rate")
    delivered = pl.coalesce(
        rows.number("commanded_rate_mu") / 1000,
        pl.when(stated >= _SMALLEST_THOUSANDTHS).then(stated / 1000).otherwise(stated),
    )
    changed = pl.coalesce(rows.number("commanded_basal_rate"), stated)
    return pl.when(pl.col("event_id").cast(pl.Float64) == BASAL_DELIVERY).then(delivered).otherwise(changed)


def _by_algorithm(rows: JsonRows) -> pl.Expr:
    import polars as pl

    return pl.coalesce(rows.number("commanded_source"), rows.number("commanded_rate_source")).is_in([3.0, 4.0])
