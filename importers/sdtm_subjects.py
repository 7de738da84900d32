"""Subjects, devices and how records relate: DM, SE, SV, DI, DO, DR, SUPP--, RELREC (SDTMIG 3.4, SDTMIG-MD 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from importers.sdtm_rows import DomainMapping, Row, TableRow

NOT_RANDOMISED_CODES = frozenset({"SCRNFAIL", "NOTASSGN"})
"""ARMCD of subjects without an arm before SDTMIG 3.3; since then ARMCD is empty and ARMNRS says why."""

NOT_RANDOMISED_ARMS = frozenset({"SCREEN FAILURE", "NOT ASSIGNED"})


def subject_rows(row: Row) -> Iterator[TableRow]:
    """DM. A subject without an arm has NULL arm codes and a reason, whichever SDTMIG version wrote the row."""
    arm_code = None if _has_no_arm(row, "ARMCD", "ARM") else row.text("ARMCD")
    reason = None if arm_code else row.text("ARMNRS", "ARM")
    age = row.integer("AGE")
    yield (
        "subject",
        {
            "subject_id": row.required("USUBJID"),
            "subject_number": row.text("SUBJID"),
            "site_id": row.text("SITEID"),
            "sex": row.text("SEX"),
            "age": age if age is None else _not_negative(row, "AGE", age),
            "age_unit": (row.text("AGEU") or "YEARS") if age is not None else row.text("AGEU"),
            "race": row.text("RACE"),
            "ethnicity": row.text("ETHNIC"),
            "country": row.text("COUNTRY"),
            "arm_code": arm_code,
            "actual_arm_code": None if _has_no_arm(row, "ACTARMCD", "ACTARM") else row.text("ACTARMCD"),
            "consent_date": row.day("RFICDTC"),
            "reference_start": row.day("RFSTDTC"),
            "reference_end": row.day("RFENDTC"),
            "first_treatment": row.day("RFXSTDTC"),
            "last_treatment": row.day("RFXENDTC"),
            "participation_end": row.day("RFPENDTC"),
            "death_date": row.day("DTHDTC"),
            "died": row.flag("DTHFL"),
            "not_randomised_reason": reason,
            "status": "screen_failure" if _is_screen_failure(reason) else None,
        },
    )


def _has_no_arm(row: Row, code: str, arm: str) -> bool:
    return row.code(code) in NOT_RANDOMISED_CODES or row.code(arm) in NOT_RANDOMISED_ARMS


def _is_screen_failure(reason: str | None) -> bool:
    return (reason or "").upper() == "SCREEN FAILURE"


def _not_negative(row: Row, name: str, value: int) -> int:
    row.amount(name)
    return value


def element_rows(row: Row) -> Iterator[TableRow]:
    """SE."""
    row.required("SESEQ")
    yield (
        "subject_element",
        {
            "subject_id": row.required("USUBJID"),
            "element_seq": row.integer("SESEQ"),
            "element_code": row.text("ETCD"),
            "element": row.text("ELEMENT"),
            "epoch": row.text("EPOCH"),
            "start_date": row.day("SESTDTC"),
            "end_date": row.day("SEENDTC"),
        },
    )


def visit_rows(row: Row) -> Iterator[TableRow]:
    """SV. A visit that did not happen (SVOCCUR = N) is no visit, but the finding that it did not occur."""
    subject_id = row.required("USUBJID")
    number = row.number("VISITNUM")
    if row.flag("SVOCCUR") is False:
        yield (
            "finding_about",
            did_not_occur(
                "SV", subject_id, f"VISITNUM {row.sequence('VISITNUM')}", row.text("VISIT"), row.text("SVREASOC")
            ),
        )
        return
    yield (
        "visit",
        {
            "subject_id": subject_id,
            "visit_number": None if number is None else float(number),
            "visit": row.text("VISIT"),
            "start_date": row.day("SVSTDTC"),
            "end_date": row.day("SVENDTC"),
            "unplanned": row.text("SVUPDES"),
        },
    )


def did_not_occur(
    domain: str, subject_id: str, sequence: str, what: str | None, category: str | None, result: str = "N"
) -> dict[str, Any]:
    """Something prespecified that did not happen (``N``) or was not asked (``NOT DONE``): finding OCCUR."""
    return {
        "domain": domain,
        "subject_id": subject_id,
        "finding_seq": sequence,
        "test": "OCCUR",
        "object": what,
        "category": category,
        "result": result,
    }


def device_identifier_rows(row: Row) -> Iterator[TableRow]:
    """DI."""
    yield (
        "device_property",
        {
            "device_id": row.required("SPDEVID"),
            "property_seq": row.integer("DISEQ"),
            "property": row.required("DIPARMCD"),
            "value": row.text("DIVAL"),
        },
    )


def device_property_rows(row: Row) -> Iterator[TableRow]:
    """DO: results with their unit behind them."""
    value, unit = row.text("DOORRES", "DOSTRESC"), row.text("DOORRESU", "DOSTRESU")
    yield (
        "device_property",
        {
            "device_id": row.required("SPDEVID"),
            "property_seq": row.integer("DOSEQ"),
            "property": row.required("DOTESTCD"),
            "value": f"{value} {unit}" if value and unit else value,
        },
    )


def device_subject_rows(row: Row) -> Iterator[TableRow]:
    """DR: an assignment without dates."""
    yield (
        "device_assignment_recorded",
        {"device_id": row.required("SPDEVID"), "subject_id": row.required("USUBJID")},
    )


def supplemental_rows(row: Row) -> Iterator[TableRow]:
    """SUPP--. The parent's sequence number is levelled (``1.0`` and ``1`` name the same parent)."""
    variable = row.text("IDVAR")
    is_sequence = (variable or "").upper().endswith("SEQ")
    yield (
        "supplemental",
        {
            "domain": row.required("RDOMAIN"),
            "subject_id": row.required("USUBJID"),
            "parent_variable": variable,
            "parent_value": row.sequence("IDVARVAL") if is_sequence else row.text("IDVARVAL"),
            "name": row.required("QNAM"),
            "label": row.text("QLABEL"),
            "value": row.text("QVAL"),
        },
    )


