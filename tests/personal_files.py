"""One file of every format with a person in it: name, birth date and e-mail where the format has room for them, in its
own name too, beside rows that can be used and rows that cannot.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pump_logs import bolus, carelink_table, entry

FIRST, LAST = "Zebulonia", "Quackenbush"
PERSON = f"{FIRST} {LAST}"
EMAIL = "zeb.q@mail.example.org"
BORN = ("1961-03-17", "17.03.1961", "3/17/1961", "19610317")
CANARIES = (FIRST, LAST, EMAIL, "zeb.q", *BORN)

AT = "2024-05-01T08:00:00.000Z"
BIRTH = BORN[0]


def _json(*records: dict[str, Any]) -> bytes:
    return json.dumps(list(records)).encode()


def _carelink_600() -> bytes:
    preamble = (
        "Last Name;First Name;Patient ID;System ID;Start Date;End Date;Device;MiniMed 780G MMT-1886\n"
        f'"{LAST}";"{FIRST}";"";"";"16/07/26 00:00:00";"29/07/26 00:00:00";"Serial Number";NG1\n'
        f"Patient DOB;{BORN[1]};;;;;CGM;Guardian\n"
    )
    rows = [
        bolus("2026-07-29 11:00:00", 85, 8, 8),
        bolus("2026-07-29 12:00:00", 86, 8)
        | {"Bolus Volume Delivered (U)": "much", "Event Marker": f"Other: {PERSON}"},
        entry("2026-07-29 18:45:00", marker=f"Other: called {PERSON}, {EMAIL}"),
    ]
    return (preamble + carelink_table(rows, separator=";")).encode()


def _carelink_legacy() -> bytes:
    from test_carelink_legacy import dose, table

    text = table([dose("4/11/15 08:00:00", 1, 1), dose("4/11/15 09:00:00", 1, 1) | {"Date": "soon"}])
    return text.replace("Paula Testperson", PERSON).encode()


def _carelink_connect() -> bytes:
    marker = {"type": "INSULIN", "timestamp": "2025-11-09T21:23:01", "data": {"dataValues": {
        "programmedFastAmount": "1.0", "deliveredFastAmount": "1.0", "activationType": "RECOMMENDED",
        "bolusType": "FAST", "completed": "true"}}}  # fmt: skip
    document = {
        "firstName": FIRST, "lastName": LAST, "username": EMAIL, "medicalDeviceFamily": "GUARDIAN",
        "conduitSerialNumber": "NG9",
        "medicalDeviceInformation": {"modelNumber": "MMT-1886", "deviceSerialNumber": "NG9"},
        "markers": [marker, {**marker, "timestamp": "never"}], "sgs": [],
    }  # fmt: skip
    return json.dumps(document).encode()


def _tconnect() -> bytes:
    from test_tandem import PLAIN, timeline

    text = timeline(PLAIN, PLAIN.replace('"13.53"', '"much"')).replace("Paula Testperson", PERSON)
    return text.replace("Paula called", f"{FIRST} called").replace("1/1/1990", BORN[2]).encode()


def _tandem_source_csv() -> bytes:
    from test_tandem import SOURCE

    return SOURCE.replace("Paula Testperson", PERSON).replace("1513861", "1513862").encode()


def _tandem_xml() -> bytes:
    from test_tandem import XML

    return XML.replace("Paula Testperson", f"{PERSON} {EMAIL} {BIRTH}").encode()


def _tandem_events() -> bytes:
    event = {"event_id": 20, "event_name": "BolusCompleted", "timestamp": "2026-03-04T10:01:00", "seq": 2,
             "bolus_id": 7, "insulin_requested": 0.65, "insulin_delivered": 0.65, "completion_status": 3}  # fmt: skip
    person = {"firstName": FIRST, "lastName": LAST, "email": EMAIL, "dateOfBirth": BIRTH}
    return json.dumps({"pumper": person, "pump_event_metadata_response": [{
        "tconnectDeviceId": 1, "serialNumber": "S7", "patientName": PERSON, "patientDateOfBirth": BIRTH}],
        "events": [event, {**event, "seq": 3, "timestamp": "never"}]}).encode()  # fmt: skip


def _glooko() -> bytes:
    out = io.BytesIO()
    meta = f"Name:{PERSON},Date Range:2026-01-01 - 2026-01-02\n"
    head = (
        "Timestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),"
        "Initial Delivery (U),Extended Delivery (U),Serial Number\n"
    )
    with zipfile.ZipFile(out, "w") as archive:
        row = "2026-01-01 08:10,Normal,,,,2.0,,,S1\n"
        archive.writestr(f"{PERSON}/Insulin data/bolus_data_1.csv", meta + head + row + row.replace("2.0", "two"))
        archive.writestr(f"{PERSON}/notes_data_1.csv", meta + f"Timestamp,Value\n2026-01-01 08:10,{PERSON} ill\n")
    return out.getvalue()


def _diasend() -> bytes:
    return (
        f"Patient ID,\nName,{PERSON}\n,\nDate,05/11/2013 to 03/02/2014\nTime,mg/dl\n13/11/2013 00:17,122\nlater,122\n"
    ).encode()


def _nightscout() -> bytes:
    person = {"enteredBy": PERSON, "notes": f"{PERSON} {EMAIL}", "created_at": AT}
    return _json(
        {**person, "_id": "1", "eventType": "Meal Bolus", "insulin": 2},
        {**person, "_id": "2", "eventType": "Meal Bolus", "insulin": -2},
        {**person, "_id": "3", "eventType": f"{FIRST} called"},
    )


def _tidepool() -> bytes:
    common = {"time": AT, "deviceId": f"iPhone of {PERSON}", "uploadId": "u", "deviceTime": "2024-05-01T08:00:00"}
    upload = {"type": "upload", "byUser": EMAIL, "deviceSerialNumber": None, "client": {"private": PERSON}}
    return _json(
        {**common, "type": "bolus", "id": "1", "normal": 2},
        {**common, "type": "bolus", "id": "2", "normal": "much"},
        {**common, **upload, "id": "3"},
    )


def _loop() -> bytes:
    entry = {"type": "Bolus", "unit": "U", "start_at": "2024-05-01T08:00:00", "end_at": "2024-05-01T08:01:00"}
    return _json({**entry, "amount": 2, "description": PERSON}, {**entry, "amount": -2, "description": PERSON})


def _novopen() -> bytes:
    return b"Serial;Timestamp;Time;Value\nABC1;1714557600000;2024-05-01T12:00:00+02:00;65\nABC1;1;then;10\n"


def _clarity() -> bytes:
    from test_cgm_exports import CLARITY

    rows = f"1,,FirstName,,{FIRST},,,,,,,,,\n2,,LastName,,{LAST},,,,,,,,,\n3,,DateOfBirth,,{BIRTH},,,,,,,,,\n"
    rows += f"4,,Device,,,iPhone of {PERSON},,,,,,,,\n5,2024-03-01T08:00:00,EGV,,,,iPhone of {FIRST},100,,,,,100,8ABC\n"
    return (CLARITY + rows + f"6,soon,EGV,,,,iPhone of {FIRST},100,,,,,100,8ABC\n").encode()


def _libre() -> bytes:
    from test_cgm_exports import LIBRE

    rows = f"Libre 2,S1,30-04-2021 08:00,0,5.5,,,,{PERSON} ill,,,\nLibre 2,S1,30-04-2021 08:01,0,x,,,,{PERSON},,,\n"
    return (LIBRE.replace("Anna Muster", PERSON) + rows).encode()


def _mems() -> bytes:
    return (
        f"\ufeffExported by {PERSON} at 04-Oct-2022 20:41:56 (UTC-5) Eastern Standard Time,,,,\r\n"
        "Date,IntakeStatusDisplayResource,Indication / pathology,Identification number,Label,CavityLabel,"
        "IntakeChangeReasons,\r\n"
        f"3/16/2022 12:30:10 PM,Intake,,{LAST},{PERSON},,{EMAIL},\r\nnoon,Intake,,{LAST},{PERSON},,{EMAIL},\r\n"
    ).encode()


def _hl7() -> bytes:
    from test_hl7_pcd import event, number

    stop = event("20240501080000+0000", "MDC_EVT_PUMP_DELIV_STOP", number("0^MDC_VOL_FLUID_DELIV_SEGMENT", "10"))
    odd = event("noon", "MDC_EVT_PUMP_DELIV_STOP", number="2")  # type: ignore[arg-type]
    text = "\r".join((stop, odd)).replace("Muster^Anna", f"{LAST}^{FIRST}").replace("19610201", BORN[3])
    return text.encode()


def _fhir() -> bytes:
    person = {"reference": "Patient/p1", "display": PERSON}
    given = {"resourceType": "MedicationAdministration", "status": "completed", "subject": person,
             "effectiveDateTime": "2024-05-01T08:00:00Z", "performer": [{"actor": {"display": PERSON}}],
             "note": [{"text": f"{PERSON} {EMAIL}"}],
             "dosage": {"text": f"for {FIRST}", "dose": {"value": 2, "unit": "mg"}}}  # fmt: skip
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"family": LAST, "given": [FIRST]}], "birthDate": BIRTH,
               "telecom": [{"value": EMAIL}]}  # fmt: skip
    entries = [given | {"id": "m1"}, patient, given | {"id": "m2", "effectiveDateTime": "soon"}]
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in entries]}).encode()


def _dose_log() -> bytes:
    return (
        f"Subject,Patient Name,Date of birth,Time,Dose\nS1,{PERSON},{BIRTH},2024-05-01 08:00,2\n"
        f"S1,{PERSON},{BIRTH},2024-05-01 09:00,much\nS1,{PERSON},{BIRTH},2024-05-01 10:00\n"
    ).encode()


def _enrolment() -> bytes:
    return (
        f"subject_id,site_id,First name,E-mail,reference_start\nS1,B,{PERSON},{EMAIL},2024-01-01\n"
        f"S2,B,{PERSON},{EMAIL},soon\n"
    ).encode()


def _adverse_events() -> bytes:
    return (
        f"subject_id,event_seq,term,start_text,reporter_name,Surname\nS1,1,Rash,2024-05-02,x,{LAST}\n"
        f"S1,2,,2024-05-02,x,{LAST}\n"
    ).encode()


def _redcap() -> bytes:
    return (
        "record_id,redcap_event_name,name_first,name_last,email,dob,visit_date,visit_complete\n"
        f"S1,visit_1_arm_1,{FIRST},{LAST},{EMAIL},{BIRTH},2024-05-01,2\n"
        f"S1,visit_2_arm_1,{FIRST},{LAST},{EMAIL},{BIRTH},soon,2\n"
    ).encode()


def _edc_forms() -> bytes:
    return (
        f"Participant Id;Participant Email;Name;Visit date\nS1;{EMAIL};{PERSON};2024-05-01\nS1;{EMAIL};{PERSON};soon\n"
    ).encode()


def _odm() -> bytes:
    def event(oid: str, date: str) -> str:
        return (
            f'<StudyEventData StudyEventOID="{oid}"><FormData FormOID="F.V"><ItemGroupData ItemGroupOID="IG.V">'
            f'<ItemData ItemOID="IT.DATE" Value="{date}"/><ItemData ItemOID="IT.NAME" Value="{PERSON}"/>'
            f'<ItemData ItemOID="IT.DOB" Value="{BIRTH}"/></ItemGroupData></FormData></StudyEventData>'
        )

    return (
        '<?xml version="1.0"?><ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" FileType="Snapshot" FileOID="F" '
        f'ODMVersion="1.3.2"><AdminData><User OID="U"><FullName>{PERSON}</FullName><Email>{EMAIL}</Email></User>'
        '</AdminData><ClinicalData StudyOID="S" MetaDataVersionOID="M"><SubjectData SubjectKey="S1">'
        f"{event('SE.1', '2024-05-01')}{event('SE.2', 'soon')}</SubjectData></ClinicalData></ODM>"
    ).encode()


def _iobp2() -> bytes:
    return b"PtID|DeviceDtTm|BolusDelivPrev|MealBolusDelivPrev|BasalDelivPrev|CGMVal\n1|01/02/2023|0.5|0|0.1|120\n"


FILES: dict[str, Callable[[], bytes]] = {
    f"{PERSON} 29.07.2026.csv": _carelink_600,
    f"CareLink-Export-{LAST}.csv": _carelink_legacy,
    f"{EMAIL} connect.json": _carelink_connect,
    f"{FIRST}_{LAST}_timeline.csv": _tconnect,
    f"CSV_{LAST}{FIRST}_1513862_24Apr2021_1950.csv": _tandem_source_csv,
    f"{LAST}.xml": _tandem_xml,
    f"{FIRST}.events.json": _tandem_events,
    f"export_{FIRST}-{LAST}.zip": _glooko,
    f"Name-and-glucose-{LAST}.csv": _diasend,
    f"nightscout {FIRST}.json": _nightscout,
    f"tidepool-{EMAIL}.json": _tidepool,
    f"loop-{FIRST}.json": _loop,
    f"pen of {FIRST}.csv": _novopen,
    f"CLARITY_Export_{LAST}_{FIRST}_2024-03-01.csv": _clarity,
    f"{FIRST}{LAST}_glucose_30-4-2021.csv": _libre,
    f"mems {LAST}.csv": _mems,
    f"{LAST}.hl7": _hl7,
    f"{LAST}-bundle.json": _fhir,
    "doses.csv": _dose_log,
    "enrolment.csv": _enrolment,
    "events.csv": _adverse_events,
    "redcap.csv": _redcap,
    "forms.csv": _edc_forms,
    "odm.xml": _odm,
    "FlairTable.txt": _iobp2,
}
"""Name -> bytes; together they touch every format of importers.registry but SDTM, which has no room for a person."""

PROTOCOL = """\
[study]
id = "PRIVATE"

