"""Accuracy by device, firmware, lot, month, size and alarm, against a plain loop over the doses."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections import defaultdict
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from examples import examples
from generic_study import figure, frames, protocol, results
from hypothesis import given
from hypothesis import strategies as st

AT = dt.datetime(2024, 3, 1, 8)
DEVICES = [
    {"device_id": "D1", "device_class": "pen", "model": "M", "firmware": "1.1", "lot": "X", "basis": "registered"},
    {"device_id": "D2", "device_class": "pump", "model": "N", "basis": "registered"},
]
ALARMS = [
    {"subject_id": "P1", "device_id": "D2", "event": "occlusion", "start_local": AT + dt.timedelta(days=3)},
    {"subject_id": "P2", "device_id": "D1", "event": "alarm", "start_local": AT + dt.timedelta(days=9)},
    {"subject_id": "P2", "device_id": "D1", "event": "suspend", "start_local": AT + dt.timedelta(days=2)},
]
ADVICE = [
    {"subject_id": "P1", "recommended_at": AT + dt.timedelta(days=day), "algorithm_version": version, "device_id": "D2"}
    for day, version in ((1, "v1"), (20, "v2"))
]
DOSE = st.fixed_dictionaries(
    {
        "day": st.integers(0, 70),
        "minutes": st.integers(0, 3000),
        "programmed": st.sampled_from(["0", "0.9", "1", "1.99", "2", "5", "20.5"]),
        "delivered": st.sampled_from(["0", "0.95", "1", "2.1", "5", "19", None]),
        "device_id": st.sampled_from(["D1", "D2", None]),
        "firmware": st.sampled_from(["2.0", None]),
        "lot": st.sampled_from(["Y", None]),
        "alarm": st.sampled_from(["occlusion", None]),
        "stop_reason": st.sampled_from(["occlusion", "low_glucose", None]),
    }
)


def expected(subject: str, dose: dict[str, Any], first: dt.datetime) -> dict[str, str | None]:
    """Value of each breakdown for one dose, by its definition."""
    device: dict[str, Any] = next((row for row in DEVICES if row["device_id"] == dose["device_id"]), {})
    at, end = dose["at"], dose["at"] + dt.timedelta(minutes=dose["minutes"])
    during = any(
        row["subject_id"] == subject
        and row["event"] != "suspend"
        and dose["device_id"] in (None, row["device_id"])
        and at <= row["start_local"] <= end
        for row in ALARMS
    )
    told = [row["algorithm_version"] for row in ADVICE if row["subject_id"] == subject and row["recommended_at"] <= at]
    edges = ["0", "0.5", "1", "2", "5", "10", "20", "50"]
    amount = Decimal(dose["programmed"])
    low = max(edge for edge in map(Decimal, edges) if edge <= amount)
    high = min(edge for edge in map(Decimal, edges) if edge > amount)
    return {
        "device_class": device.get("device_class"),
        "model": device.get("model"),
        "firmware": dose["firmware"] or device.get("firmware"),
        "lot": dose["lot"] or device.get("lot"),
        "algorithm_version": told[-1] if told else None,
        "wear_month": str((at.date() - first.date()).days // 30 + 1),
        "dose_size": "0" if amount == 0 else f"{low} to <{high} mg",
        "alarm": "with alarm" if dose["alarm"] or dose["stop_reason"] == "occlusion" or during else "without alarm",
    }


@examples(5, 15)
@given(st.fixed_dictionaries({"P1": st.lists(DOSE, min_size=1, max_size=12), "P2": st.lists(DOSE, max_size=8)}))
def test_breakdowns_agree_with_a_loop_over_the_doses(doses: dict[str, list[dict[str, Any]]]) -> None:
    log: dict[str, list[Any]] = {}
    tally: dict[tuple[str, str | None], dict[str, list[tuple[float | None, bool]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for subject, own in doses.items():
        for dose in own:
            dose["at"] = AT + dt.timedelta(days=dose["day"])
        first = min((dose["at"] for dose in own), default=AT)
        log[subject] = [
            {**{k: v for k, v in dose.items() if k not in ("day", "minutes", "at")}, "at": dose["at"].isoformat(),
             "end_local": dose["at"] + dt.timedelta(minutes=dose["minutes"])}
            for dose in own
        ]  # fmt: skip
        for dose in own:
            if dose["delivered"] is None:
                continue
            d, p = float(dose["delivered"]), float(dose["programmed"])
            error = 100 * (d - p) / p if p else None
            conforms = abs(error) <= 5 + 1e-9 if error is not None else d == 0
            for by, value in expected(subject, dose, first).items():
                tally[by, value][subject].append((error, conforms))
    study = frames(log, device=DEVICES, device_event=ALARMS, recommendation=ADVICE)
    rows = results(study, protocol(arms=("A",), reference=None))
    if not tally:
        return
    rows = rows.filter(
        (pl.col("dose_pair") == "delivered/programmed") & (pl.col("arm") == "A") & (pl.col("population") == "safety")
    )
    stated = {by for by, value in tally if value is not None}
    for (by, value), subjects in tally.items():
        if by not in stated:
            continue
        of_value = rows.filter((pl.col("by") == by) & (pl.col("by_value") == (value or "not stated")))
        found = of_value.filter(pl.col("parameter") == "delivery_conformity")
        both = [pair for own in subjects.values() for pair in own]
        # Doses without a device that was registered have no class of their own and stand in a line apart.
        share = found.filter(pl.col("statistic") == "share")
        assert share["numerator"].sum() == sum(ok for _, ok in both)
        assert share["denominator"].sum() == len(both)
        if share.height == 1:
            mean = found.filter(pl.col("statistic") == "mean_of_subjects")["value"].item()
            assert mean == pytest.approx(statistics.fmean(sum(ok for _, ok in o) / len(o) for o in subjects.values()))
            errors = [[e for e, _ in own if e is not None] for own in subjects.values()]
            means = [math.fsum(own) / len(own) for own in errors if own]
            bias = of_value.filter((pl.col("parameter") == "percent_error") & (pl.col("statistic") == "bias"))["value"]
            assert bias.to_list() == ([pytest.approx(statistics.fmean(means))] if means else [])


def test_spread_and_bootstrap_of_percent_errors() -> None:
    """Subject means 0, 5 and -4 % with known squares; the bootstrap repeats with its seed."""
    amounts = {"P1": ["10", "11", "9"], "P2": ["10.5", "10.5"], "P3": ["9.6", "9.4", "9.8", "9.6"]}
    log = {
        subject: [(f"2024-03-{day:02}T08:00", amount, "10") for day, amount in enumerate(own, 1)]
        for subject, own in amounts.items()
    }
    rows = results(frames(log), protocol(arms=("A",), reference=None))  # type: ignore[arg-type]
    rows = rows.filter((pl.col("dose_pair") == "delivered/programmed") & (pl.col("arm") == "A"))
    errors = [np.array([10 * float(amount) - 100 for amount in own]) for own in amounts.values()]
    n, k = sum(map(len, errors)), len(errors)
    mean = np.concatenate(errors).mean()
    within = sum(((e - e.mean()) ** 2).sum() for e in errors) / (n - k)
    between_ms = sum(len(e) * (e.mean() - mean) ** 2 for e in errors) / (k - 1)
    n0 = (n - sum(len(e) ** 2 for e in errors) / n) / (k - 1)
    between = max(0.0, (between_ms - within) / n0)
    value = {name: figure(rows, "percent_error", name) for name in ("sd_between_subjects", "sd_within_subjects")}
    assert value["sd_between_subjects"]["value"].item() == pytest.approx(math.sqrt(between), abs=1e-9)
    assert value["sd_within_subjects"]["value"].item() == pytest.approx(math.sqrt(within), abs=1e-9)
    agreement = figure(rows, "percent_error", "limits_of_agreement")
    assert agreement["upper"].item() == pytest.approx(mean + 1.96 * math.sqrt(between + within), abs=1e-9)
    share = figure(rows, "delivery_conformity", "share_bootstrap")
    assert share.select("numerator", "denominator").row(0) == (6, 9)
    assert "seed 20240229" in share["method"].item() and "too narrow" in share["method"].item()
    generator = np.random.Generator(np.random.PCG64(20240229))
    top, bottom = np.array([1.0, 2, 3]), np.array([3.0, 2, 4])
    draws = [generator.integers(0, 3, 3) for _ in range(2000)]
    lower, upper = np.quantile([top[d].sum() / bottom[d].sum() for d in draws], [0.025, 0.975])
    assert (share["lower"].item(), share["upper"].item()) == (pytest.approx(lower), pytest.approx(upper))