def relation_rows(row: Row) -> Iterator[TableRow]:
    """RELREC. Without a subject the relation holds between data sets."""
    variable = row.text("IDVAR")
    is_sequence = (variable or "").upper().endswith("SEQ")
    yield (
        "relation",
        {
            "domain": row.required("RDOMAIN"),
            "subject_id": row.text("USUBJID"),
            "variable": variable,
            "value": row.sequence("IDVARVAL") if is_sequence else row.text("IDVARVAL"),
            "relation_type": row.text("RELTYPE"),
            "relation_id": row.required("RELID"),
        },
    )


MAPPINGS: tuple[DomainMapping, ...] = (
    DomainMapping("DM", "subject", ("USUBJID",), subject_rows),
    DomainMapping("SE", "subject_element", ("USUBJID", "SESEQ", "ETCD"), element_rows),
    DomainMapping("SV", "visit", ("USUBJID", "VISITNUM"), visit_rows),
    DomainMapping("DI", "device_property", ("SPDEVID", "DIPARMCD", "DIVAL"), device_identifier_rows),
    DomainMapping("DO", "device_property", ("SPDEVID", "DOTESTCD"), device_property_rows),
    DomainMapping("DR", "device_assignment_recorded", ("USUBJID", "SPDEVID"), device_subject_rows),
    DomainMapping("SUPP", "supplemental", ("RDOMAIN", "USUBJID", "QNAM", "QVAL"), supplemental_rows),
    DomainMapping("RELREC", "relation", ("RDOMAIN", "RELID"), relation_rows),
)
