"""CareLink CSV with semicolons and decimal commas: Guardian Connect and 700 series, sections and preamble."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import (
    CARELINK_600,
    assert_accounted,
    bolus,
    carelink_table,
    entry,
    everything,
    parse,
    parse_file,
    rejected,
    rows,
    source,
    stored,
    total,
)

from importers.base import Parsed
from importers.carelink import IMPORTER

RENAMED = {"Alarm": "Alert", "BWZ Carb Input (grams)": "BWZ Carb Input (exchanges)"}
COLUMNS_700 = (
    *(RENAMED.get(name, name).replace("mg/dL", "mmol/L") for name in CARELINK_600),
    "BG Source",
    "Estimated Reservoir Volume after Fill (U)",
    "Sensor State",
)
PREAMBLE = (
    "Last Name;First Name;Patient ID;System ID;Start Date;End Date;Device;MiniMed 780G MMT-1886;Hardware Version;A1.01;"
    "Firmware Version;8.13.2\n"
    '"Testperson";"Paula";"S-017";"";"16/07/26 00:00:00";"29/07/26 00:00:00";'
    '"Serial Number";NG0000000X;Software Version;\n'
    "Patient DOB;;;;;;CGM;Guardian(TM) Sensor 3\n\n\n"
)


def comma(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as a German account writes them, headings as the 700 series has them."""
    spelled = {RENAMED.get(name, name).replace("mg/dL", "mmol/L"): value for name, value in row.items()}
    return {
        name: f"{value}".replace(".", ",") if isinstance(value, float) else value for name, value in spelled.items()
    }


def section(label: str, rows: list[dict[str, Any]], *, ending: str = "------- ", first: int = 0) -> str:
    table = carelink_table(map(comma, rows), columns=COLUMNS_700, separator=";", first_index=first)
    table = "\n".join(
        line.replace(";", ",00000;", 1) if place and line else line for place, line in enumerate(table.split("\n"))
    )
    return f"\n-------;MiniMed 780G MMT-1886;{label};NG0000000X;{ending}\n{table}"


PUMP = [
    bolus("2026-07-29 11:00:00", 85, 8.0, source="CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS"),
    bolus("2026-07-29 11:05:31", 85, 8.0, 8.0, source="CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS"),
    entry("2026-07-29 12:00:00", carbs=2.5, advice=8.0),
    entry("2026-07-29 12:01:00", bg=6.4),
    entry("2026-07-29 17:00:00", alarm="SMARTGUARD EXIT, BG REQUIRED"),
    entry("2026-07-29 18:00:00", marker="Insulin: 27,00"),
    entry("2026-07-29 18:00:00", marker="Insulin: 27,00"),
    entry("2026-07-29 18:30:00", marker="Meal: 45,00grams"),
    entry("2026-07-29 18:45:00", marker="Other: called Paula Testperson"),
]
AUTOMATIC = [bolus("2026-07-29 00:00:00", None, 27.895, 27.895, source="CLOSED_LOOP_AUTO_INSULIN")]  # type: ignore[arg-type]
SENSOR = [entry("2026-07-29 18:42:11", sg=6.6), entry("2026-07-29 18:47:11", sg=6.5)]


def read(folder: Path, *, name: str = "Paula Testperson 29.07.2026.csv", **keys: Any) -> Parsed:
    text = (
        PREAMBLE + section("Pump", PUMP) + section("Pump", AUTOMATIC, ending="Aggregated Auto Insulin Data ", first=9)
    )
    text += section("Sensor", SENSOR, first=10)
    parsed = parse(IMPORTER, folder, "\ufeff" + text.replace("\n", "\r\n"), name=name, **keys)
    assert_accounted(parsed)
    return parsed


def test_trap_12_decimal_comma_and_two_conventions_of_dates(tmp_path: Path) -> None:
    parsed = read(tmp_path)
    assert rejected(parsed) == []
    (dose,) = rows(parsed, kind="bolus")
    assert (dose["delivered_amount"], dose["delivered_duration_s"]) == (Decimal(8), 331)
    assert dose["start_local"] == dt.datetime(2026, 7, 29, 11)


def test_trap_6_and_9_sections(tmp_path: Path) -> None:
    parsed = read(tmp_path)
    assert total(parsed) == Decimal(8)
    (day,) = rows(parsed, "control_total")
    assert (day["total_date"], day["measure"], day["reported_total"]) == (
        dt.date(2026, 7, 29),
        "automatic",
        Decimal("27.895"),
    )
    assert [row["value"] for row in rows(parsed, "observation", code="glucose")] == [6.6, 6.5]


