"""Problems in quarantine as they stand now: the release with the decisions made since, and what a fix would change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.errors import UsageProblem
from store.row_decisions import (
    BY_DEVICE,
    BY_SUBJECT,
    CLOCK,
    CORRECT,
    PROBLEM_SQL,
    PROBLEMS_SQL,
    TEXTS,
    WORDS,
    Decision,
    Problem,
    decision_entry,
    read_decisions,
)
from tui.roles import require_role

if TYPE_CHECKING:
    from store.ledger_chain import Head
    from store.study import Study
    from tui.reading import Reader

_REMEDIES = {
    "unassigned_device": "dosetrail device assign {about} SUBJECT --from DATE --reason ...",
    "unknown_subject": "the enrolment of subject {about}",
    "unknown_device": "the device list with {about}",
    "impossible_time/clock": "the clock change that set the device right, or a new export",
}


@dataclass(frozen=True)
class Waiting:
    """One problem with what can be done about it."""

    problem: Problem
    message: str | None
    files: tuple[str, ...]
    source_id: str
    first_line: int
    decided: tuple[Decision, ...]
    """Decisions that stand, the pending ones too."""
    pending: bool
    """Whether one of them is newer than the release."""
    proposal: str | None
    """The fact that is probably meant; a person has to accept it."""
    withheld: bool
    """Whether this release does not show what the rows lack."""

    @property
    def state(self) -> str:
        """waits, or what was decided; ``*`` where the release does not know it yet."""
        if not self.decided:
            return "waits"
        return WORDS[self.decided[-1].action] + ("*" if self.pending else "")

    @property
    def remedy(self) -> str:
        """What takes the rows up."""
        if self.decided:
            last = self.decided[-1]
            return f"{WORDS[last.action]} by {last.by}: {last.reason}"
        if self.proposal is not None:
            return f"{self.problem.about} is probably {self.proposal}"
        words = _REMEDIES.get(self.problem.kind, "a corrected export of the file")
        return words.format(about=self.problem.about or "?")

    def to_json(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "problem_id": problem.problem_id,
            "reason": problem.kind.partition("/")[0],
            "field": problem.field,
            "about": problem.about,
            "rows": problem.rows,
            "doses": problem.doses,
            "subjects": problem.subjects,
            "files": list(self.files),
            "source_id": self.source_id,
            "first_line": self.first_line,
            "message": self.message,
            "state": self.state.rstrip("*"),
            "pending": self.pending,
            "corrects": problem.corrects,
            "proposal": self.proposal,
            "remedy": self.remedy,
        }


def read_problems(study: Study, reader: Reader, upto: int | None = None) -> list[Waiting]:
    """Every problem of the open release with the decisions to row `upto` of the ledger (None: to its end), those nobody
    decided on first."""
    decisions = read_decisions(study.ledger.read(upto=upto))
    built = reader.known_to()
    streams = _streams(study, reader)
    subjects: list[str] = [row[0] for row in reader.rows("SELECT subject_id FROM subject ORDER BY 1")]
    devices = reader.rows("SELECT device_id FROM device UNION SELECT device_id FROM device_assignment ORDER BY 1")
    found = []
    for row in reader.records(PROBLEMS_SQL):
        decided = tuple(made for made in decisions if made.problem_id == row["problem_id"])
        problem = Problem(
            row["problem_id"], row["kind"], row["field"], row["about"], row["rows"], row["doses"], row["subjects"],
            tuple(sorted({streams[name] for name in _sources(reader, row["problem_id"]) if name in streams}))
            if row["kind"] in TEXTS else (),
        )  # fmt: skip
        found.append(
            Waiting(
                problem, row["message"], tuple(row["files"]), row["source_id"], row["first_line"], decided,
                any(made.seq > built for made in decided),
                _proposal(problem, subjects, [name for (name,) in devices]),
                reader.facts.blinded and problem.kind not in (*BY_SUBJECT, *BY_DEVICE),
            )
        )  # fmt: skip
    return sorted(found, key=lambda waiting: bool(waiting.decided))


def find_problem(problems: Iterable[Waiting], problem_id: str) -> Waiting:
    """Raises UsageProblem where no row has that problem now."""
    for waiting in problems:
        if waiting.problem.problem_id.upper() == problem_id.upper():
            return waiting
    raise UsageProblem(
        f"No row in quarantine has the problem {problem_id} now; what it was about may have been taken up.",
        remedy="dosetrail quarantine lists the problems with their ids.",
    )


def preview(waiting: Waiting, action: str, new: str | None) -> str:
    """One sentence: what a decision would do to how many rows."""
    problem = waiting.problem
    what = f"{_count(problem.rows, 'row')} ({_count(problem.doses, 'dose')}, {_count(problem.subjects, 'subject')})"
    if action == CORRECT and new is not None and "=" in new:
        shown, right = (part.strip() for part in new.split("=", 1))
        return f"{what}: {shown} on the clock of {problem.about or 'the device'} was {right}"
    if action == CORRECT and problem.corrects is not None:
        return f"{what}: {problem.corrects.replace('_', ' ')} {problem.about or ''} becomes {new or '?'}"
    return f"{what} will be {WORDS[action]} and stay in quarantine"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def record_decision(
    study: Study, action: str, problem_id: str, reason: str, new: str | None = None, *, dry_run: bool = False
) -> tuple[Waiting, str, Head | None]:
    """Append a decision on all rows of a problem; returns the problem, what it changes, and the ledger's head.

    ``new``: for a correction the right fact; None takes the proposed one. Raises UsageProblem, NotAllowed.
    """
    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, action)
        waiting = find_problem(read_problems(study, reader), problem_id)
        if waiting.withheld:
            raise UsageProblem(
                "What these rows lack is withheld in this blinded trial, so it cannot be judged here.",
                remedy="The study's owner corrects units and times with [source.units] and [source.values] in "
                "protocol.toml.",
            )
        if action == CORRECT:
            new = new if new is not None else waiting.proposal
            if new is None:
                raise UsageProblem(
                    f"No fix is proposed for {waiting.problem.problem_id}.",
                    remedy=f"Give the right one: dosetrail quarantine edit {problem_id} NEW --reason ...",
                )
            _check_known(reader, waiting.problem, new)
        entry = decision_entry(action, waiting.problem, reason, waiting.decided, new=new)

        def check_again() -> None:
            # Inside the ledger's transaction: of two people who decide at once the second is told of the first.
            made = [row for row in read_decisions(study.ledger.read()) if row.problem_id == waiting.problem.problem_id]
            decision_entry(action, waiting.problem, reason, made, new=new)

        head = None if dry_run else study.ledger.append([entry], role=role, before_commit=check_again)
        return waiting, preview(waiting, action, new), head


def _check_known(reader: Reader, problem: Problem, new: str) -> None:
    if problem.corrects == "subject_id" and not reader.rows(
        "SELECT 1 FROM subject WHERE subject_id = ?", [new.strip()]
    ):
        raise UsageProblem(f"There is no subject {new} in the study.", remedy="dosetrail patients lists them.")
    if problem.corrects == "device_id":
        known = "SELECT 1 FROM device WHERE device_id = ? UNION ALL SELECT 1 FROM device_assignment WHERE device_id = ?"
        if not reader.rows(known, [new.strip(), new.strip()]):
            raise UsageProblem(
                f"There is no device {new} in the study.",
                remedy=f"Record who has it first: dosetrail device assign {new} SUBJECT --from DATE --reason ...",
            )
    if problem.corrects not in (None, "subject_id", "device_id", CLOCK) and not problem.streams:
        raise UsageProblem(
            "A text in files of this vendor's format is read in one way only and cannot be corrected.",
            remedy="Reject the rows until the site exports the file again, or exclude them with a reason.",
        )
    if problem.kind == "unknown_unit":
        from importers.units import COMMON, ucum_unit

        if ucum_unit(new) is None:
            raise UsageProblem(f"{new} is no unit that is known.", remedy=f"Units: {COMMON}.")


def _streams(study: Study, reader: Reader) -> dict[str, tuple[str, str]]:
    """Source id -> (format, [[source]] or data set) of files whose texts can be corrected."""
    from store.facts import read_facts
    from tui.release_files import is_mapped

    if reader.facts.blinding != "open":
        return {}
    facts = read_facts(study.ledger.read())
    return {fact.source_id: fact.stream for fact in facts.sources if is_mapped(fact.format)}


def _sources(reader: Reader, problem_id: str) -> list[str]:
    return [
        row[0]
        for row in reader.rows(f"SELECT DISTINCT source_id FROM ({PROBLEM_SQL}) WHERE problem_id = ?", [problem_id])
    ]


def _proposal(problem: Problem, subjects: Sequence[str], devices: Sequence[str]) -> str | None:
    """The one known name that reads the same: case, signs, leading zeros and look-alike letters apart."""
    if problem.about is None:
        return None
    if problem.kind == "unknown_subject":
        known: Iterable[str] = subjects
    elif problem.kind in BY_DEVICE:
        known = devices
    elif problem.kind == "unknown_unit":
        return _proposed_unit(problem.about)
    else:
        return None
    wanted = _alike(problem.about)
    same = {name for name in known if name != problem.about and _alike(name) == wanted}
    return same.pop() if len(same) == 1 else None


def _alike(name: str) -> str:
    folded = name.casefold().replace("o", "0").replace("i", "1").replace("l", "1")
    return "".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in re.findall(r"\d+|[a-z]+", folded))


def _proposed_unit(text: str) -> str | None:
    from importers.units import SPELLINGS

    folded = text.casefold().strip(" .")
    units = {unit for word, unit in SPELLINGS.items() if word.casefold() in (folded, folded.removesuffix("s"))}
    return units.pop() if len(units) == 1 else None
