"""The two sample trials as canonical tables, read straight from their files without the importers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import polars as pl
import pyreadstat
from canonical_frames import CanonicalFrames


def read_ndjson(path: Path) -> pl.DataFrame:
    """A Dataset-JSON 1.1 data set in its NDJSON form."""
    first, *lines = path.read_text("utf-8").splitlines()
    names = [column["name"] for column in json.loads(first)["columns"]]
    return pl.DataFrame([json.loads(line) for line in lines], schema=names, orient="row", infer_schema_length=None)


def read_xpt(path: Path) -> pl.DataFrame:
    try:
        return pyreadstat.read_xport(str(path), output_format="polars")[0]
    except UnicodeDecodeError:
        return pyreadstat.read_xport(str(path), output_format="polars", encoding="windows-1252")[0]


def read(folder: Path, name: str) -> pl.DataFrame:
    """One domain; blank text is NULL. An absent domain is an empty frame."""
    for suffix, reader in ((".ndjson", read_ndjson), (".xpt", read_xpt)):
        path = folder / f"{name}{suffix}"
        if path.exists():
            frame = reader(path)
            texts = [column for column, kind in frame.schema.items() if kind == pl.String]
            return frame.with_columns(
                pl.when(pl.col(column).str.strip_chars() != "").then(pl.col(column)) for column in texts
            )
    return pl.DataFrame()


def day(column: str) -> pl.Expr:
    """The date of a complete ISO 8601 value; NULL when partial or absent."""
    return pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def amount(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Decimal(18, 6))


def text(column: str) -> pl.Expr:
    """A sequence number as text without its decimals."""
    return pl.col(column).cast(pl.Int64).cast(pl.String)


def flag(column: str) -> pl.Expr:
    return pl.col(column) == "Y"


def _provenance(frame: pl.DataFrame, domain: str) -> pl.DataFrame:
    return frame.with_row_index("line", offset=1).with_columns(
        pl.col("line").cast(pl.Int64), source_id=pl.lit(domain)
    )


def _subject(dm: pl.DataFrame) -> pl.DataFrame:
    have = set(dm.columns)
    randomised = ~pl.col("ARMCD").fill_null("Scrnfail").is_in(["Scrnfail", "SCRNFAIL"])
    return dm.select(
        "line",
        "source_id",
        subject_id="USUBJID",
        subject_number="SUBJID",
        site_id="SITEID",
        sex="SEX",
        age=pl.col("AGE").cast(pl.Int32),
        arm_code=pl.when(randomised).then("ARMCD"),
        actual_arm_code=pl.when(randomised).then("ACTARMCD"),
        consent_date=day("RFICDTC"),
        reference_start=day("RFSTDTC"),
        reference_end=day("RFENDTC"),
        first_treatment=day("RFXSTDTC"),
        last_treatment=day("RFXENDTC"),
        participation_end=day("RFPENDTC"),
        death_date=day("DTHDTC"),
        died=flag("DTHFL"),
        not_randomised_reason=pl.when(~randomised).then(pl.col("ARMNRS" if "ARMNRS" in have else "ARM")),
    )


def _dose_events(ec: pl.DataFrame) -> pl.DataFrame:
    return ec.filter(pl.col("ECOCCUR") == "Y").select(
        "line",
        "source_id",
        subject_id="USUBJID",
        device_id="SPDEVID",
        native_key="EC-" + text("ECSEQ"),
        drug="ECTRT",
        drug_role=pl.lit("study"),
        kind=pl.lit("injection"),
        intent=pl.lit("scheduled"),
        start_local=day("ECSTDTC").cast(pl.Datetime("us")),
        start_precision=pl.lit("date"),
        delivered_amount=(amount("ECDOSE") * amount("ECPSTRG")).cast(pl.Decimal(18, 6)),
        amount_unit=pl.lit("mg"),
        delivered_basis=pl.lit("volume_x_conc"),
        volume=amount("ECDOSE"),
        volume_unit=pl.lit("mL"),
        concentration=amount("ECPSTRG"),
        concentration_unit="ECPSTRGU",
        status=pl.lit("completed"),
        lot="ECLOT",
    )


def _recorded_plans(ec: pl.DataFrame) -> pl.DataFrame:
    return ec.filter(pl.col("ECPRESP") == "Y").select(
        "line",
        "source_id",
        subject_id="USUBJID",
        plan_seq=text("ECSEQ"),
        drug="ECTRT",
        planned_at=day("ECSTDTC").cast(pl.Datetime("us")),
        planned_precision=pl.lit("date"),
        occurred=flag("ECOCCUR"),
    )


def _adverse_events(ae: pl.DataFrame) -> pl.DataFrame:
    return ae.select(
        "line",
        "source_id",
        subject_id="USUBJID",
        event_seq=text("AESEQ"),
        term="AETERM",
        preferred_term="AEDECOD",
        soc=pl.coalesce("AEBODSYS", "AESOC"),
        severity="AESEV",
        serious=flag("AESER"),
        causality="AEREL",
        action_taken="AEACN",
        outcome="AEOUT",
        results_in_death=flag("AESDTH"),
        hospitalisation=flag("AESHOSP"),
        life_threatening=flag("AESLIFE"),
        start_text="AESTDTC",
        end_text="AEENDTC",
    )


@cache
def load(folder: Path, device_class: str | None = None) -> CanonicalFrames:
    """Every table the analyses of a trial read, from the SDTM domains in `folder`."""
    domains = {
        name: _provenance(read(folder, name), name)
        for name in ("dm", "se", "ds", "ec", "ex", "ae", "di", "suppdm", "suppec")
    }
    ds, ex, se = domains["ds"], domains["ex"], domains["se"]
    tables = {
        "subject": _subject(domains["dm"]),
        "subject_element": se.select(
            "line",
            "source_id",
            subject_id="USUBJID",
            element_seq=pl.col("SESEQ").cast(pl.Int32),
            element_code="ETCD",
            element="ELEMENT",
            epoch="EPOCH",
            start_date=day("SESTDTC"),
            end_date=day("SEENDTC"),
        ),
        "disposition": ds.select(
            "line",
            "source_id",
            subject_id="USUBJID",
            disposition_seq=text("DSSEQ"),
            term="DSTERM",
            decoded="DSDECOD",
            category="DSCAT",
            scope="DSSCAT" if "DSSCAT" in ds.columns else pl.lit(None, dtype=pl.String),
            epoch="EPOCH",
            disposition_date=day("DSSTDTC"),
        ),
        "exposure": ex.select(
            "line",
            "source_id",
            subject_id="USUBJID",
            exposure_seq=text("EXSEQ"),
            drug="EXTRT",
            amount=amount("EXDOSE"),
            amount_unit="EXDOSU",
            dose_form="EXDOSFRM",
            frequency="EXDOSFRQ",
            route="EXROUTE",
            start_date=day("EXSTDTC"),
            end_date=day("EXENDTC"),
        ),
        "adverse_event": _adverse_events(domains["ae"]),
        "supplemental": pl.concat(
            supp.select(
                "line",
                "source_id",
                domain="RDOMAIN",
                subject_id="USUBJID",
                parent_variable="IDVAR",
                parent_value="IDVARVAL",
                name="QNAM",
                label="QLABEL",
                value="QVAL",
            ).with_columns(pl.col("parent_variable", "parent_value").cast(pl.String))
            for supp in (domains["suppdm"], domains["suppec"])
            if supp.width > 2
        ),
    }
    ec = domains["ec"]
    if ec.width > 2:
        tables["dose_event"] = _dose_events(ec)
        tables["planned_dose_recorded"] = _recorded_plans(ec)
        devices = domains["di"].filter(pl.col("DIPARMCD") == "DEVTYPE")
        tables["device"] = devices.select(
            device_id="SPDEVID",
            device_class=pl.lit(device_class),
            device_type="DIVAL",
            basis=pl.lit("registered"),
        )
        tables["device_assignment"] = (
            tables["dose_event"]
            .group_by("device_id", "subject_id")
            .agg(start_date=pl.col("start_local").min().cast(pl.Date))
            .with_columns(basis=pl.lit("stated_in_data"))
        )
        tables["source_file"] = pl.DataFrame({"source_id": ["ec"], "format": ["sdtm"]})
    return CanonicalFrames(**tables)
