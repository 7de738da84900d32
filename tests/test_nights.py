"""A run of nights on one study: what it takes on disk and in time stays flat, and at the end everything agrees."""

from __future__ import annotations

import datetime as dt
import resource
import statistics
import time
from pathlib import Path

import pytest
from studies import query, trial_file

from store.publish import release_numbers
from store.received_cache import MOST_SEGMENTS
from store.study import open_study
from store.verify import verify_study
from tui.cli import run
from tui.inbox import Inbox, import_inbox
from tui.rebuilding import rebuild

PROTOCOL = """\
[study]
id = "NIGHTS"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""
SUBJECTS = 10
FIRST = dt.date(2026, 1, 1)


def night_file(night: int) -> str:
    """Yesterday's and today's dose of every subject: each export overlaps the one before; of some one has no time."""
    rows = ["subject_id,native_key,start_local,delivered_amount"]
    for day in (night - 1, night):
        rows += [
            f"S{who},{day},{FIRST + dt.timedelta(days=day)} 08:0{who % 10},5" for who in range(SUBJECTS) if day >= 0
        ]
    if night % 3 == 0:
        rows.append("S0,x,no time,5")
    return "\n".join(rows) + "\n"


def run_nights(folder: Path, nights: int) -> None:
    root = folder / "study"
    assert run(["init", str(root)]) == 0
    (root / "protocol.toml").write_text(PROTOCOL)
    people = "".join(f"S{who},01,A\n" for who in range(SUBJECTS))
    (folder / "enrolment.csv").write_text(f"subject_id,site_id,arm_code\n{people}")
    assert run(["import", "--study", str(root), str(folder / "enrolment.csv")]) == 0
    study, inbox = open_study(root), folder / "inbox"
    inbox.mkdir()
    seconds, memory = [], []
    for night in range(nights):
        (inbox / f"pens-{night:04d}.csv").write_text(night_file(night))
        started = time.perf_counter()
        report = import_inbox(study, Inbox(inbox, settle_s=0))
        seconds.append(time.perf_counter() - started)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        (file,) = report.files
        bad = 1 if night % 3 == 0 else 0
        overlap = SUBJECTS if night else 0
        assert (file.read, file.new, file.duplicate, file.quarantined) == (
            SUBJECTS + overlap + bad, SUBJECTS, overlap, bad,
        )  # fmt: skip
    assert query(trial_file(study), "SELECT count(*), count(DISTINCT subject_id) FROM dose_event") == [
        (SUBJECTS * nights, SUBJECTS)
    ]
    # Seven releases, one of each month (all nights run in one or two), whatever the number of nights.
    assert len(release_numbers(study)) <= 9
    assert sum(1 for _ in study.cache_dir.iterdir()) <= MOST_SEGMENTS + 1
    assert [check for check in verify_study(study) if not check.ok] == []
    assert rebuild(study, compare=True).same
    half = nights // 2
    # A night costs what the study holds by then, which grows by a few rows; noise of a busy machine is wider.
    assert statistics.median(seconds[half:]) < 2 * statistics.median(seconds[:half]) + 0.5
    assert memory[-1] < memory[half] * 1.5


def test_some_nights(tmp_path: Path) -> None:
    run_nights(tmp_path, 8)


@pytest.mark.slow
def test_a_year_of_nights(tmp_path: Path) -> None:
    run_nights(tmp_path, 365)
