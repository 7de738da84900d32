"""Insulin kept as findings (T1DEXI): amounts, extended parts, a rate that states the same basal once more."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from read_log import table
from sdtm_files import read, write_rows

COMMON = {"USUBJID": "S1-1", "FATESTCD": "INS", "FADTC": "2020-06-01T08:00:00"}


def finding(number: int, test: str, result: str, **more: str) -> dict[str, Any]:
    return {**COMMON, "FASEQ": str(number), "FATEST": test, "FAORRES": result, **more}


def test_boluses_basal_and_a_flow_rate_that_is_no_dose(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "facm.ndjson",
        "FA",
        [
            finding(1, "BOLUS INSULIN", "4.5", INSNMBOL="3", INSEXBOL="1.5", FADUR="PT1H30M"),
            finding(2, "BASAL INSULIN", "0.4", FADUR="PT30M"),
            finding(3, "BASAL FLOW RATE", "0.8", FADUR="PT30M"),
            finding(4, "BASAL INSULIN", "5.397605e-79", FADUR="PT5M", INSSTYPE="SUSPEND"),
            finding(5, "BOLUS INSULIN", "6", INSDVSRC="Multiple Daily Injections"),
            finding(6, "BOLUS INSULIN", "6", FADUR="half an hour"),
        ],
    )
    parsed = read(path)
    doses = table(parsed).sort("line", "native_key").to_dicts()
    found = [(dose["kind"], dose["shape"], dose["delivered_amount"]) for dose in doses]
    assert found == [
        ("bolus", "dual_now", Decimal(3)),
        ("bolus", "dual_later", Decimal("1.5")),
        ("basal_segment", "continuous", Decimal("0.4")),
        ("basal_segment", "continuous", Decimal(0)),
        ("injection", None, Decimal(6)),
    ]
    assert (doses[1]["delivered_duration_s"], doses[1]["end_local"]) == (5400, dt.datetime(2020, 6, 1, 9, 30))
    assert doses[3]["status"] == "none_delivered"
    assert table(parsed, "finding_about")["test"].to_list() == ["INS"]
    assert parsed.rejected is not None and parsed.rejected["field"].to_list() == ["FADUR"]  # type: ignore[union-attr]
