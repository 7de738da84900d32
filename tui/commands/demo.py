"""`dosetrail demo`: a study from the sample data, ready to look at."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import JsonOption

if TYPE_CHECKING:
    from store.study import Study

TRIAL = "autoinjector"


def demo(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="Folder of the demo study.")] = Path("demo-study"),
    json: JsonOption = False,
) -> int:
    """Build a demo study from the sample data, print its summary and say how to open it.

    A second run changes nothing.

    Example: dosetrail demo
    """
    from tui.commands.summary import read_rows
    from tui.output import write_command, write_json, write_lines
    from tui.reading import open_release
    from tui.summary_text import print_summary

    study = _made(path)
    with open_release(study) as reader:
        rows = read_rows(reader)
        if json:
            write_json({**reader.facts.to_json(), "rows": rows})
            return 0
        print_summary(reader, rows, overview=True, all_terms=False)
    write_lines([""])
    write_command("Open it:", f"dosetrail --study {shlex.quote(str(path))}")
    return 0


def _made(path: Path) -> Study:
    """The demo study at `path`, made now or before."""
    import sample_data
    from store.study import open_study
    from tui.commands.protocol import create

    protocol = (sample_data.path(TRIAL) / "protocol.toml").read_text(encoding="utf-8")
    root = path.expanduser()
    if root.is_dir() and any(root.iterdir()):
        study = open_study(root)
        _check_is_demo(study, protocol)
    else:
        study = create(root, None, protocol)
    if study.current_release() is None:
        _fill(study)
    return study


def _check_is_demo(study: Study, protocol: str) -> None:
    import tomllib

    from store.errors import UsageProblem
    from tui.reading import study_name

    if study_name(study) != tomllib.loads(protocol)["study"]["id"]:
        raise UsageProblem(
            f"{study.root} is a study of its own, not the demo.",
            remedy="Name another folder: dosetrail demo FOLDER",
            study=study.root,
        )


def _fill(study: Study) -> None:
    import sample_data
    from store.errors import DosetrailError
    from tui.output import warn
    from tui.pipeline import import_paths
    from tui.progress import progress_line

    if sys.stderr.isatty():
        warn("Building the demo study from the sample data; this takes a few seconds.")
    with progress_line() as progress:
        report = import_paths(study, [sample_data.path(TRIAL)], progress)
    failed = [file for file in report.files if file.status == "failed"]
    if failed:
        raise DosetrailError(
            f"The sample file {Path(failed[0].path).name} could not be read: {failed[0].reason}.",
            effect=f"The demo study in {study.root} is incomplete.",
            remedy="Install dosetrail again and remove the folder.",
        )
