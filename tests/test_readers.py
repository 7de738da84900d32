"""A statistician's connection and the nightly import leave each other alone, and nobody writes into a release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from as_user import needs_root, open_folder, run_as
from studies import DataSet, copy_study, few_files, new_study

from store.errors import IntegrityFailure
from store.publish import find_wal
from store.study import Study
from tui.pipeline import import_paths

__all__ = ["open_folder"]

COUNT = "SELECT count(*) FROM adverse_event"

READER = """
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=True)
print(con.execute("SELECT count(*) FROM adverse_event").fetchone()[0], flush=True)
for line in sys.stdin:
    print(con.execute("SELECT count(*) FROM adverse_event").fetchone()[0], flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with one release and one adverse event."""
    folder = tmp_path_factory.mktemp("made")
    dm, di, ec, _, ds = few_files(folder / "in", doses=3)
    study = new_study(folder / "study")
    first = DataSet("AE").keep_subjects(("CDISC001",), 1).exported("2024-01-01T00:00:00").write(folder, "ae1.ndjson")
    assert import_paths(study, [dm, di, ec, ds, first]).exit_code == 0
    return study


@pytest.fixture
def study(made: Study, tmp_path: Path) -> Study:
    return copy_study(made, tmp_path / "study")


@contextmanager
def forgotten_session(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that opened the release as the documentation says, and was left open."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield reader
    finally:
        reader.communicate()


def asked(reader: subprocess.Popen[str]) -> int:
    assert reader.stdin is not None
    reader.stdin.write("again\n")
    reader.stdin.flush()
    return answer(reader)


def answer(reader: subprocess.Popen[str]) -> int:
    assert reader.stdout is not None
    return int(reader.stdout.readline())


def later_import(study: Study, folder: Path) -> None:
    """A second adverse event, in a second release."""
    later = DataSet("AE").keep_subjects(("CDISC001",)).exported("2024-02-01T00:00:00").write(folder, "ae2.ndjson")
    assert import_paths(study, [later]).release is not None


@pytest.mark.parametrize("way", ["trial.duckdb", "current/trial.duckdb", "releases/000001/trial.duckdb"])
def test_a_forgotten_session_blocks_no_import_and_keeps_what_it_opened(study: Study, tmp_path: Path, way: str) -> None:
    with forgotten_session(study.root / way) as reader:
        assert answer(reader) == 1
        later_import(study, tmp_path / "in")
        assert asked(reader) == 1
        with forgotten_session(study.trial_link) as newcomer:
            assert answer(newcomer) == 2
        assert asked(reader) == 1


def test_a_session_outlives_the_removal_of_its_release(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.retention.LAST", 1)
    with forgotten_session(study.trial_link) as reader:
        assert answer(reader) == 1
        later_import(study, tmp_path / "in")
        assert not (study.releases_dir / "000001").exists()
        assert asked(reader) == 1


def test_one_process_sees_the_new_release_by_attaching_again(study: Study, tmp_path: Path) -> None:
    with duckdb.connect() as con:
        for expected in (1, 2):
            release = study.current_release()
            assert release is not None
            con.execute(f"ATTACH '{release.trial}' AS trial (READ_ONLY)")
            assert con.execute(COUNT.replace("adverse_event", "trial.adverse_event")).fetchone() == (expected,)
            con.execute("DETACH trial")
            if expected == 1:
                later_import(study, tmp_path / "in")


def test_the_release_opens_read_only_and_leaves_nothing_behind(study: Study) -> None:
    with duckdb.connect(str(study.trial_link), read_only=True) as con:
        with pytest.raises(duckdb.Error, match="read-only"):
            con.execute("DELETE FROM subject")
    assert find_wal(study) == []


@needs_root
@pytest.mark.parametrize("uid", [12001, 12002])
def test_nobody_opens_a_release_for_writing(study: Study, open_folder: Path, uid: int) -> None:
    """Neither the study's owner nor anybody else; root may write to anything and is not asked."""
    shared = Path(shutil.copytree(study.root, open_folder / "study", symlinks=True))
    for path in (shared, *shared.rglob("*")):
        os.chown(path, 12001, 12001, follow_symlinks=False)
    link = str(shared / "trial.duckdb")
    with pytest.raises(duckdb.IOException, match="Permission denied"):
        run_as(uid, (uid,), 0o022, lambda: duckdb.connect(link).close())
    assert run_as(uid, (uid,), 0o022, lambda: duckdb.connect(link, read_only=True).close()) is None
    assert find_wal(Study(shared)) == []


def test_a_log_that_a_writer_left_stops_the_next_import(study: Study, tmp_path: Path) -> None:
    (study.releases_dir / "000001" / "trial.duckdb.wal").write_bytes(b"")
    head = study.ledger.head()
    with pytest.raises(IntegrityFailure, match="open for writing"):
        later_import(study, tmp_path / "in")
    assert study.ledger.head() == head
    os.unlink(study.releases_dir / "000001" / "trial.duckdb.wal")
    later_import(study, tmp_path / "in")
