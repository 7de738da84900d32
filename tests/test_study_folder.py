"""The study folder: made once, found again, with the same modes under every umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import IntegrityFailure, NoStudy, UsageProblem
from store.permissions import network_file_system
from store.study import create_study, open_study


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=["022", "027", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_under(root: Path) -> dict[str, str]:
    paths = [root, *sorted(root.rglob("*"))]
    return {str(path.relative_to(root)): oct(stat.S_IMODE(path.stat().st_mode)) for path in paths}


def test_a_study_of_one_person_is_closed_to_others_except_for_releases(tmp_path: Path, umask: int) -> None:
    study = create_study(tmp_path / "trial")
    assert modes_under(study.root) == {
        ".": "0o755",
        "ledger": "0o700",
        "ledger/ledger.sqlite": "0o600",
        "ledger/ledger.sqlite-journal": "0o600",
        "releases": "0o755",
        "sources": "0o700",
    }


def test_a_shared_study_is_open_to_its_group(tmp_path: Path, umask: int) -> None:
    group = os.getegid()
    study = create_study(tmp_path / "trial", group=str(group))
    assert modes_under(study.root) == {
        ".": "0o2755",
        "ledger": "0o2770",
        "ledger/ledger.sqlite": "0o660",
        "ledger/ledger.sqlite-journal": "0o660",
        "releases": "0o2755",
        "sources": "0o2750",
    }
    assert {path.stat().st_gid for path in study.root.rglob("*")} == {group}
    assert study.shared


def test_a_study_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create_study(tmp_path / "trial")
    monkeypatch.chdir(tmp_path)
    assert open_study("trial") == made
    assert open_study(made.root / "sources" / "..") == made


@pytest.mark.parametrize("what", ["nothing", "empty folder", "file"])
def test_a_folder_without_a_study_is_exit_10(tmp_path: Path, what: str) -> None:
    path = tmp_path / "trial"
    if what == "empty folder":
        path.mkdir()
    if what == "file":
        path.write_text("not a study")
    with pytest.raises(NoStudy) as caught:
        open_study(path)
    assert caught.value.exit_code == 10
    assert "dosetrail init" in caught.value.remedy


def test_a_study_is_not_made_over_something_else(tmp_path: Path) -> None:
    create_study(tmp_path / "trial")
    before = modes_under(tmp_path)
    with pytest.raises(UsageProblem, match="not an empty folder"):
        create_study(tmp_path / "trial")
    assert modes_under(tmp_path) == before


def test_an_unknown_group_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no group no-such-group"):
        create_study(tmp_path / "trial", group="no-such-group")
    assert list(tmp_path.iterdir()) == []


def test_current_is_resolved_to_a_real_path(tmp_path: Path) -> None:
    study = create_study(tmp_path / "trial")
    assert study.current_release() is None
    (study.releases_dir / "000042").mkdir()
    study.current_link.symlink_to("releases/000042")
    release = study.current_release()
    assert release is not None
    assert (release.number, release.trial) == (42, study.root / "releases" / "000042" / "trial.duckdb")


@pytest.mark.parametrize("target", ["releases/000042", "..", "sources", "/etc"])
def test_a_current_that_is_no_release_is_an_integrity_failure(tmp_path: Path, target: str) -> None:
    study = create_study(tmp_path / "trial")
    study.current_link.symlink_to(target)
    with pytest.raises(IntegrityFailure, match="not a release"):
        study.current_release()


def test_a_network_file_system_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = (
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 21 0:50 / /srv/trials\\040here rw - nfs4 server:/trials rw\n"
        "41 40 8:2 / /srv/trials\\040here/local rw - xfs /dev/sdb1 rw\n"
    )
    table = tmp_path / "mountinfo"
    table.write_text(mounts)
    monkeypatch.setattr("store.permissions._MOUNTS", table)
    assert network_file_system(Path("/srv/trials here/one")) == "nfs4"
    assert network_file_system(Path("/srv/trials here/local/one")) is None
    assert network_file_system(Path("/home/one")) is None
