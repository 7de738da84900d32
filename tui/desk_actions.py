"""What the app may write: steps of queries and decisions on problems, through the same code as the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.deviations import DEVIATION_ACTIONS
from store.device_actions import ASSIGN_DEVICE
from tui.desk import ActionRefused, DeskActions, Watch
from tui.desk_rows import PENDING_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from store.study import Study


def desk_actions_for(study: Study) -> DeskActions:
    """The actions of one study. Raises ActionRefused with a sentence from each of them."""
    return DeskActions(
        pending=lambda: _pending(study),
        step=lambda *words: _step(study, *words),
        undo=lambda: _undo(study),
        problems=lambda: _problems(study),
        preview=lambda *words: _preview(study, *words),
        decide=lambda *words: _decide(study, *words),
        decide_deviation=lambda *words: _decide_deviation(study, *words),
        decided_deviations=lambda: _decided_deviations(study),
        raise_query=lambda text, subject: _raise(study, text, subject),
        history=lambda subject: _history(study, subject),
    )


def watch_study(study: Study, *, unblinded: bool = False) -> Watch:
    """What changes when a release is published or an entry is added. Its answers raise ActionRefused."""
    from store.errors import DosetrailError
    from tui.reading import release_file

    def release() -> Path:
        try:
            return release_file(study, unblinded=unblinded)
        except DosetrailError as error:
            raise ActionRefused(f"{error.message} {error.remedy}") from error

    def ledger() -> object:
        try:
            state = study.ledger_path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size

    return Watch(release, ledger)


def _pending(study: Study) -> list[tuple[Any, ...]]:
    from store.errors import DosetrailError
    from tui.query_state import read_queries
    from tui.reading import open_release

    try:
        with open_release(study) as reader:
            state = read_queries(study, reader)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return [tuple(getattr(state.queries[name], column) for column in PENDING_COLUMNS) for name in sorted(state.pending)]


def _step(study: Study, action: str, query_id: str, text: str) -> str:
    from store.errors import DosetrailError
    from tui.query_state import record_step

    try:
        query, head = record_step(study, action, query_id, text)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return f"{query.query_id} is {query.state} (ledger {head.seq}); z undoes it"


def _problems(study: Study) -> list[tuple[Any, ...]]:
    from store.errors import DosetrailError
    from tui.quarantine_state import read_problems
    from tui.reading import open_release

    try:
        with open_release(study) as reader:
            found = read_problems(study, reader)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return [
        (waiting.problem.problem_id, waiting.state, waiting.remedy, waiting.problem.corrects, waiting.proposal)
        for waiting in found
    ]


def _preview(study: Study, action: str, problem_id: str, new: str) -> str:
    from store.errors import DosetrailError
    from tui.quarantine_state import record_decision

    try:
        if action == ASSIGN_DEVICE:
            return _assignment(study, problem_id, new, "preview", dry_run=True)
        return record_decision(study, action, problem_id, "preview", new or None, dry_run=True)[1]
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error


def _assignment(study: Study, problem_id: str, words: str, reason: str, *, dry_run: bool) -> str:
    """Give the device of a problem to a subject: ``words`` are the subject and the first day."""
    from store.errors import UsageProblem
    from tui.device_state import assignment
    from tui.quarantine_state import find_problem, read_problems
    from tui.reading import open_release

    subject, _, day = words.strip().rpartition(" ")
    if not subject:
        raise UsageProblem("Subject and first day are needed.", remedy="Write them as: 701-004 2026-03-01")
    with open_release(study) as reader:
        about = find_problem(read_problems(study, reader), problem_id).problem.about
    entry, told, role = assignment(study, about or "", subject.strip(), day, None, reason)
    rows = sum(row["rows"] for row in told["rows_moved"])
    moves = "waiting row moves" if rows == 1 else "waiting rows move"
    said = f"{rows:,} {moves}: {told['assignment']}"
    if dry_run:
        return said
    head = study.ledger.append([entry], role=role)
    return f"{said} (ledger {head.seq}); z undoes it"


def _decide(study: Study, action: str, problem_id: str, new: str, reason: str) -> str:
    from store.errors import DosetrailError
    from tui.quarantine_state import record_decision

    try:
        if action == ASSIGN_DEVICE:
            return _assignment(study, problem_id, new, reason, dry_run=False)
        _, told, head = record_decision(study, action, problem_id, reason, new or None)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    assert head is not None
    return f"{told} (ledger {head.seq}); z undoes it"


def _decide_deviation(study: Study, action: str, deviation_id: str, reason: str) -> str:
    from store.errors import DosetrailError
    from tui.deviation_state import decide_deviation

    try:
        found, head = decide_deviation(study, action, deviation_id, reason)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return f"{found.deviation_id} is {found.state} (ledger {head.seq}); z undoes it"


def _decided_deviations(study: Study) -> list[tuple[Any, ...]]:
    from store.errors import DosetrailError
    from tui.deviation_state import read_deviations_now
    from tui.reading import open_release

    try:
        with open_release(study) as reader:
            found, _ = read_deviations_now(study, reader)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return [(row.deviation_id,) for row in found if row.state != "proposed"]


def _raise(study: Study, text: str, subject: str | None) -> str:
    from store.errors import DosetrailError
    from tui.query_state import record_query

    try:
        query, head = record_query(study, text, subject_id=subject)
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return f"{query.query_id} is raised (ledger {head.seq}); place 3 lists it, z there undoes it"


def _history(study: Study, subject: str) -> list[tuple[Any, ...]]:
    """Entries whose record or content names the subject, and those that undo one of them."""
    import datetime as dt

    from store.errors import DosetrailError

    try:
        rows = study.ledger.read()
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    found: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        value = row.new_value
        content = value if isinstance(value, dict) else {}
        named = f"subject/{subject}" == row.record or content.get("subject_id") == subject
        if not named and row.record not in {f"ledger/{seq}" for seq in found}:
            continue
        at = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row.utc_us)
        words = content.get("text") if row.reason is None else row.reason
        found[row.seq] = (row.seq, at, row.user, row.action.replace("_", " "), row.record, words)
    return list(found.values())


def _undo(study: Study) -> str:
    """Reverse this user's last step on a query or decision on a problem."""
    import os

    from store.errors import DosetrailError
    from store.queries import QUERY_ACTIONS
    from store.row_decisions import DECISIONS
    from store.undoing import standing, undo_entry
    from tui.device_state import check_undo

    rows = study.ledger.read()
    mine = [
        row
        for row in standing(rows, (*QUERY_ACTIONS, *DECISIONS, *DEVIATION_ACTIONS, ASSIGN_DEVICE))
        if row.uid == os.geteuid()
    ]
    if not mine:
        raise ActionRefused("You have done nothing that could be undone.")
    try:
        study.ledger.append(
            [undo_entry(mine[-1].seq, rows, "undone in the app")],
            before_commit=lambda: check_undo(study, mine[-1].seq),
        )
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return f"Undone: {mine[-1].action.replace('_', ' ')} of {mine[-1].record.partition('/')[2]}"