[[site]]
id = "B"
time_zone = "Europe/Berlin"

[[source]]
name = "doses"
pattern = "doses.csv"
format = "dose_log"
columns = { subject_id = "Subject", start_local = "Time", delivered_amount = "Dose" }
constants = { kind = "injection", amount_unit = "mg" }

[[source]]
name = "enrolment"
pattern = "enrolment.csv"
format = "enrolment"

[[source]]
name = "events"
pattern = "events.csv"
format = "adverse_events"

[[source]]
name = "redcap"
pattern = "redcap.csv"
format = "redcap"
columns = { subject_id = "record_id", "visit.visit" = "redcap_event_name", "visit.start_date" = "visit_date" }

[[source]]
name = "forms"
pattern = "forms.csv"
format = "edc_forms"
columns = { subject_id = "Participant Id", signed_date = "Visit date" }

[[source]]
name = "odm"
pattern = "odm.xml"
format = "odm"
columns = { "visit.start_date" = "IT.DATE", "visit.visit" = "StudyEventData.StudyEventOID" }
"""


LAYOUT_EXAMPLES = Path(__file__).resolve().parents[1] / "sample_data" / "open_layouts"


def _open_layout(example: Path) -> bytes:
    """The example of an open layout with columns nobody maps that say who the person is, and a row of bad cells."""
    header, *rows = example.read_text().splitlines()
    kept = [f"{row},{PERSON},{EMAIL},{BIRTH}" for row in rows]
    bad = ",".join("?" for _ in header.split(","))
    lines = [f"{header},patient name,email,date of birth", *kept, f"{bad},{PERSON},{EMAIL},{BIRTH}"]
    return ("\n".join(lines) + "\n").encode()


def write_files(folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for name, make in FILES.items():
        path = folder / name
        path.write_bytes(make())
        paths.append(path)
    for example in sorted(LAYOUT_EXAMPLES.glob("*.csv")):
        if example.name != "enrolment.csv":
            paths.append(folder / f"layout-{example.name}")
            paths[-1].write_bytes(_open_layout(example))
    return paths
