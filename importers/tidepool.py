"""Tidepool JSON: boluses, basal segments, device events and glucose of a person's devices.

``normal`` and ``extended`` are delivered amounts. ``expectedNormal``, ``expectedExtended`` and ``expectedDuration``
stand only where a dose was cut short; by Tidepool's data model their absence says that all that was programmed was
given. ``time`` is UTC, ``deviceTime`` what the device showed; they differ by ``timezoneOffset`` and by
``conversionOffset``, the error of the device's clock. Durations are milliseconds. Glucose has the unit
``units`` states.
"""

from __future__ import annotations

from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.device_log import DeviceLog
from importers.json_records import Record, head_records
from importers.json_rows import LINE, JsonRows, read_rows
from importers.moments import stated_zone
from importers.tidepool_rows import NESTED, NUMBERS, WANTED, add_records

FORMAT = "tidepool"
MEMBERS = ("data", "deviceData")

_TYPES = frozenset(
    "bolus basal cbg smbg bloodKetone deviceEvent wizard food upload pumpSettings cgmSettings insulin reportedState "
    "physicalActivity controllerSettings controllerStatus pumpStatus dosingDecision alert water".split()
)
_OWN = frozenset({"deviceId", "uploadId", "guid", "deviceTime", "timezoneOffset", "conversionOffset"})


def _is_tidepool(record: Record) -> bool:
    return str(record.get("type")) in _TYPES and "time" in record and bool(_OWN & set(record))


class TidepoolImporter:
    """Importer of Tidepool JSON."""

    format = FORMAT
    version = 2

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        records = head_records(head, MEMBERS)
        return Recognised(FORMAT, FORMAT) if records and all(map(_is_tidepool, records)) else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, events and glucose of one export; raises ``UnreadableFile`` when the JSON is damaged."""
        log = DeviceLog(file, recognised, context)
        rows = read_rows(file.path, MEMBERS, WANTED, NUMBERS, NESTED)
        typed = rows.column(rows.given("type"))
        for line in (*rows.broken, *rows.frame.filter(~typed)[LINE].to_list()):
            log.reject(line, "missing_value", "the record has no type", field="type")
        if typed.any():
            add_records(JsonRows(rows.frame.filter(typed)), log, stated_zone(context))
        return log.parsed()


IMPORTER = TidepoolImporter()
