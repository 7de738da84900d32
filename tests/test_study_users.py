"""A study shared by ordinary users: who may do what, and that nobody's umask locks the others out."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from as_user import needs_root, open_folder, run_as

from store.errors import NotAllowed
from store.facts import MAKE_RELEASE
from store.ledger import Entry
from store.locking import import_lock, running_import
from store.publish import building_folder, finish_interrupted, publish, sweep
from store.sources import SourceArchive
from store.study import Study, create_study, open_study

__all__ = ["open_folder"]

pytestmark = needs_root

TEAM, UNBLINDED = 12003, 12005


@dataclass(frozen=True)
class Person:
    """A user by numbers only: no account file knows them."""

    uid: int
    groups: tuple[int, ...]
    umask: int

    def does(self, function: Callable[[], Any]) -> Any:
        return run_as(self.uid, self.groups, self.umask, function)


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=["022", "027", "077"])
def umask(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def owner(umask: int) -> Person:
    return Person(12001, (12001, TEAM, UNBLINDED), umask)


@pytest.fixture
def coordinator(umask: int) -> Person:
    return Person(12002, (12002, TEAM), umask)


@pytest.fixture
def statistician(umask: int) -> Person:
    """In the study's and in the unblinded group."""
    return Person(12006, (12006, TEAM, UNBLINDED), umask)


@pytest.fixture
def outsider() -> Person:
    return Person(12004, (12004,), 0o022)


@pytest.fixture
def study(open_folder: Path, owner: Person) -> Iterator[Study]:
    """A shared blinded study with one release, made by its owner."""
    root = open_folder / "trial"

    def make() -> None:
        made = create_study(root, group=str(TEAM))
        made.create_unblinded_ledger(str(UNBLINDED))
        publish_fake(made, 1)

    owner.does(make)
    yield open_study(root)


def publish_fake(study: Study, number: int) -> None:
    with import_lock(study), building_folder(study) as folder:
        (folder / "trial.duckdb").write_bytes(b"blinded rows")
        (folder / "unblinded.duckdb").write_bytes(b"arms")
        publish(
            study,
            folder,
            number,
            [Entry(MAKE_RELEASE, f"release/{number:06d}", new={"release": number})],
            unblinded_entries=[Entry("note", "arm/A", new=number)],
        )


def note(study: Study, text: str) -> int:
    return study.ledger.append([Entry("note", f"note/{text}")], role="coordinator").seq


def access(path: Path) -> tuple[str, int]:
    state = path.stat()
    return oct(stat.S_IMODE(state.st_mode)), state.st_gid


def test_every_mode_is_as_designed(study: Study, owner: Person) -> None:
    plain = owner.does(lambda: SourceArchive(study).archive_bytes(b"doses").stored_path)
    unblinding = owner.does(lambda: SourceArchive(study).archive_bytes(b"arms", unblinding=True).stored_path)
    release = study.releases_dir / "000001"
    expected = {
        study.root: ("0o2755", TEAM),
        study.ledger_dir: ("0o2770", TEAM),
        study.ledger_path: ("0o660", TEAM),
        study.ledger_dir / "ledger.sqlite-journal": ("0o660", TEAM),
        study.unblinded_ledger_path: ("0o660", UNBLINDED),
        study.ledger_dir / "unblinded.sqlite-journal": ("0o660", UNBLINDED),
        study.releases_dir: ("0o2755", TEAM),
        release: ("0o2755", TEAM),
        release / "trial.duckdb": ("0o444", TEAM),
        release / "unblinded.duckdb": ("0o440", UNBLINDED),
        study.sources_dir: ("0o2750", TEAM),
        plain.parent: ("0o2750", TEAM),
        plain: ("0o440", TEAM),
        unblinding: ("0o440", UNBLINDED),
    }
    assert {path: access(path) for path in expected} == expected
    assert {path.stat().st_uid for path in expected} == {owner.uid}


def test_owner_and_coordinator_write_the_ledger_in_turn(study: Study, owner: Person, coordinator: Person) -> None:
    start = study.ledger.head().seq
    for turn in range(1, 5):
        person = coordinator if turn % 2 else owner
        assert person.does(lambda: note(study, "x")) == start + turn
    rows = coordinator.does(lambda: study.ledger.read(since=start))
    assert [row.uid for row in rows] == [coordinator.uid, owner.uid] * 2
    # No account file knows the two, so the number stands for the name.
    assert [row.user for row in rows] == [str(coordinator.uid), str(owner.uid)] * 2
    assert owner.does(lambda: study.ledger.verify_chain()).seq == start + 4


def test_one_finishes_what_the_others_kill_left(study: Study, owner: Person, coordinator: Person) -> None:
    def killed_append() -> None:
        entries = [Entry("note", f"note/{i}", new="x" * 4000) for i in range(2000)]
        study.ledger.append(entries, before_commit=lambda: os.kill(os.getpid(), signal.SIGKILL))

    head = study.ledger.head()
    for first, second in ((coordinator, owner), (owner, coordinator)):
        assert first.does(killed_append) == signal.SIGKILL
        assert (study.ledger_dir / "ledger.sqlite-journal").stat().st_size > 0
        assert second.does(lambda: study.ledger.head()) == head
        assert second.does(lambda: note(study, "after")) == head.seq + 1
        head = study.ledger.head()


