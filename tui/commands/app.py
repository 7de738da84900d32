"""`dosetrail` without a command, and `dosetrail tui`: the full-screen app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tui.commands.options import StudyOption, UnblindedOption, open_study

HELP = """Data manager for clinical trials of smart drug-delivery devices.

Without a command it opens the full-screen app on the study.

Example: dosetrail demo; dosetrail --study demo-study
"""

EXIT_CODES = (
    "Exit codes: 0 done, 1 some file failed, 2 usage, 3 done with rows quarantined, 4 nothing new, 10 no study here, "
    "11 another import is running, 13 disk full, 14 integrity failure, 15 source layout changed, "
    "16 locked data, 130 interrupted."
)


def _version(wanted: bool) -> None:
    if wanted:
        from tui.output import write_lines
        from tui.version import program_version

        write_lines([f"dosetrail {program_version()}"])
        raise typer.Exit(0)


def root(
    context: typer.Context,
    study: StudyOption = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> int:
    """Run the app when no command is given."""
    if context.invoked_subcommand is not None:
        return 0
    return _open(context, study, unblinded=False)


def tui(
    context: typer.Context,
    study: StudyOption = None,
    unblinded: UnblindedOption = False,
    glyphs: Annotated[
        str | None,
        typer.Option(help="Signs the terminal can draw: ascii, cp437 or unicode.", show_default=False),
    ] = None,
) -> int:
    """Open the full-screen app.

    Example: dosetrail tui --study my-trial
    """
    return _open(context, study, unblinded=unblinded, glyphs=glyphs)


def command_words() -> dict[str, tuple[str, ...]]:
    """What may follow: of no word the commands, of a command its subcommands and options."""
    from typer.main import get_command

    from tui.commands import assemble

    words: dict[str, tuple[str, ...]] = {}

    def walk(path: str, command: Any) -> None:
        options = tuple(name for parameter in command.params for name in parameter.opts if name.startswith("--"))
        children = getattr(command, "commands", {})
        words[path] = (*children, *options) if path else tuple(children)
        for name, child in children.items():
            walk(f"{path} {name}".strip(), child)

    walk("", get_command(assemble()))
    return words


def _open(context: typer.Context, given: Path | None, *, unblinded: bool, glyphs: str | None = None) -> int:
    from store.errors import UsageProblem
    from tui.launch import NoTerminal, launch
    from tui.reading import release_file, study_name

    if not sys.stdout.isatty():
        raise UsageProblem(
            "The full-screen app needs a terminal; the output goes elsewhere.",
            remedy="Name a command (dosetrail --help lists them), for example: dosetrail summary",
        )
    study = open_study(context, given)
    file = release_file(study, unblinded=unblinded)
    from tui.desk import Program
    from tui.desk_actions import desk_actions_for, watch_study
    from tui.exporting import exporter_for
    from tui.past_exports import past_exports_for

    try:
        return launch(
            study.root,
            file,
            title=study_name(study),
            glyphs=glyphs,
            exporter=exporter_for(study, unblinded=unblinded),
            past_exports=past_exports_for(study),
            actions=desk_actions_for(study),
            watch=watch_study(study, unblinded=unblinded),
            program=Program((sys.executable, "-m", "tui.cli", "--study", str(study.root)), command_words),
        )
    except NoTerminal as error:
        happened, _, instead = str(error).partition("\n")
        raise UsageProblem(happened, remedy=instead or "Open it in an ordinary terminal window.") from error
    except ValueError as error:
        raise UsageProblem(str(error), remedy="See: dosetrail tui --help") from error
