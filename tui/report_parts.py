"""The sections of the sponsor's report: tables and charts from the rows every other output reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tui.glyphs import GLYPHS
from tui.summary_inclusion import inclusion_sentences, without_breakdowns
from tui.summary_lines import DIFFERENCES, FAMILIES, POOLED, Cell, Result, Wanted, gather, share_and_events
from tui.summary_text import Printed, arms_of, contexts_of, figure_rows, not_assessable_sentences

if TYPE_CHECKING:
    from tui.reading import Reader

MOST_SUBJECTS = 40
"""Rows of the adherence calendar."""
MOST_TERMS = 15
"""Terms of the dot plot and the table of terms."""


@dataclass
class Table:
    """A table: header, rows of text (labels of what belongs to the row above begin with blanks), and the notes that
    stand under it.
    """

    title: str
    """Empty where the section's own title says it."""
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A heading with tables, charts (SVG text with a caption) and sentences."""

    title: str
    tables: list[Table] = field(default_factory=list)
    charts: list[tuple[str, str]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def read_sections(reader: Reader, rows: list[Result]) -> list[Section]:
    """Every section of the report, in its order."""
    known = [code for (code,) in reader.rows("SELECT arm_code FROM arm ORDER BY arm_order") if code is not None]
    sections = [_family(family, rows, known) for family in FAMILIES]
    by_name = dict(zip(FAMILIES, sections, strict=True))
    by_name["compliance"].charts += _weekly(reader)
    by_name["compliance"].charts += _calendar(reader)
    by_name["adverse_events"].tables += _terms(rows, known)
    by_name["adverse_events"].charts += _event_charts(reader, rows, known)
    by_name["accuracy"].sentences.append(_trumpet(reader))
    return [*sections, _differences(rows), _quality(reader)]


def _family(family: str, rows: list[Result], known: list[str]) -> Section:
    title, counted, wanted = FAMILIES[family]
    section = Section(title.capitalize())
    own = [row for row in rows if row["analysis"] == family]
    inclusion = inclusion_sentences(own, known)
    own = without_breakdowns(own)
    for context, group in contexts_of(family, own).items():
        arms = arms_of(family, group, known)
        figures = gather(group)
        printed = Printed(GLYPHS["cp437"], 80, arms, overview=False, all_terms=False)
        body, shown = [], []
        for line in wanted:
            cells = figures.get((line.parameter, line.by, line.by_value, None, None), {})
            found = figure_rows(line, cells, printed)
            body += [[str(label), *map(_cell, texts)] for label, *texts in found]
            shown += [line] if found else []
        if body:
            header = [counted, *("all" if arm == POOLED else arm for arm in arms)]
            section.tables.append(Table(_context(context), header, body, _methods(group, shown)))
        section.sentences += not_assessable_sentences(group, wanted, arms)
    section.sentences += inclusion
    if not section.tables and not section.sentences:
        section.sentences.append("No results of this kind in this release.")
    return section


def _cell(texts: object) -> str:
    return " ".join(texts) if isinstance(texts, list) else str(texts)


def _context(context: str) -> str:
    """`safety, D` as `Safety population, D`."""
    population, comma, rest = context.partition(",")
    return f"{population.capitalize()} population{comma}{rest}" if population else ""


def _methods(rows: list[Result], shown: list[Wanted]) -> list[str]:
    """How the lines are computed, from their own rows: each definition once, with the lines it is of."""
    said: dict[str, str] = {}
    for line in shown:
        own = (row for row in rows if _is_of(row, line) and line.write(Cell({row["statistic"]: row})))
        method = next((row["method"] for row in own if row["method"]), None)
        known = line.label.startswith(" ") and method is not None and _readable(method) in said.values()
        if method is not None and not known:
            said.setdefault(line.name, _readable(method))
    together: dict[str, list[str]] = {}
    for name, method in said.items():
        together.setdefault(method, []).append(name)
    return [f"{', '.join(names)}: {method}" for method, names in together.items()]


def _is_of(row: Result, line: Wanted) -> bool:
    named = (row["parameter"], row["by"], row["by_value"]) == (line.parameter, line.by, line.by_value)
    return named and all(row[name] is None for name in ("comparator", "period", "term", "soc", "estimand"))


def _readable(method: str) -> str:
    """A method without the counts of one arm and without names of the database."""
    return re.sub(r"\((\w+) \d+((?:, \w+ \d+)*)\)", lambda at: f"({_bases(at[0])})", method).replace("_", " ")


def _bases(counted: str) -> str:
    return ", ".join(re.findall(r"([a-z]\w*) \d+", counted))


def _terms(rows: list[Result], known: list[str]) -> list[Table]:
    incidence = _incidence(rows)
    if not incidence:
        return []
    arms = [arm for arm in known if any(arm in cells for cells in incidence.values())] or [POOLED]
    body = [
        [term, "uncoded" if soc == "UNCODED" else soc, *(_subjects(cells.get(arm)) for arm in arms)]
        for (soc, term), cells in list(incidence.items())[:MOST_TERMS]
    ]
    left = len(incidence) - len(body)
    notes = ["Subjects with at least one treatment-emergent event / subjects at risk, and events in brackets."]
    if left > 0:
        notes.append(f"{left} less frequent terms are left out; dosetrail summary adverse-events --all lists them.")
    return [Table("Most frequent terms", ["term", "system organ class", *arms], body, notes)]


def _incidence(rows: list[Result]) -> dict[tuple[str, str], dict[str, dict[str, Result]]]:
    """(class, term) -> arm -> statistic -> row, the most frequent first."""
    found: dict[tuple[str, str], dict[str, dict[str, Result]]] = {}
    for row in rows:
        plain = row["by"] is None and row["comparator"] is None and not row["estimand"] and row["period"] is None
        if row["analysis"] == "adverse_events" and row["parameter"] == "teae" and row["term"] and plain:
            cells = found.setdefault((row["soc"] or "", row["term"]), {})
            cells.setdefault(row["arm"] or POOLED, {}).setdefault(row["statistic"], row)

    def frequency(cells: dict[str, dict[str, Result]]) -> float:
        return sum(
            cell["incidence"]["numerator"] or 0 for arm, cell in cells.items() if arm != POOLED and "incidence" in cell
        )

    return dict(sorted(found.items(), key=lambda item: (-frequency(item[1]), item[0])))


def _subjects(cell: dict[str, Result] | None) -> str:
    return "" if cell is None else share_and_events(Cell(cell))


def _event_charts(reader: Reader, rows: list[Result], known: list[str]) -> list[tuple[str, str]]:
    from analysis.charts import dot_plot, kaplan_meier_plot
    from analysis.survival import kaplan_meier

    charts = []
    incidence = dict(list(_incidence(rows).items())[:MOST_TERMS])
    arms = [arm for arm in known if any(arm in cells for cells in incidence.values())]
    if incidence and arms:
        shares = {arm: [_value(cells.get(arm, {}).get("incidence")) for cells in incidence.values()] for arm in arms}
        terms = [term for _, term in incidence]
        charts.append(("Subjects with each of the most frequent terms.", dot_plot(terms, shares)))
    times: dict[str, tuple[list[float], list[bool]]] = {}
    for arm, days, censored in reader.rows(
        "SELECT coalesce(TRTP, 'all'), AVAL, CNSR FROM release.adtte WHERE PARAMCD = 'TTAE' AND AVAL IS NOT NULL "
        "ORDER BY 1, 2, 3"
    ):
        own = times.setdefault(arm, ([], []))
        own[0].append(float(days))
        own[1].append(not censored)
    if times:
        curves = {arm: kaplan_meier(*own) for arm, own in times.items()}
        charts.append(
            (
                "Time to the first treatment-emergent adverse event, Kaplan-Meier; subjects at risk below.",
                kaplan_meier_plot(curves, "days of treatment", "event"),
            )
        )
    return charts


def _value(row: Result | None) -> float | None:
    return None if row is None else row["value"]


def _weekly(reader: Reader) -> list[tuple[str, str]]:
    from analysis.charts import weekly_lines

    weeks: dict[str, list[tuple[int, float]]] = {}
    for arm, week, share in reader.rows(
        """
        WITH first AS (
            SELECT subject_id, min(dose_date) AS day FROM dose_match WHERE status IN ('taken', 'late')
            GROUP BY subject_id)
        SELECT coalesce(s.arm_code, 'all'), CAST(floor((m.dose_date - f.day) / 7) AS INTEGER) + 1 AS week,
            CAST(count(*) FILTER (m.status IN ('taken', 'late')) AS DOUBLE) / count(*)
        FROM dose_match m JOIN first f USING (subject_id) JOIN subject s USING (subject_id)
        WHERE m.status IN ('taken', 'late', 'missed') AND m.dose_date >= f.day
        GROUP BY 1, 2 ORDER BY 1, 2
        """
    ):
        weeks.setdefault(arm, []).append((week, share))
    if not weeks:
        return []
    return [
        ("Doses taken of those expected and monitored, by week from the first dose.", weekly_lines(weeks, "% taken"))
    ]


def _calendar(reader: Reader) -> list[tuple[str, str]]:
    from analysis.charts import adherence_calendar

    days: dict[str, list[tuple[int, str]]] = {}
    for subject, day, status in reader.rows(
        """
        SELECT m.subject_id, m.dose_date - f.day, CAST(max(m.status) AS VARCHAR) FROM dose_match m
        JOIN (SELECT subject_id, min(dose_date) AS day FROM dose_match GROUP BY subject_id ORDER BY 1
              LIMIT ?) f USING (subject_id)
        WHERE m.status <> 'extra' GROUP BY 1, 2 ORDER BY 1, 2
        """,
        [MOST_SUBJECTS],
    ):
        days.setdefault(subject, []).append((day, status))
    if not days:
        return []
    total = reader.rows("SELECT count(DISTINCT subject_id) FROM dose_match")[0][0]
    more = f" The first {len(days)} of {total} subjects." if total > len(days) else ""
    return [(f"What became of the planned doses of each day.{more}", adherence_calendar(days))]


def _trumpet(reader: Reader) -> str:
    weighed = reader.rows("SELECT count(*) FROM reference_measurement WHERE measurement = 'weight'")[0][0]
    if weighed:
        return f"{weighed} weighings are stored; analysis.trumpet makes the trumpet curve of a series."
    return "Trumpet curve: not assessable: it needs a weighed series; a device's log cannot give it."


def _differences(rows: list[Result]) -> Section:
    from analysis.charts import Contrast, forest_plot

    section = Section("Differences between arms")
    shown: list[Contrast] = []
    for row in rows:
        whole = all(row[name] is None for name in ("by", "period", "term", "soc")) and not row["estimand"]
        if row["statistic"] in DIFFERENCES and whole and row["unit"] == "1" and row["lower"] is not None:
            name = "any adverse event" if row["parameter"] == "teae" else row["parameter"].replace("_", " ")
            what = " ".join(filter(None, (name, row["drug"], row["channel"])))
            label = f"{what}: {row['arm']} - {row['comparator']}"
            shown.append(Contrast(label, 100 * row["value"], 100 * row["lower"], 100 * row["upper"]))
    if shown:
        section.charts.append(
            ("Differences of shares with their intervals; descriptive, not adjusted.", forest_plot(shown, "points"))
        )
    else:
        section.sentences.append("No difference between arms is estimable, or the release shows none.")
    return section


def _quality(reader: Reader) -> Section:
    section = Section("Data quality")
    files = reader.rows(
        "SELECT format, count(*), sum(rows_read), sum(rows_new), sum(rows_duplicate), sum(rows_superseded), "
        "sum(rows_quarantined) FROM source_file GROUP BY format ORDER BY format"
    )
    header = ["format", "files", "read", "new", "duplicate", "superseded", "quarantined"]
    section.tables.append(
        Table(
            "Files and their rows", header, [[_text(cell) for cell in row] for row in files],
            ["read = new + duplicate + superseded + quarantined, for every file"],
        )
    )  # fmt: skip
    for title, sql, head in (
        (
            "Rows in quarantine",
            "SELECT replace(CAST(reason AS VARCHAR), '_', ' '), count(*) FROM quarantine GROUP BY 1 ORDER BY 2 DESC, 1",
            ["reason", "rows"],
        ),
        (
            "Queries",
            "SELECT coalesce(check_id, 'raised by a person'), CAST(state AS VARCHAR), count(*) FROM query "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            ["check", "state", "queries"],
        ),
        (
            "Daily totals of devices that differ from the sum of their events",
            "SELECT device_id, count(*), max(abs(difference)) FROM release.control_total_check "
            "WHERE difference <> 0 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
            ["device", "days", "largest difference"],
        ),
    ):
        found = reader.rows(sql)
        if found:
            section.tables.append(Table(title, head, [[_text(cell) for cell in row] for row in found]))
    return section


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
