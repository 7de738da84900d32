"""How the commands read a release: one door, read-only, with every table and column of the schema in its
place.

The release is attached to an in-memory database, so nothing locks or changes it and a newer one can be
published meanwhile. A view of each canonical table stands beside it with every column; a column that a
blinded release withholds reads NULL.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import IntegrityFailure, NotAllowed, UsageProblem
from store.study import Release, Study
from tui.cutoffs import find_cut, recorded_protocol

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from store.cuts import Cut
    from store.protocol import Protocol
    from tui.pages import Source

Parameters = Sequence[Any] | Mapping[str, Any]

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # An extension that is not there is looked for on the network, which delays a query by seconds.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # A table name in a query must never find a Python variable of this program.
    "python_enable_replacements": False,
    # In memory only: a query too large for memory says so instead of leaving files in the user's folder.
    "temp_directory": "",
}


@dataclass(frozen=True)
class ReleaseFacts:
    """What every output says about the release it was read from."""

    study: str
    title: str
    release: int
    ledger_head: str
    """HASH@SEQ of the ledger row that committed the release (of the last one before it, where the ledger
    may not be read): what `dosetrail verify --anchor` takes.
    """
    blinding: str
    """open; blinded (arms and amounts withheld); unblinded (the other file of a blinded trial)."""
    data_cut: date | None
    cut_name: str | None
    """The name under which the cut was asked for."""
    built_utc: datetime
    program_version: str
    protocol_sha256: str

    @property
    def blinded(self) -> bool:
        return self.blinding == "blinded"

    @property
    def data_cut_words(self) -> str:
        if self.data_cut is None:
            return "all data"
        return f"{self.data_cut} ({self.cut_name})" if self.cut_name else self.data_cut.isoformat()

    def to_json(self) -> dict[str, object]:
        return {
            "study": self.study,
            "release": self.release,
            "ledger_head": self.ledger_head,
            "blinding": self.blinding,
            "data_cut": self.data_cut,
            "cut_name": self.cut_name,
        }


class Reader:
    """One open release. Rows as tuples, as records or as a polars frame."""

    def __init__(self, con: duckdb.DuckDBPyConnection, facts: ReleaseFacts, file: Path) -> None:
        self.con = con
        self.facts = facts
        self.file = file

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        return self.con.execute(sql, parameters).fetchall()

    def records(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """All rows as column name -> value."""
        result = self.con.execute(sql, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def known_to(self) -> int:
        """The last row of the ledger that the release knows."""
        return int(self.rows("SELECT built_from_seq FROM build_info")[0][0])

    def frame(self, sql: str) -> pl.DataFrame:
        """All rows as a polars frame."""
        frame: pl.DataFrame = self.con.sql(sql).pl()
        return frame

    def open_list(self, source: Source, words: str = "", order: str = "") -> str:
        """A temporary table of a list that the app shows too, filtered by the same words; returns its name.

        `order` is an ORDER BY list; without one the rows stand in the order of the source. Raises
        UsageProblem for words that cannot be understood.
        """
        from tui.filters import FilterProblem, read_filter

        try:
            condition = read_filter(words, source.fields)
        except FilterProblem as error:
            raise UsageProblem(
                f"The filter cannot be understood: {error}.", remedy="See: dosetrail patients --help", filter=words
            ) from error
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE listed AS {source.sql}", dict(source.parameters))
        where = f"WHERE {condition.sql}" if condition.sql else ""
        by = f"{order}, rowid" if order else "rowid"
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE shown AS SELECT * FROM listed {where} ORDER BY {by}",
            list(condition.parameters),
        )
        return "shown"

    def table_columns(self, table: str) -> list[str]:
        """The columns a table has in this release, without those it withholds; empty for no table of the
        release.
        """
        return [
            name
            for (name,) in self.rows(
                "SELECT column_name FROM duckdb_columns() WHERE database_name = 'release' "
                "AND schema_name = 'main' AND table_name = ? ORDER BY column_index",
                [table],
            )
        ]

    def meanings(self, table: str) -> dict[str, str]:
        """Column -> comment, as the release itself says."""
        return dict(
            self.rows(
                "SELECT column_name, coalesce(comment, '') FROM duckdb_columns() "
                "WHERE database_name = 'release' AND schema_name = 'main' AND table_name = ?",
                [table],
            )
        )


def release_file(study: Study, *, unblinded: bool = False, as_of: int | None = None) -> Path:
    """The file to read: of the current release, or of release `as_of`.

    Raises UsageProblem before the first release, for a release that is not kept and where there is no
    unblinded part.
    """
    release = study.current_release()
    if release is None:
        raise UsageProblem(
            f"The study {study.root} has no release yet.",
            effect="Nothing was read or changed.",
            remedy=f"Import its files first: dosetrail import --study {study.root} FILES",
            study=study.root,
        )
    if as_of is not None:
        release = _earlier(study, release, as_of)
    file = release.unblinded if unblinded else release.trial
    if unblinded and not _exists(file):
        raise UsageProblem(
            f"Release {release.number} has no unblinded part: the trial is open, or it was unblinded.",
            effect="Nothing was read or changed.",
            remedy="Leave --unblinded out.",
            study=study.root,
        )
    return file


def _earlier(study: Study, current: Release, number: int) -> Release:
    from store.publish import release_numbers

    kept = [kept for kept in release_numbers(study) if kept <= current.number]
    if number not in kept:
        raise UsageProblem(
            f"Release {number} is not kept in {study.releases_dir}.",
            effect="Nothing was read or changed.",
            remedy=f"Kept are: {', '.join(map(str, kept))}.",
            study=study.root,
        )
    return Release(number, study.releases_dir / f"{number:06d}")


@contextmanager
def open_release(
    study: Study, *, unblinded: bool = False, as_of: int | None = None, cutoff: str | None = None
) -> Iterator[Reader]:
    """The current release of `study`, or release `as_of`; with `cutoff` (a day or the name of a cut), as if nothing had
    happened after it. Raises UsageProblem, NotAllowed, IntegrityFailure.
    """
    file = release_file(study, unblinded=unblinded, as_of=as_of)
    cut = None if cutoff is None else find_cut(study, cutoff)
    name, title = study_name(study), study_title(study)
    protocol_of = partial(recorded_protocol, study)
    with open_release_file(
        file, name=name, title=title, unblinded=unblinded, cut=cut, protocol_of=protocol_of
    ) as reader:
        committed = _commit(study, reader.facts.release)
        if committed is not None:
            reader.facts = replace(reader.facts, ledger_head=committed)
        yield reader


def _commit(study: Study, number: int) -> str | None:
    """HASH@SEQ of the ledger row that committed a release; None for a reader outside the study's group."""
    from store.facts import MAKE_RELEASE
    from store.ledger_chain import Head

    try:
        rows = study.ledger.read(actions=(MAKE_RELEASE,))
    except NotAllowed:
        return None
    found = [row for row in rows if row.record == f"release/{number:06d}"]
    return str(Head(found[-1].seq, found[-1].hash)) if found else None


