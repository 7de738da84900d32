"""The house stays as built: who imports whom, and what starting the program loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_import_contracts_hold(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=None) == EXIT_STATUS_SUCCESS


@pytest.mark.parametrize(
    ("module", "never_loaded"),
    [
        # `dosetrail --help` answers in 0.2 s only without the engines (about 0.1 s each to import).
        ("tui.cli", ["duckdb", "polars", "scipy", "numpy", "textual", "xlsxwriter", "pyreadstat"]),
        # The app pages through DuckDB; polars would add 46 MB for every coordinator logged in.
        ("tui.app", ["polars", "scipy", "xlsxwriter", "pyreadstat"]),
        ("store.protocol", ["duckdb", "polars", "textual"]),
    ],
)
def test_importing_loads_no_heavy_package(repository: Path, module: str, never_loaded: list[str]) -> None:
    question = f"import sys, {module}; print(*(set({never_loaded!r}) & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", question], cwd=repository, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []
