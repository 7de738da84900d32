"""Reference cases of dose accuracy and adherence through `analysis`."""

from __future__ import annotations

import re
from datetime import datetime

from gold_cases import Case, data_rows, normalise

from analysis import adherence, agreement, clustered, device_accuracy, tolerance, trumpet


def k_factor(case: Case, method: str) -> object:
    i = case["inputs"]
    side = tolerance.ONE_SIDED if "one_sided" in normalise(case["metric"]) else tolerance.TWO_SIDED
    name = next((n for n in ("natrella", "howe") if n in method), "exact")
    if isinstance(i["P"], list):
        return [side[name](i["n"], share, i["C"]) for share in i["P"]]
    if isinstance(case["expected"], list):
        return [f["exact"](i["n"], i["P"], i["C"]) for f in (tolerance.ONE_SIDED, tolerance.TWO_SIDED)]
    return side[name](i["n"], i["P"], i["C"])


def tolerance_interval(case: Case, method: str) -> object:
    i = case["inputs"]
    name = next((n for n in ("natrella", "howe") if n in method), "exact")
    result = tolerance.tolerance_interval_of_moments(i["mean"], i["sd"], i["n"], i["P"], i["C"], method=name)
    return [result.lower, result.upper]


def wilks(case: Case, method: str) -> object:
    i = case["inputs"]
    return [tolerance.distribution_free_sample_size(i["P"], i["C"], side) for side in ("upper", "two-sided")]


def bland_altman(case: Case, method: str) -> object:
    i = case["inputs"]
    pairs = [a - b for a, b in zip(i["x"], i["y"], strict=True)]
    z = 2.0 if re.search(r"2_?sd", method) else 1.96 if "1_96" in method else i.get("z")
    r = agreement.bland_altman(pairs, i.get("level", 0.95), z)
    known = {
        "n": r.n,
        "mean": r.bias.estimate,
        "bias": r.bias.estimate,
        "sd": r.sd,
        "ci": list(r.bias.limits),
        "mean_ci": list(r.bias.limits),
        "upper": r.upper.estimate,
        "lower": r.lower.estimate,
        "se_loa": r.se_limit,
        "upper_ci": list(r.upper.limits),
        "lower_ci": list(r.lower.limits),
    }
    if isinstance(case["expected"], dict):
        return {key: known[key] for key in case["expected"]}
    return [known[key] for key in ("mean", "sd", "lower", "upper")][: len(case["expected"])]


def icc(case: Case, method: str) -> object:
    r = agreement.intraclass_correlation(case["inputs"]["ratings"])
    return [r.icc_1_1, r.icc_2_1, r.icc_3_1, r.icc_1_k, r.icc_2_k, r.icc_3_k]


def variance_components(case: Case, method: str) -> object:
    i = case["inputs"]
    parts = clustered.variance_components(i["yield"], i["batch"])
    mean = clustered.two_stage_mean(i["yield"], i["batch"])
    assert mean.estimate is not None and mean.upper is not None
    se = (mean.upper - mean.estimate) / clustered.t_quantile(0.95, parts.clusters - 1)
    return [mean.estimate, parts.between, parts.within, se]


def dose_limits(case: Case, method: str) -> object:
    i = case["inputs"]
    dose = next(v for k, v in i.items() if k.startswith("set"))
    absolute = next(v for k, v in i.items() if k.startswith(("dose_resolution", "absolute")))
    limit = device_accuracy.DoseLimit(absolute, i.get("relative", 0.05))
    if not isinstance(case["expected"], list):
        return limit.percent(dose)
    return list(limit.limits(dose))


def trumpet_points(case: Case, method: str) -> object:
    i = case["inputs"]
    volumes = [0.06 if j % 4 == 0 else 0.0133333333333 for j in range(240)]
    (point,) = trumpet.trumpet_curve(volumes, i["S_min"], i["r_ml_h"], [i["P_min"]]).points
    return [point.ep_max, point.ep_min]


def trumpet_shape(case: Case, method: str) -> object:
    """Only the windows and A are published: a flow of A percent off must come back on those windows."""
    error = case["expected"]["A"]
    volumes = [(1.0 + error / 100.0) / 60.0] * (60 * 17)
    curve = trumpet.trumpet_curve(volumes, 1.0, 1.0, trumpet.INSULIN_PUMP_WINDOWS)
    assert curve.mean_error is not None
    return {"A": round(curve.mean_error, 9), "windows_min_axis": [int(p.window_min) for p in curve.points]}


