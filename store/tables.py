"""All canonical tables, in the order they are built and documented."""

from __future__ import annotations

from store.schema import Table
from store.tables_analysis import ANALYSIS_TABLES
from store.tables_desk import DESK_TABLES
from store.tables_device import DEVICE_TABLES
from store.tables_dose import DOSE_TABLES
from store.tables_safety import SAFETY_TABLES
from store.tables_study import STUDY_TABLES
from store.tables_subject import SUBJECT_TABLES

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *SUBJECT_TABLES,
        *DOSE_TABLES,
        *DEVICE_TABLES,
        *SAFETY_TABLES,
        *ANALYSIS_TABLES,
        *DESK_TABLES,
        *STUDY_TABLES,
    )
}

RECEIVED: tuple[Table, ...] = tuple(table for table in TABLES.values() if table.origin == "received")
"""Tables an importer may fill."""
