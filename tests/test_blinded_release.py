"""A blinded trial: what its release, ledger, folder and commands may hold, and that arms are in none of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from blinded_study import Made
from small_release import make_release_file
from studies import FEW, PROTOCOL, SAMPLE, blinded_protocol, few_files, litter, new_study, query, trial_file

from store.blinding import SUPPRESS_UNDER, WITHHELD_SOURCE, Withheld, write_blinded_file
from store.inference import Inference
from store.tables import TABLES
from tui.cli import run
from tui.pipeline import import_paths, make_release
from tui.rebuilding import rebuild


@pytest.fixture(scope="module")
def autoinjector(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The whole sample, as a blinded trial."""
    study = new_study(tmp_path_factory.mktemp("autoinjector") / "study", blinded_protocol())
    report = import_paths(study, [SAMPLE])
    assert report.exit_code == 0
    return Made(study, report)


def columns_of(file: Path) -> list[tuple[str, str, str]]:
    """(schema, table or view, column) of a release."""
    return [
        (str(schema), str(table), str(column))
        for schema, table, column in query(
            file, "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = 'trial'"
        )
    ]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("dose_event", "drug"),
        ("dose_event", "concentration"),
        ("dose_event", "delivered_amount"),
        ("dose_event", "lot"),
        ("exposure", "drug"),
        ("exposure", "amount"),
        ("exposure", "lot"),
        ("subject_element", "element_code"),
        ("disposition", "term"),
    ],
)
def test_the_inference_test_finds_what_tells_the_arm(autoinjector: Made, table: str, column: str) -> None:
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{autoinjector.full}' AS release (READ_ONLY)")
        assert Inference(con, "release").count_telling(TABLES[table], column) > 0
    assert query(autoinjector.full, f"SELECT count({column}) > 0 FROM {table}") == [(True,)]
    assert query(autoinjector.trial, f"SELECT count({column}) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("device", ("device_type", "device_class", "serial")),
        ("subject", ("site_id", "sex", "age", "first_treatment", "death_date")),
        ("dose_match", ("status", "dose_date", "event_at", "within_limits", "source_id", "line")),
        ("dose_event", ("device_id", "start_local", "route", "kind")),
        ("adverse_event", ("term", "severity", "causality", "action_taken", "epoch")),
        ("disposition", ("decoded", "disposition_date")),
        ("visit", ("visit", "start_date")),
        ("planned_dose", ("planned_at", "status", "hold_reason")),
    ],
)
def test_what_tells_nothing_is_shown(autoinjector: Made, table: str, columns: tuple[str, ...]) -> None:
    for column in columns:
        same = f"SELECT {column} FROM {table}"
        assert query(autoinjector.trial, same) == query(autoinjector.full, same), column


def test_never_means_never(autoinjector: Made) -> None:
    hidden = [
        (table.name, column.name) for table in TABLES.values() for column in table.columns if column.blinding == "never"
    ]
    assert len(hidden) > 100
    for table, column in hidden:
        assert query(autoinjector.trial, f'SELECT count("{column}") FROM {table}') == [(0,)], (table, column)
    for schema, table, column in columns_of(autoinjector.trial):
        if schema == "history" and (table, column) in hidden:
            assert query(autoinjector.trial, f'SELECT count("{column}") FROM history.{table}') == [(0,)]


