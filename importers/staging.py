"""Rows of a file in DuckDB: read once as text, typed and judged column by column, every row with its physical line.

The common file has one row on a line. Its rows are read in file order, so a row's line is its position plus the number
of rejected lines above it; that this holds is verified by counting lines and by comparing every rejected line with the
file. Where it does not hold (quoted line breaks, blank lines, stray quotes), the file is read again by the exact reader
(importers.records), which knows the line of each record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from importers.base import REJECTED_COLUMNS, UnreadableFile
from importers.cells import Check, quote
from importers.delimited import Delimited, needs_exact_reader, write_exact
from importers.mapping import RowPlan
from importers.records import CELL_LIMIT, Record, count_message, fetch_lines
from store.errors import DiskFull, is_disk_full

if TYPE_CHECKING:
    import duckdb

RAW_LIMIT = 65_536
"""Bytes of a rejected row that are kept as raw text; the file itself is archived."""
_BLOCK_BITS = 8
"""Rows per entry of the line table, as a power of two: small enough that few entries hold a rejected line."""
_BATCH = 50_000


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
        return _number(self.con, f'SELECT count(*) FROM "{self.read_table}" WHERE {condition}')

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

    ``prefix`` starts the names of the temporary tables. Raises ``UnreadableFile`` where DuckDB cannot read it at all.
    """
    if not needs_exact_reader(text):
        try:
            return _stage_fast(con, prefix, text, plan)
        except _NotOneLinePerRow:
            con.execute(f'DROP TABLE IF EXISTS "{prefix}_read"')
    return _stage_exact(con, prefix, text, plan, scratch)


def stage_relation(
    con: duckdb.DuckDBPyConnection, prefix: str, relation: str, plan: RowPlan, *, numbered: bool
) -> StagedFile:
    """Type and judge rows that have cells already; ``numbered``: the relation has __line and __last."""
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r')
    _create_read(con, prefix, relation, plan, extra=("__line", "__last") if numbered else ())
    if not numbered:
        staged.line = staged.last = "(r.rowid + 1)"
    return staged


def _stage_fast(con: duckdb.DuckDBPyConnection, prefix: str, text: Delimited, plan: RowPlan) -> StagedFile:
    names = [f"f{index}" for index in range(len(text.header))]
    relation = _csv_relation(
        text.path, names, text.delimiter, '"' if text.has_quotes else "", skip=text.header_end, prefix=prefix
    )
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r', text=text)
    import duckdb

    try:
        # Unless a row's every cell is read, bytes that are not UTF-8 pass unnoticed in columns nobody maps.
        _create_read(con, prefix, relation, plan, look_at=() if text.is_utf8 else names)
        errors = con.execute(
            f"SELECT line, min(error_type), count(DISTINCT error_type), any_value(csv_line), max(error_message) "
            f'FROM "{prefix}_errors" GROUP BY line ORDER BY line'
        ).fetchall()
    except duckdb.InvalidInputException as error:
        raise _NotOneLinePerRow from error
    finally:
        _drop_errors(con, prefix)
    faults = [_fault(row, text) for row in errors]
    if staged.count() + len(faults) != text.lines - text.header_end:
        raise _NotOneLinePerRow
    _verify_lines(text, faults, [row[3] for row in errors])
    staged.faults = faults
    _number_lines(staged, text.header_end + 1, [fault.line for fault in faults])
    return staged


def _fault(row: tuple[int, str, int, str, str], text: Delimited) -> Fault:
    line, kind, kinds, raw, _ = row
    expected = len(text.header)
    if kinds == 1 and kind in ("MISSING COLUMNS", "TOO MANY COLUMNS") and not text.has_quotes:
        found = (raw or "").strip("\r\n").count(text.delimiter) + 1
        reason = "missing_columns" if kind == "MISSING COLUMNS" else "too_many_columns"
        return Fault(line, line, reason, count_message(found, expected))
    if kinds == 1 and kind in ("MISSING COLUMNS", "TOO MANY COLUMNS"):
        few = kind == "MISSING COLUMNS"
        words = f"{'fewer' if few else 'more'} cells than the {expected} columns of the header"
        return Fault(line, line, "missing_columns" if few else "too_many_columns", words)
    if kinds == 1 and kind == "INVALID ENCODING" and not text.has_quotes:
        return Fault(line, line, "bad_encoding", "bytes that are not UTF-8; declare the encoding")
    raise _NotOneLinePerRow


def _verify_lines(text: Delimited, faults: Sequence[Fault], raws: Sequence[str | None]) -> None:
    """The fast reader's idea of a faulty line must be the line that stands there in the file."""
    wanted = ((fault.line, fault.line) for fault in faults)
    found = dict(fetch_lines(_small_blocks(text), wanted)) if faults else {}
    for fault, raw in zip(faults, raws, strict=True):
        if fault.reason == "bad_encoding":
            continue
        if found.get(fault.line, b"").decode("utf-8", "replace") != (raw or "").strip("\r\n"):
            raise _NotOneLinePerRow


