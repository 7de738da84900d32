"""The program's version as installed."""

from __future__ import annotations

from functools import cache


@cache
def program_version() -> str:
    """Version of the installed distribution; a source tree that is not installed says so."""
    from importlib import metadata

    try:
        return metadata.version("dosetrail")
    except metadata.PackageNotFoundError:
        return "0+source"
