"""A release as of an event date: the same tables and views, cut and derived anew, in memory.

Whatever reads a release reads it, so a cut-off means the same in every summary, list, report and export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.cut import cut_frames
from analysis.results import analyse_study
from store.release_frames import insert_frame, read_frames
from store.schema import create_all
from store.tables import TABLES
from store.views import create_views

if TYPE_CHECKING:
    import datetime as dt

    import duckdb
    import polars as pl

    from store.protocol import Protocol


def attach_cut_release(con: duckdb.DuckDBPyConnection, stored: str, protocol: Protocol, day: dt.date) -> None:
    """Attach database ``release``: a release as it would be had nothing happened after ``day``.

    ``stored``: the schema with a view of each canonical table of it, every column there. ``protocol`` is the one the
    release was made with. What was known stays as it is: files, quarantine, ledger, queries and findings. Versions that
    were superseded (schema ``history``) are left out. Costs a copy of the release in memory and the time of its
    analysis.
    """
    con.execute("ATTACH ':memory:' AS release")
    con.execute("USE release")
    create_all(con, constraints=False, comments=False)  # what an export says of a column is the declaration's
    create_views(con)
    frames = read_frames(con, f"{stored}.")
    derived = {"result"}

    def keep(name: str, rows: pl.DataFrame) -> None:
        derived.add(name)
        insert_frame(con, TABLES[name], rows)

    insert_frame(con, TABLES["result"], analyse_study(frames, protocol, day, keep))
    cut = cut_frames(frames, protocol, day)
    for name, table in TABLES.items():
        if name in derived:
            continue
        if table.origin in ("received", "derived"):
            insert_frame(con, table, cut(name))
        else:
            con.execute(f"INSERT INTO {name} SELECT * FROM {stored}.{name}")
    con.execute("USE memory")
