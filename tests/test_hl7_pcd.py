"""Messages of hospital infusion pumps: whose pump it is, what was ordered, given and interrupted."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_log import everything, read_log, source, table

from importers.base import Ignored, Parsed
from importers.hl7_pcd import IMPORTER
from importers.hl7_segments import read_messages, read_time, read_unit

FORMAT = "hl7_pcd"
ML = "263762^MDC_DIM_MILLI_L^MDC^mL^mL^UCUM"


def event(
    at: str, condition: str, *metrics: str, number: int = 1, pump: str = "E0002", source_: str = "1.1.2.0"
) -> str:
    observations = [
        f"OBX|1||70049^MDC_DEV_PUMP_INFUS_LVP_MDS^MDC|1.0.0.0|||||||X|||||||{pump}^^0012210000000000^EUI-64",
        f"OBX|2|CWE|0^MDC_ATTR_EVT_COND^MDC|1.0.0.2|0^{condition}^MDC||||||R",
        f"OBX|3|ST|0^MDC_ATTR_EVT_SOURCE^MDC|1.0.0.3|{source_}||||||R",
        *(f"OBX|{4 + index}|{metric}||||||R" for index, metric in enumerate(metrics)),
    ]
    return "\r".join(
        [
            f"MSH|^~\\&|GATEWAY^9990001^EUI-64|VENDOR|X|X|{at}||ORU^R42^ORU_R01|M{number}|P|2.6|||AL|NE||ASCII|||IHE_PCD_010",
            "PID|||HO2009002^^^IHE^PI||Muster^Anna^^^^^L||19610201",
            f"OBR|1|AB12345^PCD-03|CD1^HL7|2222^Dopamine|||{at}",
            *observations,
        ]
    )


def number(name: str, value: str, unit: str = ML, channel: str = "1.1.2") -> str:
    return f"NM|{name}^MDC|{channel}.7|{value}|{unit}"


def read(folder: Path, *messages: str) -> Parsed:
    path = folder / "pump.hl7"
    path.write_text("\r".join((*messages, "")), newline="")
    return read_log(path, FORMAT)


@pytest.fixture(scope="module")
def captured(shared: Path) -> Path:
    return shared / "data/devices/hl7v2_pcd"


@pytest.mark.external
@pytest.mark.parametrize(
    ("name", "found", "device"),
    [
        ("bbraun_spaceplus_pcd01.hl7", "pump_status", "bbraun-unstated-p52814"),
        ("ihe_ipec_delivery_start.hl7", "delivery_start", "pumpvendor-unstated-e0002"),
        ("ihe_pcd03_order_dopamine.hl7", "order", "pumpvendor-unstated-a0001"),
        ("ihe_pcd03_order_saline.hl7", "order", "pumpvendor-unstated-a0001"),
        ("ihe_pcd04_occlusion_start.hl7", "occlusion", "bbraun-unstated-p6013"),
        ("ihe_pcd04_occlusion_end.hl7", "occlusion_end", "bbraun-unstated-p6013"),
    ],
)
def test_real_messages(captured: Path, name: str, found: str, device: str) -> None:
    parsed = read_log(captured / name, FORMAT)
    [row] = table(parsed, "device_event").to_dicts()
    assert (row["event"], row["device_id"], parsed.rows_read) == (found, device, 1)
    assert row["start_utc"] is not None
    for person in ("Hon", "Amy", "Charles", "Doe", "Brooks", "1961", "HO2009", "98765"):
        assert person not in everything(parsed)


@pytest.mark.external
def test_an_order_is_what_was_told(captured: Path) -> None:
    [row] = table(read_log(captured / "ihe_pcd03_order_dopamine.hl7", FORMAT), "device_event").to_dicts()
    told = {"amount": "250.000000", "unit": "mL", "rate": "10.000000", "rate_unit": "ug/kg/min", "drug": "Dopamine"}
    assert json.loads(row["detail"]) == told
    mapped = read_log(captured / "ihe_pcd03_order_dopamine.hl7", FORMAT, source(columns={"subject_id": "PID-3"}))
    [order] = table(mapped, "prescription").to_dicts()
    assert (order["subject_id"], order["planned_amount"], order["amount_unit"]) == ("98765", Decimal(250), "mL")


@pytest.mark.external
def test_lost_segment_ends(captured: Path, tmp_path: Path) -> None:
    whole = (captured / "ihe_ipec_delivery_start.hl7").read_text()
    path = tmp_path / "captured.hl7"
    path.write_text(whole.replace("\r", "").replace("\n", ""))
    [row] = table(read_log(path, FORMAT), "device_event").to_dicts()
    assert (row["event"], row["device_id"]) == ("delivery_start", "pumpvendor-unstated-e0002")


def test_a_dose_is_the_segment_between_start_and_stop(tmp_path: Path) -> None:
    program = (number("157884^MDC_VOL_FLUID_TBI", "250.0"), number("157993^MDC_VOL_FLUID_DELIV_TOTAL", "12"))
    parsed = read(
        tmp_path,
        event("20240101100000-0500", "MDC_EVT_PUMP_DELIV_START", *program),
        event(
            "20240101110000-0500",
            "MDC_EVT_PUMP_DELIV_STOP",
            number("157992^MDC_VOL_FLUID_DELIV_SEGMENT", "15.4"),
            number("157992^MDC_VOL_FLUID_DELIV_SEGMENT", "99", channel="1.1.3"),
            "CWE|158006^MDC_PUMP_NOT_DELIVERING_REASON^MDC|1.1.2.23|^pump-stopped-occlusion",
            number=2,
        ),
        event("20240101110000-0500", "MDC_EVT_PUMP_DELIV_START", *program, number=3),
        event(
            "20240101120000-0500",
            "MDC_EVT_PUMP_DELIV_COMP",
            number("157993^MDC_VOL_FLUID_DELIV_TOTAL", "262"),
            number=4,
        ),
    )
    stopped, completed = table(parsed).to_dicts()
    assert (stopped["programmed_amount"], stopped["delivered_amount"]) == (Decimal(250), Decimal("15.4"))
    assert (stopped["status"], stopped["stop_reason"], stopped["amount_unit"]) == ("partial", "occlusion", "mL")
    assert (stopped["start_local"], stopped["start_utc"]) == (dt.datetime(2024, 1, 1, 10), dt.datetime(2024, 1, 1, 15))
    assert (stopped["delivered_duration_s"], stopped["native_key"]) == (3600, "control-M2")
    assert (completed["delivered_amount"], completed["status"]) == (Decimal(250), "completed")
    assert "Muster" not in everything(parsed) and "HO2009002" not in everything(parsed)


def test_a_concentration_gives_the_drug(tmp_path: Path) -> None:
    strength = "NM|157760^MDC_CONC_DRUG^MDC|1.1.2.11|1.6|264306^MDC_DIM_MILLI_G_PER_ML^MDC^mg/mL^mg/mL^UCUM"
    stop = event("20240101110000", "MDC_EVT_PUMP_DELIV_COMP", number("0^MDC_VOL_FLUID_DELIV_SEGMENT", "10"), strength)
    [dose] = table(read(tmp_path, stop)).to_dicts()
    assert (dose["delivered_amount"], dose["amount_unit"], dose["delivered_basis"]) == (
        Decimal(16),
        "mg",
        "volume_x_conc",
    )
    assert (dose["volume"], dose["time_anchor"], dose["start_utc"]) == (Decimal(10), "end", None)


def test_trap_25_the_gateway_is_no_pump(tmp_path: Path) -> None:
    segment = number("157992^MDC_VOL_FLUID_DELIV_SEGMENT", "5")
    two = read(
        tmp_path,
        event("20240101110000", "MDC_EVT_PUMP_DELIV_COMP", segment, pump="P1"),
        event("20240101110000", "MDC_EVT_PUMP_DELIV_COMP", segment, pump="P2", number=2),
    )
    assert table(two)["device_id"].to_list() == ["vendor-unstated-p1", "vendor-unstated-p2"]
    nameless = read(tmp_path, event("20240101110000", "MDC_EVT_PUMP_DELIV_COMP", segment, pump=""))
    assert isinstance(nameless.rejected, pl.DataFrame)
    assert nameless.rejected["reason"].to_list() == ["unknown_device"]


def test_what_cannot_be_used_is_rejected(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        event("20100706163629-490 0800", "MDC_EVT_PUMP_DELIV_COMP"),
        event("20240101110000", "MDC_EVT_PUMP_DELIV_STOP", number=2),
    )
    assert isinstance(parsed.rejected, pl.DataFrame)
    assert sorted(parsed.rejected["reason"].to_list()) == ["bad_date", "missing_value"]


def test_other_messages_are_no_data() -> None:
    assert isinstance(IMPORTER.recognise("a.hl7", b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|1|P|2.5\rPID|1"), Ignored)
    assert IMPORTER.recognise("a.csv", b"a,b\n1,2\n") is None


@pytest.mark.parametrize(
    ("parts", "unit"),
    [
        (["265266", "MDC_DIM_MILLI_L_PER_HR", "MDC", "mL/h", "mL/h", "UCUM"], "mL/h"),
        (["kg", "kg", "UCUM", "263875", "MDC_DIM_KILO_G", "MDC"], "kg"),
        (["3 475", "ug/kg/min", "UCUM", "265619", "MDC_DIM_MICRO_G_PER_KG_PER_MIN", "MDC"], "ug/kg/min"),
        (["1746", "mg", "UCUM"], "mg"),
        ([""], None),
    ],
)
def test_units_in_either_order(parts: list[str], unit: str | None) -> None:
    assert read_unit(parts) == unit


@settings(max_examples=50)
@given(st.text(alphabet="MSH|OBX^~\r\n19", max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for message in read_messages("MSH|^~\\&|" + text):
        message.metrics()
        message.equipment()


def test_times_with_and_without_offset() -> None:
    found = read_time("20260113205908+0100")
    assert found is not None and found.utc == dt.datetime(2026, 1, 13, 19, 59, 8)
    assert read_time("202601132059") is not None and read_time("20261332") is None


def test_a_batch_and_frames_hold_the_same_messages(tmp_path: Path) -> None:
    volume = number("0^MDC_VOL_FLUID_DELIV_SEGMENT", "10")
    stops = [event("20240501080000+0000", "MDC_EVT_PUMP_DELIV_STOP", volume, number=place) for place in (1, 2)]
    batch = "FHS|^~\\&\nBHS|^~\\&\n" + "\n".join(stop.replace("\r", "\n") for stop in stops) + "\nBTS|2\nFTS|1\n"
    frames = "".join(f"\x0b{stop}\r\x1c\r" for stop in stops)
    for text in (batch, frames):
        parsed = read(tmp_path, text)
        assert table(parsed)["delivered_amount"].to_list() == [Decimal(10), Decimal(10)]


def test_a_change_of_rate_is_a_stop_and_a_start_in_one_second(tmp_path: Path) -> None:
    """Whatever stands first in the file, the stop ends the segment that ran."""
    start, change, end = "20240501080000+0000", "20240501090000+0000", "20240501093000+0000"
    volume = "0^MDC_VOL_FLUID_DELIV_SEGMENT"
    messages = [
        event(start, "MDC_EVT_PUMP_DELIV_START", number=1),
        event(change, "MDC_EVT_PUMP_DELIV_START", number=2),
        event(change, "MDC_EVT_PUMP_DELIV_STOP", number(volume, "10"), number=3),
        event(end, "MDC_EVT_PUMP_DELIV_COMP", number(volume, "4"), number=4),
    ]
    for order in (messages, [messages[0], messages[2], messages[1], messages[3]]):
        found = table(read(tmp_path, *order)).sort("start_local")
        assert found["delivered_duration_s"].to_list() == [3600, 1800]
        assert found["delivered_amount"].to_list() == [Decimal(10), Decimal(4)]


def test_a_message_in_which_the_file_ends_waits(tmp_path: Path) -> None:
    """Without the carriage return that ends a segment, its last number may lack digits."""
    path = tmp_path / "pump.hl7"
    start = event("20240501080000+0000", "MDC_EVT_PUMP_DELIV_START", number=1)
    stop = event(
        "20240501090000+0000", "MDC_EVT_PUMP_DELIV_STOP", number("0^MDC_VOL_FLUID_DELIV_SEGMENT", "10"), number=2
    )
    for end, waiting in (("\r", 0), ("", 1), ("\n", 0)):
        path.write_text(f"{start}\r{stop}{end}", newline="")
        parsed = read_log(path, FORMAT)
        found = [] if parsed.rejected is None else parsed.rejected["message"].to_list()
        assert len(found) == waiting and parsed.rows_read == 2
        assert all("ends inside this message" in message for message in found)
