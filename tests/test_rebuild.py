"""A release is a function of files, ledger and protocol: the same again when rebuilt, whatever the order of imports."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import (
    PROTOCOL,
    DataSet,
    blinded_protocol,
    copy_study,
    current_digest,
    few_files,
    litter,
    new_study,
    query,
    trial_file,
)

from store.digest import digest_release_file
from store.errors import DosetrailError, UsageProblem
from store.ledger import Entry
from store.publish import release_numbers
from store.study import Study
from store.verify import verify_study
from tui.pipeline import import_paths, make_release
from tui.rebuilding import rebuild

SUBJECTS = ("CDISC001", "CDISC002", "CDISC009")
FIRST_PROTOCOL = PROTOCOL.read_text()
LATER_PROTOCOL = FIRST_PROTOCOL.replace("conformity_pct = 5", "conformity_pct = 3").replace(
    'related = ["RELATED", "POSSIBLY RELATED"]', 'related = ["RELATED"]'
)


@dataclass(frozen=True)
class Transfers:
    """Files of three subjects. Subjects and adverse events come twice, the second time with changes and a row less."""

    files: list[Path]

    def digests(self, study: Study) -> dict[str, str]:
        return digest_release_file(trial_file(study))[1]


def make_transfers(folder: Path) -> Transfers:
    devices = DataSet("DI")
    events, later_events = (
        DataSet("AE").keep_subjects(SUBJECTS, 4).exported(f"2024-0{month}-01T12:00:00") for month in (1, 2)
    )
    later_events.rows[0][later_events.index("AESEV")] = "SEVERE"
    del later_events.rows[1]
    later_subjects = DataSet("DM").keep_subjects(SUBJECTS).exported("2024-02-01T12:00:00")
    later_subjects.change("AGE", lambda age: age + 1)
    return Transfers(
        [
            DataSet("DM")
            .keep_subjects(SUBJECTS[:2])
            .exported("2024-01-01T12:00:00")
            .write(folder, "dm_january.ndjson"),
            later_subjects.write(folder, "dm_february.ndjson"),
            devices.keep(lambda row: devices.value(row, "SPDEVID") <= "DEV0009").write(folder),
            DataSet("EC").keep_subjects(SUBJECTS, 4).write(folder),
            events.write(folder, "ae_january.ndjson"),
            later_events.write(folder, "ae_february.ndjson"),
        ]
    )


@pytest.fixture(scope="module")
def transfers(tmp_path_factory: pytest.TempPathFactory) -> Transfers:
    return make_transfers(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def all_at_once(transfers: Transfers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Digest of every table after one import of all files, under each of the two protocols."""
    found = {}
    for protocol in (FIRST_PROTOCOL, LATER_PROTOCOL):
        study = new_study(tmp_path_factory.mktemp("once") / "study", protocol)
        assert import_paths(study, transfers.files).exit_code == 0
        found[protocol] = transfers.digests(study)
    return found


@dataclass(frozen=True)
class Sequence:
    """Runs of file numbers, and the run before which the protocol changes (None: never)."""

    runs: tuple[tuple[int, ...], ...]
    change_before: int | None


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    order = draw(st.permutations(range(6)))
    runs: list[list[int]] = [[]]
    for number in order:
        if runs[-1] and draw(st.booleans()):
            runs.append([])
        runs[-1].append(number)
    for again in draw(st.lists(st.sampled_from(range(6)), max_size=2)):
        runs[draw(st.integers(0, len(runs) - 1))].append(again)
    change = draw(st.one_of(st.none(), st.integers(0, len(runs))))
    return Sequence(tuple(map(tuple, runs)), change)


def run_sequence(study: Study, transfers: Transfers, sequence: Sequence) -> None:
    for number, run in enumerate((*sequence.runs, ())):
        if sequence.change_before == number:
            study.protocol_path.write_text(LATER_PROTOCOL)
        if run:
            report = import_paths(study, [transfers.files[file] for file in run])
            assert report.exit_code in (0, 3, 4), [file.reason for file in report.files]
    make_release(study)


