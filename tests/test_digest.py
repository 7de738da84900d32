"""The logical digest: the same for equal tables, however they were stored; another for any other cell."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_release import make_release_file

from store.digest import compute_table_digest, digest_release_file, hash_values
from store.schema import AMOUNT, Column, Table

TABLE = Table(
    "thing",
    "A table with a column of every kind",
    (
        Column("id", "BIGINT", "", required=True),
        Column("word", "VARCHAR", ""),
        Column("amount", AMOUNT, ""),
        Column("ratio", "DOUBLE", ""),
        Column("flag", "BOOLEAN", ""),
        Column("day", "DATE", ""),
        Column("moment", "TIMESTAMP", ""),
        Column("reason", "quarantine_reason", ""),
    ),
    key=("id",),
    origin="build",
)
TYPES = "id BIGINT, word VARCHAR, amount DECIMAL(18,6), ratio DOUBLE, flag BOOLEAN, day DATE, moment TIMESTAMP, reason"
ROWS = [
    (1, "a", "1.5", "0.25", "true", "2014-01-01", "2014-01-01 08:00:00", "bad_date"),
    (2, "", "0", "0", "false", "1970-01-01", "1970-01-01 00:00:00", "bad_value"),
    (3, None, None, None, None, None, None, None),
    (4, "b", "-2", "1e300", "true", "2024-02-29", "2024-02-29 23:59:59.999999", "bad_date"),
]
Rows = list[tuple[object, ...]]


def digest(rows: Rows, *, batch: int | None = None, threads: int = 2) -> str:
    """Digest of the rows, inserted `batch` at a time."""
    con = duckdb.connect(config={"threads": threads})
    con.execute("CREATE TYPE quarantine_reason AS ENUM ('bad_value', 'bad_date')")
    con.execute(f"CREATE TABLE thing ({TYPES} quarantine_reason)")
    for start in range(0, len(rows), batch or len(rows) or 1):
        con.executemany("INSERT INTO thing VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows[start : start + (batch or len(rows))])
    return compute_table_digest(con, TABLE, relation="thing")


def changed(row: int, column: int, value: object) -> Rows:
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = value
    return [tuple(cells) for cells in rows]


def test_storage_does_not_matter() -> None:
    assert len({digest(ROWS), digest(ROWS, batch=1), digest(ROWS, threads=1)}) == 1


@pytest.mark.parametrize(
    "rows",
    [
        changed(0, 1, "A"),
        changed(0, 1, None),
        changed(1, 1, None),
        changed(2, 1, ""),
        changed(1, 2, None),
        changed(2, 2, "0"),
        changed(0, 2, "1.500001"),
        changed(1, 3, None),
        changed(0, 3, "0.250000001"),
        changed(1, 4, None),
        changed(1, 5, None),
        changed(1, 6, None),
        changed(3, 6, "2024-02-29 23:59:59.999998"),
        changed(0, 7, "bad_value"),
        ROWS[::-1],
        ROWS[:3],
        [*ROWS, ROWS[3]],
    ],
)
def test_every_cell_counts(rows: Rows) -> None:
    assert digest(rows) != digest(ROWS)


def test_the_last_digits_of_a_double_do_not_count() -> None:
    assert digest(changed(0, 3, "0.25000000000000006")) == digest(ROWS)


texts = st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=6)


@given(texts, texts)
@settings(max_examples=60, deadline=None)
def test_equal_texts_and_only_they_have_equal_digests(one: list[str | None], other: list[str | None]) -> None:
    columns = [pa.chunked_array([pa.array(values, pa.string())]) for values in (one, other)]
    # The number of rows is part of a table's digest, beside its columns.
    digests = [(len(column), hash_values(column)) for column in columns]
    assert (digests[0] == digests[1]) == (one == other)


def test_a_large_table_is_read_column_by_column_to_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = digest(ROWS)
    monkeypatch.setattr("store.digest.SMALL_TABLE", 1)
    assert digest(ROWS) == at_once


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("release") / "trial.duckdb"
    make_release_file(file)
    return file


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "trial.duckdb"))


def change_release(file: Path, sql: str) -> tuple[str, dict[str, str]]:
    with duckdb.connect(str(file)) as con:
        con.execute(sql)
    return digest_release_file(file)


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("UPDATE dose_event SET delivered_amount = 54.000001 WHERE line = 4", "dose_event"),
        ("UPDATE source_file SET file_name = 'dn.csv'", "source_file"),
        ("INSERT INTO history.dose_event BY NAME SELECT 'S07-001' AS subject_id, 'superseded' AS row_state",
         "history.dose_event"),
        ("UPDATE result SET value = 0.76 WHERE arm = 'ACT' AND comparator IS NULL AND value IS NOT NULL", "result"),
    ],
)  # fmt: skip
def test_the_digest_of_a_release_names_the_table_that_differs(release: Path, sql: str, table: str) -> None:
    before, tables_before = digest_release_file(release)
    after, tables_after = change_release(release, sql)
    assert after != before
    assert {name for name in tables_after if tables_after[name] != tables_before[name]} == {table}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE build_info SET program_version = '9', built_utc = TIMESTAMP '2030-01-01'",
        "UPDATE source_file SET importer_version = '9'",
        "INSERT INTO ledger BY NAME SELECT 1 AS seq, TIMESTAMP '2030-01-01' AS at_utc, 'x' AS user_name, "
        "'x' AS action, 'x' AS hash",
        "VACUUM",
        "ALTER TABLE dose_event DROP COLUMN lot",
    ],
)
def test_when_by_whom_and_with_what_does_not_count(release: Path, sql: str) -> None:
    before = digest_release_file(release)
    assert change_release(release, sql) == before
