"""Traps 1-7 and 26-34 of device logs: which rows make one dose, what its amounts mean, what is no dose at all."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pump_logs import bolus, carelink_table, entry, parse, parse_file, rows, source, stored, total

from importers import (
    carelink,
    diasend,
    fhir,
    glooko,
    jaeb,
    loop_doses,
    nightscout,
    novopen,
    tandem_csv,
    tandem_source,
    tidepool,
)  # fmt: skip
from importers.base import Importer, Parsed

AT = "2024-05-01T08:00:00.000Z"


def as_json(importer: Importer, folder: Path, *records: dict[str, Any]) -> Parsed:
    return parse(importer, folder, json.dumps(list(records)), name="export.json")


def as_carelink(folder: Path, *log: dict[str, Any]) -> Parsed:
    return parse(carelink.IMPORTER, folder, carelink_table(log))


@pytest.fixture(scope="module")
def real_670g(shared: Path) -> Parsed:
    return parse_file(carelink.IMPORTER, shared / "data/devices/carelink_670g/Insulin_patient2.csv")


@pytest.mark.external
def test_trap_1_summing_what_was_selected_overstates(real_670g: Parsed) -> None:
    """Naively summed: 5813.7 U; true: 3553.21 U programmed, 3535.11 U delivered in 14,998 boluses."""
    assert total(real_670g, "programmed_amount", kind="bolus") == Decimal("3553.21")
    assert total(real_670g, kind="bolus") == Decimal("3535.11")
    assert len(rows(real_670g, kind="bolus")) == 14_998


def test_trap_2_a_number_of_one_byte_is_no_key(tmp_path: Path) -> None:
    """600 doses on 256 numbers, each told and given: 600 keys, no pair across the wrap."""
    start = dt.datetime(2018, 1, 1)
    log: list[dict[str, Any]] = []
    for place in range(600):
        told = start + dt.timedelta(minutes=3 * place)
        done = told + dt.timedelta(seconds=90)
        number, amount = place % 256, 1 + place % 7 / 10
        log.append(bolus(f"{told:%Y-%m-%d %H:%M:%S}", number, amount))
        log.append(bolus(f"{done:%Y-%m-%d %H:%M:%S}", number, amount, amount))
    doses = rows(as_carelink(tmp_path, *log), kind="bolus")
    assert len(doses) == len({dose["native_key"] for dose in doses}) == 600
    assert {dose["delivered_duration_s"] for dose in doses} == {90}


def test_trap_3_a_pair_is_neither_a_minute_nor_a_day_apart(tmp_path: Path) -> None:
    long = "2018-01-01 08:00:00"
    parsed = as_carelink(
        tmp_path,
        bolus(long, 5, 3.5, type="Dual (square part)", length="3:00:00"),
        bolus("2018-01-01 09:36:04", 5, 3.5, 1.8, type="Dual (square part)", length="3:00:00"),
        bolus("2018-01-03 08:00:00", 9, 2.0),
        bolus("2018-01-03 20:00:00", 9, 2.0, 2.0),
    )
    square, told, given = rows(parsed, kind="bolus")
    assert (square["start_local"], square["delivered_duration_s"]) == (dt.datetime(2018, 1, 1, 8), 5764)
    assert (told["delivered_amount"], given["time_anchor"]) == (None, "end")


def test_trap_4_the_reason_is_a_row_of_its_own(tmp_path: Path) -> None:
    """A second early or late still explains; a reason without a short dose and a short dose without one stay."""
    log = []
    for hour, shift in ((8, -1), (10, 0), (12, 1)):
        log += [
            bolus(f"2018-01-01 {hour:02}:00:00", hour, 4.0),
            bolus(f"2018-01-01 {hour:02}:02:00", hour, 4.0, 1.0),
            entry(
                f"{dt.datetime(2018, 1, 1, hour, 2) + dt.timedelta(seconds=shift):%Y-%m-%d %H:%M:%S}",
                reason="User Request",
                number=hour,
            ),
        ]
    log += [bolus("2018-01-01 14:00:00", 14, 4.0), bolus("2018-01-01 14:02:00", 14, 4.0, 1.0)]
    log += [entry("2018-01-01 16:00:00", reason="Alarm", number=16)]
    parsed = as_carelink(tmp_path, *log)
    assert [dose["stop_reason"] for dose in rows(parsed, kind="bolus")] == ["user", "user", "user", None]
    assert len(rows(parsed, "device_event", event="bolus_stopped")) == 4


def test_trap_5_zero_blank_and_missing_are_three_doses(tmp_path: Path) -> None:
    pump = as_carelink(
        tmp_path,
        bolus("2018-01-01 08:00:00", 1, 0.15),
        bolus("2018-01-01 08:00:10", 1, 0.15, 0),
        bolus("2018-01-01 12:00:00", 2, 2.0),
        entry("2018-01-02 12:00:00", bg=100),
    )
    assert [row["delivered_amount"] for row in rows(pump)] == [Decimal(0), None]
    app = as_json(
        nightscout.IMPORTER,
        tmp_path,
        {"_id": "1", "eventType": "Correction Bolus", "created_at": AT, "insulin": 0, "programmed": 1},
        {"_id": "2", "eventType": "Carb Correction", "created_at": AT, "insulin": None, "carbs": 20},
        {"_id": "3", "eventType": "Meal Bolus", "created_at": AT, "insulin": "", "carbs": 20},
    )
    assert [row["delivered_amount"] for row in rows(app)] == [Decimal(0)]
    cloud = as_json(
        tidepool.IMPORTER,
        tmp_path,
        {"type": "bolus", "time": AT, "deviceId": "a", "id": "1", "normal": 0, "expectedNormal": 2},
    )
    assert [(row["delivered_amount"], row["status"]) for row in rows(cloud)] == [(Decimal(0), "none_delivered")]


def test_trap_6_totals_of_a_day_are_control_totals(tmp_path: Path) -> None:
    automatic = bolus("2018-01-01 00:00:00", None, 27.9, 27.9, source="CLOSED_LOOP_AUTO_INSULIN")  # type: ignore[arg-type]
    cloud = "Timestamp,Total Bolus (U),Total Insulin (U),Total Basal (U),Serial Number\n2026-01-01 23:59,20,45,25,S\n"
    sheet = "Time,Basal Amount (U/h),Bolus Type,Bolus Volume (U),Total daily dose\n05/11/2013 23:59,,,,31.5\n"
    for parsed in (
        as_carelink(tmp_path, automatic),
        parse(glooko.IMPORTER, tmp_path, cloud, name="insulin_data_1.csv"),
        parse(diasend.IMPORTER, tmp_path, sheet, name="Insulin-use-and-carbs.csv"),
    ):
        assert total(parsed) == 0
        assert rows(parsed, "control_total")


@pytest.mark.external
def test_trap_7_micro_boluses_carry_what_was_told_themselves(real_670g: Parsed) -> None:
    micro = rows(real_670g, shape="micro")
    assert len(micro) == 14_439
    assert {row["programmed_basis"] for row in micro} == {"reported"}
    assert sum(row["delivered_amount"] < row["programmed_amount"] for row in micro) > 0


def test_trap_26_a_dose_that_comes_again(tmp_path: Path) -> None:
    """Overlapping exports: equal rows are duplicates; two equal doses at one moment in one file stay two."""
    log = [
        bolus(f"2018-01-01 {8 + place:02}:00:00", place, 1.0, 1.0, source="CLOSED_LOOP_MICRO_BOLUS")
        for place in range(6)
    ]
    pump = source(constants={"device_id": "pump-1"})
    first, second = (
        parse(carelink.IMPORTER, tmp_path, carelink_table(part), name=f"{name}.csv", source=pump)
        for name, part in (("a", log[:4]), ("b", log[2:]))
    )
    con, counts = stored([first, second])
    assert con.execute("SELECT count(*), sum(delivered_amount) FROM current_dose_event").fetchone() == (6, 6)
    assert [count.duplicate for count in counts][0] == 0 and counts[1].duplicate >= 2
    text = (
        "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
        "Initial Delivery (U),Extended Delivery (U),Serial Number\n" + "2026-01-01 08:10,Normal,,,,2.0,,,S\n" * 2
    )
    hub = parse(glooko.IMPORTER, tmp_path, text, name="bolus_data_1.csv")
    con, (count,) = stored([hub])
    assert (con.execute("SELECT count(*) FROM current_dose_event").fetchone(), count.duplicate) == ((2,), 0)


def test_trap_27_an_hour_and_a_half_in_every_unit(tmp_path: Path) -> None:
    """Durations in ms (Tidepool), minutes (Nightscout, Diasend, Tandem), h:mm:ss (CareLink), ISO times (FHIR)."""
    extended = {"type": "bolus", "subType": "square", "time": AT, "deviceId": "a", "id": "1", "extended": 3}
    combo = {"eventType": "Combo Bolus", "created_at": AT, "insulin": 0, "enteredinsulin": 3, "splitExt": 100}
    period = {"start": "2024-05-01T08:00:00Z", "end": "2024-05-01T09:30:00Z"}
    given = {"resourceType": "MedicationAdministration", "id": "m", "status": "completed", "effectivePeriod": period}
    sheet = (
        "Time,Basal Amount (U/h),Bolus Type,Bolus Volume (U),Immediate Volume (U),Extended Volume (U),Duration (min)\n"
    )
    found = [
        rows(as_json(tidepool.IMPORTER, tmp_path, {**extended, "duration": 5_400_000}))[0]["delivered_duration_s"],
        rows(as_json(nightscout.IMPORTER, tmp_path, {**combo, "duration": 90}))[0]["programmed_duration_s"],
        rows(as_json(nightscout.IMPORTER, tmp_path, {
            "eventType": "Temp Basal", "created_at": AT, "rate": 1, "duration": 90.4,
            "durationInMilliseconds": 5_400_000,
        }))[0]["delivered_duration_s"],
        rows(parse(diasend.IMPORTER, tmp_path, sheet + "05/11/2013 07:44,,Extended,3,0,3,90\n",
                   name="Insulin-use-and-carbs.csv"))[0]["programmed_duration_s"],
        rows(as_carelink(tmp_path, bolus("2018-01-01 08:00:00", 1, 3, type="Square", length="1:30:00"),
                         bolus("2018-01-01 09:30:00", 1, 3, 3, type="Square", length="1:30:00")))[0][
            "programmed_duration_s"],
        rows(parse(fhir.IMPORTER, tmp_path, json.dumps({**given, "dosage": {"dose": {"value": 3, "unit": "U"}}}),
                   name="m.json"))[0]["delivered_duration_s"],
        rows(as_json(loop_doses.IMPORTER, tmp_path, {
            "type": "TempBasal", "unit": "U/hour", "amount": 2, "start_at": "2024-05-01T08:00:00",
            "end_at": "2024-05-01T09:30:00",
        }))[0]["delivered_duration_s"],
    ]  # fmt: skip
    assert found == [5400] * len(found)


def test_trap_28_one_dose_in_every_scale(tmp_path: Path) -> None:
    """Units (CareLink), thousandths (Tandem events), tenths (NovoPen), float32 text (CareLink Connect)."""
    events = [
        {"event_id": 280, "event_name": "BolusDelivery", "timestamp": "2026-03-04T10:00:00", "seq": 1, "bolus_id": 7,
         "requested_now_mu": 650, "bolus_delivery_status": "Started"},
        {"event_id": 20, "event_name": "BolusCompleted", "timestamp": "2026-03-04T10:01:00", "seq": 2, "bolus_id": 7,
         "insulin_requested": 0.65, "insulin_delivered": 0.65, "completion_status": 3},
    ]  # fmt: skip
    pen = "Serial;Timestamp;Time;Value\nABC1;1714557600000;2024-05-01T12:00:00+02:00;65\n"
    pump = rows(as_json(tandem_source.IMPORTER, tmp_path, *events))[0]
    assert (pump["programmed_amount"], pump["delivered_amount"]) == (Decimal("0.65"), Decimal("0.65"))
    assert total(parse(novopen.IMPORTER, tmp_path, pen, name="pen.csv")) == Decimal("6.5")


@pytest.mark.external
def test_trap_29_noise_of_floats_is_no_dose(tmp_path: Path, shared: Path) -> None:
    connect = parse_file(carelink.IMPORTER, shared / "data/devices/carelink_connect_json/SampleUserV2Data.json")
    amounts = {row["delivered_amount"] for row in rows(connect) if row["delivered_amount"] is not None}
    assert {amount % Decimal("0.025") for amount in amounts} == {Decimal(0)}
    noisy = as_json(
        nightscout.IMPORTER,
        tmp_path,
        {"_id": "1", "eventType": "SMB", "created_at": AT, "insulin": 0.10000000149011612},
        {"_id": "2", "eventType": "SMB", "created_at": AT, "insulin": 5.397605e-79},
    )
    assert [row["delivered_amount"] for row in rows(noisy)] == [Decimal("0.1"), Decimal(0)]


def test_trap_30_extended_parts_keep_their_own_time(tmp_path: Path) -> None:
    """Stamped at the end (JAEB) the start is counted back; an extended dose cut at midnight stays two records."""
    table = "PtID|DeviceDtTm|BolusAmount|BolusType|Duration|ExtendedBolusPortion\n1|3/5/2021 12:30:00 AM|1.5|Extended|60|Later\n"  # noqa: E501
    (later,) = rows(parse(jaeb.IMPORTER, tmp_path, table, name="bolus.txt"))
    assert (later["start_local"], later["time_anchor"]) == (dt.datetime(2021, 3, 4, 23, 30), "end")
    half = {"type": "bolus", "subType": "square", "deviceId": "pod", "duration": 1_800_000}
    parts = as_json(
        tidepool.IMPORTER,
        tmp_path,
        {**half, "time": "2024-05-01T23:30:00.000Z", "id": "1", "extended": 1},
        {**half, "time": "2024-05-02T00:00:00.000Z", "id": "2", "extended": 1.5},
    )
    assert [row["delivered_amount"] for row in rows(parts)] == [Decimal(1), Decimal("1.5")]


def test_trap_31_percent_of_what(tmp_path: Path) -> None:
    """Relative (Nightscout), absolute, AAPS' rate beside a percentage; a percentage of an unknown rate is no amount."""
    temp = {"eventType": "Temp Basal", "duration": 60}
    parsed = as_json(
        nightscout.IMPORTER,
        tmp_path,
        {**temp, "_id": "1", "created_at": "2024-05-01T08:00:00Z", "percent": -100},
        {**temp, "_id": "2", "created_at": "2024-05-01T10:00:00Z", "percent": 50},
        {**temp, "_id": "3", "created_at": "2024-05-01T12:00:00Z", "absolute": 0.8, "rate": 0.8},
        {**temp, "_id": "4", "created_at": "2024-05-01T14:00:00Z", "percent": -20, "rate": 0.64},
    )
    assert [row["delivered_amount"] for row in rows(parsed)] == [Decimal(0), None, Decimal("0.8"), Decimal("0.64")]


