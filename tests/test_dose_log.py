"""The generic dose log: mapping, constants, units, lists, amounts; what a wrong protocol or header is answered with."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from generic_files import COLUMNS, CONSTANTS, mapped, read, source

from importers.base import Recognised, UnreadableFile
from importers.dose_log import IMPORTER

OPEN = "subject_id,device_id,start_local,kind,delivered_amount,amount_unit,status\n"


def test_open_layout_needs_no_mapping(tmp_path: Path) -> None:
    log = read(tmp_path, OPEN + "S1,D1,2024-01-01 08:00:05,injection,1.25,mcg,completed\nS1,,2024-01-02,BOLUS,,,\n")
    assert log.events.to_dicts() == [
        {
            "subject_id": "S1", "device_id": "D1", "start_local": dt.datetime(2024, 1, 1, 8, 0, 5),
            "start_precision": "second", "kind": "injection", "delivered_amount": Decimal("1.250000"),
            "amount_unit": "ug", "status": "completed", "delivered_basis": "reported", "line": 2,
        },
        {
            "subject_id": "S1", "device_id": None, "start_local": dt.datetime(2024, 1, 2),
            "start_precision": "date", "kind": "bolus", "delivered_amount": None,
            "amount_unit": None, "status": None, "delivered_basis": None, "line": 3,
        },
    ]  # fmt: skip
    assert log.parsed.mode == "increment"
    assert log.parsed.exported_utc is None


def test_mapping_constants_units_and_values(tmp_path: Path) -> None:
    stated = source(
        columns={"device_id": "Pen no", "start_local": "When", "programmed_amount": "Dialled", "amount_unit": "Unit",
                 "kind": "Event", "drug": "Ampoule"},
        constants={"route": "SUBCUTANEOUS", "volume": "0.5", "volume_unit": "ml"},
        units={"clicks": "mg"},
        values={"kind": {"INJ": "injection", "PRI": "prime"}, "drug": {"A": "ZANOMALINE", "?": ""}},
        mode="snapshot",
        null_values=["", "n/a"],
    )  # fmt: skip
    log = read(
        tmp_path,
        "When,PEN NO,dialled,Unit,Event,Ampoule,Comment\n"
        "2024-01-01,P1,1,clicks,INJ,A,late\n"
        "2024-01-01, P2 ,n/a, IU ,PRI,?,\n"
        "2024-01-01,P3,2,jars,INJ,A,\n"
        "2024-01-01,P4,2,mg,OTHER,A,\n",
        stated,
    )
    columns = ["device_id", "programmed_amount", "amount_unit", "kind", "drug", "route", "volume", "volume_unit"]
    assert log.events.select(columns).rows() == [
        ("P1", Decimal(1), "mg", "injection", "ZANOMALINE", "SUBCUTANEOUS", Decimal("0.5"), "mL"),
        ("P2", None, "[iU]", "prime", None, "SUBCUTANEOUS", Decimal("0.5"), "mL"),
    ]
    assert log.events["programmed_basis"].to_list() == ["reported", None]
    assert log.reasons() == [(4, "unknown_unit", "amount_unit"), (5, "bad_value", "kind")]
    assert log.rejected["value"].to_list() == ["jars", "OTHER"]
    assert "injection" in log.rejected["message"][1]
    assert log.rejected["device_id"].to_list() == ["P3", "P4"]
    assert log.rejected["raw"].to_list() == ["2024-01-01,P3,2,jars,INJ,A,", "2024-01-01,P4,2,mg,OTHER,A,"]
    assert log.parsed.mode == "snapshot"
    assert any("Comment" in note for note in log.parsed.notes)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"), ("0", "0"), ("-0", "0"), ("+1.5", "1.5"), (".5", "0.5"), ("5.", "5"), ("1e3", "1000"),
        ("2.5E-3", "0.0025"), ("0.000001", "0.000001"), ("0.30000000000000004", "0.3"),
        ("0.1000000001", "0.1"), ("999999999999.999999", "999999999999.999999"), ("5.397605e-79", "0"),
        (" 1.5 ", "1.5"), ("\t2\t", "2"), ("007", "7"), ("1234567890.5", "1234567890.5"),
    ],
)  # fmt: skip
def test_amounts_are_exact(tmp_path: Path, text: str, value: str) -> None:
    log = read(tmp_path, f"Subject|Time|Dose\nS1|2024-01-01|{text}\n", mapped())
    assert log.events["delivered_amount"].to_list() == [Decimal(value)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.1234567", "bad_number"), ("1e-7", "bad_number"), ("1e12", "bad_number"), ("1000000000000", "bad_number"),
        ("0.10000000149011612", "bad_number"), ("1_000", "bad_number"), ("1 000", "bad_number"),
        ("0x10", "bad_number"),
        ("nan", "bad_number"),
        ("inf", "bad_number"), ("--1", "bad_number"), ("1.2.3", "bad_number"), ("E5", "bad_number"),
        (".", "bad_number"),
        ("1e5000", "bad_number"), ("one", "bad_number"), ("\u0663", "bad_number"), ("1\u00a0000", "bad_number"),
        ("-1", "bad_value"), ("-0.000001", "bad_value"), ("=1+1", "bad_number"),
    ],
)  # fmt: skip
def test_what_is_no_amount_is_rejected(tmp_path: Path, text: str, reason: str) -> None:
    log = read(tmp_path, f"Subject|Time|Dose\nS1|2024-01-01|{text}\nS1|2024-01-01|1\n", mapped())
    assert log.reasons() == [(2, reason, "delivered_amount")]
    assert log.rejected["value"].to_list() == [text]
    assert log.events["line"].to_list() == [3]


def test_a_few_wrong_decimal_signs_are_rejected_with_a_hint(tmp_path: Path) -> None:
    log = read(tmp_path, "Subject;Time;Dose\nS1;2024-01-01;1,5\nS1;2024-01-01;1.5\nS1;2024-01-02;2\n", mapped())
    assert log.reasons() == [(2, "bad_number", "delivered_amount")]
    assert 'decimal = ","' in log.rejected["message"][0]
    assert log.events["delivered_amount"].to_list() == [Decimal("1.5"), Decimal(2)]


@pytest.mark.parametrize(("decimal", "wrong"), [(".", "1,5"), (",", "1.5")])
def test_a_file_with_the_other_decimal_sign_is_refused(tmp_path: Path, decimal: str, wrong: str) -> None:
    rows = "".join(f"S1;2024-01-01;{wrong}\n" for _ in range(3)) + "S1;2024-01-01;2\nS2;2024-01-01;\n"
    with pytest.raises(UnreadableFile) as error:
        read(tmp_path, "Subject;Time;Dose\n" + rows, mapped(decimal=decimal))
    assert "decimal sign" in error.value.message
    assert f'decimal = "{wrong[1]}"' in error.value.remedy


def test_decimal_comma_and_grouped_thousands(tmp_path: Path) -> None:
    rows = "".join(
        f"S1;2024-01-01;{text}\n" for text in ("1,5", "1.234,5", "12.345.678", "0,000001", "12,345", "1.23", "0.125")
    )
    log = read(tmp_path, "Subject;Time;Dose\n" + rows, mapped(decimal=",", thousands="."))
    assert log.events["delivered_amount"].to_list() == [
        Decimal(text) for text in ("1.5", "1234.5", "12345678", "0.000001", "12.345")
    ]
    assert log.reasons() == [(7, "bad_number", "delivered_amount"), (8, "bad_number", "delivered_amount")]


def test_blank_zero_and_missing_are_three_doses(tmp_path: Path) -> None:
    log = read(tmp_path, "Subject,Time,Dose\nS1,2024-01-01,0\nS1,2024-01-01,\nS1,2024-01-01,  \n", mapped())
    assert log.events["delivered_amount"].to_list() == [Decimal(0), None, None]
    assert log.events["delivered_basis"].to_list() == ["reported", None, None]


def test_durations_are_whole_seconds(tmp_path: Path) -> None:
    stated = mapped(columns={**COLUMNS, "delivered_duration_s": "Secs"})
    rows = "".join(f"S1,2024-01-01,1,{text}\n" for text in ("12", "12.0", "12.5", "0:12", "3000000000"))
    log = read(tmp_path, "Subject,Time,Dose,Secs\n" + rows, stated)
    assert log.events["delivered_duration_s"].to_list() == [12, 12]
    assert log.reasons() == [(line, "bad_number", "delivered_duration_s") for line in (4, 5, 6)]


def test_rows_without_whom_when_or_unit(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        OPEN + ",,2024-01-01,injection,1,mg,\n,D1,2024-01-01,injection,1,mg,\nS1,D1,,injection,1,mg,\n"
        "S1,D1,2024-01-01,,1,mg,\nS1,D1,2024-01-01,injection,1,,\n",
    )
    assert log.events.select("subject_id", "device_id", "line").rows() == [(None, "D1", 3)]
    assert log.reasons() == [
        (2, "missing_value", "subject_id"),
        (4, "missing_value", "start_local"),
        (5, "missing_value", "kind"),
        (6, "missing_value", "amount_unit"),
    ]


def test_text_survives_as_it_is(tmp_path: Path) -> None:
    texts = [
        "=HYPERLINK(1)",
        "[bold]x[/bold]",
        "\x1b[31mred",
        "a\x00b",
        "\u202eabc",
        "caf\u00e9",
        "'; DROP TABLE x; --",
        '""',
    ]
    stated = mapped(columns={**COLUMNS, "lot": "Lot"})
    cells = "".join('S1,2024-01-01,1,"' + text.replace('"', '""') + '"\n' for text in texts)
    log = read(tmp_path, "Subject,Time,Dose,Lot\n" + cells, stated)
    assert log.events["lot"].to_list() == texts


@pytest.mark.parametrize(
    ("header", "stated", "words"),
    [
        ("Subjct,Time,Dose", mapped(), ["'Subject'", "subject_id", "Subjct, Time, Dose", "nearest name is 'Subjct'"]),
        ("Subject,Time,Dose,Dose", mapped(), ["Two columns have the name 'Dose'"]),
        ("Subject,Time,dose,DOSE", mapped(), ["'Dose'", "'dose', 'DOSE'"]),
        ("Subject,Time,Dose", mapped(columns={**COLUMNS, "delivered": "Dose"}), ["columns.delivered"]),
        ("Subject,Time,Dose", mapped(columns={**COLUMNS, "start_utc": "Time"}), ["columns.start_utc"]),
        ("Subject,Time,Dose", mapped(constants={"amount_unit": "mg"}), ["kind", "constants.kind"]),
        ("Subject,Time,Dose", mapped(constants={"kind": "injection"}), ["amount_unit", "constants.amount_unit"]),
        ("Subject,Time,Dose", mapped(constants={**CONSTANTS, "kind": "shot"}), ["kind", "'shot'", "injection"]),
        ("Subject,Time,Dose", mapped(constants={**CONSTANTS, "amount_unit": "clicks"}), ["clicks", "mg"]),
        ("Subject,Time,Dose", mapped(constants={**CONSTANTS, "volume": "1,5"}), ["volume", "'1,5'"]),
        ("Subject,Time,Dose", mapped(constants={**CONSTANTS, "start_local": "2024-01-01"}), ["start_local"]),
        ("Subject,Time,Dose", mapped(units={"x": "y"}, columns={**COLUMNS, "volume_unit": "Dose"}), ["'x'", "'y'"]),
        ("Subject,Time,Dose", mapped(columns={**COLUMNS, "kind": "Dose"}), ["kind", "both a column and a constant"]),
        ("Subject,Time,Dose", mapped(values={"status": {"a": "b"}}, columns={**COLUMNS, "status": "Dose"}), ["'b'"]),
        ("Subject,Time,Dose", mapped(columns={"start_local": "Time"}), ["subject_id or device_id"]),
        ("Subject,Time,Dose", mapped(columns={"subject_id": "Subject"}), ["start_local"]),
        ("subject_id,start_local,dose", None, ["kind"]),
        ("Subject,Time,Dose", mapped(datetime_format="%Y-%m-%d %Q"), ["datetime_format", "%Q"]),
        ("Subject,Time,Dose", mapped(datetime_format="%Y-%m-%d %z"), ["datetime_format", 'time_zone = "offset"']),
        ("Subject,Time,Dose", mapped(datetime_format="%Y-%m-%d", time_zone="offset"), ["datetime_format", "%z"]),
        ("Subject,Time,Dose", mapped(encoding="klingon"), ["klingon"]),
        ("Subject,Time,Dose", mapped(delimiter="||"), ["'||'"]),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_says_what_is_wrong(
    tmp_path: Path, header: str, stated: object, words: list[str]
) -> None:
    with pytest.raises(UnreadableFile) as error:
        read(tmp_path, f"{header}\nS1,2024-01-01,1\n", stated)  # type: ignore[arg-type]
    said = f"{error.value.message} {error.value.remedy}"
    assert [word for word in words if word not in said] == []


def test_recognised_by_its_header() -> None:
    def verdict(header: str) -> object:
        return IMPORTER.recognise("x.csv", header.encode())

    yes = Recognised("dose_log", "dose_log")
    assert verdict("subject_id,start_local,kind\n") == yes
    assert verdict('"Device_ID"\t"Start_Local"\t"delivered_amount"\n1\t2\t3') == yes
    assert verdict("\ufeffsubject_id;start_local;volume\n") == yes
    assert verdict("subject_id,start_local\n") is None
    assert verdict("start_local,kind\n") is None
    assert verdict("subject_id,site_id,arm_code\n") is None
    assert verdict("") is None
    assert IMPORTER.recognise("x.parquet", b"PAR1" + bytes(100)) == yes


def test_parquet_gives_the_same_rows_as_text(tmp_path: Path) -> None:
    text = (
        "Subject,Time,Dose\nS1,2024-01-01 08:00:00,1.5\nS2,2024-01-02 08:00:00,0.1\n"
        "S3,1999-01-01 00:00:00,1\nS4,2024-01-02 08:00:00,\n"
    )
    times = [
        dt.datetime(2024, 1, 1, 8),
        dt.datetime(2024, 1, 2, 8),
        dt.datetime(1999, 1, 1),
        dt.datetime(2024, 1, 2, 8),
    ]
    frame = pl.DataFrame({"Subject": ["S1", "S2", "S3", "S4"], "Time": times, "Dose": [1.5, 0.1, 1.0, None]})
    path = tmp_path / "made.parquet"
    frame.write_parquet(path)
    for stated in (mapped(), mapped(decimal=",", date_order="DMY"), mapped(datetime_format="%d.%m.%Y %H:%M:%S")):
        log = read(tmp_path, path.read_bytes(), stated, name="log.parquet")
        assert log.events.select("subject_id", "start_local", "delivered_amount").equals(
            read(tmp_path, text, mapped()).events.select("subject_id", "start_local", "delivered_amount")
        )
        assert log.events["line"].to_list() == [1, 2, 4]
        assert log.reasons() == [(3, "impossible_time", "start_local")]
        assert log.rejected["raw"][0].startswith("S3 | ")


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"Subject": ["S1"] * 1000}).write_parquet(tmp_path / "whole.parquet")
    with pytest.raises(UnreadableFile, match="truncated or damaged"):
        read(tmp_path, (tmp_path / "whole.parquet").read_bytes()[:-50], mapped(), name="log.parquet")


def test_a_workbook_is_no_dose_log(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="a zip archive or a workbook"):
        read(tmp_path, b"PK\x03\x04" + bytes(200), mapped())
