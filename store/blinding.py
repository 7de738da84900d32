"""The blinded half of a release pair: what a blinded trial's coordinators may see, made from the full release.

Columns say by declaration whether they may be shown (``store.schema.Column.blinding``); a withheld column is NULL
throughout, so that every query still runs. ``infer`` columns pass the inference test first (``store.inference``).
Where the file a row came from gives an arm away, the rows of that table name no file. Results are those pooled over all
arms, of at least ``SUPPRESS_UNDER`` subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.empty_release import open_empty_release
from store.inference import ROWS_SHOWN, Inference
from store.schema import PROVENANCE_NAMES, Table, history_table
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

SUPPRESS_UNDER = 5
"""Pooled statistics over fewer subjects are not shown to blinded users."""

POOLED_ANALYSES = ("enrolment", "compliance", "adverse_events", "accuracy")
"""Families of results a blinded release may hold; exposure is amounts throughout."""

POOLED_ACCURACY = ("dose_conformity", "delivery_conformity", "programming_conformity", "assessable")
"""Accuracy parameters that say yes or no to limits; amounts, bias and percent errors stay unblinded."""

POOLED_BY = (
    "site", "sex", "race", "ethnicity", "study participation", "study treatment", "band",
    "severity", "maximum severity", "seriousness", "relation", "outcome",
)  # fmt: skip
"""Breakdowns of a pooled figure that have nothing to do with treatment."""

UNBLINDED_REASON = "not assessable; the unblinded part of the release says why"
"""In place of a sentence that names an arm, a drug or an element."""

WITHHELD_SOURCE = "withheld"
"""source_id of rows whose file would give an arm away."""


@dataclass(frozen=True)
class Withheld:
    """A column withheld by the inference test, for the unblinded role to know; ``values`` counts the telling values."""

    table: str
    column: str
    values: int


def write_blinded_file(full: Path, blinded: Path) -> list[Withheld]:
    """Write the blinded half of a release pair next to the full one; returns what the inference test withheld."""
    con = open_empty_release(blinded, constraints=False)
    try:
        con.execute(f"ATTACH '{str(full).replace(chr(39), chr(39) * 2)}' AS full_release (READ_ONLY)")
        withheld = write_blinded(con, "full_release")
        con.execute("DETACH full_release")
        con.execute("CHECKPOINT")
    finally:
        con.close()
    return withheld


def write_blinded(con: duckdb.DuckDBPyConnection, full: str) -> list[Withheld]:
    """Fill the connection's current database, an empty release, with the blinded copy of attached catalog ``full``.

    Returns the columns the inference test withheld. The same full release always gives the same copy.
    """
    con.execute("SET preserve_insertion_order = true")
    con.execute("BEGIN")
    copy = _Copy(con, full)
    for table in TABLES.values():
        if not table.withheld:
            copy.fill(table)
    con.execute("COMMIT")
    return copy.withheld


class _Copy:
    """The copy in the making: what may be shown, what the inference test withheld, which tables name no files."""

    def __init__(self, con: duckdb.DuckDBPyConnection, full: str) -> None:
        self._con = con
        self._full = full
        self._inference = Inference(con, full)
        self.withheld: list[Withheld] = []
        self._judged = self._allows(TABLES["dose_match"], "within_limits")
        events, matches = (self._allows(TABLES[name], "source_id") for name in ("dose_event", "dose_match"))
        self._doses_named = events and matches
        _create_secret_words(con, full)

    def fill(self, table: Table) -> None:
        """Copy what may be shown of the current rows of a table and of its history."""
        hidden = {
            column.name
            for column in table.columns
            if column.blinding == "never" or (column.blinding == "infer" and not self._shows(table, column.name))
        }
        named = self._names_files(table)
        columns = ", ".join(self._selected(table, name, hidden, named) for name in table.column_names)
        source = f"{self._full}.{table.name}"
        order = ""
        if not named:
            numbers = "dose_event" if table.name == "dose_match" else table.name
            if numbers == table.name:
                self._number_rows(table)
            source += f" LEFT JOIN numbered_{numbers} USING (source_id, line)"
            order = f" ORDER BY {_order(table, last=('n',))}"
        where = self._row_filter(table)
        self._con.execute(f"INSERT INTO {table.name} SELECT {columns} FROM {source} WHERE {where}{order}")
        if table.origin == "received":
            twin = history_table(table).name
            older = "row_state, replaced_by" if named else "row_state, NULL"
            columns = columns if named else columns.replace('n AS "line"', 'NULL AS "line"')
            order = "" if named else f" ORDER BY {_order(table, last=())}"
            self._con.execute(
                f"INSERT INTO {twin} SELECT {columns}, {older} FROM {self._full}.{twin} WHERE {where}{order}"
            )

    def _selected(self, table: Table, name: str, hidden: set[str], named: bool) -> str:
        if name in hidden:
            return f'NULL AS "{name}"'
        if not named and name == "source_id":
            return f"CASE WHEN source_id IS NOT NULL THEN '{WITHHELD_SOURCE}' END AS \"source_id\""
        if not named and name == "line":
            return 'n AS "line"'
        if table.name == "result" and name == "not_assessable":
            return f"CASE WHEN {_tells(name)} THEN '{UNBLINDED_REASON}' ELSE {name} END AS {name}"
        if table.name == "result" and name == "method":
            return f"CASE WHEN NOT {_tells(name)} THEN {name} END AS {name}"
        return f'"{name}"'

    def _shows(self, table: Table, column: str) -> bool:
        if (table.name, column) == ("dose_match", "within_limits"):
            return self._judged
        return self._allows(table, column)

    def _allows(self, table: Table, column: str) -> bool:
        """Whether the column passes the inference test; notes it where not."""
        telling = self._inference.count_telling(table, column)
        if (table.name, column) == ("dose_match", "within_limits"):
            telling += self._inference.count_telling_assessability()
        if telling:
            self.withheld.append(Withheld(table.name, column, telling))
        return not telling

    def _names_files(self, table: Table) -> bool:
        """Whether rows may say which file they came from: a file of one arm's patients would be the arm in code."""
        if table.name in ("dose_event", "dose_match"):
            return self._doses_named
        if "source_id" not in table.column_names or not {"subject_id", "device_id"} & set(table.column_names):
            return True
        return self._allows(table, "source_id")

    def _number_rows(self, table: Table) -> None:
        """Temporary table ``numbered_<table>``: each row's place in an order that no file decides."""
        order = _order(table, last=PROVENANCE_NAMES)
        self._con.execute(
            f"CREATE TEMP TABLE numbered_{table.name} AS SELECT source_id, line, min(n) AS n FROM "
            f"(SELECT source_id, line, row_number() OVER (ORDER BY {order}) AS n FROM {self._full}.{table.name}) "
            "GROUP BY source_id, line"
        )

    def _row_filter(self, table: Table) -> str:
        if table.name == "population" and not self._judged:
            return "population <> 'accuracy_evaluable'"
        if table.name == "result":
            return self._pooled()
        return ROWS_SHOWN.get(table.name, "true")

    def _pooled(self) -> str:
        """Condition on results that are pooled over all arms and say nothing about amounts."""
        result = f"{self._full}.result"
        class_tells = self._inference.count_telling(TABLES["device"], "device_class")
        groups = ["drug", "channel", *(["device_class"] if class_tells else [])]
        conditions = [
            "(arm IS NULL OR arm = 'ALL') AND comparator IS NULL AND period IS NULL",
            f"analysis IN {POOLED_ANALYSES}",
            "NOT regexp_matches(statistic, 'p_value|difference|ratio')",
            f"(analysis <> 'accuracy' OR parameter IN {POOLED_ACCURACY})",
            f'("by" IS NULL OR "by" IN {POOLED_BY})',
            # A figure of one drug of several may be the figure of one arm.
            *(f"({name} IS NULL OR (SELECT count(DISTINCT {name}) FROM {result}) = 1)" for name in groups),
            f"(coalesce(subjects, 0) >= {SUPPRESS_UNDER} OR (not_assessable IS NOT NULL AND "
            "value IS NULL AND numerator IS NULL AND denominator IS NULL))",
        ]
        return " AND ".join(conditions)


