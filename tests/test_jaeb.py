"""The IOBP2 device table: amounts of the step before, midnight without a clock time, sentinels of glucose."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from read_log import counted, read_log, source, table

FORMAT = "jaeb"
HEADER = "PtID|DeviceDtTm|BolusDelivPrev|MealBolusDelivPrev|BasalDelivPrev|CGMVal\n"


@pytest.mark.external
def test_the_mock_of_the_archive(shared: Path) -> None:
    path = shared / "data/devices/IOBP2DeviceiLet_babelbetes_mock.txt"
    parsed = read_log(path, FORMAT, source(columns={"subject_id": "PtID"}))
    doses = table(parsed)
    sums = {
        (kind, shape): total
        for kind, shape, total in doses.group_by("kind", "shape").agg(pl.col("delivered_amount").sum()).rows()
    }
    assert sums[("bolus", "micro")] == Decimal("71.4")
    assert sums[("bolus", "immediate")] == Decimal(29)
    assert sums[("basal_segment", "continuous")] == Decimal(4)
    assert (parsed.rows_read, parsed.rejected) == (11, None)
    assert doses.group_by("subject_id").len().height == 3
    first = doses.sort("line").row(0, named=True)
    assert (first["start_local"], first["end_local"]) == (
        dt.datetime(2023, 1, 1, 10, 3, 30),
        dt.datetime(2023, 1, 1, 10, 8, 30),
    )
    assert set(doses["programmed_basis"]) == {"none"} and set(doses["time_anchor"]) == {"end"}


def test_trap_19_midnight_without_a_clock_time(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text(HEADER + "1|01/02/2023|0.5|0.0|0.1|120\n1|01/02/2023 12:05:00 AM|0.0|0.0|0|39\n")
    doses = table(read_log(path, FORMAT)).sort("line", "kind")
    assert doses["end_local"].to_list()[0] == dt.datetime(2023, 1, 2)
    assert doses["start_local"].to_list()[0] == dt.datetime(2023, 1, 1, 23, 55)
    assert doses["delivered_amount"].to_list() == [Decimal("0.1"), Decimal("0.5"), Decimal(0)]
    assert set(doses["device_id"]) == {"beta_bionics-ilet-ptid_1"}
    assert doses["subject_id"].null_count() == doses.height


def test_sentinels_of_glucose(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    rows = ["39", "401", "-1", "120", ""]
    path.write_text(HEADER + "".join(f"1|01/02/2023 1:0{place}:00 AM||||{value}\n" for place, value in enumerate(rows)))
    parsed = read_log(path, FORMAT)
    found = table(parsed, "observation").sort("line")
    assert found.select("value", "value_text").rows() == [(None, "below range"), (None, "above range"), (120.0, None)]
    assert counted(parsed, "neither insulin nor glucose") == 2


def test_what_cannot_be_used_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text(
        HEADER + "1|01/02/2023 1:00:00 AM|x|0|0|100\n|01/02/2023 1:00:00 AM|1|0|0|100\n1||1|0|0|100\n"
        "1|01/32/2023|1|0|0|100\n1|01/02/2023 1:00:00 AM|-1|0|0|100\n1|01/02/2023\n1|01/02/2023 2:00:00 AM|1|0|0|100\n"
    )
    parsed = read_log(path, FORMAT)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [
        (2, "bad_number"),
        (3, "missing_value"),
        (4, "missing_value"),
        (5, "bad_date"),
        (6, "bad_number"),
        (7, "missing_columns"),
    ]
    assert parsed.rows_read == 7
