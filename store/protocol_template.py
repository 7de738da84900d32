"""The text of a new protocol.toml: a draft with what the files state, every open decision as a marked line.

A line marked FILL IN is a comment, so the text always loads; ``Protocol.missing_for_accuracy`` names what
is still open.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from decimal import Decimal

from store.protocol_draft import Draft, DraftArm, DraftPeriod
from store.vocabulary import DEVICE_CLASSES

FILL_IN = "# FILL IN:"


def empty_template(study_id: str) -> str:
    """Text of a protocol.toml for a trial without data: the study's id, and examples of everything else."""
    return render_protocol(Draft(study_id=study_id))


def render_protocol(draft: Draft) -> str:
    """Text of a protocol.toml. It loads with ``store.protocol_file.parse_protocol`` for every draft."""
    sections = (
        _opening(draft),
        _study(draft),
        _sites(draft),
        _arms(draft),
        _drugs(draft),
        _devices(draft),
        _dosing(draft),
        _visits(draft),
        _accuracy(),
        _compliance(),
        _adverse_events(draft),
        _silence(),
        _populations(draft),
        _confirmatory(),
        _sources(),
    )
    return "\n\n".join("\n".join(line.rstrip() for line in section).rstrip() for section in sections) + "\n"


def _opening(draft: Draft) -> Iterator[str]:
    yield "# protocol.toml: the trial as data. You edit it, dosetrail reads it. Check it with: dosetrail protocol check"
    if draft.read_from:
        yield "#"
        drafted = f"Drafted by dosetrail init from: {_words(', '.join(draft.read_from))}."
        yield from textwrap.wrap(drafted, 108, initial_indent="# ", subsequent_indent="# ")
        yield "# Nothing in it was derived from the doses that were taken."
    yield "#"
    yield "# Lines marked FILL IN need a decision that no file states. Until it is made, dose accuracy says which line"
    yield "# is missing; everything else works. To make it, complete the line below the mark and remove its leading #."


def _study(draft: Draft) -> Iterator[str]:
    yield "[study]"
    yield f"id = {_text(draft.study_id)}"
    yield f"title = {_text(draft.title)}"
    if draft.blinding is None:
        found = _found("TS TBLIND", draft.blinding_text)
        yield f"{FILL_IN} open_label, single_blind, double_blind or triple_blind{found}"
        yield '# blinding = "double_blind"'
    else:
        yield f"blinding = {_text(draft.blinding)}{_from('TS TBLIND', draft.blinding_text)}"
    yield from _state(draft)
    if draft.design is None:
        yield f"{FILL_IN} parallel, single_arm, crossover or cluster{_found('TS INTMODEL', draft.design_text)}"
        yield '# design = "parallel"'
    else:
        yield f"design = {_text(draft.design)}{_from('TS INTMODEL', draft.design_text)}"
    yield "# Arm the others are compared with (placebo or control)."
    if draft.reference_arm is None:
        yield '# reference_arm = "PLACEBO"'
    else:
        yield f"reference_arm = {_text(draft.reference_arm)}"
    yield "# Arms of tables: the planned one of the randomisation, or the actual one."
    yield 'arm_assignment = "planned"'
    yield "# Events after this day do not count; without it all data count."
    yield f"# data_cut = {draft.data_cut or '2015-03-31'}{_from('TS DCUTDTC', draft.data_cut_text)}"
    yield "# Day up to which dosing was monitored, where the data state no end for subjects still on treatment."
    yield "# monitored_through = 2015-03-31"


def _state(draft: Draft) -> Iterator[str]:
    is_blind = draft.blinding not in (None, "open_label")
    if is_blind and draft.arm_in_data:
        yield "# DM carries the arm of the subjects, so these data are unblinded already: the state is open although"
        yield '# the design is blind. "blinded" keeps arms, drugs and amounts out of the release everybody reads.'
    elif is_blind:
        yield "# The design is blind and DM carries no arm: every release is split in two."
    else:
        yield "# open, or blinded: arms, drugs and amounts are then kept out of the release everybody reads."
    yield f'state = "{"blinded" if is_blind and not draft.arm_in_data else "open"}"'


