"""How a study stands: which release is current, what waits for the next one, what is in quarantine, who is
at work.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from store.errors import DosetrailError, IntegrityFailure

if TYPE_CHECKING:
    from store.study import Study
    from tui.reading import ReleaseFacts


@dataclass
class StudyStatus:
    """Facts of `dosetrail status`; lists are empty and values None where there is nothing to say."""

    study: Study
    title: str
    release: ReleaseFacts | None = None
    ledger_head: str | None = None
    """HASH@SEQ now; None where this account may not read the ledger."""
    since_release: int = 0
    """Ledger rows written after the release that a next one would take up: its own commit and exports are
    none.
    """
    unfinished_release: int | None = None
    """A release that was committed and not yet made current."""
    running_import: dict[str, Any] | None = None
    integrity_problem: str | None = None
    """What is damaged, and what to do; everything else that can be read is still there."""
    protocol_problem: str | None = None
    protocol_changed: bool = False
    to_fill_in: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    confinement: list[str] = field(default_factory=list)
    """Measures that this machine offers against files made to harm their reader."""
    unread: list[str] = field(default_factory=list)
    """Sentences on what this account could not read."""

    def to_json(self) -> dict[str, object]:
        release = self.release
        return {
            "study": str(self.study.root),
            "title": self.title,
            "release": release.release if release else None,
            "release_ledger_head": release.ledger_head if release else None,
            "blinding": release.blinding if release else None,
            "built_utc": release.built_utc if release else None,
            "program_version": release.program_version if release else None,
            "data_cut": release.data_cut if release else None,
            "ledger_head": self.ledger_head,
            "ledger_rows_since_release": self.since_release,
            "unfinished_release": self.unfinished_release,
            "running_import": self.running_import,
            "integrity_problem": self.integrity_problem,
            "protocol_changed": self.protocol_changed,
            "protocol_problem": self.protocol_problem,
            "to_fill_in": self.to_fill_in,
            "confinement": self.confinement,
            "unread": self.unread,
            "files": self.files,
            "quarantine": self.quarantine,
        }


def read_status(study: Study) -> StudyStatus:
    """Read everything this account may read."""
    from importers.confinement import available
    from store.locking import running_import
    from tui.reading import study_name, study_title

    status = StudyStatus(study, " ".join(filter(None, (study_name(study), study_title(study)))))
    try:
        if study.current_release() is not None:
            _read_release(study, status)
    except IntegrityFailure as error:
        status.integrity_problem = f"{error.message} {error.effect} {error.remedy}"
    holder = running_import(study)
    status.running_import = asdict(holder) if holder else None
    status.confinement = available()
    _read_ledger(study, status)
    _read_protocol(study, status)
    return status


def _read_release(study: Study, status: StudyStatus) -> None:
    from tui.reading import open_release

    with open_release(study) as reader:
        status.release = reader.facts
        status.files = reader.records(
            "SELECT source_id, file_name, format, dataset, rows_read, rows_new, rows_duplicate, rows_superseded, "
            "rows_quarantined, first_event, last_event FROM source_file ORDER BY dataset, file_name, source_id"
        )
        status.quarantine = reader.records(
            "SELECT reason::VARCHAR AS reason, table_name, count(*) AS rows, min(source_id) AS example_source, "
            "arg_min(line, source_id) AS example_line, any_value(message ORDER BY source_id, line) AS message "
            "FROM quarantine GROUP BY reason, table_name ORDER BY rows DESC, 1, 2"
        )


def _read_ledger(study: Study, status: StudyStatus) -> None:
    from store.errors import NotAllowed
    from store.facts import NOTHING_TO_BUILD, read_releases
    from store.publish import pending_switch

    try:
        rows = study.ledger.read()
        status.ledger_head = str(study.ledger.head())
    except NotAllowed as error:
        status.unread.append(error.message)
        return
    releases = read_releases(rows)
    last = releases[-1] if releases else None
    later = (row.action for row in rows if last is None or row.seq > last.seq)
    status.since_release = sum(action not in NOTHING_TO_BUILD for action in later)
    status.unfinished_release = pending_switch(study)


def _read_protocol(study: Study, status: StudyStatus) -> None:
    from store.protocol_file import load_protocol

    try:
        recorded = load_protocol(study.protocol_path)
    except DosetrailError as error:
        status.protocol_problem = error.message
        return
    except PermissionError:
        status.unread.append(f"{study.protocol_path.name} may not be read by this account.")
        return
    status.to_fill_in = recorded.protocol.missing_for_accuracy()
    status.protocol_changed = status.release is not None and status.release.protocol_sha256 != recorded.sha256


def print_status(status: StudyStatus) -> None:
    """The status as lines and two small tables."""
    from tui.output import glyphs_for, page_width, paragraph, write_lines
    from tui.tables import Column, print_table, record_lines

    glyphs, width = glyphs_for(sys.stdout), page_width()
    write_lines(record_lines(_facts(status), glyphs, width))
    for sentence, command in _to_do(status):
        write_lines(paragraph(f"! {sentence}", glyphs, width))
        if command:
            # On a line of its own and never wrapped, so that it can be copied.
            write_lines([f"    {glyphs.text(command)}"])
    if status.files:
        write_lines([""])
        titles = ("rows", "new", "dupl.", "supers.", "quarant.")
        print_table(
            [Column("file", gives_way=True), Column("data set", gives_way=True), *(Column(t, ">") for t in titles)],
            (
                (
                    entry["file_name"] or entry["source_id"],
                    entry["dataset"],
                    *(f"{entry[name]:,}" for name in _COUNTS),
                )
                for entry in status.files
            ),
        )
    if status.quarantine:
        write_lines(["", "In quarantine:"])
        print_table(
            [Column("rows", ">"), Column("reason", gives_way=True), Column("what it means", gives_way=True)],
            ((f"{q['rows']:,}", q["reason"].replace("_", " "), q["message"]) for q in status.quarantine),
        )
        write_lines(['Each row: dosetrail sql "SELECT * FROM quarantine"'])


_COUNTS = ("rows_read", "rows_new", "rows_duplicate", "rows_superseded", "rows_quarantined")


def _facts(status: StudyStatus) -> list[tuple[str, object]]:
    from importers.confinement import confinement_words

    release = status.release
    facts: list[tuple[str, object]] = [("Study", status.title), ("Folder", status.study.root)]
    if release is None:
        facts.append(("Release", "none yet"))
    else:
        state = "" if release.blinding == "open" else f", {release.blinding}"
        built = f"{release.built_utc:%Y-%m-%d %H:%M} UTC by dosetrail {release.program_version}"
        facts += [
            ("Release", f"{release.release}{state}, made {built}"),
            ("Data", f"{len(status.files)} files, {release.data_cut_words}"),
            ("Committed", release.ledger_head),
        ]
    facts += [("Ledger", status.ledger_head), ("Reading", confinement_words(status.confinement))]
    return facts


def _to_do(status: StudyStatus) -> list[tuple[str, str]]:
    """What somebody has to do or to know, most urgent first, with the command that does it."""
    where = f"--study {shlex.quote(str(status.study.root))}"
    said: list[tuple[str, str]] = [(sentence, "") for sentence in status.unread]
    if status.integrity_problem:
        said.append((status.integrity_problem, f"dosetrail verify {where}"))
    if status.running_import:
        who = status.running_import
        said.append((f"An import is running: process {who['pid']} of {who['user']} since {who['since']}.", ""))
    if status.protocol_problem:
        said.append((status.protocol_problem, f"dosetrail protocol check {where}"))
    if status.unfinished_release is not None and not status.running_import:
        said.append(
            (
                f"Release {status.unfinished_release} was committed and is not current yet: an import was interrupted. "
                "The next command that may write finishes it.",
                f"dosetrail release {where}",
            )
        )
    elif status.release is None and not status.integrity_problem:
        said.append(("Nothing was imported yet.", f"dosetrail import {where} FILES"))
    elif status.protocol_changed:
        said.append(("protocol.toml was changed since the release.", f"dosetrail release {where}"))
    if status.release is not None and status.since_release:
        said.append((f"{status.since_release} ledger rows are newer than the release.", f"dosetrail release {where}"))
    if status.to_fill_in:
        said.append(
            (f"Dose accuracy waits for lines of protocol.toml marked FILL IN: {'; '.join(status.to_fill_in)}.", "")
        )
    return said
