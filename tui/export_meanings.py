"""What the columns of the lists mean that an export shares with the app: its data dictionary."""

from __future__ import annotations

PATIENT_MEANINGS = {
    "subject": "Subject identifier",
    "status": "Status from enrolment and disposition",
    "day": "Study day of the last dose",
    "comp": "Doses taken, in or out of window, in % of expected doses that were monitored and not withheld",
    "aes": "Adverse events recorded",
    "last": "Day of the last dose, else last treatment as recorded",
    "site": "Site",
    "arm": "Planned arm, code and name",
    "ae": "Adverse events: term, severity, seriousness",
    "device": "Devices assigned",
}

PROFILE_MEANINGS = {
    "subject_id": "Subject identifier",
    "date": "Day the dose was due, else given; site's local date",
    "due": "Planned time of day, local; NULL: planned for the day",
    "taken": "Time of day given, local, with +Nd for a later day; NULL: not given, or known by its day",
    "delay": "Given after planned, in seconds",
    "plan": "Planned amount, in unit",
    "given": "Delivered amount, in unit",
    "state": "taken, late, missed, extra, held or unmonitored; for entries outside the plan what they are",
    "planned_no": "Number of the planned dose",
    "file": "File the row was received in",
    "line": "Line of that file",
    "source_id": "Key of that file in table source_file",
    "device": "Device",
    "start": "Start, local; of adverse events as recorded, possibly partial",
    "end": "End as recorded, possibly partial",
    "until": "End, local",
    "days": "Days, both ends counted",
    "amount": "Amount of each dose of the interval, in unit",
    "unit": "UCUM unit of the amounts",
    "frequency": "Frequency of dosing as recorded",
    "term": "Dictionary term, else the reported one",
    "severity": "Severity as recorded",
    "serious": "SAE where recorded as serious",
    "causality": "Causality as recorded; NULL is not assessable",
    "soc": "System organ class",
    "what": "Assignment of the device and on what basis, or what the device reported",
    "rank": "0 assignments, 1 reports of devices",
}
"""Of the lists of a patient profile; tables of the release have their own."""
