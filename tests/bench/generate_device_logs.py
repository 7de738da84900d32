"""Device logs of any size for the import benchmark, one per format, every one of real shape. The same arguments give
the same bytes.

    python tests/bench/generate_device_logs.py FOLDER --rows 1000000 --records 100000
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CARELINK_COLUMNS = (
    "Index,Date,Time,New Device Time,BG Reading (mg/dL),Linked BG Meter ID,Basal Rate (U/h),Temp Basal Amount,"
    "Temp Basal Type,Temp Basal Duration (h:mm:ss),Bolus Type,Bolus Volume Selected (U),Bolus Volume Delivered (U),"
    "Bolus Duration (h:mm:ss),Prime Type,Prime Volume Delivered (U),Alarm,Suspend,Rewind,BWZ Estimate (U),"
    "BWZ Target High BG (mg/dL),BWZ Target Low BG (mg/dL),BWZ Carb Ratio (g/U),BWZ Insulin Sensitivity (mg/dL/U),"
    "BWZ Carb Input (grams),BWZ BG Input (mg/dL),BWZ Correction Estimate (U),BWZ Food Estimate (U),"
    "BWZ Active Insulin (U),Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),ISIG Value,Event Marker,Bolus Number,"
    "Bolus Cancellation Reason,BWZ Unabsorbed Insulin Total (U),Final Bolus Estimate,Scroll Step Size,"
    "Insulin Action Curve Time,Sensor Calibration Rejected Reason,Preset Bolus,Bolus Source,"
    "Network Device Associated Reason,Network Device Disassociated Reason,Network Device Disconnected Reason,"
    "Sensor Exception,Preset Temp Basal Name"
).split(",")
_START = dt.datetime(2013, 1, 1)
_STEP = dt.timedelta(minutes=5)


def generate_carelink(path: Path, *, rows: int, seed: int = 670) -> None:
    """A CareLink export of the 600 series, newest row first: two of three rows are micro-boluses, one in thirty is a
    bolus told and given in two rows, the others glucose, basal rates and alarms.
    """
    chance = random.Random(seed)
    place = {name: index for index, name in enumerate(CARELINK_COLUMNS)}
    made: list[list[str]] = []
    now, number = _START, 0

    def row(**cells: str) -> None:
        values = [""] * len(CARELINK_COLUMNS)
        values[place["Date"]], values[place["Time"]] = f"{now:%Y/%m/%d}", f"{now:%H:%M:%S}"
        for name, value in cells.items():
            values[place[_SHORT[name]]] = value
        made.append(values)

    while len(made) < rows:
        now += dt.timedelta(seconds=chance.randint(60, 300))
        kind = chance.random()
        if kind < 0.62:
            number = (number + 1) % 256
            amount = f"{chance.randint(1, 20) * 0.025:.3f}"
            micro = {"number": str(number), "source": "CLOSED_LOOP_MICRO_BOLUS", "type": "Normal"}
            row(selected=amount, delivered=amount, **micro)
        elif kind < 0.66:
            number = (number + 1) % 256
            amount = f"{chance.randint(10, 120) * 0.1:.2f}"
            told = {"selected": amount, "number": str(number), "source": "BOLUS_WIZARD", "type": "Normal"}
            row(advice=amount, carbs="45", **told)
            now += dt.timedelta(seconds=40)
            row(delivered=amount, **told)
        elif kind < 0.86:
            row(sensor=str(chance.randint(50, 300)), isig="20.1")
        elif kind < 0.92:
            row(meter=str(chance.randint(50, 300)))
        elif kind < 0.97:
            row(basal=f"{chance.randint(1, 60) * 0.025:.3f}")
        else:
            row(alarm="ALERT ON LOW")
    with path.open("w") as target:
        target.write(",".join(CARELINK_COLUMNS) + "\n")
        for index, values in enumerate(reversed(made[:rows])):
            values[0] = str(index)
            target.write(",".join(values) + "\n")


_SHORT = {
    "type": "Bolus Type", "selected": "Bolus Volume Selected (U)", "delivered": "Bolus Volume Delivered (U)",
    "number": "Bolus Number", "source": "Bolus Source", "advice": "BWZ Estimate (U)", "carbs": "BWZ Carb Input (grams)",
    "sensor": "Sensor Glucose (mg/dL)", "isig": "ISIG Value", "meter": "BG Reading (mg/dL)",
    "basal": "Basal Rate (U/h)", "alarm": "Alarm",
}  # fmt: skip


def _times(records: int) -> Iterator[tuple[int, dt.datetime]]:
    return ((number, _START + number * _STEP) for number in range(records))


def _iso(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def nightscout(records: int) -> Iterator[dict[str, Any]]:
    """Treatments as AAPS, Loop and Trio write them: micro-boluses, temporary rates, meals."""
    for number, at in _times(records):
        shared = {"_id": f"{number:024x}", "created_at": _iso(at), "utcOffset": 60, "carbs": None, "notes": None}
        mills = round((at - dt.datetime(1970, 1, 1)).total_seconds() * 1000)
        if number % 3 == 0:
            yield {**shared, "eventType": "Correction Bolus", "insulin": 0.15, "type": "SMB", "isSMB": True,
                   "isValid": True, "date": mills, "pumpId": mills, "pumpType": "OMNIPOD_DASH", "pumpSerial": "4241",
                   "enteredBy": "openaps://AndroidAPS", "app": "AAPS", "identifier": f"{number:032x}"}  # fmt: skip
        elif number % 3 == 1:
            yield {**shared, "eventType": "Temp Basal", "rate": 1.25, "absolute": 1.25, "duration": 30, "insulin": None,
                   "temp": "absolute", "automatic": True, "syncIdentifier": f"{number:032x}", "amount": 0.1,
                   "enteredBy": "loop://iPhone", "timestamp": _iso(at)}  # fmt: skip
        else:
            yield {**shared, "eventType": "Meal Bolus", "insulin": 4.5, "carbs": 45, "enteredBy": "Trio",
                   "id": f"{number:032X}", "insulinType": "Rapid"}  # fmt: skip


def tidepool(records: int) -> Iterator[dict[str, Any]]:
    """Boluses, basal segments and glucose of one pump."""
    for number, at in _times(records):
        shared = {
            "time": _iso(at), "deviceTime": f"{at - dt.timedelta(hours=4):%Y-%m-%dT%H:%M:%S}", "timezoneOffset": -240,
            "conversionOffset": 0, "clockDriftOffset": 0, "deviceId": "tandemCIQ1002717664049",
            "uploadId": "upid_0123456789ab", "guid": f"g{number:030x}", "id": f"{number:032x}",
            "payload": {"logIndices": [number]},
        }  # fmt: skip
        yield {
            **shared,
            **(
                {"type": "bolus", "subType": "normal", "normal": 1.25},
                {"type": "basal", "deliveryType": "automated", "rate": 0.85, "duration": 300_000},
                {"type": "cbg", "value": 6.3, "units": "mmol/L"},
                {"type": "cbg", "value": 7.1, "units": "mmol/L"},
            )[number % 4],
        }


def loop_doses(records: int) -> Iterator[dict[str, Any]]:
    """Temporary rates with what reached the body."""
    for number, at in _times(records):
        end = at + _STEP
        yield {
            "start_at": f"{at:%Y-%m-%dT%H:%M:%S}", "end_at": f"{end:%Y-%m-%dT%H:%M:%S}", "type": "TempBasal",
            "amount": 0.906040 + number % 7 / 10, "unit": "U/hour", "scheduled": 0.9, "delivered": 0.1,
        }  # fmt: skip


def tandem_events(records: int) -> Iterator[dict[str, Any]]:
    """A pump's own log: sensor values and basal rates every five minutes, a bolus now and then."""
    for number, at in _times(records):
        shared = {"timestamp": f"{at:%Y-%m-%dT%H:%M:%S}", "seq": number + 1}
        if number % 2:
            yield {**shared, "event_id": 256, "event_name": "CGMDataGXB", "glucose_mgdl": 100 + number % 90, "rate": 1}
        elif number % 30 == 0:
            yield {**shared, "event_id": 20, "event_name": "BolusCompleted", "bolus_id": number // 30 + 1, "iob": 2.5,
                   "insulin_requested": 3.2, "insulin_delivered": 3.2, "completion_status": 3}  # fmt: skip
        else:
            yield {**shared, "event_id": 279, "event_name": "BasalDelivery", "commanded_rate_mu": 800 + number % 700,
                   "commanded_rate": 0.8, "commanded_source": 3}  # fmt: skip


