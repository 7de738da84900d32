"""Several files of one snapshot data set in one run must say the same: dm.xpt and dm.ndjson of one folder count once.

Equal rows are duplicates; where two files differ neither can be trusted over the other, so the cells are named and
none is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from importers.base import Staged
from store.tables import TABLES

if TYPE_CHECKING:
    import polars as pl

    from importers.base import Parsed

SHOWN = 5
"""Differences named in a message; the count says how many there are."""


def check_agreement(first_name: str, first: Parsed, second_name: str, second: Parsed) -> str | None:
    """None when both files say the same, else a sentence naming the first differing cells."""
    differences: list[str] = []
    for name in sorted({*first.tables, *second.tables}):
        one, other = first.tables.get(name), second.tables.get(name)
        if isinstance(one, Staged) or isinstance(other, Staged):
            continue
        if one is None or other is None:
            if (one if one is not None else other).height:  # type: ignore[union-attr]
                differences.append(f"only one of them has rows for {name}")
            continue
        differences.extend(_frame_differences(name, first_name, one, second_name, other))
    if not differences:
        return None
    more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
    return f"{first_name} and {second_name} disagree: {'; '.join(differences[:SHOWN])}{more}"


def _frame_differences(
    name: str, first_name: str, first: pl.DataFrame, second_name: str, second: pl.DataFrame
) -> list[str]:
    keys = [key for key in TABLES[name].identity if key in first.columns and key in second.columns]
    content = [column for column in TABLES[name].content if column in first.columns or column in second.columns]
    rows = [_by_key(first, keys, content), _by_key(second, keys, content)]
    found: list[str] = []
    for key in sorted({*rows[0], *rows[1]}, key=str):
        one, other = rows[0].get(key), rows[1].get(key)
        label = " ".join(str(part) for part in key)
        if one is None or other is None:
            found.append(f"{name} {label} is only in {second_name if one is None else first_name}")
            continue
        found.extend(
            f"{name} {label}, {column}: {left!r} and {right!r}"
            for column, left, right in zip(content, one, other, strict=True)
            if left != right
        )
    return found


def _by_key(frame: pl.DataFrame, keys: list[str], content: list[str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Rows by key; snapshots compared here are data sets of subjects, not dose logs, so plain Python is fast enough."""
    import polars as pl

    full = frame.select(
        *(pl.col(column) if column in frame.columns else pl.lit(None).alias(column) for column in content)
    )
    by_key: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, row in enumerate(full.iter_rows()):
        values = dict(zip(content, row, strict=True))
        key = tuple(values[column] for column in keys) if keys else (number,)
        by_key[key] = row
    return by_key
