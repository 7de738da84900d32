"""Dose histories and issue reports of Loop: what was told, what reached the body."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from read_log import read_log, table

from importers.base import Ignored
from importers.loop_doses import IMPORTER

FORMAT = "loop_doses"


@pytest.fixture(scope="module")
def loop(shared: Path) -> Path:
    return shared / "data/devices/loop"


@pytest.mark.external
def test_delivered_is_what_reached_the_body(loop: Path) -> None:
    doses = table(read_log(loop / "dose_history_with_delivered_units.json", FORMAT))
    assert (doses.height, doses["delivered_amount"].sum()) == (54, Decimal("13.5"))
    assert set(doses["delivered_basis"]) == {"reported"}
    first = doses.row(0, named=True)
    assert (first["programmed_rate"], first["delivered_amount"]) == (Decimal("0.906040"), Decimal("0.1"))
    assert (first["programmed_amount"], first["programmed_basis"]) == (Decimal("0.075000"), "rate_x_time")


@pytest.mark.external
def test_without_delivered_rate_times_time_stands(loop: Path) -> None:
    [dose] = table(read_log(loop / "short_basal_dose.json", FORMAT)).to_dicts()
    assert (dose["delivered_amount"], dose["delivered_basis"], dose["delivered_duration_s"]) == (
        1.5,
        "rate_x_time",
        300,
    )
    assert dose["start_utc"] is None


@pytest.mark.external
def test_boluses_and_suspensions(loop: Path) -> None:
    [bolus] = table(read_log(loop / "bolus_dose.json", FORMAT)).to_dicts()
    assert (bolus["delivered_amount"], bolus["delivered_basis"], bolus["kind"]) == (1.5, "inferred_equal", "bolus")
    suspended = read_log(loop / "suspend_dose.json", FORMAT)
    assert table(suspended, "device_event")["event"].to_list() == ["suspend"]
    assert "dose_event" not in suspended.tables


@pytest.mark.external
def test_an_entry_normalised_to_a_negative_rate_is_no_dose(loop: Path) -> None:
    parsed = read_log(loop / "suspend_dose_reconciled_normalized.json", FORMAT)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("reason", "value").rows() == [("bad_number", "-0.75")]
    assert parsed.rows_read == 1


@pytest.mark.external
def test_an_issue_report(loop: Path) -> None:
    doses = table(read_log(loop / "example_issue_report_3.json", FORMAT))
    assert doses["delivered_amount"].to_list() == [Decimal("0.9"), Decimal(3), Decimal(0)]
    first = doses.row(0, named=True)
    assert first["native_key"] == "sync-33344138333142462d304344322d343035432d424538412d413842443245434233354544"
    assert (first["start_utc"], first["start_local"]) == (
        dt.datetime(2019, 8, 15, 19, 11),
        dt.datetime(2019, 8, 15, 12, 11),
    )


@pytest.mark.external
@pytest.mark.parametrize(
    "name", ["reservoir_history_with_rewind_and_prime_input.json", "suspend_dose_reconciled_normalized_iob.json"]
)
def test_levels_and_insulin_on_board_are_no_doses(loop: Path, name: str) -> None:
    assert isinstance(IMPORTER.recognise(name, (loop / name).read_bytes()), Ignored)
