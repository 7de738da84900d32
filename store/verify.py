"""Is what is stored what was stored? Ledger chain, archived bytes, release files, accounting, keys and the
logical digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.digest import compute_release_digest
from store.errors import DosetrailError, IntegrityFailure
from store.facts import read_facts, read_releases
from store.publish import find_wal
from store.sources import SourceArchive
from store.tables import TABLES

if TYPE_CHECKING:
    import duckdb

    from store.facts import Facts, ReleaseFact
    from store.study import Study


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
    yield from _check_sources(study, facts, releases)
    yield from _check_release_files(study, releases)
    yield from _check_current(study, releases)


def _check_sources(study: Study, facts: Facts, releases: list[ReleaseFact]) -> Iterator[Check]:
    archive = SourceArchive(study)
    wanted = [fact.sha256 for fact in facts.sources] + sorted({release.protocol_sha256 for release in releases})
    bad = []
    for sha256 in wanted:
        try:
            archive.check(sha256)
        except DosetrailError as error:
            bad.append(error.message)
    if bad:
        yield Check("sources", False, "; ".join(bad))
    else:
        yield Check("sources", True, f"{len(wanted)} archived files and protocols as received")


def _check_release_files(study: Study, releases: list[ReleaseFact]) -> Iterator[Check]:
    bad = [f"{path.name} lies in the study: somebody opened a release for writing" for path in find_wal(study)]
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
            elif _readable(path) and _sha256(path) != sha256:
                bad.append(f"{name} of release {release.number} is not the file that was published")
    gone = len(releases) - present
    detail = "; ".join(bad) or f"{present} releases as published" + (f", {gone} pruned (rebuildable)" if gone else "")
    yield Check("releases", not bad, detail)


def _check_current(study: Study, releases: list[ReleaseFact]) -> Iterator[Check]:
    try:
        current = study.current_release()
    except IntegrityFailure as error:
        yield Check("current", False, error.message)
        return
    if not releases:
        detail = "no release was made yet" if current is None else "a release nobody made"
        yield Check("current", current is None, detail)
        return
    last = releases[-1]
    if current is None or current.number != last.number:
        yield Check("current", False, f"release {last.number} was committed and is not current; run dosetrail release")
        return
    yield Check("current", True, f"release {last.number}")
    import duckdb

    blinded = "unblinded.duckdb" in last.file_sha256
    full = blinded and _readable(current.unblinded)
    path = current.unblinded if full else current.trial
    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    try:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS release (READ_ONLY)")
        yield _check_accounting(con)
        yield _check_keys(con)
        if full or not blinded:
            digest, _ = compute_release_digest(con, "release")
            same = digest == last.digest
            yield Check("digest", same, digest[:12] if same else f"{digest[:12]}, recorded {last.digest[:12]}")
    finally:
        con.close()


def _check_accounting(con: duckdb.DuckDBPyConnection) -> Check:
    rows = con.execute(
        "SELECT source_id FROM release.source_file "
        "WHERE rows_read <> rows_new + rows_duplicate + rows_superseded + rows_quarantined"
    ).fetchall()
    if rows:
        return Check("accounting", False, f"rows do not add up for {', '.join(row[0] for row in rows)}")
    total = con.execute("SELECT count(*), coalesce(sum(rows_read), 0) FROM release.source_file").fetchone()
    assert total is not None
    return Check("accounting", True, f"every one of {total[1]:,} rows of {total[0]} files is accounted for")


def _check_keys(con: duckdb.DuckDBPyConnection) -> Check:
    bad = []
    for table in TABLES.values():
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
    return Check("keys", not bad, ", ".join(bad) or f"keys of {len(TABLES)} tables are unique")


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
