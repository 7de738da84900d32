"""Openings of adherence caps: real vendor exports, and ten published patients whose daily counts are known."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import fastexcel
import polars as pl
import pytest
from read_log import check_parsed, counted, everything, read_log, source, table

from importers.adherence_caps import IMPORTER
from importers.base import HEAD_BYTES, Ignored, UnreadableFile

FORMAT = "adherence_caps"
PATIENTS = "ABCDEFGHIJ"


@pytest.fixture(scope="module")
def caps(shared: Path) -> Path:
    return shared / "data/devices/eamd_oncmap"


@pytest.fixture(scope="module")
def cleanadh(shared: Path) -> Path:
    return shared / "data/devices/mems_cleanadh"


@pytest.mark.external
@pytest.mark.parametrize(
    ("name", "openings", "events"),
    [
        ("test_mems.csv", 13, 0),
        ("test_mems2.csv", 117, 0),
        ("test_ecap.csv", 3, 0),
        ("test_ecap1.csv", 14, 0),
        ("test_ecap2.csv", 14, 0),
        ("test_ecap2.xls", 82, 0),
        ("test_ecap3.csv", 60, 0),
        ("sample-data-ecap2.csv", 20, 0),
        ("test_adheretech.csv", 12, 0),
        ("test_adheretech.xlsx", 24, 0),
        ("test_adheretech_2.csv", 702, 76),
        ("test_clevercap.xlsx", 16, 2),
        ("test_simplemed.csv", 3, 10),
        ("test_patchcap.csv", 14, 0),
    ],
)
def test_openings_of_every_vendor(caps: Path, name: str, openings: int, events: int) -> None:
    parsed = read_log(caps / name, FORMAT)
    doses = table(parsed)
    assert (doses.height, parsed.rows_read) == (openings, openings + events)
    assert parsed.rejected is None
    assert set(doses["kind"]) == {"opening"}
    assert set(doses["delivered_basis"]) == set(doses["programmed_basis"]) == {"none"}
    assert "delivered_amount" not in doses.columns and "programmed_amount" not in doses.columns


@pytest.mark.external
def test_trap_35_placeholders_and_states_are_no_openings(caps: Path) -> None:
    mems = read_log(caps / "test_mems2.csv", FORMAT)
    assert counted(mems, "days without an opening") == 39
    states = read_log(caps / "test_adheretech_2.csv", FORMAT)
    assert (counted(states, "(MISSED)"), counted(states, "(PENDING)")) == (124, 21)
    pauses = table(states, "device_event")
    assert set(pauses["event"]) == {"not_monitored"}
    assert pauses["detail"].drop_nulls().len() > 0


@pytest.mark.external
def test_trap_36_days_from_three_o_clock_are_the_published_counts(cleanadh: Path) -> None:
    events = [table(read_log(cleanadh / f"{patient}_Simulated_Eventlist.xlsx", FORMAT)) for patient in PATIENTS]
    openings = pl.concat([frame.select("device_id", "start_local") for frame in events])
    assert openings.height == 4516
    published = (
        fastexcel.read_excel(cleanadh / "implementation.xlsx").load_sheet("by monitor", dtypes="string").to_polars()
    )
    assert published.height == 3367
    extra = read_log(cleanadh / "AuxiliaryData.xlsx", FORMAT)

    def mismatches(day_start: int) -> int:
        shifted = openings["start_local"] - dt.timedelta(hours=day_start)
        counts = Counter(zip(openings["device_id"], shifted.dt.date(), strict=True))
        keys = (
            (f"unstated-monitor-{row['Monitor'].lower()}", dt.date.fromisoformat(row["Date"][:10]))
            for row in published.iter_rows(named=True)
        )
        return sum(counts[key] != int(stated) for key, stated in zip(keys, published["RecordedOpenings"], strict=True))

    assert mismatches(3) == 0
    assert mismatches(0) == 892
    added = table(extra)["line"].len()
    removed = table(extra, "device_event").filter(event="opening_disregarded").height
    assert (added, removed) == (24, 38)
    changes = Counter(table(extra)["device_id"].to_list())
    changes.subtract(table(extra, "device_event").filter(event="opening_disregarded")["device_id"].to_list())
    stated: Counter[str] = Counter()
    for row in published.iter_rows(named=True):
        stated[f"unstated-monitor-{row['Monitor'].lower()}"] += int(row["AddedOpenings"])
    differing = {device: (changes[device], stated[device]) for device in stated if changes[device] != stated[device]}
    # Two pharmacy openings lie on the day before the published days of patient H begin.
    assert differing == {"unstated-monitor-j878d": (-4, -3), "unstated-monitor-aspjd7": (-5, -4)}


@pytest.mark.external
def test_non_monitored_periods_are_device_events(cleanadh: Path) -> None:
    parsed = read_log(cleanadh / "AuxiliaryData.xlsx", FORMAT)
    periods = table(parsed, "device_event").filter(event="not_monitored")
    assert periods.height == 12
    days = (periods["end_local"] - periods["start_local"]).dt.total_days() + 1
    assert days.sum() == 65
    assert counted(parsed, "Regimen") == 38


@pytest.mark.external
def test_trap_37_a_bouncing_lid_is_one_opening(caps: Path) -> None:
    parsed = read_log(caps / "test_patchcap.csv", FORMAT)
    doses = table(parsed).sort("start_local")
    bounced = doses.filter(pl.col("start_local") == dt.datetime(2026, 1, 6, 16, 17, 2))
    assert bounced["end_local"].to_list() == [dt.datetime(2026, 1, 6, 16, 19, 10)]
    assert bounced["start_utc"].to_list() == [dt.datetime(2026, 1, 6, 16, 17, 2)]
    assert counted(parsed, "opening each time") == 5


@pytest.mark.external
def test_trap_38_ids_are_filled_down(caps: Path) -> None:
    stated = source(columns={"subject_id": "Patient ID"})
    doses = table(read_log(caps / "test_ecap1.csv", FORMAT, stated))
    assert set(doses["subject_id"]) == {"0001"}
    assert set(doses["device_id"]) == {"imc-ecap-100012345_br9"}
    assert doses["native_key"].to_list()[:3] == ["dose-1", "dose-2", "dose-3"]
    unmapped = table(read_log(caps / "test_ecap1.csv", FORMAT))
    assert unmapped["subject_id"].null_count() == unmapped.height


def test_trap_38_a_new_device_does_not_inherit_the_patient(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(
        "Index,Patient ID,ECM ID,Dose #,Dose Timestamp,Dose Timestamp UTC\n"
        "1,0001,P1,1,2023-11-08T15:15:00-04:00,2023-11-08T19:15:00+00:00\n"
        ",,,2,2023-11-09T15:15:00-04:00,2023-11-09T19:15:00+00:00\n"
        "2,,P2,1,2023-11-08T15:15:00-04:00,2023-11-08T19:15:00+00:00\n"
    )
    doses = table(read_log(path, FORMAT, source(columns={"subject_id": "Patient ID"})))
    assert doses["subject_id"].to_list() == ["0001", "0001", None]


@pytest.mark.external
def test_values_two_columns_left_of_their_names(caps: Path) -> None:
    doses = table(read_log(caps / "test_ecap.csv", FORMAT, source(columns={"subject_id": "Subject ID"})))
    assert doses["subject_id"].to_list() == ["1234"] * 3
    assert doses["start_local"].to_list()[0] == dt.datetime(2023, 9, 14, 18, 19)
    assert doses["start_utc"].to_list()[0] == dt.datetime(2023, 9, 14, 22, 19)
    assert doses["utc_offset_min"].to_list() == [-240] * 3


@pytest.mark.external
def test_a_damaged_utc_column_marks_the_time_uncertain(caps: Path) -> None:
    doses = table(read_log(caps / "test_ecap2.csv", FORMAT))
    assert doses["time_uncertain"].to_list()[7:] == [True] + [None] * 6
    assert doses["start_local"].to_list()[2] == dt.datetime(2023, 4, 26, 13, 48, 48)


@pytest.mark.external
def test_local_and_utc_of_adheretech(caps: Path) -> None:
    doses = table(read_log(caps / "test_adheretech_2.csv", FORMAT))
    first = doses.row(0, named=True)
    assert (first["start_local"], first["start_utc"]) == (
        dt.datetime(2023, 2, 9, 7, 19),
        dt.datetime(2023, 2, 9, 12, 19),
    )
    assert (first["utc_offset_min"], first["start_precision"]) == (-300, "minute")


@pytest.mark.external
def test_trap_41_no_names_leave_the_files(caps: Path) -> None:
    clever = everything(read_log(caps / "test_clevercap.xlsx", FORMAT))
    for name in ("GB Test", "McGrady", "Meghan", "Cincinnati", "ID 11290"):
        assert name not in clever
    assert "Joe" not in everything(read_log(caps / "test_mems.csv", FORMAT))


@pytest.mark.external
def test_what_is_no_cap_is_left_alone(shared: Path, caps: Path, cleanadh: Path) -> None:
    assert IMPORTER.recognise("noformat.csv", (caps / "noformat.csv").read_bytes()) is None
    xls = (shared / "data/devices/diasend/anonymous-diasend.xls").read_bytes()[:HEAD_BYTES]
    assert IMPORTER.recognise("anonymous-diasend.xls", xls) is None
    results = (cleanadh / "implementation.xlsx").read_bytes()[:HEAD_BYTES]
    assert isinstance(IMPORTER.recognise("implementation.xlsx", results), Ignored)


def test_rows_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("PatientCode,Monitor,Date\nA,M1,2020-01-01 08:00:00\nA,M1,2020-13-01 08:00:00\nA,M1,\nA,M1,x,y\n")
    parsed = read_log(path, FORMAT)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [
        (3, "bad_date"),
        (4, "missing_value"),
        (5, "too_many_columns"),
    ]
    assert table(parsed).height == 1
    check_parsed(parsed)


def test_openings_of_two_patients_without_a_device_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mems.csv"
    head = "Exported by X at 04-Oct-2022,,,,\n"
    head += "Date,IntakeStatusDisplayResource,Indication / pathology,Identification number,Label\n"
    path.write_text(head + "3/16/2022 12:30:10 PM,No change made,M,1,\n3/16/2022 1:30:10 PM,No change made,M,2,\n")
    with pytest.raises(UnreadableFile, match="2 patients"):
        read_log(path, FORMAT)
    both = table(read_log(path, FORMAT, source(columns={"subject_id": "Identification number"})))
    assert both["subject_id"].to_list() == ["1", "2"]
    assert both["start_local"].to_list() == [dt.datetime(2022, 3, 16, 12, 30, 10), dt.datetime(2022, 3, 16, 13, 30, 10)]
