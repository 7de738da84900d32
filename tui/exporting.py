"""Writing an export: its rows, where they come from, the files, and a note in the ledger.

The command and the app's export screen both go through `write_export_files`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui.desk import AS_IS, DEIDENTIFIED
from tui.export_identity import POOLED, check_file_name, deidentified_rows

if TYPE_CHECKING:
    from analysis.exports import ExportFile, Origin
    from analysis.identity import Pseudonyms
    from store.ledger import JsonValue
    from store.study import Study
    from tui.desk import Exporter
    from tui.export_rows import Rows
    from tui.reading import Reader, ReleaseFacts

RECORDED = ("filter", "population", "subject", "through", "smallest_cell", "unblinded", "cutoff")
"""What an entry of the ledger says beside what, format and identity, so that the export can be made again."""

SMALLEST_CELL = 5
"""Counts below it are suppressed in de-identified exports, unless the command says another number."""


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported, as given on the command line or chosen in the app."""

    what: str
    format: str
    out: Path
    filter: str = ""
    population: str | None = None
    as_of: int | None = None
    cutoff: str | None = None
    unblinded: bool = False
    force: bool = False
    identity: str = AS_IS
    smallest_cell: int = SMALLEST_CELL
    subject: str | None = None
    through: int | None = None


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
    first, *beside = written.files
    names = f"{first} (beside it {' and '.join(path.name for path in beside)})" if beside else str(first)
    done = f"{written.rows:,} rows written to {names}" if written.changed else f"Unchanged: {names}"
    noted = "" if written.recorded else " Not noted in the ledger: this account may not write it."
    return f"{done}.{noted}"


def exporter_for(study: Study, *, unblinded: bool) -> Exporter:
    """The app's way to write an export of `study`."""
    from store.errors import DosetrailError
    from tui.desk import ExportRefused, ExportWish

    def write(wish: ExportWish) -> str:
        format = {"md": "markdown"}.get(wish.format, wish.format)
        request = ExportRequest(
            wish.what, format, wish.target, wish.filter, unblinded=unblinded, identity=wish.identity
        )
        try:
            return sentence(write_export_files(study, request))
        except DosetrailError as error:
            raise ExportRefused(f"{error.message} {error.remedy}") from error

    return write


def write_export_files(study: Study, request: ExportRequest) -> Exported:
    """Read, render, write and note in the ledger. Raises UsageProblem, NotAllowed, WriteFailed, DiskFull."""
    from analysis.export_excel import TooLargeForExcel
    from analysis.exports import write_export, write_parts
    from analysis.identity import Pseudonyms
    from store.errors import UsageProblem
    from store.identity_key import read_identity_key
    from tui.cutoffs import find_cut
    from tui.export_rows import SEVERAL, Chosen, arm_frame, read_rows, require_population
    from tui.reading import open_release

    _check(request)
    names = Pseudonyms(read_identity_key(study)) if request.identity == DEIDENTIFIED else None
    as_known = request.as_of is not None
    chosen = Chosen(request.filter, request.population, request.subject, request.through, request.unblinded, as_known)
    if request.cutoff is not None:
        # The day, not its name: the name may be taken back, and the file has to come out the same.
        request = replace(request, cutoff=find_cut(study, request.cutoff).day.isoformat())
    with open_release(study, unblinded=request.unblinded, as_of=request.as_of, cutoff=request.cutoff) as reader:
        rows: Rows = read_rows(study, reader, request.what, chosen)
        said = reader.facts.data_cut_words
        if names is not None:
            check_file_name(reader, request.out.name)
            rows = deidentified_rows(reader, request.what, rows, names, request.smallest_cell)
        if request.what == "arm-summary":
            from analysis.exports import Part

            found = [row for row in rows.results if request.population in (None, row["population"])]
            require_population([row["population"] for row in rows.results], request.population)
            arms = [code for (code,) in reader.rows("SELECT arm_code FROM arm ORDER BY arm_order")]
            rows = replace(rows, parts=[Part(request.what, *arm_frame(found, arms))])
        request = replace(request, through=rows.through)
        origin = _origin(study, reader, request, rows, names)
    try:
        if request.what in SEVERAL:
            files = write_parts(rows.parts, origin, request.format, request.out.name)
        else:
            [part] = rows.parts
            files = write_export(part.frame, origin, request.format, request.out.name)
    except TooLargeForExcel as error:
        raise UsageProblem(str(error), remedy="Choose --format csv or --format parquet.") from error
    paths = [request.out.with_name(request.out.name + file.suffix) for file in files]
    changed = _write_all(files, paths, force=request.force)
    digest = hashlib.sha256(files[0].content).hexdigest()
    height = sum(part.frame.height for part in rows.parts)
    recorded = _record(study, request, replace(origin, data_cut=said), height, digest) if changed else True
    return Exported(tuple(paths), height, digest, changed, recorded)


