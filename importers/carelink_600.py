"""Medtronic CareLink CSV of the 600 and 700 series and Guardian Connect: comma or semicolon, one or many
sections.

One dose is two rows: when it is programmed (only ``Bolus Volume Selected``) and when it has been delivered (both
volumes); summing Selected over all rows overstates insulin by 65 %. They are paired by Bolus Number, volume, type
and source (importers.pump_pairs); Bolus Number is one byte, so the key of a dose is its number with the time it
was delivered. The reason of a cancelled dose is a third row. Micro-boluses of the algorithm have the delivered
row only, with both volumes. The delivered row is stamped at the end, the programmed row at the start.

Other rows: basal rate changes (segments, see importers.basal), temporary basals, primes (exclude_reason fill),
suspensions, alarms, rewinds, clock changes, blood and sensor glucose, bolus calculator advice (recommendation,
never a programmed amount), event markers of the phone app (insulin in them is what a person typed: exclude_reason
manual_entry), daily totals of automatic insulin (control_total, never a dose).

While an algorithm doses, the profile's basal rate is logged but not given: it is left out from the first
micro-bolus to evidence of manual mode (a bolus of another source, a temporary basal, an alarm that the automatic
mode was left). Files with daily totals of automatic insulin instead of micro-boluses (700 series) do not say when
it ran: on those days basal is programmed, its delivery not reported.

No data of the study, counted in the notes: programmed rows and cancel reasons joined to their dose, the last
screen of the bolus calculator, network devices, settings. Rows equal but for Index are one entry written twice
and share a native key. The file does not say when it was exported: its newest row stands for it.
Format: CareLink web export, column headings as seen 2017 to 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from importers import carelink_basal, carelink_events
from importers.carelink_boluses import add_boluses
from importers.carelink_rows import add_times, read_rows
from importers.carelink_tables import Preamble, Section, patient_cell, read_preamble
from importers.device_clock import CLOCK_CHANGE, add_running_time, clock_detail, merge_clock_changes
from importers.device_identity import Device, register_device
from importers.vendor_csv import VendorText

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

MANUFACTURER = "Medtronic"


def import_carelink_600(text: VendorText, sections: list[Section], log: DeviceLog) -> None:
    """Fill ``log`` from every section of the file; raises ``UnreadableFile`` when columns or dates cannot be told."""
    preamble = read_preamble(text, sections[0].separator, sections[0].header_line)
    subject = _subject(text, sections[0], log)
    for device, own in _by_device(sections, preamble).items():
        rows = read_rows(text, own, log)
        if rows.is_empty():
            continue
        rows = add_times(rows, log)
        if rows.is_empty():
            continue
        add_device_rows(rows, device, subject, log)


def _subject(text: VendorText, first: Section, log: DeviceLog) -> str | None:
    column = log.source_column("subject_id")
    return patient_cell(text, first.separator, first.header_line, column) if column else None


def _by_device(sections: list[Section], preamble: Preamble) -> dict[Device, list[Section]]:
    """Sections of each device: a file can hold two pumps, and big exports repeat all sections of one."""
    found: dict[Device, list[Section]] = {}
    properties = tuple(
        (name, preamble.values[key])
        for key, name in (
            ("Firmware Version", "FIRMWARE"),
            ("Hardware Version", "HARDWARE"),
            ("Software Version", "SOFTWARE"),
            ("CGM", "SENSOR"),
        )
        if key in preamble.values
    )
    for section in sections:
        model = section.model or preamble.values.get("Device")
        serial = section.serial or preamble.values.get("Serial Number")
        known = next((device for device in found if (device.model, device.serial) == (model, serial)), None)
        own = properties if model == preamble.values.get("Device") else ()
        device = known or Device(MANUFACTURER, model, serial, section.header_line, own)
        found.setdefault(device, []).append(section)
    return found


def add_device_rows(
    rows: pl.DataFrame, device: Device, subject: str | None, log: DeviceLog, *, used: pl.Series | None = None
) -> str:
    """Add everything the typed rows of one device hold; returns its device_id. ``used``: lines the caller reads."""
    import polars as pl

    is_loop = bool(rows["source"].str.contains("CLOSED_LOOP|CL_MICRO").any())
    has_pump_rows = rows.select(
        pl.any_horizontal(pl.col("basal_rate", "selected", "delivered").is_not_null()).any()
    ).item()
    device_class = "closed_loop" if is_loop else "pump" if has_pump_rows else None
    described = device.properties + ((("CLASS", device_class),) if device_class else ())
    named = Device(device.manufacturer, device.model, device.serial, device.line, described)
    device_id = register_device(log, named)
    changes = merge_clock_changes(
        rows.filter(pl.col("new_time").is_not_null()).select("line", "seq", "at", set_to="set_to")
    )
    rows = add_running_time(rows, changes).with_columns(
        device_id=pl.lit(device_id), subject_id=pl.lit(subject, pl.String)
    )
    log.add_rows(
        "device_event",
        [
            {
                "line": change["line"],
                "subject_id": subject,
                "device_id": device_id,
                "native_key": f"{change['event']}@{change['start_local']}",
                "event": change["event"],
                "start_local": change["start_local"],
                "detail": clock_detail(change["old"], change["new"]) if change["event"] == CLOCK_CHANGE else None,  # type: ignore[arg-type]
            }
            for change in changes
        ],
    )
    taken = [
        add_boluses(rows, log),
        carelink_basal.add_basal(rows, device_id, log),
        carelink_events.add_primes(rows, log),
        carelink_events.add_device_events(rows, log),
        carelink_events.add_observations(rows, log),
        carelink_events.add_markers(rows, log),
        carelink_events.add_advice(rows, log),
        carelink_events.add_daily_totals(rows, log),
        rows.filter(pl.col("new_time").is_not_null())["line"],
    ]
    lines = pl.concat(taken if used is None else [*taken, used]).unique()
    log.count(rows.filter(~pl.col("line").is_in(lines.implode())).height, "hold settings, screens or network devices")
    return device_id
