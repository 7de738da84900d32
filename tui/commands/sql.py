"""`dosetrail sql`: one query over the release, and no way to change anything with it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import AllOption, AsOfOption, JsonOption, StudyOption, UnblindedOption, open_study

if TYPE_CHECKING:
    import duckdb

    from store.errors import UsageProblem

FIRST_ROWS = 200
_FETCH = 10_000


def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One SELECT statement; - reads it from standard input.")],
    study: StudyOption = None,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with formulas neutralised.")] = False,
    all_rows: AllOption = False,
    as_of: AsOfOption = None,
    unblinded: UnblindedOption = False,
) -> int:
    """Ask the release a question in SQL (DuckDB), read-only.

    Files, network and settings are out of reach; tables and columns: dosetrail sql "SHOW TABLES".

    Example: dosetrail sql "SELECT status, count(*) FROM dose_match GROUP BY ALL"
    """
    from store.errors import UsageProblem
    from tui.reading import open_for_queries, release_file

    if json and csv:
        raise UsageProblem("--json and --csv exclude each other.", remedy="Take one of them.")
    text = sys.stdin.read() if query == "-" else query
    con = open_for_queries(release_file(open_study(context, study), unblinded=unblinded, as_of=as_of))
    try:
        statement = _the_one_select(con, text)
        if csv:
            _print_csv(con, statement)
        elif json:
            _print_json(con, statement)
        else:
            _print_table(con, statement, None if all_rows else FIRST_ROWS)
    finally:
        con.close()
    return 0


def _the_one_select(con: duckdb.DuckDBPyConnection, text: str) -> str:
    import duckdb

    from store.errors import UsageProblem

    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        raise _explained(error, text) from error
    if len(statements) != 1:
        raise UsageProblem(
            f"Exactly one statement is run; this is {len(statements)}.",
            remedy='Give one SELECT in quotes: dosetrail sql "SELECT count(*) FROM subject"',
        )
    kinds = duckdb.StatementType
    if statements[0].type not in (kinds.SELECT, kinds.EXPLAIN):
        raise UsageProblem(
            f"Only SELECT (and EXPLAIN) is allowed; this is {statements[0].type.name}. A release is never changed.",
            remedy="Work on a copy to change data: dosetrail export TABLE --format parquet --out FILE",
        )
    return text


def _run(con: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    from tui.interruption import run_interruptibly

    try:
        return run_interruptibly(con, lambda: con.execute(text))
    except duckdb.Error as error:
        raise _explained(error, text) from error


def _fetch(con: duckdb.DuckDBPyConnection, result: duckdb.DuckDBPyConnection, text: str) -> list[tuple[Any, ...]]:
    import duckdb

    from tui.interruption import run_interruptibly

    try:
        return run_interruptibly(con, lambda: result.fetchmany(_FETCH))
    except duckdb.Error as error:
        raise _explained(error, text) from error


def _explained(error: duckdb.Error, text: str) -> UsageProblem:
    from store.errors import UsageProblem

    sentence, _, rest = str(error).partition("\n")
    kind, _, words = sentence.partition(": ")
    remedy = 'Tables and columns: dosetrail sql "SHOW TABLES"; dosetrail sql "DESCRIBE subject"'
    if kind == "Permission Error" or "configuration has been locked" in words:
        words = "A query reads the release and nothing else: no files, no network, no settings."
        rest = ""
    elif kind == "Out of Memory Error":
        remedy = "Ask for less at once (a WHERE clause, fewer columns), or export the table and work on the copy."
    hint = " ".join(line.strip() for line in rest.split("LINE ")[0].splitlines() if line.strip())
    return UsageProblem(
        f"The query failed: {' '.join(filter(None, (words, hint)))}",
        effect="Nothing was changed.",
        remedy=remedy,
        kind=kind,
        query=text,
    )


def _names(result: duckdb.DuckDBPyConnection) -> list[str]:
    return [column[0] for column in result.description or ()]


def _print_table(con: duckdb.DuckDBPyConnection, text: str, limit: int | None) -> None:
    from tui.output import warn

    result = _run(con, text)
    names = _names(result)
    rows: list[tuple[Any, ...]] = []
    more = False
    while batch := _fetch(con, result, text):
        rows += batch
        if limit is not None and len(rows) > limit:
            rows, more = rows[:limit], True
            break
    print_rows(names, rows)
    if more:
        warn(f"First {limit} rows. All of them: --all, --csv or --json.")


def print_rows(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; where it is too wide for the page, one block of `name  value` lines per row."""
    from tui.output import glyphs_for, page_width, write_lines
    from tui.tables import Column, cell_text, record_lines, table_lines

    glyphs, width = glyphs_for(sys.stdout), page_width()
    texts = [[glyphs.text(cell_text(value)) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[n]) for row in texts)]) for n, name in enumerate(names)]
    if sum(widths) + 2 * len(widths) <= width or len(names) == 1:
        numeric = [
            any(isinstance(row[n], (int, float)) and not isinstance(row[n], bool) for row in rows)
            for n in range(len(names))
        ]
        columns = [
            Column(name, ">" if number else "<", gives_way=len(names) == 1)
            for name, number in zip(names, numeric, strict=True)
        ]
        write_lines(table_lines(columns, texts, glyphs, width))
        return
    for number, row in enumerate(texts, start=1):
        write_lines([f"-- row {number}", *record_lines(zip(names, row, strict=True), glyphs, width)])


def _print_csv(con: duckdb.DuckDBPyConnection, text: str) -> None:
    import duckdb

    from analysis.exports import csv_text
    from tui.interruption import run_interruptibly
    from tui.output import write_out

    try:
        frame = run_interruptibly(con, lambda: con.sql(text).pl())
    except duckdb.Error as error:
        raise _explained(error, text) from error
    write_out(csv_text(frame).decode())


def _print_json(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """Rows go to a temporary file first: a query that fails half way must not leave half a document on
    stdout.
    """
    from analysis.json_text import json_rows, json_value, unique_names
    from tui.output import write_out

    result = _run(con, text)
    names = unique_names(_names(result))
    kinds = [{"name": name, "type": str(column[1])} for name, column in zip(names, result.description, strict=True)]
    with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
        spool.write(f'{{\n  "columns": {json_value(kinds)},\n  "rows": [')
        separator = "\n    "
        while batch := _fetch(con, result, text):
            for line in json_rows(names, batch):
                spool.write(separator + line)
                separator = ",\n    "
        spool.write("]\n}\n" if separator == "\n    " else "\n  ]\n}\n")
        spool.seek(0)
        while piece := spool.read(1 << 20):
            write_out(piece)
