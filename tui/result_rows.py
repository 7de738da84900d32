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
    """The figures of one family: the statistics of a parameter stand under its first one, in their stored order.

    A drug, channel, period ... is named only where a parameter has figures for several of them.
    """
    seen: dict[tuple[str, str], set[Any]] = {}
    for row in rows:
        for column in _CONTEXT:
            seen.setdefault((row["parameter"], column), set()).add(row[column])
    blocks: dict[tuple[Any, ...], dict[tuple[str, str | None], Figure]] = {}
    for row in rows:
        block = blocks.setdefault(tuple(row[name] for name in _SAME_FIGURE), {})
        name = (row["statistic"], row["comparator"])
        figure = block.get(name)
        if figure is None:
            several = [column for column in _CONTEXT if len(seen[row["parameter"], column]) > 1]
            figure = block[name] = _new_figure(row, several, first=not block)
        figure.values[row["arm"] or POOLED] = row
        if row["not_assessable"]:
            figure.sentence = row["not_assessable"]
    return [figure for block in blocks.values() for figure in block.values()]


def _new_figure(row: Result, several: Sequence[str], *, first: bool) -> Figure:
    statistic = row["statistic"].replace("_", " ")
    if row["comparator"]:
        compared = "diff." if statistic.endswith("difference") else statistic
        return Figure(f"{compared} to {row['comparator']}", comparator=row["comparator"], level=1)
    if not first:
        return Figure(_with_unit(statistic, row), level=1)
    parts = [row["term"] or row["soc"] or row["parameter"].replace("_", " ")]
    if row["by"]:
        parts.append(f"{row['by']} {row['by_value']}".replace("_", " "))
    parts += [str(row[name]).replace("_", " ") for name in several if row[name]]
    if row["statistic"] not in ("percent", "share"):
        parts.append(statistic)
    return Figure(_with_unit(", ".join(parts), row), level=1 if row["term"] else 0)


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
    value = format_value(row["value"], row["unit"], sign=False)
    if row["lower"] is None and row["upper"] is None:
        return value
    low, high = (
        sign + "inf" if row[name] is None else format_value(row[name], row["unit"], sign=False)
        for name, sign in (("lower", "-"), ("upper", ""))
    )
    return f"{value} ({low},{high})" if short else f"{value} ({low} to {high})"


def cell_text(row: Result | None, width: int) -> str:
    """A value with its counts, or a comparison with its interval, as much of it as `width` cells hold."""
    if row is None:
        return ""
    if row["value"] is None:
        return "n.a." if row["not_assessable"] else "not est."
    value = format_value(row["value"], row["unit"], sign=not row["comparator"])
    forms = [value]
    counted = row["numerator"] is not None and row["denominator"] is not None
    if row["comparator"]:
        forms = [difference_text(row), difference_text(row, short=True), value]
    elif counted and row["statistic"] in ("share", "percent", "count", "rate"):
        counts = f"{row['numerator']:,.6g}/{row['denominator']:,.6g}"
        forms = [counts, value] if row["statistic"] == "count" else [f"{counts} {value}", value]
    return next((form for form in forms if len(form) <= width), forms[-1])


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