@given(sequences())
@settings(max_examples=1, deadline=None)
def test_any_order_and_grouping_makes_the_same_release(
    transfers: Transfers,
    all_at_once: dict[str, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    sequence: Sequence,
) -> None:
    study = new_study(tmp_path_factory.mktemp("order") / "study", FIRST_PROTOCOL)
    run_sequence(study, transfers, sequence)
    found = transfers.digests(study)
    if sequence.change_before is None:
        assert found == all_at_once[FIRST_PROTOCOL]
    else:
        # source_file says under which protocol each file was read, and that does depend on when it came.
        expected = all_at_once[LATER_PROTOCOL]
        assert {name: found[name] for name in found if name != "source_file"} == {
            name: expected[name] for name in expected if name != "source_file"
        }
    report = rebuild(study, compare=True)
    assert (report.same, report.differing) == (True, [])
    assert litter(study) == []


@pytest.mark.slow
@given(sequences())
@settings(max_examples=80, deadline=None)
def test_many_orders_and_groupings_make_the_same_release(
    transfers: Transfers,
    all_at_once: dict[str, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    sequence: Sequence,
) -> None:
    test_any_order_and_grouping_makes_the_same_release.hypothesis.inner_test(  # type: ignore[attr-defined]
        transfers, all_at_once, tmp_path_factory, sequence
    )


@pytest.fixture(scope="module")
def three_releases(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("three")
    dm, di, ec, ae, ds = few_files(folder / "in", doses=4)
    study = new_study(folder / "study")
    for files in ([dm, di], [ec, ds], [ae]):
        assert import_paths(study, files).exit_code == 0
    return study


@pytest.fixture
def study(three_releases: Study, tmp_path: Path) -> Study:
    return copy_study(three_releases, tmp_path / "study")


def remove(study: Study, number: int) -> Path:
    folder = study.releases_dir / f"{number:06d}"
    shutil.rmtree(folder)
    return folder


def test_what_the_later_transfer_changed_and_left_out_stays_visible(transfers: Transfers, tmp_path: Path) -> None:
    study = new_study(tmp_path / "study")
    import_paths(study, transfers.files)
    history = "SELECT row_state, count(*) FROM history.adverse_event GROUP BY row_state ORDER BY 1"
    assert query(trial_file(study), history) == [("superseded", 1), ("no_longer_in_source", 1)]
    assert query(trial_file(study), "SELECT count(*) FROM adverse_event") == [(9,)]
    fates = (
        "SELECT file_name, rows_read, rows_new, rows_duplicate, rows_superseded FROM source_file WHERE dataset = 'AE'"
    )
    assert query(trial_file(study), fates + " ORDER BY exported_utc") == [
        ("ae_january.ndjson", 10, 8, 0, 2),
        ("ae_february.ndjson", 9, 1, 8, 0),
    ]


@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_a_release_that_is_gone_is_put_back(study: Study, number: int | None) -> None:
    before = current_digest(study)
    folder = remove(study, number or 3)
    report = rebuild(study, number)
    assert (report.same, report.restored, report.release) == (True, True, number or 3)
    assert folder.is_dir()
    assert current_digest(study) == before
    assert [check for check in verify_study(study) if not check.ok] == []
    assert make_release(study).exit_code == 4
    assert litter(study) == []


@pytest.mark.slow
def test_every_release_can_be_gone(study: Study) -> None:
    before = current_digest(study)
    for number in (1, 2, 3):
        remove(study, number)
    for number in (2, 3, 1):
        assert rebuild(study, number).restored
    assert release_numbers(study) == [1, 2, 3]
    assert current_digest(study) == before
    assert [check for check in verify_study(study) if not check.ok] == []


@pytest.mark.parametrize("compare", [False, True])
def test_a_release_that_is_there_is_only_compared(study: Study, compare: bool) -> None:
    head = study.ledger.head()
    assert rebuild(study, 2, compare=compare).restored is False
    assert study.ledger.head() == head


def test_a_gone_release_is_only_compared_when_asked_to(study: Study) -> None:
    folder = remove(study, 3)
    assert rebuild(study, compare=True).same
    assert not folder.exists()


def test_an_import_goes_on_when_releases_are_gone(study: Study, tmp_path: Path) -> None:
    remove(study, 3)
    assert import_paths(study, [DataSet("SV").write(tmp_path)]).release == 4
    assert [check for check in verify_study(study) if not check.ok] == []


def test_a_release_nobody_made(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no release 9"):
        rebuild(study, 9)
    with pytest.raises(UsageProblem, match="No release"):
        rebuild(new_study(tmp_path / "empty"))


def test_the_protocol_of_the_release_counts_not_the_one_being_written(study: Study) -> None:
    remove(study, 3)
    study.protocol_path.write_text("this is no protocol yet")
    assert rebuild(study).restored


def test_notes_in_the_ledger_do_not_change_a_past_release(study: Study) -> None:
    study.ledger.append([Entry("note", "subject/CDISC001", new="called")])
    assert rebuild(study, compare=True).same
    assert make_release(study).release == 4
    assert rebuild(study, compare=True).same


def test_a_newer_program_puts_back_a_release_whose_tables_it_makes_the_same(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(study, 3)
    monkeypatch.setattr("tui.rebuilding.program_version", lambda: "99.0")
    report = rebuild(study)
    assert (report.same, report.restored, report.version) == (True, True, "99.0")


class OtherAnalyst:
    """As the program's own, with one figure more."""

    def __init__(self, own: object) -> None:
        self._own = own

    def analyse(self, frames: object, protocol: object, keep: object) -> pl.DataFrame:
        rows: pl.DataFrame = self._own.analyse(frames, protocol, keep)  # type: ignore[attr-defined]
        return pl.concat([rows, rows.head(1)])


@pytest.mark.parametrize("gone", [False, True])
def test_a_program_that_makes_other_tables_changes_nothing(
    study: Study, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tui.rebuilding

    folder = remove(study, 3) if gone else study.releases_dir / "000003"
    monkeypatch.setattr(tui.rebuilding, "ANALYST", OtherAnalyst(tui.rebuilding.ANALYST))
    head = study.ledger.head()
    report = rebuild(study)
    assert (report.same, report.restored) == (False, False)
    assert report.differing == ([] if gone else ["result"])
    assert folder.exists() != gone
    assert study.ledger.head() == head


def test_a_damaged_source_stops_the_rebuild(study: Study) -> None:
    source = next(study.sources_dir.glob("??/*.zst"))
    source.chmod(0o600)
    source.write_bytes(source.read_bytes()[:-5])
    with pytest.raises(DosetrailError) as caught:
        rebuild(study)
    assert caught.value.exit_code == 14
    assert litter(study) == []


def test_a_blinded_release_is_made_again_both_halves(transfers: Transfers, tmp_path: Path) -> None:
    study = new_study(tmp_path / "study", blinded_protocol())
    import_paths(study, transfers.files[:3])
    import_paths(study, transfers.files[3:])
    halves = [digest_release_file(file) for file in sorted((study.releases_dir / "000002").iterdir())]
    assert len(halves) == 2
    assert rebuild(study, compare=True).same
    remove(study, 2)
    assert rebuild(study).restored
    assert [digest_release_file(file) for file in sorted((study.releases_dir / "000002").iterdir())] == halves
    assert [check for check in verify_study(study) if not check.ok] == []


def test_carriers_of_one_transfer_must_agree(study: Study, tmp_path: Path) -> None:
    visits = DataSet("SV").keep_subjects(SUBJECTS[:1])
    one = visits.exported("2024-01-01T00:00:00").write(tmp_path, "sv.ndjson")
    visits.rows[0][visits.index("VISIT")] = "ANOTHER"
    other = visits.exported("2024-02-01T00:00:00").write(tmp_path, "sv.json")
    report = import_paths(study, [one, other])
    assert [file.status for file in report.files] == ["failed", "failed"]
    assert "'ANOTHER'" in str(report.files[0].reason)
    assert (report.release, report.exit_code) == (None, 1)


def test_transfers_of_different_days_in_one_run(study: Study, tmp_path: Path) -> None:
    visits = DataSet("SV").keep_subjects(SUBJECTS[:1])
    later = visits.exported("2024-02-01T00:00:00").write(tmp_path, "sv_february.ndjson")
    visits.rows[0][visits.index("VISIT")] = "OLD"
    earlier = visits.exported("2024-01-01T00:00:00").write(tmp_path, "sv_january.ndjson")
    assert import_paths(study, [later, earlier]).exit_code == 0
    assert query(trial_file(study), "SELECT count(*) FROM visit WHERE visit = 'OLD'") == [(0,)]
    visits.rows[1][visits.index("VISIT")] = "SAME DAY, ANOTHER CONTENT"
    same_day = visits.write(tmp_path, "sv_copy.ndjson")
    visits.rows[1][visits.index("VISIT")] = "A THIRD"
    other_same_day = visits.write(tmp_path, "sv_other.ndjson")
    report = import_paths(study, [same_day, other_same_day])
    assert [file.status for file in report.files] == ["failed", "failed"]


def test_the_same_bytes_twice_in_one_run_count_once(study: Study, tmp_path: Path) -> None:
    visits = DataSet("SV").keep_subjects(SUBJECTS[:1])
    files = [visits.write(tmp_path, name) for name in ("sv.ndjson", "again.ndjson")]
    first, second = import_paths(study, files).files
    assert (first.status, first.new, first.duplicate) == ("imported", len(visits.rows), 0)
    assert (second.status, second.new, second.duplicate) == ("duplicate_file", 0, len(visits.rows))


def test_the_ledger_says_which_keys_of_the_protocol_changed(study: Study) -> None:
    study.protocol_path.write_text(LATER_PROTOCOL)
    assert make_release(study).release == 4
    recorded = [row.new_value for row in study.ledger.read(actions=["record_protocol"])]
    assert recorded == [None, {"changed_keys": ["accuracy.conformity_pct", "adverse_events.related"]}]
