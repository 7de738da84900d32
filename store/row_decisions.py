"""What people decide about rows in quarantine: correct a fact about them, reject them, or leave them out.

A decision is about a problem, not about single rows: all rows with the same problem are alike, those of files that
arrive later too. Only facts about a row are corrected (subject, device, clock, unit, a time that cannot be read), never
what the device said. A decision is an entry of the ledger; one that is undone leaves the rows where they were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

CORRECT, REJECT, EXCLUDE = "correct_rows", "reject_rows", "exclude_rows"
DECISIONS = (CORRECT, REJECT, EXCLUDE)
WORDS = {CORRECT: "corrected", REJECT: "rejected", EXCLUDE: "excluded"}

BY_SUBJECT = ("unknown_subject", "before_consent", "after_withdrawal")
BY_DEVICE = ("unknown_device", "unassigned_device")
LOST_CLOCK = "the device had lost its clock; the row is taken up when the change that set it right arrives"

CORRECTS = {"unknown_subject": "subject_id", "unknown_device": "device_id", "unassigned_device": "device_id"}
"""Reasons whose rows all lack the same fact, and the fact."""
CLOCK = "clock"
TEXTS = ("unknown_unit", "bad_date", "impossible_time")
"""Reasons of rows of which a text of the file is read as another one."""

PROBLEM_SQL = f"""
    SELECT *, 'P-' || left(sha256(kind || '/' || coalesce(of_field, '') || '/' || coalesce(about, '')), 8) AS problem_id
    FROM (
        SELECT * EXCLUDE (code, lost), code || CASE WHEN lost THEN '/clock' ELSE '' END AS kind,
            CASE WHEN code NOT IN {(*BY_SUBJECT, *BY_DEVICE)} AND NOT lost THEN field END AS of_field,
            CASE WHEN code IN {BY_SUBJECT} THEN subject_id
                WHEN code IN {BY_DEVICE} OR lost THEN device_id
                WHEN code = 'unknown_unit' THEN trim(value)
                ELSE coalesce(device_id, subject_id) END AS about
        FROM (SELECT *, CAST(reason AS VARCHAR) AS code, coalesce(reason = 'impossible_time' AND device_id IS NOT NULL
                AND message = '{LOST_CLOCK}', false) AS lost FROM quarantine)
    )
"""
"""Rows of table quarantine with the problem they share: ``problem_id``, ``kind``, ``of_field``, ``about``."""


PROBLEMS_SQL = f"""
    SELECT problem_id, kind, of_field AS field, about, count(*) AS rows,
        count(*) FILTER (table_name = 'dose_event') AS doses, count(DISTINCT subject_id) AS subjects,
        list_sort(list(DISTINCT coalesce(f.file_name, source_id))) AS files, min(decision) AS decision,
        any_value(message) AS message,
        min(line) AS first_line, arg_min(source_id, line) AS source_id
    FROM ({PROBLEM_SQL}) q LEFT JOIN source_file f USING (source_id)
    GROUP BY problem_id, kind, of_field, about
    ORDER BY decision NULLS FIRST, rows DESC, kind, about, problem_id
