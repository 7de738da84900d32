"""Tandem exports: t:connect CSV and XML, Tandem Source CSV and events."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import assert_accounted, everything, parse, parse_file, rejected, rows, source, stored, total

from importers import tandem_csv, tandem_source, tandem_xml
from importers.base import Ignored, Parsed, UnreadableFile

PREAMBLE = """\
Tandem Diabetes Care Inc.
t:connect Therapy Timeline Data Export
Patient Name, Paula Testperson
Patient DOB, 1/1/1990
Report Generated On, 4/24/2021 7:50:04 PM

"""
SENSOR = """\
DeviceType,SerialNumber,Description,EventDateTime,Readings (CGM / BGM)
"t:slim X2 Insulin Pump","11111111","EGV","2021-04-01T00:01:33","235",
"t:slim X2 Insulin Pump","11111111","EGV","2021-04-01T00:06:33","Low",

"""
IOB = """\
Type,EventID,EventDateTime,IOB
"IOB","81","2021-04-01T00:00:19","13.24"

"""
BASAL = """\
Type,EventDateTime,BasalRate
"Basal","2021-04-01T00:00:00","0.800",
"Basal","2021-04-01T06:00:00","0.000",
"Basal","2021-04-01T07:00:00","1.000",
"Basal","2021-04-01T08:00:00","1.000",

