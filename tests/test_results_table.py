"""The result table as a table: its columns and key, and that nothing but the data decides its rows."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from canonical_frames import polars_type
from examples import examples
from generic_study import days, frames, protocol, results
from hypothesis import Phase, given
from hypothesis import strategies as st
from trial_protocols import autoinjector, pilot
from trial_releases import AUTOINJECTOR, PILOT, received, release_tables, text

import analysis.dose_cells
import analysis.dose_counts
import analysis.dose_match
from analysis.derive import derive_study
from analysis.frames import DerivedFrames
from analysis.result_rows import RESULT_COLUMNS, RESULT_KEY, RESULT_TYPES, ResultRows
from analysis.results import analyse_study, compute_results
from store.tables import TABLES

RESULT = TABLES["result"]


def test_columns_types_and_key_are_the_schema_s() -> None:
    assert RESULT_COLUMNS == RESULT.column_names
    assert {column.name: polars_type(column.type) for column in RESULT.columns} == RESULT_TYPES
    assert RESULT_KEY == RESULT.key


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        ResultRows({}).add("teae", "share", 1.0, colour="red")


@pytest.mark.parametrize("trial", [AUTOINJECTOR, PILOT])
def test_rows_of_a_trial(trial: str) -> None:
    rows = release_tables(trial)("result")
    assert rows.select(RESULT_KEY).is_unique().all()
    for column in RESULT.columns:
        if column.required:
            assert rows[column.name].null_count() == 0
    known = set(release_tables(trial)("arm")["arm_code"])
    assert set(rows["arm"].drop_nulls()) <= known | {"ALL"}
    assert not rows.filter(pl.col("value").is_nan()).height
    zero = rows.filter((pl.col("denominator") == 0) & pl.col("statistic").is_in(["share", "incidence"]))
    assert zero["value"].null_count() == zero.height
    shares = rows.filter(pl.col("statistic").is_in(["share", "incidence"]) & pl.col("not_assessable").is_null())
    assert shares["numerator"].null_count() == shares["denominator"].null_count() == 0
    ordered = rows.filter(pl.col("lower").is_not_null() & pl.col("value").is_not_null())
    assert ordered.filter((pl.col("lower") > pl.col("value")) | (pl.col("upper") < pl.col("value"))).height == 0


@pytest.mark.parametrize("trial", [AUTOINJECTOR, PILOT])
@pytest.mark.parametrize("cutoff", [None, dt.date(2013, 3, 1)])
def test_row_order_of_the_input_changes_nothing(trial: str, cutoff: dt.date | None) -> None:
    plan = {AUTOINJECTOR: autoinjector, PILOT: pilot}[trial]()
    as_stored, shuffled = received(trial), received(trial).shuffled(seed=7)
    first, second = derive_study(as_stored, plan, cutoff), derive_study(shuffled, plan, cutoff)
    for name in first:
        assert text(first[name]).equals(text(second[name])), name
    mixed = DerivedFrames(shuffled, {n: rows.sample(fraction=1.0, shuffle=True, seed=3) for n, rows in second.items()})
    expected = compute_results(DerivedFrames(as_stored, first), plan, cutoff)
    assert compute_results(mixed, plan, cutoff).equals(expected)


log = st.dictionaries(
    st.sampled_from(["P1", "P2", "P3", "P4"]),
    st.lists(
        st.tuples(
            st.integers(0, 40 * 24),
            st.decimals(0, 30, places=3, allow_nan=False).map(str),
            st.none() | st.decimals(0, 30, places=3, allow_nan=False).map(str),
        ),
        max_size=25,
    ),
    min_size=1,
)


@examples(5, 8, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking takes minutes
@given(log, st.integers(0, 5))
def test_one_pass_equals_two_and_order_and_parts_change_nothing(doses: dict, seed: int) -> None:
    start = dt.datetime(2024, 3, 1)
    study = frames(
        {
            subject: [
                (str(start + dt.timedelta(hours=hour)), delivered, programmed) for hour, delivered, programmed in own
            ]
            for subject, own in sorted(doses.items())
        },
        {"P2": "B", "P4": "B"},
    )
    plan = protocol(dosing=[{"every_h": 12, "amount": "10", "unit": "mg", "window_after_min": 120}])
    expected = results(study, plan)
    kept: dict[str, list[pl.DataFrame]] = {}
    shuffled = study.shuffled(seed)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(analysis.dose_match, "CHUNK_ROWS", 10)
        small.setattr(analysis.dose_cells, "BLOCK", 4)
        small.setattr(analysis.dose_counts, "PART_ROWS", 7)
        in_one = analyse_study(shuffled, plan, None, lambda name, rows: kept.setdefault(name, []).append(rows))
        in_two = results(shuffled, plan)
    assert in_one.equals(expected)
    assert in_two.equals(expected)
    for name, rows in derive_study(study, plan, None).items():
        assert text(pl.concat(kept[name])).equals(text(rows)), name


def test_only_the_columns_needed_are_read() -> None:
    """A dose table can hold millions of rows: no call may ask for all of its columns."""
    study = frames({"P1": days("2024-03-01", 3)})
    asked: list[tuple[str, int]] = []

    class Watching:
        def __call__(self, table: str, columns: list[str] | None = None) -> pl.DataFrame:
            asked.append((table, len(columns) if columns is not None else len(TABLES[table].columns)))
            return study(table, columns)

    analyse_study(Watching(), protocol(), None, lambda name, rows: None)
    assert max(count for table, count in asked if table == "dose_event") < 20
    assert not [table for table, _ in asked if table in ("dose_match", "planned_dose")]


def test_a_log_whose_calls_disagree_is_read_at_once() -> None:
    """Frames that give their rows in another order at every call (no declared order) still line up."""
    study = frames(
        {"P1": [(at, str(10 + i)) for i, at in enumerate(days("2024-03-01", 30))], "P2": days("2024-03-01", 9)}
    )
    seeds = iter(range(1000))

    def unordered(table: str, columns: list[str] | None = None) -> pl.DataFrame:
        rows = study(table, columns)
        return rows.sample(fraction=1.0, shuffle=True, seed=next(seeds)) if table == "dose_event" else rows

    found = derive_study(unordered, protocol(), None)["dose_match"]
    assert text(found).equals(text(derive_study(study, protocol(), None)["dose_match"]))
