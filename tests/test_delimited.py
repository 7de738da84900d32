"""Delimited text as it comes: packed, recoded, ragged, quoted, damaged; every row keeps its physical line."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from generic_files import COLUMNS, mapped, read

from importers import delimited, unpacking
from importers.base import LINE_LIMIT, UnreadableFile
from importers.records import CELL_LIMIT, LineIndex, read_records

HEADER = "Subject,Time,Dose\n"
LOT = mapped(columns={**COLUMNS, "lot": "Lot"})


def lines(log: object) -> list[int]:
    return log.events["line"].to_list()  # type: ignore[attr-defined, no-any-return]


def records(text: bytes, width: int | None = 3) -> list[tuple[int, int, tuple[bytes, ...], str | None]]:
    found = read_records(text.split(b"\n"), ",", width)
    return [(record.first, record.last, record.cells if not record.fault else (), record.fault) for record in found]


def test_short_and_long_lines_are_rejected_with_line_and_text(tmp_path: Path) -> None:
    log = read(
        tmp_path, HEADER + "S1,2024-01-01,1\nS1,2024-01-01\n\u00e9S1,2024-01-01,1,2\nS1,2024-01-01,3\nx\n", mapped()
    )
    assert lines(log) == [2, 5]
    assert log.rejected.select("line", "reason", "message", "raw").rows() == [
        (3, "missing_columns", "2 cells where the header has 3 columns", "S1,2024-01-01"),
        (4, "too_many_columns", "4 cells where the header has 3 columns", "\u00e9S1,2024-01-01,1,2"),
        (6, "missing_columns", "1 cell where the header has 3 columns", "x"),
    ]


def test_a_file_none_of_whose_rows_fits_its_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="4 cells where the header has 3 columns"):
        read(tmp_path, HEADER + "S1,2024-01-01,1,\n" * 30, mapped())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    text = "Subject,Time,Dose\nS1,2024-01-01,1\nS2,2024-01-02\nS3,2024-01-03,x\nS4,2024-01-04,4".replace("\n", end)
    for ending in ("", end, end * 4):
        log = read(tmp_path, text + ending, mapped())
        assert lines(log) == [2, 5]
        assert log.reasons() == [(3, "missing_columns", None), (4, "bad_number", "delivered_amount")]
        assert log.rejected["raw"].to_list() == ["S2,2024-01-02", "S3,2024-01-03,x"]


def test_mixed_line_ends_and_a_stray_return(tmp_path: Path) -> None:
    text = "Subject,Time,Dose,Lot\r\nS1,2024-01-01,1,a\nS2,2024-01-02,2,b\r\nS3,2024-01-03,3,c\rd\nS4,2024-01-04,4,e\n"
    log = read(tmp_path, text, LOT)
    assert log.events.select("line", "lot").rows() == [(2, "a"), (3, "b"), (4, "c\rd"), (5, "e")]


def test_blank_lines_are_no_rows_and_count_as_lines(tmp_path: Path) -> None:
    log = read(
        tmp_path, "\n\nSubject,Time,Dose\n\nS1,2024-01-01,1\n\n\nS2,2024-01-02,x\n   \nS3,2024-01-03,3\n\n", mapped()
    )
    assert lines(log) == [5, 10]
    assert log.reasons() == [(8, "bad_number", "delivered_amount"), (9, "missing_columns", None)]
    assert log.rejected["raw"].to_list() == ["S2,2024-01-02,x", "   "]


def test_quoted_cells_over_several_lines(tmp_path: Path) -> None:
    text = (
        'Subject,Time,Dose,Lot\nS1,2024-01-01,1,"a\nb"\nS2,2024-01-02,x,"c\r\n\r\nd ""e"""\nS3,2024-01-03,3, "f,g" \n'
        "S4,2024-01-04\nS5,2024-01-05,5,h\n"
    )
    log = read(tmp_path, text, LOT)
    assert log.events.select("line", "lot").rows() == [(2, "a\nb"), (7, "f,g"), (9, "h")]
    assert log.rejected.select("line", "reason", "raw").rows() == [
        (4, "bad_number", 'S2,2024-01-02,x,"c\r\n\r\nd ""e"""'),
        (8, "missing_columns", "S4,2024-01-04"),
    ]