def _stage_exact(
    con: duckdb.DuckDBPyConnection, prefix: str, text: Delimited, plan: RowPlan, scratch: Path
) -> StagedFile:
    copy = scratch / f"{prefix}.csv"
    try:
        rows, records = write_exact(text, copy)
        names = ["__line", "__last", *(f"f{index}" for index in range(len(text.header)))]
        longest = max(text.longest, CELL_LIMIT) * 2 + 1_000
        relation = _csv_relation(copy, names, text.delimiter, '"', prefix=prefix, longest=longest)
        _create_read(con, prefix, relation, plan, extra=("__line", "__last"))
        errors = _number(con, f'SELECT count(*) FROM "{prefix}_errors"')
    finally:
        _drop_errors(con, prefix)
        copy.unlink(missing_ok=True)
    staged = StagedFile(con, prefix, plan, source=f'"{prefix}_read" r', text=text)
    if errors or staged.count() != rows:
        staged.drop()
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
    skip: int = 0,
    longest: int = CELL_LIMIT * 2,
) -> str:
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    return (
        f"read_csv({quote(str(path))}, auto_detect=false, header=false, skip={skip}, delim={quote(delimiter)}, "
        f"quote={quote(quote_sign)}, escape={quote(quote_sign)}, columns={{{columns}}}, nullstr='\x01\x02', "
        f"store_rejects=true, rejects_table='{prefix}_errors', rejects_scan='{prefix}_scan', rejects_limit=0, "
        f"compression='none', max_line_size={longest}, buffer_size={max(32 << 20, longest * 2)})"
    )


def _create_read(
    con: duckdb.DuckDBPyConnection,
    prefix: str,
    relation: str,
    plan: RowPlan,
    *,
    extra: Sequence[str] = (),
    look_at: Sequence[str] = (),
) -> None:
    """Create ``<prefix>_read`` in file order: its row id is then the row's position in the file."""
    import duckdb

    with _file_order(con):
        try:
            con.execute(f'CREATE OR REPLACE TEMP TABLE "{prefix}_read" AS {judged_sql(plan, relation, extra, look_at)}')
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


def judged_sql(plan: RowPlan, relation: str, extra: Sequence[str] = (), look_at: Sequence[str] = ()) -> str:
    """The query that types and judges every row of ``relation`` (columns f0, f1, ... as text)."""
    raw = [f"{sql} AS {alias}" for alias, sql in plan.raw]
    raw += [f"CAST({name} AS BIGINT) AS {name}" for name in extra]
    if look_at:
        raw.append(f"{' OR '.join(f'{name} IS NULL' for name in look_at)} AS looked_at")
    query = f"SELECT {', '.join(raw)} FROM {relation}"
    for step in range(max((len(cell.steps) for cell in plan.cells), default=0)):
        added = [f"{sql} AS {alias}" for cell in plan.cells for alias, sql in _step(cell.steps, step)]
        query = f"SELECT *, {', '.join(added)} FROM ({query})"
    checks = plan.all_checks()
    conditions = " ".join(f"WHEN {check.condition} THEN {number}" for number, check in enumerate(checks, 1))
    if look_at:
        conditions += " WHEN looked_at THEN NULL"
    query = f"SELECT *, CAST(CASE {conditions} END AS USMALLINT) AS problem FROM ({query})"
    values = " ".join(f"WHEN {number} THEN {check.value}" for number, check in enumerate(checks, 1) if check.value)
    value = f"CASE problem {values} END" if values else "CAST(NULL AS VARCHAR)"
    stored = [alias for cell in plan.cells for alias in cell.stored]
    return f"SELECT {', '.join([*extra, *stored])}, problem, {value} AS bad_value FROM ({query})"


def _step(steps: Sequence[tuple[tuple[str, str], ...]], number: int) -> tuple[tuple[str, str], ...]:
    return steps[number] if number < len(steps) else ()


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