def test_a_reader_without_write_permission_reads_around_a_killed_append(
    study: Study, owner: Person, coordinator: Person
) -> None:
    def killed_append() -> None:
        entries = [Entry("note", f"note/{i}", new="x" * 4000) for i in range(2000)]
        study.ledger.append(entries, before_commit=lambda: os.kill(os.getpid(), signal.SIGKILL))

    head = study.ledger.head()
    assert owner.does(killed_append) == signal.SIGKILL
    journal = study.ledger_dir / "ledger.sqlite-journal"
    for path in (study.ledger_path, journal):
        path.chmod(0o640)
    study.ledger_dir.chmod(0o2750)
    size = journal.stat().st_size
    assert coordinator.does(lambda: study.ledger.verify_chain(str(head))) == head
    assert journal.stat().st_size == size
    with pytest.raises(NotAllowed, match="may not write to the ledger"):
        coordinator.does(lambda: note(study, "refused"))


def test_a_coordinator_cannot_import_release_or_archive(study: Study, coordinator: Person) -> None:
    for attempt in (
        lambda: publish_fake(study, 2),
        lambda: SourceArchive(study).archive_bytes(b"x"),
        lambda: study.require_owner("import"),
    ):
        with pytest.raises(NotAllowed, match="Only the owner of this study \\(12001\\) may") as caught:
            coordinator.does(attempt)
        assert caught.value.exit_code == 2
    assert coordinator.does(lambda: sweep(study)) == []
    assert coordinator.does(lambda: finish_interrupted(study)) is None
    with pytest.raises(PermissionError):
        coordinator.does(lambda: (study.releases_dir / "000001" / "trial.duckdb").open("r+b"))


def test_root_is_not_the_owner(study: Study) -> None:
    with pytest.raises(NotAllowed, match="you are root") as caught:
        publish_fake(study, 2)
    assert "sudo -u 12001" in caught.value.remedy


def test_arms_are_closed_to_the_blinded(study: Study, owner: Person, coordinator: Person, statistician: Person) -> None:
    sha256 = owner.does(lambda: SourceArchive(study).archive_bytes(b"arms", unblinding=True).sha256)

    def read_source() -> bytes:
        with SourceArchive(study).open(sha256) as stream:
            return stream.read()

    release = study.current_release()
    assert release is not None
    assert coordinator.does(lambda: release.trial.read_bytes()) == b"blinded rows"
    assert statistician.does(lambda: release.unblinded.read_bytes()) == b"arms"
    assert statistician.does(lambda: study.unblinded_ledger.read()[0].new_value) == 1
    assert statistician.does(read_source) == b"arms"
    assert coordinator.does(lambda: study.has_unblinded_ledger)
    with pytest.raises(PermissionError):
        coordinator.does(lambda: release.unblinded.read_bytes())
    for attempt in (lambda: study.unblinded_ledger.read(), read_source):
        with pytest.raises(NotAllowed):
            coordinator.does(attempt)


def test_a_journal_of_the_unblinded_ledger_is_never_open_to_the_blinded(
    study: Study, coordinator: Person, statistician: Person
) -> None:
    journal = study.ledger_dir / "unblinded.sqlite-journal"

    def delete_journal() -> None:
        with sqlite3.connect(study.unblinded_ledger_path) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        journal.unlink(missing_ok=True)

    statistician.does(delete_journal)

    def killed_append() -> None:
        entries = [Entry("note", f"arm/{i}", new="x" * 4000) for i in range(2000)]
        study.unblinded_ledger.append(entries, before_commit=lambda: os.kill(os.getpid(), signal.SIGKILL))

    assert statistician.does(killed_append) == signal.SIGKILL
    assert journal.stat().st_size > 0
    assert access(journal) == ("0o660", UNBLINDED)
    with pytest.raises(PermissionError):
        coordinator.does(lambda: journal.read_bytes())


def test_an_outsider_sees_the_release_and_nothing_else(study: Study, outsider: Person) -> None:
    release = outsider.does(lambda: open_study(study.root).current_release())
    assert outsider.does(lambda: release.trial.read_bytes()) == b"blinded rows"
    assert outsider.does(lambda: running_import(study)) is None
    assert not outsider.does(lambda: study.has_unblinded_ledger)
    with pytest.raises(NotAllowed, match="12004 may not read the ledger"):
        outsider.does(lambda: study.ledger.read())
    with pytest.raises(PermissionError):
        outsider.does(lambda: release.unblinded.read_bytes())
    with pytest.raises(PermissionError):
        outsider.does(lambda: list(study.sources_dir.iterdir()))


def test_a_study_cannot_be_given_to_a_group_one_is_not_in(open_folder: Path, umask: int) -> None:
    loner = Person(12007, (12007,), umask)
    with pytest.raises(NotAllowed, match="cannot be given to group 12003"):
        loner.does(lambda: create_study(open_folder / "other", group=str(TEAM)))
    assert list(open_folder.iterdir()) == []


def test_an_unblinded_file_without_a_group_of_its_own_stays_with_the_owner(open_folder: Path, umask: int) -> None:
    alone = Person(12001, (TEAM,), umask)
    root = open_folder / "trial"

    def make() -> None:
        study = create_study(root, group=str(TEAM))
        study.create_unblinded_ledger()
        publish_fake(study, 1)

    alone.does(make)
    assert access(root / "releases" / "000001" / "unblinded.duckdb") == ("0o400", TEAM)
    assert access(root / "ledger" / "unblinded.sqlite") == ("0o600", TEAM)
