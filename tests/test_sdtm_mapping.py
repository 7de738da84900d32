"""What single SDTM rows become, and what happens to rows that cannot be used."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdtm_files import read, recognise, rejected, table, write_rows

from importers.base import Ignored, Recognised, UnreadableFile
from store.protocol import Source

EC = {
    "USUBJID": "001", "SPDEVID": "D1", "ECSEQ": "1", "ECTRT": "DRUG", "ECPRESP": "Y", "ECOCCUR": "Y", "ECMOOD": None,
    "ECSTAT": None, "ECDOSE": "5", "ECDOSU": "mL", "ECDOSFRM": "INJECTION", "ECDOSFRQ": "QD", "ECROUTE": "SUBCUTANEOUS",
    "ECPSTRG": "10.8", "ECPSTRGU": "g/L", "ECLOT": "L1", "ECSTDTC": "2014-03-09", "ECENDTC": "2014-03-09",
}  # fmt: skip
AE = {"USUBJID": "001", "AESEQ": "1", "AETERM": "RASH", "AESTDTC": "2014-03", "AESER": "N"}


def ec(tmp_path: Path, *changes: dict[str, Any]) -> Any:
    return read(write_rows(tmp_path / "ec.ndjson", "EC", [{**EC, **change} for change in changes]))


@pytest.mark.parametrize(
    ("change", "planned", "given"),
    [
        ({}, True, True),
        ({"ECOCCUR": "N", "ECDOSE": None}, True, False),
        ({"ECOCCUR": None, "ECSTAT": "NOT DONE", "ECDOSE": None}, True, False),
        ({"ECPRESP": None, "ECOCCUR": None}, False, True),
        ({"ECMOOD": "SCHEDULED", "ECPRESP": None, "ECOCCUR": None}, True, False),
        ({"ECMOOD": "PERFORMED", "ECPRESP": None, "ECOCCUR": None}, False, True),
        ({"ECMOOD": "PERFORMED", "ECPRESP": None, "ECOCCUR": "N", "ECDOSE": None}, True, False),
        ({"ECOCCUR": None, "ECDOSE": None}, True, False),
    ],
)
def test_a_row_of_ec_is_planned_given_or_both(
    tmp_path: Path, change: dict[str, Any], planned: bool, given: bool
) -> None:
    parsed = ec(tmp_path, change)
    assert [row["line"] for row in table(parsed, "planned_dose_recorded")] == ([1] if planned else [])
    assert [row["line"] for row in table(parsed, "dose_event")] == ([1] if given else [])
    assert parsed.rows_read == 1


def test_only_a_scheduled_record_states_the_planned_amount(tmp_path: Path) -> None:
    parsed = ec(tmp_path, {}, {"ECSEQ": "2", "ECMOOD": "SCHEDULED", "ECOCCUR": None, "ECPRESP": None})
    amounts = [(row["planned_amount"], row["amount_unit"]) for row in table(parsed, "planned_dose_recorded")]
    assert amounts == [(None, None), (Decimal(54), "mg")]


@pytest.mark.parametrize(
    ("dose", "unit", "strength", "strength_unit", "expected"),
    [
        ("5", "mL", "10.8", "g/L", (Decimal("54"), "mg", "volume_x_conc")),
        ("5", "mL", "0", "g/L", (Decimal("0"), "mg", "volume_x_conc")),
        ("0.3", "mL", "0.1", "mg/mL", (Decimal("0.03"), "mg", "volume_x_conc")),
        ("250", "uL", "40", "ug/mL", (Decimal("10"), "ug", "volume_x_conc")),
        ("0.02", "mL", "100", "U/mL", (Decimal("2"), "U", "volume_x_conc")),
        ("54", "mg", None, None, (Decimal("54"), "mg", "nominal_crf")),
        ("2", "TABLET", "50", "mg", (Decimal("2"), "TABLET", "nominal_crf")),
        (None, None, "10.8", "g/L", (None, None, "none")),
    ],
)
def test_amount_and_its_basis(
    tmp_path: Path, dose: Any, unit: Any, strength: Any, strength_unit: Any, expected: tuple[Any, Any, str]
) -> None:
    parsed = ec(tmp_path, {"ECDOSE": dose, "ECDOSU": unit, "ECPSTRG": strength, "ECPSTRGU": strength_unit})
    event = table(parsed, "dose_event")[0]
    assert (event["delivered_amount"], event["amount_unit"], event["delivered_basis"]) == expected


def test_more_than_six_places_are_rounded_and_said(tmp_path: Path) -> None:
    parsed = ec(tmp_path, {"ECDOSE": "0.33333333", "ECDOSU": "mg", "ECPSTRG": None})
    assert table(parsed, "dose_event")[0]["delivered_amount"] == Decimal("0.333333")
    assert any("six decimal places" in note for note in parsed.notes)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"USUBJID": None}, "missing_value", "USUBJID"),
        ({"USUBJID": "   "}, "missing_value", "USUBJID"),
        ({"ECSEQ": None}, "missing_value", "ECSEQ"),
        ({"ECSTDTC": None}, "missing_value", "ECSTDTC"),
        ({"ECSTDTC": "2013-02-30"}, "bad_date", "ECSTDTC"),
        ({"ECSTDTC": "--02-20"}, "bad_date", "ECSTDTC"),
        ({"ECDOSE": "five"}, "bad_number", "ECDOSE"),
        ({"ECDOSE": "1e40"}, "bad_number", "ECDOSE"),
        ({"ECDOSE": "-5"}, "bad_value", "ECDOSE"),
        ({"ECPSTRG": "Infinity"}, "bad_number", "ECPSTRG"),
        ({"ECOCCUR": "MAYBE"}, "bad_value", "ECOCCUR"),
        ({"ECMOOD": "DREAMT"}, "bad_value", "ECMOOD"),
    ],
)
def test_a_bad_row_is_rejected_alone(tmp_path: Path, change: dict[str, Any], reason: str, field: str) -> None:
    parsed = ec(tmp_path, {}, {"ECSEQ": "2", **change}, {"ECSEQ": "3"})
    assert rejected(parsed) == [(2, reason, field)]
    assert [row["line"] for row in table(parsed, "dose_event")] == [1, 3]
    assert [row["line"] for row in table(parsed, "planned_dose_recorded")] == [1, 3]
    assert parsed.rows_read == 3
    raw = json.loads(parsed.rejected.get_column("raw")[0])
    assert raw["ECTRT"] == "DRUG"


def test_times_keep_their_precision_and_offset(tmp_path: Path) -> None:
    parsed = ec(
        tmp_path,
        {"ECSTDTC": "2014-03-09T08:30+02:00", "ECENDTC": "2014-03-09T08:40+02:00"},
        {"ECSEQ": "2", "ECSTDTC": "2014-03", "ECENDTC": None},
    )
    exact, month = table(parsed, "dose_event")
    assert exact["start_utc"] == dt.datetime(2014, 3, 9, 6, 30)
    assert exact["end_local"] == dt.datetime(2014, 3, 9, 8, 40)
    assert (exact["start_precision"], exact["utc_offset_min"], exact["offset_source"]) == ("minute", 120, "file")
    assert (month["start_local"], month["start_precision"]) == (dt.datetime(2014, 3, 1), "month")
    assert month["time_uncertain"] is True
    assert month["start_utc"] is None


def test_a_row_that_covers_many_doses_is_no_dose(tmp_path: Path) -> None:
    """Fourteen days of QD in one row: neither one planned nor one taken dose."""
    parsed = ec(tmp_path, {"ECENDTC": "2014-03-22"}, {"ECSEQ": "2", "ECENDTC": "2014-03-10"})
    assert [row["exclude_reason"] for row in table(parsed, "dose_event")] == ["aggregate", None]
    assert [row["line"] for row in table(parsed, "planned_dose_recorded")] == [2]
    assert any("several doses" in note for note in parsed.notes)


@pytest.mark.parametrize(
    ("form", "route", "kind"),
    [
        ("INJECTION, SOLUTION", "SUBCUTANEOUS", "injection"),
        ("PATCH", "TRANSDERMAL", "application"),
        ("TABLET", "ORAL", "ingestion"),
        ("SOLUTION", "INTRAMUSCULAR", "injection"),
        (None, None, "application"),
    ],
)
def test_the_kind_of_dose_comes_from_form_or_route(tmp_path: Path, form: Any, route: Any, kind: str) -> None:
    parsed = ec(tmp_path, {"ECDOSFRM": form, "ECROUTE": route})
    assert table(parsed, "dose_event")[0]["kind"] == kind
    assert any("do not tell the kind" in note for note in parsed.notes) == (form is None)


def test_sequence_numbers_read_the_same_however_written(tmp_path: Path) -> None:
    parsed = ec(tmp_path, {"ECSEQ": " 1.0"}, {"ECSEQ": "02"}, {"ECSEQ": "A-7"})
    assert [row["native_key"] for row in table(parsed, "dose_event")] == ["EC-1", "EC-2", "EC-A-7"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "USUBJID": st.sampled_from(["001", "", None]),
                "ECDOSE": st.one_of(st.none(), st.text(max_size=6), st.floats().map(str), st.integers().map(str)),
                "ECPSTRG": st.one_of(st.none(), st.decimals(allow_nan=False, allow_infinity=False).map(str)),
                "ECSTDTC": st.one_of(st.none(), st.dates().map(str), st.text(alphabet="0123456789-T:", max_size=12)),
                "ECENDTC": st.one_of(st.none(), st.dates().map(str)),
                "ECOCCUR": st.sampled_from(["Y", "N", "U", "X", None]),
                "ECMOOD": st.sampled_from(["SCHEDULED", "PERFORMED", None]),
            }
        ),
        max_size=6,
    )
)
def test_every_row_ends_in_exactly_one_place(tmp_path: Path, changes: list[dict[str, Any]]) -> None:
    parsed = ec(tmp_path, *changes, {})
    kept = {row["line"] for name in parsed.tables for row in table(parsed, name)}
    refused = {line for line, _, _ in rejected(parsed)}
    assert kept | refused == set(range(1, len(changes) + 2))
    assert not kept & refused
    assert all(row["delivered_amount"] is None or row["delivered_amount"] >= 0 for row in table(parsed, "dose_event"))


def test_adverse_events_keep_partial_dates_as_text(tmp_path: Path) -> None:
    rows = [AE, {**AE, "AESEQ": "2", "AESTDTC": "2013-02-30"}, {**AE, "AESEQ": "3", "AESTDTC": "2003"}]
    parsed = read(write_rows(tmp_path / "ae.ndjson", "AE", rows))
    assert [row["start_text"] for row in table(parsed, "adverse_event")] == ["2014-03", "2003"]
    assert rejected(parsed) == [(2, "bad_date", "AESTDTC")]


def test_absent_causality_and_seriousness_are_null(tmp_path: Path) -> None:
    rows = [{**AE, "AESER": "Y", "AEREL": ""}, {**AE, "AESEQ": "2", "AESER": "U", "AEREL": "NONE"}]
    parsed = read(write_rows(tmp_path / "ae.ndjson", "AE", rows))
    assert [(row["serious"], row["causality"]) for row in table(parsed, "adverse_event")] == [
        (True, None),
        (None, "NONE"),
    ]


def test_a_blank_end_of_exposure_is_null_and_a_partial_start_is_refused(tmp_path: Path) -> None:
    base = {"USUBJID": "001", "EXSEQ": "1", "EXTRT": "X", "EXDOSE": "54", "EXDOSU": "mg", "EXENDTC": ""}
    rows = [{**base, "EXSTDTC": "2014-03-09"}, {**base, "EXSEQ": "2", "EXSTDTC": "2014-03"}]
    parsed = read(write_rows(tmp_path / "ex.ndjson", "EX", rows))
    assert [(row["start_date"], row["end_date"]) for row in table(parsed, "exposure")] == [(dt.date(2014, 3, 9), None)]
    assert rejected(parsed) == [(2, "bad_date", "EXSTDTC")]


def test_consents_are_told_apart(tmp_path: Path) -> None:
    base = {"USUBJID": "001", "DSTERM": "INFORMED CONSENT OBTAINED", "DSDECOD": "INFORMED CONSENT OBTAINED"}
    rows = [
        {**base, "DSSEQ": "1", "DSSTDTC": "2014-01-01"},
        {**base, "DSSEQ": "2", "DSSTDTC": "2014-02-01"},
        {"USUBJID": "001", "DSSEQ": "3", "DSTERM": "COMPLETED", "DSDECOD": "COMPLETED", "DSSTDTC": "2014-09-01"},
    ]
    parsed = read(write_rows(tmp_path / "ds.ndjson", "DS", rows))
    assert len(table(parsed, "disposition")) == 3
    consents = [(row["version"], row["signed_date"]) for row in table(parsed, "consent")]
    assert consents == [(None, dt.date(2014, 1, 1)), ("DSSEQ 2", dt.date(2014, 2, 1))]


def test_what_did_not_happen_is_a_finding_not_an_event(tmp_path: Path) -> None:
    visit = {"USUBJID": "001", "VISITNUM": "4", "VISIT": "WEEK 2", "SVOCCUR": "N", "SVREASOC": "SNOW", "SVSTDTC": None}
    parsed = read(write_rows(tmp_path / "sv.ndjson", "SV", [visit]))
    assert "visit" not in parsed.tables
    assert table(parsed, "finding_about")[0]["object"] == "WEEK 2"
    deficiency = {"SPDEVID": "D1", "USUBJID": "001", "DESEQ": "1", "DETERM": "NEEDLE BENT", "DEOCCUR": "N"}
    rows = [deficiency, {**deficiency, "DESEQ": "2", "DEOCCUR": "Y", "DESTDTC": "2014-03"}]
    parsed = read(write_rows(tmp_path / "de.ndjson", "DE", rows))
    assert [row["start_text"] for row in table(parsed, "device_deficiency")] == ["2014-03"]
    assert [row["result"] for row in table(parsed, "finding_about")] == ["N"]


def test_device_exposure_is_a_dose_a_wear_interval_or_an_observation(tmp_path: Path) -> None:
    base = {"USUBJID": "001", "SPDEVID": "P1", "DXTRT": "PUMP", "DXDOSE": None, "DXDOSU": None, "DXSTDTC": None}
    base |= {"DXENDTC": None, "DXDTC": "2014-03-20"}
    rows = [
        {**base, "DXSEQ": "1", "DXDOSE": "2.5", "DXDOSU": "U", "DXSTDTC": "2014-03-09T08:00:05"},
        {**base, "DXSEQ": "2", "DXSTDTC": "2014-03-09", "DXENDTC": "2014-03-12"},
        {**base, "DXSEQ": "3"},
    ]
    parsed = read(write_rows(tmp_path / "dx.ndjson", "DX", rows))
    assert table(parsed, "dose_event")[0]["delivered_amount"] == Decimal("2.5")
    assert table(parsed, "wear_interval")[0]["end_local"] == dt.datetime(2014, 3, 12)
    assert table(parsed, "observation")[0]["observed_at"] == dt.datetime(2014, 3, 20)


def test_accountability_of_drugs_and_devices(tmp_path: Path) -> None:
    drug = {
        "USUBJID": "001",
        "DASEQ": "1",
        "DATESTCD": "RETAMT",
        "DAORRES": "3",
        "DAORRESU": "PEN",
        "DADTC": "2014-03-09",
    }
    parsed = read(write_rows(tmp_path / "da.ndjson", "DA", [drug]))
    row = table(parsed, "accountability")[0]
    assert (row["action"], row["quantity"], row["unit"]) == ("returned", Decimal(3), "PEN")
    device = {"SPDEVID": "D1", "DTSEQ": "1", "DTTERM": "SHIPPED TO SITE", "DTDECOD": "SHIPPED", "DTSTDTC": "2014-01-02"}
    parsed = read(write_rows(tmp_path / "dt.ndjson", "DT", [device]))
    assert table(parsed, "accountability")[0]["action"] == "shipped"


def test_a_device_is_assigned_to_a_subject_without_dates(tmp_path: Path) -> None:
    parsed = read(write_rows(tmp_path / "dr.ndjson", "DR", [{"USUBJID": "001", "SPDEVID": "D1"}]))
    assignment = table(parsed, "device_assignment_recorded")[0]
    assert (assignment["device_id"], assignment["subject_id"], assignment["start_date"]) == ("D1", "001", None)


def test_supplemental_parents_are_found_whatever_their_number_looks_like(tmp_path: Path) -> None:
    base = {"RDOMAIN": "EC", "USUBJID": "001", "IDVAR": "ECSEQ", "QNAM": "ECREASOC", "QLABEL": "Reason", "QVAL": "ILL"}
    rows = [{**base, "IDVARVAL": value} for value in ("122", "122.0", "     122")]
    parsed = read(write_rows(tmp_path / "suppec.ndjson", "SUPPEC", rows))
    assert [row["parent_value"] for row in table(parsed, "supplemental")] == ["122"] * 3


def test_the_domain_is_decided_by_content_not_by_the_file_name(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "export_17.ndjson", "AE", [AE])
    assert recognise(path) == Recognised("sdtm", "AE")
    split = write_rows(
        tmp_path / "part.ndjson", "FACM", [{"DOMAIN": "FA", "USUBJID": "001", "FASEQ": "1", "FATESTCD": "X"}]
    )
    parsed = read(split)
    assert parsed.dataset == "FACM", "each part of a split domain is its own snapshot"
    assert table(parsed, "finding_about")[0]["domain"] == "FA"


def test_a_data_set_that_contradicts_its_own_name_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ae.ndjson", "AE", [AE, {**AE, "DOMAIN": "EC"}])
    with pytest.raises(UnreadableFile, match="named AE, its DOMAIN says AE, EC"):
        read(path)


def test_a_data_set_without_a_needed_variable_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ec.ndjson", "EC", [{"USUBJID": "001", "ECSEQ": "1"}])
    with pytest.raises(UnreadableFile, match="no column ECSTDTC"):
        read(path)


def test_unknown_domains_are_ignored_unless_they_could_hold_doses(tmp_path: Path) -> None:
    marker = write_rows(tmp_path / "xb.ndjson", "XB", [{"USUBJID": "001", "XBTESTCD": "Z"}])
    assert recognise(marker) == Ignored("SDTM domain XB is not used")
    doses = write_rows(tmp_path / "xd.ndjson", "XD", [{"USUBJID": "001", "XDTRT": "DRUG", "XDDOSE": "5"}])
    assert recognise(doses) is None


def test_a_data_set_is_a_snapshot_unless_the_protocol_says_otherwise(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ae.ndjson", "AE", [AE])
    assert read(path).mode == "snapshot"
    increment = Source(name="ae", pattern="*.ndjson", format="sdtm", mode="increment")
    assert read(path, increment).mode == "increment"
    assert read(path).exported_utc == dt.datetime(2024, 3, 1, 10, 0)
