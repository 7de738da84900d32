"""Times of the generic dose log: orders, shapes, zones, clocks that were lost, the time of export."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from pathlib import Path

import pytest
from generic_files import COLUMNS, mapped, read
from hypothesis import given
from hypothesis import strategies as st

from importers.base import UnreadableFile
from importers.zones import zone_stretches


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def table(*times: str) -> str:
    return "Subject;Time;Dose\n" + "".join(f"S1;{time};1\n" for time in times)


@pytest.mark.parametrize(
    ("order", "text", "value", "precision"),
    [
        ("YMD", "2024-03-09 08:30:15", "2024-03-09 08:30:15", "second"),
        ("YMD", "2024-03-09T08:30:15", "2024-03-09 08:30:15", "second"),
        ("YMD", "2024-03-09 08:30:15.25", "2024-03-09 08:30:15.25", "second"),
        ("YMD", "2024-03-09 08:30", "2024-03-09 08:30", "minute"),
        ("YMD", "2024/3/9 8:30", "2024-03-09 08:30", "minute"),
        ("YMD", "2024-03-09", "2024-03-09", "date"),
        ("YMD", "2024-03-09 12:05 AM", "2024-03-09 00:05", "minute"),
        ("DMY", "09.03.2024 08:30", "2024-03-09 08:30", "minute"),
        ("DMY", "9/3/2024", "2024-03-09", "date"),
        ("DMY", "2024-03-09 08:30:00", "2024-03-09 08:30", "second"),
        ("MDY", "03/09/2024 08:30:01 PM", "2024-03-09 20:30:01", "second"),
        ("MDY", "3/9/2024 12:00 pm", "2024-03-09 12:00", "minute"),
        ("MDY", " 03-09-2024 23:59:59 ", "2024-03-09 23:59:59", "second"),
    ],
)
def test_shapes_of_times(tmp_path: Path, order: str, text: str, value: str, precision: str) -> None:
    # The first row decides the shape that is read fastest; the same text must mean the same in any row.
    shapes = {"YMD": "2024-01-01 00:00:00", "DMY": "01.01.2024", "MDY": "1/1/2024 1:00 AM"}
    for times in ((text,), (shapes[order], text)):
        log = read(tmp_path, table(*times), mapped(date_order=order))
        assert log.events.select("start_local", "start_precision").rows()[-1] == (moment(value), precision)


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ("YMD", "2024-02-30"), ("YMD", "2024-01-01 24:00"), ("YMD", "2024-01-01 10:60"), ("YMD", "2024-01-01 10"),
        ("YMD", "09.03.2024"), ("YMD", "24-01-01"), ("YMD", "20240101"), ("YMD", "now"), ("YMD", "infinity"),
        ("YMD", "2024-01-01 13:00 PM"), ("YMD", "2024-01-01 10:00x"), ("YMD", "45000"), ("YMD", "2024-01-01 (BC)"),
        ("YMD", "2024-01-01 10:00:00Z"), ("YMD", "2024-01-01 10:00:00+02:00"), ("YMD", "2024-01-01 10:00 UTC"),
        ("DMY", "13.13.2024"), ("DMY", "01.02.24"), ("MDY", "02/30/2024"), ("MDY", "2024-02-30"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_rejected(tmp_path: Path, order: str, text: str) -> None:
    good = {"YMD": "2024-01-01", "DMY": "01.01.2024", "MDY": "1/1/2024"}[order]
    for times in ((text, good), (good, text)):
        log = read(tmp_path, table(*times), mapped(date_order=order))
        assert [reason for _, reason, _ in log.reasons()] == ["bad_date"]
        assert log.rejected["value"].to_list() == [text]


def test_days_and_months_in_the_other_order_refuse_the_file(tmp_path: Path) -> None:
    times = [f"{day:02}/01/2024 08:00" for day in range(1, 29)]
    with pytest.raises(UnreadableFile) as error:
        read(tmp_path, table(*times), mapped(date_order="MDY"))
    assert 'date_order = "DMY"' in error.value.remedy
    log = read(tmp_path, table(*times), mapped(date_order="DMY"))
    assert log.events["start_local"].dt.day().to_list() == list(range(1, 29))
    one = read(tmp_path, table(*(["01/05/2024"] * 40), "13/05/2024"), mapped(date_order="MDY"))
    assert one.reasons() == [(42, "bad_date", "start_local")]
    assert "DMY" in one.rejected["message"][0]


def test_times_of_another_shape_throughout_refuse_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path, table(*["45000.5"] * 5), mapped())


def test_declared_format(tmp_path: Path) -> None:
    stated = mapped(datetime_format="%d-%b-%Y %H:%M", columns={**COLUMNS, "end_local": "End"})
    log = read(
        tmp_path,
        "Subject,Time,End,Dose\nS1,05-JAN-2024 08:30,05-Jan-2024 08:31,1\n"
        "S1,2024-01-05 08:30,,1\nS1,06-JAN-2024 08:30,x,1\n",
        stated,
    )
    assert log.events.select("start_local", "end_local", "start_precision").rows() == [
        (moment("2024-01-05 08:30"), moment("2024-01-05 08:31"), "minute")
    ]
    assert log.reasons() == [(3, "bad_date", "start_local"), (4, "bad_date", "end_local")]


def test_lost_clocks_and_times_after_the_export(tmp_path: Path) -> None:
    times = (
        "2007-01-01 00:00:17",
        "2009-12-31 23:59:59",
        "2010-01-01 00:00:00",
        "2024-03-03 12:00",
        "2024-03-03 12:01",
    )
    stated = mapped(exported_at="pen-{%Y%m%d-%H%M}.csv")
    log = read(tmp_path, table(*times), stated, name="pen-20240301-1200.csv")
    assert log.parsed.exported_utc == moment("2024-03-01 12:00")
    assert log.events["line"].to_list() == [4, 5]
    assert log.reasons() == [(line, "impossible_time", "start_local") for line in (2, 3, 6)]


def test_time_of_export_in_the_zone_of_the_file_name(tmp_path: Path) -> None:
    stated = mapped(exported_at="*_{%Y-%m-%d %H.%M}*", time_zone="Europe/Berlin")
    log = read(tmp_path, table("2024-01-01"), stated, name="pen_2024-07-01 12.00 (1).csv")
    assert log.parsed.exported_utc == moment("2024-07-01 10:00")
    other = read(tmp_path, table("2024-01-01"), stated, name="pen_2024-13-01 12.00.csv")
    assert other.parsed.exported_utc is None
    assert any("exported_at" in note or "no time" in note for note in other.parsed.notes)


def test_site_time_stays_local(tmp_path: Path) -> None:
    log = read(tmp_path, table("2024-03-09 08:30"), mapped())
    assert not {"start_utc", "utc_offset_min", "offset_source", "time_uncertain"} & set(log.events.columns)


def test_utc_time(tmp_path: Path) -> None:
    times = (
        "2024-03-09 08:30",
        "2024-03-09 08:30Z",
        "2024-03-09T08:30:00+00:00",
        "2024-03-09 08:30+01:00",
        "2024-03-09",
    )
    log = read(tmp_path, table(*times), mapped(time_zone="utc"))
    at = moment("2024-03-09 08:30")
    columns = ["start_local", "start_utc", "utc_offset_min", "offset_source"]
    assert log.events.select(columns).rows() == [(at, at, 0, "file")] * 3 + [(moment("2024-03-09"), None, None, None)]
    assert log.reasons() == [(5, "bad_date", "start_local")]


def test_stated_offsets(tmp_path: Path) -> None:
    times = (
        "2024-03-09T08:30:00+02:00", "2024-03-09 08:30:00 -0530", "2024-03-09T08:30Z", "2024-03-09 08:30:00.5-11",
        "2024-03-09 08:30", "2024-03-09 08:30+99:00", "2024-03-09",
    )  # fmt: skip
    log = read(tmp_path, table(*times), mapped(time_zone="offset"))
    columns = ["start_local", "start_utc", "utc_offset_min", "start_precision"]
    assert log.events.select(columns).rows() == [
        (moment("2024-03-09 08:30"), moment("2024-03-09 06:30"), 120, "second"),
        (moment("2024-03-09 08:30"), moment("2024-03-09 14:00"), -330, "second"),
        (moment("2024-03-09 08:30"), moment("2024-03-09 08:30"), 0, "minute"),
        (moment("2024-03-09 08:30:00.5"), moment("2024-03-09 19:30:00.5"), -660, "second"),
        (moment("2024-03-09"), None, None, "date"),
    ]
    assert log.reasons() == [(6, "bad_date", "start_local"), (7, "bad_date", "start_local")]


def test_declared_format_with_offset(tmp_path: Path) -> None:
    stated = mapped(time_zone="offset", datetime_format="%d.%m.%Y %H:%M:%S %z")
    log = read(tmp_path, table("09.03.2024 08:30:00 +0200"), stated)
    assert log.events.select("start_local", "start_utc", "utc_offset_min").rows() == [
        (moment("2024-03-09 08:30"), moment("2024-03-09 06:30"), 120)
    ]


def test_zone_with_hours_that_are_missing_or_double(tmp_path: Path) -> None:
    stated = mapped(time_zone="Europe/Berlin", columns={**COLUMNS, "end_local": "End"})
    times = (
        "2024-03-31 01:59",
        "2024-03-31 02:30",
        "2024-03-31 03:00",
        "2024-10-27 01:59",
        "2024-10-27 02:30",
        "2024-10-27 03:00",
    )
    rows = "".join(f"S1;{time};{time};1\n" for time in times)
    log = read(tmp_path, "Subject;Time;End;Dose\n" + rows, stated)
    assert log.events.select("start_utc", "utc_offset_min", "time_uncertain").rows() == [
        (moment("2024-03-31 00:59"), 60, None),
        (moment("2024-03-31 01:30"), 60, True),
        (moment("2024-03-31 01:00"), 120, None),
        (moment("2024-10-26 23:59"), 120, None),
        (moment("2024-10-27 00:30"), 120, True),
        (moment("2024-10-27 02:00"), 60, None),
    ]
    assert log.events["end_utc"].to_list() == log.events["start_utc"].to_list()


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tokyo",
)


@given(
    st.sampled_from(ZONES),
    st.datetimes(min_value=dt.datetime(2010, 1, 2), max_value=dt.datetime(2037, 12, 31)),
    st.booleans(),
)
def test_zone_rules_are_those_of_python(zone: str, at: dt.datetime, near_change: bool) -> None:
    stretches = zone_stretches(zone)
    if near_change and len(stretches) > 1:
        change = stretches[1 + at.toordinal() % (len(stretches) - 1)].start
        if change.year > 2037:
            return
        at = change + dt.timedelta(minutes=at.minute - 30)
    found = next(stretch for stretch in reversed(stretches) if at >= stretch.start)
    info = zoneinfo.ZoneInfo(zone)
    first, second = (at.replace(tzinfo=info, fold=fold).utcoffset() for fold in (0, 1))
    assert first is not None
    assert found.offset_min == first.total_seconds() / 60
    assert found.uncertain == (first != second)
