"""Exports that were made: the ledger knows them, and whether their files are still what was written can be seen."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.ledger_chain import LedgerRow
    from store.study import Study
    from tui.desk import PastExports
    from tui.exporting import Exported

AS_WRITTEN, CHANGED, GONE, UNREADABLE, UNKNOWN = "as written", "changed", "gone", "not readable", "place not recorded"


@dataclass(frozen=True)
class PastExport:
    """One export as the ledger recorded it."""

    number: str
    """Sequence number of its entry; with a U before it, of the ledger of the unblinded group."""
    at_utc: dt.datetime
    user: str
    release: int
    what: str
    format: str
    identity: str
    rows: int
    sha256: str
    path: Path | None
    chosen: dict[str, Any]

    def state(self) -> str:
        """Whether the file still is what was written; reads it whole."""
        if self.path is None:
            return UNKNOWN
        try:
            with self.path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return GONE
        except OSError:
            return UNREADABLE
        return AS_WRITTEN if same else CHANGED

    def to_json(self) -> dict[str, object]:
        """All fields, with the state of the file."""
        return {**vars(self), "path": str(self.path) if self.path else None, "state": self.state()}


def read_past_exports(study: Study) -> list[PastExport]:
    """All exports this account may know of, the newest first. Raises NotAllowed where it may not read the ledger."""
    from store.errors import NotAllowed

    found = [_past(row, "") for row in study.ledger.read(actions=("export",))]
    if study.has_unblinded_ledger:
        try:
            found += [_past(row, "U") for row in study.unblinded_ledger.read(actions=("export",))]
        except NotAllowed:
            pass
    return sorted(found, key=lambda one: (one.at_utc, one.number), reverse=True)


def _past(row: LedgerRow, mark: str) -> PastExport:
    new = row.new_value
    return PastExport(
        number=f"{mark}{row.seq}",
        at_utc=dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row.utc_us),
        user=row.user,
        release=int(row.record.removeprefix("release/")),
        what=new["what"],
        format=new["format"],
        identity=new.get("identity", "as-is"),
        rows=new["rows"],
        sha256=new["sha256"],
        path=Path(new["path"]) if new.get("path") else None,
        chosen=new.get("chosen", {}),
    )


def export_again(study: Study, number: str, out: Path | None, *, force: bool) -> tuple[Exported, PastExport]:
    """Write a past export again from its release, to its file or to another. Raises UsageProblem and what
    `write_export_files` raises.
    """
    from store.errors import UsageProblem
    from tui.exporting import ExportRequest, write_export_files
    from tui.report_writing import REPORT, ReportRequest, write_report

    past = next((one for one in read_past_exports(study) if one.number == number.upper()), None)
    if past is None:
        raise UsageProblem(f"There is no export {number}.", remedy="dosetrail exports lists them.")
    path = out or past.path
    if path is None:
        raise UsageProblem(f"Where export {number} was written is not recorded.", remedy="Name a file with --out.")
    if past.what == REPORT:
        return write_report(study, ReportRequest(path, as_of=past.release, force=force, **past.chosen))[0], past
    request = ExportRequest(
        past.what, past.format, path, as_of=past.release, identity=past.identity, force=force, **past.chosen
    )
    return write_export_files(study, request), past


def cells_of(past: PastExport) -> tuple[str, ...]:
    """An export as the command and the app list it."""
    identity = "de-id." if past.identity == "deidentified" else "as is"
    where = past.path.name if past.path else ""
    day = f"{past.at_utc:%Y-%m-%d}"
    return (past.number, day, past.what, identity, f"{past.rows:,}", past.sha256[:8], past.state(), where)


def past_exports_for(study: Study) -> PastExports:
    """The app's way to the exports that were made."""
    from store.errors import DosetrailError
    from tui.desk import ExportRefused, PastExports
    from tui.exporting import sentence

    def read() -> list[tuple[str, ...]]:
        try:
            return [cells_of(past) for past in read_past_exports(study)]
        except DosetrailError as error:
            raise ExportRefused(f"{error.message} {error.remedy}") from error

    def again(number: str) -> str:
        try:
            written, past = export_again(study, number, None, force=False)
        except DosetrailError as error:
            raise ExportRefused(f"{error.message} {error.remedy}") from error
        return f"{sentence(written)} Same bytes: {'yes' if written.sha256 == past.sha256 else 'no'}."

    return PastExports(read, again)
