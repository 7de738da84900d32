"""One patient on one page: who, how long, which doses, what happened, with which device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.checks import QUESTION_SQL
from store.tables_subject import START_UNKNOWN
from tui.adherence_chart import chart_lines
from tui.cells import describe
from tui.glyphs import Glyphs
from tui.pages import Pages
from tui.sanitise import cell_width, wrap
from tui.widgets.text_pane import TextLine

LABEL, TEXT = 15, 64
"""Cells of the label at the start of a line, and of the text after it."""

MATCH_STATES = ("taken", "late", "missed", "extra", "held", "unmonitored")
EVENTS_LISTED = 5


@dataclass(frozen=True)
class Patient:
    """A patient as the screen shows it; all texts are `printable`."""

    subject: str
    title: str
    lines: tuple[TextLine, ...]
    has_doses: bool
    """False: the data state constant-dosing intervals only, or nothing."""
    counts: tuple[int, int, int, int]
    """Rows of the tabs doses, adverse events, device, queries."""


def read_patient(
    pages: Pages, glyphs: Glyphs, subject: str, status: str, compliance: float | None, width: int = 80
) -> Patient:
    """Read one patient; `status` and `compliance` are those of the list, so that both screens say the same.

    `width` is the number of cells the charts may take.
    """
    who = pages.records(
        "SELECT s.*, arm.arm AS arm_name, coalesce(f.file_name, s.source_id) AS file FROM subject s "
        "LEFT JOIN arm ON arm.arm_code = s.arm_code LEFT JOIN source_file f ON f.source_id = s.source_id "
        "WHERE s.subject_id = ?",
        [subject],
    )[0]
    writer = _Writer(glyphs)
    states = dict(
        pages.query("SELECT status::VARCHAR, count(*) FROM dose_match WHERE subject_id = ? GROUP BY 1", [subject])
    )
    _write_doses(writer, pages, subject, states, compliance)
    _write_chart(writer, pages, subject, width)
    asked = _write_queries(writer, pages, subject)
    _write_person(writer, pages, who)
    events = _write_events(writer, pages, subject)
    devices = _write_devices(writer, pages, subject)
    _write_ends(writer, pages, subject)
    writer.write("Source", f"{who['file']} line {who['line']}")
    has_doses, doses = _count_doses(pages, subject)
    arm = f"  {who['arm_code']}" if who["arm_code"] else ""
    title = glyphs.text(f"{subject}{arm}  {status}")
    return Patient(subject, title, tuple(writer.lines), has_doses, (doses, events, devices, asked))


def _count_doses(pages: Pages, subject: str) -> tuple[bool, int]:
    """Whether there are doses, planned or given, and how many; else the number of constant-dosing intervals."""
    doses, intervals = pages.query(
        "SELECT (SELECT count(*) FROM dose_match WHERE subject_id = $s) "
        "+ (SELECT count(*) FROM dose_event d WHERE subject_id = $s AND NOT EXISTS (SELECT 1 FROM dose_match m "
        "WHERE m.subject_id = $s AND m.source_id = d.source_id AND m.line = d.line AND m.part = d.part)), "
        "(SELECT count(*) FROM exposure WHERE subject_id = $s)",
        {"s": subject},
    )[0]
    return doses > 0, int(doses or intervals)


class _Writer:
    """Gathers labelled lines."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.lines: list[TextLine] = []

    def write(self, label: str, *parts: str, heading: bool = False) -> None:
        """A line of a label and its parts; a line without any part is left out."""
        text = self.glyphs.text("   ".join(part for part in parts if part))
        if text:
            # Parts keep their distance where the line holds them; a longer text is broken at its words.
            fits = cell_width(text) <= TEXT
            first, *rest = [text] if fits else wrap(text, TEXT)
            self.lines.append(TextLine(f" {self.glyphs.cell(label, LABEL)}{first}", heading))
            self.lines.extend(TextLine(f" {'':{LABEL}}{more}", heading) for more in rest)

    def gap(self) -> None:
        """An empty line."""
        self.lines.append(TextLine())