def _order(table: Table, *, last: tuple[str, ...]) -> str:
    owners = [name for name in ("subject_id", "device_id") if name in table.column_names and name not in table.sort]
    sort = [name for name in table.sort if name not in PROVENANCE_NAMES]
    return ", ".join(f'"{name}"' for name in (*sort, *owners, *last))


def _create_secret_words(con: duckdb.DuckDBPyConnection, full: str) -> None:
    """Temporary table ``secret_word``: names of arms, elements, drugs and lots, lower case."""
    columns = {
        "arm": ("arm_code", "arm"),
        "subject": ("arm_code", "actual_arm_code"),
        "subject_element": ("element_code", "element"),
        "treatment_period": ("element_code", "period"),
        "regimen": ("drug",),
        "dose_event": ("drug", "lot"),
        "exposure": ("drug", "lot"),
        "device": ("lot",),
    }
    words = " UNION ".join(
        f"SELECT lower({name}) AS word FROM {full}.{table}" for table, names in columns.items() for name in names
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE secret_word AS SELECT word FROM ({words}) WHERE word <> ''")


def _tells(column: str) -> str:
    """Condition: the text names an arm, an element, a drug or a lot (single letters match often: on the safe side)."""
    return f"EXISTS (SELECT 1 FROM secret_word WHERE contains(lower({column}), word))"
