"""The formats that are read. A new format is one module and one line here."""

from __future__ import annotations

from importers import sdtm
from importers.base import Importer

FORMATS: tuple[Importer, ...] = (
    sdtm.IMPORTER,
)  # fmt: skip


def importer_of(format: str) -> Importer:
    """The importer of a format; raises KeyError for an unknown one (formats come from here, never from
    users).
    """
    return {importer.format: importer for importer in FORMATS}[format]