def _check(request: ExportRequest) -> None:
    from store.errors import UsageProblem
    from tui.export_rows import SEVERAL

    if request.what in SEVERAL and request.format in ("csv", "parquet") and request.out.suffix.lower() != ".zip":
        raise UsageProblem(
            f"{request.what} in {request.format} is several files in one archive.",
            effect="Nothing was written.",
            remedy=f"Name it .zip: --out {request.out.with_suffix('.zip').name}",
        )


def _origin(study: Study, reader: Reader, request: ExportRequest, rows: Rows, names: Pseudonyms | None) -> Origin:
    from analysis.exports import Origin
    from tui.version import program_version

    facts = reader.facts
    head = facts.ledger_head
    if rows.through is not None:
        # What is read from the ledger is as of one of its rows, which may be newer than the release.
        last = study.ledger.read(since=rows.through - 1, upto=rows.through)
        head = f"{last[0].hash}@{last[0].seq}" if last else head
    return Origin(
        what=request.what,
        study=facts.study,
        release=facts.release,
        ledger_head=head,
        blinding=facts.blinding,
        population=rows.population,
        data_cut=_cut_words(request, facts),
        command=command_line(study, request, facts.release),
        program=f"dosetrail {program_version()}",
        columns=rows.parts[0].columns if len(rows.parts) == 1 else {},
        identity=_identity_words(request, names),
    )


def _cut_words(request: ExportRequest, facts: ReleaseFacts) -> str:
    """The last day of who was followed to the data cut is that day: beside shifted dates it is not said."""
    hidden = request.identity == DEIDENTIFIED and request.what not in POOLED and facts.data_cut is not None
    return "a day that the ledger holds" if hidden else facts.data_cut_words


def _identity_words(request: ExportRequest, names: Pseudonyms | None) -> str:
    if names is None:
        return "as is"
    return (
        f"de-identified with key {names.key_id}: subjects re-keyed, dates shifted per subject, completed dates, device "
        f"serials and free text left out, cells under {request.smallest_cell} suppressed"
    )


def command_line(study: Study, request: ExportRequest, release: int) -> str:
    """The command that makes the export again, also when newer releases are there.

    Folders are left out: they belong to one machine, and the same rows have to give the same bytes on
    another. A de-identified file does not say what chose its subjects or what it was called: the ledger does, and
    `dosetrail export again` takes it from there.
    """
    hidden = request.identity == DEIDENTIFIED
    words = ["dosetrail", "export", request.what, "--study", study.root.name, "--format", request.format]
    if request.filter:
        words += ["--filter", "FILTER" if hidden else request.filter]
    if request.subject is not None:
        words += ["--subject", "SUBJECT" if hidden else request.subject]
    if request.population is not None:
        words += ["--population", request.population]
    if request.through is not None:
        words += ["--through", str(request.through)]
    if hidden:
        words += ["--identity", DEIDENTIFIED, "--smallest-cell", str(request.smallest_cell)]
    words += ["--as-of", str(release)]
    if request.cutoff is not None:
        words += ["--cutoff", "DATE" if hidden and request.what not in POOLED else request.cutoff]
    if request.unblinded:
        words.append("--unblinded")
    return shlex.join([*words, "--out", "FILE" if hidden else request.out.name])


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
        replace_file(path, file.content)
    return bool(different)


def replace_file(path: Path, content: bytes) -> None:
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
    new: dict[str, JsonValue] = {
        "what": request.what,
        "format": request.format,
        "rows": rows,
        "sha256": sha256,
        "identity": request.identity,
        "path": str(request.out.absolute()),
        "chosen": {name: getattr(request, name) for name in RECORDED if getattr(request, name) is not None},
        "data_cut": origin.data_cut,
        "population": origin.population,
    }
    return record_export(study, origin.release, new, unblinded=request.unblinded)


def record_export(study: Study, release: int, new: dict[str, JsonValue], *, unblinded: bool) -> bool:
    """Note an export in the ledger, so that its release is kept; False where this account may not write there."""
    from store.errors import NotAllowed
    from store.ledger import Entry

    try:
        ledger = study.unblinded_ledger if unblinded else study.ledger
        ledger.append([Entry(action="export", record=f"release/{release:06d}", new=new)])
    except NotAllowed:
        return False
    return True
