"""The name under which a received file is known: clouds put the patient's name into it.

Exports of a vendor's cloud are named after the account they come from (``CSV_<Last><First>_<serial>_...``, ``<Name>
29.07.2026.csv``), so of their names only what cannot be a person stays: numbers, words of formats and months, and words
the protocol itself writes in the [[source]] of the file. Every other word becomes ``x``. Names of files the trial makes
itself (SDTM, mapped logs, enrolment, forms) stay. An e-mail address goes from every name. The same name in gives the
same name out, at import and at every rebuild.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.protocol import Source

VENDOR_FORMATS = frozenset({
    "adherence_caps", "carelink", "cgm_exports", "diasend", "fhir", "glooko", "hl7_pcd", "loop_doses", "nightscout",
    "novopen", "tandem_csv", "tandem_source", "tandem_xml", "tidepool",
})  # fmt: skip
HIDDEN = "x"
_LONGEST_SUFFIX = len(".ndjson")

_KNOWN = frozenset(
    """
    a accu and aardex adheretech adherence administration adverseevent aggregated alarm alarms anonymous api
    auto bag basal bg bolus bundle cap caps carbs carelink cgm chek clarity clevercap cloud connect csv daily
    data day device devices dexcom diasend dose doses dosing ecap end entries event eventlist events example
    exercise expected export exports fhir file flex food freestyle glooko glucose gz history hl insulin input
    inpen json last libre libreview list log logs loop manual medication medicationadministration
    medicationrequest medtronic mems message messages meter mg minimed mmol monitor name ndjson nightscout notes
    novopen of omnipod opening openings output pages part patchcap patient pen plus pod profile profiles pump
    pumps raw record records report reports request requests result results sample sensor series session
    settings simplemed site source start stop study subject tandem tconnect test therapy tidepool timeline trace
    treatments trial txt unit units upload use uploads v vitals week with xls xlsx xml zip zst the and jan feb
    mar apr may jun jul aug sep sept oct nov dec january february march april june july august september october
    november december
    """.split()
)
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+")


def filed_name(name: str, format: str | None, source: Source | None) -> str:
    """The name a file is recorded and shown under.

    >>> filed_name("CSV_TestpersonPaula_1513861_24Apr2021_1950.csv", "tandem_csv", None)
    'CSV_x_1513861_24Apr2021_1950.csv'
    >>> filed_name("dose log of site 3.csv", "dose_log", None)
    'dose log of site 3.csv'

    A file that nothing reads (``format`` None) is recorded nowhere; so that whoever gave it finds it again, its words
    are told with their first letter.

    >>> filed_name("Testperson.docx", None, None)
    'T...docx'
    """
    suffix = PurePath(name).suffix if len(PurePath(name).suffix) <= _LONGEST_SUFFIX else ""
    stem = _EMAIL.sub(HIDDEN, name.removesuffix(suffix))
    if format is not None and format not in VENDOR_FORMATS:
        return stem + suffix
    if format is None and source is not None:
        return stem + suffix
    allowed = _KNOWN | _words_of(source)

    def shown(match: re.Match[str]) -> str:
        token = match[0]
        words = [word for word in _WORD.findall(token) if len(word) > 1]
        if any(sign.isdigit() for sign in token):
            # A date or a number with its month; a name with a digit behind it is a name.
            known = all(len(word) < 3 or word.lower() in allowed for word in words)
        else:
            known = token.lower() in allowed
        return token if known else HIDDEN if format else f"{token[0]}.."

    return _TOKEN.sub(shown, stem) + suffix


def filed_path(path: str, format: str | None, source: Source | None) -> str:
    """A path with its last part as ``filed_name`` has it: the folders are the operator's own words."""
    whole = PurePath(path)
    return str(whole.with_name(filed_name(whole.name, format, source))) if whole.name else path


def _words_of(source: Source | None) -> frozenset[str]:
    if source is None:
        return frozenset()
    stated = f"{source.name} {source.pattern} {source.exported_at or ''}"
    return frozenset(word.lower() for word in _WORD.findall(re.sub(r"%[A-Za-z]", " ", stated)))
