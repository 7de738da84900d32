"""The command line: which commands there are, and how every one of them ends.

Importing this module and printing help loads no engine: modules of commands import duckdb, polars, pydantic
and Textual inside the functions that work with them (0.1 s each).
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.errors import DosetrailError
from tui.failures import CLOSED_OUTPUT, as_lines, explained, usage_problem
from tui.output import OutputClosed, write_json, write_problem

if TYPE_CHECKING:
    import typer
    from typer._click.core import Command

PROGRAM = "dosetrail"


def main() -> None:
    """Entry point of the `dosetrail` command."""
    code = run(sys.argv[1:])
    # The work is done or undone and was said to be so: Ctrl-C in the milliseconds left must not say otherwise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except OSError:
        # Already reported; what could not be written is still buffered, and the interpreter's own last flush of it
        # would replace the exit code by 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    0 done, 1 some file failed, 2 usage, 3 done with rows quarantined, 4 nothing new, 10 no study, 11 import
    running, 13 disk full, 14 integrity failure, 15 layout changed, 16 locked data, 130 interrupted. Errors
    go to stderr as lines, with --json to stdout as the one document.
    """
    try:
        return _invoke(list(arguments))
    except (OutputClosed, BrokenPipeError):
        # The interpreter flushes stdout once more when it ends, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_OUTPUT
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the one place where everything ends
        if os.environ.get("DOSETRAIL_DEBUG") == "1":
            write_problem(traceback.format_exception(error))
        return _report(explained(error), arguments)


@functools.cache
def _whole_command() -> Command:
    """The command line, put together once in a process (0.1 s)."""
    from typer.main import get_command

    from tui.commands import assemble

    return get_command(assemble())


def _invoke(arguments: list[str]) -> int:
    import typer

    command = _whole_command()
    try:
        # Not command.main(): that swallows Ctrl-C and closed pipes before they can be explained.
        with command.make_context(PROGRAM, arguments) as context:
            code = command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.TyperException as error:
        raise _usage(error) from None
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> DosetrailError:
    context = getattr(error, "ctx", None)
    words = error.format_message().replace("Value error, ", "")
    return usage_problem(words, context.command_path if context is not None else PROGRAM)


def _report(error: DosetrailError, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        try:
            write_json(error.attrs())
        except (OutputClosed, DosetrailError):
            write_problem(as_lines(error))
    else:
        write_problem(as_lines(error))
    return error.exit_code


if __name__ == "__main__":
    main()
