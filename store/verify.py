"""Is what is stored what was stored? Ledger chain, archived bytes, release files, accounting, keys and the
logical digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.digest import compute_release_digest
from store.errors import DosetrailError, IntegrityFailure, NotAllowed
from store.facts import MAKE_RELEASE, RESTORE_RELEASE, read_facts, read_releases, withholds_name
from store.locking import running_import
from store.publish import find_wal, hash_file, release_numbers
from store.schema import history_table
from store.sources import SourceArchive
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

    from store.facts import Facts, ReleaseFact
    from store.ledger_chain import LedgerRow
    from store.schema import Table
    from store.study import Release, Study

_EXPLAINED = {True: "an import is at work", False: "run dosetrail release"}


@dataclass(frozen=True)
class Check:
    """One thing verified: what, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


def verify_study(study: Study, anchor: str | None = None, progress: Callable[[str], None] | None = None) -> list[Check]:
    """Run every check and return them all, failed ones included; nothing is changed.

    ``anchor`` (``HASH`` or ``HASH@SEQ`` from an earlier export or import summary) finds a ledger that was cut or
    replayed.
    """
    checks = []
    for check in _checks(study, anchor):
        if progress is not None:
            progress(check.name)
        checks.append(check)
    return checks


def require_sound(checks: list[Check]) -> None:
    """Raise ``IntegrityFailure`` (exit 14) naming the failed checks, if any failed."""
    failed = [check for check in checks if not check.ok]
    if failed:
        raise IntegrityFailure(
            "; ".join(f"{check.name}: {check.detail}" for check in failed),
            effect="Nothing was changed by the check.",
            remedy="Do not import. Restore the named part from a backup, then run dosetrail verify again.",
        )


def _checks(study: Study, anchor: str | None) -> Iterator[Check]:
    # Before the ledger is read: a release is in it before it has its name, also while an import publishes one.
    on_disk = release_numbers(study)
    ledger = study.ledger
    try:
        head = ledger.verify_chain(anchor)
        anchored = ", anchor found" if anchor else ""
        yield Check("ledger", True, f"{head.seq} rows chained to {head.hash[:12]}{anchored}")
    except DosetrailError as error:
        yield Check("ledger", False, error.message)
        return
    rows = ledger.read()
    facts, releases = read_facts(rows), read_releases(rows)
    if study.has_unblinded_ledger or any(withholds_name(row) for row in rows):
        yield _check_unblinded_ledger(study, rows)
    yield _check_sources(study, facts, releases)
    yield _check_release_files(study, releases, on_disk)
    yield from _check_current(study)


def _check_unblinded_ledger(study: Study, rows: list[LedgerRow]) -> Check:
    """Its chain, and that it names every file that a blinded release took in."""
    try:
        head = study.unblinded_ledger.verify_chain()
        read_facts(rows, study.unblinded_ledger.read())
    except NotAllowed:
        return Check("unblinded ledger", True, "not checked: this account may not read it")
    except DosetrailError as error:
        return Check("unblinded ledger", False, error.message)
    return Check("unblinded ledger", True, f"{head.seq} rows chained to {head.hash[:12]}")


def _check_sources(study: Study, facts: Facts, releases: list[ReleaseFact]) -> Check:
    archive = SourceArchive(study)
    wanted = [fact.sha256 for fact in facts.sources] + sorted({release.protocol_sha256 for release in releases})
    bad, closed = [], 0
    for sha256 in wanted:
        try:
            archive.check(sha256)
        except NotAllowed:
            closed += 1
        except DosetrailError as error:
            bad.append(error.message)
    if bad:
        return Check("sources", False, "; ".join(bad))
    detail = f"{len(wanted) - closed} archived files and protocols as received"
    return Check("sources", True, detail + (f", {closed} closed to this account" if closed else ""))


def _check_release_files(study: Study, releases: list[ReleaseFact], on_disk: list[int]) -> Check:
    bad = [f"{path.name} lies in the study: somebody opened a release for writing" for path in find_wal(study)]
    unknown = sorted(set(on_disk) - {release.number for release in releases})
    if unknown:
        numbers = ", ".join(map(str, unknown))
        bad.append(f"the ledger does not know release {numbers}: it is older than the releases")
    present = 0
    for release in releases:
        folder = study.releases_dir / f"{release.number:06d}"
        if not folder.is_dir():
            continue
        present += 1
        for name, sha256 in release.file_sha256.items():
            path = folder / name
            if not path.exists():
                bad.append(f"release {release.number} lacks {name}")
            elif _readable(path) and hash_file(path) != sha256:
                bad.append(f"{name} of release {release.number} is not the file that was published")
    gone = len(releases) - present
    detail = "; ".join(bad) or f"{present} releases as published" + (f", {gone} pruned (rebuildable)" if gone else "")
    return Check("releases", not bad, detail)


