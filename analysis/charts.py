"""Charts of the report as SVG text: the same numbers give the same bytes.

matplotlib draws them without a screen; the salt of its ids is fixed and no time of creation is written. Text stays
text, so that a reader can search it and a screen reader can read it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.survival import KaplanMeier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Told apart by colour-blind readers too (Okabe and Ito); lines also differ in their dashes."""
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")

CALENDAR = {"taken": "#0072B2", "late": "#E69F00", "missed": "#D55E00", "held": "#999999", "unmonitored": "#DDDDDD"}


@dataclass(frozen=True)
class Contrast:
    """One line of a forest plot: a difference with its interval."""

    label: str
    estimate: float
    lower: float
    upper: float


def forest_plot(contrasts: Sequence[Contrast], unit: str, favours: str = "") -> str:
    """Differences with their intervals, one line each, around a line at zero."""
    figure, axes = _figure(7.5, 1.0 + 0.3 * len(contrasts))
    for place, contrast in enumerate(reversed(contrasts)):
        axes.plot([contrast.lower, contrast.upper], [place, place], color="black", linewidth=1)
        axes.plot([contrast.estimate], [place], "s", color=COLOURS[0], markersize=5)
    axes.axvline(0, color="grey", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(contrasts)), [contrast.label for contrast in reversed(contrasts)])
    axes.set_xlabel(f"difference, {unit}{'; ' + favours if favours else ''}")
    return _svg(figure, "Forest plot of differences with their intervals")


def dot_plot(terms: Sequence[str], shares: Mapping[str, Sequence[float | None]]) -> str:
    """Percentage of subjects with each term, one mark an arm."""
    figure, axes = _figure(7.5, 1.2 + 0.28 * len(terms))
    for number, (arm, values) in enumerate(shares.items()):
        places = [place for place, value in zip(reversed(range(len(terms))), values, strict=True) if value is not None]
        shown = [100 * value for value in values if value is not None]
        axes.plot(
            shown, places, MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)], label=arm, markersize=6
        )
    axes.set_yticks(range(len(terms)), list(reversed(terms)))
    axes.set_xlabel("subjects with the event, %")
    axes.set_xlim(left=0)
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(loc="lower right", fontsize=8)
    return _svg(figure, "Dot plot of adverse events by arm")


def kaplan_meier_plot(curves: Mapping[str, KaplanMeier], unit: str, event: str) -> str:
    """Share without the event over time, with the numbers at risk below."""
    last = max((curve.times[-1] for curve in curves.values() if curve.times), default=1.0)
    ticks = [last * part / 5 for part in range(6)]
    figure, axes = _figure(7.5, 3.6 + 0.22 * len(curves))
    for number, (arm, curve) in enumerate(curves.items()):
        axes.step(
            [0.0, *curve.times], [1.0, *curve.survival], where="post", color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)], label=arm,
        )  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.set_xlabel(unit)
    axes.set_ylabel(f"share without {event}")
    axes.legend(loc="upper right", fontsize=8)
    for number, (arm, curve) in enumerate(curves.items()):
        y = -0.28 - 0.09 * number
        axes.text(-0.02 * last, y, arm, transform=axes.get_xaxis_transform(), ha="right", fontsize=8)
        for tick in ticks:
            axes.text(
                tick, y, f"{curve.at_risk_at(tick)}", transform=axes.get_xaxis_transform(), ha="center", fontsize=8
            )
    axes.text(-0.02 * last, -0.19, "at risk", transform=axes.get_xaxis_transform(), ha="right", fontsize=8)
    return _svg(figure, f"Kaplan-Meier curves of time to {event}")


def weekly_lines(weeks: Mapping[str, Sequence[tuple[int, float]]], label: str) -> str:
    """A share (0-1) by week of treatment, one line an arm."""
    figure, axes = _figure(7.5, 3.0)
    for number, (arm, points) in enumerate(weeks.items()):
        axes.plot(
            [week for week, _ in points], [100 * share for _, share in points], color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)], marker=MARKERS[number % len(MARKERS)], markersize=3, label=arm,
        )  # fmt: skip
    axes.set_xlabel("week of treatment")
    axes.set_ylabel(label)
    axes.set_ylim(0, 105)
    axes.legend(loc="lower left", fontsize=8)
    return _svg(figure, "Compliance by week")


def adherence_calendar(days: Mapping[str, Sequence[tuple[int, str]]]) -> str:
    """One row a subject, one cell a day of treatment, coloured by what became of its doses (the worst of the day)."""
    figure, axes = _figure(7.5, 1.0 + 0.16 * len(days))
    for row, cells in enumerate(reversed(list(days.values()))):
        for status, colour in CALENDAR.items():
            axes.broken_barh(
                _runs([day for day, found in cells if found == status]), (row + 0.1, 0.8), facecolors=colour
            )
    axes.set_yticks([row + 0.5 for row in range(len(days))], list(reversed(list(days))), fontsize=6)
    axes.set_ylim(0, len(days))
    axes.set_xlabel("day of treatment")
    for status, colour in CALENDAR.items():
        axes.broken_barh([], (0, 0), facecolors=colour, label=status)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.4 / (0.3 + 0.16 * len(days))), ncols=5, fontsize=7)
    return _svg(figure, "Adherence calendar")


def _runs(days: Sequence[int]) -> list[tuple[float, float]]:
    """Runs of days that follow each other, as (first day, length)."""
    runs: list[tuple[float, float]] = []
    for day in days:
        if runs and day == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((float(day), 1.0))
    return runs


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "dosetrail"
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    page = io.StringIO()
    figure.savefig(page, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None, "Title": title})
    text = page.getvalue()
    return text[text.index("<svg") :]