"""
BOLUS_NAMES = (
    "Type,Description,BG,IOB,BolusRequestID,BolusCompletionID,CompletionDateTime,InsulinDelivered,FoodDelivered,"
    "CorrectionDelivered,CompletionStatusID,CompletionStatusDesc,BolusIsComplete,BolexCompletionID,BolexSize,"
    "BolexStartDateTime,BolexCompletionDateTime,BolexInsulinDelivered,BolexIOB,BolexCompletionStatusID,"
    "BolexCompletionStatusDesc,ExtendedBolusIsComplete,EventDateTime,RequestDateTime,BolusType,BolusRequestOptions,"
    "StandardPercent,Duration,CarbSize,UserOverride,TargetBG,CorrectionFactor,FoodBolusSize,CorrectionBolusSize,"
    "ActualTotalBolusRequested,IsQuickBolus,EventHistoryReportEventDesc,EventHistoryReportDetails,NoteID,IndexID,Note"
)


def bolus(number: int, start: str, told: str, given: str, **values: str) -> str:
    """A row as the site writes it: everything quoted, one value more after IsQuickBolus, a comma at the end."""
    cells = {
        "Type": "Bolus", "Description": "Standard", "BolusRequestID": f"{number}.000", "RequestDateTime": start,
        "EventDateTime": start, "ActualTotalBolusRequested": told, "InsulinDelivered": given, "IsQuickBolus": "0",
        "CompletionStatusDesc": "Completed", "StandardPercent": "100.00", "Duration": "0", "UserOverride": "0",
        "Note": "Paula called", **values,
    }  # fmt: skip
    names = BOLUS_NAMES.split(",")
    place = names.index("IsQuickBolus") + 1
    row = [*names[:place], "DeclinedCorrection", *names[place:]]
    return ",".join(f'"{cells[name]}"' if cells.get(name) else "" for name in row) + ",\n"


def timeline(*boluses: str, sections: tuple[str, ...] = (SENSOR, IOB, BASAL)) -> str:
    return PREAMBLE + "".join(sections) + BOLUS_NAMES + "\n" + "".join(boluses)


def read(folder: Path, text: str, **keys: Any) -> Parsed:
    parsed = parse(tandem_csv.IMPORTER, folder, text, **keys)
    assert_accounted(parsed)
    return parsed


PLAIN = bolus(7001, "2021-04-01T12:53:36", "13.53", "13.53", CompletionDateTime="2021-04-01T12:58:26", CarbSize="75",
              FoodBolusSize="12.50", CorrectionBolusSize="1.03", BolusType="Carb")  # fmt: skip


def test_programmed_is_what_was_requested_not_the_advice(tmp_path: Path) -> None:
    over = bolus(
        7004, "2021-04-01T16:22:21", "2.00", "2.00", UserOverride="1", FoodBolusSize="0", CorrectionBolusSize="0.22"
    )
    parsed = read(tmp_path, timeline(PLAIN, over))
    plain, overridden = rows(parsed, kind="bolus")
    assert (plain["programmed_amount"], plain["delivered_amount"], plain["delivered_duration_s"]) == (
        Decimal("13.53"), Decimal("13.53"), 290,
    )  # fmt: skip
    assert (overridden["programmed_amount"], overridden["trigger"]) == (Decimal(2), "user")
    advice = rows(parsed, "recommendation")
    assert [(row["recommended_amount"], row["decision"]) for row in advice] == [
        (Decimal("13.53"), "accepted"),
        (Decimal("0.22"), "overridden"),
    ]
    assert plain["device_id"] == "tandem-t_slim_x2-11111111"
    assert parsed.exported_utc == dt.datetime(2021, 4, 24, 19, 50, 4)


def test_trap_9_sections_in_any_order(tmp_path: Path) -> None:
    table = BOLUS_NAMES + "\n" + PLAIN + "\n"
    for order in itertools.permutations((SENSOR, IOB, BASAL, table)):
        parsed = read(tmp_path, PREAMBLE + "".join(order))
        assert (total(parsed, kind="bolus"), len(rows(parsed, "observation", code="glucose"))) == (Decimal("13.53"), 2)


def test_trap_10_shifted_columns_and_trailing_comma(tmp_path: Path) -> None:
    parsed = read(tmp_path, timeline(PLAIN))
    assert rejected(parsed) == []
    assert rows(parsed, kind="bolus")[0]["native_key"] == "bolus:7001@2021-04-01T12:53:36"


def test_extended_bolus_has_two_parts(tmp_path: Path) -> None:
    whole = {"BolusRequestOptions": "Extended", "StandardPercent": "33.00", "Duration": "300", "BolexSize": "4.02",
             "BolexStartDateTime": "2021-04-01T23:16:15", "CompletionDateTime": "2021-04-01T23:16:15"}  # fmt: skip
    finished = {
        "BolexCompletionDateTime": "2021-04-02T04:18:30",
        "BolexInsulinDelivered": "4.02",
        "BolexCompletionStatusDesc": "Completed",
    }
    cut = {
        "BolexCompletionDateTime": "2021-04-02T00:30:00",
        "BolexInsulinDelivered": "0.94",
        "BolexCompletionStatusDesc": "User Aborted",
    }
    states = []
    for ending in (finished, cut, {}):
        parsed = read(tmp_path, timeline(bolus(458, "2021-04-01T23:14:50", "6.00", "1.98", **whole, **ending)))
        now, later = rows(parsed, kind="bolus")
        assert (now["shape"], now["programmed_amount"], now["delivered_amount"]) == (
            "dual_now",
            Decimal("1.98"),
            Decimal("1.98"),
        )
        assert (later["programmed_amount"], later["programmed_duration_s"]) == (Decimal("4.02"), 18_000)
        states.append((later["delivered_amount"], later["status"], later["stop_reason"]))
    # The third has no completion: it crashed other readers, and was still running here.
    assert states == [
        (Decimal("4.02"), "completed", None),
        (Decimal("0.94"), "partial", "user"),
        (None, "in_progress", None),
    ]


def test_commanded_basal(tmp_path: Path) -> None:
    segments = rows(read(tmp_path, timeline(PLAIN)), kind="basal_segment")
    assert [row["delivered_amount"] for row in segments] == [Decimal("4.8"), Decimal(0), Decimal(1)]


def test_unit_of_glucose_comes_from_the_size_of_values(tmp_path: Path) -> None:
    parsed = read(tmp_path, timeline(PLAIN))
    value, low = rows(parsed, "observation", code="glucose")
    assert (value["value"], value["unit"], low["value_text"]) == (235, "mg/dL", "Low")
    assert any("names no unit of glucose" in note for note in parsed.notes)


def test_trap_41_names_and_notes_are_not_read(tmp_path: Path) -> None:
    broken = PLAIN.replace('"13.53"', '"much"')
    parsed = read(tmp_path, timeline(PLAIN, broken), name="CSV_TestpersonPaula_11111111_24Apr2021_1950.csv")
    text = everything(parsed)
    assert "Paula" not in text
    assert "1/1/1990" not in text
    assert [row["reason"] for row in rejected(parsed)] == ["bad_number"]


SOURCE_NAMES = (
    "Type,BolusType,BolusDeliveryMethod,BG (mg/dL),SerialNumber,CompletionDateTime,InsulinDelivered,FoodDelivered,"
    "CorrectionDelivered,CompletionStatusDesc,BolexStartDateTime,BolexCompletionDateTime,BolexInsulinDelivered,"
    "BolexCompletionStatusDesc,StandardPercent,Duration (mins),CarbSize,TargetBG (mg/dL),CorrectionFactor,CarbRatio"
)
SOURCE = f"""\
Tandem Diabetes Care Inc.
Tandem Source
Patient Name, Paula Testperson

