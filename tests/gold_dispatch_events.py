"""Reference cases of times to events, multiplicity, emergence and dates through `analysis`."""

from __future__ import annotations

import re
from datetime import date, datetime

from gold_cases import Case, data_rows, named, shaped

from analysis import competing_risks as competing
from analysis import cox, emergence, multiplicity, partial_dates, recurrent_events, survival


def _confidence_type(method: str) -> str:
    compact = method.replace("_", "")
    return "log-log" if "loglog" in compact else "plain" if "plain" in compact else "log"


def _arm(case: Case) -> tuple[list[float], list[int]]:
    i = case["inputs"]
    if "time" in i:
        return i["time"], i["status"]
    rows = [r for r in data_rows(case) if r["TRTA"] == i["arm"]]
    cnsr_is_event = "CNSR" in str(i.get("status_column", ""))
    return (
        [float(r["AVAL"]) for r in rows],
        [int(r["CNSR"]) if cnsr_is_event else 1 - int(r["CNSR"]) for r in rows],
    )


def km_quantile(case: Case, method: str) -> object:
    times, status = _arm(case)
    curve = survival.kaplan_meier(
        times, status, case["inputs"].get("level", 0.95), confidence_type=_confidence_type(method)
    )

    def quantile(share: float) -> list[float | None]:
        result = curve.quantile(share)
        return [result.estimate, result.lower, result.upper]

    expected = case["expected"]
    shares = case["inputs"].get("p", [0.25, 0.5, 0.75])
    if isinstance(expected, list) and expected and isinstance(expected[0], list):
        return [quantile(share) for share in (shares if isinstance(shares, list) else [shares])]
    if isinstance(shares, list):
        return [curve.quantile(share).estimate for share in shares]
    return quantile(shares)[: len(expected)] if isinstance(expected, list) else quantile(shares)[0]


def km_at(case: Case, method: str) -> object:
    times, status = _arm(case)
    curve = survival.kaplan_meier(times, status, confidence_type=_confidence_type(method))
    at = case["inputs"]["t"]
    result = curve.survival_at(at)
    return [curve.at_risk_at(at), result.estimate, result.lower, result.upper][-len(case["expected"]) :]


def _groups(case: Case) -> tuple[list[float], list[int], list[str]]:
    rows = data_rows(case)
    if "AVAL" in rows[0]:
        return [float(r["AVAL"]) for r in rows], [1 - int(r["CNSR"]) for r in rows], [r["TRTA"] for r in rows]
    return [float(r["time"]) for r in rows], [int(r["status"]) for r in rows], [r["x"] for r in rows]


def hazard(case: Case, method: str) -> object:
    times, status, groups = _groups(case)
    reference = min(groups)
    return shaped(cox.hazard_ratio(times, status, [int(g != reference) for g in groups]), case["expected"])


def log_rank(case: Case, method: str) -> object:
    test = survival.log_rank(*_groups(case))
    if not isinstance(case["expected"], list):
        return test.statistic
    return [test.statistic, test.p_value][: len(case["expected"])]


def cumulative_incidence(case: Case, method: str) -> object:
    answer = []
    for sex in ("F", "M"):
        rows = [r for r in data_rows(case) if r["sex"] == sex]
        times = [float(r["futime"] if r["pstat"] == "0" else r["ptime"]) for r in rows]
        causes = [1 if r["pstat"] == "1" else 2 * int(r["death"]) for r in rows]
        first, second = (competing.cumulative_incidence(times, causes, cause) for cause in (1, 2))
        answer += [[first.event_free_at(t), first.at(t).estimate, second.at(t).estimate] for t in (120, 240)]
    return answer


def multistate(case: Case, method: str) -> object:
    i = case["inputs"]
    result = competing.state_probabilities(i["id"], i["t1"], i["t2"], i["state"])
    columns = zip(*result.probability, strict=True)
    names = ("pstate_x32_entry", "a", "b", "c")
    scaled = {name: [32.0 * p for p in column] for name, column in zip(names, columns, strict=True)}
    return {"time": list(result.times), **scaled}