def test_trap_32_no_rate_is_carried_over_days_without_data(tmp_path: Path) -> None:
    log = [entry("2018-01-01 08:00:00", basal=1.0), entry("2018-01-01 10:00:00", bg=100)]
    log += [entry("2018-09-08 08:00:00", bg=100), entry("2018-09-08 09:00:00", basal=0.5)]
    log += [entry("2018-09-08 11:00:00", bg=100)]
    assert total(as_carelink(tmp_path, *log)) == Decimal(2) + Decimal(1)
    text = (
        "Tandem Diabetes Care Inc.\n\nDeviceType,SerialNumber,Description,EventDateTime,Readings (CGM / BGM)\n"
        '"t:slim X2 Insulin Pump","1","EGV","2021-04-01T00:01:33","235",\n"t:slim X2 Insulin Pump","1","EGV",'
        '"2021-04-20T00:01:33","235",\n\nType,EventDateTime,BasalRate\n"Basal","2021-04-01T00:00:00","0.800",\n'
        '"Basal","2021-04-20T00:00:00","0.500",\n'
    )
    parsed = parse(tandem_csv.IMPORTER, tmp_path, text, name="timeline.csv")
    assert total(parsed) < Decimal(1)


def test_trap_33_what_only_leaves_the_reservoir_is_no_dose(tmp_path: Path) -> None:
    """Fills and air shots stay visible, with the reason they are no doses; an assumed one says so in the notes."""
    fill = {"event_id": 61, "event_name": "CannulaFilled", "timestamp": "2026-03-04T10:00:00", "seq": 1}
    pen = (
        "Serial;Timestamp;Time;Value\nABC1;1714557600000;2024-05-01T12:00:00+02:00;20\n"
        "ABC1;1714557630000;2024-05-01T12:00:30+02:00;85\n"
    )
    prime = {"type": "deviceEvent", "subType": "prime", "time": AT, "deviceId": "a", "id": "1", "volume": 0.3}
    flagged = {"_id": "1", "eventType": "Bolus", "created_at": AT, "insulin": 0.5, "type": "PRIMING"}
    assumed = parse(novopen.IMPORTER, tmp_path, pen, name="pen.csv")
    for parsed, reason in (
        (as_carelink(tmp_path, entry("2018-01-01 08:00:00", prime="Cannula Fill", primed=0.3)), "fill"),
        (as_json(tandem_source.IMPORTER, tmp_path, {**fill, "prime_size": 0.3}), "fill"),
        (as_json(tidepool.IMPORTER, tmp_path, prime), "prime"),
        (as_json(nightscout.IMPORTER, tmp_path, flagged), "prime"),
        (assumed, "air_shot"),
    ):
        assert rows(parsed)[0]["exclude_reason"] == reason
        assert total(parsed) in (Decimal(0), Decimal("8.5"))
    assert any("air shot" in note for note in assumed.notes)


