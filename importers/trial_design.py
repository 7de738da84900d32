"""A protocol draft from trial design (TA, TE, TV, TS) and from what DM, DI, SUPPDM and AE name.

Exposure data sets are not opened: nothing in a protocol is derived from what patients took.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from importers import sdtm
from importers.base import HEAD_BYTES, SourceFile
from importers.data_set import DataSet
from importers.discover import walk_files
from importers.sdtm_subjects import NOT_RANDOMISED_CODES
from store.errors import UsageProblem
from store.protocol_draft import (
    Draft,
    DraftArm,
    DraftDevice,
    DraftDosing,
    DraftDrug,
    DraftPeriod,
    DraftPopulation,
    DraftSite,
    DraftVisit,
)

_READ = ("TS", "TA", "TE", "TV", "DM", "DI", "SUPPDM", "AE")

_BLINDING = {
    "OPEN LABEL": "open_label",
    "SINGLE BLIND": "single_blind",
    "DOUBLE BLIND": "double_blind",
    "TRIPLE BLIND": "triple_blind",
}
_DESIGN = {
    "PARALLEL": "parallel",
    "SINGLE GROUP": "single_arm",
    "CROSS-OVER": "crossover",
    "CROSSOVER": "crossover",
}
"""TS TBLIND (C66735) and INTMODEL (C99076); others stay open."""

_EVERY_H = {
    "QD": 24.0, "Q24H": 24.0, "BID": 12.0, "Q12H": 12.0, "TID": 8.0, "Q8H": 8.0, "QID": 6.0, "Q6H": 6.0, "Q4H": 4.0,
    "QOD": 48.0, "QW": 168.0, "EVERY WEEK": 168.0, "EVERY 2 WEEKS": 336.0, "Q2W": 336.0, "EVERY 3 WEEKS": 504.0,
    "Q3W": 504.0, "EVERY 4 WEEKS": 672.0, "Q4W": 672.0,
}  # fmt: skip
_KINDS = {"PRN": "as_needed", "CONTINUOUS": "continuous", "ONCE": "single"}

_DEVICE_WORDS = (
    (r"patch[ -]?pump", "patch_pump"),
    (r"closed[ -]loop|automated insulin", "closed_loop"),
    (r"auto[ -]?injector", "auto_injector"),
    (r"on[ -]body|wearable inj|patch inj|body[ -]worn", "patch_injector"),
    (r"transdermal|\bpatch\b", "transdermal_patch"),
    (r"infusion pump", "infusion_pump"),
    (r"\bpump\b", "pump"),
    (r"\bpen\b|pen[ -]?injector", "pen"),
    (r"ingestible|ingestion sensor", "ingestible"),
    (r"\bcap\b|bottle|blister", "adherence_cap"),
    (r"\bdepot\b", "depot"),
    (r"reservoir", "refillable_reservoir"),
)
_RELATED = (
    "RELATED", "CAUSAL RELATIONSHIP", "DEFINITELY RELATED", "DEFINITE", "CERTAIN", "PROBABLY RELATED", "PROBABLE",
    "LIKELY", "POSSIBLY RELATED", "POSSIBLE", "Y", "YES",
)  # fmt: skip
"""Causality values that say related, strongest first; remote and unlikely are none of them."""

_SITE_REACTION = re.compile(r"\b(?:INJECTION|INFUSION|APPLICATION|IMPLANT|CATHETER) SITE\b", re.IGNORECASE)
_AMOUNT = re.compile(r"(?<![\d.,])(\d+(?:\.\d+)?)\s?(kg|mg|mcg|ug|µg|ng|g|mL|IU|U)\b(?!/)")
_TEXT_DURATION = re.compile(r"^(\d+)\s+(day|week)s?\s+after\s+(?:the\s+)?start", re.IGNORECASE)
_ISO_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?")
_VISIT_RULE = re.compile(r"^(\d+)\s+(day|week)s?\s+after\s+(?:the\s+)?start of (?:study )?treatment$", re.IGNORECASE)


@dataclass
class _Trial:
    """The data sets found, as rows, and the file each came from."""

    rows: dict[str, list[dict[str, str | None]]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> list[dict[str, str | None]]:
        return self.rows.get(name, [])

    def summary(self, parameter: str) -> list[str]:
        """Values of a TS parameter, in file order."""
        return [value for row in self.of("TS") if row.get("TSPARMCD") == parameter and (value := row.get("TSVAL"))]

    def only(self, parameter: str) -> str:
        """The value of a TS parameter, empty when there is none or several that differ."""
        values = set(self.summary(parameter))
        return values.pop() if len(values) == 1 else ""


def draft_protocol(folder: Path) -> Draft:
    """Draft of a protocol from the SDTM data sets in a folder; of several files of one, the first by name.

    Raises ``UsageProblem`` when the folder holds neither trial design nor DM, ``UnreadableFile`` when one
    of them is damaged.
    """
    trial = _read_trial(folder)
    if not {"TA", "TS", "DM"} & set(trial.rows):
        raise UsageProblem(
            f"{folder} holds no SDTM trial design (TA, TS) and no DM to draft a protocol from.",
            effect="Nothing was written.",
            remedy="Name the folder of the SDTM data sets, or run dosetrail init without --from for an empty template.",
        )
    arms = _arms(trial)
    blinding_text = trial.only("TBLIND")
    design_text = trial.only("INTMODEL")
    cut_text = trial.only("DCUTDTC")
    causality = _distinct(row.get("AEREL") for row in trial.of("AE"))
    return Draft(
        study_id=_study_id(trial),
        title=trial.only("TITLE"),
        blinding=_BLINDING.get(blinding_text.upper()),
        blinding_text=blinding_text,
        design=_DESIGN.get(design_text.upper()),
        design_text=design_text,
        reference_arm=_reference_arm(arms),
        arm_in_data=any(_arm_code(row) for row in trial.of("DM")),
        data_cut=_full_date(cut_text),
        data_cut_text=", ".join(filter(None, (cut_text, trial.only("DCUTDESC")))),
        arms=arms,
        sites=_sites(trial),
        drugs=_drugs(trial, arms),
        devices=_devices(trial),
        dosing=_dosing(trial),
        visits=_visits(trial),
        populations=_populations(trial),
        related=tuple(value for word in _RELATED for value in causality if value.upper() == word),
        causality_values=causality,
        rate_terms=_rate_terms(trial),
        read_from=tuple(f"{name} ({trial.files[name]})" for name in _READ if name in trial.files),
    )


def _read_trial(folder: Path) -> _Trial:
    if not folder.is_dir():
        raise UsageProblem(
            f"{folder} is no folder.",
            effect="Nothing was written.",
            remedy="Name the folder of the SDTM data sets.",
        )
    trial = _Trial()
    for path, _ in walk_files(folder):
        with path.open("rb") as stream:
            head = sdtm.read_head(stream.read(HEAD_BYTES))
        if head is None:
            continue
        domain = sdtm.domain_of(head)
        name = head.name if domain == "SUPP" else domain
        if name in _READ and name not in trial.rows:
            data: DataSet = sdtm.read_data_set(SourceFile(path, path.name, ""))
            trial.rows[name] = list(data.rows())
            trial.files[name] = path.name
    return trial


def _study_id(trial: _Trial) -> str:
    rows: Iterator[dict[str, str | None]] = (row for name in _READ for row in trial.of(name))
    return next((value for row in rows if (value := row.get("STUDYID"))), "")


def _arms(trial: _Trial) -> tuple[DraftArm, ...]:
    """Arms of TA in its order; without TA the arms DM names, without periods."""
    elements = {row.get("ETCD"): row for row in trial.of("TE")}
    names: dict[str, str] = {}
    periods: dict[str, dict[int, DraftPeriod]] = {}
    for row in trial.of("TA") or trial.of("DM"):
        code = _arm_code(row)
        if not code:
            continue
        names.setdefault(code, row.get("ARM") or "")
        ordered = periods.setdefault(code, {})
        if row.get("ETCD"):
            order = _whole(row.get("TAETORD")) or len(ordered) + 1
            ordered.setdefault(order, _period(order, row, elements.get(row.get("ETCD")) or {}))
    return tuple(
        DraftArm(code, names[code], tuple(periods[code][order] for order in sorted(periods[code]))) for code in names
    )


def _period(order: int, row: dict[str, str | None], element: dict[str, str | None]) -> DraftPeriod:
    name = row.get("ELEMENT") or element.get("ELEMENT") or ""
    end_rule = element.get("TEENRL") or ""
    duration_text = element.get("TEDUR") or ""
    days = _iso_days(duration_text)
    if days is None and (match := _TEXT_DURATION.match(end_rule)):
        days, duration_text = _days(match), match.group(0)
    amount, unit = _named_amount(name)
    return DraftPeriod(
        order=order,
        element=row.get("ETCD") or "",
        name=name,
        epoch=row.get("EPOCH") or "",
        duration_days=days,
        duration_text=duration_text,
        start_rule=element.get("TESTRL") or "",
        end_rule=end_rule,
        proposed_amount=amount,
        proposed_unit=unit,
    )


def _named_amount(text: str) -> tuple[Decimal | None, str | None]:
    """The one amount an element's text names; placebo is 0 of the drug's unit."""
    found = {(Decimal(number), {"mcg": "ug", "µg": "ug"}.get(unit, unit)) for number, unit in _AMOUNT.findall(text)}
    if len(found) == 1:
        return found.pop()
    if not found and re.search(r"\bplacebo\b", text, re.IGNORECASE):
        return Decimal(0), None
    return None, None


def _iso_days(text: str) -> int | None:
    """Days of an ISO 8601 duration of weeks and days; months and years have no fixed length."""
    match = _ISO_DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    return 7 * int(match.group(1) or 0) + int(match.group(2) or 0) or None


def _days(match: re.Match[str]) -> int | None:
    return int(match.group(1)) * (7 if match.group(2).lower() == "week" else 1) or None


def _reference_arm(arms: Iterable[DraftArm]) -> str | None:
    placebo = [arm.code for arm in arms if re.search(r"\bplacebo\b", f"{arm.code} {arm.name}", re.IGNORECASE)]
    return placebo[0] if len(placebo) == 1 else None


def _arm_code(row: dict[str, str | None]) -> str | None:
    code = row.get("ARMCD")
    return None if code is None or code.upper() in NOT_RANDOMISED_CODES else code


def _sites(trial: _Trial) -> tuple[DraftSite, ...]:
    countries: dict[str, Counter[str]] = {}
    for row in trial.of("DM"):
        if site := row.get("SITEID"):
            countries.setdefault(site, Counter()).update(filter(None, [row.get("COUNTRY")]))
    return tuple(
        DraftSite(site, next((country for country, _ in countries[site].most_common(1)), None))
        for site in sorted(countries)
    )


def _drugs(trial: _Trial, arms: tuple[DraftArm, ...]) -> tuple[DraftDrug, ...]:
    """Drugs of TS TRT, with their names in capitals, as data sets write them, and placebo where it is given."""
    has_placebo = trial.only("TCNTRL").upper() == "PLACEBO" or _reference_arm(arms) is not None
    names = _distinct(trial.summary("TRT"))
    return tuple(
        DraftDrug(
            name=name,
            unit=trial.only("DOSU") or None,
            also_named=tuple(
                other
                for other in (name.upper(), "PLACEBO" if has_placebo and len(names) == 1 else "")
                if other and other != name
            ),
        )
        for name in names
    )


def _devices(trial: _Trial) -> tuple[DraftDevice, ...]:
    types = Counter(row.get("DIVAL") or "" for row in trial.of("DI") if row.get("DIPARMCD") == "DEVTYPE")
    return tuple(DraftDevice(name, count, _device_class(name)) for name, count in sorted(types.items()) if name)


def _device_class(device_type: str) -> str | None:
    text = device_type.lower()
    return next((device_class for pattern, device_class in _DEVICE_WORDS if re.search(pattern, text)), None)


def _dosing(trial: _Trial) -> DraftDosing:
    frequency = trial.only("DOSFRQ").upper()
    every_h = _EVERY_H.get(frequency)
    doses = (row for row in trial.of("TS") if row.get("TSPARMCD") == "DOSE" and row.get("TSVAL"))
    unit = trial.only("DOSU")
    stated = tuple(
        f"{row['TSVAL']} {unit}".strip() + (f" ({row['TSGRPID']})" if row.get("TSGRPID") else "") for row in doses
    )
    kind = "scheduled" if every_h is not None else _KINDS.get(frequency)
    return DraftDosing(kind, every_h, ", ".join(trial.summary("DOSFRQ")), stated)


def _visits(trial: _Trial) -> tuple[DraftVisit, ...]:
    """Visits of TV, one per number (TV may repeat a visit for each arm)."""
    visits: dict[float, DraftVisit] = {}
    for row in trial.of("TV"):
        try:
            number = float(row.get("VISITNUM") or "")
        except ValueError:
            continue
        rule = row.get("TVSTRL") or ""
        day = _whole(row.get("VISITDY"))
        visits.setdefault(
            number, DraftVisit(number, row.get("VISIT") or "", _visit_day(rule) if day is None else day, rule)
        )
    return tuple(visits[number] for number in sorted(visits))


def _visit_day(rule: str) -> int | None:
    """Study day of a visit from the words of its start rule: day 1 is the first day, and there is no day 0."""
    text = rule.strip().lower()
    if text == "day of initial study treatment":
        return 1
    if text == "day before initial study treatment":
        return -1
    match = _VISIT_RULE.match(rule.strip())
    days = _days(match) if match else None
    return None if days is None else days + 1


def _populations(trial: _Trial) -> tuple[DraftPopulation, ...]:
    """SUPPDM qualifiers that hold only Y and N and call themselves a population or a flag."""
    values: dict[str, set[str]] = {}
    labels: dict[str, str] = {}
    for row in trial.of("SUPPDM"):
        if name := row.get("QNAM"):
            values.setdefault(name, set()).add((row.get("QVAL") or "").upper())
            labels.setdefault(name, row.get("QLABEL") or "")
    return tuple(
        DraftPopulation(_population_name(name, labels[name]), name, labels[name])
        for name in sorted(values)
        if values[name] <= {"Y", "N"} and re.search(r"population|flag", labels[name], re.IGNORECASE)
    )


def _population_name(flag: str, label: str) -> str:
    words = re.sub(r"\b(?:population|flag)\b", " ", label.lower())
    return "_".join(re.findall(r"[a-z0-9]+", words)) or flag.lower()


def _rate_terms(trial: _Trial) -> tuple[str, ...]:
    terms = _distinct(row.get("AEDECOD") or row.get("AETERM") for row in trial.of("AE"))
    return tuple(sorted(term for term in terms if _SITE_REACTION.search(term)))


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"-?\d{1,6}", value) else None


def _full_date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
