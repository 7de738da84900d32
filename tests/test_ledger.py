"""The ledger: appended rows come back, concurrent writers lose nothing, mistakes are refused, damage does no harm."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import DiskFull, IntegrityFailure, UsageProblem
from store.ledger import Entry, Ledger
from store.ledger_chain import GENESIS, Head

KILLED_APPEND = """
import os, signal, sys
from pathlib import Path
from store.ledger import Entry, Ledger
entries = [Entry("note", f"note/{i}", new="x" * 4000) for i in range(2000)]
Ledger(Path(sys.argv[1])).append(entries, before_commit=lambda: os.kill(os.getpid(), signal.SIGKILL))
"""

WRITER = """
import sys
from pathlib import Path
from store.ledger import Entry, Ledger
ledger = Ledger(Path(sys.argv[1]))
for i in range(50):
    ledger.append([Entry("note", f"writer/{sys.argv[2]}", field=str(i))])
"""

NO_ROOM = """
import json, resource, sys
from pathlib import Path
from store.errors import DosetrailError
from store.ledger import Entry, Ledger
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    Ledger(Path(sys.argv[1])).append([Entry("note", "note/1", new="x" * 200_000)])
except DosetrailError as error:
    print(json.dumps(error.attrs()))
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger.sqlite", mode=0o600)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )


def test_an_empty_ledger_has_a_head(ledger: Ledger) -> None:
    assert ledger.head() == Head(0, GENESIS)
    assert ledger.verify_chain() == Head(0, GENESIS)
    assert ledger.append([]) == Head(0, GENESIS)


def test_entries_come_back_as_they_were_given(ledger: Ledger) -> None:
    head = ledger.append(
        [
            Entry("assign", "device/SN-7", "subject", old=None, new="S07-001", reason="swapped at visit 3"),
            Entry("import_source", "source/ab", new={"rows": 7, "amount": "0.025", "müde": [True, None]}),
        ],
        role="coordinator",
    )
    first, second = ledger.read()
    assert (first.seq, first.action, first.record, first.field) == (1, "assign", "device/SN-7", "subject")
    assert (first.old_value, first.new_value, first.reason) == (None, "S07-001", "swapped at visit 3")
    assert (first.role, first.uid) == ("coordinator", os.geteuid())
    assert second.new_value == {"rows": 7, "amount": "0.025", "müde": [True, None]}
    assert head == Head(second.seq, second.hash) == ledger.head()
    assert [row.seq for row in ledger.read(since=1)] == [2]
    assert [row.seq for row in ledger.read(upto=1)] == [1]
    assert [row.seq for row in ledger.read(actions=["assign"])] == [1]


def test_the_hash_can_be_checked_from_its_description_alone(ledger: Ledger) -> None:
    ledger.append([Entry("note", "note/1", new='a "quoted" ünïcode 😀', reason="\x1b[31m")], role="monitor")
    ledger.append([Entry("note", "note/2", old=1.5, new=[])])
    previous = "0" * 64
    for row in sqlite3.connect(ledger.path).execute("SELECT * FROM ledger ORDER BY seq"):
        line = json.dumps(["dosetrail-ledger-1", *row[:14]], separators=(",", ":"))
        assert row[13] == previous
        assert row[14] == hashlib.sha256(line.encode("ascii")).hexdigest()
        previous = row[14]


def test_the_person_behind_sudo_is_recorded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1042")
    ledger.append([Entry("note", "note/1")])
    assert ledger.read()[0].sudo_uid == 1042


def test_a_file_name_that_is_no_utf8_is_kept_spelt_out(ledger: Ledger) -> None:
    name = os.fsdecode(b"Gr\xfc\xdfe.csv")
    ledger.append([Entry("import_source", f"source/{name}", new={"name": name})])
    row = ledger.read()[0]
    assert row.record == "source/Gr\\udcfc\\udcdfe.csv"
    assert row.new_value == {"name": name}
    ledger.verify_chain()


