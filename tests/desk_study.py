"""A small study to work in, with queries and rows in quarantine, and the app opened on it as its user does."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from studies import trial_file
from tui_driver import Driver

from store.study import Study, open_study
from tui.app import DosetrailApp
from tui.cli import run
from tui.commands.app import command_words
from tui.desk import Desk, Program
from tui.desk_actions import desk_actions_for, watch_study
from tui.glyphs import GLYPHS
from tui.launch import first_place
from tui.pages import Pages
from tui.personal import Personal

PROTOCOL = """\
[study]
id = "DESK"
[[site]]
id = "01"
time_zone = "Europe/Berlin"
[[arm]]
code = "A"
[[source]]
name = "pens"
pattern = "pens*.csv"
format = "dose_log"
constants = { kind = "injection", amount_unit = "mg", drug = "D" }
"""


def make_desk_study(folder: Path) -> Path:
    """Two subjects with events that raise queries, and two doses of a subject nobody knows."""
    assert run(["init", str(folder / "study")]) == 0
    (folder / "study" / "protocol.toml").write_text(PROTOCOL)
    (folder / "people.csv").write_text("subject_id,site_id,arm_code\nS1,01,A\nS2,01,A\n")
    (folder / "events.csv").write_text(
        "subject_id,event_seq,term,severity,serious,causality,start_text\n"
        "S1,1,head\x1b[31mache,,N,RELATED,2026-03-05\nS2,1,[bold]fall,,Y,RELATED,2026-03-06\nS2,2,rash,,N,RELATED,2026-03-07\n"
    )
    (folder / "pens.csv").write_text(
        "subject_id,start_local,delivered_amount\nS1,2026-03-01 08:00,5\nS9,2026-03-01 08:00,5\nS9,2026-03-02 08:00,5\n"
    )
    names = [str(folder / name) for name in ("people.csv", "events.csv", "pens.csv")]
    assert run(["import", "--study", str(folder / "study"), *names]) == 3
    return folder / "study"


def copy_desk_study(made: Path, folder: Path) -> Study:
    """A study of its own."""
    return open_study(Path(shutil.copytree(made, folder, symlinks=True)))


def drive(
    study: Study,
    script: Callable[[Driver], Awaitable[None]],
    *,
    writes: bool = True,
    personal: Path | None = None,
    size: tuple[int, int] = (80, 24),
) -> None:
    """Run a script against the app on a study; `personal` is the folder of the user's drafts and views."""

    async def play() -> None:
        actions = desk_actions_for(study) if writes else None
        desk = Desk(
            Pages(trial_file(study)),
            GLYPHS["ascii"],
            "DESK",
            study.root,
            None,
            actions,
            watch=watch_study(study),
            program=Program((sys.executable, "-m", "tui.cli", "--study", str(study.root)), command_words),
            personal=Personal(personal),
        )
        app = DosetrailApp(desk, first_place(desk))
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot)
            await driver.press()
            await script(driver)
        desk.close()

    asyncio.run(play())


def rows_of(lines: list[str]) -> list[str]:
    """The rows of the list, with their cursor."""
    return [line for line in lines[3:-2] if line.strip()]
