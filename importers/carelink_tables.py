"""Where the tables of a CareLink CSV are: preamble, section markers, repeated headers; none of them has a fixed
place.

The header is the line that names Index, Date and Time (or their translations) among at least 30 columns. Preamble
lines above it hold the patient's name and birth date: of them only device lines are read, and the patient id
where the protocol maps it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from importers.vendor_csv import VendorText, split_line
from importers.vendor_text import split_heading

_SEPARATORS = (",", ";", "\t")
_SEARCHED = 200
_INDEX = frozenset({"index", "\u00edndice", "indice", "indeks"})
_MIN_COLUMNS = 12
_MARKER = b"-------"
_SPLIT_INDEX = re.compile(r"\d+,0{5},")


@dataclass(frozen=True)
class Section:
    """One table of the file: its columns, where its rows are, and the device its marker names."""

    header: tuple[str, ...]
    header_line: int
    start: int
    end: int
    separator: str
    model: str | None = None
    serial: str | None = None
    label: str = ""
    """Pump, Sensor or Aggregated Auto Insulin Data; empty without markers."""

    @property
    def first_line(self) -> int:
        return self.header_line + 1


@dataclass(frozen=True)
class Preamble:
    """What the lines above the first table say of devices and of the export; nothing of the patient."""

    values: dict[str, str]
    """Firmware Version, Serial Number, Device, CGM ... by their names in the file."""
    pumps: tuple[tuple[str, str, int], ...] = ()
    """Legacy files: type, serial and line of each pump."""
    exported: str | None = None
    line: int = 1


def find_header(lines: Sequence[tuple[int, int, str]]) -> tuple[int, int, str] | None:
    """The first header among the first lines: its number, offset and separator."""
    for number, offset, text in lines:
        for separator in _SEPARATORS:
            if text.count(separator) < _MIN_COLUMNS:
                continue
            names = [split_heading(name)[0] for name in split_line(text, separator)]
            if _INDEX & set(names[:2]) and len(set(names)) > _MIN_COLUMNS:
                return number, offset, separator
    return None


def find_sections(text: VendorText) -> list[Section]:
    """Every table of the file, in its order; empty when no header is found."""
    first = find_header(text.lines(_SEARCHED))
    if first is None:
        return []
    header_line, offset, separator = first
    data = text.data
    markers = _starts_of(data, _MARKER)
    header = _line_at(data, offset)
    headers = {offset, *_starts_of(data, header.rstrip(b"\r\n")[:200], offset + len(header) - 1)}
    headers |= {place for marker in markers if (place := _header_below(data, marker, separator)) is not None}
    above = max((marker for marker in markers if marker < offset), default=None)
    places = {(place, False) for place in headers}
    places |= {(marker, True) for marker in markers if marker > offset or marker == above}
    return _cut(data, sorted(places), separator)


def _starts_of(data: bytes, start: bytes, after: int = 0) -> list[int]:
    """Offsets of the lines that begin with some bytes."""
    found = [0] if after == 0 and data.startswith(start) else []
    place = data.find(b"\n" + start, after)
    while place >= 0:
        found.append(place + 1)
        place = data.find(b"\n" + start, place + 1)
    return found


def _header_below(data: bytes, marker: int, separator: str) -> int | None:
    """Offset of a section's own header: the first line with text below its marker, when it is one."""
    place = marker + len(_line_at(data, marker))
    while place < len(data) and not _line_at(data, place).strip():
        place += len(_line_at(data, place))
    text = _line_at(data, place).decode("utf-8", "replace")
    return place if find_header([(0, 0, text)]) == (0, 0, separator) else None


def _line_at(data: bytes, offset: int) -> bytes:
    end = data.find(b"\n", offset)
    return data[offset : len(data) if end < 0 else end + 1]


def _cut(data: bytes, places: list[tuple[int, bool]], separator: str) -> list[Section]:
    sections: list[Section] = []
    marker: list[str] = []
    counted, line = 0, 1
    for number, (offset, is_marker) in enumerate(places):
        line += data.count(b"\n", counted, offset)
        counted = offset
        text = _line_at(data, offset)
        fields = split_line(text.decode("utf-8", "replace"), separator)
        if is_marker:
            marker = fields
            continue
        end = places[number + 1][0] if number + 1 < len(places) else len(data)
        start = offset + len(text)
        shifted = bool(separator == "," and _SPLIT_INDEX.match(_line_at(data, start).decode("utf-8", "replace")))
        header = (fields[0], "", *fields[1:]) if shifted else tuple(fields)
        sections.append(
            Section(
                header=header,
                header_line=line,
                start=start,
                end=end,
                separator=separator,
                model=(marker[1:2] or [""])[0] or None,
                serial=(marker[3:4] or [""])[0] or None,
                label=_label(marker),
            )
        )
    return sections


def _label(marker: Sequence[str]) -> str:
    return "Aggregated" if any("Aggregated" in field for field in marker) else (marker[2:3] or [""])[0]


def read_preamble(text: VendorText, separator: str, end_line: int) -> Preamble:
    """Device lines of the preamble in either of its two layouts (legacy lines, key and value cells from column 7
    on).
    """
    values: dict[str, str] = {}
    pumps: list[tuple[str, str, int]] = []
    exported, device_line = None, 1
    for number, _, line in text.lines(end_line - 1):
        fields = split_line(line, separator)
        if not fields:
            continue
        key = fields[0].rstrip(":").strip().lower()
        if key == "pump" and len(fields) > 2:
            pumps.append((fields[1], fields[2].lstrip("#").strip(), number))
        elif key == "data exported on" and len(fields) > 1:
            exported = fields[1]
        pairs = dict(zip(fields[6::2], fields[7::2], strict=False))
        for name, value in pairs.items():
            if name and value:
                values.setdefault(name, value)
                device_line = number
    return Preamble(values, tuple(pumps), exported, device_line)


def patient_cell(text: VendorText, separator: str, end_line: int, column: str) -> str | None:
    """The value under one heading of the preamble (columns 1-6 are headings over values); for a mapped subject id
    only.
    """
    lines = [split_line(line, separator)[:6] for _, _, line in text.lines(end_line - 1)]
    for above, below in zip(lines, lines[1:], strict=False):
        if column in above and len(below) > above.index(column):
            return below[above.index(column)] or None
    return None
