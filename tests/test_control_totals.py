"""Daily totals of a device stand beside the sum of its events, per device and day."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pump_logs import parse, source, stored

from importers import glooko
from importers.base import Importer
from store.tables import TABLES
from store.views_device import CONTROL_TOTAL_CHECK

BASAL = "Timestamp,Insulin type,Duration (minutes),Percentage (%),Rate,Insulin delivered (U),Serial number\n"
DAILY = "Timestamp,Total Bolus (U),Total Insulin (U),Total Basal (U),Serial Number\n"
BOLUS = (
    "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
    "Initial Delivery (U),Extended Delivery (U),Serial Number\n"
)


def compared(*files: tuple[Importer, str, str], folder: Path) -> list[tuple[object, ...]]:
    whose = source(constants={"subject_id": "S1"})
    con, _ = stored([parse(importer, folder, text, name=name, source=whose) for importer, text, name in files])
    for table in ("dose_event", "control_total"):
        held = "SELECT column_name FROM duckdb_columns() WHERE table_name = ?"
        given = {name for (name,) in con.execute(held, [f"current_{table}"]).fetchall()}
        if given:
            both = ", ".join(column.name for column in TABLES[table].columns if column.name in given)
            con.execute(f"INSERT INTO {table} BY NAME SELECT {both} FROM current_{table}")
    con.execute(CONTROL_TOTAL_CHECK.create_sql())
    return con.execute(
        "SELECT measure, reported_total, summed_total, difference, events_without_amount FROM control_total_check"
    ).fetchall()


def test_a_segment_over_midnight_is_shared_by_time(tmp_path: Path) -> None:
    found = compared(
        (glooko.IMPORTER, BASAL + "2026-01-01 22:00,Scheduled,240,,1.0,,S\n2026-01-02 02:00,Scheduled,1320,,1.0,,S\n",
         "basal_data_1.csv"),
        (glooko.IMPORTER, BOLUS + "2026-01-02 08:10,Normal,,,,2.5,,,S\n2026-01-02 09:10,Combo,,,,3.0,1,2,S\n",
         "bolus_data_1.csv"),
        (glooko.IMPORTER, DAILY + "2026-01-02 23:59,5.0,29.5,24.0,S\n", "insulin_data_1.csv"),
        folder=tmp_path,
    )  # fmt: skip
    assert found == [
        ("all", Decimal("29.5"), Decimal("29.5"), Decimal(0), 0),
        ("basal", Decimal(24), Decimal(24), Decimal(0), 0),
        ("bolus", Decimal(5), Decimal("5.5"), Decimal("0.5"), 0),
    ]


def test_a_day_without_events_has_no_sum(tmp_path: Path) -> None:
    [(_, reported, summed, difference, _), *_] = compared(
        (glooko.IMPORTER, DAILY + "2026-01-02 23:59,5.0,29.0,24.0,S\n", "insulin_data_1.csv"), folder=tmp_path
    )
    assert (reported, summed, difference) == (Decimal(29), None, None)
