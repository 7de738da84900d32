"""A study shared by ordinary users of one group: what each may do, through whole commands and under every umask."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from as_user import needs_root, open_folder, run_as
from studies import PROTOCOL, blinded_protocol, few_files
from user_worker import COMMANDS, Refused, User, users

from store.ledger import Entry
from store.study import Study, open_study

__all__ = ["open_folder"]

pytestmark = needs_root

TEAM, UNBLINDED = 12103, 12105
OWNER, MEMBER, STRANGER, STATISTICIAN = 12101, 12102, 12104, 12106
WRITERS = 10
NOTES_EACH = 5


@pytest.fixture(scope="module")
def people() -> Iterator[list[User]]:
    everybody = ((OWNER, [OWNER, TEAM, UNBLINDED]), (MEMBER, [MEMBER, TEAM]), (STRANGER, [STRANGER]))
    with users(*everybody, without_commands=(STRANGER,)) as made:
        yield made


# The strictest; what more sites use is among the slow tests.
@pytest.fixture(params=[*(pytest.param(umask, marks=pytest.mark.slow) for umask in (0o022, 0o027)), 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def transfer(open_folder: Path) -> list[str]:
    """Files that everybody may read."""
    paths = few_files(open_folder / "in", doses=3)
    for path in (open_folder / "in", *paths):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return [str(path) for path in paths]


def made_by(owner: User, umask: int, root: Path, protocol: str, files: list[str]) -> Study:
    """A shared study that its owner made and imported into."""
    told = owner.does(umask, "command", "init", str(root), "--group", str(TEAM))
    assert told["code"] == 0, told
    owner.does(umask, "write_text", root / "protocol.toml", protocol)
    told = owner.does(umask, "command", "import", "--json", "--study", str(root), *files)
    assert told["code"] == 0, told
    return open_study(root)


def refused(user: User, umask: int, task: str, *arguments: Any) -> str:
    with pytest.raises(Refused) as caught:
        user.does(umask, task, *arguments)
    return str(caught.value)


def access(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return oct(stat.S_IMODE(state.st_mode)), state.st_uid, state.st_gid


def test_who_may_do_what(people: list[User], open_folder: Path, transfer: list[str], umask: int) -> None:
    owner, member, stranger = people
    study = made_by(owner, umask, open_folder / "study", PROTOCOL.read_text(), transfer)
    source = next(study.sources_dir.glob("??/*.zst"))
    # A member reads the release, the sources and what happened, and adds to it.
    for link in (study.trial_link, study.current_link / "trial.duckdb"):
        assert member.does(umask, "count_subjects", link) == 6
    assert member.does(umask, "read_bytes", source) > 0
    head = study.ledger.head().seq
    assert member.does(umask, "note", study.root, "seen") == head + 1
    assert owner.does(umask, "note", study.root, "seen too") == head + 2
    for line in COMMANDS if umask == 0o077 else COMMANDS[:2]:
        told = member.does(umask, "command", *line, "--study", str(study.root))
        assert told["code"] == 0, (line, told)
    # A member makes no release and writes to no part but the ledger.
    for line in (("import", *transfer), ("release",), ("rebuild",)):
        told = member.does(umask, "command", *line, "--study", str(study.root))
        assert (told["code"], "Only the owner" in told["err"]) == (2, True), (line, told)
    for place in ("protocol.toml", "trial.duckdb", f"sources/{source.parent.name}/{source.name}"):
        assert "PermissionError" in refused(member, umask, "write_text", study.root / place, "x")
    for place in ("releases/x", "releases/000001/x", "sources/x", "x"):
        assert "PermissionError" in refused(member, umask, "touch", study.root / place)
    # A stranger reads what is released, and nothing of how it came about.
    assert stranger.does(umask, "count_subjects", study.trial_link) == 6
    for place in (source, study.ledger_path):
        assert "PermissionError" in refused(stranger, umask, "read_bytes", place)
    for folder in (study.ledger_dir, study.sources_dir):
        assert "PermissionError" in refused(stranger, umask, "list_folder", folder)
    assert "NotAllowed" in refused(stranger, umask, "note", study.root, "x")
    # What the owner does next is as open to the member, whatever umask wrote the ledger meanwhile.
    study_files = {path for path in study.root.rglob("*") if not path.is_symlink()}
    assert {path.stat().st_gid for path in study_files if path.name not in (".import.lock", "protocol.toml")} == {TEAM}
    assert access(study.ledger_path) == ("0o660", OWNER, TEAM)
    study.ledger.verify_chain()


def write_notes(study: Study, writer: int) -> None:
    for number in range(NOTES_EACH):
        study.ledger.append([Entry("note", f"writer/{writer}", new=number)])


def test_ten_members_write_the_ledger_at_once_while_the_owner_imports(
    people: list[User], open_folder: Path, transfer: list[str]
) -> None:
    owner = people[0]
    study = made_by(owner, 0o077, open_folder / "study", PROTOCOL.read_text(), transfer[:2])
    before = study.ledger.head().seq
    children = Writers(study)
    told = owner.does(0o077, "command", "import", "--study", str(study.root), *transfer[2:])
    children.wait()
    assert told["code"] == 0, told
    rows = study.ledger.read(since=before, actions=["note"])
    assert len(rows) == WRITERS * NOTES_EACH
    assert {row.uid for row in rows} == {MEMBER}
    for writer in range(WRITERS):
        assert [row.new_value for row in rows if row.record == f"writer/{writer}"] == list(range(NOTES_EACH))
    study.ledger.verify_chain()


class Writers:
    """Ten processes of the member that append to the ledger at the same time."""

    def __init__(self, study: Study) -> None:
        import threading

        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(study, number)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _run(self, study: Study, writer: int) -> None:
        try:
            run_as(MEMBER, (MEMBER, TEAM), 0o077, lambda: write_notes(study, writer))
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._failed.append(error)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]


def test_a_blinded_study_keeps_the_arms_from_the_group(
    people: list[User], open_folder: Path, transfer: list[str], umask: int
) -> None:
    owner, member, stranger = people
    study = made_by(owner, umask, open_folder / "study", blinded_protocol(), transfer)
    release = study.releases_dir / "000001"
    assert member.does(umask, "count_subjects", study.trial_link) == 6
    closed = [
        release / "unblinded.duckdb",
        study.unblinded_ledger_path,
        study.ledger_dir / "unblinded.sqlite-journal",
        study.protocol_path,
        *study.sources_dir.glob("??/*.zst"),
    ]
    assert len(closed) == 4 + len(transfer) + 1
    for path in closed:
        for user in (member, stranger):
            assert "PermissionError" in refused(user, umask, "read_bytes", path), path
        assert owner.does(umask, "read_bytes", path) >= 0
    # A group was not named for the unblinded part: it is the owner's alone, not that of the owner's own group.
    assert {access(path)[0] for path in closed} <= {"0o400", "0o600"}
    told = member.does(umask, "command", "summary", "--unblinded", "--study", str(study.root))
    assert told["code"] == 2, told
    told = member.does(umask, "command", "verify", "--json", "--study", str(study.root))
    assert told["code"] == 0, told
    assert json.loads(told["out"])["sound"] is True
    # An editor that replaces the protocol opens it again; the next run of the owner closes it.
    owner.does(umask, "write_text", study.protocol_path, blinded_protocol() + "\n# a word more\n")
    study.protocol_path.chmod(0o644)
    assert owner.does(umask, "command", "release", "--study", str(study.root))["code"] == 0
    assert "PermissionError" in refused(member, umask, "read_bytes", study.protocol_path)


def test_the_unblinded_group_reads_what_is_unblinded(
    people: list[User], open_folder: Path, transfer: list[str]
) -> None:
    owner, member, _ = people
    root = open_folder / "study"
    assert owner.does(0o077, "command", "init", str(root), "--group", str(TEAM))["code"] == 0
    study = open_study(root)
    run_as(OWNER, (OWNER, TEAM, UNBLINDED), 0o077, lambda: study.create_unblinded_ledger(str(UNBLINDED)) and None)
    owner.does(0o077, "write_text", study.protocol_path, blinded_protocol())
    assert owner.does(0o077, "command", "import", "--study", str(root), *transfer)["code"] == 0
    unblinded = study.releases_dir / "000001" / "unblinded.duckdb"
    groups = (STATISTICIAN, TEAM, UNBLINDED)
    for path in (unblinded, study.protocol_path, *study.sources_dir.glob("??/*.zst")):
        assert run_as(STATISTICIAN, groups, 0o077, lambda path=path: len(path.read_bytes())) > 0
        assert "PermissionError" in refused(member, 0o077, "read_bytes", path)


def test_a_study_that_becomes_blinded_closes_what_was_open(
    people: list[User], open_folder: Path, transfer: list[str]
) -> None:
    owner, member, _ = people
    study = made_by(owner, 0o022, open_folder / "study", PROTOCOL.read_text(), transfer)
    assert member.does(0o022, "read_bytes", study.releases_dir / "000001" / "trial.duckdb") > 0
    owner.does(0o022, "write_text", study.protocol_path, blinded_protocol())
    told = owner.does(0o022, "command", "release", "--study", str(study.root))
    assert told["code"] == 0
    assert "made while the trial was open (1) show the arms" in " ".join(told["out"].split())
    assert member.does(0o022, "count_subjects", study.trial_link) == 6
    closed = [study.releases_dir / "000001" / "trial.duckdb", study.protocol_path, *study.sources_dir.glob("??/*.zst")]
    for path in closed:
        assert "PermissionError" in refused(member, 0o022, "read_bytes", path), path
