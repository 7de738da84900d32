"""Every reference case of tests/gold/statistics through the public functions of `analysis`.

The expected values come from published tables, other packages' test suites and R; each case names its source and its
tolerance. Cases whose data may not be shipped look for it beside the repository and are marked external.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gold_cases import data_file, deviation
from gold_dispatch import compute

GOLD = Path(__file__).parent / "gold" / "statistics"


def _cases() -> list[Any]:
    parameters = []
    for file in sorted(GOLD.glob("*.json")):
        for case in json.loads(file.read_text())["cases"]:
            marks = [pytest.mark.external] if data_file(case) else []
            parameters.append(pytest.param(case, id=f"{file.stem}-{case['id']}", marks=marks))
    return parameters


@pytest.mark.parametrize("case", _cases())
def test_reference_case(case: dict[str, Any]) -> None:
    computed = compute(case)
    difference = deviation(case["expected"], computed)
    assert difference <= case["tol_abs"], f"expected {case['expected']}, computed {computed}"


def test_an_unknown_kind_of_case_is_an_error() -> None:
    with pytest.raises(LookupError):
        compute({"metric": "unheard of", "method": "none", "inputs": {}, "expected": 0})