def labelling_table(case: Case, method: str) -> object:
    """Only n, mean, minimum and maximum are published: doses built to have them must come back as the row."""
    delivered, doses, rows = [], [], {}
    for name, row in case["expected"].items():
        dose = float(name.rstrip("Uu"))
        middle = (row["n"] * row["mean"] - row["min"] - row["max"]) / (row["n"] - 2)
        delivered += [row["min"], row["max"], *[middle] * (row["n"] - 2)]
        doses += [dose] * row["n"]
        rows[dose] = name
    return {
        rows[r.dose]: {"n": r.n, "mean": round(r.mean, 9), "min": r.minimum, "max": r.maximum}
        for r in device_accuracy.summarise_by_dose(delivered, doses)
    }


def share_within(case: Case, method: str) -> object:
    """Only percentages are published: 1,000 doses with that share inside ±5 % must come back as it."""

    def percent(published: float) -> float:
        inside = round(published * 10)
        errors = [5.0] * inside + [5.1] * (1000 - inside)
        share = device_accuracy.share_within(errors, 5.0).estimate
        assert share is not None
        return round(100.0 * share, 9)

    return {key: [percent(v) for v in values] for key, values in case["expected"].items()}


def detection(case: Case, method: str) -> object:
    """Numerator and denominator may be unpublished: then 1,000 ingestions with the published rate."""
    i = case["inputs"]
    detected, witnessed = i.get("detected", round(case["expected"] * 10)), i.get("observed", 1000)
    rate = device_accuracy.detection_accuracy(detected, witnessed).sensitivity.estimate
    assert rate is not None
    return round(100.0 * rate, 9)


def _supplies(case: Case) -> dict[str, list[adherence.Supply]]:
    patients: dict[str, list[tuple[int, float, str]]] = {}
    for row in data_rows(case):
        day = datetime.strptime(row["DATE"], "%m/%d/%Y").toordinal()
        patients.setdefault(row["PATIENT_ID"], []).append((day, float(row["DURATION"]), row["CATEGORY"]))
    first = {patient: min(day for day, _, _ in rows) for patient, rows in patients.items()}
    return {
        patient: [adherence.Supply(day - first[patient], days, drug) for day, days, drug in rows]
        for patient, rows in patients.items()
    }


def cma(case: Case, method: str) -> object:
    i, patients = case["inputs"], _supplies(case)
    number = int(re.search(r"cma_?(\d)", f"{normalise(case['metric'])} {method}")[1])  # type: ignore[index]
    whole = adherence.Window(0, i.get("ow_days", 730))
    if "sliding" in method:
        step = i.get("step", i.get("window_days", 120))
        return {
            patient: adherence.cma_sliding(number, patients[patient], whole, i.get("window_days", 120), step)
            for patient in case["expected"]
        }
    if "episode" in method:
        gap = i.get("max_gap", 180)
        return {
            patient: adherence.cma_per_episode(
                number, patients[patient], adherence.treatment_episodes(patients[patient], gap)
            )
            for patient in case["expected"]
        }
    window = adherence.Window(i["ow_start"], i["ow_days"])
    if isinstance(case["expected"], dict):
        return {patient: adherence.cma(number, patients[patient], window) for patient in case["expected"]}
    return adherence.cma(number, patients[str(i["patient"])], window)


def episodes(case: Case, method: str) -> object:
    patients = _supplies(case)
    gap = case["inputs"].get("max_gap", 180)
    return {
        patient: [episode.days for episode in adherence.treatment_episodes(patients[patient], gap)]
        for patient in case["expected"]
    }


def missed_doses(case: Case, method: str) -> object:
    i = case["inputs"]
    counts = adherence.count_missed_doses(i["x"], i["thresholds"], i["N"])
    return {"n": counts.subjects, **{f">={k}": list(v) for k, v in counts.at_least.items()}}


def band(case: Case, method: str) -> object:
    return adherence.compliance_band(case["inputs"]["taken"], case["inputs"]["expected"])
