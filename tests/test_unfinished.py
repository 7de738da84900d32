"""The line in which a table ends may be cut: it waits in quarantine, and every other line is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from studies import new_study, query, trial_file

from store.study import Study, open_study
from tui.cli import run

PROTOCOL = """\
[study]
id = "CUT"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[source]]
name = "pens"
pattern = "pens*"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""
WHOLE = "subject_id,start_local,delivered_amount\nS1,2026-03-01 08:00,4\nS1,2026-03-02 08:00,12.5\n"
CUT = WHOLE[: WHOLE.index(".5")]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    made = new_study(tmp_path / "study", PROTOCOL)
    (tmp_path / "people.csv").write_text("subject_id,site_id,arm_code\nS1,01,A\n")
    assert run(["import", "--study", str(made.root), str(tmp_path / "people.csv")]) == 0
    return open_study(made.root)


def doses(study: Study) -> list[str]:
    return [str(row[0]) for row in query(trial_file(study), "SELECT delivered_amount FROM dose_event ORDER BY 1")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("pens.csv", CUT.encode(), marks=pytest.mark.slow),
        ("pens.csv", CUT.replace("\n", "\r\n").encode()),
        pytest.param("pens.csv", CUT.replace("\n", "\r").encode(), marks=pytest.mark.slow),
        ("pens.csv.gz", gzip.compress(CUT.encode())),
        pytest.param("pens.csv", CUT.encode("utf-16"), marks=pytest.mark.slow),
    ],
    ids=("lf", "crlf", "cr", "gzip", "utf-16"),
)
def test_a_cut_line_waits_until_the_whole_file_arrives(study: Study, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert run(["import", "--study", str(study.root), str(tmp_path / name)]) == 3
    assert doses(study) == ["4.000000"]
    waiting = query(trial_file(study), "SELECT line, CAST(reason AS VARCHAR), message, table_name FROM quarantine")
    assert [(line, reason, table) for line, reason, _, table in waiting] == [(3, "unreadable", "dose_event")]
    assert "ends inside this line" in waiting[0][2]
    (tmp_path / "pens-whole.csv").write_text(WHOLE)
    assert run(["import", "--study", str(study.root), str(tmp_path / "pens-whole.csv")]) == 0
    assert doses(study) == ["4.000000", "12.500000"]


def test_blank_ends_are_no_lines(study: Study, tmp_path: Path) -> None:
    for number, end in enumerate(("", "\n\n", "\r\n")):
        (tmp_path / f"pens{number}.csv").write_bytes((WHOLE + end).encode())
        assert run(["import", "--study", str(study.root), str(tmp_path / f"pens{number}.csv")]) == 0, repr(end)
    assert doses(study) == ["4.000000", "12.500000"]


def test_a_single_row_that_is_cut_waits_too(study: Study, tmp_path: Path) -> None:
    (tmp_path / "pens.csv").write_text("subject_id,start_local,delivered_amount\nS1,2026-03-01 08:00,4")
    assert run(["import", "--study", str(study.root), str(tmp_path / "pens.csv")]) == 3
    assert doses(study) == [] and query(trial_file(study), "SELECT line FROM quarantine") == [(2,)]
