"""The commands, one module per family. Importing one costs a millisecond: engines are imported where they
work.
"""

from __future__ import annotations

import typer

from tui.commands import (
    app,
    consent,
    cut,
    data,
    demo,
    deviations,
    device,
    export,
    layouts,
    patients,
    protocol,
    quarantine,
    queries,
    report,
    simulate,
    sql,
    summary,
    unblind,
    view,
    worklist,
)


def assemble() -> typer.Typer:
    """The whole command line as one Typer application."""
    commands = typer.Typer(
        name="dosetrail",
        help=app.HELP,
        epilog=app.EXIT_CODES,
        callback=app.root,
        invoke_without_command=True,
        no_args_is_help=False,
        add_completion=False,
        # Plain help: 50 ms faster than Rich's panels, and readable on a terminal that draws no lines.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    for name, function, short in (
        ("summary", summary.summary, "Results by arm: accuracy, compliance, events."),
        ("worklist", worklist.worklist, "What needs you today."),
        ("queries", queries.queries, "List queries."),
        ("deviations", deviations.deviations, "Protocol deviations."),
        ("patients", patients.patients, "List patients."),
        ("patient", patients.patient, "Show one patient."),
        ("export", export.export, "Write CSV, Excel, Parquet, JSON, Markdown or HTML."),
        ("exports", export.exports, "Exports that were made."),
        ("report", report.report, "Write what a sponsor reads, as HTML or Markdown."),
        ("cut", cut.cut, "Name a data cut."),
        ("view", view.view, "Any list of the app, filtered and sorted."),
        ("sql", sql.sql, "Ask the release a question, read-only."),
        ("tui", app.tui, "Open the full-screen app."),
        ("init", protocol.init, "Make a study."),
        ("import", data.import_files, "Import files and publish a release."),
        ("undo-import", data.undo_import, "A release without the files of one import."),
        ("approve-layout", data.approve_layout, "Approve new columns of a source."),
        ("release", data.release, "Publish what changed since the last release."),
        ("status", data.status, "How the study stands."),
        ("verify", data.verify, "Is what is stored what was stored?"),
        ("rebuild", data.rebuild, "Make the release again from its sources."),
        ("layouts", layouts.layouts, "Column dictionaries of the open layouts."),
        ("unblind", unblind.unblind, "The arm of one patient, in an emergency."),
        ("undo", device.undo, "Reverse an entry of the ledger."),
        ("simulate", simulate.simulate, "A made-up trial with known truth."),
        ("demo", demo.demo, "Build a study from sample data."),
    ):
        commands.command(name, short_help=short)(function)
    checks = typer.Typer(help="Look after protocol.toml.", rich_markup_mode=None)
    checks.command("check", short_help="Every mistake with its line.")(protocol.check)
    commands.add_typer(checks, name="protocol")
    devices = typer.Typer(help="Record who has which device.", rich_markup_mode=None)
    devices.command("assign", short_help="A subject gets a device.")(device.assign)
    devices.command("return", short_help="A subject gives a device back.")(device.give_back)
    devices.command("ship", short_help="A device goes to a site.")(device.ship)
    devices.command("lose", short_help="A device is lost.")(device.lose)
    devices.command("list", short_help="Where every device and kit is.")(device.listed)
    devices.command("history", short_help="Who had a device when, and what it was.")(device.history)
    commands.add_typer(devices, name="device")
    waiting = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    waiting.callback(short_help="Rows that wait, by problem.")(quarantine.quarantine)
    for word, decide, meaning in (
        ("accept", quarantine.accept, "Accept the proposed fix."),
        ("edit", quarantine.edit, "Correct subject, device, clock or unit."),
        ("reject", quarantine.reject, "The source has to be corrected."),
        ("exclude", quarantine.exclude, "Leave the rows out for good."),
    ):
        waiting.command(word, short_help=meaning)(decide)
    commands.add_typer(waiting, name="quarantine")
    forms = typer.Typer(help="Withdrawals of consent.", rich_markup_mode=None)
    forms.command("withdraw", short_help="A subject withdrew the consent.")(consent.withdraw)
    forms.command("answer", short_help="A request to delete was answered.")(consent.answer)
    commands.add_typer(forms, name="consent")
    strayed = typer.Typer(help="Record, confirm or dismiss protocol deviations.", rich_markup_mode=None)
    strayed.command("record", short_help="A deviation somebody found.")(deviations.record)
    strayed.command("confirm", short_help="What a check proposed is one.")(deviations.confirm)
    strayed.command("dismiss", short_help="What a check proposed is none.")(deviations.dismiss)
    commands.add_typer(strayed, name="deviation")
    asked = typer.Typer(help="Raise, answer and close queries.", rich_markup_mode=None)
    for word, step, meaning in (
        ("raise", queries.raise_, "Ask about a subject, a record or a field."),
        ("answer", queries.answer, "Answer a query."),
        ("close", queries.close, "Close a query."),
        ("reopen", queries.reopen, "Open a query again."),
        ("waive", queries.waive, "Leave a finding as it is."),
        ("show", queries.show, "A query and its history."),
    ):
        asked.command(word, short_help=meaning)(step)
    commands.add_typer(asked, name="query")
    reports = typer.Typer(help="Reporting clocks of serious events.", rich_markup_mode=None)
    reports.command("aware", short_help="When somebody was aware of an event.")(worklist.aware)
    reports.command("submit", short_help="A report was submitted.")(worklist.submit)
    commands.add_typer(reports, name="safety")
    return commands
