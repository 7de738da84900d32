"""Named data cuts: a name for an event date, in the ledger, so that everybody who says it means the same day."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from store.errors import UsageProblem
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing

NAME_CUT = "name_cut"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Cut:
    """A day up to which events count, in the site's zone; ``name`` is None where only the day was said."""

    day: dt.date
    name: str | None = None
    seq: int = 0
    """Ledger row that named it."""

    def __str__(self) -> str:
        return f"{self.day} ({self.name})" if self.name else self.day.isoformat()


def read_cuts(rows: Iterable[LedgerRow]) -> dict[str, Cut]:
    """The named cuts that stand, by name, oldest first. Of two entries of one name, which two people can make at the
    same moment, the first counts."""
    cuts: dict[str, Cut] = {}
    for row in standing(rows, (NAME_CUT,)):
        name = row.record.removeprefix("cut/")
        cuts.setdefault(name, Cut(dt.date.fromisoformat(row.new_value["date"]), name, row.seq))
    return cuts


def name_cut_entry(name: str, day: dt.date, known: dict[str, Cut], reason: str) -> Entry:
    """The entry that names a cut; raises ``UsageProblem`` for a name that is none, or is taken."""
    if not is_cut_name(name):
        raise UsageProblem(
            f"{name!r} cannot name a data cut.",
            remedy="A name begins with a letter and has letters, digits, dots, - and _, at most 40.",
        )
    if name in known:
        taken = known[name]
        raise UsageProblem(
            f"The cut {name} is {taken.day} already (ledger entry {taken.seq}).",
            remedy=f"Choose another name; a mistake is taken back with: dosetrail undo {taken.seq} --reason ...",
        )
    return Entry(NAME_CUT, f"cut/{name}", new={"date": day.isoformat()}, reason=reason)


def is_cut_name(text: str) -> bool:
    """Whether a text can be the name of a cut; no date can."""
    return _NAME.fullmatch(text) is not None
