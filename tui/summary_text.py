"""The summary in print: a table per family, one column per arm, what cannot be said below it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.glyphs import Glyphs
from tui.output import glyphs_for, page_width, paragraph, write_lines
from tui.summary_inclusion import contrast_sentences, estimand_sentences, inclusion_sentences, without_breakdowns
from tui.summary_lines import (
    BREAKDOWN,
    FAMILIES,
    ON_REQUEST,
    POOLED,
    Cell,
    Key,
    Result,
    Wanted,
    gather,
    plain,
    points,
    share,
    share_and_events,
)
from tui.tables import Column, cell_lines, table_lines

if TYPE_CHECKING:
    from tui.reading import Reader

LABEL = 23
"""Cells a label takes at least beside the columns of the arms."""
ARM = 18
"""Cells an arm's figure may take on one line with its interval."""
TERMS = {True: 5, False: 10}
"""Terms shown in an overview and where adverse events were asked for."""


@dataclass(frozen=True)
class Printed:
    """How much is printed, and on what."""

    glyphs: Glyphs
    width: int
    arms: list[str]
    overview: bool
    all_terms: bool


Body = list[list[object]]


def print_summary(
    reader: Reader, rows: list[Result], *, overview: bool, all_terms: bool, by: str | None = None
) -> None:
    """Print rows of the table `result`; `overview` keeps each family to its main figures, `by` is the one breakdown
    the rows belong to.
    """
    glyphs, width = glyphs_for(sys.stdout), page_width()
    facts = reader.facts
    known = [code for (code,) in reader.rows("SELECT arm_code FROM arm ORDER BY arm_order") if code is not None]
    lines = paragraph(" ".join(filter(None, (facts.study, facts.title))), glyphs, width)
    for family, (title, counted, wanted) in FAMILIES.items():
        found = [row for row in rows if row["analysis"] == family]
        if by is not None:
            lines += _breakdown(title, found, Printed(glyphs, width, known, False, all_terms))
            continue
        inclusion = inclusion_sentences(found, known)
        found = without_breakdowns(found)
        others = _other_populations(family, found) if overview else []
        first = {row["parameter"] for row in found if row["population"] not in others}
        # Measures of one device class are computed in the safety population alone.
        found = [row for row in found if row["population"] not in others or row["parameter"] not in first]
        for context, group in contexts_of(family, found).items():
            printed = Printed(glyphs, width, arms_of(family, group, known), overview, all_terms)
            heading = f"{title}{_basis(group)}  {glyphs.text(context)}".rstrip()
            lines += ["", glyphs.cut_to(heading, width - 1), *_family_lines(group, counted, wanted, printed)]
        for sentence in inclusion if not overview else []:
            lines += paragraph(sentence, glyphs, width)
        if others:
            option = f"dosetrail summary {family.replace('_', '-')} --population"
            lines += paragraph(f"Also for {', '.join(others)}: {option} NAME", glyphs, width)
    if not rows:
        lines += ["", "No results of this kind in this release."]
    lines += ["", *paragraph(_footer(reader, rows), glyphs, width), f"Ledger head {facts.ledger_head}"]
    write_lines(lines)


def _breakdown(title: str, rows: list[Result], printed: Printed) -> list[str]:
    """Each value of one breakdown with its figures by arm; the first population that has them."""
    rows = [row for row in rows if row["population"] == rows[0]["population"]]
    lines: list[str] = []
    for context, group in contexts_of("", rows).items():
        arms = arms_of("", group, printed.arms)
        own = Printed(printed.glyphs, printed.width, arms, False, printed.all_terms)
        figures = gather(group)
        body: Body = []
        for by, value in dict.fromkeys((row["by"], row["by_value"]) for row in group):
            found = [
                row
                for wanted in BREAKDOWN
                for row in figure_rows(
                    Wanted(f"  {wanted.label}", wanted.parameter, wanted.write, compared=wanted.compared),
                    figures.get((wanted.parameter, by, value, None, None), {}),
                    own,
                )
            ]
            named = {wanted.parameter for wanted in BREAKDOWN}
            for key, cells in figures.items():
                if key[1:3] == (by, value) and key[0] not in named and key[0] != "teae":
                    label = "  " + " ".join(filter(None, (_named(key[0], cells), key[4])))
                    found += figure_rows(Wanted(label, key[0], _any_value), cells, own)
            any_event = figures.get(("teae", by, value, None, None), {})
            found += figure_rows(Wanted("  any event", "teae", share_and_events), any_event, own)
            body += [[f"{by.replace('_', ' ')} {value}"], *found] if found else []
        if body:
            heading = f"{title}{_basis(group)}  {printed.glyphs.text(context)}".rstrip()
            lines += ["", printed.glyphs.cut_to(heading, printed.width - 1), *_tables(body, "", own)]
    return lines


