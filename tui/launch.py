"""Starts the full-screen app: what must be decided before Textual is imported is decided here.

Textual reads its environment once, at import. A colour scheme set later sends black on black under NO_COLOR, so theme,
colours and animations are settled first. The screen is drawn on stderr; stdout stays free for what a script wants.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tui.glyphs import GLYPHS, choose_tier
from tui.sanitise import printable

if TYPE_CHECKING:
    from tui.desk import Desk, DeskActions, Exporter, PastExports, Program, Watch
    from tui.screens.place import Place


class NoTerminal(Exception):
    """The full-screen app cannot run here; the text says what to use instead."""


def check_terminal(environ: Mapping[str, str], is_terminal: bool) -> None:
    """Raise NoTerminal where a full-screen app makes no sense."""
    instead = "The same figures without a screen: dosetrail summary, dosetrail patients, dosetrail --help"
    if not is_terminal:
        raise NoTerminal(f"The full-screen app needs a terminal; input or output is redirected.\n{instead}")
    if environ.get("TERM", "") in ("", "dumb"):
        named = environ.get("TERM") or "not set"
        raise NoTerminal(f"This terminal cannot move its cursor (TERM is {named}).\n{instead}")


def settle_environment(environ: dict[str, str] | os._Environ[str]) -> None:
    """Choose what Textual reads at import; what the user has set stays, except where it would send bytes while idle."""
    environ["TEXTUAL_ANIMATIONS"] = "none"
    environ["TEXTUAL_THEME"] = "ansi-dark"  # the terminal's own colours, light or dark
    environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")  # some terminals print the query
    environ.setdefault("TEXTUAL_COLOR_SYSTEM", "standard")


def launch(
    study: Path,
    release: Path,
    *,
    title: str,
    glyphs: str | None = None,
    exporter: Exporter | None = None,
    actions: DeskActions | None = None,
    past_exports: PastExports | None = None,
    watch: Watch | None = None,
    program: Program | None = None,
) -> int:
    """Open the app on `release` (a trial.duckdb) of the study folder `study`; return 0 when the user left it.

    `title` is the study as printed, `glyphs` the tier asked for (ascii, cp437, unicode). Raises NoTerminal,
    tui.pages.ReleaseUnreadable, and ValueError for an unknown tier. On leaving, the path of the last export is
    printed on stdout.
    """
    check_terminal(os.environ, sys.stdin.isatty() and sys.stderr.isatty())
    stderr = sys.__stderr__
    tier = choose_tier(os.environ, stderr.encoding if stderr else None, glyphs)
    settle_environment(os.environ)

    from tui.desk import Desk
    from tui.pages import Pages
    from tui.personal import personal_of

    desk = Desk(
        Pages(release),
        GLYPHS[tier],
        title,
        study,
        exporter,
        actions,
        past_exports=past_exports,
        watch=watch,
        program=program,
        personal=personal_of(study, os.environ),
    )
    try:
        return _run(desk)
    finally:
        desk.close()


def _run(desk: Desk) -> int:
    from tui.app import DosetrailApp

    app = DosetrailApp(desk, desk.pages.run_now(lambda: first_place(desk)))
    app.run(mouse=False)
    if app.failure is not None:
        _report(app.failure)
        return 1
    if app.last_export is not None:
        print(printable(app.last_export))
    return 0


def first_place(desk: Desk) -> Place:
    """The worklist when something waits, else the patients."""
    from tui.pages import Wish
    from tui.patient_rows import PATIENTS
    from tui.screens.patients import PatientsScreen
    from tui.screens.worklist import WorklistScreen, make_desk_list

    worklist = make_desk_list(WorklistScreen, desk)
    return worklist if worklist.has_work else PatientsScreen(desk, desk.pages.open_list(PATIENTS, Wish()))


def _report(failure: Exception) -> None:
    """Say that the app failed; with DOSETRAIL_DEBUG set also where, as sanitised text."""
    print(
        f"The app stopped because of a defect in dosetrail ({type(failure).__name__}). Nothing was changed: "
        "the app only reads. The commands still work: dosetrail --help. "
        "Set DOSETRAIL_DEBUG=1 to see where it happened.",
        file=sys.stderr,
    )
    if os.environ.get("DOSETRAIL_DEBUG"):
        for line in "".join(traceback.format_exception(failure)).splitlines():
            print(printable(line), file=sys.stderr)
