"""SAS transport files: whole ones are read, damaged ones are refused with a reason, odd ones are read with a note."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pyreadstat
import pytest
from sdtm_files import read, recognise, rejected, table

import sample_data
from importers import xpt
from importers.base import Recognised, UnreadableFile


def write_xpt(path: Path, frame: pl.DataFrame, name: str, **options: object) -> Path:
    pyreadstat.write_xport(frame, str(path), file_format_version=5, table_name=name, **options)
    return path


@pytest.mark.parametrize("cut", [1, 40, 79, 80, 81, 800, 2000])
def test_a_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    whole = sample_data.path("autoinjector_formats/dm.xpt").read_bytes()
    path = tmp_path / "dm.xpt"
    path.write_bytes(whole[:-cut])
    with pytest.raises(UnreadableFile, match="cut short"):
        read(path)


@pytest.mark.parametrize("size", [100, 500, 700, 3000])
def test_a_file_cut_in_its_header_is_refused_not_unknown(tmp_path: Path, size: int) -> None:
    path = tmp_path / "dm.xpt"
    path.write_bytes(sample_data.path("autoinjector_formats/dm.xpt").read_bytes()[:size])
    assert isinstance(recognise(path), Recognised)
    with pytest.raises(UnreadableFile):
        read(path)


def test_windows_text_is_read_and_noted(pilot_dir: Path) -> None:
    data = xpt.read_data_set(pilot_dir / "ts.xpt", "ts.xpt")
    titles = data.frame.filter(pl.col("TSPARMCD") == "TITLE").get_column("TSVAL").to_list()
    assert titles[0].endswith("Mild to Moderate Alzheimer’s Disease.")
    assert data.notes == ["ts.xpt: text is not UTF-8 (byte 0x92); read as windows-1252"]
    assert data.frame.height == 48


def test_two_data_sets_in_one_file_are_refused(tmp_path: Path) -> None:
    first = sample_data.path("autoinjector_formats/dm.xpt").read_bytes()
    second = sample_data.path("autoinjector_formats/ae.xpt").read_bytes()
    path = tmp_path / "both.xpt"
    path.write_bytes(first + second[240:])
    with pytest.raises(UnreadableFile, match="more than one data set"):
        read(path)


def test_version_8_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "dm.xpt"
    pyreadstat.write_xport(pl.DataFrame({"USUBJID": ["1"]}), str(path), file_format_version=8)
    assert isinstance(recognise(path), Recognised)
    with pytest.raises(UnreadableFile, match="version 8"):
        read(path)


def test_name_label_and_time_come_from_the_header(autoinjector_dir: Path) -> None:
    path = sample_data.path("autoinjector_formats/di.xpt")
    data = xpt.read_data_set(path, path.name)
    assert (data.name, data.label) == ("DI", "Device Identifiers")
    assert data.exported_utc == dt.datetime(2020, 8, 21, 9, 14, 24)


def test_numeric_dates_become_dates_and_one_bad_date_costs_one_row(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "DOMAIN": ["DX"] * 3,
            "USUBJID": ["1", "2", "3"],
            "SPDEVID": ["A", "B", "C"],
            "DXSEQ": [1.0, 1.0, 1.0],
            "DXSTDTC": [21636.0, 9.0e12, None],
            "DXDTC": [1.9e9, 1.9e9, 1.9e9],
        }
    )
    path = write_xpt(tmp_path / "dx.xpt", frame, "DX", variable_format={"DXSTDTC": "YYMMDD10.", "DXDTC": "DATETIME20."})
    parsed = read(path)
    assert [row["start_local"] for row in table(parsed, "wear_interval")] == [dt.datetime(2019, 3, 28)]
    assert rejected(parsed) == [(2, "bad_date", "DXSTDTC")]
    observed = dt.datetime(1960, 1, 1) + dt.timedelta(seconds=1.9e9)
    assert [row["observed_at"] for row in table(parsed, "observation")] == [observed]


def test_short_rows_are_not_confused_with_padding(tmp_path: Path) -> None:
    """Rows of a few bytes leave up to 79 bytes of blanks at the end, which are no rows."""
    for count in (1, 7, 40):
        frame = pl.DataFrame({"DOMAIN": ["DI"] * count, "SPDEVID": [f"D{row}" for row in range(count)]})
        frame = frame.with_columns(DIPARMCD=pl.lit("SERIAL"), DIVAL=pl.lit("1"))
        parsed = read(write_xpt(tmp_path / "di.xpt", frame, "DI"))
        assert parsed.rows_read == count
