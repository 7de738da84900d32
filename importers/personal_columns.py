"""Columns that hold what says who a person is: their cells never leave a file, not even as the raw text of a
rejected row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from importers.records import NumberedLines, joined, read_record

_PERSONAL = re.compile(
    r"(?:patient|subject|participant|person|user|client)?[\s_.-]*(?:full|first|last|sur|given|family|middle|maiden)?"
    r"[\s_.-]*name|surname|forename|(?:vor|nach|familien)name|initialen|initials|nom|prenom|"
    r".*(?:birth|geburt|naissance).*|dob|.*e-?mail.*|.*(?:phone|telefon|mobile).*|.*(?:address|adresse|street|postcode"
    r"|zip.?code).*|ssn|.*social.?security.*|.*passport.*|.*insurance.?n.*",
    re.IGNORECASE,
)


def is_personal(heading: str) -> bool:
    """Whether a heading is that of a name, birth date, address, e-mail or number of a person.

    >>> is_personal("Patient Name"), is_personal("Drug name"), is_personal("date_of_birth")
    (True, False, True)
    """
    return _PERSONAL.fullmatch(heading.strip()) is not None


def hides_persons(header: Sequence[str], used: Collection[int]) -> bool:
    """Whether a column nobody maps is personal."""
    return any(is_personal(heading) for place, heading in enumerate(header) if place not in used)


def without_persons(raw: bytes, delimiter: str, width: int, used: Collection[int]) -> bytes | None:
    """A raw row with its mapped cells only; None where it cannot be taken apart."""
    sign = delimiter.encode()
    record = read_record(1, raw.split(b"\n", 1)[0], NumberedLines(raw.split(b"\n")[1:], 2), sign, width)
    if record is None or record.fault is not None:
        return None
    return joined((cell if place in used else b"" for place, cell in enumerate(record.cells)), sign)