def _sites(draft: Draft) -> Iterator[str]:
    yield "# Sites. Clock times of doses and the end of a day are those of the site's IANA time zone."
    if not draft.sites:
        yield from _example("[[site]]", 'id = "701"', 'country = "USA"', 'time_zone = "America/New_York"')
    for site in draft.sites:
        yield "[[site]]"
        yield f"id = {_text(site.id)}"
        if site.country:
            yield f"country = {_text(site.country)}"
        yield f"{FILL_IN} time zone of the site, such as Europe/Berlin or America/New_York"
        yield '# time_zone = "..."'
        yield ""


def _arms(draft: Draft) -> Iterator[str]:
    yield "# Arms, each with its periods in order (TA, TE). The same element may occur twice; the order tells which."
    if not draft.arms:
        yield from _example(
            "[[arm]]", 'code = "PLACEBO"', "[[arm]]", 'code = "ACTIVE"', 'name = "Active 54 mg"', "[[arm.period]]",
            "order = 1", 'element = "TREAT"', 'epoch = "TREATMENT"', "duration_days = 182",
        )  # fmt: skip
    for arm in draft.arms:
        yield "[[arm]]"
        yield f"code = {_text(arm.code)}"
        yield f"name = {_text(arm.name)}"
        yield ""
        is_later = False
        for period in arm.periods:
            yield from _period(period, is_later=is_later)
            is_later = is_later or period.is_treatment


def _period(period: DraftPeriod, *, is_later: bool) -> Iterator[str]:
    yield "[[arm.period]]"
    yield f"order = {period.order}"
    yield f"element = {_text(period.element)}"
    yield f"name = {_text(period.name)}"
    yield f"epoch = {_text(period.epoch)}"
    if period.duration_days is not None:
        yield f"duration_days = {period.duration_days}{_from('TE', period.duration_text)}"
    elif period.is_treatment:
        yield f"{FILL_IN} planned length in days{_found('TE', period.duration_text)}"
        yield "# duration_days = "
    if period.start_rule:
        yield f"start_rule = {_text(period.start_rule)}"
    if period.end_rule:
        yield f"end_rule = {_text(period.end_rule)}"
    if period.is_treatment and is_later:
        yield f"{FILL_IN} to which period do the doses of this period's first day belong?"
        yield '#   "start_day"        to this one: the new dose is given on the day the period starts'
        yield '#   "day_after_start"  to the one before: the new dose is given from the next day on'
        yield '# boundary = "..."'
    yield ""


def _drugs(draft: Draft) -> Iterator[str]:
    yield "# Drugs. also_named: every other name files use for it (PLACEBO in a blinded trial)."
    if not draft.drugs:
        yield from _example("[[drug]]", 'name = "Zanomaline"', 'unit = "mg"', 'also_named = ["PLACEBO"]')
    for drug in draft.drugs:
        yield "[[drug]]"
        yield f"name = {_text(drug.name)}"
        if drug.unit:
            yield f"unit = {_text(drug.unit)}"
        if drug.also_named:
            yield f"also_named = {_list(drug.also_named)}"
        yield "# concentration = 10.8"
        yield '# concentration_unit = "mg/mL"'
        yield ""


def _devices(draft: Draft) -> Iterator[str]:
    yield "# Devices: the type or model as the data name it (DI DEVTYPE), and its class, one of:"
    yield f"#   {', '.join(DEVICE_CLASSES[:8])},"
    yield f"#   {', '.join(DEVICE_CLASSES[8:])}"
    if not draft.devices:
        yield from _example("[[device]]", 'type = "Drug Auto-Injector"', 'class = "auto_injector"')
    for device in draft.devices:
        number = f"{device.count} device{'s' if device.count != 1 else ''}"
        if device.device_class is None:
            yield f"{FILL_IN} class of this type ({number}), if it delivers doses"
            yield from _example("[[device]]", f"type = {_text(device.type)}", 'class = "..."')
        else:
            yield f"[[device]]  # {number}"
            yield f"type = {_text(device.type)}"
            yield f"class = {_text(device.device_class)}"
        yield ""


