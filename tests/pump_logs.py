"""Small pump exports written by hand, and what an importer and the store make of them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from importers.base import HEAD_BYTES, Importer, Parsed, ReadContext, Recognised, SourceFile
from store.accounting import FileCounts, count_rows
from store.facts import SourceFact
from store.protocol import Protocol, Source
from store.received import stage_received
from store.resolve import create_file_rank, resolve_table
from store.schema import create_all

CARELINK_600 = (
    "Index", "Date", "Time", "New Device Time", "BG Reading (mg/dL)", "Linked BG Meter ID", "Basal Rate (U/h)",
    "Temp Basal Amount", "Temp Basal Type", "Temp Basal Duration (h:mm:ss)", "Bolus Type", "Bolus Volume Selected (U)",
    "Bolus Volume Delivered (U)", "Bolus Duration (h:mm:ss)", "Prime Type", "Prime Volume Delivered (U)", "Alarm",
    "Suspend", "Rewind", "BWZ Estimate (U)", "BWZ Target High BG (mg/dL)", "BWZ Target Low BG (mg/dL)",
    "BWZ Carb Ratio (g/U)", "BWZ Insulin Sensitivity (mg/dL/U)", "BWZ Carb Input (grams)", "BWZ BG Input (mg/dL)",
    "BWZ Correction Estimate (U)", "BWZ Food Estimate (U)", "BWZ Active Insulin (U)", "Sensor Calibration BG (mg/dL)",
    "Sensor Glucose (mg/dL)", "ISIG Value", "Event Marker", "Bolus Number", "Bolus Cancellation Reason",
    "BWZ Unabsorbed Insulin Total (U)", "Final Bolus Estimate", "Scroll Step Size", "Insulin Action Curve Time",
    "Sensor Calibration Rejected Reason", "Preset Bolus", "Bolus Source", "Network Device Associated Reason",
    "Network Device Disassociated Reason", "Network Device Disconnected Reason", "Sensor Exception",
    "Preset Temp Basal Name",
)  # fmt: skip

SHORT = {
    "new": "New Device Time", "bg": "BG Reading (mg/dL)", "basal": "Basal Rate (U/h)",
    "temp": "Temp Basal Amount", "temp_type": "Temp Basal Type", "temp_time": "Temp Basal Duration (h:mm:ss)",
    "type": "Bolus Type", "selected": "Bolus Volume Selected (U)", "delivered": "Bolus Volume Delivered (U)",
    "length": "Bolus Duration (h:mm:ss)", "prime": "Prime Type", "primed": "Prime Volume Delivered (U)",
    "alarm": "Alarm", "suspend": "Suspend", "rewind": "Rewind", "advice": "BWZ Estimate (U)",
    "carbs": "BWZ Carb Input (grams)", "calibration": "Sensor Calibration BG (mg/dL)",
    "sg": "Sensor Glucose (mg/dL)", "marker": "Event Marker", "number": "Bolus Number",
    "reason": "Bolus Cancellation Reason", "source": "Bolus Source", "final": "Final Bolus Estimate",
}  # fmt: skip

Row = Mapping[str, Any]


def entry(when: str, **values: Any) -> dict[str, Any]:
    """A row of a CareLink table: ``when`` is ``YYYY-MM-DD hh:mm:ss``, values by their short names."""
    day, _, clock = when.partition(" ")
    return {"Date": day.replace("-", "/"), "Time": clock} | {SHORT[name]: value for name, value in values.items()}


def bolus(when: str, number: int, amount: float, given: float | None = None, **values: Any) -> dict[str, Any]:
    """A programmed row, or with ``given`` the delivered row of a bolus."""
    kind, source = values.pop("type", "Normal"), values.pop("source", "BOLUS_WIZARD")
    return entry(when, number=number, selected=amount, delivered=given, type=kind, source=source, **values)


def carelink_table(
    rows: Iterable[Row], *, columns: Sequence[str] = CARELINK_600, separator: str = ",", first_index: int = 0
) -> str:
    """Header and rows, newest first as CareLink writes them; rows are given oldest first."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    for index, row in enumerate(reversed(list(rows)), start=first_index):
        values = {"Index": index, **row}
        writer.writerow(["" if values.get(name) is None else values[name] for name in columns])
    return out.getvalue()


