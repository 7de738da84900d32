"""De-identified exports: what was planted in every text of a release is in no file that leaves."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_release import make_small_study
from studies import copy_study

from analysis.identity import CODED, DEVICE, TYPED, Pseudonyms, deidentify
from analysis.small_cells import suppress_small_cells
from store.protocol_file import load_protocol
from store.study import Study
from store.tables import TABLES
from store.views import all_views, create_views
from store.vocabulary import VOCABULARIES
from tui.cli import run
from tui.commands.export import FORMAT_NAMES
from tui.export_identity import NEVER, NO_NEED
from tui.export_rows import NAMED

Capture = pytest.CaptureFixture[str]

CANARY = "Canary"
DEVICE_ID = "CanaryDevice77"
PLANTED_DAY = dt.date(2014, 5, 5)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = make_small_study(tmp_path_factory.mktemp("deidentified") / "small")
    file = made.releases_dir / "000001" / "trial.duckdb"
    with duckdb.connect(str(file)) as con:
        for name in TABLES:
            if name not in ("build_info", *NO_NEED):
                plant_row(con, name)
        # What was there gets them too.
        for name, table in TABLES.items():
            texts = [column.name for column in table.columns if is_planted(column.name, column.type)]
            if texts and name not in ("build_info", *NO_NEED):
                changes = ", ".join(f"\"{text}\" = coalesce(\"{text}\", '') || '{CANARY}'" for text in texts)
                con.execute(f"UPDATE {name} SET {changes}")
        create_views(con)
    return made


def is_planted(name: str, kind: str) -> bool:
    """Text that a file or a person brought, other than codes and the keys other tables refer to."""
    return kind == "VARCHAR" and name not in CODED - TYPED and name not in ("subject_id", "site_id", *DEVICE)


def plant_row(con: duckdb.DuckDBPyConnection, name: str) -> None:
    values = []
    for column in TABLES[name].columns:
        if column.name == "subject_id":
            values.append("'S07-001'" if name != "subject" else "'S07-Canary'")
        elif column.name == "site_id":
            values.append("'S07Canary'")
        elif column.name in DEVICE:
            values.append(f"'{DEVICE_ID}'")
        elif column.name == "by":
            values.append("'lot'")
        elif column.name == "data_cut":
            values.append("DATE '2020-01-01'")
        elif column.name in ("by_value", "term"):
            values.append(f"'{CANARY} {column.name}'")
        elif column.type in VOCABULARIES:
            values.append(f"'{VOCABULARIES[column.type][0]}'")
        elif column.type == "VARCHAR":
            values.append(f"'{CANARY} {column.name}'" if is_planted(column.name, column.type) else "'code'")
        elif column.type in ("DATE", "TIMESTAMP"):
            values.append(f"{column.type} '{PLANTED_DAY}'")
        elif column.type == "BOOLEAN":
            values.append("true")
        else:
            values.append("97" if column.name == "age" else "1")
    con.execute(f"INSERT INTO {name} VALUES ({', '.join(values)})")


def export(study: Study, what: str, out: Path, *words: str, code: int = 0) -> None:
    identity = ("--identity", "deidentified")
    assert run(["export", what, "--study", str(study.root), "--out", str(out), *identity, *words]) == code


def everything(path: Path) -> str:
    """All text of a file, whatever its format."""
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        frame = pl.read_parquet(io.BytesIO(content))
        return json.dumps(frame.to_dicts(), default=str) + str(pl.read_parquet_metadata(io.BytesIO(content)))
    if content[:2] == b"PK":
        archive = zipfile.ZipFile(io.BytesIO(content))
        texts = []
        for name in archive.namelist():
            inner = path.parent / f"inner-{Path(name).name}"
            inner.write_bytes(archive.read(name))
            texts.append(name + everything(inner))
            inner.unlink()
        return "".join(texts)
    return content.decode()


def leaks(folder: Path) -> list[str]:
    """What of the planted and of the identifiers stands in the files of a folder."""
    words = (CANARY, CANARY.lower(), "S07", "S08", "HYPERLINK", "[bold]", str(PLANTED_DAY))
    return [f"{word} in {path.name}" for path in sorted(folder.iterdir()) for word in words if word in everything(path)]


ALLOWED = [what for what in (*NAMED, *(view.name for view in all_views())) if what not in NEVER]
"""What has a de-identified form; every table is in the full data set."""


@pytest.mark.parametrize(
    "format", [name if name == "csv" else pytest.param(name, marks=pytest.mark.slow) for name in FORMAT_NAMES]
)
def test_nothing_planted_leaves(format: str, study: Study, tmp_path: Path) -> None:
    several = ("full", "patient-profile")
    for what in several if format != "csv" else ALLOWED:
        more = ("--subject", "S07-001") if what == "patient-profile" else ()
        through = ("--through", "1") if what == "queries" else ()
        suffix = "zip" if what in several else format
        export(study, what, tmp_path / f"{what}.{suffix}", "--format", format, *more, *through)
    assert not leaks(tmp_path)


@pytest.mark.parametrize("what", sorted(what for what in NEVER if what not in ("arm", "planned_visit")))
def test_what_has_no_such_form_is_refused(what: str, study: Study, tmp_path: Path, capsys: Capture) -> None:
    harmless = ("upload_interval", "study_setting")
    export(study, what, tmp_path / "x.csv", code=0 if what in harmless else 2)
    if what not in harmless:
        assert "no de-identified form" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


def test_a_filter_that_names_a_subject_is_not_repeated(study: Study, tmp_path: Path) -> None:
    export(study, "doses", tmp_path / "d.csv", "--filter", "subject:S07-001")
    assert not leaks(tmp_path)
    about = json.loads((tmp_path / "d.csv.json").read_text())
    assert about["rows"] == 3
    assert about["identity"].startswith("de-identified with key ")
    [row] = study.ledger.read(actions=("export",))[-1:]
    assert row.new_value["chosen"]["filter"] == "subject:S07-001"
    assert row.new_value["identity"] == "deidentified"


def test_lengths_of_time_and_joins_stay(study: Study, tmp_path: Path) -> None:
    export(study, "subject", tmp_path / "s.parquet")
    export(study, "dose-event", tmp_path / "d.parquet")
    subjects, doses = pl.read_parquet(tmp_path / "s.parquet"), pl.read_parquet(tmp_path / "d.parquet")
    assert set(doses["subject_id"]) <= set(subjects["subject_id"])
    assert subjects["subject_id"].is_sorted() and doses["subject_id"].is_sorted()
    assert subjects["age"].drop_nulls().to_list() == [90]
    joined = doses.join(subjects, on="subject_id")
    days = joined.select(pl.col("start_local").cast(pl.Date) - pl.col("first_treatment")).to_series()
    # The planted dose is known by its year alone: no day of it leaves.
    assert days.null_count() == 1
    assert sorted(days.drop_nulls().dt.total_days().to_list()) == [0, 0, 0, 1, 1]
    assert [when.time() for when in joined["start_local"].drop_nulls().to_list()].count(dt.time(8, 10)) == 1
    assert max(subjects["first_treatment"].to_list()) < PLANTED_DAY


def test_the_key_is_the_owners_alone(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(study, "patients", tmp_path / "p.csv")
    key = study.root / "private" / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    secret = key.read_text().strip()
    others = [path for path in study.root.rglob("*") if path.is_file() and path != key]
    for path in [*others, *tmp_path.iterdir()]:
        assert secret.encode() not in path.read_bytes() and bytes.fromhex(secret) not in path.read_bytes()
    key.chmod(0o640)
    export(study, "patients", tmp_path / "q.csv", code=14)
    key.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: study.owner_uid + 1)
    export(study, "patients", tmp_path / "q.csv", code=2)
    assert not (tmp_path / "q.csv").exists()


def test_another_key_gives_other_pseudonyms_and_shifts() -> None:
    subjects = [f"S{number:03d}" for number in range(300)]
    one, two = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert len({one.of("SUBJ", subject) for subject in subjects}) == 300
    assert not {one.of("SUBJ", subject) for subject in subjects} & {two.of("SUBJ", subject) for subject in subjects}
    shifts = [one.shift_days(subject) for subject in subjects]
    assert min(shifts) >= 1 and max(shifts) <= 365 and len(set(shifts)) > 150
    assert shifts != [two.shift_days(subject) for subject in subjects]


@given(st.lists(st.tuples(st.text(max_size=5), st.dates(dt.date(1990, 1, 1), dt.date(2040, 1, 1))), max_size=20))
def test_every_date_moves_by_the_subjects_shift(rows: list[tuple[str, dt.date]]) -> None:
    names = Pseudonyms(b"k" * 32)
    schema = {"subject_id": pl.String, "day": pl.Date, "typed": pl.String}
    frame = pl.DataFrame([(*row, "free") for row in rows], schema=schema, orient="row")
    moved = deidentify(frame, names, 5)
    assert moved.columns == ["subject_id", "day"]
    expected = [(names.of("SUBJ", who), day - dt.timedelta(days=names.shift_days(who))) for who, day in rows]
    assert sorted(moved.rows()) == sorted(expected)


def cell(arm: str, numerator: float | None, denominator: float | None, **other: Any) -> dict[str, Any]:
    row = dict.fromkeys(TABLES["result"].column_names)
    value = numerator / denominator if numerator is not None and denominator else 0.5
    facts = {"analysis": "adverse_events", "population": "safety", "parameter": "teae", "statistic": "incidence"}
    return {**row, **facts, "arm": arm, "numerator": numerator, "denominator": denominator, "value": value, **other}


def blanked(rows: list[dict[str, Any]], smallest: int = 5) -> list[bool]:
    return [row["value"] is None for row in suppress_small_cells(rows, smallest, 200)]


def test_a_small_cell_takes_the_question_with_it() -> None:
    rows = [
        cell("A", 3, 50, term="NAUSEA"),
        cell("B", 20, 50, term="NAUSEA"),
        cell("ALL", 23, 100, term="NAUSEA"),
        cell("B", None, None, term="NAUSEA", comparator="A", statistic="risk_difference"),
        cell("A", 20, 50, term="RASH"),
        cell("B", 0, 50, term="RASH"),
    ]
    assert blanked(rows) == [True, True, True, True, False, False]
    assert blanked(rows, smallest=3) == [False] * 6
    [first, *_] = suppress_small_cells(rows, 5, 200)
    assert (first["term"], first["numerator"], first["subjects"]) == ("(rare term)", None, None)
    assert first["not_assessable"].startswith("suppressed: fewer than 5")


def test_a_term_without_any_count_is_no_safer() -> None:
    row = cell("A", None, None, term="own words", soc="SKIN")
    [made] = suppress_small_cells([row], 5, 200)
    assert made["term"] == "(rare term)"


def test_what_is_left_over_counts_and_doses_do_not() -> None:
    assert blanked([cell("A", 48, 50)]) == [True]
    assert blanked([cell("A", 50, 50)]) == [False]
    assert blanked([cell("A", 676, 677, subjects=30)]) == [False]
    assert blanked([cell("A", 676, 677, subjects=4)]) == [True]


def test_a_lone_small_value_takes_the_next_with_it() -> None:
    by = {"by": "severity"}
    rows = [
        cell("A", 30, 100, by_value="MILD", **by),
        cell("A", 20, 100, by_value="MODERATE", **by),
        cell("A", 2, 100, by_value="SEVERE", **by),
    ]
    assert blanked(rows) == [False, True, True]
    terms = [cell("A", count, 100, soc="SKIN", term=name) for name, count in (("X", 40), ("Y", 1), ("Z", 12))]
    assert blanked(terms) == [False, True, True]


def test_suppressed_values_are_not_few_together() -> None:
    """2 and 1 suppressed, their sum known: a third goes, and not one nobody has."""
    counts = (("A", 30), ("B", 2), ("C", 1), ("D", 0), ("E", 9))
    rows = [cell("A", count, 100, by="severity", by_value=value) for value, count in counts]
    assert blanked(rows) == [False, True, True, False, True]


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_no_small_value_of_a_breakdown_can_be_had_by_subtraction(counts: list[int]) -> None:
    """An attacker who knows the total and everything shown has bounds on what is not: never a single small number."""
    rows = [cell("A", count, 200, by="severity", by_value=str(place)) for place, count in enumerate(counts)]
    hidden = [count for count, gone in zip(counts, blanked(rows), strict=True) if gone]
    assert all(gone or count == 0 or count >= 5 for count, gone in zip(counts, blanked(rows), strict=True))
    if hidden and any(0 < count for count, gone in zip(counts, blanked(rows), strict=True) if not gone):
        assert len(hidden) > 1 and sum(hidden) >= 5


def test_two_populations_do_not_tell_of_the_few_between_them() -> None:
    """56 of 84 treated, 58 of 86 randomised: both of the two who were not treated had it."""
    safety = cell("A", 56, 84, population="safety")
    rows = [cell("A", 58, 86, population="randomised"), safety]
    assert blanked(rows) == [True, False]
    assert blanked([cell("A", 56, 86, population="randomised"), safety]) == [False, False]
    assert blanked([cell("A", 66, 96, population="randomised"), safety]) == [False, False]
    doses = {"parameter": "recorded_compliance"}
    taken = [cell("A", 700, 800, subjects=84, population="safety", **doses)]
    assert blanked([*taken, cell("A", 690, 790, subjects=83, population="per_protocol", **doses)]) == [False, True]
    sizes = [cell("A", count, 90, parameter="population", population=name) for name, count in (("a", 84), ("b", 82))]
    assert blanked(sizes) == [False, False]


def test_the_largest_value_is_one_subjects() -> None:
    rows = [cell("A", None, 50, parameter="age", statistic=name, subjects=50) for name in ("mean", "min", "max")]
    assert blanked(rows) == [False, True, True]


def planted(study: Study, folder: Path, *statements: str) -> Study:
    """A copy of the study whose release holds more."""
    made = copy_study(study, folder)
    with duckdb.connect(str(made.releases_dir / "000001" / "trial.duckdb")) as con:
        for statement in statements:
            con.execute(statement)
    return made


def days_in(path: Path) -> set[str]:
    """Every date of a Parquet file as text, whatever its type."""
    frame = pl.read_parquet(path)
    texts = json.dumps(frame.to_dicts(), default=str)
    return set(re.findall(r"\d{4}-\d{2}-\d{2}", texts))


def test_what_gives_a_shift_away_is_left_out(study: Study, tmp_path: Path) -> None:
    """Completed dates, UTC beside local time, the calendar of the study's own work: each tells the true day."""
    made = planted(
        study,
        tmp_path / "copy",
        "UPDATE adverse_event_derived SET start_date = DATE '2014-03-01', start_imputed = 'D', study_day = 60, "
        "end_date = DATE '2014-03-09', end_imputed = NULL",
        "UPDATE adverse_event SET start_text = '2014-03', end_text = '2014-03-09T10:00'",
        "UPDATE event_dose SET onset_date = DATE '2014-03-01', last_dose_at = TIMESTAMP '2014-03-01 08:00'",
        "UPDATE query SET opened_utc = TIMESTAMP '2026-01-05 01:02:03', due_date = DATE '2026-01-19'",
        "UPDATE dose_event SET start_utc = start_local - INTERVAL 1 HOUR, utc_offset_min = 60",
    )
    exports = (
        "adverse-events",
        "adverse_event_derived",
        "event_dose",
        "query",
        "queries",
        "dose_event",
        "adae",
        "sdtm_ae",
    )
    for what in exports:
        through = ("--through", "1") if what == "queries" else ()
        export(made, what, tmp_path / f"{what}.parquet", *through)
    assert not {day for what in ("query", "queries") for day in days_in(tmp_path / f"{what}.parquet")}
    derived = pl.read_parquet(tmp_path / "adverse_event_derived.parquet")
    assert derived["start_date"].null_count() == derived["study_day"].null_count() == derived.height > 0
    assert derived["end_date"].null_count() == 0
    doses = pl.read_parquet(tmp_path / "event_dose.parquet")
    assert doses["onset_date"].null_count() == doses["last_dose_at"].null_count() == doses.height > 0
    assert not {"start_utc", "utc_offset_min"} & set(pl.read_parquet(tmp_path / "dose_event.parquet").columns)
    events = pl.read_parquet(tmp_path / "sdtm_ae.parquet")
    assert events["AESTDTC"].null_count() == events.height
    ends = pl.read_parquet(tmp_path / "adae.parquet").join(events, on=["USUBJID", "AESEQC"])
    assert ends.height and ends["AEENDTC_right" if "AEENDTC_right" in ends.columns else "AEENDTC"].to_list() == [
        f"{day}T10:00" for day in ends["AENDT"]
    ]


