"""The import nobody watches: the inbox, what it takes once, what stops a source, and how a batch is taken out again."""

from __future__ import annotations

import configparser
import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from studies import current_digest, query, trial_file

import sample_data
from store.study import Study, open_study
from tui.cli import run
from tui.inbox import Inbox, look_into
from tui.night import read_silence
from tui.rebuilding import rebuild

Capture = pytest.CaptureFixture[str]

PROTOCOL = """\
[study]
id = "NIGHT"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[device]]
type = "PEN"
class = "pen"
[silence]
tolerance_h = 12
[silence.upload_h]
pen = 24
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
columns = { subject_id = "who", device_id = "pen", native_key = "no", start_local = "at", delivered_amount = "mg" }
"""
HEADER = "who,pen,no,at,mg\n"


def pens(first: int, count: int, day: str = "2026-03-01") -> str:
    return HEADER + "".join(f"S1,P1,{first + i},{day} {8 + i:02d}:00,5\n" for i in range(count))


@pytest.fixture
def study(tmp_path: Path, capsys: Capture) -> Study:
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    (tmp_path / "enrolment.csv").write_text("subject_id,site_id,arm_code,device_id\nS1,01,A,P1\n")
    assert run(["import", "--study", str(folder), str(tmp_path / "enrolment.csv")]) == 0
    capsys.readouterr()
    return open_study(folder)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def night(study: Study, inbox: Path, capsys: Capture, *more: str, code: int) -> dict[str, Any]:
    assert run(["import", "--study", str(study.root), "--inbox", str(inbox), "--json", *more]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == code
    return dict(told)


def age(path: Path, seconds: float) -> None:
    state = path.stat()
    os.utime(path, (state.st_atime, state.st_mtime - seconds))


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".import.lock"
    }


