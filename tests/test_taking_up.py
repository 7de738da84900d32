"""Rows that must wait are kept and taken up when what they lack arrives; local times become UTC by the site's zone."""

from __future__ import annotations

import datetime as dt
import os
import zoneinfo
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from studies import FEW, PROTOCOL, DataSet, few_files, new_study, query, trial_file
from test_resolve import NoAnalysis

from importers.base import Parsed
from store.build import BuildInputs, Built, ReleaseBuilder
from store.facts import Facts, SourceFact
from store.protocol_file import parse_protocol
from store.release_frames import read_frames
from store.study import Study
from tui.pipeline import import_paths
from tui.rebuilding import rebuild
from tui.report import ImportReport

PROTOCOL_TEXT = PROTOCOL.read_text()
NEW_YEAR = dt.datetime(2026, 1, 1)


def received(number: int, table: str, rows: list[dict[str, Any]], day: int = 0) -> tuple[SourceFact, Parsed]:
    """A file with these rows for one table, exported on that day of January."""
    when = NEW_YEAR + dt.timedelta(days=day)
    sha256 = f"{number:064x}"[::-1]
    fact = SourceFact(sha256, f"{table}{number}.csv", 1, "dose_log", table, "increment", None, "p", when, when)
    frame = pl.DataFrame([{**row, "line": line} for line, row in enumerate(rows, start=2)], infer_schema_length=None)
    return fact, Parsed("dose_log", table, "increment", len(rows), {table: frame})


def build(folder: Path, protocol: str, *files: tuple[SourceFact, Parsed]) -> tuple[Built, pl.DataFrame]:
    """Dose events, and what became of every file."""
    path = folder / "trial.duckdb"
    path.unlink(missing_ok=True)
    recorded = parse_protocol(protocol, Path("protocol.toml"))
    facts = Facts((), None, 0, "").with_sources([fact for fact, _ in files], "p")
    inputs = BuildInputs(facts, recorded, [], 1, "0", NEW_YEAR, NoAnalysis())
    with ReleaseBuilder(path) as builder:
        built = builder.finish(inputs, files)
        return built, read_frames(builder.con)("dose_event")


def dose(**columns: Any) -> dict[str, Any]:
    return {"kind": "injection", "start_local": NEW_YEAR, "start_precision": "minute", **columns}


PLAIN = '[study]\nid = "T"\n'
SUBJECTS = received(1, "subject", [{"subject_id": "S1", "site_id": "B"}, {"subject_id": "S2", "site_id": "B"}])


def test_a_dose_without_a_subject_gets_the_one_who_had_the_device_that_day(tmp_path: Path) -> None:
    doses = received(
        2, "dose_event", [dose(device_id="D1", start_local=NEW_YEAR + dt.timedelta(days=day)) for day in (0, 9, 10, 30)]
    )
    built, rows = build(tmp_path, PLAIN, SUBJECTS, doses)
    assert rows.height == 0
    assert built.counts[doses[0].source_id].quarantined == 4
    assigned = received(
        3,
        "device_assignment_recorded",
        [
            {
                "device_id": "D1",
                "subject_id": "S1",
                "start_date": dt.date(2026, 1, 1),
                "end_date": dt.date(2026, 1, 10),
            },
            {
                "device_id": "D1",
                "subject_id": "S2",
                "start_date": dt.date(2026, 1, 11),
                "end_date": dt.date(2026, 1, 20),
            },
        ],
    )
    built, rows = build(tmp_path, PLAIN, SUBJECTS, doses, assigned)
    assert rows.select("subject_id", "line").rows() == [("S1", 2), ("S1", 3), ("S2", 4)]
    assert built.counts[doses[0].source_id].quarantined == 1
    assert built.counts[doses[0].source_id].new == 3


def test_a_device_that_two_had_the_same_day_is_nobodys(tmp_path: Path) -> None:
    doses = received(2, "dose_event", [dose(device_id="D1")])
    both = [{"device_id": "D1", "subject_id": name, "start_date": dt.date(2026, 1, 1)} for name in ("S1", "S2")]
    built, rows = build(tmp_path, PLAIN, SUBJECTS, doses, received(3, "device_assignment_recorded", both))
    assert rows.height == 0
    assert built.counts[doses[0].source_id].quarantined == 1


def test_the_newest_export_says_what_a_device_is(tmp_path: Path) -> None:
    old = received(2, "device_property", [_property(9, "SERIAL", "OLD"), _property(1, "DEVTYPE", "Pen")], day=1)
    new = received(3, "device_property", [_property(1, "SERIAL", "NEW")], day=2)
    for files in ((old, new), (new, old)):
        build(tmp_path, PLAIN, *files)
        found = query(tmp_path / "trial.duckdb", "SELECT device_id, serial, device_type FROM device")
        assert found == [("D1", "NEW", "Pen")]