def test_trap_34_what_a_person_typed_is_kept_apart(tmp_path: Path) -> None:
    typed = [
        as_carelink(tmp_path, entry("2018-01-01 08:00:00", marker="Insulin: 27,00")),
        as_json(
            nightscout.IMPORTER,
            tmp_path,
            {"_id": "1", "eventType": "External Insulin", "created_at": AT, "insulin": 5, "enteredBy": "Trio"},
        ),
        as_json(
            tidepool.IMPORTER,
            tmp_path,
            {"type": "insulin", "time": AT, "deviceId": "a", "id": "1", "dose": {"total": 4}},
        ),
    ]
    for parsed in typed:
        assert [row["exclude_reason"] for row in rows(parsed)] == ["manual_entry"]
        assert total(parsed) == 0


def hub_rows(boluses: list[tuple[dt.datetime, float]], serial: str) -> str:
    head = (
        "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
        "Initial Delivery (U),Extended Delivery (U),Serial Number\n"
    )
    return head + "".join(f"{at:%Y-%m-%d %H:%M},Normal,,,,{amount},,,{serial}\n" for at, amount in boluses)


@pytest.mark.parametrize("hub_first", [True, False])
def test_trap_26_the_pump_and_a_hub_tell_of_one_dose(tmp_path: Path, hub_first: bool) -> None:
    """Minutes for seconds, whatever arrives first: each bolus once, equal ones in one minute too; what only the hub
    knows stays, another serial too.
    """
    chance = random.Random(26)
    drawn = [(chance.randint(0, 5), chance.choice([1.0, 2.5]), chance.random() < 0.7) for _ in range(40)]
    start = dt.datetime(2026, 7, 29, 8)
    boluses = [(start + dt.timedelta(minutes=minute, seconds=5 * place), amount, in_pump)
               for place, (minute, amount, in_pump) in enumerate(drawn)]  # fmt: skip
    marker = "-------,MiniMed 780G MMT-1886,Pump,NG0042X,-------\n"
    log = [
        bolus(f"{at:%Y-%m-%d %H:%M:%S}", place, amount, amount, source="CLOSED_LOOP_MICRO_BOLUS")
        for place, (at, amount, in_pump) in enumerate(sorted(boluses))
        if in_pump
    ]
    log.append(entry("2026-07-29 20:00:00", bg=100))
    pump = parse(carelink.IMPORTER, tmp_path, marker + carelink_table(log), name="pump.csv")
    seen = [(at, amount) for at, amount, _ in boluses]
    hub = parse(glooko.IMPORTER, tmp_path, hub_rows(seen, "NG0042X"), name="bolus_data_1.csv")
    other = parse(glooko.IMPORTER, tmp_path, hub_rows([(start, 1.0)], "ZZ0099"), name="bolus_data_2.csv")
    con, _ = stored([hub, pump, other] if hub_first else [pump, other, hub])
    [(count, given)] = con.execute("SELECT count(*), sum(delivered_amount) FROM current_dose_event").fetchall()
    assert (count, given) == (len(boluses) + 1, Decimal(str(sum(amount for _, amount, _ in boluses))) + 1)


