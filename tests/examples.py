"""How many examples a slow property test tries: a few in `make test`, all of them in `make test-slow`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import settings

Test = TypeVar("Test", bound=Callable[..., Any])


def examples(few: int, many: int, **others: Any) -> Callable[[Test], Test]:
    """Settings of a property test whose examples take long; `others` are Hypothesis's own."""
    tried = many if os.environ.get("DOSETRAIL_ALL_EXAMPLES") else few

    def apply(test: Test) -> Test:
        marked: Test = pytest.mark.examples(settings(max_examples=tried, deadline=None, **others)(test))
        return marked

    return apply