def _basis(rows: list[Result]) -> str:
    """Figures that rest on the device's own log say so in the heading."""
    shares = [row for row in rows if row["parameter"].endswith("_conformity") and row["statistic"] == "share"]
    methods = [row["method"] for row in shares if row["value"] is not None]
    reported = bool(methods) and all((method or "").startswith("device-reported") for method in methods)
    return " (device-reported)" if reported else ""


def _other_populations(family: str, rows: list[Result]) -> list[str]:
    """Populations beside the first one that has figures; enrolment is one table over all of them."""
    if family == "enrolment":
        return []
    with_values = list(dict.fromkeys(row["population"] for row in rows if row["value"] is not None))
    return with_values[1:]


def contexts_of(family: str, rows: list[Result]) -> dict[str, list[Result]]:
    """Heading -> rows of one population, drug, channel and device class; enrolment is one table over
    populations.
    """
    if family == "enrolment":
        return {"": rows} if rows else {}
    groups: dict[str, list[Result]] = {}
    for row in rows:
        parts = [row["population"].replace("_", " "), row["drug"], row["channel"]]
        parts.append((row["device_class"] or "").replace("_", " "))
        groups.setdefault(", ".join(filter(None, parts)), []).append(row)
    with_values = [name for name, group in groups.items() if any(row["value"] is not None for row in group)]
    if with_values:
        # What cannot be said stands below what can, not in a table of its own.
        for name in [name for name in groups if name not in with_values]:
            groups[with_values[-1]].extend(groups.pop(name))
    return groups


def arms_of(family: str, rows: Iterable[Result], known: list[str]) -> list[str]:
    """Columns: the arms; all of them together where there are no arms, and beside them for enrolment."""
    seen = {row["arm"] or POOLED for row in rows}
    arms = [code for code in known if code in seen] + sorted(seen - set(known) - {POOLED})
    return [*arms, POOLED] if POOLED in seen and (family == "enrolment" or not arms) else arms


def _family_lines(rows: list[Result], counted: str, wanted: tuple[Wanted, ...], printed: Printed) -> list[str]:
    figures = gather(rows)
    body: Body = []
    for line in wanted:
        if printed.overview and not line.overview:
            continue
        cells = figures.get((line.parameter, line.by, line.by_value, None, None), {})
        whole = figure_rows(line, cells, printed)
        parts: Body = []
        if line.compared:
            for key, by_period in figures.items():
                if key[0] == line.parameter and key[1] is None and key[3] is not None:
                    parts += figure_rows(Wanted(f"  {key[3]}", line.parameter, line.write), by_period, printed)
        # A curve has no figure for the whole, only for its days.
        body += [*(whole or ([[line.label]] if parts else [])), *parts]
    if not printed.overview:
        body += _others(figures, wanted, printed)
    if any(key[0] == "events_per_1000_doses" for key in figures):
        body += _per_1000(figures, printed)
    terms, left_out = _terms(rows, figures, printed)
    lines = _tables([*body, *terms], counted, printed)
    contrasts = [] if printed.overview else [*contrast_sentences(rows), *estimand_sentences(rows)]
    for sentence in (
        *contrasts,
        *_confirmatory(rows),
        *_uneven(rows),
        *not_assessable_sentences(rows, wanted, printed.arms),
    ):
        lines += paragraph(sentence, printed.glyphs, printed.width)
    if left_out:
        lines += paragraph(
            f"{left_out} less frequent terms: dosetrail summary adverse-events --all", printed.glyphs, 10**6
        )
    return lines


def figure_rows(line: Wanted, cells: dict[str, Cell], printed: Printed) -> Body:
    """The rows of one figure: values, and where it is compared its interval and differences."""
    found = {arm: cells.get(arm, Cell()) for arm in printed.arms}
    values = {arm: line.write(cell) or _missing(cell) for arm, cell in found.items()}
    if not any(value and value != "n.a." for value in values.values()):
        return []
    body: Body = [[line.label, *values.values()]]
    if not line.compared:
        return body
    is_rate = any("rate" in cell.rows for cell in found.values())
    write = plain if is_rate else points
    intervals = {arm: _joined(_interval(cell, write)) for arm, cell in found.items()}
    if any(intervals.values()):
        of_subjects = any(_of_subjects(cell) for cell in found.values())
        body.append(["  mean of subjects" if of_subjects else "  interval", *intervals.values()])
    for comparator in dict.fromkeys(name for cell in found.values() for name in cell.differences):
        texts = [_joined(_with_limits(cell.differences.get(comparator), write)) for cell in found.values()]
        body.append([f"  diff. to {comparator}", *texts])
    return body


