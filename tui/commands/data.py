"""`import`, `release`, `status`, `verify`, `rebuild`: making releases, and knowing how the study stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import JsonOption, StudyOption, open_study, study_word

if TYPE_CHECKING:
    from store.study import Study
    from tui.report import FileReport, ImportReport, RebuildReport


def import_files(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATHS]...", help="Files and folders to import.", show_default=False)
    ] = None,
    inbox: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Take the complete files of a folder, once each.", show_default=False),
    ] = None,
    settle: Annotated[
        float, typer.Option(metavar="SECONDS", help="A file of the inbox is complete when unchanged for so long.")
    ] = 60.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave files in the inbox instead of moving them.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wait for another import to end before giving up (exit 11).")
    ] = 0.0,
    hook: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Run it afterwards with the JSON summary on stdin.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Import files and publish a release with everything in them.

    What cannot be used goes to quarantine with its reason; what was imported before changes nothing.

    Example: dosetrail import --study my-trial transfers/2026-11-22
    """
    from store.errors import UsageProblem
    from tui.inbox import Inbox, import_inbox
    from tui.night import add_silence, run_hook
    from tui.pipeline import import_paths
    from tui.progress import progress_line

    if (inbox is None) == (not paths):
        raise UsageProblem(
            "Either files and folders are imported, or --inbox DIR.",
            remedy="dosetrail import FILES, or dosetrail import --inbox DIR.",
        )
    opened = open_study(context, study)
    with progress_line() as progress:
        if inbox is not None:
            box = Inbox(inbox, settle_s=settle, keep=keep)
            report = import_inbox(opened, box, progress, wait_s=wait, dry_run=dry_run)
            add_silence(opened, report)
        else:
            report = import_paths(opened, paths or [], progress, wait_s=wait, dry_run=dry_run)
    if hook is not None and not dry_run:
        run_hook(hook, report)
    _print_report(opened, report, json)
    return report.exit_code


def undo_import(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="RELEASE", help="The release whose files go out again.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files; record nothing.")] = False,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Make a release without the files one import brought. Nothing is erased; `dosetrail undo` brings them back.

    Example: dosetrail undo-import 12 --reason "site 07 sent the files of another trial"
    """
    from store.errors import UsageProblem
    from store.undoing import undo_import_entries
    from tui.output import write_json, write_paragraph
    from tui.pipeline import make_release
    from tui.progress import progress_line

    opened = open_study(context, study)
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy='Say why: --reason "files of another trial".')
    entries = undo_import_entries(number, opened.ledger.read(), reason.strip())
    names = [entry.old["name"] for entry in entries]  # type: ignore[index,call-overload]
    if dry_run:
        if json:
            write_json({"release": number, "files": names, "recorded": False})
        else:
            write_paragraph(f"Would take out {len(names):,} files of release {number}: {', '.join(map(str, names))}.")
        return 0
    opened.require_owner("make a release")
    head = opened.ledger.append(entries)
    with progress_line() as progress:
        report = make_release(opened, progress)
    report.messages.insert(
        0, f"{len(names):,} files of release {number} are out (ledger entries up to {head.seq}): "
        f"{', '.join(map(str, names))}."
    )  # fmt: skip
    _print_report(opened, report, json)
    return report.exit_code


def approve_layout(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file with the new columns.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")],
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Approve the columns of a file for its [[source]]; files imported before keep the mapping they came with.

    Example: dosetrail approve-layout inbox/pens-2026-11.csv --reason "the vendor added a battery column"
    """
    from store.errors import UsageProblem
    from tui.night import approve
    from tui.output import write_json, write_paragraph

    opened = open_study(context, study)
    if not reason.strip():
        raise UsageProblem("A reason is needed.", remedy='Say why: --reason "the vendor added a column".')
    approved, head = approve(opened, file, reason.strip())
    if json:
        write_json({"approved": approved, "ledger_seq": head.seq, "ledger_head": f"{head.hash}@{head.seq}"})
    else:
        write_paragraph(f"Approved for {approved['source']}: {', '.join(approved['columns'])}.")
        write_paragraph(f"Ledger head {head.hash}@{head.seq}. Import the file again now.")
    return 0


def release(context: typer.Context, study: StudyOption = None, json: JsonOption = False) -> int:
    """Publish a release when protocol, ledger or program changed since the last one.

    Example: dosetrail release --study my-trial
    """
    from tui.pipeline import make_release
    from tui.progress import progress_line

    opened = open_study(context, study)
    with progress_line() as progress:
        report = make_release(opened, progress)
    _print_report(opened, report, json)
    return report.exit_code


def _print_report(study: Study, report: ImportReport, as_json: bool) -> None:
    from store.interruption import signals_held

    # What is done cannot be interrupted any more: Ctrl-C now would print "nothing changed" over a new release.
    with signals_held():
        _write_report(study, report, as_json)


def _write_report(study: Study, report: ImportReport, as_json: bool) -> None:
    from tui.output import write_command, write_json, write_lines, write_paragraph

    if as_json:
        write_json(report.to_json())
        return
    _print_files(report.files)
    for message in report.messages:
        write_paragraph(message)
    held = sum(file.quarantined for file in report.files)
    if held:
        write_command(
            f"{held:,} {'row is' if held == 1 else 'rows are'} in quarantine; reasons:",
            f"dosetrail status {study_word(study)}",
        )
    for device in report.silent:
        write_paragraph(
            f"SILENT {device['device_id']} ({device['subject_id']}): no data for {device['silent_h']:,} h, "
            f"limit {device['limit_h']:g} h; last {device['last_utc']:%Y-%m-%d %H:%M} UTC"
        )
    if report.dry_run:
        pass
    elif report.release is None:
        write_lines(["Nothing new: the release stays as it is."])
    else:
        write_lines([f"Release {report.release} is published ({report.seconds:.1f} s)."])
    write_lines([f"Ledger head {report.ledger_head}@{report.ledger_seq}"])