def _dosing(draft: Draft) -> Iterator[str]:
    yield "# The planned dose. The most specific entry applies: subject, then arm and period, then arm, then everybody."
    yield "# Further keys: at = [08:00:00] (clock times instead of every_h), window_before_min, window_after_min."
    if not draft.drugs or not any(period.is_treatment for arm in draft.arms for period in arm.periods):
        yield from _example(
            "[[dosing]]", 'arm = "ACTIVE"', "period = 1", 'drug = "Zanomaline"', 'kind = "scheduled"',
            "every_h = 24", "amount = 54", 'unit = "mg"',
        )  # fmt: skip
        return
    for arm in draft.arms:
        for period in arm.periods:
            if period.is_treatment:
                yield from _planned_dose(draft, arm, period)


def _planned_dose(draft: Draft, arm: DraftArm, period: DraftPeriod) -> Iterator[str]:
    rule, drug = draft.dosing, draft.drugs[0]
    frequency = _from("TS DOSFRQ", rule.frequency)
    yield "[[dosing]]"
    yield f"arm = {_text(arm.code)}"
    yield f"period = {period.order}  # {_words(f'{period.element}: {period.name}')}"
    if len(draft.drugs) > 1:
        yield f"{FILL_IN} which of the drugs: {_words(', '.join(drug.name for drug in draft.drugs))}"
    yield f"drug = {_text(drug.name)}"
    if rule.kind is None:
        found = _found("TS DOSFRQ", rule.frequency)
        yield f"{FILL_IN} scheduled, continuous, as_needed, titrated, algorithm_bounded or single{found}"
        yield '# kind = "scheduled"'
    else:
        yield f"kind = {_text(rule.kind)}{frequency}"
    if rule.every_h is not None:
        yield f"every_h = {rule.every_h:g}{frequency}"
    elif rule.kind in (None, "scheduled"):
        yield f"{FILL_IN} hours between doses"
        yield "# every_h = "
    unit = period.proposed_unit or drug.unit
    if unit:
        yield f"unit = {_text(unit)}"
    else:
        yield f"{FILL_IN} unit of the amount"
        yield '# unit = "mg"'
    yield from _amount(draft, period, unit)


def _amount(draft: Draft, period: DraftPeriod, unit: str | None) -> Iterator[str]:
    if period.proposed_amount is not None:
        amount = _number(period.proposed_amount)
        named = f"{amount} {unit}" if unit else amount
        named = f"placebo, {named}" if period.proposed_amount == 0 else named
        yield f"{FILL_IN} amount of one dose. The element's text names {named}; remove the # if that is the plan."
        yield f"# amount = {amount}"
    else:
        doses = _words(", ".join(draft.dosing.stated_doses))
        listed = f" (TS lists the doses of the trial: {doses})" if doses else ""
        yield f"{FILL_IN} amount of one dose; no file states it for this period{listed}"
        yield "# amount = "
    yield ""


def _visits(draft: Draft) -> Iterator[str]:
    yield "# Visits: planned study day (there is no day 0) and the days before and after that are in window."
    if not draft.visits:
        yield from _example(
            "[[visit]]", "number = 4", 'name = "WEEK 2"', "day = 15", "window_before_d = 3", "window_after_d = 3"
        )
    for visit in draft.visits:
        yield "[[visit]]"
        yield f"number = {visit.number:g}"
        yield f"name = {_text(visit.name)}"
        rule = f"  # {_words(visit.rule)}" if visit.rule else ""
        yield f"day = {visit.day}{rule}" if visit.day is not None else f"# day ={rule}"
        yield ""


def _accuracy() -> Iterator[str]:
    yield "[accuracy]"
    yield "# A dose conforms when it differs from the planned one by at most this percentage."
    yield "conformity_pct = 5"
    yield "within_pct = [5, 10, 15, 20, 30]"