def create_rejected(staged: StagedFile, subject: str = "NULL", device: str = "NULL") -> str | None:
    """Create ``<prefix>_rejected`` with the columns of REJECTED_COLUMNS; returns its name, None when nothing is rejected.

    ``subject`` and ``device`` are SQL over stored aliases.
    """
    con, prefix, plan = staged.con, staged.prefix, staged.plan
    checks = plan.all_checks()
    if not staged.faults and not staged.count("problem IS NOT NULL"):
        return None
    listed = ", ".join(
        f"({number}, {quote(check.reason)}, {quote(check.field)}, {quote(check.message)})"
        for number, check in enumerate(checks, 1)
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE "{prefix}_found" AS
        SELECT {staged.line} AS line, {staged.last} AS last_line, CAST(c.reason AS VARCHAR) AS reason, c.field,
            left(r.bad_value, {RAW_LIMIT}) AS value, c.message,
            CAST({subject} AS VARCHAR) AS subject_id, CAST({device} AS VARCHAR) AS device_id
        FROM {staged.source} JOIN (VALUES {listed}) c(id, reason, field, message) ON c.id = r.problem
        WHERE r.problem IS NOT NULL
        """
    )
    _insert_faults(staged)
    _create_raw(staged)
    columns = {"table_name": quote(plan.table), "raw": "w.raw"}
    selected = ", ".join(f"{columns.get(name, f'f.{name}')} AS {name}" for name in REJECTED_COLUMNS)
    con.execute(
        f'CREATE OR REPLACE TEMP TABLE "{prefix}_rejected" AS SELECT {selected} FROM "{prefix}_found" f '
        f'LEFT JOIN "{prefix}_raw" w ON w.line = f.line ORDER BY f.line'
    )
    for name in ("found", "raw"):
        con.execute(f'DROP TABLE "{prefix}_{name}"')
    return f"{prefix}_rejected"


def _insert_faults(staged: StagedFile) -> None:
    if not staged.faults:
        return
    import polars as pl

    frame = pl.DataFrame(
        [(fault.line, fault.last, fault.reason, fault.message) for fault in staged.faults],
        schema={"line": pl.Int64, "last_line": pl.Int64, "reason": pl.String, "message": pl.String},
        orient="row",
    )
    staged.con.register("faulty_lines", frame)
    try:
        staged.con.execute(
            f'INSERT INTO "{staged.prefix}_found" (line, last_line, reason, message) FROM faulty_lines'
        )
    finally:
        staged.con.unregister("faulty_lines")


def _create_raw(staged: StagedFile) -> None:
    """``<prefix>_raw(line, raw)``: the physical lines of every rejected row as they stand in the file."""
    con, table = staged.con, f"{staged.prefix}_raw"
    con.execute(f'CREATE OR REPLACE TEMP TABLE "{table}" (line BIGINT, raw VARCHAR)')
    if staged.text is None:
        return
    spans = con.sql(f'SELECT DISTINCT line, last_line FROM "{staged.prefix}_found" ORDER BY line').pl()
    batch: list[tuple[int, str]] = []
    for line, raw in fetch_lines(_small_blocks(staged.text), spans.iter_rows()):
        batch.append((line, _raw_text(raw)))
        if len(batch) == _BATCH:
            _insert_raw(con, table, batch)
            batch = []
    if batch:
        _insert_raw(con, table, batch)


def _insert_raw(con: duckdb.DuckDBPyConnection, table: str, batch: list[tuple[int, str]]) -> None:
    import polars as pl

    con.register("raw_lines", pl.DataFrame(batch, schema={"line": pl.Int64, "raw": pl.String}, orient="row"))
    try:
        con.execute(f'INSERT INTO "{table}" FROM raw_lines')
    finally:
        con.unregister("raw_lines")


def _raw_text(raw: bytes) -> str:
    text = raw[:RAW_LIMIT].decode("utf-8", "backslashreplace")
    return text if len(raw) <= RAW_LIMIT else f"{text}... ({len(raw):,} bytes)"


def _small_blocks(text: Delimited) -> Iterator[bytes]:
    for block in text.blocks():
        for start in range(0, len(block), 1 << 15):
            yield block[start : start + (1 << 15)]


def _drop_errors(con: duckdb.DuckDBPyConnection, prefix: str) -> None:
    for name in ("errors", "scan"):
        con.execute(f'DROP TABLE IF EXISTS "{prefix}_{name}"')


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    # fetchall, because a result that is not read to its end keeps the connection busy.
    return int(con.execute(query).fetchall()[0][0])


def count_doubts(staged: StagedFile) -> dict[str, int]:
    """Rows rejected for each doubt about the file's description."""
    checks: Iterable[tuple[int, Check]] = enumerate(staged.plan.all_checks(), 1)
    doubts = {number: check.doubt for number, check in checks if check.doubt}
    if not doubts:
        return {}
    counts: dict[str, int] = {}
    rows = staged.con.execute(
        f'SELECT problem, count(*) FROM "{staged.read_table}" WHERE problem IN ({", ".join(map(str, doubts))}) GROUP BY ALL'
    ).fetchall()
    for problem, count in rows:
        doubt = doubts[problem]
        assert doubt is not None
        counts[doubt] = counts.get(doubt, 0) + count
    return counts
