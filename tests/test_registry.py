"""The protocol can name every format that is read, and no other."""

from __future__ import annotations

from typing import get_args

from importers.registry import FORMATS
from store.source_formats import SNAPSHOT_FORMATS, SourceFormat


def test_protocol_and_registry_name_the_same_formats() -> None:
    assert {importer.format for importer in FORMATS} == set(get_args(SourceFormat))


def test_snapshot_formats_are_formats() -> None:
    assert set(SNAPSHOT_FORMATS) <= set(get_args(SourceFormat))
