"""Enrolment and adverse events from CSV or Excel, mapped by the protocol.

Both are snapshots unless the protocol says otherwise. A device column in an enrolment list gives the recorded
assignment of the device to the subject; dates of the assignment may stand beside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from importers.base import (
    HEAD_BYTES,
    Ignored,
    Parsed,
    ReadContext,
    Recognised,
    SourceFile,
    UnreadableFile,
)
from importers.cells import null_sql
from importers.delimited import head_names, open_delimited
from importers.dose_log import EARLIEST_LOST, NO_ROWS
from importers.doubts import refuse_doubtful
from importers.export_time import latest_time, read_export_time, received_time
from importers.form_dates import EARLIEST_RECORD
from importers.mapping import Reading, RowPlan, match_columns, plan_rows, reading_of
from importers.rejects import create_rejected
from importers.scratch import scratch_folder
from importers.staging import StagedFile, stage_delimited, stage_relation
from importers.times import TimeReading
from importers.workbook import is_workbook, read_sheet
from store.schema import Column, Table
from store.source_formats import default_mode
from store.tables_safety import ADVERSE_EVENT
from store.tables_subject import DEVICE_ASSIGNMENT_RECORDED, SUBJECT

if TYPE_CHECKING:
    import polars as pl

_DEVICE_COLUMNS = (
    Column("device_id", "VARCHAR", "Device handed to the subject"),
    Column("device_start_date", "DATE", "First day the subject has the device"),
    Column("device_end_date", "DATE", "Last day"),
)
ENROLMENT = replace(SUBJECT, columns=(*SUBJECT.columns, *_DEVICE_COLUMNS))
"""Everything an enrolment list may hold: the subject and the device handed out."""

Tables = dict[str, "pl.DataFrame"]


@dataclass
class TabularImporter:
    """Importer of one kind of list; ``tables`` turns its staged rows into frames of canonical tables."""

    format: str
    table: Table
    accepted: tuple[str, ...]
    required: tuple[tuple[str, str], ...]
    """(canonical column, words where a row lacks it)."""
    recognised_by: tuple[tuple[str, ...], ...]
    """One column of each group must stand in the header."""
    make_tables: Callable[[StagedFile], Tables]
    not_with: tuple[str, ...] = ()
    """Columns that make a header another format's."""
    numbers: tuple[str, ...] = ("age",)
    """Columns whose numbers tell whether the decimal sign is right."""
    more_checks: Callable[[RowPlan, Reading, Sequence[str]], None] = lambda plan, reading, header: None
    """Further rules of a row, given the plan, the reading keys and the header; raises ``UnreadableFile``."""
    earliest: dt.datetime = EARLIEST_RECORD
    version: int = 1

    @property
    def is_device_log(self) -> bool:
        """Whether its times come off a device's clock."""
        return default_mode(self.format) == "increment"

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """A list whose header has the canonical names that tell, and mostly canonical names besides."""
        names = [column.lower() for column in _names(head)]
        if set(names) & {"start_local", *self.not_with} or not all(
            set(group) & set(names) for group in self.recognised_by
        ):
            return None
        known = sum(column in self.accepted for column in names)
        return Recognised(self.format, self.format) if known * 2 > len(names) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one list; raises ``UnreadableFile``."""
        source = context.source
        exported, note = read_export_time(file.name, source)
        latest = latest_time(exported, received_time(context))
        time = TimeReading(earliest=self.earliest, latest=latest)
        if source is not None:
            time = replace(time, order=source.date_order, datetime_format=source.datetime_format)
            if self.is_device_log:
                time = replace(time, zone=source.time_zone)
        reading = reading_of(source, time)
        with _staged(self, file, reading, context) as staged:
            try:
                refuse_doubtful(staged, reading, file.name, self.numbers)
                cells = staged.plan.cell_names
                whose = (f"r.v_{name}" if name in cells else "NULL" for name in ("subject_id", "device_id"))
                rejected = create_rejected(staged, *whose)
                tables = self.make_tables(staged)
                frame = context.con.sql(f'FROM "{rejected}" ORDER BY line').pl() if rejected else None
                rows, notes, header = staged.rows_read, staged.plan.notes, staged.plan.header
            finally:
                staged.drop()
        return Parsed(
            format=self.format,
            dataset=recognised.dataset,
            mode=(source.mode if source else None) or default_mode(self.format),
            rows_read=rows,
            tables=tables,
            rejected=frame,
            exported_utc=exported,
            notes=[*([note] if note else []), *notes, *([] if rows else [NO_ROWS])],
            layout=header,
        )

    def plan(self, reading: Reading, header: Sequence[str], sample: Sequence[Sequence[str]]) -> RowPlan:
        """The plan of one list; raises ``UnreadableFile`` where a column every row needs is not mapped."""
        if "device_seq" in self.accepted and "device_seq" in match_columns(reading, self.accepted, header):
            # With the device's own order, what a clock showed that had lost its time can be put right.
            reading = replace(reading, time=replace(reading.time, earliest=EARLIEST_LOST))
        plan = plan_rows(self.table, self.accepted, reading, header, sample)
        for name, words in self.required:
            if name not in plan.cell_names:
                raise UnreadableFile(
                    f"No column gives {name}. Columns found: {', '.join(column for column in header if column)}.",
                    remedy=f'Add columns.{name} = "..." to its [[source]] in protocol.toml.',
                    missing=name,
                )
            plan.require(name, words)
        self.more_checks(plan, reading, header)
        return plan


@lru_cache(maxsize=4)
def _names(head: bytes) -> tuple[str, ...]:
    """Column names in the first bytes; of a workbook only where they are all of it. Kept, because several importers
    look at one file, and a workbook is read by another process."""
    if not is_workbook(head):
        return head_names(head)
    if len(head) >= HEAD_BYTES:
        return ()
    try:
        return read_sheet(head, "", None).header
    except UnreadableFile:
        return ()


@contextmanager
def _staged(
    importer: TabularImporter, file: SourceFile, reading: Reading, context: ReadContext
) -> Iterator[StagedFile]:
    prefix = f"stage_{file.source_id}"
    with file.path.open("rb") as stream:
        head = stream.read(8)
    if not is_workbook(head):
        with (
            scratch_folder(context.con) as scratch,
            open_delimited(file.path, file.name, context.source, scratch) as text,
        ):
            plan = importer.plan(reading, text.header, text.sample)
            yield stage_delimited(context.con, prefix, text, plan, scratch)
        return
    sheet = read_sheet(file.path, file.name, context.source.sheet if context.source else None)
    # Numbers in a workbook have a point whatever the program shows.
    plan = importer.plan(replace(reading, decimal=".", thousands=None), sheet.header, ())
    cells = [f"f{index}" for index in range(len(sheet.header))]
    texts = ", ".join(f"{null_sql(cell, reading.null_values)} AS {cell}" for cell in cells)
    context.con.register("sheet_rows", sheet.rows)
    try:
        relation = f"(SELECT __line, __last, {texts} FROM sheet_rows)"
        yield stage_relation(context.con, prefix, relation, plan, len(cells), numbered=True)
    finally:
        context.con.unregister("sheet_rows")


def frame_of(staged: StagedFile, columns: Sequence[tuple[str, str]], condition: str = "true") -> pl.DataFrame:
    """Accepted rows in file order: (canonical column, SQL over stored aliases), and ``line``."""
    name = f"{staged.prefix}_rows"
    staged.create_view(name, columns, condition)
    try:
        rows: pl.DataFrame = staged.con.sql(f'FROM "{name}" ORDER BY line').pl()
        return rows
    finally:
        staged.con.execute(f'DROP VIEW "{name}"')


def _enrolment_tables(staged: StagedFile) -> Tables:
    shown = staged.plan.shown()
    devices = {column.name for column in _DEVICE_COLUMNS}
    tables = {"subject": frame_of(staged, [pair for pair in shown if pair[0] not in devices])}
    given = dict(shown)
    if "device_id" in given:
        columns = [(name, given[name]) for name in ("device_id", "subject_id")]
        for name in ("start_date", "end_date"):
            if f"device_{name}" in given:
                columns.append((name, given[f"device_{name}"]))
        assigned = frame_of(staged, columns, f"{given['device_id']} IS NOT NULL")
        tables[DEVICE_ASSIGNMENT_RECORDED.name] = assigned
    return tables


def _event_tables(staged: StagedFile) -> Tables:
    import polars as pl

    events = frame_of(staged, staged.plan.shown())
    if "event_seq" not in events.columns:
        staged.plan.notes.append(
            "event_seq is not mapped: events are numbered by their order in the file within the subject, so a new "
            "export should keep that order"
        )
        number = pl.int_range(1, pl.len() + 1).over("subject_id").cast(pl.String)
        events = events.with_columns(number.alias("event_seq"))
    return {"adverse_event": events}


ENROLMENT_IMPORTER = TabularImporter(
    format="enrolment",
    table=ENROLMENT,
    accepted=(*SUBJECT.content, *(column.name for column in _DEVICE_COLUMNS)),
    required=(("subject_id", "the subject's identifier is missing"),),
    recognised_by=(("subject_id",), ("arm_code", "site_id")),
    make_tables=_enrolment_tables,
)

ADVERSE_EVENT_IMPORTER = TabularImporter(
    format="adverse_events",
    table=ADVERSE_EVENT,
    accepted=ADVERSE_EVENT.content,
    required=(("subject_id", "the subject's identifier is missing"), ("term", "the reported term is missing")),
    recognised_by=(("subject_id",), ("term",)),
    make_tables=_event_tables,
)