def test_a_header_over_two_lines(tmp_path: Path) -> None:
    log = read(tmp_path, 'Subject,Time,"Dose\n"\nS1,2024-01-01,1\nS1,2024-01-01,x\n', mapped())
    assert lines(log) == [3]
    assert log.reasons() == [(4, "bad_number", "delivered_amount")]


def test_a_stray_quote_costs_one_line(tmp_path: Path) -> None:
    text = (
        'Subject,Time,Dose,Lot\nS1,2024-01-01,1,a\nS2,2024-01-02,2,"b\nS3,2024-01-03,3,c\nS4,2024-01-04,4,5" needle\n'
        'S5,2024-01-05,5,"d"e\nS6,2024-01-06,6,f\n'
    )
    log = read(tmp_path, text, LOT)
    assert log.events.select("line", "lot").rows() == [(2, "a"), (4, "c"), (5, '5" needle'), (7, "f")]
    assert log.rejected.select("line", "reason", "raw").rows() == [
        (3, "unreadable", 'S2,2024-01-02,2,"b'),
        (6, "unreadable", 'S5,2024-01-05,5,"d"e'),
    ]


def test_records_of_the_exact_reader() -> None:
    assert records(b'a,"b",c\r\n"a\nb",,\n\n,"""",c') == [
        (1, 1, (b"a", b"b", b"c"), None),
        (2, 3, (b"a\nb", b"", b""), None),
        (5, 5, (b"", b'"', b"c"), None),
    ]
    assert records(b'"a\n1,2,3\n4",5\n6,7,8') == [
        (1, 1, (), "unreadable"),
        (2, 2, (b"1", b"2", b"3"), None),
        (3, 3, (), "missing_columns"),
        (4, 4, (b"6", b"7", b"8"), None),
    ]
    assert records(b'"' + b"\n1,2,3" * 5_000)[0] == (1, 1, (), "unreadable")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    text = b"Subject,Time,Dose,Note\nS1,2024-01-01,1,caf\xe9\nS\xe9,2024-01-02,2,\nS3,2024-01-03,3,caf\xc3\xa9\n"
    log = read(tmp_path, text, mapped())
    assert lines(log) == [4]
    assert log.rejected.select("line", "reason", "raw").rows() == [
        (2, "bad_encoding", r"S1,2024-01-01,1,caf\xe9"),
        (3, "bad_encoding", r"S\xe9,2024-01-02,2,"),
    ]
    quoted = read(tmp_path, text.replace(b",1,caf\xe9", b',1,"caf\xe9"'), mapped())
    assert quoted.reasons() == [(2, "bad_encoding", None), (3, "bad_encoding", None)]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("cp1252", "cp1252"),
        ("latin-1", "iso-8859-1"),
        ("utf-16", "utf-8"),
        ("utf-16-le", "utf-16-le"),
        ("utf-8-sig", "utf-8"),
    ],
)
def test_declared_encodings_and_byte_order_marks(tmp_path: Path, encoding: str, declared: str) -> None:
    text = "Subject,Time,Dose,Lot\nS1,2024-01-01,1,\u00fc\u00e9\nS1,2024-01-01,\u00fc,x\n"
    log = read(tmp_path, text.encode(encoding), mapped(columns={**COLUMNS, "lot": "Lot"}, encoding=declared))
    assert log.events.select("line", "lot").rows() == [(2, "\u00fc\u00e9")]
    assert log.rejected["raw"].to_list() == ["S1,2024-01-01,\u00fc,x"]


def test_a_byte_that_a_code_page_leaves_undefined_is_kept(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        b"Subject,Time,Dose,Lot\nS1,2024-01-01,1,a\x81b\n",
        mapped(columns={**COLUMNS, "lot": "Lot"}, encoding="cp1252"),
    )
    assert log.events["lot"].to_list() == ["a\x81b"]


