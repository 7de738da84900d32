"""Which files an import reads, ignores and refuses."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest
from sdtm_files import write_rows

from importers.discover import Input, find_inputs
from store.protocol import Source

EVENT = {"USUBJID": "001", "AESEQ": "1", "AETERM": "RASH"}


def by_name(inputs: list[Input]) -> dict[str, Input]:
    return {found.name: found for found in inputs}


def source(name: str, pattern: str, format: str = "dose_log") -> Source:
    return Source.model_validate({"name": name, "pattern": pattern, "format": format})


def test_a_folder_is_walked_in_order_and_a_file_counts_once(autoinjector_dir: Path) -> None:
    inputs = find_inputs([autoinjector_dir, autoinjector_dir / "dm.ndjson", autoinjector_dir])
    names = [found.name for found in inputs]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == len(list(autoinjector_dir.iterdir()))
    assert all(bool(found.importer) + bool(found.ignored) + bool(found.error) == 1 for found in inputs)
    assert by_name(inputs)["LICENSE"].ignored == "a licence or a note"
    assert by_name(inputs)["protocol.toml"].ignored == "a configuration"


@pytest.mark.parametrize("name", ["ta.ndjson", "mh.ndjson", "LICENSE"])
def test_what_is_ignored_in_a_folder_is_an_error_when_named(autoinjector_dir: Path, name: str) -> None:
    inside = by_name(find_inputs([autoinjector_dir]))[name]
    named = find_inputs([autoinjector_dir / name])[0]
    assert inside.error is None and inside.ignored
    assert named.ignored is None
    assert named.error == f"The file holds nothing to import: {inside.ignored}."


@pytest.mark.external
def test_schemas_of_dataset_json_are_no_data(shared: Path) -> None:
    found = by_name(find_inputs([shared / "data/trials/autoinjector"]))
    assert found["dataset.schema.json"].ignored == found["dataset-ndjson-schema.json"].ignored == "a JSON schema"
    assert not [one.error for one in found.values() if one.error]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("doses.csv", b"one,two\n1,2\n"),
        ("doses.xlsx", b"PK\x03\x04rest"),
        ("doses.json", b'[{"dose": 1}, {"dose": 2}]'),
        ("doses.json", b'{"doses": [{"dose": 1}]}'),
        ("doses.json", b'{"doses": [{"dose": 1}, '),
        ("pump.bin", b"\x00\x01\x02"),
        ("doses", b"1 2 3"),
        ("doses.txt", b"1;2;3\n"),
        ("cut.xpt", b"HEADER RECORD*******NOTHING"),
        ("empty.csv", b""),
        ("empty.xpt", b""),
    ],
)
def test_an_unrecognised_file_that_may_hold_doses_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    inside, named = find_inputs([tmp_path])[0], find_inputs([tmp_path / name])[0]
    assert inside.error and named.error
    assert ("empty" in inside.error) == (content == b"")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.txt", b"read me"),
        ("define.xml", b"<ODM/>"),
        ("protocol.pdf", b"%PDF"),
        (".DS_Store", b"\x00"),
        (".gitkeep", b""),
        ("dataset.schema.json", b'{"$schema": "x", "properties": {}}'),
        ("settings.json", b'{"name": "x", "levels": [1, 2]}'),
    ],
)
def test_what_is_no_data_is_ignored_in_a_folder_only(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert find_inputs([tmp_path])[0].ignored
    assert find_inputs([tmp_path / name])[0].error


def test_the_pattern_of_a_source_decides(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    write_rows(tmp_path / "logs/ae.ndjson", "AE", [EVENT])
    sdtm = source("events", "logs/*.ndjson", "sdtm")
    for paths in ([tmp_path], [tmp_path / "logs/ae.ndjson"]):
        found = find_inputs(paths, [sdtm])[0]
        assert found.recognised is not None
        assert (found.recognised.format, found.recognised.dataset) == ("sdtm", "AE")
        assert found.source == sdtm


def test_a_pattern_that_contradicts_the_content_is_an_error(tmp_path: Path) -> None:
    write_rows(tmp_path / "ae.ndjson", "AE", [EVENT])
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    sources = [source("pump", "*.ndjson"), source("events", "*.csv", "sdtm")]
    found = by_name(find_inputs([tmp_path], sources))
    assert found["ae.ndjson"].error == ("The protocol's source pump says a dose log, the content is an SDTM data set.")
    assert found["notes.csv"].error == (
        "The protocol's source events says an SDTM data set, the content is something else."
    )


def test_two_patterns_for_one_file_are_an_error(tmp_path: Path) -> None:
    write_rows(tmp_path / "ae.ndjson", "AE", [EVENT])
    sources = [source("one", "*.ndjson", "sdtm"), source("two", "ae.*", "sdtm")]
    assert find_inputs([tmp_path], sources)[0].error == "Patterns of several sources match the file: one, two."


def test_a_pattern_does_not_make_an_unused_domain_an_error(autoinjector_dir: Path) -> None:
    found = by_name(find_inputs([autoinjector_dir], [source("sdtm", "*.ndjson", "sdtm")]))
    assert found["mh.ndjson"].ignored == "medical history is not used"


def test_missing_and_special_files_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert find_inputs([tmp_path / "gone.csv"])[0].error == "There is no such file."
    assert find_inputs([tmp_path])[0].error == "This is no ordinary file."
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    assert by_name(find_inputs([tmp_path]))["link.csv"].error == "There is no such file."


def test_a_compressed_data_set_is_recognised_by_content(autoinjector_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "export.bin").write_bytes(gzip.compress((autoinjector_dir / "ec.ndjson").read_bytes()))
    shutil.copy(autoinjector_dir / "dm.ndjson", tmp_path / "dm.csv")
    datasets = [found.recognised.dataset for found in find_inputs([tmp_path]) if found.recognised]
    assert datasets == ["DM", "EC"]
