"""Measures of pumps, closed loops and infusion pumps, from files to the result table, against figures made by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from studies import query, trial_file

from analysis.class_rows import clipped, hours_of, merged_intervals
from analysis.pump_delivery import hourly
from store.study import Study, open_study
from tui.cli import run

PROTOCOL = """\
[study]
id = "PUMPS"
data_cut = 2026-03-02
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[drug]]
name = "insulin"
unit = "[iU]"
[[drug]]
name = "noradrenaline"
unit = "mg"
[[device]]
type = "PUMP-X"
class = "pump"
step = 0.05
[[device]]
type = "LOOP-X"
class = "closed_loop"
step = 0.05
[[device]]
type = "DRIP-X"
class = "infusion_pump"
[vital]
code = "glucose"
unit = "mg/dL"
low = 70
high = 180
every_min = 60
[[source]]
name = "doses"
pattern = "doses*.csv"
format = "dose_log"
[source.constants]
programmed_basis = "reported"
"""

DOSES = """\
subject_id,device_id,native_key,kind,trigger,drug,start_local,end_local,programmed_amount,delivered_amount,amount_unit,\
programmed_rate,rate_unit
S1,P1,1,bolus,user,insulin,2026-03-01 07:00:00,,2,1.9,[iU],,
S1,P1,2,bolus,user,insulin,2026-03-01 12:00:00,,0.3,0.2,[iU],,
S1,P1,3,bolus,user,insulin,2026-03-02 12:00:00,,1,1,[iU],,
S1,P1,4,basal_segment,schedule,insulin,2026-03-01 00:00:00,2026-03-01 02:30:00,2.5,2,[iU],,
S1,P1,5,basal_segment,schedule,insulin,2026-03-01 02:30:00,2026-03-01 03:00:00,0.5,0.5,[iU],,
S2,L1,1,bolus,algorithm,insulin,2026-03-01 08:00:00,,0.2,0.2,[iU],,
S2,L1,2,bolus,algorithm,insulin,2026-03-01 08:05:00,,0.2,0.1,[iU],,
S2,L1,3,bolus,algorithm,insulin,2026-03-01 09:05:00,,0.4,0.4,[iU],,
S3,D1,1,infusion_segment,clinician,noradrenaline,2026-03-01 10:00:00,2026-03-01 12:00:00,4,3.8,mg,2,mg/h
S3,D1,2,infusion_segment,clinician,noradrenaline,2026-03-01 14:00:00,2026-03-01 15:00:00,3,3,mg,3,mg/h
"""
FILES = {
    "enrolment.csv": "subject_id,site_id,arm_code\nS1,01,A\nS2,01,A\nS3,01,A\n",
    "devices.csv": "device_id,device_type,serial\nP1,PUMP-X,1\nL1,LOOP-X,2\nD1,DRIP-X,3\n",
    "doses.csv": DOSES,
    "wear.csv": "device_id,subject_id,on_local,off_local\nP1,S1,2026-03-01 00:00,2026-03-01 12:00\n"
    "P1,S1,2026-03-01 10:00,2026-03-02 12:00\n",
    "events.csv": "device_id,subject_id,event,event_local\nL1,S2,algorithm_on,2026-03-01 06:00\n"
    "L1,S2,algorithm_off,2026-03-01 18:00\n",
    "orders.csv": "subject_id,drug,valid_from_local,valid_to_local,prescribed_rate,rate_unit\n"
    "S3,noradrenaline,2026-03-01 08:00,2026-03-01 13:00,2,mg/h\n"
    "S3,noradrenaline,2026-03-01 13:00,,2.5,mg/h\n",
    "glucose.csv": "subject_id,observed_local,code,value,unit,valid\n"
    + "".join(
        f"S2,2026-03-0{1 + hour // 24} {hour % 24:02d}:10,glucose,{60 + hour * 4},mg/dL,Y\n" for hour in range(40)
    ),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("pumps")
    assert run(["init", str(folder / "study")]) == 0
    (folder / "study" / "protocol.toml").write_text(PROTOCOL)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    assert run(["import", "--study", str(folder / "study"), *(str(folder / name) for name in FILES)]) == 0
    return open_study(folder / "study")


def measured(study: Study, device_class: str) -> dict[tuple[str, str], Any]:
    """(parameter, statistic) -> (value, numerator, denominator, reason) over all arms."""
    rows = query(
        trial_file(study),
        "SELECT parameter, statistic, value, numerator, denominator, not_assessable FROM result "
        f"WHERE arm = 'ALL' AND population = 'safety' AND device_class = '{device_class}' AND dose_pair IS NULL "
        "AND analysis IN ('accuracy', 'compliance')",
    )
    return {(parameter, statistic): tuple(rest) for parameter, statistic, *rest in rows}


def test_pump(study: Study) -> None:
    got = measured(study, "pump")
    # Boluses of ten steps (0.5 U) or more: -5 % and 0 %; the small one is two steps short.
    assert got["bolus_error_pct", "mean"][0] == pytest.approx(-2.5)
    assert got["small_bolus_error_steps", "mean"][0] == pytest.approx(-2)
    # Three hours are covered from end to end: 0.8 of 1, 0.8 of 1, and 0.4 + 0.5 of 1.
    assert got["basal_hours_assessable", "share"][:3] == (1.0, 3.0, 3.0)
    assert got["basal_hour_error_pct", "mean"][0] == pytest.approx((-20 - 20 - 10) / 3)
    assert got["basal_hour_conformity", "share"][:3] == (0.0, 0.0, 3.0)
    assert got["basal_delivered", "ratio"][:3] == pytest.approx((2.5 / 3, 2.5, 3.0))
    # Two monitored days, worn for a day and a half; the overlap counts once.
    assert got["wear_share", "share"][:3] == pytest.approx((36 / 48, 36, 48))
    assert got["boluses_per_day", "ratio"][:3] == pytest.approx((3 / 2, 3, 2))


def test_closed_loop(study: Study) -> None:
    got = measured(study, "closed_loop")
    assert got["commanded_hour_error_pct", "mean"][0] == pytest.approx((-25 + 0) / 2)
    assert got["commanded_day_error_pct", "mean"][0] == pytest.approx(100 * (0.7 - 0.8) / 0.8)
    assert got["algorithm_active_share", "share"][:3] == pytest.approx((12 / 48, 12, 48))
    assert got["sensor_coverage", "share"][:3] == pytest.approx((40 / 48, 40, 48))
    # 60, 64, ..., 216 mg/dL: 72 to 180 are 28 of 40.
    assert got["time_in_range", "share"][:3] == pytest.approx((28 / 40, 28, 40))
    assert got["wear_share", "share"][3] == "not assessable: no wear intervals were received for this device class"


def test_infusion_pump(study: Study) -> None:
    got = measured(study, "infusion_pump")
    assert got["infused_volume_error_pct", "mean"][0] == pytest.approx((-5 + 0) / 2)
    # The first runs at the ordered 2 mg/h, the second at 3 where 2.5 was ordered since 13:00.
    assert got["rate_as_ordered", "share"][:3] == pytest.approx((1 / 2, 1, 2))
    assert got["segments_with_order", "share"][:3] == pytest.approx((1.0, 2, 2))
    assert got["order_fulfilment", "ratio"][:3] == pytest.approx((6.8 / (4 + 2.5), 6.8, 6.5))


def moments(*hours: float) -> list[dt.datetime]:
    return [dt.datetime(2026, 3, 1) + dt.timedelta(hours=hour) for hour in hours]


def test_intervals_count_once_and_stay_within_limits() -> None:
    parts = pl.DataFrame({"subject_id": ["a", "a", "a", "b"], "start": moments(4, 0, 1, 5), "end": moments(6, 3, 2, 5)})
    merged = merged_intervals(parts)
    assert merged.rows() == [("a", *moments(0, 3)), ("a", *moments(4, 6))]
    limits = pl.DataFrame({"subject_id": ["a"], "start": moments(2), "end": moments(5)})
    assert hours_of(clipped(merged, limits)).rows() == [("a", 2.0)]


def test_segments_are_spread_over_clock_hours() -> None:
    segments = pl.DataFrame(
        {
            "subject_id": ["a"], "drug": ["d"], "channel": [None], "start_local": moments(0.5),
            "end_local": moments(2.5), "programmed": [4.0], "delivered": [2.0],
        },
        schema_overrides={"channel": pl.String},
    )  # fmt: skip
    found = hourly(segments).select("hour", "seconds", "programmed", "delivered")
    expected = pl.DataFrame(
        {"hour": moments(0, 1, 2), "seconds": [1800, 3600, 1800], "programmed": [1.0, 2.0, 1.0],
         "delivered": [0.5, 1.0, 0.5]}
    )  # fmt: skip
    assert_frame_equal(found, expected)
