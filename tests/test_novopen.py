"""NovoPen readings: a real NFC trace, tenths of a unit, times from the reading."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_log import counted, read_log, source, table

from importers.base import UnreadableFile
from importers.novopen import read_trace

FORMAT = "novopen"
READ_AT = dt.datetime(2024, 5, 1, 12, 0)


@pytest.fixture
def trace(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(shared / "data/devices/novopen_nfc/datatest.txt", tmp_path / "pen_20240501-1200.txt"))


@pytest.mark.external
def test_a_real_trace(trace: Path) -> None:
    parsed = read_log(trace, FORMAT, source(exported_at="pen_{%Y%m%d-%H%M}.txt", time_zone="Europe/Berlin"))
    doses = table(parsed)
    assert (doses.height, parsed.rows_read, parsed.rejected) == (23, 23, None)
    assert set(doses["device_id"]) == {"novo_nordisk-novopen-acukke"}
    first = doses.row(0, named=True)
    assert (first["delivered_amount"], first["native_key"]) == (Decimal(6), f"relative-{0x06FEBF}")
    read_utc = READ_AT - dt.timedelta(hours=2)
    assert first["start_utc"] == read_utc - dt.timedelta(seconds=0x070CC6 - 0x06FEBF)
    assert first["start_local"] == first["start_utc"] + dt.timedelta(hours=2)
    assert doses["native_key"].n_unique() == 23


@pytest.mark.external
def test_trap_28_amounts_are_tenths(trace: Path) -> None:
    doses = table(read_log(trace, FORMAT, source(exported_at="pen_{%Y%m%d-%H%M}.txt")))
    assert doses["delivered_amount"].to_list()[:5] == [Decimal(6), Decimal(10), Decimal(5), Decimal(1), Decimal(16)]
    assert set(doses["amount_unit"]) == {"[iU]"}


@pytest.mark.external
def test_a_small_last_dose_is_no_air_shot(trace: Path) -> None:
    parsed = read_log(trace, FORMAT, source(exported_at="pen_{%Y%m%d-%H%M}.txt"))
    assert "exclude_reason" not in table(parsed).columns
    assert counted(parsed, "air shots") == 0


@pytest.mark.external
def test_a_trace_without_the_time_of_the_reading_is_refused(trace: Path) -> None:
    with pytest.raises(UnreadableFile, match="no time of day") as caught:
        read_log(trace, FORMAT)
    assert "exported_at" in str(caught.value.remedy)


def test_trap_33_the_csv_of_an_app_with_an_air_shot(tmp_path: Path) -> None:
    path = tmp_path / "pen.csv"
    path.write_text(
        "Serial;Timestamp;Time;Value\n"
        "ABC1;1714557600000;2024-05-01T12:00:00+02:00;20\n"
        "ABC1;1714557630000;2024-05-01T12:00:30+02:00;85\n"
        "ABC1;1714561200000;2024-05-01T13:00:00+02:00;10\n"
        "ABC1;1;then;10\n"
        "ABC1;1714561300000;2024-05-01T13:10:00+02:00;x\n"
    )
    parsed = read_log(path, FORMAT)
    doses = table(parsed)
    assert doses["delivered_amount"].to_list() == [Decimal(2), Decimal("8.5"), Decimal(1)]
    assert doses["exclude_reason"].to_list() == ["air_shot", None, None]
    assert doses["start_utc"].to_list()[0] == dt.datetime(2024, 5, 1, 10)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [(5, "bad_date"), (6, "bad_number")]


def test_doses_the_pen_marks_invalid_are_rejected(tmp_path: Path) -> None:
    entries = b"".join(
        at.to_bytes(4, "big") + b"\xff\x00\x00\x14" + flags for at, flags in ((50, b"\x08\0\0\0"), (60, b"\0\0\0\1"))
    )
    body = (
        b"\x0d\x21"
        + b"\x00\x26\x00\x10"
        + b"\0\0\0\0"
        + (2).to_bytes(4, "big")
        + b"\x80\x00"
        + (24).to_bytes(2, "big")
        + entries
    )
    clock = b"PHD\x09\x8f\x00\x04" + (100).to_bytes(4, "big") + b"\x00\x01\x00\x01\x00\x03XYZ"
    path = tmp_path / "pen_20240501-1200.txt"
    path.write_text("\n\n".join(_dump(block) for block in (clock, body)))
    parsed = read_log(path, FORMAT, source(exported_at="pen_{%Y%m%d-%H%M}.txt"))
    assert table(parsed)["delivered_amount"].to_list() == [Decimal(2)]
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected["reason"].to_list() == ["bad_value"]


def _dump(block: bytes) -> str:
    rows = [block[start : start + 16] for start in range(0, len(block), 16)]
    shown = ((index * 16, row.hex(" ").upper(), row.decode("ascii", "replace")) for index, row in enumerate(rows))
    return "\n".join(
        f"0x{at:08X} {text:<47} {''.join(c if c.isprintable() else '.' for c in sign)}" for at, text, sign in shown
    )


@settings(max_examples=50)
@given(st.binary(max_size=120))
def test_no_bytes_break_the_reader(block: bytes) -> None:
    try:
        read_trace(_dump(b"\x0d\x21" + block))
    except UnreadableFile as error:
        assert "cut off" in str(error)
