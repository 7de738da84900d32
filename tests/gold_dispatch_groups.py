"""Reference cases of proportions and rates, alone and compared, through `analysis`."""

from __future__ import annotations

import re

from gold_cases import Case, data_file, data_rows, named, normalise, shaped

from analysis import (
    differences,
    odds_ratio,
    proportions,
    rate_comparison,
    rates,
    risk_ratio,
    stratified,
)

PROPORTION_METHODS = {
    "waldcc": "wald_cc",
    "wald": "wald",
    "normal": "wald",
    "wilsoncc": "wilson_cc",
    "wilsonc": "wilson_cc",
    "scorecc": "wilson_cc",
    "wilson": "wilson",
    "score": "wilson",
    "midp": "mid_p",
    "clopper": "clopper_pearson",
    "exact": "clopper_pearson",
    "agresti": "agresti_coull",
    "jeff": "jeffreys",
}


def proportion(case: Case, method: str) -> object:
    i = case["inputs"]
    x, n, level = i["x"], i["n"], i.get("level", 0.95)
    if method == "any":
        results = [proportions.proportion_interval(x, n, level, name) for name in proportions.METHODS]
        assert len({(r.estimate, r.lower, r.upper) for r in results}) == 1
        return shaped(results[0], case["expected"])
    name = named(method, PROPORTION_METHODS)
    return shaped(proportions.proportion_interval(x, n, level, name), case["expected"])


DIFFERENCE_METHODS = {
    "newcombecc": "newcombe_cc",
    "newcombe": "newcombe",
    "miettinen": "miettinen_nurminen",
    "mn": "miettinen_nurminen",
    "mee": "mee",
    "haldane": "haldane",
    "jeffreysperks": "jeffreys_perks",
    "hauck": "hauck_anderson",
    "agresti": "agresti_caffo",
    "brown": "brown_li_jeffreys",
    "waldcc": "wald_cc",
    "wald": "wald",
    "scorecc": "newcombe_cc",
    "score": "miettinen_nurminen",
}
RISK_RATIO_METHODS = {
    "koopman": "koopman",
    "katz": "katz_log",
    "log": "katz_log",
    "wald": "katz_log",
    "mn": "miettinen_nurminen",
    "miettinen": "miettinen_nurminen",
    "score": "miettinen_nurminen",
}
ODDS_RATIO_METHODS = {
    "exact": "exact_conditional",
    "cond": "exact_conditional",
    "cornfield": "cornfield",
    "wald": "woolf_log",
    "woolf": "woolf_log",
    "log": "woolf_log",
    "mn": "miettinen_nurminen",
    "miettinen": "miettinen_nurminen",
    "score": "miettinen_nurminen",
}


def two_proportions(case: Case, method: str) -> object:
    i, metric = case["inputs"], normalise(case["metric"])
    counts = (i["x1"], i["n1"], i["x2"], i["n2"], i.get("level", 0.95))
    words = set(method.split("_"))
    several = metric.startswith("rd_")
    if "poisson" in words:
        compare = rate_comparison.rate_difference if "rd" in words else rate_comparison.rate_ratio
        return shaped(compare(*counts, method="score"), case["expected"])
    if "or" in words or (not several and "odds" in metric):
        name = named(method, ODDS_RATIO_METHODS)
        return shaped(odds_ratio.odds_ratio(*counts, method=name), case["expected"])
    ratio = words & {"rr", "koopman", "katz"} or (not several and "risk_ratio" in metric)
    if ratio:
        name = named(method, RISK_RATIO_METHODS)
        return shaped(risk_ratio.risk_ratio(*counts, method=name), case["expected"])
    name = named(method, DIFFERENCE_METHODS)
    return shaped(differences.risk_difference(*counts, method=name), case["expected"])


def fisher(case: Case, method: str) -> object:
    i = case["inputs"]
    if "table" in i:
        return differences.fisher_exact_table(i["table"])
    return differences.fisher_exact(i["x1"], i["n1"], i["x2"], i["n2"])


def cmh(case: Case, method: str) -> object:
    i, expected = case["inputs"], case["expected"]
    if "Admitted_Male" in i:
        a, b, c, d = (i[f"{what}_{who}"] for who in ("Male", "Female") for what in ("Admitted", "Rejected"))
    else:
        rows = next(iter(i.values())) if len(i) == 1 else list(zip(*i.values(), strict=True))
        c_no, a_no, c_yes, a_yes = zip(*rows, strict=True)
        a, b, c, d = a_yes, a_no, c_yes, c_no
    x1, n1 = list(a), [v + w for v, w in zip(a, b, strict=True)]
    x2, n2 = list(c), [v + w for v, w in zip(c, d, strict=True)]
    corrected = "continuity" in method and "no_continuity" not in method
    test = stratified.cmh_test(x1, n1, x2, n2, continuity=corrected)
    if not isinstance(expected, list):
        return test.p_value
    ratio = stratified.mantel_haenszel_odds_ratio(x1, n1, x2, n2)
    return [test.statistic, test.p_value, ratio.estimate, ratio.lower, ratio.upper][: len(expected)]


