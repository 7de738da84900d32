"""Which releases stay on disk: the last seven, one a month, and every one that an export or a lock names.

The others can be made again from sources and ledger, by the sequence number they were built from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from store.facts import MAKE_RELEASE
from store.ledger_chain import LedgerRow
from store.locking import holds_import_lock
from store.publish import release_numbers, remove_release
from store.study import Study

LAST = 7
_NAMING_ACTIONS = ("export", "lock")


def compute_kept(made_utc: Mapping[int, datetime], named: Collection[int], current: int | None) -> set[int]:
    """The releases to keep of those in `made_utc` (number -> time of its commit).

    One a month: the newest of each calendar month (UTC), so a month that has ended keeps the state it ended with.
    """
    numbers = sorted(made_utc)
    month_ends = {(made_utc[number].year, made_utc[number].month): number for number in numbers}
    kept = {*numbers[-LAST:], *month_ends.values(), *named}
    if current is not None:
        kept.add(current)
    return kept & set(numbers)


def named_releases(rows: Iterable[LedgerRow]) -> set[int]:
    """Releases that exports and locks refer to, as their record (`release/N`) or as "release" of their new value."""
    named = set()
    for row in rows:
        if not row.action.startswith(_NAMING_ACTIONS):
            continue
        value = row.new_value
        if isinstance(value, dict) and isinstance(value.get("release"), int):
            named.add(value["release"])
        kind, _, number = row.record.partition("/")
        if kind == "release" and number.isdigit():
            named.add(int(number))
    return named


def prune(study: Study) -> list[int]:
    """Remove the releases that need not be kept; returns their numbers.

    Needs the import lock. Never the current release, and none that the ledger does not know. Raises WriteFailed where
    one cannot be removed.
    """
    if not holds_import_lock(study):
        raise RuntimeError("prune needs the import lock")
    rows = study.ledger.read()
    if study.has_unblinded_ledger:
        rows += study.unblinded_ledger.read()
    made = {
        row.new_value["release"]: datetime.fromtimestamp(row.utc_us / 1_000_000, UTC)
        for row in rows
        if row.action == MAKE_RELEASE
    }
    on_disk = {number: made[number] for number in release_numbers(study) if number in made}
    current = study.current_release()
    kept = compute_kept(on_disk, named_releases(rows), current.number if current else None)
    removed = sorted(set(on_disk) - kept)
    for number in removed:
        remove_release(study, number)
    return removed
