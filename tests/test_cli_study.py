"""The main job on the command line: a trial from its own files to numbers, exports, and back from its
sources.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tui.cli import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo study; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("study") / "demo"
    assert run(["demo", str(folder)]) == 0
    return folder


@pytest.fixture
def copy(demo: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(demo, folder, symlinks=True)
    return folder


def ask_json(capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    out = capsys.readouterr()
    assert out.err == ""
    document = json.loads(out.out)
    assert isinstance(document, dict)
    return document


def shares(document: dict[str, Any], parameter: str) -> dict[str, str]:
    """Arm -> numerator/denominator of a share over all periods."""
    return {
        row["arm"]: f"{row['numerator']:.0f}/{row['denominator']:.0f}"
        for row in document["rows"]
        if row["parameter"] == parameter
        and row["statistic"] == "share"
        and not (row["period"] or row["by"] or row["estimand"])
    }


def test_summary_of_the_demo_prints_the_known_numbers(
    demo: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    assert run(["summary", "--study", str(demo)]) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("as recorded"))
    assert line.split()[2:] == ["677/684", "99.0%", "348/348", "100%", "558/558", "100%"]
    assert max(map(len, text.splitlines())) <= 80
    document = ask_json(capsys, "summary", "--study", str(demo))
    assert shares(document, "recorded_compliance") | {"ALL": ""} == {
        "PLACEBO": "677/684",
        "ZAN_LOW": "348/348",
        "ZAN_HIGH": "558/558",
        "ALL": "",
    }
    assert shares(document, "compliance_planned")["ZAN_HIGH"] == "558/1274"
    assert shares(document, "dose_conformity")["ZAN_HIGH"] == "558/558"


def test_summary_json_holds_what_sql_holds(demo: Path, capsys: Capture) -> None:
    rows = ask_json(capsys, "summary", "--study", str(demo))["rows"]
    stored = ask_json(capsys, "sql", "FROM result", "--study", str(demo))["rows"]
    assert rows == stored


def test_cutoff_computes_anew_and_stores_nothing(demo: Path, capsys: Capture) -> None:
    before = ask_json(capsys, "summary", "compliance", "--study", str(demo))
    cut = ask_json(capsys, "summary", "compliance", "--cutoff", "2013-06-30", "--study", str(demo))
    assert {row["data_cut"] for row in cut["rows"]} == {"2013-06-30"}
    taken = {
        row["arm"]: row["numerator"]
        for row in cut["rows"]
        if row["parameter"] == "recorded_compliance" and row["statistic"] == "share"
    }
    assert taken["PLACEBO"] < 677
    assert ask_json(capsys, "summary", "compliance", "--study", str(demo)) == before
    late = ask_json(capsys, "summary", "compliance", "--cutoff", "2030-01-01", "--study", str(demo))
    assert shares(late, "recorded_compliance") == shares(before, "recorded_compliance")


def test_import_reports_every_file(autoinjector_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    study = tmp_path / "trial"
    made = ask_json(capsys, "init", str(study), "--from", str(autoinjector_dir))
    assert any("[[dosing]] amount of arm PLACEBO" in line for line in made["to_fill_in"])
    report = ask_json(capsys, "import", str(autoinjector_dir), "--study", str(study))
    assert report["release"] == 1
    files = {Path(file["path"]).name: file for file in report["files"]}
    doses = files["ec.ndjson"]
    assert (doses["status"], doses["format"], doses["read"], doses["new"]) == ("imported", "sdtm", 1590, 1590)
    assert doses["first_event"] and doses["last_event"] and doses["seconds"] >= 0
    assert len(doses["sha256"]) == 64
    assert files["LICENSE"]["status"] == "ignored"
    for file in report["files"]:
        assert file["read"] == file["new"] + file["duplicate"] + file["superseded"] + file["quarantined"]
    again = ask_json(capsys, "import", str(autoinjector_dir), "--study", str(study), code=4)
    assert again["release"] is None
    assert again["ledger_head"] == report["ledger_head"]
    assert run(["verify", "--anchor", report["ledger_head"], "--study", str(study)]) == 0
    document = ask_json(capsys, "summary", "accuracy", "--study", str(study))
    sentences = {row["not_assessable"] for row in document["rows"] if row["not_assessable"]}
    assert any("protocol.toml does not state [[dosing]] amount" in sentence for sentence in sentences)


def test_missing_and_useless_files_fail_by_name(demo: Path, autoinjector_dir: Path, capsys: Capture) -> None:
    report = ask_json(
        capsys, "import", "/no/such/file.xpt", str(autoinjector_dir / "LICENSE"), "--study", str(demo), code=1
    )
    assert [file["status"] for file in report["files"]] == ["failed", "failed"]
    assert all(file["reason"] for file in report["files"])
    assert report["release"] is None


def test_a_second_demo_changes_nothing(demo: Path, capsys: Capture) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {file: (file.lstat().st_mtime_ns, file.lstat().st_size) for file in [demo, *demo.rglob("*")]}

    before = state()
    assert run(["demo", str(demo)]) == 0
    assert "677/684" in capsys.readouterr().out
    assert state() == before


def test_the_demo_keeps_off_other_studies(tmp_path: Path, capsys: Capture) -> None:
    assert run(["init", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    assert run(["demo", str(tmp_path / "mine")]) == 2
    assert "not the demo" in capsys.readouterr().err
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    assert run(["demo", str(tmp_path / "notes")]) == 10


def test_a_lost_release_is_made_again(copy: Path, capsys: Capture) -> None:
    before = ask_json(capsys, "summary", "--study", str(copy))
    release = copy / "releases" / "000001"
    release.chmod(0o755)
    shutil.rmtree(release)
    assert run(["summary", "--study", str(copy)]) == 14
    assert "dosetrail rebuild" in capsys.readouterr().err
    lost = ask_json(capsys, "status", "--study", str(copy), code=14)
    assert "dosetrail rebuild" in lost["integrity_problem"]
    report = ask_json(capsys, "rebuild", "--study", str(copy))
    assert (report["same"], report["restored"]) == (True, True)
    assert ask_json(capsys, "summary", "--study", str(copy))["rows"] == before["rows"]
    report = ask_json(capsys, "rebuild", "--compare", "--study", str(copy))
    assert (report["same"], report["restored"]) == (True, False)


def test_verify_finds_a_damaged_source(copy: Path, capsys: Capture) -> None:
    assert ask_json(capsys, "verify", "--study", str(copy))["sound"] is True
    source = next((copy / "sources").rglob("*.zst"))
    source.chmod(0o644)
    source.write_bytes(source.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    assert run(["verify", "--study", str(copy)]) == 14
    out = capsys.readouterr()
    assert "FAILED" in out.out
    assert len(out.err.splitlines()) == 3
    assert ask_json(capsys, "verify", "--study", str(copy), code=14)["exit_code"] == 14


@pytest.mark.parametrize(("anchor", "code"), [("f" * 64, 14), ("f" * 64 + "@999", 14), ("hello", 2)])
def test_verify_judges_the_anchor(anchor: str, code: int, demo: Path, capsys: Capture) -> None:
    assert run(["verify", "--anchor", anchor, "--study", str(demo)]) == code
    assert capsys.readouterr().err


def test_a_changed_protocol_waits_for_the_next_release(copy: Path, capsys: Capture) -> None:
    assert run(["release", "--study", str(copy)]) == 4
    protocol = copy / "protocol.toml"
    protocol.write_text(protocol.read_text().replace("[study]", "# reviewed\n[study]", 1))
    assert ask_json(capsys, "status", "--study", str(copy))["protocol_changed"] is True
    assert ask_json(capsys, "release", "--study", str(copy))["release"] == 2
    assert ask_json(capsys, "status", "--study", str(copy))["protocol_changed"] is False
    assert ask_json(capsys, "summary", "--as-of", "1", "--study", str(copy))["release"] == 1


def test_mistakes_in_the_protocol_are_named_by_line(copy: Path, capsys: Capture) -> None:
    assert ask_json(capsys, "protocol", "check", "--study", str(copy))["to_fill_in"] == []
    protocol = copy / "protocol.toml"
    lines = protocol.read_text().splitlines()
    row = lines.index("[study]")
    lines.insert(row + 1, 'colour = "red"')
    protocol.write_text("\n".join(lines))
    capsys.readouterr()
    assert run(["protocol", "check", "--study", str(copy)]) == 2
    err = capsys.readouterr().err
    assert f"line {row + 2}: study.colour: unknown key" in err
    document = ask_json(capsys, "protocol", "check", "--study", str(copy), code=2)
    assert document["problems"][0]["line"] == row + 2
    assert run(["summary", "--study", str(copy)]) == 0


def test_an_export_does_not_make_a_release_outdated(copy: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "summary.xlsx"
    document = ask_json(capsys, "export", "summary", "--out", str(out), "--study", str(copy))
    assert document["recorded"] is True
    assert run(["release", "--study", str(copy)]) == 4
    assert ask_json(capsys, "status", "--study", str(copy))["ledger_rows_since_release"] == 0


def test_patient_list_and_record_agree(demo: Path, capsys: Capture) -> None:
    rows = ask_json(capsys, "patients", "--filter", "arm:ZAN_LOW", "--study", str(demo))["rows"]
    assert [row["subject"] for row in rows] == ["CDISC001", "CDISC002", "CDISC006", "CDISC016", "CDISC017"]
    record = ask_json(capsys, "patient", "CDISC001", "--study", str(demo))
    assert record["patient"] == rows[0]
    assert len(record["doses"]) == 55
    assert {row["file"] for row in record["doses"]} == {"ec.ndjson"}
