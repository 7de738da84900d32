"""Views of a release in the shapes of ADaM and SDTM, each declared once: comment, columns with meaning, source.

A view reshapes and renames what the tables hold and computes no figure of its own: treatment dates, emergence and
counts come from the derived tables that the results are made of. In a blinded release the same views read the
blinded tables, so that they show what those hold and nothing else. The SQL is stored in the release and must be
understood by DuckDB 1.4 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.schema import text_literal

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class ViewColumn:
    """One column: CDISC name, type, the SQL expression it is, and its meaning."""

    name: str
    type: str
    sql: str
    comment: str


@dataclass(frozen=True)
class View:
    """One view: ``source`` is everything after FROM, ``order`` the row order (none for views as long as the doses)."""

    name: str
    comment: str
    columns: tuple[ViewColumn, ...]
    source: str
    order: str = ""

    def create_sql(self) -> str:
        """CREATE VIEW statement. Casts fix the types, also of a column that a blinded release withholds."""
        columns = ",\n  ".join(f'CAST({column.sql} AS {column.type}) AS "{column.name}"' for column in self.columns)
        order = f"\nORDER BY {self.order}" if self.order else ""
        return f"CREATE VIEW {self.name} AS SELECT\n  {columns}\nFROM {self.source}{order}"


def text(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "VARCHAR", sql, comment)


def number(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "BIGINT", sql, comment)


def real(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "DOUBLE", sql, comment)


def amount(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "DECIMAL(18,6)", sql, comment)


def date(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "DATE", sql, comment)


def flag(name: str, sql: str, comment: str) -> ViewColumn:
    """Y where the condition holds, N where not, NULL where unknown."""
    return ViewColumn(name, "VARCHAR", f"CASE WHEN {sql} THEN 'Y' WHEN NOT ({sql}) THEN 'N' END", comment)


def only_yes(name: str, sql: str, comment: str) -> ViewColumn:
    """Y where the condition holds, else NULL (ADaM flags of selected records)."""
    return ViewColumn(name, "VARCHAR", f"CASE WHEN {sql} THEN 'Y' END", comment)


STUDYID = text("STUDYID", "(SELECT max(study_id) FROM build_info)", "Study identifier as protocol.toml states it")


def day_of(date_sql: str, start_sql: str) -> str:
    """Study day: the day of the start is 1, the day before it -1; there is no day 0."""
    return f"{date_sql} - {start_sql} + CASE WHEN {date_sql} >= {start_sql} THEN 1 ELSE 0 END"


def all_views() -> tuple[View, ...]:
    """Every view of a release, in the order they are made."""
    from store.views_adam import ADAM_VIEWS
    from store.views_device import DEVICE_VIEWS
    from store.views_dose import DOSE_VIEWS
    from store.views_sdtm import SDTM_VIEWS
    from store.views_visit import VISIT_VIEWS

    return (*ADAM_VIEWS, *SDTM_VIEWS, *DEVICE_VIEWS, *DOSE_VIEWS, *VISIT_VIEWS)


def create_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create all views and table macros with their comments in the connection's current database.

    The canonical tables must be there; whether they are filled does not matter.
    """
    con.execute("; ".join(view_statements()))


def view_statements() -> list[str]:
    """The statements of ``create_views``."""
    from store.macros import macro_sql

    statements: list[str] = []
    for view in all_views():
        statements.append(view.create_sql())
        statements.append(f"COMMENT ON VIEW {view.name} IS {text_literal(view.comment)}")
        statements += [
            f'COMMENT ON COLUMN {view.name}."{column.name}" IS {text_literal(column.comment)}'
            for column in view.columns
        ]
    return [*statements, *macro_sql()]