def _print_files(files: list[FileReport]) -> None:
    from tui.output import write_lines, write_paragraph
    from tui.tables import Column, print_table

    taken = [file for file in files if file.status == "imported"]
    known = sum(file.status == "duplicate_file" for file in files)
    if taken:
        columns = [
            Column("file", gives_way=True),
            Column("read as", gives_way=True),
            *(Column(title, ">") for title in ("rows", "new", "duplicate", "superseded", "quarantined")),
        ]
        print_table(columns, ([Path(file.path).name, _read_as(file), *_counted(file)] for file in taken))
        write_lines([""])
    for file in taken:
        for note in file.notes:
            write_paragraph(f"{Path(file.path).name}: {note}")
    for status, word in (("failed", "NOT IMPORTED"), ("ignored", "ignored")):
        for file in files:
            if file.status == status:
                write_paragraph(f"{word} {Path(file.path).name}: {file.reason}")
    if known:
        write_paragraph(f"{known:,} files were imported before, byte for byte, and change nothing.")


def _read_as(file: FileReport) -> str:
    return " ".join(dict.fromkeys(filter(None, (file.format, file.dataset))))


def _counted(file: FileReport) -> list[str]:
    counts = (file.read, file.new, file.duplicate, file.superseded, file.quarantined)
    return [f"{count:,}" for count in counts]


def status(context: typer.Context, study: StudyOption = None, json: JsonOption = False) -> int:
    """Show how the study stands: release, ledger, files, quarantine, what waits for the next release.

    Example: dosetrail status --study my-trial
    """
    from store.errors import IntegrityFailure
    from tui.output import write_json
    from tui.study_status import print_status, read_status

    state = read_status(open_study(context, study))
    if json:
        write_json(state.to_json())
    else:
        print_status(state)
    return IntegrityFailure.exit_code if state.integrity_problem else 0


def verify(
    context: typer.Context,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="HASH[@SEQ]",
            help="A ledger head printed earlier: proves that nothing before it was lost or altered.",
            show_default=False,
        ),
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Check ledger, source files and release against each other and against an anchor.

    Example: dosetrail verify --anchor 3fa9c1d2e4b5a697@120
    """
    from store.ledger_chain import parse_anchor
    from store.verify import require_sound, verify_study
    from tui.output import write_json, write_lines
    from tui.progress import progress_line
    from tui.tables import Column, print_table

    opened = open_study(context, study)
    if anchor is not None:
        parse_anchor(anchor)
    with progress_line() as progress:
        checks = verify_study(opened, anchor, lambda name: progress(f"checking {name}"))
    sound = all(check.ok for check in checks)
    if json and sound:
        write_json({"study": str(opened.root), "sound": sound, "checks": [vars(check) for check in checks]})
    elif not json:
        rows = [("ok" if check.ok else "FAILED", check.name, check.detail) for check in checks]
        print_table([Column(""), Column("what"), Column("found", gives_way=True)], rows)
        write_lines([""])
    require_sound(checks)
    return 0


def rebuild(
    context: typer.Context,
    compare: Annotated[
        bool, typer.Option("--compare", help="Only say what this version of the program would change.")
    ] = False,
    number: Annotated[
        int | None, typer.Option("--release", metavar="RELEASE", help="Not the newest one.", show_default=False)
    ] = None,
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Make a release again from sources, ledger and recorded protocols; put it back if it is gone.

    Example: dosetrail rebuild --compare
    """
    from tui.output import write_json, write_paragraph
    from tui.progress import progress_line
    from tui.rebuilding import rebuild as build_again

    opened = open_study(context, study)
    with progress_line() as progress:
        report = build_again(opened, number, compare=compare, progress=progress)
    if not report.same:
        _refuse_difference(report, compare)
    if json:
        write_json(report.to_json())
    else:
        write_paragraph(_rebuilt(report, study_word(opened)))
    return 0


def _refuse_difference(report: RebuildReport, compare: bool) -> None:
    """Another program may make other tables; the same program making them shows damage."""
    from store.errors import DosetrailError, IntegrityFailure

    tables = ", ".join(report.differing) or "tables of a release that is no longer on disk"
    if report.version == report.recorded_version:
        raise IntegrityFailure(
            f"Release {report.release} made again is not what was published: {tables}.",
            effect="Nothing was changed.",
            remedy="Run dosetrail verify, which says what was altered, and restore that part from a backup.",
            **report.to_json(),
        )
    if not compare:
        raise DosetrailError(
            f"dosetrail {report.version} makes other tables than {report.recorded_version} did: {tables}.",
            remedy="Publish them with `dosetrail release`, or rebuild with the version that made them.",
            **report.to_json(),
        )


def _rebuilt(report: RebuildReport, where: str) -> str:
    made = f"Release {report.release}, made by dosetrail {report.recorded_version}"
    if not report.same:
        tables = ", ".join(report.differing) or "tables of a release that is no longer on disk"
        return f"{made}: dosetrail {report.version} changes {tables}. Publish: dosetrail release {where}"
    if report.restored:
        return f"{made}, was made again and is back in its place: the same tables (digest {report.digest[:12]})."
    return f"{made}: made again, the same tables (digest {report.digest[:12]}). Nothing was changed."
