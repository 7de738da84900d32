"""FHIR R4 (and the R5 names): MedicationAdministration with MedicationRequest, Device, Medication and AdverseEvent.

One resource, a Bundle or NDJSON. An administration has one amount, which is what was given; what was ordered comes
from the MedicationRequest it refers to, when that is in the same file. Times carry their offset. The subject is the
trial's only where ``columns.subject_id`` of the [[source]] says so: ``subject`` takes the id of the Patient,
``ResearchSubject`` the identifier of the ResearchSubject of that Patient in the same file. Names (display of
people, notes) are never taken over.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from decimal import Decimal
from typing import Any

from importers import device_identity
from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile
from importers.dataset_json import top_level
from importers.device_log import DeviceLog
from importers.fhir_dosage import Rate, concept_text, dose_kind, read_quantity, read_rate, volume_in
from importers.json_records import Record, read_document
from importers.moments import Moment, read_iso
from importers.row_buffer import RowBuffer

FORMAT = "fhir"

_READ = frozenset({"MedicationAdministration", "MedicationRequest", "Device", "AdverseEvent", "Bundle"})
_STATUS = {
    "completed": "completed",
    "in-progress": "in_progress",
    "stopped": "partial",
    "not-done": "none_delivered",
    "entered-in-error": "voided",
    "unknown": "unknown",
}


def _reference(value: Any) -> str | None:
    text = value.get("reference") if isinstance(value, dict) else None
    return str(text).split("/_history")[0] if text else None


def _last(reference: str | None) -> str | None:
    return reference.rpartition("/")[2] if reference else None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _number(resource: Record, word: str) -> str | None:
    """The resource's own id, with what it numbers."""
    if resource.get("id"):
        return f"{word}-{resource['id']}"
    identifier = resource.get("identifier")
    identifier = _first(identifier) if isinstance(identifier, list) else identifier
    return f"identifier-{identifier['value']}" if isinstance(identifier, dict) and identifier.get("value") else None


