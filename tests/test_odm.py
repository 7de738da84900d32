"""CDISC ODM files: which rows their clinical data become, what transactions do, and what is refused."""

from __future__ import annotations

import datetime as dt
import gzip
import re
from functools import partial
from pathlib import Path

import edc_files
import pytest
from edc_files import check_account, columns_of, rejected, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from importers import redcap
from importers.base import HEAD_BYTES, Ignored, Recognised, UnreadableFile
from importers.discover import find_inputs
from importers.odm import IMPORTER

PEOPLE = ("Dale", "Quinn", "quinn@example.org", "1983-09-23")
NAMESPACE = "http://www.cdisc.org/ns/odm/v1.3"
METADATA = """
<Study OID="S1"><MetaDataVersion OID="M1" Name="M1">
  <StudyEventDef OID="SE.V1" Name="Visit 1" Repeating="No" Type="Scheduled"/>
  <FormDef OID="F.AE" Name="Events" Repeating="No"><ItemGroupRef ItemGroupOID="IG.AE" Mandatory="No"/></FormDef>
  <ItemGroupDef OID="IG.AE" Name="Events" Repeating="Yes"><ItemRef ItemOID="I.TERM" Mandatory="No"/></ItemGroupDef>
  <ItemGroupDef OID="IG.DM" Name="People" Repeating="No"><ItemRef ItemOID="I.SEX" Mandatory="No"/></ItemGroupDef>
  <ItemDef OID="I.TERM" Name="Term" DataType="text"/>
  <ItemDef OID="I.SEX" Name="Sex" DataType="text"><CodeListRef CodeListOID="CL.SEX"/></ItemDef>
  <CodeList OID="CL.SEX" Name="Sex" DataType="text">
    <CodeListItem CodedValue="1"><Decode><TranslatedText>Woman</TranslatedText></Decode></CodeListItem>
    <CodeListItem CodedValue="2"><Decode><TranslatedText>Man</TranslatedText></Decode></CodeListItem>
  </CodeList>
</MetaDataVersion></Study>
"""


def odm(data: str, *, kind: str = "Snapshot", metadata: str = METADATA) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ODM xmlns="{NAMESPACE}" xmlns:OpenClinica="http://oc.org/ns" '
        f'ODMVersion="1.3.2" FileType="{kind}" FileOID="X" CreationDateTime="2024-05-06T10:00:00+02:00">{metadata}'
        f'<ClinicalData StudyOID="S1" MetaDataVersionOID="M1">{data}</ClinicalData></ODM>'
    )


def form(
    subject: str, items: str, *, action: str = "", oid: str = "F.DM", group: str = "IG.DM", repeat: str = "1"
) -> str:
    """One form of one item group; ``items`` is XML."""
    kind = f' TransactionType="{action}"' if action else ""
    return (
        f'<SubjectData SubjectKey="{subject}"><StudyEventData StudyEventOID="SE.V1">'
        f'<FormData FormOID="{oid}"{kind}><ItemGroupData ItemGroupOID="{group}" ItemGroupRepeatKey="{repeat}">{items}'
        "</ItemGroupData></FormData></StudyEventData></SubjectData>"
    )


def item(oid: str, value: str) -> str:
    return f'<ItemData ItemOID="{oid}" Value="{value}"/>'


read = partial(edc_files.read, IMPORTER)


