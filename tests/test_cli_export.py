"""`dosetrail export`: files that say where they come from, are the same twice, and never replace another
file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from small_release import make_small_study
from trial_releases import AUTOINJECTOR, release_file

from store.study import Study
from tui.cli import run
from tui.commands.export import FORMAT_NAMES
from tui.export_rows import NAMED

Capture = pytest.CaptureFixture[str]

EVERY_FORMAT = ("full", "doses")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_small_study(tmp_path_factory.mktemp("export") / "small")


def export(study: Study, *words: str, code: int = 0) -> None:
    """Run the command; `code` is what it has to return."""
    assert run(["export", *words, "--study", str(study.root)]) == code


# Every export as CSV, some in every format; the rest of the table is among the slow tests.
@pytest.mark.parametrize(
    ("what", "format"),
    [
        pytest.param(what, name, marks=() if name == "csv" or what in EVERY_FORMAT else pytest.mark.slow)
        for what in (*NAMED, "dose_event", "device")
        for name in FORMAT_NAMES
    ],
)
def test_every_export_in_every_format_is_the_same_twice(
    what: str, format: str, study: Study, tmp_path: Path, capsys: Capture
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        more = ("--subject", "S07-001") if what == "patient-profile" else ()
        through = ("--through", "1") if what in ("audit-trail", "queries") else ()
        export(study, what, *more, *through, "--format", format, "--out", str(tmp_path / folder / "file.zip"))
    first = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in first] == ["file.zip", "file.zip.json", "file.zip.sha256"]
    for path in first:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert "Traceback" not in capsys.readouterr().err


def test_the_command_in_an_export_makes_it_again(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    monkeypatch.chdir(study.root.parent)
    words = ("patients", "--filter", "site:S07", "--format", "csv")
    export(study, *words, "--out", str(tmp_path / "p.csv"))
    facts = json.loads((tmp_path / "p.csv.json").read_text())
    assert facts["population"] == "subjects screened that match site:S07"
    program, *again = shlex.split(facts["command"])
    assert program == "dosetrail"
    assert run(again) == 0
    assert (study.root.parent / "p.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()
    assert (study.root.parent / "p.csv.json").read_bytes() == (tmp_path / "p.csv.json").read_bytes()


def test_rows_are_those_of_the_release(study: Study, tmp_path: Path) -> None:
    export(study, "doses", "--out", str(tmp_path / "doses.parquet"))
    doses = pl.read_parquet(tmp_path / "doses.parquet")
    assert doses["status"].to_list() == ["taken", "late", "taken", "taken", "taken", "missed"]
    assert doses["line"].to_list() == [1, 2, 3, 4, 5, None]
    export(study, "dose-event", "--out", str(tmp_path / "events.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "events.csv").read_text())))
    assert [row["delivered_amount"] for row in rows][-1] == "54.025000"
    export(study, "summary", "--population", "safety", "--out", str(tmp_path / "safety.json"))
    document = json.loads((tmp_path / "safety.json").read_text())
    assert {row["population"] for row in document["rows"]} == {"safety"}
    assert document["origin"]["population"] == "safety"
    meanings = {column["name"]: column["meaning"] for column in document["columns"]}
    assert meanings["lower"] == "Lower limit"


def test_formulas_do_not_reach_a_spreadsheet(study: Study, tmp_path: Path) -> None:
    export(study, "adverse-events", "--out", str(tmp_path / "ae.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "ae.csv").read_text())))
    assert rows[0]["term"] == '\'=HYPERLINK("http://x","[red]")'
    assert "\x1b" not in (tmp_path / "ae.csv").read_text()


def test_the_ledger_notes_who_took_what(study: Study, tmp_path: Path) -> None:
    before = study.ledger.head().seq
    export(study, "patients", "--out", str(tmp_path / "p.xlsx"))
    export(study, "patients", "--out", str(tmp_path / "p.xlsx"))
    [row] = study.ledger.read(since=before)
    assert (row.action, row.record) == ("export", "release/000001")
    assert row.new_value["what"] == "patients"
    assert row.new_value["rows"] == 3


def test_another_file_is_never_replaced_unasked(study: Study, tmp_path: Path, capsys: Capture) -> None:
    mine = tmp_path / "p.csv"
    mine.write_text("mine")
    export(study, "patients", "--out", str(mine), code=2)
    assert mine.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    export(study, "patients", "--out", str(mine), "--force")
    assert mine.read_text().startswith("subject,")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "words",
    [
        ("nothing", "--format", "csv"),
        ("summary", "--format", "docx"),
        ("summary", "--filter", "x", "--format", "csv"),
        ("doses", "--population", "safety", "--format", "csv"),
        ("full", "--format", "csv"),
        ("full", "--filter", "site:S07", "--format", "json"),
        ("device", "--filter", "site:S07", "--format", "json"),
        ("patient-profile", "--format", "json"),
        ("patient-profile", "--subject", "nobody", "--format", "json"),
        ("doses", "--subject", "S07-001", "--format", "json"),
        ("doses", "--through", "3", "--format", "json"),
        ("audit-trail", "--identity", "deidentified", "--format", "json"),
        ("quarantine", "--identity", "deidentified", "--format", "json"),
        ("doses", "--identity", "secret", "--format", "json"),
        ("summary", "--population", "nobody", "--format", "csv"),
    ],
)
def test_what_cannot_be_exported_is_said(words: tuple[str, ...], study: Study, tmp_path: Path, capsys: Capture) -> None:
    export(study, *words, "--out", str(tmp_path / "file"), code=2)
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert not list(tmp_path.iterdir())


def test_an_export_that_cannot_be_written_leaves_nothing(study: Study, tmp_path: Path, capsys: Capture) -> None:
    export(study, "patients", "--out", str(tmp_path / "no" / "such" / "p.csv"), code=1)
    assert "could not be written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_json_tells_what_was_written(study: Study, tmp_path: Path, capsys: Capture) -> None:
    export(study, "patients", "--out", str(tmp_path / "p.csv"), "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [str(tmp_path / name) for name in ("p.csv", "p.csv.json", "p.csv.sha256")]
    assert document["rows"] == 3
    assert document["recorded"] is True


def test_the_app_writes_the_same_export(study: Study, tmp_path: Path) -> None:
    from tui.desk import ExportRefused, ExportWish
    from tui.exporting import exporter_for

    export(study, "patients", "--format", "csv", "--out", str(tmp_path / "command.csv"))
    write = exporter_for(study, unblinded=False)
    said = write(ExportWish("patients", "csv", tmp_path / "app.csv"))
    assert said.startswith("3 rows written to ")
    assert (tmp_path / "app.csv").read_bytes() == (tmp_path / "command.csv").read_bytes()
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(ExportRefused, match="exists and holds something else"):
        write(ExportWish("patients", "csv", tmp_path / "mine.csv"))


def test_past_exports_are_listed_proven_and_made_again(study: Study, tmp_path: Path, capsys: Capture) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.xlsx"
    export(study, "doses", "--filter", "site:S07", "--out", str(one))
    export(study, "patients", "--identity", "deidentified", "--smallest-cell", "2", "--out", str(two))
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()

    def listed() -> list[dict[str, object]]:
        assert run(["exports", "--study", str(study.root), "--json"]) == 0
        return list(json.loads(capsys.readouterr().out)["exports"][:2])

    second, first = listed()
    assert (first["what"], first["identity"], first["state"]) == ("doses", "as-is", "as written")
    assert (second["what"], second["identity"], second["state"]) == ("patients", "deidentified", "as written")
    one.write_text("somebody was here")
    two.unlink()
    assert [row["state"] for row in listed()] == ["gone", "changed"]
    export(study, "again", str(first["number"]), code=2)
    assert one.read_text() == "somebody was here"
    export(study, "again", str(first["number"]), "--force")
    export(study, "again", str(second["number"]))
    assert "The bytes are those of export" in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert run(["exports", "--study", str(study.root)]) == 0
    assert "as written" in capsys.readouterr().out
    export(study, "again", "99999", code=2)


MACHINES = (
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1", "POLARS_MAX_THREADS": "1", "ARROW_NUM_THREADS": "1"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C.utf8", "PYTHONHASHSEED": "2", "POLARS_MAX_THREADS": "5"},
)
"""Time zone, locale, hash seed and threads of two machines; DuckDB takes as many threads as it may have processors."""

EXPORTER = """
import os, sys
one, root, *outs = sys.argv[1:]
if one == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from tui.cli import run
for out in outs:
    what, identity, format, _ = os.path.basename(out).split(".")
    if what == "report":
        assert run(["report", "--study", root, "--out", out]) == 0
        continue
    words = ["export", what, "--identity", identity, "--format", format, "--out", out, "--study", root]
    assert run(words) == 0, words