def test_complete_files_are_taken_once_and_the_others_wait(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    (inbox / "pens-1.csv.done").touch()
    (inbox / "pens-2.csv").write_text(pens(3, 2))
    (inbox / "pens-3.csv.part").write_text("who,")
    told = night(study, inbox, capsys, code=0)
    assert [Path(file["path"]).name for file in told["files"]] == ["pens-1.csv"]
    assert "1 files are not complete yet and wait: pens-2.csv." in told["messages"]
    assert query(trial_file(study), "SELECT count(*) FROM dose_event") == [(2,)]
    assert sorted(path.name for path in inbox.iterdir()) == ["done", "pens-2.csv", "pens-3.csv.part"]
    assert [path.name for path in (inbox / "done").rglob("*.csv")] == ["pens-1.csv"]
    # The same bytes under another name change nothing; nobody writes to the second file any more.
    shutil.copy(next((inbox / "done").rglob("pens-1.csv")), inbox / "pens-1.csv")
    for name in ("pens-1.csv", "pens-2.csv"):
        (inbox / f"{name}.done").touch()
    told = night(study, inbox, capsys, code=0)
    assert [file["status"] for file in told["files"]] == ["duplicate_file", "imported"]
    assert sorted(path.name for path in inbox.iterdir()) == ["done", "pens-3.csv.part"]


def test_a_night_without_files_says_so(study: Study, inbox: Path, capsys: Capture) -> None:
    told = night(study, inbox, capsys, code=4)
    assert told["release"] is None
    assert told["messages"] == [f"Nothing came: {inbox} holds no complete file."]


def test_a_bad_file_does_not_stop_the_others(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    (inbox / "pens-2.csv").write_text("who,pen\nS1,P1\n")
    (inbox / "notes.xyz").write_text("nothing anybody knows\n")
    for path in list(inbox.iterdir()):
        path.with_name(path.name + ".done").touch()
    told = night(study, inbox, capsys, code=1)
    assert {Path(file["path"]).name: file["status"] for file in told["files"]} == {
        "notes.xyz": "failed",
        "pens-1.csv": "imported",
        "pens-2.csv": "failed",
    }
    # What is archived is moved, with the reason; what nothing recognised stays for somebody to look at.
    assert [path.name for path in (inbox / "failed").rglob("*.csv")] == ["pens-2.csv"]
    assert "is not in the file" in next((inbox / "failed").rglob("*.reason.txt")).read_text()
    assert (inbox / "notes.xyz").exists()


def test_a_manifest_vouches_for_files(study: Study, inbox: Path, capsys: Capture) -> None:
    right, wrong = inbox / "pens-1.csv", inbox / "pens-2.csv"
    right.write_text(pens(1, 2))
    wrong.write_text(pens(3, 2))
    digest = hashlib.sha256(right.read_bytes()).hexdigest()
    (inbox / "night.sha256").write_text(f"{digest}  pens-1.csv\n{'0' * 64} *pens-2.csv\n{'1' * 64}  pens-3.csv\n")
    told = night(study, inbox, capsys, code=1)
    assert [(Path(file["path"]).name, file["status"], file["reason"]) for file in told["files"]] == [
        ("pens-1.csv", "imported", None),
        ("pens-2.csv", "failed", "its checksum is not the one in the manifest; it stays in the inbox"),
        ("pens-3.csv", "failed", "the manifest lists it and it has not come"),
    ]
    assert wrong.exists()


def test_settled_is_measured_whichever_way_the_clock_jumps(inbox: Path) -> None:
    path = inbox / "pens-1.csv"
    path.write_text(pens(1, 1))
    now = path.stat().st_mtime
    assert look_into(Inbox(inbox, settle_s=60), now + 59).growing == [path]
    assert look_into(Inbox(inbox, settle_s=60), now + 61).complete == [path]
    assert look_into(Inbox(inbox, settle_s=60), now - 365 * 86_400).complete == [path]


def test_links_and_names_that_lead_out_are_not_followed(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(pens(1, 1))
    (inbox / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inbox / "all.sha256").write_text(f"{'0' * 64}  ../secret.csv\n{'0' * 64}  /etc/passwd\n")
    arrived = look_into(Inbox(inbox, settle_s=0))
    assert (arrived.complete, arrived.growing, arrived.wrong) == ([], [], {})


def test_a_dry_run_counts_and_changes_nothing(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 3) + "S9,P1,9,2026-03-01 12:00,5\n")
    (inbox / "pens-1.csv.done").touch()
    before = tree(study.root), tree(inbox)
    told = night(study, inbox, capsys, "--dry-run", code=3)
    assert (told["dry_run"], told["release"]) == (True, None)
    assert [told["files"][0][name] for name in ("read", "new", "quarantined")] == [4, 3, 1]
    assert "Nothing was changed: this run would publish release 2." in told["messages"]
    assert (tree(study.root), tree(inbox)) == before


def test_an_import_is_taken_out_and_brought_back(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    night(study, inbox, capsys, "--settle", "0", code=0)
    without = current_digest(study)
    (inbox / "pens-2.csv").write_text(pens(2, 3))
    night(study, inbox, capsys, "--settle", "0", code=0)
    both, rows = current_digest(study), len(query(trial_file(study), "FROM dose_event"))
    assert rows == 4
    line = ["--study", str(study.root), "--json"]
    assert run(["undo-import", "3", "--reason", "another trial", "--dry-run", *line]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["pens-2.csv"]
    assert current_digest(study) == both
    assert run(["undo-import", "3", "--reason", "another trial", *line]) == 0
    assert json.loads(capsys.readouterr().out)["release"] == 4
    assert len(query(trial_file(study), "FROM dose_event")) == 2
    assert query(trial_file(study), "SELECT count(*) FROM source_file") == [(2,)]
    assert rebuild(study, compare=True).same
    assert rebuild(study, 3, compare=True).same
    # Only the copy of the ledger in it differs from the release before.
    tables = "SELECT * FROM dose_event ORDER BY ALL"
    old = study.releases_dir / "000002" / "trial.duckdb"
    assert query(trial_file(study), tables) == query(old, tables)
    assert without != both
    assert run(["undo-import", "3", "--reason", "again", *line]) == 2
    capsys.readouterr()
    undone = query(trial_file(study), "SELECT seq FROM ledger WHERE action = 'undo'")[0][0]
    assert run(["undo", str(undone), "--reason", "it was ours after all", *line]) == 0
    assert run(["release", *line]) == 0
    assert len(query(trial_file(study), "FROM dose_event")) == 4
    assert rebuild(study, compare=True).same


def test_files_taken_out_can_be_imported_again(study: Study, inbox: Path, capsys: Capture) -> None:
    path = inbox / "pens-1.csv"
    path.write_text(pens(1, 2))
    night(study, inbox, capsys, "--settle", "0", "--keep", code=0)
    line = ["--study", str(study.root), "--json"]
    assert run(["undo-import", "2", "--reason", "too early", *line]) == 0
    capsys.readouterr()
    told = night(study, inbox, capsys, "--settle", "0", "--keep", code=0)
    assert told["files"][0]["new"] == 2


def test_new_columns_stop_their_source_until_they_are_approved(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    night(study, inbox, capsys, "--settle", "0", code=0)
    changed = inbox / "pens-2.csv"
    changed.write_text("who,pen,no,at,mg,battery\nS1,P1,7,2026-03-02 08:00,5,77\n")
    (inbox / "pens-3.csv").write_text("pen,who,no,at,mg\nP1,S1,8,2026-03-03 08:00,5\n")
    told = night(study, inbox, capsys, "--settle", "0", "--keep", code=15)
    assert [file["status"] for file in told["files"]] == ["failed", "imported"]
    assert "new columns battery" in told["files"][0]["reason"]
    line = ["--study", str(study.root), "--json"]
    assert run(["approve-layout", str(changed), "--reason", "battery level added", *line]) == 0
    assert json.loads(capsys.readouterr().out)["approved"]["source"] == "pens"
    told = night(study, inbox, capsys, "--settle", "0", code=0)
    assert query(trial_file(study), "SELECT count(*) FROM dose_event") == [(4,)]
    assert rebuild(study, compare=True).same
    assert run(["approve-layout", str(inbox / "done"), "--reason", "x", *line]) == 2
    capsys.readouterr()


def test_the_hook_gets_the_summary_and_its_failure_changes_nothing(
    study: Study, inbox: Path, capsys: Capture, tmp_path: Path
) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    told_to = tmp_path / "told.json"
    hook = f"{sys.executable} -c \"import sys; open('{told_to}', 'w').write(sys.stdin.read())\""
    night(study, inbox, capsys, "--settle", "0", "--hook", hook, code=0)
    assert json.loads(told_to.read_text())["files"][0]["new"] == 2
    told = night(study, inbox, capsys, "--hook", f"{sys.executable} -c 'raise SystemExit(7)'", code=4)
    assert "The hook ended with exit code 7. The import is not affected." in told["messages"]
    told = night(study, inbox, capsys, "--hook", "/no/such/program", code=4)
    assert any(message.startswith("The hook could not be run") for message in told["messages"])


def test_silent_devices_are_named(study: Study, inbox: Path, capsys: Capture) -> None:
    (inbox / "pens-1.csv").write_text(pens(1, 2))
    told = night(study, inbox, capsys, "--settle", "0", code=0)
    assert [(row["device_id"], row["subject_id"], row["limit_h"]) for row in told["silent"]] == [("P1", "S1", 36.0)]
    # The last dose was at 09:00 in Berlin, 08:00 UTC; the limit is 24 + 12 h.
    last = dt.datetime(2026, 3, 1, 8)
    assert read_silence(study, last + dt.timedelta(hours=36)) == []
    (row,) = read_silence(study, last + dt.timedelta(hours=36, minutes=1))
    assert (row["last_utc"], row["silent_h"]) == (last, 36)


def test_either_paths_or_an_inbox(study: Study, capsys: Capture) -> None:
    assert run(["import", "--study", str(study.root)]) == 2
    assert run(["import", "--study", str(study.root), "--inbox", "/no/such/folder"]) == 2
    assert "There is no folder" in capsys.readouterr().err


UNITS = sample_data.path("operations")


@pytest.mark.parametrize("kind", ["service", "timer", "path"])
def test_units_are_valid(kind: str, tmp_path: Path) -> None:
    unit = UNITS / f"dosetrail@.{kind}"
    parsed = configparser.ConfigParser(strict=True, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(unit)
    assert {"Unit", kind.capitalize()} <= set(parsed.sections())
    verifier = shutil.which("systemd-analyze")
    if verifier is not None:
        for other in UNITS.glob("dosetrail@.*"):
            shutil.copy(other, tmp_path / other.name.replace("@.", "@trial."))
        asked = [verifier, "verify", "--man=no", str(tmp_path / f"dosetrail@trial.{kind}")]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stderr
        assert "dosetrail@" not in said, said


def test_the_service_and_the_cron_line_call_what_exists(capsys: Capture) -> None:
    assert run(["import", "--help"]) == 0
    known = capsys.readouterr().out
    lines = [
        next(line for line in (UNITS / "dosetrail@.service").read_text().splitlines() if line.startswith("ExecStart")),
        next(line for line in (UNITS / "crontab").read_text().splitlines() if not line.startswith("#")),
    ]
    for line in lines:
        options = [word for word in line.split() if word.startswith("--")]
        assert len(options) >= 4 and all(option in known for option in options)
