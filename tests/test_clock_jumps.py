"""The clock of the machine jumps a year, between imports and within one: what came last stays newest, the ledger keeps
its order, no release is lost, and the run says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from studies import query, trial_file
from test_night import PROTOCOL, pens

from store.publish import release_numbers
from store.study import Study, open_study
from store.verify import verify_study
from tui.cli import run
from tui.rebuilding import rebuild

YEAR_NS = 366 * 86_400 * 10**9
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def study(tmp_path: Path, capsys: Capture) -> Study:
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    capsys.readouterr()
    return open_study(folder)


class Clock:
    """The machine's clock, so many nanoseconds off; ``jumping`` between two offsets at every look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real: Callable[[], int] = time.time_ns
        self.off: tuple[int, ...] = (0,)
        self._looks = 0

        def told() -> int:
            self._looks += 1
            return real() + self.off[self._looks % len(self.off)]

        monkeypatch.setattr(time, "time_ns", told)


def import_files(study: Study, capsys: Capture, files: dict[str, str]) -> list[str]:
    folder = study.root.parent / "in"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    code = run(["import", "--json", "--study", str(study.root), *(str(folder / name) for name in files)])
    told = json.loads(capsys.readouterr().out)
    assert code == 0, told
    return [message for message in told["messages"] if "clock" in message]


def people(site: str) -> str:
    return "subject_id,site_id,arm_code\n" + "".join(f"S{who},{site},A\n" for who in (1, 2))


def test_a_clock_that_jumps_a_year_forward_and_back(
    study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    said = [import_files(study, capsys, {"enrolment-1.csv": people("01"), "pens-1.csv": pens(1, 3)})]
    clock.off = (YEAR_NS,)
    said.append(import_files(study, capsys, {"enrolment-2.csv": people("01"), "pens-2.csv": pens(4, 3)}))
    clock.off = (0,)
    said.append(import_files(study, capsys, {"enrolment-3.csv": people("02"), "pens-3.csv": pens(7, 3)}))
    clock.off = (-YEAR_NS, YEAR_NS)
    said.append(import_files(study, capsys, {"enrolment-4.csv": people("03"), "pens-4.csv": pens(10, 3)}))
    clock.off = (-YEAR_NS,)
    said.append(import_files(study, capsys, {"pens-5.csv": pens(13, 3)}))
    assert [len(messages) for messages in said[:3]] == [0, 0, 1]
    assert len(said[4]) == 1
    file = trial_file(study)
    # The enrolment received last is the one that counts, whatever the clock said.
    assert query(file, "SELECT DISTINCT site_id FROM subject") == [("03",)]
    assert query(file, "SELECT count(*) FROM dose_event") == [(15,)]
    assert query(file, "SELECT release FROM build_info") == [(5,)]
    assert release_numbers(study) == [1, 2, 3, 4, 5]
    assert [row.seq for row in study.ledger.read()] == list(range(1, study.ledger.head().seq + 1))
    assert [check for check in verify_study(study) if not check.ok] == []
    assert rebuild(study, compare=True).same
    assert run(["status", "--json", "--study", str(study.root)]) == 0
    assert json.loads(capsys.readouterr().out)["release"] == 5


@pytest.mark.slow
def test_the_current_release_is_kept_though_the_clock_ran_back(
    study: Study, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr("store.retention.LAST", 1)
    for number in range(1, 5):
        clock.off = (-number * YEAR_NS if number > 1 else 0,)
        files = {f"pens-{number}.csv": pens(10 * number, 2)} | ({"enrolment.csv": people("01")} if number == 1 else {})
        import_files(study, capsys, files)
    kept = release_numbers(study)
    assert kept[-1] == 4 and study.current_release() is not None
    assert query(trial_file(study), "SELECT count(*) FROM dose_event") == [(8,)]
