"""Every screen, row for row, at the sizes and on the signs it must be readable with."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from tui_driver import Driver, check_frame, drive

from tui.keymap import SCREENS
from tui.sanitise import Tier, cell_width

SCREENS_BY_KEYS = {
    "patients": [],
    "patients-filtered": ["slash", *"lo", "enter", "s", "c"],
    "patients-none": ["slash", *"zzz", "enter"],
    "patients-sort": ["s"],
    "patient": ["end", "enter"],
    "patient-doses": ["enter", "tab"],
    "patient-events": ["slash", "a", "e", "colon", "enter", "enter", "tab", "tab"],
    "patient-device": ["end", "enter", "tab", "tab", "tab"],
    "record": ["enter", "tab", "down", "enter"],
    "arms-accuracy": ["5"],
    "arms-compliance": ["5", "tab"],
    "arms-events": ["5", "shift+tab"],
    "figure": ["5", "tab", "down", "enter"],
    "imports-files": ["i"],
    "imports-quarantine": ["i", "tab"],
    "quarantined-row": ["i", "tab", "enter"],
    "exports": ["slash", *"lo", "enter", "x"],
    "worklist": ["1"],
    "patient-queries": ["enter", "tab", "tab", "tab", "tab"],
    "patient-history": ["enter", "shift+tab"],
    "command": ["slash", *"lo", "enter", "s", "c", "v"],
    "views": ["m"],
    "counts": ["f", "t"],
    "command-line": ["colon", *"pat", "tab"],
    "queries": ["3"],
    "quarantine": ["4"],
    "help": ["question_mark"],
}

CP437_SIGNS = set("█·─↑↓▒")


def assert_fits(lines: list[str], size: tuple[int, int], tier: Tier) -> None:
    assert len(lines) == size[1]
    for line in lines:
        assert cell_len(line) == cell_width(line) <= size[0], line
        signs = {char for char in line if not char.isascii()}
        assert signs <= (CP437_SIGNS if tier == "cp437" else set()), signs


# Every screen in its size and in the other signs; both together are among the slow tests.
@pytest.mark.parametrize(
    ("size", "tier"),
    [
        ((80, 24), "ascii"),
        ((80, 24), "cp437"),
        ((60, 18), "ascii"),
        pytest.param((60, 18), "cp437", marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
@pytest.mark.parametrize("name", SCREENS_BY_KEYS)
def test_screen(name: str, size: tuple[int, int], tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path("/"))

    async def script(driver: Driver) -> None:
        lines = await driver.press(*SCREENS_BY_KEYS[name])
        assert_fits(lines, size, tier)
        check_frame(f"{name}-{size[0]}x{size[1]}-{tier}", lines)

    drive(script, size=size, tier=tier)


@pytest.mark.parametrize("name", ["patients", "patient", "patient-doses", "arms-compliance", "imports-files"])
def test_blinded_screen(name: str) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press(*SCREENS_BY_KEYS[name])
        assert_fits(lines, (80, 24), "ascii")
        check_frame(f"blinded-{name}-80x24-ascii", lines)
        text = "\n".join(lines)
        assert not any(word in text for word in ("PBO", "LOW", "HIGH", "Placebo", " 27 ", " mg", "doses.csv"))

    drive(script, kind="blinded")


@pytest.mark.parametrize("keys", SCREENS_BY_KEYS.values(), ids=SCREENS_BY_KEYS)
@pytest.mark.parametrize(
    "size", [(60, 18), pytest.param((132, 43), marks=pytest.mark.slow)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_hostile_data_keep_every_row_in_its_width(keys: list[str], size: tuple[int, int]) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press(*keys)
        assert_fits(lines, size, "ascii")
        assert all(line.isascii() and line.isprintable() for line in lines)

    drive(script, kind="hostile", size=size)


@pytest.mark.parametrize("keys", SCREENS_BY_KEYS.values(), ids=SCREENS_BY_KEYS)
def test_an_empty_release_says_what_to_do(keys: list[str]) -> None:
    async def script(driver: Driver) -> None:
        lines = await driver.press(*keys)
        assert_fits(lines, (80, 24), "ascii")

    drive(script, kind="empty")


def test_empty_places_name_the_next_step() -> None:
    async def script(driver: Driver) -> None:
        assert any("dosetrail import" in line for line in driver.lines())
        assert any("holds no result" in line for line in await driver.press("5"))
        lines = await driver.press("1")
        assert lines[3].endswith("or row in quarantine.") and lines[-2] == " 0 items: nothing waits"

    drive(script, kind="empty")


@pytest.mark.parametrize("size", [(59, 24), (80, 17), (20, 4)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_small_terminal_is_told_so(size: tuple[int, int]) -> None:
    async def script(driver: Driver) -> None:
        lines = driver.lines()
        assert lines[0].startswith("This screen needs"[: size[0] - 1])
        if size[0] >= 50:
            assert "60x18" in lines[0] and "dosetrail view patients" in lines[2]

    drive(script, size=size)


def test_every_screen_has_a_frame() -> None:
    named = {"patients", "patient", "record", "arms", "figure", "imports", "exports", "help", "command", "choices"}
    named |= {"output"}  # the text of another program: tests/test_tui_keys.py
    assert named | {"worklist", "queries", "quarantine"} == set(SCREENS)


def test_screens_follow_the_size_of_the_terminal() -> None:
    async def script(driver: Driver) -> None:
        wide = await driver.press("5", "tab")
        await driver.pilot.resize_terminal(60, 18)
        assert_fits(await driver.press(), (60, 18), "ascii")
        await driver.pilot.resize_terminal(30, 10)
        assert (await driver.press())[0].startswith("This screen needs 60x18, your")
        await driver.pilot.resize_terminal(80, 24)
        assert await driver.press() == wide

    drive(script)
