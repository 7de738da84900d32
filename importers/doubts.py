"""Mistakes that many rows share are mistakes of the file's description: then the file is refused as a whole.

A decimal comma read as a point, or days read as months, would otherwise leave a few thousand wrong numbers among the
accepted rows, or send a whole file to quarantine row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from importers.base import UnreadableFile
from importers.staging import StagedFile

if TYPE_CHECKING:
    from importers.mapping import Reading

MOST = 0.5
"""Share of rows from which numbers with the other decimal sign, or unreadable times, are the file's fault."""
SWAPPED = 0.05
"""The same for dates that only fit the other order of day and month: every accepted date is then in doubt."""
FEW = 3
"""Rows up to which a date is a typing error."""


def refuse_doubtful(staged: StagedFile, reading: Reading, name: str, numbers: Sequence[str]) -> None:
    """Raise ``UnreadableFile`` where the rejected rows show that the [[source]] is wrong.

    ``numbers``: canonical columns that hold numbers.
    """
    doubts = count_doubts(staged)
    if not doubts:
        return
    accepted = staged.count("problem IS NULL")
    _refuse_other_sign(staged, reading, name, numbers, doubts.get("other_decimal_sign", 0))
    order = reading.time.order
    swapped = doubts.get("other_date_order", 0)
    if swapped >= FEW and swapped > SWAPPED * (swapped + accepted):
        other_order = "MDY" if order == "DMY" else "DMY"
        raise UnreadableFile(
            f"{name}: {swapped:,} rows have dates that only fit the order {other_order}, so its other dates cannot be "
            f"trusted in the order {order} either.",
            remedy=f'Set date_order = "{other_order}" in its [[source]] in protocol.toml, then import the file again.',
            rows=swapped,
        )
    undated = doubts.get("no_date", 0) + swapped
    if undated >= FEW and undated > MOST * (undated + accepted):
        raise UnreadableFile(
            f"{name}: {undated:,} rows have times that cannot be read; their order is said to be {order}.",
            remedy="Set date_order, datetime_format or time_zone in its [[source]] in protocol.toml to how the file "
            "writes times, then import it again.",
            rows=undated,
        )


def _refuse_other_sign(
    staged: StagedFile, reading: Reading, name: str, numbers: Sequence[str], other_sign: int
) -> None:
    given = [f"v_{number}" for number in numbers if number in staged.plan.cell_names]
    if not other_sign or not given:
        return
    with_number = staged.count(f"problem IS NULL AND coalesce({', '.join(given)}) IS NOT NULL")
    if other_sign <= MOST * (other_sign + with_number):
        return
    other = "," if reading.decimal == "." else "."
    raise UnreadableFile(
        f'{name}: {other_sign:,} rows have numbers with a "{other}" where the decimal sign of {reading.label} is '
        f'"{reading.decimal}".',
        remedy=f'Set decimal = "{other}" in its [[source]] in protocol.toml, then import the file again.',
        rows=other_sign,
    )


def count_doubts(staged: StagedFile) -> dict[str, int]:
    """Rows rejected for each doubt about the file's description."""
    checks = enumerate(staged.plan.all_checks(), 1)
    doubts = {number: check.doubt for number, check in checks if check.doubt}
    if not doubts:
        return {}
    counts: dict[str, int] = {}
    rows = staged.con.execute(
        f'SELECT problem, count(*) FROM "{staged.read_table}" '
        f"WHERE problem IN ({', '.join(map(str, doubts))}) GROUP BY ALL"
    ).fetchall()
    for problem, count in rows:
        doubt = doubts[problem]
        assert doubt is not None
        counts[doubt] = counts.get(doubt, 0) + count
    return counts
