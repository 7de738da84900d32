"""Spellings of units in device logs and forms, and the UCUM unit each of them means.

Only spellings that can mean one thing are here; a vendor's own word (clicks, tenths) belongs in the ``units`` of its
[[source]]. ``U`` and ``IU`` stay apart, as written: units of different preparations never add. UCUM: ucum.org;
spellings of CDISC list UNIT (C71620).
"""

from __future__ import annotations

_MASS = {
    "kg": ("kg",),
    "g": ("g", "gram", "grams"),
    "mg": ("mg", "milligram", "milligrams"),
    "ug": ("ug", "mcg", "\u00b5g", "\u03bcg", "microgram", "micrograms"),
    "ng": ("ng", "nanogram", "nanograms"),
}
_VOLUME = {
    "L": ("L", "l", "liter", "litre"),
    "mL": ("mL", "ml", "ML", "cc", "milliliter", "millilitre"),
    "uL": ("uL", "ul", "mcL", "\u00b5L", "\u03bcL", "\u00b5l", "\u03bcl"),
    "nL": ("nL", "nl"),
}
_ACTIVITY = {
    "[iU]": ("[iU]", "[IU]", "IU", "iu", "IE", "UI"),
    "U": ("U", "u", "units", "unit", "Units", "Unit", "UNITS", "UNIT"),
    "mU": ("mU",),
}
_TIME = {
    "s": ("s", "sec", "second", "seconds"),
    "min": ("min", "minute", "minutes"),
    "h": ("h", "hr", "hour", "hours", "HOURS"),
    "d": ("d", "day", "days", "DAYS"),
}
_AMOUNT_OF = {"mol": ("mol",), "mmol": ("mmol",), "umol": ("umol", "\u00b5mol", "\u03bcmol"), "%": ("%",)}
_COUNTED = {
    "{actuation}": ("actuation", "actuations", "ACTUATION"),
    "{capsule}": ("capsule", "capsules", "CAPSULE"),
    "{dose}": ("dose", "doses", "DOSE"),
    "{injection}": ("injection", "injections", "INJECTION"),
    "{opening}": ("opening", "openings", "OPENING"),
    "{patch}": ("patch", "patches", "PATCH"),
    "{puff}": ("puff", "puffs", "PUFF"),
    "{tablet}": ("tablet", "tablets", "TABLET"),
}


_SHORT = 4
"""Spellings of a unit that also occur in quotients: the abbreviations, which stand first."""


def _spellings() -> dict[str, str]:
    plain = _MASS | _VOLUME | _ACTIVITY | _TIME | _AMOUNT_OF
    found = {word: unit for unit, words in plain.items() for word in words}
    for unit, words in _COUNTED.items():
        found[unit] = unit
        found.update(dict.fromkeys(words, unit))
    rates: dict[str, tuple[str, ...]] = {"h": ("h", "hr"), "min": ("min",), "d": ("d", "day")}
    concentrations: dict[str, tuple[str, ...]] = {"mL": ("mL", "ml"), "L": ("L", "l")}
    masses = {unit: _MASS[unit] for unit in ("g", "mg", "ug", "ng")}
    volumes = {unit: _VOLUME[unit] for unit in ("mL", "uL")}
    amounts: dict[str, tuple[str, ...]] = {unit: (unit,) for unit in ("mmol", "umol")}
    kilograms: dict[str, tuple[str, ...]] = {"kg": ("kg",)}
    for over, under in (
        (masses | volumes | _ACTIVITY, rates),
        (masses | _ACTIVITY | amounts, concentrations),
        (masses | volumes | _ACTIVITY, kilograms),
    ):
        for unit, spellings in over.items():
            for per, per_words in under.items():
                for word in spellings[:_SHORT]:
                    found.update({f"{word}/{per_word}": f"{unit}/{per}" for per_word in per_words})
    for unit in ("mg", "ug", "[iU]", "U", "mL"):
        found.update({f"{unit}/kg/{rate}": f"{unit}/kg/{rate}" for rate in ("h", "min", "d")})
    return found


SPELLINGS: dict[str, str] = _spellings()
"""Spelling -> UCUM unit. Case counts: mg and Mg are different units."""

COMMON = "mg, ug, g, mL, uL, U, [iU], mg/h, mL/h, mg/mL, [iU]/mL"
"""Units named in messages."""


def ucum_unit(text: str) -> str | None:
    """The UCUM unit a spelling means; None when it is unknown.

    >>> ucum_unit("mcg"), ucum_unit("IU/hr"), ucum_unit("clicks")
    ('ug', '[iU]/h', None)
    """
    return SPELLINGS.get(text.strip())
