"""Deviations as they stand now: the release with everything the ledger has got since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.deviations import CONFIRM, RECORD, Deviation, deviation_entry, with_decisions
from store.errors import UsageProblem
from tui.roles import require_role

if TYPE_CHECKING:
    from store.ledger_chain import Head
    from store.study import Study
    from tui.reading import Reader

_COLUMNS = (
    "deviation_id, subject_id, term, category, importance, start_date, excludes_from, state, found_by, record, "
    "decided_by, decided_utc, reason"
)


def read_deviations_now(
    study: Study, reader: Reader, upto: int | None = None
) -> tuple[list[Deviation], frozenset[str]]:
    """Deviations people recorded or checks proposed (to row `upto` of the ledger), and the ids of those that are newer
    than the release."""
    stored = [Deviation(*row) for row in reader.rows(f"SELECT {_COLUMNS} FROM deviation_recorded")]
    now = with_decisions(stored, study.ledger.read(upto=upto))
    before = {deviation.deviation_id: deviation.state for deviation in stored}
    return now, frozenset(row.deviation_id for row in now if before.get(row.deviation_id) != row.state)


def deviations_of_files(reader: Reader) -> list[dict[str, Any]]:
    """Deviations that files brought, under the names of the others."""
    return reader.records(
        "SELECT deviation_seq AS deviation_id, subject_id, term, category, importance, start_date, excludes_from, "
        "'in a file' AS state, source_id AS found_by FROM deviation ORDER BY subject_id, deviation_seq"
    )


def record_deviation(study: Study, deviation: Deviation, reason: str) -> tuple[Deviation, Head]:
    """Append a new deviation. Raises UsageProblem for an unknown subject, NotAllowed."""
    from tui.reading import open_release

    with open_release(study) as reader:
        if not reader.rows("SELECT 1 FROM subject WHERE subject_id = ?", [deviation.subject_id]):
            raise UsageProblem(
                f"There is no subject {deviation.subject_id} in the study.", remedy="dosetrail patients lists them."
            )
        role = require_role(reader, RECORD)
        head = study.ledger.append([deviation_entry(RECORD, deviation, reason)], role=role)
        return _find(study, reader, f"D-{head.seq:04d}"), head


def decide_deviation(
    study: Study, action: str, deviation_id: str, reason: str, **changed: Any
) -> tuple[Deviation, Head]:
    """Confirm or dismiss a proposed deviation; ``changed``: what a person found otherwise than the check.

    Raises UsageProblem where it is no proposal (any more), NotAllowed.
    """
    from dataclasses import replace

    from tui.reading import open_release

    with open_release(study) as reader:
        role = require_role(reader, action)
        found = replace(_find(study, reader, deviation_id), **(changed if action == CONFIRM else {}))
        entry = deviation_entry(action, found, reason)
        name = found.deviation_id

        def check_again() -> None:
            # Inside the ledger's transaction: the second of two people is told of the first.
            deviation_entry(action, _find(study, reader, name), reason)

        head = study.ledger.append([entry], role=role, before_commit=check_again)
        return _find(study, reader, name), head


def _find(study: Study, reader: Reader, deviation_id: str) -> Deviation:
    for deviation in read_deviations_now(study, reader)[0]:
        if deviation.deviation_id.upper() == deviation_id.upper():
            return deviation
    raise UsageProblem(f"There is no deviation {deviation_id}.", remedy="dosetrail deviations lists them.")
