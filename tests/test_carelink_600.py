"""CareLink CSV of the 600 and 700 series: doses right to the unit. Trap numbers are those of the format reference."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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

from importers.base import Parsed, UnreadableFile
from importers.carelink import IMPORTER

MICRO = "CLOSED_LOOP_MICRO_BOLUS"


def read(folder: Path, log: list[dict[str, object]], **keys: object) -> Parsed:
    parsed = parse(IMPORTER, folder, carelink_table(log), **keys)  # type: ignore[arg-type]
    assert_accounted(parsed)
    return parsed


def test_trap_1_programmed_row_is_no_dose(tmp_path: Path) -> None:
    parsed = read(tmp_path, [bolus("2018-01-01 08:00:00", 5, 6.2), bolus("2018-01-01 08:04:08", 5, 6.2, 6.2)])
    (dose,) = rows(parsed)
    assert (dose["programmed_amount"], dose["delivered_amount"]) == (Decimal("6.2"), Decimal("6.2"))
    assert (dose["programmed_basis"], dose["delivered_basis"]) == ("reported", "reported")
    assert (dose["start_local"], dose["end_local"]) == (dt.datetime(2018, 1, 1, 8), dt.datetime(2018, 1, 1, 8, 4, 8))
    assert (dose["delivered_duration_s"], dose["time_anchor"], dose["status"]) == (248, "start", "completed")
    assert (
        "1 rows say what was programmed and are joined to the row of the same dose that was delivered." in parsed.notes
    )


def test_trap_2_bolus_number_comes_back(tmp_path: Path) -> None:
    log = [
        bolus("2018-01-01 08:00:00", 5, 2.0),
        bolus("2018-01-01 08:01:00", 5, 2.0, 2.0),
        bolus("2018-01-02 09:00:00", 5, 2.0),
        bolus("2018-01-02 09:01:00", 5, 2.0, 1.5),
    ]
    first, second = rows(read(tmp_path, log))
    assert first["native_key"] != second["native_key"]
    assert [first["delivered_amount"], second["delivered_amount"]] == [Decimal("2"), Decimal("1.5")]
    assert [first["start_local"].day, second["start_local"].day] == [1, 2]


def test_trap_3_pair_is_as_long_as_the_delivery(tmp_path: Path) -> None:
    square = {"type": "Square", "length": "2:00:00"}
    log = [
        bolus("2018-01-01 08:00:00", 5, 4.0, **square),
        bolus("2018-01-01 08:30:00", 6, 0.1, 0.1, source=MICRO),
        bolus("2018-01-01 10:00:00", 5, 4.0, 4.0, type="Square"),
        bolus("2018-01-02 08:00:00", 7, 3.0),
        bolus("2018-01-02 17:00:00", 7, 3.0, 3.0),
    ]
    doses = {row["native_key"]: row for row in rows(read(tmp_path, log))}
    extended = next(row for row in doses.values() if row["shape"] == "extended")
    assert (extended["delivered_duration_s"], extended["programmed_duration_s"]) == (7200, 7200)
    # Nine hours are no delivery: the programmed row has lost its delivered one and stands alone.
    alone = next(row for key, row in doses.items() if key.startswith("programmed:"))
    assert (alone["programmed_amount"], alone["delivered_amount"], alone["status"]) == (Decimal("3"), None, "unknown")
    assert (alone["delivered_basis"], len(doses)) == ("none", 4)


def test_trap_4_cancel_reason_on_its_own_row(tmp_path: Path) -> None:
    log = [
        bolus("2018-01-01 08:00:00", 5, 3.5),
        entry("2018-01-01 08:01:00", number=5, type="Normal", reason="User Request"),
        bolus("2018-01-01 08:01:01", 5, 3.5, 2.95),
        bolus("2018-01-01 09:00:00", 6, 9.0),
        bolus("2018-01-01 09:02:00", 6, 9.0, 1.9),
        entry("2018-01-01 09:02:00", number=6, type="Normal", reason="Alarm"),
        entry("2018-01-01 09:02:00", alarm="PUMP ALARM NO DELIVERY"),
        bolus("2018-01-01 10:00:00", 7, 1.0),
        bolus("2018-01-01 10:01:00", 7, 1.0, 0.5),
        entry("2018-01-01 11:00:00", number=8, type="Normal", reason="User Request"),
    ]
    parsed = read(tmp_path, log)
    by_user, blocked, unexplained = rows(parsed)
    assert (by_user["status"], by_user["stop_reason"]) == ("partial", "user")
    assert (blocked["status"], blocked["stop_reason"]) == ("partial", "occlusion")
    assert (unexplained["status"], unexplained["stop_reason"]) == ("partial", None)
    assert len(rows(parsed, "device_event", event="bolus_stopped")) == 3


def test_trap_5_delivered_zero_is_not_blank(tmp_path: Path) -> None:
    log = [
        bolus("2018-01-01 08:00:00", 5, 0.15, 0, source=MICRO),
        bolus("2018-01-01 23:00:00", 6, 1.0),
    ]
    zero, waiting = rows(read(tmp_path, log))
    assert (zero["delivered_amount"], zero["status"], zero["delivered_basis"]) == (
        Decimal(0),
        "none_delivered",
        "reported",
    )
    assert (waiting["delivered_amount"], waiting["status"], waiting["delivered_basis"]) == (None, "in_progress", "none")


def test_trap_6_daily_totals_of_automatic_insulin_are_no_doses(tmp_path: Path) -> None:
    log = [
        entry("2021-05-01 00:00:00", basal=0.6),
        bolus("2021-05-01 00:00:00", None, 27.9, 27.9, source="CLOSED_LOOP_AUTO_INSULIN"),  # type: ignore[arg-type]
        bolus("2021-05-01 08:00:00", 5, 8.0, 8.0, source="CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS"),
        entry("2021-05-02 00:00:00", basal=0.6),
        entry("2021-05-02 06:00:00", basal=0.5),
    ]
    parsed = read(tmp_path, log)
    assert total(parsed, kind="bolus") == Decimal(8)
    (day,) = rows(parsed, "control_total")
    assert (day["total_date"], day["measure"], day["reported_total"]) == (
        dt.date(2021, 5, 1),
        "automatic",
        Decimal("27.9"),
    )
    first, second = rows(parsed, kind="basal_segment")
    # On a day with automatic insulin nobody says which hours the profile ran.
    assert (first["programmed_amount"], first["delivered_amount"], first["delivered_basis"]) == (
        Decimal("14.4"),
        None,
        "none",
    )
    assert (second["delivered_amount"], second["status"]) == (Decimal("3.6"), "in_progress")


def test_trap_7_micro_boluses_have_no_programmed_row(tmp_path: Path) -> None:
    log = [
        bolus("2018-01-01 08:00:00", 5, 0.08, 0.08, source=MICRO),
        bolus("2018-01-01 08:05:00", 6, 0.08, 0.05, source=MICRO),
    ]
    first, second = rows(read(tmp_path, log))
    assert (first["shape"], first["trigger"], first["intent"], first["time_anchor"]) == (
        "micro",
        "algorithm",
        "algorithm",
        "end",
    )
    assert (first["programmed_amount"], first["programmed_basis"]) == (Decimal("0.08"), "reported")
    assert second["status"] == "partial"


def test_trap_8_header_is_searched(tmp_path: Path) -> None:
    log = [bolus("2018-01-01 08:00:00", 5, 1.0, 1.0, source=MICRO)]
    for lines in (0, 3, 11, 40):
        text = "Some line of the patient,x\n" * lines + carelink_table(log)
        parsed = parse(IMPORTER, tmp_path, text)
        assert total(parsed) == Decimal(1)
        assert rows(parsed)[0]["line"] == lines + 2


def test_trap_11_marks_and_line_ends(tmp_path: Path) -> None:
    text = carelink_table([bolus("2018-01-01 08:00:00", 5, 1.0, 1.0, source=MICRO)])
    for data in (
        b"\xef\xbb\xbf" + text.encode(),
        "\u00ef\u00bb\u00bf".encode() + text.encode(),
        text.replace("\n", "\r\n").encode(),
        text.encode("utf-16"),
        b"Guardian\x99 Sensor\n" + text.encode(),
    ):
        assert total(parse(IMPORTER, tmp_path, data)) == Decimal(1)


def test_trap_13_index_with_a_decimal_comma_in_a_comma_file(tmp_path: Path) -> None:
    text = carelink_table([bolus("2018-01-01 08:00:00", 5, 1, 1, source=MICRO), entry("2018-01-01 09:00:00", bg=120)])
    plain = "\n".join(
        line.replace(f"{n - 1},", f"{n - 1},00000,", 1) if n else line for n, line in enumerate(text.splitlines())
    )
    quoted = "\n".join(
        line.replace(f"{n - 1},", f'"{n - 1},00000",', 1) if n else line for n, line in enumerate(text.splitlines())
    )
    for spelled in (plain, quoted):
        parsed = parse(IMPORTER, tmp_path, spelled + "\n")
        assert (total(parsed), rows(parsed, "observation")[0]["value"]) == (Decimal(1), 120)


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (("02-12-2018", "12/13/2017"), {dt.date(2018, 2, 12), dt.date(2017, 12, 13)}),
        (("2018-03-07", "2018-01-31 00:00:00"), {dt.date(2018, 3, 7), dt.date(2018, 1, 31)}),
        (("43166", "43131"), {dt.date(2018, 3, 7), dt.date(2018, 1, 31)}),
        (("13/12/2017", "12-02-2018"), {dt.date(2017, 12, 13), dt.date(2018, 2, 12)}),
    ],
)
def test_trap_17_dates_that_excel_rewrote(tmp_path: Path, dates: tuple[str, str], expected: set[dt.date]) -> None:
    log = [bolus("2018-01-01 08:00:00", 5, 1, 1, source=MICRO), bolus("2018-01-01 09:00:00", 6, 1, 1, source=MICRO)]
    for row, day in zip(log, dates, strict=True):
        row["Date"] = day
    log[0]["Bolus Number"] = "191.0"
    parsed = read(tmp_path, log)
    assert {row["start_local"].date() for row in rows(parsed)} == expected
    assert any(row["native_key"].startswith("bolus:191:") for row in rows(parsed))


def test_trap_17_time_as_a_fraction_of_a_day(tmp_path: Path) -> None:
    row = bolus("2018-01-01 08:00:00", 5, 1, 1, source=MICRO) | {"Date": "43166", "Time": "0.5"}
    assert rows(read(tmp_path, [row]))[0]["start_local"] == dt.datetime(2018, 3, 7, 12)


def test_trap_18_contradicting_dates_are_not_guessed(tmp_path: Path) -> None:
    log = [bolus("2018-01-01 08:00:00", 5, 1, 1, source=MICRO), bolus("2018-01-01 09:00:00", 6, 1, 1, source=MICRO)]
    log[0]["Date"], log[1]["Date"] = "13/02/2018", "02/13/2018"
    with pytest.raises(UnreadableFile, match="day-first, others month-first"):
        read(tmp_path, log)
    log[0]["Date"], log[1]["Date"] = "03/02/2018", "02/03/2018"
    with pytest.raises(UnreadableFile, match="nothing in it decides"):
        read(tmp_path, log)
    parsed = read(tmp_path, log, source=source(date_order="DMY"))
    assert {row["start_local"].date() for row in rows(parsed)} == {dt.date(2018, 2, 3), dt.date(2018, 3, 2)}


def test_trap_20_end_of_summer_time(tmp_path: Path) -> None:
    log = [
        entry("2017-11-04 22:00:00", basal=1.0),
        bolus("2017-11-04 22:58:00", 5, 6.0),
        entry("2017-11-04 22:58:55", new="2017-11-04 21:58:00"),
        entry("2017-11-04 21:58:55", new="2017-11-04 21:58:00"),
        bolus("2017-11-04 22:01:00", 5, 6.0, 6.0),
        entry("2017-11-05 00:00:00", basal=0.5),
        entry("2017-11-05 01:00:00", bg=100),
    ]
    parsed = read(tmp_path, log)
    (dose,) = rows(parsed, kind="bolus")
    assert dose["delivered_duration_s"] == 3 * 60
    (change,) = rows(parsed, "device_event", event="clock_change")
    assert json.loads(change["detail"]) == {"old_local": "2017-11-04T22:58:55", "new_local": "2017-11-04T21:58:55"}
    running, _ = rows(parsed, kind="basal_segment")
    # Two hours on the clock, three in fact.
    assert (running["delivered_duration_s"], running["delivered_amount"]) == (3 * 3600, Decimal(3))


def test_trap_24_lost_clock_is_uncertain_and_counted(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        [bolus("2004-01-01 08:00:00", 5, 1, 1, source=MICRO), bolus("2018-01-01 08:00:00", 6, 1, 1, source=MICRO)],
    )
    assert [row["time_uncertain"] for row in rows(parsed)] == [True, None]
    assert total(parsed) == 2


def test_trap_26_overlapping_exports_count_once(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 00:00:00", basal=1.0),
        bolus("2018-01-01 08:00:00", 5, 6.0),
        bolus("2018-01-01 08:04:00", 5, 6.0, 6.0),
        entry("2018-01-01 12:00:00", basal=0.5),
        bolus("2018-01-01 18:00:00", 6, 2.0),
        bolus("2018-01-01 18:01:00", 6, 2.0, 1.0),
        entry("2018-01-02 00:00:00", basal=1.0),
        entry("2018-01-02 06:00:00", bg=110),
    ]
    pump = source(constants={"device_id": "pump-1"})
    older = parse(IMPORTER, tmp_path, carelink_table(log[:5]), name="a.csv", source=pump)
    newer = parse(IMPORTER, tmp_path, carelink_table(log[2:]), name="b.csv", source=pump)
    whole = parse(IMPORTER, tmp_path, carelink_table(log), name="c.csv", source=pump)
    for files in ([older, newer], [newer, older], [older, newer, whole], [whole, newer, older]):
        con, counts = stored(files)
        found = con.execute(
            "SELECT sum(delivered_amount) FILTER (kind = 'bolus'), sum(delivered_amount) FILTER (kind <> 'bolus') "
            "FROM current_dose_event"
        ).fetchone()
        assert found == (Decimal(7), Decimal("24"))
        assert all(count.read == count.new + count.duplicate + count.superseded + count.quarantined for count in counts)


def test_rows_written_twice_are_duplicates(tmp_path: Path) -> None:
    twice = [
        bolus("2018-01-01 08:00:00", 5, 6.0),
        bolus("2018-01-01 08:00:00", 5, 6.0),
        bolus("2018-01-01 08:04:00", 5, 6.0, 6.0),
        bolus("2018-01-01 08:04:00", 5, 6.0, 6.0),
        entry("2018-01-01 09:00:00", alarm="ALERT ON LOW"),
        entry("2018-01-01 09:00:00", alarm="ALERT ON LOW"),
        entry("2018-01-01 09:05:00", bg=100),
        entry("2018-01-01 09:05:00", bg=100),
    ]
    parsed = read(tmp_path, twice)
    con, (counts,) = stored([parsed])
    assert con.execute("SELECT count(*), sum(delivered_amount) FROM current_dose_event").fetchone() == (1, Decimal(6))
    assert (counts.duplicate, counts.quarantined) == (3, 0)


def test_trap_25_two_pumps_in_one_file(tmp_path: Path) -> None:
    one = carelink_table([bolus("2018-01-01 08:00:00", 5, 1, 1, source=MICRO)])
    other = carelink_table([bolus("2018-01-01 08:00:00", 5, 2, 2, source=MICRO)])
    marker = "-------,MiniMed 670G MMT-1780,Pump,{},-------\n"
    text = f"{marker.format('NG1111111H')}{one}\n{marker.format('NG2222222H')}{other}"
    parsed = parse(IMPORTER, tmp_path, text)
    assert_accounted(parsed)
    by_pump = {row["device_id"]: row["delivered_amount"] for row in rows(parsed)}
    assert by_pump == {"medtronic-mmt_1780-ng1111111h": Decimal(1), "medtronic-mmt_1780-ng2222222h": Decimal(2)}
    properties = {(row["device_id"], row["property"]): row["value"] for row in rows(parsed, "device_property")}
    assert properties["medtronic-mmt_1780-ng1111111h", "SERIAL"] == "NG1111111H"
    assert properties["medtronic-mmt_1780-ng2222222h", "CLASS"] == "closed_loop"


def test_trap_31_temporary_basals_are_in_the_rate_rows(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 08:00:00", basal=0.6),
        entry("2018-01-01 10:00:00", temp=200, temp_type="Percent", temp_time="2:00:00"),
        entry("2018-01-01 10:00:00", basal=1.2),
        entry("2018-01-01 12:00:00", basal=0.6),
        entry("2018-01-01 14:00:00", bg=100),
    ]
    parsed = read(tmp_path, log)
    assert total(parsed) == Decimal("1.2") + Decimal("2.4") + Decimal("1.2")
    (temp,) = rows(parsed, "device_event", event="temp_basal")
    assert (temp["code"], temp["detail"]) == ("Percent", "200.000000 for 7200 s")


def test_suspension_cuts_basal(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 08:00:00", basal=0.6),
        entry("2018-01-01 10:00:00", suspend="SmartGuard_PREDICTED_LOW_SG"),
        entry("2018-01-01 10:00:00", basal=0),
        entry("2018-01-01 10:30:00", suspend="NORMAL_PUMPING"),
        entry("2018-01-01 10:30:00", basal=0.6),
        entry("2018-01-01 11:00:00", bg=100),
    ]
    parsed = read(tmp_path, log)
    before, held, after = rows(parsed, kind="basal_segment")
    assert [row["delivered_amount"] for row in (before, held, after)] == [Decimal("1.2"), Decimal(0), Decimal("0.3")]
    assert (held["programmed_amount"], held["status"], held["stop_reason"]) == (
        Decimal("0.3"),
        "none_delivered",
        "low_glucose",
    )
    assert len({row["line"] for row in (before, held, after)}) == 3
    assert [row["event"] for row in rows(parsed, "device_event")] == ["suspend", "resume"]


def test_trap_32_basal_is_not_carried_over_silence(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 00:00:00", basal=1.0),
        entry("2018-01-01 06:00:00", bg=100),
        entry("2018-06-01 00:00:00", bg=100),
        entry("2018-06-01 02:00:00", basal=1.0),
        entry("2018-06-01 03:00:00", bg=100),
    ]
    assert [row["delivered_amount"] for row in rows(read(tmp_path, log))] == [Decimal(6), Decimal(1)]


def test_profile_rate_is_not_given_while_the_algorithm_doses(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 00:00:00", basal=1.0),
        *(bolus(f"2018-01-01 {hour:02}:05:00", hour, 0.1, 0.1, source=MICRO) for hour in range(2, 10)),
        entry("2018-01-01 06:00:00", basal=2.0),
        entry("2018-01-01 10:00:00", alarm="AUTO MODE EXIT HIGH SG"),
        entry("2018-01-01 12:00:00", basal=1.0),
        entry("2018-01-01 13:00:00", bg=100),
    ]
    log.sort(key=lambda row: row["Time"])
    segments = rows(read(tmp_path, log), kind="basal_segment")
    shown = [(row["start_local"].hour, row["delivered_duration_s"], row["delivered_amount"]) for row in segments]
    assert shown == [(0, 7500, Decimal("2.083333")), (10, 7200, Decimal(4)), (12, 3600, Decimal(1))]


def test_automatic_mode_goes_on_after_a_silence(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 00:00:00", basal=1.0),
        bolus("2018-01-01 01:00:00", 1, 0.1, 0.1, source=MICRO),
        bolus("2018-01-05 01:00:00", 2, 0.1, 0.1, source=MICRO),
        entry("2018-01-05 06:00:00", basal=2.0),
        entry("2018-01-05 08:00:00", bg=100),
    ]
    assert [row["delivered_amount"] for row in rows(read(tmp_path, log), kind="basal_segment")] == [Decimal(1)]


def test_trap_33_fills_are_no_doses(tmp_path: Path) -> None:
    log = [
        entry("2018-01-01 08:00:00", rewind="Rewind"),
        entry("2018-01-01 08:01:00", prime="Tubing Fill", primed=9.99),
        entry("2018-01-01 08:02:00", prime="Cannula Fill", primed=0.3),
    ]
    parsed = read(tmp_path, log)
    assert total(parsed) == 0
    assert [(row["kind"], row["exclude_reason"], row["delivered_amount"]) for row in rows(parsed)] == [
        ("prime", "fill", Decimal("9.99")),
        ("prime", "fill", Decimal("0.3")),
    ]
    assert rows(parsed, "device_event")[0]["event"] == "rewind"


def test_dual_bolus_is_two_doses(tmp_path: Path) -> None:
    now, later = {"type": "Dual (normal part)"}, {"type": "Dual (square part)", "length": "1:00:00"}
    log = [
        bolus("2018-01-01 08:00:00", 5, 2.0, **now),
        bolus("2018-01-01 08:00:00", 5, 3.0, **later),
        bolus("2018-01-01 08:01:20", 5, 2.0, 2.0, **now),
        bolus("2018-01-01 09:01:20", 5, 3.0, 3.0, **later),
    ]
    doses = {row["shape"]: row for row in rows(read(tmp_path, log))}
    assert set(doses) == {"dual_now", "dual_later"}
    assert (doses["dual_later"]["programmed_duration_s"], doses["dual_later"]["delivered_amount"]) == (3600, Decimal(3))


def test_calculator_advice_is_no_programmed_amount(tmp_path: Path) -> None:
    parsed = read(
        tmp_path, [entry("2018-01-01 08:00:00", advice=5.8, carbs=50), entry("2018-01-01 08:00:00", final=5.8)]
    )
    assert rows(parsed) == []
    (advice,) = rows(parsed, "recommendation")
    assert advice["recommended_amount"] == Decimal("5.8")
    assert rows(parsed, "observation")[0]["value"] == 50
    assert "1 rows hold settings, screens or network devices." in parsed.notes


def test_broken_numbers_and_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    log = [
        bolus("2018-01-01 08:00:00", 5, 1.0, 1.0, source=MICRO),
        bolus("2018-01-01 08:05:00", 6, 1.0, 1.0, source=MICRO) | {"Bolus Volume Delivered (U)": "1.2.3"},
        bolus("2018-01-01 08:10:00", 7, 1.0, 1.0, source=MICRO) | {"Bolus Volume Delivered (U)": "-1"},
        bolus("2018-01-01 08:15:00", 8, 1.0, 1.0, source=MICRO) | {"Date": "2018/02/30"},
    ]
    text = carelink_table(log) + "9,2018/01/01,08:00\n"
    parsed = parse(IMPORTER, tmp_path, text)
    assert_accounted(parsed)
    assert total(parsed) == 1
    found = {(row["line"], row["reason"], row["field"]) for row in rejected(parsed)}
    assert found == {
        (2, "bad_date", "Date"),
        (3, "bad_value", "Bolus Volume Delivered"),
        (4, "bad_number", "Bolus Volume Delivered"),
        (6, "missing_columns", None),
    }


def test_table_without_volumes_is_refused(tmp_path: Path) -> None:
    columns = [name for name in CARELINK_600 if name != "Bolus Volume Selected (U)"]
    text = carelink_table([entry("2018-01-01 08:00:00", bg=100)], columns=columns)
    with pytest.raises(UnreadableFile, match="no column bolus volume selected"):
        parse(IMPORTER, tmp_path, text)


def test_endless_line_reaches_no_parser(tmp_path: Path) -> None:
    text = carelink_table([entry("2018-01-01 08:00:00", bg=100)]) + "x" * (17 * 1024 * 1024)
    with pytest.raises(UnreadableFile, match="Line 3 is longer than 16 MB"):
        parse(IMPORTER, tmp_path, text)


def test_file_without_a_pump_stays_by_itself(tmp_path: Path) -> None:
    log = [bolus("2018-01-01 08:00:00", 5, 1.0, 1.0, source=MICRO)]
    one = read(tmp_path, log)
    other = parse(IMPORTER, tmp_path, carelink_table([*log, entry("2018-01-01 09:00:00", bg=100)]), name="b.csv")
    assert rows(one)[0]["device_id"] != rows(other)[0]["device_id"]
    assert any("names no serial number" in note for note in one.notes)
    named = read(tmp_path, log, source=source(constants={"device_id": "P-7", "drug": "aspart", "subject_id": "S-1"}))
    assert [rows(named)[0][name] for name in ("device_id", "drug", "subject_id")] == ["P-7", "aspart", "S-1"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    boluses=st.lists(
        st.tuples(
            st.integers(40, 900),
            st.integers(0, 30),
            st.integers(1, 80),
            st.integers(0, 100),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    ),
    first=st.integers(0, 255),
)
def test_every_bolus_comes_back_whole(
    tmp_path: Path, boluses: list[tuple[int, int, int, int, bool]], first: int
) -> None:
    """One-byte numbers, any length, cancelled or not: as many doses as boluses, amounts to the unit."""
    at = dt.datetime(2018, 1, 1)
    log: list[dict[str, object]] = []
    told = given = Decimal(0)
    for number, (pause, length, tenths, share, micro) in enumerate(boluses, start=first):
        at += dt.timedelta(minutes=pause)
        amount = Decimal(tenths) / 10
        delivered = (amount * share / 100).quantize(Decimal("0.001"))
        if not micro:
            log.append(bolus(f"{at}", number % 256, amount))  # type: ignore[arg-type]
            at += dt.timedelta(minutes=length)
        kind = MICRO if micro else "BOLUS_WIZARD"
        log.append(bolus(f"{at}", number % 256, amount, delivered, source=kind))  # type: ignore[arg-type]
        told, given = told + amount, given + delivered
    parsed = read(tmp_path, log)
    assert len(rows(parsed)) == len(boluses)
    assert (total(parsed, "programmed_amount"), total(parsed)) == (told, given)
    assert len({row["native_key"] for row in rows(parsed)}) == len(boluses)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 40), overlap=st.integers(0, 40), swapped=st.booleans())
def test_overlapping_halves_give_the_whole(tmp_path: Path, cut: int, overlap: int, swapped: bool) -> None:
    log: list[dict[str, object]] = []
    at = dt.datetime(2018, 1, 1)
    for number in range(20):
        at += dt.timedelta(minutes=37)
        log.append(bolus(f"{at}", number, 2.0))
        at += dt.timedelta(minutes=3)
        log.append(bolus(f"{at}", number, 2.0, 1.0 + number / 20))
    pump = source(constants={"device_id": "pump-1"})
    halves = [
        parse(IMPORTER, tmp_path, carelink_table(part), name=f"{name}.csv", source=pump)
        for name, part in (("a", log[:cut]), ("b", log[max(0, cut - overlap) :]))
        if part
    ]
    con, _ = stored(halves[::-1] if swapped else halves)
    found = con.execute(
        "SELECT count(*), sum(delivered_amount) FROM current_dose_event WHERE delivered_amount IS NOT NULL"
    )
    assert found.fetchone() == (
        20,
        sum(Decimal(str(row["Bolus Volume Delivered (U)"])) for row in log if row["Bolus Volume Delivered (U)"]),
    )


@pytest.mark.external
def test_real_670g_export(shared: Path) -> None:
    parsed = parse_file(IMPORTER, shared / "data/devices/carelink_670g/Insulin_patient2.csv")
    assert_accounted(parsed)
    assert rejected(parsed) == []
    assert (len(rows(parsed, kind="bolus")), total(parsed, "programmed_amount", kind="bolus")) == (
        14_998,
        Decimal("3553.21"),
    )
    assert total(parsed, kind="bolus") == Decimal("3535.11")
    assert (
        "559 rows say what was programmed and are joined to the row of the same dose that was delivered."
        in parsed.notes
    )
    partial = [row for row in rows(parsed, kind="bolus") if row["status"] in ("partial", "none_delivered")]
    assert len(partial) == 20
    assert sorted(row["stop_reason"] for row in partial) == ["occlusion"] * 6 + ["user"] * 14
    assert not any((row["native_key"] or "").startswith("programmed:") for row in rows(parsed))
    con, (counts,) = stored([parsed])
    assert (counts.quarantined, counts.superseded) == (0, 0)
    assert con.execute("SELECT count(*) FROM current_dose_event WHERE kind = 'bolus'").fetchone() == (14_998,)


@pytest.mark.external
def test_real_670g_export_needs_the_whole_day_alike(shared: Path) -> None:
    """Days in automatic and in manual mode need the same insulin: the profile rate was not counted twice."""
    parsed = parse_file(IMPORTER, shared / "data/devices/carelink_670g/Insulin_patient2.csv")
    days: dict[dt.date, dict[str, Decimal]] = {}
    for row in rows(parsed):
        if row["exclude_reason"] is None and row["delivered_amount"] is not None:
            kind = "basal" if row["kind"] == "basal_segment" else row["shape"]
            own = days.setdefault(row["start_local"].date(), {})
            own[kind] = own.get(kind, Decimal(0)) + row["delivered_amount"]
    automatic = [sum(day.values()) for day in days.values() if day.get("micro", 0) > 12]
    manual = [sum(day.values()) for day in days.values() if day.get("basal", 0) > 13]
    assert (len(automatic), len(manual)) == (62, 34)
    assert abs(sum(automatic) / len(automatic) - sum(manual) / len(manual)) < 4


@pytest.mark.external
def test_no_person_in_what_is_read(shared: Path) -> None:
    parsed = parse_file(IMPORTER, shared / "data/devices/carelink_670g/Insulin_patient2.csv")
    assert "patient" not in everything(parsed).lower()
