"""Rows of a file in DuckDB: read once as text, typed and judged column by column, every row with its physical line.

The common file has one row on a line. Its rows are read in file order, so a row's line is its position plus the number
of rejected lines above it; that this holds is verified by counting lines and by comparing every rejected line with the
file. Where it does not hold (quoted line breaks, blank lines, stray quotes), the file is read again by the exact reader
(importers.records), which knows the line of each record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import UnreadableFile
from importers.cells import quote, text_list
from importers.delimited import Delimited, check_faults, needs_exact_reader, write_exact
from importers.judging import judged_sql
from importers.mapping import RowPlan
from importers.records import CELL_LIMIT, NumberedLines, Record, read_record
from store.errors import DiskFull, is_disk_full

if TYPE_CHECKING:
    import duckdb

_ERRORS_KEPT = 1_000_000
"""Errors of the fast reader that are kept; it gives up to one for each missing cell. With more, rows and errors do not
add up, and the exact reader takes over."""
_BLOCK_BITS = 8
"""Rows per entry of the line table, as a power of two: small enough that few entries hold a rejected line."""


class _NotOneLinePerRow(Exception):
    """The fast reader's rows cannot be numbered by counting."""


@dataclass(frozen=True)
class Fault:
    """A row that could not be split into cells."""

    line: int
    last: int
    reason: str
    message: str


@dataclass
class StagedFile:
    """Judged rows in the temporary table ``<prefix>_read``; ``source`` and ``line`` say how to read them."""

    con: duckdb.DuckDBPyConnection
    prefix: str
    plan: RowPlan
    line: str = "r.__line"
    last: str = "r.__last"
    source: str = ""
    faults: list[Fault] = field(default_factory=list)
    text: Delimited | None = None
    """The file the raw text of rejected rows is fetched from; None where a row has no line (Parquet, workbooks)."""

    @property
    def read_table(self) -> str:
        return f"{self.prefix}_read"

    def count(self, condition: str = "true") -> int:
        return read_number(self.con, f'SELECT count(*) FROM "{self.read_table}" WHERE {condition}')

    @property
    def rows_read(self) -> int:
        return self.count() + len({fault.line for fault in self.faults})

    def create_view(self, name: str, columns: Sequence[tuple[str, str]], condition: str = "true") -> None:
        """A temporary view of the accepted rows: (canonical column, SQL over stored aliases), and ``line``."""
        shown = ", ".join(f'{sql} AS "{column}"' for column, sql in columns)
        self.con.execute(
            f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT {shown}, {self.line} AS line FROM {self.source} '
            f"WHERE r.problem IS NULL AND ({condition})"
        )

    def drop(self) -> None:
        """Remove everything that was staged, after a refusal."""
        for name in ("read", "lines", "rejected", "raw"):
            self.con.execute(f'DROP TABLE IF EXISTS "{self.prefix}_{name}"')


def stage_delimited(
    con: duckdb.DuckDBPyConnection, prefix: str, text: Delimited, plan: RowPlan, scratch: Path
) -> StagedFile:
    """Read, type and judge every row of a delimited file.

    ``prefix`` starts the names of the temporary tables. Raises ``UnreadableFile`` where most lines are no rows.
    """
    try:
        if not needs_exact_reader(text):
            with suppress(_NotOneLinePerRow):
                return _stage_fast(con, prefix, text, plan)
        return _stage_exact(con, prefix, text, plan, scratch)
    except UnreadableFile:
        StagedFile(con, prefix, plan).drop()
        raise


def stage_relation(
    con: duckdb.DuckDBPyConnection, prefix: str, relation: str, plan: RowPlan, width: int, *, numbered: bool
) -> StagedFile:
    """Type and judge rows that have ``width`` cells already; ``numbered``: the relation has __line and __last."""
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r')
    # Cells nobody maps may say who a person is.
    names = [f"f{place}" for place in sorted(plan.places) if place < width]
    _create_read(con, prefix, relation, plan, extra=("__line", "__last") if numbered else (), raw_from=names)
    if not numbered:
        staged.line = staged.last = "(r.rowid + 1)"
    return staged


