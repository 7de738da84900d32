"""What the commands write: text or exactly one JSON document on stdout, everything else on stderr.

Text from files passes `tui.sanitise` here or in `tui.tables`; JSON is ASCII with every control character
escaped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from store.errors import WriteFailed
from tui.glyphs import GLYPHS, Glyphs, choose_tier
from tui.sanitise import wrap


class OutputClosed(Exception):
    """Whoever read our output has gone (`| head`): nothing more to say, and nobody to say it to."""


def glyphs_for(stream: TextIO) -> Glyphs:
    """The signs `stream` can carry. A pipe or file has no font: UTF-8 is written as it is there."""
    if not stream.isatty():
        utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
        return GLYPHS["unicode" if utf8 else "ascii"]
    return GLYPHS[choose_tier(os.environ, stream.encoding)]


def page_width(stream: TextIO | None = None) -> int:
    """Columns to print in: those of the terminal (or COLUMNS), else 80; never under 40 or over 200."""
    return max(40, min(200, shutil.get_terminal_size((80, 24)).columns))


def write_out(text: str) -> None:
    """Write to stdout and flush, so that a full disk is noticed here and not at exit.

    Raises OutputClosed when the reader has gone, WriteFailed when the text could not be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosed from error
    except OSError as error:
        raise WriteFailed(
            f"The output could not be written: {error.strerror or error}.",
            effect="What the command did before stays done; only its output is missing.",
            remedy="Free space or choose another place for the output; `dosetrail status` shows how the study stands.",
        ) from error


def write_json(document: Mapping[str, object]) -> None:
    """The one JSON document of a command called with --json."""
    from analysis.json_text import json_document

    write_out(json_document(document))


def write_lines(lines: Iterable[str]) -> None:
    """Lines of this program's own words; values of files inside them are made printable by the caller."""
    write_out("".join(f"{line}\n" for line in lines))


def write_paragraph(text: str, indent: str = "") -> None:
    """Text wrapped to the page, made printable."""
    glyphs = glyphs_for(sys.stdout)
    write_lines(paragraph(text, glyphs, page_width(), indent))


def write_command(label: str, command: str) -> None:
    """A command to type next: on a line of its own and never wrapped, so that it can be copied."""
    glyphs = glyphs_for(sys.stdout)
    write_lines([label, f"    {glyphs.text(command)}"])


def paragraph(text: str, glyphs: Glyphs, width: int, indent: str = "") -> list[str]:
    """`text` made printable and wrapped to `width`; every line starts with `indent`."""
    return [indent + line for line in wrap(glyphs.text(text), width - len(indent) - 1)]


def warn(text: str) -> None:
    """A sentence on stderr: never part of the output, never an error."""
    write_problem([text])


def write_problem(sentences: Iterable[str]) -> None:
    """Sentences on stderr, each starting on a line of its own, wrapped on a terminal; a closed stderr is
    not ours.
    """
    glyphs = glyphs_for(sys.stderr)
    lines: list[str] = []
    for sentence in sentences:
        for line in sentence.splitlines():
            indent = " " * (len(line) - len(line.lstrip()))
            if sys.stderr.isatty():
                lines += paragraph(line.strip(), glyphs, page_width(), indent)
            else:
                lines.append(indent + glyphs.text(line.strip()))
    try:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
    except OSError:
        return
