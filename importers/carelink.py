"""Medtronic CareLink exports: which of the three generations of CSV, or the JSON of CareLink Connect, a file is.

- the web export of the 600 and 700 series and Guardian Connect, comma or semicolon (importers.carelink_600)
- CareLink Personal until about 2016, with Raw-Type and Raw-Values (importers.carelink_legacy)
- CareLink Connect JSON, the last 24 hours as a follower sees them (importers.carelink_connect)
"""

from __future__ import annotations

from importers.base import HEAD_BYTES, Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.carelink_600 import import_carelink_600
from importers.carelink_connect import import_carelink_connect
from importers.carelink_legacy import import_carelink_legacy
from importers.carelink_tables import find_header, find_sections
from importers.device_log import DeviceLog
from importers.json_records import read_document
from importers.vendor_csv import VendorText, decode_text, read_text, split_line
from importers.vendor_text import split_heading

FORMAT = "carelink"

_SEARCHED = 200
_BOLUS_HEADINGS = frozenset({"bolus volume delivered", "afgegeven bolusvolume"})
_LEGACY_COLUMNS = 39
_RAW = "raw-type"


def generation(text: VendorText) -> str | None:
    """``600``, ``legacy`` or ``connect``; None when the text is no CareLink export."""
    start = text.data[:400].lstrip()
    if start.startswith(b"{"):
        whole = text.data[:HEAD_BYTES]
        return "connect" if b'"medicalDeviceFamily"' in whole or b'"conduitSerialNumber"' in whole else None
    found = find_header(text.lines(_SEARCHED))
    if found is None:
        return None
    number, _, separator = found
    header = next(line for line_number, _, line in text.lines(number) if line_number == number)
    names = [split_heading(name)[0] for name in split_line(header, separator)]
    if _RAW in names or (len(names) == _LEGACY_COLUMNS and _BOLUS_HEADINGS & set(names)):
        return "legacy"
    return "600" if _BOLUS_HEADINGS & set(names) else None


class CarelinkImporter:
    """Importer of CareLink exports."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        try:
            found = generation(decode_text(head))
        except UnreadableFile:
            return None
        return Recognised(FORMAT, f"{FORMAT} {found}") if found else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one export; raises ``UnreadableFile`` when it is not whole or its dates cannot be
        told.
        """
        log = DeviceLog(file, recognised, context)
        with file.path.open("rb") as stream:
            found = generation(decode_text(stream.read(HEAD_BYTES)))
        if found == "connect":
            import_carelink_connect(read_document(file.path), log)
            return log.parsed()
        text = read_text(file.path)
        log.notes.extend(text.notes)
        sections = find_sections(text)
        if found == "600" and sections:
            import_carelink_600(text, sections, log)
        elif found == "legacy" and sections:
            import_carelink_legacy(text, sections, log)
        else:
            raise UnreadableFile(
                "The file has no CareLink table.", remedy="Export it again from CareLink; nothing of it was taken."
            )
        log.date_by_newest_row()
        return log.parsed()


IMPORTER = CarelinkImporter()
