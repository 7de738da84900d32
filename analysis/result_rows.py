"""Rows of the result table: the one place of the analysis that knows its columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from analysis.interval import Comparison, Interval

ALL_ARMS = "ALL"
"""Arm of a figure over all arms."""

DESCRIPTIVE = "descriptive, not adjusted"
"""Head of every interval between arms."""

LEVEL = 0.95

RESULT_TYPES: dict[str, pl.DataType] = {
    "analysis": pl.String(),
    "population": pl.String(),
    "arm": pl.String(),
    "comparator": pl.String(),
    "drug": pl.String(),
    "channel": pl.String(),
    "device_class": pl.String(),
    "period": pl.String(),
    "by": pl.String(),
    "by_value": pl.String(),
    "soc": pl.String(),
    "term": pl.String(),
    "parameter": pl.String(),
    "dose_pair": pl.String(),
    "estimand": pl.String(),
    "statistic": pl.String(),
    "value": pl.Float64(),
    "lower": pl.Float64(),
    "upper": pl.Float64(),
    "level": pl.Float64(),
    "numerator": pl.Float64(),
    "denominator": pl.Float64(),
    "subjects": pl.Int64(),
    "doses": pl.Int64(),
    "not_assessable": pl.String(),
    "unit": pl.String(),
    "method": pl.String(),
    "data_cut": pl.Date(),
}

RESULT_COLUMNS = tuple(RESULT_TYPES)

RESULT_KEY = (
    "analysis",
    "population",
    "arm",
    "comparator",
    "drug",
    "channel",
    "device_class",
    "period",
    "by",
    "by_value",
    "soc",
    "term",
    "parameter",
    "dose_pair",
    "estimand",
    "statistic",
    "data_cut",
)


@dataclass
class ResultRows:
    """Collects rows of one analysis and population; ``shared`` holds the columns they have in common.

    Denominator 0 gives value NULL; a numerator and a denominator are filled wherever a figure has them.
    """

    shared: Mapping[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def within(self, **columns: Any) -> ResultRows:
        """The same collection with more columns in common."""
        return ResultRows({**self.shared, **columns}, self.rows)

    def add(self, parameter: str, statistic: str, value: float | None, **columns: Any) -> None:
        """One figure. Raises KeyError for a column the result table does not have."""
        row = {**self.shared, **columns, "parameter": parameter, "statistic": statistic}
        row["value"] = None if value is None else float(value)
        unknown = row.keys() - RESULT_TYPES.keys()
        if unknown:
            raise KeyError(f"not a column of the result table: {', '.join(sorted(unknown))}")
        self.rows.append(row)

    def share(
        self,
        parameter: str,
        numerator: float,
        denominator: float,
        *,
        statistic: str = "share",
        interval: Interval | None = None,
        **columns: Any,
    ) -> None:
        """Counted things out of all of them, as a fraction, with the limits of an interval."""
        self.add(
            parameter,
            statistic,
            numerator / denominator if denominator else None,
            lower=interval.lower if interval else None,
            upper=interval.upper if interval else None,
            level=interval.level if interval and denominator else None,
            numerator=numerator,
            denominator=denominator,
            unit="1",
            **columns,
        )

    def count(self, parameter: str, count: int, denominator: int, **columns: Any) -> None:
        """A count, with what it is out of."""
        self.add(parameter, "count", count, numerator=count, denominator=denominator, **columns)

    def interval(self, parameter: str, statistic: str, found: Interval, scale: float = 1.0, **columns: Any) -> None:
        """An estimate with its limits, both times ``scale``."""
        self.add(
            parameter,
            statistic,
            scaled(found.estimate, scale),
            lower=scaled(found.lower, scale),
            upper=scaled(found.upper, scale),
            level=found.level,
            **columns,
        )

    def difference(self, parameter: str, statistic: str, found: Comparison, scale: float = 1.0, **columns: Any) -> None:
        """A contrast of two arms; its method is headed as descriptive."""
        method = f"{columns.pop('method', found.method)}; {DESCRIPTIVE}"
        self.interval(parameter, statistic, found, scale, method=method, **columns)

    def not_assessable(self, parameter: str, sentence: str, **columns: Any) -> None:
        """A figure that cannot be given, with the sentence that says why."""
        self.add(parameter, columns.pop("statistic", "share"), None, not_assessable=sentence, **columns)

    def frame(self) -> pl.DataFrame:
        """The rows in the order they were added, with exactly the result table's columns."""
        data = {name: [row.get(name) for row in self.rows] for name in RESULT_COLUMNS}
        return pl.DataFrame(data, schema=RESULT_TYPES, strict=False)


def scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def result_rows(analysis: str, population: str, data_cut: dt.date | None) -> ResultRows:
    """An empty collection for one analysis in one population."""
    return ResultRows({"analysis": analysis, "population": population, "data_cut": data_cut})
