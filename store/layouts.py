"""Columns a stream of files had so far: other ones stop the stream until somebody approves them.

A mapping written for one layout may read another one wrongly without a single bad cell. The order of columns does not
matter, because they are read by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from store.errors import LayoutChanged
from store.facts import APPROVE_LAYOUT, SourceFact
from store.ledger import Entry
from store.ledger_chain import LedgerRow
from store.undoing import standing


def layout_hash(fact: SourceFact) -> str:
    """SHA-256 of a stream and its columns: what an approval names, because column names may tell an arm."""
    text = json.dumps([*fact.stream, sorted(fact.layout)])
    return hashlib.sha256(text.encode()).hexdigest()


def check_layout(fact: SourceFact, known: Iterable[SourceFact], rows: Sequence[LedgerRow]) -> None:
    """Raise ``LayoutChanged`` where the file's columns are new to its [[source]] and nobody approved them.

    ``known``: files of earlier runs; what comes with the first import of a source is what its mapping was written for.
    A file without a [[source]] is read by canonical names alone, which mean the same whatever stands beside them.
    """
    if not fact.layout or fact.source_name is None:
        return
    before = [other for other in known if other.stream == fact.stream and other.layout]
    if not before or any(set(other.layout) == set(fact.layout) for other in before):
        return
    if layout_hash(fact) in {row.record.removeprefix("layout/") for row in standing(rows, (APPROVE_LAYOUT,))}:
        return
    last = max(before, key=lambda other: other.precedence)
    more, less = sorted(set(fact.layout) - set(last.layout)), sorted(set(last.layout) - set(fact.layout))
    change = "; ".join(
        f"{word} {', '.join(names)}" for word, names in (("new columns", more), ("columns gone", less)) if names
    )
    raise LayoutChanged(
        f"Its columns are not those of the files before ({change}).",
        effect="The file is archived and not imported; the other files go on.",
        remedy="Compare it with its [[source]] in protocol.toml, then: dosetrail approve-layout FILE --reason TEXT, "
        "and import it again. Files imported before keep the mapping they were imported with.",
        new_columns=", ".join(more),
        columns_gone=", ".join(less),
    )


def approve_entry(fact: SourceFact, reason: str) -> Entry:
    """The entry that approves the columns of a file for its stream."""
    return Entry(APPROVE_LAYOUT, f"layout/{layout_hash(fact)}", new={"columns": len(fact.layout)}, reason=reason)
