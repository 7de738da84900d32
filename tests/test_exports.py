"""What leaves the study: every format carries its origin, nothing runs as a formula, equal rows give equal
bytes.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import fastexcel
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.export_excel import TooLargeForExcel
from analysis.exports import FORMATS, METADATA_KEY, Origin, Part, write_export, write_parts
from analysis.json_text import unique_names
from analysis.safe_text import neutralised, visible

ORIGIN = Origin(
    what="patients",
    study="TRIAL-1",
    release=42,
    ledger_head="ab" * 32 + "@17",
    blinding="open",
    population="all screened",
    data_cut="all data",
    command="dosetrail export patients --format csv --out patients.csv",
    program="dosetrail 0.1.0",
    columns={"subject_id": "Subject identifier", "amount": "Amount in mg"},
)
FRAME = pl.DataFrame(
    {
        "subject_id": ["S1", "S2", "S3", "S4"],
        "term": ['=HYPERLINK("http://x";"y")', "-5", None, "a\x1b[31m | [b]"],
        "amount": [Decimal("54.000000"), Decimal("-0.025000"), None, Decimal("0.100001")],
        "share": [0.1, None, -1e-20, 1.0],
        "count": [1, -2, 3, None],
        "day": [date(2014, 1, 2), None, date(1850, 1, 1), date(2014, 12, 31)],
        "at": [datetime(2014, 1, 2, 3, 4, 5), datetime(2014, 1, 2, 3, 4, 5, 678000), None, None],
        "serious": [True, False, None, True],
    },
    schema_overrides={"amount": pl.Decimal(18, 6)},
)


def content(format: str, frame: pl.DataFrame = FRAME, origin: Origin = ORIGIN) -> bytes:
    return write_export(frame, origin, format)[0].content


def excel_sheet(book: bytes, sheet: str, header: int | None = 0) -> pl.DataFrame:
    return fastexcel.read_excel(book).load_sheet(sheet, header_row=header).to_polars()


@pytest.mark.parametrize("format", FORMATS)
def test_same_rows_give_same_bytes(format: str) -> None:
    assert write_export(FRAME, ORIGIN, format) == write_export(FRAME.clone(), ORIGIN, format)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_where_it_comes_from(format: str) -> None:
    first, about, _ = write_export(FRAME, ORIGIN, format)
    beside = json.loads(about.content)
    assert {name: beside[name] for name in ORIGIN.facts()} == ORIGIN.facts()
    if format == "csv":
        facts = beside
    elif format == "json":
        facts = json.loads(first.content)["origin"]
    elif format == "parquet":
        facts = json.loads(pl.read_parquet_metadata(io.BytesIO(first.content))[METADATA_KEY])
    elif format == "xlsx":
        sheet = excel_sheet(first.content, "origin", header=None)
        facts = {name.replace(" ", "_"): value for name, value in sheet.iter_rows()}
    elif format == "html":
        found = re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", first.content.decode())
        facts = {name.replace(" ", "_"): html.unescape(value) for name, value in found}
    else:
        lines = [line for line in first.content.decode().splitlines() if line.startswith("- ")]
        facts = {
            name.replace(" ", "_"): value.replace("\\", "")
            for name, _, value in (line[2:].partition(": ") for line in lines)
        }
    for name, value in ORIGIN.facts().items():
        assert str(facts[name]) == str(value)


def test_csv_keeps_numbers_and_neutralises_formulas() -> None:
    rows = list(csv.DictReader(io.StringIO(content("csv").decode())))
    assert rows[0]["term"].startswith("'=HYPERLINK")
    assert rows[1]["term"] == "-5"
    assert rows[2]["term"] == ""
    assert [row["amount"] for row in rows] == ["54.000000", "-0.025000", "", "0.100001"]
    assert [row["count"] for row in rows] == ["1", "-2", "3", ""]
    assert rows[1]["at"] == "2014-01-02T03:04:05.678"
    assert b"\x1b" not in content("csv")


@pytest.mark.parametrize("format", FORMATS)
def test_siblings_prove_the_file_and_explain_the_columns(format: str) -> None:
    data, sibling, sums = write_export(FRAME, ORIGIN, format, "p.x")
    digests = [hashlib.sha256(file.content).hexdigest() for file in (data, sibling)]
    assert sums.content.decode() == f"{digests[0]}  p.x\n{digests[1]}  p.x.json\n"
    facts = json.loads(sibling.content)
    assert sibling.suffix == ".json"
    assert facts["sha256"] == hashlib.sha256(data.content).hexdigest()
    assert facts["rows"] == 4
    assert facts["cells_neutralised"] == (2 if format == "csv" else 0)
    assert {"name": "amount", "type": "Decimal(precision=18, scale=6)", "meaning": "Amount in mg"} in facts["columns"]


def test_parquet_keeps_types_and_text() -> None:
    assert pl.read_parquet(io.BytesIO(content("parquet"))).equals(FRAME)


def test_json_keeps_every_digit_and_the_text() -> None:
    text = content("json").decode("ascii")
    document = json.loads(text, parse_float=Decimal)
    assert document["rows"][0]["amount"] == Decimal("54.000000")
    assert document["rows"][3]["amount"] == Decimal("0.100001")
    assert document["rows"][3]["term"] == "a\x1b[31m | [b]"
    assert document["rows"][2]["day"] == "1850-01-01"


def test_excel_cells_are_typed_and_no_cell_is_a_formula() -> None:
    book = content("xlsx")
    data = excel_sheet(book, "data")
    assert data["amount"].to_list() == [54.0, -0.025, None, 0.100001]
    assert data["count"].to_list() == [1, -2, 3, None]
    assert data["serious"].to_list() == [True, False, None, True]
    # Excel has no day before 1900: the column holds text beside dates.
    assert "1850-01-01" in [str(day) for day in data["day"]]
    assert data["term"][0] == '=HYPERLINK("http://x";"y")'
    parts = zipfile.ZipFile(io.BytesIO(book))
    sheets = [parts.read(name) for name in parts.namelist() if name.startswith("xl/worksheets/")]
    assert not [sheet for sheet in sheets if b"<f>" in sheet or b"<hyperlink" in sheet]
    sheet = parts.read("xl/worksheets/sheet1.xml")
    assert b'state="frozen"' in sheet and b'<autoFilter ref="A1:H5"/>' in sheet
    # Days and moments are numbers with a date format, not text; numbers are numbers.
    kinds = [kind.base_type() for kind in data.select("amount", "count", "at").dtypes]
    assert kinds == [pl.Float64, pl.Float64, pl.Datetime]
    assert b"\x1b" not in b"".join(parts.read(name) for name in parts.namelist())
    assert b"_x001B_" not in parts.read("xl/sharedStrings.xml")


def test_excel_keeps_digits_it_has_no_number_for() -> None:
    wide = pl.DataFrame({"n": [2**60, 7], "d": [Decimal("123456789012.123456"), Decimal("1.5")]})
    data = excel_sheet(content("xlsx", wide), "data")
    assert [str(value) for value in data["n"]][0] == str(2**60)
    assert [str(value) for value in data["d"]][0] == "123456789012.123456"


def test_excel_refuses_what_it_would_cut() -> None:
    with pytest.raises(TooLargeForExcel, match="32,767"):
        content("xlsx", pl.DataFrame({"text": ["x" * 40_000]}))
    with pytest.raises(TooLargeForExcel, match="1,048,576 rows"):
        content("xlsx", pl.DataFrame({"n": pl.arange(0, 1_048_576, eager=True)}))


@pytest.mark.parametrize("format", FORMATS)
def test_several_parts_are_one_file(format: str) -> None:
    parts = [Part("patients", FRAME, ORIGIN.columns), Part("none", FRAME.clear())]
    first, about, _ = write_parts(parts, ORIGIN, format)
    assert write_parts(parts, ORIGIN, format)[0] == first
    dictionary = json.loads(about.content)["parts"]
    assert [(part["name"], part["rows"]) for part in dictionary] == [("patients", 4), ("none", 0)]
    if format in ("csv", "parquet"):
        archive = zipfile.ZipFile(io.BytesIO(first.content))
        assert archive.namelist() == ["about.json", f"patients.{format}", f"none.{format}"]
        assert archive.read(f"patients.{format}") == content(format)
    elif format == "xlsx":
        assert fastexcel.read_excel(first.content).sheet_names == ["patients", "none", "origin", "columns"]
        assert excel_sheet(first.content, "patients")["count"].to_list() == [1, -2, 3, None]
    elif format == "json":
        assert [part["name"] for part in json.loads(first.content)["parts"]] == ["patients", "none"]
        assert json.loads(first.content)["parts"][0]["rows"] == json.loads(content("json"))["rows"]
    else:
        text = first.content.decode()
        assert text.index("patients") < text.index("S4") < text.index("none")


def test_html_shows_data_as_text_and_loads_nothing() -> None:
    hostile = pl.DataFrame({"<b>": ["<script>alert(1)</script>", "a\"onx='&amp;", "\x1b[31m"]})
    text = content("html", hostile).decode()
    assert "<script" not in text and "\x1b" not in text and "src=" not in text and "href" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.partition('class="rows"')[2].count("<td>") == 3


def test_markdown_shows_data_as_text() -> None:
    text = content("markdown").decode()
    line = next(line for line in text.splitlines() if line.startswith("| S4"))
    assert "a\\\\x1b\\[31m \\| \\[b\\]" in line
    assert line.replace("\\|", "").count("|") == FRAME.width + 1


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows_is_a_valid_file(format: str) -> None:
    assert content(format, FRAME.clear())


def test_origin_text_is_harmless_too() -> None:
    hostile = replace(ORIGIN, study="=cmd|' /C calc'!A0\x1b[2J")
    for format in ("markdown", "csv", "json"):
        for file in write_export(FRAME, hostile, format):
            assert b"\x1b" not in file.content
    parts = zipfile.ZipFile(io.BytesIO(content("xlsx", origin=hostile)))
    assert not [name for name in parts.namelist() if b"\x1b" in parts.read(name)]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("=+-@;\t\n 1"), max_size=20))
def test_no_text_starts_a_formula(text: str) -> None:
    safe = neutralised(visible(text))
    starts = [piece.strip()[:1] for piece in re.split("[;\t\n]", safe)]
    if any(start and start in "=+-@＝＋－＠" for start in starts):
        float(safe.strip().rstrip("%").replace(",", "."))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=12).filter(lambda text: text.isprintable()), max_size=8))
def test_csv_gives_back_every_text_cell(texts: list[str]) -> None:
    frame = pl.DataFrame({"n": range(len(texts)), "text": texts}, schema={"n": pl.Int64, "text": pl.String})
    rows = list(csv.DictReader(io.StringIO(content("csv", frame).decode(), newline="")))
    assert [row["text"] for row in rows] == [neutralised(visible(text)) for text in texts]


def test_equal_column_names_become_different() -> None:
    assert unique_names(["a", "a", "a_1", "a"]) == ["a", "a_1", "a_1_1", "a_2"]