"""
"""Problems of a release, those nobody decided on first."""


@dataclass(frozen=True)
class Problem:
    """Rows in quarantine that are alike, as a release has them."""

    problem_id: str
    kind: str
    """Reason code; of rows of a lost clock with ``/clock``."""
    field: str | None
    about: str | None
    rows: int
    doses: int
    subjects: int
    streams: tuple[tuple[str, str], ...]
    """(format, [[source]] or data set) of the files that hold them."""

    @property
    def corrects(self) -> str | None:
        """The fact a correction gives: subject_id, device_id, clock, or the field whose text is read as another."""
        if self.kind in CORRECTS:
            return CORRECTS[self.kind]
        if self.kind.endswith("/clock"):
            return CLOCK
        return self.field if self.kind in TEXTS else None


@dataclass(frozen=True)
class Decision:
    """A decision that stands."""

    seq: int
    action: str
    problem_id: str
    kind: str
    field: str | None
    about: str | None
    old: str | None
    """Text in the file that is read as ``new``; of a lost clock the time it showed when it was ``new``."""
    new: str | None
    streams: tuple[tuple[str, str], ...]
    rows: int
    by: str
    at_utc: dt.datetime
    reason: str

    @property
    def shift(self) -> dt.timedelta | None:
        """What has to be added to the times a lost clock showed."""
        if self.field != CLOCK or self.old is None or self.new is None:
            return None
        return dt.datetime.fromisoformat(self.new) - dt.datetime.fromisoformat(self.old)


def read_decisions(rows: Iterable[LedgerRow]) -> tuple[Decision, ...]:
    """The decisions that stand, by entry; of two about the same the later one counts."""
    found: dict[tuple[str, str | None], Decision] = {}
    for row in standing(rows, DECISIONS):
        value = row.new_value
        decision = Decision(
            seq=row.seq,
            action=row.action,
            problem_id=row.record.removeprefix("quarantine/"),
            kind=value["kind"],
            field=row.field,
            about=value["about"],
            old=value["old"],
            new=value["new"],
            streams=tuple((format, name) for format, name in value["streams"]),
            rows=value["rows"],
            by=row.user,
            at_utc=dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row.utc_us),
            reason=row.reason or "",
        )
        found[decision.problem_id, decision.old] = decision
    return tuple(sorted(found.values(), key=lambda decision: decision.seq))


def decision_entry(
    action: str, problem: Problem, reason: str, made: Iterable[Decision], old: str | None = None, new: str | None = None
) -> Entry:
    """The entry of a decision; ``made`` are those that stand.

    Raises ``UsageProblem`` where the reason is missing, the rows are decided on already, or ``new`` is no such fact.
    """
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy="Write it in a few words; it stands in the audit trail.")
    field = problem.field
    if action == CORRECT:
        field, old, new = _corrected(problem, old, new)
    for other in made:
        apart = action == other.action == CORRECT and problem.kind in TEXTS and other.old != old
        if other.problem_id == problem.problem_id and not apart:
            raise UsageProblem(
                f"{other.by} decided on {problem.problem_id} already: {WORDS[other.action]}"
                f"{f' to {other.new}' if other.new else ''}, {other.reason}.",
                remedy=f"To decide otherwise, first: dosetrail undo {other.seq} --reason ...",
            )
    value = {
        "kind": problem.kind,
        "about": problem.about,
        "old": old,
        "new": new,
        "streams": [list(stream) for stream in problem.streams],
        "rows": problem.rows,
        "doses": problem.doses,
        "subjects": problem.subjects,
    }
    return Entry(action, f"quarantine/{problem.problem_id}", field=field, old=old, new=value, reason=reason.strip())


def _corrected(problem: Problem, old: str | None, new: str | None) -> tuple[str, str, str]:
    field = problem.corrects
    if field is None:
        raise UsageProblem(
            f"Rows of {problem.problem_id} lack nothing that can be corrected here: what a device said is not edited.",
            remedy="Reject them until the site exports the file again, or exclude them with a reason.",
        )
    if not new or not new.strip():
        raise UsageProblem(f"The right {field.replace('_', ' ')} is missing.", remedy="Write what it should be.")
    if field not in ("subject_id", "device_id") and "=" in new:
        old, _, new = new.partition("=")
    old, new = (old or problem.about or "").strip(), new.strip()
    if field == CLOCK or problem.kind in ("bad_date", "impossible_time"):
        if not old or (field == CLOCK and old == problem.about):
            raise UsageProblem(
                "It is not clear which time is meant.",
                remedy='Write what stands in the data and what it was: "2000-01-01 00:03 = 2026-03-04 08:10".',
            )
        moments = (old, new) if field == CLOCK else ()
        for text in moments:
            try:
                dt.datetime.fromisoformat(text)
            except ValueError as error:
                raise UsageProblem(f"{text} is no time.", remedy='Write it as "2026-03-04 08:10".') from error
    if old == new:
        raise UsageProblem(f"{new} is what stands there.", remedy="Write what it should be.")
    return field, old, new


def replaced_texts(decisions: Iterable[Decision], stream: tuple[str, str]) -> Mapping[str, Mapping[str, str]]:
    """Column -> (text in the files of a stream -> text it is read as) of the corrections of texts."""
    found: dict[str, dict[str, str]] = {}
    for decision in decisions:
        if decision.action == CORRECT and decision.kind in TEXTS and stream in decision.streams:
            assert decision.field is not None and decision.old is not None and decision.new is not None
            found.setdefault(decision.field, {})[decision.old] = decision.new
    return found


def decision_rows(decisions: Iterable[Decision]) -> list[tuple[Any, ...]]:
    """Rows of table quarantine_decision."""
    return [
        (
            decision.seq, decision.problem_id, WORDS[decision.action], decision.kind.partition("/")[0], decision.field,
            decision.about, decision.old, decision.new, decision.rows, decision.by, decision.at_utc, decision.reason,
        )
        for decision in decisions
    ]  # fmt: skip
