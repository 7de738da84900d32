"""An import that is killed, interrupted or runs out of disk: the last release stays, the next run finishes the work."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from importing_child import begin, end_after, start_child
from studies import blinded_protocol, copy_study, current_digest, few_files, litter, new_study

from store.publish import PUBLISH_STEPS, release_numbers
from store.study import Study
from store.verify import verify_study
from tui.pipeline import import_paths

STEPS = ("archived", "parsed", "built", *PUBLISH_STEPS)
COMMITTED = STEPS[STEPS.index("committed") :]
KILLS = 30


@dataclass(frozen=True)
class Begun:
    """A study with release 1 (enrolment, devices, disposition), and the files its next import brings."""

    study: Study
    files: list[Path]
    before: str
    """Logical digest of release 1."""
    after: str
    """Logical digest of the release that an undisturbed import of the files makes."""
    seconds: float
    """Time such an import takes in a child."""


def begun_study(folder: Path, protocol: str | None = None) -> Begun:
    dm, di, ec, ae, ds = few_files(folder / "in")
    study = new_study(folder / "study", protocol)
    assert import_paths(study, [dm, di, ds]).exit_code == 0
    undisturbed = copy_study(study, folder / "undisturbed")
    child = start_child()
    begin(child, undisturbed.root, [ec, ae])
    started = time.monotonic()
    assert child.wait() == 0
    seconds = time.monotonic() - started
    return Begun(study, [ec, ae], current_digest(study), current_digest(undisturbed), seconds)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begun_study(tmp_path_factory.mktemp("begun"))


@pytest.fixture(scope="module")
def blinded(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begun_study(tmp_path_factory.mktemp("blinded"), blinded_protocol())


def check_whole(study: Study, begun: Begun) -> None:
    """Whatever happened: the ledger goes on from where it was, and the current release is one of the two, whole."""
    head = begun.study.ledger.head()
    assert study.ledger.verify_chain(str(head)).seq >= head.seq
    assert current_digest(study) in (begun.before, begun.after)


def check_recovered(study: Study, begun: Begun) -> None:
    """The next run brings the study to where an undisturbed import would have brought it, and clears up."""
    report = import_paths(study, begun.files)
    assert report.exit_code in (0, 4)
    assert litter(study) == []
    assert [check for check in verify_study(study) if not check.ok] == []
    assert current_digest(study) == begun.after
    assert release_numbers(study) == [1, 2]
    rows = study.ledger.read(since=begun.study.ledger.head().seq)
    assert sorted(row.action for row in rows) == ["import_source", "import_source", "make_release"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(begun: Begun, tmp_path: Path, step: str) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = start_child(DOSETRAIL_KILL_AT=step)
    begin(child, study.root, begun.files)
    assert end_after(child, 60, signal.SIGKILL) == -signal.SIGKILL
    check_whole(study, begun)
    committed = study.ledger.head() != begun.study.ledger.head()
    assert committed == (step in COMMITTED)
    assert current_digest(study) == (begun.after if step in ("switched", "published") else begun.before)
    check_recovered(study, begun)


@pytest.mark.parametrize("step", ["built", "release_synced", "ledger_written", "committed", "switched"])
def test_a_blinded_import_killed_at_a_step(blinded: Begun, tmp_path: Path, step: str) -> None:
    study = copy_study(blinded.study, tmp_path / "study")
    child = start_child(DOSETRAIL_KILL_AT=step)
    begin(child, study.root, blinded.files)
    assert end_after(child, 60, signal.SIGKILL) == -signal.SIGKILL
    check_whole(study, blinded)
    study.unblinded_ledger.verify_chain()
    check_recovered(study, blinded)


def kill_at_random(begun: Begun, folder: Path, kills: int, seed: int, *, in_a_row: int) -> list[int]:
    """Kill `kills` imports, up to `in_a_row` of them one after the other; returns their exit codes."""
    moments = random.Random(seed)
    codes: list[int] = []
    child = start_child()
    try:
        while len(codes) < kills:
            study = copy_study(begun.study, folder / f"study-{len(codes)}")
            for _ in range(moments.randint(1, in_a_row)):
                begin(child, study.root, begun.files)
                codes.append(end_after(child, moments.uniform(0, begun.seconds), signal.SIGKILL))
                # The next one loads while this study is looked at.
                child = start_child()
                check_whole(study, begun)
            check_recovered(study, begun)
    finally:
        child.kill()
        child.communicate()
    return codes


def test_killed_at_random_moments(begun: Begun, tmp_path: Path) -> None:
    codes = kill_at_random(begun, tmp_path, KILLS, seed=20261123, in_a_row=3)
    assert codes.count(-signal.SIGKILL) >= 0.8 * len(codes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_many_random_moments(begun: Begun, blinded: Begun, tmp_path: Path, seed: int) -> None:
    for number, study in enumerate((begun, blinded)):
        codes = kill_at_random(study, tmp_path / str(number), 50, seed, in_a_row=4)
        assert codes.count(-signal.SIGKILL) >= 0.8 * len(codes)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_ctrl_c_changes_nothing(begun: Begun, tmp_path: Path, share: float) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = start_child()
    begin(child, study.root, begun.files)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(max(share * begun.seconds, 0.01))
    child.send_signal(signal.SIGINT)
    said, complaint = child.communicate()
    assert complaint == ""
    if child.returncode == 0:
        # Pressed in the milliseconds after the commit: the run is done and says so.
        assert current_digest(study) == begun.after
        return
    assert child.returncode == 130
    assert json.loads(said)["message"] == "Interrupted."
    assert study.ledger.head() == begun.study.ledger.head()
    assert current_digest(study) == begun.before
    assert litter(study) == []


@pytest.mark.parametrize("limit", [1_000, 60_000, 300_000, 1_000_000])
def test_a_full_disk_changes_nothing(begun: Begun, tmp_path: Path, limit: int) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = start_child()
    begin(child, study.root, begun.files, file_size=limit)
    said, complaint = child.communicate()
    assert (child.returncode, complaint) == (13, "")
    told = json.loads(said)
    assert told["error"] == "DiskFull"
    assert "no room" in told["message"].lower()
    assert study.ledger.head() == begun.study.ledger.head()
    assert current_digest(study) == begun.before
    assert litter(study) == []
    check_recovered(study, begun)
