"""An import that is killed, interrupted or runs out of disk: the last release stays, the next run finishes the work."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from importing_child import Children, children, end_after
from studies import blinded_protocol, copy_study, current_digest, few_files, litter, new_study

from store.facts import read_releases
from store.publish import PUBLISH_STEPS, release_numbers
from store.study import Study
from store.verify import verify_study
from tui.pipeline import import_paths
from tui.rebuilding import rebuild

STEPS = ("archived", "parsed", "built", *PUBLISH_STEPS)
COMMITTED = STEPS[STEPS.index("committed") :]
KILLS = 4
MANY_KILLS = int(os.environ.get("DOSETRAIL_KILLS", "400"))
"""Of the slow test, over four seeds and two studies."""


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


@pytest.fixture(scope="module")
def importers() -> Iterator[Children]:
    with children() as made:
        yield made


def begun_study(importers: Children, folder: Path, protocol: str | None = None) -> Begun:
    dm, di, ec, ae, ds = few_files(folder / "in")
    study = new_study(folder / "study", protocol)
    assert import_paths(study, [dm, di, ds]).exit_code == 0
    undisturbed = copy_study(study, folder / "undisturbed")
    child = importers.begin(undisturbed.root, [ec, ae])
    started = time.monotonic()
    assert end_after(child, 60, signal.SIGKILL)[0] == 0
    seconds = time.monotonic() - started
    return Begun(study, [ec, ae], current_digest(study), current_digest(undisturbed), seconds)


@pytest.fixture(scope="module")
def begun(importers: Children, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begun_study(importers, tmp_path_factory.mktemp("begun"))


@pytest.fixture(scope="module")
def blinded(importers: Children, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begun_study(importers, tmp_path_factory.mktemp("blinded"), blinded_protocol())


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
    # Among the checks: the current release has the digest that its commit recorded.
    assert [check for check in verify_study(study) if not check.ok] == []
    assert [release.digest for release in read_releases(study.ledger.read())] == [begun.before, begun.after]
    assert release_numbers(study) == [1, 2]
    rows = study.ledger.read(since=begun.study.ledger.head().seq)
    actions = sorted(row.action for row in rows if row.action != "restore_release")
    assert actions == ["import_source", "import_source", "make_release"]


# Each step that leaves the study in a state of its own; those between them are among the slow tests.
@pytest.mark.parametrize(
    "step",
    [
        step
        if step in ("parsed", "release_built", "ledger_written", "committed", "switched")
        else pytest.param(step, marks=pytest.mark.slow)
        for step in STEPS
    ],
)
def test_killed_at_a_step(importers: Children, begun: Begun, tmp_path: Path, step: str) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = importers.begin(study.root, begun.files, kill_at=step)
    assert end_after(child, 60, signal.SIGTERM)[0] == -signal.SIGKILL
    check_whole(study, begun)
    committed = study.ledger.head() != begun.study.ledger.head()
    assert committed == (step in COMMITTED)
    assert current_digest(study) == (begun.after if step in ("switched", "published") else begun.before)
    check_recovered(study, begun)


@pytest.mark.parametrize(
    "step",
    [
        "committed",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("archived", "built", "ledger_written", "switched")),
    ],
)
def test_a_blinded_import_killed_at_a_step(importers: Children, blinded: Begun, tmp_path: Path, step: str) -> None:
    study = copy_study(blinded.study, tmp_path / "study")
    child = importers.begin(study.root, blinded.files, kill_at=step)
    assert end_after(child, 60, signal.SIGTERM)[0] == -signal.SIGKILL
    check_whole(study, blinded)
    study.unblinded_ledger.verify_chain()
    check_recovered(study, blinded)


def kill_at_random(
    importers: Children, begun: Begun, folder: Path, kills: int, seed: int, *, in_a_row: int
) -> list[int]:
    """Kill `kills` imports, up to `in_a_row` of them one after the other; returns their exit codes."""
    moments = random.Random(seed)
    codes: list[int] = []
    while len(codes) < kills:
        study = copy_study(begun.study, folder / f"study-{len(codes)}")
        for _ in range(moments.randint(1, in_a_row)):
            child = importers.begin(study.root, begun.files)
            codes.append(end_after(child, moments.uniform(0, begun.seconds), signal.SIGKILL)[0])
            check_whole(study, begun)
        check_recovered(study, begun)
    return codes


@pytest.mark.slow
def test_killed_at_random_moments(importers: Children, begun: Begun, tmp_path: Path) -> None:
    codes = kill_at_random(importers, begun, tmp_path, KILLS, seed=20261123, in_a_row=3)
    # How many a kill still finds at work depends on the machine's load; none would prove nothing.
    assert codes.count(-signal.SIGKILL) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_many_random_moments(
    importers: Children, begun: Begun, blinded: Begun, tmp_path: Path, seed: int
) -> None:
    for number, study in enumerate((begun, blinded)):
        codes = kill_at_random(importers, study, tmp_path / str(number), MANY_KILLS // 8, seed, in_a_row=3)
        assert codes.count(-signal.SIGKILL) >= 0.25 * len(codes)


@pytest.mark.parametrize("share", [pytest.param(0.3, marks=pytest.mark.slow), 0.8])
def test_a_rebuild_killed_at_any_moment(importers: Children, begun: Begun, tmp_path: Path, share: float) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    shutil.rmtree(study.releases_dir / "000001")
    child = importers.run("rebuild", "--study", study.root)
    end_after(child, share * begun.seconds, signal.SIGKILL)
    rebuild(study)
    assert litter(study) == []
    assert [check for check in verify_study(study) if not check.ok] == []
    assert current_digest(study) == begun.before
    check_recovered(study, begun)


def test_two_imports_at_once(importers: Children, begun: Begun, tmp_path: Path) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    both = [importers.begin(study.root, begun.files), importers.begin(study.root, begun.files)]
    codes = sorted(end_after(child, 60, signal.SIGKILL)[0] for child in both)
    # The second one finds the first at work, or comes when it has ended and has nothing new.
    assert codes in ([0, 11], [0, 4])
    check_recovered(study, begun)


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.slow), 0.4, 0.8])
def test_ctrl_c_changes_nothing(importers: Children, begun: Begun, tmp_path: Path, share: float) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = importers.begin(study.root, begun.files)
    code, said, complained = end_after(child, share * begun.seconds, signal.SIGINT)
    assert complained == ""
    if code == 0:
        # Too late, because the commit had begun: the run is done and says so.
        assert json.loads(said)["release"] == 2
        assert current_digest(study) == begun.after
        return
    assert code == 130
    assert json.loads(said)["message"] == "Interrupted."
    assert study.ledger.head() == begun.study.ledger.head()
    assert current_digest(study) == begun.before
    assert litter(study) == []


@pytest.mark.parametrize(
    "limit", [1_000, *(pytest.param(limit, marks=pytest.mark.slow) for limit in (60_000, 300_000)), 1_000_000]
)
def test_a_full_disk_changes_nothing(importers: Children, begun: Begun, tmp_path: Path, limit: int) -> None:
    study = copy_study(begun.study, tmp_path / "study")
    child = importers.begin(study.root, begun.files, file_size=limit)
    code, said, complained = end_after(child, 60, signal.SIGKILL)
    assert (code, complained) == (13, "")
    told = json.loads(said)
    assert told["error"] == "DiskFull"
    assert "no room" in told["message"].lower()
    assert study.ledger.head() == begun.study.ledger.head()
    assert current_digest(study) == begun.before
    assert litter(study) == []
    check_recovered(study, begun)