def _missing(cell: Cell) -> str:
    return "n.a." if any(row["not_assessable"] for row in cell.rows.values()) else ""


def _of_subjects(cell: Cell) -> bool:
    main = cell.main
    return "mean_of_subjects" in cell.rows and (main is None or main["lower"] is None)


def _interval(cell: Cell, write: Callable[[float | None], str]) -> list[str]:
    if _of_subjects(cell):
        return _with_limits(cell.rows["mean_of_subjects"], write)
    return _with_limits(cell.main, write)[1:]


def _joined(texts: list[str]) -> list[str]:
    """Two lines as one where a column has room for it."""
    together = " ".join(texts)
    return [together] if len(together) < ARM else texts


def _with_limits(row: Result | None, write: Callable[[float | None], str]) -> list[str]:
    """The value and its interval, on two lines."""
    if row is None or row["value"] is None:
        return []
    if row["lower"] is None and row["upper"] is None:
        return [write(row["value"])]
    return [write(row["value"]), f"({write(row['lower'])} to {write(row['upper'])})"]


def _others(figures: dict[Key, dict[str, Cell]], wanted: tuple[Wanted, ...], printed: Printed) -> Body:
    """Figures no line names: breakdowns of parameters that are not events, and parameters added later."""
    named = {(line.parameter, line.by, line.by_value) for line in wanted}
    own = {line.parameter for line in wanted if line.by is None}
    body: Body = []
    for (parameter, by, by_value, period, term), cells in figures.items():
        if term is not None or period is not None or (parameter, by, by_value) in named or parameter == "teae":
            continue
        if (by is None and parameter in own) or by in ON_REQUEST:
            continue
        label = f"{by}: {by_value}" if by else _named(parameter, cells)
        body += figure_rows(Wanted(label, parameter, _any_value), cells, printed)
    return body


def _named(parameter: str, cells: dict[str, Cell]) -> str:
    """A parameter in words; what is no count says which statistic it is, and its unit."""
    cell = next(iter(cells.values()))
    words = parameter.replace("_", " ")
    if cell.main is not None or not cell.rows:
        return words
    row = next(iter(cell.rows.values()))
    return f"{words}, {row['statistic'].replace('_', ' ')} {row['unit'] or ''}".strip()


def _any_value(cell: Cell) -> str:
    row = cell.main
    if row is not None and row["denominator"] is not None and row["unit"] == "1":
        return share(cell)
    row = row or next(iter(cell.rows.values()), None)
    return "" if row is None or row["value"] is None else plain(row["value"])


def _per_1000(figures: dict[Key, dict[str, Cell]], printed: Printed) -> Body:
    body: Body = []
    for key, cells in figures.items():
        if key[0] == "events_per_1000_doses":
            line = Wanted(f"{key[4]} per 1,000 doses", key[0], lambda cell: plain(cell.value("rate")), compared=True)
            body += figure_rows(line, cells, printed)
    return body


def _terms(rows: list[Result], figures: dict[Key, dict[str, Cell]], printed: Printed) -> tuple[Body, int]:
    """Terms by frequency (subjects over the arms, as counted), and how many are left out.

    With all terms, each stands under its class, classes by frequency too, with intervals and differences.
    """
    classes: dict[str, str] = {}
    for row in rows:
        if row["parameter"] == "teae" and row["term"]:
            classes.setdefault(row["term"], row["soc"] or "")
    plain_figures = {
        key[4]: cells for key, cells in figures.items() if key[0] == "teae" and key[1] is None and key[4] is not None
    }
    terms = sorted(
        (name for name in plain_figures if name in classes), key=lambda name: (-_frequency(plain_figures[name]), name)
    )
    if not terms:
        return [], 0
    if printed.all_terms:
        order = sorted(set(classes.values()), key=lambda soc: (-_frequency(plain_figures.get(soc, {})), soc))
        body: Body = [[""]]
        for soc in order:
            body += figure_rows(
                Wanted(soc, "teae", share_and_events, compared=True), plain_figures.get(soc, {}), printed
            )
            for name in terms:
                if classes[name] == soc:
                    line = Wanted(f"  {name}", "teae", share_and_events, compared=True)
                    body += figure_rows(line, plain_figures[name], printed)
        return body, 0
    shown = terms[: TERMS[printed.overview]]
    body = [[""], ["most frequent:"]]
    for name in shown:
        body += figure_rows(Wanted(f"  {name}", "teae", share_and_events), plain_figures[name], printed)
    return body, len(terms) - len(shown)


def _frequency(cells: dict[str, Cell]) -> float:
    arms = [arm for arm in cells if arm != POOLED] or list(cells)
    found = (cells[arm].main for arm in arms)
    return sum(row["numerator"] or 0 for row in found if row is not None)