def source(**keys: Any) -> Source:
    """A [[source]]; its format does not matter to an importer that is called by itself."""
    return Source.model_validate({"name": "pumps", "pattern": "*", "format": "dose_log", **keys})


def parse(
    importer: Importer, folder: Path, content: str | bytes, *, name: str = "export.csv", source: Source | None = None
) -> Parsed:
    """Write, recognise and read a file."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return parse_file(importer, path, source=source)


def parse_file(importer: Importer, path: Path, *, source: Source | None = None) -> Parsed:
    """Recognise and read a file that exists."""
    data = path.read_bytes()
    recognised = importer.recognise(path.name, data[:HEAD_BYTES])
    assert isinstance(recognised, Recognised), recognised
    file = SourceFile(path, path.name, hashlib.sha256(data).hexdigest())
    protocol = Protocol.model_validate({"study": {"id": "S"}})
    return importer.parse(file, recognised, ReadContext(protocol, source, duckdb.connect()))


def rows(parsed: Parsed, table: str = "dose_event", **chosen: Any) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries, in time order; ``chosen``: column = value."""
    frame = parsed.tables.get(table)
    if frame is None:
        return []
    assert isinstance(frame, pl.DataFrame)
    for name, value in chosen.items():
        frame = frame.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    clock = next(
        (name for name in ("start_local", "observed_at", "recommended_at", "total_date") if name in frame.columns),
        "line",
    )
    return frame.sort(clock, "line").to_dicts()


def total(parsed: Parsed, column: str = "delivered_amount", **chosen: Any) -> Decimal:
    """Sum of an amount over doses that are doses."""
    found = [row[column] for row in rows(parsed, **chosen) if row.get("exclude_reason") is None]
    return sum((amount for amount in found if amount is not None), Decimal(0))


def rejected(parsed: Parsed) -> list[dict[str, Any]]:
    return [] if parsed.rejected is None else parsed.rejected.to_dicts()  # type: ignore[union-attr]


def everything(parsed: Parsed) -> str:
    """All text the importer hands over: no name of a person may be in it."""
    frames = [*parsed.tables.values(), *([parsed.rejected] if parsed.rejected is not None else [])]
    return "\n".join([*(str(frame.to_dicts()) for frame in frames), *parsed.notes, parsed.dataset])  # type: ignore[union-attr]


def stored(files: Sequence[Parsed]) -> tuple[duckdb.DuckDBPyConnection, list[FileCounts]]:
    """Files through the store's own identification, in the order received; current rows are in ``current_<table>``."""
    con = duckdb.connect()
    create_all(con)
    facts = [
        SourceFact(
            sha256=hashlib.sha256(str(number).encode()).hexdigest(),
            name="x",
            size=1,
            format=parsed.format,
            dataset=parsed.dataset,
            mode=parsed.mode,
            source_name=None,
            protocol_sha256="p",
            exported_utc=parsed.exported_utc,
            received_utc=dt.datetime(2030, 1, 1) + dt.timedelta(minutes=number),
        )
        for number, parsed in enumerate(files)
    ]
    received = stage_received(con, list(zip(facts, files, strict=True)))
    create_file_rank(con, tuple(facts))
    for name, table in received.tables.items():
        resolve_table(con, table)
        con.execute(
            f"CREATE TEMP TABLE current_{name} AS "
            f"SELECT * FROM {table.view} ANTI JOIN exc_{name} USING (source_id, line)"
        )
    counts = count_rows(con, received)
    return con, [counts[fact.source_id] for fact in facts]


def assert_accounted(parsed: Parsed) -> None:
    """Every line once: in tables or rejected, never both; rows_read counts them."""
    lines = {line for frame in parsed.tables.values() for line in frame["line"].to_list()}  # type: ignore[union-attr]
    refused = {row["line"] for row in rejected(parsed)}
    assert not lines & refused
    assert parsed.rows_read == len(lines) + len(refused)
