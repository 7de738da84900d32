"""Files are parsed once: later releases take their rows from the cache, and are the same as without it."""

from __future__ import annotations

import shutil
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from studies import PROTOCOL, copy_study, current_digest, few_files, litter, new_study

import store.received_cache
from importers.registry import importer_of
from store.study import Study
from tui import pipeline, release_files
from tui.pipeline import import_paths
from tui.rebuilding import rebuild

LOG = """\
[[source]]
name = "pens"
pattern = "pens-*.csv"
format = "dose_log"
[source.constants]
kind = "injection"
amount_unit = "mg"
"""
HEADER = "subject_id,device_id,native_key,start_local,delivered_amount\n"


def log(folder: Path, number: int, *rows: str) -> Path:
    """A pen log; a row that names nobody waits in quarantine."""
    path = folder / f"pens-{number}.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


def row(key: int, amount: str, subject: str = "CDISC001") -> str:
    return f"{subject},,{key},2012-12-{key % 28 + 1:02d} 08:00,{amount}"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Names of the files that are parsed while the test runs."""
    names: Counter[str] = Counter()

    class Counting:
        def __init__(self, format: str) -> None:
            self._own = importer_of(format)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._own, name)

        def parse(self, file: Any, *rest: Any) -> Any:
            names[file.name] += 1
            return self._own.parse(file, *rest)

    for module in (pipeline, release_files):
        monkeypatch.setattr(module, "importer_of", Counting)
    return names


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Enrolment, doses and events of three subjects, and one pen log."""
    folder = tmp_path_factory.mktemp("begun")
    study = new_study(folder / "study", f"{PROTOCOL.read_text()}\n{LOG}")
    import_paths(
        study, [*few_files(folder), log(folder, 1, row(1, "5"), row(2, "4"), row(3, "bad"), row(4, "3", "NO"))]
    )
    return study


def test_a_night_parses_what_came_and_makes_the_release_a_rebuild_makes(
    begun: Study, tmp_path: Path, parsed: Counter[str]
) -> None:
    study = copy_study(begun, tmp_path / "study")
    first = import_paths(study, [log(tmp_path, 2, row(2, "6"), row(5, "7"), row(6, "8", "NO"))])
    # A large log is kept when it is read the second time; the data sets were kept at once.
    assert parsed == {"pens-1.csv": 1, "pens-2.csv": 1}
    assert [file.superseded for file in first.files] == [0]
    parsed.clear()
    import_paths(study, [log(tmp_path, 3, row(1, "5"), row(7, "1"))])
    assert parsed == {"pens-2.csv": 1, "pens-3.csv": 1}
    report = rebuild(study)
    assert report.differing == [] and litter(study) == []
    assert stat.S_IMODE(study.cache_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "harm", [*(pytest.param(harm, marks=pytest.mark.slow) for harm in ("gone", "cut")), "changed", "half written"]
)
def test_a_damaged_cache_is_read_again_from_the_archive(
    begun: Study, tmp_path: Path, parsed: Counter[str], harm: str
) -> None:
    study = copy_study(begun, tmp_path / "study")
    (segment,) = study.cache_dir.iterdir()
    doses = segment / "planned_dose_recorded.parquet"
    if harm == "gone":
        shutil.rmtree(study.cache_dir)
    elif harm == "cut":
        doses.write_bytes(doses.read_bytes()[:-100])
    elif harm == "changed":
        content = bytearray(doses.read_bytes())
        content[len(content) // 2] ^= 1
        doses.write_bytes(content)
    else:
        segment.rename(segment.with_name(".new-killed"))
    import_paths(study, [log(tmp_path, 2, row(2, "6"))])
    assert parsed["ec.ndjson"] == 1 and rebuild(study).differing == [] and litter(study) == []


def test_another_program_reads_everything_again(
    begun: Study, tmp_path: Path, parsed: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = copy_study(begun, tmp_path / "study")
    before = {path.name for path in study.cache_dir.iterdir()}
    monkeypatch.setattr(release_files, "program_fingerprint", lambda packages: "another program")
    import_paths(study, [log(tmp_path, 2, row(2, "6"))])
    assert parsed["dm.ndjson"] == parsed["ec.ndjson"] == 1
    assert before.isdisjoint({path.name for path in study.cache_dir.iterdir()}), "what nobody can use is removed"


@pytest.mark.slow
def test_small_segments_are_joined(
    begun: Study, tmp_path: Path, parsed: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.received_cache, "MOST_SEGMENTS", 2)
    study = copy_study(begun, tmp_path / "study")
    for number in range(2, 6):
        import_paths(study, [log(tmp_path, number, row(number, "6"), row(number + 10, "7", "NO"))])
    assert len(list(study.cache_dir.iterdir())) <= 3
    assert parsed["ec.ndjson"] == 0 and parsed["pens-2.csv"] == 2
    digest = current_digest(study)
    assert rebuild(study).differing == [] and current_digest(study) == digest
