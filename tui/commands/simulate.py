"""`dosetrail simulate`: a made-up trial whose every dose is known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import JsonOption


def simulate(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder to write; it must not hold anything.")],
    subjects: Annotated[int, typer.Option(metavar="N", help="Subjects.")] = 30,
    days: Annotated[int, typer.Option(metavar="N", help="Days of treatment, at least 14.")] = 35,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same bytes.")] = 1,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="CLASS", help="Only this class of device; may be repeated.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Write a simulated trial: protocol.toml, files/ to import, and truth/ with every true dose and planted fault.

    Example: dosetrail simulate sim --subjects 60 --seed 7
    """
    from sample_data.simulation import CLASSES
    from sample_data.simulation import simulate as write_trial
    from store.errors import UsageProblem, write_error
    from tui.output import write_command, write_json, write_paragraph

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageProblem(f"{path} holds something already.", remedy="Name a folder that is empty or not there.")
    try:
        truth = write_trial(path, seed=seed, subjects=subjects, days=days, classes=tuple(classes or CLASSES))
    except ValueError as error:
        raise UsageProblem(f"{str(error).capitalize()}.", remedy="See: dosetrail simulate --help") from error
    except OSError as error:
        raise write_error(error, f"The trial {path}") from error
    if json:
        write_json({"folder": str(path), "truth": asdict(truth)})
        return 0
    write_paragraph(
        f"{path}: {subjects:,} subjects, {sum(truth.doses.values()):,} doses, {sum(truth.rows.values()):,} rows in "
        f"{len(truth.rows):,} files; planted: {', '.join(f'{n} {name}' for name, n in sorted(truth.faults.items()))}."
    )
    write_command(
        "Import it:", f"dosetrail init STUDY; cp {path}/protocol.toml STUDY; dosetrail import -s STUDY {path}/files"
    )
    return 0
