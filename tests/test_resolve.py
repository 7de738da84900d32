"""A row's disposition depends on the set of files, not on their order, and every row is accounted for."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from importers.base import Parsed
from store.build import BuildInputs, Built, ReleaseBuilder
from store.facts import Facts, SourceFact
from store.protocol_file import parse_protocol
from store.release_frames import ReadFrame, read_frames

PROTOCOL = parse_protocol('[study]\nid = "T"\n', Path("protocol.toml"))


class NoAnalysis:
    def analyse(self, frames: ReadFrame, protocol: object, keep: object) -> pl.DataFrame:
        return pl.DataFrame()


@dataclass(frozen=True)
class FakeFile:
    """A file of dose events: ``rows`` are (native key or None, minute of the day, amount)."""

    day: int
    rows: tuple[tuple[str | None, int, int], ...]
    number: int
    per_line: int = 1
    """Rows each line of the file gives."""

    @property
    def fact(self) -> SourceFact:
        sha256 = hashlib.sha256(repr(self).encode()).hexdigest()
        when = dt.datetime(2026, 1, 1) + dt.timedelta(days=self.day)
        return SourceFact(sha256, f"f{self.number}.csv", 1, "dose_log", "log", "increment", None, "p", when, when)

    def parsed(self) -> Parsed:
        frame = pl.DataFrame(
            {
                "subject_id": ["S1" for _ in self.rows],
                "native_key": [key for key, _, _ in self.rows],
                "kind": ["injection" for _ in self.rows],
                "start_local": [dt.datetime(2026, 1, 1, 0, minute) for _, minute, _ in self.rows],
                "start_precision": ["minute" for _ in self.rows],
                "delivered_amount": [str(amount) for _, _, amount in self.rows],
                "line": [2 + place // self.per_line for place in range(len(self.rows))],
            },
            schema_overrides={"native_key": pl.String, "subject_id": pl.String, "delivered_amount": pl.String},
        )
        return Parsed("dose_log", "log", "increment", frame["line"].n_unique(), {"dose_event": frame})


def subjects(*ids: str, day: int = 0, arm: str | None = None) -> tuple[SourceFact, Parsed]:
    when = dt.datetime(2026, 1, 1) + dt.timedelta(days=day)
    sha256 = hashlib.sha256(f"{ids}{day}{arm}".encode()).hexdigest()
    fact = SourceFact(sha256, "subjects.csv", 1, "enrolment", "subjects", "snapshot", None, "p", when, when)
    frame = pl.DataFrame(
        {"subject_id": list(ids), "arm_code": [arm for _ in ids], "line": list(range(2, len(ids) + 2))}
    )
    return fact, Parsed("enrolment", "subjects", "snapshot", len(ids), {"subject": frame})


def build(folder: Path, files: list[tuple[SourceFact, Parsed]]) -> tuple[Built, list[tuple[object, ...]]]:
    path = folder / "trial.duckdb"
    path.unlink(missing_ok=True)
    facts = Facts((), None, 0, "").with_sources([fact for fact, _ in files], "p")
    inputs = BuildInputs(facts, PROTOCOL, [], 1, "0", dt.datetime(2026, 1, 1), NoAnalysis())
    with ReleaseBuilder(path) as builder:
        built = builder.finish(inputs, files)
        doses = read_frames(builder.con)("dose_event", ["native_key", "start_local", "delivered_amount"]).rows()
    return built, doses


rows = st.tuples(st.sampled_from(["k1", "k2", None]), st.integers(0, 2), st.integers(0, 2))
a_file = st.tuples(st.integers(0, 3), st.lists(rows, max_size=5).map(tuple), st.integers(1, 3))
files = st.lists(a_file, min_size=1, max_size=4).map(
    lambda items: [FakeFile(day, content, number, many) for number, (day, content, many) in enumerate(items)]
)


def expected_current(all_files: list[FakeFile]) -> Counter[tuple[str | None, int, int]]:
    """An independent, slow statement of the identity rules."""
    current: Counter[tuple[str | None, int, int]] = Counter()
    versions: dict[str, dict[tuple[object, ...], set[tuple[int, int]]]] = defaultdict(dict)
    for file in all_files:
        keyed: dict[str, set[tuple[int, int]]] = defaultdict(set)
        unkeyed: Counter[tuple[str | None, int, int]] = Counter()
        for key, minute, amount in file.rows:
            if key is None:
                unkeyed[(None, minute, amount)] += 1
            else:
                keyed[key].add((minute, amount))
        for row, count in unkeyed.items():
            current[row] = max(current[row], count)
        for key, contents in keyed.items():
            if len(contents) == 1:
                versions[key][file.fact.precedence] = contents
    for key, by_precedence in versions.items():
        ((minute, amount),) = by_precedence[max(by_precedence)]
        current[(key, minute, amount)] += 1
    return current


@given(files)
@examples(12, 25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_identity_rules_and_accounting(tmp_path: Path, files: list[FakeFile]) -> None:
    enrolled = subjects("S1")
    built, doses = build(tmp_path, [enrolled, *((file.fact, file.parsed()) for file in files)])
    found = Counter((key, start.minute, int(amount)) for key, start, amount in doses)
    assert found == expected_current(files)
    for counts in built.counts.values():
        assert counts.read == counts.new + counts.duplicate + counts.superseded + counts.quarantined
        assert counts.new >= 0
    if all(file.per_line == 1 for file in files):
        assert sum(count.new for count in built.counts.values()) == len(doses) + 1


def test_order_of_files_does_not_matter(tmp_path: Path) -> None:
    three = [
        FakeFile(2, (("k1", 1, 1), (None, 1, 1), (None, 1, 1)), 0),
        FakeFile(1, (("k1", 1, 2), ("k2", 0, 1), (None, 1, 1)), 1),
        FakeFile(3, (("k2", 0, 2), (None, 1, 1)), 2),
    ]
    entries = [subjects("S1"), *((file.fact, file.parsed()) for file in three)]
    digests = {build(tmp_path, list(order))[0].digest for order in itertools.permutations(entries)}
    assert len(digests) == 1


def test_later_export_supersedes_and_the_old_version_stays_visible(tmp_path: Path) -> None:
    old, new = FakeFile(1, (("k1", 1, 1),), 0), FakeFile(2, (("k1", 1, 2),), 1)
    built, doses = build(tmp_path, [(new.fact, new.parsed()), (old.fact, old.parsed()), subjects("S1")])
    assert [int(amount) for _, _, amount in doses] == [2]
    assert built.counts[old.fact.source_id].superseded == 1
    assert built.tables["history.dose_event"].startswith("1:")


def test_halves_of_one_line_are_decided_apart(tmp_path: Path) -> None:
    # A dual bolus stands on one line; the later export gives its extended half in full.
    early = FakeFile(1, (("7:now", 1, 20), ("7:later", 1, 4)), 0, per_line=2)
    late = FakeFile(2, (("7:now", 1, 20), ("7:later", 1, 10)), 1, per_line=2)
    enrolled = subjects("S1")
    for order in itertools.permutations([(early.fact, early.parsed()), (late.fact, late.parsed()), enrolled]):
        built, doses = build(tmp_path, list(order))
        assert [int(amount) for _, _, amount in sorted(doses)] == [10, 20]
        assert {"new": built.counts[early.fact.source_id].new, "of late": built.counts[late.fact.source_id].new} == {
            "new": 1,
            "of late": 1,
        }


def test_two_rows_with_one_key_and_different_values_are_quarantined(tmp_path: Path) -> None:
    file = FakeFile(1, (("k1", 1, 1), ("k1", 1, 2), ("k2", 0, 1)), 0)
    built, doses = build(tmp_path, [(file.fact, file.parsed()), subjects("S1")])
    assert [key for key, _, _ in doses] == ["k2"]
    assert built.counts[file.fact.source_id].quarantined == 2


def test_unknown_subject_waits_in_quarantine_until_enrolled(tmp_path: Path) -> None:
    file = FakeFile(1, (("k1", 1, 1),), 0)
    before, doses = build(tmp_path, [(file.fact, file.parsed()), subjects("S2")])
    assert doses == [] and before.counts[file.fact.source_id].quarantined == 1
    after, doses = build(tmp_path, [(file.fact, file.parsed()), subjects("S2"), subjects("S1", "S2", day=5)])
    assert len(doses) == 1 and after.counts[file.fact.source_id].new == 1


@pytest.mark.parametrize("later_first", [False, True])
def test_subject_absent_from_the_newest_snapshot_leaves_the_analyses(tmp_path: Path, later_first: bool) -> None:
    snapshots = [subjects("S1", "S2", day=1), subjects("S2", day=2)]
    built, _ = build(tmp_path, snapshots[::-1] if later_first else snapshots)
    assert built.tables["subject"].startswith("1:")
    assert built.tables["history.subject"].startswith("1:")


def test_rows_that_name_only_a_device_get_its_subject_of_the_day(tmp_path: Path) -> None:
    when = dt.datetime(2026, 1, 1)
    fact = SourceFact("d" * 64, "log.json", 1, "pump", "pump", "increment", None, "p", when, when)
    tables = {
        "device_property": pl.DataFrame({"device_id": ["D1"], "property": ["SERIAL"], "value": ["1"], "line": [1]}),
        "observation": pl.DataFrame(
            {
                "device_id": ["D1", "D1"],
                "code": ["glucose", "glucose"],
                "observed_at": [dt.datetime(2026, 1, 5, 8), dt.datetime(2026, 3, 5, 8)],
                "value": [5.5, 6.5],
                "line": [2, 3],
            }
        ),
        "device_event": pl.DataFrame(
            {"device_id": ["D1"], "event": ["alarm"], "start_local": [dt.datetime(2026, 3, 5, 8)], "line": [4]}
        ),
    }
    log = (fact, Parsed("pump", "pump", "increment", 4, tables))
    enrolled, parsed = subjects("S1")
    assigned = pl.DataFrame(
        {
            "device_id": ["D1"],
            "subject_id": ["S1"],
            "start_date": [dt.date(2026, 1, 1)],
            "end_date": [dt.date(2026, 1, 31)],
            "line": [2],
        }
    )
    both = Parsed("enrolment", "subjects", "snapshot", 1, {**parsed.tables, "device_assignment_recorded": assigned})
    built, _ = build(tmp_path, [(enrolled, both), log])
    assert built.tables["observation"].startswith("1:")
    assert built.tables["device_event"].startswith("1:")
    assert built.counts[fact.source_id].quarantined == 1