def _write_person(writer: _Writer, pages: Pages, who: dict[str, Any]) -> None:
    consents = pages.query(
        "SELECT version, signed_date, withdrawn_date, effect FROM consent WHERE subject_id = $s "
        "UNION ALL SELECT 'all versions', NULL, withdrawn_date, effect FROM consent_withdrawal "
        "WHERE subject_id = $s AND withdrawn_date IS NOT NULL ORDER BY 2 NULLS LAST, 3, 1",
        {"s": who["subject_id"]},
    )
    unblindings = pages.query(
        "SELECT unblinded_utc, unblinded_by FROM unblinding WHERE subject_id = ? ORDER BY 1", [who["subject_id"]]
    )
    sex = {"F": "female", "M": "male"}.get(who["sex"] or "", who["sex"] or "")
    age = f"{who['age']} {(who['age_unit'] or 'years').lower()}" if who["age"] is not None else ""
    writer.write(
        "Patient",
        f"site {who['site_id']}" if who["site_id"] else "",
        ", ".join(part for part in (sex, age) if part),
        (who["race"] or "").lower(),
    )
    if who["arm_code"]:
        given = who["actual_arm_code"]
        changed = f"actual arm {given}" if given and given != who["arm_code"] else ""
        writer.write("Arm", " ".join(filter(None, (who["arm_code"], who["arm_name"]))), changed)
    else:
        writer.write("Arm", who["not_randomised_reason"] or "")
    writer.write("Consent", describe(who["consent_date"]), _dated("enrolled", who["enrolled_date"]))
    for version, signed, withdrawn, effect in consents:
        ended = f"withdrawn {withdrawn} ({(effect or 'stop').replace('_', ' ')})" if withdrawn else ""
        writer.write("  form", version or "no version", _dated("signed", signed), ended)
    for at, user in unblindings:
        writer.write("Unblinded", f"{at:%Y-%m-%d %H:%M} UTC", f"by {user}")
    first, last = who["first_treatment"], who["last_treatment"]
    if first:
        days = f"{(last - first).days + 1} days" if last else "no end recorded"
        writer.write("Treatment", f"{first} to {describe(last) or 'now'}", days)
    writer.write("Followed to", describe(who["participation_end"]))
    writer.write("Died", describe(who["death_date"]) or ("date not recorded" if who["died"] else ""))
    writer.gap()


def _write_doses(writer: _Writer, pages: Pages, subject: str, states: dict[str, int], compliance: float | None) -> None:
    if states:
        counts = [f"{state} {states[state]:,}" for state in MATCH_STATES if states.get(state)]
        writer.write("Doses", "  ".join(counts), heading=True)
        expected = sum(states.get(state, 0) for state in ("taken", "late", "missed"))
        if compliance is not None:
            writer.write(
                "Compliance",
                f"{compliance:.1f} % of {expected:,} expected",
                writer.glyphs.gauge(compliance, 10),
            )
    else:
        intervals, recorded = pages.query(
            "SELECT (SELECT count(*) FROM exposure WHERE subject_id = $s), "
            "(SELECT count(*) FROM dose_event WHERE subject_id = $s)",
            {"s": subject},
        )[0]
        if recorded:
            writer.write("Doses", f"{recorded:,} recorded, none planned", heading=True)
            writer.write("Compliance", "not assessable: no planned doses")
        elif intervals:
            writer.write("Doses", f"{intervals:,} constant-dosing interval{'s' * (intervals != 1)}", heading=True)
            writer.write("Compliance", "not assessable: exposure intervals only")
        else:
            writer.write("Doses", "none recorded", heading=True)
    periods = pages.query(
        "SELECT p.period_order, p.period, coalesce(p.first_dose_date, p.actual_start, p.planned_start), "
        "coalesce(p.last_dose_date, p.actual_end, p.planned_end), "
        "count(m.status) FILTER (WHERE m.status IN ('taken', 'late')), "
        "count(m.status) FILTER (WHERE m.status IN ('taken', 'late', 'missed')) "
        "FROM treatment_period p LEFT JOIN dose_match m "
        "ON m.subject_id = p.subject_id AND m.period_order = p.period_order "
        "WHERE p.subject_id = ? GROUP BY 1, 2, 3, 4 ORDER BY 1",
        [subject],
    )
    for order, name, start, end, taken, expected in periods:
        dates = f"{describe(start) or '?'} to {describe(end) or '?'}"
        done = f"{taken:,} of {expected:,} taken" if expected else ""
        writer.write(f"  period {order}", dates, done, name or "")
    writer.gap()


