"""One row in full: every field that has a value, and the line of the file it came from."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from tui.cells import describe
from tui.glyphs import Glyphs
from tui.pages import Pages
from tui.sanitise import wrap
from tui.widgets.text_pane import TextLine

LABEL = 22
TEXT = 56
"""Cells of a wrapped value; label and value together fit in 80."""

NAMES = {
    "dose_event": "dose",
    "exposure": "dosing interval",
    "adverse_event": "adverse event",
    "device": "device",
    "device_event": "device event",
    "source_file": "file",
    "quarantine": "quarantined row",
    "query": "query",
    "deviation_recorded": "deviation",
    "safety_report": "safety report",
    "subject": "subject",
}


@dataclass(frozen=True)
class RecordKey:
    """Where a row of a list is kept."""

    table: str
    """A canonical table; never text of the data."""
    source_id: str | None = None
    line: int | None = None
    subject: str | None = None
    planned_no: int | None = None
    device: str | None = None
    ref: str | None = None
    """Query, or rule and event of a safety report."""


def record_command(key: RecordKey) -> str:
    """The command that prints a record."""
    if key.table == "query" and key.ref:
        return shlex.join(("dosetrail", "query", "show", key.ref))
    if key.table == "subject" and key.subject:
        return shlex.join(("dosetrail", "patient", key.subject))
    if key.table == "device" and key.device:
        return shlex.join(("dosetrail", "device", "history", key.device))
    parts = {"source_id": key.source_id, "line": key.line, "subject_id": None if key.source_id else key.subject}
    where = " AND ".join(
        f"{name} = {value}" if isinstance(value, int) else f"{name} = '{str(value).replace(chr(39), 2 * chr(39))}'"
        for name, value in parts.items()
        if value is not None
    )
    return shlex.join(("dosetrail", "sql", f"SELECT * FROM {key.table}" + (f" WHERE {where}" if where else "")))


def read_record(pages: Pages, glyphs: Glyphs, key: RecordKey) -> tuple[TextLine, ...]:
    """The fields of a row, then the line of the file it came from, then the rows that belong to it."""
    writer = _Writer(glyphs)
    if key.table == "device":
        writer.write("device", pages.records("SELECT * EXCLUDE (row_id) FROM device WHERE device_id = ?", [key.device]))
        assigned = "SELECT * EXCLUDE (row_id) FROM device_assignment WHERE device_id = ? AND subject_id = ?"
        writer.write("assignment", pages.records(assigned, [key.device, key.subject]))
    elif key.table == "query":
        # As it stands now where it has steps newer than the release.
        pending = pages.records("SELECT * FROM pending_query WHERE query_id = ?", [key.ref])
        stored = pages.records("SELECT * EXCLUDE (row_id) FROM query WHERE query_id = ?", [key.ref])
        writer.write("query, pending", pending)
        writer.write("query in this release" if pending else "query", stored)
        found = "SELECT * EXCLUDE (row_id, finding_id, text) FROM finding WHERE finding_id = ?"
        writer.write("what the check found", pages.records(found, [key.ref]))
    elif key.table == "deviation_recorded":
        kept = "SELECT * EXCLUDE (row_id) FROM deviation_recorded WHERE deviation_id = ?"
        writer.write("deviation", pages.records(kept, [key.ref]))
        what = "SELECT * EXCLUDE (row_id, finding_id, text) FROM finding WHERE 'D-' || substr(finding_id, 3) = ?"
        writer.write("what the check found", pages.records(what, [key.ref]))
    elif key.table == "safety_report":
        rule, _, event = (key.ref or "").partition("/")
        what = "SELECT * EXCLUDE (row_id) FROM safety_report WHERE rule_id = ? AND event_seq = ? AND subject_id = ?"
        writer.write("safety report", pages.records(what, [rule, event, key.subject]))
        about = "SELECT * EXCLUDE (row_id) FROM adverse_event WHERE event_seq = ? AND subject_id = ?"
        writer.write("adverse event", pages.records(about, [event, key.subject]))
    elif key.table == "subject":
        writer.write(
            "subject", pages.records("SELECT * EXCLUDE (row_id) FROM subject WHERE subject_id = ?", [key.subject])
        )
    elif key.table == "quarantine" and key.source_id is None:
        first = "SELECT * EXCLUDE (row_id) FROM quarantine WHERE reason::VARCHAR = ? ORDER BY source_id, line LIMIT 20"
        writer.write("quarantined row", pages.records(first, [key.ref]))
    elif key.table == "source_file":
        writer.write(
            "file", pages.records("SELECT * EXCLUDE (row_id) FROM source_file WHERE source_id = ?", [key.source_id])
        )
    else:
        if key.line is not None:
            kept = f"SELECT * EXCLUDE (row_id, source_id, line) FROM {key.table} WHERE source_id = ? AND line = ?"
            writer.write(NAMES[key.table], pages.records(kept, [key.source_id, key.line]))
            came = "SELECT file_name, ? AS line, format, dataset, source_id FROM source_file WHERE source_id = ?"
            writer.write("came from", pages.records(came, [key.line, key.source_id]))
        if key.planned_no is not None:
            planned = "SELECT * EXCLUDE (row_id) FROM {} WHERE subject_id = ? AND planned_no = ?"
            for table, name in (("planned_dose", "planned dose"), ("dose_match", "what became of it")):
                writer.write(name, pages.records(planned.format(table), [key.subject, key.planned_no]))
    return tuple(writer.lines)


class _Writer:
    """Gathers rows as labelled lines; fields without a value are left out."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.lines: list[TextLine] = []

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Rows of one kind, each under its heading."""
        for row in rows:
            if self.lines:
                self.lines.append(TextLine())
            self.lines.append(TextLine(f" {name.upper()}", heading=True))
            read = canonical_row(row.get("raw"))
            for field, value in row.items():
                # The first of a line's rows is nearly always the only one.
                if (field, value) != ("part", 1) and (field != "raw" or not read):
                    self._field(field, value)
            if read:
                self.write("the row as it was read", [read])

    def _field(self, name: str, value: object) -> None:
        text = self.glyphs.text(describe(value))
        if not text:
            return
        first, *rest = wrap(text, TEXT)
        self.lines.append(TextLine(f" {self.glyphs.cell(name.replace('_', ' '), LABEL)}{first}"))
        self.lines.extend(TextLine(f" {'':{LABEL}}{more}") for more in rest)


def canonical_row(raw: object) -> dict[str, Any]:
    """The columns with a value of a row that waits as JSON, which has a NULL for each of the table's 60 others; none
    where ``raw`` is the line of a file.
    """
    if not isinstance(raw, str) or not raw.startswith("{"):
        return {}
    try:
        row = json.loads(raw)
    except ValueError:
        return {}
    return {name: value for name, value in row.items() if value is not None}
