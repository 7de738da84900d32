"""The stored results as screens print them: one figure a row, one arm a column, its difference on the row below.

Nothing is computed here: every number is a row of the table `result`, so the app, the command line, exports and SQL
show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tui.pages import Pages

FAMILIES = (("accuracy", "Dose accuracy"), ("compliance", "Compliance"), ("adverse_events", "Adverse events"))
POOLED = "ALL"

_SAME_FIGURE = (
    "population",
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
)
_CONTEXT = ("drug", "channel", "device_class", "dose_pair", "period", "estimand")

Result = dict[str, Any]


@dataclass
class Figure:
    """One statistic of one parameter: a value for each arm, or for each arm compared with another."""

    label: str
    values: dict[str, Result] = field(default_factory=dict)
    """Arm code to row of `result`."""
    comparator: str | None = None
    sentence: str = ""
    """Why the figure cannot be given, when it cannot."""
    level: int = 0
    """Depth below the parameter: statistics and differences stand under it."""

    @property
    def searched(self) -> str:
        """Text the filter line looks in."""
        rows = self.values.values()
        more = {str(row[name]) for row in rows for name in ("parameter", "soc", "term", "statistic") if row[name]}
        return " ".join([self.label, self.sentence, *sorted(more)]).lower()


@dataclass(frozen=True)
class Results:
    """The figures of each family, and the arms in the order of the protocol."""

    arms: tuple[str, ...]
    figures: dict[str, list[Figure]]
    cut: str
    """Up to which event date data count, in words."""


def read_results(pages: Pages) -> Results:
    """All results of the three families, in their stored order."""
    rows = pages.records(
        "SELECT * FROM result WHERE analysis IN ('accuracy', 'compliance', 'adverse_events') ORDER BY row_id",
    )
    known = [code for (code,) in pages.query("SELECT arm_code FROM arm ORDER BY arm_order")]
    seen = {row["arm"] or POOLED for row in rows}
    arms = [code for code in known if code in seen] + sorted(seen - set(known) - {POOLED})
    if POOLED in seen:
        arms.append(POOLED)
    figures: dict[str, list[Figure]] = {family: [] for family, _ in FAMILIES}
    for family, _ in FAMILIES:
        figures[family] = group_figures([row for row in rows if row["analysis"] == family])
    cuts = {row["data_cut"] for row in rows if row["data_cut"]}
    return Results(tuple(arms), figures, f"data cut {max(cuts)}" if cuts else "all data")


def group_figures(rows: Sequence[Result]) -> list[Figure]:
    blocks: dict[tuple[Any, ...], dict[tuple[str, str | None], Figure]] = {}
    for row in rows:
        block = blocks.setdefault(tuple(row[name] for name in _SAME_FIGURE), {})
        name = (row["statistic"], row["comparator"])
        figure = block.get(name)
        if figure is None:
            figure = block[name] = _new_figure(row, first=not block)
        figure.values[row["arm"] or POOLED] = row
        if row["not_assessable"]:
            figure.sentence = row["not_assessable"]
    return [figure for block in blocks.values() for figure in block.values()]


def _new_figure(row: Result, first: bool) -> Figure:
    statistic = row["statistic"].replace("_", " ")
    if row["comparator"]:
        compared = "difference" if statistic.endswith("difference") else statistic
        return Figure(f"{compared} to {row['comparator']}", comparator=row["comparator"], level=1)
    if not first:
        return Figure(statistic, level=1)
    parts = [row["term"] or row["soc"] or row["parameter"].replace("_", " ")]
    if row["by"]:
        parts.append(f"{row['by']} {row['by_value']}".replace("_", " "))
    parts += [str(row[name]).replace("_", " ") for name in _CONTEXT if row[name]]
    if row["statistic"] not in ("percent", "share"):
        parts.append(statistic)
    return Figure(", ".join(parts), level=1 if row["term"] else 0)


def cell_text(row: Result | None, width: int) -> str:
    """A value with its counts or its interval, as much of it as `width` cells hold."""
    if row is None:
        return ""
    if row["value"] is None:
        return "n.a." if row["not_assessable"] else "not est."
    value = format_value(row["value"], row["unit"], sign=not row["comparator"])
    forms = [value]
    if row["comparator"] and row["lower"] is not None and row["upper"] is not None:
        lower, upper = (format_value(row[name], row["unit"], sign=False) for name in ("lower", "upper"))
        forms = [f"{value} ({lower} to {upper})", f"{value} ({lower},{upper})", value]
    elif row["numerator"] is not None and row["denominator"] is not None and not row["comparator"]:
        forms = [f"{row['numerator']:,.6g}/{row['denominator']:,.6g} {value}", value]
    return next((form for form in forms if len(form) <= width), forms[-1])


def format_value(value: float | None, unit: str | None, *, sign: bool = True) -> str:
    """A value in print: shares as per cent with one decimal, counts whole, everything else with four digits."""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value:.1f}{'%' if sign else ''}"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"
