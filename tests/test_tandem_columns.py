"""Long lists of Tandem events are read by columns; whatever one of them looks like, its rows are those that reading
every event by itself gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pump_logs import assert_accounted, parse, rejected, rows

from importers import tandem_source
from importers.base import Parsed


def events() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(400):
        shared = {"timestamp": f"2026-03-{1 + number // 288:02}T{number % 288 // 12:02}:{number % 12 * 5:02}:00"}
        if number % 2:
            kind = {"event_id": 256, "event_name": "CGM", "glucose_mgdl": 90 + number % 60}
        elif number % 20:
            kind = {"event_id": 279, "event_name": "BasalDelivery", "commanded_rate_mu": 500 + number}
        else:
            kind = {"event_id": 20, "event_name": "BolusCompleted", "bolus_id": number + 1, "insulin_requested": 1.25,
                    "insulin_delivered": 1.25, "completion_status": 3, "bits": [1, 2]}  # fmt: skip
        made.append({"seq": number + 1, **shared, **kind})
    return made


def found(parsed: Parsed) -> dict[str, list[dict[str, Any]]]:
    """What the rows state, table by table; the device is called after the file."""
    tables = {}
    for table, frame in parsed.tables.items():
        assert isinstance(frame, pl.DataFrame)
        stated = [{k: v for k, v in row.items() if k != "device_id" and v is not None} for row in frame.to_dicts()]
        tables[table] = sorted(stated, key=lambda row: (row["line"], str(row)))
    return tables


def read_both(folder: Path, records: list[Any]) -> tuple[Parsed, Parsed]:
    """The events as they are, and with one unused member that makes Python read every event by itself."""
    text = json.dumps(records)
    whole = parse(tandem_source.IMPORTER, folder, text, name="events.json")
    single = parse(tandem_source.IMPORTER, folder, text.replace("{", '{"eventProperties": {}, ', 1), name="single.json")
    assert_accounted(whole)
    return whole, single


CHANGES: dict[str, tuple[int, dict[str, Any]]] = {
    "as it is": (3, {}),
    "a value under another name": (301, {"glucose_mgdl": None, "glucoseMgDl": 77}),
    "a rate under another name": (302, {"commanded_rate_mu": None, "CommandedRateMu": 4_000}),
    "no value": (301, {"glucose_mgdl": None}),
    "no rate": (302, {"commanded_rate_mu": None}),
    "a number as text": (301, {"glucose_mgdl": "77"}),
    "a truth for a number": (301, {"glucose_mgdl": True}),
    "no time": (301, {"timestamp": None}),
    "no number": (301, {"event_id": None}),
    "text that looks like two records": (320, {"event_name": "a}, {b"}),
    "half a character": (320, {"event_name": "\ud800"}),
    "an object": (320, {"other": {"a": 1}}),
    "the last event": (399, {"event_id": 5, "alarm_id": 7, "list": [1]}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_events_by_columns_are_those_read_singly(name: str, tmp_path: Path) -> None:
    records = events()
    index, change = CHANGES[name]
    records[index] = {**records[index], **change}
    whole, single = read_both(tmp_path, records)
    assert found(whole) == found(single)
    assert sorted(row["line"] for row in rejected(whole)) == sorted(row["line"] for row in rejected(single))
    assert len([row for row in rows(whole) if row["kind"] == "bolus"]) == 20


def test_lists_in_other_spacing(tmp_path: Path) -> None:
    wide = json.dumps(events(), indent=2)
    tight = json.dumps(events(), separators=(",", ":"))
    plain = parse(tandem_source.IMPORTER, tmp_path, json.dumps(events()), name="plain.json")
    for text in (f"\ufeff {wide}\n", tight, tight.replace("},{", "},\n{", 1)):
        assert found(parse(tandem_source.IMPORTER, tmp_path, text, name="other.json")) == found(plain)
