"""The empty release file that is kept between processes: used where it is whole, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import empty_release
from store.digest import digest_release_file
from store.empty_release import open_empty_release


def columns(path: Path) -> list[tuple[str, ...]]:
    with open_empty_release(path) as con:
        found: list[tuple[str, ...]] = con.execute(
            "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY ALL"
        ).fetchall()
    return found


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the account; each `open_empty_release` is as in a new process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(empty_release, "_made", {})
    return tmp_path / "cache" / "dosetrail"


def test_the_next_process_copies_what_the_first_made(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = columns(tmp_path / "one.duckdb")
    (file,) = kept.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(empty_release, "_made", {})
    with monkeypatch.context() as patched:
        patched.setattr(empty_release, "_keep", None)  # would be called had it been made again
        assert columns(tmp_path / "two.duckdb") == made
    assert digest_release_file(tmp_path / "one.duckdb") == digest_release_file(tmp_path / "two.duckdb")


@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_a_damaged_one_is_made_again(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    made = columns(tmp_path / "one.duckdb")
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:9000], "changed": whole[:9000] + b"x" + whole[9001:], "empty": b""}[harm])
    monkeypatch.setattr(empty_release, "_made", {})
    assert columns(tmp_path / "two.duckdb") == made


def test_an_account_that_can_keep_nothing_makes_its_own(kept: Path, tmp_path: Path) -> None:
    kept.parent.write_text("a file where the folder should be")
    assert columns(tmp_path / "one.duckdb")


def test_old_ones_go(kept: Path, tmp_path: Path) -> None:
    kept.mkdir(parents=True)
    for number in range(20):
        (kept / f"empty-{number}.duckdb").write_bytes(b"")
    columns(tmp_path / "one.duckdb")
    assert len(list(kept.iterdir())) == empty_release.MOST_KEPT
