"""Safety and conduct: AE, FA, DD, DE, DS, DV, DA, DT (SDTMIG 3.4, SDTMIG-MD 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from importers.sdtm_insulin import insulin_rows, is_insulin
from importers.sdtm_rows import DomainMapping, Row, TableRow
from importers.sdtm_subjects import did_not_occur

CONSENT_OBTAINED = "INFORMED CONSENT OBTAINED"
_ACTIONS = {
    "DISPAMT": "dispensed",
    "DEPLOYED": "dispensed",
    "RETAMT": "returned",
    "RETURNED": "returned",
}
"""DATESTCD (C78732) and DTDECOD (C112037) in the table's words; others stay, in lower case."""


def adverse_event_rows(row: Row) -> Iterator[TableRow]:
    """AE. Dates stay as recorded; they are completed, with a flag, by the analysis."""
    yield (
        "adverse_event",
        {
            "subject_id": row.required("USUBJID"),
            "event_seq": row.required_sequence("AESEQ"),
            "term": row.required("AETERM"),
            "preferred_term": row.text("AEDECOD"),
            "soc": row.text("AEBODSYS", "AESOC"),
            "high_level_term": row.text("AEHLT"),
            "severity": row.text("AESEV"),
            "grade": row.sequence("AETOXGR"),
            "serious": row.flag("AESER"),
            "causality": row.text("AEREL"),
            "device_relation": row.text("AERLDEV"),
            "action_taken": row.text("AEACN"),
            "outcome": row.text("AEOUT"),
            "results_in_death": row.flag("AESDTH"),
            "hospitalisation": row.flag("AESHOSP"),
            "life_threatening": row.flag("AESLIFE"),
            "device_id": row.text("SPDEVID"),
            "epoch": row.text("EPOCH"),
            "start_text": row.date_text("AESTDTC"),
            "end_text": row.date_text("AEENDTC"),
            "reported_text": row.date_text("AEDTC"),
        },
    )


def finding_rows(prefix: str, row: Row) -> Iterator[TableRow]:
    """FA and DD."""
    yield (
        "finding_about",
        {
            "domain": prefix,
            "subject_id": row.required("USUBJID"),
            "finding_seq": row.required_sequence(f"{prefix}SEQ"),
            "link": row.text(f"{prefix}LNKGRP", f"{prefix}LNKID", f"{prefix}GRPID"),
            "test": row.required(f"{prefix}TESTCD", f"{prefix}TEST"),
            "object": row.text(f"{prefix}OBJ"),
            "category": row.text(f"{prefix}CAT"),
            "result": row.text(f"{prefix}ORRES", f"{prefix}STRESC"),
            "body_site": row.text(f"{prefix}LOC"),
            "finding_date": row.day(f"{prefix}DTC"),
        },
    )


def finding_about_rows(row: Row) -> Iterator[TableRow]:
    """FA; insulin that a study keeps as findings is dose events."""
    if is_insulin(row):
        yield from insulin_rows(row)
    else:
        yield from finding_rows("FA", row)


def device_event_rows(row: Row) -> Iterator[TableRow]:
    """DE. A prespecified deficiency that did not occur is kept as that finding and is no deficiency."""
    not_done = row.code("DESTAT") == "NOT DONE"
    if not_done or row.flag("DEOCCUR") is False:
        what, category = row.text("DETERM"), row.text("DECAT")
        subject_id, sequence = row.required("USUBJID"), row.required_sequence("DESEQ")
        result = "NOT DONE" if not_done else "N"
        yield "finding_about", did_not_occur("DE", subject_id, sequence, what, category, result)
        return
    yield (
        "device_deficiency",
        {
            "device_id": row.required("SPDEVID"),
            "subject_id": row.text("USUBJID"),
            "deficiency_seq": row.sequence("DESEQ"),
            "term": row.required("DETERM", "DEDECOD"),
            "category": row.text("DECAT"),
            "start_text": row.date_text("DESTDTC") or row.date_text("DEDTC"),
        },
    )


