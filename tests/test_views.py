"""Views of a release: what a statistician finds on opening the file, against the trials' own data sets and results.

Expected values: the pilot's supplied ADSL and ADTTE, its treatment-emergence flags (SUPPAE), the auto-injector's EC,
and table `result` of the same release.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyreadstat
import pytest
from studies import SAMPLE, blinded_protocol, few_files, new_study, query, trial_file
from trial_releases import AUTOINJECTOR, PILOT, release_file

import sample_data
from store.macros import MACROS, PUBLISHED_TABLES
from store.macros_day import DAY_MACROS
from store.schema import create_all, data_dictionary
from store.views import all_views, create_views
from tui.pipeline import import_paths

TRIALS = (AUTOINJECTOR, PILOT)
VIEWS = {view.name: view for view in all_views()}

DUMP = """
import duckdb, hashlib, json, sys
con = duckdb.connect(sys.argv[1], read_only=True)
con.execute("SET TimeZone = 'UTC'")
found = {"version": duckdb.__version__}
for source in json.load(sys.stdin):
    rows = sorted(map(repr, con.execute("FROM " + source).fetchall()))
    found[source] = [len(rows), hashlib.sha256("\\n".join(rows).encode()).hexdigest()]
print(json.dumps(found))
"""
"""Every source of a release as number and digest of its rows, run by an interpreter that may hold another DuckDB."""

WHEN = "TIMESTAMP '2014-01-01'"

OLDER = Path(sys.prefix) / "duckdb14" / "bin" / "python"
"""An environment of its own with DuckDB 1.4, made by `make test` from requirements-duckdb14.lock."""


@pytest.fixture
def pilot() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(release_file(PILOT).resolve()), read_only=True) as con:
        yield con


@pytest.fixture
def autoinjector() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(release_file(AUTOINJECTOR).resolve()), read_only=True) as con:
        yield con


def supplied(name: str) -> pl.DataFrame:
    return pyreadstat.read_xport(str(sample_data.path(PILOT) / f"{name}.xpt"), output_format="polars")[0]


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def test_a_read_only_connection_finds_every_view_with_its_declared_columns(
    pilot: duckdb.DuckDBPyConnection,
) -> None:
    assert {name for (name,) in rows(pilot, "SELECT view_name FROM duckdb_views() WHERE NOT internal")} == set(VIEWS)
    for name, view in VIEWS.items():
        opened = pilot.execute(f"FROM {name}").description or []
        assert [(column[0], str(column[1])) for column in opened] == [(c.name, c.type) for c in view.columns]


def test_every_table_view_macro_and_column_says_what_it_means(pilot: duckdb.DuckDBPyConnection) -> None:
    """The whole catalogue of a release file; a comment that repeats the name says nothing."""
    catalogue = {
        "tables": "SELECT schema_name || '.' || table_name, table_name, comment FROM duckdb_tables()",
        "views": "SELECT view_name, view_name, comment FROM duckdb_views() WHERE NOT internal",
        "columns": "SELECT schema_name || '.' || table_name || '.' || column_name, column_name, comment "
        "FROM duckdb_columns() WHERE NOT internal",
        "macros": "SELECT function_name, function_name, comment FROM duckdb_functions() WHERE NOT internal",
    }
    for kind, sql in catalogue.items():
        found = rows(pilot, sql)
        assert len(found) > 8, kind
        silent = [place for place, name, comment in found if not comment or comment.lower() == name.lower()]
        assert silent == [], kind
    macros = {*DAY_MACROS, *(macro.name for macro in MACROS), "published_table"}
    assert {name for name, _, _ in rows(pilot, catalogue["macros"])} == macros
    listed = {(row["table"], row["column"]): row["comment"] for row in data_dictionary()}
    stored = rows(
        pilot,
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal",
    )
    assert {(table, column): comment for table, column, comment in stored} == listed


@pytest.mark.parametrize("name", DAY_MACROS)
def test_the_comment_of_a_macro_names_its_columns(pilot: duckdb.DuckDBPyConnection, name: str) -> None:
    given = "" if name == "below_compliance" else WHEN
    names = [column[0] for column in pilot.execute(f"FROM {name}({given})").description or ()]
    _, said = DAY_MACROS[name][1].split(" Columns: ")
    assert [part.split(":")[0] for part in said.split("; ")] == names


STANDARD = {
    "sdtm_dm": "SUBJID RFSTDTC RFENDTC RFXSTDTC RFXENDTC RFICDTC RFPENDTC DTHDTC DTHFL SITEID AGE AGEU SEX RACE ETHNIC "
    "ARMCD ARM ACTARMCD ACTARM ARMNRS COUNTRY",
    "sdtm_di": "SPDEVID DISEQ DIPARMCD DIPARM DIVAL",
    "sdtm_ec": "SPDEVID ECSEQ ECREFID ECTRT ECMOOD ECPRESP ECOCCUR ECREASOC ECDOSE ECDOSU ECROUTE ECLOC ECLOT ECVAMT "
    "ECVAMTU ECPSTRG ECPSTRGU ECSTDTC ECENDTC",
    "sdtm_ex": "SPDEVID EXSEQ EXTRT EXDOSE EXDOSU EXDOSFRM EXDOSFRQ EXROUTE EXLOT EPOCH EXSTDTC EXENDTC",
    "sdtm_dx": "SPDEVID DXSEQ DXTRT DXLOC DXSTDTC DXENDTC DXDUR",
    "sdtm_ae": "SPDEVID AESEQ AETERM AEDECOD AEHLT AEBODSYS AESEV AETOXGR AESER AEACN AEREL AERLDEV AEOUT AESDTH "
    "AESHOSP AESLIFE EPOCH AEDTC AESTDTC AEENDTC",
    "sdtm_ds": "DSSEQ DSTERM DSDECOD DSCAT DSSCAT EPOCH DSSTDTC",
    "adsl": "USUBJID SUBJID SITEID AGE AGEU SEX RACE ARM TRT01P TRT01A TRTSDT TRTEDT SAFFL ITTFL",
    "adex": "USUBJID TRTP TRTA PARAMCD PARAM AVAL AVALU PARCAT1 ASTDT AENDT",
    "adae": "USUBJID AETERM AEDECOD AEBODSYS ASTDT ASTDTF ASTDY AENDT AENDY TRTEMFL AOCCFL AOCCSFL AOCCPFL AESER AEREL",
    "adtte": "USUBJID PARAMCD PARAM AVAL STARTDT ADT CNSR EVNTDESC SRCDOM",
}
"""View -> variables of its standard: all a view of SDTM may have (SDTMIG 3.4, SDTMIG-MD 1.1; for ECVAMT, PHUSE and
CDISC's own example), and those of ADaM every user expects (ADaMIG 1.3, OCCDS 1.1, BDS for time to event)."""


@pytest.mark.parametrize("name", STANDARD)
def test_views_have_the_variables_of_their_standard(name: str) -> None:
    standard, columns = STANDARD[name].split(), {column.name: column for column in VIEWS[name].columns}
    assert set(standard) < set(columns) and "STUDYID" in columns
    if name.startswith("sdtm_"):
        assert ("USUBJID" in columns) == (name != "sdtm_di")
        for added in set(columns) - {*standard, "STUDYID", "DOMAIN", "USUBJID"}:
            comment = columns[added].comment
            assert "not an SDTM variable" in comment or added.endswith("SEQC"), f"{name}.{added}"


def test_sdtm_dx_is_what_was_worn_else_who_had_it(autoinjector: duckdb.DuckDBPyConnection) -> None:
    """The auto-injectors are not worn: one record for each assignment, by the device list's own type."""
    found = rows(autoinjector, "SELECT USUBJID, SPDEVID, DXTRT, DXSTDTC, DXENDTC, BASIS FROM sdtm_dx ORDER BY ALL")
    had = rows(
        autoinjector,
        "SELECT subject_id, device_id, 'Drug Auto-Injector', CAST(start_date AS VARCHAR), CAST(end_date AS VARCHAR), "
        "'assigned' FROM device_assignment ORDER BY ALL",
    )
    assert found == had and len(found) == 17
    with duckdb.connect() as con:
        create_all(con)
        create_views(con)
        con.execute(
            "INSERT INTO device_assignment VALUES ('P', 'S', DATE '2026-03-01', NULL, 'enrolment'); "
            "INSERT INTO device BY NAME SELECT 'P' AS device_id, 'patch_pump' AS device_class, 'registered' AS basis; "
            "INSERT INTO wear_interval BY NAME SELECT 'S' AS subject_id, 'P' AS device_id, 'f' AS source_id, "
            "day AS line, TIMESTAMP '2026-03-01 08:00' + to_days(day) AS start_local, "
            "CASE WHEN day < 2 THEN TIMESTAMP '2026-03-02 08:00' + to_days(day) END AS end_local, 'ARM' AS body_site "
            "FROM (SELECT unnest([0, 1, 2])::INTEGER AS day)"
        )
        assert rows(con, "SELECT DXSEQ, DXTRT, DXLOC, DXSTDTC, DXENDTC, DXDUR, BASIS FROM sdtm_dx") == [
            (1, "patch_pump", "ARM", "2026-03-01T08:00:00", "2026-03-02T08:00:00", "PT86400S", "worn"),
            (2, "patch_pump", "ARM", "2026-03-02T08:00:00", "2026-03-03T08:00:00", "PT86400S", "worn"),
            (3, "patch_pump", "ARM", "2026-03-03T08:00:00", None, None, "worn"),
        ]


def test_views_work_in_a_file_attached_beside_others() -> None:
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{release_file(PILOT).resolve()}' AS somewhere (READ_ONLY)")
        assert rows(con, "SELECT count(*) FROM somewhere.adsl") == [(254,)]


@pytest.mark.parametrize("trial", TRIALS)
def test_the_whole_database_survives_export_and_import(trial: str, tmp_path: Path) -> None:
    with duckdb.connect(str(release_file(trial).resolve()), read_only=True) as con:
        con.execute(f"EXPORT DATABASE '{tmp_path / 'out'}'")
        expected = {name: rows(con, f"SELECT count(*) FROM {name}") for name in (*VIEWS, "dose_accuracy()")}
    with duckdb.connect() as con:
        con.execute(f"IMPORT DATABASE '{tmp_path / 'out'}'")
        assert {name: rows(con, f"SELECT count(*) FROM {name}") for name in expected} == expected


OURS = (
    "STUDYID SUBJID SITEID AGE AGEU SEX RACE ETHNIC ARM TRT01P ITTFL SAFFL TRTSDT TRTEDT TRTDURD RFSTDTC RFENDTC "
    "EOSSTT DTHFL"
).split()
"""Columns of ADSL with the same definition in the supplied data set."""


def as_text(frame: pl.DataFrame, column: str) -> pl.Series:
    values = frame[column]
    return (values.cast(pl.Int64) if values.dtype == pl.Float64 else values).cast(pl.String).fill_null("")


@pytest.mark.parametrize("column", OURS)
def test_adsl_is_the_supplied_one(pilot: duckdb.DuckDBPyConnection, column: str) -> None:
    """254 of 254 cells; also the end of the six subjects whose last EXENDTC is blank."""
    gold, own = supplied("adsl").sort("USUBJID"), pilot.sql("FROM adsl").pl().sort("USUBJID")
    assert own["USUBJID"].to_list() == gold["USUBJID"].to_list()
    assert as_text(own, column).to_list() == as_text(gold, column).to_list()


def test_adsl_differs_from_the_supplied_one_where_the_data_do(pilot: duckdb.DuckDBPyConnection) -> None:
    """TRT01A: the supplied one repeats the planned arm, ours is DM ACTARM (12 never reached the high dose).
    DCDECOD: the supplied one has an older term for what DS calls PROTOCOL DEVIATION.
    """
    both = pilot.sql("FROM adsl").pl().join(supplied("adsl"), on="USUBJID", suffix="_gold")
    actual = both.filter(pl.col("TRT01A") != pl.col("TRT01A_gold"))
    assert actual.height == 12
    assert set(actual.select("TRT01P", "TRT01A").rows()) == {("Xanomeline High Dose", "Xanomeline Low Dose")}
    reason = both.filter(pl.col("DCDECOD") != pl.col("DCDECOD_gold"))
    assert set(reason.select("DCDECOD", "DCDECOD_gold").rows()) == {("PROTOCOL DEVIATION", "PROTOCOL VIOLATION")}
    assert reason.height == 6


def test_adae_agrees_with_the_supplied_emergence_flags(pilot: duckdb.DuckDBPyConnection) -> None:
    agree = rows(
        pilot,
        "SELECT count(*), count_if(TRTEMFL = coalesce(value, 'N')) FROM adae LEFT JOIN supplemental s "
        "ON s.domain = 'AE' AND s.name = 'AETRTEM' AND s.subject_id = USUBJID AND s.parent_value = AESEQC",
    )
    assert agree == [(961, 961)]


@pytest.mark.parametrize("trial", TRIALS)
def test_first_occurrence_flags_count_the_incidences(trial: str) -> None:
    """One flagged row per subject, class and term is what the incidence table counts."""
    file = release_file(trial).resolve()
    levels = (
        ("AOCCFL", "NULL", "NULL", "soc IS NULL AND term IS NULL"),
        ("AOCCSFL", "AEBODSYS", "NULL", "soc IS NOT NULL AND term IS NULL"),
        ("AOCCPFL", "AEBODSYS", "AEDECOD", "soc IS NOT NULL AND term IS NOT NULL"),
    )
    for column, soc, term, level in levels:
        own = query(
            file,
            f"SELECT arm_code, {soc} AS a, {term} AS b, count(*) FROM adae JOIN subject s ON s.subject_id = USUBJID "
            f"WHERE {column} = 'Y' AND SAFFL = 'Y' GROUP BY ALL ORDER BY ALL",
        )
        stored = query(
            file,
            "SELECT arm, soc, term, CAST(numerator AS BIGINT) FROM adverse_event_incidence() WHERE arm <> 'ALL' AND "
            "parameter = 'teae' AND statistic = 'incidence' AND estimand IS NULL AND numerator > 0 "
            f"AND {level} ORDER BY ALL",
        )
        assert own == stored and own


def test_adtte_starts_and_is_censored_as_the_supplied_one(pilot: duckdb.DuckDBPyConnection) -> None:
    """The supplied parameter (dermatologic events) is not one of the protocol; start and end of risk are the same."""
    own = pilot.sql("FROM adtte JOIN subject_course ON subject_id = USUBJID").pl()
    both = own.filter(pl.col("PARAMCD") == "TTAE").join(supplied("adtte"), on="USUBJID", suffix="_gold")
    assert both["STARTDT"].to_list() == both["STARTDT_gold"].to_list() and both.height == 254
    censored = both.filter(pl.col("CNSR_gold") == 1)
    assert censored["at_risk_to"].to_list() == censored["ADT_gold"].to_list() and censored.height == 102


@pytest.mark.parametrize("trial", TRIALS)
def test_adtte_is_what_time_to_first_event_was_computed_from(trial: str) -> None:
    file = release_file(trial).resolve()
    own = query(
        file,
        "SELECT arm_code, count_if(CNSR = 0), count(*), min(AVAL) FILTER (CNSR = 0) FROM adtte "
        "JOIN subject ON subject_id = USUBJID WHERE PARAMCD = 'TTAE' GROUP BY ALL ORDER BY ALL",
    )
    stored = query(
        file,
        "SELECT arm, numerator, denominator, value FROM adverse_event_incidence() WHERE arm <> 'ALL' AND soc IS NULL "
        "AND parameter = 'time_to_first_event' AND statistic = 'min' ORDER BY ALL",
    )
    assert own == stored and len(own) == 3


def test_adtte_has_the_terms_of_the_protocol(autoinjector: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        autoinjector, "SELECT PARAMCD, PARAM, count(*), count_if(CNSR = 0) FROM adtte GROUP BY ALL ORDER BY ALL"
    )
    assert found == [
        ("TTAE", "Time to first treatment-emergent adverse event", 17, 13),
        ("TTAE1", "Time to first treatment-emergent INJECTION SITE REACTION", 17, 9),
    ]
    described = rows(autoinjector, "SELECT DISTINCT EVNTDESC FROM adtte WHERE PARAMCD = 'TTAE1' ORDER BY 1")
    assert described == [("End of time at risk",), ("INJECTION SITE REACTION",)]


def test_adadh_adds_up_to_the_compliance_figures(autoinjector: duckdb.DuckDBPyConnection) -> None:
    own = rows(
        autoinjector,
        "SELECT arm_code, PARAM, sum(NUMER), sum(DENOM) FROM adadh JOIN subject ON subject_id = USUBJID "
        "WHERE CMPEVFL = 'Y' GROUP BY ALL ORDER BY ALL",
    )
    stored = rows(
        autoinjector,
        "SELECT arm, parameter, numerator, denominator FROM compliance() WHERE arm <> 'ALL' AND estimand IS NULL AND "
        "statistic IN ('share', 'count') AND parameter IN (SELECT PARAM FROM adadh) ORDER BY ALL",
    )
    assert own == stored and len(own) == 30
    assert ("PLACEBO", "recorded_compliance", 677, 684) in own


def test_adacc_adds_up_to_the_accuracy_figures(autoinjector: duckdb.DuckDBPyConnection) -> None:
    own = rows(
        autoinjector,
        "SELECT arm_code, PARAM, sum(NUMER), sum(DENOM) FROM adacc JOIN subject ON subject_id = USUBJID "
        "WHERE ACCEVFL = 'Y' GROUP BY ALL ORDER BY ALL",
    )
    stored = rows(
        autoinjector,
        "SELECT arm, parameter, numerator, denominator FROM dose_accuracy() WHERE arm <> 'ALL' AND period IS NULL AND "
        "statistic = 'share' AND parameter = 'dose_conformity' ORDER BY ALL",
    )
    assert own == stored and ("ZAN_HIGH", "dose_conformity", 558, 558) in own
    bias = rows(
        autoinjector,
        "SELECT arm_code, avg(BIASPCT), avg(MAPEPCT) FROM adacc JOIN subject ON subject_id = USUBJID "
        "WHERE BIASPCT IS NOT NULL GROUP BY ALL ORDER BY ALL",
    )
    wanted = rows(
        autoinjector,
        "SELECT arm, max(value) FILTER (statistic = 'bias'), max(value) FILTER (statistic = 'mape') "
        "FROM dose_accuracy() WHERE parameter = 'percent_error' AND arm <> 'ALL' AND period IS NULL "
        "GROUP BY ALL HAVING count(value) > 0 ORDER BY ALL",
    )
    assert len(bias) == 2 and bias == [(arm, pytest.approx(x), pytest.approx(y)) for arm, x, y in wanted]


EXPOSURE = {
    "TDURD": "treatment_duration", "TNDOSE": "number_of_doses", "TDOSE": "cumulative_dose",
    "AVDDSE": "average_daily_dose", "TDOSINT": "dose_intensity",
}  # fmt: skip


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("code", EXPOSURE)
def test_adex_is_what_exposure_was_computed_from(trial: str, code: str) -> None:
    file = release_file(trial).resolve()
    own = query(
        file,
        "SELECT arm_code, count(AVAL), avg(AVAL), min(AVAL), max(AVAL) FROM adex JOIN subject ON subject_id = USUBJID "
        f"WHERE PARAMCD = '{code}' AND ANL01FL = 'Y' AND SAFFL = 'Y' GROUP BY ALL ORDER BY ALL",
    )
    stored = query(
        file,
        f"""SELECT arm, {", ".join(f"max(value) FILTER (statistic = '{s}')" for s in ("n", "mean", "min", "max"))}
        FROM exposure_summary('safety') WHERE parameter = '{EXPOSURE[code]}' AND arm <> 'ALL' AND estimand IS NULL
        GROUP BY ALL ORDER BY ALL""",
    )
    assert len(own) == 3
    for mine, theirs in zip(own, stored, strict=True):
        assert mine == (
            theirs[0],
            *(None if value is None else pytest.approx(value, rel=1e-12) for value in theirs[1:]),
        )


def test_sdtm_ec_is_the_supplied_ec(autoinjector: duckdb.DuckDBPyConnection) -> None:
    head, *records = ((SAMPLE / "ec.ndjson").read_text()).splitlines()
    names = [column["name"] for column in json.loads(head)["columns"]]
    gold = [dict(zip(names, json.loads(record), strict=True)) for record in records]
    # The form gives the volume (mL) as the dose; ours is the amount, with the volume beside it.
    wanted = sorted(
        (row["USUBJID"], row["ECSTDTC"], row["ECOCCUR"], row["ECPRESP"], row["ECDOSE"], row["ECLOT"])
        if row["ECOCCUR"] == "Y"
        else (row["USUBJID"], row["ECSTDTC"], row["ECOCCUR"], row["ECPRESP"], 0, "")
        for row in gold
    )
    own = rows(
        autoinjector,
        "SELECT USUBJID, ECSTDTC, ECOCCUR, ECPRESP, CAST(coalesce(ECVAMT, 0) AS DOUBLE), coalesce(ECLOT, '') "
        "FROM sdtm_ec",
    )
    assert sorted(own) == wanted and len(wanted) == 1590


KEYS = {"dm": ["USUBJID"], "ae": ["USUBJID", "AESEQ"], "ds": ["USUBJID", "DSSEQ"], "ex": ["USUBJID", "EXSEQ"]}


@pytest.mark.parametrize("domain", KEYS)
def test_sdtm_views_hold_what_was_received(pilot: duckdb.DuckDBPyConnection, domain: str) -> None:
    gold = supplied(domain).sort(KEYS[domain])
    own = pilot.sql(f"FROM sdtm_{domain}").pl().sort(KEYS[domain])
    assert own.height == gold.height
    # Arms print as the protocol names them and are NULL for screen failures; reference dates are days.
    apart = {"ARM", "ACTARM", "ARMCD", "ACTARMCD"}
    compared = [column for column in own.columns if column in gold.columns and column not in apart]
    assert len(compared) > 8
    for column in compared:
        received = as_text(gold, column)
        if column.startswith("RF") or domain in ("ds", "ex"):
            received = received.str.replace("T[0-9:]+$", "") if column.endswith("DTC") else received
        mine = own[column].cast(pl.Int64).cast(pl.String) if column == "EXDOSE" else as_text(own, column)
        assert mine.to_list() == received.to_list(), column


def text_values(con: duckdb.DuckDBPyConnection, view: str) -> set[str]:
    return {str(value) for row in rows(con, f"FROM {view}") for value in row if value is not None}


def test_views_of_a_blinded_release_name_no_arm_drug_lot_or_amount(tmp_path: Path) -> None:
    study = new_study(tmp_path / "study", blinded_protocol())
    assert import_paths(study, [SAMPLE]).exit_code == 0
    release = study.current_release()
    assert release is not None
    with duckdb.connect(str(release.unblinded.resolve()), read_only=True) as con:
        words = {
            word.lower()
            for (word,) in rows(
                con,
                "SELECT arm FROM arm UNION SELECT arm_code FROM arm UNION SELECT drug FROM dose_event UNION "
                "SELECT lot FROM dose_event UNION SELECT drug FROM dose_match UNION "
                "SELECT period FROM treatment_period",
            )
            if word
        }
        assert {"zan_high", "placebo", "zanomaline"} <= words and len(words) > 6
        seen = {word for view in VIEWS for value in text_values(con, view) for word in words if word in value.lower()}
        assert {"zan_high", "zanomaline"} <= seen, "the same search finds them in the unblinded file"
    with duckdb.connect(str(trial_file(study).resolve()), read_only=True) as con:
        for name, view in VIEWS.items():
            found = text_values(con, name)
            assert not {value for value in found for word in words if word in value.lower()}, name
            for column in view.columns:
                if column.type.startswith("DECIMAL"):
                    assert rows(con, f'SELECT count("{column.name}") FROM {name}') == [(0,)]
        assert rows(con, "SELECT count(*) FROM adex") == [(0,)]
        assert rows(con, "SELECT count(*) FROM adacc") == [(0,)]
        assert rows(con, "SELECT count(*), count(TRTSDT), count(TRT01P), count(SAFFL) FROM adsl") == [(17, 17, 0, 17)]


def test_a_device_stated_only_in_data_is_in_sdtm_di(tmp_path: Path) -> None:
    study = new_study(tmp_path / "study")
    files = [path for path in few_files(tmp_path / "files") if path.stem != "di"]
    assert import_paths(study, files).release == 1
    found = query(trial_file(study), "SELECT count(DISTINCT SPDEVID), count(*) FROM sdtm_di")
    stated = query(trial_file(study), "SELECT count(device_type) + count(serial) + count(model) FROM device")
    assert found[0][1] == stated[0][0]


@pytest.mark.skipif(not OLDER.exists(), reason="make test makes the environment with DuckDB 1.4")
@pytest.mark.parametrize("trial", TRIALS)
def test_duckdb_1_4_reads_the_same_rows(trial: str) -> None:
    """Every table, view and macro with every breakdown, and the comments of all of them."""
    file = str(release_file(trial).resolve())
    sources = [
        f"{schema}.{table}"
        for schema, table in query(
            file, "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'trial' ORDER BY ALL"
        )
    ]
    sources += VIEWS
    breakdowns = [by for (by,) in query(file, 'SELECT DISTINCT "by" FROM result WHERE "by" IS NOT NULL ORDER BY 1')]
    given = ["", "population := 'safety'", "by := 'ALL'", *(f"by := '{by}'" for by in breakdowns)]
    sources += [f"{macro.name}({words})" for macro in MACROS for words in given]
    sources += [f"published_table('{name}')" for name in PUBLISHED_TABLES]
    sources += [f"{name}({'' if name == 'below_compliance' else WHEN})" for name in DAY_MACROS]
    sources += [
        "(SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal)",
        "(SELECT table_name, comment FROM duckdb_tables())",
        "(SELECT view_name, comment FROM duckdb_views() WHERE NOT internal)",
        "(SELECT function_name, comment FROM duckdb_functions() WHERE NOT internal)",
    ]
    older, newer = (
        json.loads(
            subprocess.run(
                [interpreter, "-c", DUMP, file], check=True, capture_output=True, text=True, input=json.dumps(sources)
            ).stdout
        )
        for interpreter in (OLDER, sys.executable)
    )
    assert older.pop("version").startswith("1.4.") and newer.pop("version").startswith("2.")
    assert {source: found for source, found in older.items() if newer[source] != found} == {}
    assert len(older) == len(sources) > 100 and sum(rows > 0 for rows, _ in older.values()) > 50