def _write_chart(writer: _Writer, pages: Pages, subject: str, width: int) -> None:
    days: dict[Any, list[tuple[str, int]]] = {}
    rows = pages.query(
        "SELECT dose_date, status::VARCHAR, count(*) FROM dose_match WHERE subject_id = ? AND dose_date IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL",
        [subject],
    )
    for day, state, count in rows:
        days.setdefault(day, []).append((state, int(count)))
    lines = chart_lines(days, writer.glyphs, width)
    writer.lines += [TextLine(f" {line}" if line else "") for line in lines]
    if lines:
        writer.gap()


def _write_queries(writer: _Writer, pages: Pages, subject: str) -> int:
    """The open queries, the most urgent first; returns how many queries there are of any state."""
    rows = pages.query(
        f"SELECT query_id, {QUESTION_SQL}, due_date, state = 'open' FROM query WHERE subject_id = ? "
        "ORDER BY state <> 'open', due_date NULLS LAST, query_id",
        [subject],
    )
    waiting = [row for row in rows if row[3]]
    if waiting:
        writer.write("To answer", f"{len(waiting)} open quer{'ies' if waiting[1:] else 'y'}", heading=True)
        for name, text, due, _ in waiting[:EVENTS_LISTED]:
            writer.write(f"{writer.glyphs.attention} {name}", text, f"due {due}" if due else "")
        if len(waiting) > EVENTS_LISTED:
            writer.write("", f"and {len(waiting) - EVENTS_LISTED} more in the tab Queries")
        writer.gap()
    return len(rows)


def _write_events(writer: _Writer, pages: Pages, subject: str) -> int:
    rows = pages.query(
        "SELECT start_text, coalesce(preferred_term, term), lower(severity), serious FROM adverse_event "
        "WHERE subject_id = ? ORDER BY serious DESC NULLS LAST, start_text DESC, line",
        [subject],
    )
    serious = sum(1 for row in rows if row[3])
    count = f"{len(rows)}, {serious} serious" if rows else "none recorded"
    writer.write("Adverse events", count, heading=True)
    for start, term, severity, is_serious in rows[:EVENTS_LISTED]:
        mark = writer.glyphs.attention if is_serious else " "
        writer.write(f" {mark} {start or '?'}", term, severity or "")
    if len(rows) > EVENTS_LISTED:
        writer.write("", f"and {len(rows) - EVENTS_LISTED} more in the tab AEs")
    writer.gap()
    return len(rows)


def _write_devices(writer: _Writer, pages: Pages, subject: str) -> int:
    rows = pages.query(
        "SELECT a.device_id, d.device_class::VARCHAR, d.device_type, d.serial, d.firmware, "
        f"nullif(a.start_date, {START_UNKNOWN}), a.end_date "
        "FROM device_assignment a LEFT JOIN device d USING (device_id) WHERE a.subject_id = ? "
        "ORDER BY a.start_date, a.device_id",
        [subject],
    )
    for device, kind, named, serial, firmware, start, end in rows:
        writer.write(
            "Device",
            device,
            (kind or named or "").replace("_", " ").lower(),
            f"serial {serial}" if serial and serial != device else "",
            f"firmware {firmware}" if firmware else "",
        )
        writer.write("", f"{describe(start) or 'start of the study'} to {describe(end) or 'now'}")
    reported = pages.query("SELECT count(*) FROM device_event WHERE subject_id = ?", [subject])[0][0]
    return len(rows) + int(reported)


def _write_ends(writer: _Writer, pages: Pages, subject: str) -> None:
    rows = pages.query(
        "SELECT disposition_date, decoded, term, scope FROM disposition WHERE subject_id = ? "
        "AND category = 'DISPOSITION EVENT' ORDER BY disposition_date, line",
        [subject],
    )
    for day, decoded, term, scope in rows:
        said = f"({term.lower()})" if term and decoded and term.upper() != decoded.upper() else ""
        label = {"STUDY TREATMENT": "Treatment end", "STUDY PARTICIPATION": "Study end"}.get(scope or "", "End")
        writer.write(label, describe(day), (decoded or term or "").lower(), said)


def _dated(label: str, day: Any) -> str:
    return f"{label} {day}" if day else ""


def tabs_line(names: Sequence[str], counts: Sequence[int | None], current: int, width: int = 80) -> str:
    """The tabs of a screen, the current one in brackets; the text is as wide whichever is current."""
    parts = []
    for position, (name, count) in enumerate(zip(names, counts, strict=True)):
        text = name if count is None else f"{name} {count:,}"
        parts.append(f"[{text}]" if position == current else f" {text} ")
    line = " " + " ".join(parts)
    return line if len(line) <= width else " " + "".join(parts)
