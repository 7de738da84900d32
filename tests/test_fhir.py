"""FHIR administrations: the official examples with their mistakes, orders beside them, devices and adverse events."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from read_log import counted, everything, read_log, source, table

from importers.base import Ignored, Parsed
from importers.fhir import IMPORTER

FORMAT = "fhir"
PERIOD = {"start": "2024-01-15T04:30:00+01:00", "end": "2024-01-15T05:30:00+01:00"}


def administration(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationAdministration",
        "id": "a1",
        "status": "completed",
        "medicationCodeableConcept": {"text": "Drug A"},
        "subject": {"reference": "Patient/p1", "display": "Anna Muster"},
        "effectivePeriod": PERIOD,
        "dosage": {"dose": {"value": 5, "code": "mg"}},
        **members,
    }


def bundle(folder: Path, *resources: dict[str, Any], **keys: Any) -> Parsed:
    path = folder / "bundle.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}))
    return read_log(path, FORMAT, source(**keys))


@pytest.fixture(scope="module")
def examples(shared: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((shared / "data/devices/fhir_r4").glob("MedicationAdministration-*.json")):
        parsed = read_log(path, FORMAT)
        assert parsed.rejected is None
        [found[path.stem.removeprefix("MedicationAdministration-med")]] = table(parsed).to_dicts()
        assert "Donald" not in everything(parsed) and "Patrick" not in everything(parsed)
    return found


@pytest.mark.external
def test_the_official_examples(examples: dict[str, dict[str, Any]]) -> None:
    assert len(examples) == 14
    shown = {name: (row["delivered_amount"], row["amount_unit"], row["kind"]) for name, row in examples.items()}
    assert shown["admin0301"] == (Decimal(500), "mg", "injection")
    assert shown["admin0302"] == (Decimal(20), "meq", "infusion_segment")
    assert shown["admin0306"] == (Decimal(2), "{tablet}", "ingestion")
    assert shown["admin0308"] == (Decimal(20), "[iU]", "injection")
    assert shown["admin0309"] == (Decimal(1000), "mL", "infusion_segment")
    assert shown["admin0312"] == (Decimal(1), "{patch}", "application")
    assert examples["admin0302"]["delivered_rate"] == Decimal(100)
    assert examples["admin0302"]["rate_unit"] == "mL/h"
    assert examples["admin0301"]["start_utc"] == dt.datetime(2015, 1, 15, 13, 30)
    assert {row["programmed_basis"] for row in examples.values()} == {"none"}


@pytest.mark.external
def test_trap_39_entered_in_error_is_voided_and_on_hold_is_no_dose(examples: dict[str, dict[str, Any]]) -> None:
    assert (examples["admin0303"]["status"], examples["admin0303"]["delivered_amount"]) == ("voided", Decimal("4.5"))
    held = examples["adminexample03"]
    assert (held["status"], held["delivered_amount"], held["delivered_basis"]) == ("none_delivered", None, "none")


@pytest.mark.external
def test_trap_40_dose_per_weight_and_a_time_for_a_rate(examples: dict[str, dict[str, Any]], shared: Path) -> None:
    per_kg = examples["admin0305"]
    assert (per_kg["delivered_amount"], per_kg["amount_unit"]) == (Decimal("1.8"), "mg/kg")
    assert (per_kg["delivered_rate"], per_kg["programmed_duration_s"]) == (None, 1200)
    path = shared / "data/devices/fhir_r4/MedicationAdministration-medadmin0309.json"
    assert counted(read_log(path, FORMAT), "differs from their rate times time") == 1


@pytest.mark.external
def test_devices(shared: Path) -> None:
    found = table(read_log(shared / "data/devices/fhir_r4/uscore_Device-infusion-pump.json", FORMAT), "device_property")
    stated = dict(found.select("property", "value").rows())
    assert set(found["device_id"]) == {"examplemed_inc-ip_2000-ip2000_123456"}
    assert (stated["UDI"], stated["LOT"], stated["SERIAL"]) == ("00812345678901", "LOT789XYZ", "IP2000-123456")


def test_programmed_is_in_the_order(tmp_path: Path) -> None:
    order = {
        "resourceType": "MedicationRequest",
        "id": "r1",
        "status": "active",
        "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 6, "code": "mg"}}]}],
    }
    device = {"resourceType": "Device", "id": "d1", "manufacturer": "Acme", "modelNumber": "P1", "serialNumber": "77"}
    given = administration(request={"reference": "MedicationRequest/r1"}, device=[{"reference": "Device/d1"}])
    parsed = bundle(tmp_path, given, order, device)
    [dose] = table(parsed).to_dicts()
    assert (dose["programmed_amount"], dose["delivered_amount"]) == (Decimal(6), Decimal(5))
    assert (dose["device_id"], dose["drug"], dose["native_key"]) == ("acme-p1-77", "Drug A", "administration-a1")
    assert counted(parsed, "are orders") == 1
    assert dose["subject_id"] is None and "Muster" not in everything(parsed)


def test_the_subject_comes_from_the_mapping(tmp_path: Path) -> None:
    member = {
        "resourceType": "ResearchSubject",
        "identifier": [{"value": "S-01"}],
        "individual": {"reference": "Patient/p1"},
    }
    event = {
        "resourceType": "AdverseEvent",
        "id": "e1",
        "actuality": "actual",
        "event": {"coding": [{"display": "Rash"}]},
        "subject": {"reference": "Patient/p1"},
        "seriousness": {"coding": [{"code": "Non-serious", "display": "Non-serious"}]},
        "severity": {"coding": [{"code": "mild", "display": "Mild"}]},
        "date": "2024-01-29T12:34:56+00:00",
    }
    parsed = bundle(tmp_path, administration(), member, event, columns={"subject_id": "ResearchSubject"})
    assert table(parsed)["subject_id"].to_list() == ["S-01"]
    [found] = table(parsed, "adverse_event").to_dicts()
    assert (found["subject_id"], found["term"], found["event_seq"]) == ("S-01", "Rash", "event-e1")
    assert (found["serious"], found["severity"], found["start_text"]) == (False, "MILD", "2024-01-29T12:34:56")
    unmapped = bundle(tmp_path, administration(), event)
    assert isinstance(unmapped.rejected, pl.DataFrame)
    assert unmapped.rejected["reason"].to_list() == ["unknown_subject"]


def test_newline_delimited_resources_and_what_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "export.ndjson"
    lines = [
        administration(id="1", effectivePeriod=None, effectiveDateTime="2024-01-15"),
        administration(id="2", dosage={"dose": {"value": "8''", "code": "mg"}}),
        administration(id="3", effectivePeriod=None),
        administration(id="4", effectivePeriod={"start": PERIOD["end"], "end": PERIOD["start"]}),
        administration(id="5", status="not-done", dosage=None),
        {"resourceType": "Patient", "id": "p1", "name": [{"family": "Muster"}], "birthDate": "1970-01-01"},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    parsed = read_log(path, FORMAT)
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert parsed.rejected.select("line", "reason").rows() == [
        (2, "bad_number"),
        (3, "missing_value"),
        (4, "impossible_time"),
    ]
    first, undone = table(parsed).to_dicts()
    assert (first["start_precision"], first["start_utc"]) == ("date", None)
    assert (undone["status"], undone["delivered_amount"]) == ("none_delivered", None)
    assert counted(parsed, "of type Patient") == 1
    assert "1970" not in everything(parsed) and "Muster" not in everything(parsed)


def test_the_names_of_release_5(tmp_path: Path) -> None:
    newer = administration(medication={"concept": {"text": "Drug B"}}, occurencePeriod=PERIOD)
    newer = {key: value for key, value in newer.items() if key not in ("medicationCodeableConcept", "effectivePeriod")}
    [dose] = table(bundle(tmp_path, newer)).to_dicts()
    assert (dose["drug"], dose["delivered_duration_s"]) == ("Drug B", 3600)


def test_a_rate_gives_the_amount_that_is_not_stated(tmp_path: Path) -> None:
    ratio = {"numerator": {"value": 50, "code": "mL"}, "denominator": {"value": 1, "code": "h"}}
    [dose] = table(bundle(tmp_path, administration(dosage={"rateRatio": ratio}))).to_dicts()
    assert (dose["delivered_amount"], dose["amount_unit"], dose["delivered_basis"]) == (
        Decimal(50),
        "mL",
        "rate_x_time",
    )


def test_other_resources_are_no_data() -> None:
    assert isinstance(IMPORTER.recognise("x.json", b'{"resourceType": "Patient", "id": "1"}'), Ignored)
    assert IMPORTER.recognise("x.json", b'{"type": "Patient"}') is None