class _Resources:
    """The resources of one file on their way into the log."""

    def __init__(self, log: DeviceLog, resources: list[tuple[int, Record]], urls: dict[str, int]) -> None:
        self.log, self.rows = log, RowBuffer(log)
        self.known = {f"{one.get('resourceType')}/{one.get('id')}": (line, one) for line, one in resources}
        by_line = dict(resources)
        self.by_url = {url: (line, by_line[line]) for url, line in urls.items() if line in by_line}
        self.mapped = (log.source_column("subject_id") or "").lower()
        self.subjects: dict[str | None, str] = {}
        for _, one in resources:
            if one.get("resourceType") == "ResearchSubject" and _first(one.get("identifier")):
                patient = _last(_reference(one.get("individual") or one.get("subject")))
                self.subjects[patient] = str(one["identifier"][0].get("value"))
        self.devices: dict[str, str] = {}
        """Reference to a device -> device_id."""
        self.left: Counter[str] = Counter()

    def read(self, line: int, resource: Record) -> None:
        match resource.get("resourceType"):
            case "MedicationAdministration":
                self._administration(line, resource)
            case "MedicationRequest":
                self._request(line, resource)
            case "Device":
                device_identity.register_device(self.log, self._device_of(line, resource))
            case "AdverseEvent":
                self._adverse_event(line, resource)
            case other:
                self.left[str(other)] += 1

    def finish(self) -> None:
        for kind, number in sorted(self.left.items()):
            self.log.count(number, f"are of type {kind} and hold no dose")
        self.rows.flush()

    def _subject(self, resource: Record) -> str | None:
        patient = _last(_reference(resource.get("subject")))
        if self.mapped == "subject":
            return patient
        if self.mapped.startswith("researchsubject"):
            return self.subjects.get(patient)
        return self.log.constants.get("subject_id")

    def _held(self, reference: str | None) -> tuple[int, Record] | None:
        """The resource of this file that a reference means: by the address its Bundle gives it, or by type and id."""
        if reference is None:
            return None
        return self.by_url.get(reference) or self.known.get("/".join(reference.split("/")[-2:]))

    def _device_of(self, line: int, device: Record) -> device_identity.Device:
        identifier = _first(device.get("identifier"))
        number = identifier.get("value") if isinstance(identifier, dict) else None
        serial = device.get("serialNumber") or number or device.get("id")
        carrier, version = _first(device.get("udiCarrier")), _first(device.get("version"))
        stated = {
            "LOT": device.get("lotNumber"),
            "UDI": carrier.get("deviceIdentifier") if isinstance(carrier, dict) else None,
            "FIRMWARE": version.get("value") if isinstance(version, dict) else None,
            "DEVTYPE": concept_text(device.get("type")),
        }
        properties = tuple((name, str(value)) for name, value in stated.items() if value)
        maker, model = str(device.get("manufacturer") or FORMAT), str(device.get("modelNumber") or "device")
        return device_identity.Device(maker, model, str(serial) if serial else None, line, properties)

    def _device(self, line: int, resource: Record) -> str | None:
        entry = resource.get("device")
        entry = _first(entry) if isinstance(entry, list) else entry
        reference = _reference(entry) or _reference(entry.get("reference") if isinstance(entry, dict) else None)
        if reference is None:
            return None
        if reference not in self.devices:
            held = self._held(reference)
            device = {"id": _last(reference)} if held is None else held[1]
            # The properties of a device that has its own line in the file stand there.
            named = self._device_of(line if held is None else held[0], device)
            self.devices[reference] = device_identity.register_device(self.log, named)
        return self.devices[reference]

    def _drug(self, resource: Record) -> str | None:
        stated = resource.get("medication") or {}
        concept = resource.get("medicationCodeableConcept") or stated.get("concept")
        reference = _reference(resource.get("medicationReference") or stated.get("reference"))
        if concept or reference is None:
            return concept_text(concept)
        contained = (one for one in resource.get("contained") or [] if f"#{one.get('id')}" == reference)
        held = self._held(reference)
        medication = next(contained, None) or (held[1] if held else None)
        return concept_text(medication.get("code")) if isinstance(medication, dict) else None

    def _administration(self, line: int, resource: Record) -> None:
        period = resource.get("effectivePeriod") or resource.get("occurencePeriod") or {}
        text = resource.get("effectiveDateTime") or resource.get("occurenceDateTime") or period.get("start")
        start, end = read_iso(text), read_iso(period.get("end"))
        if start is None:
            reason = "bad_date" if text else "missing_value"
            self.log.reject(line, reason, "effective: no time", field="effective", value=str(text) if text else None)
            return
        dosage = resource.get("dosage") if isinstance(resource.get("dosage"), dict) else {}
        assert isinstance(dosage, dict)
        dose, rate = read_quantity(dosage.get("dose")), read_rate(dosage)
        if dose.damaged is not None:
            self.log.reject(line, "bad_number", "dosage.dose: no amount", field="dosage.dose", value=dose.damaged)
            return
        seconds = _seconds_between(start, end)
        if seconds is not None and seconds < 0:
            message = "the administration ends before it starts"
            self.log.reject(line, "impossible_time", message, field="effectivePeriod")
            return
        status = _STATUS.get(str(resource.get("status")), "unknown")
        if resource.get("status") == "on-hold":
            status = "in_progress" if dosage else "none_delivered"
        row: dict[str, Any] = {
            "line": line,
            "subject_id": self._subject(resource),
            "device_id": self._device(line, resource),
            "native_key": _number(resource, "administration"),
            "drug": self._drug(resource),
            "kind": dose_kind(dosage, dose.unit, rate),
            **start.columns(),
            "time_anchor": "start" if end else "point",
            "status": status,
            "stop_reason": "unknown" if status == "partial" else None,
            "delivered_duration_s": seconds,
            "programmed_duration_s": rate.duration_s,
            "delivered_rate": rate.value,
            "rate_unit": rate.unit,
            "route": concept_text(dosage.get("route")),
            "body_site": concept_text(dosage.get("site")),
        }
        if end is not None:
            row |= {"end_local": end.local, "end_utc": end.utc}
        self.rows.add("dose_event", row | self._amounts(resource, dose.value, dose.unit, rate, seconds, status))

    def _amounts(
        self, resource: Record, dose: Decimal | None, unit: str | None, rate: Rate, seconds: int | None, status: str
    ) -> dict[str, Any]:
        given, basis = dose, "reported"
        by_rate = volume_in(rate, seconds)
        if dose is None and status != "none_delivered":
            given, unit, basis = by_rate.value, by_rate.unit, "rate_x_time"
        elif dose is not None and by_rate.value is not None and by_rate.unit == unit and by_rate.value != dose:
            self.log.count(1, "state a dose that differs from their rate times time; the stated dose stands")
        if rate.duration_s is not None:
            self.log.count(1, "write a time where the rate belongs; it was taken as the planned duration")
        if unit and "/kg" in unit:
            self.log.count(1, "state a dose per body weight; it stands per kg, no weight is assumed")
        ordered = self._ordered(resource)
        programmed = ordered.value if ordered.value is not None and ordered.unit == unit else None
        return {
            "delivered_amount": given,
            "delivered_basis": "none" if given is None else basis,
            "programmed_amount": programmed,
            "programmed_basis": "none" if programmed is None else "reported",
            "amount_unit": unit if given is not None or programmed is not None else None,
        }

    def _ordered(self, resource: Record) -> Any:
        held = self._held(_reference(resource.get("request")))
        if held is not None and held[1].get("resourceType") != "MedicationRequest":
            held = None
        return read_quantity(_order(held[1]).get("doseQuantity") if held else None)

    def _request(self, line: int, resource: Record) -> None:
        subject, order = self._subject(resource), _order(resource)
        dose, start = read_quantity(order.get("doseQuantity")), read_iso(resource.get("authoredOn"))
        if subject is None or start is None or resource.get("status") in ("entered-in-error", "draft", "cancelled"):
            self.log.count(1, "are orders; they give the programmed amount of administrations in the same file only")
            return
        rate = read_rate(order)
        planned = {"planned_amount": dose.value, "amount_unit": dose.unit, "rate": rate.value, "rate_unit": rate.unit}
        row = {"line": line, "subject_id": subject, "drug": self._drug(resource), "start_at": start.local, **planned}
        self.rows.add("prescription", row)

    def _adverse_event(self, line: int, resource: Record) -> None:
        if resource.get("actuality") == "potential":
            self.log.count(1, "are potential events that did not happen")
            return
        subject, number = self._subject(resource), _number(resource, "event")
        term = concept_text(resource.get("event") or resource.get("code"))
        if subject is None:
            message = 'the subject is not known; map it with columns.subject_id = "subject" in a [[source]]'
            self.log.reject(line, "unknown_subject", message, field="subject", table="adverse_event")
        elif term is None or number is None:
            field = "event" if term is None else "id"
            self.log.reject(line, "missing_value", f"{field} is missing", field=field, table="adverse_event")
        else:
            event = {"line": line, "subject_id": subject, "event_seq": number, "term": term}
            self.rows.add("adverse_event", event | _judgements(resource))


