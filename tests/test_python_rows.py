"""Rows made in Python reach their table as they are: types, missing values, lists."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.python_rows import insert_rows

COLUMNS = (
    "text VARCHAR, day DATE, moment TIMESTAMP, sort sort_of, n BIGINT, amount DECIMAL(18,6), share DOUBLE, "
    "files VARCHAR[]"
)
ROW = st.tuples(
    st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.none() | st.dates(),
    st.none() | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)),
    st.none() | st.sampled_from(["a", "b"]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.decimals(Decimal("-99999999999"), Decimal("99999999999"), places=6),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.lists(st.none() | st.sampled_from(["x", "y z"])),
)


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("CREATE TYPE sort_of AS ENUM ('a', 'b')")
    return made


@given(rows=st.lists(ROW, max_size=8))
def test_every_value_arrives(con: duckdb.DuckDBPyConnection, rows: list[tuple[object, ...]]) -> None:
    con.execute(f"CREATE OR REPLACE TABLE held ({COLUMNS})")
    insert_rows(con, "held", rows)
    assert con.execute("FROM held").fetchall() == rows


def test_a_word_outside_the_vocabulary_is_refused_and_nothing_is_stored(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE OR REPLACE TABLE sorted_rows (n BIGINT, sort sort_of)")
    with pytest.raises(duckdb.ConversionException):
        insert_rows(con, "sorted_rows", [(1, "a"), (2, "other")])
    assert con.execute("SELECT count(*) FROM sorted_rows").fetchall() == [(0,)]
