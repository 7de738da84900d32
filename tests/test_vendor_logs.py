"""What importers of vendor exports share: dates, numbers, broken rows, basal segments."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importers.basal import derive_segments, silence_events
from importers.base import UnreadableFile
from importers.device_identity import device_id
from importers.vendor_csv import decode_text, read_section
from importers.vendor_dates import find_order, read_clock, read_day, read_moment
from importers.vendor_text import amount_expr, read_amount, read_duration, split_heading


@given(st.dates(dt.date(2000, 1, 1), dt.date(2060, 1, 1)), st.sampled_from("-/."), st.booleans())
def test_every_spelling_of_a_day_reads_back(day: dt.date, sign: str, short: bool) -> None:
    year = f"{day.year % 100:02}" if short else f"{day.year}"
    assert read_day(f"{day.day}{sign}{day.month}{sign}{year}", "DMY") == day
    assert read_day(f"{day.month:02}{sign}{day.day:02}{sign}{year}", "MDY") == day
    assert read_day(f"{day:%Y}{sign}{day.month}{sign}{day.day}", None) == day
    assert read_day(f"{(day - dt.date(1899, 12, 30)).days}", None) == day


@given(st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2060, 1, 1)))
def test_every_spelling_of_a_moment_reads_back(at: dt.datetime) -> None:
    at = at.replace(microsecond=0)
    assert read_moment(at.isoformat(), None) == at
    assert read_moment(f"{at:%m/%d/%Y %I:%M:%S %p}", "MDY") == at
    assert read_moment(f"{at:%d.%m.%Y %H:%M}", "DMY") == at.replace(second=0)


@pytest.mark.parametrize("text", ["", "24:00:00", "12:60", "13:00 PM", "0:00 AM", "noon", "8", "1.5"])
def test_what_is_no_clock_time(text: str) -> None:
    assert read_clock(text) is None


@pytest.mark.parametrize("text", ["2018-02-30", "31/04/2018", "13/13/2018", "yesterday", "", "123"])
def test_what_is_no_day(text: str) -> None:
    assert read_day(text, "DMY") is None


def test_order_of_day_and_month() -> None:
    assert find_order(["2018-01-02"], stated=None, default=None) is None
    assert find_order(["01/02/2018", "13/02/2018"], stated=None, default="MDY") == "DMY"
    assert find_order(["01/02/2018", "02/13/2018"], stated=None, default="DMY") == "MDY"
    assert find_order(["01/02/2018"], stated="MDY", default="DMY") == "MDY"
    assert (
        find_order(["01/02/2018"], stated=None, default=None, span=(dt.date(2018, 2, 1), dt.date(2018, 2, 3))) == "DMY"
    )
    assert find_order(["02/02/2018"], stated=None, default=None) == "DMY"
    for texts in (["13/01/2018", "01/13/2018"], ["01/02/2018"]):
        with pytest.raises(UnreadableFile):
            find_order(texts, stated=None, default=None)


@given(st.decimals(-(10**9), 10**9, places=6, allow_nan=False), st.sampled_from(".,"))
def test_amounts_read_back_exactly_under_either_sign(number: Decimal, sign: str) -> None:
    text = f"{number}".replace(".", sign)
    assert read_amount(text) == number
    assert pl.DataFrame({"a": [f" {text} "]}).select(amount_expr("a")).item() == number


@pytest.mark.parametrize("text", ["", "1.234,5", "1,234.5", "abc", "NaN", "inf", "1 2", "--1", "1e400", "."])
def test_what_is_no_amount(text: str) -> None:
    assert read_amount(text) is None
    assert pl.DataFrame({"a": [text]}).select(amount_expr("a")).item() is None


def test_trap_29_float_noise() -> None:
    assert read_amount("0.10000000149011612") == Decimal("0.1")
    assert read_amount("5.397605e-79") == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:30:00", 1800), ("12:00", 43_200), ("0.5", 43_200), ("100:00:00", 360_000), ("x", None), (None, None)],
)
def test_durations(text: str | None, seconds: int | None) -> None:
    assert read_duration(text) == seconds


def test_headings() -> None:
    assert split_heading(" Basal  Rate (U/h) ") == ("basal rate", "U/h")
    assert split_heading("Datum") == ("datum", None)


def test_device_ids_are_the_same_in_every_file() -> None:
    assert device_id("Medtronic", "MiniMed 780G MMT-1886", "NG1") == device_id("Medtronic", "MMT-1886", "ng1")
    assert device_id("Tandem", None, None) == "tandem-unstated-unstated"


FIELD = st.text(st.characters(codec="utf-8", exclude_characters='\r\n",', exclude_categories=("Cc", "Cs")), max_size=6)


@settings(max_examples=60)
@given(st.lists(st.lists(FIELD, min_size=1, max_size=6), min_size=1, max_size=12))
@example([["", "", ""], ["", "0"], ["", "", "", ""]])
@example([["a", "b", "c"], ["1", "2", "3", ""], ["1", "2"], ["4", "5", "6"]])
def test_broken_rows_are_named_and_whole_rows_kept(table: list[list[str]]) -> None:
    """Rows of three fields come back with their line, others are named with theirs; blank lines are neither."""
    data = "\n".join(",".join(row) for row in table).encode()
    found = read_section(data, 10, 3, ",", {"a": 0, "c": 2})
    whole = {
        line: row for line, row in enumerate(table, start=10) if len(row) == 3 and any(cell.strip() for cell in row)
    }
    broken = {line for line, row in enumerate(table, start=10) if len(row) != 3 and any(cell.strip() for cell in row)}
    assert {line for line, _, _ in found.broken} == broken
    kept = {line: (a, c) for line, a, c in found.frame.iter_rows() if a is not None or c is not None}
    assert set(kept) <= set(whole)
    for line, (a, c) in kept.items():
        assert ((a or "").strip(), (c or "").strip()) == (whole[line][0].strip(), whole[line][2].strip())


def test_quoted_line_breaks_keep_the_lines_of_later_rows() -> None:
    found = read_section(b'1,"a\nb",2\n3,c,4\n', 5, 3, ",", {"a": 0, "b": 1})
    assert found.frame.rows() == [(5, "1", "a\nb"), (7, "3", "c")]


def test_empty_and_binary_files_are_refused() -> None:
    for data in (b"", b"  \n", b"\x00\x01\x02"):
        with pytest.raises(UnreadableFile):
            decode_text(data)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 90),
            st.sampled_from(["rate", "suspend", "resume", "micro", "manual", "other"]),
            st.integers(0, 40),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_segments_never_overlap_and_follow_the_last_rate(steps: list[tuple[int, str, int]]) -> None:
    """Played through minute by minute, the segments give the rate in force, nothing while suspended or automatic."""
    at, entries = dt.datetime(2020, 1, 1), []
    for seq, (pause, kind, tenths) in enumerate(steps):
        at += dt.timedelta(minutes=pause)
        entries.append(
            {
                "line": seq + 2, "seq": seq, "at": at, "running": at,
                "rate": tenths / 10 if kind == "rate" else None,
                "suspended": {"suspend": True, "resume": False}.get(kind),
                "automatic": {"micro": True, "manual": False}.get(kind),
                "reason": "user" if kind == "suspend" else None,
            }
        )  # fmt: skip
    schema = {
        "line": pl.Int64, "seq": pl.Int64, "at": pl.Datetime("us"), "running": pl.Datetime("us"), "rate": pl.Float64,
        "suspended": pl.Boolean, "automatic": pl.Boolean, "reason": pl.String,
    }  # fmt: skip
    events = pl.DataFrame(entries, schema=schema)
    segments = derive_segments(pl.concat([events, silence_events(events)], how="diagonal"))
    given_by_minute: dict[dt.datetime, tuple[float, bool]] = {}
    for row in segments.iter_rows(named=True):
        for minute in range(row["seconds"] // 60):
            key = row["start"] + dt.timedelta(minutes=minute)
            assert key not in given_by_minute
            given_by_minute[key] = (row["rate"], row["suspended"])
    rate, suspended, automatic = None, False, False
    for entry, after in zip(entries, [*entries[1:], entries[-1]], strict=True):
        suspended = entry["suspended"] if entry["suspended"] is not None else suspended
        automatic = entry["automatic"] if entry["automatic"] is not None else automatic
        if entry["rate"] is not None and not (suspended and entry["rate"] == 0):
            rate = entry["rate"]
        minute = entry["at"]
        while minute < after["at"]:
            expected = None if rate is None or automatic else (rate, suspended)
            assert given_by_minute.get(minute) == expected
            minute += dt.timedelta(minutes=1)