def _stage_fast(con: duckdb.DuckDBPyConnection, prefix: str, text: Delimited, plan: RowPlan) -> StagedFile:
    names = [f"f{index}" for index in range(len(text.header))]
    relation = _csv_relation(
        text.path, names, text.delimiter, '"' if text.has_quotes else "", prefix=prefix,
        null_values=plan.null_values, skip=text.header_end,
    )  # fmt: skip
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r', text=text)
    import duckdb

    try:
        # Unless a row's every cell is read, bytes that are not UTF-8 pass unnoticed in columns nobody maps.
        _create_read(con, prefix, relation, plan, look_at=() if text.is_utf8 else names)
        errors = con.execute(
            f"SELECT line, coalesce(any_value(csv_line), '') FROM \"{prefix}_errors\" GROUP BY line ORDER BY line"
        ).fetchall()
    except duckdb.InvalidInputException as error:
        raise _NotOneLinePerRow from error
    finally:
        _drop_errors(con, prefix)
    if staged.count() + len(errors) != text.lines - text.header_end:
        raise _NotOneLinePerRow
    check_faults(text, len(errors))
    staged.faults = list(_agreed_faults(text, errors))
    _number_lines(staged, text.header_end + 1, [fault.line for fault in staged.faults])
    return staged


def _agreed_faults(text: Delimited, errors: Sequence[tuple[int, str]]) -> Iterator[Fault]:
    """Faults of the lines the fast reader could not split: the exact reader must find fault with the same lines.

    ``errors``: (line, text of the line as the fast reader has it), ascending.
    """
    sign, width = text.delimiter.encode(), len(text.header)
    lines = text.fetch((line, line) for line, _ in errors)
    for (line, shown), (_, raw) in zip(errors, lines, strict=True):
        record = read_record(line, raw, NumberedLines(()), sign, width)
        same = raw.decode("utf-8", "replace") == shown.strip("\r\n")
        if record is None or record.fault is None or not (same or record.fault == "bad_encoding"):
            raise _NotOneLinePerRow
        yield _record_fault(record)


def _stage_exact(
    con: duckdb.DuckDBPyConnection, prefix: str, text: Delimited, plan: RowPlan, scratch: Path
) -> StagedFile:
    copy = scratch / f"{prefix}.csv"
    try:
        rows, records = write_exact(text, copy)
        names = ["__line", "__last", *(f"f{index}" for index in range(len(text.header)))]
        longest = max(text.longest, CELL_LIMIT) * 2 + 1_000
        relation = _csv_relation(
            copy, names, text.delimiter, '"', prefix=prefix, null_values=plan.null_values, longest=longest,
            line_end=r"\n",
        )  # fmt: skip
        _create_read(con, prefix, relation, plan, extra=("__line", "__last"))
        errors = read_number(con, f'SELECT count(*) FROM "{prefix}_errors"')
    finally:
        _drop_errors(con, prefix)
        copy.unlink(missing_ok=True)
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r', text=text)
    if errors or staged.count() != rows:
        raise UnreadableFile(
            f"{text.name} holds rows that two readers split differently.",
            remedy="Export it again without line breaks and quotes inside cells.",
        )
    staged.faults = [_record_fault(record) for record in records]
    return staged


def _record_fault(record: Record) -> Fault:
    return Fault(record.first, record.last, record.fault or "unreadable", record.message)


