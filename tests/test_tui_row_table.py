"""The table over any number of rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from tui.glyphs import GLYPHS
from tui.widgets.row_table import PAGE_ROWS, PAGES_KEPT, Column, Row, RowTable, lay_out


class Counted:
    """A million rows that are made when asked for, and counted."""

    def __init__(self, count: int = 1_000_000) -> None:
        self.count = count
        self.fetched: list[int] = []

    def fetch(self, start: int, stop: int) -> list[Row]:
        self.fetched.append(start // PAGE_ROWS)
        return [Row(number, (f"row {number}",)) for number in range(start, min(stop, self.count))]

    def position(self, row_id: int) -> int | None:
        return row_id if row_id < self.count else None


class TableApp(App[None]):
    def __init__(self) -> None:
        super().__init__(ansi_color=True)
        self.table = RowTable(GLYPHS["ascii"])

    def compose(self) -> ComposeResult:
        yield self.table


def rows_of(table: RowTable) -> list[str]:
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


def test_a_million_rows_are_read_page_by_page() -> None:
    async def run() -> None:
        app = TableApp()
        async with app.run_test(size=(40, 12)) as pilot:
            rows = Counted()
            app.table.set_columns([Column("name", "name", 20)], ["name"])
            app.table.show(rows)
            await pilot.pause()
            assert rows_of(app.table)[1] == ">row 0"
            app.table.move_to(999_999)
            assert rows_of(app.table)[-1] == ">row 999999"
            for _ in range(40):
                app.table.turn(-20)
            app.table.move_to(0)
            assert rows_of(app.table)[1] == ">row 0"
            assert len(app.table._pages) <= PAGES_KEPT
            assert len(rows.fetched) < 120

    asyncio.run(run())


def test_moving_keeps_context_and_the_cursor_line() -> None:
    async def run() -> None:
        app = TableApp()
        async with app.run_test(size=(40, 11)) as pilot:
            app.table.set_columns([Column("name", "name", 20)], ["name"])
            app.table.show(Counted(100))
            await pilot.pause()
            app.table.move(9)
            app.table.move(1)  # over the edge: half a page scrolls, so the rows before stay in view
            assert rows_of(app.table)[1:7] == [" row 5", " row 6", " row 7", " row 8", " row 9", ">row 10"]
            app.table.turn(1)
            assert rows_of(app.table)[6] == ">row 20"
            app.table.show(Counted(100), cursor=50)
            assert rows_of(app.table)[6] == ">row 50"
            app.table.show(Counted(0), empty=["nothing here"])
            assert rows_of(app.table)[1] == "  nothing here"
            assert app.table.current is None

    asyncio.run(run())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 300),
    st.lists(st.tuples(st.sampled_from(["move", "turn", "move_to"]), st.integers(-400, 400)), max_size=15),
)
def test_the_cursor_is_always_visible_on_its_own_row(count: int, moves: Sequence[tuple[str, int]]) -> None:
    async def run() -> None:
        app = TableApp()
        async with app.run_test(size=(40, 9)) as pilot:
            app.table.set_columns([Column("name", "name", 20)], ["name"])
            app.table.show(Counted(count))
            await pilot.pause()
            for name, by in moves:
                getattr(app.table, name)(by)
                marked = [line for line in rows_of(app.table) if line.startswith(">")]
                assert marked == ([f">row {app.table.cursor}"] if count else [])
                assert 0 <= app.table.cursor < max(1, count)

    asyncio.run(run())


COLUMNS = [
    Column("a", "a", 10),
    Column("b", "b", 8, leaves=1),
    Column("c", "c", 6, grow=True),
    Column("d", "d", 4, leaves=2),
]


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (40, {"a": 10, "b": 8, "c": 15, "d": 4}),
        (31, {"a": 10, "b": 8, "c": 6, "d": 4}),
        (30, {"a": 10, "b": 8, "c": 10}),
        (20, {"a": 10, "c": 9}),
    ],
)
def test_columns_leave_in_their_order_and_the_rest_grows(width: int, widths: dict[str, int]) -> None:
    assert {column.key: cells for column, cells in lay_out(COLUMNS, width)} == widths