def test_trap_9_sections_repeat_in_big_exports(tmp_path: Path) -> None:
    later = [bolus("2026-07-30 11:00:00", 86, 1.0, 1.0, source="MANUAL")]
    text = PREAMBLE + section("Sensor", SENSOR) + section("Pump", PUMP) + section("Pump", later) + section("Sensor", [])
    parsed = parse(IMPORTER, tmp_path, text)
    assert_accounted(parsed)
    assert total(parsed) == 9


def test_trap_14_decimal_comma_inside_text(tmp_path: Path) -> None:
    parsed = read(tmp_path)
    entered = rows(parsed, kind="injection")
    assert [row["delivered_amount"] for row in entered] == [Decimal(27)] * 2
    assert {(row["exclude_reason"], row["delivered_basis"]) for row in entered} == {("manual_entry", "nominal_crf")}
    assert sorted(row["value"] for row in rows(parsed, "observation", code="carbohydrates")) == [2.5, 45.0]
    con, _ = stored([parsed])
    assert con.execute("SELECT count(*) FROM current_dose_event WHERE kind = 'injection'").fetchone() == (1,)


def test_trap_16_units_are_those_of_the_headings(tmp_path: Path) -> None:
    parsed = read(tmp_path)
    assert {(row["code"], row["unit"]) for row in rows(parsed, "observation")} == {
        ("blood_glucose", "mmol/L"),
        ("glucose", "mmol/L"),
        ("carbohydrates", "{exchange}"),
        ("carbohydrates", "g"),
    }


def test_trap_41_no_person_is_read(tmp_path: Path) -> None:
    text = everything(read(tmp_path)).lower()
    assert "testperson" not in text
    assert "paula" not in text
    assert "s-017" not in text


def test_patient_id_is_read_when_the_protocol_maps_it(tmp_path: Path) -> None:
    parsed = read(tmp_path, source=source(columns={"subject_id": "Patient ID"}))
    assert {row["subject_id"] for row in rows(parsed)} == {"S-017"}
    assert "Paula" not in everything(parsed)


def test_device_and_firmware_are_told_apart(tmp_path: Path) -> None:
    parsed = read(tmp_path)
    found = {row["property"]: row["value"] for row in rows(parsed, "device_property")}
    assert found == {
        "MANUF": "Medtronic", "MODEL": "MiniMed 780G MMT-1886", "SERIAL": "NG0000000X", "FIRMWARE": "8.13.2",
        "HARDWARE": "A1.01", "SENSOR": "Guardian(TM) Sensor 3", "CLASS": "closed_loop",
    }  # fmt: skip
    assert {row["device_id"] for row in rows(parsed)} == {"medtronic-mmt_1886-ng0000000x"}


def test_trap_15_translated_headings(tmp_path: Path) -> None:
    dutch = {
        "Date": "Datum", "Time": "Tijd", "Bolus Type": "Bolustype",
        "Bolus Volume Selected (U)": "Geselecteerd bolusvolume (E)",
        "Bolus Volume Delivered (U)": "Afgegeven bolusvolume (E)", "Suspend": "Stoppen",
        "BG Reading (mg/dL)": "BG-meetwaarde (mmol/l)",
    }  # fmt: skip
    columns = [dutch.get(name, name) for name in CARELINK_600]
    row = bolus("2026-07-29 11:00:00", 85, 2.5, 2.5, source="MANUAL")
    log = [{dutch.get(name, name): value for name, value in row.items()}]
    parsed = parse(IMPORTER, tmp_path, carelink_table(log, columns=columns))
    assert (total(parsed), rows(parsed)[0]["amount_unit"]) == (Decimal("2.5"), "[iU]")


@pytest.mark.external
def test_real_guardian_export(shared: Path) -> None:
    parsed = parse_file(IMPORTER, shared / "data/devices/carelink_guardian_eu/export.csv")
    assert_accounted(parsed)
    assert rejected(parsed) == []
    # 24,896 data rows: the one without any value is counted in the notes, the section marker names a device.
    assert parsed.rows_read == 24_896
    assert "1 rows hold settings, screens or network devices." in parsed.notes
    entered = rows(parsed, kind="injection")
    assert (len(entered), {row["exclude_reason"] for row in entered}) == (387, {"manual_entry"})
    assert total(parsed) == 0
    assert len(rows(parsed, "observation", code="glucose")) == 22_149
    con, (counts,) = stored([parsed])
    assert (counts.duplicate, counts.quarantined) == (63, 0)
    assert con.execute("SELECT count(*) FROM current_dose_event").fetchone() == (360,)
    assert {row["property"] for row in rows(parsed, "device_property")} == {"MANUF", "MODEL", "SERIAL"}
    assert "Subject" not in everything(parsed)
