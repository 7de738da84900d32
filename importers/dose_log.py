"""The generic dose log: delimited text (plain, .gz, .zst) or Parquet, one dose event on a row, mapped by the protocol.

Nothing is assumed about a device. What a log leaves out and the study needs (kind of event, unit of the amounts) must
stand in the [[source]] as a constant; without it the file is refused with the line to add.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from importers.base import (
    Ignored,
    Parsed,
    ReadContext,
    Recognised,
    SourceFile,
    Staged,
    UnreadableFile,
)
from importers.cells import Check
from importers.delimited import head_names, open_delimited
from importers.doubts import refuse_doubtful
from importers.export_time import latest_time, read_export_time, received_time
from importers.mapping import Reading, RowPlan, lacking, match_columns, plan_rows, reading_of, require_units
from importers.parquet import is_parquet, open_parquet
from importers.rejects import create_rejected
from importers.scratch import scratch_folder
from importers.staging import StagedFile, stage_delimited, stage_relation
from importers.times import EARLIEST_DOSE, TimeReading
from store.schema import AMOUNT
from store.tables_dose import DOSE_EVENT
from store.vocabulary import DOSE_KINDS

FORMAT = "dose_log"

COMPUTED = frozenset(
    {
        "start_utc",
        "end_utc",
        "start_precision",
        "utc_offset_min",
        "offset_source",
        "clock_correction_s",
        "clock_rule",
        "time_uncertain",
    }
)
"""Columns of dose_event that follow from others; a file cannot fill them."""
ACCEPTED = tuple(name for name in DOSE_EVENT.content if name not in COMPUTED)
AMOUNTS = tuple(column.name for column in DOSE_EVENT.columns if column.type == AMOUNT)
UNIT_OF = {
    "planned_amount": "amount_unit",
    "programmed_amount": "amount_unit",
    "delivered_amount": "amount_unit",
    "volume": "volume_unit",
    "concentration": "concentration_unit",
    "programmed_rate": "rate_unit",
    "delivered_rate": "rate_unit",
}

EARLIEST_LOST = dt.datetime(1999, 12, 31)
"""Clocks that lose their time fall back to 2000, 2004 or 2007."""

NO_ROWS = "the file has a header and no rows"


class DoseLogImporter:
    """Importer of generic dose logs."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        """A Parquet file, or text whose header has canonical names: start_local, subject_id or device_id, and a kind
        or an amount."""
        if is_parquet(head):
            return Recognised(FORMAT, FORMAT)
        names = {column.lower() for column in head_names(head)}
        whose, what = {"subject_id", "device_id"}, {"kind", *AMOUNTS}
        return Recognised(FORMAT, FORMAT) if "start_local" in names and names & whose and names & what else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Dose events of one log, staged in the connection; raises ``UnreadableFile``."""
        exported, note = read_export_time(file.name, context.source)
        reading = reading_of(context.source, _time_reading(context, exported))
        prefix = f"stage_{file.source_id}"
        with _staged(file, reading, context, prefix) as staged:
            try:
                refuse_doubtful(staged, reading, file.name, AMOUNTS)
            except UnreadableFile:
                staged.drop()
                raise
            rejected = create_rejected(staged, *(_stored(staged.plan, name) for name in ("subject_id", "device_id")))
        events = f"{prefix}_dose_event"
        staged.create_view(events, _shown(staged.plan))
        rows = staged.rows_read
        notes = [*([note] if note else []), *staged.plan.notes, *([] if rows else [NO_ROWS])]
        return Parsed(
            format=FORMAT,
            dataset=recognised.dataset,
            mode=context.source.effective_mode if context.source else "increment",
            rows_read=rows,
            tables={"dose_event": Staged(events)},
            rejected=Staged(rejected) if rejected else None,
            exported_utc=exported,
            notes=notes,
            layout=staged.plan.header,
        )


@contextmanager
def _staged(file: SourceFile, reading: Reading, context: ReadContext, prefix: str) -> Iterator[StagedFile]:
    with file.path.open("rb") as stream:
        head = stream.read(16)
    if is_parquet(head):
        header, relation = open_parquet(context.con, file.path, file.name, reading)
        plan = plan_doses(reading, header, ())
        yield stage_relation(context.con, prefix, relation, plan, len(header), numbered=False)
        return
    with (
        scratch_folder(context.con) as scratch,
        open_delimited(file.path, file.name, context.source, scratch) as text,
    ):
        plan = plan_doses(reading, text.header, text.sample)
        yield stage_delimited(context.con, prefix, text, plan, scratch)


def _stored(plan: RowPlan, name: str) -> str:
    """SQL of a column that is kept of rejected rows as well; NULL where the file has none."""
    return f"r.v_{name}" if name in plan.cell_names else "NULL"


def _time_reading(context: ReadContext, exported: dt.datetime | None) -> TimeReading:
    source = context.source
    latest = latest_time(exported, received_time(context))
    if source is None:
        return TimeReading(latest=latest, earliest=EARLIEST_DOSE)
    return TimeReading(source.date_order, source.datetime_format, source.time_zone, EARLIEST_DOSE, latest)


def plan_doses(reading: Reading, header: tuple[str, ...], sample: tuple[tuple[str, ...], ...]) -> RowPlan:
    """The plan of a dose log; raises ``UnreadableFile`` where what the study needs is neither column nor constant."""
    if "device_seq" in match_columns(reading, ACCEPTED, header):
        # With the device's own order, what a clock showed that had lost its time can be put right.
        reading = replace(reading, time=replace(reading.time, earliest=EARLIEST_LOST))
    plan = plan_rows(DOSE_EVENT, ACCEPTED, reading, header, sample)
    given = plan.columns
    if not given & {"subject_id", "device_id"}:
        raise lacking(
            reading, header, "subject_id or device_id", 'columns.subject_id = "..." or columns.device_id = "..."'
        )
    if "start_local" not in given:
        raise lacking(reading, header, "start_local, the time of a dose", 'columns.start_local = "..."')
    if "kind" not in given:
        raise lacking(
            reading,
            header,
            "kind, what the events are",
            f'constants.kind = "injection" (or another of: {", ".join(DOSE_KINDS)}), or columns.kind = "..."',
        )
    require_units(plan, UNIT_OF, reading, header)
    cells = plan.cell_names
    if not {"subject_id", "device_id"} & {name for name, _ in plan.constants}:
        missing = " AND ".join(f"v_{name} IS NULL" for name in ("subject_id", "device_id") if name in cells)
        plan.checks.append(Check("subject_id", "missing_value", "neither a subject nor a device is stated", missing))
    plan.require("start_local", "the time of the dose is missing")
    if "kind" in cells:
        plan.require("kind", "the kind of event is missing")
    return plan


def _shown(plan: RowPlan) -> list[tuple[str, str]]:
    """Canonical columns; amounts without a stated basis are as the device's log reports them."""
    shown = plan.shown()
    given = dict(shown)
    for amount, basis in (("programmed_amount", "programmed_basis"), ("delivered_amount", "delivered_basis")):
        if amount in given and basis not in given:
            shown.append((basis, f"CASE WHEN {given[amount]} IS NOT NULL THEN 'reported' END"))
    return shown


IMPORTER = DoseLogImporter()