def _order(request: Record) -> Record:
    """The first dose and rate of an order; empty without one."""
    instruction = _first(request.get("dosageInstruction"))
    found = _first(instruction.get("doseAndRate")) if isinstance(instruction, dict) else None
    return found if isinstance(found, dict) else {}


def _judgements(resource: Record) -> dict[str, Any]:
    serious = (concept_text(resource.get("seriousness")) or "").lower()
    severity = concept_text(resource.get("severity"))
    suspect = _first(resource.get("suspectEntity"))
    cause = _first(suspect.get("causality")) if isinstance(suspect, dict) else None
    date, recorded = resource.get("date") or resource.get("occurrenceDateTime"), resource.get("recordedDate")
    outcome = resource.get("outcome")
    outcome = _first(outcome) if isinstance(outcome, list) else outcome
    return {
        "severity": severity.upper() if severity else None,
        "serious": None if not serious else not serious.startswith("non"),
        "outcome": concept_text(outcome),
        "causality": concept_text(cause.get("assessment")) if isinstance(cause, dict) else None,
        "start_text": str(date)[:19] if date else None,
        "reported_text": str(recorded)[:19] if recorded else None,
    }


def _seconds_between(start: Moment, end: Moment | None) -> int | None:
    if end is None or "date" in (start.precision, end.precision):
        return None
    first, last = (start.utc, end.utc) if start.utc and end.utc else (start.local, end.local)
    lasted: dt.timedelta = last - first
    return int(lasted.total_seconds())


class FhirImporter:
    """Importer of FHIR resources."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        kind = top_level(head).get("resourceType")
        if not isinstance(kind, str):
            return None
        lines = [line for line in head.split(b"\n")[:-1] if line.strip()]
        kinds = {kind, *(str(_kind_of(line)) for line in lines[:50])}
        if kinds & _READ:
            return Recognised(FORMAT, f"{FORMAT} {kind}")
        return Ignored(f"FHIR {kind} is not used")

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Doses, devices and events of one file; raises ``UnreadableFile`` when the JSON is damaged."""
        log = DeviceLog(file, recognised, context)
        document = read_document(file.path)
        urls: dict[str, int] = {}
        if isinstance(document, dict) and document.get("resourceType") == "Bundle":
            entries = [one if isinstance(one, dict) else {} for one in document.get("entry") or []]
            urls = {str(one["fullUrl"]): line for line, one in enumerate(entries, 1) if one.get("fullUrl")}
            document = [one.get("resource") for one in entries]
        items = list(enumerate(document if isinstance(document, list) else [document], 1))
        known = [(line, one) for line, one in items if isinstance(one, dict) and one.get("resourceType")]
        resources = _Resources(log, known, urls)
        for line, one in items:
            if isinstance(one, dict) and one.get("resourceType"):
                resources.read(line, one)
            else:
                log.reject(line, "missing_value", "the entry holds no resource", field="resourceType")
        resources.finish()
        return log.parsed()


def _kind_of(line: bytes) -> object:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("resourceType") if isinstance(found, dict) else None


IMPORTER = FhirImporter()
