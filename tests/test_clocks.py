"""Times of device clocks that were set, drifted, travelled or were lost, against the truth."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import zoneinfo
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clock_corpus import SCENARIOS, Device, make_device, with_folds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resolve import NoAnalysis

from importers.base import Parsed
from store.build import BuildInputs, ReleaseBuilder
from store.clock_epochs import ClockChange, ClockReading, derive_clock_epochs
from store.facts import Facts, SourceFact
from store.protocol_file import parse_protocol
from store.release_frames import read_frames

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Adelaide")
PROTOCOL = '[study]\nid = "T"\n' + "".join(f'[[site]]\nid = "{zone}"\ntime_zone = "{zone}"\n' for zone in ZONES)
NOW = dt.datetime(2024, 1, 1)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MINUTE = dt.timedelta(minutes=1)


def source(table: str, rows: list[dict[str, Any]]) -> tuple[SourceFact, Parsed]:
    frame = pl.DataFrame([{**row, "line": line} for line, row in enumerate(rows, start=2)], infer_schema_length=None)
    sha256 = (table.encode().hex() * 8)[:64]
    fact = SourceFact(sha256, f"{table}.csv", 1, "dose_log", table, "increment", None, "p", NOW, NOW)
    return fact, Parsed("dose_log", table, "increment", len(rows), {table: frame})


def build(folder: Path, devices: list[Device], doses: list[dict[str, Any]]) -> pl.DataFrame:
    """Dose events of a release: device, sequence or native key, times as shown and as put right."""
    subjects = [{"subject_id": f"S-{device.device_id}", "site_id": device.zone} for device in devices]
    assigned = [{"subject_id": f"S-{device.device_id}", "device_id": device.device_id} for device in devices]
    events = [event for device in devices for event in device.events]
    rows = [
        {"kind": "bolus", "start_precision": "second", "native_key": str(n), **dose} for n, dose in enumerate(doses)
    ]
    files = [
        source("subject", subjects),
        source("device_assignment_recorded", assigned),
        *([source("device_event", events)] if events else []),
        source("dose_event", rows),
    ]
    facts = Facts((), None, 0, "").with_sources([fact for fact, _ in files], "p")
    inputs = BuildInputs(facts, parse_protocol(PROTOCOL, Path("p")), [], 1, "0", NOW, NoAnalysis())
    path = folder / "trial.duckdb"
    path.unlink(missing_ok=True)
    with ReleaseBuilder(path) as builder:
        builder.finish(inputs, files)
        return read_frames(builder.con)("dose_event").sort("native_key")


@pytest.fixture(scope="module")
def corpus() -> list[Device]:
    random_ = random.Random(20_230_201)
    return [make_device(number, SCENARIOS[number % len(SCENARIOS)], random_) for number in range(60)]


@pytest.fixture(scope="module")
def by_sequence(corpus: list[Device], tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    doses = [dose for device in corpus for dose in device.doses]
    return judged(build(tmp_path_factory.mktemp("sequence"), corpus, doses), corpus)


def judged(found: pl.DataFrame, corpus: list[Device]) -> pl.DataFrame:
    truth = pl.DataFrame(
        [
            {"native_key": str(number), "scenario": device.scenario, "true_utc": device.truth[dose["device_seq"]],
             "zone": device.zone}
            for number, (device, dose) in enumerate((device, dose) for device in corpus for dose in device.doses)
        ]
    )  # fmt: skip
    both = found.join(truth, on="native_key")
    assert both.height == truth.height, "every dose is in the release, whatever its clock showed"
    error = (pl.col("start_utc") - pl.col("true_utc")).dt.total_milliseconds().abs() / 1000
    return both.with_columns(error_s=error, certain=pl.col("time_uncertain").fill_null(False).not_())


def test_recoverable_times_come_within_a_minute(by_sequence: pl.DataFrame) -> None:
    certain = by_sequence.filter("certain", pl.col("scenario") != "never set")
    within = (certain["error_s"] <= 60).sum() / certain.height
    assert certain.height > 15_000 and within >= 0.999
    # And what the log decides is not called uncertain to be on the safe side.
    share = by_sequence.filter(pl.col("scenario") != "never set").group_by("scenario").agg(pl.col("certain").mean())
    assert share["certain"].min() > 0.97, share


def test_corrections_give_the_right_local_time(by_sequence: pl.DataFrame) -> None:
    rows = by_sequence.filter("certain", pl.col("clock_rule").is_not_null())
    for row in rows.sample(500, seed=1).iter_rows(named=True):
        local = row["true_utc"].replace(tzinfo=dt.UTC).astimezone(zoneinfo.ZoneInfo(row["zone"])).replace(tzinfo=None)
        shown = row["start_local"] + dt.timedelta(seconds=row["clock_correction_s"])
        assert abs(shown - local) <= MINUTE
        assert row["start_utc"] + dt.timedelta(minutes=row["utc_offset_min"]) == shown or abs(
            row["start_utc"] + dt.timedelta(minutes=row["utc_offset_min"]) - shown
        ) <= dt.timedelta(seconds=1)
    assert set(rows["clock_rule"]) >= {"clock_set", "clock_chain", "clock_drift", "lost_clock"}


def test_without_numbers_the_order_of_the_source_is_enough(corpus: list[Device], tmp_path: Path) -> None:
    kept = [device for device in corpus if device.scenario in ("kept", "travel")]
    found = judged(build(tmp_path, kept, [dose for device in kept for dose in with_folds(device)]), kept)
    certain = found.filter("certain")
    assert (certain["error_s"] <= 60).sum() / certain.height >= 0.999 and certain.height / found.height > 0.97


def test_without_numbers_and_order_a_time_shown_twice_is_uncertain(corpus: list[Device], tmp_path: Path) -> None:
    kept = [device for device in corpus if device.scenario == "travel"]
    doses = [{**dose, "fold": None} for device in kept for dose in with_folds(device)]
    twice = {
        number for number, dose in enumerate(dose for d in kept for dose in with_folds(d)) if dose["fold"] is not None
    }
    found = judged(build(tmp_path, kept, doses), kept)
    assert twice and not found.filter(pl.col("native_key").cast(pl.Int64).is_in(list(twice)))["certain"].any()


def test_trap_24_a_lost_clock_that_nobody_set_right_keeps_the_dose_and_marks_it(tmp_path: Path) -> None:
    device = Device("D1", "Europe/Berlin", "lost for good")
    shown = [dt.datetime(2023, 5, 1, 8), dt.datetime(2023, 5, 2, 8), dt.datetime(2007, 1, 1, 0, 4)]
    doses = [{"device_id": "D1", "device_seq": seq, "start_local": at} for seq, at in enumerate(shown, start=1)]
    found = build(tmp_path, [device], doses)
    lost = found.row(2, named=True)
    assert (lost["start_utc"], lost["time_uncertain"], lost["clock_rule"]) == (None, True, "entry_before")
    assert lost["start_local"] + dt.timedelta(seconds=lost["clock_correction_s"]) == shown[1]


def test_trap_20_the_repeated_hour_is_ordered_by_the_devices_numbers(tmp_path: Path) -> None:
    # A clock that follows the zone by itself: 02:45 summer time, then 02:10 winter time.
    shown = ["01:30", "02:45", "02:10", "02:50", "03:30"]
    doses = [
        {"device_id": "D1", "device_seq": seq, "start_local": dt.datetime.fromisoformat(f"2023-10-29T{clock}")}
        for seq, clock in enumerate(shown, start=1)
    ]
    found = build(tmp_path, [Device("D1", "Europe/Berlin", "kept")], doses)
    utc = [moment.strftime("%H:%M") for moment in found["start_utc"]]
    assert utc == ["23:30", "00:45", "01:10", "01:50", "02:30"]
    assert found["time_uncertain"].to_list() == [None] * 5


def change(old: str, new: str, seq: int) -> ClockChange:
    return ClockChange(dt.datetime.fromisoformat(old), dt.datetime.fromisoformat(new), seq)


def test_a_journey_and_a_wrong_clock_look_the_same_and_are_not_told_apart() -> None:
    epochs = derive_clock_epochs(
        [change("2023-05-01T12:00", "2023-05-01T06:00", 10)], BERLIN, first_local=dt.datetime(2023, 4, 20)
    )
    assert [epoch.certain for epoch in epochs] == [False, False]


def test_a_reading_beside_utc_decides() -> None:
    reading = ClockReading(dt.datetime(2023, 5, 3, 6), dt.datetime(2023, 5, 3, 10), 20)
    epochs = derive_clock_epochs(
        [change("2023-05-01T12:00", "2023-05-01T06:00", 10)], BERLIN, [reading], dt.datetime(2023, 4, 20)
    )
    assert [(epoch.shift_s / 3600, epoch.certain) for epoch in epochs][:2] == [(2, True), (-4, True)]


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(SCENARIOS[:4]))
def test_epochs_cover_every_entry_once(seed: int, scenario: str) -> None:
    device = make_device(0, scenario, random.Random(seed), doses=60)
    changes = []
    for event in device.events:
        stated = json.loads(event["detail"])
        changes.append(change(stated["old_local"], stated["new_local"], event["device_seq"]))
    epochs = derive_clock_epochs(changes, zoneinfo.ZoneInfo(device.zone), first_local=dt.datetime(2023, 2, 1))
    lost_until = max((epoch.to_local for epoch in epochs if epoch.lost and epoch.to_local), default=dt.datetime.min)
    for dose in device.doses:
        inside = [
            epoch
            for epoch in epochs
            if epoch.lost == (dose["start_local"] <= lost_until)
            and (epoch.from_seq is None or dose["device_seq"] > epoch.from_seq)
            and (epoch.to_seq is None or dose["device_seq"] <= epoch.to_seq)
        ]
        assert len(inside) == 1
    for left, right in itertools.pairwise(epoch for epoch in epochs if not epoch.lost):
        assert left.to_seq == right.from_seq
