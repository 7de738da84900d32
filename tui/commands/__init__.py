"""The commands, one module per family. Importing one costs a millisecond: engines are imported where they work."""

from __future__ import annotations

import typer

from tui.commands import app, data, demo, export, patients, protocol, sql, summary

WORKING = "Working with a study"
MAKING = "Making and keeping a study"


def assemble() -> typer.Typer:
    """The whole command line as one Typer application."""
    commands = typer.Typer(
        name="dosetrail",
        help=app.HELP,
        callback=app.root,
        invoke_without_command=True,
        no_args_is_help=False,
        add_completion=False,
        # Plain help: 50 ms faster than Rich's panels, and readable on a terminal that draws no lines.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    commands.command("init")(protocol.init)
    checks = typer.Typer(help="Look after protocol.toml.", rich_markup_mode=None, no_args_is_help=True)
    checks.command("check")(protocol.check)
    commands.add_typer(checks, name="protocol")
    commands.command("import")(data.import_files)
    commands.command("release")(data.release)
    commands.command("status")(data.status)
    commands.command("summary")(summary.summary)
    commands.command("patients")(patients.patients)
    commands.command("patient")(patients.patient)
    commands.command("sql")(sql.sql)
    commands.command("export")(export.export)
    commands.command("verify")(data.verify)
    commands.command("rebuild")(data.rebuild)
    commands.command("demo")(demo.demo)
    commands.command("tui")(app.tui)
    return commands
