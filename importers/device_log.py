"""What importers of device logs share: rows gathered by canonical table, rejected rows, notes, and the count of
rows read.

A source row ends among the rejected or in tables, never in both. Rows that by nature are no data of the study
(settings, section headers) and rows that were joined into another row (the programmed half of a dose) are counted
in notes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from importers.base import REJECTED_COLUMNS, Parsed, ReadContext, Recognised, SourceFile
from store.tables import TABLES

if TYPE_CHECKING:
    import polars as pl

INSULIN_UNIT = "[iU]"
"""UCUM of the unit insulin devices write as U, E, IE or UI."""
INSULIN_RATE = "[iU]/h"

_OBSERVED = ("observation", "observed_at")
_CONSTANTS = ("subject_id", "channel", "drug", "drug_role", "route", "body_site", "lot", "firmware")
"""Columns that ``constants`` of a [[source]] may fill in dose rows of a device log (subject_id in every table)."""


class DeviceLog:
    """Collects one file. ``add`` canonical frames, ``reject`` rows, ``count`` what is no data, then ``parsed``
    once.
    """

    def __init__(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> None:
        self.source_id = file.source_id
        self.notes: list[str] = []
        self.exported_utc: dt.datetime | None = None
        self.registered: set[tuple[str, str]] = set()
        """Device and property pairs that stand in device_property already."""
        self._recognised = recognised
        self._source = context.source
        self._tables: dict[str, list[pl.DataFrame]] = {}
        self._rejected: list[tuple[Any, ...]] = []
        self._counts: Counter[str] = Counter()

    @property
    def constants(self) -> Mapping[str, str]:
        """``constants`` of the protocol's [[source]] for this file; empty without one."""
        return self._source.constants if self._source else {}

    def source_column(self, name: str) -> str | None:
        """Column of the file that the protocol maps to a canonical one (``columns`` of the [[source]])."""
        return self._source.columns.get(name) if self._source else None

    def stated_order(self) -> str | None:
        """``date_order`` of the [[source]]; None where it is the default, which states nothing."""
        return self._source.date_order if self._source and self._source.date_order != "YMD" else None

    def add(self, table: str, frame: pl.DataFrame) -> None:
        """Rows of a canonical table; columns the table does not have are working columns and are left out."""
        if frame.height:
            names = [name for name in frame.columns if name == "line" or name in TABLES[table].content]
            self._tables.setdefault(table, []).append(frame.select(names))

    def add_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same from dictionaries, for formats small enough to be mapped row by row."""
        import polars as pl

        if rows:
            # Rows of one kind have the same names: a few shapes are looked at, not every row.
            held = {name for shape in {tuple(row) for row in rows} for name in shape}
            names = ["line", *(name for name in TABLES[table].content if name in held)]
            columns = {name: [row.get(name) for row in rows] for name in names}
            self.add(table, pl.DataFrame(columns, schema={name: polars_type(table, name) for name in names}))

    def reject(
        self,
        line: int,
        reason: str,
        message: str,
        *,
        field: str | None = None,
        value: str | None = None,
        raw: Mapping[str, Any] | None = None,
        table: str = "dose_event",
        device_id: str | None = None,
    ) -> None:
        """One rejected row. ``raw`` must hold no free text of people (notes, names)."""
        shown = {key: str(cell) for key, cell in (raw or {}).items() if cell is not None}
        text = json.dumps(shown, ensure_ascii=False) if shown else None
        self._rejected.append((line, table, reason, field, value, message, None, device_id, text))

    def reject_frame(
        self, rows: pl.DataFrame, reason: str, message: str, *, field: str | None, label: str, table: str = "dose_event"
    ) -> None:
        """Every row of a frame of source columns, which are shown as raw text; ``label``: the column's name in
        messages.
        """
        for row in rows.iter_rows(named=True):
            line, device_id = row.pop("line"), row.pop("device_id", None)
            value = row.get(field) if field else None
            self.reject(line, reason, message, field=label, value=value, raw=row, table=table, device_id=device_id)

    def reject_broken(self, broken: Iterable[tuple[int, str, str]]) -> None:
        """Rows whose number of fields is wrong (``SectionRows.broken``)."""
        for line, reason, message in broken:
            self.reject(line, reason, message)

    @property
    def rejected_lines(self) -> list[int]:
        return sorted({row[0] for row in self._rejected})

    def count(self, number: int, words: str) -> None:
        """Rows that are no data of the study or were joined into others; ``words`` completes "12 rows ..."."""
        if number:
            self._counts[words] += number

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def date_by_newest_row(self) -> None:
        """Where the file does not say when it was exported, its newest row does: it was exported no earlier.

        An older export that arrives late then replaces nothing that a newer one knows better.
        """
        if self.exported_utc is not None:
            return
        newest: list[dt.datetime] = []
        for table, column in (("dose_event", "start_local"), ("device_event", "start_local"), _OBSERVED):
            for frame in self._tables.get(table, []):
                if column in frame.columns and frame[column].len() > frame[column].null_count():
                    newest.append(frame[column].max())  # type: ignore[arg-type]
        self.exported_utc = max(newest, default=None)

    def parsed(self) -> Parsed:
        """The file, read: frames joined per table, without rows that were rejected."""
        import polars as pl

        rejected = self.rejected_lines
        tables: dict[str, pl.DataFrame] = {}
        for name, frames in self._tables.items():
            frame = frames[0]
            if len(frames) > 1:
                frame = pl.concat(frames, how="diagonal_relaxed").sort("line", maintain_order=True)
            if rejected:
                frame = frame.filter(~pl.col("line").is_in(rejected))
            if frame.height:
                tables[name] = self._with_constants(name, frame)
        lines = pl.concat([frame.select("line") for frame in tables.values()]) if tables else None
        read = (lines["line"].n_unique() if lines is not None else 0) + len(rejected)
        counted = [f"{number:,} rows {words}." for words, number in self._counts.items()]
        mode: Literal["increment", "snapshot"] = (self._source.mode if self._source else None) or "increment"
        return Parsed(
            format=self._recognised.format,
            dataset=self._recognised.dataset,
            mode=mode,
            rows_read=read,
            tables=tables,
            rejected=self._rejected_frame(),
            exported_utc=self.exported_utc,
            notes=[*self.notes, *counted],
        )

    def _with_constants(self, table: str, frame: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        allowed = _CONSTANTS if table == "dose_event" else ("subject_id",)
        given = {name: self.constants[name] for name in allowed if name in self.constants}
        given = {name: text for name, text in given.items() if name in TABLES[table].content}
        return frame.with_columns(
            (pl.coalesce(name, pl.lit(text)) if name in frame.columns else pl.lit(text)).alias(name)
            for name, text in given.items()
        )

    def _rejected_frame(self) -> pl.DataFrame | None:
        import polars as pl

        if not self._rejected:
            return None
        schema = {column: pl.Int64 if column == "line" else pl.String for column in REJECTED_COLUMNS}
        return pl.DataFrame(self._rejected, schema=schema, orient="row").sort("line", maintain_order=True)


def polars_type(table: str, column: str) -> Any:
    """The polars type a canonical column is handed over in (vocabularies are text)."""
    import polars as pl

    types: dict[str, Any] = {
        "INTEGER": pl.Int64,
        "SMALLINT": pl.Int64,
        "BIGINT": pl.Int64,
        "DOUBLE": pl.Float64,
        "BOOLEAN": pl.Boolean,
        "DATE": pl.Date,
        "TIMESTAMP": pl.Datetime("us"),
        "DECIMAL(18,6)": pl.Decimal(18, 6),
    }
    return pl.Int64 if column == "line" else types.get(TABLES[table].column(column).type, pl.String)
