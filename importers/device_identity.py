"""Who a device is: ``device_id`` from manufacturer, model and serial number, and its ``device_property`` rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importers.device_log import DeviceLog

UNSTATED = "unstated"


@dataclass(frozen=True)
class Device:
    """A device as a file names it. A file that gives no serial number leaves open which device it is of."""

    manufacturer: str
    model: str | None = None
    serial: str | None = None
    line: int = 1
    """Line of the file that names it."""
    properties: tuple[tuple[str, str], ...] = field(default=())
    """Further properties: FIRMWARE, HARDWARE, CLASS, SENSOR."""


def device_id(manufacturer: str, model: str | None, serial: str | None) -> str:
    """``manufacturer-model-serial``, lower case, other signs as underscores: the same in every file of the device.

    Where a model holds Medtronic's type number, that stands for it: some exports give the number alone.

    >>> device_id("Tandem", "t:slim X2", "11111111")
    'tandem-t_slim_x2-11111111'
    >>> device_id("Medtronic", "MiniMed 780G MMT-1886", "NG0000000X")
    'medtronic-mmt_1886-ng0000000x'
    """
    number = re.search(r"MMT-\d+", model or "")
    named = number[0] if number else model
    return "-".join(_plain(part) for part in (manufacturer, named or UNSTATED, serial or UNSTATED))


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_") or UNSTATED


def register_device(log: DeviceLog, device: Device) -> str:
    """Add the device's properties to the log and return its device_id.

    ``constants.device_id`` of the [[source]] wins. Without a serial number ``constants.subject_id`` stands in its place
    where the protocol says whose files these are, so that a later export of the same person is known again; else the
    file's own id, so that two people's files never become one device, and a note says what to do.
    """
    stated = log.constants.get("device_id")
    identity = stated or device_id(device.manufacturer, device.model, device.serial)
    subject = log.constants.get("subject_id")
    if device.serial is None and stated is None and subject is not None:
        identity = device_id(device.manufacturer, device.model, f"{UNSTATED} of {subject}")
    elif device.serial is None and stated is None:
        identity = device_id(device.manufacturer, device.model, f"{UNSTATED} {log.source_id}")
        log.note(
            f"The file names no serial number: its rows belong to device {identity}, this file only. "
            "Give constants.device_id in a [[source]] of protocol.toml where the trial knows the device."
        )
    named = (("MANUF", device.manufacturer), ("MODEL", device.model), ("SERIAL", device.serial), *device.properties)
    rows: list[dict[str, Any]] = [
        {"line": device.line, "device_id": identity, "property": name, "value": value}
        for name, value in named
        if value and value != UNSTATED and (identity, name) not in log.registered
    ]
    log.registered.update((identity, name) for name, value in named if value)
    log.add_rows("device_property", rows)
    return identity
