"""Copying to the user's own machine: a sequence the terminal may obey (OSC 52), and a file that is always there."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.sanitise import printable

if TYPE_CHECKING:
    from tui.app import DosetrailApp

LARGEST = 50_000
"""Bytes sent to the terminal; many terminals drop more than about 75,000 base64 characters."""


def clipboard_sequence(text: str, environ: Mapping[str, str]) -> str:
    """The sequence that asks the terminal to take `text`, wrapped for GNU screen.

    tmux takes it as it is when `set-clipboard` is on, and passes the wrapped form on when `allow-passthrough` is.
    """
    plain = f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"
    if environ.get("TMUX"):
        return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        return f"\x1bP{plain}\x1b\\"
    return plain


def copy(app: DosetrailApp, text: str) -> str:
    """Copy `text`, with every control byte of the data spelt out; returns what to say. Nothing promises "copied":
    a terminal does not answer."""
    safe = "\n".join("\t".join(printable(cell) for cell in line.split("\t")) for line in text.split("\n"))
    file = app.desk.personal.copy(safe)
    kept = f"in {str(file).replace(os.environ.get('HOME') or chr(0), '~', 1)}" if file else ""
    if len(safe.encode()) > LARGEST:
        return f"Too long for a terminal's clipboard; it is {kept}" if kept else "Too long for a terminal's clipboard"
    app.send(clipboard_sequence(safe, os.environ))
    first = safe.split("\n")[0].replace("\t", " ")
    return f"Sent to the terminal's clipboard: {first[:40]}" + (f"; also {kept}" if kept else "")
