"""The check for doses that stand twice, held against counting them one by one."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import duckdb
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from store.checks import BUILT_IN
from store.python_rows import insert_rows

CHECK = next(check for check in BUILT_IN if check.id == "DUPLICATE_DOSE")
COLUMNS = (
    "subject_id VARCHAR, source_id VARCHAR, device_id VARCHAR, start_local TIMESTAMP, start_precision VARCHAR, "
    "delivered_amount DECIMAL(18,6), kind VARCHAR, drug VARCHAR, channel VARCHAR, exclude_reason VARCHAR"
)
DOSE = st.tuples(
    st.sampled_from(["S1", "S2"]), st.sampled_from(["f1", "f2", "f3"]), st.sampled_from([None, "P1", "P2"]),
    st.sampled_from([dt.datetime(2026, 3, 1, 8), dt.datetime(2026, 3, 1, 9)]), st.sampled_from(["second", "minute"]),
    st.sampled_from([0, 5]), st.just("injection"), st.just("D"), st.sampled_from([None, "1"]),
    st.sampled_from([None, None, "prime"]),
)  # fmt: skip


@examples(25, 60)
@given(doses=st.lists(DOSE, max_size=14))
def test_a_dose_in_two_files_is_asked_about_unless_each_came_from_a_device_of_its_own(
    doses: list[tuple[object, ...]],
) -> None:
    alike: dict[tuple[object, ...], list[tuple[object, ...]]] = defaultdict(list)
    for subject, file, device, moment, precision, amount, _, _, channel, excluded in doses:
        if precision == "second" and amount and not excluded:
            alike[subject, moment, channel].append((file, device))
    wanted = sorted(
        (subject, f"dose/D/{moment}", f"{len(rows)} rows")
        for (subject, moment, _), rows in alike.items()
        if len({file for file, _ in rows}) > 1 and len({device for _, device in rows} - {None}) != len(rows)
    )
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE dose_event ({COLUMNS})")
        insert_rows(con, "dose_event", doses)
        found = con.execute(f"SELECT subject_id, record, detail FROM ({CHECK.sql})").fetchall()
    assert sorted(found) == wanted