"""


def test_an_export_is_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    """The auto-injector trial by time zone, locale, hash seed and number of threads, one release, one key."""
    root = release_file(AUTOINJECTOR).parents[1]
    names = ["full.as-is.parquet.zip", "summary.as-is.xlsx.x", "arm-summary.as-is.markdown.x"]
    names += ["adae.deidentified.csv.x", "sdtm_ec.as-is.json.x", "report.as-is.x.html"]
    for place, machine in enumerate(MACHINES):
        folder = tmp_path / str(place)
        folder.mkdir()
        command = [sys.executable, "-c", EXPORTER, ("one", "all")[place], str(root), *(str(folder / n) for n in names)]
        subprocess.run(command, env={**os.environ, **machine}, check=True, stdout=subprocess.DEVNULL, timeout=300)
    first = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert len(first) == 3 * len(names) - 2
    for name in first:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


def test_every_column_of_a_profile_has_a_meaning(study: Study, tmp_path: Path) -> None:
    export(study, "patient-profile", "--subject", "S08-003", "--out", str(tmp_path / "p.json"))
    parts = json.loads((tmp_path / "p.json").read_text())["parts"]
    assert {"overview", "doses", "adverse_events"} <= {part["name"] for part in parts}
    assert [column for part in parts for column in part["columns"] if not column["meaning"]] == []