@contextmanager
def open_release_file(
    file: Path,
    *,
    name: str,
    title: str = "",
    unblinded: bool = False,
    cut: Cut | None = None,
    protocol_of: Callable[[str], Protocol] | None = None,
) -> Iterator[Reader]:
    """The release in `file`, as `study` and `title`; cut, with the protocol of a hash, where `cut` is given."""
    con = _attached(file, "release" if cut is None else "stored")
    try:
        if cut is not None and protocol_of is not None:
            _cut(con, file, cut, protocol_of)
        _make_views(con, file, "release")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        facts = _read_facts(con, name, title, unblinded)
        yield Reader(con, facts if cut is None else replace(facts, data_cut=cut.day, cut_name=cut.name), file)
    finally:
        con.close()


def _cut(con: duckdb.DuckDBPyConnection, file: Path, cut: Cut, protocol_of: Callable[[str], Protocol]) -> None:
    """Put the cut release in the place of the stored one."""
    from tui.cut_release import attach_cut_release

    con.execute("CREATE SCHEMA whole")
    con.execute("USE memory.whole")
    _make_views(con, file, "stored")
    facts = _read_facts(con, "", "", False)
    if facts.blinded:
        raise UsageProblem(
            "A blinded release holds pooled figures at its own data cut; others need the arms.",
            effect="Nothing was read or changed.",
            remedy="Set data_cut in protocol.toml for the next release, or ask the unblinded role (--unblinded).",
        )
    attach_cut_release(con, "memory.whole", protocol_of(facts.protocol_sha256), cut.day)
    con.execute("USE memory.main")
    con.execute("DROP SCHEMA memory.whole CASCADE")
    con.execute("DETACH stored")


