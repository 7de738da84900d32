"""Publishing: readers see the old release or the new one, whole, whenever and however the publisher ends."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import store.publish
from store.errors import DiskFull, ImportRunning, IntegrityFailure, WriteFailed
from store.facts import MAKE_RELEASE, RESTORE_RELEASE
from store.ledger import Entry
from store.locking import import_lock, running_import
from store.publish import (
    PUBLISH_STEPS,
    building_folder,
    finish_interrupted,
    pending_switch,
    publish,
    release_numbers,
    restore,
    sweep,
)
from store.retention import compute_kept, prune
from store.study import Study, create_study

REPOSITORY = Path(__file__).resolve().parents[1]
BEFORE_COMMIT = PUBLISH_STEPS[: PUBLISH_STEPS.index("committed")]
AFTER_COMMIT = PUBLISH_STEPS[PUBLISH_STEPS.index("committed") :]

# One release after the other, in a process of its own that can be killed.
PUBLISHER = """
import sys
sys.path.insert(0, sys.argv[1] + "/tests")
from test_publish import publish_next
from store.study import open_study
study = open_study(sys.argv[2])
for _ in range(int(sys.argv[3])):
    publish_next(study)
"""

HOLDER = """
import sys
from store.locking import import_lock
from store.study import open_study
with import_lock(open_study(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return create_study(tmp_path / "trial")


def publish_next(study: Study) -> int:
    """Build and publish a release that holds its own number; what every importing command does, in small."""
    with import_lock(study):
        finish_interrupted(study)
        sweep(study)
        number = len(study.ledger.read(actions=[MAKE_RELEASE])) + 1
        with building_folder(study) as folder:
            with duckdb.connect(str(folder / "trial.duckdb")) as connection:
                connection.execute(f"CREATE TABLE dose AS SELECT {number} AS release FROM range(1000)")
                connection.execute("CHECKPOINT")
            publish(study, folder, number, entries_of(number))
    return number


def entries_of(number: int) -> list[Entry]:
    return [
        Entry("import_source", f"source/{number:064x}", new={"rows": 1000}),
        Entry(MAKE_RELEASE, f"release/{number:06d}", new={"release": number}),
    ]


def start_publisher(study: Study, count: int, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(REPOSITORY), str(study.root), str(count)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def read_release(study: Study) -> int:
    """The number inside the current release, read as a program would; every row has to agree."""
    release = study.current_release()
    assert release is not None
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{release.trial}' AS trial (READ_ONLY)")
        rows = connection.execute("SELECT count(*), min(release), max(release) FROM trial.dose").fetchone()
    assert rows == (1000, release.number, release.number)
    return release.number


def committed(study: Study) -> int:
    return len(study.ledger.read(actions=[MAKE_RELEASE]))


def litter(study: Study) -> list[str]:
    known = {"ledger", "releases", "sources", "current", "trial.duckdb", ".import.lock"}
    return [path.name for path in study.root.iterdir() if path.name not in known] + [
        path.name for path in study.releases_dir.iterdir() if not path.name.isdigit()
    ]


def test_a_release_is_published_with_its_modes(study: Study) -> None:
    assert publish_next(study) == 1
    assert read_release(study) == 1
    assert os.readlink(study.current_link) == "releases/000001"
    assert os.readlink(study.trial_link) == "current/trial.duckdb"
    release = study.releases_dir / "000001"
    assert stat.S_IMODE(release.stat().st_mode) == 0o755
    assert stat.S_IMODE((release / "trial.duckdb").stat().st_mode) == 0o444
    assert litter(study) == []


def test_the_commit_records_files_and_release_together(study: Study) -> None:
    with import_lock(study), building_folder(study) as folder:
        (folder / "trial.duckdb").write_bytes(b"release")
        (folder / "source-12ab.csv").write_bytes(b"left by the build")
        (folder / "spill").mkdir()
        head = publish(study, folder, 1, entries_of(1), role="operator")
    assert [(row.action, row.role) for row in study.ledger.read()] == [
        ("import_source", "operator"),
        (MAKE_RELEASE, "operator"),
    ]
    assert head == study.ledger.verify_chain()
    assert [path.name for path in (study.releases_dir / "000001").iterdir()] == ["trial.duckdb"]


def test_readers_keep_the_release_they_opened(study: Study) -> None:
    publish_next(study)
    first = study.current_release()
    assert first is not None
    with duckdb.connect() as reader:
        reader.execute(f"ATTACH '{first.trial}' AS trial (READ_ONLY)")
        for _ in range(9):
            publish_next(study)
        with import_lock(study):
            assert prune(study) == [1, 2, 3]
        assert reader.execute("SELECT count(*), max(release) FROM trial.dose").fetchone() == (1000, 1)
    assert read_release(study) == 10


def test_readers_always_find_a_whole_release(study: Study) -> None:
    publish_next(study)
    publisher = start_publisher(study, 10)
    seen = [1]
    while publisher.poll() is None:
        seen.append(read_release(study))
    assert publisher.returncode == 0
    assert seen == sorted(seen)
    assert read_release(study) == 11


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_killed_before_the_commit_nothing_happened(study: Study, step: str) -> None:
    publish_next(study)
    head = study.ledger.head()
    assert start_publisher(study, 1, DOSETRAIL_KILL_AT=step).wait() == -signal.SIGKILL
    assert study.ledger.verify_chain(str(head)) == head
    assert pending_switch(study) is None
    assert finish_interrupted(study) is None
    assert read_release(study) == 1
    assert len(litter(study)) == 1
    sweep(study)
    assert litter(study) == []
    assert publish_next(study) == 2
    assert read_release(study) == 2


@pytest.mark.parametrize("step", AFTER_COMMIT)
@pytest.mark.parametrize("releases_before", [0, 1])
def test_killed_after_the_commit_the_next_command_finishes(study: Study, step: str, releases_before: int) -> None:
    number = releases_before + 1
    for _ in range(releases_before):
        publish_next(study)
    assert start_publisher(study, 1, DOSETRAIL_KILL_AT=step).wait() == -signal.SIGKILL
    assert committed(study) == number
    unfinished = step in {"committed", "renamed"}
    assert pending_switch(study) == (number if unfinished else None)
    if unfinished and releases_before:
        assert read_release(study) == releases_before
    sweep(study)
    assert finish_interrupted(study) == (number if unfinished else None)
    assert read_release(study) == number
    assert study.trial_link.exists()
    assert finish_interrupted(study) is None
    assert litter(study) == []
    assert publish_next(study) == number + 1


def test_killed_at_random_moments_the_study_stays_whole(study: Study) -> None:
    publish_next(study)
    moments = random.Random(7)
    for _ in range(8):
        before = committed(study)
        publisher = start_publisher(study, 1000)
        deadline = time.monotonic() + 30
        while committed(study) == before and time.monotonic() < deadline:
            pass
        end = time.monotonic() + moments.uniform(0, 0.15)
        while time.monotonic() < end:
            pass
        publisher.kill()
        assert publisher.wait() == -signal.SIGKILL
        study.ledger.verify_chain()
        pending = pending_switch(study)
        assert read_release(study) == committed(study) - (pending is not None)
    finish_interrupted(study)
    sweep(study)
    assert litter(study) == []
    assert read_release(study) == committed(study)
    assert release_numbers(study) == list(range(1, committed(study) + 1))


@pytest.mark.parametrize("place", ["trial.duckdb.wal", "releases/000001/trial.duckdb.wal"])
def test_a_write_ahead_log_in_the_study_is_refused(study: Study, place: str) -> None:
    publish_next(study)
    (study.root / place).write_bytes(b"")
    with pytest.raises(IntegrityFailure, match="open for writing") as caught:
        publish_next(study)
    assert caught.value.exit_code == 14
    assert (committed(study), read_release(study), litter(study)[1:]) == (1, 1, [])


def test_a_build_that_was_not_checkpointed_is_refused(study: Study) -> None:
    with import_lock(study), pytest.raises(IntegrityFailure), building_folder(study) as folder:
        (folder / "trial.duckdb").write_bytes(b"release")
        (folder / "trial.duckdb.wal").write_bytes(b"rows")
        publish(study, folder, 1, entries_of(1))
    assert (committed(study), litter(study)) == (0, [])


def test_a_ledger_older_than_the_releases_is_refused(study: Study) -> None:
    (study.releases_dir / "000001").mkdir()
    with pytest.raises(IntegrityFailure, match="ledger is older"):
        publish_next(study)
    assert committed(study) == 0


def test_a_file_in_the_place_of_a_link_is_refused(study: Study) -> None:
    study.trial_link.write_bytes(b"a copy somebody made")
    with pytest.raises(IntegrityFailure, match="trial.duckdb is not the link"):
        publish_next(study)
    assert committed(study) == 0
    assert study.trial_link.read_bytes() == b"a copy somebody made"


def test_a_full_disk_before_the_commit_changes_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_next(study)

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store.publish, "_sync_file", refuse)
        with pytest.raises(DiskFull):
            publish_next(study)
    assert (committed(study), read_release(study), litter(study)) == (1, 1, [])
    assert publish_next(study) == 2


def test_a_failure_after_the_commit_is_finished_later(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_next(study)

    def refuse(*paths: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(store.publish.os, "replace", refuse)
        with pytest.raises(WriteFailed) as caught:
            publish_next(study)
    assert "Release 2 is committed" in caught.value.effect
    assert read_release(study) == 1
    assert finish_interrupted(study) == 2
    assert read_release(study) == 2


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def interrupt(reached: str) -> None:
        if reached == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(store.publish, "checkpoint", interrupt)


@pytest.mark.parametrize("step", BEFORE_COMMIT[:-1])
def test_ctrl_c_before_the_commit_leaves_things_as_they_were(
    study: Study, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    publish_next(study)
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(KeyboardInterrupt):
            publish_next(study)
    sweep(study)
    assert (committed(study), read_release(study), litter(study)) == (1, 1, [])
    assert running_import(study) is None


@pytest.mark.parametrize("step", ["ledger_written", "committed", "renamed", "switched"])
def test_ctrl_c_between_commit_and_switch_waits(study: Study, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt_at(monkeypatch, step)
    publish_next(study)
    assert read_release(study) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_release_is_not_published_without_the_lock_or_its_entry(study: Study) -> None:
    with import_lock(study), building_folder(study) as folder:
        (folder / "trial.duckdb").write_bytes(b"release")
        with pytest.raises(ValueError, match="do not record release 2"):
            publish(study, folder, 2, entries_of(1))
    with pytest.raises(RuntimeError, match="import lock"):
        publish(study, folder, 1, entries_of(1))


def test_a_second_import_is_told_who_runs_the_first(study: Study) -> None:
    publish_next(study)
    assert running_import(study) is None
    leftover = study.releases_dir / ".build-of-the-other"
    leftover.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(study.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ImportRunning) as caught:
        publish_next(study)
    assert (caught.value.exit_code, caught.value.facts["pid"]) == (11, holder.pid)
    assert f"process {holder.pid}" in caught.value.message
    running = running_import(study)
    assert running is not None and running.pid == holder.pid
    assert datetime.now(UTC) - datetime.fromisoformat(running.since) < timedelta(minutes=1)
    assert sweep(study) == []
    assert leftover.exists()
    holder.kill()
    holder.wait()
    assert running_import(study) is None
    assert publish_next(study) == 2
    assert not leftover.exists()


def test_an_import_can_wait_for_the_one_before(study: Study) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(study.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdout.readline()
    holder.stdin.close()
    with import_lock(study, wait_s=30):
        assert running_import(study) is not None
    holder.wait()


def restore_entry(number: int, content: bytes) -> Entry:
    return Entry(
        RESTORE_RELEASE,
        f"release/{number:06d}",
        new={"file_sha256": {"trial.duckdb": hashlib.sha256(content).hexdigest()}},
    )


@pytest.mark.parametrize("number", [1, 2])
def test_a_release_whose_folder_is_gone_is_put_back(study: Study, number: int) -> None:
    for _ in range(2):
        publish_next(study)
    shutil.rmtree(study.releases_dir / f"{number:06d}")
    with building_folder(study) as folder:
        (folder / "trial.duckdb").write_bytes(b"the same tables")
        restore(study, folder, restore_entry(number, b"the same tables"))
    assert (study.releases_dir / f"{number:06d}" / "trial.duckdb").read_bytes() == b"the same tables"
    release = study.current_release()
    assert release is not None and release.number == 2
    assert litter(study) == []


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_killed_restore_counts_from_its_entry_on(study: Study, number: int, recorded: bool) -> None:
    for _ in range(2):
        publish_next(study)
    shutil.rmtree(study.releases_dir / f"{number:06d}")
    study.ledger.append([restore_entry(number, b"restored before")])
    sealed = study.releases_dir / f".sealed-{number:06d}"
    sealed.mkdir()
    (sealed / "trial.duckdb").write_bytes(b"the same tables")
    if recorded:
        study.ledger.append([restore_entry(number, b"the same tables")])
    finished = finish_interrupted(study)
    assert finished == (2 if recorded and number == 2 else None)
    assert (study.releases_dir / f"{number:06d}").exists() == recorded
    sweep(study)
    assert litter(study) == []


def test_an_interrupted_removal_is_swept(study: Study) -> None:
    publish_next(study)
    (study.releases_dir / ".prune-000000").mkdir()
    (study.sources_dir / ".tmp-abc").write_bytes(b"half a file")
    (study.root / ".current.new").symlink_to("releases/000009")
    assert sorted(path.name for path in sweep(study)) == [".current.new", ".prune-000000", ".tmp-abc"]
    assert (litter(study), list(study.sources_dir.iterdir()), read_release(study)) == ([], [], 1)


def test_the_last_seven_one_a_month_and_what_is_named_are_kept() -> None:
    made = {number: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(1, 101)}
    # 1 is 2 January; 30, 58 and 89 are the last days of January, February and March; 100 is 11 April.
    assert compute_kept(made, named=[], current=100) == {30, 58, 89, *range(94, 101)}
    assert compute_kept(made, named=[3, 400], current=50) == {3, 50, 30, 58, 89, *range(94, 101)}
    assert compute_kept({}, named=[3], current=None) == set()


def test_an_exported_release_is_kept(study: Study) -> None:
    for _ in range(10):
        publish_next(study)
    study.ledger.append([Entry("export", "release/000002", new={"what": "summary"})])
    study.ledger.append([Entry("lock", "study", new={"release": 3})])
    with import_lock(study):
        assert prune(study) == [1]
        assert prune(study) == []
    assert release_numbers(study) == list(range(2, 11))
    assert litter(study) == []