DeviceType,SerialNumber,Description,EventDateTime,Readings (mg/dL)
"t:slim X2\u2122 Insulin Pump","1513861","EGV","2026-02-21T00:01:33","135"

{SOURCE_NAMES}
"Bolus","Food","Standard","141","1513861","2026-02-21T00:15:56","5.94","5.94","0","Completed","","","","","100","0","25","110","20","4.2"
"Bolus","Auto","Auto","","1513861","2026-02-21T03:15:56","0.64","0","0.64","Completed","","","","","100","0","0","110","20","4.2"
"Bolus","Food","Standard","","1513861","2026-02-21T09:15:56","1.2","1.2","0","User Aborted",,,,,,,,,,,
"""


def test_tandem_source_has_no_programmed_amount(tmp_path: Path) -> None:
    parsed = read(tmp_path, SOURCE)
    food, automatic, cut = rows(parsed, kind="bolus")
    assert (food["programmed_amount"], food["programmed_basis"], food["delivered_amount"]) == (
        None,
        "none",
        Decimal("5.94"),
    )
    assert (food["time_anchor"], food["start_local"]) == ("end", dt.datetime(2026, 2, 21, 0, 15, 56))
    assert (automatic["trigger"], cut["status"], cut["stop_reason"]) == ("algorithm", "partial", "user")
    found = {row["property"]: row["value"] for row in rows(parsed, "device_property")}
    assert found == {"MANUF": "Tandem", "MODEL": "t:slim X2", "SERIAL": "1513861", "CLASS": "closed_loop"}


@pytest.mark.external
def test_timeline_of_another_project(shared: Path) -> None:
    parsed = parse_file(tandem_csv.IMPORTER, shared / "data/devices/tconnect_therapy_timeline.csv")
    assert_accounted(parsed)
    assert [(row["programmed_amount"], row["delivered_amount"]) for row in rows(parsed)] == [
        (Decimal(amount), Decimal(amount)) for amount in ("13.53", "1.5", "2", "2.5")
    ]
    assert [row["line"] for row in rows(parsed)] == [18, 19, 20, 21]
    _, (counts,) = stored([parsed])
    assert (counts.read, counts.new) == (7, 7)


XML = """\
<GetTherapyData>
  <Event Type="BG" Description="BG" DeviceType="Pump:t:slim" SerialNumber="123456">
    <EventDateTime>2014-05-18T02:52:58</EventDateTime><BG>134</BG><Note>Paula Testperson</Note>
  </Event>
  <Event Type="Bolus" Description="Extended 33.00%/0.00">
    <RequestDateTime>2014-05-17T23:14:50</RequestDateTime><BolusRequestOptions>Extended</BolusRequestOptions>
    <Duration>300</Duration><ActualTotalBolusRequested>6.00</ActualTotalBolusRequested>
    <Standard BolusRequestID="458.000">
      <InsulinDelivered CompletionDateTime="2014-05-17T23:16:15">
                1.98</InsulinDelivered>
      <InsulinRequested>1.98</InsulinRequested><CompletionStatusDesc>Completed</CompletionStatusDesc>
    </Standard>
    <Bolex BolexCompletionID="144676">
      <Size>4.02</Size><BolexStartDateTime>2014-05-17T23:16:15</BolexStartDateTime>
      <InsulinDelivered CompletionDateTime="2014-05-18T04:18:30">0.94</InsulinDelivered>
      <CompletionStatusID>0.00</CompletionStatusID><CompletionStatusDesc>User Aborted</CompletionStatusDesc>
      <InsulinRequested>4.02</InsulinRequested>
    </Bolex>
  </Event>
