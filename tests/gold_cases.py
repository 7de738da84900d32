"""What reference cases have in common: their data files, method names and the shapes of expected values."""

from __future__ import annotations

import csv
import math
import re
from datetime import date
from pathlib import Path
from typing import Any

from conftest import SHARED

from analysis.interval import Comparison, Interval

Case = dict[str, Any]
DATA = SHARED / "gold" / "statistics" / "data"


def normalise(text: str) -> str:
    """Lower case, everything but letters and digits as single underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def data_file(case: Case) -> str | None:
    """The file outside the repository a case needs, if any."""
    named = str(case["inputs"].get("data", ""))
    if "mgus2" in named:
        return "survival_mgus2.csv"
    if named.startswith("aml"):
        return "survival_aml.csv"
    return named if named.endswith(".csv") else None


def data_rows(case: Case) -> list[dict[str, str]]:
    name = data_file(case)
    assert name is not None
    with (Path(DATA) / name).open(newline="") as file:
        return list(csv.DictReader(file))


def named(method: str, names: dict[str, str]) -> str:
    """The function's name of a method: the first key that occurs in it."""
    compact = method.replace("_", "")
    for key, name in names.items():
        if key in compact:
            return name
    raise LookupError(f"no function is known for method {method!r}")


def shaped(result: Interval, expected: object) -> object:
    """An interval in the shape of the expected value: limits, estimate with limits, a dict, or a p value."""
    if isinstance(expected, dict):
        known = {
            "est": result.estimate,
            "estimate": result.estimate,
            "lo": result.lower,
            "lower": result.lower,
            "hi": result.upper,
            "upper": result.upper,
            "p": getattr(result, "p_value", None),
        }
        return {key: known[key] for key in expected}
    if isinstance(expected, list):
        three = [result.estimate, result.lower, result.upper]
        p_value = [result.p_value] if isinstance(result, Comparison) else []
        return {2: three[1:], 3: three, 4: [*three, *p_value]}[len(expected)]
    return result.p_value if isinstance(result, Comparison) else result.estimate


def deviation(expected: object, computed: object) -> float:
    """Largest absolute difference of two answers of the same shape; infinite where they differ in kind."""
    if isinstance(expected, dict):
        if not isinstance(computed, dict) or set(expected) != set(computed):
            return math.inf
        return max((deviation(expected[key], computed[key]) for key in expected), default=0.0)
    if isinstance(expected, list):
        if not isinstance(computed, (list, tuple)) or len(expected) != len(computed):
            return math.inf
        return max((deviation(e, c) for e, c in zip(expected, computed, strict=True)), default=0.0)
    if isinstance(computed, date):
        computed = computed.isoformat()
    if expected in ("Inf", "-Inf"):
        return 0.0 if computed == float(str(expected)) else math.inf
    if isinstance(expected, (int, float)) and isinstance(computed, (int, float)):
        return 0.0 if expected == computed else abs(expected - computed)
    return 0.0 if expected == computed else math.inf
