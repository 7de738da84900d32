"""What the pipe-delimited tables of the JAEB archives share: columns by name whatever their case, participants, times.

Participants are the trial's subjects only where ``columns.subject_id = "PtID"`` of a [[source]] says so; else every
participant has a device of their own that an assignment can name. A time at midnight has no clock part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from importers.base import SourceFile, UnreadableFile
from importers.device_identity import Device, register_device
from importers.device_log import DeviceLog
from importers.vendor_csv import decode_text, read_section, read_text, split_line
from importers.vendor_dates import Order, find_order, moment_expr
from importers.vendor_text import amount_expr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl


@dataclass(frozen=True)
class JaebTable:
    """Rows as text by role: ``line``, ``person`` and what the kind of table reads."""

    rows: pl.DataFrame
    order: Order | None


def header_of(head: bytes) -> list[str]:
    """Lower-case column names of a pipe-delimited table; empty when the bytes start none."""
    try:
        lines = decode_text(head).lines(1)
    except UnreadableFile:
        return []
    return [name.lower() for name in split_line(lines[0][2], "|")] if "|" in lines[0][2] else []


def read_table(file: SourceFile, log: DeviceLog, roles: Mapping[str, Sequence[str]], times: Iterable[str]) -> JaebTable:
    """The columns of a table by role (role -> names, the first one there counts); ``times``: roles that are moments.

    A time the archive has adjusted (role ``adjusted``) stands in place of the one as it was (``at_text``).
    """
    import polars as pl

    text = read_text(file.path)
    log.notes.extend(text.notes)
    header = [name.lower() for name in split_line(text.lines(1)[0][2], "|")]
    wanted = {
        role: header.index(found)
        for role, names in {"person": ("ptid",), **roles}.items()
        if (found := next((name for name in names if name in header), None)) is not None
    }
    _, _, rest = text.data.partition(b"\n")
    section = read_section(rest, 2, len(header), "|", wanted)
    log.reject_broken(section.broken)
    rows = section.frame.with_columns(
        pl.lit(None, dtype=pl.String).alias(role) for role in ("person", *roles) if role not in wanted
    )
    if "adjusted" in roles:
        rows = rows.with_columns(at_text=pl.coalesce("adjusted", "at_text"))
    stamps = [text for role in times for text in rows[role].unique().drop_nulls().to_list()]
    return JaebTable(rows, find_order(stamps, stated=log.stated_order(), default="MDY"))


def with_moment(table: JaebTable, role: str) -> pl.Expr:
    return moment_expr(role, table.rows[role], table.order)


def refuse(
    rows: pl.DataFrame, log: DeviceLog, labels: Mapping[str, str], *, time: str, amounts: Sequence[str], table: str
) -> pl.DataFrame:
    """Reject rows without a participant or time (``at``) or with an amount that is none; returns the others."""
    import polars as pl

    shown = ["line", *(role for role in labels if role in rows.columns)]
    tests: list[tuple[str, str, str, pl.Expr]] = [
        ("person", "missing_value", "the participant is missing", pl.col("person").is_null()),
        (time, "missing_value", "the time is missing", pl.col(time).is_null()),
        (time, "bad_date", "no date and time", pl.col("at").is_null()),
    ]
    for role in amounts:
        bad = pl.col(role).is_not_null() & (amount_expr(role).is_null() | (amount_expr(role) < 0))
        tests.append((role, "bad_number", "no amount", bad))
    for role, reason, words, bad in tests:
        refused = rows.filter(bad)
        if refused.height:
            label = labels.get(role, role)
            log.reject_frame(refused.select(shown), reason, f"{label}: {words}", field=role, label=label, table=table)
            rows = rows.filter(~bad)
    return rows


def with_devices(rows: pl.DataFrame, log: DeviceLog, maker: str, model: str) -> pl.DataFrame:
    """Add ``device_id`` (one per participant) and ``subject_id`` (where the protocol maps PtID)."""
    import polars as pl

    first = rows.group_by("person").agg(pl.col("line").min()).sort("line")
    people: list[str] = first["person"].to_list()
    devices = [
        register_device(log, Device(maker, model, f"ptid {person}", line))
        for person, line in zip(people, first["line"].to_list(), strict=True)
    ]
    schema = {"person": pl.String, "device_id": pl.String}
    known = pl.DataFrame({"person": people, "device_id": devices}, schema=schema)
    mapped = (log.source_column("subject_id") or "").lower() == "ptid"
    return rows.join(known, on="person", how="left", maintain_order="left").with_columns(
        subject_id=pl.col("person") if mapped else pl.lit(None, pl.String)
    )


def repeated_rows(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Rows that repeat an earlier one in ``columns``: first (its line) and copy."""
    import polars as pl

    seen = rows.select("line", *columns).with_columns(first=pl.col("line").min().over(columns))
    return seen.filter(pl.col("line") != pl.col("first")).select("first", copy="line")


def with_copies(frame: pl.DataFrame, copies: pl.DataFrame) -> pl.DataFrame:
    """A canonical frame and, for each row that stands in the file again, the same row under its own line."""
    import polars as pl

    if frame.is_empty() or copies.is_empty():
        return frame
    again = frame.join(copies, left_on="line", right_on="first").with_columns(line="copy").drop("copy")
    return pl.concat([frame, again])