@pytest.mark.parametrize("table", [table.name for table in TABLES.values() if table.withheld])
def test_a_table_whose_rows_would_tell_is_empty(autoinjector: Made, table: str) -> None:
    assert query(autoinjector.trial, f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_tables_that_must_be_empty() -> None:
    empty = {table.name for table in TABLES.values() if table.withheld}
    assert {"arm", "subject_element", "treatment_period", "regimen", "prescription", "exposure"} <= empty
    assert {"reservoir_fill", "recommendation", "accountability"} <= empty


def test_the_unblinded_role_is_told_what_was_withheld(autoinjector: Made) -> None:
    told = " ".join(autoinjector.report.messages)
    assert "disposition.term is withheld" in told
    (recorded,) = autoinjector.study.unblinded_ledger.read(actions=["withhold_columns"])
    assert {"table": "disposition", "column": "term", "values": 1} in recorded.new_value


def test_results_are_pooled_and_not_of_a_few(autoinjector: Made) -> None:
    rows = query(autoinjector.trial, "SELECT arm, comparator, drug, period, statistic, subjects, value FROM result")
    assert len(rows) > 100
    for arm, comparator, drug, period, statistic, subjects, value in rows:
        assert (arm, comparator, drug, period) == (None, None, None, None)
        assert not re.search("p_value|difference|ratio", statistic)
        assert value is None or subjects >= SUPPRESS_UNDER
    of_families = "SELECT DISTINCT analysis FROM result ORDER BY 1"
    assert query(autoinjector.trial, of_families) == [
        (name,) for name in ("accuracy", "adverse_events", "compliance", "enrolment")
    ]
    pooled = "SELECT numerator, denominator FROM result WHERE parameter = 'recorded_compliance' AND statistic = 'share'"
    assert query(autoinjector.trial, pooled) == [(677 + 348 + 558, 684 + 348 + 558)]
    conforming = "SELECT numerator, denominator FROM result WHERE parameter = 'dose_conformity' AND statistic = 'share'"
    # One dose of the 1,583 lies outside every treatment period.
    assert query(autoinjector.trial, conforming) == [(1582, 1582)]


def test_no_percent_of_planned(autoinjector: Made) -> None:
    assert query(autoinjector.trial, "SELECT count(*) FROM result WHERE parameter = 'percent_error'") == [(0,)]
    assert query(autoinjector.full, "SELECT count(*) > 0 FROM result WHERE parameter = 'percent_error'") == [(True,)]


def test_the_blinded_trial_is_rebuilt_to_the_same_digest(autoinjector: Made) -> None:
    report = rebuild(autoinjector.study, compare=True)
    assert (report.same, report.differing) == (True, [])
    assert litter(autoinjector.study) == []


def test_nobody_unblinds_without_the_role(autoinjector: Made, capsys: pytest.CaptureFixture[str]) -> None:
    head = autoinjector.study.ledger.head()
    capsys.readouterr()
    assert run(["unblind", FEW[0], "--reason", "serious event", "--study", str(autoinjector.study.root)]) == 2
    said = capsys.readouterr()
    assert "Nobody has the role unblinded" in said.err and said.out == ""
    assert autoinjector.study.ledger.head() == head


@pytest.fixture(scope="module")
def eight_subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    full = tmp_path_factory.mktemp("eight") / "unblinded.duckdb"
    make_release_file(full)
    with duckdb.connect(str(full)) as con:
        con.execute(EIGHT_SUBJECTS)
    return full


Blind = Callable[[str], tuple[Path, list[Withheld]]]


@pytest.fixture
def blind(eight_subjects: Path, tmp_path: Path) -> Blind:
    """The blinded copy of a release of eight subjects after some changes, and what the inference test withheld."""

    def changed(sql: str) -> tuple[Path, list[Withheld]]:
        full, blinded = tmp_path / "unblinded.duckdb", tmp_path / "trial.duckdb"
        shutil.copy(eight_subjects, full)
        blinded.unlink(missing_ok=True)
        with duckdb.connect(str(full)) as con:
            con.execute(sql)
        return blinded, write_blinded_file(full, blinded)

    return changed


EIGHT_SUBJECTS = """
DELETE FROM subject; DELETE FROM dose_event; DELETE FROM dose_match; DELETE FROM adverse_event; DELETE FROM result;
INSERT INTO subject BY NAME SELECT 'S' || i AS subject_id, 'S07' AS site_id,
    CASE WHEN i <= 4 THEN 'PBO' ELSE 'ACT' END AS arm_code, 'src1' AS source_id, i AS line FROM range(1, 9) r(i);
INSERT INTO dose_event BY NAME SELECT 'S' || i AS subject_id, TIMESTAMP '2014-01-01 08:00' + to_days(d::INTEGER)
    AS start_local, 'injection' AS kind, 'minute' AS start_precision, 'src2' AS source_id, 10 * i + d AS line
    FROM range(1, 9) r(i), range(0, 2) t(d);
INSERT INTO dose_match BY NAME SELECT subject_id, (line % 10)::INTEGER AS planned_no, 'taken' AS status,
    start_local::DATE AS dose_date, start_local AS event_at, true AS within_limits, source_id, line FROM dose_event;
INSERT INTO device BY NAME SELECT 'D' || i AS device_id, 'registered' AS basis FROM range(1, 9) r(i);
INSERT INTO device_assignment BY NAME SELECT 'D' || i AS device_id, 'S' || i AS subject_id,
    DATE '2014-01-01' AS start_date, 'enrolment' AS basis FROM range(1, 9) r(i);
"""


def test_a_value_shared_across_arms_is_shown_and_one_of_a_single_subject(blind: Blind) -> None:
    changes = "UPDATE device SET device_type = CASE WHEN device_id = 'D1' THEN 'special' ELSE 'plain' END"
    trial, withheld = blind(changes)
    assert withheld == []
    assert query(trial, "SELECT DISTINCT device_type FROM device ORDER BY 1") == [("plain",), ("special",)]


def test_a_value_of_two_subjects_of_one_arm_withholds_the_column(blind: Blind) -> None:
    changes = "UPDATE device SET device_type = CASE WHEN device_id IN ('D5', 'D6') THEN 'special' ELSE 'plain' END"
    trial, withheld = blind(changes)
    assert withheld == [Withheld("device", "device_type", 1)]
    assert query(trial, "SELECT count(device_type), count(*) FROM device") == [(0, 8)]


def test_the_actual_arm_counts_as_the_planned_one_does(blind: Blind) -> None:
    changes = """
    UPDATE subject SET actual_arm_code = CASE WHEN subject_id IN ('S4', 'S5') THEN 'ODD' ELSE 'EVEN' END;
    UPDATE dose_event SET route = 'IV' WHERE subject_id IN ('S4', 'S5')"""
    assert [column.column for column in blind(changes)[1]] == ["route"]


def test_an_older_version_of_a_row_can_tell_too(blind: Blind) -> None:
    changes = """
    INSERT INTO history.dose_event BY NAME SELECT * REPLACE ('IV' AS route), 'superseded' AS row_state,
        'src2:99' AS replaced_by FROM dose_event WHERE subject_id IN ('S1', 'S2')"""
    trial, withheld = blind(changes)
    assert [column.column for column in withheld] == ["route"]
    assert query(trial, "SELECT count(route), count(*), count(replaced_by) FROM history.dose_event") == [(0, 4, 4)]


def test_a_model_is_shown_only_where_all_devices_are_of_it(blind: Blind) -> None:
    trial, _ = blind("UPDATE device SET model = 'M1'")
    assert query(trial, "SELECT DISTINCT model FROM device") == [("M1",)]
    trial, withheld = blind("UPDATE device SET model = 'M' || (device_id > 'D1')::INTEGER")
    assert [column.column for column in withheld] == ["model"]
    assert query(trial, "SELECT count(model) FROM device") == [(0,)]


@pytest.mark.parametrize(
    "judged",
    [
        "subject_id <= 'S4'",  # only one arm has doses out of limits
        "CASE WHEN subject_id <= 'S4' THEN NULL ELSE true END",  # only one arm can be judged at all
    ],
)
def test_limits_are_withheld_where_they_tell_the_arm(blind: Blind, judged: str) -> None:
    changes = f"""
    UPDATE dose_match SET within_limits = {judged};
    INSERT INTO population BY NAME SELECT p AS population, subject_id, true AS member, 'x' AS rule FROM subject,
        unnest(['safety', 'accuracy_evaluable']) t(p)"""
    trial, withheld = blind(changes)
    assert [(column.table, column.column) for column in withheld] == [("dose_match", "within_limits")]
    assert query(trial, "SELECT count(within_limits), count(*) FROM dose_match") == [(0, 16)]
    assert query(trial, "SELECT DISTINCT population FROM population") == [("safety",)]


def test_rows_of_a_file_of_one_arm_name_no_file_and_still_meet(blind: Blind) -> None:
    changes = """
    UPDATE dose_event SET source_id = 'act' WHERE subject_id > 'S4';
    UPDATE dose_match SET source_id = 'act' WHERE subject_id > 'S4';
    INSERT INTO history.dose_event BY NAME
        SELECT *, 'superseded' AS row_state, 'act:99' AS replaced_by FROM dose_event"""
    trial, withheld = blind(changes)
    assert {(column.table, column.column) for column in withheld} == {
        ("dose_event", "source_id"),
        ("dose_match", "source_id"),
    }
    assert query(trial, "SELECT DISTINCT source_id FROM dose_event") == [(WITHHELD_SOURCE,)]
    assert query(trial, "SELECT DISTINCT source_id, line, replaced_by FROM history.dose_event") == [
        (WITHHELD_SOURCE, None, None)
    ]
    joined = """
    SELECT count(*) FROM dose_match m JOIN dose_event e USING (source_id, line)
    WHERE m.subject_id = e.subject_id AND m.event_at = e.start_local"""
    assert query(trial, joined) == [(16,)]
    assert query(trial, "SELECT count(DISTINCT line) FROM dose_event") == [(16,)]
    assert query(trial, "SELECT DISTINCT source_id FROM subject") == [("src1",)]


def test_a_lot_among_the_properties_of_a_device_is_no_row(blind: Blind) -> None:
    changes = """
    INSERT INTO device_property BY NAME SELECT device_id, p AS property, device_id || p AS value, 'src1' AS source_id,
        1 AS line FROM device, unnest(['SERIAL', 'LOT', 'MODEL', 'SFTWRVER', 'FDAUDI', 'KIT']) t(p)"""
    trial, _ = blind(changes)
    assert query(trial, "SELECT DISTINCT property FROM device_property") == [("SERIAL",)]


RESULT = """
INSERT INTO result BY NAME SELECT 'compliance' AS analysis, 'safety' AS population, 'ALL' AS arm, '{term}' AS term,
    'p' AS parameter, 'share' AS statistic, 1.0 AS value, 8 AS subjects;
UPDATE result SET {change} WHERE term = '{term}';
"""

SHOWN = (
    "value = 1.0",
    "drug = 'X'",
    "\"by\" = 'severity'",
    "analysis = 'accuracy', parameter = 'dose_conformity'",
    "not_assessable = 'not assessable: no dose events', value = NULL, subjects = NULL",
)
NOT_SHOWN = (
    "subjects = 4",
    "subjects = NULL",
    "arm = 'ACT'",
    "comparator = 'PBO'",
    "period = '2 Titration'",
    "statistic = 'p_value'",
    "statistic = 'rate_ratio'",
    "analysis = 'exposure'",
    "analysis = 'accuracy', parameter = 'percent_error'",
    "\"by\" = 'source format'",
    "not_assessable = 'a few', subjects = 2",
)


def test_which_results_are_shown(blind: Blind) -> None:
    cases = [*SHOWN, *NOT_SHOWN]
    rows = "".join(RESULT.format(term=f"case {number:02}", change=change) for number, change in enumerate(cases))
    trial, _ = blind(rows)
    shown = [f"case {number:02}" for number in range(len(SHOWN))]
    assert query(trial, "SELECT term, drug FROM result ORDER BY term") == [(term, None) for term in shown]


def test_results_of_one_drug_of_several_are_not_shown(blind: Blind) -> None:
    several = (
        RESULT.format(term="t", change="drug = 'X'") + "INSERT INTO result SELECT * REPLACE ('Y' AS drug) FROM result"
    )
    assert query(blind(several)[0], "SELECT count(*) FROM result") == [(0,)]


def test_a_sentence_that_names_an_arm_is_replaced(blind: Blind) -> None:
    sentence = "not_assessable = 'not assessable: no amount of arm Act', value = NULL, method = 'as in ACT'"
    trial, _ = blind(RESULT.format(term="t", change=sentence))
    assert query(trial, "SELECT not_assessable, method FROM result") == [
        ("not assessable; the unblinded part of the release says why", None)
    ]


def test_the_ledger_is_made_and_files_are_closed_before_anything_is_archived(tmp_path: Path) -> None:
    study = new_study(tmp_path / "study", blinded_protocol())
    assert not study.has_unblinded_ledger
    assert import_paths(study, [tmp_path / "missing.xpt"]).exit_code == 1
    assert study.has_unblinded_ledger
    assert study.protocol_path.stat().st_mode & 0o077 == 0


def test_an_unblinded_trial_shows_everything_and_old_releases_can_still_be_made(tmp_path: Path) -> None:
    files = few_files(tmp_path / "in", doses=2)
    study = new_study(tmp_path / "study", blinded_protocol())
    assert import_paths(study, files[:3]).release == 1
    study.protocol_path.write_text(PROTOCOL.read_text())
    assert make_release(study).release == 2
    assert query(trial_file(study), "SELECT count(DISTINCT arm_code), count(*) FROM subject") == [(3, 6)]
    assert query(trial_file(study), "SELECT file_name FROM source_file ORDER BY 1") == [
        ("di.ndjson",),
        ("dm.ndjson",),
        ("ec.ndjson",),
    ]
    assert import_paths(study, files[3:]).release == 3
    assert all(rebuild(study, number, compare=True).same for number in (1, 2, 3))
    told = [row.new_value["name"] for row in study.ledger.read(actions=["import_source"])]
    assert sorted(name for name in told if "." in name[:3]) == ["ae.ndjson", "ds.ndjson"]
