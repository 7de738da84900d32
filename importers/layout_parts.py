"""What open layouts are made of: a layout, the tables it fills, and the columns that several of them share.

A layout is a column dictionary and how one row fills canonical tables; the generic readers do the rest. A site that
has the same facts under other names maps them with [source.columns], as for the generic dose log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from store.schema import AMOUNT, Column


@dataclass(frozen=True)
class Output:
    """Rows of one canonical table: one for every row of the file for which ``where`` holds.

    ``columns``: canonical column -> SQL in which ``{name}`` stands for a column of the layout (NULL where the file has
    none); ``moments``: prefix of canonical time columns (``start``) -> time column of the layout (``released_local``),
    which fills ``start_local``, ``start_precision``, ``start_utc`` and what says how they follow. The precision of
    any time column stands as ``{name_precision}``.
    """

    table: str
    columns: Mapping[str, str]
    where: str = "true"
    moments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One open layout. ``told_by``: groups of columns, one of each must stand in a header to recognise it."""

    name: str
    """Also the format in [[source]], and the name of its example file."""
    title: str
    columns: tuple[Column, ...]
    outputs: tuple[Output, ...]
    told_by: tuple[tuple[str, ...], ...]
    empty_row: str = ""
    """Words for a row that fills no table."""
    not_with: tuple[str, ...] = ()
    """Columns of a richer layout: a header that has one is not recognised as this one."""

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


SUBJECT = Column("subject_id", "VARCHAR", "Subject; may be left out where the device is assigned to one")
SUBJECT_NEEDED = Column("subject_id", "VARCHAR", "Subject", required=True)
DEVICE = Column("device_id", "VARCHAR", "Device as the trial names it")
DEVICE_NEEDED = Column("device_id", "VARCHAR", "Device as the trial names it", required=True)
DRUG = Column("drug", "VARCHAR", "Drug as the protocol names it")
CHANNEL = Column("channel", "VARCHAR", "Channel of a multi-channel device")
UNIT = Column("amount_unit", "VARCHAR", "UCUM unit of every amount on the row")
NUMBER = Column("device_seq", "BIGINT", "The device's own running number of the entry, if it never restarts")


def amount(name: str, comment: str) -> Column:
    return Column(name, AMOUNT, f"{comment}; empty is not reported, 0 is zero")


def when(name: str, comment: str, *, required: bool = False) -> Column:
    return Column(name, "TIMESTAMP", f"{comment}, local time of the device", required=required)


WHOSE = {"subject_id": "{subject_id}", "device_id": "{device_id}"}
REPORTED = "CASE WHEN {%s} IS NOT NULL THEN 'reported' END"
