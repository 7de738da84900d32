"""Tables of the JAEB archives beside IOBP2: ends of boluses, rates written twice, suspensions, days without a date."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from read_log import counted, read_log, source, table

from importers.base import Parsed, UnreadableFile
from store.protocol import Source

FORMAT = "jaeb"
PTID = source(columns={"subject_id": "PtID"})


def read(folder: Path, text: str, stated: Source | None = PTID) -> Parsed:
    path = folder / "table.txt"
    path.write_text(text)
    return read_log(path, FORMAT, stated)


def test_trap_30_a_bolus_is_stamped_when_it_was_completed(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "PtID|DeviceDtTm|BolusAmount|CarbAmount|BolusType|Duration|ExtendedBolusPortion\n"
        "1|3/4/2021 6:30:00 PM|2.0|40|Extended|90|Now\n"
        "1|3/4/2021 8:00:00 PM|1.5||Extended|90|Later\n"
        "2|3/4/2021 12:40:00 AM|1.1||Extended|60|Later\n"
        "2|3/5/2021|0.2||Automatic||\n",
    )
    now, orphan, later, automatic = table(parsed).sort("line").sort("start_local").sort("line").to_dicts()[:4]
    assert (now["shape"], now["delivered_amount"], now["start_local"]) == (
        "dual_now", Decimal(2), dt.datetime(2021, 3, 4, 18, 30),
    )  # fmt: skip
    found = {row["line"]: row for row in (now, orphan, later, automatic)}
    assert found[3]["start_local"] == dt.datetime(2021, 3, 4, 18, 30)
    assert (found[3]["end_local"], found[3]["delivered_duration_s"]) == (dt.datetime(2021, 3, 4, 20), 5400)
    assert found[4]["start_local"] == dt.datetime(2021, 3, 3, 23, 40)
    assert (found[5]["start_local"], found[5]["trigger"]) == (dt.datetime(2021, 3, 5), "algorithm")
    assert set(table(parsed)["programmed_basis"]) == {"none"}
    assert counted(parsed, "first part is in no row") == 1
    assert table(parsed, "observation")["value"].to_list() == [40.0]


def test_the_adjusted_time_wins_and_the_record_number_is_the_key(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "RecID|PtID|DataDtTm|BolusAmount|BolusType|DataDtTm_adjusted\n"
        "7|1|2008-01-01 10:00:00|1.5|Standard|2018-01-01 10:00:00\n8|1|2018-01-01 10:05:00|0|Standard|\n"
        "9|1|2018-01-01 10:06:00|much|Standard|\n",
    )
    first = table(parsed).row(0, named=True)
    assert (first["native_key"], first["start_local"]) == ("rec-7", dt.datetime(2018, 1, 1, 10))
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [(4, "bad_number")]
    assert table(parsed)["status"].to_list() == ["completed", "none_delivered"]


def test_trap_26_rates_written_twice_and_two_at_one_moment(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "PtID|DeviceDtTm|BasalRate\n"
        "1|3/4/2021|0.6\n1|3/4/2021|0.6\n1|3/4/2021 2:00:00 AM|0.0\n"
        "1|3/4/2021 2:00:00 AM|1.2\n1|3/4/2021 3:00:00 AM|0.5\n",
    )
    segments = table(parsed).sort("line")
    assert segments["line"].to_list() == [2, 3, 5]
    assert segments["delivered_amount"].to_list() == [Decimal("1.2"), Decimal("1.2"), Decimal("1.2")]
    assert segments["native_key"].n_unique() == 2
    assert counted(parsed, "larger one counts") == 1
    assert parsed.rows_read == 3


def test_glucose_out_of_range(tmp_path: Path) -> None:
    values = table(
        read(
            tmp_path,
            "RecID|PtID|DataDtTm|CGMValue|HighLowIndicator\n"
            "1|1|2018-01-01 10:00:00|0|2\n2|1|2018-01-01 10:05:00|120|0\n",
        ),
        "observation",
    )
    assert values.select("value", "value_text").rows() == [(None, "above range"), (120.0, None)]


FLAIR = (
    "PtID|DataDtTm|NewDeviceDtTm|BolusType|BolusDeliv|BolusSource|ExtendBolusDuration|BasalRt|BasalRtUnKnown"
    "|TempBasalAmt|TempBasalType|TempBasalDur|Suspend|AutoModeStatus|TDD\n"
)


def test_flair_suspensions_cut_basal_and_respelt_boluses_are_one(tmp_path: Path) -> None:
    rows = [
        "1|2/3/2019||||||1.2|||||||",
        "1|2/3/2019 1:00:00 AM||||||||||" + "|USER_SUSPEND||",
        "1|2/3/2019 1:30:00 AM||||||||||" + "|NORMAL_PUMPING||",
        "1|2/3/2019 2:00:00 AM||||||0.6|||||||",
        "1|2/3/2019 3:00:00 AM||Normal|2.5|BOLUS_WIZARD||||||||| ",
        "1|2/3/2019 3:10:00 AM||Normal|0.1|CL_MICRO_BOLUS|||||||||",
        "1|2/3/2019 3:10:00 AM||Normal|0.1|CLOSED_LOOP_MICRO_BOLUS|||||||||",
        "1|2/3/2019 11:59:00 PM|||||||||||||31.5",
    ]
    parsed = read(tmp_path, FLAIR + "".join(f"{row}\n" for row in rows))
    doses = table(parsed)
    boluses = doses.filter(kind="bolus").sort("line")
    assert boluses["delivered_amount"].to_list() == [Decimal("2.5"), Decimal("0.1"), Decimal("0.1")]
    assert boluses["native_key"].n_unique() == 2
    assert (set(boluses["programmed_basis"]), counted(parsed, "another spelling")) == ({"none"}, 1)
    basal = doses.filter(kind="basal_segment").sort("start_local")
    assert basal["delivered_amount"].to_list()[:3] == [Decimal("1.2"), Decimal(0), Decimal("0.6")]
    assert basal["programmed_amount"].to_list()[1] == Decimal("0.6")
    assert table(parsed, "control_total")["reported_total"].to_list() == [Decimal("31.5")]
    assert set(doses["subject_id"]) == {"1"}


def test_loop_tables_are_utc(tmp_path: Path) -> None:
    text = (
        "RecID|PtID|UTCDtTm|BolusType|Normal|ExpectedNormal|Extended|ExpectedExtended|Duration|ExpectedDuration\n"
        "1|5|2018-06-01 22:10:00|Normal|0.5|2.0||||\n2|5|2018-06-01 22:10:00|Normal|4.5|||||\n"
    )
    doses = table(read(tmp_path, text, source(columns={"subject_id": "PtID"}, time_zone="America/New_York")))
    assert doses["programmed_amount"].to_list() == [Decimal(2), Decimal("4.5")]
    assert doses["status"].to_list() == ["partial", "completed"]
    assert doses["start_utc"].to_list() == [dt.datetime(2018, 6, 1, 22, 10)] * 2
    assert doses["start_local"].to_list() == [dt.datetime(2018, 6, 1, 18, 10)] * 2
    assert (set(doses["subject_id"]), doses["native_key"].n_unique()) == ({"5"}, 2)


def test_loop_basal_has_milliseconds(tmp_path: Path) -> None:
    text = "RecID|PtID|UTCDtTm|BasalType|Duration|Rate\n1|5|2018-06-01 22:10:00|temp|1800000|1.2\n"
    [segment] = table(read(tmp_path, text)).to_dicts()
    assert (segment["delivered_amount"], segment["delivered_duration_s"]) == (Decimal("0.6"), 1800)


REPLACE = "RecID|PtID|DeviceDtTmDaysFromEnroll|DeviceTm|BolusType|Normal|ExpectedNormal|Extended|ExpectedExtended|Duration|ExpectedDuration\n"  # noqa: E501


def test_trap_27_durations_of_two_units_in_one_column(tmp_path: Path) -> None:
    text = (
        REPLACE
        + "1|9|-3|08:00:00|Square|||3||90|\n2|9|2|23:30:00|Square|||3||5400000|\n3|9|2|23:40:00|Square|||3||9000|\n"
    )
    with pytest.raises(UnreadableFile, match="days counted from enrolment"):
        read(tmp_path, text)
    stated = source(columns={"subject_id": "PtID"}, constants={"start_local": "2015-01-01"})
    doses = table(read(tmp_path, text, stated))
    assert doses["delivered_duration_s"].to_list() == [5400, 5400, None]
    assert doses["start_local"].to_list()[:2] == [dt.datetime(2014, 12, 29, 8), dt.datetime(2015, 1, 3, 23, 30)]
    assert doses["start_utc"].null_count() == 3


def test_trap_32_a_rate_carried_for_months_is_no_amount(tmp_path: Path) -> None:
    text = (
        "RecID|PtID|DeviceDtTmDaysFromEnroll|DeviceTm|BasalType|Rate|Duration\n"
        "1|9|1|08:00:00|Scheduled|1.0|3600000\n2|9|1|09:00:00|Scheduled|1.0|21600000000\n3|9|2|09:00:00|Suspend|NaN|1800000\n"
    )
    parsed = read(tmp_path, text, source(constants={"start_local": "2015-01-01"}))
    doses = table(parsed)
    assert doses["delivered_amount"].to_list() == [Decimal(1), None, Decimal(0)]
    assert counted(parsed, "carried for more than a day") == 1