def test_no_number_or_word_of_a_list_leads_back_to_its_file(study: Study, tmp_path: Path) -> None:
    """A view numbers records by their line where the list has no number; a category of a deviation may be typed."""
    for what in ("adae", "sdtm_ae", "sdtm_ds", "sdtm_ex", "deviation"):
        export(study, what, tmp_path / f"{what}.parquet")
    frames = {path.stem: pl.read_parquet(path) for path in tmp_path.glob("*.parquet")}
    for what, column in (("adae", "AESEQ"), ("sdtm_ae", "AESEQ"), ("sdtm_ds", "DSSEQ"), ("sdtm_ex", "EXSEQ")):
        keys = frames[what][column].to_list()
        assert keys and all(re.fullmatch("REC-[0-9A-F]{12}", key) for key in keys), what
    assert set(frames["adae"]["AESEQ"]) <= set(frames["sdtm_ae"]["AESEQ"])
    assert "category" not in frames["deviation"].columns and frames["deviation"].height


def test_a_file_is_not_named_after_a_subject(study: Study, tmp_path: Path, capsys: Capture) -> None:
    for name in ("s07-001.csv", "doses_S07-002.csv", f"of {DEVICE_ID}.csv", "site-S08.csv"):
        export(study, "doses", tmp_path / name, code=2)
        assert "The file name holds the identifier" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_data_cut_is_said_of_pooled_figures_alone(tmp_path: Path) -> None:
    """Who was followed to the cut has it as the last day."""
    study = make_small_study(tmp_path / "small")
    with duckdb.connect(str(study.releases_dir / "000001" / "trial.duckdb")) as con:
        con.execute("UPDATE build_info SET protocol_sha256 = ?", [load_protocol(study.protocol_path).sha256])
    for what in ("summary", "full"):
        export(study, what, tmp_path / f"{what}.zip", "--format", "json", "--cutoff", "2014-01-03")
    assert "2014-01-03" in everything(tmp_path / "summary.zip")
    assert "2014-01-03" not in everything(tmp_path / "full.zip")
    assert "a day that the ledger holds" in everything(tmp_path / "full.zip.json")
    row = study.ledger.read(actions=("export",))[-1]
    assert (row.new_value["chosen"]["cutoff"], row.new_value["data_cut"]) == ("2014-01-03", "2014-01-03")