def _property(sequence: int, name: str, value: str) -> dict[str, Any]:
    return {"device_id": "D1", "property_seq": sequence, "property": name, "value": value}


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")


def zone_protocol(*zones: str) -> str:
    return PLAIN + "".join(f'\n[[site]]\nid = "{zone}"\ntime_zone = "{zone}"\n' for zone in zones)


def of_zone(zone: str, local: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The two readings of a local time as naive UTC, by Python's own rules; they differ where it is not one moment."""
    first, second = (
        local.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold).astimezone(dt.UTC).replace(tzinfo=None)
        for fold in (0, 1)
    )
    return first, second


moments = st.tuples(
    st.sampled_from(ZONES),
    st.one_of(
        st.datetimes(dt.datetime(2015, 1, 1), dt.datetime(2026, 12, 31)),
        # The nights of clock changes.
        st.tuples(
            st.sampled_from([dt.datetime(2026, 3, 29), dt.datetime(2026, 10, 25), dt.datetime(2026, 11, 1),
                             dt.datetime(2026, 3, 8), dt.datetime(2026, 4, 5), dt.datetime(2026, 10, 4),
                             dt.datetime(2018, 11, 4), dt.datetime(2018, 2, 18)]),
            st.integers(-60, 240),
        ).map(lambda night: night[0] + dt.timedelta(minutes=night[1])),
    ).map(lambda moment: moment.replace(second=0, microsecond=0)),
)  # fmt: skip


@given(st.lists(moments, min_size=40, max_size=200))
@example([("Europe/Berlin", dt.datetime(2026, 3, 29, 2, 30)), ("Europe/Berlin", dt.datetime(2026, 10, 25, 2, 30))])
@settings(max_examples=6, deadline=None)
def test_utc_is_that_of_the_site(
    tmp_path_factory: pytest.TempPathFactory, shown: list[tuple[str, dt.datetime]]
) -> None:
    folder = tmp_path_factory.mktemp("zones")
    subjects = received(1, "subject", [{"subject_id": zone, "site_id": zone} for zone in ZONES])
    doses = received(2, "dose_event", [dose(subject_id=zone, start_local=local) for zone, local in shown])
    _, rows = build(folder, zone_protocol(*ZONES), subjects, doses)
    assert rows.height == len(shown)
    for row in rows.sort("line").iter_rows(named=True):
        zone, local = shown[row["line"] - 2]
        readings = of_zone(zone, local)
        assert bool(row["time_uncertain"]) == (readings[0] != readings[1]), (zone, local)
        assert row["start_utc"] in readings
        assert row["start_utc"] + dt.timedelta(minutes=row["utc_offset_min"]) == local
        assert row["offset_source"] == "site_zone"


def test_a_date_alone_and_a_stated_utc_are_left_as_they_are(tmp_path: Path) -> None:
    said = dt.datetime(2026, 7, 1, 3, 0)
    local = dt.datetime(2026, 7, 1, 8, 0)
    doses = received(
        2,
        "dose_event",
        [
            dose(subject_id="S1", start_local=dt.datetime(2026, 7, 1), start_precision="date"),
            dose(subject_id="S1", start_local=local, start_utc=said, utc_offset_min=300, offset_source="device"),
            dose(subject_id="S1", start_local=local, end_local=local + dt.timedelta(minutes=5)),
        ],
    )
    _, rows = build(
        tmp_path, zone_protocol("B").replace('time_zone = "B"', 'time_zone = "Europe/Berlin"'), SUBJECTS, doses
    )
    dated, stated, by_zone = rows.sort("line").iter_rows(named=True)
    assert (dated["start_utc"], dated["utc_offset_min"], dated["offset_source"]) == (None, None, None)
    assert (stated["start_utc"], stated["utc_offset_min"], stated["offset_source"]) == (said, 300, "device")
    assert (by_zone["start_utc"], by_zone["end_utc"]) == (dt.datetime(2026, 7, 1, 6, 0), dt.datetime(2026, 7, 1, 6, 5))


# From files, through whole imports.


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return new_study(tmp_path / "study")


def counts(report: ImportReport) -> tuple[int, int, int]:
    (file,) = report.files
    return file.read, file.new, file.quarantined


def quarantined(study: Study) -> list[tuple[Any, ...]]:
    return query(trial_file(study), "SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY 1")


def dose_count(study: Study) -> int:
    return int(query(trial_file(study), "SELECT count(*) FROM dose_event")[0][0])