def test_trap_26_basal_of_a_hub_counts_where_the_pump_is_silent(tmp_path: Path) -> None:
    marker = "-------,MiniMed 780G MMT-1886,Pump,NG0042X,-------\n"
    log = [entry("2026-07-29 08:00:00", basal=1.0), entry("2026-07-29 10:00:00", bg=100)]
    pump = parse(carelink.IMPORTER, tmp_path, marker + carelink_table(log), name="pump.csv")
    text = "Timestamp,Insulin type,Duration (minutes),Percentage (%),Rate,Insulin delivered (U),Serial number\n"
    text += "2026-07-29 08:30,Scheduled,60,,1.0,,NG0042X\n2026-07-29 12:00,Scheduled,60,,1.0,,NG0042X\n"
    hub = parse(glooko.IMPORTER, tmp_path, text, name="basal_data_1.csv")
    con, _ = stored([pump, hub])
    assert con.execute("SELECT sum(delivered_amount) FROM current_dose_event").fetchone() == (3,)
    assert con.execute("SELECT line, disposition FROM exc_dose_event").fetchall() == [(2, "duplicate")]


def test_trap_26_a_later_export_without_a_serial_number(tmp_path: Path) -> None:
    """A person's app has no serial number: where the protocol says whose file it is, its export of the next night holds
    the same doses; without that no two files are taken for one person's.
    """
    treatments = [
        {"_id": f"{number:024x}", "eventType": "Meal Bolus", "insulin": 2, "created_at": f"2024-05-0{number}T08:00:00Z"}
        for number in range(1, 7)
    ]
    whose = source(constants={"subject_id": "S1"})
    nights = [
        parse(nightscout.IMPORTER, tmp_path, json.dumps(part), name=f"{name}.json", source=whose)
        for name, part in (("first", treatments[:4]), ("second", treatments[2:]))
    ]
    con, _ = stored(nights)
    assert con.execute("SELECT count(*), count(DISTINCT device_id) FROM current_dose_event").fetchone() == (6, 1)
    unknown = [parse(nightscout.IMPORTER, tmp_path, json.dumps(treatments), name=name) for name in ("a.json", "b.json")]
    assert not any("no serial number" in note for night in nights for note in night.notes)
    assert all(any("no serial number" in note for note in parsed.notes) for parsed in unknown)
