"""Long lists of decoded Tandem events, whole columns at a time: sensor values, commanded rates and housekeeping are
nine of ten events and need no look at each; the others are read one by one (importers.tandem_source).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from importers.dataset_json import DOCUMENT_LIMIT
from importers.json_records import head_records, load_json
from importers.json_rows import LINE, JsonRows, has_truth, read_rows
from importers.moment_frames import iso_moments

if TYPE_CHECKING:
    import polars as pl

RATE_CHANGE, BASAL_DELIVERY = 3, 279
GLUCOSE = (198, 256, 372, 399, 480)
_NUMBERS = (
    "event_id", "seq", "glucose_mgdl", "current_glucose_display_value", "commanded_rate_mu", "commanded_rate",
    "commanded_basal_rate", "commanded_source", "commanded_rate_source",
)  # fmt: skip
_PLAIN = {name.replace("_", ""): name for name in _NUMBERS}
_NEEDED = ("event_id", "event_name", "seq", "timestamp")
_NESTED = (b'"data"', b'"eventProperties"', b'"raw_event"', b'"estimatedDateTime"', b'"pumpDateTime"')
_OTHERWISE = (b": {", b":{", b'DateTime"')
"""What stands in no file whose records are flat and state local times only."""
_HEAD = 65_536
_SMALLEST_THOUSANDTHS = 50
_BETWEEN = re.compile(rb"\}\s*,\s*\{")


@dataclass
class EventColumns:
    """``every``: line, seq and at of each event; ``rates``: line and rate (U/h) of commanded rates; ``glucose``: line,
    seq, at and value (mg/dL); ``rest``: events to be read one by one, among them those that state no such value.
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
    records = _read_used(path)
    rows = records.rows if records is not None else read_rows(path, (), (), _NUMBERS)
    spelt = {name: meant for name in rows.frame.columns if (meant := _meant(name)) is not None}
    if len(set(spelt.values())) < len(spelt):
        return None
    rows.frame = rows.frame.rename(spelt)
    if (
        rows.broken
        or any(not rows.has(name) for name in _NEEDED if name != "event_name")
        or rows.has("estimatedDateTime")
    ):
        return None
    moments = iso_moments(rows.column(rows.text("timestamp")))
    if moments["offset_min"].len() > moments["offset_min"].null_count() or moments["utc"].null_count() < moments.height:
        return None
    frame = rows.frame.select(
        LINE, number=rows.number("event_id").cast(pl.Int64), seq=rows.number("seq").cast(pl.Int64)
    ).with_columns(at=moments["local"])
    whole = frame.select(pl.all_horizontal(pl.col("number", "seq", "at").is_not_null())).to_series()
    told = frame.with_columns(
        value=rows.column(pl.coalesce(rows.number("glucose_mgdl"), rows.number("current_glucose_display_value"))),
        rate=rows.column(_rate(rows)),
        by_algorithm=rows.column(_by_algorithm(rows)),
    )
    number = frame["number"]
    is_rate, is_glucose = (number.is_in([RATE_CHANGE, BASAL_DELIVERY]), number.is_in(list(GLUCOSE)))
    singly = number.is_in(list(read_singly)) & ~is_rate & ~is_glucose
    # What states no value may spell its name as no other event does.
    silent = (is_rate & told["rate"].is_null()) | (is_glucose & told["value"].is_null())
    rest = (~whole | singly | silent).fill_null(True)
    rated = told.filter(whole & is_rate & ~silent)
    return EventColumns(
        every=frame.filter(whole).select(LINE, "seq", "at"),
        rates=rated.select(LINE, "rate"),
        glucose=told.filter(whole & is_glucose & ~silent).select(LINE, "seq", "at", "value"),
        rest=list(rows.records(rest)) if records is None else records.decoded(rest),
        housekeeping=told.filter(whole & ~is_rate & ~is_glucose & ~singly).height,
        is_automatic=bool(rated.filter(pl.col("number") == BASAL_DELIVERY)["by_algorithm"].any()),
    )


@dataclass
class _Used:
    """Members that are used, as columns, and each record as it stands in the file."""

    rows: JsonRows
    parts: list[bytes]

    def decoded(self, chosen: pl.Series) -> list[tuple[int, dict[str, Any]]]:
        found, last = [], len(self.parts) - 1
        for index in chosen.arg_true().to_list():
            text = self.parts[index].decode()
            # The first and the last part hold a bracket of the list.
            text = "{" + text if index else text.lstrip()[1:]
            record = load_json(text + "}" if index < last else text.rstrip()[:-1])
            found.append((index + 1, {name: value for name, value in record.items() if value is not None}))
        return found


def _read_used(path: Path) -> _Used | None:
    """A file of one shape all through, read without a first pass for its types and without the members nobody uses (a
    third of the time); None for any other.
    """
    import polars as pl

    if path.stat().st_size > DOCUMENT_LIMIT:
        return None
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    between = _BETWEEN.search(data)
    if between is None or any(sign in data for sign in _OTHERWISE) or has_truth(data, _NUMBERS):
        return None
    # Each member costs: of names nobody uses, none is read.
    schema: dict[str, Any] = {"timestamp": pl.String, **dict.fromkeys(_NUMBERS, pl.Float64)}
    for record in head_records(data[:_HEAD]):
        schema |= {name: pl.Float64 for name in record if _meant(name) is not None}
    try:
        frame = pl.read_json(data, schema=schema)
        # Each piece is a record where there are as many as records: no text holds what stands between two.
        parts = data.split(between.group())
    except pl.exceptions.PolarsError:
        return None
    if len(parts) != frame.height:
        return None
    used = [column for column in frame.columns if frame[column].null_count() < frame.height]
    return _Used(JsonRows(frame.select(used).with_row_index(LINE, offset=1).cast({LINE: pl.Int64})), parts)


def _meant(name: str) -> str | None:
    """The name by which a member is known here; readers of the log spell one name in several ways."""
    return _PLAIN.get(re.sub(r"[^a-z0-9]", "", name.lower()))


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