def test_doses_wait_for_enrolment(study: Study, tmp_path: Path) -> None:
    doses = DataSet("EC").keep_subjects(FEW[:2], 5).write(tmp_path / "in")
    one = DataSet("DM").keep_subjects(FEW[:1]).exported("2024-01-01T00:00:00").write(tmp_path / "in", "dm1.ndjson")
    both = DataSet("DM").keep_subjects(FEW[:2]).exported("2024-02-01T00:00:00").write(tmp_path / "in", "dm2.ndjson")
    report = import_paths(study, [doses])
    assert counts(report) == (10, 0, 10)
    assert report.exit_code == 3
    assert quarantined(study) == [("unknown_subject", 10)]
    assert import_paths(study, [one]).exit_code == 0
    assert (dose_count(study), quarantined(study)) == (5, [("unknown_subject", 5)])
    assert import_paths(study, [both]).exit_code == 0
    assert (dose_count(study), quarantined(study)) == (10, [])
    fate = "SELECT rows_read, rows_new, rows_quarantined FROM source_file WHERE dataset = 'EC'"
    assert query(trial_file(study), fate) == [(10, 10, 0)]


def test_doses_wait_for_their_device(study: Study, tmp_path: Path) -> None:
    identifiers = DataSet("DI")
    first, second = (
        DataSet("DI")
        .keep(lambda row, keep=keep: identifiers.value(row, "SPDEVID") in keep)
        .exported(f"2024-0{number}-01T00:00:00")
        .write(tmp_path / "in", f"di{number}.ndjson")
        for number, keep in ((1, {"DEV0001"}), (2, {"DEV0001", "DEV0002"}))
    )
    subjects = DataSet("DM").keep_subjects(FEW[:2]).write(tmp_path / "in")
    doses = DataSet("EC").keep_subjects(FEW[:2], 5).write(tmp_path / "in")
    assert import_paths(study, [subjects, first, doses]).exit_code == 3
    assert (dose_count(study), quarantined(study)) == (5, [("unknown_device", 5)])
    assert import_paths(study, [second]).exit_code == 0
    assert (dose_count(study), quarantined(study)) == (10, [])


def test_two_subjects_with_one_id_are_both_held_back(study: Study, tmp_path: Path) -> None:
    twice = DataSet("DM").keep_subjects(FEW[:2])
    other = list(twice.rows[0])
    other[twice.index("AGE")] = 99
    twice.rows.append(other)
    report = import_paths(study, [twice.write(tmp_path / "in")])
    assert counts(report) == (3, 1, 2)
    held = query(trial_file(study), "SELECT reason, line, subject_id FROM quarantine ORDER BY line")
    assert held == [("key_conflict", 1, FEW[0]), ("key_conflict", 3, FEW[0])]


@pytest.mark.parametrize(
    "protocol",
    ['[study]\nid = "X"\n', '[study]\nid = "X"\nstate = "blinded"\n', PROTOCOL_TEXT.replace('"ZAN_LOW"', '"OTHER"')],
)
def test_a_protocol_that_does_not_know_the_arms_stops_no_import(tmp_path: Path, protocol: str) -> None:
    study = new_study(tmp_path / "study", protocol)
    assert import_paths(study, few_files(tmp_path / "in", doses=3)).exit_code == 0
    assert dose_count(study) == 18


def test_a_file_name_that_is_no_text_is_spelt_out(study: Study, tmp_path: Path) -> None:
    plain = DataSet("DM").keep_subjects(FEW[:1]).write(tmp_path / "in")
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/dm\xff.ndjson"))
    plain.rename(odd)
    assert import_paths(study, [odd]).exit_code == 0
    assert query(trial_file(study), "SELECT file_name FROM source_file") == [("dm\\udcff.ndjson",)]
    assert rebuild(study, compare=True).same


def test_a_file_that_says_less_than_it_was_read_to_hold_is_not_published(tmp_path: Path) -> None:
    fact, parsed = received(2, "dose_event", [dose(subject_id="S1")])
    parsed.rows_read = 2
    with pytest.raises(ValueError, match="2 rows were read and 1 arrived"):
        build(tmp_path, PLAIN, SUBJECTS, (fact, parsed))


def test_a_line_of_two_rows_counts_once(tmp_path: Path) -> None:
    both = [dose(subject_id="S1", native_key=key) for key in ("1", "2")]
    fact, parsed = received(2, "dose_event", both)
    one_line = Parsed(
        "dose_log", "log", "increment", 1, {"dose_event": parsed.tables["dose_event"].with_columns(line=2)}
    )
    later_fact, later = received(3, "dose_event", both[:1], day=1)
    built, rows = build(tmp_path, PLAIN, SUBJECTS, (fact, one_line), (later_fact, later))
    assert rows.height == 2
    first, second = built.counts[fact.source_id], built.counts[later_fact.source_id]
    assert (first.read, first.new, first.duplicate) == (1, 1, 0)
    assert (second.read, second.new, second.duplicate) == (1, 0, 1)
