"""Files made to harm their reader: refused quickly with a sentence, and the other files of the run go on."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from test_night import PROTOCOL, pens

import importers
from importers import apart
from importers.apart import parse
from importers.base import Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.confinement import available
from importers.registry import importer_of
from importers.workbook import read_sheet
from store.protocol_file import parse_protocol
from store.study import Study, open_study
from tui.cli import run

ATTEMPTS = """
import json, os, socket, subprocess, sys
from pathlib import Path
from importers.confinement import confine
held = confine([Path(package) for package in json.loads(sys.argv[1])])
outcome = {}
def attempt(name, act):
    try:
        act()
        outcome[name] = "done"
    except OSError as error:
        outcome[name] = type(error).__name__
attempt("read", lambda: open(sys.argv[2]).read())
attempt("list", lambda: os.listdir(str(Path(sys.argv[2]).parent)))
attempt("write", lambda: open(sys.argv[2] + ".new", "w").write("x"))
attempt("unlink", lambda: os.unlink(sys.argv[2]))
attempt("network", lambda: socket.socket())
attempt("program", lambda: subprocess.run(["/bin/true"]))
attempt("signal", lambda: os.kill(os.getppid(), 0))
print(json.dumps([held, outcome]))
"""


def test_a_confined_process_reaches_neither_files_nor_network_nor_programs(tmp_path: Path) -> None:
    secret = tmp_path / "other.csv"
    secret.write_text("x")
    packages = json.dumps([importers.__path__[0]])
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, packages, str(secret)], capture_output=True, text=True, check=True
    )
    held, outcome = json.loads(done.stdout)
    expected = {"rlimits"}
    if "landlock" in held:
        expected.add("landlock")
        assert {outcome[name] for name in ("read", "list", "write", "unlink")} == {"PermissionError"}
    if "seccomp" in held:
        expected.add("seccomp")
        assert {outcome[name] for name in ("network", "program", "signal")} == {"PermissionError"}
    assert set(held) == expected
    assert secret.read_text() == "x"


def test_status_says_what_the_reader_is_kept_from(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "kept from other files, the network and other programs"
    held = available()
    line = ["--study", str(study.root)]
    assert run(["status", *line]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (said in told) == (set(held) == {"rlimits", "landlock", "seccomp"})
    monkeypatch.setattr("importers.confinement.available", lambda: ["rlimits", "seccomp"])
    assert run(["status", *line]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "the network and other programs; this machine's kernel or container cannot keep it from other files" in told
    assert run(["status", "--json", *line]) == 0
    assert json.loads(capsys.readouterr().out)["confinement"] == ["rlimits", "seccomp"]


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("cgm_data_1.csv")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return path


NO_SOURCE = ReadContext(parse_protocol(PROTOCOL, Path("protocol.toml")).protocol, None, None)  # type: ignore[arg-type]


def read(path: Path, format: str) -> Parsed:
    return parse(importer_of(format), SourceFile(path, path.name, "0" * 64), Recognised(format, ""), NO_SOURCE)


def test_archives_that_grow_or_lead_out_are_refused_unopened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    zipped_inner = zipfile.ZipFile(inner, "w")
    zipped_inner.close()
    hostile = {
        "unpacks from": zipped(tmp_path / "bomb.zip", {"cgm_data_1.csv": bytes(200 << 20)}),
        "another archive": zipped(tmp_path / "nested.zip", {"inner.zip": inner.getvalue()}),
        "leads out": zipped(tmp_path / "up.zip", {"../cgm_data_1.csv": b"x"}),
        "a link": link(tmp_path / "link.zip"),
    }
    for words, path in hostile.items():
        started = time.monotonic()
        with pytest.raises(UnreadableFile, match=words):
            read(path, "glooko")
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("format", ["fhir", "loop_doses", "nightscout", "tandem_source", "tidepool"])
def test_a_million_empty_records_are_refused_at_once(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a.json"
    for text in ("[" + "{}," * 999_999 + "{}]", "{}\n" * 1_000_000):
        path.write_text(text)
        started = time.process_time()
        with pytest.raises(UnreadableFile):
            importer_of(format).parse(SourceFile(path, path.name, "0" * 64), Recognised(format, ""), NO_SOURCE)
        assert time.process_time() - started < 2


def test_a_reader_that_breaks_or_dies_costs_its_file_only(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00[" * 1000)
    for _ in range(2):  # the second child works as the first did
        with pytest.raises(UnreadableFile):
            read(path, "novopen")
    child = apart._POOL._child
    assert child is None, "a child that refused is not kept"


def test_a_reader_killed_by_a_limit_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(apart._Child):
        def ask(self, *arguments):  # type: ignore[no-untyped-def]
            self.measures = []  # it had started
            self._process.kill()
            return super().ask(*arguments)

    path = tmp_path / "a.csv"
    path.write_text("x")
    with monkeypatch.context() as patched:
        patched.setattr(apart, "_Child", Killed)
        apart._POOL.close()
        with pytest.raises(UnreadableFile, match="more memory or processor time"):
            read(path, "novopen")
    with pytest.raises(UnreadableFile) as refused:
        read(path, "novopen")
    assert "more memory" not in refused.value.message


@pytest.mark.parametrize(
    ("limit", "words"), [("allowed_seconds = lambda size: 0", "processor time"), ("MEMORY = 16 << 20", "more memory")]
)
def test_the_kernel_ends_a_reader_at_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + "{}," * 300_000 + "{}]")  # needs far more memory than it has bytes
    start = subprocess.Popen

    def limited(command: list[str], **options: Any) -> Any:
        lowered = f"import importers.confinement as c; c.{limit}; {command[-1]}"
        return start([*command[:-1], lowered], **options)

    with monkeypatch.context() as patched:
        patched.setattr(apart.subprocess, "Popen", limited)
        apart._POOL.close()
        with pytest.raises(UnreadableFile, match=words):
            read(path, "tidepool")
    path.write_text("[{}]")
    assert read(path, "tidepool").rows_read == 1


def test_a_reader_is_replaced_after_its_share_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "FILES_PER_CHILD", 2)
    apart._POOL.close()
    path = tmp_path / "a.json"
    path.write_text("[{}]")
    readers = []
    for _ in range(4):
        assert read(path, "tidepool").rows_read == 1
        assert apart._POOL._child is not None
        readers.append(apart._POOL._child._process.pid)
    assert readers[0] == readers[1] != readers[2] == readers[3]
    with pytest.raises(ProcessLookupError):
        os.kill(readers[0], 0)


def workbook(cells: dict[tuple[int, int], str]) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as book:
        sheet = book.add_worksheet()
        for (row, column), value in cells.items():
            sheet.write(row, column, value)
    return content.getvalue()


SPARSE = {(0, 0): "subject_id", (0, 1): "site_id", (1, 0): "S1", (1_048_575, 16_383): "x"}
"""Five kilobytes that a reader of whole sheets turns into half a terabyte."""


def test_a_workbook_that_asks_for_any_amount_of_memory_ends_its_reader_alone(tmp_path: Path) -> None:
    path = tmp_path / "people.xlsx"
    path.write_bytes(workbook(SPARSE))
    with pytest.raises(UnreadableFile, match="more memory or processor time"):
        read_sheet(path, path.name, None)
    path.write_bytes(workbook({(0, 0): "subject_id", (0, 1): "site_id", (1, 0): "S1", (1_048_575, 0): "S2"}))
    assert read_sheet(path, path.name, None).rows["f0"].to_list() == ["S1", "S2"]
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(UnreadableFile, match="cannot be read as a workbook"):
        read_sheet(path, path.name, None)


@pytest.fixture
def study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Study:
    folder = tmp_path / "study"
    assert run(["init", str(folder)]) == 0
    (folder / "protocol.toml").write_text(PROTOCOL)
    capsys.readouterr()
    return open_study(folder)


def test_the_other_files_of_a_run_go_on(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = tmp_path / "files"
    inbox.mkdir()
    zipped(inbox / "glooko.zip", {"cgm_data_1.csv": bytes(200 << 20), "bolus_data_1.csv": b"x"})
    (inbox / "pens-bomb.csv").write_bytes(gzip.compress(bytes(300 << 20), 9))
    (inbox / "pens-utf.csv").write_bytes(pens(50, 2).encode() + b"S1,P1,99,2026-03-01 08:00,\xff\xfe\n")
    (inbox / "pens-cell.csv").write_text(pens(60, 1) + "S1,P1,61," + "9" * (1 << 20) + ",5\n")
    (inbox / "odm.xml").write_text(
        '<!DOCTYPE ODM [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        '<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" FileType="Snapshot">'
        '<ClinicalData StudyOID="S" MetaDataVersionOID="1">&b;</ClinicalData></ODM>'
    )
    (inbox / "pens.csv").write_text(pens(1, 3))
    (inbox / "people.xlsx").write_bytes(workbook(SPARSE))
    os.mkfifo(inbox / "pens-endless.csv")
    assert run(["import", "--study", str(study.root), "--json", str(inbox)]) == 1
    files = {Path(file["path"]).name: file for file in json.loads(capsys.readouterr().out)["files"]}
    assert files["pens.csv"]["status"] == "imported"
    assert files["pens-utf.csv"]["read"] == 3
    assert files["pens-cell.csv"]["read"] == 2
    refused = {"pens-bomb.csv": "longer than 16 MB", "odm.xml": "entit", "glooko.zip": "unpacks from"}
    for name, words in refused.items():
        assert files[name]["status"] == "failed", name
        assert words in files[name]["reason"]
    assert next(file for name, file in files.items() if name.endswith("xlsx"))["status"] == "failed"
    assert all("Traceback" not in (file["reason"] or "") for file in files.values())
    assert max(file["seconds"] for file in files.values()) < 5
