"""Reading open layouts: each declaration becomes an importer of lists whose rows may fill several canonical tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from importers.cells import Check
from importers.layout_parts import Layout, Output
from importers.mapping import Reading, RowPlan, require_units
from importers.open_layouts import DEVICE_LAYOUTS
from importers.open_lists import LIST_LAYOUTS
from importers.staging import StagedFile
from importers.tabular import Tables, TabularImporter, frame_of
from importers.times import EARLIEST_DOSE, moment_sql
from store.schema import AMOUNT, Table
from store.tables import TABLES

if TYPE_CHECKING:
    import polars as pl

LAYOUTS: tuple[Layout, ...] = (*DEVICE_LAYOUTS, *LIST_LAYOUTS)

_ENDS_OF_UNITS = {"_volume": "volume_unit", "concentration": "concentration_unit", "_rate": "rate_unit"}


def units_of(layout: Layout) -> dict[str, str]:
    """Column of an amount -> column of its unit, for the amounts of the layout that have one."""
    names = set(layout.column_names)
    found = {}
    for column in layout.columns:
        if column.type == AMOUNT:
            unit = next((unit for end, unit in _ENDS_OF_UNITS.items() if column.name.endswith(end)), "amount_unit")
            if unit in names:
                found[column.name] = unit
    return found


def layout_importer(layout: Layout) -> TabularImporter:
    """The importer of one layout."""
    return TabularImporter(
        format=layout.name,
        # Rejected rows name the table they were meant for.
        table=Table(layout.outputs[0].table, layout.title, layout.columns, (), "received"),
        accepted=layout.column_names,
        required=tuple(
            (column.name, f"{column.name} is missing: {column.comment}") for column in layout.columns if column.required
        ),
        recognised_by=layout.told_by,
        make_tables=partial(_make_tables, layout),
        not_with=layout.not_with,
        numbers=tuple(column.name for column in layout.columns if column.type in (AMOUNT, "DOUBLE")),
        more_checks=partial(_check_rows, layout),
        earliest=EARLIEST_DOSE,
    )


def _check_rows(layout: Layout, plan: RowPlan, reading: Reading, header: Sequence[str]) -> None:
    require_units(plan, units_of(layout), reading, header)
    known = _known(layout, plan)
    optional = {column.name for column in layout.columns if not column.required}
    needs_subject = any(
        column.name == "subject_id" and column.required
        for output in layout.outputs
        for column in TABLES[output.table].columns
    )
    if needs_subject and {"subject_id", "device_id"} <= optional:
        missing = f"coalesce({known['subject_id']}, {known['device_id']}) IS NULL"
        plan.checks.append(Check("subject_id", "missing_value", "neither a subject nor a device is stated", missing))
    if layout.empty_row:
        filled = " OR ".join(f"({output.where.format_map(known)})" for output in layout.outputs)
        plan.checks.append(Check(layout.told_by[-1][0], "missing_value", layout.empty_row, f"({filled}) IS NOT TRUE"))


def _known(layout: Layout, plan: RowPlan) -> dict[str, str]:
    """Column of the layout -> SQL of its value: a cell, a constant, or NULL of its type; and ``<name>_precision``."""
    given = dict(plan.shown())
    known = {
        column.name: given.get(column.name, f"CAST(NULL AS {_sql_type(column.type)})") for column in layout.columns
    }
    for column in layout.columns:
        if column.type == "TIMESTAMP":
            said = moment_sql(column.name, "site")["precision"] if column.name in given else "CAST(NULL AS VARCHAR)"
            known[f"{column.name}_precision"] = said
    return known


def _sql_type(kind: str) -> str:
    return kind if kind.isupper() or "(" in kind else "VARCHAR"


def _make_tables(layout: Layout, staged: StagedFile) -> Tables:
    import polars as pl

    known, parts = _known(layout, staged.plan), dict[str, list["pl.DataFrame"]]()
    given = {name for name, _ in staged.plan.shown()}
    for output in layout.outputs:
        rows = frame_of(staged, _columns(output, known, given, staged.plan), output.where.format_map(known))
        parts.setdefault(output.table, []).append(rows)
    return {
        table: frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal").sort("line", maintain_order=True)
        for table, frames in parts.items()
    }


def _columns(output: Output, known: dict[str, str], given: set[str], plan: RowPlan) -> list[tuple[str, str]]:
    columns = [
        (name, template.format_map(known))
        for name, template in output.columns.items()
        # A column the file does not have stays out: what no file fills costs nothing to store.
        if not (template[1:-1] in known and template[1:-1] not in given and not template.endswith("_precision}"))
    ]
    stored = {column.name for column in TABLES[output.table].columns}
    for prefix, name in output.moments.items():
        if name not in given:
            continue
        for what, sql in moment_sql(name, plan.zone).items():
            column = f"{prefix}_{what}" if what in ("local", "utc", "precision") else what
            if column in stored and (prefix == "start" or what in ("local", "utc")):
                columns.append((column, sql))
    return columns


IMPORTERS: tuple[TabularImporter, ...] = tuple(map(layout_importer, LAYOUTS))