</GetTherapyData>
"""


def test_xml_parts_have_their_own_lines(tmp_path: Path) -> None:
    parsed = parse(tandem_xml.IMPORTER, tmp_path, XML, name="export.xml")
    assert_accounted(parsed)
    now, later = rows(parsed)
    assert (now["line"], later["line"], now["delivered_amount"]) == (5, 13, Decimal("1.98"))
    assert (later["status"], later["stop_reason"], later["programmed_amount"]) == ("partial", "user", Decimal("4.02"))
    assert now["device_id"] == "tandem-t_slim-123456"
    assert "Paula" not in everything(parsed)


@pytest.mark.parametrize(
    "text",
    [
        XML[:-60],
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><GetTherapyData>&a;</GetTherapyData>',
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><GetTherapyData>&b;</GetTherapyData>',
    ],
)
def test_damaged_or_hostile_xml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableFile, match="breaks off or is no XML"):
        parse(tandem_xml.IMPORTER, tmp_path, text, name="export.xml")


@pytest.mark.external
def test_xml_against_the_expected_output_of_another_project(shared: Path) -> None:
    folder = shared / "data/devices/tandem_tconnect_xml"
    parsed = parse_file(tandem_xml.IMPORTER, folder / "input.xml")
    assert_accounted(parsed)
    assert rejected(parsed) == []
    expected = json.loads((folder / "expected_output.json").read_text())
    glucose = {
        (row["observed_at"].isoformat(), row["value"]) for row in rows(parsed, "observation", code="blood_glucose")
    }
    assert glucose == {(event["deviceTime"], event["value"]) for event in expected if event["type"] == "smbg"}
    segments = {
        row["start_local"].isoformat(): float(row["programmed_rate"]) for row in rows(parsed, kind="basal_segment")
    }
    assert segments == {event["deviceTime"]: event["value"] for event in expected if event["type"] == "basal"}
    # The other project stamps what was delivered with its end, and what was requested with its start.
    ends = {row["end_local"].isoformat(): float(row["delivered_amount"]) for row in rows(parsed, kind="bolus")}
    starts = {row["start_local"].isoformat() for row in rows(parsed, kind="bolus") if row["shape"] != "dual_later"}
    delivered = {
        event["deviceTime"]: event.get("value", event.get("extended"))
        for event in expected
        if event["type"] == "bolus" and event["deviceTime"] not in starts
    }
    assert ends == delivered
    assert total(parsed, kind="bolus") == Decimal("35.48")
    assert total(parsed, "programmed_amount", kind="bolus") == Decimal("40.26")


def event(number: int, seq: int, when: str, **values: Any) -> dict[str, Any]:
    return {"event_id": number, "event_name": "x", "timestamp": when, "seq": seq, **values}


def read_events(folder: Path, events: list[dict[str, Any]], **metadata: Any) -> Parsed:
    document = {
        "pump_event_metadata_response": [
            {
                "tconnectDeviceId": 1,
                "serialNumber": "S1",
                "modelNumber": "001002717",
                "patientName": "Paula",
                **metadata,
            }
        ],
        "pumper_info_response": {"firstName": "Paula", "lastName": "Testperson"},
        "events": events,
    }
    parsed = parse(tandem_source.IMPORTER, folder, json.dumps(document), name="events.json")
    assert_accounted(parsed)
    return parsed


def test_bolus_is_gathered_by_its_number(tmp_path: Path) -> None:
    parsed = read_events(
        tmp_path,
        [
            event(280, 10, "2026-03-04T10:20:21", bolus_id=9850, requested_now_mu=637, bolus_type=8, bolus_source=7),
            event(
                20,
                12,
                "2026-03-04T10:20:59",
                bolus_id=9850,
                completion_status=3,
                insulin_delivered=0.64,
                insulin_requested=0.64,
            ),
            event(
                20,
                14,
                "2026-03-04T12:00:00",
                bolus_id=9851,
                completion_status=1,
                insulin_delivered=0.5,
                insulin_requested=2.0,
            ),
        ],
    )
    first, cut = rows(parsed)
    # Thousandths in one place, hundredths in the other: no difference.
    assert (first["status"], first["programmed_amount"], first["delivered_duration_s"]) == (
        "completed",
        Decimal("0.64"),
        38,
    )
    assert (first["trigger"], first["native_key"]) == ("algorithm", "bolus:9850")
    assert (cut["status"], cut["stop_reason"], cut["time_anchor"]) == ("partial", "alarm_other", "end")
    assert "Paula" not in everything(parsed)
    assert rows(parsed, "device_property", property="CLASS")[0]["value"] == "closed_loop"


def test_extended_bolus_of_events(tmp_path: Path) -> None:
    parsed = read_events(
        tmp_path,
        [
            event(
                280,
                10,
                "2026-03-04T10:20:21",
                bolus_id=7,
                requested_now=2000,
                requested_later=3000,
                extended_duration_requested=60,
            ),
            event(
                20, 12, "2026-03-04T10:22:00", bolus_id=7, completion_status=3, insulin_delivered=2, insulin_requested=2
            ),
            event(59, 13, "2026-03-04T10:22:00", bolus_id=7, bolex_size=3),
            event(
                21,
                20,
                "2026-03-04T10:50:00",
                bolus_id=7,
                completion_status=0,
                insulin_delivered=1.2,
                insulin_requested=3,
            ),
        ],
    )
    now, later = rows(parsed)
    assert (now["shape"], now["delivered_amount"], later["shape"]) == ("dual_now", Decimal(2), "dual_later")
    assert (later["programmed_amount"], later["delivered_amount"], later["stop_reason"]) == (
        Decimal(3),
        Decimal("1.2"),
        "user",
    )
    assert (later["programmed_duration_s"], later["delivered_duration_s"]) == (3600, 1680)


def test_trap_28_thousandths(tmp_path: Path) -> None:
    parsed = read_events(
        tmp_path,
        [
            event(279, 10, "2026-03-04T10:00:00", commanded_rate_mu=1200, commanded_rate=1.2),
            event(279, 11, "2026-03-04T11:00:00", commanded_rate=800),
            event(3, 12, "2026-03-04T12:00:00", commanded_rate=0.5),
            event(256, 13, "2026-03-04T14:00:00", glucose_mgdl=150),
        ],
    )
    assert [row["delivered_amount"] for row in rows(parsed)] == [Decimal("1.2"), Decimal("0.8"), Decimal(1)]


def test_trap_20_events_are_ordered_by_their_sequence(tmp_path: Path) -> None:
    hour = 3_600_000
    parsed = read_events(
        tmp_path,
        [
            event(3, 10, "2026-10-25T02:00:00", commanded_rate=1.0),
            event(13, 11, "2026-10-25T03:00:00", time_prior=3 * hour, time_after=2 * hour),
            event(3, 12, "2026-10-25T02:30:00", commanded_rate=2.0),
            event(256, 13, "2026-10-25T03:30:00", glucose_mgdl=150),
        ],
    )
    first, second = sorted(rows(parsed), key=lambda row: row["line"])
    assert (first["delivered_duration_s"], first["delivered_amount"]) == (5400, Decimal("1.5"))
    assert second["delivered_amount"] == 2
    (change,) = rows(parsed, "device_event", event="clock_change")
    assert json.loads(change["detail"]) == {"old_local": "2026-10-25T03:00:00", "new_local": "2026-10-25T02:00:00"}


def test_trap_23_clock_stops_with_the_pump(tmp_path: Path) -> None:
    parsed = read_events(
        tmp_path,
        [
            event(3, 10, "2026-03-04T10:00:00", commanded_rate=1.0),
            event(53, 11, "2026-03-04T11:00:00", battery_percent=0),
            event(12, 12, "2026-03-04T13:00:00"),
            event(256, 13, "2026-03-04T14:00:00", glucose_mgdl=150),
        ],
    )
    running, off, again = rows(parsed)
    assert [running["delivered_amount"], off["delivered_amount"], again["delivered_amount"]] == [1, 0, 1]
    assert off["stop_reason"] == "power"
    assert [row["event"] for row in rows(parsed, "device_event")] == ["power_off", "resume"]


def test_trap_33_fills_by_their_event(tmp_path: Path) -> None:
    parsed = read_events(
        tmp_path,
        [
            event(63, 1, "2026-03-05T01:18:40", prime_size=11.28),
            event(33, 2, "2026-03-05T01:18:41", insulin_volume=200),
        ],
    )
    (fill,) = rows(parsed)
    assert (fill["kind"], fill["exclude_reason"], fill["delivered_amount"]) == ("prime", "fill", Decimal("11.28"))
    assert rows(parsed, "device_event")[0]["event"] == "refill"


def test_offsets_of_events(tmp_path: Path) -> None:
    stamps = [
        {"pumpDateTime": "2026-03-04T10:20:59", "estimatedDateTime": "2026-03-03T23:50:59Z"},
        {"timestamp": "2026-03-04T10:20:59+10:30"},
        {"timestamp": "2026-03-04T10:20:59+00:00"},
    ]
    for stamp, expected in zip(
        stamps, (dt.datetime(2026, 3, 3, 23, 50, 59), dt.datetime(2026, 3, 3, 23, 50, 59), None), strict=True
    ):
        done = {
            "event_id": 20,
            "seq": 1,
            "bolus_id": 1,
            "completion_status": 3,
            "insulin_delivered": 1,
            "insulin_requested": 1,
        }
        (dose,) = rows(read_events(tmp_path, [{**done, **stamp}]))
        assert dose["start_local"] == dt.datetime(2026, 3, 4, 10, 20, 59)
        assert dose["start_utc"] == expected
        assert dose["utc_offset_min"] == (630 if expected else None)


def test_event_dictionary_is_no_data() -> None:
    head = b'{"events": {"3": {"name": "LID_BASAL_RATE_CHANGE", "data": {}}}}'
    assert isinstance(tandem_source.IMPORTER.recognise("events.json", head), Ignored)


@pytest.mark.external
def test_real_events(shared: Path) -> None:
    folder = shared / "data/devices/tandem_source_json"
    parsed = parse_file(tandem_source.IMPORTER, folder / "known_good_api_response.json")
    (bolus_row,) = rows(parsed, kind="bolus")
    assert (bolus_row["programmed_amount"], bolus_row["delivered_amount"], bolus_row["status"]) == (
        Decimal("0.64"),
        Decimal("0.64"),
        "completed",
    )
    _, (counts,) = stored([parsed])
    assert (counts.read, counts.new, counts.quarantined) == (14, 14, 0)
    rates = parse_file(
        tandem_source.IMPORTER, folder / "basal_events.json", source=source(constants={"device_id": "P"})
    )
    assert [row["delivered_amount"] for row in rows(rates)] == [
        Decimal("0.75"),
        Decimal("0.8"),
        Decimal("0.85"),
        Decimal("0.9"),
    ]
