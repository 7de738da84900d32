"""Lists of JSON records as columns: what ``importers.json_records`` reads one by one, in one frame.

polars reads the common file whole (a fifth of the time of Python's reader before any row is looked at). What it does
not take is read by Python and put into the same columns as text: damaged bytes, a member that is a number in one record
and an object in another, entries that are no objects, true or false where a number belongs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from importers.dataset_json import DOCUMENT_LIMIT
from importers.json_records import EMPTY_LIMIT, head_records, load_json, read_records, refuse_empty
from importers.vendor_text import amount_expr, number_expr

if TYPE_CHECKING:
    import polars as pl

LINE = "line"
"""Number of the record in its list, from 1."""
_LARGEST = 1e12
_HEAD = 65_536
_FEW_RECORDS = 5


@dataclass
class JsonRows:
    """``frame``: line and one column per member any record has; ``broken``: numbers of entries that are no objects."""

    frame: pl.DataFrame
    broken: list[int] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return name in self.frame.columns

    def column(self, value: pl.Expr) -> pl.Series:
        """One value for every record."""
        return self.frame.select(LINE, value.alias("value"))["value"]

    def text(self, name: str) -> pl.Expr:
        """A member as text, blank is NULL; what is nested as JSON."""
        import polars as pl

        if name not in self.frame.columns:
            return pl.lit(None, dtype=pl.String)
        kind = self.frame.schema[name]
        column = pl.col(name)
        if isinstance(kind, pl.Struct):
            return pl.when(column.is_not_null()).then(column.struct.json_encode())
        if isinstance(kind, pl.List):
            return pl.when(column.is_not_null()).then(pl.struct(name).struct.json_encode())
        if kind != pl.String:
            return column.cast(pl.String)
        return pl.when(column.str.strip_chars() != "").then(column)

    def amount(self, name: str) -> pl.Expr:
        """A member as an exact amount of six places; NULL where it is absent or no finite number."""
        import polars as pl

        kind = self.frame.schema.get(name)
        if kind == pl.String:
            return amount_expr(name)
        if kind is None or not kind.is_numeric():
            return pl.lit(None, dtype=pl.Decimal(18, 6))
        return pl.when(pl.col(name).abs() < _LARGEST).then(pl.col(name)).cast(pl.Decimal(18, 6), strict=False)

    def number(self, name: str) -> pl.Expr:
        """A member as a double; NULL where it is absent or no number."""
        import polars as pl

        kind = self.frame.schema.get(name)
        if kind == pl.String:
            return number_expr(name)
        if kind is None or not kind.is_numeric():
            return pl.lit(None, dtype=pl.Float64)
        return pl.col(name).cast(pl.Float64)

    def given(self, name: str) -> pl.Expr:
        """Whether a record states the member: not absent, null or blank."""
        import polars as pl

        if name not in self.frame.columns:
            return pl.lit(False)
        column = pl.col(name)
        return (column.str.strip_chars() != "").fill_null(False) if self._is_text(name) else column.is_not_null()

    def truth(self, name: str) -> pl.Expr:
        """A member that is true or false; NULL otherwise."""
        import polars as pl

        kind = self.frame.schema.get(name)
        if kind == pl.Boolean:
            return pl.col(name)
        if kind == pl.String:
            lower = pl.col(name).str.to_lowercase()
            return pl.when(lower.is_in(["true", "false"])).then(lower == "true")
        return pl.lit(None, dtype=pl.Boolean)

    def inside(self, name: str, *members: str) -> JsonRows:
        """The members of an object that stands in a record, as columns of the same lines."""
        import polars as pl

        kind = self.frame.schema.get(name)
        if isinstance(kind, pl.Struct):
            inner = self.frame.select(LINE, name).unnest(name)
            return JsonRows(inner if LINE in inner.columns else inner.with_columns(self.frame[LINE]))
        if kind == pl.String:
            found = {
                member: pl.col(name).str.json_path_match(f"$.{member}")
                for member in members
                if self.frame[name].str.starts_with("{").any()
            }
            return JsonRows(self.frame.select(LINE, **found))
        return JsonRows(self.frame.select(LINE))

    def records(self, chosen: pl.Series) -> Iterator[tuple[int, dict[str, Any]]]:
        """Chosen records one by one, for what is rare: line and members, nested ones as they were."""
        for row in self.frame.filter(chosen).iter_rows(named=True):
            line = row.pop(LINE)
            yield line, {name: _unfolded(value) for name, value in row.items() if value is not None}

    def _is_text(self, name: str) -> bool:
        import polars as pl

        return self.frame.schema[name] == pl.String


Nested = Mapping[str, Sequence[str]]
"""Members that are objects, or lists of objects, and those of their members that are used (taken as text)."""


def read_rows(
    path: Path,
    members: Sequence[str] = (),
    wanted: Sequence[str] = (),
    numbers: Sequence[str] = (),
    nested: Nested | None = None,
) -> JsonRows:
    """All records of a file; raises ``UnreadableFile`` when the JSON is damaged.

    ``members``: names under which an object may hold the list; ``wanted``: members that are used, ``numbers``: those of
    them that are amounts, ``nested``: those that may be objects.
    """
    fast = _read_whole(path, members, wanted, numbers, nested or {})
    return fast if fast is not None else rows_of(read_records(path, members))


def _read_whole(
    path: Path, members: Sequence[str], wanted: Sequence[str], numbers: Sequence[str], nested: Nested
) -> JsonRows | None:
    import polars as pl

    if path.stat().st_size > DOCUMENT_LIMIT:
        return None
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
    in_list = data.startswith(b"[")
    in_lines = re.match(rb"\{[^\n]*\}\s*\n\s*\{", data) is not None
    schema = _schema(data, wanted, numbers, nested) if in_list or in_lines else None
    if schema is None and has_truth(data, numbers):
        # Left to itself, polars takes true for 1.
        return None
    try:
        frame = _read_list(data, schema, in_lines=in_lines) if in_list or in_lines else _read_member(data, members)
    except pl.exceptions.PolarsError:
        return None if schema is None else _read_whole(path, members, (), numbers, nested)
    if frame is None or not frame.width or LINE in frame.columns:
        return None
    if data.count(b"{}") > EMPTY_LIMIT:
        refuse_empty(frame.select(pl.all_horizontal(pl.all().is_null()).sum()).item())
    return JsonRows(frame.with_row_index(LINE, offset=1).cast({LINE: pl.Int64}))


def _read_list(data: bytes, schema: dict[str, Any] | None, *, in_lines: bool) -> pl.DataFrame:
    import polars as pl

    if in_lines:
        return pl.read_ndjson(data, schema=schema, infer_schema_length=None)
    return pl.read_json(data, schema=schema, infer_schema_length=None)


def _read_member(data: bytes, members: Sequence[str]) -> pl.DataFrame | None:
    """The list an object holds, or the object itself."""
    import polars as pl

    if not data.startswith(b"{"):
        return None
    whole = pl.read_json(data, infer_schema_length=None)
    found = next((name for name in members if isinstance(whole.schema.get(name), pl.List)), None)
    if found is None:
        return whole
    if not isinstance(whole.schema[found].inner, pl.Struct):  # type: ignore[attr-defined]
        return None
    return whole[found].explode().struct.unnest()


def _schema(data: bytes, wanted: Sequence[str], numbers: Sequence[str], nested: Nested) -> dict[str, Any] | None:
    """Types of the wanted members as the first records have them, text for what appears further on; None where only the
    whole file can tell.

    Reading with a schema spares polars a first pass over the file and members nobody wants, and breaks off where a type
    is another one further on.
    """
    import polars as pl

    records = head_records(data[:_HEAD])
    if not wanted or len(records) < _FEW_RECORDS:
        return None
    schema: dict[str, Any] = {}
    for name in wanted:
        values = [record[name] for record in records if record.get(name) is not None]
        if any(isinstance(value, dict | list) for value in values):
            if name not in nested:
                return None
            inner = pl.Struct(dict.fromkeys(nested[name], pl.String))
            schema[name] = inner if isinstance(values[0], dict) else pl.List(inner)
        elif values and all(isinstance(value, bool) for value in values):
            schema[name] = pl.Boolean
        elif values and name in numbers and all(type(value) in (int, float) for value in values):
            schema[name] = pl.Float64
        elif values:
            schema[name] = pl.String
    absent = [name for name in wanted if name not in schema]
    real = [name for name, kind in schema.items() if kind == pl.Float64]
    text = _text_of(data)
    if text is None:
        return None
    patterns = [_truth_pattern(real)] * bool(real) + [_given_pattern(absent)] * bool(absent)
    # One search of the file says for most that there is nothing to look at more closely.
    if not patterns or not text.str.contains("|".join(patterns)).item():
        return schema
    if real and text.str.contains(_truth_pattern(real)).item():
        return None
    for name in _found(text, absent):
        schema[name] = pl.Struct(dict.fromkeys(nested[name], pl.String)) if name in nested else pl.String
    return schema


def _text_of(data: bytes) -> pl.Series | None:
    """The file as one text, for patterns that Rust searches; None where it is not UTF-8."""
    import polars as pl

    try:
        return pl.Series([data.decode()])
    except UnicodeDecodeError:
        return None


def _found(text: pl.Series, names: Sequence[str]) -> set[str]:
    if not names:
        return set()
    return {
        match.split('"')[1] for match in text.str.extract_all(_given_pattern(names)).explode().drop_nulls().unique()
    }


def _given_pattern(names: Iterable[str]) -> str:
    """Members that are not null."""
    return rf'"(?:{_either(names)})"\s*:\s*[^\sn]'


def _truth_pattern(names: Iterable[str]) -> str:
    return rf'"(?:{_either(names)})"\s*:\s*(?:true|false)'


def has_truth(data: bytes, numbers: Sequence[str]) -> bool:
    """Whether a member that is an amount may be true or false somewhere, which polars takes for 1 and 0."""
    if data.isascii() and b"true" not in data and b"false" not in data:
        # Most logs; 5 ms for 15 MB, where the pattern takes 150 ms.
        return False
    text = _text_of(data)
    return text is None or bool(numbers and text.str.contains(_truth_pattern(numbers)).item())


def _either(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))


def rows_of(records: Iterable[tuple[int, Any]]) -> JsonRows:
    """Numbered records that Python has read, as columns of text."""
    import polars as pl

    lines: list[int] = []
    broken: list[int] = []
    columns: dict[str, list[str | None]] = {}
    for line, record in records:
        if not isinstance(record, dict):
            broken.append(line)
            continue
        for name, value in record.items():
            if name == LINE:
                continue
            column = columns.setdefault(name, [])
            column.extend([None] * (len(lines) - len(column)))
            column.append(_as_text(value))
        lines.append(line)
    for column in columns.values():
        column.extend([None] * (len(lines) - len(column)))
    frame = pl.DataFrame({LINE: lines, **columns}, schema={LINE: pl.Int64, **dict.fromkeys(columns, pl.String)})
    return JsonRows(frame, broken)


def _unfolded(value: Any) -> Any:
    """Objects as text become objects again; members of an object that no record has are left out."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return load_json(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