def test_two_byte_order_marks(tmp_path: Path) -> None:
    assert lines(read(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbf" + HEADER.encode() + b"S1,2024-01-01,1\n", mapped())) == [2]


def pack_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("pack", [gzip.compress, pack_zstd])
def test_packed_files_give_the_same_rows(tmp_path: Path, pack: object) -> None:
    text = (HEADER + "".join(f"S{n},2024-01-01,{n % 7}{'x' * (n % 500 == 0)}\n" for n in range(20_000))).encode()
    half = len(text) // 2
    plain = read(tmp_path, text, mapped())
    for data in (pack(text), pack(text[:half]) + pack(text[half:])):  # type: ignore[operator]
        packed = read(tmp_path, data, mapped())
        assert packed.events.equals(plain.events)
        assert packed.rejected.equals(plain.rejected)
    assert plain.rejected.height == 40
    with pytest.raises(UnreadableFile, match="truncated or damaged"):
        read(tmp_path, pack(text)[:-10], mapped())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"), (gzip.compress(b""), "is empty"), (b"\n\r\n  \n", "nothing but blank lines"),
        (bz2.compress(b"x" * 100), "bzip2"), (gzip.compress(b"PK\x03\x04" + bytes(100)), "zip archive"),
        (b"\x1f\x8b\x08" + bytes(50), "truncated or damaged"),
    ],
    # The packed bytes hold the time they were made: as names they would differ between processes.
    ids=["empty", "empty gzip", "blank lines", "bzip2", "zip in gzip", "damaged gzip"],
)  # fmt: skip
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        read(tmp_path, data, mapped())


def test_header_only(tmp_path: Path) -> None:
    for text in (HEADER, HEADER.strip(), HEADER + "\n\n"):
        log = read(tmp_path, text, mapped())
        assert (log.parsed.rows_read, log.events.height) == (0, 0)
        assert any("no rows" in note for note in log.parsed.notes)


def test_an_endless_line_is_refused_before_any_parser_sees_it(tmp_path: Path) -> None:
    endless = HEADER.encode() + b"S1,2024-01-01," + b"1" * (6 * LINE_LIMIT)
    for data in (
        endless,
        endless[:100] + endless[100:].replace(b"\n", b""),
        gzip.compress(endless, 1),
        pack_zstd(endless),
    ):
        tracemalloc.start()
        with pytest.raises(UnreadableFile, match="longer than 16 MB"):
            read(tmp_path, data, mapped())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < len(data) + LINE_LIMIT + 35_000_000


def test_a_file_that_unpacks_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_FREE", 1_000_000)
    for pack in (gzip.compress, pack_zstd):
        monkeypatch.setattr(unpacking, "UNPACKED_RATIO", 100)
        with pytest.raises(UnreadableFile, match="unpacks from"):
            read(tmp_path, pack(HEADER.encode() + b"S1,2024-01-01,1\n" * 500_000), mapped())


def test_a_cell_over_the_limit_and_one_below_it(tmp_path: Path) -> None:
    text = (
        "Subject,Time,Dose,Lot\nS1,2024-01-01,1,"
        + "a" * (CELL_LIMIT + 1)
        + "\nS2,2024-01-01,1,b\nS3,2024-01-01,1,"
        + "c" * CELL_LIMIT
        + "\n"
    )
    log = read(tmp_path, text, LOT)
    assert log.reasons() == [(2, "too_long", None)]
    assert len(log.rejected["raw"][0]) < 70_000
    assert log.events.select("line", "lot").rows() == [(3, "b"), (4, "c" * CELL_LIMIT)]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_delimiters_are_found_in_the_header(tmp_path: Path, sign: str) -> None:
    text = f'Subject{sign}Time{sign}Dose{sign}"a,b;c|d\te"\nS1{sign}2024-01-01{sign}1{sign}x\n'
    assert lines(read(tmp_path, text, mapped())) == [2]
    assert delimited.head_names(text.encode())[:3] == ("Subject", "Time", "Dose")
    assert delimited.head_names(gzip.compress(text.encode()))[:3] == ("Subject", "Time", "Dose")
    assert delimited.head_names(pack_zstd(text.encode()))[:3] == ("Subject", "Time", "Dose")


def test_a_declared_delimiter(tmp_path: Path) -> None:
    log = read(tmp_path, "Subject:Time:Dose:a,b,c,d\nS1:2024-01-01:1:x\n", mapped(delimiter=":"))
    assert lines(log) == [2]


def test_lines_are_found_wherever_blocks_end(tmp_path: Path) -> None:
    step = LineIndex.STEP
    content = [b"a" * (step - 1), b"b", b"", b"c" * (3 * step), b"d" * 10, b"e" * (step - 11), b"f"]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(content))
    index = LineIndex()
    index.add(path.read_bytes())
    every = [(number, number) for number in range(1, len(content) + 1)]
    assert [raw for _, raw in index.fetch(path, every)] == content
    assert list(index.fetch(path, [(2, 4), (6, 7)])) == [(2, b"\n".join(content[1:4])), (6, b"\n".join(content[5:]))]
