"""Trap 41: no name, birth date or e-mail of a person leaves a received file, whatever its format and its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from personal_files import CANARIES, EMAIL, FIRST, LAST, PROTOCOL, write_files
from studies import new_study

from importers.file_names import VENDOR_FORMATS, filed_name
from importers.registry import FORMATS
from store.study import Study
from tui.cli import run
from tui.rebuilding import rebuild


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str, list[dict[str, Any]]]:
    """A study with a file of every format; all that its import printed; what it says of each file."""
    folder = tmp_path_factory.mktemp("privacy")
    study = new_study(folder / "study", PROTOCOL)
    write_files(folder / "inbox")
    document = folder / "out.json"
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        run(("import", "--study", str(study.root), str(folder / "inbox"), "--json"))
    document.write_text(said.getvalue())
    return study, said.getvalue(), json.loads(said.getvalue())["files"]


def hits(text: str) -> list[str]:
    return [word for word in CANARIES if word.lower() in text.lower()]


def test_every_format_was_read(imported: tuple[Study, str, list[dict[str, Any]]]) -> None:
    _, _, files = imported
    assert [file["reason"] for file in files if file["status"] != "imported"] == []
    assert {file["format"] for file in files} == {importer.format for importer in FORMATS} - {"sdtm"}
    for file in files:
        assert file["read"] == file["new"] + file["duplicate"] + file["superseded"] + file["quarantined"], file["path"]
        assert file["read"] > 0, file["path"]


def test_trap_41_nothing_an_import_prints_names_a_person(
    imported: tuple[Study, str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    study, said, _ = imported
    assert hits(said) == []
    for words in (("status",), ("patients",), ("patient", "S1"), ("verify",), ("summary",)):
        run((*words, "--study", str(study.root)))
    out = capsys.readouterr()
    assert hits(out.out + out.err) == []


def test_trap_41_no_release_and_no_ledger_names_a_person(imported: tuple[Study, str, list[dict[str, Any]]]) -> None:
    study, _, _ = imported
    with duckdb.connect(str(study.root / "trial.duckdb"), read_only=True) as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'trial'").fetchall():
            text = str(con.execute(f'SELECT * FROM "{table}"').fetchall())
            assert hits(text) == [], table
    ledger = b"".join(path.read_bytes() for path in (study.root / "ledger").iterdir() if path.is_file())
    assert hits(ledger.decode("latin-1")) == []


def test_a_rebuild_reads_the_same_names(imported: tuple[Study, str, list[dict[str, Any]]]) -> None:
    study, _, _ = imported
    assert rebuild(study, compare=True).same


def test_trap_41_damaged_files_are_refused_without_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = new_study(tmp_path / "study", PROTOCOL)
    for path in write_files(tmp_path / "inbox"):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
    run(("import", "--study", str(study.root), str(tmp_path / "inbox")))
    out = capsys.readouterr()
    assert hits(out.out + out.err) == []


@pytest.mark.parametrize("format", sorted(VENDOR_FORMATS))
def test_names_of_vendor_files_keep_what_is_no_person(format: str) -> None:
    assert filed_name(f"{LAST}, {FIRST} ({EMAIL}).csv", format, None) == "x, x (x).csv"
    assert filed_name(f"Export_{LAST}2_2024-03-01_S017.csv", format, None) == "Export_x_2024-03-01_S017.csv"
    assert filed_name("bolus_data_1.csv", format, None) == "bolus_data_1.csv"
