"""Writing an export: its rows, where they come from, the files, and a note in the ledger.

The command and the app's export screen both go through `write_export_files`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from analysis.exports import ExportFile, Origin
    from store.study import Study
    from tui.desk import Exporter
    from tui.reading import Reader

NAMED = {
    "summary": "every result: accuracy, compliance, adverse events, enrolment, exposure",
    "patients": "one row per patient, as listed by `dosetrail patients`",
    "doses": "planned doses with what became of them (dose_match)",
    "adverse-events": "adverse events as recorded, with derived dates",
    "files": "imported files with what became of their rows (source_file)",
    "quarantine": "rows in quarantine with reason, file and line",
    "dictionary": "every column of the release with its meaning",
}
"""Exports by the field's words; beside them any table of the release goes by its name."""

TABLE_NAMES = {"doses": "dose_match", "files": "source_file"}
WHAT = f"{', '.join(NAMED)}, or a table of the release by its name (dose_event, subject ...)."


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported, as given on the command line or chosen in the app."""

    what: str
    format: str
    out: Path
    filter: str = ""
    population: str | None = None
    as_of: int | None = None
    unblinded: bool = False
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    rows: int
    sha256: str
    changed: bool
    """False: the same bytes were there already."""
    recorded: bool
    """Whether the ledger knows of it."""


def sentence(written: Exported) -> str:
    """What was written where, for people."""
    names = " and ".join(str(path) for path in written.files)
    done = f"{written.rows:,} rows written to {names}" if written.changed else f"Unchanged: {names}"
    noted = "" if written.recorded else " Not noted in the ledger: this account may not write it."
    return f"{done}.{noted}"


def exporter_for(study: Study, *, unblinded: bool) -> Exporter:
    """The app's way to write an export of `study`."""
    from store.errors import DosetrailError
    from tui.desk import ExportRefused, ExportWish

    def write(wish: ExportWish) -> str:
        format = {"md": "markdown"}.get(wish.format, wish.format)
        request = ExportRequest(wish.what, format, wish.target, wish.filter, unblinded=unblinded)
        try:
            return sentence(write_export_files(study, request))
        except DosetrailError as error:
            raise ExportRefused(f"{error.message} {error.remedy}") from error

    return write


def write_export_files(study: Study, request: ExportRequest) -> Exported:
    """Read, render, write and note in the ledger. Raises UsageProblem, NotAllowed, WriteFailed, DiskFull."""
    from analysis.export_excel import TooLargeForExcel
    from analysis.exports import write_export
    from store.errors import UsageProblem
    from tui.reading import open_release

    with open_release(study, unblinded=request.unblinded, as_of=request.as_of) as reader:
        frame, meanings, population = _rows(reader, request)
        origin = _origin(study, reader, request, meanings, population)
    try:
        files = write_export(frame, origin, request.format)
    except TooLargeForExcel as error:
        raise UsageProblem(str(error), remedy="Choose --format csv or --format parquet.") from error
    paths = [request.out.with_name(request.out.name + file.suffix) for file in files]
    changed = _write_all(files, paths, force=request.force)
    digest = hashlib.sha256(files[0].content).hexdigest()
    recorded = _record(study, request, origin, frame.height, digest) if changed else True
    return Exported(tuple(paths), frame.height, digest, changed, recorded)


