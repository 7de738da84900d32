"""The stored results as screens print them: one figure a row, one arm a column, its difference on the row below.

Nothing is computed here: every number is a row of the table `result`, so the app, the command line, exports and SQL
show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tui.pages import Pages
from tui.sanitise import wrap
from tui.summary_inclusion import without_breakdowns

FAMILIES = (("accuracy", "Dose accuracy"), ("compliance", "Compliance"), ("adverse_events", "Adverse events"))
POOLED = "ALL"

_SAME_BLOCK = (
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

COUNTED = ("share", "percent", "incidence")
"""Statistics that are counted things out of all of them: their name says nothing a reader misses."""

NAMES = {"teae": "any emergent event", "eair": "EAIR", "eaer": "EAER"}
"""Parameters whose code says too little."""

Result = dict[str, Any]


@dataclass
class Figure:
    """One statistic of one parameter: a value for each arm, or for each arm compared with another."""

    label: str
    statistic: str
    values: dict[str, Result] = field(default_factory=dict)
    """Arm code to row of `result`."""
    comparator: str | None = None
    level: int = 0
    """Depth below the parameter: statistics and differences stand under it."""


@dataclass
class Block:
    """All statistics of one parameter in one context."""

    figures: list[Figure]
    on_terms: bool
    """About a system organ class or a term."""
    detail: bool
    """Listed only when it is searched for: an event by severity, a term by actual arm ..."""
    searched: str
    """Text the filter line looks in."""

    @property
    def listed(self) -> list[Figure]:
        """What the list shows of it: the first statistic, what is compared and the comparisons."""
        first, *more = self.figures
        if self.on_terms:
            return [first]
        return [first, *(figure for figure in more if figure.comparator or figure.statistic == "mean_of_subjects")]


@dataclass(frozen=True)
class Results:
    """The figures of each family, and the arms in the order of the protocol."""

    arms: tuple[str, ...]
    blocks: dict[str, list[Block]]
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
    rows = without_breakdowns(rows)
    blocks = {family: group_results([row for row in rows if row["analysis"] == family]) for family, _ in FAMILIES}
    cuts = {row["data_cut"] for row in rows if row["data_cut"]}
    return Results(tuple(arms), blocks, f"data cut {max(cuts)}" if cuts else "all data")


def group_results(rows: Sequence[Result]) -> list[Block]:
    """The blocks of one family in their stored order, those on single terms after the others.

    A drug, channel, period ... is named only where a parameter has figures for several of them.
    """
    seen: dict[tuple[str, str], set[Any]] = {}
    for row in rows:
        for column in _CONTEXT:
            seen.setdefault((row["parameter"], column), set()).add(row[column])
    grouped: dict[tuple[Any, ...], dict[tuple[str, str | None], Figure]] = {}
    for row in rows:
        figures = grouped.setdefault(tuple(row[name] for name in _SAME_BLOCK), {})
        name = (row["statistic"], row["comparator"])
        if name not in figures:
            several = [column for column in _CONTEXT if len(seen[row["parameter"], column]) > 1]
            figures[name] = _new_figure(row, several, first=not figures)
        figures[name].values[row["arm"] or POOLED] = row
    blocks = [_new_block(list(figures.values())) for figures in grouped.values()]
    return sorted(blocks, key=lambda block: block.on_terms)


def _new_block(figures: list[Figure]) -> Block:
    rows = [row for figure in figures for row in figure.values.values()]
    row = rows[0]
    on_terms = bool(row["soc"] or row["term"])
    names = ("parameter", "soc", "term", "estimand", "period", "not_assessable")
    said = {figure.label for figure in figures} | {str(row[name]) for row in rows for name in names if row[name]}
    return Block(
        figures,
        on_terms=on_terms,
        detail=on_terms and bool(row["by"] or row["estimand"] or row["parameter"] != "teae"),
        searched=" ".join(sorted(said)).replace("_", " ").lower(),
    )


def _new_figure(row: Result, several: Sequence[str], *, first: bool) -> Figure:
    statistic = row["statistic"].replace("_", " ")
    if row["comparator"]:
        compared = "diff." if statistic.endswith("difference") else statistic
        return Figure(f"{compared} to {row['comparator']}", row["statistic"], comparator=row["comparator"], level=1)
    if not first:
        return Figure(_with_unit(statistic, row), row["statistic"], level=1)
    parts = [row["term"] or row["soc"] or NAMES.get(row["parameter"], row["parameter"].replace("_", " "))]
    if row["by"]:
        parts.append(f"{row['by']} {row['by_value']}".replace("_", " "))
    parts += [str(row[name]).replace("_", " ") for name in several if row[name]]
    if row["statistic"] not in COUNTED:
        parts.append(statistic)
    if (row["method"] or "").startswith("device-reported"):
        parts.append("device-reported")
    return Figure(_with_unit(", ".join(parts), row), row["statistic"], level=1 if row["term"] else 0)


def _with_unit(label: str, row: Result) -> str:
    return label if row["unit"] in (None, "1", "%") else f"{label} ({row['unit']})"


def figure_lines(
    figure: Figure, arms: Sequence[str], label_width: int, widths: Sequence[int], room: int
) -> list[tuple[str, list[str]] | str]:
    """A figure as rows of a table: label and a cell for each arm, or a text over the whole width.

    Sentences, labels longer than their column, and differences whose interval does not fit into the columns are
    texts, broken at `room` cells.
    """
    indent = "  " * figure.level
    if figure.comparator and not _intervals_fit(figure, arms, widths):
        parts = [f"{arm} {difference_text(row)}" for arm in arms if (row := figure.values.get(arm))]
        return _texts(f"{figure.label}: {'; '.join(parts)}", indent, room)
    reasons: dict[str, list[str]] = {}
    for arm, row in figure.values.items():
        if row["value"] is None and row["not_assessable"]:
            reasons.setdefault(row["not_assessable"].removeprefix("not assessable:").strip(), []).append(arm)
    if reasons and all(row["value"] is None for row in figure.values.values()):
        lines: list[tuple[str, list[str]] | str] = []
        for reason, of in reasons.items():
            among = "" if len(of) == len(figure.values) or POOLED in of else f" in {', '.join(of)}"
            lines += _texts(f"{figure.label}{among}: not assessable: {reason}", indent, room)
        return lines
    cells = [cell_text(figure.values.get(arm), width) for arm, width in zip(arms, widths, strict=True)]
    label = indent + figure.label
    lines = [(label, cells)] if len(label) <= label_width else [*_texts(figure.label, indent, room), ("", cells)]
    for reason, of in reasons.items():
        lines += _texts(f"{', '.join(of)} not assessable: {reason}", indent + "  ", room)
    return lines


def _texts(text: str, indent: str, room: int) -> list[tuple[str, list[str]] | str]:
    return [f"{indent}{'  ' if part else ''}{line}" for part, line in enumerate(wrap(text, room - len(indent) - 2))]


def _intervals_fit(figure: Figure, arms: Sequence[str], widths: Sequence[int]) -> bool:
    cells = [(figure.values.get(arm), width) for arm, width in zip(arms, widths, strict=True)]
    return all(len(difference_text(row, short=True)) <= width for row, width in cells if row)


def difference_text(row: Result, *, short: bool = False) -> str:
    """A comparison with its interval; an open limit is inf."""
    if row["value"] is None:
        return "not est."
    value = result_text(row, "value", sign=False)
    if row["lower"] is None and row["upper"] is None:
        return value
    low, high = (
        sign + "inf" if row[name] is None else result_text(row, name, sign=False)
        for name, sign in (("lower", "-"), ("upper", ""))
    )
    return f"{value} ({low},{high})" if short else f"{value} ({low} to {high})"


def cell_text(row: Result | None, width: int) -> str:
    """A value with its counts, or a comparison with its interval, as much of it as `width` cells hold."""
    if row is None:
        return ""
    if row["value"] is None:
        return "n.a." if row["not_assessable"] else "not est."
    value = result_text(row, "value", sign=not row["comparator"])
    forms = [value]
    counted = row["numerator"] is not None and row["denominator"] is not None
    if row["comparator"]:
        forms = [difference_text(row), difference_text(row, short=True), value]
    elif counted and row["statistic"] in (*COUNTED, "count"):
        counts = f"{row['numerator']:,.6g}/{row['denominator']:,.6g}"
        forms = [counts, value] if row["statistic"] == "count" else [f"{counts} {value}", value]
    return next((form for form in forms if len(form) <= width), forms[-1])


def result_text(row: Result, name: str, *, sign: bool = True) -> str:
    """`value`, `lower` or `upper` of a row in print; p values and ratios are numbers, not per cents."""
    if row["statistic"] == "p_value" and row[name] is not None:
        return "<0.001" if row[name] < 0.001 else f"{row[name]:.3f}"
    unit = None if "ratio" in row["statistic"] else row["unit"]
    return format_value(row[name], unit, sign=sign)


def format_value(value: float | None, unit: str | None, *, sign: bool = True) -> str:
    """A value in print: shares (unit 1) and per cents with one decimal, counts whole, the rest with four digits."""
    if value is None:
        return "-"
    if unit == "1":
        value, unit = 100 * value, "%"
    if unit == "%" and round(value, 1) == 100:
        return f"100{'%' if sign else ''}"
    if unit == "%":
        return f"{value:.1f}{'%' if sign else ''}"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"