def _csv_relation(
    path: Path,
    names: Sequence[str],
    delimiter: str,
    quote_sign: str,
    *,
    prefix: str,
    null_values: Sequence[str],
    skip: int = 0,
    longest: int = CELL_LIMIT * 2,
    line_end: str | None = None,
) -> str:
    nulls = text_list(tuple(dict.fromkeys(("", *null_values))))
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    # Not said, DuckDB takes the first one it sees, be it inside quotes.
    ends = f"new_line='{line_end}', " if line_end else ""
    return (
        f"read_csv({quote(str(path))}, auto_detect=false, header=false, skip={skip}, delim={quote(delimiter)}, "
        f"quote={quote(quote_sign)}, escape={quote(quote_sign)}, columns={{{columns}}}, nullstr={nulls}, "
        f"store_rejects=true, rejects_table='{prefix}_errors', rejects_scan='{prefix}_scan', "
        f"rejects_limit={_ERRORS_KEPT}, "
        f"{ends}compression='none', max_line_size={longest}, buffer_size={max(32 << 20, longest * 2)})"
    )


def _create_read(
    con: duckdb.DuckDBPyConnection,
    prefix: str,
    relation: str,
    plan: RowPlan,
    *,
    extra: Sequence[str] = (),
    look_at: Sequence[str] = (),
    raw_from: Sequence[str] = (),
) -> None:
    """Create ``<prefix>_read`` in file order: its row id is then the row's position in the file."""
    import duckdb

    with _file_order(con):
        try:
            query = judged_sql(plan, relation, extra, look_at, raw_from)
            con.execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}_read" AS {query}')
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            if is_disk_full(error):
                raise DiskFull(
                    "No room left while rows were read.",
                    remedy="Free space, then run the command again.",
                    cause=str(error),
                ) from error
            raise


@contextmanager
def _file_order(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    ((before,),) = con.execute("SELECT current_setting('preserve_insertion_order')").fetchall()
    con.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        con.execute(f"SET preserve_insertion_order = {'true' if before else 'false'}")


def _number_lines(staged: StagedFile, first: int, missing: Sequence[int]) -> None:
    """Say how a row's line follows from its position, where the lines ``missing`` have no row.

    A join with one entry per 256 rows: 0.08 s for 7 million rows, where one as-of join takes 0.22 s and sorts them.
    """
    if not missing:
        staged.line = staged.last = f"(r.rowid + {first})"
        return
    con, table = staged.con, f"{staged.prefix}_lines"
    import polars as pl

    con.register("missing_lines", pl.DataFrame({"line": list(missing)}, schema={"line": pl.Int64}))
    try:
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE "{table}" AS
            WITH shifts AS (
                SELECT line - {first} - (row_number() OVER (ORDER BY line) - 1) AS position FROM missing_lines
            ), breaks AS (
                SELECT position >> {_BLOCK_BITS} AS block, list(position) AS positions FROM shifts GROUP BY ALL
            ), blocks AS (
                SELECT unnest(range(0, {(staged.count() >> _BLOCK_BITS) + 1})) AS block
            )
            SELECT block, positions,
                CAST(sum(coalesce(len(positions), 0)) OVER (ORDER BY block) - coalesce(len(positions), 0) AS BIGINT)
                    AS shift
            FROM blocks LEFT JOIN breaks USING (block)
            """
        )
    finally:
        con.unregister("missing_lines")
    staged.source = f'"{staged.read_table}" r JOIN "{table}" b ON (r.rowid >> {_BLOCK_BITS}) = b.block'
    staged.line = staged.last = (
        f"(r.rowid + {first} + b.shift + CASE WHEN b.positions IS NULL THEN 0 "
        "ELSE len(list_filter(b.positions, lambda p: p <= r.rowid)) END)"
    )


def _drop_errors(con: duckdb.DuckDBPyConnection, prefix: str) -> None:
    for name in ("errors", "scan"):
        con.execute(f'DROP TABLE IF EXISTS "{prefix}_{name}"')


def read_number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one number a query gives."""
    # fetchall, because a result that is not read to its end keeps the connection busy.
    return int(con.execute(query).fetchall()[0][0])
