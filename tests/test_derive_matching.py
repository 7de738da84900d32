"""Planned doses and dose events are joined one to one, the nearest in the window first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.matching import clipped_windows, match_events

HOUR = 3_600_000_000


def match(plans: list[tuple[int, int, int, int]], events: list[tuple[int, int]]) -> tuple[list[int], list[bool]]:
    """Match (group, at, before, after) in hours with (group, at)."""
    event = np.array(events, dtype=np.int64).reshape(-1, 2)
    group, at, before, after = clipped(plans)
    result = match_events(
        group, at * HOUR, before * HOUR, after * HOUR, event[:, 0].astype(np.int32), event[:, 1] * HOUR
    )
    return result.plan.tolist(), result.late.tolist()


def clipped(plans: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, ...]:
    plan = np.array(plans, dtype=np.int64).reshape(-1, 4)
    group = plan[:, 0].astype(np.int32)
    return group, plan[:, 1], *clipped_windows(group, plan[:, 1], plan[:, 2], plan[:, 3])


def test_the_nearest_dose_in_the_window_is_taken_and_the_other_is_extra() -> None:
    assert match([(0, 8, 4, 4)], [(0, 6), (0, 9)]) == ([-1, 0], [False, False])


def test_of_two_as_near_the_earlier_is_taken() -> None:
    assert match([(0, 8, 4, 4)], [(0, 7), (0, 9)])[0] == [0, -1]


def test_window_limits_are_inside() -> None:
    assert match([(0, 8, 2, 2), (0, 32, 2, 2)], [(0, 10), (0, 30)])[0] == [0, 1]


def test_after_the_window_a_dose_is_late_until_the_next_window_opens() -> None:
    plans = [(0, 8, 2, 2), (0, 32, 2, 2)]
    assert match(plans, [(0, 20)]) == ([0], [True])
    assert match(plans, [(0, 29)]) == ([0], [True])
    assert match(plans, [(0, 30)]) == ([1], [False])


def test_a_second_late_dose_is_extra_and_so_is_a_late_dose_of_a_taken_plan() -> None:
    plans = [(0, 8, 2, 2), (0, 32, 2, 2)]
    assert match(plans, [(0, 20), (0, 21)])[0] == [0, -1]
    assert match(plans, [(0, 8), (0, 20)])[0] == [0, -1]


def test_before_the_first_window_a_dose_is_extra() -> None:
    assert match([(0, 8, 2, 2)], [(0, 5)])[0] == [-1]


def test_subjects_do_not_meet() -> None:
    assert match([(0, 8, 24, 24), (2, 8, 24, 24)], [(1, 8), (2, 9)])[0] == [-1, 1]


def test_overlapping_windows_give_each_dose_its_own_plan() -> None:
    plans = [(0, 8, 12, 12), (0, 14, 12, 12)]
    assert match(plans, [(0, 13), (0, 14)])[0] == [0, 1]


def test_a_single_planned_dose_can_be_late_by_any_time() -> None:
    assert match([(0, 8, 1, 1)], [(0, 800)]) == ([0], [True])


def test_nothing_planned_or_nothing_given() -> None:
    assert match([], [(0, 8)])[0] == [-1]
    assert match([(0, 8, 1, 1)], [])[0] == []


plans_of_subjects = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 9), st.integers(0, 9)), max_size=12
).map(lambda rows: sorted({(group, at): (group, at, before, after) for group, at, before, after in rows}.values()))
doses_of_subjects = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70)), max_size=15).map(sorted)


@settings(max_examples=300, deadline=None)
@given(plans_of_subjects, doses_of_subjects)
def test_matching_is_one_to_one_and_leaves_nothing_in_an_open_window(
    plans: list[tuple[int, int, int, int]], doses: list[tuple[int, int]]
) -> None:
    found, late = match(plans, doses)
    plans = [tuple(row) for row in np.stack(clipped(plans), axis=1).tolist()]
    taken = [plan for plan in found if plan >= 0]
    assert len(taken) == len(set(taken))
    free = set(range(len(plans))) - set(taken)
    for (group, at), plan, is_late in zip(doses, found, late, strict=True):
        if plan >= 0:
            of_group, planned, before, after = plans[plan]
            assert of_group == group
            assert (at > planned + after) if is_late else (planned - before <= at <= planned + after)
        else:
            # No plan is left whose window the extra dose would fall into.
            assert not [i for i in free if plans[i][0] == group and -plans[i][2] <= at - plans[i][1] <= plans[i][3]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=8, unique=True).map(sorted),
    st.lists(st.integers(0, 200), max_size=15).map(sorted),
)
def test_with_separate_windows_each_plan_gets_its_nearest_dose(slots: list[int], doses: list[int]) -> None:
    plans = [(0, slot * 10, 4, 4) for slot in slots]
    found, late = match(plans, [(0, at) for at in doses])
    for number, (_, at, before, after) in enumerate(plans):
        inside = [i for i, dose in enumerate(doses) if at - before <= dose <= at + after]
        own = [i for i, plan in enumerate(found) if plan == number and not late[i]]
        assert own == ([min(inside, key=lambda i: (abs(doses[i] - at), i))] if inside else [])