def _tables(body: Sequence[list[object]], counted: str, printed: Printed) -> list[str]:
    lines: list[str] = []
    for first, after in _blocks(body, printed):
        arms = printed.arms[first:after]
        columns = [Column(counted, gives_way=True), *(Column("all" if arm == POOLED else arm, ">") for arm in arms)]
        part = [[row[0], *row[1 + first : 1 + after]] for row in body]
        lines += table_lines(columns, part, printed.glyphs, printed.width)
    return lines


def _blocks(body: Sequence[list[object]], printed: Printed) -> list[tuple[int, int]]:
    """Runs of arms whose columns fit beside their label; what does not fit stands in a table of its own below."""
    if not body:
        return []
    blocks: list[tuple[int, int]] = []
    first, taken = 0, LABEL
    for place, arm in enumerate(printed.arms):
        texts = [arm, *(line for row in body for line in cell_lines(_cell(row, place), printed.glyphs))]
        wide = 2 + max(len(text) for text in texts)
        if place > first and taken + wide > printed.width:
            blocks.append((first, place))
            first, taken = place, LABEL
        taken += wide
    return [*blocks, (first, len(printed.arms))]


def _cell(row: Sequence[object], place: int) -> object:
    """An arm's cell of a row; headings inside a table have none."""
    return row[1 + place] if len(row) > 1 + place else None


def _confirmatory(rows: list[Result]) -> list[str]:
    """p values are printed for comparisons the protocol lists, and for no other."""
    return [
        f"{row['parameter'].replace('_', ' ')}, {row['arm']} against {row['comparator']}: "
        f"p = {row['value']:.4f} ({row['method']})"
        for row in rows
        if row["estimand"] == "confirmatory" and row["statistic"] == "p_value" and row["value"] is not None
    ]


def _uneven(rows: list[Result]) -> list[str]:
    """Arms in which so different a share of the doses can be assessed that the comparison may be wrong by
    itself.
    """
    return [f"! {row['method']}" for row in rows if row["parameter"] == "assessable" and row["statistic"] == "range"]


MISSING_LINES = "not assessable: protocol.toml does not state "


def not_assessable_sentences(rows: list[Result], wanted: tuple[Wanted, ...], arms: list[str]) -> list[str]:
    """Each sentence once, with the figures and arms it speaks for; missing lines of protocol.toml in one
    sentence.
    """
    words = {line.parameter: line.name for line in reversed(wanted) if line.by is None}
    spoken_for: dict[str, dict[str, set[str]]] = {}
    missing: dict[str, dict[str, None]] = {}
    for row in rows:
        said = row["not_assessable"]
        if not said or row["value"] is not None:
            continue
        label = words.get(row["parameter"], row["parameter"].replace("_", " "))
        if said.startswith(MISSING_LINES):
            missing.setdefault(label, {}).update(dict.fromkeys(said.removeprefix(MISSING_LINES).split("; ")))
        else:
            spoken_for.setdefault(said, {}).setdefault(label, set()).add(row["arm"] or POOLED)
    by_lines: dict[str, list[str]] = {}
    for label, lines in missing.items():
        by_lines.setdefault("; ".join(lines), []).append(label)
    sentences = [f"{', '.join(labels)}: {MISSING_LINES}{lines}" for lines, labels in by_lines.items()]
    for said, labels in spoken_for.items():
        named = [_with_arms(label, of_arms, arms) for label, of_arms in labels.items()]
        sentences.append(f"{', '.join(named)}: {said}")
    return sentences


def _with_arms(label: str, of_arms: set[str], arms: list[str]) -> str:
    """The label, with its arms where it does not hold for all of them."""
    shown = [arm for arm in arms if arm != POOLED]
    some = [arm for arm in shown if arm in of_arms]
    return label if len(some) in (0, len(shown)) else f"{label} ({', '.join(some)})"


def _footer(reader: Reader, rows: list[Result]) -> str:
    facts = reader.facts
    cut = f"{'data cut ' if facts.data_cut else ''}{facts.data_cut_words}"
    levels = sorted({row["level"] for row in rows if row["level"] is not None and row["lower"] is not None})
    intervals = f" Intervals: {', '.join(f'{100 * level:g} %' for level in levels)}." if levels else ""
    compared = any(row["comparator"] for row in rows)
    descriptive = " Differences (of shares: in points) are descriptive, not adjusted." if compared else ""
    state = "" if facts.blinding == "open" else f", {facts.blinding}"
    pooled = " Figures are pooled over all arms." if facts.blinded else ""
    return f"Release {facts.release}{state}, {cut}.{intervals}{descriptive}{pooled}"
