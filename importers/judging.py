"""The query that turns a file's columns of text into typed values and judges every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from importers.cells import Check, trimmed_sql
from importers.mapping import RowPlan


def judged_sql(
    plan: RowPlan,
    relation: str,
    extra: Sequence[str] = (),
    look_at: Sequence[str] = (),
    raw_from: Sequence[str] = (),
) -> str:
    """The query that types and judges every row of ``relation`` (columns f0, f1, ... as text).

    ``extra``: columns kept as they are; ``look_at``: columns read for their faults alone; ``raw_from``: columns that
    make up the raw text of a rejected row, where it stands in no line of a file.
    """
    raw = [f"{sql} AS {alias}" for alias, sql in plan.raw]
    raw += [f"CAST({name} AS BIGINT) AS {name}" for name in extra]
    if look_at:
        raw.append(f"{' OR '.join(f'{name} IS NULL' for name in look_at)} AS looked_at")
    if raw_from:
        raw.append(f"concat_ws(' | ', {', '.join(raw_from)}) AS whole_row")
    query = f"SELECT {', '.join(raw)} FROM {relation}"
    for step in range(max((len(cell.steps) for cell in plan.cells), default=0)):
        added = [f"{sql} AS {alias}" for cell in plan.cells for alias, sql in _step(cell.steps, step)]
        query = f"SELECT *, {', '.join(added)} FROM ({query})"
    query = f"SELECT *, {_problem_sql(plan, look_at=bool(look_at))} AS problem FROM ({query})"
    texts = " ".join(
        f"WHEN {number} THEN r_{check.field}"
        for number, check in enumerate(plan.all_checks(), 1)
        if check.field in plan.cell_names
    )
    value = f"CASE WHEN problem IS NOT NULL THEN CASE problem {texts} END END" if texts else "CAST(NULL AS VARCHAR)"
    stored = [alias for cell in plan.cells for alias in cell.stored]
    kept = [*extra, *stored, "problem", f"{value} AS bad_value"]
    if raw_from:
        kept.append("CASE WHEN problem IS NOT NULL THEN whole_row END AS whole_row")
    return f"SELECT {', '.join(kept)} FROM ({query})"


def _problem_sql(plan: RowPlan, *, look_at: bool) -> str:
    """SQL of the number of the first check a row fails, in the order of ``RowPlan.all_checks``.

    One branch per cell, so that a row without fault costs one comparison for a cell and not one for a check.
    """
    number = 0
    parts: list[str] = []

    def arms(checks: Iterable[Check]) -> str:
        nonlocal number
        text = ""
        for check in checks:
            number += 1
            text += f"WHEN {check.condition} THEN {number} "
        return text

    for cell in plan.cells:
        if not cell.failures and not cell.checks:
            continue
        raw = f"r_{cell.name}"
        blank = f"WHEN {raw} IS NULL THEN NULL WHEN ({trimmed_sql(raw, plan.null_values)}) IS NULL THEN NULL"
        failed = f"CASE {blank} {arms(cell.failures)}END" if cell.failures else "NULL"
        parts.append(f"CASE WHEN v_{cell.name} IS NULL THEN {failed} {arms(cell.checks)}END")
    if plan.checks or look_at:
        looked = "WHEN looked_at THEN NULL " if look_at else ""
        parts.append(f"CASE {arms(plan.checks)}{looked}END")
    return f"CAST(coalesce({', '.join([*parts, 'NULL'])}) AS USMALLINT)"


def _step(steps: Sequence[tuple[tuple[str, str], ...]], number: int) -> tuple[tuple[str, str], ...]:
    return steps[number] if number < len(steps) else ()