def written(folder: Path, text: str, name: str = "data.xml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.external
def test_a_snapshot_of_two_subjects(shared: Path) -> None:
    """20 reported terms stand in the file: 10 repetitions of one form, and those of a second subject."""
    path = shared / "data/enrolment/odm-data-snapshot.xml"
    parsed = read(
        path,
        {
            "sex": "IT.SEX",
            "age": "DM.IT.AGE",
            "term": "AE.IT.AETERM",
            "grade": "IT.AETOXGR",
            "visit.start_date": "IT.VISITDTC",
            "visit.visit": "StudyEventData.StudyEventOID",
        },
    )
    terms = [term for (term,) in rows(parsed, "adverse_event", "term")]
    assert terms == re.findall(r'ItemOID="IT.AETERM" Value="([^"]+)"', path.read_text())
    assert len(terms) == 20
    assert rows(parsed, "adverse_event", "subject_id", "event_seq", "grade")[2] == ("SS_0001", "SE.VISIT 1/AE/3", "2")
    assert rows(parsed, "subject", "subject_id", "sex", "age") == [("SS_0001", "Male", 56), ("SS_0002", None, None)]
    assert rows(parsed, "visit", "subject_id", "visit", "start_date") == [
        ("SS_0001", "Screening", dt.date(2022, 2, 12)),
        ("SS_0001", "Visit 3", dt.date(2022, 2, 12)),
    ]
    assert parsed.mode == "snapshot"
    assert parsed.rejected is None
    assert parsed.exported_utc == dt.datetime(2022, 3, 8, 7, 16, 10)


@pytest.mark.external
@pytest.mark.parametrize(
    ("name", "subjects", "columns"),
    [
        ("arm-single-longitudinal", 3, {"visit.start_date": "interview_date"}),
        ("clinical-trial-1", 500, {"sex": "gender"}),
        ("dag", 3, {"site_id": "redcap_data_access_group"}),
        ("longitudinal", 3, {"sex": "sex", "signed_date": "date_enrolled"}),
        ("repeating-instruments", 2, {"sex": "sex", "visit.start_date": "Form.bp.date_bp"}),
    ],
)
def test_redcap_projects_agree_with_their_csv(shared: Path, name: str, subjects: int, columns: dict[str, str]) -> None:
    folder = shared / "data/enrolment" / name
    found = {one.name: one for one in find_inputs([folder / "project.xml"])}
    assert found["project.xml"].recognised == Recognised("odm", "odm")
    xml = read(
        folder / "project.xml", columns | {"visit_number": "FormData.FormRepeatKey"} if name[0] == "r" else columns
    )
    field = (folder / "data.csv").read_text().split(",")[0]
    plain = {key: value.removeprefix("Form.bp.") for key, value in columns.items()} | {"subject_id": field}
    decoded = {"values": {"sex": {"0": "Female", "1": "Male"}}} if "sex" in columns else {}
    csv = edc_files.read(redcap.IMPORTER, folder / "data.csv", plain, **decoded)
    assert set(xml.tables) == set(csv.tables)
    for table in xml.tables:
        wanted = [
            "subject_id",
            *(key.rpartition(".")[2] for key in columns if key.rpartition(".")[2] in columns_of(csv, table)),
        ]
        assert rows(xml, table, *wanted) == rows(csv, table, *wanted)
    first = next(iter(xml.tables))
    assert len({subject for (subject,) in rows(xml, first, "subject_id")}) == subjects


def test_codes_are_decoded_unless_the_protocol_maps_them(tmp_path: Path) -> None:
    data = form("1", item("I.SEX", "1")) + form("2", item("I.SEX", "2"))
    path = written(tmp_path, odm(data))
    assert rows(read(path, {"sex": "I.SEX"}), "subject", "sex") == [("Woman",), ("Man",)]
    mapped = read(path, {"sex": "F.DM.I.SEX"}, values={"sex": {"1": "F", "Man": "M"}})
    assert rows(mapped, "subject", "sex") == [("F",), ("M",)]


def test_elements_around_the_items_can_be_mapped(tmp_path: Path) -> None:
    data = (
        '<SubjectData SubjectKey="SS_1" OpenClinica:StudySubjectID="001" OpenClinica:DateOfBirth="1983-09-23">'
        '<SiteRef LocationOID="BERLIN"/>'
        '<StudyEventData StudyEventOID="SE.V1" OpenClinica:StartDate="2024-01-02"/>'
        '<StudyEventData StudyEventOID="SE.V1" StudyEventRepeatKey="2" OpenClinica:StartDate="2024-02-02">'
        f'<FormData FormOID="F.DM"><ItemGroupData ItemGroupOID="IG.DM">{item("I.SEX", "1")}</ItemGroupData></FormData>'
        "</StudyEventData></SubjectData>"
        '<SubjectData SubjectKey="SS_2" OpenClinica:StudySubjectID="002"/>'
    )
    parsed = read(
        written(tmp_path, odm(data)),
        {
            "subject_id": "SubjectData.StudySubjectID",
            "site_id": "SiteRef.LocationOID",
            "sex": "I.SEX",
            "visit.visit": "StudyEventData.StudyEventOID",
            "visit.start_date": "StudyEventData.StartDate",
        },
    )
    assert rows(parsed, "subject", "subject_id", "site_id", "sex") == [("001", "BERLIN", "Woman"), ("002", None, None)]
    assert rows(parsed, "visit", "subject_id", "visit", "start_date") == [
        ("001", "Visit 1", dt.date(2024, 1, 2)),
        ("001", "Visit 1", dt.date(2024, 2, 2)),
    ]


def test_repetitions_share_the_other_items_of_their_form(tmp_path: Path) -> None:
    data = (
        '<SubjectData SubjectKey="1"><StudyEventData StudyEventOID="SE.V1"><FormData FormOID="F.AE">'
        f'<ItemGroupData ItemGroupOID="IG.DM">{item("I.DAY", "2024-03-04")}</ItemGroupData>'
        f'<ItemGroupData ItemGroupOID="IG.AE" ItemGroupRepeatKey="1">{item("I.TERM", "Rash")}</ItemGroupData>'
        '<ItemGroupData ItemGroupOID="IG.AE" ItemGroupRepeatKey="4">'
        '<ItemDataString ItemOID="I.TERM">Fe<![CDATA[ver]]></ItemDataString></ItemGroupData>'
        "</FormData></StudyEventData></SubjectData>"
    )
    columns = {"term": "F.AE.I.TERM", "adverse_event.reported_text": "I.DAY"}
    parsed = read(written(tmp_path, odm(data)), columns)
    assert rows(parsed, "adverse_event", "event_seq", "term", "reported_text") == [
        ("SE.V1/F.AE/1", "Rash", "2024-03-04"),
        ("SE.V1/F.AE/4", "Fever", "2024-03-04"),
    ]
    assert parsed.rows_read == 2


def test_a_single_repetition_has_the_key_it_keeps_when_others_follow(tmp_path: Path) -> None:
    one = form("1", item("I.TERM", "Rash"), oid="F.AE", group="IG.AE")
    two = one.replace("</FormData>", "").split("</StudyEventData>")[0]
    more = f'{two}<ItemGroupData ItemGroupOID="IG.AE" ItemGroupRepeatKey="2">{item("I.TERM", "Fever")}</ItemGroupData>'
    more += "</FormData></StudyEventData></SubjectData>"
    before = read(written(tmp_path, odm(one), "1.xml"), {"term": "I.TERM"})
    after = read(written(tmp_path, odm(more), "2.xml"), {"term": "I.TERM"})
    assert (
        rows(before, "adverse_event", "event_seq")
        == rows(after, "adverse_event", "event_seq")[:1]
        == [("SE.V1/F.AE/1",)]
    )


def test_transactions_are_carried_out_in_order(tmp_path: Path) -> None:
    null = '<ItemData ItemOID="I.SEX" IsNull="Yes"/>'
    data = (
        form("1", item("I.SEX", "1"), action="Insert")
        + form("2", item("I.SEX", "1"), action="Insert")
        + form("3", item("I.SEX", "1"), action="Insert")
        + form("4", item("I.SEX", "1"), action="Insert")
        + form("1", item("I.SEX", "2"), action="Update")
        + form("2", null, action="Update")
        + form("3", "", action="Remove")
        + form("4", '<ItemData ItemOID="I.SEX" TransactionType="Remove"/>', action="Update")
        + form("5", item("I.SEX", "1"), action="Update")
        + '<SubjectData SubjectKey="6" TransactionType="Remove"/>'
    )
    parsed = read(written(tmp_path, odm(data, kind="Transactional")), {"sex": "I.SEX"})
    assert rows(parsed, "subject", "subject_id", "sex") == [("1", "Man"), ("2", None), ("4", None)]
    assert [row["reason"] for row in rejected(parsed)] == ["missing_value", "bad_value"]
    assert "import a snapshot" in rejected(parsed)[0]["message"]
    assert "removes a SubjectData that is not in this file" in rejected(parsed)[1]["message"]
    assert parsed.mode == "increment"
    assert parsed.rows_read == 5
    assert "1 items are stated as null" in parsed.notes
    check_account(parsed)


def test_what_stands_in_a_subject_is_inserted_and_removed_with_it(tmp_path: Path) -> None:
    def whole(subject: str, action: str) -> str:
        return form(subject, item("I.SEX", "1")).replace("<SubjectData", f'<SubjectData TransactionType="{action}"')

    data = whole("1", "Insert") + whole("2", "Insert") + whole("2", "Remove")
    parsed = read(written(tmp_path, odm(data, kind="Transactional")), {"sex": "I.SEX"})
    assert rows(parsed, "subject", "subject_id", "sex") == [("1", "Woman")]
    assert not rejected(parsed)


def test_forms_of_one_event_are_one_visit_unless_their_days_differ(tmp_path: Path) -> None:
    day = ["2024-01-02", "2024-01-02", "2024-01-09"]
    data = "".join(form("1", item("I.DAY", one), oid=f"F.{number}") for number, one in enumerate(day))
    parsed = read(written(tmp_path, odm(data)), {"visit.start_date": "I.DAY"})
    assert rows(parsed, "visit", "start_date", "line") == [(dt.date(2024, 1, 2), 1), (dt.date(2024, 1, 9), 3)]
    check_account(parsed)


def test_a_change_to_a_form_that_is_not_mapped_is_no_matter(tmp_path: Path) -> None:
    data = form("1", item("I.SEX", "1"), action="Insert") + form("1", item("I.X", "9"), action="Update", oid="F.X")
    parsed = read(written(tmp_path, odm(data, kind="Transactional")), {"sex": "I.SEX"})
    assert rows(parsed, "subject", "sex") == [("Woman",)]
    assert not rejected(parsed)


def test_audit_records_signatures_and_people_are_passed_over_and_counted(tmp_path: Path) -> None:
    audit = (
        f'<AuditRecord><UserRef UserOID="{PEOPLE[0]}"/><LocationRef LocationOID="L"/>'
        f"<DateTimeStamp>2024-01-01T00:00:00</DateTimeStamp><ReasonForChange>{PEOPLE[1]}</ReasonForChange></AuditRecord>"
    )
    users = f'<AdminData><User OID="U1"><FullName>{PEOPLE[1]}</FullName><Email>{PEOPLE[2]}</Email></User></AdminData>'
    items = (
        f'<ItemData ItemOID="I.SEX" Value="1">{audit}</ItemData>'
        f'<ItemDataString ItemOID="I.TERM">Rash{audit}</ItemDataString>'
        + item("I.NAME", PEOPLE[1])
        + item("I.BIRTH", PEOPLE[3])
        + item("I.DAY", "no date")
    )
    path = written(tmp_path, odm(form("1", items) + form("2", item("I.TERM", "Cough")), metadata=METADATA + users))
    good = read(path, {"sex": "I.SEX", "term": "I.TERM"})
    assert rows(good, "adverse_event", "term") == [("Rash",), ("Cough",)]
    assert "2 audit records were passed over" in good.notes
    bad = read(path, {"sex": "I.SEX", "term": "I.TERM", "adverse_event.start_text": "I.DAY"})
    assert [(row["subject_id"], row["reason"], row["value"]) for row in rejected(bad)] == [("1", "bad_date", "no date")]
    assert rows(bad, "subject", "subject_id") == [("2",)]
    assert not [word for word in PEOPLE if word in f"{good}{bad}{rejected(bad)}"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (odm(form("1", item("I.SEX", "1")))[:-30], "damaged or incomplete XML"),
        (
            odm("").replace("<ODM", '<!DOCTYPE ODM [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><ODM', 1),
            "document type or entities",
        ),
        (odm("").replace("<ODM", "<!DOCTYPE ODM [<!ELEMENT ODM ANY>]><ODM", 1), "document type or entities"),
        (odm("").replace("<ODM", '<!DOCTYPE ODM SYSTEM "file:///etc/passwd"><ODM', 1), "document type or entities"),
        (odm("").replace('<ClinicalData StudyOID="S1" MetaDataVersionOID="M1"></ClinicalData>', ""), "no ClinicalData"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        read(written(tmp_path, text), {"sex": "I.SEX"})


def test_without_a_mapping_the_error_names_items_and_keys_to_add(tmp_path: Path) -> None:
    path = written(tmp_path, odm(form("1", item("I.SEX", "1") + item("I.NAME", PEOPLE[1]))))
    with pytest.raises(UnreadableFile) as caught:
        read(path, None)
    assert "Fields found: I.NAME, I.SEX, I.TERM." in caught.value.message
    assert '"SubjectData.SubjectKey"' in caught.value.remedy and 'format = "odm"' in caught.value.remedy
    assert PEOPLE[1] not in f"{caught.value.message}{caught.value.remedy}"
    with pytest.raises(UnreadableFile, match="The nearest name is 'I.SEX'"):
        read(path, {"sex": "I.SEXX"})


def test_recognition_by_the_root() -> None:
    head = odm("").encode()[:HEAD_BYTES]
    assert IMPORTER.recognise("x.xml", head) == Recognised("odm", "odm")
    assert IMPORTER.recognise("x.gz", gzip.compress(head)) == Recognised("odm", "odm")
    assert isinstance(IMPORTER.recognise("x.xml", f'<ODM xmlns="{NAMESPACE}">{METADATA}</ODM>'.encode()), Ignored)
    define = f'<ODM xmlns="{NAMESPACE}" xmlns:def="http://www.cdisc.org/ns/def/v2.1"><Study OID="S"/></ODM>'
    assert IMPORTER.recognise("define.xml", define.encode()) is None
    assert IMPORTER.recognise("x.xml", b"<html><body>ODM</body></html>") is None


RECORDS = st.lists(
    st.tuples(st.sampled_from("123"), st.sampled_from(["1", "2", "3"]), st.sampled_from(["Rash", "", "Fever"])),
    max_size=10,
)


@settings(max_examples=25, deadline=None)
@given(RECORDS)
def test_every_stated_event_is_one_row_and_the_last_statement_counts(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str, str]]
) -> None:
    data = "".join(
        form(subject, item("I.TERM", term), oid="F.AE", group="IG.AE", repeat=repeat)
        for subject, repeat, term in records
    )
    parsed = read(written(tmp_path_factory.mktemp("odm"), odm(data)), {"term": "I.TERM"})
    stated = {(subject, f"SE.V1/F.AE/{repeat}"): term for subject, repeat, term in records}
    expected = {key: term for key, term in stated.items() if term}
    found = rows(parsed, "adverse_event", "subject_id", "event_seq", "term") if parsed.tables else []
    assert {(subject, key): term for subject, key, term in found} == expected
    assert len(found) == len(expected) == parsed.rows_read
