"""How a reference case of tests/gold/statistics reaches a public function of `analysis`.

A case names a metric, a method and inputs. `ROUTES` finds the function by the metric, the method's name is
brought to the function's own; a case of a known kind therefore runs without new code, and an unknown one
raises LookupError.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import gold_dispatch_doses as doses
import gold_dispatch_events as events
import gold_dispatch_groups as groups
from gold_cases import Case, normalise

ROUTES: list[tuple[str, Callable[[Case, str], object]]] = [
    (r"^subject_incidence", groups.proportion),
    (r"^fisher", groups.fisher),
    (r"^stratified_risk_difference", groups.stratified_difference),
    (r"^cmh", groups.cmh),
    (r"^(risk_difference|risk_ratio|odds_ratio|rd_rr)", groups.two_proportions),
    (r"^exact_poisson", groups.garwood),
    (r"rate_ratio_test", groups.rate_ratio_test),
    (r"rate_ratio", groups.rate_ratio),
    (r"rate_difference", groups.rate_difference),
    (r"^(eair|eaer|ae_rate|incidence_rate)", groups.rate),
    (r"^(one_sided_k|two_sided_k|k_factors)", doses.k_factor),
    (r"_ti\|", doses.tolerance_interval),
    (r"^distribution_free", doses.wilks),
    (r"^bland_altman", doses.bland_altman),
    (r"^icc", doses.icc),
    (r"variance_se_of_grand_mean", doses.variance_components),
    (r"^(dose_size|pump).*limits|limits.*\|max_", doses.dose_limits),
    (r"^trumpet_curve_ep", doses.trumpet_points),
    (r"^trumpet_curve_output", doses.trumpet_shape),
    (r"^bolus_accuracy_summary", doses.labelling_table),
    (r"proportion_within_band$", doses.share_within),
    (r"^ingestible", doses.detection),
    (r"treatment_episodes", doses.episodes),
    (r"cma", doses.cma),
    (r"missed_doses", doses.missed_doses),
    (r"^compliance_band", doses.band),
    (r"^km_(quantile|time|median)", events.km_quantile),
    (r"^km_survival", events.km_at),
    (r"^hazard_ratio", events.hazard),
    (r"^log_rank", events.log_rank),
    (r"^cumulative_incidence", events.cumulative_incidence),
    (r"^multi_state", events.multistate),
    (r"^mean_cumulative", events.mcf),
    (r"^multiplicity", events.adjusted_p),
    (r"^treatment_emergent", events.emergent),
    (r"^partial_date", events.imputation),
    (r"^duration", events.duration),
]


def compute(case: Case) -> object:
    """What `analysis` answers, in the shape of the case's expected value."""
    text = f"{normalise(case['metric'])}|{normalise(case['method'])}"
    for pattern, handler in ROUTES:
        if re.search(pattern, text):
            return handler(case, normalise(case["method"]))
    raise LookupError(f"no function is known for metric {case['metric']!r}, method {case['method']!r}")