def _check_current(study: Study) -> Iterator[Check]:
    try:
        current = study.current_release()
    except IntegrityFailure as error:
        yield Check("current", False, f"{error.message} {error.remedy}")
        return
    # Read again: what is current now was committed before, perhaps by an import that ran during the checks above.
    releases = read_releases(study.ledger.read(actions=(MAKE_RELEASE, RESTORE_RELEASE)))
    if not releases:
        detail = "no release was made yet" if current is None else "a release nobody made"
        yield Check("current", current is None, detail)
        return
    release = next((fact for fact in releases if current and fact.number == current.number), None)
    if current is None or release is None or release is not releases[-1]:
        running = running_import(study)
        missing = f"release {releases[-1].number} was committed and is not current"
        yield Check("current", running is not None, f"{missing}; {_EXPLAINED[running is not None]}")
        if current is None or release is None:
            return
    else:
        yield Check("current", True, f"release {release.number}")
    yield from _check_tables(current, release)


def _check_tables(current: Release, release: ReleaseFact) -> Iterator[Check]:
    blinded = "unblinded.duckdb" in release.file_sha256
    full = blinded and _readable(current.unblinded)
    path = current.unblinded if full else current.trial
    import duckdb

    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    try:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS release (READ_ONLY)")
        if blinded and not full:
            con.execute("FROM release.build_info")
            yield Check("digest", True, "not checked: the unblinded part is closed to this account")
            return
        yield _check_accounting(con)
        yield _check_keys(con)
        digest, _ = compute_release_digest(con, "release")
        same = digest == release.digest
        yield Check("digest", same, digest[:12] if same else f"{digest[:12]}, recorded {release.digest[:12]}")
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        yield Check("digest", False, f"{path.name} of release {release.number} cannot be read: {said}")
    finally:
        con.close()


def _check_accounting(con: duckdb.DuckDBPyConnection) -> Check:
    """The counts of ``source_file`` against the rows that are there; a row of several tables counts once."""
    stored = [table for table in _stored_tables(con) if table.origin == "received"]
    held = ["SELECT source_id, line, 4 AS fate FROM release.quarantine"]
    held += [f"SELECT source_id, line, 3 FROM release.{table.name}" for table in stored]
    held += [f"SELECT source_id, line, 2 FROM release.{history_table(table).name}" for table in stored]
    rows = con.execute(
        f"""
        WITH line_fate AS (
            SELECT source_id, max(fate) AS fate FROM ({" UNION ALL ".join(held)}) GROUP BY source_id, line
        ), found AS (
            SELECT source_id, count(*) FILTER (fate = 3) AS rows_new, count(*) FILTER (fate = 2) AS rows_superseded,
                   count(*) FILTER (fate = 4) AS rows_quarantined
            FROM line_fate GROUP BY source_id
        )
        SELECT source_id FROM release.source_file f LEFT JOIN found n USING (source_id)
        WHERE f.rows_read <> f.rows_new + f.rows_duplicate + f.rows_superseded + f.rows_quarantined
           OR f.rows_new <> coalesce(n.rows_new, 0) OR f.rows_superseded <> coalesce(n.rows_superseded, 0)
           OR f.rows_quarantined <> coalesce(n.rows_quarantined, 0)
        ORDER BY source_id
        """
    ).fetchall()
    if rows:
        return Check("accounting", False, f"rows do not add up for {', '.join(row[0] for row in rows)}")
    total = con.execute("SELECT count(*), coalesce(sum(rows_read), 0) FROM release.source_file").fetchone()
    assert total is not None
    return Check("accounting", True, f"every one of {total[1]:,} rows of {total[0]} files is accounted for")


def _check_keys(con: duckdb.DuckDBPyConnection) -> Check:
    bad = []
    tables = _stored_tables(con)
    for table in tables:
        keys = ", ".join(f'"{name}"' for name in table.key)
        row = con.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM release.{table.name} GROUP BY {keys} HAVING count(*) > 1)"
        ).fetchone()
        last_key = table.identity[-1] if table.identity else None
        if row and row[0] and last_key is not None:
            row = con.execute(
                f'SELECT count(*) FROM (SELECT 1 FROM release.{table.name} WHERE "{last_key}" IS NOT NULL '
                f"GROUP BY {keys} HAVING count(*) > 1)"
            ).fetchone()
        if row and row[0]:
            bad.append(f"{table.name} ({row[0]} keys occur more than once)")
    return Check("keys", not bad, ", ".join(bad) or f"keys of {len(tables)} tables are unique")


def _stored_tables(con: duckdb.DuckDBPyConnection) -> list[Table]:
    """The canonical tables the release holds: one made before a table was declared is none the worse for it."""
    rows = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'release'").fetchall()
    names = {row[0] for row in rows}
    return [table for table in TABLES.values() if table.name in names]


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True
