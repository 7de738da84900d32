"""Options that many commands share, and what they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from store.study import Study

STUDY_VARIABLE = "DOSETRAIL_STUDY"


def _checked_cutoff(text: str | None) -> str | None:
    """A mistyped day is a mistake of usage, whatever the study."""
    if text is not None:
        from store.errors import UsageProblem
        from tui.cutoffs import check_cutoff

        try:
            check_cutoff(text)
        except UsageProblem as error:
            raise typer.BadParameter(error.message) from error
    return text


StudyOption = Annotated[
    Path | None,
    typer.Option(
        "--study",
        "-s",
        metavar="PATH",
        help="Study folder. Without it: DOSETRAIL_STUDY, else the current folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
UnblindedOption = Annotated[
    bool,
    typer.Option("--unblinded", help="Blinded trials: read the unblinded release, if you may."),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")]
AsOfOption = Annotated[
    int | None,
    typer.Option("--as-of", metavar="RELEASE", help="Read an earlier release by its number.", show_default=False),
]
CutoffOption = Annotated[
    str | None,
    typer.Option(
        "--cutoff",
        metavar="DATE|NAME",
        callback=_checked_cutoff,
        help="Events up to this day (site's time) or named cut, everything computed anew.",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every row, not only the first ones.")]


def study_path(context: typer.Context, given: Path | None) -> Path:
    """The study folder meant: the command's --study, that of the words before it, DOSETRAIL_STUDY, the current
    folder.
    """
    before = context.parent
    while before is not None and given is None:
        given, before = before.params.get("study"), before.parent
    named = given or os.environ.get(STUDY_VARIABLE)
    return Path(named) if named else Path.cwd()


def open_study(context: typer.Context, given: Path | None) -> Study:
    """The study meant, opened; raises NoStudy."""
    from store.study import open_study as open_folder

    return open_folder(study_path(context, given))


def study_word(study: Study) -> str:
    """`--study PATH` as it has to be typed to mean this study from any folder."""
    import shlex

    return f"--study {shlex.quote(str(study.root))}"