def stratified_difference(case: Case, method: str) -> object:
    i = case["inputs"]
    result = stratified.stratified_risk_difference(
        i["x1"],
        i["n1"],
        i["x2"],
        i["n2"],
        i.get("level", 0.95),
        "inverse_variance" if re.search("ivs|inverse|inv", method) else "mantel_haenszel",
        skewness=bool(re.search("scas|skew", method)),
    )
    return shaped(result, case["expected"])


RATE_METHODS = {
    "normallog": "normal_log",
    "waldlog": "normal_log",
    "normal": "normal",
    "wald": "normal",
    "byar": "byar",
    "score": "score",
    "jeff": "jeffreys",
    "midp": "mid_p",
    "exact": "garwood",
    "garwood": "garwood",
    "chisq": "garwood",
    "chisquare": "garwood",
}


def garwood(case: Case, method: str) -> object:
    i = case["inputs"]
    if not isinstance(case["expected"][0], list):
        return shaped(rates.garwood(i["x"], i["T"], i.get("level", 0.95)), case["expected"])
    levels = i.get("levels", (0.95, 0.90, 0.99))
    return [list(rates.garwood(i["x"], i["T"], level).limits) for level in levels]


def rate(case: Case, method: str) -> object:
    i, expected = case["inputs"], case["expected"]
    level, per = i.get("level", 0.95), float(str(i.get("per", 1)).split()[0])
    if "AVAL_months" in i:
        times = [rates.person_years(t, "months") for t in i["AVAL_months"]]
        name = named(method, RATE_METHODS)
        total = rates.incidence_rate(times, [1 - c for c in i["CNSR"]], level, per, name)
        return [total.time, total.events, total.poisson.estimate, *total.poisson.limits]
    if data_file(case):
        per = 100.0
        rows = [r for r in data_rows(case) if i.get("arm") in (None, r["TRTA"])]
        events_are_cnsr = "CNSR=" in str(i.get("count", ""))
        events = [int(r["CNSR"]) if events_are_cnsr else 1 - int(r["CNSR"]) for r in rows]
        years = "PY" in case["metric"] or "year" in case["metric"].lower()
        times = [rates.person_years(float(r["AVAL"]), "days") if years else float(r["AVAL"]) for r in rows]
        name = named(method, RATE_METHODS)
        total = rates.incidence_rate(times, events, level, per, name)
        answer = [total.time, total.events, total.poisson.estimate, *total.poisson.limits]
        return answer[-len(expected) :]
    time = i.get("T", i.get("T_years"))
    name = named(method, RATE_METHODS) if method else "garwood"
    if not method:
        results = [rates.rate_interval(i["x"], time, level, per, name) for name in rates.METHODS]
        assert len({(r.estimate, r.lower, r.upper) for r in results}) == 1
    return shaped(rates.rate_interval(i["x"], time, level, per, name), expected)


RATE_RATIO_METHODS = {
    "midp": "mid_p",
    "mover": "mover",
    "waldlog": "wald_log",
    "exact": "exact_conditional",
    "central": "exact_conditional",
    "score": "score",
}


def rate_ratio(case: Case, method: str) -> object:
    i = case["inputs"]
    name = named(method, RATE_RATIO_METHODS)
    result = rate_comparison.rate_ratio(i["x1"], i["T1"], i["x2"], i["T2"], i.get("level", 0.95), name)
    return shaped(result, case["expected"])


def rate_ratio_test(case: Case, method: str) -> object:
    i = case["inputs"]
    if re.search("exact|midp|cond", method):
        return rate_ratio(case, method)
    ratio = i.get("ratio", i.get("value", 1.0))
    return rate_comparison.rate_ratio_test(i["x1"], i["T1"], i["x2"], i["T2"], ratio, method).p_value


def rate_difference(case: Case, method: str) -> object:
    i = case["inputs"]
    name = "wald" if "wald" in method else "score"
    result = rate_comparison.rate_difference(i["x1"], i["T1"], i["x2"], i["T2"], i.get("level", 0.95), name)
    return shaped(result, case["expected"])
