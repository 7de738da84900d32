"""`dosetrail init` and `dosetrail protocol check`: a new study, and its protocol.toml."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import JsonOption, StudyOption, open_study

if TYPE_CHECKING:
    from store.study import Study


def init(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the new study; made if it is not there.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Data of the trial: protocol.toml is drafted from its design (TA TE TV TS DM DI).",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="G", help="Group of the operating system that shares the study.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Make a study: a folder with protocol.toml, sources, ledger and releases.

    Example: dosetrail init my-trial --from transfers/sdtm
    """
    from store.permissions import network_file_system
    from tui.output import warn, write_command, write_json, write_paragraph

    text = _drafted(source) if source is not None else _template(path)
    study = create(path, group, text)
    kind = network_file_system(study.root)
    if kind is not None:
        warn(
            f"{study.root} is on a network file system ({kind}). A study belongs on a local disk: "
            "locks and syncs over a network are not what its ledger needs."
        )
    open_lines = _open_lines(study)
    if json:
        write_json(
            {"study": str(study.root), "protocol": str(study.protocol_path), "to_fill_in": open_lines, "network": kind}
        )
        return 0
    write_paragraph(f"Study {study.root} is made.")
    _say_state(study)
    if open_lines:
        write_paragraph("Dose accuracy waits for these lines of protocol.toml (marked FILL IN); all else works:")
        for line in open_lines:
            write_paragraph(line, indent="  ")
    files = shlex.quote(str(source)) if source is not None else "FILES"
    write_command("Next:", f"dosetrail import --study {shlex.quote(str(path))} {files}")
    return 0


def create(path: Path, group: str | None, protocol: str) -> Study:
    """A new study with this text as its protocol.toml."""
    from store.permissions import set_mode
    from store.study import create_study

    study = create_study(path, group)
    study.protocol_path.write_text(protocol, encoding="utf-8")
    set_mode(study.protocol_path, study.modes.protocol)
    return study


def _template(path: Path) -> str:
    from store.protocol_template import empty_template

    return empty_template(path.resolve().name)


def _drafted(source: Path) -> str:
    from importers.trial_design import draft_protocol
    from store.protocol_template import render_protocol

    return render_protocol(draft_protocol(source))


def _open_lines(study: Study) -> list[str]:
    from store.protocol_file import load_protocol

    return load_protocol(study.protocol_path).protocol.missing_for_accuracy()


def _say_state(study: Study) -> None:
    from store.protocol_file import load_protocol
    from tui.output import write_paragraph

    section = load_protocol(study.protocol_path).protocol.study
    if section.blinding != "open_label" and section.state == "open":
        write_paragraph(
            f"The design is {section.blinding.replace('_', ' ')}, and these data say who is in which arm: "
            'protocol.toml has state = "open", so everybody who can read the study sees the arms. '
            'While the trial is blinded, set state = "blinded".'
        )


def check(context: typer.Context, study: StudyOption = None, json: JsonOption = False) -> int:
    """Check protocol.toml: every mistake with its line, and what is still to be filled in.

    Example: dosetrail protocol check --study my-trial
    """
    from store.protocol_file import load_protocol
    from tui.output import write_json, write_paragraph

    opened = open_study(context, study)
    recorded = load_protocol(opened.protocol_path)
    protocol = recorded.protocol
    missing = protocol.missing_for_accuracy()
    if json:
        write_json(
            {
                "protocol": str(opened.protocol_path),
                "sha256": recorded.sha256,
                "arms": len(protocol.arm),
                "sites": len(protocol.site),
                "sources": len(protocol.source),
                "to_fill_in": missing,
            }
        )
        return 0
    write_paragraph(
        f"{opened.protocol_path} is valid: {len(protocol.arm)} arms, {len(protocol.site)} sites, "
        f"{len(protocol.source)} sources."
    )
    if missing:
        write_paragraph("Not filled in yet; dose accuracy waits for:")
        for line in missing:
            write_paragraph(line, indent="  ")
    return 0
