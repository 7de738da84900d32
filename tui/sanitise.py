"""The one door between text that came from a file and a terminal.

Every string that was not written in this program passes `printable` before it is shown: on a screen, in a
table of the command line, in an error message. What comes out holds no control byte, no escape sequence, no
bidirectional override, no invisible character and no lone surrogate, and occupies exactly `cell_width` cells.
Nothing is silently lost: a character that may not be printed appears as its Python escape (`\\x1b`, `\\u202e`).

The result is plain text, never markup. Give it to Rich or Textual as `Text`/`Content`/`Segment`, never as a
markup string: brackets are data here and stay as they are.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Tier = Literal["ascii", "cp437", "unicode"]
Align = Literal["<", ">"]

LONGEST = 4000
"""Characters of one value that are looked at; no screen shows more, and one cell may hold a whole 16 MB line."""

_MARKS = ("Mn", "Mc", "Me")
_MARKS_PER_LETTER = 2
_ESCAPED_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

# Printable by category, but invisible or drawn with another width by another terminal.
_ESCAPED_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x11FF),  # conjoining Hangul vowels and finals
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2630, 0x2637),
    (0x268A, 0x268F),
    (0x2800, 0x2800),  # blank braille cell
    (0x3164, 0x3164),  # Hangul filler
    (0x4DC0, 0x4DFF),
    (0xD7B0, 0xD7FF),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),
    (0x1D300, 0x1D37F),
    (0x1F000, 0x1FAFF),  # emoji, flags, modifiers: width depends on the terminal's version
    (0xE0100, 0xE01EF),
)

_ASCII = str.maketrans(
    {
        "µ": "u",
        "μ": "u",
        "±": "+/-",
        "°": "deg",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "×": "x",
        "÷": "/",
        "·": ".",
        "•": "*",
        "…": "...",
        "‐": "-",
        "‑": "-",
        "‒": "-",
        "–": "-",
        "—": "-",
        "−": "-",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "«": '"',
        "»": '"',
        "→": "->",
        "←": "<-",
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "Th",
        "ı": "i",
        "€": "EUR",
        "£": "GBP",
        "™": "(TM)",
        "®": "(R)",
        "©": "(C)",
    }
)


def printable(value: object, tier: Tier = "unicode") -> str:
    """`value` as text that is safe to send to a terminal and has a known width.

    `None` is the empty string; other values go through `str`. The tier says what the terminal's font can
    draw: `ascii` gives 7-bit text only (accents dropped, `µ` as `u`, other scripts as `?`), `cp437` keeps the
    letters of every script but only those symbols that code page 437 has, `unicode` keeps all that is safe.
    """
    text = "" if value is None else value if isinstance(value, str) else str(value)
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    if text.isascii() and text.isprintable():
        return text
    safe = _escape_unsafe(unicodedata.normalize("NFC", text))
    if tier == "unicode" or safe.isascii():
        return safe
    if tier == "ascii":
        return _to_ascii(safe)
    return "".join(char if _in_cp437_tier(char) else _to_ascii(char) for char in safe)


def cell_width(text: str) -> int:
    """Terminal cells taken by `printable` text: 2 for wide East Asian characters, 0 for combining marks."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def truncate(text: str, width: int, marker: str = "~") -> str:
    """`printable` text cut to at most `width` cells; a cut is shown by `marker` (one cell) at its end."""
    if len(text) <= width and text.isascii():
        return text
    if cell_width(text) <= width:
        return text
    if width <= 0:
        return ""
    kept, used = [], 0
    for char in text:
        needed = _char_width(char)
        if used + needed > width - 1:
            break
        kept.append(char)
        used += needed
    return "".join(kept) + marker


def fit(text: str, width: int, align: Align = "<", marker: str = "~") -> str:
    """`printable` text as exactly `width` cells: cut with `marker` or padded with blanks."""
    text = truncate(text, width, marker)
    blanks = " " * (width - cell_width(text))
    return text + blanks if align == "<" else blanks + text


def wrap(text: str, width: int) -> list[str]:
    """`printable` text broken at blanks into lines of at most `width` cells; longer words are cut in pieces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while cell_width(word) > width:
            head = _head(word, width - cell_width(line) - 1 if line else width)
            lines.append(f"{line} {head}".strip())
            word, line = word[len(head) :], ""
        if not line:
            line = word
        elif cell_width(line) + 1 + cell_width(word) <= width:
            line = f"{line} {word}"
        else:
            lines.append(line)
            line = word
    if line:
        lines.append(line)
    return lines or [""]


def _head(word: str, width: int) -> str:
    """The longest start of `word` of at most `width` cells; may be empty."""
    used = 0
    for position, char in enumerate(word):
        used += _char_width(char)
        if used > width:
            return word[:position]
    return word


def _escape_unsafe(text: str) -> str:
    out: list[str] = []
    marks = _MARKS_PER_LETTER  # a mark with no letter before it has nothing to combine with
    for char in text:
        if " " <= char <= "~":
            out.append(char)
            marks = 0
            continue
        category = unicodedata.category(char)
        if category == "Zs":
            out.append(" ")
            marks = 0
        elif category in _ESCAPED_CATEGORIES or _in_escaped_range(ord(char)):
            out.append(_escaped(char))
            marks = _MARKS_PER_LETTER
        elif category in _MARKS:
            marks += 1
            out.append(char if marks <= _MARKS_PER_LETTER else _escaped(char))
        else:
            out.append(char)
            marks = 0
    return "".join(out)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _in_escaped_range(code: int) -> bool:
    return code >= _ESCAPED_RANGES[0][0] and any(low <= code <= high for low, high in _ESCAPED_RANGES)


def _char_width(char: str) -> int:
    if char <= "~":
        return 1
    if unicodedata.category(char) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _to_ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII)).translate(_ASCII)
    kept = (char for char in plain if unicodedata.category(char) not in _MARKS)
    return "".join(char if " " <= char <= "~" else "?" for char in kept)


def _in_cp437_tier(char: str) -> bool:
    if char <= "~" or unicodedata.category(char)[0] in "LM":
        return True
    try:
        char.encode("cp437")
    except UnicodeEncodeError:
        return False
    return True
