"""CareLink Connect JSON: amounts as text, float noise, unfinished boluses, lost clocks."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import assert_accounted, everything, parse, parse_file, rejected, rows, stored, total

from importers.base import Parsed, UnreadableFile
from importers.carelink import IMPORTER


def marker(kind: str, when: str | None, **values: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": when, "displayTime": when, "data": {"dataValues": values}, "views": []}


def insulin(when: str, told: str, given: str, *, activation: str = "RECOMMENDED", **values: Any) -> dict[str, Any]:
    fast = {"programmedFastAmount": told, "deliveredFastAmount": given, "completed": True, "bolusType": "FAST"}
    return marker("INSULIN", when, activationType=activation, **{**fast, **values})


def read(folder: Path, *markers: dict[str, Any], **state: Any) -> Parsed:
    document = {
        "lastName": "Testperson", "firstName": "Paula", "medicalDeviceFamily": "NGP", "bgUnits": "MGDL",
        "conduitSerialNumber": "1", "lastConduitDateTime": "2025-11-10T21:22:27",
        "currentServerTime": 1_762_827_797_829,
        "medicalDeviceInformation": {
            "manufacturer": "Medtronic", "modelNumber": "MMT-1884", "firmwareRevision": "24.11.9",
            "deviceSerialNumber": "NG1234567H",
        },
        "markers": list(markers), "sgs": [], **state,
    }  # fmt: skip
    parsed = parse(IMPORTER, folder, json.dumps(document), name="data.json")
    assert_accounted(parsed)
    return parsed


def test_amounts_written_as_text(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        insulin("2025-11-10T12:00:00", "3.325", "3.325"),
        insulin("2025-11-10T13:00:00", "0.4", "0.4", activation="AUTOCORRECTION"),
    )
    user, algorithm = rows(parsed)
    assert (user["programmed_amount"], user["delivered_amount"], user["trigger"]) == (
        Decimal("3.325"),
        Decimal("3.325"),
        "calculator",
    )
    assert (algorithm["trigger"], algorithm["intent"], algorithm["shape"]) == ("algorithm", "algorithm", "immediate")
    assert (user["device_id"], user["time_anchor"]) == ("medtronic-mmt_1884-ng1234567h", "point")
    assert parsed.exported_utc == dt.datetime(2025, 11, 11, 2, 23, 17)


def test_trap_29_float_noise(tmp_path: Path) -> None:
    (dose,) = rows(
        read(tmp_path, marker("AUTO_BASAL_DELIVERY", "2025-11-10T12:00:00", bolusAmount="0.10000000149011612"))
    )
    assert (dose["delivered_amount"], dose["shape"], dose["programmed_basis"]) == (Decimal("0.1"), "micro", "none")


def test_unfinished_and_cut_boluses(tmp_path: Path) -> None:
    running = insulin("2025-11-10T21:20:00", "4", "1.5", completed=False)
    cut = insulin("2025-11-10T08:00:00", "4", "1.5", completed=False)
    nothing = insulin("2025-11-10T09:00:00", "4", "0", completed=False)
    assert [row["status"] for row in rows(read(tmp_path, running, cut, nothing))] == [
        "partial",
        "none_delivered",
        "in_progress",
    ]


def test_dual_bolus(tmp_path: Path) -> None:
    values = {
        "programmedExtendedAmount": "2",
        "deliveredExtendedAmount": "1.5",
        "programmedDuration": 60,
        "bolusType": "DUAL",
    }
    now, later = rows(read(tmp_path, insulin("2025-11-10T08:00:00", "3", "3", **values)))
    assert [now["shape"], later["shape"]] == ["dual_now", "dual_later"]
    assert (later["programmed_amount"], later["delivered_amount"], later["status"]) == (
        Decimal(2),
        Decimal("1.5"),
        "partial",
    )
    assert later["programmed_duration_s"] == 3600


def test_trap_24_lost_clock(tmp_path: Path) -> None:
    parsed = read(tmp_path, insulin("2000-12-31T05:00:00", "1", "1"), insulin("2025-11-10T05:00:00.000Z", "1", "1"))
    assert [row["time_uncertain"] for row in rows(parsed)] == [True, None]
    assert total(parsed) == 2
    assert rows(parsed)[1]["start_local"] == dt.datetime(2025, 11, 10, 5)


def test_what_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    parsed = read(
        tmp_path, insulin("2025-11-10T05:00:00", "one", "one"), marker("INSULIN", None), insulin("soon", "1", "1")
    )
    assert [(row["line"], row["reason"]) for row in rejected(parsed)] == [
        (1, "bad_number"),
        (2, "bad_date"),
        (3, "bad_date"),
    ]


def test_sensor_values_and_notifications(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        marker("MEAL", "2025-11-10T10:09:06", amount=54.0),
        sgs=[
            {"sg": 122, "sensorState": "NO_ERROR_MESSAGE", "timestamp": "2025-11-10T21:21:00"},
            {"sg": 0, "sensorState": "WARM_UP", "timestamp": "2025-11-10T21:26:00"},
        ],
        notificationHistory={
            "activeNotifications": [],
            "clearedNotifications": [
                {"faultId": "802", "type": "ALARM", "referenceGUID": "7B-1", "triggeredDateTime": "2025-11-10T13:50:54"}
            ],
        },
    )
    meal, glucose, warming = rows(parsed, "observation")
    assert (meal["code"], meal["value"], meal["unit"]) == ("carbohydrates", 54, "g")
    assert (glucose["value"], glucose["unit"], glucose["valid"]) == (122, "mg/dL", True)
    assert (warming["value"], warming["value_text"], warming["valid"]) == (None, "WARM_UP", False)
    (alarm,) = rows(parsed, "device_event")
    assert (alarm["event"], alarm["code"], alarm["native_key"]) == ("alarm", "ALARM 802", "notification:7B-1")


def test_trap_41_no_person_is_read(tmp_path: Path) -> None:
    text = everything(read(tmp_path, insulin("2025-11-10T05:00:00", "1", "1")))
    assert "Testperson" not in text
    assert "Paula" not in text


def test_truncated_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        parse(IMPORTER, tmp_path, '{"medicalDeviceFamily": "NGP", "markers": [{"type": "INS', name="data.json")


@pytest.mark.external
def test_real_780g_file(shared: Path) -> None:
    parsed = parse_file(IMPORTER, shared / "data/devices/carelink_connect_json/SampleUserV2Data.json")
    assert_accounted(parsed)
    assert rejected(parsed) == []
    boluses = [row for row in rows(parsed) if row["shape"] != "micro"]
    assert (len(boluses), sum(row["delivered_amount"] for row in boluses)) == (11, Decimal("46.5"))
    assert sum(row["programmed_amount"] for row in boluses) == Decimal("46.5")
    assert total(parsed, shape="micro") == Decimal("16.55")
    assert len(rows(parsed, "observation", code="glucose")) == 288
    assert rows(parsed, "device_property", property="CLASS")[0]["value"] == "closed_loop"
    _, (counts,) = stored([parsed])
    assert (counts.read, counts.new, counts.quarantined) == (477, 477, 0)
    assert "lastName" not in everything(parsed)
