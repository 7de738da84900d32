"""What an unattended import does beside importing: say who is silent, call a hook, approve a changed layout."""

from __future__ import annotations

import datetime as dt
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.ledger_chain import Head
    from store.study import Study
    from tui.report import ImportReport

HOOK_S = 300
"""Seconds a hook may take."""


def read_silence(study: Study, now_utc: dt.datetime) -> list[dict[str, Any]]:
    """Devices that are silent at a moment (naive UTC), the longest silence first; none before the first release."""
    from tui.reading import open_release

    if study.current_release() is None:
        return []
    with open_release(study) as reader:
        return reader.records(
            "SELECT device_id, device_class, subject_id, last_utc, silent_h, limit_h "
            "FROM release.silent_devices(CAST(? AS TIMESTAMP)) ORDER BY silent_h DESC, device_id",
            [now_utc.isoformat(sep=" ")],
        )


def add_silence(study: Study, report: ImportReport) -> None:
    """Put the silent devices into the report of a night."""
    report.silent = read_silence(study, dt.datetime.now(dt.UTC).replace(tzinfo=None))


def run_hook(command: str, report: ImportReport) -> None:
    """Call a command with the JSON summary on stdin. A hook that fails is said in the report and changes nothing."""
    from analysis.json_text import json_document

    text = json_document(report.to_json())
    try:
        done = subprocess.run(
            shlex.split(command), input=text, text=True, timeout=HOOK_S, capture_output=True, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        report.messages.append(f"The hook could not be run: {error}. The import is not affected.")
        return
    if done.returncode:
        report.messages.append(f"The hook ended with exit code {done.returncode}. The import is not affected.")


def approve(study: Study, file: Path, reason: str) -> tuple[dict[str, Any], Head]:
    """Record that the columns of a file are approved for its [[source]].

    Raises ``UsageProblem`` where no [[source]] reads the file, or its columns need no approval.
    """
    import duckdb

    from importers import apart
    from importers.base import ReadContext, SourceFile
    from importers.discover import find_inputs
    from importers.registry import importer_of
    from store.errors import LayoutChanged, UsageProblem
    from store.facts import SourceFact, read_facts
    from store.layouts import approve_entry, check_layout
    from store.protocol_file import load_protocol
    from store.sources import SourceArchive
    from tui.release_files import read_unblinded_rows

    if not file.is_file():
        raise UsageProblem(f"There is no file {file}.", remedy="Name one file with the new columns.")
    protocol = load_protocol(study.protocol_path)
    (found,) = find_inputs([file], protocol.protocol.source)
    if found.source is None or found.recognised is None:
        raise UsageProblem(
            found.error or f"No [[source]] of protocol.toml has a pattern for {file.name}.",
            remedy="Only the columns of a [[source]] are approved; a file with canonical names needs no approval.",
        )
    archived = SourceArchive(study).measure(file)
    with duckdb.connect() as con:
        parsed = apart.parse(
            importer_of(found.recognised.format),
            SourceFile(file, file.name, archived.sha256),
            found.recognised,
            ReadContext(protocol.protocol, found.source, con),
        )
        layout = parsed.layout
    never = dt.datetime.min
    fact = SourceFact(
        archived.sha256, file.name, archived.size, parsed.format, parsed.dataset, parsed.mode, found.source.name,
        protocol.sha256, parsed.exported_utc, never, layout,
    )  # fmt: skip
    rows = study.ledger.read()
    try:
        check_layout(fact, read_facts(rows, read_unblinded_rows(study)).sources, rows)
    except LayoutChanged:
        head = study.ledger.append([approve_entry(fact, reason)])
        return {"source": found.source.name, "columns": sorted(layout)}, head
    raise UsageProblem(
        f"The columns of {file.name} need no approval.",
        remedy="They are known or the first of their source; import it.",
    )
