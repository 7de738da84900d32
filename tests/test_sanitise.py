"""Text from files must not act on a terminal, whatever it holds."""

from __future__ import annotations

import io
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tui.glyphs import GLYPHS, choose_tier
from tui.sanitise import LONGEST, Tier, cell_width, fit, printable, truncate, wrap

TIERS: list[Tier] = ["ascii", "cp437", "unicode"]

HOSTILE = [
    "\x1b]52;c;ZWNobyBoaQ==\x07",
    "\x1b]0;new title\x1b\\",
    "\x1b[8mhidden\x1b[0m",
    "\x9b31mC1 introducer",
    "\x9d52;c;eA==\x9c",
    "\x1bP+q544e\x1b\\",
    "line one\r\nline two\x0b\x0c",
    "\x08\x08\x08overwritten",
    "abc\u202edcba\u2066x\u2069",
    "\ud83d lone \udc80 surrogates",
    "zero\u200bwidth\u200djoin\ufeff\u00ad",
    "Z" + "\u0301" * 500,
    "\u0301 starts with a mark",
    "[/] [red]x[/blue] [link=http://example.org]",
    "[@click=app.quit]go[/]",
    "\U000e0041\U000e0042 tags",
    "\U0001f1e9\U0001f1ea flag \U0001f469\u200d\U0001f52c",
    "\x00\x7f\x80\x85",
    "=cmd|' /C calc'!A0",
]


def assert_safe(shown: str) -> None:
    for char in shown:
        category = unicodedata.category(char)
        assert category not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"), (char, category)
    assert cell_width(shown) == cell_len(shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_become_plain_text(text: str, tier: Tier) -> None:
    shown = printable(text, tier)
    assert_safe(shown)
    if tier == "ascii":
        assert shown.isascii()


def test_what_is_removed_stays_readable() -> None:
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable("\x1b[31m") == r"\x1b[31m"
    assert printable("abc\u202edef") == r"abc\u202edef"
    assert printable("\udc80") == r"\udc80"
    assert printable("Ste\u0301phane") == "Stéphane"
    assert printable("5\u00a0mg") == "5 mg"
    assert printable(None) == ""
    assert printable(4.5) == "4.5"


def test_tiers_keep_what_they_can_draw() -> None:
    assert printable("2 µg ± 5 °C", "ascii") == "2 ug +/- 5 degC"
    assert printable("2 µg ± 5 °C", "cp437") == "2 µg ± 5 °C"
    assert printable("Łódź, Þór, Größe", "ascii") == "Lodz, Thor, Grosse"
    assert printable("Σ ✓ “ok”", "cp437") == 'Σ ? "ok"'
    assert printable("東京", "ascii") == "??"
    assert printable("東京", "cp437") == "東京"


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None)), st.sampled_from(TIERS), st.integers(0, 40))
def test_any_text_is_safe_and_has_its_exact_width(text: str, tier: Tier, width: int) -> None:
    shown = printable(text, tier)
    assert_safe(shown)
    assert printable(shown, tier) == shown
    for align in ("<", ">"):
        assert cell_len(fit(shown, width, align)) == width
    assert cell_len(truncate(shown, width)) <= width
    for line in wrap(shown, max(2, width)):
        assert cell_len(line) <= max(2, width)


def test_many_random_strings() -> None:
    chosen = random.Random(20260101)
    alphabet = [chr(code) for code in range(0x250)] + list("[]\\/=@\x1b\x9b\x07;") * 20
    alphabet += [chr(code) for code in range(0x2000, 0x2070)] + ["\ud800", "\udfff", "\U0001f600", "漢", "ก็"]
    for _ in range(20_000):
        text = "".join(chosen.choices(alphabet, k=chosen.randrange(1, 24)))
        shown = printable(text, chosen.choice(TIERS))
        assert not any(char < " " or "\x7f" <= char <= "\x9f" or "\u2028" <= char <= "\u202e" for char in shown)
        assert cell_width(shown) == cell_len(shown)


def test_every_character_is_as_wide_as_the_screen_library_thinks() -> None:
    for code in range(0x20, 0x32000):
        shown = printable("x" + chr(code))
        assert cell_width(shown) == cell_len(shown), hex(code)


def test_long_values_are_cut_before_they_cost_anything() -> None:
    shown = printable("\x1b" * 16_000_000)
    assert len(shown) <= 4 * LONGEST + 3
    assert shown.endswith("...")


def test_brackets_are_text_to_rich_and_not_markup() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system=None)
    for text in HOSTILE:
        console.print(Text(printable(text)))
    assert "[/] [red]x[/blue] [link=http://example.org]" in stream.getvalue()
    assert "\x1b]" not in stream.getvalue()


def test_a_cut_is_marked_and_wide_characters_are_not_split() -> None:
    assert truncate("withdrawn", 5) == "with~"
    assert fit("東京都", 4) == "東~ "
    assert fit("7", 3, ">") == "  7"
    assert truncate("abc", 0) == ""


def test_wrap_breaks_at_blanks() -> None:
    assert wrap("not assessable: no dose events", 15) == ["not assessable:", "no dose events"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]
    assert wrap("", 10) == [""]


@pytest.mark.parametrize(
    ("environ", "encoding", "wanted", "tier"),
    [
        ({"TERM": "xterm-256color"}, "utf-8", None, "cp437"),
        ({"TERM": "xterm-256color"}, "UTF-8", "unicode", "unicode"),
        ({"TERM": "xterm-256color"}, "latin-1", "unicode", "ascii"),
        ({"TERM": "vt100"}, "utf-8", None, "ascii"),
        ({"TERM": "xterm", "DOSETRAIL_GLYPHS": "ascii"}, "utf-8", None, "ascii"),
        ({}, None, None, "ascii"),
    ],
)
def test_the_tier_follows_the_stream(
    environ: dict[str, str], encoding: str | None, wanted: str | None, tier: Tier
) -> None:
    assert choose_tier(environ, encoding, wanted) == tier


def test_an_unknown_tier_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="ascii, cp437, unicode"):
        choose_tier({"TERM": "xterm"}, "utf-8", "braille")


@pytest.mark.parametrize("tier", TIERS)
def test_gauges_are_as_wide_as_asked(tier: Tier) -> None:
    glyphs = GLYPHS[tier]
    for percent in (None, -3.0, 0.0, 49.9, 100.0, 180.0):
        assert cell_len(glyphs.gauge(percent, 10)) == 10
    assert glyphs.gauge(100.0, 4) == glyphs.bar * 4