def disposition_rows(row: Row) -> Iterator[TableRow]:
    """DS; a consent is also a row of ``consent``, further ones of a subject told apart by their number."""
    subject_id, sequence = row.required("USUBJID"), row.required_sequence("DSSEQ")
    term, decoded, day = row.text("DSTERM"), row.text("DSDECOD"), row.day("DSSTDTC")
    yield (
        "disposition",
        {
            "subject_id": subject_id,
            "disposition_seq": sequence,
            "term": term,
            "decoded": decoded,
            "category": row.text("DSCAT"),
            "scope": row.text("DSSCAT"),
            "epoch": row.text("EPOCH"),
            "disposition_date": day,
        },
    )
    if CONSENT_OBTAINED in (row.code("DSDECOD"), row.code("DSTERM")):
        version = row.text("DSREFID")
        if version is None and (subject_id,) in row.tally.seen:
            version = f"DSSEQ {sequence}"
        row.tally.seen.add((subject_id,))
        yield "consent", {"subject_id": subject_id, "version": version, "signed_date": day}


def deviation_rows(row: Row) -> Iterator[TableRow]:
    """DV. Importance is read only where the category says it in so many words."""
    words = (row.code("DVCAT"), row.code("DVSCAT"))
    importance = next((word.lower() for word in words if word in ("MAJOR", "MINOR")), None)
    yield (
        "deviation",
        {
            "subject_id": row.required("USUBJID"),
            "deviation_seq": row.required_sequence("DVSEQ"),
            "term": row.required("DVTERM", "DVDECOD"),
            "category": row.text("DVDECOD", "DVCAT"),
            "importance": importance,
            "start_date": row.day("DVSTDTC"),
        },
    )


def accountability_rows(row: Row) -> Iterator[TableRow]:
    """DA: amounts of drug dispensed and returned."""
    quantity = "DASTRESN" if row.text("DASTRESN") is not None else "DAORRES"
    test = row.required("DATESTCD")
    yield (
        "accountability",
        {
            "subject_id": row.required("USUBJID"),
            "device_id": row.text("SPDEVID"),
            "accountability_seq": row.required_sequence("DASEQ"),
            "action": _ACTIONS.get(test.upper(), test.lower()),
            "quantity": row.amount(quantity),
            "unit": row.text("DASTRESU", "DAORRESU"),
            "action_date": row.day("DADTC"),
        },
    )


def tracking_rows(row: Row) -> Iterator[TableRow]:
    """DT: where a device went."""
    action = row.required("DTDECOD", "DTTERM")
    yield (
        "accountability",
        {
            "subject_id": row.text("USUBJID"),
            "device_id": row.required("SPDEVID"),
            "accountability_seq": row.required_sequence("DTSEQ"),
            "action": _ACTIONS.get(action.upper(), action.lower()),
            "action_date": row.day("DTSTDTC", "DTDTC"),
        },
    )


MAPPINGS: tuple[DomainMapping, ...] = (
    DomainMapping("AE", "adverse_event", ("USUBJID", "AESEQ", "AETERM"), adverse_event_rows),
    DomainMapping("FA", "finding_about", ("USUBJID", "FASEQ"), finding_about_rows),
    DomainMapping("DD", "finding_about", ("USUBJID", "DDSEQ", "DDTESTCD"), partial(finding_rows, "DD")),
    DomainMapping("DE", "device_deficiency", ("SPDEVID", "DESEQ", "DETERM"), device_event_rows),
    DomainMapping("DS", "disposition", ("USUBJID", "DSSEQ", "DSDECOD"), disposition_rows),
    DomainMapping("DV", "deviation", ("USUBJID", "DVSEQ", "DVTERM"), deviation_rows),
    DomainMapping("DA", "accountability", ("USUBJID", "DASEQ", "DATESTCD"), accountability_rows),
    DomainMapping("DT", "accountability", ("SPDEVID", "DTSEQ"), tracking_rows),
)
