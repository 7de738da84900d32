"""Dataset-JSON as files really are: three forms, two compressions, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdtm_files import metadata, recognise

from importers import dataset_json
from importers.base import Recognised, UnreadableFile
from importers.data_set import LINE, level_number, level_text

COLUMNS = {"USUBJID": "string", "AESEQ": "integer", "AETERM": "string", "AEX": "decimal", "AEF": "double"}
ROWS = [["001", 1, "RASH", "10.80", 0.1], ["002", 2.0, "", None, 5]]


def lines(rows: list[Any], **changes: Any) -> bytes:
    head = {**metadata("AE", COLUMNS, len(rows)), **changes}
    return "\n".join(json.dumps(one) for one in (head, *rows)).encode()


def document(rows: list[Any], *, indent: int | None = None, **changes: Any) -> bytes:
    return json.dumps({**metadata("AE", COLUMNS, len(rows)), "rows": rows, **changes}, indent=indent).encode()


def cells(path: Path) -> list[tuple[Any, ...]]:
    return dataset_json.read_data_set(path, path.name).frame.rows()


def written(tmp_path: Path, content: bytes, name: str = "ae.dsjc") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        lines(ROWS),
        lines(ROWS) + b"\n\n",
        lines(ROWS).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + lines(ROWS),
        document(ROWS),
        document(ROWS, indent=2),
        gzip.compress(lines(ROWS)),
        gzip.compress(lines(ROWS[:1], records=2) + b"\n") + gzip.compress(json.dumps(ROWS[1]).encode()),
        zlib.compress(lines(ROWS)),
        zlib.compress(document(ROWS), level=1),
        lines([["001", 1, "RASH", 10.8, "0.10"], ["002 ", "2", [], [], 5.0]]),
        lines([["001", 1, " RASH\t", "10.8", 0.1], ["002", 2, None, "", 5]]),
        lines(ROWS, datasetJSONCreationDateTime="2026-06-29T02:27", originator=[], fileOID=[]),
    ],
    ids=lambda content: f"{len(content)} bytes",  # gzip writes the time: its bytes differ between processes
)
def test_every_way_of_writing_a_data_set_gives_the_same_cells(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    assert recognise(path) == Recognised("sdtm", "AE")
    assert cells(path) == [(1, "001", "1", "RASH", "10.8", "0.1"), (2, "002", "2", None, None, "5")]


@pytest.mark.parametrize(("declared", "held"), [(3, 2), (1, 2), (0, 2)])
@pytest.mark.parametrize("write", [lines, document])
def test_a_wrong_count_of_records_names_both_numbers(tmp_path: Path, write: Any, declared: int, held: int) -> None:
    path = written(tmp_path, write(ROWS, records=declared))
    with pytest.raises(UnreadableFile, match=f"declares {declared} records and holds {held} rows") as caught:
        dataset_json.read_data_set(path, "ae.ndjson")
    assert caught.value.attrs()["found"] == held


def test_no_rows_are_no_error(tmp_path: Path) -> None:
    assert cells(written(tmp_path, lines([]))) == []
    assert cells(written(tmp_path, document([]))) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'["002", 2, "cut', "unreadable"),
        (b'{"USUBJID": "002"}', "unreadable"),
        (b'["002", 2, "", null]', "missing_columns"),
        (b'["002", 2, "", null, 5, 6]', "too_many_columns"),
        (b'["002", 2, {"a": 1}, null, 5]', "bad_value"),
        (b'["002", 2, "\\ud800", null, 5]', "bad_encoding"),
        (b'["002", 2, "\xff", null, 5]', "bad_encoding"),
        (b"[" * 100_000, "unreadable"),
    ],
)
def test_a_bad_row_leaves_the_others(tmp_path: Path, row: bytes, reason: str) -> None:
    content = lines([ROWS[0]], records=3) + b"\n" + row + b"\n" + json.dumps(ROWS[1]).encode()
    data = dataset_json.read_data_set(written(tmp_path, content), "ae.ndjson")
    assert data.frame.get_column(LINE).to_list() == [1, 3]
    assert [(problem.line, problem.reason) for problem in data.problems] == [(2, reason)]
    assert data.rows_read == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        document(ROWS)[:-20],
        gzip.compress(lines(ROWS))[:-12],
        zlib.compress(lines(ROWS))[:-6],
        zlib.compress(lines(ROWS))[:20] + b"garbage" * 9,
        lines(ROWS, columns=[]),
        lines(ROWS, columns=[{"name": "A"}, {"name": "A"}]),
        document(ROWS).replace(b'"rows": [', b'"rows": 5, "others": ['),
    ],
    ids=lambda content: f"{len(content)} bytes",  # gzip writes the time: its bytes differ between processes
)
def test_a_damaged_file_is_refused_as_a_whole(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"^ae\.dsjc cannot be read as Dataset-JSON"):
        dataset_json.read_data_set(written(tmp_path, content), "ae.dsjc")


@pytest.mark.parametrize("compress", [lambda content: content, gzip.compress, zlib.compress])
def test_no_overlong_line_reaches_the_parser(tmp_path: Path, compress: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_json, "LINE_LIMIT", 5_000)
    monkeypatch.setattr(dataset_json, "_BLOCK", 1_000)
    seen: list[int] = []
    parse = json.loads
    monkeypatch.setattr(dataset_json.json, "loads", lambda text: seen.append(len(text)) or parse(text))
    long = ["003", 3, "X" * 20_000, None, 5]
    data = dataset_json.read_data_set(written(tmp_path, compress(lines([ROWS[0], long, ROWS[1]]))), "ae.ndjson")
    assert data.frame.get_column("USUBJID").to_list() == ["001", "002"]
    assert [(problem.line, problem.reason) for problem in data.problems] == [(2, "too_long")]
    assert max(seen) <= 5_000
    with pytest.raises(UnreadableFile, match="line longer than"):
        dataset_json.read_data_set(written(tmp_path, compress(document([long]))), "ae.json")


def test_a_file_without_count_is_read_with_a_note(tmp_path: Path) -> None:
    head = metadata("AE", COLUMNS, 2)
    del head["records"], head["datasetJSONCreationDateTime"]
    content = "\n".join(json.dumps(one) for one in (head, *ROWS)).encode()
    data = dataset_json.read_data_set(written(tmp_path, content), "ae.ndjson")
    assert data.exported_utc is None
    assert len(data.notes) == 2


CELL = st.one_of(st.none(), st.text(max_size=8), st.integers(), st.floats(allow_infinity=False, allow_nan=False))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(CELL, min_size=5, max_size=5), max_size=5))
def test_all_forms_agree_on_any_cells(tmp_path: Path, rows: list[list[Any]]) -> None:
    """Text that JSON cannot hold as UTF-8 (lone surrogates) is refused alike in every form."""
    forms = (
        lines(rows),
        document(rows),
        document(rows, indent=1),
        gzip.compress(lines(rows)),
        zlib.compress(lines(rows)),
    )
    read = [dataset_json.read_data_set(written(tmp_path, content), "ae") for content in forms]
    assert all(data.frame.equals(read[0].frame) for data in read)
    assert all([p.line for p in data.problems] == [p.line for p in read[0].problems] for data in read)


@given(st.integers(min_value=-(10**14), max_value=10**14))
def test_an_integer_and_its_double_are_the_same_number(value: int) -> None:
    assert level_number(value) == level_number(float(value)) == level_number(f" {value}.0 ") == str(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**8), max_value=10**8))
def test_a_decimal_is_the_same_from_text_and_from_a_double(value: Any) -> None:
    text = level_number(str(value))
    assert text is not None
    assert text == level_number(float(value))
    assert float(text) == float(value)


def test_text_and_missing_values() -> None:
    assert level_text("  ") is None
    assert level_number(math.nan) is None
    assert level_number("five") == "five"
    assert level_number("1e9999999") == "1e9999999", "a number no column can hold is left for the mapping to refuse"
