"""REDCap exports: what becomes of events, repeated instruments, checkboxes, groups, labels and broken rows."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import edc_files
import pytest
from edc_files import check_account, columns_of, rejected, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import new_study

from importers.base import Ignored, Recognised, UnreadableFile
from importers.discover import find_inputs
from importers.redcap import IMPORTER
from tui.pipeline import import_paths

PEOPLE = ("Nutting", "nutty@mouse.com", "Dale", "Quinn", "quinn@example.org", "1983-09-23")


read = partial(edc_files.read, IMPORTER)


def written(folder: Path, *lines: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.external
def test_events_become_visits_without_the_arm_in_their_name(shared: Path) -> None:
    path = shared / "data/enrolment/arm-single-longitudinal/data.csv"
    parsed = read(
        path,
        {
            "subject_id": "record_id",
            "visit.start_date": "interview_date",
            "visit.visit": "redcap_event_name",
            "visit_number": "redcap_event_name",
        },
        values={"visit_number": {"intake_arm_1": "1", "dischage_arm_1": "2", "follow_up_arm_1": "3"}},
    )
    visits = rows(parsed, "visit", "subject_id", "visit_number", "visit", "start_date")
    assert len(visits) == parsed.rows_read == 9
    assert visits[0] == ("1", 1.0, "intake", dt.date(2001, 1, 1))
    assert visits[-1] == ("3", 3.0, "follow_up", dt.date(2001, 3, 3))
    assert parsed.rejected is None


@pytest.mark.external
def test_all_events_of_a_subject_make_one_subject(shared: Path) -> None:
    """18 rows of 3 subjects; free text in the file holds quoted line breaks."""
    parsed = read(
        shared / "data/enrolment/longitudinal/data.csv",
        {
            "subject_id": "study_id",
            "arm_code": "redcap_arm_num",
            "sex": "sex",
            "age": "age",
            "race": "race",
            "signed_date": "date_enrolled",
            "ethnicity": "meds",
        },
        values={"sex": {"0": "F", "1": "M"}, "ethnicity": {"1": "one", "2": "two"}},
    )
    assert rows(parsed, "subject", "subject_id", "arm_code", "sex", "age", "race", "ethnicity") == [
        ("100", "1", "M", 31, "4", "two"),
        ("220", "1", "F", 4, "1", "one; two"),
        ("304", "2", "F", 9, "4", "one; two"),
    ]
    assert rows(parsed, "consent", "subject_id", "signed_date") == [
        (subject, dt.date(2015, 4, 2)) for subject in ("100", "220", "304")
    ]
    assert "15 of 18 records add to another row or hold nothing that is mapped" in parsed.notes


@pytest.mark.external
def test_repeated_instruments_are_rows_of_their_own(shared: Path) -> None:
    parsed = read(
        shared / "data/enrolment/repeating-instruments/data.csv",
        {"subject_id": "record_id", "enrolled_date": "date_enrolled", "visit.start_date": "date_bp",
         "visit_number": "redcap_repeat_instance"},
    )  # fmt: skip
    assert rows(parsed, "subject", "subject_id", "enrolled_date", "line") == [
        ("1", dt.date(2019, 10, 14), 2),
        ("2", dt.date(2019, 2, 2), 6),
    ]
    assert rows(parsed, "visit", "subject_id", "visit_number", "line") == [
        ("1", 1.0, 3), ("1", 2.0, 4), ("1", 3.0, 5), ("2", 1.0, 7),
    ]  # fmt: skip
    assert parsed.rows_read == 6


@pytest.mark.external
def test_a_data_access_group_is_the_site(shared: Path) -> None:
    columns = {"subject_id": "record_id", "site_id": "redcap_data_access_group"}
    parsed = read(shared / "data/enrolment/dag/data.csv", columns)
    expected = [("331-1", "daga"), ("331-2", "daga"), ("332-3", "dagb")]
    assert rows(parsed, "subject", "subject_id", "site_id") == expected


@pytest.mark.external
def test_five_hundred_people_without_a_name(shared: Path) -> None:
    path = shared / "data/enrolment/clinical-trial-1/data.csv"
    parsed = read(path, {"subject_id": "record_id", "sex": "gender"}, values={"sex": {"0": "F", "1": "M"}})
    assert parsed.rows_read == 500
    assert parsed.notes == ["10 fields are not mapped and not read"]
    assert set(columns_of(parsed, "subject")) == {"subject_id", "sex", "line"}
    assert {sex for (sex,) in rows(parsed, "subject", "sex")} == {"F", "M"}


@pytest.mark.external
def test_a_folder_of_exports_has_data_and_descriptions(shared: Path) -> None:
    for name in ("arm-single-longitudinal", "dag", "longitudinal", "repeating-instruments"):
        found = {one.name: one for one in find_inputs([shared / "data/enrolment" / name])}
        assert found["data.csv"].recognised == Recognised("redcap", "redcap")
        assert found["dictionary.csv"].ignored
        for described in ("arm.csv", "event.csv"):
            assert described not in found or found[described].ignored


def test_without_a_mapping_the_error_names_fields_and_keys_to_add(tmp_path: Path) -> None:
    path = written(
        tmp_path, "record_id,redcap_event_name,redcap_data_access_group,last_name,email",
        f"1,intake_arm_1,north,{PEOPLE[0]},{PEOPLE[1]}",
    )  # fmt: skip
    for columns in (None, {}):
        with pytest.raises(UnreadableFile) as caught:
            read(path, columns)
        assert "Fields found: record_id, redcap_event_name, redcap_data_access_group" in caught.value.message
        for key in (
            'subject_id = "record_id"',
            'site_id = "redcap_data_access_group"',
            '"visit.visit" = "redcap_event_name"',
        ):
            assert key in caught.value.remedy
        assert not [word for word in PEOPLE if word in f"{caught.value.message}{caught.value.remedy}"]


def test_a_label_export_repeats_only_complete(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'Record ID,Event Name,Repeat Instrument,Repeat Instance,Data Access Group,Sex,"Race (choice=White)",'
        '"Race (choice=Asian)",Complete?,Event term,Serious?,Complete?',
        '1,"Intake (Arm 1: Drug A)",,,North,Female,Checked,Checked,Complete,,,',
        '1,"Visit 1 (Arm 1: Drug A)","Adverse events",1,North,,,,,Rash,No,Complete',
        '1,"Visit 1 (Arm 1: Drug A)","Adverse events",2,North,,,,,Fever,Yes,Complete',
    )
    assert isinstance(IMPORTER.recognise("x.csv", path.read_bytes()), Recognised)
    parsed = read(
        path,
        {"subject_id": "Record ID", "site_id": "Data Access Group", "sex": "Sex", "race": "Race",
         "arm_code": "redcap_arm_num", "term": "Event term", "serious": "Serious?"},
    )  # fmt: skip
    assert rows(parsed, "subject", "subject_id", "site_id", "sex", "race", "arm_code") == [
        ("1", "North", "Female", "White; Asian", "1")
    ]
    assert rows(parsed, "adverse_event", "event_seq", "term", "serious", "line") == [
        ("Visit 1/Adverse events/1", "Rash", False, 3),
        ("Visit 1/Adverse events/2", "Fever", True, 4),
    ]
    check_account(parsed)
    twice = written(tmp_path, "Record ID,Event Name,Comments,Comments", "1,Intake,a,b", name="twice.csv")
    with pytest.raises(UnreadableFile, match="Two columns have the name 'Comments'"):
        read(twice, {"subject_id": "Record ID", "sex": "Event Name"})


def test_an_unchecked_box_makes_no_row_and_says_no_where_there_is_one(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "record_id,redcap_event_name,ae_term,ae_kind___1,ae_complete",
        "1,v1_arm_1,,0,0",
        "1,v2_arm_1,Rash,0,2",
        "2,v1_arm_1,Fever,1,2",
    )
    parsed = read(path, {"subject_id": "record_id", "term": "ae_term", "hospitalisation": "ae_kind___1"})
    assert rows(parsed, "adverse_event", "subject_id", "event_seq", "hospitalisation") == [
        ("1", "v2", False),
        ("2", "v1", True),
    ]


def test_missing_data_codes_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "record_id,redcap_event_name,age,sex", "1,a_arm_1,-99,UNK", "2,a_arm_1,40,F")
    columns = {"subject_id": "record_id", "age": "age", "sex": "sex"}
    parsed = read(path, columns, null_values=["", "-99", "UNK"])
    assert rows(parsed, "subject", "age", "sex") == [(None, None), (40, "F")]
    assert [row["reason"] for row in rejected(read(path, columns, null_values=["", "UNK"]))] == ["bad_value"]


def test_a_rejected_row_holds_mapped_columns_only_and_stands_nowhere_else(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "record_id,redcap_event_name,last_name,email,dob,sex,visit_date,ae_term,ae_start",
        f"1,a_arm_1,{PEOPLE[0]},{PEOPLE[1]},{PEOPLE[5]},F,2024-01-02,Rash,2024-13-01",
        f"2,a_arm_1,{PEOPLE[2]},{PEOPLE[1]},{PEOPLE[5]},M,2024-01-03,,",
        f",a_arm_1,{PEOPLE[3]},{PEOPLE[4]},{PEOPLE[5]},M,2024-01-04,,",
        f"3,a_arm_1,{PEOPLE[3]}",
        f"2,b_arm_1,{PEOPLE[2]},{PEOPLE[1]},{PEOPLE[5]},F,2024-02-03,,",
    )
    parsed = read(
        path,
        {"subject_id": "record_id", "sex": "sex", "visit.start_date": "visit_date", "term": "ae_term",
         "adverse_event.start_text": "ae_start"},
    )  # fmt: skip
    reasons = {row["line"]: row["reason"] for row in rejected(parsed)}
    assert {row["subject_id"] for row in rejected(parsed)} == {"1", "2", None}
    assert reasons == {2: "bad_date", 4: "missing_value", 5: "missing_columns", 6: "key_conflict"}
    assert rows(parsed, "subject", "subject_id", "sex", "line") == [("2", "M", 3)]
    assert rows(parsed, "visit", "subject_id", "line") == [("2", 3)]
    assert "adverse_event" not in parsed.tables
    check_account(parsed)
    everything = f"{rejected(parsed)}{parsed.notes}"
    assert not [word for word in PEOPLE if word in everything]


def test_keys_that_could_be_two_tables_or_none_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "record_id,redcap_event_name,day,pump", "1,a_arm_1,2024-01-02,P1")
    for columns, words in (
        ({"subject_id": "record_id", "start_date": "day"}, "more than one table"),
        ({"subject_id": "record_id", "sexx": "day"}, "Did you mean sex?"),
        ({"subject_id": "record_id", "dose.amount": "day"}, "no column this format fills"),
        ({"subject_id": "record_id", "visit.start_date": "dya"}, "The nearest name is 'day'"),
        ({"subject_id": "record_id", "adverse_event.start_text": "day"}, "none to term"),
        ({"visit.start_date": "day"}, "maps no column to subject_id"),
    ):
        with pytest.raises(UnreadableFile) as caught:
            read(path, columns)
        assert words in caught.value.message
    prefix = "device_assignment_recorded"
    parsed = read(path, {"subject_id": "record_id", f"{prefix}.device_id": "pump", f"{prefix}.start_date": "day"})
    assert rows(parsed, prefix, "subject_id", "device_id", "start_date") == [("1", "P1", dt.date(2024, 1, 2))]


def test_dates_in_another_order_refuse_the_file(tmp_path: Path) -> None:
    lines = [f"{number},v_arm_1,{number + 12}/01/2024" for number in range(1, 9)]
    path = written(tmp_path, "record_id,redcap_event_name,day", *lines)
    with pytest.raises(UnreadableFile, match="8 rows have (dates that only fit the order|times that cannot be read)"):
        read(path, {"subject_id": "record_id", "visit.start_date": "day"})
    parsed = read(path, {"subject_id": "record_id", "visit.start_date": "day"}, date_order="DMY")
    assert rows(parsed, "visit", "start_date")[0] == (dt.date(2024, 1, 13),)


def test_lists_of_fields_events_and_arms_hold_no_records() -> None:
    for header in (
        b'"Variable / Field Name","Form Name","Section Header","Field Type"\n',
        b"field_name,form_name,section_header,field_type\n",
        b"event_name,arm_num,unique_event_name\n",
        b"arm_num,unique_event_name,form\n",
        b"arm_num,name\n",
    ):
        assert isinstance(IMPORTER.recognise("x.csv", header), Ignored)
    assert IMPORTER.recognise("x.csv", b"subject_id,start_local,kind\n1,2,3\n") is None


def test_an_import_accounts_for_every_record_that_is_mapped(tmp_path: Path) -> None:
    """Two subjects with a visit each, one record whose day does not exist, one that holds nothing new."""
    study = new_study(
        tmp_path / "study",
        """
        [study]
        id = "S"
        [[source]]
        name = "forms"
        pattern = "data.csv"
        format = "redcap"
        [source.columns]
        subject_id = "record_id"
        "visit.start_date" = "day"
        sex = "sex"
        """,
    )
    path = written(
        tmp_path,
        "record_id,redcap_event_name,last_name,day,sex",
        f"1,a_arm_1,{PEOPLE[0]},2024-01-02,F",
        f"1,b_arm_1,{PEOPLE[0]},,F",
        f"2,a_arm_1,{PEOPLE[2]},2024-01-03,M",
        f"2,b_arm_1,{PEOPLE[2]},2024-02-30,M",
    )
    report = import_paths(study, [path]).files[0]
    assert (report.status, report.dataset) == ("imported", "forms")
    counts = (report.read, report.new, report.duplicate, report.superseded, report.quarantined)
    assert counts == (3, 2, 0, 0, 1)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "1", "2"]), TEXT, TEXT), max_size=8))
def test_no_row_is_lost_whatever_the_cells_hold(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str, str]]
) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    path = written(tmp_path_factory.mktemp("redcap"), "record_id,redcap_event_name,term", *quoted)
    parsed = read(path, {"subject_id": "record_id", "term": "term"})
    check_account(parsed)
    with_term = {number for number, row in enumerate(cells, 2) if row[2].strip()}
    kept = {line for (line,) in rows(parsed, "adverse_event", "line")} if parsed.tables else set()
    refused = {row["line"] for row in rejected(parsed)}
    assert kept | refused == with_term
    assert refused == {line for line in with_term if not cells[line - 2][0]}
