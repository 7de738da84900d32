"""JSON read whole columns at a time gives what reading it record by record gives."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pump_logs import parse, rejected, source

from importers import loop_doses, nightscout, tandem_source, tidepool
from importers.base import Importer, Parsed
from importers.json_rows import read_rows, rows_of

sys.path.insert(0, str(Path(__file__).parent / "bench"))
import generate_device_logs as logs

PUMP = source(constants={"device_id": "pump-1"})
RECORDS = {
    "nightscout": (nightscout.IMPORTER, logs.nightscout),
    "tidepool": (tidepool.IMPORTER, logs.tidepool),
    "loop": (loop_doses.IMPORTER, logs.loop_doses),
}


def tables(parsed: Parsed) -> dict[str, list[dict[str, Any]]]:
    shown = {}
    for name, frame in parsed.tables.items():
        assert isinstance(frame, pl.DataFrame)
        columns = sorted(column for column in frame.columns if frame[column].null_count() < frame.height)
        rows = frame.select(columns).with_columns(pl.selectors.decimal().cast(pl.Float64))
        shown[name] = sorted(rows.to_dicts(), key=str)
    return shown


@pytest.mark.parametrize("format", RECORDS)
def test_columns_and_records_give_the_same_rows(tmp_path: Path, format: str) -> None:
    """An entry that is no object makes Python read the list; everything else must stay as it was."""
    importer, make = RECORDS[format]
    records = list(itertools.islice(make(200), 200))
    fast = parse(importer, tmp_path, json.dumps(records), name="fast.json", source=PUMP)
    slow = parse(importer, tmp_path, json.dumps([*records, 5]), name="slow.json", source=PUMP)
    assert tables(fast) == tables(slow)
    assert (rejected(fast), [row["line"] for row in rejected(slow)]) == ([], [201])


def test_tandem_events_in_a_list_and_in_a_capture(tmp_path: Path) -> None:
    events = [
        *logs.tandem_events(300),
        {"event_id": 279, "event_name": "BasalDelivery", "seq": 901, "timestamp": "never"},
    ]
    events += [{"event_id": 256, "event_name": "CGMDataGXB", "seq": 902, "timestamp": "2013-01-02T08:00:00"}]
    events += [{"event_id": 36, "event_name": "USBConnected", "seq": 903, "timestamp": "2013-01-02T08:01:00"}]
    events += [{"event_id": 11, "event_name": "Suspended", "seq": 904, "timestamp": "2013-01-02T09:01:00"}]
    importer: Importer = tandem_source.IMPORTER
    fast = parse(importer, tmp_path, json.dumps(events), name="list.json", source=PUMP)
    slow = parse(importer, tmp_path, json.dumps({"events": events}), name="capture.json", source=PUMP)
    assert tables(fast) == tables(slow)
    assert [(row["line"], row["reason"]) for row in rejected(fast)] == [
        (row["line"], row["reason"]) for row in rejected(slow)
    ]
    assert sorted(fast.notes) == sorted(slow.notes)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.decimals(-3, 3, places=2).map(float),
    st.sampled_from(["", "1.5", "x"]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"id": st.text("abc", min_size=1)}, optional={"amount": VALUES}), min_size=1))
def test_amounts_read_alike_whatever_stands_in_a_column(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    fast = read_rows(path, (), ("id", "amount"), ("amount",))
    slow = rows_of(enumerate(records, 1))
    for rows in (fast, slow):
        assert rows.column(rows.text("id")).to_list() == [record["id"] for record in records]
    for read in ("amount", "number", "given"):
        assert (
            fast.column(getattr(fast, read)("amount")).to_list() == slow.column(getattr(slow, read)("amount")).to_list()
        )
