"""Pipe-delimited tables of the JAEB public trial archives, told apart by their columns (file names vary).

- IOBP2, the iLet's five-minute steps (importers.jaeb_iobp2)
- DCLP3, DCLP5 and PEDAP, Tandem's boluses, basal rates and glucose (importers.jaeb_tandem)
- FLAIR, a CareLink table (importers.jaeb_flair)
- Loop and REPLACE-BG, tables written from Tidepool data (importers.jaeb_tidepool)

Rosters are enrolment lists: map them with format "enrolment" in a [[source]].
"""

from __future__ import annotations

from importers.base import HEAD_BYTES, Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.device_log import DeviceLog
from importers.jaeb_flair import import_flair
from importers.jaeb_iobp2 import SIGN, import_iobp2
from importers.jaeb_table import header_of
from importers.jaeb_tandem import import_basal, import_boluses, import_glucose
from importers.jaeb_tidepool import import_tidepool_table

FORMAT = "jaeb"

_TIMES = {"datadttm", "datadttm_adjusted", "devicedttm"}


def table_kind(columns: list[str]) -> str | None:
    """Which table lower-case column names are of; None when of none."""
    names = set(columns)
    if "ptid" not in names:
        return None
    if {name.lower() for name in SIGN} <= names:
        return "iobp2"
    if {"bolusdeliv", "basalrt"} <= names and _TIMES & names:
        return "flair"
    if ("utcdttm" in names or "devicetm" in names) and ("normal" in names or {"rate", "duration"} <= names):
        return "tidepool"
    if not _TIMES & names:
        return None
    if "bolusamount" in names:
        return "bolus"
    if {"commandedbasalrate", "basalrate"} & names:
        return "basal"
    return "glucose" if {"cgmvalue", "cgm"} & names else None


class JaebImporter:
    """Importer of JAEB archive tables."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        kind = table_kind(header_of(head))
        return Recognised(FORMAT, "iobp2" if kind == "iobp2" else f"{FORMAT} {kind}") if kind else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and glucose of one table; raises ``UnreadableFile``."""
        log = DeviceLog(file, recognised, context)
        with file.path.open("rb") as stream:
            kind = table_kind(header_of(stream.read(HEAD_BYTES)))
        if kind == "iobp2":
            import_iobp2(file, log)
        elif kind == "flair":
            import_flair(file, log)
        elif kind == "tidepool":
            import_tidepool_table(file, log, context)
        elif kind == "bolus":
            import_boluses(file, log)
        elif kind == "basal":
            import_basal(file, log)
        elif kind == "glucose":
            import_glucose(file, log)
        else:
            raise UnreadableFile("The table has columns of no JAEB table that is read.", remedy="Export it again.")
        return log.parsed()


IMPORTER = JaebImporter()
