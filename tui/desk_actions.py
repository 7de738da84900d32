"""What the app may write: steps of queries, through the same code as the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.desk import ActionRefused, DeskActions, Watch
from tui.desk_rows import PENDING_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from store.study import Study


def desk_actions_for(study: Study) -> DeskActions:
    """The actions of one study. Raises ActionRefused with a sentence from each of them."""
    return DeskActions(
        pending=lambda: _pending(study), step=lambda *words: _step(study, *words), undo=lambda: _undo(study)
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


def _undo(study: Study) -> str:
    """Reverse this user's last step on a query."""
    import os

    from store.errors import DosetrailError
    from store.queries import QUERY_ACTIONS
    from store.undoing import standing, undo_entry

    rows = study.ledger.read()
    mine = [row for row in standing(rows, QUERY_ACTIONS) if row.uid == os.geteuid()]
    if not mine:
        raise ActionRefused("You have done nothing that could be undone.")
    try:
        study.ledger.append([undo_entry(mine[-1].seq, rows, "undone in the app")])
    except DosetrailError as error:
        raise ActionRefused(f"{error.message} {error.remedy}") from error
    return f"Undone: {mine[-1].action.replace('_', ' ')} of {mine[-1].record.removeprefix('query/')}"