def mcf(case: Case, method: str) -> object:
    i = case["inputs"]
    result = recurrent_events.mean_cumulative_function(i["id"], i["t1"], i["t2"], i["st"])
    known = {"mcf": list(result.mean), "time": list(result.times), "se": list(result.se)}
    return {key: known[key] for key in case["expected"]}


MULTIPLICITY_METHODS = {
    "holm": "holm",
    "hochberg": "hochberg",
    "bonf": "bonferroni",
    "by": "benjamini_yekutieli",
    "yekutieli": "benjamini_yekutieli",
}


def adjusted_p(case: Case, method: str) -> object:
    i, expected = case["inputs"], case["expected"]
    if "double" in method or "dfdr" in method:
        groups = next(i[k] for k in ("soc", "SOC", "B", "group", "groups", "body_system") if k in i)
        results = multiplicity.double_fdr(i["p"], groups, i.get("alpha", 0.05))
        names = next((i[k] for k in ("AE", "ae", "term", "pt", "PT") if k in i), list(range(len(results))))
        flagged = [name for name, r in zip(names, results, strict=True) if r.flagged]
        if isinstance(expected, (int, float)):
            return len(flagged)
        if set(map(type, expected)) <= {bool}:
            return [r.flagged for r in results]
        if set(map(type, expected)) <= {str}:
            return sorted(flagged) if sorted(expected) == expected else sorted(flagged, key=expected.index)
        return [r.adjusted for r in results]
    if method in ("bh", "fdr") or method.startswith("benjamini_hochberg"):
        return multiplicity.adjust(i["p"], "benjamini_hochberg")
    return multiplicity.adjust(i["p"], named(method, MULTIPLICITY_METHODS))


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def emergent(case: Case, method: str) -> object:
    i = case["inputs"]
    moments = [_moment(i.get(key, "")) for key in ("astdtm", "aendtm", "trtsdtm", "trtedtm")]
    initial, grade = i.get("initial_grade"), i.get("grade", i.get("max_grade"))

    def flag(window: int | None, timed: bool = False, worsening: bool = True) -> str | None:
        grades = (initial, grade) if worsening else (None, None)
        return "Y" if emergence.treatment_emergent(*moments, window, *grades, timed) else None

    if isinstance(case["expected"], dict):
        variants = {
            "no_window": flag(None, worsening=False),
            "window10_worsening_dateonly": flag(10),
            "window10_worsening_with_time": flag(10, timed=True),
        }
        return {key: variants[key] for key in case["expected"]}
    return flag(i.get("end_window_days"))


def imputation(case: Case, method: str) -> object:
    highest = re.search(r"highest_([dmy])", method)
    bounds = [date.fromisoformat(d) for d in re.findall(r"\d{4}-\d{2}-\d{2}", case["method"])]
    return [
        (
            partial_dates.impute_date(
                text,
                highest[1].upper() if highest else None,
                next((p for p in ("last", "mid") if p in method.split("_")), "first"),
                not_before=bounds if "min_dates" in method else (),
                not_after=bounds if "max_dates" in method else (),
                preserve_day="preserve" in method,
            ).value
        )
        for text in case["inputs"]["dtc"]
    ]


def _named_unit(method: str) -> str:
    units = ("seconds", "minutes", "hours", "weeks", "months", "years")
    return next((unit for unit in units if unit[:3] in method), "days")


def duration(case: Case, method: str) -> object:
    i = case["inputs"]
    start, end = datetime.fromisoformat(i["start"]), datetime.fromisoformat(i["end"])
    if "study_day" in method or "relative_day" in method:
        return partial_dates.study_day(end, start)
    unit = _named_unit(method)
    exact = "no_floor" in method or unit in ("seconds", "minutes", "hours")
    return partial_dates.duration(
        start,
        end,
        unit,
        whole_days=not exact,
        inclusive=unit == "days" and "no_add_one" not in method,
        truncate="trunc" in method,
        by_calendar="interval" in method,
    )
