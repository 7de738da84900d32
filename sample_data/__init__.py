"""Trials to try dosetrail on, shipped with the program. Origins and licences: README.md beside this file."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def path(name: str) -> Path:
    """Return the path of the sample file or folder `name`, such as ``"autoinjector"``.

    Raises ValueError, naming what there is, if the sample data hold no such entry.
    """
    found = _HERE / name
    if not name or not found.resolve().is_relative_to(_HERE.resolve()) or not found.exists():
        known = ", ".join(sorted(entry.name for entry in _HERE.iterdir() if entry.name[0] not in "._"))
        raise ValueError(f"There is no sample data {name!r}. There is: {known}.")
    return found
