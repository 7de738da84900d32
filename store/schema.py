"""The canonical schema as data: one declaration for DDL, CHECKs, COMMENTs, data dictionary and digest.

A table is declared once (``store.tables_subject``, ``store.tables_dose``, ``store.tables_safety``,
``store.tables_study``) and everything else is generated from it. Types are DuckDB types every reader from DuckDB 1.4
on understands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import duckdb

AMOUNT = "DECIMAL(18,6)"
"""Every dose amount, volume, rate and concentration: exact decimals, six places (a 0.025 U step and a 1e-6 mL
step both fit)."""

Blinding = Literal["open", "infer", "never"]
"""Whether a blinded release may hold a column: ``open`` always, ``never`` never, ``infer`` only when the inference test
finds that no value held by two or more subjects belongs to one arm only (store.blinding)."""

Origin = Literal["received", "derived", "ledger", "protocol", "build"]
"""Where a table's rows come from: source files, analysis functions, the ledger, protocol.toml, the build itself."""


@dataclass(frozen=True)
class Column:
    """One column: name, DuckDB type (or the name of a vocabulary), unit and meaning in ``comment``."""

    name: str
    type: str
    comment: str
    required: bool = False
    check: str | None = None
    blinding: Blinding = "open"
    default: str | None = None


@dataclass(frozen=True)
class Table:
    """One canonical table.

    ``key`` identifies a row within the current rows (uniqueness is verified by query, never by an index).
    ``identity`` (received tables) is the native key under which a later export supersedes an earlier one. A row whose
    last identity column is NULL has no native key: it is identified by its whole content and its occurrence number in
    its file.
    ``sort`` is the stored row order.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    origin: Origin
    identity: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    subject_level: bool = True
    withheld: bool = False
    """TRUE: a blinded release holds no row of the table (its very row count would give an arm away)."""

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def content(self) -> tuple[str, ...]:
        """Columns that say what the source said: all but provenance."""
        return tuple(name for name in self.column_names if name not in PROVENANCE_NAMES)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


PROVENANCE: tuple[Column, ...] = (
    Column(
        "source_id",
        "VARCHAR",
        "Source file: first 12 hex digits of its SHA-256 (source_file.source_id)",
        required=True,
    ),
    Column(
        "line",
        "BIGINT",
        "Line in the source file (1 = first physical line; for data sets, the row number)",
        required=True,
    ),
    Column(
        "part",
        "SMALLINT",
        "Which of the rows the line gave to this table (1, 2, ...: the halves of a dual bolus stand on one line)",
        required=True,
        default="1",
    ),
)
PROVENANCE_NAMES = tuple(column.name for column in PROVENANCE)


def received(
    name: str,
    comment: str,
    columns: Iterable[Column],
    *,
    identity: tuple[str, ...] = (),
    sort: tuple[str, ...] = (),
    subject_level: bool = True,
    withheld: bool = False,
) -> Table:
    """A table fed by source files: the given columns followed by provenance; (source_id, line, part) and identity
    make its key."""
    cols = (*tuple(columns), *PROVENANCE)
    return Table(
        name=name,
        comment=comment,
        columns=cols,
        key=identity or PROVENANCE_NAMES,
        origin="received",
        identity=identity,
        sort=sort or (*identity, *PROVENANCE_NAMES),
        subject_level=subject_level,
        withheld=withheld,
    )


def text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def column_type(column: Column) -> str:
    """DuckDB type as written in DDL (vocabulary names are quoted: several are SQL words)."""
    from store.vocabulary import VOCABULARIES

    return f'"{column.type}"' if column.type in VOCABULARIES else column.type


def type_statements() -> list[str]:
    """The ENUM of every closed vocabulary."""
    from store.vocabulary import VOCABULARIES

    return [
        f'CREATE TYPE "{name}" AS ENUM ({", ".join(map(text_literal, values))})'
        for name, values in VOCABULARIES.items()
    ]


def create_table_sql(table: Table, *, name: str | None = None, constraints: bool = True) -> str:
    """CREATE TABLE statement; ``constraints=False`` leaves out NOT NULL and CHECK (history rows)."""
    parts: list[str] = []
    for column in table.columns:
        part = f'"{column.name}" {column_type(column)}'
        if column.default is not None:
            part += f" DEFAULT {column.default}"
        if constraints and column.required:
            part += " NOT NULL"
        if constraints and column.check:
            part += f" CHECK ({column.check})"
        parts.append(part)
    return f"CREATE TABLE {name or table.name} (\n  " + ",\n  ".join(parts) + "\n)"


def comment_sql(table: Table, *, name: str | None = None) -> list[str]:
    """COMMENT statements for the table and each of its columns."""
    target = name or table.name
    statements = [f"COMMENT ON TABLE {target} IS {text_literal(table.comment)}"]
    for column in table.columns:
        statements.append(f'COMMENT ON COLUMN {target}."{column.name}" IS {text_literal(column.comment)}')
    return statements


HISTORY_COLUMNS: tuple[Column, ...] = (
    Column(
        "row_state",
        "row_state",
        "Why the row is not current: superseded, or no longer in its source",
        required=True,
    ),
    Column("replaced_by", "VARCHAR", "source_id:line:part of the current version; NULL when no longer in source"),
)


def history_table(table: Table) -> Table:
    """The history twin of a received table: versions that are no longer current, kept visible in schema ``history``."""
    return Table(
        name=f"history.{table.name}",
        comment=f"Versions of {table.name} rows no longer current (superseded, or gone from the newest snapshot)",
        columns=(*table.columns, *HISTORY_COLUMNS),
        key=PROVENANCE_NAMES,
        origin="received",
        sort=PROVENANCE_NAMES,
        subject_level=table.subject_level,
        withheld=table.withheld,
    )


def create_all(con: duckdb.DuckDBPyConnection, *, constraints: bool = True, comments: bool = True) -> None:
    """Create every canonical table, its history twin and all comments in the connection's current database."""
    # One call: with 1,400 of them it would take twice as long.
    con.execute("; ".join(schema_statements(constraints=constraints, comments=comments)))


def schema_statements(*, constraints: bool = True, comments: bool = True) -> list[str]:
    """The statements of ``create_all``; comments take half of their time."""
    from store.tables import TABLES

    statements = [*type_statements(), "CREATE SCHEMA IF NOT EXISTS history"]
    twins = [history_table(table) for table in TABLES.values() if table.origin == "received"]
    statements += [create_table_sql(table, constraints=constraints) for table in TABLES.values()]
    statements += [create_table_sql(twin, constraints=False) for twin in twins]
    if comments:
        statements += [text for table in (*TABLES.values(), *twins) for text in comment_sql(table)]
    return statements


def data_dictionary() -> list[dict[str, str | bool]]:
    """One row per column of the schema, in declaration order: table, column, type, required, values, comment.

    Tables first, then views; a column of a view is never required.
    """
    from store.tables import TABLES
    from store.views import all_views
    from store.vocabulary import VOCABULARIES

    stored: list[dict[str, str | bool]] = [
        {
            "table": table.name,
            "column": column.name,
            "type": column.type,
            "required": column.required,
            "values": ", ".join(VOCABULARIES.get(column.type, ())),
            "comment": column.comment,
        }
        for table in TABLES.values()
        for column in table.columns
    ]
    shown: list[dict[str, str | bool]] = [
        {
            "table": view.name,
            "column": column.name,
            "type": column.type,
            "required": False,
            "values": "",
            "comment": column.comment,
        }
        for view in all_views()
        for column in view.columns
    ]
    return stored + shown