def _compliance() -> Iterator[str]:
    yield "[compliance]"
    yield "threshold_pct = 80"
    yield "upper_pct = 120"
    yield "session_complete_pct = 90"
    yield "# A dose not given for one of these reasons was withheld by the investigator; any other leaves it missed."
    yield 'hold_reasons = ["INVESTIGATOR DECISION", "PHYSICIAN DECISION"]'
    yield "# Start of the dosing day by device class, where it is not 03:00 for caps and pens and 00:00 otherwise."
    yield "# day_start = { pen = 03:00:00 }"


def _adverse_events(draft: Draft) -> Iterator[str]:
    yield "[adverse_events]"
    yield "# Days after the last dose in which an event still is treatment-emergent; without it there is no end."
    yield "# window_days = 30"
    yield '# Treatment starts with the "first_dose", the "first_procedure" (implantation, first wear) or the "earlier".'
    yield 'treatment_start = "earlier"'
    if draft.causality_values:
        yield f"# Causality values that count as related. AE holds: {_words(', '.join(draft.causality_values))}."
    else:
        yield "# Causality values that count as related."
    if draft.related:
        yield f"related = {_list(draft.related)}"
    else:
        yield f"{FILL_IN} which values count as related"
        yield '# related = ["RELATED", "POSSIBLY RELATED"]'
    yield "# Relations to the device that make an event an adverse device effect (ISO 14155), and terms that the risk"
    yield "# analysis anticipates: a serious adverse device effect with another term is a USADE."
    yield '# device_related = ["POSSIBLE", "PROBABLE", "CAUSAL RELATIONSHIP"]'
    yield '# anticipated = ["INFUSION SITE PAIN"]'
    yield "# Terms whose events are also reported per 1,000 doses."
    terms = f"rate_terms = {_list(draft.rate_terms or ('INJECTION SITE REACTION',))}"
    yield from textwrap.wrap(terms, 108, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _silence() -> Iterator[str]:
    yield "# Hours without data after which a device of a class counts as silent, and the tolerance added to them."
    yield "# [silence]"
    yield "# upload_h = { auto_injector = 48 }"
    yield "# tolerance_h = 24"


def _populations(draft: Draft) -> Iterator[str]:
    yield "# Populations by a supplied flag (SUPPDM); a supplied flag wins over the program's own rule."
    if not draft.populations:
        yield from _example("[[population]]", 'name = "safety"', 'flag = "SAFETY"', 'value = "Y"')
    for population in draft.populations:
        yield "[[population]]" + (f"  # {_words(population.label)}" if population.label else "")
        yield f"name = {_text(population.name)}"
        yield f"flag = {_text(population.flag)}"
        yield 'value = "Y"'
        yield ""


def _confirmatory() -> Iterator[str]:
    yield "# Comparisons for which p values may be printed, in their order; all others are descriptive."
    yield from _example(
        "[[confirmatory]]", "order = 1", 'parameter = "teae"', 'arm = "ACTIVE"', 'comparator = "PLACEBO"',
        "alpha = 0.05", 'method = "fisher"',
    )  # fmt: skip


def _sources() -> Iterator[str]:
    yield "# Files that do not explain themselves (CSV, Excel, Parquet). SDTM data sets need no entry."
    yield from _example(
        "[[source]]", 'name = "pump log"', 'pattern = "pump_*.csv"', 'format = "dose_log"', 'date_order = "DMY"',
        'decimal = ","', 'time_zone = "site"',
        'columns = { subject_id = "Patient", start_local = "Time", delivered_amount = "Delivered" }',
        'constants = { amount_unit = "mg", kind = "injection" }',
    )  # fmt: skip


def _example(*lines: str) -> Iterator[str]:
    return (f"# {line}" for line in lines)


def _from(variable: str, value: str) -> str:
    return f"  # {variable}: {_words(value)}" if value else ""


def _found(variable: str, value: str) -> str:
    return f" ({variable} says: {_words(value)})" if value else ""


def _number(value: Decimal) -> str:
    return format(value.normalize(), "f") if value else "0"


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_text(value) for value in values) + "]"


def _text(value: str) -> str:
    """A TOML basic string (as JSON's, plus DEL, which TOML also wants escaped)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _words(value: str) -> str:
    """Text of a file inside a comment: one line, no control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in value).split())
