"""Studies for tests that need a whole one: made from the auto-injector sample, or from the records of a few of its
subjects, which import in half the time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import duckdb

import sample_data
from store.digest import digest_release_file
from store.study import Study, create_study

SAMPLE = sample_data.path("autoinjector")
PROTOCOL = SAMPLE / "protocol.toml"

FEW = ("CDISC001", "CDISC002", "CDISC003", "CDISC005", "CDISC008", "CDISC009")
"""Two subjects of every arm; one of them has held doses."""

Row = list[Any]


def new_study(folder: Path, protocol: str | None = None, group: str | None = None) -> Study:
    """An empty study with the sample's protocol, or with this one."""
    study = create_study(folder, group)
    study.protocol_path.write_text(PROTOCOL.read_text() if protocol is None else protocol)
    return study


def blinded_protocol() -> str:
    """The sample's protocol with a blinded trial."""
    return PROTOCOL.read_text().replace('state = "open"', 'state = "blinded"')


class DataSet:
    """One data set of the sample, to be changed and written as a transfer of its own."""

    def __init__(self, domain: str) -> None:
        first, *rows = (SAMPLE / f"{domain.lower()}.ndjson").read_text().splitlines()
        self.domain = domain.lower()
        self.head: dict[str, Any] = json.loads(first)
        self.rows: list[Row] = [json.loads(row) for row in rows]

    def index(self, variable: str) -> int:
        return next(place for place, column in enumerate(self.head["columns"]) if column["name"] == variable)

    def value(self, row: Row, variable: str) -> Any:
        return row[self.index(variable)]

    def keep(self, condition: Callable[[Row], bool]) -> DataSet:
        """Only the rows that satisfy `condition`."""
        self.rows = [row for row in self.rows if condition(row)]
        return self

    def keep_subjects(self, subjects: Collection[str], rows_each: int = 10**6) -> DataSet:
        """Only these subjects, and of each the first `rows_each` rows."""
        place = self.index("USUBJID")
        seen: dict[str, int] = {}
        kept = []
        for row in self.rows:
            seen[row[place]] = seen.get(row[place], 0) + 1
            if row[place] in subjects and seen[row[place]] <= rows_each:
                kept.append(row)
        self.rows = kept
        return self

    def change(self, variable: str, value: Callable[[Any], Any]) -> DataSet:
        """Give every row another value of `variable`, computed from the one it has."""
        place = self.index(variable)
        for row in self.rows:
            row[place] = value(row[place])
        return self

    def exported(self, when: str) -> DataSet:
        """Say that the transfer was made at this time (2024-11-11T15:09:14)."""
        self.head["datasetJSONCreationDateTime"] = when
        return self

    def write(self, folder: Path, name: str | None = None) -> Path:
        self.head["records"] = len(self.rows)
        path = folder / (name or f"{self.domain}.ndjson")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in (self.head, *self.rows)))
        return path


def few_files(folder: Path, doses: int = 12) -> list[Path]:
    """Enrolment, devices, doses and adverse events of `FEW`: paths of dm, di, ec, ae and ds."""
    given = DataSet("EC").keep_subjects(FEW, doses)
    devices = {given.value(row, "SPDEVID") for row in given.rows}
    identifiers = DataSet("DI")
    return [
        DataSet("DM").keep_subjects(FEW).write(folder),
        identifiers.keep(lambda row: identifiers.value(row, "SPDEVID") in devices).write(folder),
        given.write(folder),
        DataSet("AE").keep_subjects(FEW).write(folder),
        DataSet("DS").keep_subjects(FEW).write(folder),
    ]


def copy_study(study: Study, folder: Path) -> Study:
    """The same study in another place, links and all."""
    shutil.copytree(study.root, folder, symlinks=True)
    return Study(folder.resolve())


def current_digest(study: Study) -> str:
    """Logical digest of the current release, computed from its file."""
    release = study.current_release()
    assert release is not None
    return digest_release_file(release.unblinded if release.unblinded.exists() else release.trial)[0]


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a release file, opened as a statistician does: read-only."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"ATTACH '{file}' AS trial (READ_ONLY)")
        con.execute("USE trial")
        return con.execute(sql).fetchall()


def trial_file(study: Study) -> Path:
    release = study.current_release()
    assert release is not None
    return release.trial


def litter(study: Study) -> list[str]:
    """Everything in the study folder that no finished run leaves behind."""
    known = {"cache", "ledger", "releases", "sources", "current", "trial.duckdb", ".import.lock", "protocol.toml"}
    found = [path for path in study.root.iterdir() if path.name not in known]
    found += list(study.cache_dir.glob(".*"))
    found += [path for path in study.releases_dir.iterdir() if not path.name.isdigit()]
    found += [path for path in study.sources_dir.rglob("*") if not _is_source(path)]
    ledgers = ("ledger.sqlite", "unblinded.sqlite")
    found += [
        path
        for path in study.ledger_dir.iterdir()
        if path.name not in ledgers and not (path.name.removesuffix("-journal") in ledgers and path.stat().st_size == 0)
    ]
    for release in study.releases_dir.iterdir():
        found += [path for path in release.iterdir() if path.name not in ("trial.duckdb", "unblinded.duckdb")]
    return sorted(str(path.relative_to(study.root)) for path in found)


def _is_source(path: Path) -> bool:
    return (path.is_dir() and len(path.name) == 2) or (path.suffix == ".zst" and len(path.stem) == 64)


def statuses(files: Iterable[Any]) -> dict[str, str]:
    """File name -> status of an import's reports."""
    return {Path(file.path).name: file.status for file in files}
