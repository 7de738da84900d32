"""What the terminal can draw: three tiers of signs, and the choice between them.

`ascii` is for streams and fonts of which nothing is known; `cp437` uses only signs that the Linux console, PuTTY
with its usual fonts and every UTF-8 terminal share; `unicode` asks for more and is chosen by the user only.
A state is always a word or a sign first; colour only repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from tui.sanitise import Align, Tier, fit, printable, truncate


@dataclass(frozen=True)
class Glyphs:
    """The signs of one tier; each is one cell wide."""

    tier: Tier
    bar: str
    """The filled part of a bar."""
    bar_rest: str
    """The rest of a bar."""
    rule: str
    """A horizontal line."""
    cut: str
    """Stands where text was cut."""
    ascending: str
    descending: str
    day: Mapping[str, str]
    """The sign of a day in a calendar, by what became of its dose."""
    cursor: str = ">"
    attention: str = "!"

    def text(self, value: object) -> str:
        """`value` made safe to print on this tier."""
        return printable(value, self.tier)

    def cell(self, value: object, width: int, align: Align = "<") -> str:
        """`value` made safe, in exactly `width` cells."""
        return fit(printable(value, self.tier), width, align, self.cut)

    def cut_to(self, value: object, width: int) -> str:
        """`value` made safe, in at most `width` cells."""
        return truncate(printable(value, self.tier), width, self.cut)

    def gauge(self, percent: float | None, width: int) -> str:
        """A bar of `width` cells for 0-100 %; blank when there is no value. Above 100 the bar is full."""
        if percent is None:
            return " " * width
        filled = round(max(0.0, min(100.0, percent)) * width / 100)
        return self.bar * filled + self.bar_rest * (width - filled)


_DAY = {"held": "-", "unmonitored": "?", "extra": "+"}
_DAY_ASCII = {**_DAY, "taken": "#", "late": "~", "missed": "."}
_DAY_BLOCKS = {**_DAY, "taken": "█", "late": "▒", "missed": "·"}

GLYPHS: dict[Tier, Glyphs] = {
    "ascii": Glyphs("ascii", "#", "-", rule="-", cut="~", ascending="^", descending="v", day=_DAY_ASCII),
    "cp437": Glyphs("cp437", "█", "·", rule="─", cut="~", ascending="↑", descending="↓", day=_DAY_BLOCKS),
    "unicode": Glyphs("unicode", "█", "·", rule="─", cut="…", ascending="▲", descending="▼", day=_DAY_BLOCKS),
}


def choose_tier(environ: Mapping[str, str], encoding: str | None, wanted: str | None = None) -> Tier:
    """The tier for a terminal: what the user `wanted` (or DOSETRAIL_GLYPHS), else what the stream can carry.

    On a stream that is not UTF-8 Textual writes `█` as six characters and the layout is lost, so such a stream
    is always `ascii`. Raises ValueError for a name that is no tier.
    """
    named = wanted or environ.get("DOSETRAIL_GLYPHS")
    if named and named not in get_args(Tier):
        raise ValueError(f"no glyph tier is called {printable(named)}; choose one of {', '.join(get_args(Tier))}")
    utf8 = (encoding or "ascii").lower().replace("-", "").replace("_", "") == "utf8"
    if not utf8 or environ.get("TERM", "") in ("vt100", "vt102", "vt220", "dumb", ""):
        return "ascii"
    for tier in get_args(Tier):
        if tier == named:
            return GLYPHS[tier].tier
    return "cp437"