def fhir(records: int) -> Iterator[dict[str, Any]]:
    """Administrations as an NDJSON export holds them."""
    for number, at in _times(records):
        yield {
            "resourceType": "MedicationAdministration", "id": f"a{number}", "status": "completed",
            "medicationCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "67866001",
                                                      "display": "Insulin (substance)"}]},
            "subject": {"reference": f"Patient/p{number % 40}"}, "device": [{"reference": "Device/pump1"}],
            "effectivePeriod": {"start": _iso(at), "end": _iso(at + _STEP)},
            "dosage": {
                "route": {"text": "IV"}, "dose": {"value": 5.25, "unit": "mL", "code": "mL"},
                "rateRatio": {"numerator": {"value": 63, "code": "mL"}, "denominator": {"value": 1, "code": "h"}},
            },
        }  # fmt: skip


JSON_LOGS: dict[str, Callable[[int], Iterator[dict[str, Any]]]] = {
    "nightscout.json": nightscout,
    "tidepool.json": tidepool,
    "loop_doses.json": loop_doses,
    "tandem_source.json": tandem_events,
    "fhir.ndjson": fhir,
}


def generate_json(path: Path, records: int) -> None:
    """A list of records, or one per line for a name that ends in ndjson."""
    lines = (json.dumps(record) for record in JSON_LOGS[path.name](records))
    with path.open("w") as target:
        if path.suffix == ".ndjson":
            target.writelines(f"{line}\n" for line in lines)
        else:
            target.write("[")
            for number, line in enumerate(lines):
                target.write(f"{',' if number else ''}\n{line}")
            target.write("\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=100_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    generate_carelink(arguments.folder / "carelink.csv", rows=arguments.rows)
    for name in JSON_LOGS:
        generate_json(arguments.folder / name, arguments.records)


if __name__ == "__main__":
    main()