def test_a_number_json_has_no_word_for_appends_nothing(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        ledger.append([Entry("note", "note/1"), Entry("note", "note/2", new=float("nan"))])
    assert ledger.read() == []


def test_an_error_before_the_commit_appends_nothing(ledger: Ledger) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.append([Entry("note", "note/1")], before_commit=fail)
    assert ledger.read() == []
    assert ledger.append([Entry("note", "note/1")]).seq == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET reason = 'x' WHERE seq = 1",
        "DELETE FROM ledger WHERE seq = 2",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger WHERE seq = 1",
        "REPLACE INTO ledger SELECT * FROM ledger WHERE seq = 2",
        "UPDATE OR REPLACE ledger SET seq = 1 WHERE seq = 2",
        "INSERT INTO ledger SELECT 9, utc_us, user, uid, sudo_uid, role, host, action, record, field, old, new, "
        "reason, prev_hash, hash FROM ledger WHERE seq = 1",
    ],
)
def test_sqlite_itself_refuses_to_change_rows(ledger: Ledger, statement: str) -> None:
    head = ledger.append([Entry("note", "note/1"), Entry("note", "note/2")])
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(ledger.path).execute(statement)
    assert ledger.verify_chain() == head


def test_ten_writers_at_once_lose_nothing(ledger: Ledger) -> None:
    root = Path(__file__).resolve().parents[1]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(ledger.path), str(number)],
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for number in range(10)
    ]
    assert [writer.wait() for writer in writers] == [0] * 10
    assert ledger.verify_chain().seq == 500
    for number in range(10):
        of_one = [row.field for row in ledger.read() if row.record == f"writer/{number}"]
        assert of_one == [str(i) for i in range(50)]


def test_a_killed_append_is_rolled_back_by_the_next_reader(ledger: Ledger) -> None:
    head = ledger.append([Entry("note", "note/before")])
    assert run_python(KILLED_APPEND, ledger.path).returncode == -9
    journal = ledger.path.with_name("ledger.sqlite-journal")
    assert journal.stat().st_size > 0
    assert [row.record for row in ledger.read()] == ["note/before"]
    assert ledger.verify_chain(str(head)) == head
    assert ledger.append([Entry("note", "note/after")]).seq == 2


def test_no_room_appends_nothing_and_says_so(ledger: Ledger) -> None:
    head = ledger.append([Entry("note", "note/before")])
    told = json.loads(run_python(NO_ROOM, ledger.path).stdout)
    assert (told["error"], told["exit_code"], told["effect"]) == (
        "DiskFull",
        DiskFull.exit_code,
        "Nothing was changed.",
    )
    assert ledger.verify_chain(str(head)) == head


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_file_and_journal_have_the_mode_asked_for(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ledger = Ledger.create(tmp_path / "ledger.sqlite", mode=0o660)
        ledger.append([Entry("note", "note/1")])
        ledger.path.with_name("ledger.sqlite-journal").unlink()
        ledger.append([Entry("note", "note/2")])
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ledger.sqlite": 0o660, "ledger.sqlite-journal": 0o660}


def test_a_ledger_is_not_made_over_another(ledger: Ledger) -> None:
    with pytest.raises(UsageProblem, match="already exists"):
        Ledger.create(ledger.path, mode=0o600)


def test_a_ledger_of_a_newer_program_is_not_written_to(ledger: Ledger) -> None:
    sqlite3.connect(ledger.path).execute("PRAGMA user_version = 99")
    with pytest.raises(UsageProblem, match="newer dosetrail"):
        ledger.append([Entry("note", "note/1")])


def test_a_file_that_is_no_ledger_is_an_integrity_failure(ledger: Ledger) -> None:
    ledger.path.write_bytes(b"not a database, for certain" * 100)
    with pytest.raises(IntegrityFailure, match="damaged"):
        ledger.read()


def test_a_missing_ledger_is_an_integrity_failure(tmp_path: Path) -> None:
    with pytest.raises(IntegrityFailure, match="missing"):
        Ledger(tmp_path / "ledger.sqlite").head()