def _rows(reader: Reader, request: ExportRequest) -> tuple[pl.DataFrame, dict[str, str], str]:
    """Rows, meaning of the columns, population."""
    from store.errors import UsageProblem
    from store.tables import TABLES

    if request.filter and request.what != "patients":
        raise UsageProblem("--filter is for patients.", remedy="Leave it out, or ask with dosetrail sql --csv.")
    if request.population is not None and request.what != "summary":
        raise UsageProblem(
            "--population is for summary.", remedy="Leave it out; the table population says who belongs."
        )
    if request.what == "summary":
        return _summary_rows(reader, request.population)
    if request.what == "patients":
        return _patient_rows(reader, request.filter)
    if request.what == "adverse-events":
        return _event_rows(reader)
    if request.what == "dictionary":
        return _dictionary(reader), {}, "does not apply"
    what = TABLE_NAMES.get(request.what, request.what.replace("-", "_"))
    if what not in TABLES:
        raise UsageProblem(
            f"There is nothing called {request.what} to export.", remedy=f"Choose: {WHAT}", what=request.what
        )
    columns = reader.table_columns(what)
    if not columns:
        raise UsageProblem(f"A blinded release withholds {what}.", remedy="The unblinded role reads it: --unblinded.")
    table = TABLES[what]
    order = ", ".join(f'"{name}"' for name in table.sort if name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    frame = reader.frame(f"SELECT {names} FROM {what}" + (f" ORDER BY {order}" if order else ""))
    return frame, reader.meanings(what), "all subjects screened"


def _summary_rows(reader: Reader, population: str | None) -> tuple[pl.DataFrame, dict[str, str], str]:
    from store.errors import UsageProblem

    frame = reader.frame("SELECT * FROM result")
    if population is not None:
        known = sorted(set(frame["population"].to_list()))
        if population not in known:
            raise UsageProblem(f"No result is for a population {population}.", remedy=f"There are: {', '.join(known)}.")
        frame = frame.filter(frame["population"] == population)
    held = reader.table_columns("result")
    return frame.select(held), reader.meanings("result"), population or "see column population"


PATIENT_MEANINGS = {
    "subject": "Subject identifier",
    "status": "Status from enrolment and disposition",
    "day": "Study day of the last dose",
    "comp": "Doses taken, in or out of window, in % of expected doses that were monitored and not withheld",
    "aes": "Adverse events recorded",
    "last": "Day of the last dose, else last treatment as recorded",
    "site": "Site",
    "arm": "Planned arm, code and name",
    "ae": "Adverse events: term, severity, seriousness",
    "device": "Devices assigned",
}


def _patient_rows(reader: Reader, words: str) -> tuple[pl.DataFrame, dict[str, str], str]:
    from tui.patient_rows import PATIENTS

    shown = reader.open_list(PATIENTS, words)
    withheld = "arm_shown, arm" if reader.facts.blinded else "arm_shown"
    frame = reader.frame(f"SELECT * EXCLUDE ({withheld}) FROM {shown} ORDER BY rowid")
    population = f"subjects screened that match {words}" if words else "all subjects screened"
    return frame, PATIENT_MEANINGS, population


def _event_rows(reader: Reader) -> tuple[pl.DataFrame, dict[str, str], str]:
    recorded = reader.table_columns("adverse_event")
    derived = [name for name in reader.table_columns("adverse_event_derived") if name not in recorded]
    names = ", ".join([*(f'e."{name}"' for name in recorded), *(f'd."{name}"' for name in derived)])
    frame = reader.frame(
        f"SELECT {names} FROM adverse_event e LEFT JOIN adverse_event_derived d USING (subject_id, event_seq) "
        "ORDER BY e.subject_id, d.start_date, e.event_seq, e.source_id, e.line"
    )
    meanings = {**reader.meanings("adverse_event_derived"), **reader.meanings("adverse_event")}
    return frame, meanings, "all subjects screened"


def _dictionary(reader: Reader) -> pl.DataFrame:
    return reader.frame(
        'SELECT table_name AS "table", column_name AS "column", data_type AS "type", NOT is_nullable AS required, '
        "comment AS meaning FROM duckdb_columns() WHERE database_name = 'release' ORDER BY schema_name, table_oid, "
        "column_index"
    )


def _origin(study: Study, reader: Reader, request: ExportRequest, meanings: dict[str, str], population: str) -> Origin:
    from analysis.exports import Origin
    from tui.version import program_version

    facts = reader.facts
    return Origin(
        what=request.what,
        study=facts.study,
        release=facts.release,
        ledger_head=facts.ledger_head,
        blinding=facts.blinding,
        population=population,
        data_cut=facts.data_cut_words,
        command=command_line(study, request, facts.release),
        program=f"dosetrail {program_version()}",
        columns=meanings,
    )


def command_line(study: Study, request: ExportRequest, release: int) -> str:
    """The command that makes the export again, also when newer releases are there.

    Folders are left out: they belong to one machine, and the same rows have to give the same bytes on
    another.
    """
    words = ["dosetrail", "export", request.what, "--study", study.root.name, "--format", request.format]
    if request.filter:
        words += ["--filter", request.filter]
    if request.population is not None:
        words += ["--population", request.population]
    words += ["--as-of", str(release)]
    if request.unblinded:
        words.append("--unblinded")
    return shlex.join([*words, "--out", request.out.name])


def _write_all(files: list[ExportFile], paths: list[Path], *, force: bool) -> bool:
    """Write what differs from what is there; False when nothing does."""
    from store.errors import UsageProblem

    different = [
        (file, path)
        for file, path in zip(files, paths, strict=True)
        if not path.is_file() or path.read_bytes() != file.content
    ]
    taken = [path for _, path in different if path.exists()]
    if taken and not force:
        raise UsageProblem(
            f"{taken[0]} exists and holds something else.",
            effect="Nothing was written.",
            remedy="Choose another --out, or replace it with --force.",
            path=taken[0],
        )
    for file, path in different:
        _replace(path, file.content)
    return bool(different)


def _replace(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that nobody ever reads half a file."""
    from store.errors import write_error

    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise write_error(error, str(path), effect="No export was written; the study is untouched.") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _record(study: Study, request: ExportRequest, origin: Origin, rows: int, sha256: str) -> bool:
    """Note the export in the ledger, so that its release is kept; False where this account may not write
    there.
    """
    from store.errors import NotAllowed
    from store.ledger import Entry

    entry = Entry(
        action="export",
        record=f"release/{origin.release:06d}",
        new={"what": request.what, "format": request.format, "rows": rows, "sha256": sha256},
    )
    try:
        (study.unblinded_ledger if request.unblinded else study.ledger).append([entry])
    except NotAllowed:
        return False
    return True