def open_for_queries(file: Path) -> duckdb.DuckDBPyConnection:
    """A connection for queries that people write: the release as `trial`, nothing else, and no way out of
    it.
    """
    con = _attached(file, "trial")
    con.execute("USE trial")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def study_name(study: Study) -> str:
    """The study's id as its protocol says, else the folder's name."""
    return _study_section(study).get("id") or study.root.name


def study_title(study: Study) -> str:
    return _study_section(study).get("title", "")


def _study_section(study: Study) -> dict[str, str]:
    # tomllib alone: checking the whole protocol takes 60 ms, and a mistake in it must not stop reading a
    # release.
    try:
        section = tomllib.loads(study.protocol_path.read_text(encoding="utf-8")).get("study", {})
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in section.items() if isinstance(value, str)}


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:
        return True


def _attached(file: Path, name: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect(":memory:", config=CONFIG)
    path = str(file).replace("'", "''")
    con.execute("SET TimeZone = 'UTC'")
    try:
        con.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
    except duckdb.Error as error:
        con.close()
        if "Permission denied" in str(error):
            raise NotAllowed(
                f"{file} may not be read by this account.",
                effect="Nothing was read or changed.",
                remedy="Ask the study's owner to add your account to the group that may read it.",
                path=file,
            ) from error
        raise _unreadable(file) from error
    return con


def _unreadable(file: Path) -> IntegrityFailure:
    return IntegrityFailure(
        f"The release {file} cannot be read: it is damaged or no release of dosetrail.",
        effect="Nothing was changed; sources and ledger hold everything it was made from.",
        remedy="Make it again from sources and ledger: dosetrail rebuild",
        path=file,
    )


def _make_views(con: duckdb.DuckDBPyConnection, file: Path, database: str) -> None:
    """A view of each canonical table with every column, in the current schema."""
    from store.tables import TABLES
    from store.vocabulary import VOCABULARIES

    # A list for each table: one row for each of 1,500 columns takes 20 ms longer.
    listed = con.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = 'main' GROUP BY ALL",
        [database],
    ).fetchall()
    held: dict[str, set[str]] = {table: set(columns) for table, columns in listed}
    if "build_info" not in held or "result" not in held:
        raise _unreadable(file)
    for name, table in TABLES.items():
        columns = []
        for column in table.columns:
            kind = "VARCHAR" if column.type in VOCABULARIES else column.type
            present = column.name in held.get(name, ())
            columns.append(f'"{column.name}"' if present else f'NULL::{kind} AS "{column.name}"')
        rows = f"FROM {database}.main.{name}" if name in held else "WHERE false"
        con.execute(f"CREATE VIEW {name} AS SELECT {', '.join(columns)} {rows}")


def _read_facts(con: duckdb.DuckDBPyConnection, name: str, title: str, unblinded: bool) -> ReleaseFacts:
    # fetchall: after fetchone() the connection counts as busy until the result is read to its end.
    [row] = con.execute(
        "SELECT release, ledger_head, built_from_seq, blinding_state, built_utc, program_version, "
        "protocol_sha256, (SELECT max(data_cut) FROM result) FROM build_info"
    ).fetchall()
    number, head, seq, state, built, program, protocol, cut = row
    return ReleaseFacts(
        study=name,
        title=title,
        release=int(number),
        ledger_head=f"{head}@{seq}",
        blinding="unblinded" if unblinded else str(state),
        data_cut=cut,
        cut_name=None,
        built_utc=built,
        program_version=program,
        protocol_sha256=protocol,
    )
